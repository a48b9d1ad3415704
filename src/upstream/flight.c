/*
 * Flights: the table by which equal fetches find each other, who waits for
 * what, and how a flight ends.
 *
 * Two fetches are equal when upstream, method, key, the last known variant and,
 * for Weir's own validations, the record in question are the same.  A request with conditions
 * or ranges of the client's own is nobody's equal (RFC 9110 13, 14).
 */
#include "upstream/inside.h"

#include <stdio.h>
#include <stdlib.h>

#define LONG_WAIT_NS (INT64_C(1000) * 86400 * NS_PER_SEC)      /* "forever" and its like */

/* -- equality -- */

/* May this fetch share an upstream request with others at all? */
static bool is_shareable(const struct fetch *f)
{
    static const enum http_name own[] = { HTTP_IF_MATCH, HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                          HTTP_IF_UNMODIFIED_SINCE, HTTP_IF_RANGE };

    if (!f->has_key || !f->may_store || f->policy->alone)
        return false;
    for (size_t i = 0; i < sizeof own / sizeof *own && !f->validating && !f->completing; i++)
        if (http_fields_find(&f->request.fields, own[i], 0) >= 0)
            return false;
    return f->completing || http_fields_find(&f->request.fields, HTTP_RANGE, 0) < 0;
}

static uint64_t mix(uint64_t h, const void *bytes, size_t count)
{
    uint64_t word = 0;

    memcpy(&word, bytes, count < sizeof word ? count : sizeof word);
    h = (h ^ word) * UINT64_C(0x9e3779b97f4a7c15);
    return h ^ h >> 29;
}

static uint64_t validated_id(const struct fetch *f)
{
    return f->validating || f->completing ? f->stored_id : 0;
}

static uint64_t hash_of(const struct fetch *f, const uint8_t variant[VARIANT_HASH_BYTES])
{
    uint64_t id = validated_id(f);
    uint64_t h = mix((uint64_t)f->request.method, f->key.hash, sizeof f->key.hash);

    return mix(mix(h, variant, VARIANT_HASH_BYTES), &id, sizeof id);
}

static bool is_equal(const struct flight *f, const struct site *site, const struct fetch_links *w)
{
    const struct fetch *a = f->leader, *b = w->fetch;

    return f->site == site && slice_eq(a->request.method_name, b->request.method_name)
        && memcmp(a->key.hash, b->key.hash, sizeof a->key.hash) == 0 && slice_eq(a->key.full, b->key.full)
        && memcmp(f->variant, w->variant, sizeof f->variant) == 0 && validated_id(a) == validated_id(b);
}

/* -- what is known to be unshareable: a slot for each hash, the newest counts -- */

static uint64_t unshareable_hash(const struct site *site, const struct fetch *f)
{
    uint64_t h = mix((uint64_t)(uintptr_t)site, f->key.hash, sizeof f->key.hash);

    return h != 0 ? h : 1;
}

void flight_remember_unshareable(struct flight *f)
{
    uint64_t hash = unshareable_hash(f->site, f->leader);

    if (is_shareable(f->leader))
        f->up->unshareable[hash % UNSHAREABLE_SLOTS] =
            (struct unshareable){ hash, clock_mono_ns() + UNSHAREABLE_SECONDS * NS_PER_SEC };
}

static bool is_known_unshareable(struct upstream *up, const struct site *site, const struct fetch *f)
{
    uint64_t                  hash = unshareable_hash(site, f);
    const struct unshareable *u = &up->unshareable[hash % UNSHAREABLE_SLOTS];

    return u->hash == hash && clock_mono_ns() < u->until_ns;
}

/* -- the list of those who wait -- */

void flight_link(struct flight *f, struct fetch_links *w)
{
    int64_t now = clock_mono_ns();

    w->flight = f;
    w->at = WAITER_WAITING;
    w->wait_from_ns = now;
    w->next = NULL;
    w->previous = f->last;
    *(f->last != NULL ? &f->last->next : &f->first) = w;
    f->last = w;
    f->waiting++;
}

void flight_unlink(struct fetch_links *w)
{
    struct flight *f = w->flight;

    *(w->previous != NULL ? &w->previous->next : &f->first) = w->next;
    *(w->next != NULL ? &w->next->previous : &f->last) = w->previous;
    if (w->at == WAITER_RECEIVING)
        f->receiving--;
    else
        f->waiting--;
    w->flight = NULL;
    w->at = WAITER_NOWHERE;
    w->next = w->previous = NULL;
}

