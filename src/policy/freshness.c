/*
 * Age and lifetime.  All sums are bounded: a field may hold 2^31 seconds, a
 * date 9999 years, and a clock may be anywhere.
 */
#include "policy/freshness.h"

#include "base/clock.h"
#include "http/date.h"
#include "http/list.h"

enum { DAY_S = 86400 };

/* ---- arithmetic that stays in its bounds ---- */

static int64_t ns_of_seconds(int64_t s)
{
    if (s > INT64_MAX / NS_PER_SEC)
        return INT64_MAX;
    return s < INT64_MIN / NS_PER_SEC ? INT64_MIN : s * NS_PER_SEC;
}

static int64_t add(int64_t x, int64_t y)
{
    int64_t sum;

    if (!__builtin_add_overflow(x, y, &sum))
        return sum;
    return x > 0 ? INT64_MAX : INT64_MIN;
}

static int64_t subtract(int64_t x, int64_t y)
{
    int64_t difference;

    if (!__builtin_sub_overflow(x, y, &difference))
        return difference;
    return x > y ? INT64_MAX : INT64_MIN;
}

static int64_t at_least_zero(int64_t x)
{
    return x > 0 ? x : 0;
}

/* ---- age ---- */

/* RFC 9111 5.1: the first member of the first line; what is no delta-seconds is passed over (1.2.2
 * for huge ones). */
static int64_t age_value_ns(const struct http_fields *f)
{
    static const int64_t largest = INT64_C(2147483648);
    struct http_list     list = http_list_of_field(f, HTTP_AGE);
    struct slice         member;
    int64_t              seconds = 0;

    if (!http_list_next(&list, &member))
        return 0;
    for (size_t i = 0; i < member.len; i++) {
        if (member.ptr[i] < '0' || member.ptr[i] > '9')
            return 0;
        seconds = seconds * 10 + (member.ptr[i] - '0');
        if (seconds > largest)
            seconds = largest;
    }
    return ns_of_seconds(seconds);
}

static bool date_of(const struct stored_response *r, enum http_name id, int64_t *out_s)
{
    return http_date_parse(http_fields_get(&r->head.fields, id), r->received_wall_ns / NS_PER_SEC, out_s);
}

/* RFC 9110 6.6.1: a response without a Date gets the time at which it was received. */
static int64_t date_value_s(const struct stored_response *r)
{
    int64_t date;

    return date_of(r, HTTP_DATE, &date) ? date : r->received_wall_ns / NS_PER_SEC;
}

/* How far `date_s` lies behind Date: no two dates are so far apart that this could overflow. */
static int64_t seconds_behind_date(const struct stored_response *r, int64_t date_s)
{
    return at_least_zero(date_s - date_value_s(r));
}

/* "1.0 name" or "HTTP/1.0 name" among the hops. */
static bool came_by_http_1_0(const struct http_fields *f)
{
    struct http_list list = http_list_of_field(f, HTTP_VIA);
    struct slice     hop;

    while (http_list_next(&list, &hop)) {
        if (slice_starts_with(hop, SLICE("HTTP/")))
            hop = slice_sub(hop, 5, hop.len);
        if (slice_starts_with(hop, SLICE("1.0 ")) || slice_starts_with(hop, SLICE("0.9 ")))
            return true;
    }
    return false;
}

int64_t policy_kept_ns(const struct stored_response *r, int64_t now_wall_ns)
{
    return at_least_zero(add(subtract(now_wall_ns, r->received_wall_ns), r->set_back_ns));
}

int64_t policy_age_ns(const struct stored_response *r, int64_t now_wall_ns)
{
    int64_t response_delay = at_least_zero(subtract(r->received_wall_ns, r->requested_wall_ns));
    int64_t initial = add(age_value_ns(&r->head.fields), response_delay);

    if (came_by_http_1_0(&r->head.fields)) {
        int64_t apparent = at_least_zero(subtract(r->received_wall_ns, ns_of_seconds(date_value_s(r))));

        initial = apparent > initial ? apparent : initial;
    }
    return add(initial, policy_kept_ns(r, now_wall_ns));
}

/* ---- the rule ---- */

