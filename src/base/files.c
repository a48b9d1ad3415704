/*
 * See files.h.  A FIFO or a link in a file's place is somebody's mistake or
 * somebody's attempt; in neither case is what it leads to Weir's.
 */
#include "base/files.h"

#include "base/arena.h"

#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 8192 };

static int regular_only(int fd)
{
    struct stat st;

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

int file_open(int directory_fd, const char *name, int flags, unsigned mode)
{
    return regular_only(openat(directory_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, mode));
}

int file_open_named(const char *path)
{
    return regular_only(open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC | O_NOCTTY));
}

/* ENXIO: a FIFO that nobody reads, or a socket. */
bool file_is_something_else(int error)
{
    return error == EINVAL || error == ELOOP || error == ENXIO || error == EISDIR;
}

/* `patient`: a signal ends no read. */
static ssize_t read_most(int fd, void *out, size_t most, bool patient)
{
    size_t used = 0;

    while (used < most) {
        ssize_t n = read(fd, (char *)out + used, most - used);

        if (n < 0 && errno == EINTR && patient)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        used += (size_t)n;
    }
    return (ssize_t)used;
}

ssize_t file_read(int fd, void *out, size_t most)
{
    return read_most(fd, out, most, true);
}

static char *read_all(int fd, size_t most, size_t *bytes, bool patient)
{
    char   *text = NULL;
    size_t  used = 0, room = 0;
    ssize_t n;
    int     saved;

    do {
        MEM_ROOM(text, room, used + PIECE_BYTES + 1);
        n = read_most(fd, text + used, PIECE_BYTES, patient);
        used += n > 0 ? (size_t)n : 0;
    } while (n == PIECE_BYTES && used <= most);
    saved = n < 0 ? errno : EFBIG;
    if (n < 0 || used > most) {
        free(text);
        errno = saved;
        return NULL;
    }
    text[used] = '\0';
    *bytes = used;
    return text;
}

char *file_read_all(int fd, size_t most, size_t *bytes)
{
    return read_all(fd, most, bytes, true);
}

char *file_read_all_unless_interrupted(int fd, size_t most, size_t *bytes)
{
    return read_all(fd, most, bytes, false);
}

bool file_read_line(const char *path, char *out, size_t bytes)
{
    int     fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd >= 0 ? file_read(fd, out, bytes - 1) : -1;

    if (fd >= 0)
        close(fd);
    out[n > 0 ? n : 0] = '\0';
    return n >= 0;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st;
    (void)kind;
    (void)at;
    remove(path);
    return 0;
}

void file_remove_tree(const char *path)
{
    nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
