/*
 * A small table of each thread, by descriptor.  One that is forgotten (two connections
 * share a place) has its line, which says 0, or goes alone; so has a head of which the socket takes only the beginning.
 */
#include "front/mhd/heads.h"

#include "base/arena.h"
#include "front/mhd/tricks.h"
#include "tls/record.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum { PLACES = 1024 };

/* The descriptor and one, so that all zero is an empty table. */
static _Thread_local struct {
    int            fd_and_one;
    enum head_kind kind;
} announced[PLACES];

void heads_announce(int fd, enum head_kind kind)
{
    const unsigned at = (unsigned)fd % PLACES;

    if (!trick(TRICK_HEADS))
        return;
    announced[at].fd_and_one = fd + 1;
    announced[at].kind = kind;
}

void heads_forget(int fd)
{
    const unsigned at = (unsigned)fd % PLACES;

    if (announced[at].fd_and_one == fd + 1)
        announced[at].kind = HEAD_AS_IT_IS;
}

#ifdef WEIR_MHD_TRICKS
static enum head_kind kind_of(int fd)
{
    const unsigned at = (unsigned)fd % PLACES;

    return announced[at].fd_and_one == fd + 1 ? announced[at].kind : HEAD_AS_IT_IS;
}

/* The head's parts before and after the line, which MHD puts last.  False: this is no head that was announced. */
static bool split(int fd, struct slice head, struct slice *before, struct slice *after)
{
    static const char end[] = "\r\nContent-Length: 0\r\n\r\n";
    const size_t      length = sizeof end - 1;

    if (kind_of(fd) != HEAD_BARE || !slice_starts_with(head, SLICE("HTTP/1.1 ")) || !slice_ends_with(head, SLICE(end)))
        return false;
    *before = slice_sub(head, 0, head.len - length + 2);
    *after = slice_sub(head, head.len - 2, head.len);
    return true;
}

/* What was taken, in bytes of the head as it was; one that has not gone at all is still announced. */
static ssize_t count_taken(int fd, ssize_t sent, const struct slice *head, const struct slice *before,
                           const struct slice *after)
{
    if (sent < 0)
        return sent;
    heads_forget(fd);
    return (size_t)sent < before->len ? sent : sent + (ssize_t)(head->len - before->len - after->len);
}

/* Of the flags' MSG_MORE nothing is left over: the body's first piece, which has none, takes the head along. */
static int flags_of(int fd, struct slice bytes)
{
    if (kind_of(fd) != HEAD_FOLLOWED)
        return 0;
    heads_forget(fd);
    return slice_starts_with(bytes, SLICE("HTTP/1.1 ")) && slice_ends_with(bytes, SLICE("\r\n\r\n")) ? MSG_MORE : 0;
}

ssize_t send(int fd, const void *bytes, size_t count, int flags)
{
    struct slice head = { bytes, count }, before, after;

    if (split(fd, head, &before, &after)) {
        struct iovec  parts[] = { { (char *)(uintptr_t)before.ptr, before.len },
                                  { (char *)(uintptr_t)after.ptr, after.len } };
        struct msghdr message = { .msg_iov = parts, .msg_iovlen = 2 };

        return count_taken(fd, sendmsg(fd, &message, flags), &head, &before, &after);
    }
    return syscall(SYS_sendto, fd, bytes, count, flags | flags_of(fd, head), NULL, 0);
}

static ssize_t send_record(int fd, const void *bytes, size_t count, record_send sends, void *session)
{
    struct slice head = { bytes, count }, before, after;
    char        *text;
    ssize_t      sent;

    if (!split(fd, head, &before, &after))
        return sends(session, bytes, count);
    text = mem_alloc_raw(before.len + after.len);
    memcpy(text, before.ptr, before.len);
    memcpy(text + before.len, after.ptr, after.len);
    sent = sends(session, text, before.len + after.len);
    free(text);
    return count_taken(fd, sent, &head, &before, &after);
}

void heads_init(void)
{
    if (trick(TRICK_HEADS))
        record_set_filter(send_record);
    record_use_runs(trick(TRICK_RECORDS));
}
#else
void heads_init(void)
{
}
#endif
