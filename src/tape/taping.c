/*
 * What is gathered of an exchange while it goes on: its head by head, its bodies in spools, which the tape's thread
 * reads.  Nothing is written here, and nothing waited for.
 */
#include "tape/internal.h"

#include "base/clock.h"
#include "base/ref.h"

#include <stdlib.h>

enum { IN_HAND_MOST = 1024 }; /* of a client: exchanges that have begun and are not written */

/* His disk does not keep up with what comes: so much waits for it, and no more. */
static bool may_begin(struct tape *tape)
{
    const uint64_t begun = atomic_load_explicit(&tape->begun, memory_order_relaxed),
                   ended = atomic_load_explicit(&tape->ended, memory_order_relaxed);

    if (atomic_load_explicit(&tape->is_over, memory_order_relaxed))
        return false;
    if (tape->is_client && begun - ended > IN_HAND_MOST) {
        taper_give_up(tape, &(struct fault){ "the recording's disk does not keep up: the recording has ended" });
        return false;
    }
    atomic_store_explicit(&tape->begun, begun + 1, memory_order_relaxed);
    return true;
}

struct taping *taping_begin(struct tape *tape, const struct http_request *r, struct slice url, struct slice secret,
                            int directory_fd)
{
    struct arena   arena = { 0 };
    struct taping *t;

    if (!may_begin(tape))
        return NULL;
    arena_begin_small(&arena, sizeof *t + 2048);
    t = arena_alloc(&arena, sizeof *t);
    t->arena = arena;
    tape_acquire(tape);
    t->tape = tape;
    t->method = arena_copy(&t->arena, r->method_name);
    t->url = arena_copy(&t->arena, url);
    t->secret = secret.ptr != NULL ? arena_copy(&t->arena, secret) : SLICE_NONE;
    t->request = http_fields_copy(&r->fields, &t->arena);
    t->time_ms = clock_wall_ns() / NS_PER_MS;
    t->begun_ns = clock_mono_ns();
    t->directory_fd = directory_fd;
    return t;
}

void taping_sent(struct taping *t, const void *bytes, size_t count)
{
    struct fault why;

    if (t->sent == NULL)
        t->sent = spool_new(t->directory_fd);
    spool_write(t->sent, bytes, count, &why); /* one that had no room is found out by who reads it */
}

void taping_interim(struct taping *t, unsigned status, const struct http_fields *fields)
{
    enum { MOST = 16 };
    struct snapshot_interim *all;

    if (t->interim_count >= MOST)
        return;
    all = arena_alloc(&t->arena, (t->interim_count + 1) * sizeof *all);
    for (unsigned i = 0; i < t->interim_count; i++)
        all[i] = t->interims[i];
    all[t->interim_count++] = (struct snapshot_interim){ status, http_fields_copy(fields, &t->arena) };
    t->interims = all;
}

void taping_head(struct taping *t, unsigned status, const struct http_fields *fields)
{
    t->status = status;
    t->response = http_fields_copy(fields, &t->arena);
    t->head_ns = clock_mono_ns();
}

void taping_body(struct taping *t, struct spool *body)
{
    spool_acquire(body);
    t->body = body;
}

bool taping_is_growing(const struct taping *t)
{
    return t->body != NULL && spool_ended(t->body) == SPOOL_GROWING;
}

void taping_came(struct taping *t, size_t count)
{
    int64_t at_ms;

    if (!t->tape->options.timing)
        return;
    at_ms = (clock_mono_ns() - t->head_ns) / NS_PER_MS;
    if (t->piece_count > 0 && t->pieces[t->piece_count - 1].at_ms == at_ms) {
        t->pieces[t->piece_count - 1].bytes += count;
        return;
    }
    if (t->piece_count == t->piece_room) {
        t->piece_room = t->piece_room > 0 ? 2 * t->piece_room : 16;
        t->pieces = mem_resize(t->pieces, t->piece_room * sizeof *t->pieces);
    }
    t->pieces[t->piece_count++] = (struct snapshot_piece){ at_ms, count };
}

void taping_trailer(struct taping *t, struct slice name, struct slice value)
{
    http_fields_add(&t->trailers, &t->arena, arena_copy(&t->arena, name), arena_copy(&t->arena, value));
}

void taping_end(struct taping *t, enum snapshot_end end, struct slice error)
{
    t->end = end;
    t->error = error.len > 0 ? arena_copy(&t->arena, error) : SLICE_NONE;
    t->took_ms = (clock_mono_ns() - t->begun_ns) / NS_PER_MS;
    if (t->sent != NULL)
        spool_finish(t->sent, SPOOL_WHOLE);
    t->body_bytes = t->body != NULL ? spool_length(t->body) : 0;
    taper_post(t->tape->taper, t);
}

void taping_drop(struct taping *t)
{
    if (t == NULL)
        return;
    t->is_dropped = true;
    taper_post(t->tape->taper, t);
}

enum snapshot_end taping_end_of(enum attempt_outcome outcome, bool has_head)
{
    switch (outcome) {
    case ATTEMPT_TIMEOUT:
        return SNAPSHOT_TIMED_OUT;
    case ATTEMPT_REFUSED:
        return SNAPSHOT_REFUSED;
    case ATTEMPT_NO_NAME:
    case ATTEMPT_NO_TLS:
    case ATTEMPT_UNUSABLE:
    case ATTEMPT_UNREACHED:
        return SNAPSHOT_NO_CONNECTION;
    case ATTEMPT_OK:
    case ATTEMPT_STATUS:
    case ATTEMPT_INVALID:
        return has_head ? SNAPSHOT_WHOLE : SNAPSHOT_CUT;
    case ATTEMPT_DROPPED:
    case ATTEMPT_CUT_SHORT:
        break;
    }
    return SNAPSHOT_CUT;
}

enum attempt_outcome tape_outcome_of(enum snapshot_end end)
{
    static const enum attempt_outcome outcomes[] = {
        [SNAPSHOT_WHOLE] = ATTEMPT_OK,
        [SNAPSHOT_CUT] = ATTEMPT_DROPPED,
        [SNAPSHOT_TIMED_OUT] = ATTEMPT_TIMEOUT,
        [SNAPSHOT_REFUSED] = ATTEMPT_REFUSED,
        [SNAPSHOT_NO_CONNECTION] = ATTEMPT_NO_NAME,
    };

    return outcomes[end];
}
