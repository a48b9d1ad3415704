/*
 * Reading what an API says of its budget.
 */
#include "budget/learned.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define MS  NS_PER_MS
#define NOW (INT64_C(1700000000) * S)           /* Tue, 14 Nov 2023 22:13:20 GMT */

/* "Name: value\n" lines. */
static struct http_response response(unsigned status, const char *head, struct arena *a)
{
    struct http_response r = { .status = status };
    struct slice         rest = slice_of(head);

    while (rest.len > 0) {
        size_t       end = slice_find(rest, '\n', 0), colon = slice_find(rest, ':', 0);
        struct slice name = slice_sub(rest, 0, colon);

        http_fields_add(&r.fields, a, name, slice_trim(slice_sub(rest, colon + 1, end)));
        rest = slice_sub(rest, end + 1, rest.len);
    }
    return r;
}

static const struct {
    const char *name, *head;
    unsigned    count;
    const char *resource;
    int64_t     allowed, remaining, reset_in_ns, window_ns;
} rows[] = {
    { "nothing", "Content-Type: text/plain\n", 0, "", -1, -1, -1, -1 },
    { "github",
      "x-ratelimit-limit: 30\nx-ratelimit-remaining: 0\nx-ratelimit-reset: 1700000042\n"
      "x-ratelimit-used: 30\nx-ratelimit-resource: search\n",
      1, "search", 30, 0, 42 * S, -1 },
    { "reset_in_seconds", "X-RateLimit-Remaining: 7\nX-RateLimit-Reset: 42\n", 1, "", -1, 7, 42 * S, -1 },
    { "reset_with_fraction", "X-RateLimit-Remaining: 7\nX-RateLimit-Reset: 1.5\n", 1, "", -1, 7, 1500 * MS, -1 },
    { "reset_epoch_ms", "X-Rate-Limit-Limit: 5\nX-Rate-Limit-Remaining: 2\nX-Rate-Limit-Reset: 1700000001500\n", 1, "",
      5, 2, 1500 * MS, -1 },
    { "reset_in_the_past", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1600000000\n", 1, "", -1, 0, 0, -1 },
    { "reset_as_date", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: Tue, 14 Nov 2023 22:14:20 GMT\n", 1, "", -1, 0,
      60 * S, -1 },
    { "reset_as_iso_date", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2023-11-14T22:14:20Z\n", 1, "", -1, 0, 60 * S,
      -1 },
    { "reset_as_iso_date_in_a_leap_year", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2024-03-01T22:13:20Z\n", 1, "",
      -1, 0, 108 * 86400 * S, -1 },
    { "reset_as_duration", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1m30s\n", 1, "", -1, 0, 90 * S, -1 },
    { "reset_after_counts_before_reset",
      "X-RateLimit-Remaining: 1\nX-RateLimit-Reset: 1700000099.1\n"
      "X-RateLimit-Reset-After: 2.5\nX-RateLimit-Bucket: abcd1234\n",
      1, "abcd1234", -1, 1, 2500 * MS, -1 },
    { "api_clock_an_hour_ahead",
      "Date: Tue, 14 Nov 2023 23:13:20 GMT\nX-RateLimit-Remaining: 0\n"
      "X-RateLimit-Reset: 1700003610\n",
      1, "", -1, 0, 10 * S, -1 },
    { "junk", "X-RateLimit-Remaining: lots\nX-RateLimit-Reset: later\n", 0, "", -1, -1, -1, -1 },
    { "unlimited", "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: -1\n", 0, "", -1, -1, -1, -1 },
    { "decimals", "X-Ratelimit-Remaining: 598.0\nX-Ratelimit-Reset: 181\n", 1, "", -1, 598, 181 * S, -1 },
    { "draft_single_fields", "RateLimit-Limit: 100, 100;w=60\nRateLimit-Remaining: 9\nRateLimit-Reset: 5\n", 1, "", 100,
      9, 5 * S, -1 },
    { "draft_dictionary", "RateLimit: limit=100, remaining=50, reset=5\n", 1, "", 100, 50, 5 * S, -1 },
    { "draft_dictionary_with_policy",
      "RateLimit: limit=100, remaining=50, reset=5\nRateLimit-Policy: 10;w=1, 100;w=60\n", 1, "", 100, 50, 5 * S,
      60 * S },
    { "draft_list", "RateLimit: \"default\";r=50;t=30\nRateLimit-Policy: \"default\";q=100;w=60\n", 1, "default", 100,
      50, 30 * S, 60 * S },
    { "draft_list_without_time", "RateLimit: \"d\";r=5\nRateLimit-Policy: \"d\";q=10;w=60\n", 1, "d", 10, 5, 60 * S,
      60 * S },
    { "draft_list_tightest_first", "RateLimit: \"day\";r=900;t=4000, \"burst\";r=3;t=2\n", 2, "burst", -1, 3, 2 * S,
      -1 },
    { "draft_list_of_bytes", "RateLimit: \"b\";r=50;t=30;qu=\"content-bytes\"\n", 0, "", -1, -1, -1, -1 },
    { "draft_before_families", "RateLimit: \"a\";r=1;t=2\nX-RateLimit-Remaining: 99\n", 1, "a", -1, 1, 2 * S, -1 },
    { "broken_structured_field_is_passed_over", "RateLimit: \"a;r=1\nX-RateLimit-Remaining: 99\nX-RateLimit-Reset: 9\n",
      1, "", -1, 99, 9 * S, -1 },
    { "huge_reset", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999999\n", 1, "", -1, 0,
      366 * 86400 * S, -1 },
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena         a = { 0 };
        struct learned_hint h[LEARNED_MAX] = { { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 } };
        struct http_response r = response(200, rows[i].head, &a);
        unsigned             count = learned_read(&r, NOW, &a, h);

        if (count != rows[i].count ||
            (count > 0 && (!slice_eq(h[0].resource, slice_of(rows[i].resource)) || h[0].allowed != rows[i].allowed ||
                           h[0].remaining != rows[i].remaining || h[0].window_ns != rows[i].window_ns ||
                           h[0].reset_in_ns / MS != rows[i].reset_in_ns / MS)))
            fail_msg("%s: %u '" SLICE_FMT "' %lld %lld %lld %lld", rows[i].name, count, SLICE_ARG(h[0].resource),
                     (long long)h[0].allowed, (long long)h[0].remaining, (long long)h[0].reset_in_ns,
                     (long long)h[0].window_ns);
        arena_free(&a);
    }
}

static void test_blocks(void **state)
{
    static const struct { const char *name; unsigned status; const char *head; int64_t block_ns;
    } cases[] = {
        { "429_in_seconds", 429, "Retry-After: 30\n", 30 * S },
        { "503_as_date", 503, "Retry-After: Tue, 14 Nov 2023 22:13:30 GMT\n", 10 * S },
        { "date_against_the_api_clock", 503,
          "Date: Tue, 14 Nov 2023 23:00:00 GMT\nRetry-After: Tue, 14 Nov 2023 23:00:09 GMT\n", 9 * S },
        { "403_is_a_secondary_limit", 403, "Retry-After: 60\n", 60 * S },
        { "plain_403", 403, "X-RateLimit-Remaining: 10\n", -1 },
        { "plain_429", 429, "", -1 },
        { "200_says_nothing", 200, "Retry-After: 30\n", -1 },
        { "301_says_nothing_of_the_budget", 301, "Retry-After: 30\n", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct http_response r = response(cases[i].status, cases[i].head, &a);

        if (learned_block_ns(&r, NOW) != cases[i].block_ns)
            fail_msg("%s: %lld", cases[i].name, (long long)learned_block_ns(&r, NOW));
        arena_free(&a);
    }
}

static void test_bodies(void **state)
{
#define SECONDARY "{\"message\":\"You have exceeded a Secondary rate limit. Please wait a few minutes\"}"
    static const struct { const char *name; unsigned status; const char *head, *body; int64_t block_ns; } cases[] = {
        { "secondary_limit", 403, "X-RateLimit-Remaining: 4000\n", SECONDARY, 60 * S },
        { "secondary_limit_without_a_word_in_the_head", 429, "", SECONDARY, 60 * S },
        { "older_words", 403, "", "You have triggered an abuse detection mechanism.", 60 * S },
        { "the_head_tells_when", 403, "Retry-After: 30\n", SECONDARY, -1 },
        { "the_primary_limit_is_used_up", 403, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9\n", SECONDARY, -1 },
        { "forbidden_for_another_reason", 403, "", "{\"message\":\"Resource not accessible\"}", -1 },
        { "nothing_is_said", 403, "", "", -1 },
        { "an_answer_that_speaks_of_limits", 200, "", SECONDARY, -1 },
        { "cut_in_the_middle_of_the_words", 403, "", "You have exceeded a secondary rate li", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct http_response r = response(cases[i].status, cases[i].head, &a);
        int64_t block_ns = learned_body_may_tell(&r) ? learned_body_block_ns(slice_of(cases[i].body)) : -1;

        if (block_ns != cases[i].block_ns)
            fail_msg("%s: %lld", cases[i].name, (long long)block_ns);
        arena_free(&a);
    }
}

static void test_401_says_nothing(void **state)
{
    struct arena         a = { 0 };
    struct learned_hint  h[LEARNED_MAX];
    struct http_response r =
        response(401, "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9\n", &a);

    (void)state;
    assert_int_equal(learned_read(&r, NOW, &a, h), 0);
    arena_free(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_blocks),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_401_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
