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
#include "upstream/inside.h"

#include <stdio.h>
#include <time.h>

enum {
    GRACE_MS = 250,                   /* a wait that was predicted to end just in time may end a little later */
    LOOK_MS  = 100,                   /* how soon it is seen that a client has gone on with its body */
    LATE_MS  = 1                      /* so long behind its reservation a request is charged anew */
};

void dispatch_charge(struct charge *c, const struct fetch *f)
{
    static const struct partition none;

    *c = (struct charge){
        .method = f->request.method,
        .method_name = f->request.method_name,
        .path = f->path,
        .credential = memcmp(&f->account, &none, sizeof none) != 0 ? f->account.bytes : NULL,
        .keep_permille = f->keep_permille,
    };
}

/* Sites that share a budget wait apart: one that is held back, or full, holds up no other. */
struct queue_class dispatch_class(const struct site *s, const struct charge *c)
{
    struct queue_class class = ledger_class(s->budget->ledger, c);

    class.costs ^= (uint64_t)(uintptr_t)s;
    class.place = (uint64_t)(uintptr_t)s;
    return class;
}

void dispatch_kick(struct budget *b)
{
    b->dirty = true;
}

/* -- waits and their ends -- */

int64_t waiter_wait_left(const struct fetch_links *w, int64_t now_ns)
{
    bool    unsent = w->flight == NULL || w->flight->at <= FLIGHT_NAMING;
    int64_t left = w->wait_left_ns - (unsent && w->flight != NULL ? now_ns - w->wait_from_ns : 0);

    return left > 0 ? left : 0;
}

static int64_t add_times(int64_t a, int64_t b)
{
    return b > INT64_MAX - a ? INT64_MAX : a + b;
}

void dispatch_set_deadline(struct flight *f)
{
    int64_t next = INT64_MAX;

    if (f->at != FLIGHT_WAITING && f->at != FLIGHT_PAUSING)
        return;
    for (const struct fetch_links *w = f->first; w != NULL; w = w->next) {
        int64_t until = add_times(w->wait_from_ns, w->wait_left_ns);

        if (until < next)
            next = until;
    }
    if (f->waiting == 0 && f->keep)
        next = f->keep_until_ns;
    if (next == INT64_MAX)
        timers_clear(&f->up->timers, &f->deadline);
    else
        timers_set(&f->up->timers, &f->deadline, add_times(next, GRACE_MS * NS_PER_MS));
}

/* The flight's wait under way is over: what it took is off everybody's allowance. */
static void end_wait(struct flight *f, int64_t now)
{
    for (struct fetch_links *w = f->first; w != NULL; w = w->next)
        if (w->at == WAITER_WAITING)
            w->wait_left_ns = waiter_wait_left(w, now);
    timers_clear(&f->up->timers, &f->deadline);
}

static void begin_wait(struct flight *f)
{
    int64_t now = clock_mono_ns();

    f->unsent_from_ns = now;
    for (struct fetch_links *w = f->first; w != NULL; w = w->next)
        w->wait_from_ns = now;
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

void waiter_refuse(struct fetch_links *w, int64_t wait_ns, const struct wait_cause *cause)
{
    enum { LIMIT_BYTES = 64, BLOCKED_BYTES = 96 };

    if (w->words == NULL)
        w->words = mem_alloc(LIMIT_BYTES + BLOCKED_BYTES);
    snprintf(w->words, LIMIT_BYTES, "%s", cause->limit);
    w->fetch->limit = w->words;
    if (cause->by != TOLD_BY_NOBODY) {
        write_cause(w->words + LIMIT_BYTES, BLOCKED_BYTES, cause);
        w->fetch->blocked_by = w->words + LIMIT_BYTES;
    }
    w->fetch->wait_ns = wait_ns;
    if (w->fetch->upload != NULL && (w->flight == NULL || w->flight->waiting == 1))
        upload_discard(w->fetch->upload);
    waiter_post(w, FETCH_REFUSED);
}

/* A retry's wait is over: the last real answer passes through, else what went wrong. */
static bool end_retries(struct flight *f)
{
    if (f->attempt_count == 0)
        return false;
    dispatch_withdraw(f);
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

void dispatch_crowd_out(struct flight *f)
{
    struct wait_cause   cause = { .limit = "queue" };
    int64_t             wait = dispatch_predict(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);
    struct fetch_links *next;

    cause = (struct wait_cause){ .limit = "queue" };
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        w->fetch->queue_full = true;
        waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &cause);
    }
    flight_hide(f);
    dispatch_withdraw(f);
    flight_settle(f);
}

