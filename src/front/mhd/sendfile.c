/*
 * A small table of each thread, by descriptor: where the response from it ends.
 * One that is forgotten (two descriptors share a place) is sent in MHD's own pieces.
 */
#include "front/mhd/sendfile.h"

#include "front/mhd/tricks.h"

#include <sys/sendfile.h>
#include <sys/syscall.h>
#include <unistd.h>

/* A client that reads as fast as this holds others up for some ten microseconds at a time. */
enum { PLACES = 256, PIECE_BYTES = 256 * 1024 };

static _Thread_local struct {
    int     fd;
    int64_t end;
} known[PLACES];

void sendfile_until(int fd, int64_t end)
{
    if (!trick(TRICK_SENDFILE))
        return;
    known[(unsigned)fd % PLACES].fd = fd;
    known[(unsigned)fd % PLACES].end = end;
}

#ifdef WEIR_MHD_TRICKS
ssize_t sendfile64(int out, int in, off64_t *offset, size_t count)
{
    const unsigned at = (unsigned)in % PLACES;
    int64_t        left = 0;

    if (offset != NULL && known[at].fd == in)
        left = known[at].end - *offset;
    if (left > (int64_t)count)
        count = left < PIECE_BYTES ? (size_t)left : PIECE_BYTES;
    return syscall(SYS_sendfile, out, in, offset, count);
}
#endif
