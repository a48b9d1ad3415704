/*
 * The door between workers and the upstream thread.
 *
 * A fetch carries its own mails (in `links`): `submit` and `leave` go in, the
 * fetch's `mail` and `gone` come out.  The result becomes visible to the
 * engine on the worker's thread: `event` is set there, as the mail arrives.
 */
#include "upstream/inside.h"

#include "base/decimal.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 768 };

static void destroy(struct ref *ref)
{
    struct fetch *f = CONTAINER_OF(ref, struct fetch, ref);
    struct arena  arena = f->arena;

    answer_release(f->answer);
    upload_release(f->upload);
    ref_release(f->config);
    free(f->error);
    free(f->outcome.attempts);
    free(f->links->words);
    peer_card_release(f->card);
    arena_free(&arena);
}

void fetch_acquire(struct fetch *f)
{
    ref_acquire(&f->ref);
}

void fetch_release(struct fetch *f)
{
    if (f != NULL)
        ref_release(&f->ref);
}

/* -- on the worker's thread -- */

/* It stands in its own arena, whose first chunk has room for an ordinary request's text and no more: ten thousand
 * may wait. What only few of them come to hear of stands elsewhere. */
struct fetch *fetch_new(void)
{
    struct arena  arena = { 0 };
    struct fetch *f;

    arena_begin_small(&arena, sizeof *f + sizeof(struct fetch_links) + TEXT_BYTES);
    f = arena_alloc(&arena, sizeof *f);
    ref_init(&f->ref, destroy);
    f->links = arena_alloc(&arena, sizeof *f->links);
    f->links->fetch = f;
    f->arena = arena;
    return f;
}

static void receive_final(struct mail *m)
{
    struct fetch *f = CONTAINER_OF(m, struct fetch, mail);

    f->event = f->links->event;
    f->links->told = true;
    f->links->receive(m);
}

static void end(struct fetch *f)
{
    if (f->on_gone != NULL)
        f->on_gone(f);
    fetch_release(f);
}

static void receive_gone(struct mail *m)
{
    end(CONTAINER_OF(m, struct fetch_links, gone)->fetch);
}

