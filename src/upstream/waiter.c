/*
 * Who waits for a flight: his place in it, and what he is told.
 *
 * What is posted becomes visible to the engine on the worker's thread, as the mail arrives: see fetch.h.
 */
#include "upstream/bill.h"
#include "upstream/internal.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* -- his place -- */

void waiter_link(struct flight *f, struct fetch_links *w)
{
    int64_t now = clock_mono_ns();

    w->flight = f;
    w->at = WAITER_WAITING;
    w->wait_from_ns = now;
    TAILQ_INSERT_TAIL(&f->waiters, w, entry);
    f->waiting++;
}

void waiter_unlink(struct fetch_links *w)
{
    struct flight *f = w->flight;

    TAILQ_REMOVE(&f->waiters, w, entry);
    if (w->at == WAITER_RECEIVING)
        f->receiving--;
    else
        f->waiting--;
    w->flight = NULL;
    w->at = WAITER_NOWHERE;
}

int64_t waiter_wait_left(const struct fetch_links *w, int64_t now_ns)
{
    bool    unsent = w->flight == NULL || w->flight->state < FLIGHT_SENDING;
    int64_t left = w->wait_left_ns - (unsent && w->flight != NULL ? now_ns - w->wait_from_ns : 0);

    return left > 0 ? left : 0;
}

/* -- what became of it -- */

static void tell_attempts(struct outcome *o, const struct flight *fl)
{
    unsigned kept = fl->past.attempt_count < ATTEMPTS_KEPT ? fl->past.attempt_count : ATTEMPTS_KEPT;

    free(o->attempts);
    o->attempts = NULL;
    o->attempt_count = fl->past.attempt_count;
    if (kept == 0)
        return;
    o->attempts = mem_alloc_raw(kept * sizeof *o->attempts);
    memcpy(o->attempts, fl->past.attempts, kept * sizeof *o->attempts);
}

/* What the attempts were like; a fetch that joined late waited no longer than it was there. */
static void tell_times(struct fetch_links *w, const struct flight *fl)
{
    struct outcome *o = &w->fetch->outcome;
    int64_t         now = clock_mono_ns(), there = now - w->fetch->patience.arrived_mono_ns;
    int64_t         end = fl->past.head_ns != 0 ? fl->past.head_ns : now;

    tell_attempts(o, fl);
    o->collapsed = w->fetch != fl->leader && fl->past.attempt_count > 0;
    o->shared_with = o->collapsed ? fl->leader->id : 0;
    free(o->bill);
    o->bill = o->collapsed ? NULL : bill_copy(fl);
    o->queued_ns = fl->past.first_sent_ns != 0 ? fl->past.waited_ns : there;
    o->upstream_ns = fl->past.first_sent_ns != 0 && end > fl->past.first_sent_ns ? end - fl->past.first_sent_ns : 0;
    if (there < 0)
        there = 0;
    if (o->queued_ns > there)
        o->queued_ns = there;
    if (o->upstream_ns > there)
        o->upstream_ns = there;
}

void waiter_tell_budget(struct fetch_links *w)
{
    struct fetch      *f = w->fetch;
    struct charge      charge;
    struct limit_state s;
    const char        *name;
    struct slice       text;

    fetch_charge(&charge, f);
    if (!ledger_lowest(w->site->budget->ledger, &charge, budget_time(), &s, &name))
        return;
    f->outcome.budget = (struct budget_word){ .allowed = s.allowed,
                                              .left = s.left,
                                              .window_ns = s.window_ns,
                                              .resets_in_ns = s.resets_in_ns };
    text = slice_sub(slice_of(name), 0, sizeof f->outcome.budget.limit - 1);
    memcpy(f->outcome.budget.limit, text.ptr, text.len);
    f->outcome.budget.limit[text.len] = '\0';
}

/* -- telling -- */

/* Where nothing here knows it any more, the worker may free it as soon as it is told. */
static void post_final(struct fetch_links *w)
{
    w->last = w->flight == NULL;
    mailbox_post(w->fetch->mailbox, &w->fetch->mail);
}

