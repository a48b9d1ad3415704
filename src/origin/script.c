/*
 * The second implementation of origin.h: what a script says is told as if an API had said it, in the same order and
 * by the same callbacks.  It has a timer and nothing else: no connection, no name, no time-out of its own.
 */
#include "origin/internal.h"

#include "base/ref.h"
#include "http/framing.h"

#include <stdlib.h>

struct played {
    struct transfer transfer; /* of which it uses no handle of libcurl's */
    bool            sent_all; /* the request's body was taken */
    bool            source_waits, body_waits;
    size_t          given; /* of the body */
    unsigned        piece; /* which is next */
    int64_t         piece_left;
};

enum script_going { PLAYING_WAITS, PLAYING_ENDS };

static struct played *played_of(struct transfer *t)
{
    return CONTAINER_OF(t, struct played, transfer);
}

static void end_played(struct played *p, bool complete)
{
    struct transfer    *t = &p->transfer;
    struct transfer_end end = { .complete = complete,
                                .sent = t->prereqs > 0,
                                .answered = t->head.final,
                                .stop = t->stop };

    timers_clear(t->all->start.timers, &t->timer);
    LIST_REMOVE(t, entry);
    t->events->end(t->owner, t, &end);
    arena_free(&t->head.out.arena);
    free(p);
}

static void look_soon(struct played *p)
{
    timers_set(p->transfer.all->start.timers, &p->transfer.timer, clock_mono_ns());
}

/* -- the request -- */

/* Its body is read as an API would, and is nobody's. */
static bool take_source(struct played *p)
{
    struct transfer *t = &p->transfer;
    char             buffer[4096];
    size_t           got;

    if (p->sent_all || !t->ask.has_body)
        return true;
    if (!t->sending.asked)
        t->events->wants_body(t->owner);
    t->sending.asked = true;
    for (;;) {
        switch (t->events->source(t->owner, buffer, sizeof buffer, &got)) {
        case SOURCE_BYTES:
            continue;
        case SOURCE_END:
            p->sent_all = true;
            return true;
        case SOURCE_WAIT:
            p->source_waits = true;
            return false;
        case SOURCE_BROKEN:
            t->stop = STOP_UPLOAD_BROKEN;
            return true;
        }
    }
}

/* -- the answer -- */

static void tell_interims(struct transfer *t)
{
    const struct origin_script *s = t->ask.script;

    for (unsigned i = 0; i < s->interim_count; i++) {
        struct arena       a = { 0 };
        struct http_fields fields = http_fields_copy(&s->interims[i].fields, &a);

        t->events->interim(t->owner, s->interims[i].status, &fields, &a);
        arena_free(&a);
    }
}

/* What is told of the length is what is there: masking may have made it another than the API said. */
static void tell_head(struct transfer *t)
{
    const struct origin_script *s = t->ask.script;
    struct transfer_head       *h = &t->head.out;
    struct http_framing         framing = { .length = -1 };
    bool                        known = http_framing_of_answer(&s->fields, 1, &framing);
    bool                        whole = s->body.len > 0 && !s->is_cut;

    h->fields = http_fields_copy(&s->fields, &h->arena);
    h->status = s->status;
    h->content_length = !known ? -1 : framing.length >= 0 && whole ? (int64_t)s->body.len : framing.length;
    h->chunked = known && framing.chunked;
    h->may_wait = true;
    h->sent_wall_ns = s->sent_wall_ns;
    h->came_wall_ns = s->came_wall_ns;
    t->head.final = true;
    t->stop = t->events->head(t->owner, h);
}

/* How much of the body may be told now; 0: the timer is set. */
static size_t due_bytes(struct played *p)
{
    struct transfer            *t = &p->transfer;
    const struct origin_script *s = t->ask.script;
    size_t                      left = s->body.len - p->given;

    if (p->piece < s->piece_count) {
        if (p->piece_left == 0)
            p->piece_left = s->pieces[p->piece].bytes;
        if (t->sent_ns + s->pieces[p->piece].at_ns > clock_mono_ns()) {
            timers_set(t->all->start.timers, &t->timer, t->sent_ns + s->pieces[p->piece].at_ns);
            return 0;
        }
        if ((int64_t)left > p->piece_left)
            left = (size_t)p->piece_left;
    }
    return left < ORIGIN_PIECE_BYTES ? left : ORIGIN_PIECE_BYTES;
}

static void skip_empty_pieces(struct played *p)
{
    const struct origin_script *s = p->transfer.ask.script;

    while (p->piece < s->piece_count && p->piece_left == 0 && s->pieces[p->piece].bytes <= 0)
        p->piece++;
}

static enum script_going tell_body(struct played *p)
{
    struct transfer            *t = &p->transfer;
    const struct origin_script *s = t->ask.script;

