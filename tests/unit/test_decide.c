/*
 * The decision of a look-up, under each directive and setting (RFC 9111 4,
 * 4.2.4, 4.3, 5.2.1, 5.2.2, 5.4; RFC 5861; RFC 8246).
 */
#include "policy/decide.h"

#include "base/clock.h"
#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* Sun, 06 Nov 1994 08:49:37 GMT */
static const int64_t T0 = INT64_C(784111777) * NS_PER_SEC;

enum { CREDENTIAL = 1, SHARED = 2, INVALIDATED = 4, KEY_BODY = 8, PART = 16 };

/* Short names for the rows. */
enum {
    SERVE = VERDICT_SERVE,
    BEHIND = VERDICT_SERVE_AND_REFRESH,
    ASK = VERDICT_REVALIDATE,
    FETCH = VERDICT_FETCH,
    PASS = VERDICT_BYPASS,
    REFUSE = VERDICT_UNAVAILABLE
};

struct row {
    const char *name;
    const char *stored; /* head; NULL: nothing is stored */
    int64_t     age_s;  /* since it was received */
    const char *request;
    int         verdict;
    int         forward;
    const char *detail;
    unsigned    setting;
    const char *method; /* NULL: GET */
};

static const struct policy_options origin = { .ttl = { TTL_ORIGIN, .ns = 0 },
                                              .stale_if_error_ns = POLICY_UNSET,
                                              .stale_while_revalidate_ns = POLICY_UNSET };

struct question { /* a row, set up */
    struct head            head, request_head;
    struct http_request    request;
    struct request_wish    wish;
    struct stored_response stored;
    struct policy_options  options;
};

static void set_up(struct question *q, const struct row *row, const struct policy_options *o)
{
    struct slice    method = slice_of(row->method != NULL ? row->method : "GET");
    struct bad_wish bad;

    *q = (struct question){ .head = head_of(row->stored != NULL ? row->stored : ""),
                            .request_head = head_of(row->request),
                            .options = *o };
    q->options.shared = (row->setting & SHARED) != 0;
    q->options.key_body = (row->setting & KEY_BODY) != 0;
    q->request = (struct http_request){ .method = http_method_parse(method),
                                        .method_name = method,
                                        .fields = q->request_head.fields };
    q->stored = (struct stored_response){ .head = { (row->setting & PART) != 0 ? 206 : 200, q->head.fields },
                                          .requested_wall_ns = T0,
                                          .received_wall_ns = T0,
                                          .body_bytes = (row->setting & PART) != 0 ? 5 : 10,
                                          .invalidated = (row->setting & INVALIDATED) != 0,
                                          .had_credential = (row->setting & CREDENTIAL) != 0 };
    if (!policy_wish(&q->request, &q->wish, &bad))
        fail_msg("%s: " SLICE_FMT, row->name, SLICE_ARG(bad.name));
}

static void tear_down(struct question *q)
{
    head_free(&q->head);
    head_free(&q->request_head);
}

static struct decision decide(const struct row *row, const struct policy_options *o)
{
    struct question q;
    struct decision d;

    set_up(&q, row, o);
    d = policy_decide(&q.options, &q.request, &q.wish, row->stored != NULL ? &q.stored : NULL, false,
                      T0 + row->age_s * NS_PER_SEC);
    tear_down(&q);
    return d;
}

static void check(const struct row *rows, size_t count, const struct policy_options *o)
{
    for (size_t i = 0; i < count; i++) {
        struct decision d = decide(&rows[i], o);

        if ((int)d.verdict != rows[i].verdict)
            fail_msg("%s: verdict %d", rows[i].name, (int)d.verdict);
        if ((int)d.forward != rows[i].forward)
            fail_msg("%s: fwd=%s", rows[i].name, forward_reason_token(d.forward));
        if (strcmp(d.detail, rows[i].detail) != 0)
            fail_msg("%s: detail=%s", rows[i].name, d.detail);
    }
}

#define CHECK_ROWS(rows, o) check(rows, sizeof rows / sizeof rows[0], o)

