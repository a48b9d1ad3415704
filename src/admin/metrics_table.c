/*
 * The table of what /metrics says: a row for each metric, after those that base/counters.def has.
 *
 * Names are an interface; they stay.  tools/update-sources writes the same table into doc/ADMIN.md.
 */
#include "admin/metrics.h"

#include "base/clock.h"
#include "base/counters.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

typedef void write_metric(struct admin_call *, const struct metric *, const struct metric_row *);

static double seconds(int64_t ns)
{
    return (double)ns / NS_PER_SEC;
}

static const char *name_of(const struct metric_row *row)
{
    return row->up != NULL ? row->up->route.name : "";
}

/* -- of the process -- */

static void write_build(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_number(call, m, 1, LABELS("version", PACKAGE_VERSION));
}

static void write_start(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_real(call, m, seconds(call->admin->services->started_wall_ns), NO_LABELS);
}

static double seconds_of(struct timeval t)
{
    return (double)t.tv_sec + (double)t.tv_usec / 1e6;
}

static void write_cpu(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    struct rusage usage = { 0 };

    (void)row;
    getrusage(RUSAGE_SELF, &usage);
    metric_real(call, m, seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime), NO_LABELS);
}

static void write_memory(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    unsigned long long pages = 0;
    FILE              *statm = fopen("/proc/self/statm", "re");

    (void)row;
    if (statm == NULL)
        return;
    if (fscanf(statm, "%*u %llu", &pages) == 1)
        metric_number(call, m, pages * (uint64_t)sysconf(_SC_PAGESIZE), NO_LABELS);
    fclose(statm);
}

static struct admin_connections connections_of(const struct admin_call *call)
{
    const struct admin_services *s = call->admin->services;

    return s->connections(s->front);
}

static void write_clients(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_number(call, m, connections_of(call).clients, NO_LABELS);
}

static void write_tunnels(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_number(call, m, connections_of(call).tunnels, NO_LABELS);
}

static void write_flights(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_number(call, m, call->report.flights, NO_LABELS);
}

static void write_jobs(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    json_t     *states = admin_job_states(call), *n;
    const char *state;

    (void)row;
    json_object_foreach(states, state, n)
        metric_number(call, m, (uint64_t)json_integer_value(n), LABELS("state", state));
    json_decref(states);
}

#define STORE_METRIC(field) \
    static void write_store_##field(struct admin_call *call, const struct metric *m, const struct metric_row *row) \
    { \
        (void)row; \
        metric_number(call, m, store_status(call->admin->services->store).field, NO_LABELS); \
    }
STORE_METRIC(records)
STORE_METRIC(body_files)
STORE_METRIC(bytes)
STORE_METRIC(max_bytes)
STORE_METRIC(broken)

static const struct admin_reloads *reloads_of(const struct admin_call *call)
{
    return call->admin->services->reloads;
}

static void write_reload_ok(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_number(call, m, !atomic_load_explicit(&reloads_of(call)->last_failed, memory_order_relaxed), NO_LABELS);
}

static void write_reload_time(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    metric_real(call, m, seconds(atomic_load_explicit(&reloads_of(call)->loaded_wall_ns, memory_order_relaxed)),
                NO_LABELS);
}

static void write_reloads(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    const struct admin_reloads *r = reloads_of(call);

    (void)row;
    metric_number(call, m, atomic_load_explicit(&r->good, memory_order_relaxed), LABELS("result", "success"));
    metric_number(call, m, atomic_load_explicit(&r->bad, memory_order_relaxed), LABELS("result", "failure"));
}

/* -- requests, by upstream -- */

