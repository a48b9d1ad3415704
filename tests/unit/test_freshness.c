/*
 * Age and lifetime (RFC 9111 4.2, 5.1 to 5.3) and the rule's ttl (contract
 * section 3).
 */
#include "policy/freshness.h"

#include "base/clock.h"
#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

/* Sun, 06 Nov 1994 08:49:37 GMT */
static const int64_t T0 = INT64_C(784111777);
#define DATE_T0 "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"

static int64_t s_to_ns(int64_t s)
{
    return s > INT64_MAX / NS_PER_SEC ? INT64_MAX : s * NS_PER_SEC;
}

static struct stored_response stored(const struct head *h, unsigned status)
{
    return (struct stored_response){ .head = { status, h->fields },
                                     .requested_wall_ns = s_to_ns(T0),
                                     .received_wall_ns = s_to_ns(T0) };
}

static void test_age(void **state)
{
    /* requested, received and now in seconds from T0 */
    static const struct {
        const char *name, *lines;
        int64_t     requested, received, now, age;
    } rows[] = {
        /* 4.2.3 */
        { "resident_time", DATE_T0, 0, 0, 10, 10 },
        { "nothing_said", "", 0, 0, 10, 10 },
        /* 3 + 7 */
        { "response_delay", DATE_T0, 0, 3, 10, 10 },
        { "age_value", DATE_T0 "Age: 30\n", 0, 0, 10, 40 },
        { "age_value_and_delay", DATE_T0 "Age: 30\n", 0, 3, 10, 40 },
        /* corrected_age_value alone */
        { "slow_origin_clock", "Date: Sun, 06 Nov 1994 07:49:37 GMT\n", 0, 0, 10, 10 },
        { "fast_origin_clock", "Date: Sun, 06 Nov 1994 09:49:37 GMT\n", 0, 0, 10, 10 },
        { "old_date_by_http_1_0", "Date: Sun, 06 Nov 1994 07:49:37 GMT\nVia: 1.1 a, 1.0 b\n", 0, 0, 10, 3610 },
        { "old_date_by_http_1_0_long", "Date: Sun, 06 Nov 1994 07:49:37 GMT\nVia: HTTP/1.0 b\n", 0, 0, 10, 3610 },
        { "old_date_by_http_1_1", "Date: Sun, 06 Nov 1994 07:49:37 GMT\nVia: 1.1 a\n", 0, 0, 10, 10 },
        { "age_over_apparent_age", "Date: Sun, 06 Nov 1994 08:49:30 GMT\nVia: 1.0 b\nAge: 100\n", 0, 0, 0, 100 },
        { "clock_stepped_back", DATE_T0, 0, 0, -100, 0 },
        { "clock_stepped_back_while_waiting", DATE_T0, 10, 0, 5, 5 },
        { "first_member_counts", "Age: 7200, 0\n", 0, 0, 0, 7200 }, /* 5.1 */
        { "first_line_counts", "Age: 0\nAge: 7200\n", 0, 0, 0, 0 },
        { "junk_is_ignored", "Age: abc\n", 0, 0, 5, 5 },
        { "negative_is_ignored", "Age: -7200\n", 0, 0, 5, 5 },
        { "fraction_is_ignored", "Age: 7200.0\n", 0, 0, 5, 5 },
        { "parameter_is_ignored", "Age: 7200;a=b\n", 0, 0, 5, 5 },
        { "empty_is_ignored", "Age:\n", 0, 0, 5, 5 },
        { "quoted_is_ignored", "Age: \"7200\"\n", 0, 0, 5, 5 },
        /* 1.2.2 */
        { "huge_is_2_to_31", "Age: 99999999999999999999999999\n", 0, 0, 0, INT64_C(2147483648) },
        { "date_that_is_none", "Date: yesterday\n", 0, 0, 5, 5 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            h = head_of(rows[i].lines);
        struct stored_response r = stored(&h, 200);
        int64_t                age;

        r.requested_wall_ns = s_to_ns(T0 + rows[i].requested);
        r.received_wall_ns = s_to_ns(T0 + rows[i].received);
        age = policy_age_ns(&r, s_to_ns(T0 + rows[i].now));
        if (age != s_to_ns(rows[i].age))
            fail_msg("%s: %lld ns", rows[i].name, (long long)age);
        head_free(&h);
    }
}

/* Times at the ends of what a clock can say do not overflow. */
static void test_age_is_bounded(void **state)
{
    static const int64_t   times[] = { INT64_MIN, -1, 0, 1, INT64_MAX };
    struct head            h = head_of(DATE_T0 "Age: 2147483648\nVia: 1.0 x\n");
    struct stored_response r = stored(&h, 200);

    (void)state;
    for (size_t i = 0; i < 125; i++) {
        r.requested_wall_ns = times[i % 5];
        r.received_wall_ns = times[i / 5 % 5];
        assert_true(policy_age_ns(&r, times[i / 25]) >= 0);
        assert_true(policy_kept_ns(&r, times[i / 25]) >= 0);
    }
    head_free(&h);
}

enum { CREDENTIAL = 1, SHARED = 2, HEURISTIC = 4 };
enum { STALE_FORBIDDEN = 1, ALWAYS = 2 };
static const int64_t FOREVER = INT64_MAX;

struct lifetime_row {
    const char          *name, *lines;
    unsigned             status, setting;
    int64_t              seconds;
    enum lifetime_source source;
    unsigned             flags;
};

static void check_lifetime(const struct lifetime_row *row, const struct policy_options *base, int64_t override_ns)
{
    struct head            h = head_of(row->lines);
    struct stored_response r = stored(&h, row->status);
    struct policy_options  o = *base;
    struct cache_control   cc = cache_control_of_response(&h.fields);
    struct lifetime        l;

    o.shared = (row->setting & SHARED) != 0;
    o.heuristic = (row->setting & HEURISTIC) != 0 ? 0.1 : 0.0;
    r.had_credential = (row->setting & CREDENTIAL) != 0;
    l = policy_lifetime(&o, &r, &cc, override_ns);
    if (l.ns != s_to_ns(row->seconds))
        fail_msg("%s: %lld ns", row->name, (long long)l.ns);
    if (l.source != row->source)
        fail_msg("%s: source %d", row->name, (int)l.source);
    if (l.explicit_stale != ((row->flags & STALE_FORBIDDEN) != 0) || l.always_validate != ((row->flags & ALWAYS) != 0))
        fail_msg("%s: stale %d, always %d", row->name, l.explicit_stale, l.always_validate);
    head_free(&h);
}

#define CHECK_ROWS(rows, ...) \
    do { \
        static const struct policy_options options = { .stale_if_error_ns = POLICY_UNSET, __VA_ARGS__ }; \
        for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) \
            check_lifetime(&rows[i], &options, POLICY_UNSET); \
    } while (0)