static void test_freshness(void **state)
{
    static const struct row rows[] = {
        { "nothing_stored", NULL, 0, "", FETCH, FWD_URI_MISS, "", 0, NULL },
        /* 4.2 */
        { "fresh_below_max_age", "Cache-Control: max-age=60\n", 59, "", SERVE, FWD_NONE, "", 0, NULL },
        { "stale_at_max_age", "Cache-Control: max-age=60\n", 60, "", ASK, FWD_STALE, "", 0, NULL },
        { "stale_by_its_age", "Cache-Control: max-age=60\nAge: 50\n", 10, "", ASK, FWD_STALE, "", 0, NULL },
        { "stale_by_age_on_arrival", "Cache-Control: max-age=3600\nAge: 12000\n", 0, "", ASK, FWD_STALE, "", 0, NULL },
        /* 4 */
        { "head_from_a_get", "Cache-Control: max-age=60\n", 1, "", SERVE, FWD_NONE, "", 0, "HEAD" },
        { "must_revalidate_while_fresh", "Cache-Control: max-age=60, must-revalidate\n", 59, "", SERVE, FWD_NONE, "", 0,
          NULL },
        /* 5.2.2.4 */
        { "no_cache", "Cache-Control: max-age=60, no-cache\n", 0, "", ASK, FWD_STALE, "no-cache", 0, NULL },
        { "no_cache_of_fields", "Cache-Control: max-age=60, no-cache=\"a\"\n", 0, "", SERVE, FWD_NONE, "", 0, NULL },
        { "nothing_said", "ETag: \"a\"\n", 0, "", ASK, FWD_STALE, "", 0, NULL },
        { "s_maxage_when_shared", "Cache-Control: max-age=1, s-maxage=60\n", 30, "", SERVE, FWD_NONE, "",
          SHARED | CREDENTIAL, NULL },
        { "s_maxage_when_private", "Cache-Control: max-age=1, s-maxage=60\n", 30, "", ASK, FWD_STALE, "", CREDENTIAL,
          NULL },
        /* 4.4 */
        { "invalidated", "Cache-Control: max-age=60\n", 0, "", ASK, FWD_STALE, "invalidated", INVALIDATED, NULL },
        { "invalidated_not_by_max_stale", "Cache-Control: max-age=60\n", 0, "Cache-Control: max-stale\n", ASK,
          FWD_STALE, "invalidated", INVALIDATED, NULL },
        /* RFC 8246 */
        { "immutable_when_stale", "Cache-Control: max-age=60, immutable\n", 60, "", ASK, FWD_STALE, "", 0, NULL },
    };

    (void)state;
    CHECK_ROWS(rows, &origin);
}

#define FRESH "Cache-Control: max-age=60\n"

