/*
 * /upstreams: what the upstream thread knows of each.
 */
#include "admin/internal.h"

static void open_list(struct admin_call *call)
{
    admin_write(call, SLICE("{\n  \"upstreams\": ["));
}

static void run(struct admin_call *call)
{
    static const struct listing_kind kind = { .open = open_list };

    admin_list_upstreams(call, &kind);
}

const struct endpoint endpoint_upstreams = { "/upstreams", HTTP_GET, run, ON_QUERY_SOCKET };
