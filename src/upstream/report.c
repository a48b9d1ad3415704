/*
 * What the thread is doing, for `weirctl status` and `weirctl limits`: the
 * buckets and who waits for them; of those of single credentials only the busiest.
 */
#include "upstream/internal.h"

#include <stdio.h>
#include <stdlib.h>

struct wait {
    const void         *bucket;
    const struct fetch *fetch;
}; /* a request that would be charged to it */
struct waits {
    struct wait *items;
    size_t       count, capacity;
};

struct report_candidate {
    double                       busy;
    const void                  *bucket;
    struct upstream_limit_report report;
};

struct visit {
    const struct ledger          *ledger;
    struct arena                 *arena;
    const struct waits           *waits;
    const char                   *only; /* NULL: all */
    struct upstream_limit_report *limits;
    unsigned                      count, capacity;
    struct report_candidate      *busiest; /* of credentials; BUSIEST_TOLD places, in no order */
    unsigned                      busiest_count, others;
};

/* -- who waits -- */

static void add_wait(struct waits *w, const void *bucket, const struct fetch *f)
{
    if (w->count == w->capacity) {
        w->capacity = w->capacity > 0 ? w->capacity * 2 : 64;
        w->items = mem_resize(w->items, w->capacity * sizeof *w->items);
    }
    w->items[w->count++] = (struct wait){ bucket, f };
}

static void add_flight(struct waits *w, const struct flight *f)
{
    const void *buckets[LEDGER_MAX_BUCKETS];
    unsigned    n = ledger_buckets(f->site->budget->ledger, &f->charge, budget_time(), buckets);

    for (unsigned i = 0; i < n; i++) {
        EACH_WAITER(each, f)
        add_wait(w, buckets[i], each->fetch);
        if (TAILQ_EMPTY(&f->waiters)) /* its client left, it goes on */
            add_wait(w, buckets[i], f->leader);
    }
}

static int compare_waits(const void *a, const void *b)
{
    const struct wait *x = a, *y = b;

    return (x->bucket > y->bucket) - (x->bucket < y->bucket);
}

static struct waits find_waits(struct upstream *up)
{
    struct waits w = { 0 };

    EACH_SITE(s, up)
    EACH_FLIGHT(f, s)
    if (f->state == FLIGHT_WAITING || f->state == FLIGHT_NAMING)
        add_flight(&w, f);
    if (w.count > 0)
        qsort(w.items, w.count, sizeof *w.items, compare_waits);
    return w;
}

