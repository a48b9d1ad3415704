/*
 * What is left, some time later, of what an API said of its limits.
 */
#include "budget/fade.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define MS  NS_PER_MS
#define NOW (INT64_C(1700000000) * S) /* Tue, 14 Nov 2023 22:13:20 GMT */

static const struct {
    const char *name, *head;
    int64_t     elapsed_ns;
    const char *left;
} rows[] = {
    { "nothing", "Content-Type: text/plain\nRetry-After: 5\n", 0, "" },
    { "at_once", "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 0,
      "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n" },
    { "counted_down", "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 10 * S,
      "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 20\n" },
    { "rounded_up", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 9500 * MS,
      "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 21\n" },
    { "run_out", "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 3600 * S,
      "X-RateLimit-Limit: 60\n" },
    { "run_out_to_the_nanosecond", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 30\n", 30 * S, "" },
    { "moments_stay", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000030\n", 10 * S,
      "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000030\n" },
    { "moments_that_have_passed", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700000030\n", 31 * S, "" },
    { "moments_by_the_clock_of_the_api",
      "Date: Tue, 14 Nov 2023 23:13:20 GMT\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 1700003630\n", 31 * S, "" },
    { "dates_stay", "RateLimit-Remaining: 1\nRateLimit-Reset: Tue, 14 Nov 2023 22:14:00 GMT\n", 10 * S,
      "RateLimit-Remaining: 1\nRateLimit-Reset: Tue, 14 Nov 2023 22:14:00 GMT\n" },
    { "fractions", "X-RateLimit-Remaining: 1\nX-RateLimit-Reset-After: 12.5\n", 10 * S,
      "X-RateLimit-Remaining: 1\nX-RateLimit-Reset-After: 3\n" },
    { "milliseconds", "X-RateLimit-Remaining: 1\nX-RateLimit-Reset-Ms: 12500\n", 10 * S,
      "X-RateLimit-Remaining: 1\nX-RateLimit-Reset-Ms: 3000\n" },
    { "go_durations", "x-ratelimit-remaining-requests: 1\nx-ratelimit-reset-requests: 6m0s\n", 60 * S,
      "x-ratelimit-remaining-requests: 1\nx-ratelimit-reset-requests: 300s\n" },
    { "units_run_out_apart",
      "x-ratelimit-remaining-requests: 1\nx-ratelimit-reset-requests: 1s\nx-ratelimit-remaining-tokens: 2\n"
      "x-ratelimit-reset-tokens: 60s\n",
      2 * S, "x-ratelimit-remaining-tokens: 2\nx-ratelimit-reset-tokens: 58s\n" },
    { "families_run_out_apart",
      "X-RateLimit-Remaining: 1\nX-RateLimit-Reset: 5\nRateLimit-Remaining: 2\nRateLimit-Reset: 50\n", 10 * S,
      "RateLimit-Remaining: 2\nRateLimit-Reset: 40\n" },
    { "no_reset_for_a_while", "X-RateLimit-Remaining: 41\n", 60 * S, "X-RateLimit-Remaining: 41\n" },
    { "no_reset_and_long_ago", "X-RateLimit-Limit: 50\nX-RateLimit-Remaining: 41\n", 3600 * S,
      "X-RateLimit-Limit: 50\n" },
    { "window_in_the_name", "X-RateLimit-Remaining-Minute: 4\n", 61 * S, "" },
    { "shopify", "X-Shopify-Shop-Api-Call-Limit: 32/40\n", 61 * S, "" },
    { "structured", "RateLimit: \"a;t=1\";r=5;t=30\n", 10 * S, "RateLimit: \"a;t=1\";r=5;t=20\n" },
    { "structured_members_run_out_apart", "RateLimit: \"a\";r=5;t=3, \"b\";r=9;t=60;pk=:YQ==:\n", 10 * S,
      "RateLimit: \"b\";r=9;t=50;pk=:YQ==:\n" },
    { "structured_members_are_one_list", "RateLimit: \"a\";r=5;t=30, \"b\";r=9;t=60\n", 10 * S,
      "RateLimit: \"a\";r=5;t=20, \"b\";r=9;t=50\n" },
    { "structured_dictionary", "RateLimit: limit=100, remaining=5, reset=30\n", 10 * S,
      "RateLimit: limit=100, remaining=5, reset=20\n" },
    { "structured_dictionary_run_out", "RateLimit: limit=100, remaining=5, reset=30\n", 31 * S, "" },
    { "policies_do_not_run_out", "RateLimit-Policy: \"a\";q=5;w=10\n", 1000000 * S,
      "RateLimit-Policy: \"a\";q=5;w=10\n" },
    { "a_list_of_resets_says_nothing_later", "X-RateLimit-Remaining: 1, 2\nX-RateLimit-Reset: 5, 60\n", 2 * S,
      "X-RateLimit-Remaining: 1, 2\n" },
    { "huge_reset", "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999\n", S,
      "X-RateLimit-Remaining: 0\n" },
};

static void read_head(struct http_response *r, const char *head, struct arena *a)
{
    struct slice rest = slice_of(head);

    while (rest.len > 0) {
        size_t end = slice_find(rest, '\n', 0), colon = slice_find(rest, ':', 0);

        http_fields_add(&r->fields, a, slice_sub(rest, 0, colon), slice_trim(slice_sub(rest, colon + 1, end)));
        rest = slice_sub(rest, end + 1, rest.len);
    }
}

static struct slice write_head(const struct http_fields *f, struct arena *a)
{
    struct slice text = SLICE("");

    for (unsigned i = 0; i < f->count; i++)
        text = ARENA_JOIN(a, text, f->items[i].name, SLICE(": "), f->items[i].value, SLICE("\n"));
    return text;
}

static void test_rows(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_response r = { .status = 200 };
        struct http_fields   left = { 0 }, again = { 0 };
        struct arena         a = { 0 };
        struct fade_piece   *pieces;
        unsigned             count;
        int64_t              stays_ns;
        struct slice         text;

        read_head(&r, rows[i].head, &a);
        count = fade_read(&r, NULL, NOW, &a, &pieces);
        stays_ns = fade_write(pieces, count, rows[i].elapsed_ns, &a, &left);
        text = write_head(&left, &a);
        if (!slice_eq(text, slice_of(rows[i].left)))
            fail_msg("%s: " SLICE_FMT, rows[i].name, SLICE_ARG(text));
        if (stays_ns == INT64_MAX) {
            arena_free(&a);
            continue;
        }
        /* So long it is the same, and no longer. */
        fade_write(pieces, count, rows[i].elapsed_ns + stays_ns - 1, &a, &again);
        if (!slice_eq(write_head(&again, &a), text))
            fail_msg("%s: another within %lld", rows[i].name, (long long)stays_ns);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