static void test_request_directives(void **state)
{
    static const struct row rows[] = {
        /* 5.2.1.1 */
        { "max_age_satisfied", FRESH, 10, "Cache-Control: max-age=10\n", SERVE, FWD_NONE, "", 0, NULL },
        { "max_age_exceeded", FRESH, 11, "Cache-Control: max-age=10\n", ASK, FWD_REQUEST, "request-max-age", 0, NULL },
        { "max_age_zero", FRESH, 1, "Cache-Control: max-age=0\n", ASK, FWD_REQUEST, "request-max-age", 0, NULL },
        { "max_age_sees_age", "Cache-Control: max-age=3600\nAge: 1800\n", 0, "Cache-Control: max-age=600\n", ASK,
          FWD_REQUEST, "request-max-age", 0, NULL },
        { "max_age_does_not_lengthen", FRESH, 60, "Cache-Control: max-age=1000\n", ASK, FWD_STALE, "", 0, NULL },
        { "max_age_junk_is_nothing", FRESH, 10, "Cache-Control: max-age=x\n", SERVE, FWD_NONE, "", 0, NULL },
        { "max_age_with_max_stale", FRESH, 15, "Cache-Control: max-age=10, max-stale=5\n", SERVE, FWD_NONE, "", 0,
          NULL },
        { "max_age_beyond_max_stale", FRESH, 16, "Cache-Control: max-age=10, max-stale=5\n", ASK, FWD_REQUEST,
          "request-max-age", 0, NULL },
        { "max_age_of_the_immutable", "Cache-Control: max-age=60, immutable\n", 10, "Cache-Control: max-age=0\n", SERVE,
          FWD_NONE, "immutable",
          /* RFC 8246 2 */
          0, NULL },
        { "no_cache_of_the_immutable", "Cache-Control: max-age=60, immutable\n", 10, "Cache-Control: no-cache\n", ASK,
          FWD_REQUEST, "request-no-cache", 0, NULL },
        /* 5.2.1.2 */
        { "max_stale_within", FRESH, 70, "Cache-Control: max-stale=10\n", SERVE, FWD_NONE, "max-stale", 0, NULL },
        { "max_stale_beyond", FRESH, 71, "Cache-Control: max-stale=10\n", ASK, FWD_STALE, "", 0, NULL },
        { "max_stale_any", FRESH, 100000, "Cache-Control: max-stale\n", SERVE, FWD_NONE, "max-stale", 0, NULL },
        { "max_stale_by_age", "Cache-Control: max-age=1500\nAge: 2000\n", 0, "Cache-Control: max-stale=1000\n", SERVE,
          FWD_NONE, "max-stale", 0, NULL },
        { "max_stale_not_over_must_revalidate", "Cache-Control: max-age=60, must-revalidate\n", 61,
          "Cache-Control: max-stale\n", ASK,
          /* 5.2.2.2 */
          FWD_STALE, "", 0, NULL },
        { "max_stale_not_over_proxy_revalidate", "Cache-Control: max-age=60, proxy-revalidate\n", 61,
          "Cache-Control: max-stale\n", ASK,
          /* 5.2.2.8 */
          FWD_STALE, "", 0, NULL },
        { "max_stale_over_proxy_revalidate_when_private", "Cache-Control: max-age=60, proxy-revalidate\n", 61,
          "Cache-Control: max-stale\n", SERVE, FWD_NONE, "max-stale", CREDENTIAL, NULL },
        { "max_stale_not_over_s_maxage", "Cache-Control: s-maxage=60\n", 61, "Cache-Control: max-stale\n", ASK,
          FWD_STALE, "", 0, NULL },
        { "max_stale_not_over_no_cache", "Cache-Control: max-age=60, no-cache\n", 61, "Cache-Control: max-stale\n", ASK,
          FWD_STALE, "no-cache", 0, NULL },
        /* 5.2.1.3 */
        { "min_fresh_enough", FRESH, 50, "Cache-Control: min-fresh=10\n", SERVE, FWD_NONE, "", 0, NULL },
        { "min_fresh_not_enough", FRESH, 51, "Cache-Control: min-fresh=10\n", ASK, FWD_REQUEST, "request-min-fresh", 0,
          NULL },
        { "min_fresh_sees_age", "Cache-Control: max-age=1500\nAge: 1000\n", 0, "Cache-Control: min-fresh=1000\n", ASK,
          FWD_REQUEST, "request-min-fresh", 0, NULL },
        { "min_fresh_of_the_stale", FRESH, 60, "Cache-Control: min-fresh=10\n", ASK, FWD_STALE, "", 0, NULL },
        /* 5.2.1.4 */
        { "no_cache", FRESH, 0, "Cache-Control: no-cache\n", ASK, FWD_REQUEST, "request-no-cache", 0, NULL },
        { "must_revalidate_means_no_cache", FRESH, 0, "Cache-Control: must-revalidate\n", ASK, FWD_REQUEST,
          "request-no-cache", 0, NULL },
        { "no_cache_not_stored", NULL, 0, "Cache-Control: no-cache\n", FETCH, FWD_URI_MISS, "", 0, NULL },
        /* 5.2.1.5 */
        { "no_store", FRESH, 0, "Cache-Control: no-store\n", FETCH, FWD_REQUEST, "request-no-store", 0, NULL },
        /* 5.2.1.7 */
        { "only_if_cached", FRESH, 0, "Cache-Control: only-if-cached\n", SERVE, FWD_NONE, "", 0, NULL },
        { "only_if_cached_not_stored", NULL, 0, "Cache-Control: only-if-cached\n", REFUSE, FWD_NONE, "only-if-cached",
          0, NULL },
        { "only_if_cached_stale", FRESH, 60, "Cache-Control: only-if-cached\n", REFUSE, FWD_NONE, "only-if-cached", 0,
          NULL },
        { "only_if_cached_with_max_stale", FRESH, 60, "Cache-Control: only-if-cached, max-stale\n", SERVE, FWD_NONE,
          "max-stale", 0, NULL },
        { "only_if_cached_with_no_cache", FRESH, 0, "Cache-Control: only-if-cached, no-cache\n", REFUSE, FWD_NONE,
          "only-if-cached", 0, NULL },
        { "only_if_cached_post", NULL, 0, "Cache-Control: only-if-cached\n", REFUSE, FWD_NONE, "only-if-cached", 0,
          "POST" },
        { "only_if_cached_refreshes_nothing", "Cache-Control: max-age=60, stale-while-revalidate=60\n", 61,
          "Cache-Control: only-if-cached\n", SERVE, FWD_NONE, "stale-while-revalidate", 0, NULL },
        /* 5.4 */
        { "pragma", FRESH, 0, "Pragma: no-cache\n", ASK, FWD_REQUEST, "request-no-cache", 0, NULL },
        { "pragma_any_case", FRESH, 0, "Pragma: foo, No-Cache\n", ASK, FWD_REQUEST, "request-no-cache", 0, NULL },
        { "pragma_beside_cache_control", FRESH, 0, "Pragma: no-cache\nCache-Control: max-stale=1\n", SERVE, FWD_NONE,
          "", 0, NULL },
        { "pragma_other", FRESH, 0, "Pragma: foo\n", SERVE, FWD_NONE, "", 0, NULL },
        /* no directive for a request */
        { "response_directive_in_a_request", FRESH, 0, "Cache-Control: s-maxage=0, private, no-transform\n", SERVE,
          FWD_NONE, "", 0, NULL },
    };

    (void)state;
    CHECK_ROWS(rows, &origin);
}