void attempt_text(const struct attempt *a, char out[ATTEMPT_TEXT_BYTES])
{
    bool         by_status = a->status != 0 && (a->outcome == ATTEMPT_OK || a->outcome == ATTEMPT_STATUS);
    char         digits[DECIMAL_BYTES];
    struct slice text = by_status ? decimal(a->status, digits) : slice_of(attempt_outcome_token(a->outcome));

    text = slice_sub(text, 0, ATTEMPT_TEXT_BYTES - 1);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

static void receive_submit(struct mail *m);
static void receive_leave(struct mail *m);

void fetch_submit(struct upstream *up, struct fetch *f)
{
    struct fetch_links *w = f->links;

    w->up = up;
    w->submitted = true;
    w->receive = f->mail.receive;
    f->mail.receive = receive_final;
    w->submit.receive = receive_submit;
    fetch_acquire(f);
    mailbox_post(up->mailbox, &w->submit);
}

void fetch_leave(struct upstream *up, struct fetch *f)
{
    if (!f->links->submitted) {
        fetch_release(f);
        return;
    }
    if (f->links->told && f->links->last) {         /* the upstream thread's reference is ours as well, then */
        fetch_release(f);
        end(f);
        return;
    }
    f->links->leave.receive = receive_leave;
    mailbox_post(up->mailbox, &f->links->leave);
}

void fetch_interim_free(struct fetch_interim *i)
{
    fetch_release(i->fetch);
    arena_free(&i->arena);
    free(i);
}

/* -- on the upstream thread -- */

static void receive_submit(struct mail *m)
{
    struct fetch_links *w = CONTAINER_OF(m, struct fetch_links, submit);
    struct fetch       *f = w->fetch;

    memcpy(w->variant, f->variant, sizeof w->variant);
    w->wait_left_ns = f->max_wait_ns;
    if (w->up->stopping) {
        f->failed_as = ATTEMPT_REFUSED;
        f->proxy_error = "proxy_internal_error";
        fetch_set_error(f, SLICE("Weir is shutting down."));
        waiter_post(w, FETCH_FAILED);
        return;
    }
    flight_enter(site_of(w->up, f), w);
}

static void receive_leave(struct mail *m)
{
    struct fetch_links *w = CONTAINER_OF(m, struct fetch_links, leave);
    struct fetch       *f = w->fetch;

    w->left = true;
    if (w->flight != NULL)
        flight_leave(w);
    w->gone.receive = receive_gone;
    mailbox_post(f->mailbox, &w->gone);
    fetch_release(f);
}

void fetch_set_error(struct fetch *f, struct slice text)
{
    free(f->error);
    f->error = mem_copy(text);
}

static void tell_attempts(struct outcome *o, const struct flight *fl)
{
    unsigned kept = fl->attempt_count < ATTEMPTS_KEPT ? fl->attempt_count : ATTEMPTS_KEPT;

    free(o->attempts);
    o->attempts = NULL;
    o->attempt_count = fl->attempt_count;
    if (kept == 0)
        return;
    o->attempts = mem_alloc_raw(kept * sizeof *o->attempts);
    memcpy(o->attempts, fl->attempts, kept * sizeof *o->attempts);
}

/* What the attempts were like; a fetch that joined late waited no longer than it was there. */
static void tell_times(struct fetch_links *w, const struct flight *fl)
{
    struct outcome *o = &w->fetch->outcome;
    int64_t         now = clock_mono_ns(), there = now - w->fetch->arrived_mono_ns;
    int64_t         end = fl->head_ns != 0 ? fl->head_ns : now;

    tell_attempts(o, fl);
    o->collapsed = w->fetch != fl->leader && fl->attempt_count > 0;
    o->queued_ns = fl->first_sent_ns != 0 ? fl->waited_ns : there;
    o->upstream_ns = fl->first_sent_ns != 0 && end > fl->first_sent_ns ? end - fl->first_sent_ns : 0;
    if (there < 0)
        there = 0;
    if (o->queued_ns > there)
        o->queued_ns = there;
    if (o->upstream_ns > there)
        o->upstream_ns = there;
}

static void tell_budget(struct fetch_links *w)
{
    struct fetch      *f = w->fetch;
    struct charge      charge;
    struct limit_state s;
    const char        *name;
    struct slice       text;

    dispatch_charge(&charge, f);
    if (!ledger_lowest(site_of(w->up, f)->budget->ledger, &charge, budget_time(), &s, &name))
        return;
    f->outcome.budget = (struct budget_word){ .allowed = s.allowed, .left = s.left, .window_ns = s.window_ns,
                                              .resets_in_ns = s.resets_in_ns };
    text = slice_sub(slice_of(name), 0, sizeof f->outcome.budget.limit - 1);
    memcpy(f->outcome.budget.limit, text.ptr, text.len);
    f->outcome.budget.limit[text.len] = '\0';
}

/* Where nothing here knows it any more, the worker may free it as soon as it is told. */
static void post_final(struct fetch_links *w)
{
    w->last = w->flight == NULL;
    mailbox_post(w->fetch->mailbox, &w->fetch->mail);
}

void waiter_post(struct fetch_links *w, enum fetch_event event)
{
    if (!w->left && !w->up->stopping)
        tell_budget(w);
    if (w->flight != NULL) {
        if (event != FETCH_LOOK_AGAIN)              /* nothing was sent for it */
            tell_times(w, w->flight);
        if (w->at != WAITER_RECEIVING)
            flight_unlink(w);
    }
    if (w->left)
        return;                                     /* its `gone` is on the way already */
    w->event = event;
    if (!w->up->holds) {
        post_final(w);
        return;
    }
    *(w->up->held != NULL ? w->up->held_end : &w->up->held) = w;
    w->up->held_end = &w->next_held;
}

void waiter_fail(struct fetch_links *w, const struct failure *failure, int64_t wait_ns)
{
    struct fetch *f = w->fetch;

    f->failed_as = failure->outcome;
    f->body_stalled = failure->stalled;
    f->proxy_error = failure->token;
    f->wait_ns = wait_ns;
    fetch_set_error(f, slice_of(failure->text));
    waiter_post(w, FETCH_FAILED);
}

static void receive_cut(struct mail *m)
{
    struct fetch *f = CONTAINER_OF(m, struct fetch_links, cut)->fetch;

    if (f->on_cut != NULL)
        f->on_cut(f);
}

void waiter_cut(struct fetch_links *w)
{
    flight_unlink(w);
    if (w->left)
        return;
    w->cut.receive = receive_cut;
    mailbox_post(w->fetch->mailbox, &w->cut);
}

/* No mail is read between the two, so nobody has left. */
void waiter_post_held(struct upstream *up)
{
    struct fetch_links *w = up->held;

    up->held = NULL;
    while (w != NULL) {
        struct fetch_links *next = w->next_held;

        w->next_held = NULL;
        post_final(w);
        w = next;
    }
}

void waiter_post_interim(struct fetch_links *w, unsigned status, const struct http_fields *fields)
{
    struct fetch_interim *i;

    if (w->left || w->fetch->on_interim == NULL)
        return;
    i = mem_alloc(sizeof *i);
    i->fetch = w->fetch;
    fetch_acquire(w->fetch);
    i->status = status;
    i->fields = http_fields_copy(fields, &i->arena);
    i->mail.receive = w->fetch->on_interim;
    mailbox_post(w->fetch->mailbox, &i->mail);
}