#define LM_DAY "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n" DATE_T0

static void test_origin_lifetime(void **state)
{
    static const struct lifetime_row rows[] = {
        { "nothing", DATE_T0, 200, 0, 0, LIFETIME_NONE, 0 },
        /* 5.2.2.1 */
        { "max_age", "Cache-Control: max-age=60\n", 200, 0, 60, LIFETIME_MAX_AGE, 0 },
        { "max_age_zero", "Cache-Control: max-age=0\n", 200, 0, 0, LIFETIME_MAX_AGE, 0 },
        /* 4.2.1 */
        { "max_age_negative_is_stale", "Cache-Control: max-age=-1\n", 200, 0, 0, LIFETIME_MAX_AGE, 0 },
        { "max_age_junk_is_stale", "Cache-Control: max-age=3600a\n", 200, 0, 0, LIFETIME_MAX_AGE, 0 },
        { "max_age_huge", "Cache-Control: max-age=99999999999\n", 200, 0, INT64_C(2147483648), LIFETIME_MAX_AGE, 0 },
        { "max_age_first_counts", "Cache-Control: max-age=1, max-age=60\n", 200, 0, 1, LIFETIME_MAX_AGE, 0 },
        { "max_age_over_expires", "Cache-Control: max-age=60\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\n" DATE_T0, 200, 0,
          60,
          /* 5.3 */
          LIFETIME_MAX_AGE, 0 },
        { "max_age_zero_over_expires", "Cache-Control: max-age=0\nExpires: Sun, 06 Nov 1994 09:49:37 GMT\n" DATE_T0,
          200, 0, 0, LIFETIME_MAX_AGE, 0 },
        { "s_maxage_shared", "Cache-Control: max-age=60, s-maxage=600\n", 200, SHARED | CREDENTIAL, 600,
          LIFETIME_S_MAXAGE,
          /* 5.2.2.10 */
          STALE_FORBIDDEN },
        { "s_maxage_without_credential", "Cache-Control: max-age=60, s-maxage=600\n", 200, 0, 600, LIFETIME_S_MAXAGE,
          STALE_FORBIDDEN },
        { "s_maxage_private", "Cache-Control: max-age=60, s-maxage=600\n", 200, CREDENTIAL, 60, LIFETIME_MAX_AGE, 0 },
        { "s_maxage_private_alone", "Cache-Control: s-maxage=600\n", 200, CREDENTIAL, 0, LIFETIME_NONE, 0 },
        { "s_maxage_zero", "Cache-Control: max-age=60, s-maxage=0\n", 200, SHARED, 0, LIFETIME_S_MAXAGE,
          STALE_FORBIDDEN },
        { "expires", "Expires: Sun, 06 Nov 1994 08:50:37 GMT\n" DATE_T0, 200, 0, 60, LIFETIME_EXPIRES, 0 },
        { "expires_past", "Expires: Sun, 06 Nov 1994 08:48:37 GMT\n" DATE_T0, 200, 0, 0, LIFETIME_EXPIRES, 0 },
        { "expires_is_date", "Expires: Sun, 06 Nov 1994 08:49:37 GMT\n" DATE_T0, 200, 0, 0, LIFETIME_EXPIRES, 0 },
        /* 5.3 */
        { "expires_zero_is_past", "Expires: 0\n" DATE_T0, 200, 0, 0, LIFETIME_EXPIRES, 0 },
        { "expires_empty_is_past", "Expires:\n" DATE_T0, 200, 0, 0, LIFETIME_EXPIRES, 0 },
        { "expires_other_zone_is_past", "Expires: Sun, 06 Nov 1994 08:50:37 UTC\n" DATE_T0, 200, 0, 0, LIFETIME_EXPIRES,
          0 },
        { "expires_rfc850", "Expires: Sunday, 06-Nov-94 08:50:37 GMT\n" DATE_T0, 200, 0, 60, LIFETIME_EXPIRES, 0 },
        { "expires_asctime", "Expires: Sun Nov  6 08:50:37 1994\n" DATE_T0, 200, 0, 60, LIFETIME_EXPIRES, 0 },
        { "expires_without_date", "Expires: Sun, 06 Nov 1994 08:50:37 GMT\n", 200, 0, 60, LIFETIME_EXPIRES, 0 },
        { "expires_is_free_of_skew", "Expires: Sun, 06 Nov 1994 10:50:37 GMT\nDate: Sun, 06 Nov 1994 10:49:37 GMT\n",
          200, 0, 60, LIFETIME_EXPIRES, 0 },
        { "expires_far", "Expires: Fri, 31 Dec 9999 23:59:59 GMT\n" DATE_T0, 200, 0, FOREVER, LIFETIME_EXPIRES, 0 },
        { "expires_first_line_counts", "Expires: Sun, 06 Nov 1994 08:50:37 GMT\nExpires: 0\n" DATE_T0, 200, 0, 60,
          LIFETIME_EXPIRES, 0 },
        { "explicit_for_any_status", "Cache-Control: max-age=60\n", 599, 0, 60, LIFETIME_MAX_AGE, 0 },
        { "targeted_over_cache_control", "Cache-Control: max-age=1\nCDN-Cache-Control: max-age=60\n", 200, 0, 60,
          LIFETIME_MAX_AGE,
          /* RFC 9213 2.2 */
          0 },
        { "targeted_over_expires", "Expires: Sun, 06 Nov 1994 09:49:37 GMT\nCDN-Cache-Control: public\n" DATE_T0, 200,
          0, 0, LIFETIME_NONE, 0 },
        { "invalid_targeted_falls_back", "Cache-Control: max-age=1\nCDN-Cache-Control: max-age=\"60\n", 200, 0, 1,
          LIFETIME_MAX_AGE, 0 },
        { "weir's_own_target_first", "CDN-Cache-Control: max-age=1\nWeir-Cache-Control: max-age=60\n", 200, 0, 60,
          LIFETIME_MAX_AGE, 0 },
        { "must_revalidate", "Cache-Control: max-age=60, must-revalidate\n", 200, 0, 60, LIFETIME_MAX_AGE,
          STALE_FORBIDDEN },
        { "proxy_revalidate_shared", "Cache-Control: max-age=60, proxy-revalidate\n", 200, 0, 60, LIFETIME_MAX_AGE,
          STALE_FORBIDDEN },
        { "proxy_revalidate_private", "Cache-Control: max-age=60, proxy-revalidate\n", 200, CREDENTIAL, 60,
          LIFETIME_MAX_AGE, 0 },
        /* 5.2.2.4 */
        { "no_cache", "Cache-Control: max-age=60, no-cache\n", 200, 0, 60, LIFETIME_MAX_AGE, STALE_FORBIDDEN | ALWAYS },
        { "no_cache_of_fields", "Cache-Control: max-age=60, no-cache=\"foo\"\n", 200, 0, 60, LIFETIME_MAX_AGE, 0 },
        /* 5.4 */
        { "pragma_in_a_response_is_nothing", "Cache-Control: max-age=60\nPragma: no-cache\n", 200, 0, 60,
          LIFETIME_MAX_AGE, 0 },
        /* 4.2.2 */
        { "heuristic_off", LM_DAY, 200, 0, 0, LIFETIME_NONE, 0 },
        { "heuristic", LM_DAY, 200, HEURISTIC, 8640, LIFETIME_HEURISTIC, 0 },
        { "heuristic_404", LM_DAY, 404, HEURISTIC, 8640, LIFETIME_HEURISTIC, 0 },
        { "heuristic_501", LM_DAY, 501, HEURISTIC, 8640, LIFETIME_HEURISTIC, 0 },
        { "heuristic_not_201", LM_DAY, 201, HEURISTIC, 0, LIFETIME_NONE, 0 },
        { "heuristic_not_302", LM_DAY, 302, HEURISTIC, 0, LIFETIME_NONE, 0 },
        { "heuristic_not_403", LM_DAY, 403, HEURISTIC, 0, LIFETIME_NONE, 0 },
        { "heuristic_not_503", LM_DAY, 503, HEURISTIC, 0, LIFETIME_NONE, 0 },
        { "heuristic_public_599", "Cache-Control: public\n" LM_DAY, 599, HEURISTIC, 8640, LIFETIME_HEURISTIC, 0 },
        { "heuristic_not_beside_explicit", "Cache-Control: max-age=1\n" LM_DAY, 200, HEURISTIC, 1, LIFETIME_MAX_AGE,
          0 },
        { "heuristic_not_beside_expires", "Expires: 0\n" LM_DAY, 200, HEURISTIC, 0, LIFETIME_EXPIRES, 0 },
        { "heuristic_future_is_nothing", "Last-Modified: Mon, 07 Nov 1994 08:49:37 GMT\n" DATE_T0, 200, HEURISTIC, 0,
          LIFETIME_HEURISTIC, 0 },
        { "heuristic_needs_a_date", "Last-Modified: once\n" DATE_T0, 200, HEURISTIC, 0, LIFETIME_NONE, 0 },
    };

    (void)state;
    CHECK_ROWS(rows, .ttl = { TTL_ORIGIN, .ns = 0 });
}

