/*
 * recv() as the C library has it: a call of recvfrom() without an address.
 *
 * A file of its own without <sys/socket.h>, which may define recv() inline, with checks.
 */
#include "front/recv.h"

#include <stddef.h>

struct sockaddr;
ssize_t recvfrom(int fd, void *at, size_t room, int flags, struct sockaddr *address, unsigned *address_bytes);
ssize_t recv(int fd, void *at, size_t room, int flags);

static _Thread_local ssize_t (*watcher)(int fd, char *at, ssize_t count);

void recv_watch(ssize_t (*heard)(int fd, char *at, ssize_t count))
{
    watcher = heard;
}

ssize_t recv(int fd, void *at, size_t room, int flags)
{
    ssize_t count = recvfrom(fd, at, room, flags, NULL, NULL);

    return watcher != NULL ? watcher(fd, at, count) : count;
}