/* What is there from the beginning, so that a rate of it begins with the first one; the rest comes when it has been. */
static bool is_usual(unsigned cell)
{
    static const struct {
        enum traffic_method  method;
        unsigned             status;
        enum traffic_outcome outcome;
    } usual[] = {
        { TRAFFIC_SAFE, 200, TRAFFIC_HIT },         { TRAFFIC_SAFE, 200, TRAFFIC_STALE },
        { TRAFFIC_SAFE, 200, TRAFFIC_REVALIDATED }, { TRAFFIC_SAFE, 200, TRAFFIC_MISS },
        { TRAFFIC_SAFE, 200, TRAFFIC_PASS },        { TRAFFIC_UNSAFE, 200, TRAFFIC_PASS },
        { TRAFFIC_SAFE, 500, TRAFFIC_FAILED },      { TRAFFIC_SAFE, 400, TRAFFIC_REFUSED },
    };

    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++)
        if (traffic_cell(usual[i].method, usual[i].status, usual[i].outcome) == cell)
            return true;
    return false;
}

static void write_requests(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    static const char *const statuses[TRAFFIC_STATUSES] = { "1xx", "2xx", "3xx", "4xx", "5xx" };
    struct traffic_sum       sum = { 0 };

    traffic_gather(&sum, row->traffic);
    for (unsigned i = 0; i < TRAFFIC_CELLS; i++)
        if (sum.requests[i] > 0 || (row->up != NULL && is_usual(i)))
            metric_number(call, m, sum.requests[i],
                          LABELS("upstream", name_of(row), "method",
                                 traffic_method_labels[i / TRAFFIC_OUTCOMES / TRAFFIC_STATUSES], "status",
                                 statuses[i / TRAFFIC_OUTCOMES % TRAFFIC_STATUSES], "cache",
                                 traffic_outcome_labels[i % TRAFFIC_OUTCOMES]));
}

static void write_sent(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    struct traffic_sum sum = { 0 };

    traffic_gather(&sum, row->traffic);
    metric_number(call, m, sum.sent_bytes, LABELS("upstream", name_of(row)));
}

static void write_received(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    struct traffic_sum sum = { 0 };

    traffic_gather(&sum, row->traffic);
    metric_number(call, m, sum.received_bytes, LABELS("upstream", name_of(row)));
}

/* Hits take microseconds; what an API is asked for does not. */
enum { CLIENT_FIRST = 16, API_FIRST = 20, TIMES_LAST = 36 };

static void write_client_times(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    struct traffic_sum sum = { 0 };

    traffic_gather(&sum, row->traffic);
    metric_histogram(call, m, name_of(row), &sum.client, CLIENT_FIRST, TIMES_LAST);
}

static void write_queue_times(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    struct traffic_sum sum = { 0 };

    if (row->up == NULL)
        return;
    traffic_gather(&sum, row->traffic);
    metric_histogram(call, m, name_of(row), &sum.queue, API_FIRST, TIMES_LAST);
}

static void write_api_times(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    if (row->up != NULL)
        metric_histogram(call, m, name_of(row), &row->entry->took, API_FIRST, TIMES_LAST);
}

/* -- the upstream thread's -- */

/* What seldom happens comes when it has. */
static bool is_seldom(unsigned kind)
{
    return kind == ATTEMPT_KIND_CUT_SHORT || kind == ATTEMPT_KIND_INVALID;
}

static void write_kinds(struct admin_call *call, const struct metric *m, const struct metric_row *row,
                        const uint64_t counts[ATTEMPT_KINDS], unsigned usual, const char *label)
{
    for (unsigned i = 0; row->up != NULL && i < ATTEMPT_KINDS; i++)
        if (counts[i] > 0 || (i >= usual && !is_seldom(i)))
            metric_number(call, m, counts[i], LABELS("upstream", name_of(row), label, attempt_kind_labels[i]));
}

static void write_attempts(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    write_kinds(call, m, row, row->entry->counts.ended, ATTEMPT_KIND_OK, "outcome");
}

/* After an answer that was one nothing is tried again but what came with an expectation that nobody could meet. */
static void write_retries(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    write_kinds(call, m, row, row->entry->counts.retried, ATTEMPT_KIND_STATUS, "cause");
}