#define MINUTE_NS (60 * NS_PER_SEC)

static void test_rule_lifetime(void **state)
{
    static const struct lifetime_row fixed[] = {
        { "fixed_over_max_age", "Cache-Control: max-age=1, must-revalidate\n", 200, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_over_no_store_and_private", "Cache-Control: no-store, private, no-cache\n", 200, 0, 60, LIFETIME_RULE,
          0 },
        { "fixed_over_expires", "Expires: 0\nPragma: no-cache\n", 200, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_203", "", 203, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_206_as_200", "", 206, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_300", "", 300, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_301", "", 301, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_308", "", 308, 0, 60, LIFETIME_RULE, 0 },
        { "fixed_does_not_cover_204", "", 204, 0, 0, LIFETIME_NONE, 0 },
        { "fixed_does_not_cover_302", "", 302, 0, 0, LIFETIME_NONE, 0 },
        { "fixed_leaves_404_to_the_origin", "Cache-Control: max-age=5\n", 404, 0, 5, LIFETIME_MAX_AGE, 0 },
        { "fixed_does_not_cover_500", "", 500, 0, 0, LIFETIME_NONE, 0 },
    };
    static const struct lifetime_row forever[] = {
        { "forever", "Cache-Control: no-store\n", 200, 0, FOREVER, LIFETIME_RULE, 0 },
        { "forever_does_not_cover_404", "", 404, 0, 0, LIFETIME_NONE, 0 },
    };
    static const struct lifetime_row otherwise[] = {
        { "else_where_nothing_is_said", DATE_T0, 200, 0, 60, LIFETIME_ELSE, 0 },
        { "else_not_beside_max_age", "Cache-Control: max-age=0\n", 200, 0, 0, LIFETIME_MAX_AGE, 0 },
        { "else_not_beside_expires", "Expires: 0\n", 200, 0, 0, LIFETIME_EXPIRES, 0 },
        { "else_not_beside_no_cache", "Cache-Control: no-cache\n", 200, 0, 0, LIFETIME_NONE, STALE_FORBIDDEN | ALWAYS },
        { "else_not_beside_no_store", "Cache-Control: no-store\n", 200, 0, 0, LIFETIME_NONE, 0 },
        { "else_not_beside_pragma", "Pragma: no-cache\n", 200, 0, 0, LIFETIME_NONE, 0 },
        { "else_beside_public", "Cache-Control: public\n", 200, 0, 60, LIFETIME_ELSE, 0 },
        { "else_beside_private_of_a_private_cache", "Cache-Control: private\n", 200, CREDENTIAL, 60, LIFETIME_ELSE, 0 },
        { "else_keeps_must_revalidate", "Cache-Control: must-revalidate\n", 200, 0, 60, LIFETIME_ELSE,
          STALE_FORBIDDEN },
        { "else_beside_s_maxage_of_others", "Cache-Control: s-maxage=5\n", 200, CREDENTIAL, 60, LIFETIME_ELSE, 0 },
        { "else_behind_heuristic", LM_DAY, 200, HEURISTIC, 8640, LIFETIME_HEURISTIC, 0 },
        { "else_does_not_cover_404", "", 404, 0, 0, LIFETIME_NONE, 0 },
    };
    static const struct lifetime_row revalidate[] = {
        { "revalidate", "Cache-Control: max-age=60\n", 200, 0, 0, LIFETIME_RULE, ALWAYS },
        { "revalidate_keeps_must_revalidate", "Cache-Control: must-revalidate\n", 200, 0, 0, LIFETIME_RULE,
          ALWAYS | STALE_FORBIDDEN },
    };
    static const struct lifetime_row never[] = {
        { "never", "Cache-Control: max-age=60\n", 200, 0, 0, LIFETIME_RULE, ALWAYS | STALE_FORBIDDEN },
    };
    static const struct policy_status_ttl list[] = {
        { 404, 404, { TTL_FIXED, .ns = MINUTE_NS } },
        { 500, 599, { TTL_NEVER, .ns = 0 } },
        { 400, 499, { TTL_FIXED, .ns = 2 * MINUTE_NS } },
        { 301, 301, { TTL_ORIGIN, .ns = 0 } },
    };
    static const struct lifetime_row listed[] = {
        { "listed_404", "Cache-Control: no-store\n", 404, 0, 60, LIFETIME_RULE, 0 },
        { "listed_first_match", "", 404, 0, 60, LIFETIME_RULE, 0 },
        { "listed_class", "", 403, 0, 120, LIFETIME_RULE, 0 },
        { "listed_never", "Cache-Control: max-age=60\n", 503, 0, 0, LIFETIME_RULE, ALWAYS | STALE_FORBIDDEN },
        { "listed_origin", "Cache-Control: max-age=7\n", 301, 0, 7, LIFETIME_MAX_AGE, 0 },
        { "not_listed", "", 200, 0, 600, LIFETIME_RULE, 0 },
    };

    (void)state;
    CHECK_ROWS(fixed, .ttl = { TTL_FIXED, .ns = MINUTE_NS });
    CHECK_ROWS(forever, .ttl = { TTL_FOREVER, .ns = 0 });
    CHECK_ROWS(otherwise, .ttl = { TTL_ORIGIN_ELSE, .ns = MINUTE_NS });
    CHECK_ROWS(revalidate, .ttl = { TTL_REVALIDATE, .ns = 0 });
    CHECK_ROWS(never, .ttl = { TTL_NEVER, .ns = 0 });
    CHECK_ROWS(listed, .ttl = { TTL_FIXED, .ns = 10 * MINUTE_NS }, .status = list, .status_count = 4);
}

/* Weir-TTL (contract section 4): over any rule, but of "never". */
static void test_override(void **state)
{
    static const struct policy_options origin = { .ttl = { TTL_ORIGIN, .ns = 0 } },
                                       fixed = { .ttl = { TTL_FIXED, .ns = MINUTE_NS } };
    static const struct policy_options never = { .ttl = { TTL_NEVER, .ns = 0 } };

    static const struct lifetime_row rows[] = {
        { "override_origin", "Cache-Control: max-age=5\n", 200, 0, 30, LIFETIME_RULE, 0 },
        { "override_fixed", "", 200, 0, 30, LIFETIME_RULE, 0 },
        { "override_covers_as_a_duration", "Cache-Control: max-age=5\n", 404, 0, 5, LIFETIME_MAX_AGE, 0 },
        { "override_not_never", "", 200, 0, 0, LIFETIME_RULE, ALWAYS | STALE_FORBIDDEN },
    };

    (void)state;
    check_lifetime(&rows[0], &origin, 30 * NS_PER_SEC);
    check_lifetime(&rows[1], &fixed, 30 * NS_PER_SEC);
    check_lifetime(&rows[2], &origin, 30 * NS_PER_SEC);
    check_lifetime(&rows[3], &never, 30 * NS_PER_SEC);
}

/* Contract section 3: a rule's ttl counts from the time the answer was fetched, the origin's from
 * its Age. */
static void test_ttl_left(void **state)
{
    struct head            h = head_of(DATE_T0 "Age: 50\n");
    struct stored_response r = stored(&h, 200);
    struct lifetime        rule = { .ns = MINUTE_NS, .source = LIFETIME_RULE };
    struct lifetime        origin = { .ns = MINUTE_NS, .source = LIFETIME_MAX_AGE };
    struct lifetime        forever = { .ns = INT64_MAX, .source = LIFETIME_RULE };

    (void)state;
    assert_int_equal(policy_ttl_left_ns(&r, &rule, s_to_ns(T0 + 20)), 40 * NS_PER_SEC);
    assert_int_equal(policy_ttl_left_ns(&r, &origin, s_to_ns(T0 + 20)), -10 * NS_PER_SEC);
    assert_int_equal(policy_ttl_left_ns(&r, &forever, INT64_MAX), INT64_MAX);
    head_free(&h);
}

/* The clock was set back: what was received before is from the future, and stale. */
static void test_from_the_future_is_stale(void **state)
{
    static const struct {
        const char *name;
        int64_t     now_s, age_s, left_s;
    } rows[] = {
        { "just_now", 0, 0, 100 },
        { "a_second_ago", 1, 1, 99 },
        { "in_a_second", -1, 0, -1 },
        { "in_an_hour", -3600, 0, -3600 },
        { "at_the_epoch", -784111777, 0, -784111777 },
    };
    static const enum lifetime_source sources[] = { LIFETIME_RULE,    LIFETIME_S_MAXAGE,  LIFETIME_MAX_AGE,
                                                    LIFETIME_EXPIRES, LIFETIME_HEURISTIC, LIFETIME_ELSE };
    struct head                       h = head_of(DATE_T0);
    struct stored_response            r = stored(&h, 200);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0] * 6; i++) {
        const size_t          row = i / 6;
        const struct lifetime l = { .ns = s_to_ns(100), .source = sources[i % 6] };
        const int64_t         now = s_to_ns(T0 + rows[row].now_s);

        if (policy_age_ns(&r, now) != s_to_ns(rows[row].age_s) ||
            policy_ttl_left_ns(&r, &l, now) != s_to_ns(rows[row].left_s))
            fail_msg("%s: age %lld, left %lld", rows[row].name, (long long)policy_age_ns(&r, now),
                     (long long)policy_ttl_left_ns(&r, &l, now));
    }
    /* What is known of the step is added to its age, and it is as stale as before while it lies ahead. */
    r.set_back_ns = s_to_ns(60);
    assert_int_equal(policy_age_ns(&r, s_to_ns(T0 + 10)), s_to_ns(70));
    assert_int_equal(policy_age_ns(&r, s_to_ns(T0 - 10)), s_to_ns(50));
    for (size_t i = 0; i < 6; i++) {
        const struct lifetime l = { .ns = s_to_ns(100), .source = sources[i] };

        assert_int_equal(policy_ttl_left_ns(&r, &l, s_to_ns(T0 + 10)), s_to_ns(30));
        assert_int_equal(policy_ttl_left_ns(&r, &l, s_to_ns(T0 - 10)), s_to_ns(-10));
    }
    r.set_back_ns = INT64_MAX;
    assert_int_equal(policy_age_ns(&r, s_to_ns(T0 + 10)), INT64_MAX);
    head_free(&h);
}

