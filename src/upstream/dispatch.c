/*
 * Who goes next: flights in their budget's queue, the reservation of budget
 * when one is taken out, and refusals when the wait would be too long.
 *
 * Budget is spent twice in a sense and charged once: it is reserved here, and
 * the reservation is exchanged for a charge of the present moment when the
 * request really goes out (dispatch_sends(), CURLOPT_PREREQFUNCTION).  So a
 * slow connection neither lets two requests have one place, nor makes
 * the API see more in its window than was counted in ours.
 */
#include "upstream/denying.h"
#include "upstream/internal.h"

#include <stdlib.h>

enum {
    LOOK_MS = 100, /* how soon it is seen that a client has gone on with its body */
    LATE_MS = 1,   /* so long behind its reservation a request is charged anew */
    REVIEWED_MOST = 2000
};

/* -- waits and their ends -- */

/* The flight's wait under way is over: what it took is off everybody's allowance. */
static void end_wait(struct flight *f, int64_t now)
{
    EACH_WAITER(w, f)
    if (w->at == WAITER_WAITING)
        w->wait_left_ns = waiter_wait_left(w, now);
    timers_clear(&f->up->timers, &f->deadline);
}

static void begin_wait(struct flight *f)
{
    int64_t now = clock_mono_ns();

    f->unsent_from_ns = now;
    EACH_WAITER(w, f)
    w->wait_from_ns = now;
}

/* A retry's wait is over: the last real answer passes through, else what went wrong. */
static bool end_retries(struct flight *f)
{
    if (f->past.attempt_count == 0)
        return false;
    flight_withdraw(f);
    if (!share_spare(f))
        flight_fail(f, 0);
    return true;
}

/* It is tried again for others, not for this one. */
static void end_waiting(struct flight *f, struct fetch_links *w)
{
    if (!share_spare_with(f, w))
        waiter_fail(w, flight_failure(f), 0);
}

static void fire_deadline(struct timer *t)
{
    struct flight    *f = CONTAINER_OF(t, struct flight, deadline);
    int64_t           now = clock_mono_ns();
    struct wait_cause cause;
    int64_t           wait = forecast_wait(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);

    if (f->past.attempt_count == 0 && wait == 0 && f->site->in_flight < site_slots(f->site)) {
        budget_kick(f->site->budget); /* its turn is here: it is this thread that is late */
        timers_set(&f->up->timers, &f->deadline, now + GRACE_MS * NS_PER_MS);
        return;
    }
    if (f->past.attempt_count > 0) {
        bool somebody_may_wait = f->waiting == 0 && now < f->keep_until_ns;

        EACH_WAITER(w, f)
        somebody_may_wait = somebody_may_wait || waiter_wait_left(w, now) > 0;
        if (!somebody_may_wait && end_retries(f))
            return;
    }
    EACH_WAITER_SAFE(w, f)
    {
        if (waiter_wait_left(w, now) > 0)
            continue;
        if (f->past.attempt_count == 0)
            waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &cause);
        else
            end_waiting(f, w);
    }
    if (flight_end_unwaited(f, now))
        return;
    if (timer_is_set(&f->deadline) && f->deadline.at_ns <= now) /* some wait on, others are through */
        timers_set(&f->up->timers, &f->deadline, now + NS_PER_SEC);
}

static void fire_pause(struct timer *t)
{
    struct flight *f = CONTAINER_OF(t, struct flight, pause);

    if (stall_goes_on(f)) /* it would take a place only to pause in it again */
        timers_set(&f->up->timers, &f->pause, clock_mono_ns() + LOOK_MS * NS_PER_MS);
    else
        dispatch_put(f);
}

/* -- in and out of the queue -- */

/* A flight stands where the one of its waiters stands that may go first. */
bool dispatch_stands_higher(const struct fetch *who, const struct flight *f)
{
    return fetch_priority(who) < f->entry.priority || who->client.keep_permille < f->charge.keep_permille;
}

static void raise(struct flight *f, const struct fetch *for_whom)
{
    if (fetch_priority(for_whom) < f->entry.priority)
        f->entry.priority = fetch_priority(for_whom);
    if (for_whom->client.keep_permille < f->charge.keep_permille)
        f->charge.keep_permille = for_whom->client.keep_permille;
}

