/*
 * What the upstream thread knows, as rows of JSON: it is asked for a few upstreams at a time, when those before them
 * have gone out, so that neither a thousand upstreams nor a client that reads slowly take memory.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "config/mode.h"

#include <stdlib.h>

enum { UPSTREAMS_AT_ONCE = 32 };

static double seconds(int64_t ns)
{
    return (double)ns / NS_PER_SEC;
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

    if (l->is_metered)
        json_object_set_new(o, "metered",
                            json_pack("{s:I, s:I, s:I, s:i}", "reserved", (json_int_t)l->reserved, "settled",
                                      (json_int_t)l->settled, "unsettled", (json_int_t)l->unsettled, "scale",
                                      (int)l->scale));
    if (l->credential[0] != '\0')
        json_object_set_new(o, "credential", json_string(l->credential));
    if (l->told_by[0] != '\0')
        json_object_set_new(o, "learned_from", json_string(l->told_by));
    if (e->lost_ago_ns >= 0)
        json_object_set_new(o, "lost_ago_s", json_real(seconds(e->lost_ago_ns)));
    return o;
}

/* What limit_json() leaves out. */
static void add_more(struct listing *l, const struct upstream_report_entry *e)
{
    if (l->more == NULL)
        l->more = json_array();
    if (e->more_limits > 0)
        json_array_append_new(l->more, json_pack("{s:s, s:i}", "upstream", e->name, "buckets", (int)e->more_limits));
}

static json_t *quantile_json(const struct histogram_sum *sum, double share)
{
    const int64_t ns = histogram_quantile_ns(sum, share);

    return ns >= 0 ? json_real(seconds(ns)) : json_null();
}

static json_t *times_json(const struct histogram_sum *sum)
{
    return json_pack("{s:I, s:o, s:o}", "count", (json_int_t)sum->count, "p50_s", quantile_json(sum, 0.50), "p95_s",
                     quantile_json(sum, 0.95));
}

/* How long requests took since the start: client's, in the queue, and attempts at the API. */
static json_t *latency_json(const struct admin_call *call, const struct upstream_report_entry *e)
{
    const struct config_upstream *up = config_find_upstream(call->config, e->name);
    struct traffic_sum            sum = { 0 };

    if (up != NULL)
        traffic_gather(&sum, up->traffic);
    return json_pack("{s:o, s:o, s:o}", "client", times_json(&sum.client), "queue", times_json(&sum.queue), "api",
                     times_json(&e->took));
}

/* *until: seconds since 1970, null where it does not end by itself. */
static const char *mode_of(const struct admin_call *call, const char *name, json_t **until)
{
    const struct config_upstream *up = config_find_upstream(call->config, name);
    int64_t                       now = clock_wall_ns();
    struct mode_set               set = up != NULL ? config_mode_set_of(up, now) : (struct mode_set){ .is_set = false };

    *until = set.is_set && set.until_wall_ns != INT64_MAX ? json_integer(set.until_wall_ns / NS_PER_SEC) : json_null();
    return up != NULL ? config_mode_name(config_mode_now(up, now)) : "live";
}

static json_t *entry_json(const struct admin_call *call, const struct upstream_report_entry *e, bool names)
{
    json_t     *until, *limits = json_array();
    const char *mode = mode_of(call, e->name, &until);

    for (unsigned i = 0; i < e->limit_count; i++)
        json_array_append_new(limits, limit_json(e, &e->limits[i], names));
    return json_pack("{s:s, s:s, s:o, s:i, s:i, s:i, s:I, s:I, s:I, s:I, s:I, s:b, s:o, s:o, s:o}", "name", e->name,
                     "mode", mode, "mode_until", until, "in_flight", (int)e->in_flight, "waiting", (int)e->waiting,
                     "connections", (int)e->connections, "requests", (json_int_t)e->counts.requests, "attempts",
                     (json_int_t)e->counts.attempts, "retries", (json_int_t)e->counts.retries, "failures",
                     (json_int_t)e->counts.failures, "unsent", (json_int_t)e->counts.unsent, "breaker_open",
                     e->breaker_open, "predicted_wait_s",
                     e->predicted_ns < INT64_MAX / 2 ? json_real(seconds(e->predicted_ns)) : json_null(), "latency",
                     latency_json(call, e), "limits", limits);
}

/* The row that comes next of those that the upstream thread has told. */
static bool take_row(struct admin_call *call, json_t **row)
{
    struct listing *l = &call->listing;
    const bool      names = call->rights.may_change;

    for (; l->entry < call->report.count; l->entry++, l->limit = 0) {
        const struct upstream_report_entry *e = &call->report.entries[l->entry];

        if (l->limit == 0 && !admin_may_see(call, e->name))
            continue;
        if (l->kind->of_limits && l->limit < e->limit_count) {
            *row = limit_json(e, &e->limits[l->limit++], names);
            return true;
        }
        if (l->kind->of_limits) {
            add_more(l, e);
            continue;
        }
        l->entry++;
        *row = entry_json(call, e, names);
        return true;
    }
    return false;
}

/* As Jansson would have written the list whole. */
static void write_row(struct admin_call *call, json_t *row)
{
    char        *text = row != NULL ? json_dumps(row, JSON_INDENT(2)) : NULL;
    struct slice rest = slice_of(text);
    const char  *before = call->listing.has_rows ? ",\n    " : "\n    ";

    while (rest.len > 0) {
        size_t end = slice_find(rest, '\n', 0);

        admin_write(call, slice_of(before));
        admin_write(call, slice_sub(rest, 0, end));
        rest = slice_sub(rest, end + 1, rest.len);
        before = "\n    ";
        call->listing.has_rows = true;
    }
    free(text);
    json_decref(row);
}

static void close_list(struct admin_call *call)
{
    struct listing *l = &call->listing;
    json_t         *row;
    size_t          i;

    admin_write(call, l->has_rows ? SLICE("\n  ]") : SLICE("]"));
    if (l->kind->of_limits) {
        l->has_rows = false;
        admin_write(call, SLICE(",\n  \"more\": ["));
        json_array_foreach(l->more, i, row) write_row(call, json_incref(row));
        admin_write(call, l->has_rows ? SLICE("\n  ]") : SLICE("]"));
    }
    admin_write(call, SLICE("\n}"));
    admin_finish(call);
}

static void page_known(struct mail *);

static void write_more(struct admin_call *call)
{
    json_t *row;

    while (admin_has_room(call)) {
        if (take_row(call, &row)) {
            write_row(call, row);
        } else if (call->report.has_more) {
            arena_reset(&call->report.arena);
            call->listing.entry = 0;
            admin_ask_upstream(call, page_known);
            return;
        } else {
            close_list(call);
            return;
        }
    }
}

static void page_known(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);

    if (!admin_resume(call))
        return;
    if (!admin_is_done(call)) {
        admin_start(call, 200, "application/json", write_more);
        call->listing.kind->open(call);
    }
    admin_go_on(call);
}

void admin_list_upstreams(struct admin_call *call, const struct listing_kind *kind)
{
    call->listing.kind = kind;
    call->report.most = UPSTREAMS_AT_ONCE;
    admin_ask_upstream(call, page_known);
}
