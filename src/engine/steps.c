/*
 * The steps from a head to a decision: admit, route, key, lookup, decide.
 * They gather facts; policy/ decides.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "http/hop.h"
#include "http/list.h"
#include "http/url.h"
#include "policy/body.h"
#include "policy/range.h"

static bool is_own_host(struct exchange *x, struct slice host)
{
    return host.ptr == NULL || guard_is_own_host(x->config, host);
}

static bool asks_for_websocket(const struct http_request *r)
{
    struct http_list l = http_list_of_field(&r->fields, HTTP_UPGRADE);
    struct slice     protocol;

    while (http_list_next(&l, &protocol))
        if (slice_eq_nocase(protocol, SLICE("websocket")))
            return true;
    return false;
}

enum step step_admit(struct exchange *x)
{
    struct refusal no = guard_framing(&x->in.request, x->in.head_bytes);

    if (no.status == 0 && x->in.is_doubtful)
        no = (struct refusal){ 400, "Malformed request",
                               "Lines end with CRLF, are not folded, hold no NUL, and fields have names." };
    if (no.status == 0 && x->in.request.method == HTTP_CONNECT)
        no = (struct refusal){ 405, "CONNECT is not served here",
                               "Point https_proxy at the forward proxy's address (proxy.listen)." };
    if (no.status == 0 && asks_for_websocket(&x->in.request))
        no = (struct refusal){ 501, "WebSocket is not carried",
                               "Weir carries requests and answers; connect to the API directly." };
    return no.status != 0 ? reply_refusal(x, &no) : STEP_ROUTE;
}

static enum step route_own(struct exchange *x)
{
    struct slice path, query;

    x->cache_word = "own";
    http_target_split(x->in.request.target, &path, &query);
    if (slice_eq(path, SLICE("/.weir/health")))
        return reply_text(x, 200, "text/plain", SLICE("ok\n"));
    return reply_problem(x, &(struct problem){
        .status = 404, .title = "No such endpoint", .retry_after_ns = -1,
        .detail = SLICE("Weir's own endpoint on this port is /.weir/health.") });
}

static enum step route_nowhere(struct exchange *x, struct slice host)
{
    struct slice names = SLICE("");

    if (!is_own_host(x, host))
        return reply_refusal(x, &(struct refusal){
            403, "Unknown host",
            "Host is neither a name of Weir's nor one of an upstream's hosts; allow_hosts can add names." });
    for (unsigned i = 0; i < x->config->upstream_count; i++)
        names = arena_printf(&x->arena, SLICE_FMT "%s/%s", SLICE_ARG(names), i > 0 ? ", " : "",
                             x->config->upstreams[i].route.name);
    return reply_problem(x, &(struct problem){
        .status = 404, .title = "No such upstream", .retry_after_ns = -1,
        .detail = arena_printf(&x->arena, "The path must begin with an upstream's name: " SLICE_FMT ".",
                               SLICE_ARG(names)) });
}

/* RFC 9110 15.5.20: the client was let in to one upstream's hosts, and asks for something else. */
static enum step route_misdirected(struct exchange *x)
{
    return reply_refusal(x, &(struct refusal){
        421, "Misdirected request",
        "Host must be one of the hosts of the upstream that this connection's CONNECT was for." });
}

static struct route find_route(struct exchange *x, struct slice host)
{
    const struct http_request *r = &x->in.request;

    if (x->in.connected.ptr != NULL)
        return route_find_inside(x->config->routes, x->in.connected, x->in.is_tls, r->target, host,
                                 &x->arena);
    return route_find(x->config->routes, r->target, host, is_own_host(x, host), &x->arena);
}

/* Nothing was sent; the value is told as far as it can be. */
static enum step bad_field(struct exchange *x, const struct bad_wish *bad)
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
        .status = 400, .title = "Malformed request", .retry_after_ns = -1,
        .detail = arena_printf(&x->arena, SLICE_FMT ": \"%s\"%s: %s. Nothing was sent.", SLICE_ARG(bad->name), value,
                               bad->value.len > LONGEST ? "..." : "", bad->wanted) });
}