void waiter_post(struct fetch_links *w, enum fetch_event event)
{
    if (!w->left && !w->up->stopping)
        waiter_tell_budget(w);
    if (w->flight != NULL) {
        if (event != FETCH_LOOK_AGAIN) /* nothing was sent for it */
            tell_times(w, w->flight);
        if (w->at != WAITER_RECEIVING)
            waiter_unlink(w);
    }
    if (w->left)
        return; /* its `gone` is on the way already */
    w->event = event;
    if (!w->up->holds) {
        post_final(w);
        return;
    }
    STAILQ_INSERT_TAIL(&w->up->held, w, held);
}

void waiter_fail(struct fetch_links *w, const struct failure *failure, int64_t wait_ns)
{
    struct fetch *f = w->fetch;

    f->said.failed_as = failure->outcome;
    f->said.body_stalled = failure->stalled;
    f->said.denied = failure->denied;
    f->said.proxy_error = failure->token;
    f->said.wait_ns = wait_ns;
    fetch_set_error(f, slice_of(failure->text));
    waiter_post(w, FETCH_FAILED);
}

/* "Retry-After of the API, heard 12:00:05": in this machine's time of day, as its logs are. */
static void write_cause(char *out, size_t bytes, const struct wait_cause *cause)
{
    time_t    heard = (time_t)(cause->heard_wall_ns / NS_PER_SEC);
    struct tm tm;
    char      text[16] = "";

    if (cause->heard_wall_ns > 0 && localtime_r(&heard, &tm) != NULL)
        strftime(text, sizeof text, "%H:%M:%S", &tm);
    snprintf(out, bytes, "%s of the API, heard %s", told_by_text(cause->by),
             text[0] != '\0' ? text : "before this start");
}

void waiter_say_refusal(struct fetch_links *w, int64_t wait_ns, const struct wait_cause *cause)
{
    enum { LIMIT_BYTES = 64, BLOCKED_BYTES = 96 };

    if (w->words == NULL)
        w->words = mem_alloc(LIMIT_BYTES + BLOCKED_BYTES);
    snprintf(w->words, LIMIT_BYTES, "%s", cause->limit);
    w->fetch->said.limit = w->words;
    if (cause->by != TOLD_BY_NOBODY) {
        write_cause(w->words + LIMIT_BYTES, BLOCKED_BYTES, cause);
        w->fetch->said.blocked_by = w->words + LIMIT_BYTES;
    }
    w->fetch->said.wait_ns = wait_ns;
}

void waiter_discard(struct fetch_links *w)
{
    if (w->fetch->upload != NULL && (w->flight == NULL || w->flight->waiting == 1))
        upload_discard(w->fetch->upload);
}

void waiter_refuse(struct fetch_links *w, int64_t wait_ns, const struct wait_cause *cause)
{
    waiter_say_refusal(w, wait_ns, cause);
    if (w->site != NULL)
        w->site->counts.refused++;
    waiter_discard(w);
    waiter_post(w, FETCH_REFUSED);
}

static void receive_cut(struct mail *m)
{
    struct fetch *f = CONTAINER_OF(m, struct fetch_links, cut)->fetch;

    if (f->on.cut != NULL)
        f->on.cut(f);
}

void waiter_cut(struct fetch_links *w)
{
    waiter_unlink(w);
    if (w->left)
        return;
    w->cut.receive = receive_cut;
    mailbox_post(w->fetch->mailbox, &w->cut);
}

/* No mail is read between the two, so nobody has left. */
void waiter_post_held(struct upstream *up)
{
    struct fetch_links *w, *next;

    STAILQ_FOREACH_SAFE(w, &up->held, held, next)
    post_final(w);
    STAILQ_INIT(&up->held);
}

void waiter_post_interim(struct fetch_links *w, unsigned status, const struct http_fields *fields)
{
    struct fetch_interim *i;

    if (w->left || w->fetch->on.interim == NULL)
        return;
    i = mem_alloc(sizeof *i);
    i->fetch = w->fetch;
    fetch_acquire(w->fetch);
    i->status = status;
    i->fields = http_fields_copy(fields, &i->arena);
    i->mail.receive = w->fetch->on.interim;
    mailbox_post(w->fetch->mailbox, &i->mail);
}
