/*
 * /top: what goes on, told anew at each interval: a line of JSON with each upstream's rates and times since the line
 * before, what waits there and is left, and who asks most by which rules.
 *
 * ?interval=1s: how long between two lines; &once=1: one line.  Rates and times are differences of what is counted
 * anyway (base/traffic.h); only clients and rules come from the records of finished requests.  A client that does
 * not read is told nothing, and the next line is about all that time.  On the query socket clients and rules
 * are those of the caller's own requests, and nobody hears who waits.  It ends where another configuration comes in.
 */
#include "admin/follow.h"
#include "admin/most.h"
#include "base/clock.h"
#include "http/duration.h"
#include "http/json.h"

#include <stdio.h>
#include <stdlib.h>

enum { ROW_BYTES = 32 * 1024, LIMITS_TOLD = 16, UPSTREAMS_AT_ONCE = 32 };

#define SHORTEST_NS (100 * NS_PER_MS)
#define LONGEST_NS  (3600 * NS_PER_SEC)

struct before { /* of one upstream, as it was at the last line */
    uint64_t outcomes[TRAFFIC_OUTCOMES], requests, errors;
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t collapsed; /* since then */
    int64_t  last_id;   /* of the last one that was asked upstream; 0: none was, since somebody looks */
};

struct top_call {
    struct follow  follow;
    int64_t        interval_ns, from_ns, next_ns; /* monotonic */
    bool           once;
    bool           is_telling; /* a line, row by row */
    bool           has_rows;
    unsigned       entry;      /* of the report: the next row */
    double         interval_s; /* of that line */
    struct before *before;     /* by upstream of the call's configuration */
    struct most    clients, rules;
    char           row[ROW_BYTES];
};

/* -- what is counted -- */

static void count(struct top_call *t, const struct request_record *r)
{
    const struct config *c = t->follow.call->config;
    const bool           is_hit = slice_eq(r->cache, SLICE("hit"));
    char                 text[256];
    struct json_out      o = { .buffer = text, .capacity = sizeof text };

    most_count(&t->clients, r->client.len > 0 ? r->client : r->peer, is_hit);
    if (r->upstream.len == 0)
        return;
    json_raw(&o, slice_sub(r->upstream, 0, 64));
    json_raw(&o, r->rule.len > 0 ? SLICE(" ") : SLICE(""));
    json_raw(&o, slice_sub(r->rule, 0, 128));
    most_count(&t->rules, (struct slice){ text, o.used }, is_hit);
    for (unsigned i = 0; i < c->upstream_count && r->forward.len > 0; i++)
        if (slice_eq(r->upstream, slice_of(c->upstreams[i].route.name))) {
            t->before[i].collapsed += r->collapsed;
            t->before[i].last_id = r->id;
        }
}

/* What is now, less what was; and what is now is what was then. */
static uint64_t difference(uint64_t now, uint64_t *before)
{
    uint64_t d = now - *before;

    *before = now;
    return d;
}

struct lately { /* since the last line */
    uint64_t             outcomes[TRAFFIC_OUTCOMES], requests, errors, collapsed;
    struct histogram_sum took;
};

static void see(const struct traffic *traffic, struct before *b, struct lately *l)
{
    struct traffic_sum sum = { 0 };
    uint64_t           outcomes[TRAFFIC_OUTCOMES] = { 0 }, all = 0, errors = 0;

    traffic_gather(&sum, traffic);
    for (unsigned i = 0; i < TRAFFIC_CELLS; i++) {
        const unsigned outcome = i % TRAFFIC_OUTCOMES, status = i / TRAFFIC_OUTCOMES % TRAFFIC_STATUSES;

        outcomes[outcome] += sum.requests[i];
        all += sum.requests[i];
        errors += status == TRAFFIC_STATUSES - 1 || outcome == TRAFFIC_REFUSED ? sum.requests[i] : 0;
    }
    for (unsigned i = 0; i < TRAFFIC_OUTCOMES; i++)
        l->outcomes[i] = difference(outcomes[i], &b->outcomes[i]);
    l->requests = difference(all, &b->requests);
    l->errors = difference(errors, &b->errors);
    for (unsigned i = 0; i < HISTOGRAM_BUCKETS; i++) {
        l->took.buckets[i] = difference(sum.client.buckets[i], &b->buckets[i]);
        l->took.count += l->took.buckets[i];
    }
    l->collapsed = b->collapsed;
    b->collapsed = 0;
}

