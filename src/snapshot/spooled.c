/*
 * A body that is being recorded: in memory while it is small, then in a file that has no name, so that nothing is left
 * of it when the process dies or when it may not be kept.
 */
#include "snapshot/writer.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { IN_MEMORY_BYTES = 1024 * 1024 };

static int write_all(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        bytes += n;
        count -= (size_t)n;
    }
    return 0;
}

/* A file with a name that is taken away at once, for file systems that know no other. */
static int nameless(struct snapshot_writer *w)
{
    char name[64];
    int  fd = openat(w->scratch, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0)
        return fd;
    snprintf(name, sizeof name, ".%d-%p-%u.new", (int)getpid(), (void *)w, w->files++);
    fd = openat(w->scratch, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlinkat(w->scratch, name, 0);
    return fd;
}

static void spill(struct spooled_body *b, struct snapshot_writer *w)
{
    int fd = b->fd_plus_1 > 0 ? b->fd_plus_1 - 1 : nameless(w);

    if (fd < 0 || write_all(fd, b->bytes, b->used) != 0)
        b->error = errno;
    if (fd >= 0)
        b->fd_plus_1 = fd + 1;
    b->used = 0;
}

void spooled_body_add(struct spooled_body *b, struct snapshot_writer *w, const void *bytes, size_t count)
{
    if (b->error != 0 || count == 0)
        return;
    if (b->used + count > IN_MEMORY_BYTES)
        spill(b, w);
    b->total += count;
    MEM_ROOM(b->bytes, b->room, b->used + count);
    memcpy(b->bytes + b->used, bytes, count);
    b->used += count;
}

/* The file has no name and nobody else has it open: it cannot become shorter under the mapping. */
bool spooled_body_whole(struct spooled_body *b, struct slice *out)
{
    *out = (struct slice){ b->bytes != NULL ? b->bytes : "", b->used };
    if (b->error == 0 && b->fd_plus_1 > 0 && write_all(b->fd_plus_1 - 1, b->bytes, b->used) != 0)
        b->error = errno;
    if (b->error != 0) {
        errno = b->error;
        return false;
    }
    if (b->fd_plus_1 == 0)
        return true;
    b->used = 0;
    b->mapped = mmap(NULL, (size_t)b->total, PROT_READ, MAP_PRIVATE, b->fd_plus_1 - 1, 0);
    if (b->mapped == MAP_FAILED) {
        b->mapped = NULL;
        return false;
    }
    *out = (struct slice){ b->mapped, (size_t)b->total };
    return true;
}

void spooled_body_free(struct spooled_body *b)
{
    if (b->mapped != NULL)
        munmap(b->mapped, (size_t)b->total);
    if (b->fd_plus_1 > 0)
        close(b->fd_plus_1 - 1);
    free(b->bytes);
    *b = (struct spooled_body){ 0 };
}
