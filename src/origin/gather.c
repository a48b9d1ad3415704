/*
 * A body's pieces, gathered for as long as libcurl is at work.
 *
 * libcurl hands over what one look at a socket brought in pieces of 16 KiB at most, and over HTTP/2 frame by frame.
 * Given on one by one, each would wake who reads it, and each would be a write where the body goes to a file.  So
 * they wait until libcurl returns to the loop, which for what has come is at once: an event of a stream waits for
 * nobody's.
 *
 * Whether more is taken at all is asked before a piece, as only then libcurl can be told to keep it.
 */
#include "origin/internal.h"

#include <string.h>

static enum stop give(struct transfer *t, const char *bytes, size_t count)
{
    enum stop stop = t->events->body(t->owner, bytes, count);

    if (stop == STOP_NONE)
        t->body_bytes += (int64_t)count;
    else
        t->stop = stop;
    return stop;
}

void gather_end(struct origins *all)
{
    struct transfer *t = all->gathers;

    if (t == NULL)
        return;
    all->gathers = NULL;
    if (give(t, all->gathered, all->gathered_bytes) != STOP_NONE)
        transfer_stop_soon(t); /* too late for a word to libcurl: see stop_those() */
}

enum gathered gather_body(struct transfer *t, const char *bytes, size_t count)
{
    struct origins *all = t->all;

    if (all->gathers != NULL && (all->gathers != t || all->gathered_bytes + count > ORIGIN_PIECE_BYTES))
        gather_end(all);
    if (t->stops)
        return GATHERED; /* and nobody's */
    t->progress_ns = all->acted_ns;
    all->came_bytes += count;
    if (all->gathers == NULL && !t->events->takes(t->owner))
        return GATHERED_NOT;
    if (count > ORIGIN_PIECE_BYTES) /* not with a libcurl that is known */
        return give(t, bytes, count) == STOP_NONE ? GATHERED : GATHERED_LAST;
    if (all->gathered == NULL)
        all->gathered = mem_alloc_raw(ORIGIN_PIECE_BYTES);
    if (all->gathers == NULL)
        all->gathered_bytes = 0;
    memcpy(all->gathered + all->gathered_bytes, bytes, count);
    all->gathered_bytes += count;
    all->gathers = t;
    return GATHERED;
}