enum step step_route(struct exchange *x)
{
    const struct http_request *r = &x->in.request;
    struct slice               host = http_fields_get(&r->fields, HTTP_HOST);
    struct refusal             no;
    struct bad_wish            bad;

    x->route = find_route(x, host);
    if (x->route.upstream != NULL)
        x->up = &x->config->upstreams[x->route.upstream->index];
    no = guard_origin(x->up, r, host, &x->cors_origin);
    if (no.status != 0)
        return reply_refusal(x, &no);
    if (x->route.way == ROUTE_OWN)
        return route_own(x);
    if (x->up == NULL && x->in.connected.ptr != NULL)
        return route_misdirected(x);
    if (x->up == NULL)
        return route_nowhere(x, host);
    if (x->up->has_access && !admission_allows(x->up, x->in.who(x->in.owner), x->engine->groups, clock_mono_ns()))
        return reply_problem(x, &(struct problem){
            .status = 403, .title = "Not allowed to use this upstream", .retry_after_ns = -1, .close = true,
            .detail = engine_not_admitted(x->in.who(x->in.owner), &x->arena) });
    if (cors_is_preflight(x))
        return cors_preflight(x);
    if (!http_target_is_valid(x->route.target) || x->route.target.ptr[0] != '/')
        return reply_refusal(x, &(struct refusal){
            400, "Malformed request", "The target holds a character that must be percent-encoded." });
    x->rule = route_rule_find(x->route.upstream, r, x->route.path, &x->arena);
    x->policy = route_policy(x->route.upstream, x->rule);
    if (!policy_wish(r, &x->wish, &bad))
        return bad_field(x, &bad);
    if (x->up->mode == MODE_READ_ONLY && !http_method_is_safe(r->method))
        return reply_problem(x, &(struct problem){
            .status = 403, .title = "Upstream is read-only", .retry_after_ns = -1, .reason = "read-only",
            .detail = SLICE("This upstream is configured with mode = \"read_only\": safe methods only.") });
    /* What Connection names is between the client and Weir (RFC 9110 7.6.1): it never goes upstream, so nothing that
     * depends on what the API was asked may look at it either. */
    http_fields_drop_named(&x->in.request.fields, &x->arena);
    dress_request(x);
    inject_decide(x);
    return STEP_KEY;
}

/* Begins to gather the body: it is part of what makes two requests the same (key_body). */
static enum step collect_body(struct exchange *x)
{
    x->upload = upload_new(x->in.body_bytes);
    upload_set_worker(x->upload, x->engine->mailbox, &x->room);
    x->collecting = true;
    return STEP_SUSPEND;
}

enum step step_key(struct exchange *x)
{
    const struct http_request *r = &x->in.request;
    bool                       keyed_body = x->policy->key_body && x->rule != NULL && r->method != HTTP_GET
                                 && r->method != HTTP_HEAD;
    const void                *body = NULL;
    size_t                     body_bytes = 0;
    struct caller              caller;
    struct key_input           in = {
        .scheme = x->route.upstream->scheme,
        .authority = x->route.authority,
        .target = x->route.target,
        .request = r,
    };

    inject_name(x, &in);
    identity_name(x, &in);
    if (keyed_body && x->in.has_body && x->upload == NULL)
        return collect_body(x);
    if (keyed_body && x->collecting && !x->upload_ended)
        return STEP_SUSPEND;
    if (keyed_body && x->collecting && upload_whole(x->upload, &body, &body_bytes)) {
        in.body = (struct slice){ body, body_bytes };
        x->has_key = !policy_body_is_mutation(in.body);
    } else {
        x->has_key = !keyed_body && !x->in.has_body && (r->method == HTTP_GET || r->method == HTTP_HEAD);
    }
    x->collecting = false;
    identity_signer(x, &in);
    x->has_key = x->has_key && !x->is_nobodys;
    caller = policy_caller(x->policy, &x->engine->services->secret, &in, &x->arena);
    x->partition = caller.partition;
    x->has_credential = caller.has_credential;
    x->account_differs = caller.account_differs || x->identified;
    if (r->method == HTTP_PURGE)
        return STEP_PURGE;
    if (!x->has_key)
        return STEP_DECIDE;
    x->key = policy_key(x->policy, &x->engine->services->secret, &in, &x->partition, &x->arena);
    return STEP_LOOKUP;
}