static void test_methods_and_preconditions(void **state)
{
    static const struct row rows[] = {
        { "post", FRESH, 0, "", PASS, FWD_METHOD, "method", 0, "POST" },
        { "delete", NULL, 0, "", PASS, FWD_METHOD, "method", 0, "DELETE" },
        { "unknown", NULL, 0, "", PASS, FWD_METHOD, "method", 0, "REPORT" },
        { "options", NULL, 0, "", PASS, FWD_METHOD, "method", 0, "OPTIONS" },
        { "post_under_key_body", FRESH, 0, "", SERVE, FWD_NONE, "", KEY_BODY, "POST" },
        { "query", FRESH, 0, "", SERVE, FWD_NONE, "", 0, "QUERY" },
        { "put_under_key_body", FRESH, 0, "", PASS, FWD_METHOD, "method", KEY_BODY, "PUT" },
        /* 4.3.2 */
        { "if_match", FRESH, 0, "If-Match: \"a\"\n", PASS, FWD_REQUEST, "precondition", 0, NULL },
        { "last_event_id", FRESH, 0, "Last-Event-ID: 7\n", PASS, FWD_REQUEST, "last-event-id", 0, NULL },
        { "an_empty_last_event_id", FRESH, 0, "Last-Event-ID:\n", PASS, FWD_REQUEST, "last-event-id", 0, NULL },
        { "if_unmodified_since", FRESH, 0, "If-Unmodified-Since: x\n", PASS, FWD_REQUEST, "precondition", 0, NULL },
        { "if_none_match_is_for_the_cache", FRESH, 0, "If-None-Match: \"a\"\n", SERVE, FWD_NONE, "", 0, NULL },
    };

    (void)state;
    CHECK_ROWS(rows, &origin);
}