/* -- birth and end -- */

static struct flight *take_idle(struct upstream *up)
{
    struct flight *f = up->idle_flights;

    if (f == NULL)
        return mem_alloc(sizeof *f);
    up->idle_flights = f->next_in_bucket;
    up->idle_flight_count--;
    *f = (struct flight){ .commit = f->commit };
    return f;
}

struct failure *flight_failure(struct flight *f)
{
    if (f->failure == NULL)
        f->failure = mem_alloc(sizeof *f->failure);
    return f->failure;
}

static void keep_idle(struct upstream *up, struct flight *f)
{
    free(f->failure);
    f->failure = NULL;
    if (up->idle_flight_count >= IDLE_FLIGHTS) {
        commit_free(f->commit);
        free(f);
        return;
    }
    if (f->commit != NULL)
        commit_recycle(f->commit);
    f->next_in_bucket = up->idle_flights;
    up->idle_flights = f;
    up->idle_flight_count++;
}

void flight_free_idle(struct upstream *up)
{
    while (up->idle_flights != NULL) {
        struct flight *f = up->idle_flights;

        up->idle_flights = f->next_in_bucket;
        commit_free(f->commit);
        free(f);
    }
    up->idle_flight_count = 0;
}

static struct flight *flight_new(struct site *site, struct fetch_links *w, bool shared)
{
    struct upstream *up = site->up;
    struct flight   *f = take_idle(up);

    f->up = up;
    f->site = site;
    f->leader = w->fetch;
    fetch_acquire(f->leader);
    memcpy(f->variant, w->variant, sizeof f->variant);
    f->keep = f->leader->refresh_behind;
    f->next_of_site = site->flights;
    if (site->flights != NULL)
        site->flights->previous_of_site = f;
    site->flights = f;
    up->flight_count++;
    if (shared) {
        f->bucket_hash = hash_of(f->leader, f->variant);
        f->in_table = true;
        f->next_in_bucket = up->buckets[f->bucket_hash % FLIGHT_BUCKETS];
        up->buckets[f->bucket_hash % FLIGHT_BUCKETS] = f;
    }
    flight_link(f, w);
    return f;
}

void flight_hide(struct flight *f)
{
    struct flight **at = &f->up->buckets[f->bucket_hash % FLIGHT_BUCKETS];

    if (!f->in_table)
        return;
    while (*at != f)
        at = &(*at)->next_in_bucket;
    *at = f->next_in_bucket;
    f->in_table = false;
}

bool flight_goes_on(const struct flight *f)
{
    bool finishes = f->keep && !f->overtaken && !f->live && (f->answer == NULL || f->storing);

    return f->waiting > 0 || f->receiving > 0 || finishes;
}

void flight_settle(struct flight *f)
{
    struct site *site = f->site;

    if (f->dead || f->turn != NULL || f->waiting > 0 || f->receiving > 0 || f->committing
        || queue_waits(&f->entry) || timer_is_set(&f->pause) || (f->at == FLIGHT_NAMING && flight_goes_on(f)))
        return;
    flight_hide(f);
    dispatch_withdraw(f);              /* and its name is not looked for any more */
    commit_withdraw(f);
    f->dead = true;
    *(f->previous_of_site != NULL ? &f->previous_of_site->next_of_site : &site->flights) = f->next_of_site;
    if (f->next_of_site != NULL)
        f->next_of_site->previous_of_site = f->previous_of_site;
    f->next_in_bucket = f->up->dead_flights;
    f->up->dead_flights = f;
    f->up->flight_count--;
}

void flight_sweep(struct upstream *up)
{
    while (up->dead_flights != NULL) {
        struct flight *f = up->dead_flights;

        up->dead_flights = f->next_in_bucket;
        answer_release(f->answer);
        answer_release(f->others);
        answer_release(f->spare);
        fetch_release(f->leader);
        keep_idle(up, f);
    }
}

void flight_fail(struct flight *f, int64_t wait_ns)
{
    struct fetch_links *next;

    flight_hide(f);
    dispatch_withdraw(f);
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        if (w->at == WAITER_WAITING)
            waiter_fail(w, flight_failure(f), wait_ns);
    }
    if (f->leader->upload != NULL)
        upload_discard(f->leader->upload);
    flight_settle(f);
}

/* -- coming -- */

/* low_budget: it is served stale, and nothing is asked. */
static bool is_spared(struct site *site, struct fetch_links *w)
{
    struct charge charge;

    if (!w->fetch->may_spare)
        return false;
    dispatch_charge(&charge, w->fetch);
    if (!ledger_is_low(site->budget->ledger, &charge, &site->options->low_budget, budget_time()))
        return false;
    waiter_post(w, FETCH_SPARED);
    return true;
}