void dispatch_joined(struct flight *f, const struct fetch *by)
{
    struct budget *b = f->site->budget;
    bool           waits = queue_waits(&f->entry);

    if (!dispatch_stands_higher(by, f))
        return;
    queue_remove(b->queue, &f->entry);
    raise(f, by);
    f->entry.class = site_class(f->site, &f->charge);
    if (waits)
        queue_put_back(b->queue, &f->entry);
    budget_kick(b);
}

void dispatch_renamed(struct flight *f)
{
    struct queue *q = f->site->budget->queue;

    if (!queue_waits(&f->entry) || f->entry.again)
        return;
    queue_remove(q, &f->entry);
    f->entry.who = f->leader->client.who;
    queue_put(q, &f->entry);
    budget_kick(f->site->budget);
}

void dispatch_put(struct flight *f)
{
    struct budget *b = f->site->budget;

    if (f->state != FLIGHT_PAUSING && f->state != FLIGHT_NAMING) /* back-off, name and queue are one wait */
        begin_wait(f);
    flight_become(f, FLIGHT_WAITING);
    f->deadline.fire = fire_deadline;
    fetch_charge(&f->charge, f->leader);
    f->entry.who = f->leader->client.who;
    f->entry.arrived_ns = f->leader->patience.arrived_mono_ns;
    f->entry.priority = fetch_priority(f->leader);
    EACH_WAITER(w, f)
    raise(f, w->fetch);
    f->entry.class = site_class(f->site, &f->charge);
    if (f->again)
        queue_put_again(b->queue, &f->entry);
    else
        queue_put(b->queue, &f->entry);
    f->again = true;
    forecast_waits(f);
    flight_set_deadline(f);
    budget_kick(b);
}

bool dispatch_pause(struct flight *f, int64_t after_ns)
{
    int64_t now = clock_mono_ns();
    bool    ended = false;

    begin_wait(f);
    flight_become(f, FLIGHT_PAUSING);
    f->again = true;
    f->pause.fire = fire_pause;
    f->deadline.fire = fire_deadline;
    timers_set(&f->up->timers, &f->pause, now + after_ns);
    EACH_WAITER_SAFE(w, f)
    {
        if (f->waiting > 1 && waiter_wait_left(w, now) < after_ns) {
            end_waiting(f, w);
            ended = true;
        }
    }
    flight_set_deadline(f);
    return ended;
}

/* -- before budget is spent: the store may have it by now -- */

struct dispatch_look {
    const struct fetch *fetch;
    struct arena        arena;
};

static bool accept_newer(const struct store_record *r, void *context)
{
    struct dispatch_look *look = context;
    struct http_fields    fields;

    if ((r->received_wall_ns <= look->fetch->seen.wall_ns && !look->fetch->seen.none) || r->invalidated)
        return false;
    fields = store_record_fields(r, &look->arena);
    return policy_selects(look->fetch->policy, r->selection, &look->fetch->request.fields,
                          http_fields_get(&fields, HTTP_CONTENT_ENCODING), &look->arena);
}

bool dispatch_is_stored(struct upstream *up, const struct fetch *f)
{
    struct dispatch_look look = { .fetch = f };
    struct store_record  record;
    bool                 there;

    if (!f->has_key || f->manner.must_be_new || f->seen.again)
        return false;
    there = store_lookup(up->reader, f->key.hash, f->key.full, accept_newer, &look, &record) == STORE_HIT;
    store_reader_end(up->reader);
    arena_free(&look.arena);
    return there;
}

/* True where nobody is left that the flight should be sent for. */
static bool look_again(struct flight *f)
{
    if (f->past.attempt_count > 0)
        return false;
    if (early_is_alone(f)) {
        if (!dispatch_is_stored(f->up, f->leader) && !early_is_spared(f->site, f->leader))
            return false;
        EACH_WAITER_SAFE(w, f)
        waiter_post(w, FETCH_LOOK_AGAIN);
        return true;
    }
    if (f->waiting == 0)
        return f->leader->manner.refresh_behind ? false : dispatch_is_stored(f->up, f->leader);
    EACH_WAITER_SAFE(w, f)
    {
        if (dispatch_is_stored(f->up, w->fetch))
            waiter_post(w, FETCH_LOOK_AGAIN);
    }
    return f->waiting == 0;
}