/* -- a line -- */

static void put_int(struct json_out *o, const char *name, int64_t n)
{
    json_key(o, name);
    json_int(o, n);
}

static void put_text(struct json_out *o, const char *name, const char *text)
{
    json_key(o, name);
    json_text(o, slice_of(text));
}

/* With three digits; what is for ever, or unknown, is null. */
static void put_real(struct json_out *o, const char *name, double value, bool is_known)
{
    char text[64];

    snprintf(text, sizeof text, "%.3f", value);
    json_key(o, name);
    json_raw(o, is_known ? slice_of(text) : SLICE("null"));
}

static void put_seconds(struct json_out *o, const char *name, int64_t ns)
{
    put_real(o, name, (double)ns / NS_PER_SEC, ns >= 0 && ns < INT64_MAX / 2);
}

static void put_quantile(struct json_out *o, const char *name, const struct lately *l, double share)
{
    int64_t ns = histogram_quantile_ns(&l->took, share);

    put_real(o, name, (double)ns / NS_PER_MS, ns >= 0);
}

static void put_metered(struct json_out *o, const struct upstream_limit_report *l)
{
    if (!l->is_metered)
        return;
    json_key(o, "metered");
    json_raw(o, SLICE("{"));
    put_int(o, "reserved", (int64_t)l->reserved);
    put_int(o, "settled", (int64_t)l->settled);
    put_int(o, "unsettled", (int64_t)l->unsettled);
    put_int(o, "scale", l->scale);
    json_raw(o, SLICE("}"));
}

static void put_limits(struct json_out *o, const struct upstream_report_entry *e)
{
    json_key(o, "limits");
    json_raw(o, SLICE("["));
    for (unsigned i = 0; i < e->limit_count && i < LIMITS_TOLD; i++) {
        const struct upstream_limit_report *l = &e->limits[i];

        json_raw(o, i > 0 ? SLICE(",{") : SLICE("{"));
        put_text(o, "limit", l->name);
        if (l->credential[0] != '\0')
            put_text(o, "credential", l->credential);
        put_int(o, "allowed", (int64_t)l->allowed);
        put_int(o, "left", (int64_t)l->left);
        put_seconds(o, "resets_in_s", l->resets_in_ns);
        put_seconds(o, "blocked_for_s", l->blocked_for_ns);
        put_int(o, "waiting", l->waiting);
        put_metered(o, l);
        json_raw(o, SLICE("}"));
    }
    json_raw(o, SLICE("]"));
}

static void put_longest(struct json_out *o, const struct upstream_report_entry *e)
{
    json_key(o, "longest");
    json_raw(o, SLICE("["));
    for (unsigned i = 0; i < e->longest_count; i++) {
        const struct upstream_waiter *w = &e->longest[i];

        json_raw(o, i > 0 ? SLICE(",{") : SLICE("{"));
        put_int(o, "id", (int64_t)w->id);
        put_seconds(o, "waited_s", w->waited_ns);
        put_text(o, "client", w->client);
        put_text(o, "method", w->method);
        put_text(o, "target", w->target);
        json_raw(o, SLICE("}"));
    }
    json_raw(o, SLICE("]"));
}

