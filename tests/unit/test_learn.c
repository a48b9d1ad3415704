/*
 * Fields of no family in which an API says what is left (`learn`): read, kept to their limit, told by a hit, and not
 * stored.
 */
#include "budget/fade.h"
#include "budget/learned.h"
#include "budget/ledger.h"

#include "base/clock.h"
#include "head.h"
#include "policy/storable.h"
#include "policy/validate.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define NOW (INT64_C(1700000000) * S)

static const struct limit_own  rows[] = { { "tokens", "X-Tokens-Left", "X-Tokens-Reset" },
                                          { "money", "X-Credit", NULL },
                                          { NULL, "Calls-Left", "Calls-Reset-Ms" },
                                          { "odd", "X-RateLimit-Remaining-Odd", NULL } };
static const struct limit_owns owns = { rows, sizeof rows / sizeof rows[0] };

static void test_statements(void **state)
{
    static const struct {
        const char *name;
        unsigned    status;
        const char *head;
        unsigned    count;
        const char *unit;
        int64_t     remaining, reset_in_ns;
    } cases[] = {
        { "both", 200, "X-Tokens-Left: 7\nX-Tokens-Reset: 42\n", 1, "tokens", 7, 42 * S },
        { "any_spelling", 200, "x-tokens-left: 7\nX-TOKENS-RESET: 1700000042\n", 1, "tokens", 7, 42 * S },
        { "a_duration", 200, "X-Tokens-Left: 7\nX-Tokens-Reset: 6m0s\n", 1, "tokens", 7, 360 * S },
        { "without_a_reset_the_window_is_known", 200, "X-Credit: 3.75\n", 1, "money", 3, -1 },
        { "of_requests", 200, "Calls-Left: 2\nCalls-Reset-Ms: 1500\n", 1, "", 2, 3 * S / 2 },
        { "of_requests_without_a_reset_nothing_holds", 200, "Calls-Left: 2\n", 0, "", -1, -1 },
        { "a_reset_alone", 200, "X-Tokens-Reset: 42\n", 0, "", -1, -1 },
        { "a_reset_alone_that_refuses", 429, "X-Tokens-Reset: 42\n", 1, "tokens", 0, 42 * S },
        { "before_a_family", 200, "X-RateLimit-Remaining-Odd: 9\n", 1, "odd", 9, -1 },
        { "beside_a_family", 200,
          "X-RateLimit-Remaining: 5\nX-RateLimit-Reset: 9\nX-Tokens-Left: 1\nX-Tokens-Reset: 2\n", 2, "", 5, 9 * S },
        { "no_number", 200, "X-Tokens-Left: many\nX-Tokens-Reset: 42\n", 0, "", -1, -1 },
        { "an_old_answer", 200, "Age: 9\nX-Tokens-Left: 7\nX-Tokens-Reset: 42\n", 0, "", -1, -1 },
        { "another_name", 200, "X-Tokens-Lefty: 7\nX-Tokens: 42\n", 0, "", -1, -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct head          head = head_of(cases[i].head);
        struct learned_hint  h[LEARNED_MAX] = { { .remaining = -1, .reset_in_ns = -1, .unit = SLICE("") } };
        struct http_response r = { .status = cases[i].status, .fields = head.fields };
        unsigned             count = learned_read(&r, &owns, NOW, &head.arena, h);

        if (count != cases[i].count ||
            (count > 0 && (!slice_eq(h[0].unit, slice_of(cases[i].unit)) || h[0].remaining != cases[i].remaining ||
                           h[0].reset_in_ns != cases[i].reset_in_ns)))
            fail_msg("%s: %u '" SLICE_FMT "' %lld %lld", cases[i].name, count, SLICE_ARG(h[0].unit),
                     (long long)h[0].remaining, (long long)h[0].reset_in_ns);
        head_free(&head);
    }
}

/* ---- what it holds ---- */

static struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, NOW + ns };
}

