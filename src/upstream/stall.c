/*
 * Uploads whose client pauses.  Each holds a place at the API (max_in_flight, max_connections) with a
 * request that the API cannot answer; while nobody waits for that place it may pause as long as it likes.
 * Where somebody could go at once but for a place, the one that has paused longest, and for STALLED_NS at
 * least, is ended: what the API has of it is no request (RFC 9112 8).  A method that may be repeated is sent
 * again when the client goes on and its turn comes, as after any failure; another one is answered 408.
 */
#include "upstream/inside.h"

#define STALLED_NS (3 * NS_PER_SEC)
#define AGAIN_NS   (250 * NS_PER_MS)

void stall_paused(struct transfer *t)
{
    if (t->send_paused)
        return;
    t->send_paused = true;
    t->site->paused_uploads++;
    if (t->site->waiting > 0)
        dispatch_kick(t->site->budget);             /* which comes to stall_watch() */
}

void stall_resumed(struct transfer *t)
{
    if (!t->send_paused)
        return;
    t->send_paused = false;
    t->site->paused_uploads--;
}

static bool is_full(const struct site *s)
{
    return s->waiting > 0 && s->in_flight >= site_slots(s);
}

/* One that the API has answered already ends with its answer. */
static struct transfer *longest(const struct site *s)
{
    struct transfer *found = NULL;

    for (struct transfer *t = s->transfers; t != NULL; t = t->next_of_site)
        if (t->send_paused && t->flight != NULL && !t->head.final
            && (found == NULL || t->progress_ns < found->progress_ns))
            found = t;
    return found;
}

/* But for a place: its budget would let it. */
static bool somebody_could_go(const struct site *s)
{
    for (struct flight *f = s->flights; f != NULL; f = f->next_of_site)
        if (queue_waits(&f->entry) && ledger_wait_ns(s->budget->ledger, &f->charge, budget_time(), NULL) == 0)
            return true;
    return false;
}

static void fire_stall(struct timer *timer)
{
    struct site     *s = CONTAINER_OF(timer, struct site, stall);
    struct transfer *t = is_full(s) ? longest(s) : NULL;
    int64_t          now = clock_mono_ns();

    if (t == NULL)
        return;
    if (t->progress_ns + STALLED_NS > now) {
        stall_watch(s);
        return;
    }
    if (!somebody_could_go(s)) {
        timers_set(&s->up->timers, &s->stall, now + AGAIN_NS);
        return;
    }
    t->flight->stalled_at = upload_written(t->upload);
    transfer_stop(t, STOP_UPLOAD_STALLED);
}

void stall_watch(struct site *s)
{
    struct transfer *t = s->paused_uploads > 0 && is_full(s) ? longest(s) : NULL;

    s->stall.fire = fire_stall;
    if (t != NULL)
        timers_set(&s->up->timers, &s->stall, t->progress_ns + STALLED_NS);
    else
        timers_clear(&s->up->timers, &s->stall);
}

void stall_close(struct site *s)
{
    timers_clear(&s->up->timers, &s->stall);
}

bool stall_goes_on(const struct flight *f)
{
    return f->failure.stalled && f->leader->upload != NULL && !upload_has_beyond(f->leader->upload, f->stalled_at);
}
