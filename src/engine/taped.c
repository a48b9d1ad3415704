/*
 * Which snapshot is an exchange's, whether it is added to that, and the request's body where that is looked for.
 */
#include "engine/mode.h"

#include "engine/internal.h"

#include <stdlib.h>

enum { BODY_MOST_BYTES = 64 * 1024 * 1024 }; /* of a request */

void exchange_set_tape(struct exchange *x, struct tape *tape)
{
    tape_acquire(tape);
    x->play.own = tape;
}

/* Where the upstream replays, a client's own that is only recorded into has no part in it. */
struct tape *playing_tape(const struct exchange *x)
{
    const bool fits = x->play.own != NULL && (x->mode.holds != MODE_REPLAY || tape_plays(x->play.own));

    return fits ? x->play.own : x->up->tape;
}

struct slice playing_authority(const struct exchange *x, struct arena *a)
{
    const struct route_host *h = x->route.host;

    if (h == NULL || (slice_starts_with(h->authority, h->host) &&
                      (h->authority.len == h->host.len || h->authority.ptr[h->host.len] == ':')))
        return x->route.authority;
    return h->port == 0 ? h->host : arena_printf(a, SLICE_FMT ":%u", SLICE_ARG(h->host), h->port);
}

bool playing_records(const struct exchange *x)
{
    struct tape *tape = playing_tape(x);

    if (tape == NULL || !tape_records(tape))
        return false;
    return x->mode.holds == MODE_RECORD || (x->play.missed && tape_options(tape)->miss == TAPE_MISS_RECORD);
}

void playing_close(struct exchange *x)
{
    tape_release(x->play.own);
    free(x->play.body);
    x->play = (struct playing){ .body = NULL };
}

/* -- the request's body, which is part of what is looked for -- */

void playing_take(struct exchange *x, const void *bytes, size_t count)
{
    struct playing *p = &x->play;

    if (p->body_bytes + count > BODY_MOST_BYTES) {
        p->too_long = true;
        return;
    }
    while (p->body_bytes + count > p->body_room) {
        p->body_room = p->body_room > 0 ? 2 * p->body_room : 16 * 1024;
        p->body = mem_resize(p->body, p->body_room);
    }
    memcpy(p->body + p->body_bytes, bytes, count);
    p->body_bytes += count;
}