static void test_stale_while_revalidate(void **state)
{
    static const struct policy_options set = { .ttl = { TTL_ORIGIN, .ns = 0 },
                                               .stale_if_error_ns = POLICY_UNSET,
                                               .stale_while_revalidate_ns = 10 * NS_PER_SEC };
    static const struct policy_options off = { .ttl = { TTL_ORIGIN, .ns = 0 }, .stale_if_error_ns = POLICY_UNSET };
    static const struct policy_options fixed = { .ttl = { TTL_FIXED, .ns = 60 * NS_PER_SEC },
                                                 .stale_if_error_ns = POLICY_UNSET,
                                                 .stale_while_revalidate_ns = POLICY_UNSET };

    static const struct row by_origin[] = {
        { "within", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 70, "", BEHIND, FWD_NONE,
          "stale-while-revalidate", 0, NULL },
        { "beyond", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 71, "", ASK, FWD_STALE, "", 0, NULL },
        { "while_fresh", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 59, "", SERVE, FWD_NONE, "", 0,
          NULL },
        { "not_over_must_revalidate", "Cache-Control: max-age=60, stale-while-revalidate=10, must-revalidate\n", 61, "",
          ASK, FWD_STALE, "", 0, NULL },
        { "not_over_no_cache", "Cache-Control: max-age=60, stale-while-revalidate=10, no-cache\n", 61, "", ASK,
          FWD_STALE, "no-cache", 0, NULL },
        { "not_over_the_request's_no_cache", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 61,
          "Cache-Control: no-cache\n", ASK, FWD_REQUEST, "request-no-cache", 0, NULL },
        { "not_over_the_request's_max_age", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 61,
          "Cache-Control: max-age=100\n", ASK, FWD_STALE, "", 0, NULL },
        { "not_over_the_request's_min_fresh", "Cache-Control: max-age=60, stale-while-revalidate=10\n", 61,
          "Cache-Control: min-fresh=1\n", ASK, FWD_STALE, "", 0, NULL },
    };
    static const struct row by_setting[] = {
        { "setting_within", FRESH, 70, "", BEHIND, FWD_NONE, "stale-while-revalidate", 0, NULL },
        { "setting_beyond", FRESH, 71, "", ASK, FWD_STALE, "", 0, NULL },
        { "setting_over_the_origin's", "Cache-Control: max-age=60, stale-while-revalidate=1000\n", 71, "", ASK,
          FWD_STALE, "", 0, NULL },
        { "setting_not_over_must_revalidate", "Cache-Control: max-age=60, must-revalidate\n", 61, "", ASK, FWD_STALE,
          "", 0, NULL },
    };
    static const struct row switched_off[] = {
        { "setting_of_nothing", "Cache-Control: max-age=60, stale-while-revalidate=1000\n", 61, "", ASK, FWD_STALE, "",
          0, NULL },
    };
    static const struct row under_a_duration[] = {
        { "origin's_word_is_replaced", "Cache-Control: max-age=1, stale-while-revalidate=1000\n", 61, "", ASK,
          FWD_STALE, "", 0, NULL },
    };

    (void)state;
    CHECK_ROWS(by_origin, &origin);
    CHECK_ROWS(by_setting, &set);
    CHECK_ROWS(switched_off, &off);
    CHECK_ROWS(under_a_duration, &fixed);
}

static void test_rules(void **state)
{
    static const struct policy_status_ttl list[] = { { 404, 404, { TTL_FIXED, .ns = NS_PER_SEC } } };
    static const struct policy_options    fixed = { .ttl = { TTL_FIXED, .ns = 60 * NS_PER_SEC },
                                                    .stale_if_error_ns = POLICY_UNSET,
                                                    .stale_while_revalidate_ns = POLICY_UNSET };
    static const struct policy_options    never = { .ttl = { TTL_NEVER, .ns = 0 } };
    static const struct policy_options    never_but_404 = { .ttl = { TTL_NEVER, .ns = 0 },
                                                            .status = list,
                                                            .status_count = 1 };
    static const struct policy_options    revalidate = { .ttl = { TTL_REVALIDATE, .ns = 0 },
                                                         .stale_if_error_ns = POLICY_UNSET,
                                                         .stale_while_revalidate_ns = POLICY_UNSET };
    static const struct policy_options    forever = { .ttl = { TTL_FOREVER, .ns = 0 } };

    static const struct row fixed_rows[] = {
        { "fixed_over_max_age", "Cache-Control: max-age=1\n", 59, "", SERVE, FWD_NONE, "", 0, NULL },
        { "fixed_over_no_cache", "Cache-Control: no-cache, no-store\n", 59, "", SERVE, FWD_NONE, "", 0, NULL },
        { "fixed_ends", "Cache-Control: max-age=1000\n", 60, "", ASK, FWD_STALE, "", 0, NULL },
        { "fixed_counts_from_the_fetch", "Age: 1000\n", 59, "", SERVE, FWD_NONE, "", 0, NULL },
        { "fixed_not_over_the_request", "", 1, "Cache-Control: no-cache\n", ASK, FWD_REQUEST, "request-no-cache", 0,
          NULL },
        { "fixed_with_max_stale", "Cache-Control: must-revalidate\n", 61, "Cache-Control: max-stale\n", SERVE, FWD_NONE,
          "max-stale", 0, NULL },
        /* Weir-TTL, Weir-Refresh (contract section 4) */
        { "weir_ttl_shorter", "", 31, "Weir-TTL: 30s\n", ASK, FWD_STALE, "", 0, NULL },
        { "weir_ttl_longer", "", 1000, "Weir-TTL: 1h\n", SERVE, FWD_NONE, "", 0, NULL },
        { "weir_ttl_forever", "", 1000000, "Weir-TTL: forever\n", SERVE, FWD_NONE, "", 0, NULL },
        { "weir_refresh_soft", "", 1, "Weir-Refresh: soft\n", ASK, FWD_REQUEST, "weir-refresh", 0, NULL },
        { "weir_refresh_hard", "", 1, "Weir-Refresh: hard\n", FETCH, FWD_REQUEST, "weir-refresh", 0, NULL },
    };
    static const struct row never_rows[] = {
        { "never", FRESH, 1, "", PASS, FWD_BYPASS, "rule-never", 0, NULL },
        { "never_with_weir_ttl", FRESH, 1, "Weir-TTL: 1h\n", PASS, FWD_BYPASS, "rule-never", 0, NULL },
    };
    static const struct row never_but_rows[] = {
        { "never_but_a_status", NULL, 0, "", FETCH, FWD_URI_MISS, "", 0, NULL },
    };
    static const struct row revalidate_rows[] = {
        { "revalidate", FRESH, 0, "", ASK, FWD_STALE, "ttl-revalidate", 0, NULL },
        { "revalidate_not_by_max_stale", FRESH, 0, "Cache-Control: max-stale\n", ASK, FWD_STALE, "ttl-revalidate", 0,
          NULL },
    };
    static const struct row forever_rows[] = {
        { "forever", "Cache-Control: max-age=1\n", 100000000, "", SERVE, FWD_NONE, "", 0, NULL },
        { "forever_is_fresh_enough", "", 1, "Cache-Control: min-fresh=1000000\n", SERVE, FWD_NONE, "", 0, NULL },
    };

    (void)state;
    CHECK_ROWS(fixed_rows, &fixed);
    CHECK_ROWS(never_rows, &never);
    CHECK_ROWS(never_but_rows, &never_but_404);
    CHECK_ROWS(revalidate_rows, &revalidate);
    CHECK_ROWS(forever_rows, &forever);
}