static void put_lately(struct json_out *o, const struct lately *l, double interval_s)
{
    const uint64_t hits = l->outcomes[TRAFFIC_HIT] + l->outcomes[TRAFFIC_STALE];

    put_int(o, "requests", (int64_t)l->requests);
    put_real(o, "rate", (double)l->requests / interval_s, interval_s > 0);
    put_int(o, "hits", (int64_t)l->outcomes[TRAFFIC_HIT]);
    put_int(o, "stale", (int64_t)l->outcomes[TRAFFIC_STALE]);
    put_int(o, "revalidated", (int64_t)l->outcomes[TRAFFIC_REVALIDATED]);
    put_int(o, "misses", (int64_t)l->outcomes[TRAFFIC_MISS]);
    put_real(o, "hit_share", (double)hits / (double)(l->requests > 0 ? l->requests : 1), l->requests > 0);
    put_int(o, "saved", (int64_t)(hits + l->collapsed));
    put_int(o, "errors", (int64_t)l->errors);
    put_quantile(o, "p50_ms", l, 0.50);
    put_quantile(o, "p95_ms", l, 0.95);
}

/* False: it is of no matter, or not for the caller. */
static bool put_upstream(struct top_call *t, struct json_out *o, const struct upstream_report_entry *e)
{
    const struct admin_call      *call = t->follow.call;
    const struct config_upstream *up = config_find_upstream(call->config, e->name);
    struct lately                 l = { .requests = 0 };

    if (up == NULL || !admin_may_see(call, e->name))
        return false;
    see(up->traffic, &t->before[up->route.index], &l);
    json_raw(o, SLICE("{"));
    put_text(o, "name", e->name);
    put_lately(o, &l, t->interval_s);
    put_int(o, "in_flight", e->in_flight);
    put_int(o, "waiting", e->waiting);
    put_int(o, "connections", e->connections);
    put_seconds(o, "predicted_wait_s", e->predicted_ns);
    json_key(o, "breaker_open");
    json_raw(o, e->breaker_open ? SLICE("true") : SLICE("false"));
    if (t->before[up->route.index].last_id != 0)
        put_int(o, "last_id", t->before[up->route.index].last_id);
    if (e->counts.early_sent > 0) {
        put_int(o, "prefetches", (int64_t)e->counts.early_sent);
        put_int(o, "prefetches_used", (int64_t)e->counts.early_used);
        put_int(o, "prefetches_wasted", (int64_t)e->counts.early_wasted);
    }
    put_limits(o, e);
    if (call->rights.may_change)
        put_longest(o, e);
    json_raw(o, SLICE("}"));
    return !o->overflow;
}

static void write_rows(struct top_call *t)
{
    struct admin_call *call = t->follow.call;

    while (t->entry < call->report.count && admin_has_room(call)) {
        struct json_out o = { .buffer = t->row, .capacity = sizeof t->row };

        if (!put_upstream(t, &o, &call->report.entries[t->entry++]))
            continue;
        if (t->has_rows)
            admin_write(call, SLICE(","));
        admin_write(call, (struct slice){ t->row, o.used });
        t->has_rows = true;
    }
}

static void put_busiest(struct json_out *o, const char *list, const char *name, struct most *m)
{
    struct most_entry *entries[MOST_TOLD];
    const unsigned     entry_count = most_take(m, entries);

    json_raw(o, SLICE(",\""));
    json_raw(o, slice_of(list));
    json_raw(o, SLICE("\":["));
    for (unsigned i = 0; i < entry_count; i++) {
        json_raw(o, i > 0 ? SLICE(",{") : SLICE("{"));
        put_text(o, name, entries[i]->name);
        put_int(o, "requests", (int64_t)entries[i]->count);
        put_int(o, "hits", (int64_t)entries[i]->hits);
        json_raw(o, SLICE("}"));
    }
    json_raw(o, SLICE("]"));
}

static void end_line(struct top_call *t)
{
    struct json_out o = { .buffer = t->row, .capacity = sizeof t->row };

    json_raw(&o, SLICE("]"));
    put_busiest(&o, "clients", "client", &t->clients);
    put_busiest(&o, "rules", "rule", &t->rules);
    json_raw(&o, SLICE("}\n"));
    admin_write(t->follow.call, (struct slice){ t->row, o.used });
    most_clear(&t->clients);
    most_clear(&t->rules);
    t->is_telling = false;
    if (t->once)
        admin_finish(t->follow.call);
}

