/*
 * The look-up's decision, in three steps: requests that no stored response
 * may answer; the stored response that may not be used as it is; freshness,
 * in which the request has its say (RFC 9111 5.2.1).  only-if-cached turns
 * what would need the origin into a refusal at the end.
 */
#include "policy/decide.h"

#include "base/clock.h"
#include "http/duration.h"
#include "policy/range.h"

enum detail {
#define DETAIL(id, token, meaning) DETAIL_##id,
#include "policy/decide.def"
#undef DETAIL
};

static const char *const detail_tokens[] = {
#define DETAIL(id, token, meaning) [DETAIL_##id] = token,
#include "policy/decide.def"
#undef DETAIL
};

const char *forward_reason_token(enum forward_reason r)
{
    static const char *const tokens[] = {
        [FWD_NONE] = "",
        [FWD_BYPASS] = "bypass",
        [FWD_METHOD] = "method",
        [FWD_URI_MISS] = "uri-miss",
        [FWD_VARY_MISS] = "vary-miss",
        [FWD_MISS] = "miss",
        [FWD_REQUEST] = "request",
        [FWD_STALE] = "stale",
        [FWD_PARTIAL] = "partial",
    };

    return tokens[r];
}

/* ---- the wish ---- */

static bool read_duration(struct slice value, int64_t *out)
{
    return http_duration_parse(value, out);
}

static bool read_ttl(struct slice value, struct request_wish *w)
{
    return read_duration(value, &w->ttl_override_ns);
}

static bool read_timeout(struct slice value, struct request_wish *w)
{
    return read_duration(value, &w->timeout_ns) && w->timeout_ns > 0;
}

static bool read_max_wait(struct slice value, struct request_wish *w)
{
    return read_duration(value, &w->max_wait_ns);
}

static bool read_refresh(struct slice value, struct request_wish *w)
{
    w->refresh_soft = slice_eq_nocase(value, SLICE("soft"));
    w->refresh_hard = slice_eq_nocase(value, SLICE("hard"));
    return w->refresh_soft || w->refresh_hard;
}

static bool read_priority(struct slice value, struct request_wish *w)
{
    w->batch = slice_eq_nocase(value, SLICE("batch"));
    w->interactive = slice_eq_nocase(value, SLICE("interactive"));
    return w->batch || w->interactive;
}

static bool read_dry_run(struct slice value, struct request_wish *w)
{
    static const char *const words[] = { [DRY_ALL] = "1", [DRY_WRITES] = "writes", [DRY_SHOW] = "show" };

    for (w->dry = DRY_ALL; w->dry <= DRY_SHOW; w->dry++)
        if (slice_eq(value, slice_of(words[w->dry])))
            return true;
    return false;
}

/* A name to be seen in logs and reports: short and printable. */
static bool read_client(struct slice value, struct request_wish *w)
{
    enum { LONGEST = 128 };

    for (size_t i = 0; i < value.len; i++)
        if ((unsigned char)value.ptr[i] < 0x20 || value.ptr[i] == 0x7f)
            return false;
    w->client = value;
    return value.len > 0 && value.len <= LONGEST;
}

static bool read_async(struct slice value, struct request_wish *w)
{
    w->async = slice_eq(value, SLICE("1"));
    return w->async || slice_eq(value, SLICE("0"));
}

static const struct {
    enum http_name id;
    bool (*read)(struct slice value, struct request_wish *);
    const char *wanted;
} wish_readers[] = {
    { HTTP_WEIR_TTL, read_ttl, "a duration such as \"1h\" is wanted" },
    { HTTP_WEIR_REFRESH, read_refresh, "\"soft\" or \"hard\" is wanted" },
    { HTTP_WEIR_TIMEOUT, read_timeout, "a duration above 0 such as \"5s\" is wanted" },
    { HTTP_WEIR_MAX_WAIT, read_max_wait, "a duration such as \"2s\" is wanted" },
    { HTTP_WEIR_PRIORITY, read_priority, "\"interactive\" or \"batch\" is wanted" },
    { HTTP_WEIR_DRY_RUN, read_dry_run, "\"1\", \"writes\" or \"show\" is wanted" },
    { HTTP_WEIR_CLIENT, read_client, "a name of 1 to 128 printable characters is wanted" },
    { HTTP_WEIR_ASYNC, read_async, "1 is wanted" },
};