/* RFC 9111 3.3: a part answers what it holds, and nothing else. */
static void test_parts(void **state)
{
#define STORED_PART FRESH "Content-Range: bytes 5-9/10\n"
    static const struct row rows[] = {
        { "held", STORED_PART, 0, "Range: bytes=-5\n", SERVE, FWD_NONE, "", PART, NULL },
        { "not_held", STORED_PART, 0, "Range: bytes=0-5\n", FETCH, FWD_PARTIAL, "part", PART, NULL },
        { "whole", STORED_PART, 0, "", FETCH, FWD_PARTIAL, "part", PART, NULL },
        { "held_but_stale", STORED_PART, 60, "Range: bytes=-5\n", ASK, FWD_STALE, "", PART, NULL },
    };

    (void)state;
    CHECK_ROWS(rows, &origin);
}

static void test_other_variant(void **state)
{
    struct http_request r = { .method = HTTP_GET, .method_name = SLICE("GET") };
    struct request_wish w;
    struct bad_wish     bad;

    (void)state;
    assert_true(policy_wish(&r, &w, &bad));
    assert_int_equal(policy_decide(&origin, &r, &w, NULL, true, T0).forward, FWD_VARY_MISS);
}

/* The rest of what a decision says. */
static void test_numbers(void **state)
{
    static const struct row shown = { "shown", "Cache-Control: max-age=60\nAge: 5\n", 10, "", SERVE, FWD_NONE, "", 0,
                                      NULL };
    static const struct policy_options fixed = { .ttl = { TTL_FIXED, .ns = 60 * NS_PER_SEC } };
    struct decision                    d = decide(&shown, &origin);

    (void)state;
    assert_int_equal(d.age_ns, 15 * NS_PER_SEC);
    assert_int_equal(d.ttl_ns, 45 * NS_PER_SEC);
    d = decide(&shown, &fixed);
    assert_int_equal(d.age_ns, 15 * NS_PER_SEC); /* 5.1: Age is the origin's view ... */
    assert_int_equal(d.ttl_ns, 50 * NS_PER_SEC); /* ... the ttl counts from the fetch */
}

