/*
 * See files.h.  A FIFO or a link in a file's place is somebody's mistake or
 * somebody's attempt; in neither case is what it leads to Weir's.
 */
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

int file_open(int directory_fd, const char *name, int flags, unsigned mode)
{
    struct stat st;
    int         fd = openat(directory_fd, name, flags | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | O_NOCTTY, mode);

    if (fd >= 0 && (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))) {
        close(fd);
        errno = EINVAL;
        return -1;
    }
    return fd;
}

/* ENXIO: a FIFO that nobody reads, or a socket. */
bool file_is_something_else(int error)
{
    return error == EINVAL || error == ELOOP || error == ENXIO || error == EISDIR;
}