static bool accept_variant(const struct store_record *record, void *context)
{
    struct exchange   *x = context;
    struct http_fields fields = store_record_fields(record, &x->arena);

    if (!policy_selects(x->policy, record->selection, &x->in.request.fields,
                        http_fields_get(&fields, HTTP_CONTENT_ENCODING), &x->arena))
        return false;
    if (record->masked)
        identity_unmask(x, &fields);
    x->stored.response = (struct stored_response){
        .head = { .status = record->status, .fields = fields },
        .requested_wall_ns = record->requested_wall_ns,
        .received_wall_ns = record->received_wall_ns,
        .set_back_ns = record->set_back_ns,
        .body_bytes = record->body_bytes,
        .invalidated = record->invalidated,
        .had_credential = record->had_credential,
    };
    return true;
}

enum step step_lookup(struct exchange *x)
{
    struct candidate *c = &x->stored;
    enum store_result result;

    candidate_drop(x);
    x->looked_up++;
    x->generation = store_generation(x->engine->services->store);
    x->looked_up_wall_ns = clock_wall_ns();
    result = store_lookup(x->engine->reader, x->key.hash, x->key.full, accept_variant, x, &c->record);
    c->borrowed = true;
    c->other_variant = result == STORE_OTHER_VARIANT;
    if (result != STORE_HIT)
        return STEP_DECIDE;
    c->selected = true;
    c->selection = c->record.selection;
    c->body = c->record.body;
    c->body_file = c->record.body_file;
    c->id = c->record.id;
    memcpy(c->hash, c->record.hash, sizeof c->hash);
    memcpy(c->variant, c->record.variant, sizeof c->variant);
    store_touch(x->engine->reader, c->hash, c->variant);
    return STEP_DECIDE;
}

static enum step refuse_uncached(struct exchange *x, const char *reason, struct slice detail)
{
    if (x->stored.selected && x->up->mode == MODE_OFFLINE && policy_holds_range(&x->in.request, &x->stored.response)) {
        x->cache_word = "stale";
        x->detail = "offline";
        return STEP_SERVE;
    }
    return reply_problem(x, &(struct problem){
        .status = 504, .title = "Not in the cache", .retry_after_ns = -1, .reason = reason, .detail = detail });
}

enum step step_decide(struct exchange *x)
{
    struct decision *d = &x->decision;

    *d = policy_decide(x->policy, &x->in.request, &x->wish, x->stored.selected ? &x->stored.response : NULL,
                       x->stored.other_variant, clock_wall_ns());
    if (!x->has_key && d->verdict != VERDICT_UNAVAILABLE) {
        d->verdict = VERDICT_BYPASS;
        if (d->forward == FWD_NONE || d->forward == FWD_URI_MISS)
            d->forward = x->is_nobodys ? FWD_BYPASS : FWD_METHOD;
    }
    x->detail = d->detail;
    if (x->is_nobodys)
        x->detail = "signer-unknown";
    if (x->up->mode == MODE_OFFLINE && d->verdict != VERDICT_SERVE)
        return refuse_uncached(x, "offline", SLICE("This upstream is configured with mode = \"offline\": "
                                                   "what is not stored is not asked for."));
    switch (d->verdict) {
    case VERDICT_SERVE:
    case VERDICT_SERVE_AND_REFRESH:
        x->cache_word = d->ttl_ns > 0 ? "hit" : "stale";
        return STEP_SERVE;
    case VERDICT_UNAVAILABLE:
        return refuse_uncached(x, "only-if-cached", SLICE("The request says only-if-cached and nothing that it "
                                                          "would take is stored."));
    case VERDICT_BYPASS:
        x->cache_word = "bypass";
        return STEP_FETCH;
    case VERDICT_REVALIDATE:
    case VERDICT_FETCH:
        break;
    }
    x->cache_word = "miss";
    return STEP_FETCH;
}
