/*
 * The admin room over the store alone: one call, over a descriptor, about the cache of a daemon that does not run.
 */
#ifndef WEIR_ADMIN_ALONE_H
#define WEIR_ADMIN_ALONE_H

#include "config/config.h"

/* Reads an HTTP/1 request from `fd` (a socket), answers it there and returns the exit status.  What only reads changes
 * nothing in the directory; what changes something holds it as a daemon would.  Root acts as the directory's owner. */
int alone_serve(struct config *, int fd);

#endif