bool dispatch_leave(struct flight *f, int64_t now_ns)
{
    if (f->waiting == 0 && (!f->keep || now_ns >= f->keep_until_ns)) {
        flight_hide(f);
        dispatch_withdraw(f);
        flight_settle(f);
        return true;
    }
    dispatch_set_deadline(f);
    return false;
}

static void fire_deadline(struct timer *t)
{
    struct flight      *f = CONTAINER_OF(t, struct flight, deadline);
    int64_t             now = clock_mono_ns();
    struct wait_cause   cause;
    int64_t             wait = dispatch_predict(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);
    struct fetch_links *next;

    if (f->attempt_count == 0 && wait == 0 && f->site->in_flight < site_slots(f->site)) {
        dispatch_kick(f->site->budget);       /* its turn is here: it is this thread that is late */
        timers_set(&f->up->timers, &f->deadline, now + GRACE_MS * NS_PER_MS);
        return;
    }
    if (f->attempt_count > 0) {
        bool somebody_may_wait = f->waiting == 0 && now < f->keep_until_ns;

        for (const struct fetch_links *w = f->first; w != NULL; w = w->next)
            somebody_may_wait = somebody_may_wait || waiter_wait_left(w, now) > 0;
        if (!somebody_may_wait && end_retries(f))
            return;
    }
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        if (waiter_wait_left(w, now) > 0)
            continue;
        if (f->attempt_count == 0)
            waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &cause);
        else
            end_waiting(f, w);
    }
    if (dispatch_leave(f, now))
        return;
    if (timer_is_set(&f->deadline) && f->deadline.at_ns <= now)        /* some wait on, others are through */
        timers_set(&f->up->timers, &f->deadline, now + NS_PER_SEC);
}

static void fire_pause(struct timer *t)
{
    struct flight *f = CONTAINER_OF(t, struct flight, pause);

    if (stall_goes_on(f))             /* it would take a place only to pause in it again */
        timers_set(&f->up->timers, &f->pause, clock_mono_ns() + LOOK_MS * NS_PER_MS);
    else
        dispatch_put(f);
}

/* -- in and out of the queue -- */

/* A flight stands where the one of its waiters stands that may go first. */
bool dispatch_stands_higher(const struct fetch *who, const struct flight *f)
{
    return (!who->batch && f->entry.priority == QUEUE_BATCH) || who->keep_permille < f->charge.keep_permille;
}

static void raise(struct flight *f, const struct fetch *for_whom)
{
    if (!for_whom->batch)
        f->entry.priority = QUEUE_INTERACTIVE;
    if (for_whom->keep_permille < f->charge.keep_permille)
        f->charge.keep_permille = for_whom->keep_permille;
}

void dispatch_joined(struct flight *f, const struct fetch *by)
{
    struct budget *b = f->site->budget;
    bool           waits = queue_waits(&f->entry);

    if (!dispatch_stands_higher(by, f))
        return;
    queue_remove(b->queue, &f->entry);
    raise(f, by);
    f->entry.class = dispatch_class(f->site, &f->charge);
    if (waits)
        queue_put_back(b->queue, &f->entry);
    dispatch_kick(b);
}

void dispatch_renamed(struct flight *f)
{
    struct queue *q = f->site->budget->queue;

    if (!queue_waits(&f->entry) || f->entry.again)
        return;
    queue_remove(q, &f->entry);
    f->entry.who = f->leader->who;
    queue_put(q, &f->entry);
    dispatch_kick(f->site->budget);
}

void dispatch_put(struct flight *f)
{
    struct budget *b = f->site->budget;

    if (f->at != FLIGHT_PAUSING && f->at != FLIGHT_NAMING)           /* back-off, name and queue are one wait */
        begin_wait(f);
    f->at = FLIGHT_WAITING;
    f->deadline.fire = fire_deadline;
    dispatch_charge(&f->charge, f->leader);
    f->entry.who = f->leader->who;
    f->entry.arrived_ns = f->leader->arrived_mono_ns;
    f->entry.priority = f->leader->batch ? QUEUE_BATCH : QUEUE_INTERACTIVE;
    for (const struct fetch_links *w = f->first; w != NULL; w = w->next)
        raise(f, w->fetch);
    f->entry.class = dispatch_class(f->site, &f->charge);
    if (f->again)
        queue_put_again(b->queue, &f->entry);
    else
        queue_put(b->queue, &f->entry);
    f->again = true;
    forecast_waits(f);
    dispatch_set_deadline(f);
    dispatch_kick(b);
}

void dispatch_withdraw(struct flight *f)
{
    if (queue_waits(&f->entry)) {
        queue_remove(f->site->budget->queue, &f->entry);
        forecast_goes(f);
        dispatch_kick(f->site->budget);
    }
    naming_end(f);
    timers_clear(&f->up->timers, &f->pause);
    timers_clear(&f->up->timers, &f->deadline);
}