/* NULL, or what would be right. */
static const char *read_wish(const struct http_fields *f, unsigned at, struct request_wish *w)
{
    const struct http_field *field = &f->items[at];

    for (size_t i = 0; i < sizeof wish_readers / sizeof wish_readers[0]; i++) {
        if (wish_readers[i].id != field->id)
            continue;
        if (http_fields_find(f, field->id, at + 1) >= 0)
            return "the field stands there twice; one is wanted";
        return wish_readers[i].read(field->value, w) ? NULL : wish_readers[i].wanted;
    }
    return "this Weir knows no such field: it knows Weir-TTL, Weir-Refresh, Weir-Timeout, Weir-Max-Wait, "
           "Weir-Priority, "
           "Weir-Dry-Run, Weir-Client and Weir-Async";
}

static bool is_own(const struct http_field *field)
{
    return field->name.len >= 5 && (field->name.ptr[0] | 0x20) == 'w' &&
           slice_eq_nocase(slice_sub(field->name, 0, 5), SLICE("Weir-"));
}

bool policy_wish(const struct http_request *r, struct request_wish *out, struct bad_wish *bad)
{
    *out = (struct request_wish){
        .cc = cache_control_of_request(&r->fields),
        .ttl_override_ns = POLICY_UNSET,
        .max_wait_ns = POLICY_UNSET,
        .timeout_ns = POLICY_UNSET,
        .client = SLICE_NONE,
    };
    /* cache_control_of_request() has folded Pragma into no-cache; it is kept apart for those who
     * ask. */
    out->pragma_no_cache = (out->cc.flags & CC_PRESENT) == 0 && (out->cc.flags & CC_NO_CACHE) != 0;
    for (unsigned i = 0; i < r->fields.count; i++) {
        const struct http_field *field = &r->fields.items[i];

        if (!is_own(field))
            continue;
        *bad = (struct bad_wish){ field->name, field->value, read_wish(&r->fields, i, out) };
        if (bad->wanted != NULL)
            return false;
    }
    return true;
}

/* ---- freshness of what is stored, as this request sees it ---- */

static int64_t ns_of(int64_t seconds) /* at most 2^31: it fits */
{
    return seconds * NS_PER_SEC;
}

struct decide_state {
    const struct policy_options  *options;
    const struct request_wish    *wish;
    const struct stored_response *stored;
    struct cache_control          cc; /* of the stored response */
    struct lifetime               lifetime;
    int64_t                       age_ns, ttl_ns;
};

static struct decide_state look(const struct policy_options *o, const struct request_wish *wish,
                                const struct stored_response *stored, int64_t now_wall_ns)
{
    struct decide_state s = { .options = o, .wish = wish, .stored = stored };

    s.cc = cache_control_of_response(&stored->head.fields);
    s.lifetime = policy_lifetime(o, stored, &s.cc, wish->ttl_override_ns);
    s.age_ns = policy_age_ns(stored, now_wall_ns);
    s.ttl_ns = policy_ttl_left_ns(stored, &s.lifetime, now_wall_ns);
    return s;
}

/* Must the origin have consented before this response answers this request? */
static bool needs_consent(const struct decide_state *s)
{
    return (s->wish->cc.flags & (CC_NO_CACHE | CC_NO_STORE)) != 0 || s->wish->pragma_no_cache ||
           s->wish->refresh_soft || s->wish->refresh_hard || s->stored->invalidated;
}

/* A duration of the rule or of Weir-TTL takes the place of all that the origin says of staleness,
 * too. */
static bool origin_counts(const struct decide_state *s)
{
    return s->lifetime.source != LIFETIME_RULE || s->options->ttl.kind == TTL_REVALIDATE;
}

/* The setting where there is one, else the origin's word (RFC 5861 3, 4). */
static int64_t stale_window(const struct decide_state *s, int64_t setting_ns, int64_t origin_s)
{
    if (setting_ns != POLICY_UNSET)
        return setting_ns;
    return origin_counts(s) && origin_s != CC_ABSENT ? ns_of(origin_s) : 0;
}