    while (p->given < s->body.len && t->stop == STOP_NONE) {
        size_t count;

        skip_empty_pieces(p);
        count = due_bytes(p);
        if (count == 0)
            return PLAYING_WAITS;
        if (!t->events->takes(t->owner)) {
            p->body_waits = true;
            return PLAYING_WAITS;
        }
        t->stop = t->events->body(t->owner, s->body.ptr + p->given, count);
        p->given += count;
        if (p->piece < s->piece_count && (p->piece_left -= (int64_t)count) == 0)
            p->piece++;
    }
    return PLAYING_ENDS;
}

static void tell_trailers(struct transfer *t)
{
    const struct http_fields *f = &t->ask.script->trailers;

    for (unsigned i = 0; i < f->count; i++)
        t->events->trailer(t->owner, f->items[i].name, f->items[i].value);
}

/* -- going on -- */

static bool begin(struct transfer *t)
{
    if (t->prereqs > 0)
        return true;
    t->stop = t->events->sends(t->owner);
    if (t->stop != STOP_NONE)
        return false;
    t->prereqs = 1;
    t->sent_ns = clock_mono_ns();
    return true;
}

static enum script_going go_on(struct played *p)
{
    struct transfer *t = &p->transfer;

    if (!begin(t))
        return PLAYING_ENDS;
    if (!take_source(p))
        return PLAYING_WAITS;
    if (t->stop == STOP_NONE && !t->head.final) {
        tell_interims(t);
        if (t->ask.script->status != 0)
            tell_head(t);
    }
    if (t->head.final && t->stop == STOP_NONE && !transfer_has_no_body(t) && tell_body(p) == PLAYING_WAITS)
        return PLAYING_WAITS;
    return PLAYING_ENDS;
}

static void fire_played(struct timer *timer)
{
    struct transfer            *t = CONTAINER_OF(timer, struct transfer, timer);
    const struct origins_start *start = &t->all->start;

    start->acts(start->context, true);
    if (go_on(played_of(t)) == PLAYING_ENDS) {
        bool whole = t->stop == STOP_NONE && t->head.final && !t->ask.script->is_cut;

        if (whole)
            tell_trailers(t);
        end_played(played_of(t), whole);
    }
    start->acts(start->context, false);
}

/* -- what origin.h says -- */

struct transfer *script_start(struct origin *o, const struct origin_request *ask, const struct origin_events *events,
                              void *owner)
{
    struct played *p = mem_alloc(sizeof *p);

    p->transfer = (struct transfer){ .all = o->all, .origin = o, .events = events, .owner = owner, .ask = *ask };
    p->transfer.ask.target = SLICE_NONE;
    p->transfer.timer.fire = fire_played;
    LIST_INSERT_HEAD(&o->plays, &p->transfer, entry);
    look_soon(p);
    return &p->transfer;
}

void script_stop(struct transfer *t, enum stop stop)
{
    t->stop = stop;
    end_played(played_of(t), false);
}

void script_resume_source(struct transfer *t)
{
    if (played_of(t)->source_waits)
        look_soon(played_of(t));
    played_of(t)->source_waits = false;
}

void script_resume_body(struct transfer *t)
{
    if (played_of(t)->body_waits)
        look_soon(played_of(t));
    played_of(t)->body_waits = false;
}

/* -- what it is called -- */

static const struct failure_row {
    enum attempt_outcome outcome;
    const char          *token, *text;
} rows[] = {
    { ATTEMPT_REFUSED, "connection_refused", "it refused the connection" },
    { ATTEMPT_NO_NAME, "dns_error", "its name could not be resolved" },
    { ATTEMPT_NO_TLS, "tls_protocol_error", "no TLS connection could be made" },
    { ATTEMPT_UNREACHED, "connection_timeout", "it did not accept a connection in time" },
    { ATTEMPT_TIMEOUT, "http_response_timeout", "it did not answer in time" },
    { ATTEMPT_CUT_SHORT, "http_response_incomplete", "its answer broke off" },
    { ATTEMPT_DROPPED, "connection_terminated", "it closed the connection instead of answering" },
};

void script_failure(const struct transfer *t, struct failure *f)
{
    enum { LAST = sizeof rows / sizeof *rows - 1 };
    const struct origin_script *s = t->ask.script;
    enum attempt_outcome        outcome = t->head.final ? ATTEMPT_CUT_SHORT : s->failed_as;
    unsigned                    i = 0;

    while (i < LAST && rows[i].outcome != outcome)
        i++;
    failure_set(f, rows[i].outcome, s->token != NULL ? s->token : rows[i].token,
                SLICE_FMT ": %s, when this was recorded.", SLICE_ARG(slice_sub(t->ask.authority, 0, 60)), rows[i].text);
    f->final = true;
    f->stalled = t->stop == STOP_UPLOAD_STALLED;
}
