/*
 * Flights: the table by which equal fetches find each other, who waits for
 * what, and how a flight ends.
 *
 * Two fetches are equal when upstream, method, key, the last known variant and,
 * for Weir's own validations, the record in question are the same.  Where an answer of the path has said by
 * No-Vary-Search which parts of a query matter, those are looked at in place of the key; the answer that comes has
 * to say so again, else they part.  A request with conditions or ranges of the client's own is nobody's equal
 * (RFC 9110 13, 14).
 */
#include "upstream/internal.h"

#include "policy/search.h"

#include <stdlib.h>

/* -- equality -- */

/* May this fetch share an upstream request with others at all? */
static bool is_shareable(const struct fetch *f)
{
    static const enum http_name own[] = { HTTP_IF_MATCH, HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                          HTTP_IF_UNMODIFIED_SINCE, HTTP_IF_RANGE };

    if (!f->has_key || !f->may.store || f->policy->alone || f->manner.tape != NULL)
        return false;
    for (size_t i = 0; i < sizeof own / sizeof *own && !f->stored.validating && !f->stored.completing; i++)
        if (http_fields_find(&f->request.fields, own[i], 0) >= 0)
            return false;
    return f->stored.completing || http_fields_find(&f->request.fields, HTTP_RANGE, 0) < 0;
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
    return f->stored.validating || f->stored.completing ? f->stored.id : 0;
}

/* By what it is told apart. */
static const uint8_t *wish_of(const struct fetch *f)
{
    return f->links->by_search ? f->seen.search : f->key.hash;
}

static uint64_t hash_of(const struct fetch *f, const uint8_t variant[VARIANT_HASH_BYTES])
{
    uint64_t id = validated_id(f);
    uint64_t h = mix((uint64_t)f->request.method, wish_of(f), KEY_HASH_BYTES);

    return mix(mix(h, variant, VARIANT_HASH_BYTES), &id, sizeof id);
}

static bool is_equal(const struct flight *f, const struct site *site, const struct fetch_links *w)
{
    const struct fetch *a = f->leader, *b = w->fetch;

    return f->site == site && slice_eq(a->request.method_name, b->request.method_name) &&
           memcmp(wish_of(a), wish_of(b), KEY_HASH_BYTES) == 0 && a->links->by_search == w->by_search &&
           (w->by_search || slice_eq(a->key.full, b->key.full)) &&
           memcmp(f->variant, w->variant, sizeof f->variant) == 0 && validated_id(a) == validated_id(b);
}

struct flight *flight_equal(const struct site *site, const struct fetch_links *w, const struct flight *last)
{
    uint64_t           hash = last != NULL ? last->by_wish.hash : hash_of(w->fetch, w->variant);
    struct table_node *n = last != NULL ? last->by_wish.next : table_chain(&site->up->wishes, hash);

    for (; n != NULL; n = n->next)
        if (n->hash == hash && is_equal(CONTAINER_OF(n, struct flight, by_wish), site, w))
            return CONTAINER_OF(n, struct flight, by_wish);
    return NULL;
}

bool flight_answers(const struct flight *f, const struct answer *a, const struct fetch *fetch)
{
    const struct slice     asked = f->leader->key.full;
    struct search_variance v;
    struct arena           scratch = { 0 };
    bool                   yes;

    if (fetch == f->leader || slice_eq(asked, fetch->key.full))
        return true;
    yes = policy_search_variance(&a->head.fields, &scratch, &v) &&
          policy_search_is_same(&v, asked, fetch->key.full, &scratch);
    arena_free(&scratch);
    return yes;
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
        f->up->unshareable[hash % UNSHAREABLE_SLOTS] = (struct unshareable){
            hash, clock_mono_ns() + UNSHAREABLE_SECONDS * NS_PER_SEC
        };
}

static bool is_known_unshareable(const struct site *site, const struct fetch *f)
{
    uint64_t                  hash = unshareable_hash(site, f);
    const struct unshareable *u = &site->up->unshareable[hash % UNSHAREABLE_SLOTS];

    return u->hash == hash && clock_mono_ns() < u->until_ns;
}

bool flight_may_share(const struct site *site, const struct fetch *f)
{
    return is_shareable(f) && !is_known_unshareable(site, f);
}

/* -- birth and end -- */

static void recycle_commit(struct commit *c)
{
    struct arena arena = c->arena;

    arena_reset(&arena);
    *c = (struct commit){ .flight = c->flight, .arena = arena };
}

static void free_commit(struct commit *c)
{
    if (c == NULL)
        return;
    arena_free(&c->arena);
    free(c);
}

static struct flight *take_idle(struct upstream *up)
{
    struct flight *f = LIST_FIRST(&up->idle);

    if (f == NULL)
        return mem_alloc(sizeof *f);
    LIST_REMOVE(f, entry_of);
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
    free(f->past.bill);
    f->past.bill = NULL;
    if (up->idle_flight_count >= IDLE_FLIGHTS) {
        free_commit(f->commit);
        free(f);
        return;
    }
    if (f->commit != NULL)
        recycle_commit(f->commit);
    LIST_INSERT_HEAD(&up->idle, f, entry_of);
    up->idle_flight_count++;
}