/* 0: never. */
static int64_t stale_if_error_ns(const struct decide_state *s)
{
    int64_t window, asked;

    if (s->lifetime.explicit_stale || needs_consent(s))
        return 0;
    window = stale_window(s, s->options->stale_if_error_ns, s->cc.stale_if_error_s);
    asked = s->wish->cc.stale_if_error_s;
    return asked != CC_ABSENT && ns_of(asked) > window ? ns_of(asked) : window;
}

static bool is_fresh(const struct decide_state *s)
{
    return s->ttl_ns > 0;
}

/* 5.2.1.2: how stale the request lets it be; -1 where it does not say. */
static int64_t max_stale_ns(const struct request_wish *w)
{
    if ((w->cc.flags & CC_MAX_STALE_ANY) != 0)
        return INT64_MAX;
    return w->cc.max_stale_s == CC_ABSENT ? -1 : ns_of(w->cc.max_stale_s);
}

/* 5.2.1.1: older than the request's max-age, to which max-stale adds. */
static bool is_too_old(const struct decide_state *s)
{
    int64_t limit_ns = ns_of(s->wish->cc.max_age_s), slack_ns = max_stale_ns(s->wish);

    if (s->wish->cc.max_age_s == CC_ABSENT || slack_ns == INT64_MAX)
        return false;
    return s->age_ns > limit_ns + (slack_ns > 0 ? slack_ns : 0);
}

/* 5.2.1.3 */
static bool is_not_fresh_enough(const struct decide_state *s)
{
    return s->wish->cc.min_fresh_s != CC_ABSENT && s->ttl_ns < ns_of(s->wish->cc.min_fresh_s);
}

/* ttl is negative or 0 here. */
static bool within(int64_t window_ns, int64_t ttl_ns)
{
    return window_ns == INT64_MAX || -window_ns <= ttl_ns;
}

/* 4.2.4: the client says so, and the origin does not forbid it. */
static bool is_allowed_stale(const struct decide_state *s)
{
    int64_t slack_ns = max_stale_ns(s->wish);

    return slack_ns >= 0 && !s->lifetime.explicit_stale && within(slack_ns, s->ttl_ns);
}

/* RFC 5861 3.  A request that speaks of ages wants nothing stale (5.2.1.1), unless max-stale says
 * so. */
static bool is_covered_by_refresh(const struct decide_state *s)
{
    int64_t window = stale_window(s, s->options->stale_while_revalidate_ns, s->cc.stale_while_revalidate_s);

    return window > 0 && !s->lifetime.explicit_stale && s->wish->cc.max_age_s == CC_ABSENT &&
           s->wish->cc.min_fresh_s == CC_ABSENT && within(window, s->ttl_ns);
}

/* ---- the decision ---- */

static void set(struct decision *d, enum verdict v, enum forward_reason f, enum detail why)
{
    d->verdict = v;
    d->forward = f;
    d->detail = detail_tokens[why];
}

/* Whether any status of the rule is stored at all. */
static bool is_never_stored(const struct policy_options *o)
{
    if (o->ttl.kind != TTL_NEVER)
        return false;
    for (unsigned i = 0; i < o->status_count; i++)
        if (o->status[i].ttl.kind != TTL_NEVER)
            return false;
    return true;
}

static bool is_cached_method(const struct policy_options *o, enum http_method m)
{
    return m == HTTP_GET || m == HTTP_HEAD || m == HTTP_QUERY || (o->key_body && m == HTTP_POST);
}

