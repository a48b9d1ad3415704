/*
 * What the access log says of an exchange.
 */
#include "engine/internal.h"

#include "engine/dry.h"
#include "engine/runs.h"

/* Credentials are redacted; where no upstream says which parameters they are in, the whole query is. */
static struct slice loggable_target(const struct exchange *x, struct arena *a)
{
    struct slice target = x->in.request.target;
    size_t       query = slice_find(target, '?', 0);

    if (x->policy != NULL)
        return policy_redact_target(x->policy, target, a);
    if (query == target.len)
        return target;
    return arena_printf(a, SLICE_FMT "?***", SLICE_ARG(slice_sub(target, 0, query)));
}

/* What it calls itself, where it does. */
static struct slice own_name(const struct exchange *x)
{
    if (x->client.is_named)
        return x->client.name;
    return x->wish.client.ptr != NULL ? x->wish.client : runs_name(x->in.proxy_user);
}

static struct slice field_named(const struct http_fields *f, struct slice name)
{
    for (unsigned i = 0; i < f->count; i++)
        if (slice_eq_nocase(f->items[i].name, name))
            return f->items[i].value;
    return SLICE_NONE;
}

/* A page's address without its query and whoever's name: what the client came from may hold credentials. */
static struct slice loggable_referer(struct slice referer, struct arena *a)
{
    size_t       query = slice_find(referer, '?', 0), at = slice_find(referer, '@', 0);
    struct slice page = slice_sub(referer, 0, query);

    if (at < page.len)
        page = slice_sub(page, at + 1, page.len);
    return query < referer.len ? arena_printf(a, SLICE_FMT "?***", SLICE_ARG(slice_sub(page, 0, 512))) : page;
}

/* Of what went upstream. */
static void describe_outcome(const struct outcome *o, struct request_record *r)
{
    r->collapsed = o->collapsed;
    r->shared_with = (int64_t)o->shared_with;
    r->stored = o->stored;
    r->attempt_count = o->attempt_count;
    r->attempts = o->attempts;
    r->predicted_ns = o->predicted_ns;
    r->queued_ns = o->queued_ns;
    r->upstream_ns = o->upstream_ns;
}

unsigned exchange_status(const struct exchange *x)
{
    return x->log.refused_status != 0 ? x->log.refused_status : x->at == STEP_DONE ? x->reply.status : 499;
}

/* Outcomes stand in the order of their counters. */
_Static_assert(COUNTER_UNANSWERED - COUNTER_HITS == (int)TRAFFIC_LEFT, "counters.def and traffic.h differ");

unsigned exchange_traffic_cell(const struct exchange *x)
{
    return traffic_cell(http_method_is_safe(x->in.request.method) ? TRAFFIC_SAFE : TRAFFIC_UNSAFE, exchange_status(x),
                        (enum traffic_outcome)(x->log.counted - COUNTER_HITS));
}

struct request_record exchange_describe(const struct exchange *x, struct arena *a)
{
    const struct http_fields *f = &x->in.request.fields;
    struct request_record     r = {
            .started_wall_ns = x->log.started_wall_ns,
            .id = (int64_t)x->id,
            .peer = slice_of(x->in.peer),
            .client = own_name(x),
            .uid = -1,
            .pid = -1,
            .method = x->in.request.method_name,
            .upstream = slice_of(x->up != NULL ? x->up->route.name : NULL),
            .target = loggable_target(x, a),
            .version_minor = x->in.request.version_minor,
            .referer = loggable_referer(field_named(f, SLICE("Referer")), a),
            .agent = http_fields_get(f, HTTP_USER_AGENT),
            .rule = slice_of(x->rule != NULL ? x->rule->policy.label : NULL),
            .received_bytes = x->body.received_bytes,
            .batch = (int64_t)x->in.batch,
            .dry = dry_is(x),
            .cache = x->log.cache != NULL ? slice_of(x->log.cache) : SLICE("none"),
            .forward = slice_of(x->so_far.forwarded ? forward_reason_token(x->decision.forward) : NULL),
            .detail = slice_of(x->log.detail),
            .error = slice_of(x->log.error),
    };

    r.status = exchange_status(x);
    describe_outcome(&x->outcome, &r);
    return r;
}
