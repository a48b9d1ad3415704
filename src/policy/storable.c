/*
 * Storing: the conditions of RFC 9111 section 3, one function each, asked in
 * the order of a table; the first that refuses gives the reason.
 */
#include "policy/storable.h"

#include "http/cookie.h"
#include "http/hop.h"
#include "http/limit_name.h"
#include "http/list.h"
#include "policy/caller.h"
#include "policy/freshness.h"
#include "policy/range.h"

const char *storable_token(enum storable s)
{
    static const char *const tokens[STORABLE_COUNT] = {
        [STORABLE_YES] = "",
#define STORABLE(id, token) [STORABLE_##id] = token,
#include "policy/storable.def"
#undef STORABLE
    };

    return tokens[s];
}

/* What several conditions look at, read once. */
struct question {
    const struct policy_options *options;
    const struct storable_input *in;
    const struct http_fields    *request, *response;
    unsigned                     status;
    struct policy_ttl            ttl;
    struct cache_control         cc;       /* of the response */
    bool                         duration; /* takes the place of all that the origin says */
    bool                         shared;
    bool                         no_store; /* counts: see must_understand */
    struct stored_response       as_stored;
    struct lifetime              lifetime;
};

static bool is_understood(unsigned status)
{
    return http_status_reason(status)[0] != '\0';
}

static struct question ask(const struct policy_options *o, const struct storable_input *in)
{
    struct question q = {
        .options = o,
        .in = in,
        .request = &in->request->fields,
        .response = &in->response->fields,
        .status = in->response->status,
        .ttl = policy_ttl_for(o, in->response->status, POLICY_UNSET),
        .cc = cache_control_of_response(&in->response->fields),
        .shared = policy_acts_shared(o, in->has_credential),
        .as_stored = { .head = *in->response,
                       .requested_wall_ns = in->now_wall_ns,
                       .received_wall_ns = in->now_wall_ns,
                       .body_bytes = in->content_length,
                       .had_credential = in->has_credential },
    };

    q.duration = policy_ttl_is_duration(q.ttl);
    q.lifetime = policy_lifetime(o, &q.as_stored, &q.cc, POLICY_UNSET);
    /* 5.2.2.3: whoever understands the status passes over no-store beside must-understand. */
    q.no_store = (q.cc.flags & CC_NO_STORE) != 0 &&
                 !((q.cc.flags & CC_MUST_UNDERSTAND) != 0 && is_understood(q.status));
    return q;
}

/* ---- the conditions: true where they refuse ---- */

static bool refuse_method(const struct question *q)
{
    enum http_method m = q->in->request->method;

    return m != HTTP_GET && m != HTTP_QUERY && !(q->options->key_body && m == HTTP_POST);
}

static bool refuse_rule(const struct question *q)
{
    return q->ttl.kind == TTL_NEVER;
}

static bool refuse_request(const struct question *q)
{
    return (cache_control_of_request(q->request).flags & CC_NO_STORE) != 0;
}

/* 3: final, and understood where that is asked for.  A 304 or 416 speaks of another response. */
static bool refuse_status(const struct question *q)
{
    return q->status < 200 || q->status == 304 ||
           (!q->duration && (q->cc.flags & CC_MUST_UNDERSTAND) != 0 && !is_understood(q->status));
}

static bool refuse_range(const struct question *q)
{
    return q->status == 416 && http_fields_find(q->request, HTTP_RANGE, 0) >= 0;
}

/* 3.3; a part whose Content-Range does not fit its body is nobody's part. */
static bool refuse_part(const struct question *q)
{
    struct byte_range part;
    int64_t           complete;

    if (q->status != 206)
        return false;
    return !q->in->may_store_part || http_fields_find(q->request, HTTP_RANGE, 0) < 0 ||
           !policy_part_of(&q->as_stored, &part, &complete);
}

static bool refuse_no_store(const struct question *q)
{
    return !q->duration && q->no_store;
}

static bool refuse_private(const struct question *q)
{
    return !q->duration && q->shared && (q->cc.flags & CC_PRIVATE) != 0;
}

/*
 * 3.5.  Where nothing but Authorization tells who asked (it was taken out of
 * credential_headers) a duration is not enough either: the contract lets
 * one's answers reach another only where partition = "shared" or the origin says so.
 */
static bool refuse_authorization(const struct question *q)
{
    bool stated = q->options->shared && q->duration;

    return q->shared && !stated && http_fields_find(q->request, HTTP_AUTHORIZATION, 0) >= 0 &&
           (q->cc.flags & (CC_PUBLIC | CC_MUST_REVALIDATE)) == 0 && q->cc.s_maxage_s == CC_ABSENT;
}

/* Set-Cookie of a cookie that says nothing of who the caller is. */
static bool is_ignored(const struct policy_options *o, const struct http_field *field)
{
    struct slice rest = field->value, pair;

    return field->id == HTTP_SET_COOKIE && http_cookie_next(&rest, &pair) &&
           policy_cookie_is_ignored(o, http_cookie_name(pair));
}

static bool sets_a_cookie(const struct question *q)
{
    for (unsigned i = 0; i < q->response->count; i++)
        if (q->response->items[i].id == HTTP_SET_COOKIE && !is_ignored(q->options, &q->response->items[i]))
            return true;
    return false;
}