/* -- taking them out -- */

static int64_t may_go(void *context, struct queue_entry *e, bool overtaken)
{
    struct budget *b = context;
    struct flight *f = CONTAINER_OF(e, struct flight, entry);
    int64_t        hold = hold_wait_ns(&f->site->hold, clock_mono_ns()), wait;

    e->held = QUEUE_HELD_BY_SHARED;
    if (hold > 0)
        return hold;
    if (f->leader->manner.race != NULL && f->waiting <= 1 &&
        (wait = race_holds_ns(f->leader->manner.race, clock_mono_ns())) > 0)
        return wait;
    if (f->site->in_flight >= site_slots(f->site))
        return INT64_MAX; /* until one ends: turn.c has its group asked again then */
    wait = ledger_ask_ns(b->ledger, &f->charge, budget_time(), overtaken, &e->held);
    if (wait > 0 && e->held == QUEUE_HELD_BY_OWN)
        e->class = site_class(f->site, &f->charge); /* what the API says to one credential holds up no other */
    return wait;
}

/* Others wait with it, who bring a credential of their own: it goes. */
static bool is_denied(const struct flight *f, int64_t now_ns, int64_t *wait_ns)
{
    *wait_ns = denying_wait_ns(f->site, f->leader, now_ns);
    if (*wait_ns == 0)
        return false;
    EACH_WAITER(w, f)
    if (memcmp(&w->fetch->caller.account, &f->leader->caller.account, sizeof f->leader->caller.account) != 0)
        return false;
    return true;
}

static void send_flight(struct budget *b, struct flight *f)
{
    struct budget_now now = budget_time();
    struct receipt    receipt;
    int64_t           retry_in = 0;

    forecast_goes(f);
    naming_end(f);
    if (look_again(f)) {
        timers_clear(&f->up->timers, &f->deadline);
        flight_become(f, FLIGHT_ENDING);
        flight_settle(f);
        return;
    }
    if (!breaker_allows(&f->site->breaker, now.mono_ns, &retry_in)) {
        if (end_retries(f))
            return;
        failure_set(flight_failure(f), ATTEMPT_REFUSED, "destination_unavailable",
                    "%s: it failed many times in a row and is asked again after a pause.", f->site->name);
        flight_fail(f, retry_in);
        return;
    }
    if (is_denied(f, now.mono_ns, &retry_in)) {
        if (end_retries(f))
            return;
        denying_say(f->site, flight_failure(f));
        flight_fail(f, retry_in);
        return;
    }
    end_wait(f, now.mono_ns);
    ledger_spend(b->ledger, &f->charge, now, &receipt);
    hold_send(&f->site->hold, now.mono_ns);
    denying_send(f->site, f->leader, now.mono_ns);
    flight_become(f, FLIGHT_SENDING);
    f->overtaken = f->overtaken && f->leader->stored.id != 0; /* it is asked anew, but of what was dropped */
    turn_start(f, &receipt, now);
}

static bool has_slot(const struct budget *b)
{
    const struct site *s;

    LIST_FOREACH (s, &b->sites, of_budget)
        if (s->waiting > 0 && s->in_flight < site_slots(s))
            return true;
    return false;
}

static void settle_kick(struct budget *b)
{
    if (b->is_dirty)
        TAILQ_REMOVE(&b->up->dirty, b, dirty);
    b->is_dirty = false;
}

static void run_budget(struct budget *b)
{
    struct queue_entry *e;
    int64_t             wake = INT64_MAX, let_in_wake;
    struct site        *s;
    struct flight      *let_in;

    do {
        settle_kick(b);
        let_in_wake = INT64_MAX;
        /* first: it may go before all that are in line */
        if ((let_in = naming_let_in(b, &let_in_wake)) != NULL)
            dispatch_put(let_in);
        e = has_slot(b) ? queue_take(b->queue, clock_mono_ns(), may_go, b, &wake) : NULL;
        if (e != NULL)
            send_flight(b, CONTAINER_OF(e, struct flight, entry));
    } while (e != NULL || let_in != NULL);
    if (let_in_wake < wake)
        wake = let_in_wake;
    if (wake != INT64_MAX)
        timers_set(&b->up->timers, &b->wake, time_add(clock_mono_ns(), wake));
    else
        timers_clear(&b->up->timers, &b->wake);
    LIST_FOREACH (s, &b->sites, of_budget)
        stall_watch(s);
    keep_look(b);
}

