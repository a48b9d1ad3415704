/*
 * A body's pieces, gathered for as long as curl is at work.
 *
 * libcurl hands over what one look at a socket brought in pieces of 16 KiB at most, and over HTTP/2 frame by frame.
 * Put into the spool one by one, each would wake who reads it, and each would be a write where the spool is a file.  So
 * they wait until curl returns to the loop, which for what has come is at once: an event of a stream waits for
 * nobody's.
 *
 * Whether more is taken at all is asked before a piece, as only then curl can be told to keep it.
 */
#include "upstream/inside.h"

#include <stdlib.h>

void gather_end(struct upstream *up)
{
    struct transfer *t = up->gathers;

    if (t == NULL)
        return;
    up->gathers = NULL;
    if (attempt_body(t, up->gathered, up->gathered_bytes))
        return;
    t->stops = t->site->stops = t->site->reap = true;       /* found too late for a word to curl: see stop_those() */
}

enum body_result gather_body(struct transfer *t, const char *bytes, size_t count)
{
    struct upstream *up = t->up;

    if (up->gathers != NULL && (up->gathers != t || up->gathered_bytes + count > SPOOL_WRITE_BYTES))
        gather_end(up);
    if (t->stops)
        return BODY_TAKEN;            /* and nobody's */
    if (up->gathers == NULL && !attempt_takes(t))
        return BODY_PAUSE;
    if (count > SPOOL_WRITE_BYTES)    /* not with a libcurl that is known */
        return attempt_body(t, bytes, count) ? BODY_TAKEN : BODY_STOP;
    if (up->gathered == NULL)
        up->gathered = mem_alloc_raw(SPOOL_WRITE_BYTES);
    if (up->gathers == NULL)
        up->gathered_bytes = 0;
    memcpy(up->gathered + up->gathered_bytes, bytes, count);
    up->gathered_bytes += count;
    up->gathers = t;
    return BODY_TAKEN;
}
