/*
 * recv() as the C library has it: a call of recvfrom() without an address.
 *
 * A file of its own without <sys/socket.h>, which may define recv() inline, with checks.
 */
#include "front/mhd/recv.h"

#include <stddef.h>

struct sockaddr;
ssize_t recvfrom(int fd, void *at, size_t room, int flags, struct sockaddr *address, unsigned *address_bytes);
ssize_t recv(int fd, void *at, size_t room, int flags);

static _Thread_local recv_watcher watcher;

void recv_watch(recv_watcher heard)
{
    watcher = heard;
}

#ifdef WEIR_MHD_TRICKS
ssize_t recv(int fd, void *at, size_t room, int flags)
{
    ssize_t count = recvfrom(fd, at, room, flags, NULL, NULL);

    return watcher != NULL ? watcher(fd, at, count, room) : count;
}
#endif
