/*
 * Reading what an API says of its budget.
 */
#include "budget/learned.h"

#include "base/clock.h"
#include "http/limit_name.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define MS  NS_PER_MS
#define NOW (INT64_C(1700000000) * S) /* Tue, 14 Nov 2023 22:13:20 GMT */

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
      9, 5 * S, 60 * S },
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
    { "draft_list_of_bytes", "RateLimit: \"b\";r=50;t=30;qu=\"content-bytes\"\n", 1, "b", -1, 50, 30 * S, -1 },
    { "draft_before_families", "RateLimit: \"a\";r=1;t=2\nX-RateLimit-Remaining: 99\n", 1, "a", -1, 1, 2 * S, -1 },
    { "broken_structured_field_is_passed_over", "RateLimit: \"a;r=1\nX-RateLimit-Remaining: 99\nX-RateLimit-Reset: 9\n",
      1, "", -1, 99, 9 * S, -1 },
    { "huge_reset", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999999\n", 1, "", -1, 0, INT64_MAX,
      -1 },
    { "negative_reset_tells_no_time", "X-RateLimit-Limit: 9\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: -30\n", 1, "",
      9, 0, -1, -1 },
    { "iso_reset_with_offset", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2023-11-15T00:14:20+02:00\n", 1, "", -1, 0,
      60 * S, -1 },
    { "utc_date_of_the_api",
      "Date: Tue, 14 Nov 2023 23:13:20 UTC\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700003610\n", 1, "", -1, 0,
      10 * S, -1 },
    { "api_clock_a_second_ahead",
      "Date: Tue, 14 Nov 2023 22:13:21 GMT\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000031\n", 1, "", -1, 0,
      30 * S, -1 },
    { "several_lines_the_tightest_first", "X-RateLimit-Remaining: 7\nX-RateLimit-Remaining: 3\nX-RateLimit-Reset: 9\n",
      2, "", -1, 3, 9 * S, -1 },
    { "lists_go_together", "X-RateLimit-Limit: 10, 1000\nX-RateLimit-Remaining: 5, 2\nX-RateLimit-Reset: 1, 60\n", 2,
      "", 1000, 2, 60 * S, -1 },
    { "a_second_family_that_is_tighter",
      "X-RateLimit-Remaining: 90\nX-RateLimit-Reset: 60\nRateLimit-Remaining: 2\nRateLimit-Reset: 9\n", 2, "", -1, 2,
      9 * S, -1 },
    { "a_family_beside_the_structured_field",
      "RateLimit: \"a\";r=5;t=2\nX-RateLimit-Limit: 8\nX-RateLimit-Remaining: 1\nX-RateLimit-Reset: 4\n", 2, "", 8, 1,
      4 * S, -1 },
    { "reset_ms", "X-RateLimit-Remaining: 1\nX-RateLimit-Reset-Ms: 1500\n", 1, "", -1, 1, 1500 * MS, -1 },
    /* the families, as their APIs send them */
    { "ietf_draft_00", "RateLimit-Limit: 100\nRateLimit-Remaining: 0\nRateLimit-Reset: 50\n", 1, "", 100, 0, 50 * S,
      -1 },
    { "ietf_draft_06", "RateLimit-Limit: 10\nRateLimit-Policy: 10;w=60\nRateLimit-Remaining: 4\nRateLimit-Reset: 9\n",
      1, "", 10, 4, 9 * S, 60 * S },
    { "ietf_draft_09", "RateLimit: \"default\";r=0;t=5\nRateLimit-Policy: \"default\";q=100;w=10\n", 1, "default", 100,
      0, 5 * S, 10 * S },
    { "ietf_draft_02", "RateLimit-Limit: 10, 10;w=1, 1000;w=3600\nRateLimit-Remaining: 9\nRateLimit-Reset: 1\n", 1, "",
      10, 9, S, S },
    { "ietf_draft_07", "RateLimit: limit=100, remaining=0, reset=5\nRateLimit-Policy: 100;w=60;comment=\"x\"\n", 1, "",
      100, 0, 5 * S, 60 * S },
    { "ietf_draft_11",
      "RateLimit: \"permin\";r=0;t=50;pk=:cHsdsRa894==:, \"perhr\";r=900;t=3000;pk=:cHsdsRa894==:\n"
      "RateLimit-Policy: \"permin\";q=50;w=60;pk=:cHsdsRa894==:, \"perhr\";q=1000;w=3600\n",
      2, "permin", 50, 0, 50 * S, 60 * S },
    { "ietf_draft_unit_in_the_policy",
      "RateLimit: \"day\";r=100;t=36000, \"peruser\";r=0;t=30\n"
      "RateLimit-Policy: \"day\";q=100;qu=\"requests\";w=86400, \"peruser\";q=65535;qu=\"content-bytes\";w=10\n",
      2, "day", 100, 100, 36000 * S, 86400 * S },
    { "gitlab",
      "RateLimit-Limit: 60\nRateLimit-Name: throttle_authenticated_web\nRateLimit-Observed: 67\nRateLimit-Remaining: "
      "0\n"
      "RateLimit-Reset: 1700000040\nRateLimit-ResetTime: Tue, 14 Nov 2023 22:14:00 GMT\nRetry-After: 40\n",
      1, "throttle_authenticated_web", 60, 0, 40 * S, -1 },
    { "discord",
      "X-RateLimit-Limit: 5\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000002.123\nX-RateLimit-Reset-After: "
      "2.1\n"
      "X-RateLimit-Bucket: abcd1234\nX-RateLimit-Scope: user\n",
      1, "abcd1234", 5, 0, 2100 * MS, -1 },
    { "discord_global",
      "X-RateLimit-Global: true\nX-RateLimit-Bucket: x\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset-After: 1\n", 1, "",
      -1, 0, S, -1 },
    { "twitter", "x-rate-limit-limit: 900\nx-rate-limit-remaining: 899\nx-rate-limit-reset: 1700000900\n", 1, "", 900,
      899, 900 * S, -1 },
    { "twitter_by_the_day",
      "x-rate-limit-limit: 900\nx-rate-limit-remaining: 800\nx-rate-limit-reset: 1700000900\n"
      "x-app-limit-24hour-limit: 50\nx-app-limit-24hour-remaining: 3\nx-app-limit-24hour-reset: 1700003600\n",
      2, "", 50, 3, 3600 * S, 86400 * S },
    { "reddit", "x-ratelimit-remaining: 598.0\nx-ratelimit-used: 2\nx-ratelimit-reset: 181\n", 1, "", -1, 598, 181 * S,
      -1 },
    { "shopify", "X-Shopify-Shop-Api-Call-Limit: 32/40\n", 1, "", 40, 8, S, -1 },
    { "shopify_full", "X-Shopify-Shop-Api-Call-Limit: 40/40\nRetry-After: 2.0\n", 1, "", 40, 0, S, -1 },
    { "hubspot",
      "X-HubSpot-RateLimit-Daily: 250000\nX-HubSpot-RateLimit-Daily-Remaining: 249000\n"
      "X-HubSpot-RateLimit-Interval-Milliseconds: 10000\nX-HubSpot-RateLimit-Max: 100\nX-HubSpot-RateLimit-Remaining: "
      "98\n"
      "X-HubSpot-RateLimit-Secondly: 10\nX-HubSpot-RateLimit-Secondly-Remaining: 9\n",
      3, "", 10, 9, S, S },
    { "strava", "X-RateLimit-Limit: 100,1000\nX-RateLimit-Usage: 100,450\n", 2, "", 100, 0, 100 * S, 900 * S },
    { "strava_reads",
      "X-RateLimit-Limit: 200,2000\nX-RateLimit-Usage: 2,450\nX-ReadRateLimit-Limit: 100,1000\n"
      "X-ReadRateLimit-Usage: 3,1000\n",
      4, "", 1000, 0, 6400 * S, 86400 * S },
    { "openai",
      "x-ratelimit-limit-requests: 60\nx-ratelimit-limit-tokens: 150000\nx-ratelimit-remaining-requests: 59\n"
      "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-requests: 1s\nx-ratelimit-reset-tokens: 6m0s\n",
      2, "", 60, 59, S, -1 },
    { "mistral",
      "x-ratelimit-limit-req-minute: 60\nx-ratelimit-remaining-req-minute: 0\n"
      "x-ratelimit-limit-tokens-minute: 500000\nx-ratelimit-remaining-tokens-minute: 0\n",
      2, "", 60, 0, 40 * S, 60 * S },
    { "anthropic",
      "anthropic-ratelimit-requests-limit: 50\nanthropic-ratelimit-requests-remaining: 49\n"
      "anthropic-ratelimit-requests-reset: 2023-11-14T22:13:21Z\nanthropic-ratelimit-tokens-limit: 40000\n"
      "anthropic-ratelimit-tokens-remaining: 0\nanthropic-ratelimit-tokens-reset: 2023-11-14T22:14:20Z\n"
      "anthropic-ratelimit-input-tokens-limit: 20000\nanthropic-ratelimit-input-tokens-remaining: 0\n",
      3, "", 50, 49, S, -1 },
    { "kong",
      "X-RateLimit-Limit-Minute: 10\nX-RateLimit-Remaining-Minute: 1\nX-RateLimit-Limit-Hour: 100\n"
      "X-RateLimit-Remaining-Hour: 90\nRateLimit-Limit: 10\nRateLimit-Remaining: 1\nRateLimit-Reset: 40\n",
      3, "", 10, 1, 40 * S, 60 * S },
    { "kong_minute_alone", "X-RateLimit-Limit-Minute: 10\nX-RateLimit-Remaining-Minute: 0\n", 1, "", 10, 0, 40 * S,
      60 * S },
    { "azure", "x-ms-ratelimit-remaining-subscription-reads: 11999\n", 0, "", -1, -1, -1, -1 },
    { "crossref", "x-rate-limit-limit: 50\nx-rate-limit-interval: 1s\nx-concurrency-limit: 1\n", 0, "", -1, -1, -1,
      -1 },
    { "interval_as_a_duration", "X-Rate-Limit-Remaining: 3\nX-Rate-Limit-Interval: 10s\n", 1, "", -1, 3, 10 * S,
      10 * S },
    { "azure_openai", "x-ratelimit-remaining-requests: -1\nx-ratelimit-remaining-tokens: 39980\n", 0, "", -1, -1, -1,
      -1 },
    { "zendesk",
      "X-Rate-Limit: 700\nX-Rate-Limit-Remaining: 699\nratelimit-limit: 700\nratelimit-remaining: 699\n"
      "ratelimit-reset: 41\n",
      2, "", 700, 699, -1, -1 },
};

