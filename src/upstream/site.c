/*
 * Sites and budgets: what a configuration's upstreams are at work, found
 * again by name when it is swapped, so that connections, what waits and what was spent go over.
 *
 * Upstreams that name one `budget` share its ledger and queue; its limits are
 * all of theirs, equal ones once.  Budgets stay for the life of the thread:
 * an upstream that a reload takes away and another brings back has no more quota than before.
 */
#include "upstream/internal.h"

#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>
#include <xxhash.h>

enum { SLOTS_UNBOUNDED = 100000 };

/* -- budgets -- */

static void budget_name(char *out, size_t bytes, const struct upstream_options *o)
{
    snprintf(out, bytes, "%s %s", o->budget != NULL ? "budget" : "upstream", o->budget != NULL ? o->budget : o->name);
}

static uint64_t hash_of(const char *name)
{
    return XXH3_64bits(name, strlen(name));
}

static struct budget *budget_find(const struct upstream *up, const char *name)
{
    TABLE_EACH(n, &up->budget_names, hash_of(name))
    {
        struct budget *b = CONTAINER_OF(n, struct budget, by_name);

        if (strcmp(b->name, name) == 0)
            return b;
    }
    return NULL;
}

static void fire_wake(struct timer *t)
{
    budget_kick(CONTAINER_OF(t, struct budget, wake));
}

static struct budget *budget_new(struct upstream *up, const char *name)
{
    struct budget *b = mem_alloc(sizeof *b);

    b->up = up;
    b->name = mem_copy(slice_of(name));
    b->queue = queue_new();
    b->wake.fire = fire_wake;
    SLIST_INSERT_HEAD(&up->budgets, b, entry);
    table_add(&up->budget_names, &b->by_name, hash_of(name));
    return b;
}

