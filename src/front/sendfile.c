/*
 * A small table of each thread, by descriptor: where the response from it ends.
 * One that is forgotten (two descriptors share a place) is sent in MHD's own pieces.
 */
#include "front/sendfile.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/sendfile.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A client that reads as fast as this holds others up for about half a millisecond. */
enum { PLACES = 256, PIECE_BYTES = 2 * 1024 * 1024 };

static _Thread_local struct { int fd; int64_t end; } known[PLACES];

void sendfile_until(int fd, int64_t end)
{
    known[(unsigned)fd % PLACES].fd = fd;
    known[(unsigned)fd % PLACES].end = end;
}

/* MHD corks the socket where it does not send the last piece, and does not know that this was it. */
static void push(int out)
{
    const int off = 0;

    (void)setsockopt(out, IPPROTO_TCP, TCP_CORK, &off, sizeof off);
}

ssize_t sendfile64(int out, int in, off64_t *offset, size_t count)
{
    const unsigned at = (unsigned)in % PLACES;
    const size_t   asked = count;
    int64_t        left = 0;
    ssize_t        sent;

    if (offset != NULL && known[at].fd == in)
        left = known[at].end - *offset;
    if (left > (int64_t)count)
        count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    sent = syscall(SYS_sendfile, out, in, offset, count);
    if (count > asked && sent == left)
        push(out);
    return sent;
}
