/* Opening of files in Weir's own directories.  Any thread. */
#ifndef WEIR_BASE_FILES_H
#define WEIR_BASE_FILES_H

#include <stdbool.h>

/* openat() of a regular file: never a link, and no FIFO or device, which could hang or do worse.  -1 and errno, EINVAL
 * for what is no regular file. */
int  file_open(int directory_fd, const char *name, int flags, unsigned mode);
/* Did file_open() say that something else stands in the file's place? */
bool file_is_something_else(int error);

#endif