void flight_free_idle(struct upstream *up)
{
    struct flight *f;

    while ((f = LIST_FIRST(&up->idle)) != NULL) {
        LIST_REMOVE(f, entry_of);
        free_commit(f->commit);
        free(f);
    }
    up->idle_flight_count = 0;
}

struct flight *flight_new(struct site *site, struct fetch_links *w, bool shared)
{
    struct upstream *up = site->up;
    struct flight   *f = take_idle(up);

    f->up = up;
    f->site = site;
    f->leader = w->fetch;
    fetch_acquire(f->leader);
    memcpy(f->variant, w->variant, sizeof f->variant);
    f->keep = f->leader->manner.refresh_behind;
    TAILQ_INIT(&f->waiters);
    LIST_INSERT_HEAD(&site->flights, f, entry_of);
    up->flight_count++;
    if (shared) {
        table_add(&up->wishes, &f->by_wish, hash_of(f->leader, f->variant));
        f->in_table = true;
    }
    waiter_link(f, w);
    return f;
}

void flight_hide(struct flight *f)
{
    if (!f->in_table)
        return;
    table_remove(&f->up->wishes, &f->by_wish);
    f->in_table = false;
}

bool flight_goes_on(const struct flight *f)
{
    bool finishes = f->keep && !f->overtaken && !f->live && (f->answer == NULL || f->storing);

    return f->waiting > 0 || f->receiving > 0 || finishes;
}

/* -- who waits for how long -- */

void flight_set_deadline(struct flight *f)
{
    int64_t next = INT64_MAX;

    if (f->state != FLIGHT_WAITING && f->state != FLIGHT_PAUSING)
        return;
    EACH_WAITER(w, f)
    {
        int64_t until = time_add(w->wait_from_ns, w->wait_left_ns);

        if (until < next)
            next = until;
    }
    if (f->waiting == 0 && f->keep)
        next = f->keep_until_ns;
    if (next == INT64_MAX)
        timers_clear(&f->up->timers, &f->deadline);
    else
        timers_set(&f->up->timers, &f->deadline, time_add(next, GRACE_MS * NS_PER_MS));
}

void flight_withdraw(struct flight *f)
{
    if (queue_waits(&f->entry)) {
        queue_remove(f->site->budget->queue, &f->entry);
        forecast_goes(f);
        budget_kick(f->site->budget);
    }
    naming_end(f);
    timers_clear(&f->up->timers, &f->pause);
    timers_clear(&f->up->timers, &f->deadline);
}

void flight_unstore(struct flight *f)
{
    f->storing = false;
    if (f->committing || f->commit == NULL || !f->commit->change.announced)
        return; /* while it is being committed it is the writer's */
    store_withdraw(f->up->store, &f->commit->change);
    spool_release(f->commit->change.body);
    f->commit->change.body = NULL;
}

void flight_settle(struct flight *f)
{
    if (f->state == FLIGHT_OVER || f->turn != NULL || f->waiting > 0 || f->receiving > 0 || f->committing ||
        queue_waits(&f->entry) || timer_is_set(&f->pause) || (f->state == FLIGHT_NAMING && flight_goes_on(f)))
        return;
    flight_hide(f);
    flight_withdraw(f); /* and its name is not looked for any more */
    flight_unstore(f);
    flight_become(f, FLIGHT_OVER);
    if (f->leader->manner.is_early)
        early_over(f);
    LIST_REMOVE(f, entry_of);
    LIST_INSERT_HEAD(&f->up->dead, f, entry_of);
    f->up->flight_count--;
}

bool flight_end_unwaited(struct flight *f, int64_t now_ns)
{
    if (f->waiting == 0 && (!f->keep || now_ns >= f->keep_until_ns)) {
        flight_hide(f);
        flight_withdraw(f);
        flight_settle(f);
        return true;
    }
    flight_set_deadline(f);
    return false;
}

void flight_sweep(struct upstream *up)
{
    struct flight *f;

    while ((f = LIST_FIRST(&up->dead)) != NULL) {
        LIST_REMOVE(f, entry_of);
        answer_release(f->answer);
        answer_release(f->others);
        answer_release(f->spare);
        taping_drop(f->spare_taping);
        fetch_release(f->leader);
        keep_idle(up, f);
    }
}

void flight_fail(struct flight *f, int64_t wait_ns)
{
    flight_hide(f);
    flight_withdraw(f);
    EACH_WAITER_SAFE(w, f)
    {
        if (w->at == WAITER_WAITING)
            waiter_fail(w, flight_failure(f), wait_ns);
    }
    if (f->leader->upload != NULL)
        upload_discard(f->leader->upload);
    flight_settle(f);
}

/* -- coming -- */

/* -- going -- */

void flight_look_who_waits(struct flight *f)
{
    if (flight_goes_on(f) || f->committing) {
        flight_set_deadline(f);
        return;
    }
    flight_hide(f);
    flight_withdraw(f);
    if (f->turn != NULL)
        turn_abandon(f->turn);
    flight_settle(f);
}
