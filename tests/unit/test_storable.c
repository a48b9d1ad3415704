/*
 * What is stored and shared, and what of its head is kept (RFC 9111 3, 3.1,
 * 3.3, 3.5, 5.2.2; contract section 3).
 */
#include "policy/storable.h"

#include "base/clock.h"
#include "head.h"
#include "policy/freshness.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { CREDENTIAL = 1, SHARED = 2, KEY_BODY = 4, PARTS = 8, STALE_ERROR = 16 };
static const int64_t NOW = INT64_C(784111777000000000);

#define DATES "Date: Sun, 06 Nov 1994 08:49:37 GMT\nLast-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n"
#define YES   STORABLE_YES

struct row {
    const char   *name;
    unsigned      setting;
    const char   *request, *method; /* method NULL: GET */
    unsigned      status;
    const char   *response;
    enum storable expected;
};

/* Sets up one row and asks `ask`. */
static int ask(const struct row *row, const struct policy_options *base,
               int (*question)(const struct policy_options *, const struct storable_input *))
{
    struct head           request = head_of(row->request), response = head_of(row->response);
    struct slice          method = slice_of(row->method != NULL ? row->method : "GET"), length;
    struct http_request   q = { .method = http_method_parse(method), .method_name = method, .fields = request.fields };
    struct http_response  r = { .status = row->status, .fields = response.fields };
    struct policy_options o = *base;
    struct storable_input in = { .request = &q,
                                 .response = &r,
                                 .has_credential = (row->setting & CREDENTIAL) != 0,
                                 .content_length = -1,
                                 .now_wall_ns = NOW,
                                 .may_store_part = (row->setting & PARTS) != 0 };
    int                   answer;

    length = http_fields_get(&response.fields, HTTP_CONTENT_LENGTH);
    slice_to_int64(length, &in.content_length);
    o.shared = (row->setting & SHARED) != 0;
    o.key_body = (row->setting & KEY_BODY) != 0;
    o.max_object_bytes = 1000;
    o.stale_if_error_ns = (row->setting & STALE_ERROR) != 0 ? NS_PER_SEC : POLICY_UNSET;
    o.stale_while_revalidate_ns = POLICY_UNSET;
    answer = question(&o, &in);
    head_free(&request);
    head_free(&response);
    return answer;
}

static int is_storable(const struct policy_options *o, const struct storable_input *in)
{
    return (int)policy_storable(o, in);
}

static void check(const struct row *rows, size_t count, const struct policy_options *o)
{
    for (size_t i = 0; i < count; i++) {
        enum storable got = (enum storable)ask(&rows[i], o, is_storable);

        if (got != rows[i].expected)
            fail_msg("%s: \"%s\", not \"%s\"", rows[i].name, storable_token(got), storable_token(rows[i].expected));
    }
}

#define CHECK_ROWS(rows, o) check(rows, sizeof rows / sizeof rows[0], o)

