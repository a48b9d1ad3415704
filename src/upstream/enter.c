/*
 * The door between workers and the upstream thread: a fetch comes, and joins an equal flight or has one of its own, or
 * hears at once that it is refused; and it leaves.
 *
 * A fetch carries its own mails (in `links`): `submit` and `leave` go in, the
 * fetch's `mail` and `gone` come out.  The result becomes visible to the
 * engine on the worker's thread: `event` is set there, as the mail arrives.
 */
#include "upstream/denying.h"
#include "upstream/internal.h"

#include <stdio.h>

#define LONG_WAIT_NS (INT64_C(1000) * 86400 * NS_PER_SEC) /* "forever" and its like */

/* -- may it come -- */

/* low_budget: it is served stale, and nothing is asked. */
static bool is_spared(const struct site *site, const struct fetch *f)
{
    return f->may.spare && early_is_spared(site, f);
}

/* RFC 5861 3: one refresh after the stale answers, whether or not others could share what it brings. */
static bool is_being_refreshed(const struct site *site, const struct fetch *fetch)
{
    if (!fetch->manner.refresh_behind)
        return false;
    EACH_FLIGHT(f, site)
    if (f->leader->manner.refresh_behind && memcmp(f->leader->key.hash, fetch->key.hash, sizeof fetch->key.hash) == 0 &&
        slice_eq(f->leader->key.full, fetch->key.full) &&
        memcmp(f->leader->stored.variant, fetch->stored.variant, sizeof fetch->stored.variant) == 0)
        return true;
    return false;
}

/* The wait of one who enters by himself. */
static int64_t predict_alone(struct site *site, const struct fetch *f, struct wait_cause *cause)
{
    struct charge charge;

    fetch_charge(&charge, f);
    return forecast_wait(site, NULL, &charge, fetch_priority(f), &f->client.who, cause);
}

/* -- to others -- */

/* A place in this flight, where it can have one. False: it needs one of its own. */
static bool rule_on_joining(struct flight *f, struct fetch_links *w, struct ruling *r)
{
    if (f->state >= FLIGHT_STREAMING) {
        if (!share_may_late(f, w->fetch))
            return false;
        r->kind = RULING_JOINS;
        r->flight = f;
        return true;
    }
    /* What it asks for beyond that must be said to whoever stands before the API (RFC 9111 5.2.1.4), too. */
    if ((w->fetch->manner.must_be_new && !f->leader->manner.must_be_new) ||
        (w->fetch->bust.every_ns != 0 && f->leader->bust.every_ns == 0))
        return false;
    if (f->state == FLIGHT_SENDING && w->fetch->manner.must_be_new && f->turn != NULL && f->turn->sent)
        return false;
    r->kind = RULING_JOINS;
    r->flight = f;
    if (f->state == FLIGHT_SENDING)
        return true;
    if (is_spared(f->site, w->fetch)) {
        r->kind = RULING_SPARED;
        return true;
    }
    if (f->state == FLIGHT_NAMING) /* judged with it */
        return true;
    r->is_foretold = true;
    r->wait_ns = forecast_wait(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &r->cause);
    if (r->wait_ns > w->wait_left_ns && dispatch_stands_higher(w->fetch, f))
        r->wait_ns = predict_alone(f->site, w->fetch, &r->cause); /* where he will put it: dispatch_joined() */
    if (r->wait_ns > w->wait_left_ns)
        r->kind = RULING_REFUSED;
    return true;
}

static void join(struct flight *f, struct fetch_links *w)
{
    if (f->state >= FLIGHT_STREAMING) {
        share_late(f, w);
        return;
    }
    waiter_link(f, w);
    if (f->state == FLIGHT_SENDING) {
        turn_joined(f->turn);
        progress_sent(w->fetch);
    }
    if (f->state == FLIGHT_NAMING)
        naming_joined(f, w->fetch);
    if (f->state >= FLIGHT_SENDING || f->state == FLIGHT_NAMING)
        return;
    dispatch_joined(f, w->fetch);
    flight_set_deadline(f);
}

/* -- by itself -- */

static void say_failure(struct site *site, struct fetch *f, const char *token, const char *text, int64_t wait_ns)
{
    char said[320];

    f->said.failed_as = ATTEMPT_REFUSED;
    f->said.proxy_error = token;
    f->said.wait_ns = wait_ns;
    snprintf(said, sizeof said, "%s: %s", site->name, text);
    fetch_set_error(f, slice_of(said));
}