/* RFC 5861 3: one refresh behind the stale answers, whether or not others could share what it brings. */
static bool is_being_refreshed(const struct site *site, const struct fetch *fetch)
{
    if (!fetch->refresh_behind)
        return false;
    for (const struct flight *f = site->flights; f != NULL; f = f->next_of_site)
        if (f->leader->refresh_behind && memcmp(f->leader->key.hash, fetch->key.hash, sizeof fetch->key.hash) == 0
            && slice_eq(f->leader->key.full, fetch->key.full)
            && memcmp(f->leader->stored_variant, fetch->stored_variant, sizeof fetch->stored_variant) == 0)
            return true;
    return false;
}

/* The wait of one who enters by himself. */
static int64_t predict_alone(struct site *site, const struct fetch *f, struct wait_cause *cause)
{
    struct charge charge;

    dispatch_charge(&charge, f);
    return dispatch_predict(site, NULL, &charge, f->batch ? QUEUE_BATCH : QUEUE_INTERACTIVE, &f->who, cause);
}

/* Takes a place in this flight, where it can. False: it needs one of its own. True also where it was refused. */
static bool try_join(struct flight *f, struct fetch_links *w)
{
    struct wait_cause cause;
    int64_t           wait;

    if (f->at >= FLIGHT_STREAMING)
        return share_late(f, w);
    /* What it asks for beyond that must be said to whoever stands before the API (RFC 9111 5.2.1.4), too. */
    if ((w->fetch->must_be_new && !f->leader->must_be_new)
        || (w->fetch->bust_every_ns != 0 && f->leader->bust_every_ns == 0))
        return false;
    if (f->at == FLIGHT_SENDING) {
        if (w->fetch->must_be_new && f->turn != NULL && f->turn->sent)
            return false;
        flight_link(f, w);
        turn_joined(f->turn);
        return true;
    }
    if (is_spared(f->site, w))
        return true;
    if (f->at == FLIGHT_NAMING) {     /* judged with it */
        flight_link(f, w);
        return true;
    }
    wait = dispatch_predict(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);
    if (wait > w->wait_left_ns && dispatch_stands_higher(w->fetch, f))
        wait = predict_alone(f->site, w->fetch, &cause);     /* where he will put it: dispatch_joined() */
    w->fetch->outcome.predicted_ns = wait;
    if (wait > w->wait_left_ns) {
        waiter_refuse(w, wait, &cause);
        return true;
    }
    flight_link(f, w);
    dispatch_joined(f, w->fetch);
    dispatch_set_deadline(f);
    return true;
}

static void fail_at_once(struct site *site, struct fetch_links *w, const char *token, const char *text, int64_t wait_ns)
{
    struct fetch *f = w->fetch;
    char          said[320];

    f->failed_as = ATTEMPT_REFUSED;
    f->proxy_error = token;
    f->wait_ns = wait_ns;
    snprintf(said, sizeof said, "%s: %s", site->name, text);
    fetch_set_error(f, slice_of(said));
    waiter_post(w, FETCH_FAILED);
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

/* The queue is full: of whom so much waits that another should have the place, the newest gives way. */
static bool make_room(struct site *site, const struct fetch *fetch)
{
    struct queue_entry *e = queue_crowding(site->budget->queue, fetch->batch ? QUEUE_BATCH : QUEUE_INTERACTIVE,
                                           &fetch->who);

    if (e == NULL || CONTAINER_OF(e, struct flight, entry)->site != site)
        return false;
    dispatch_crowd_out(CONTAINER_OF(e, struct flight, entry));
    return true;
}

static bool is_full(const struct site *site, int64_t wait)
{
    return site->waiting >= site->options->queue.max_length
        && (wait > 0 || site->waiting > 0 || site->in_flight >= site_slots(site));
}

/* No place in the queue, or a wait that is longer than it may be: said before the wait is begun. */
static bool is_refused(struct site *site, struct fetch_links *w)
{
    struct wait_cause cause;
    int64_t           wait = predict_alone(site, w->fetch, &cause);

    w->fetch->outcome.predicted_ns = wait;
    if (wait <= w->wait_left_ns && !is_full(site, wait))
        return false;
    if (wait <= w->wait_left_ns && make_room(site, w->fetch))
        return false;
    if (wait <= w->wait_left_ns) {
        w->fetch->queue_full = true;
        cause = (struct wait_cause){ .limit = "queue" };
        wait = wait > NS_PER_SEC ? wait : NS_PER_SEC;
    }
    waiter_refuse(w, wait, &cause);
    return true;
}

/* By whose place it goes: see dispatch_put(). */
static const struct fetch *first_of(const struct flight *f)
{
    const struct fetch *first = f->leader;

    for (const struct fetch_links *w = f->first; w != NULL; w = w->next)
        if (first->batch != w->fetch->batch ? first->batch : w->fetch->keep_permille < first->keep_permille)
            first = w->fetch;
    return first;
}

void flight_line_up(struct flight *f)
{
    const struct fetch *first = first_of(f);
    struct fetch_links *next;
    struct wait_cause   cause;
    int64_t             wait = predict_alone(f->site, first, &cause), now = clock_mono_ns();
    bool                any = f->keep, full;

    for (const struct fetch_links *w = f->first; w != NULL; w = w->next)
        any = any || wait <= waiter_wait_left(w, now);
    full = any && is_full(f->site, wait) && !make_room(f->site, first);
    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        w->fetch->outcome.predicted_ns = wait;
        if (wait > waiter_wait_left(w, now)) {
            waiter_refuse(w, wait, &cause);
        } else if (full) {
            w->fetch->queue_full = true;
            waiter_refuse(w, wait > NS_PER_SEC ? wait : NS_PER_SEC, &(struct wait_cause){ .limit = "queue" });
        }
    }
    if (flight_goes_on(f) && !full) {
        dispatch_put(f);
        return;
    }
    f->keep = false;
    flight_hide(f);
    dispatch_withdraw(f);
    flight_settle(f);
}