static bool refuse_set_cookie(const struct question *q)
{
    if (!sets_a_cookie(q))
        return false;
    return q->options->set_cookie == SET_COOKIE_REFUSE ||
           (q->options->set_cookie == SET_COOKIE_DEFAULT && !q->duration);
}

static bool refuse_vary(const struct question *q)
{
    struct http_list list = http_list_of_field(q->response, HTTP_VARY);
    struct slice     member;

    while (http_list_next(&list, &member))
        if (slice_eq(member, SLICE("*")) || !http_is_token(member))
            return true;
    return false;
}

/* 3: at least one of public, private (of a private cache), Expires, max-age, s-maxage (of a shared
 * one), a status that is heuristically cacheable; or the rule's own word. */
static bool is_cacheable(const struct question *q)
{
    bool by_itself = policy_status_is_heuristic(q->status) || (q->cc.flags & CC_PUBLIC) != 0;

    if (by_itself || q->ttl.kind == TTL_REVALIDATE)
        return by_itself;
    return q->duration || q->lifetime.source != LIFETIME_NONE ||
           (!q->shared && (q->cc.flags & (CC_PRIVATE | CC_PRIVATE_FIELDS)) != 0);
}

static bool has_validator(const struct question *q)
{
    return http_fields_find(q->response, HTTP_ETAG, 0) >= 0 ||
           http_fields_find(q->response, HTTP_LAST_MODIFIED, 0) >= 0;
}

/* Could it ever be used while stale: by a setting or by the origin's leave (RFC 5861)? */
static bool has_stale_use(const struct question *q)
{
    return !q->lifetime.explicit_stale &&
           (q->options->stale_if_error_ns > 0 || q->options->stale_while_revalidate_ns > 0 ||
            q->cc.stale_if_error_s > 0 || q->cc.stale_while_revalidate_s > 0);
}

/* Stored for nothing where it is never fresh, cannot be validated and may not be used stale. */
static bool refuse_lifetime(const struct question *q)
{
    if (!is_cacheable(q))
        return true;
    return (q->lifetime.ns == 0 || q->lifetime.always_validate) && !has_validator(q) && !has_stale_use(q);
}

static bool refuse_size(const struct question *q)
{
    return q->options->max_object_bytes >= 0 && q->in->content_length > q->options->max_object_bytes;
}

static enum storable find_reason(const struct question *q)
{
    static const struct {
        bool (*refuses)(const struct question *);
        enum storable reason;
    } conditions[] = {
        { refuse_method, STORABLE_METHOD },
        { refuse_rule, STORABLE_RULE_NEVER },
        { refuse_request, STORABLE_REQUEST_NO_STORE },
        { refuse_status, STORABLE_STATUS },
        { refuse_range, STORABLE_RANGE_REQUEST },
        { refuse_part, STORABLE_PARTIAL },
        { refuse_no_store, STORABLE_NO_STORE },
        { refuse_private, STORABLE_PRIVATE },
        { refuse_authorization, STORABLE_AUTHORIZATION },
        { refuse_set_cookie, STORABLE_SET_COOKIE },
        { refuse_vary, STORABLE_VARY_STAR },
        { refuse_lifetime, STORABLE_NO_LIFETIME },
        { refuse_size, STORABLE_TOO_LARGE },
    };

    for (size_t i = 0; i < sizeof conditions / sizeof conditions[0]; i++)
        if (conditions[i].refuses(q))
            return conditions[i].reason;
    return STORABLE_YES;
}

enum storable policy_storable(const struct policy_options *o, const struct storable_input *in)
{
    struct question q = ask(o, in);

    return find_reason(&q);
}

bool policy_shareable(const struct policy_options *o, const struct storable_input *in)
{
    struct question q = ask(o, in);

    if (find_reason(&q) != STORABLE_YES)
        return false;
    if (q.ttl.kind == TTL_REVALIDATE)
        return (q.cc.flags & CC_NO_CACHE) == 0;
    return !q.lifetime.always_validate && policy_ttl_left_ns(&q.as_stored, &q.lifetime, in->now_wall_ns) > 0;
}

/* ---- what is kept of the head ---- */

struct http_fields policy_stored_fields(const struct policy_options *o, const struct http_response *r, struct arena *a)
{
    struct http_fields   kept = http_fields_end_to_end(&r->fields, a);
    struct cache_control cc = cache_control_of_response(&r->fields);
    bool                 duration = policy_ttl_is_duration(policy_ttl_for(o, r->status, POLICY_UNSET));
    unsigned             count = 0;

    for (unsigned i = 0; i < kept.count; i++) {
        const struct http_field *field = &kept.items[i];

        if ((field->id == HTTP_SET_COOKIE && o->set_cookie != SET_COOKIE_STORE) ||
            limit_name_is_of_field(o->own_limits, field))
            continue;
        if (!duration && (((cc.flags & CC_NO_CACHE_FIELDS) != 0 && field_list_has(cc.no_cache_fields, field->name)) ||
                          ((cc.flags & CC_PRIVATE_FIELDS) != 0 && field_list_has(cc.private_fields, field->name))))
            continue;
        kept.items[count++] = *field;
    }
    kept.count = count;
    return kept;
}