static void begin_line(struct top_call *t)
{
    const int64_t   now = clock_mono_ns();
    struct json_out o = { .buffer = t->row, .capacity = sizeof t->row };

    t->interval_s = (double)(now - t->from_ns) / NS_PER_SEC;
    t->from_ns = now;
    t->next_ns += t->interval_ns;
    if (t->next_ns < now)
        t->next_ns = now + t->interval_ns;
    json_raw(&o, SLICE("{"));
    put_real(&o, "interval_s", t->interval_s, true);
    put_int(&o, "dropped", (int64_t)t->follow.missed);
    json_raw(&o, SLICE(",\"upstreams\":["));
    t->follow.missed = 0;
    t->has_rows = false;
    admin_write(t->follow.call, (struct slice){ t->row, o.used });
}

/* -- in turns -- */

static void known(struct mail *m);

static void ask(struct top_call *t)
{
    struct admin_call *call = t->follow.call;

    arena_reset(&call->report.arena);
    call->report.most = UPSTREAMS_AT_ONCE;
    call->report.tells_longest = call->rights.may_change;
    t->entry = 0;
    admin_ask_upstream(call, known);
}

static void write_more(struct admin_call *call)
{
    struct top_call             *t = call->own.state;
    const struct request_record *r;

    while (!t->is_telling && (r = follow_next(&t->follow)) != NULL)
        count(t, r);
    if (!t->is_telling && follow_is_pausing(&t->follow))
        return;
    if (t->follow.is_over && !t->is_telling) {
        admin_finish(call);
    } else if (!t->is_telling && clock_mono_ns() >= t->next_ns) {
        t->is_telling = true;
        call->report.last = 0;
        begin_line(t);
        ask(t);
    } else if (t->is_telling) {
        write_rows(t);
        if (t->entry < call->report.count)
            return;
        if (call->report.has_more)
            ask(t);
        else
            end_line(t);
    }
}

static void known(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);

    if (admin_resume(call))
        admin_go_on(call);
}

static void top_free(void *state)
{
    struct top_call *t = state;

    follow_end(&t->follow);
    free(t->before);
    free(t);
}

/* -- what is asked for -- */

static bool take(void *state, struct slice name, struct slice value, struct fault *why)
{
    struct top_call *t = state;

    if (slice_eq(name, SLICE("once")) && slice_eq(value, SLICE("1"))) {
        t->once = true;
        return true;
    }
    if (!slice_eq(name, SLICE("interval")))
        return fault_set(why, "There are the parameters interval (such as 1s) and once=1."), false;
    if (!http_duration_parse(value, &t->interval_ns) || t->interval_ns < SHORTEST_NS || t->interval_ns > LONGEST_NS)
        return fault_set(why, "interval is a time from 100ms to 1h, such as 1s."), false;
    return true;
}

static void run(struct admin_call *call)
{
    const struct config *c = call->config;
    struct top_call     *t = mem_alloc(sizeof *t);
    struct lately        unused = { .requests = 0 };

    t->interval_ns = NS_PER_SEC;
    if (!follow_read_query(call, take, t)) {
        free(t);
        return;
    }
    t->before = mem_alloc((c->upstream_count + 1) * sizeof *t->before);
    for (unsigned i = 0; i < c->upstream_count; i++)
        see(c->upstreams[i].traffic, &t->before[i], &unused);
    t->from_ns = clock_mono_ns();
    t->next_ns = t->from_ns + t->interval_ns;
    follow_begin(&t->follow, call, RECORD_NEWEST, true);
    t->follow.ends_with_configuration = true;
    call->own = (struct admin_own){ .state = t, .free = top_free };
    admin_start(call, 200, "application/x-ndjson", write_more);
    admin_go_on(call);
}

const struct endpoint endpoint_top = { "/top", HTTP_GET, run, ON_QUERY_SOCKET };
