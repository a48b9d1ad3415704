/* Files: how they are opened, and how a whole one is read.  Any thread. */
#ifndef WEIR_BASE_FILES_H
#define WEIR_BASE_FILES_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* openat() of a regular file in a directory of Weir's own: never a link, and no FIFO or device, which could hang or do
 * worse.  -1 and errno, EINVAL for what is no regular file. */
int file_open(int directory_fd, const char *name, int flags, unsigned mode);
/* Did file_open() say that something else stands in the file's place? */
bool file_is_something_else(int error);
/* To read a regular file that a person names: a link may lead there, as in a container's secrets; a FIFO would be
 * waited for until somebody writes.  -1 and errno, as above. */
int file_open_named(const char *path);
/* Up to `most` bytes, in as many reads as it takes; also of a socket that its peer closes.  -1 and errno. */
ssize_t file_read(int fd, void *out, size_t most);
/* All that is left, malloc'd and NUL-terminated, and in *bytes how much; the caller frees.  NULL and errno, EFBIG where
 * there is more than `most`. */
char *file_read_all(int fd, size_t most, size_t *bytes);
/* The same, but a signal ends it: EINTR.  For what may have to be waited for. */
char *file_read_all_unless_interrupted(int fd, size_t most, size_t *bytes);
/* Up to bytes - 1 of a file, NUL-terminated: what the kernel tells in /proc and the like.  False: it cannot be read,
 * and *out is "". */
bool file_read_line(const char *path, char *out, size_t bytes);
/* A directory of the caller's own and all that is in it; no link is followed. */
void file_remove_tree(const char *path);

#endif