/* CURLOPT_REQUEST_TARGET is sent as it is: what would end the request line early must not get there. */
static bool may_be_sent(struct slice target)
{
    if (target.len == 0 || target.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < target.len; i++)
        if ((unsigned char)target.ptr[i] <= ' ' || target.ptr[i] == 0x7f)
            return false;
    return true;
}

static void crowd_out(struct flight *f)
{
    struct wait_cause cause = { .limit = "queue" };
    int64_t           wait = forecast_wait(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);

    cause = (struct wait_cause){ .limit = "queue" };
    EACH_WAITER_SAFE(w, f)
    {
        w->fetch->said.queue_full = true;
        waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &cause);
    }
    flight_hide(f);
    flight_withdraw(f);
    flight_settle(f);
}

/* The queue is full: of whom so much waits that another should have the place, the newest gives way. NULL: nobody's. */
static struct flight *crowding(struct site *site, const struct fetch *fetch)
{
    struct queue_entry *e = queue_crowding(site->budget->queue, fetch_priority(fetch), &fetch->client.who);

    if (e == NULL || CONTAINER_OF(e, struct flight, entry)->site != site)
        return NULL;
    return CONTAINER_OF(e, struct flight, entry);
}

static bool make_room(struct site *site, const struct fetch *fetch)
{
    struct flight *f = crowding(site, fetch);

    if (f != NULL)
        crowd_out(f);
    return f != NULL;
}

static bool is_full(const struct site *site, int64_t wait)
{
    return site->waiting >= site->options->queue.max_length &&
           (wait > 0 || site->waiting > 0 || site->in_flight >= site_slots(site));
}

/* No place in the queue, or a wait that is longer than it may be: said before the wait is begun. */
static void rule_on_queueing(struct site *site, struct fetch_links *w, struct ruling *r)
{
    r->kind = RULING_QUEUED;
    r->is_foretold = true;
    r->wait_ns = predict_alone(site, w->fetch, &r->cause);
    if (r->wait_ns > w->wait_left_ns) {
        r->kind = RULING_REFUSED;
    } else if (is_full(site, r->wait_ns)) {
        r->flight = crowding(site, w->fetch);
        if (r->flight != NULL)
            return;
        r->kind = RULING_REFUSED;
        r->queue_full = true;
        r->cause = (struct wait_cause){ .limit = "queue" };
        r->wait_ns = r->wait_ns > NS_PER_SEC ? r->wait_ns : NS_PER_SEC;
    }
}

/* By whose place it goes: see dispatch_put(). */
static const struct fetch *first_of(const struct flight *f)
{
    const struct fetch *first = f->leader;

    EACH_WAITER(w, f)
    if (fetch_priority(first) != fetch_priority(w->fetch)
            ? fetch_priority(w->fetch) < fetch_priority(first)
            : w->fetch->client.keep_permille < first->client.keep_permille)
        first = w->fetch;
    return first;
}

static void line_up(struct flight *f)
{
    const struct fetch *first = first_of(f);
    struct wait_cause   cause;
    int64_t             wait = predict_alone(f->site, first, &cause), now = clock_mono_ns();
    bool                any = f->keep, full;

    EACH_WAITER(w, f)
    any = any || wait <= waiter_wait_left(w, now);
    full = any && is_full(f->site, wait) && !make_room(f->site, first);
    EACH_WAITER_SAFE(w, f)
    {
        w->fetch->outcome.predicted_ns = wait;
        if (wait > waiter_wait_left(w, now)) {
            waiter_refuse(w, wait, &cause);
        } else if (full) {
            w->fetch->said.queue_full = true;
            waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &(struct wait_cause){ .limit = "queue" });
        }
    }
    if (flight_goes_on(f) && !full) {
        EACH_WAITER(w, f)
        progress_queued(w, false, wait);
        dispatch_put(f);
        return;
    }
    f->keep = false;
    flight_hide(f);
    flight_withdraw(f);
    flight_settle(f);
}

/* It is known by now who asks, or will not be in time. */
static void named(struct flight *f)
{
    if (f->state == FLIGHT_NAMING)
        line_up(f);
    else
        dispatch_renamed(f);
}