static void write_prefetches(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    const struct upstream_counts *n = &row->entry->counts;
    const struct {
        const char *result;
        uint64_t    count;
    } all[] = { { "sent", n->early_sent }, { "used", n->early_used }, { "wasted", n->early_wasted } };

    for (size_t i = 0; row->up != NULL && i < sizeof all / sizeof *all; i++)
        metric_number(call, m, all[i].count, LABELS("upstream", name_of(row), "result", all[i].result));
}

#define ENTRY_METRIC(name, value) \
    static void write_##name(struct admin_call *call, const struct metric *m, const struct metric_row *row) \
    { \
        const struct upstream_report_entry *e = row->entry; \
\
        if (row->up != NULL) \
            metric_number(call, m, (value), LABELS("upstream", name_of(row))); \
    }
ENTRY_METRIC(api_bytes, e->counts.body_bytes)
ENTRY_METRIC(in_flight, e->in_flight)
ENTRY_METRIC(waiting, e->waiting)
ENTRY_METRIC(api_connections, e->connections)
ENTRY_METRIC(breaker_open, e->breaker_open)
ENTRY_METRIC(breaker_opened, e->counts.breaker_opened)
ENTRY_METRIC(refusals, e->counts.refused)
ENTRY_METRIC(heard, e->counts.heard)
ENTRY_METRIC(forgotten, e->counts.forgotten)

static void write_predicted(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    const int64_t ns = row->entry->predicted_ns;

    if (row->up != NULL)
        metric_real(call, m, ns < INT64_MAX / 2 ? seconds(ns) : INFINITY, LABELS("upstream", name_of(row)));
}

static void write_certificate(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    if (row->up != NULL && row->entry->certificate_ends_s != 0)
        metric_real(call, m, (double)row->entry->certificate_ends_s, LABELS("upstream", name_of(row)));
}

/* -- budgets: a line for each limit that is configured, and one for what else the API says of itself -- */

struct budget_line {
    const char *limit;
    uint64_t    allowed, left, waiting;
    int64_t     blocked_ns, window_ns;        /* window 0: not known */
    bool        is_metered;                   /* it counts in any unit: */
    uint64_t    reserved, settled, unsettled; /* over all credentials */
    unsigned    scale;
};

static double share_left(uint64_t left, uint64_t allowed)
{
    return allowed > 0 ? (double)left / (double)allowed : 1.0;
}

/* Of the buckets that a limit has (one for each credential) the one with the smallest share left speaks. */
static void take_bucket(struct budget_line *line, const struct upstream_limit_report *l)
{
    if (line->allowed == 0 || share_left(l->left, l->allowed) < share_left(line->left, line->allowed)) {
        line->allowed = l->allowed;
        line->left = l->left;
    }
    line->waiting += l->waiting;
    if (l->blocked_for_ns > line->blocked_ns)
        line->blocked_ns = l->blocked_for_ns;
    if (l->is_metered) {
        line->reserved = l->reserved;
        line->settled = l->settled;
        line->unsettled = l->unsettled;
    }
}

static struct budget_line line_of(const struct upstream_report_entry *e, const struct limit_options *o)
{
    struct budget_line line = { .limit = o->name,
                                .window_ns = o->window_ns,
                                .is_metered = limit_is_metered(o),
                                .scale = o->scale };

    for (unsigned i = 0; i < e->limit_count; i++)
        if (!e->limits[i].is_of_api && strcmp(e->limits[i].name, o->name) == 0)
            take_bucket(&line, &e->limits[i]);
    if (line.allowed == 0)
        line.allowed = line.left = o->kind == LIMIT_BUCKET ? o->burst : o->count;
    return line;
}