static bool same_text(const char *a, const char *b)
{
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

static bool same_limit(const struct limit_options *a, const struct limit_options *b)
{
    return a->kind == b->kind && a->count == b->count && a->window_ns == b->window_ns && a->burst == b->burst &&
           a->start_minute == b->start_minute && a->per_credential == b->per_credential && a->methods == b->methods &&
           a->cost_count == b->cost_count && a->estimate_count == b->estimate_count &&
           a->charge_count == b->charge_count && a->scale == b->scale && same_text(a->name, b->name) &&
           same_text(a->zone, b->zone) && same_text(a->match, b->match);
}

static void add_limits(struct budget *b, const struct upstream_options *o)
{
    for (unsigned i = 0; i < o->limit_count; i++) {
        bool known = false;

        for (unsigned k = 0; k < b->limit_count; k++)
            known = known || same_limit(&b->limits[k], &o->limits[i]);
        if (!known && b->limit_count < LEDGER_MAX_LIMITS)
            b->limits[b->limit_count++] = o->limits[i];
    }
}

/* Of those that share it, the one that believes most. */
static int64_t told_most(const struct budget *b, const struct site *only)
{
    int64_t            most_ns = only != NULL ? only->options->learned_most_ns : 0;
    const struct site *s;

    LIST_FOREACH (s, &b->sites, of_budget)
        if (only == NULL && s->configured && s->options->learned_most_ns > most_ns)
            most_ns = s->options->learned_most_ns;
    return most_ns > 0 ? most_ns : INT64_MAX;
}

/* The limits of the configured sites that use it (or of `only`) take the place of what was there. */
static void budget_renew(struct budget *b, struct ref *config, const struct site *only)
{
    struct limit_options *old_limits = b->limits;
    struct ledger        *old = b->ledger;
    struct ref           *old_config = b->config;
    const struct site    *s;

    b->limits = mem_alloc(LEDGER_MAX_LIMITS * sizeof *b->limits);
    b->limit_count = 0;
    LIST_FOREACH (s, &b->sites, of_budget)
        if (only != NULL ? s == only : s->configured)
            add_limits(b, s->options);
    b->ledger = ledger_new(b->limits, b->limit_count);
    ledger_set_match(b->ledger, b->up->match);
    ledger_set_told_most(b->ledger, told_most(b, only));
    if (config != NULL)
        ref_acquire(config);
    b->config = config;
    if (old != NULL)
        ledger_adopt(b->ledger, old, budget_time());
    else
        keep_start(b);
    ledger_free(old);
    free(old_limits);
    ref_release(old_config);
    budget_kick(b);
}

static struct budget *budget_of(struct upstream *up, const struct upstream_options *o)
{
    char           name[512];
    struct budget *b;

    budget_name(name, sizeof name, o);
    b = budget_find(up, name);
    return b != NULL ? b : budget_new(up, name);
}

static void budget_free(struct budget *b)
{
    timers_clear(&b->up->timers, &b->wake);
    timers_clear(&b->up->timers, &b->save);
    queue_free(b->queue);
    ledger_free(b->ledger);
    free(b->limits);
    ref_release(b->config);
    free(b->name);
    free(b);
}

/* -- sites -- */

struct site *site_find(const struct upstream *up, const char *name)
{
    TABLE_EACH(n, &up->site_names, hash_of(name))
    {
        struct site *s = CONTAINER_OF(n, struct site, by_name);

        if (strcmp(s->name, name) == 0)
            return s;
    }
    return NULL;
}

static void site_set_budget(struct site *s, struct budget *b)
{
    if (s->budget == b)
        return;
    LIST_TAKE(s, of_budget);
    s->budget = b;
    LIST_INSERT_HEAD(&b->sites, s, of_budget);
}

static void site_set_options(struct site *s, struct ref *config, const struct upstream_options *o)
{
    struct ref *old = s->config;

    if (config != NULL)
        ref_acquire(config);
    s->config = config;
    s->options = o;
    site_set_budget(s, budget_of(s->up, o));
    ref_release(old);
    origin_configure(s->origin, &o->origin);
}

static struct site *site_new(struct upstream *up, const char *name)
{
    struct site *s = mem_alloc(sizeof *s);

    for (int i = 0; i < QUEUE_PRIORITIES; i++)
        TAILQ_INIT(&s->namings[i]);
    s->up = up;
    s->name = mem_copy(slice_of(name));
    s->origin = origin_open(up->origins, s->name, &s->waiting);
    s->retry_balance = RETRY_FLOOR;
    s->retry_balance_ns = clock_mono_ns();
    s->number = ++up->last_site;
    LIST_INSERT_HEAD(&up->sites, s, entry);
    table_add(&up->site_names, &s->by_name, hash_of(name));
    return s;
}

static void site_free(struct site *s)
{
    early_forget_site(s);
    origin_close(s->origin);
    timers_clear(&s->up->timers, &s->stall);
    LIST_TAKE(s, of_budget);
    LIST_TAKE(s, review);
    LIST_REMOVE(s, entry);
    table_remove(&s->up->site_names, &s->by_name);
    for (unsigned i = 0; i < KINDS; i++)
        free(s->kinds[i].pace);
    denials_free(&s->denials);
    ref_release(s->config);
    free(s->name);
    free(s);
}

struct site *site_of(struct upstream *up, const struct fetch *f)
{
    struct site *s = site_find(up, f->upstream->name);

    if (s != NULL)
        return s;
    s = site_new(up, f->upstream->name); /* of a configuration that is on its way in or out */
    site_set_options(s, f->config, f->upstream);
    if (s->budget->ledger == NULL)
        budget_renew(s->budget, f->config, s);
    return s;
}

/* What waits is taken out of the queues while classes of charge change, and put back in the order it had. */
static void take_out(struct upstream *up)
{
    EACH_SITE(s, up)
    EACH_FLIGHT(f, s)
    queue_remove(s->budget->queue, &f->entry);
}

static void put_back(struct upstream *up)
{
    EACH_SITE(s, up)
    EACH_FLIGHT(f, s)
    if (f->state == FLIGHT_WAITING) {
        f->entry.class = site_class(s, &f->charge);
        queue_put_back(s->budget->queue, &f->entry);
    }
}

static void drop_unused(struct upstream *up)
{
    struct site *s, *next;

    LIST_FOREACH_SAFE (s, &up->sites, entry, next)
        if (!s->configured && LIST_EMPTY(&s->flights) && LIST_EMPTY(&s->turns))
            site_free(s);
}

void site_configure(struct upstream *up, struct ref *config, const struct upstream_options *const *upstreams,
                    unsigned count)
{
    drop_unused(up); /* those that the configuration before this one had left out */
    take_out(up);
    EACH_SITE(s, up)
    s->configured = false;
    for (unsigned i = 0; i < count; i++) {
        struct site *s = site_find(up, upstreams[i]->name);

        if (s == NULL)
            s = site_new(up, upstreams[i]->name);
        site_set_options(s, config, upstreams[i]);
        s->configured = true;
    }
    EACH_BUDGET(b, up)
    {
        const struct site *s;
        bool               used = false;

        LIST_FOREACH (s, &b->sites, of_budget)
            used = used || s->configured;
        if (used)
            budget_renew(b, config, NULL);
    }
    put_back(up);
    log_debug("upstream_set", " count=%u", count);
}

void site_free_all(struct upstream *up)
{
    while (!LIST_EMPTY(&up->sites))
        site_free(LIST_FIRST(&up->sites));
    while (!SLIST_EMPTY(&up->budgets)) {
        struct budget *b = SLIST_FIRST(&up->budgets);

        SLIST_REMOVE_HEAD(&up->budgets, entry);
        budget_free(b);
    }
    table_free(&up->site_names);
    table_free(&up->budget_names);
}

/* -- what may be under way -- */

unsigned site_slots(const struct site *s)
{
    struct origin_known known = origin_known(s->origin);
    unsigned            slots = SLOTS_UNBOUNDED;
    unsigned            connections = s->options->origin.max_connections;

    if (connections > 0) /* a request each, or many over HTTP/2: nothing is made to queue there */
        slots = known.http2 ? connections * known.streams : connections;
    if (s->options->max_in_flight > 0 && s->options->max_in_flight < slots)
        slots = s->options->max_in_flight;
    return slots;
}

/*
 * retry.share: every request earns a share of a retry, every retry costs
 * one.  A floor, renewed one a second, lets a quiet upstream's few requests be
 * tried again too; what was earned is not saved up beyond a burst.
 */
static void renew_balance(struct site *s, int64_t now_ns)
{
    double earned = (double)(now_ns - s->retry_balance_ns) / (double)NS_PER_SEC;

    s->retry_balance_ns = now_ns;
    if (s->retry_balance < RETRY_FLOOR) {
        s->retry_balance += earned;
        if (s->retry_balance > RETRY_FLOOR)
            s->retry_balance = RETRY_FLOOR;
    }
}

void site_count_request(struct site *s, int64_t now_ns)
{
    renew_balance(s, now_ns);
    s->counts.requests++;
    if (s->retry_balance < 10.0 * RETRY_FLOOR)
        s->retry_balance += s->options->retry.share;
}

bool site_may_retry(struct site *s, int64_t now_ns)
{
    renew_balance(s, now_ns);
    return s->options->retry.share >= 1.0 || (s->options->retry.share > 0.0 && s->retry_balance >= 1.0);
}

void site_spend_retry(struct site *s)
{
    if (s->retry_balance >= 1.0)
        s->retry_balance -= 1.0;
}

void site_report_breaker(struct site *s, bool ok, int64_t now_ns)
{
    bool was_open = s->breaker.open_until_ns != 0;

    breaker_report(&s->breaker, ok, now_ns);
    if (!was_open && s->breaker.open_until_ns != 0) {
        s->counts.breaker_opened++;
        log_warning("upstream_breaker_open", " upstream=%s failures=%u", s->name, s->breaker.failures);
    }
    if (was_open && s->breaker.open_until_ns == 0)
        log_info("upstream_breaker_closed", " upstream=%s", s->name);
}

/* Sites that share a budget wait apart: one that is held back, or full, holds up no other. */
struct queue_class site_class(const struct site *s, const struct charge *c)
{
    struct queue_class class = ledger_class(s->budget->ledger, c);

    class.costs ^= (uint64_t)(uintptr_t)s;
    class.place = (uint64_t)(uintptr_t)s;
    return class;
}