bool dispatch_pause(struct flight *f, int64_t after_ns)
{
    int64_t             now = clock_mono_ns();
    struct fetch_links *next;
    bool                ended = false;

    begin_wait(f);
    f->at = FLIGHT_PAUSING;
    f->again = true;
    f->pause.fire = fire_pause;
    f->deadline.fire = fire_deadline;
    timers_set(&f->up->timers, &f->pause, now + after_ns);
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        if (f->waiting > 1 && waiter_wait_left(w, now) < after_ns) {
            end_waiting(f, w);
            ended = true;
        }
    }
    dispatch_set_deadline(f);
    return ended;
}

/* -- before budget is spent: the store may have it by now -- */

struct look { const struct fetch *fetch; struct arena arena; };

static bool accept_newer(const struct store_record *r, void *context)
{
    struct look       *look = context;
    struct http_fields fields;

    if ((r->received_wall_ns <= look->fetch->looked_up_wall_ns && !look->fetch->found_none) || r->invalidated)
        return false;
    fields = store_record_fields(r, &look->arena);
    return policy_selects(look->fetch->policy, r->selection, &look->fetch->request.fields,
                          http_fields_get(&fields, HTTP_CONTENT_ENCODING), &look->arena);
}

bool dispatch_is_stored(struct upstream *up, const struct fetch *f)
{
    struct look         look = { .fetch = f };
    struct store_record record;
    bool                there;

    if (!f->has_key || f->must_be_new || f->looked_again)
        return false;
    there = store_lookup(up->reader, f->key.hash, f->key.full, accept_newer, &look, &record) == STORE_HIT;
    store_reader_end(up->reader);
    arena_free(&look.arena);
    return there;
}

/* True where nobody is left that the flight should be sent for. */
static bool look_again(struct flight *f)
{
    struct fetch_links *next;

    if (f->attempt_count > 0)
        return false;
    if (f->waiting == 0)
        return f->leader->refresh_behind ? false : dispatch_is_stored(f->up, f->leader);
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
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
    int64_t        hold = hold_wait_ns(&f->site->hold, clock_mono_ns());

    if (hold > 0)
        return hold;
    if (f->site->in_flight >= site_slots(f->site))
        return INT64_MAX;             /* until one ends: transfer.c has all bands asked again then */
    return overtaken ? ledger_claim_ns(b->ledger, &f->charge, budget_time(), NULL)
                     : ledger_wait_ns(b->ledger, &f->charge, budget_time(), NULL);
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
        f->at = FLIGHT_COMMITTING;
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
    end_wait(f, now.mono_ns);
    ledger_spend(b->ledger, &f->charge, now, &receipt);
    hold_send(&f->site->hold, now.mono_ns);
    f->at = FLIGHT_SENDING;
    f->overtaken = f->overtaken && f->leader->stored_id != 0;         /* it is asked anew, but of what was dropped */
    turn_start(f, &receipt, now);
}

static bool has_slot(const struct budget *b)
{
    const struct site *s;

    LIST_FOREACH(s, &b->sites, of_budget)
        if (s->waiting > 0 && s->in_flight < site_slots(s))
            return true;
    return false;
}

static void run_budget(struct budget *b)
{
    struct queue_entry *e;
    int64_t             wake = INT64_MAX;
    struct site        *s;

    do {
        b->dirty = false;
        while (has_slot(b) && (e = queue_take(b->queue, clock_mono_ns(), may_go, b, &wake)) != NULL)
            send_flight(b, CONTAINER_OF(e, struct flight, entry));
    } while (naming_let_in(b, &wake));
    if (wake != INT64_MAX)
        timers_set(&b->up->timers, &b->wake, add_times(clock_mono_ns(), wake));
    else
        timers_clear(&b->up->timers, &b->wake);
    LIST_FOREACH(s, &b->sites, of_budget)
        stall_watch(s);
    keep_look(b);
}

void dispatch_run(struct upstream *up)
{
    for (struct budget *b = up->budgets; b != NULL; b = b->next)
        if (b->dirty)
            run_budget(b);
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
    dispatch_kick(b);
    return true;
}

bool dispatch_sends(struct turn *t)
{
    struct flight    *f = t->flight;
    struct budget_now now = budget_time();

    if (now.mono_ns - t->reserved_ns >= LATE_MS * NS_PER_MS && t->receipt.count > 0
        && !stamp_anew(t, t->site->budget, now))
        return false;
    if (f != NULL && f->first_sent_ns == 0)
        f->first_sent_ns = now.mono_ns;
    return true;
}
