/*
 * What libmicrohttpd receives, told before it reads it.
 *
 * It gives nobody a look at the bytes of a request that it refuses by itself.  But it calls the C library's recv()
 * through the dynamic linker, where the program's own comes first; so does GnuTLS (tls/record.h has what comes out).
 * A thread that has asked for it hears of each; on all others, and linked in another way, recv() is what it was.
 */
#ifndef WEIR_FRONT_MHD_RECV_H
#define WEIR_FRONT_MHD_RECV_H

#include <sys/types.h>

/* Called with what recv() returned, of `room` bytes that it could have, and errno as it is then; what it returns, and
 * the errno that it leaves, is the caller's result.  NULL: no more. This thread's. */
typedef ssize_t (*recv_watcher)(int fd, char *at, ssize_t count, size_t room);
void recv_watch(recv_watcher heard);

#endif