static bool duration_covers(unsigned status)
{
    static const unsigned covered[] = { 200, 203, 206, 300, 301, 308 };

    for (size_t i = 0; i < sizeof covered / sizeof covered[0]; i++)
        if (status == covered[i])
            return true;
    return false;
}

struct policy_ttl policy_ttl_for(const struct policy_options *o, unsigned status, int64_t ttl_override_ns)
{
    struct policy_ttl ttl = o->ttl;
    bool              listed = false;

    for (unsigned i = 0; i < o->status_count && !listed; i++)
        if (status >= o->status[i].first && status <= o->status[i].last) {
            ttl = o->status[i].ttl;
            listed = true;
        }
    if (ttl_override_ns != POLICY_UNSET && ttl.kind != TTL_NEVER)
        ttl = (struct policy_ttl){ .kind = TTL_FIXED, .ns = ttl_override_ns };
    if (!listed && !duration_covers(status) && ttl.kind >= TTL_ORIGIN_ELSE && ttl.kind <= TTL_FOREVER)
        ttl.kind = TTL_ORIGIN;
    return ttl;
}

/* From that instant until clocks next show that time of day. Where they leap over it, the leap is its time; where they
 * show it twice the first counts. */
static int64_t until_ns(struct policy_ttl t, int64_t from_wall_ns)
{
    const int64_t from_s = from_wall_ns / NS_PER_SEC - (from_wall_ns % NS_PER_SEC < 0);
    const int64_t local_s = from_s + zone_offset_s(t.zone, from_s, NULL);
    int64_t       day = local_s / DAY_S - (local_s % DAY_S < 0) - 1, at_s;

    do
        at_s = zone_to_utc_s(t.zone, day++ * DAY_S + INT64_C(60) * t.minute);
    while (at_s <= from_s);
    return ns_of_seconds(at_s) - from_wall_ns;
}

int64_t policy_ttl_ns(struct policy_ttl t, int64_t received_wall_ns)
{
    return t.kind == TTL_UNTIL || t.kind == TTL_ORIGIN_ELSE_UNTIL ? until_ns(t, received_wall_ns) : t.ns;
}

bool policy_status_is_heuristic(unsigned status)
{
    static const unsigned heuristic[] = { 200, 203, 204, 206, 300, 301, 308, 404, 405, 410, 414, 501 };

    for (size_t i = 0; i < sizeof heuristic / sizeof heuristic[0]; i++)
        if (status == heuristic[i])
            return true;
    return false;
}

/* ---- what the origin says ---- */

/* 4.2.1: the first that is there counts.  A targeted field counts for all of it (RFC 9213 2.2). */
static bool explicit_lifetime(const struct stored_response *r, const struct cache_control *cc, bool shared,
                              struct lifetime *out)
{
    int64_t expires;

    if (shared && cc->s_maxage_s != CC_ABSENT) {
        out->ns = ns_of_seconds(cc->s_maxage_s);
        out->source = LIFETIME_S_MAXAGE;
        return true;
    }
    if (cc->max_age_s != CC_ABSENT) {
        out->ns = ns_of_seconds(cc->max_age_s);
        out->source = LIFETIME_MAX_AGE;
        return true;
    }
    if ((cc->flags & CC_TARGETED) != 0 || http_fields_find(&r->head.fields, HTTP_EXPIRES, 0) < 0)
        return false;
    /* 5.3: what is no date, "0" above all, is in the past. */
    out->ns = date_of(r, HTTP_EXPIRES, &expires) ? ns_of_seconds(seconds_behind_date(r, expires)) : 0;
    out->source = LIFETIME_EXPIRES;
    return true;
}

/* 4.2.2 */
static bool heuristic_lifetime(const struct policy_options *o, const struct stored_response *r,
                               const struct cache_control *cc, struct lifetime *out)
{
    static const double longest_ns = 9e18;
    int64_t             modified;
    double              share;

    if (o->heuristic <= 0.0 || !date_of(r, HTTP_LAST_MODIFIED, &modified) ||
        (!policy_status_is_heuristic(r->head.status) && (cc->flags & CC_PUBLIC) == 0))
        return false;
    share = (double)at_least_zero(date_value_s(r) - modified) * o->heuristic * (double)NS_PER_SEC;
    out->ns = (int64_t)(share < longest_ns ? share : longest_ns);
    out->source = LIFETIME_HEURISTIC;
    return true;
}