void dispatch_run(struct upstream *up)
{
    struct budgets due = TAILQ_HEAD_INITIALIZER(due);
    struct budget *b;

    TAILQ_CONCAT(&due, &up->dirty, dirty);
    while ((b = TAILQ_FIRST(&due)) != NULL) {
        TAILQ_REMOVE(&due, b, dirty);
        b->is_dirty = false;
        run_budget(b);
    }
}

/* -- on the wire -- */

/* The longest that one request may be behind in a token bucket by its own lateness. */
static int64_t pace_ns(const struct budget *b)
{
    int64_t longest = 0;

    for (unsigned i = 0; i < b->limit_count; i++) {
        const struct limit_options *o = &b->limits[i];
        int64_t                     most = 1;

        for (unsigned k = 0; k < o->cost_count; k++)
            if (o->costs[k].cost > most)
                most = o->costs[k].cost;
        if (o->kind == LIMIT_BUCKET && o->window_ns / (int64_t)o->count * most > longest)
            longest = o->window_ns / (int64_t)o->count * most;
    }
    return longest;
}

/*
 * The reservation becomes a charge of this moment.  A window has its place
 * back and gives another; a bucket does not give back the time that it
 * stood full while this one was connecting, and is charged once more for it: with warm
 * connections nothing of this happens.  Anything else that says "wait" by now is
 * the API's own word, and is heeded: nothing is sent.
 */
static bool stamp_anew(struct turn *t, struct budget *b, struct budget_now now)
{
    ledger_return(b->ledger, &t->receipt);
    if (ledger_wait_ns(b->ledger, &t->charge, now, NULL) > pace_ns(b))
        return false;
    ledger_spend(b->ledger, &t->charge, now, &t->receipt);
    budget_kick(b);
    return true;
}

bool dispatch_sends(struct turn *t)
{
    struct flight    *f = t->flight;
    struct budget_now now = budget_time();

    if (now.mono_ns - t->reserved_ns >= LATE_MS * NS_PER_MS && t->receipt.count > 0 &&
        !stamp_anew(t, t->site->budget, now))
        return false;
    if (f != NULL && f->past.first_sent_ns == 0)
        f->past.first_sent_ns = now.mono_ns;
    progress_mark(t->fetch);
    if (f != NULL)
        EACH_WAITER(w, f)
    progress_sent(w->fetch);
    return true;
}

/* -- what became known -- */

/* What was not known when they came is known now. */
static void tell(struct flight *f)
{
    int64_t           now = clock_mono_ns(), wait;
    struct wait_cause cause;

    if (f->state != FLIGHT_WAITING || f->past.attempt_count > 0 || f->waiting == 0)
        return;
    wait = forecast_wait(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);
    EACH_WAITER_SAFE(w, f)
    {
        if (wait > waiter_wait_left(w, now))
            waiter_refuse(w, wait, &cause);
    }
    flight_end_unwaited(f, now);
}

/* The oldest first: who is told to go makes those after it come sooner. */
static void review(struct site *s)
{
    unsigned        most = s->waiting < REVIEWED_MOST ? s->waiting : REVIEWED_MOST, count = 0;
    struct flight **found = mem_alloc((most > 0 ? most : 1) * sizeof *found);

    EACH_FLIGHT(f, s)
    if (count < most && f->state == FLIGHT_WAITING)
        found[count++] = f;
    while (count > 0)
        tell(found[--count]);
    free(found);
}

void dispatch_review(struct upstream *up)
{
    struct site *s;

    while ((s = LIST_FIRST(&up->reviews)) != NULL) {
        LIST_TAKE(s, review);
        review(s);
    }
}