/* Steps of a second to ten years, both ways, at any time after it was stored: never an age below 0, never fresh
 * for longer than the lifetime after the moment at which the clock says it came, and no overflow. */
static void test_steps_of_the_clock(void **state)
{
    static const int64_t steps_s[] = {
        1, 2, 60, 3599, 3600, 86400, 30 * 86400, 366 * 86400, INT64_C(10) * 366 * 86400
    };
    struct property        p = { 1111 };
    struct head            h = head_of(DATE_T0 "Age: 7\n");
    struct stored_response r = stored(&h, 200);

    (void)state;
    for (int i = 0; i < 200000; i++) {
        struct lifetime l = { .ns = (int64_t)property_below(&p, 5) * 1800 * NS_PER_SEC + 1,
                              .source = property_below(&p, 2) == 0 ? LIFETIME_RULE : LIFETIME_MAX_AGE };
        int64_t elapsed = (int64_t)property_below(&p, 10000) * NS_PER_SEC, now = r.received_wall_ns + elapsed, left;

        for (size_t n = property_below(&p, 3) + 1; n > 0; n--) {
            const int64_t step = steps_s[property_below(&p, sizeof steps_s / sizeof steps_s[0])] * NS_PER_SEC;

            now += property_below(&p, 2) == 0 ? step : -step;
        }
        left = policy_ttl_left_ns(&r, &l, now);
        if (policy_age_ns(&r, now) < 7 * NS_PER_SEC)
            fail_msg("age %lld", (long long)policy_age_ns(&r, now));
        if (left > l.ns || (left > 0 && (now < r.received_wall_ns || now - r.received_wall_ns >= l.ns)))
            fail_msg("now %lld, left %lld", (long long)now, (long long)left);
    }
    for (size_t i = 0; i < 9; i++) {
        static const int64_t ends[] = { INT64_MIN, 0, INT64_MAX };
        struct lifetime      l = { .ns = INT64_MAX - 1, .source = LIFETIME_RULE };

        r.received_wall_ns = ends[i % 3];
        assert_true(policy_ttl_left_ns(&r, &l, ends[i / 3]) < INT64_MAX);
    }
    head_free(&h);
}