/* -- what becomes of one that comes now -- */

/* For hits to come: while it is fresh yet nobody is held up for it, and where it would have to be it is left alone. */
static void rule_on_early(struct site *site, struct fetch_links *w, struct ruling *r)
{
    r->kind = RULING_SPARED;
    if (early_is_spared(site, w->fetch))
        return;
    rule_on_queueing(site, w, r);
    if (r->kind == RULING_REFUSED)
        r->kind = RULING_SPARED;
}

/* Is it on its way, or was it renewed a moment ago? */
static bool is_asked_for(const struct site *site, const struct fetch_links *w, bool may_share)
{
    const struct fetch *fetch = w->fetch;

    return is_being_refreshed(site, fetch) || (may_share && flight_equal(site, w, NULL) != NULL) ||
           dispatch_is_stored(site->up, fetch);
}

struct ruling enter_rule(struct site *site, struct fetch_links *w)
{
    struct upstream *up = site->up;
    struct fetch    *fetch = w->fetch;
    struct ruling    r = { .kind = RULING_UNSENDABLE };

    if (!may_be_sent(fetch->request.target))
        return r;
    r.may_share = flight_may_share(site, fetch);
    if (fetch->manner.is_early) {
        r.kind = RULING_LOOKS_AGAIN;
        if (is_asked_for(site, w, r.may_share) || !early_is_wanted(site, fetch))
            return r;
        r.kind = RULING_PAUSED;
        if (site->breaker.open_until_ns <= clock_mono_ns())
            rule_on_early(site, w, &r);
        return r;
    }
    if (r.may_share)
        for (struct flight *f = flight_equal(site, w, NULL); f != NULL; f = flight_equal(site, w, f))
            if (rule_on_joining(f, w, &r))
                return r;
    /* Nobody waits for a refresh.  What has ended since it was looked up is a hit: it is on its way to the store, and a
     * look-up finds it. */
    if (is_being_refreshed(site, fetch) ||
        (store_is_changing(up->store, fetch->key.hash) && dispatch_is_stored(up, fetch)))
        r.kind = RULING_LOOKS_AGAIN;
    else if (is_spared(site, fetch))
        r.kind = RULING_SPARED;
    else if (site->breaker.open_until_ns > clock_mono_ns())
        r.kind = RULING_PAUSED;
    else if ((r.wait_ns = denying_wait_ns(site, fetch, clock_mono_ns())) > 0)
        r.kind = RULING_DENIED;
    else if (naming_is_needed(site, w))
        r.kind = RULING_NAMED;
    else
        rule_on_queueing(site, w, &r);
    return r;
}

/* What a fetch that goes no further is told; FETCH_PENDING: it goes on. */
enum fetch_event enter_say(struct site *site, struct fetch_links *w, const struct ruling *r)
{
    if (r->is_foretold)
        w->fetch->outcome.predicted_ns = r->wait_ns;
    switch (r->kind) {
    case RULING_UNSENDABLE:
        say_failure(site, w->fetch, "http_request_error", "the request target cannot be sent.", 0);
        return FETCH_FAILED;
    case RULING_PAUSED:
        say_failure(site, w->fetch, "destination_unavailable",
                    "it failed many times in a row and is asked again after a pause.",
                    site->breaker.open_until_ns - clock_mono_ns());
        return FETCH_FAILED;
    case RULING_DENIED:
        say_failure(site, w->fetch, "http_request_denied", denying_text, r->wait_ns);
        w->fetch->said.denied = true;
        return FETCH_FAILED;
    case RULING_LOOKS_AGAIN:
        return FETCH_LOOK_AGAIN;
    case RULING_SPARED:
        return FETCH_SPARED;
    case RULING_REFUSED:
        w->fetch->said.queue_full = r->queue_full;
        waiter_say_refusal(w, r->wait_ns, &r->cause);
        return FETCH_REFUSED;
    case RULING_JOINS:
    case RULING_NAMED:
    case RULING_QUEUED:
        break;
    }
    return FETCH_PENDING;
}

