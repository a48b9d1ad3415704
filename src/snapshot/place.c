/*
 * Where a snapshot is: a folder, by its descriptor.  What is read is regular files alone, never what a link leads to:
 * whoever passed the folder in may not have the reader's rights.
 */
#include "snapshot/internal.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

struct snapshot_place {
    int folder;
    int bodies; /* its folder; -1: not opened yet, or not there */
};

struct snapshot_place *snapshot_place_open(int fd, struct fault *why)
{
    struct snapshot_place *p;
    struct stat            st;
    int                    folder;

    if (fstat(fd, &st) != 0) {
        fault_set_errno(why, errno, "the snapshot");
        return NULL;
    }
    if (!S_ISDIR(st.st_mode)) {
        fault_set(why, "it is no folder, as a snapshot is");
        return NULL;
    }
    /* An open file of its own: a lock on it is nobody else's. */
    folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        fault_set_errno(why, errno, "the snapshot's folder cannot be read");
        return NULL;
    }
    p = mem_alloc(sizeof *p);
    p->folder = folder;
    p->bodies = -1;
    return p;
}

void snapshot_place_close(struct snapshot_place *p)
{
    if (p == NULL)
        return;
    if (p->bodies >= 0)
        close(p->bodies);
    close(p->folder);
    free(p);
}

int snapshot_place_folder(const struct snapshot_place *p)
{
    return p->folder;
}

/* The folder that a file stands in, and its name there. */
static int folder_of(struct snapshot_place *p, const char **name)
{
    static const char bodies[] = BODIES_NAME "/";

    if (strncmp(*name, bodies, sizeof bodies - 1) != 0)
        return p->folder;
    *name += sizeof bodies - 1;
    if (p->bodies < 0)
        p->bodies = openat(p->folder, BODIES_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return p->bodies;
}

int snapshot_place_open_file(struct snapshot_place *p, const char *name, uint64_t *bytes, struct fault *why)
{
    const char *whole = name;
    struct stat st;
    int         folder = folder_of(p, &name), fd = folder >= 0 ? file_open(folder, name, O_RDONLY, 0) : -1;

    if (fd < 0 || fstat(fd, &st) != 0) {
        fault_set_errno(why, errno, "%s", whole);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

char *snapshot_place_read(struct snapshot_place *p, const char *name, size_t most, size_t *bytes, struct fault *why)
{
    const char *inside = name;
    int         folder = folder_of(p, &inside), fd = folder >= 0 ? file_open(folder, inside, O_RDONLY, 0) : -1;
    char       *text = fd >= 0 ? file_read_all(fd, most, bytes) : NULL;

    if (text == NULL && errno != ENOENT)
        fault_set_errno(why, errno, "%s", name);
    if (fd >= 0)
        close(fd);
    return text;
}