static void test_limits(void **state)
{
    static const struct limit_term charges[] = { { TERM_JSON, 1.0, "/n" } };
    static const struct {
        const char *name, *rate, *head;
        bool        metered;
        unsigned    scale;
        uint32_t    fits;     /* of that limit, after the answer */
        int64_t     whole_ns; /* when more fits */
    } cases[] = {
        { "tokens", "1000/min", "X-Tokens-Left: 300\nX-Tokens-Reset: 20\n", true, 0, 300, 21 * S },
        { "it_only_tightens", "1000/min", "X-Tokens-Left: 5000\nX-Tokens-Reset: 20\n", true, 0, 900, 61 * S },
        { "in_decimal_places", "20/day", "X-Tokens-Left: 3\nX-Tokens-Reset: 20\n", true, 2, 300, 21 * S },
        { "until_the_end_of_the_window", "1000/min", "X-Tokens-Left: 300\n", true, 0, 300, 61 * S },
        { "of_requests_by_name", "1000/min", "X-Tokens-Left: 0\nX-Tokens-Reset: 20\n", false, 0, 0, 21 * S },
        { "another_limits", "1000/min", "X-Credit: 0\n", true, 0, 900, 61 * S },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct limit_options o = { .name = "tokens", .scale = cases[i].scale };
        struct estimate      estimate = { .limit = ledger_limit_name("tokens"), .amount = cases[i].metered ? 100 : 1 };
        struct charge        c = { .method = HTTP_GET,
                                   .method_name = SLICE("GET"),
                                   .path = SLICE("/a/b"),
                                   .estimates = cases[i].metered ? &estimate : NULL,
                                   .estimate_count = cases[i].metered,
                                   .owns = &owns };
        struct head          head = head_of(cases[i].head);
        struct http_response r = { .status = 200, .fields = head.fields };
        struct receipt       receipt;
        struct ledger       *l;
        const char          *bad;

        assert_true(limit_parse(slice_of(cases[i].rate), &o, &bad) && limit_scale(&o));
        o.charges = charges;
        o.charge_count = cases[i].metered;
        l = ledger_new(&o, 1);
        ledger_spend(l, &c, at(0), &receipt);
        ledger_settle(l, &c, &receipt, &r, at(0));
        estimate.amount = cases[i].fits > 0 ? cases[i].fits : 1;
        if ((ledger_wait_ns(l, &c, at(0), NULL) == 0) != (cases[i].fits > 0))
            fail_msg("%s: what is left does not fit", cases[i].name);
        estimate.amount = cases[i].metered ? cases[i].fits + 1 : 1;
        if (ledger_wait_ns(l, &c, at(S), NULL) == 0 || ledger_wait_ns(l, &c, at(cases[i].whole_ns), NULL) != 0)
            fail_msg("%s: more fits at once, or not in time: %lld", cases[i].name,
                     (long long)ledger_wait_ns(l, &c, at(S), NULL));
        ledger_free(l);
        head_free(&head);
    }
}

/* ---- later ---- */

static const char *const said = "X-Tokens-Left: 7\nX-Tokens-Reset: 42\nX-Other: 1\n";

static void test_a_hit_counts_them_down(void **state)
{
    struct head          head = head_of(said);
    struct http_response r = { .status = 200, .fields = head.fields };
    struct http_fields   told = { 0 }, later = { 0 };
    struct fade_piece   *pieces;
    unsigned             count = fade_read(&r, &owns, NOW, &head.arena, &pieces);

    (void)state;
    assert_int_equal(count, 2);
    fade_write(pieces, count, 12 * S, &head.arena, &told);
    assert_int_equal(told.count, 2);
    assert_true(slice_eq(told.items[0].value, SLICE("7")) && slice_eq(told.items[1].value, SLICE("30")));
    fade_write(pieces, count, 43 * S, &head.arena, &later);
    assert_int_equal(later.count, 0);
    assert_int_equal(fade_read(&r, NULL, NOW, &head.arena, &pieces), 0);
    head_free(&head);
}

static void test_they_are_not_stored(void **state)
{
    struct policy_options o = { .ttl = { .kind = TTL_ORIGIN }, .own_limits = &owns };
    struct head           head = head_of(said), update = head_of("X-Tokens-Left: 6\nX-Other: 2\n");
    struct http_response  r = { .status = 200, .fields = head.fields };
    struct http_fields    kept = policy_stored_fields(&o, &r, &head.arena), fresh;

    (void)state;
    assert_int_equal(kept.count, 1);
    fresh = policy_freshen(&kept, &update.fields, &owns, &head.arena);
    assert_int_equal(fresh.count, 1);
    assert_true(slice_eq(fresh.items[0].value, SLICE("2")));
    head_free(&head);
    head_free(&update);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_statements),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_a_hit_counts_them_down),
        cmocka_unit_test(test_they_are_not_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