/* True where no stored response may answer this request. */
static bool decide_without_cache(const struct policy_options *o, const struct http_request *r,
                                 const struct request_wish *w, struct decision *d)
{
    if (!is_cached_method(o, r->method))
        set(d, VERDICT_BYPASS, FWD_METHOD, DETAIL_METHOD);
    else if (is_never_stored(o))
        set(d, VERDICT_BYPASS, FWD_BYPASS, DETAIL_RULE_NEVER);
    /* RFC 9110 13.1.1, 13.1.4: of the origin's own state; a cache cannot tell (RFC 9111 4.3.2). */
    else if (http_fields_find(&r->fields, HTTP_IF_MATCH, 0) >= 0 ||
             http_fields_find(&r->fields, HTTP_IF_UNMODIFIED_SINCE, 0) >= 0)
        set(d, VERDICT_BYPASS, FWD_REQUEST, DETAIL_PRECONDITION);
    /* HTML 9.2.4: what came after that event; neither the stream from its beginning nor part of it. */
    else if (http_fields_find(&r->fields, HTTP_LAST_EVENT_ID, 0) >= 0)
        set(d, VERDICT_BYPASS, FWD_REQUEST, DETAIL_LAST_EVENT_ID);
    else if ((w->cc.flags & CC_NO_STORE) != 0)
        set(d, VERDICT_FETCH, FWD_REQUEST, DETAIL_REQUEST_NO_STORE);
    else if (w->refresh_hard)
        set(d, VERDICT_FETCH, FWD_REQUEST, DETAIL_WEIR_REFRESH);
    else
        return false;
    d->must_be_new = true;
    return true;
}

/* True where what is stored cannot be used without the origin's consent. */
static bool decide_consent(const struct http_request *r, const struct decide_state *s, struct decision *d)
{
    if (!policy_holds_range(r, s->stored))
        set(d, VERDICT_FETCH, FWD_PARTIAL, DETAIL_PART);
    else if (s->wish->refresh_soft)
        set(d, VERDICT_REVALIDATE, FWD_REQUEST, DETAIL_WEIR_REFRESH);
    else if (needs_consent(s) && !s->stored->invalidated)
        set(d, VERDICT_REVALIDATE, FWD_REQUEST, DETAIL_REQUEST_NO_CACHE);
    else if (s->stored->invalidated)
        set(d, VERDICT_REVALIDATE, FWD_STALE, DETAIL_INVALIDATED);
    else if (s->lifetime.always_validate)
        set(d, VERDICT_REVALIDATE, FWD_STALE,
            (s->cc.flags & CC_NO_CACHE) != 0 ? DETAIL_NO_CACHE : DETAIL_TTL_REVALIDATE);
    else
        return false;
    /* An answer that another has asked for before cannot be the consent to this request. */
    d->must_be_new = needs_consent(s) || (s->lifetime.always_validate && (s->cc.flags & CC_NO_CACHE) != 0);
    return true;
}

/* How much of its end is late, in nanoseconds; 0: nothing is.  What came at one time is scattered by a tenth, so that
 * it is not all asked about at one time again. */
static int64_t late_ns(const struct http_request *r, const struct decide_state *s)
{
    static const unsigned steps = 1024;
    const double          last = s->options->prefetch.last;
    uint64_t              mixed = (uint64_t)s->stored->received_wall_ns * UINT64_C(0x9e3779b97f4a7c15);
    double                scatter = 0.9 + 0.2 * (double)(mixed >> 32 & (steps - 1)) / steps;

    if (!(last > 0) || s->lifetime.ns == INT64_MAX || r->method == HTTP_HEAD ||
        s->wish->ttl_override_ns != POLICY_UNSET)
        return 0;
    return (int64_t)((double)s->lifetime.ns * last * scatter);
}

static void decide_fresh(const struct http_request *r, const struct decide_state *s, struct decision *d)
{
    if (is_not_fresh_enough(s)) {
        set(d, VERDICT_REVALIDATE, FWD_REQUEST, DETAIL_REQUEST_FRESH);
    } else if (!is_too_old(s)) {
        set(d, VERDICT_SERVE, FWD_NONE, DETAIL_NONE);
        if (s->options->prefetch.last > 0 && s->ttl_ns <= late_ns(r, s))
            d->refresh = REFRESH_EARLY;
    }
    /* RFC 8246 2: what is immutable is not asked about because of a reload while it is fresh. */
    else if ((s->cc.flags & CC_IMMUTABLE) != 0)
        set(d, VERDICT_SERVE, FWD_NONE, DETAIL_IMMUTABLE);
    else
        set(d, VERDICT_REVALIDATE, FWD_REQUEST, DETAIL_REQUEST_MAX_AGE);
}

static void decide_refresh(struct decision *d)
{
    set(d, VERDICT_SERVE_AND_REFRESH, FWD_NONE, DETAIL_REVALIDATING);
    d->refresh = REFRESH_STALE;
}