/* "until 04:00 Europe/Berlin": the table of gaps and overlaps. */
static void test_until(void **state)
{
    static const struct {
        const char *name, *zone;
        unsigned    hour, minute;
        const char *received, *ends; /* UTC */
    } rows[] = {
        { "later_today", "UTC", 4, 0, "2026-06-01T03:59:59", "2026-06-01T04:00:00" },
        { "at_that_time_it_is_tomorrow", "UTC", 4, 0, "2026-06-01T04:00:00", "2026-06-02T04:00:00" },
        { "tomorrow", "UTC", 4, 0, "2026-06-01T04:00:01", "2026-06-02T04:00:00" },
        { "midnight_over_a_year", "UTC", 0, 0, "2026-12-31T12:00:00", "2027-01-01T00:00:00" },
        { "leap_day", "UTC", 23, 59, "2028-02-28T23:59:30", "2028-02-29T23:59:00" },
        { "summer", "Europe/Berlin", 4, 0, "2026-07-01T01:00:00", "2026-07-01T02:00:00" },
        { "winter", "Europe/Berlin", 4, 0, "2026-01-01T01:00:00", "2026-01-01T03:00:00" },
        { "local_day_is_not_utc's", "Europe/Berlin", 0, 30, "2026-07-01T22:00:00", "2026-07-01T22:30:00" },
        { "west", "America/Los_Angeles", 4, 0, "2026-07-01T12:00:00", "2026-07-02T11:00:00" },
        { "half_hours", "Asia/Kolkata", 4, 0, "2026-07-01T12:00:00", "2026-07-01T22:30:00" },
        /* 2026-03-29, 01:00 UTC: 02:00 becomes 03:00 */
        { "day_of_23_hours", "Europe/Berlin", 4, 0, "2026-03-28T03:00:00", "2026-03-29T02:00:00" },
        { "leapt_over_ends_at_the_leap", "Europe/Berlin", 2, 30, "2026-03-29T00:10:00", "2026-03-29T01:00:00" },
        { "after_the_leap_it_is_tomorrow", "Europe/Berlin", 2, 30, "2026-03-29T01:00:00", "2026-03-30T00:30:00" },
        { "day_before_a_leap", "Europe/Berlin", 2, 30, "2026-03-28T02:00:00", "2026-03-29T01:00:00" },
        { "leap's_own_end", "Europe/Berlin", 3, 0, "2026-03-29T00:59:59", "2026-03-29T01:00:00" },
        /* 2026-10-25, 01:00 UTC: 03:00 becomes 02:00 */
        { "day_of_25_hours", "Europe/Berlin", 4, 0, "2026-10-24T02:00:00", "2026-10-25T03:00:00" },
        { "shown_twice_ends_at_the_first", "Europe/Berlin", 2, 30, "2026-10-25T00:10:00", "2026-10-25T00:30:00" },
        { "between_the_two_it_is_tomorrow", "Europe/Berlin", 2, 30, "2026-10-25T00:45:00", "2026-10-26T01:30:00" },
        { "after_both", "Europe/Berlin", 2, 30, "2026-10-25T01:30:00", "2026-10-26T01:30:00" },
        { "midnight_leapt_over", "America/Sao_Paulo", 0, 0, "2018-11-03T12:00:00", "2018-11-04T03:00:00" },
        { "half_an_hour_of_summer", "Australia/Lord_Howe", 2, 15, "2026-10-03T15:00:00", "2026-10-03T15:30:00" },
        { "a_whole_day_leapt_over", "Pacific/Apia", 12, 0, "2011-12-30T09:00:00", "2011-12-30T10:00:00" },
        { "far_ahead_by_the_rule", "Europe/Berlin", 4, 0, "2099-07-01T01:00:00", "2099-07-01T02:00:00" },
        { "before_1970", "UTC", 4, 0, "1969-12-31T03:00:00", "1969-12-31T04:00:00" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct zone      *zone = zone_open(rows[i].zone);
        struct policy_ttl t = { TTL_UNTIL, .minute = rows[i].hour * 60 + rows[i].minute, .zone = zone };
        struct tm         received = { 0 }, ends = { 0 };
        int64_t           from, want, got;

        assert_non_null(zone);
        assert_non_null(strptime(rows[i].received, "%Y-%m-%dT%H:%M:%S", &received));
        assert_non_null(strptime(rows[i].ends, "%Y-%m-%dT%H:%M:%S", &ends));
        from = timegm(&received) * NS_PER_SEC;
        want = timegm(&ends) * NS_PER_SEC - from;
        got = policy_ttl_ns(t, from);
        if (got != want)
            fail_msg("%s: %lld s, not %lld", rows[i].name, (long long)(got / NS_PER_SEC),
                     (long long)(want / NS_PER_SEC));
        /* Parts of a second stay whole. */
        assert_int_equal(policy_ttl_ns(t, from + 1), want - 1);
        t.kind = TTL_ORIGIN_ELSE_UNTIL;
        assert_int_equal(policy_ttl_ns(t, from), want);
        zone_close(zone);
    }
}

enum { UNTIL_S = 19 * 3600 + 10 * 60 + 23 }; /* from T0 to 04:00 */

/* It counts as a duration does: over all that the origin says, or where that says nothing. */
static void test_until_is_a_duration(void **state)
{
    static const struct lifetime_row until[] = {
        { "until_over_no_store", "Cache-Control: no-store, private, max-age=1\n", 200, 0, UNTIL_S, LIFETIME_RULE, 0 },
        { "until_leaves_404_to_the_origin", "Cache-Control: max-age=5\n", 404, 0, 5, LIFETIME_MAX_AGE, 0 },
    };
    static const struct lifetime_row otherwise[] = {
        { "else_until_where_nothing_is_said", "", 200, 0, UNTIL_S, LIFETIME_ELSE, 0 },
        { "else_until_not_beside_max_age", "Cache-Control: max-age=5\n", 200, 0, 5, LIFETIME_MAX_AGE, 0 },
        { "else_until_not_beside_no_cache", "Cache-Control: no-cache\n", 200, 0, 0, LIFETIME_NONE,
          STALE_FORBIDDEN | ALWAYS },
        { "else_until_does_not_cover_404", "", 404, 0, 0, LIFETIME_NONE, 0 },
    };
    struct zone                *utc = zone_open("UTC");
    const struct policy_options fixed = { .ttl = { TTL_UNTIL, .minute = 240, .zone = utc } };
    const struct policy_options rest = { .ttl = { TTL_ORIGIN_ELSE_UNTIL, .minute = 240, .zone = utc } };

    (void)state;
    for (size_t i = 0; i < sizeof until / sizeof until[0]; i++)
        check_lifetime(&until[i], &fixed, POLICY_UNSET);
    for (size_t i = 0; i < sizeof otherwise / sizeof otherwise[0]; i++)
        check_lifetime(&otherwise[i], &rest, POLICY_UNSET);
    zone_close(utc);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_age),
        cmocka_unit_test(test_age_is_bounded),
        cmocka_unit_test(test_origin_lifetime),
        cmocka_unit_test(test_rule_lifetime),
        cmocka_unit_test(test_until),
        cmocka_unit_test(test_until_is_a_duration),
        cmocka_unit_test(test_override),
        cmocka_unit_test(test_ttl_left),
        cmocka_unit_test(test_from_the_future_is_stale),
        cmocka_unit_test(test_steps_of_the_clock),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
