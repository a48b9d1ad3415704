/*
 * What the access log says of an exchange.
 */
#include "engine/internal.h"

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
static struct slice name_for_log(const struct exchange *x)
{
    if (x->client.name.ptr != NULL && x->client.name.ptr != x->in.peer)
        return x->client.name;
    return x->wish.client.ptr != NULL ? x->wish.client : x->in.proxy_user;
}

struct access_record exchange_describe(const struct exchange *x, struct arena *a)
{
    return (struct access_record){
        .started_wall_ns = x->log.started_wall_ns,
        .id = x->id,
        .peer = x->in.peer,
        .client = name_for_log(x),
        .method = x->in.request.method_name,
        .upstream = x->up != NULL ? x->up->route.name : NULL,
        .target = loggable_target(x, a),
        .rule = x->rule != NULL ? x->rule->policy.label : NULL,
        .status = x->log.refused_status != 0 ? x->log.refused_status
                  : x->at == STEP_DONE       ? x->reply.status
                                             : 499,
        .received_bytes = x->body.received_bytes,
        .cache = x->log.cache != NULL ? x->log.cache : "none",
        .forward = x->forwarded ? forward_reason_token(x->decision.forward) : NULL,
        .detail = x->log.detail,
        .outcome = &x->outcome,
    };
}