/* An old API's way to say no-cache (5.4); it means that much, where a rule fills in for silence. */
static bool pragma_says_no(const struct http_fields *f, const struct cache_control *cc)
{
    struct http_list list = http_list_of_field(f, HTTP_PRAGMA);
    struct slice     member;

    while ((cc->flags & CC_PRESENT) == 0 && http_list_next(&list, &member))
        if (slice_eq_nocase(member, SLICE("no-cache")))
            return true;
    return false;
}

static struct lifetime origin_lifetime(const struct policy_options *o, const struct stored_response *r,
                                       const struct cache_control *cc, struct policy_ttl ttl)
{
    bool            shared = policy_acts_shared(o, r->had_credential);
    struct lifetime l = { .ns = 0, .source = LIFETIME_NONE };
    unsigned        forbids_stale = CC_MUST_REVALIDATE | CC_NO_CACHE | (shared ? CC_PROXY_REVALIDATE : 0u);

    l.always_validate = (cc->flags & CC_NO_CACHE) != 0;
    /* 5.2.2.10: s-maxage has the meaning of proxy-revalidate, for a shared cache. */
    l.explicit_stale = (cc->flags & forbids_stale) != 0 || (shared && cc->s_maxage_s != CC_ABSENT);
    if (explicit_lifetime(r, cc, shared, &l) || heuristic_lifetime(o, r, cc, &l))
        return l;
    if ((ttl.kind == TTL_ORIGIN_ELSE || ttl.kind == TTL_ORIGIN_ELSE_UNTIL) &&
        (cc->flags & (CC_NO_CACHE | CC_NO_STORE)) == 0 && !pragma_says_no(&r->head.fields, cc)) {
        l.ns = policy_ttl_ns(ttl, r->received_wall_ns);
        l.source = LIFETIME_ELSE;
    }
    return l;
}

struct lifetime policy_lifetime(const struct policy_options *o, const struct stored_response *r,
                                const struct cache_control *cc, int64_t ttl_override_ns)
{
    struct policy_ttl ttl = policy_ttl_for(o, r->head.status, ttl_override_ns);
    struct lifetime   l;

    switch (ttl.kind) {
    case TTL_FIXED:
        return (struct lifetime){ .ns = ttl.ns, .source = LIFETIME_RULE };
    case TTL_UNTIL:
        return (struct lifetime){ .ns = until_ns(ttl, r->received_wall_ns), .source = LIFETIME_RULE };
    case TTL_FOREVER:
        return (struct lifetime){ .ns = INT64_MAX, .source = LIFETIME_RULE };
    case TTL_NEVER:
        return (struct lifetime){ .source = LIFETIME_RULE, .explicit_stale = true, .always_validate = true };
    case TTL_REVALIDATE:
        l = origin_lifetime(o, r, cc, ttl);
        l.ns = 0;
        l.source = LIFETIME_RULE;
        l.always_validate = true;
        return l;
    case TTL_ORIGIN:
    case TTL_ORIGIN_ELSE:
    case TTL_ORIGIN_ELSE_UNTIL:
        break;
    }
    return origin_lifetime(o, r, cc, ttl);
}

/* A response from the future was received before the clock was set back: how long ago nobody can say, so its
 * lifetime is over, and for as long as it seems to lie ahead. */
int64_t policy_ttl_left_ns(const struct stored_response *r, const struct lifetime *l, int64_t now_wall_ns)
{
    bool    rules = l->source == LIFETIME_RULE || l->source == LIFETIME_ELSE;
    int64_t ahead = subtract(r->received_wall_ns, now_wall_ns);
    int64_t left = subtract(l->ns, rules ? policy_kept_ns(r, now_wall_ns) : policy_age_ns(r, now_wall_ns));

    if (l->ns == INT64_MAX)
        return INT64_MAX;
    if (ahead <= 0)
        return left;
    return subtract(left < 0 ? left : 0, ahead);
}
