/*
 * Whether a request is let in: its framing, whose pages may send it, and who may use the upstream that it is for.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "http/list.h"

static bool asks_for_websocket(const struct http_request *r)
{
    struct http_list l = http_list_of_field(&r->fields, HTTP_UPGRADE);
    struct slice     protocol;

    while (http_list_next(&l, &protocol))
        if (slice_eq_nocase(protocol, SLICE("websocket")))
            return true;
    return false;
}

enum step step_guard(struct exchange *x)
{
    struct refusal no = guard_framing(&x->in.request, x->in.head_bytes);

    if (no.kind == PROBLEM_NONE && x->in.is_doubtful)
        no = (struct refusal){ PROBLEM_MALFORMED_REQUEST,
                               "Lines end with CRLF, are not folded, hold no NUL, and fields have names." };
    if (no.kind == PROBLEM_NONE && x->in.request.method == HTTP_CONNECT)
        no = (struct refusal){ PROBLEM_CONNECT_UNSERVED,
                               "Point https_proxy at the forward proxy's address (proxy.listen)." };
    if (no.kind == PROBLEM_NONE && asks_for_websocket(&x->in.request))
        no = (struct refusal){ PROBLEM_WEBSOCKET, "Weir carries requests and answers; connect to the API directly." };
    return no.kind != PROBLEM_NONE ? reply_refusal(x, &no) : joining_run(x);
}

static bool is_admitted(struct exchange *x)
{
    const struct peer *who = admission_asks_user(x->up) ? x->in.who(x->in.owner) : x->in.known(x->in.owner);

    return admission_allows(x->up, who, x->engine->groups, clock_mono_ns());
}

/* Nobody is let in: what would come then is told to who may know it. */
static bool is_passed(struct exchange *x)
{
    if (x->mode.dry == NULL || !x->mode.dry->knows_all)
        return false;
    x->mode.dry->is_denied = true;
    return true;
}

enum step step_admit(struct exchange *x)
{
    const struct refusal no = guard_origin(x->up, &x->in.request, http_fields_get(&x->in.request.fields, HTTP_HOST),
                                           &x->cors_origin);

    if (no.kind != PROBLEM_NONE)
        return reply_refusal(x, &no);
    if (x->up == NULL || x->route.way == ROUTE_OWN)
        return STEP_OWN;
    if (x->up->has_access && !is_admitted(x) && !is_passed(x))
        return reply_problem(x, &(struct problem){ .kind = PROBLEM_NOT_ALLOWED,
                                                   .retry_after_ns = -1,
                                                   .close = true,
                                                   .detail = engine_not_admitted(x->in.who(x->in.owner), &x->arena) });
    return cors_is_preflight(x) ? cors_preflight(x) : STEP_RULE;
}