static void test_storing_and_sharing(void **state)
{
    static const struct {
        struct row row;
        bool       may_store, must_be_new;
    } rows[] = {
        { { "miss", NULL, 0, "", FETCH, FWD_URI_MISS, "", 0, NULL }, true, false },
        { { "stale", FRESH, 60, "", ASK, FWD_STALE, "", 0, NULL }, true, false },
        { { "request_no_store", NULL, 0, "Cache-Control: no-store\n", FETCH, FWD_REQUEST, "request-no-store", 0, NULL },
          false,
          true },
        { { "post", NULL, 0, "", PASS, FWD_METHOD, "method", 0, "POST" }, false, true },
        { { "precondition", NULL, 0, "If-Match: *\n", PASS, FWD_REQUEST, "precondition", 0, NULL }, false, true },
        { { "no_cache_miss", NULL, 0, "Cache-Control: no-cache\n", FETCH, FWD_URI_MISS, "", 0, NULL }, true, true },
        { { "no_cache", FRESH, 0, "Cache-Control: no-cache\n", ASK, FWD_REQUEST, "request-no-cache", 0, NULL },
          true,
          true },
        { { "pragma_miss", NULL, 0, "Pragma: no-cache\n", FETCH, FWD_URI_MISS, "", 0, NULL }, true, true },
        { { "reload", FRESH, 1, "Cache-Control: max-age=0\n", ASK, FWD_REQUEST, "request-max-age", 0, NULL },
          true,
          true },
        { { "hard", FRESH, 1, "Weir-Refresh: hard\n", FETCH, FWD_REQUEST, "weir-refresh", 0, NULL }, true, true },
        { { "soft", FRESH, 1, "Weir-Refresh: soft\n", ASK, FWD_REQUEST, "weir-refresh", 0, NULL }, true, true },
        { { "origin's_no_cache", "Cache-Control: no-cache\n", 1, "", ASK, FWD_STALE, "no-cache", 0, NULL },
          true,
          true },
        { { "invalidated", FRESH, 1, "", ASK, FWD_STALE, "invalidated", INVALIDATED, NULL }, true, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct decision d = decide(&rows[i].row, &origin);

        check(&rows[i].row, 1, &origin);
        if (d.may_store != rows[i].may_store || d.must_be_new != rows[i].must_be_new)
            fail_msg("%s: may_store %d, must_be_new %d", rows[i].row.name, d.may_store, d.must_be_new);
    }
}

/* RFC 5861 4: for how long an error is covered, in seconds past freshness, and whether it is now.
 */
static void test_stale_if_error(void **state)
{
    static const struct policy_options day = { .ttl = { TTL_ORIGIN, .ns = 0 },
                                               .stale_if_error_ns = 86400 * NS_PER_SEC,
                                               .stale_while_revalidate_ns = POLICY_UNSET };
    static const struct policy_options off = { .ttl = { TTL_ORIGIN, .ns = 0 },
                                               .stale_while_revalidate_ns = POLICY_UNSET };
    static const struct policy_options fixed_day = { .ttl = { TTL_FIXED, .ns = 60 * NS_PER_SEC },
                                                     .stale_if_error_ns = 86400 * NS_PER_SEC };
    static const struct policy_options revalidate_day = { .ttl = { TTL_REVALIDATE, .ns = 0 },
                                                          .stale_if_error_ns = 86400 * NS_PER_SEC };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        const char                  *stored;
        int64_t                      age_s;
        const char                  *request;
        unsigned                     setting;
        int64_t                      window_s;
        bool                         covered;
    } rows[] = {
        { "nobody_says_so", &origin, FRESH, 61, "", 0, 0, false },
        { "origin_says_so", &origin, "Cache-Control: max-age=60, stale-if-error=10\n", 70, "", 0, 10, true },
        { "origin_beyond", &origin, "Cache-Control: max-age=60, stale-if-error=10\n", 71, "", 0, 10, false },
        { "request_says_so", &origin, FRESH, 70, "Cache-Control: stale-if-error=10\n", 0, 10, true },
        { "setting", &day, FRESH, 3600, "", 0, 86400, true },
        { "setting_beyond", &day, FRESH, 86461, "", 0, 86400, false },
        { "setting_over_the_origin's", &off, "Cache-Control: max-age=60, stale-if-error=10\n", 61, "", 0, 0, false },
        /* 5.2.2.2 */
        { "not_over_must_revalidate", &day, "Cache-Control: max-age=60, must-revalidate\n", 61, "", 0, 0, false },
        { "not_over_no_cache", &day, "Cache-Control: max-age=60, no-cache\n", 1, "", 0, 0, false },
        { "not_over_s_maxage", &day, "Cache-Control: s-maxage=60\n", 61, "", 0, 0, false },
        { "over_s_maxage_when_private", &day, "Cache-Control: s-maxage=60, max-age=60\n", 61, "", CREDENTIAL, 86400,
          true },
        { "not_over_proxy_revalidate", &day, "Cache-Control: max-age=60, proxy-revalidate\n", 61, "", 0, 0, false },
        { "not_over_the_request's_no_cache", &day, FRESH, 1, "Cache-Control: no-cache\n", 0, 0, false },
        { "not_what_was_invalidated", &day, FRESH, 1, "", INVALIDATED, 0, false },
        { "fresh_but_too_old_for_the_request", &origin, FRESH, 10, "Cache-Control: max-age=5\n", 0, 0, true },
        { "fixed_over_must_revalidate", &fixed_day, "Cache-Control: must-revalidate\n", 61, "", 0, 86400, true },
        { "revalidate_is_covered", &revalidate_day, "ETag: \"a\"\n", 61, "", 0, 86400, true },
        { "revalidate_not_over_must_revalidate", &revalidate_day, "Cache-Control: must-revalidate\n", 61, "", 0, 0,
          false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct row row = {
            rows[i].name, rows[i].stored, rows[i].age_s, rows[i].request, 0, 0, "", rows[i].setting, NULL
        };
        struct decision d = decide(&row, rows[i].o);
        struct question q;
        bool            covered;

        set_up(&q, &row, rows[i].o);
        covered = policy_stale_if_error(&q.options, &q.wish, &q.stored, T0 + rows[i].age_s * NS_PER_SEC);
        tear_down(&q);
        if (d.stale_if_error_ns != rows[i].window_s * NS_PER_SEC || covered != rows[i].covered)
            fail_msg("%s: %lld ns, %d", rows[i].name, (long long)d.stale_if_error_ns, covered);
    }
}

static void test_stale_to_spare(void **state)
{
    static const struct policy_options fixed = { .ttl = { TTL_FIXED, .ns = 60 * NS_PER_SEC } };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        const char                  *stored;
        int64_t                      age_s;
        const char                  *request;
        unsigned                     setting;
        int64_t                      window_s;
        bool                         spared;
    } rows[] = {
        { "within", &origin, FRESH, 61, "", 0, 10, true },
        { "at_the_end", &origin, FRESH, 70, "", 0, 10, true },
        { "beyond", &origin, FRESH, 71, "", 0, 10, false },
        { "not_set", &origin, FRESH, 61, "", 0, 0, false },
        { "not_over_must_revalidate", &origin, "Cache-Control: max-age=60, must-revalidate\n", 61, "", 0, 10, false },
        { "not_over_no_cache", &origin, "Cache-Control: max-age=60, no-cache\n", 61, "", 0, 10, false },
        { "a_rule's_duration_counts", &fixed, "Cache-Control: must-revalidate\n", 61, "", 0, 10, true },
        { "not_over_the_request's_no_cache", &origin, FRESH, 61, "Cache-Control: no-cache\n", 0, 10, false },
        { "not_over_its_max_age", &origin, FRESH, 61, "Cache-Control: max-age=500\n", 0, 10, false },
        { "not_over_its_min_fresh", &origin, FRESH, 61, "Cache-Control: min-fresh=1\n", 0, 10, false },
        { "not_over_a_refresh", &origin, FRESH, 61, "Weir-Refresh: soft\n", 0, 10, false },
        { "not_what_was_invalidated", &origin, FRESH, 61, "", INVALIDATED, 10, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct row row = {
            rows[i].name, rows[i].stored, rows[i].age_s, rows[i].request, 0, 0, "", rows[i].setting, NULL
        };
        struct question q;
        bool            spared;

        set_up(&q, &row, rows[i].o);
        spared = policy_stale_to_spare(&q.options, &q.wish, &q.stored, rows[i].window_s * NS_PER_SEC,
                                       T0 + rows[i].age_s * NS_PER_SEC);
        tear_down(&q);
        if (spared != rows[i].spared)
            fail_msg("%s: %d", rows[i].name, spared);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_freshness),
        cmocka_unit_test(test_request_directives),
        cmocka_unit_test(test_methods_and_preconditions),
        cmocka_unit_test(test_stale_while_revalidate),
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_other_variant),
        cmocka_unit_test(test_numbers),
        cmocka_unit_test(test_storing_and_sharing),
        cmocka_unit_test(test_stale_if_error),
        cmocka_unit_test(test_stale_to_spare),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