static void test_heads(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena        a = { 0 };
        struct learned_hint h[LEARNED_MAX] = { { .allowed = -1, .remaining = -1, .window_ns = -1, .reset_in_ns = -1 } };
        struct http_response r = response(200, rows[i].head, &a);
        unsigned             count = learned_read(&r, NULL, NOW, &a, h);

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
    static const struct {
        const char *name;
        unsigned    status;
        const char *head;
        int64_t     block_ns;
    } cases[] = {
        { "429_in_seconds", 429, "Retry-After: 30\n", 30 * S },
        { "as_date", 429, "Retry-After: Tue, 14 Nov 2023 22:13:30 GMT\n", 10 * S },
        { "503_speaks_of_health", 503, "Retry-After: 30\n", -1 },
        { "date_against_the_api_clock", 429,
          "Date: Tue, 14 Nov 2023 23:00:00 GMT\nRetry-After: Tue, 14 Nov 2023 23:00:09 GMT\n", 9 * S },
        { "403_is_a_secondary_limit", 403, "Retry-After: 60\n", 60 * S },
        { "plain_403", 403, "X-RateLimit-Remaining: 10\n", -1 },
        { "plain_429", 429, "", -1 },
        { "several_lines_the_longest", 429, "Retry-After: 5\nRetry-After: 30\n", 30 * S },
        { "milliseconds", 429, "Retry-After-Ms: 1500\n", 1500 * MS },
        { "x_retry_after", 429, "X-Retry-After: 7\n", 7 * S },
        { "azure_milliseconds", 429, "x-ms-retry-after-ms: 250\n", 250 * MS },
        { "among_the_rate_limit_fields", 429, "X-RateLimit-RetryAfter: 8\n", 8 * S },
        { "epoch", 429, "Retry-After: 1700000042\n", 42 * S },
        { "twitters_420", 420, "Retry-After: 9\n", 9 * S },
        { "an_aged_429_says_nothing", 429, "Age: 3000\nRetry-After: 30\n", -1 },
        { "minus_one", 429, "Retry-After: -1\n", -1 },
        { "200_says_nothing", 200, "Retry-After: 30\n", -1 },
        { "301_says_nothing_of_the_budget", 301, "Retry-After: 30\n", -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct http_response r = response(cases[i].status, cases[i].head, &a);
        int64_t              block_ns = learned_is_refusal(r.status) ? learned_wait(&r, NOW).wait_ns : -1;

        if (block_ns != cases[i].block_ns)
            fail_msg("%s: %lld", cases[i].name, (long long)block_ns);
        arena_free(&a);
    }
}

static void test_bodies(void **state)
{
#define SECONDARY "{\"message\":\"You have exceeded a Secondary rate limit. Please wait a few minutes\"}"
    static const struct {
        const char *name;
        unsigned    status;
        const char *head, *body;
        int64_t     block_ns;
    } cases[] = {
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
        int64_t block_ns = learned_body_may_tell(&r, NULL) ? learned_body_block_ns(slice_of(cases[i].body)) : -1;

        if (block_ns != cases[i].block_ns)
            fail_msg("%s: %lld", cases[i].name, (long long)block_ns);
        arena_free(&a);
    }
}

/* What was in a cache on the way says nothing of the budget now. */
static void test_old_answers(void **state)
{
    static const struct {
        const char *name, *head;
        bool        old;
    } cases[] = {
        { "age", "Age: 3000\n", true },
        { "age_zero", "Age: 0\n", false },
        { "age_that_is_none", "Age: soon\n", false },
        { "x_cache", "X-Cache: HIT\n", true },
        { "cloudfront", "X-Cache: Hit from cloudfront\n", true },
        { "cloudfront_miss", "X-Cache: Miss from cloudfront\n", false },
        { "cloudfront_revalidated", "X-Cache: RefreshHit from cloudfront\n", false },
        { "fastly_shield", "X-Cache: MISS, HIT\n", true },
        { "squid", "X-Cache: HIT from proxy.example\n", true },
        { "akamai", "X-Cache: TCP_HIT from a1.example\n", true },
        { "cloudflare", "CF-Cache-Status: HIT\n", true },
        { "cloudflare_dynamic", "CF-Cache-Status: DYNAMIC\n", false },
        { "rfc_9211", "Cache-Status: edge; hit; ttl=30\n", true },
        { "rfc_9211_forwarded", "Cache-Status: edge; fwd=miss\n", false },
        { "nginx", "X-Cache-Status: STALE\n", true },
        { "nothing", "X-Cache-Hits: 0\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct learned_hint  h[LEARNED_MAX];
        struct http_response r = response(200, cases[i].head, &a);
        unsigned             count;

        http_fields_add(&r.fields, &a, SLICE("X-RateLimit-Remaining"), SLICE("0"));
        http_fields_add(&r.fields, &a, SLICE("X-RateLimit-Reset"), SLICE("60"));
        count = learned_read(&r, NULL, NOW, &a, h);
        if (learned_is_old(&r) != cases[i].old || (count == 0) != cases[i].old)
            fail_msg("%s", cases[i].name);
        arena_free(&a);
    }
}

/* What is heard is bounded, whatever an API sends: a list of thousands, lines of thousands. */
static void test_long_lists(void **state)
{
    static const struct {
        const char *name;
        unsigned    lines, members, count;
    } cases[] = {
        { "as_many_as_are_heard", 1, LEARNED_MAX, LEARNED_MAX }, { "more_than_are_heard", 1, 1000, LEARNED_MAX },
        { "beyond_what_any_api_means", 1, 100000, 0 },           { "as_lines", 900, 1, LEARNED_MAX },
        { "as_lines_of_lists", 900, 100, LEARNED_MAX },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct learned_hint  h[LEARNED_MAX];
        struct http_response r = response(200, "X-RateLimit-Reset: 30\n", &a);
        size_t               bytes = cases[i].members * 2;
        char                *list = arena_alloc_raw(&a, bytes);
        unsigned             count;

        for (size_t at = 0; at < bytes; at++)
            list[at] = at % 2 == 0 ? '1' : ',';
        for (unsigned n = 0; n < cases[i].lines; n++)
            http_fields_add(&r.fields, &a, SLICE("X-RateLimit-Remaining"), (struct slice){ list, bytes - 1 });
        count = learned_read(&r, NULL, NOW, &a, h);
        if (count != cases[i].count)
            fail_msg("%s: %u", cases[i].name, count);
        arena_free(&a);
    }
}

/* Refused, and only a reset: a wait.  Not where it says that something is left, and not of another unit. */
static void test_reset_alone(void **state)
{
    static const struct {
        const char *name;
        unsigned    status;
        const char *head;
        unsigned    count;
    } cases[] = {
        { "429", 429, "X-RateLimit-Limit: 9\nX-RateLimit-Reset: 30\n", 1 },
        { "403", 403, "X-RateLimit-Reset: 30\n", 1 },
        { "200", 200, "X-RateLimit-Limit: 9\nX-RateLimit-Reset: 30\n", 0 },
        { "of_tokens", 429, "x-ratelimit-reset-tokens: 30\n", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct learned_hint  h[LEARNED_MAX];
        struct http_response r = response(cases[i].status, cases[i].head, &a);
        unsigned             count = learned_read(&r, NULL, NOW, &a, h);

        if (count != cases[i].count || (count > 0 && (h[0].remaining != 0 || h[0].reset_in_ns != 30 * S)))
            fail_msg("%s", cases[i].name);
        arena_free(&a);
    }
}

/* Tokens and points are of a unit of their own, and stand after what is said of requests. */
static void test_units(void **state)
{
    static const struct {
        const char *name, *unit;
    } cases[] = {
        { "x-ratelimit-remaining-tokens", "tokens" },
        { "x-ratelimit-remaining-input-tokens", "input-tokens" },
        { "anthropic-ratelimit-output-tokens-remaining", "output-tokens" },
        { "X-RateLimit-Points-Remaining", "Points" },
        { "x-ratelimit-remaining-tokens-minute", "tokens" },
        { "x-ms-ratelimit-remaining-subscription-reads", "subscription-reads" },
        { "x-ratelimit-remaining-requests", "" },
        { "anthropic-ratelimit-requests-remaining", "" },
        { "X-RateLimit-Remaining-Minute", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct arena         a = { 0 };
        struct learned_hint  h[LEARNED_MAX];
        struct http_response r = { .status = 200 };
        struct limit_name    n;

        http_fields_add(&r.fields, &a, slice_of(cases[i].name), SLICE("5"));
        if (!limit_name_read(slice_of(cases[i].name), &n) || n.part != LIMIT_PART_REMAINING ||
            !slice_eq(n.unit, slice_of(cases[i].unit)))
            fail_msg("%s: " SLICE_FMT, cases[i].name, SLICE_ARG(n.unit));
        for (unsigned k = 0, count = learned_read(&r, NULL, NOW, &a, h); k < count; k++)
            assert_true(slice_eq(h[k].unit, slice_of(cases[i].unit)));
        arena_free(&a);
    }
}

static void test_401_says_nothing(void **state)
{
    struct arena         a = { 0 };
    struct learned_hint  h[LEARNED_MAX];
    struct http_response r = response(401, "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 9\n",
                                      &a);

    (void)state;
    assert_int_equal(learned_read(&r, NULL, NOW, &a, h), 0);
    arena_free(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),       cmocka_unit_test(test_blocks),           cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_old_answers), cmocka_unit_test(test_long_lists),       cmocka_unit_test(test_reset_alone),
        cmocka_unit_test(test_units),       cmocka_unit_test(test_401_says_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