static void test_origin(void **state)
{
    static const struct policy_options o = { .ttl = { TTL_ORIGIN, .ns = 0 } };

    static const struct row rows[] = {
        /* 3, conditions in their order */
        { "explicit", 0, "", NULL, 200, "Cache-Control: max-age=60\n", YES },
        { "post_is_not_understood", 0, "", "POST", 200, "Cache-Control: max-age=60\n", STORABLE_METHOD },
        { "head_is_not_stored", 0, "", "HEAD", 200, "Cache-Control: max-age=60\n", STORABLE_METHOD },
        { "unknown_method", 0, "", "REPORT", 200, "Cache-Control: max-age=60\n", STORABLE_METHOD },
        { "put_is_never_stored", KEY_BODY, "", "PUT", 200, "Cache-Control: max-age=60\n", STORABLE_METHOD },
        { "query", 0, "", "QUERY", 200, "Cache-Control: max-age=60\n", YES },
        { "post_under_key_body", KEY_BODY, "", "POST", 200, "Cache-Control: max-age=60\n", YES },
        { "interim_is_not_final", 0, "", NULL, 103, "Cache-Control: max-age=60\n", STORABLE_STATUS },
        { "not_modified_is_another's", 0, "", NULL, 304, "Cache-Control: max-age=60\n", STORABLE_STATUS },
        { "any_final_status_explicit", 0, "", NULL, 599, "Cache-Control: max-age=60\n", YES },
        { "error_explicit", 0, "", NULL, 503, "Cache-Control: max-age=60\n", YES },
        { "redirect_explicit", 0, "", NULL, 302, "Expires: Sun, 06 Nov 1994 09:49:37 GMT\n" DATES, YES },
        { "redirect_says_nothing", 0, "", NULL, 302, DATES, STORABLE_NO_LIFETIME },
        { "error_says_nothing", 0, "", NULL, 500, DATES, STORABLE_NO_LIFETIME },
        { "heuristic_status_with_validator", 0, "", NULL, 200, DATES, YES },
        { "heuristic_404_with_validator", 0, "", NULL, 404, "ETag: \"a\"\n", YES },
        { "public_is_enough", 0, "", NULL, 599, "Cache-Control: public\nETag: \"a\"\n", YES },
        { "nothing_to_use_it_for", 0, "", NULL, 200, "", STORABLE_NO_LIFETIME },
        { "stale_at_once_without_validator", 0, "", NULL, 200, "Cache-Control: max-age=0\n", STORABLE_NO_LIFETIME },
        { "stale_at_once_with_validator", 0, "", NULL, 200, "Cache-Control: max-age=0\nETag: \"a\"\n", YES },
        { "stale_at_once_for_errors", STALE_ERROR, "", NULL, 200, "Cache-Control: max-age=0\n", YES },
        { "stale_at_once_for_errors_by_the_origin", 0, "", NULL, 200, "Cache-Control: max-age=0, stale-if-error=60\n",
          YES },
        { "stale_at_once_but_must_revalidate", STALE_ERROR, "", NULL, 200,
          "Cache-Control: max-age=0, must-revalidate\n", STORABLE_NO_LIFETIME },
        { "stored_stale", 0, "", NULL, 200, "Cache-Control: max-age=60\nAge: 100\n", YES },
        /* 5.2.1.5, 5.2.2.5 */
        { "request_no_store", 0, "Cache-Control: no-store\n", NULL, 200, "Cache-Control: max-age=60\n",
          STORABLE_REQUEST_NO_STORE },
        { "no_store", 0, "", NULL, 200, "Cache-Control: no-store\n", STORABLE_NO_STORE },
        { "no_store_over_max_age", 0, "", NULL, 200, "Cache-Control: max-age=60, No-StOrE\n", STORABLE_NO_STORE },
        { "no_store_on_another_line", 0, "", NULL, 200, "Cache-Control: max-age=60\nCache-Control: no-store\n",
          STORABLE_NO_STORE },
        { "targeted_no_store", 0, "", NULL, 200, "Cache-Control: max-age=60\nCDN-Cache-Control: no-store\n",
          STORABLE_NO_STORE },
        { "targeted_over_no_store", 0, "", NULL, 200, "Cache-Control: no-store\nCDN-Cache-Control: max-age=60\n", YES },
        /* 5.2.2.4 */
        { "no_cache_with_validator", 0, "", NULL, 200, "Cache-Control: no-cache\nETag: \"a\"\n", YES },
        { "no_cache_without_validator", 0, "", NULL, 200, "Cache-Control: no-cache, max-age=60\n",
          STORABLE_NO_LIFETIME },
        /* 5.2.2.3 */
        { "must_understand_understood", 0, "", NULL, 200, "Cache-Control: max-age=60, must-understand, no-store\n",
          YES },
        { "must_understand_not_understood", 0, "", NULL, 299, "Cache-Control: max-age=60, must-understand\n",
          STORABLE_STATUS },
        { "must_understand_not_understood_no_store", 0, "", NULL, 299,
          "Cache-Control: max-age=60, must-understand, no-store\n", STORABLE_STATUS },
        /* 5.2.2.7 */
        { "private_of_a_shared_cache", 0, "", NULL, 200, "Cache-Control: private, max-age=60\n", STORABLE_PRIVATE },
        { "private_under_shared", SHARED | CREDENTIAL, "", NULL, 200, "Cache-Control: private, max-age=60\n",
          STORABLE_PRIVATE },
        { "private_of_a_private_cache", CREDENTIAL, "", NULL, 200, "Cache-Control: private, max-age=60\n", YES },
        { "private_is_enough_for_a_private_cache", CREDENTIAL, "", NULL, 599, "Cache-Control: private\nETag: \"a\"\n",
          YES },
        { "private_of_fields", 0, "", NULL, 200, "Cache-Control: private=\"foo\", max-age=60\n", YES },
        { "s_maxage_says_nothing_to_a_private_cache", CREDENTIAL, "", NULL, 599,
          "Cache-Control: s-maxage=60\nETag: \"a\"\n", STORABLE_NO_LIFETIME },
        /* 3.5 */
        { "authorization_private_cache", CREDENTIAL, "Authorization: a\n", NULL, 200, "Cache-Control: max-age=60\n",
          YES },
        { "authorization_shared", SHARED | CREDENTIAL, "Authorization: a\n", NULL, 200, "Cache-Control: max-age=60\n",
          STORABLE_AUTHORIZATION },
        { "authorization_shared_public", SHARED | CREDENTIAL, "Authorization: a\n", NULL, 200,
          "Cache-Control: max-age=60, public\n", YES },
        { "authorization_shared_must_revalidate", SHARED | CREDENTIAL, "Authorization: a\n", NULL, 200,
          "Cache-Control: max-age=60, must-revalidate\n", YES },
        { "authorization_shared_s_maxage", SHARED | CREDENTIAL, "Authorization: a\n", NULL, 200,
          "Cache-Control: s-maxage=60\n", YES },
        { "authorization_that_is_no_credential", 0, "Authorization: a\n", NULL, 200, "Cache-Control: max-age=60\n",
          STORABLE_AUTHORIZATION },
        /* the contract's own */
        { "set_cookie_refused", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: a=b\n", STORABLE_SET_COOKIE },
        /* 4.1 */
        { "vary_star", 0, "", NULL, 200, "Cache-Control: max-age=60\nVary: Foo, *\n", STORABLE_VARY_STAR },
        { "vary_names", 0, "", NULL, 200, "Cache-Control: max-age=60\nVary: Foo, Bar\n", YES },
        { "largest", 0, "", NULL, 200, "Cache-Control: max-age=60\nContent-Length: 1000\n", YES },
        { "too_large", 0, "", NULL, 200, "Cache-Control: max-age=60\nContent-Length: 1001\n", STORABLE_TOO_LARGE },
    };

    (void)state;
    CHECK_ROWS(rows, &o);
}

static void test_parts(void **state)
{
    static const struct policy_options o = { .ttl = { TTL_ORIGIN, .ns = 0 } };

    static const struct row rows[] = {
        { "part_not_wanted", 0, "Range: bytes=0-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10\n", STORABLE_PARTIAL },
        { "part", PARTS, "Range: bytes=0-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10\nContent-Length: 5\n", YES },
        { "part_of_unknown_length", PARTS, "Range: bytes=0-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 0-4/*\n", YES },
        { "part_that_was_not_asked_for", PARTS, "", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10\n", STORABLE_PARTIAL },
        { "part_without_range", PARTS, "Range: bytes=0-4\n", NULL, 206, "Cache-Control: max-age=60\n",
          STORABLE_PARTIAL },
        { "part_contradicts_its_body", PARTS, "Range: bytes=0-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 0-4/10\nContent-Length: 6\n", STORABLE_PARTIAL },
        { "part_contradicts_itself", PARTS, "Range: bytes=0-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Range: bytes 6-10/10\n", STORABLE_PARTIAL },
        { "parts_of_a_multipart", PARTS, "Range: bytes=0-1,3-4\n", NULL, 206,
          "Cache-Control: max-age=60\nContent-Type: multipart/byteranges; boundary=x\n", STORABLE_PARTIAL },
        { "whole_to_a_range", 0, "Range: bytes=0-4\n", NULL, 200, "Cache-Control: max-age=60\n", YES },
        { "unsatisfiable", 0, "Range: bytes=90-\n", NULL, 416, "Cache-Control: max-age=60\n", STORABLE_RANGE_REQUEST },
    };

    (void)state;
    CHECK_ROWS(rows, &o);
}

static void test_rules(void **state)
{
    static const struct policy_status_ttl list[] = { { 404, 404, { TTL_FIXED, .ns = NS_PER_SEC } },
                                                     { 500, 599, { TTL_NEVER, .ns = 0 } } };
    static const struct policy_options    fixed = { .ttl = { TTL_FIXED, .ns = NS_PER_SEC },
                                                    .status = list,
                                                    .status_count = 2 };
    static const struct policy_options    never = { .ttl = { TTL_NEVER, .ns = 0 } },
                                       revalidate = { .ttl = { TTL_REVALIDATE, .ns = 0 } };
    static const struct policy_options otherwise = { .ttl = { TTL_ORIGIN_ELSE, .ns = NS_PER_SEC } };

    static const struct row fixed_rows[] = {
        { "fixed_over_no_store", 0, "", NULL, 200, "Cache-Control: no-store\n", YES },
        { "fixed_over_private", SHARED, "", NULL, 200, "Cache-Control: private\n", YES },
        { "fixed_over_must_understand", 0, "", NULL, 200, "Cache-Control: must-understand, no-store\n", YES },
        { "fixed_not_over_the_request", 0, "Cache-Control: no-store\n", NULL, 200, "", STORABLE_REQUEST_NO_STORE },
        { "fixed_not_over_vary_star", 0, "", NULL, 200, "Vary: *\n", STORABLE_VARY_STAR },
        { "fixed_and_shared_over_authorization", SHARED | CREDENTIAL, "Authorization: a\n", NULL, 200, "", YES },
        { "fixed_alone_not_over_authorization", 0, "Authorization: a\n", NULL, 200, "", STORABLE_AUTHORIZATION },
        { "fixed_strips_cookies", 0, "", NULL, 200, "Set-Cookie: a=b\n", YES },
        { "fixed_does_not_cover_302", 0, "", NULL, 302, DATES, STORABLE_NO_LIFETIME },
        { "fixed_leaves_others_to_the_origin", 0, "", NULL, 302, "Cache-Control: max-age=60\n", YES },
        { "fixed_leaves_no_store_of_others", 0, "", NULL, 302, "Cache-Control: no-store\n", STORABLE_NO_STORE },
        { "listed", 0, "", NULL, 404, "Cache-Control: no-store\n", YES },
        { "listed_never", 0, "", NULL, 503, "Cache-Control: max-age=60\n", STORABLE_RULE_NEVER },
        { "fixed_too_large", 0, "", NULL, 200, "Content-Length: 1001\n", STORABLE_TOO_LARGE },
    };
    static const struct row never_rows[] = {
        { "never", 0, "", NULL, 200, "Cache-Control: max-age=60\n", STORABLE_RULE_NEVER },
    };
    static const struct row revalidate_rows[] = {
        { "revalidate_with_validator", 0, "", NULL, 200, "ETag: \"a\"\n", YES },
        { "revalidate_without", 0, "", NULL, 200, "Cache-Control: max-age=60\n", STORABLE_NO_LIFETIME },
        { "revalidate_keeps_no_store", 0, "", NULL, 200, "Cache-Control: no-store\nETag: \"a\"\n", STORABLE_NO_STORE },
        { "revalidate_not_every_status", 0, "", NULL, 500, "ETag: \"a\"\n", STORABLE_NO_LIFETIME },
    };
    static const struct row else_rows[] = {
        { "else", 0, "", NULL, 200, "", YES },
        { "else_not_over_no_store", 0, "", NULL, 200, "Cache-Control: no-store\n", STORABLE_NO_STORE },
        { "else_not_every_status", 0, "", NULL, 500, "", STORABLE_NO_LIFETIME },
        { "else_refuses_cookies", 0, "", NULL, 200, "Set-Cookie: a=b\n", STORABLE_SET_COOKIE },
    };

    (void)state;
    CHECK_ROWS(fixed_rows, &fixed);
    CHECK_ROWS(never_rows, &never);
    CHECK_ROWS(revalidate_rows, &revalidate);
    CHECK_ROWS(else_rows, &otherwise);
}

static void test_set_cookie(void **state)
{
    static const struct {
        const char            *name;
        enum set_cookie_policy set_cookie;
        enum ttl_kind          ttl;
        enum storable          expected;
        bool                   kept;
    } rows[] = {
        { "default_origin", SET_COOKIE_DEFAULT, TTL_ORIGIN, STORABLE_SET_COOKIE, false },
        { "default_duration", SET_COOKIE_DEFAULT, TTL_FIXED, YES, false },
        { "default_forever", SET_COOKIE_DEFAULT, TTL_FOREVER, YES, false },
        { "refuse_duration", SET_COOKIE_REFUSE, TTL_FIXED, STORABLE_SET_COOKIE, false },
        { "strip_origin", SET_COOKIE_STRIP, TTL_ORIGIN, YES, false },
        { "store_origin", SET_COOKIE_STORE, TTL_ORIGIN, YES, true },
        { "store_duration", SET_COOKIE_STORE, TTL_FIXED, YES, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct policy_options o = { .ttl = { rows[i].ttl, .ns = NS_PER_SEC }, .set_cookie = rows[i].set_cookie };

        struct row row = {
            rows[i].name,    0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: a=b\nSet-Cookie: c=d\n",
            rows[i].expected
        };
        struct head          head = head_of(row.response);
        struct http_response r = { 200, head.fields };
        struct http_fields   kept = policy_stored_fields(&o, &r, &head.arena);

        check(&row, 1, &o);
        if (http_fields_count(&kept, HTTP_SET_COOKIE) != (rows[i].kept ? 2u : 0u))
            fail_msg("%s: kept", rows[i].name);
        head_free(&head);
    }
}

/* What a load balancer sets says nothing of who the caller is. */
static void test_ignored_cookies(void **state)
{
    static const char *const ignored[] = { "AWSALB*", "lb", NULL };

    static const struct row rows[] = {
        { "ignored", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: AWSALB=1; Path=/\nSet-Cookie: lb = 2\n",
          YES },
        { "one_is_not", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: lb=1\nSet-Cookie: sid=2\n",
          STORABLE_SET_COOKIE },
        { "name_in_an_attribute", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: sid=2; lb=1\n",
          STORABLE_SET_COOKIE },
        { "no_pair", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie: lb\n", STORABLE_SET_COOKIE },
        { "empty", 0, "", NULL, 200, "Cache-Control: max-age=60\nSet-Cookie:\n", STORABLE_SET_COOKIE },
    };
    const struct policy_options o = { .ttl = { TTL_ORIGIN, .ns = 0 }, .ignore_cookies = ignored };

    (void)state;
    check(rows, sizeof rows / sizeof rows[0], &o);
}

static int is_shareable(const struct policy_options *o, const struct storable_input *in)
{
    return policy_shareable(o, in);
}

/* RFC 9111 4: collapsed requests are answered by what each of them might reuse. */
static void test_shareable(void **state)
{
    static const struct policy_options origin = { .ttl = { TTL_ORIGIN, .ns = 0 }, .set_cookie = SET_COOKIE_STORE };
    static const struct policy_options fixed = { .ttl = { TTL_FIXED, .ns = NS_PER_SEC } },
                                       revalidate = { .ttl = { TTL_REVALIDATE, .ns = 0 } };
    static const struct {
        const struct policy_options *o;
        bool                         shareable;
        struct row                   row;
    } rows[] = {
        { &origin, true, { "fresh", 0, "", NULL, 200, "Cache-Control: max-age=60\n", YES } },
        { &origin, false, { "not_stored", 0, "", NULL, 200, "Cache-Control: no-store\n", YES } },
        { &origin, false, { "stale_at_once", 0, "", NULL, 200, "Cache-Control: max-age=0\nETag: \"a\"\n", YES } },
        { &origin, false, { "too_old", 0, "", NULL, 200, "Cache-Control: max-age=60\nAge: 60\nETag: \"a\"\n", YES } },
        { &origin, false, { "no_cache", 0, "", NULL, 200, "Cache-Control: max-age=60, no-cache\nETag: \"a\"\n", YES } },
        { &origin, false, { "nothing_said", 0, "", NULL, 200, DATES, YES } },
        { &fixed, true, { "fixed_over_no_cache", 0, "", NULL, 200, "Cache-Control: no-cache\nAge: 100\n", YES } },
        { &revalidate, true, { "revalidate", 0, "", NULL, 200, "ETag: \"a\"\n", YES } },
        { &revalidate,
          false,
          { "revalidate_no_cache", 0, "", NULL, 200, "Cache-Control: no-cache\nETag: \"a\"\n", YES } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (ask(&rows[i].row, rows[i].o, is_shareable) != rows[i].shareable)
            fail_msg("%s", rows[i].row.name);
}

static void test_stored_fields(void **state)
{
    static const struct {
        const char *name, *response, *kept;
    } rows[] = {
        { "all", "A: 1\nContent-Type: x\nAge: 5\nDate: d\n", "A Content-Type Age Date" },
        { "hop_by_hop",
          "Connection: close\nKeep-Alive: x\nProxy-Connection: x\nTE: x\nTrailer: "
          "x\nTransfer-Encoding: x\nUpgrade: x\nB: 1\n",
          /* 3.1, RFC 9110 7.6.1 */
          "B" },
        { "named_by_connection", "Connection: a, B\nA: 1\nb: 2\nC: 3\n", "C" },
        { "of_the_proxy", "Proxy-Authenticate: x\nProxy-Authentication-Info: x\nProxy-Authorization: x\nC: 3\n", "C" },
        /* 5.2.2.4 */
        { "no_cache_of_fields", "Cache-Control: no-cache=\"a, B\"\nA: 1\nb: 2\nC: 3\n", "Cache-Control C" },
        /* 5.2.2.7 */
        { "private_of_fields", "Cache-Control: private=\"a\"\nA: 1\nb: 2\n", "Cache-Control b" },
        { "rate_limits",
          "RateLimit: x\nRateLimit-Policy: x\nX-RateLimit-Remaining: 1\nx-ratelimit-reset-after: "
          "1\nX-Rate-Limit-Limit: 3\n"
          "X-RateLimited: 1\nRetry-After: 3\n",
          "X-RateLimited Retry-After" },
    };
    static const struct policy_options o = { .ttl = { TTL_ORIGIN, .ns = 0 } },
                                       fixed = { .ttl = { TTL_FIXED, .ns = 1 } };
    struct head          head;
    struct http_response r = { .status = 200 };
    struct http_fields   kept;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char names[256] = "";

        head = head_of(rows[i].response);
        r.fields = head.fields;
        kept = policy_stored_fields(&o, &r, &head.arena);
        for (unsigned k = 0; k < kept.count; k++) {
            strncat(names, k > 0 ? " " : "", 2);
            strncat(names, kept.items[k].name.ptr, kept.items[k].name.len);
        }
        if (strcmp(names, rows[i].kept) != 0)
            fail_msg("%s: %s", rows[i].name, names);
        head_free(&head);
    }
    head = head_of("Cache-Control: no-cache=\"a\"\nA: 1\n");
    r.fields = head.fields;
    kept = policy_stored_fields(&fixed, &r, &head.arena);
    assert_int_equal(kept.count, 2); /* a duration takes the place of all that */
    head_free(&head);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_string_equal(storable_token(STORABLE_YES), "");
    for (int s = STORABLE_YES + 1; s < STORABLE_COUNT; s++)
        if (!http_is_token(slice_of(storable_token((enum storable)s))))
            fail_msg("%d", s);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_origin),        cmocka_unit_test(test_parts),           cmocka_unit_test(test_rules),
        cmocka_unit_test(test_set_cookie),    cmocka_unit_test(test_ignored_cookies), cmocka_unit_test(test_shareable),
        cmocka_unit_test(test_stored_fields), cmocka_unit_test(test_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
