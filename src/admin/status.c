/*
 * /status: what the daemon is, has stored and has counted, and its upstreams.
 */
#include "admin/internal.h"

#include "base/clock.h"
#include "base/counters.h"

#include <stdlib.h>
#include <unistd.h>

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

    store_hurry(store); /* who asks again finds it counted */
    s = store_status(store);
    return json_pack("{s:I, s:I, s:I, s:I, s:b}", "records", (json_int_t)s.records, "body_files",
                     (json_int_t)s.body_files, "bytes", (json_int_t)s.bytes, "max_bytes", (json_int_t)s.max_bytes,
                     "broken", s.broken);
}

static void open_list(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;
    json_t *facts = json_pack("{s:s, s:i, s:f, s:s, s:s*, s:i, s:o, s:o, s:o, s:i}", "version", PACKAGE_VERSION, "pid",
                              (int)getpid(), "uptime_s",
                              (double)(clock_wall_ns() - services->started_wall_ns) / NS_PER_SEC, "config",
                              call->config->file != NULL ? call->config->file : "embedded default", "data",
                              services->data, "workers", (int)call->config->workers, "cache",
                              cache_json(services->store), "jobs", admin_job_states(call), "counters", counters_json(),
                              "flights", (int)call->report.flights);
    char   *text = json_dumps(facts, JSON_INDENT(2));
    struct slice all = slice_of(text);

    json_decref(facts);
    admin_write(call, slice_sub(all, 0, all.len - (sizeof "\n}" - 1)));
    admin_write(call, SLICE(",\n  \"upstreams\": ["));
    free(text);
}

static void run(struct admin_call *call)
{
    static const struct listing_kind kind = { .open = open_list };

    admin_list_upstreams(call, &kind);
}

const struct endpoint endpoint_status = { "/status", HTTP_GET, run, ON_QUERY_SOCKET };