static void enter(struct site *site, struct fetch_links *w)
{
    struct ruling    r = enter_rule(site, w);
    enum fetch_event told = enter_say(site, w, &r);

    if (told != FETCH_PENDING) {
        if (told == FETCH_REFUSED) {
            site->counts.refused++;
            waiter_discard(w);
        }
        waiter_post(w, told);
        return;
    }
    if (r.kind != RULING_NAMED)
        progress_queued(w, r.kind == RULING_JOINS, r.is_foretold ? r.wait_ns : 0);
    if (r.kind == RULING_JOINS) {
        join(r.flight, w);
    } else if (r.kind == RULING_NAMED) {
        naming_begin(flight_new(site, w, r.may_share), named);
    } else {
        if (r.flight != NULL)
            crowd_out(r.flight);
        dispatch_put(flight_new(site, w, r.may_share));
    }
}

void enter_again(struct site *site, struct waiters *parted)
{
    struct fetch_links *w;

    while ((w = TAILQ_FIRST(parted)) != NULL) {
        TAILQ_REMOVE(parted, w, entry);
        enter(site, w);
    }
}

void enter_arrive(struct fetch_links *w, struct upstream *up)
{
    w->up = up;
    memcpy(w->variant, w->fetch->variant, sizeof w->variant);
    w->by_search = w->fetch->seen.has_search;
    w->wait_left_ns = w->fetch->patience.max_wait_ns;
}

void enter_foretell(struct site *site, struct fetch_links *w, struct ruling *r)
{
    if (r->kind == RULING_NAMED)
        rule_on_queueing(site, w, r);
}

/* -- the mails, on the upstream thread -- */

static void play(struct fetch_links *w)
{
    static const struct receipt nothing;
    struct flight              *f = flight_new(w->site, w, false);

    f->unsent_from_ns = clock_mono_ns();
    flight_become(f, FLIGHT_SENDING);
    turn_start(f, &nothing, budget_time());
}

static void receive_submit(struct mail *m)
{
    struct fetch_links *w = CONTAINER_OF(m, struct fetch_links, submit);
    struct fetch       *f = w->fetch;

    enter_arrive(w, w->up);
    if (w->up->stopping) {
        f->said.failed_as = ATTEMPT_REFUSED;
        f->said.proxy_error = "proxy_internal_error";
        fetch_set_error(f, SLICE("Weir is shutting down."));
        waiter_post(w, FETCH_FAILED);
        return;
    }
    w->site = site_of(w->up, f);
    if (f->script != NULL) {
        play(w);
        return;
    }
    misses_note(w);
    enter(w->site, w);
}

/* on_abort = "finish": a GET whose answer may serve the client's retry goes on without it. */
static bool finishes(const struct fetch *f)
{
    return f->manner.refresh_behind ||
           (f->request.method == HTTP_GET && f->has_key && f->may.store && !f->upstream->drop_on_abort);
}

static void leave(struct fetch_links *w)
{
    struct flight *f = w->flight;

    if (finishes(w->fetch) && !(w->fetch->manner.leaves_queue && f->state < FLIGHT_SENDING)) {
        int64_t left = waiter_wait_left(w, clock_mono_ns());
        int64_t until = left < LONG_WAIT_NS ? clock_mono_ns() + left : INT64_MAX;

        f->keep_until_ns = f->keep && f->keep_until_ns > until ? f->keep_until_ns : until;
        f->keep = true;
    }
    waiter_unlink(w);
    flight_look_who_waits(f);
}

static void end(struct fetch *f)
{
    if (f->on.gone != NULL)
        f->on.gone(f);
    fetch_release(f);
}

static void receive_gone(struct mail *m)
{
    end(CONTAINER_OF(m, struct fetch_links, gone)->fetch);
}

static void receive_leave(struct mail *m)
{
    struct fetch_links *w = CONTAINER_OF(m, struct fetch_links, leave);
    struct fetch       *f = w->fetch;

    w->left = true;
    if (w->flight != NULL)
        leave(w);
    w->gone.receive = receive_gone;
    mailbox_post(f->mailbox, &w->gone);
    fetch_release(f);
}

/* -- on the worker's thread -- */

static void receive_final(struct mail *m)
{
    struct fetch *f = CONTAINER_OF(m, struct fetch, mail);

    f->event = f->links->event;
    f->links->told = true;
    f->links->receive(m);
}

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
    if (f->links->told && f->links->last) { /* the upstream thread's reference is ours as well, then */
        fetch_release(f);
        end(f);
        return;
    }
    f->links->leave.receive = receive_leave;
    mailbox_post(up->mailbox, &f->links->leave);
}
