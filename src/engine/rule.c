/*
 * Where a request goes: its upstream, the rule that holds for it, and what its fields ask for.
 */
#include "engine/internal.h"

#include "engine/dry.h"
#include "http/hop.h"
#include "http/prefer.h"
#include "http/url.h"

bool route_is_own_host(struct exchange *x, struct slice host)
{
    return host.ptr == NULL || guard_is_own_host(x->config, host);
}

static struct route find_route(struct exchange *x, struct slice host)
{
    const struct http_request *r = &x->in.request;

    if (x->in.connected.ptr != NULL)
        return route_find_inside(x->config->routes, x->in.connected, x->in.is_tls, r->target, host, &x->arena);
    return route_find(x->config->routes, r->target, host, route_is_own_host(x, host), &x->arena);
}

enum step step_route(struct exchange *x)
{
    x->route = find_route(x, http_fields_get(&x->in.request.fields, HTTP_HOST));
    if (x->route.upstream != NULL)
        x->up = &x->config->upstreams[x->route.upstream->index];
    if (x->up != NULL) {
        mode_decide(x);
        joining_count(x);
    }
    return STEP_ADMIT;
}

/* Nothing was sent; the value is told as far as it can be. */
enum step rule_refuse_field(struct exchange *x, const struct bad_wish *bad)
{
    enum { LONGEST = 80 };
    size_t length = bad->value.len < LONGEST ? bad->value.len : LONGEST;
    char  *value = arena_alloc(&x->arena, length + 1);

    if (length > 0)
        memcpy(value, bad->value.ptr, length);
    for (char *c = value; *c != '\0'; c++)
        if ((unsigned char)*c < 0x20 || (unsigned char)*c >= 0x7f)
            *c = '?';
    return reply_problem(x, &(struct problem){
                                .kind = PROBLEM_MALFORMED_REQUEST,
                                .retry_after_ns = -1,
                                .detail = arena_printf(&x->arena, SLICE_FMT ": \"%s\"%s: %s. Nothing was sent.",
                                                       SLICE_ARG(bad->name), value,
                                                       bad->value.len > LONGEST ? "..." : "", bad->wanted) });
}

/* Is it to be answered later?  An item of a batch, what is a job already, and a run's, whose mode ends with it, are
 * not. */
static void look_when(struct exchange *x)
{
    if (x->in.job != NULL || x->in.batch != 0 || x->mode.run != NULL || x->mode.dry != NULL ||
        x->engine->services->later == NULL)
        return;
    x->service.is_wanted = x->wish.async || (x->up->jobs && prefer_read(&x->in.request.fields).respond_async);
    if (!x->service.is_wanted)
        return;
    x->service.asked = x->in.request;
    x->service.asked.fields = http_fields_copy(&x->in.request.fields, &x->arena);
}

enum step step_rule(struct exchange *x)
{
    const struct http_request *r = &x->in.request;
    struct bad_wish            bad;

    if (!http_target_is_valid(x->route.target) || x->route.target.ptr[0] != '/')
        return reply_refusal(x, &(struct refusal){ PROBLEM_MALFORMED_REQUEST,
                                                   "The target holds a character that must be percent-encoded." });
    x->rule = route_rule_find(x->route.upstream, r, x->route.path, &x->arena);
    x->policy = route_policy(x->route.upstream, x->rule);
    if (!policy_wish(r, &x->wish, &bad))
        return rule_refuse_field(x, &bad);
    if (x->wish.async || x->up->jobs)
        look_when(x);
    if (x->mode.holds == MODE_READ_ONLY && !http_method_is_safe(r->method))
        return reply_problem(x, &(struct problem){
                                    .kind = PROBLEM_READ_ONLY,
                                    .retry_after_ns = -1,
                                    .reason = "read-only",
                                    .detail = SLICE("This upstream's mode is read_only: safe methods only.") });
    if (x->wish.dry != DRY_NOT)
        mode_decide(x);
    dry_begin(x);
    /* What Connection names is between the client and Weir (RFC 9110 7.6.1): it never goes upstream, so nothing that
     * depends on what the API was asked may look at it either. */
    http_fields_drop_named(&x->in.request.fields, &x->arena);
    dress_request(x);
    inject_decide(x);
    return x->mode.holds == MODE_REPLAY && x->mode.dry == NULL ? STEP_REPLAY : STEP_KEY;
}