static void decide_stale(const struct decide_state *s, struct decision *d)
{
    if (is_allowed_stale(s) && !is_too_old(s))
        set(d, VERDICT_SERVE, FWD_NONE, DETAIL_MAX_STALE);
    else if (is_covered_by_refresh(s))
        decide_refresh(d);
    else
        set(d, VERDICT_REVALIDATE, FWD_STALE, DETAIL_NONE);
}

/* Whoever says so does not want an answer that was on its way already. */
static bool wants_new(const struct request_wish *w)
{
    return (w->cc.flags & CC_NO_CACHE) != 0 || w->pragma_no_cache || w->refresh_soft || w->cc.max_age_s == 0;
}

static void decide_stored(const struct http_request *r, const struct decide_state *s, struct decision *d)
{
    d->age_ns = s->age_ns;
    d->ttl_ns = s->ttl_ns;
    d->stale_if_error_ns = stale_if_error_ns(s);
    if (decide_consent(r, s, d))
        return;
    if (is_fresh(s))
        decide_fresh(r, s, d);
    else
        decide_stale(s, d);
    if (d->verdict != VERDICT_SERVE)
        d->must_be_new = wants_new(s->wish);
}

/* 5.2.1.7: only from the store, refreshed or not. */
static void refuse_to_forward(struct decision *d)
{
    d->refresh = REFRESH_NONE;
    if (d->verdict == VERDICT_SERVE_AND_REFRESH)
        d->verdict = VERDICT_SERVE;
    else if (d->verdict != VERDICT_SERVE)
        set(d, VERDICT_UNAVAILABLE, FWD_NONE, DETAIL_ONLY_IF_CACHED);
}

struct decision policy_decide(const struct policy_options *o, const struct http_request *request,
                              const struct request_wish *wish, const struct stored_response *stored, bool other_variant,
                              int64_t now_wall_ns)
{
    struct decision d = { .detail = "" };

    if (!decide_without_cache(o, request, wish, &d)) {
        if (stored != NULL) {
            struct decide_state s = look(o, wish, stored, now_wall_ns);

            decide_stored(request, &s, &d);
        } else {
            set(&d, VERDICT_FETCH, other_variant ? FWD_VARY_MISS : FWD_URI_MISS, DETAIL_NONE);
            d.must_be_new = wants_new(wish);
        }
    }
    d.may_store = d.verdict != VERDICT_BYPASS && (wish->cc.flags & CC_NO_STORE) == 0;
    if ((wish->cc.flags & CC_ONLY_IF_CACHED) != 0)
        refuse_to_forward(&d);
    return d;
}

int64_t policy_early_in_ns(const struct policy_options *o, const struct http_request *request,
                           const struct request_wish *wish, const struct stored_response *stored, int64_t now_wall_ns)
{
    const struct decide_state s = look(o, wish, stored, now_wall_ns);
    const int64_t             late = late_ns(request, &s);

    if (late == 0 || s.ttl_ns <= 0 || (wish->cc.flags & CC_ONLY_IF_CACHED) != 0)
        return INT64_MAX;
    return s.ttl_ns > late ? s.ttl_ns - late : 0;
}

bool policy_stale_if_error(const struct policy_options *o, const struct request_wish *wish,
                           const struct stored_response *stored, int64_t now_wall_ns)
{
    struct decide_state s = look(o, wish, stored, now_wall_ns);
    int64_t             window;

    if (needs_consent(&s) || s.lifetime.explicit_stale)
        return false;
    /* Fresh, and asked about only because the request wanted it fresher still. */
    if (is_fresh(&s))
        return true;
    window = stale_if_error_ns(&s);
    return window > 0 && within(window, s.ttl_ns);
}

bool policy_stale_to_spare(const struct policy_options *o, const struct request_wish *wish,
                           const struct stored_response *stored, int64_t window_ns, int64_t now_wall_ns)
{
    struct decide_state s = look(o, wish, stored, now_wall_ns);

    return window_ns > 0 && !needs_consent(&s) && !s.lifetime.explicit_stale && !s.lifetime.always_validate &&
           wish->cc.max_age_s == CC_ABSENT && wish->cc.min_fresh_s == CC_ABSENT && within(window_ns, s.ttl_ns);
}
