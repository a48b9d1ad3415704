/*
 * /status, /limits and /upstreams: what the daemon has counted and what the
 * upstream thread knows, as JSON.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "http/url.h"

#include <unistd.h>

static double seconds(int64_t ns)
{
    return (double)ns / NS_PER_SEC;
}

static json_t *counters_json(void)
{
    json_t *o = json_object();

    for (int i = 0; i < COUNTER_COUNT; i++)
        json_object_set_new(o, counter_table[i].name, json_integer((json_int_t)counter_sum((enum counter)i)));
    return o;
}

static json_t *cache_json(struct store *store)
{
    struct store_status s;

    store_hurry(store);               /* who asks again finds it counted */
    s = store_status(store);
    return json_pack("{s:I, s:I, s:I, s:I, s:b}", "records", (json_int_t)s.records, "body_files",
                     (json_int_t)s.body_files, "bytes", (json_int_t)s.bytes, "max_bytes", (json_int_t)s.max_bytes,
                     "broken", s.broken);
}

/* Who waits is the admin's to know. */
static json_t *clients_json(const struct upstream_limit_report *l, bool names)
{
    json_t *list = json_array();

    for (unsigned i = 0; names && i < l->client_count; i++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:i}", "client", l->clients[i].client, "priority",
                                              l->clients[i].batch ? "batch" : "interactive", "waiting",
                                              (int)l->clients[i].count));
    return list;
}

static json_t *limit_json(const struct upstream_report_entry *e, const struct upstream_limit_report *l, bool names)
{
    json_t *o = json_pack("{s:s, s:s, s:s, s:I, s:I, s:f, s:f, s:i, s:o}", "upstream", e->name, "limit", l->name,
                          "kind", l->kind, "allowed", (json_int_t)l->allowed, "left", (json_int_t)l->left,
                          "resets_in_s", seconds(l->resets_in_ns), "blocked_for_s", seconds(l->blocked_for_ns),
                          "waiting", (int)l->waiting, "clients", clients_json(l, names));

    if (l->credential[0] != '\0')
        json_object_set_new(o, "credential", json_string(l->credential));
    if (l->told_by[0] != '\0')
        json_object_set_new(o, "learned_from", json_string(l->told_by));
    if (e->lost_ago_ns >= 0)
        json_object_set_new(o, "lost_ago_s", json_real(seconds(e->lost_ago_ns)));
    return o;
}

static void add_limits(json_t *list, const struct upstream_report_entry *e, bool names)
{
    for (unsigned i = 0; i < e->limit_count; i++)
        json_array_append_new(list, limit_json(e, &e->limits[i], names));
}

/* What limit_json() leaves out. */
static json_t *more_json(const struct admin_call *call)
{
    const struct upstream_report *report = &call->report;
    json_t                       *list = json_array();

    for (unsigned i = 0; i < report->count; i++)
        if (report->entries[i].more_limits > 0 && admin_may_see(call, report->entries[i].name))
            json_array_append_new(list, json_pack("{s:s, s:i}", "upstream", report->entries[i].name, "buckets",
                                                  (int)report->entries[i].more_limits));
    return list;
}

static json_t *entry_json(const struct upstream_report_entry *e, bool names)
{
    json_t *limits = json_array();

    add_limits(limits, e, names);
    return json_pack("{s:s, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o}", "name", e->name, "in_flight",
                     (int)e->in_flight, "waiting", (int)e->waiting, "connections", (int)e->connections, "requests",
                     (json_int_t)e->requests, "attempts", (json_int_t)e->attempts, "retries",
                     (json_int_t)e->retries, "failures", (json_int_t)e->failures, "unsent", (json_int_t)e->unsent,
                     "breaker_open", e->breaker_open, "predicted_wait_s",
                     e->predicted_ns < INT64_MAX / 2 ? json_real(seconds(e->predicted_ns)) : json_null(),
                     "limits", limits);
}

static json_t *entries_json(const struct admin_call *call)
{
    const struct upstream_report *report = &call->report;
    json_t                       *list = json_array();

    for (unsigned i = 0; i < report->count; i++)
        if (admin_may_see(call, report->entries[i].name))
            json_array_append_new(list, entry_json(&report->entries[i], call->rights.may_change));
    return list;
}

static void status_known(struct mail *m)
{
    struct admin_call           *call = CONTAINER_OF(m, struct admin_call, report.done);
    const struct admin_services *services = call->admin->services;

    if (!admin_resume(call))
        return;
    admin_answer_json(call, 200, json_pack(
        "{s:s, s:i, s:f, s:s, s:i, s:o, s:o, s:i, s:o}",
        "version", PACKAGE_VERSION, "pid", (int)getpid(),
        "uptime_s", seconds(clock_wall_ns() - services->started_wall_ns),
        "config", call->config->file != NULL ? call->config->file : "embedded default",
        "workers", (int)call->config->workers,
        "cache", cache_json(services->store), "counters", counters_json(),
        "flights", (int)call->report.flights, "upstreams", entries_json(call)));
}

void admin_status(struct admin_call *call)
{
    admin_ask_upstream(call, status_known);
}

static void limits_known(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);
    json_t            *list;

    if (!admin_resume(call))
        return;
    list = json_array();
    for (unsigned i = 0; i < call->report.count; i++)
        if (admin_may_see(call, call->report.entries[i].name))
            add_limits(list, &call->report.entries[i], call->rights.may_change);
    admin_answer_json(call, 200, json_pack("{s:o, s:o}", "limits", list, "more", more_json(call)));
}

static const char *decoded(struct slice text, struct arena *a)
{
    return arena_copy(a, http_percent_decode(text, a)).ptr;
}

/* ?name=NAME: one limit, or one credential as it is shown. */
void admin_limits(struct admin_call *call)
{
    struct slice rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t at = slice_find(parameter, '=', 0);

        if (slice_eq(slice_sub(parameter, 0, at), SLICE("name")) && at < parameter.len)
            call->report.only = decoded(slice_sub(parameter, at + 1, parameter.len), &call->arena);
    }
    admin_ask_upstream(call, limits_known);
}

static void upstreams_known(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);

    if (admin_resume(call))
        admin_answer_json(call, 200, json_pack("{s:o}", "upstreams", entries_json(call)));
}

void admin_upstreams(struct admin_call *call)
{
    admin_ask_upstream(call, upstreams_known);
}
