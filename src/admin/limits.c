/*
 * /limits: every limit of every upstream, or those of one name.
 */
#include "admin/internal.h"

#include "http/url.h"

static void open_list(struct admin_call *call)
{
    admin_write(call, SLICE("{\n  \"limits\": ["));
}

static const char *decoded(struct slice text, struct arena *a)
{
    return arena_copy(a, http_percent_decode(text, a)).ptr;
}

/* ?name=NAME: one limit, or one credential as it is shown. */
static void run(struct admin_call *call)
{
    static const struct listing_kind kind = { .open = open_list, .of_limits = true };
    struct slice                     rest = call->query, parameter;

    while (http_query_next(&rest, &parameter)) {
        size_t at = slice_find(parameter, '=', 0);

        if (slice_eq(slice_sub(parameter, 0, at), SLICE("name")) && at < parameter.len)
            call->report.only = decoded(slice_sub(parameter, at + 1, parameter.len), &call->arena);
    }
    admin_list_upstreams(call, &kind);
}

const struct endpoint endpoint_limits = { "/limits", HTTP_GET, run, ON_QUERY_SOCKET };