/* False: nothing is known but what is configured. */
static bool line_of_api(const struct upstream_report_entry *e, struct budget_line *line)
{
    bool any = false;

    *line = (struct budget_line){ .limit = "learned" };
    for (unsigned i = 0; i < e->limit_count; i++) {
        if (!e->limits[i].is_of_api)
            continue;
        take_bucket(line, &e->limits[i]);
        any = true;
    }
    return any;
}

/* Two limits of one name are one. */
static bool is_told(const struct upstream_options *o, unsigned limit, const char *name)
{
    for (unsigned i = 0; i < limit; i++)
        if (strcmp(o->limits[i].name, name) == 0)
            return true;
    return false;
}

typedef void write_line(struct admin_call *, const struct metric *, const char *upstream, const struct budget_line *);

static void write_budget(struct admin_call *call, const struct metric *m, const struct metric_row *row,
                         write_line *write)
{
    const struct upstream_options *o = row->up != NULL ? &row->up->fetch : NULL;
    struct budget_line             line;

    for (unsigned i = 0; o != NULL && i < o->limit_count; i++) {
        line = line_of(row->entry, &o->limits[i]);
        if (!is_told(o, i, line.limit))
            write(call, m, name_of(row), &line);
    }
    if (o != NULL && line_of_api(row->entry, &line) && !is_told(o, o->limit_count, line.limit))
        write(call, m, name_of(row), &line);
}

/* As the rate's text counts it: dollars, and not millionths of them. */
static void write_units(struct admin_call *call, const struct metric *m, uint64_t units, const struct budget_line *line,
                        const char *const *labels)
{
    if (line->scale == 0)
        metric_number(call, m, units, labels);
    else
        metric_real(call, m, (double)units / pow(10, line->scale), labels);
}

#define BUDGET_METRIC(name, write_line) \
    static void line_##name(struct admin_call *call, const struct metric *m, const char *upstream, \
                            const struct budget_line *line) \
    { \
        const char *const *labels = LABELS("upstream", upstream, "limit", line->limit); \
\
        write_line; \
    } \
    static void write_budget_##name(struct admin_call *call, const struct metric *m, const struct metric_row *row) \
    { \
        write_budget(call, m, row, line_##name); \
    }
BUDGET_METRIC(allowed, write_units(call, m, line->allowed, line, labels))
BUDGET_METRIC(left, write_units(call, m, line->left, line, labels))
BUDGET_METRIC(waiting, metric_number(call, m, line->waiting, labels))
BUDGET_METRIC(window, metric_real(call, m, seconds(line->window_ns), labels))
BUDGET_METRIC(blocked, metric_real(call, m, seconds(line->blocked_ns), labels))

#define METERED_METRIC(name) BUDGET_METRIC(name, if (line->is_metered) write_units(call, m, line->name, line, labels))
METERED_METRIC(reserved)
METERED_METRIC(settled)
METERED_METRIC(unsettled)

/* -- the table -- */

static const struct metric table[] = {
#define METRIC(name, type, by_upstream, labels, write, help) { name, METRIC_##type, help, by_upstream, write },
#include "admin/metrics.def"
#undef METRIC
};

enum { TABLE_COUNT = sizeof table / sizeof table[0] };

unsigned metrics_count(void)
{
    return COUNTER_COUNT + TABLE_COUNT;
}

static void write_counter(struct admin_call *call, const struct metric *m, const struct metric_row *row)
{
    (void)row;
    for (int i = 0; i < COUNTER_COUNT; i++)
        if (m->help == counter_table[i].help)
            metric_number(call, m, counter_sum((enum counter)i), NO_LABELS);
}

const struct metric *metrics_at(unsigned index, struct metric *own, char name[64])
{
    if (index >= COUNTER_COUNT)
        return &table[index - COUNTER_COUNT];
    snprintf(name, 64, "weir_%s", counter_table[index].name);
    *own = (struct metric){ name, METRIC_COUNTER, counter_table[index].help, false, write_counter };
    return own;
}
