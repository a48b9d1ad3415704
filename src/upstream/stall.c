/*
 * Uploads whose client pauses.  Each holds a place at the API (max_in_flight, max_connections) with a
 * request that the API cannot answer; while nobody waits for that place it may pause as long as it likes.
 * Where somebody could go at once but for a place, the one that has paused longest, and for STALLED_NS at
 * least, is ended: what the API has of it is no request (RFC 9112 8).  A method that may be repeated is sent
 * again when the client goes on and its turn comes, as after any failure; another one is answered 408.
 * One that never pauses for so long, but sends a byte now and then, is ended as well: see DRIPPING_NS.
 */
#include "upstream/internal.h"

#define STALLED_NS  (3 * NS_PER_SEC)
#define DRIPPING_NS (10 * NS_PER_SEC) /* in which fewer than PACE_BYTES came */
#define AGAIN_NS    (250 * NS_PER_MS)

enum { PACE_BYTES = 4096 };

void stall_paused(struct turn *t)
{
    if (t->sending.paused)
        return;
    t->sending.paused = true;
    t->site->paused_uploads++;
    if (t->site->waiting > 0)
        budget_kick(t->site->budget); /* which comes to stall_watch() */
}

void stall_resumed(struct turn *t)
{
    if (!t->sending.paused)
        return;
    t->sending.paused = false;
    t->site->paused_uploads--;
}

static bool is_full(const struct site *s)
{
    return s->waiting > 0 && s->in_flight >= site_slots(s);
}

/* It is the client that is waited for.  One that the API has answered already ends with its answer. */
static bool is_waiting(const struct turn *t)
{
    return t->sending.paused && t->flight != NULL && t->answer == NULL;
}

/* Which upload is to give up its place first, and when: one that pauses, else one that drips.  NULL: none. */
static struct turn *first_to_go(const struct site *s, int64_t *at_ns)
{
    struct turn *found = NULL, *t;

    LIST_FOREACH (t, &s->turns, entry) {
        int64_t at = t->sending.paced_ns + DRIPPING_NS;

        if (!is_waiting(t))
            continue;
        if (t->sending.asked_ns + STALLED_NS < at)
            at = t->sending.asked_ns + STALLED_NS;
        if (found == NULL || at < *at_ns) {
            found = t;
            *at_ns = at;
        }
    }
    return found;
}

void stall_sent(struct turn *t, size_t bytes)
{
    t->sending.bytes += (int64_t)bytes;
    if (t->sending.bytes - t->sending.paced_bytes < PACE_BYTES)
        return;
    t->sending.paced_bytes = t->sending.bytes;
    t->sending.paced_ns = t->sending.asked_ns;
}

/* But for a place: its budget would let it. */
static bool somebody_could_go(const struct site *s)
{
    EACH_FLIGHT(f, s)
    if (queue_waits(&f->entry) && ledger_wait_ns(s->budget->ledger, &f->charge, budget_time(), NULL) == 0)
        return true;
    return false;
}

static void fire_stall(struct timer *timer)
{
    struct site *s = CONTAINER_OF(timer, struct site, stall);
    int64_t      now = clock_mono_ns(), at = 0;
    struct turn *t = is_full(s) ? first_to_go(s, &at) : NULL;

    if (t == NULL)
        return;
    if (at > now) {
        stall_watch(s);
        return;
    }
    if (!somebody_could_go(s)) {
        timers_set(&s->up->timers, &s->stall, now + AGAIN_NS);
        return;
    }
    t->flight->ask.stalled_at = upload_written(t->sending.upload);
    transfer_stop(t->transfer, STOP_UPLOAD_STALLED);
}

void stall_watch(struct site *s)
{
    int64_t      at = 0;
    struct turn *t = is_full(s) ? first_to_go(s, &at) : NULL;

    s->stall.fire = fire_stall;
    if (t != NULL)
        timers_set(&s->up->timers, &s->stall, at);
    else
        timers_clear(&s->up->timers, &s->stall);
}

bool stall_goes_on(const struct flight *f)
{
    return f->failure != NULL && f->failure->stalled && f->leader->upload != NULL &&
           !upload_has_beyond(f->leader->upload, f->ask.stalled_at);
}