static size_t first_of(const struct waits *w, const void *bucket)
{
    size_t low = 0, high = w->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (w->items[middle].bucket < bucket)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static void count_client(struct upstream_limit_report *r, const struct fetch *f)
{
    struct upstream_waiting who = { .batch = f->client.batch, .count = 1 };

    longest_name_client(f, who.client, sizeof who.client);
    for (unsigned i = 0; i < r->client_count; i++) {
        if (r->clients[i].batch == who.batch && strcmp(r->clients[i].client, who.client) == 0) {
            r->clients[i].count++;
            return;
        }
    }
    if (r->client_count < WAITING_NAMED)
        r->clients[r->client_count++] = who;
}

static void tell_waits(struct upstream_limit_report *r, const struct waits *w, const void *bucket, struct arena *a)
{
    for (size_t i = first_of(w, bucket); i < w->count && w->items[i].bucket == bucket; i++) {
        if (r->clients == NULL)
            r->clients = arena_alloc(a, WAITING_NAMED * sizeof *r->clients);
        r->waiting++;
        count_client(r, w->items[i].fetch);
    }
}

/* -- buckets -- */

static void hex(char *out, size_t bytes, const uint8_t *in)
{
    for (size_t i = 0; i * 2 + 2 < bytes; i++)
        snprintf(out + i * 2, 3, "%02x", in[i]);
}

static const char *kind_text(enum limit_kind kind)
{
    static const char *const texts[] = {
        [LIMIT_SLIDING] = "sliding",
        [LIMIT_BUCKET] = "bucket",
        [LIMIT_FIXED] = "fixed",
        [LIMIT_LEARNED] = "learned",
    };

    return texts[kind];
}

static struct upstream_limit_report *next_limit(struct visit *v)
{
    if (v->count == v->capacity) {
        unsigned                      capacity = v->capacity > 0 ? v->capacity * 2 : 8;
        struct upstream_limit_report *more = arena_alloc(v->arena, capacity * sizeof *more);

        if (v->count > 0)
            memcpy(more, v->limits, v->count * sizeof *more);
        v->limits = more;
        v->capacity = capacity;
    }
    return &v->limits[v->count++];
}

static size_t count_waits(const struct waits *w, const void *bucket)
{
    size_t first = first_of(w, bucket), i = first;

    while (i < w->count && w->items[i].bucket == bucket)
        i++;
    return i - first;
}

/* Before all for whom something waits, then what the API blocks, then by how much of it is used up. */
static double how_busy(const struct visit *v, const void *bucket, const struct limit_state *state)
{
    double used = state->allowed > 0 ? 1.0 - (double)state->left / (double)state->allowed : 0.0;

    return used + (state->blocked_for_ns > 0 ? 2.0 : 0.0) + 4.0 * (double)count_waits(v->waits, bucket);
}

static struct report_candidate *least_busy(struct visit *v)
{
    struct report_candidate *least = &v->busiest[0];

    for (unsigned i = 1; i < v->busiest_count; i++)
        if (v->busiest[i].busy < least->busy)
            least = &v->busiest[i];
    return least;
}

/* A place among the busiest; NULL: there are enough that are busier. */
static struct report_candidate *place_for(struct visit *v, double busy)
{
    struct report_candidate *least;

    if (v->busiest == NULL)
        v->busiest = arena_alloc(v->arena, BUSIEST_TOLD * sizeof *v->busiest);
    if (v->busiest_count < BUSIEST_TOLD)
        return &v->busiest[v->busiest_count++];
    v->others++;
    least = least_busy(v);
    return least->busy < busy ? least : NULL;
}

static void tell_metered(struct upstream_limit_report *r, const struct ledger *ledger, const struct limit_options *o)
{
    struct ledger_metered m;

    if (!limit_is_metered(o) || !ledger_metered(ledger, o->name, &m))
        return;
    r->is_metered = true;
    r->scale = o->scale;
    r->reserved = m.reserved;
    r->settled = m.settled;
    r->unsettled = m.unsettled;
}

static void describe(const struct ledger *ledger, struct upstream_limit_report *r, const struct limit_options *o,
                     const uint8_t *credential, const struct limit_state *state)
{
    *r = (struct upstream_limit_report){ 0 };
    snprintf(r->name, sizeof r->name, "%s", o->name != NULL ? o->name : "");
    if (credential != NULL && ledger_is_others(credential))
        snprintf(r->credential, sizeof r->credential, "others-%u", credential[LEDGER_CREDENTIAL_BYTES - 1]);
    else if (credential != NULL)
        hex(r->credential, sizeof r->credential, credential);
    r->kind = kind_text(o->kind);
    r->is_of_api = o->kind == LIMIT_LEARNED && o->count == 0; /* as ledger_visit() says */
    r->told_by = told_by_text(state->told_by);
    r->allowed = state->allowed;
    r->left = state->left;
    r->resets_in_ns = state->resets_in_ns;
    r->blocked_for_ns = state->blocked_for_ns;
    tell_metered(r, ledger, o);
}

static void add_limit(void *context, const void *bucket, const struct limit_options *o, const uint8_t *credential,
                      const struct limit_state *state)
{
    struct visit                 *v = context;
    struct report_candidate      *c;
    struct upstream_limit_report *r;
    struct upstream_limit_report  shown;
    double                        busy;

    if (v->only != NULL) {
        describe(v->ledger, &shown, o, credential, state);
        if (strcmp(v->only, shown.name) != 0 && (credential == NULL || strcmp(v->only, shown.credential) != 0))
            return;
    }
    if (credential == NULL) {
        r = next_limit(v);
        describe(v->ledger, r, o, NULL, state);
        tell_waits(r, v->waits, bucket, v->arena);
        return;
    }
    busy = how_busy(v, bucket, state);
    c = place_for(v, busy);
    if (c == NULL)
        return;
    c->busy = busy;
    c->bucket = bucket;
    describe(v->ledger, &c->report, o, credential, state);
}

static int compare_candidates(const void *a, const void *b)
{
    const struct report_candidate *x = a, *y = b;

    return (x->busy < y->busy) - (x->busy > y->busy);
}

static void add_busiest(struct visit *v)
{
    if (v->busiest_count > 0)
        qsort(v->busiest, v->busiest_count, sizeof *v->busiest, compare_candidates);
    for (unsigned i = 0; i < v->busiest_count; i++) {
        struct upstream_limit_report *r = next_limit(v);

        *r = v->busiest[i].report;
        tell_waits(r, v->waits, v->busiest[i].bucket, v->arena);
    }
}

/* A 5xx asked for a pause: no limit's, and told beside them. */
static void add_hold(struct visit *v, const struct site *s)
{
    int64_t                       now_ns = clock_mono_ns();
    struct upstream_limit_report *r;

    if (s->hold.until_ns <= now_ns || (v->only != NULL && strcmp(v->only, hearing_hold_name) != 0))
        return;
    r = next_limit(v);
    snprintf(r->name, sizeof r->name, "%s", hearing_hold_name);
    r->kind = "health";
    r->told_by = told_by_text(TOLD_BY_RETRY_AFTER);
    r->resets_in_ns = r->blocked_for_ns = s->hold.until_ns - now_ns;
}

/* -- upstreams -- */

static void fill_entry(struct upstream_report_entry *e, struct site *s, const struct waits *waits,
                       struct upstream_report *r)
{
    struct visit v = { .ledger = s->budget->ledger, .arena = &r->arena, .waits = waits, .only = r->only };

    snprintf(e->name, sizeof e->name, "%s", s->name);
    e->in_flight = s->in_flight;
    e->waiting = s->waiting;
    e->connections = origin_known(s->origin).connections;
    e->counts = s->counts;
    histogram_gather(&e->took, &s->took);
    e->certificate_ends_s = origin_known(s->origin).certificate_ends_s;
    e->lost_ago_ns = ledger_lost_ago_ns(s->budget->ledger, budget_time());
    e->breaker_open = s->breaker.open_until_ns != 0;
    e->predicted_ns = forecast_newcomer(s);
    ledger_visit(s->budget->ledger, budget_time(), add_limit, &v);
    add_busiest(&v);
    add_hold(&v, s);
    e->limits = v.limits;
    e->limit_count = v.count;
    e->more_limits = v.others;
    if (r->tells_longest)
        longest_fill(e, s, &r->arena);
}

static bool is_asked_for(const struct site *s, const struct upstream_report *r)
{
    return s->number > r->last && (s->configured || s->in_flight > 0);
}

void report_fill(struct upstream *up, struct upstream_report *r)
{
    struct waits waits = find_waits(up);
    unsigned     count = 0, left_out;
    uint64_t     last = r->last;

    EACH_SITE(s, up)
    count += is_asked_for(s, r);
    left_out = r->most > 0 && count > r->most ? count - r->most : 0;
    r->count = count -= left_out;
    r->has_more = left_out > 0;
    r->entries = arena_alloc(&r->arena, (count > 0 ? count : 1) * sizeof *r->entries);
    /* Sites are hung in at the front: the report goes in order of the configuration, from the back. */
    EACH_SITE(s, up)
    {
        if (!is_asked_for(s, r))
            continue;
        if (left_out > 0) {
            left_out--;
            continue;
        }
        last = s->number > last ? s->number : last;
        fill_entry(&r->entries[--count], s, &waits, r);
    }
    r->last = last;
    r->flights = up->flight_count;
    free(waits.items);
}