void flight_enter(struct site *site, struct fetch_links *w)
{
    struct upstream *up = site->up;
    struct fetch    *fetch = w->fetch;
    bool             shared = is_shareable(fetch) && !is_known_unshareable(up, site, fetch);
    int64_t          now = clock_mono_ns();

    if (!may_be_sent(fetch->request.target)) {
        fail_at_once(site, w, "http_request_error", "the request target cannot be sent.", 0);
        return;
    }
    if (shared) {
        struct flight *f = up->buckets[hash_of(fetch, w->variant) % FLIGHT_BUCKETS], *next;

        for (; f != NULL; f = next) {
            next = f->next_in_bucket;
            if (is_equal(f, site, w) && try_join(f, w))
                return;
        }
    }
    if (is_being_refreshed(site, fetch)) {
        waiter_post(w, FETCH_LOOK_AGAIN);            /* nobody waits for it */
        return;
    }
    /* What has ended since it was looked up is a hit: it is on its way to the store, and a look-up finds it. */
    if (store_is_changing(up->store, fetch->key.hash) && dispatch_is_stored(up, fetch)) {
        waiter_post(w, FETCH_LOOK_AGAIN);
        return;
    }
    if (is_spared(site, w))
        return;
    if (site->breaker.open_until_ns > now) {
        fail_at_once(site, w, "destination_unavailable",
                     "it failed many times in a row and is asked again after a pause.",
                     site->breaker.open_until_ns - now);
        return;
    }
    if (naming_is_needed(site, w))
        naming_begin(flight_new(site, w, shared));
    else if (!is_refused(site, w))
        dispatch_put(flight_new(site, w, shared));
}

/* -- going -- */

/* on_abort = "finish": a GET whose answer may serve the client's retry goes on without it. */
static bool finishes(const struct fetch *f)
{
    return f->refresh_behind
        || (f->request.method == HTTP_GET && f->has_key && f->may_store && !f->upstream->drop_on_abort);
}

void flight_look_who_waits(struct flight *f)
{
    if (flight_goes_on(f) || f->committing) {
        dispatch_set_deadline(f);
        return;
    }
    flight_hide(f);
    dispatch_withdraw(f);
    if (f->turn != NULL)
        turn_abandon(f->turn);
    flight_settle(f);
}

void flight_leave(struct fetch_links *w)
{
    struct flight *f = w->flight;

    if (finishes(w->fetch)) {
        int64_t left = waiter_wait_left(w, clock_mono_ns());
        int64_t until = left < LONG_WAIT_NS ? clock_mono_ns() + left : INT64_MAX;

        f->keep_until_ns = f->keep && f->keep_until_ns > until ? f->keep_until_ns : until;
        f->keep = true;
    }
    flight_unlink(w);
    flight_look_who_waits(f);
}
