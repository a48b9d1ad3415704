/*
 * The breaker's three states.
 */
#include "budget/breaker.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void fail_times(struct breaker *b, int times, int64_t now_ns)
{
    for (int i = 0; i < times; i++)
        breaker_report(b, false, now_ns);
}

static void test_opens_after_failures_in_a_row(void **state)
{
    struct breaker b = { 0 };
    int64_t        in_ns = 0;

    (void)state;
    fail_times(&b, BREAKER_FAILURES - 1, 0);
    assert_true(breaker_allows(&b, 0, &in_ns));
    breaker_report(&b, true, 0);
    fail_times(&b, BREAKER_FAILURES - 1, 0);
    assert_true(breaker_allows(&b, 0, &in_ns));
    breaker_report(&b, false, 0);
    assert_false(breaker_allows(&b, 0, &in_ns));
    assert_int_equal(in_ns, NS_PER_SEC);
    assert_false(breaker_allows(&b, NS_PER_SEC - 1, &in_ns));
    assert_int_equal(in_ns, 1);
}

static void test_probes_one_at_a_time(void **state)
{
    struct breaker b = { 0 };
    int64_t        in_ns = 0, now = NS_PER_SEC;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    assert_true(breaker_allows(&b, now, &in_ns));
    assert_false(breaker_allows(&b, now, &in_ns));
    breaker_report(&b, true, now);
    assert_true(breaker_allows(&b, now, &in_ns));
    assert_true(breaker_allows(&b, now, &in_ns));
    assert_int_equal(b.failures, 0);
}

static void test_pause_doubles_to_thirty_seconds(void **state)
{
    static const int seconds[] = { 2, 4, 8, 16, 30, 30 };
    struct breaker   b = { 0 };
    int64_t          in_ns = 0, now = 0;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    now += NS_PER_SEC;
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_true(breaker_allows(&b, now, &in_ns));
        breaker_report(&b, false, now);
        assert_false(breaker_allows(&b, now, &in_ns));
        assert_int_equal(in_ns, seconds[i] * NS_PER_SEC);
        now += in_ns;
    }
}

static void test_late_failures_do_not_keep_it_open(void **state)
{
    struct breaker b = { 0 };
    int64_t        in_ns = 0;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    fail_times(&b, 50, NS_PER_SEC / 2); /* sent before it opened */
    assert_true(breaker_allows(&b, NS_PER_SEC, &in_ns));
}

static void test_a_lost_probe_is_followed_by_another(void **state)
{
    struct breaker b = { 0 };
    int64_t        in_ns = 0;

    (void)state;
    fail_times(&b, BREAKER_FAILURES, 0);
    assert_true(breaker_allows(&b, NS_PER_SEC, &in_ns));
    assert_false(breaker_allows(&b, NS_PER_SEC, &in_ns));
    assert_true(breaker_allows(&b, NS_PER_SEC + in_ns, &in_ns));
}

/* -- a pause that the API asks for with a 5xx -- */

#define S NS_PER_SEC

static void test_a_well_probe_lifts_a_hold(void **state)
{
    struct hold h = { 0 };

    (void)state;
    assert_int_equal(hold_wait_ns(&h, 0), 0);
    hold_hear(&h, 600 * S, -S, 0, 5);
    assert_int_equal(hold_wait_ns(&h, 0), S);
    assert_int_equal(hold_predict_ns(&h, 0), S); /* nobody is told of 600 s yet */
    assert_int_equal(hold_wait_ns(&h, S), 0);
    hold_send(&h, S);
    assert_int_equal(hold_wait_ns(&h, S), S);             /* one at a time */
    assert_false(hold_answered(&h, true, -S / 2, S + 1)); /* sent before it was heard: shows nothing */
    assert_true(hold_wait_ns(&h, S + 1) > 0);
    assert_true(hold_answered(&h, true, S, S + 2));
    assert_int_equal(hold_wait_ns(&h, S + 2), 0);
    assert_int_equal(hold_predict_ns(&h, S + 2), 0);
}

static void test_ill_probes_come_rarer_and_others_are_told_all_of_it(void **state)
{
    static const int seconds[] = { 2, 4, 8, 16, 30, 30 };
    struct hold      h = { 0 };
    int64_t          now = S;

    (void)state;
    hold_hear(&h, 600 * S, -S, 0, 5);
    for (size_t i = 0; i < sizeof seconds / sizeof seconds[0]; i++) {
        assert_int_equal(hold_wait_ns(&h, now), 0);
        hold_send(&h, now);
        if (i % 2 == 0)
            hold_hear(&h, 600 * S - now, now, now + 1, 5);
        else
            assert_false(hold_answered(&h, false, now, now + 1));
        assert_int_equal(hold_wait_ns(&h, now + 1), seconds[i] * S);
        assert_true(hold_predict_ns(&h, now + 1) > 500 * S);
        now += 1 + seconds[i] * S;
    }
    assert_int_equal(hold_predict_ns(&h, now), 0); /* the next probe may go */
}

static void test_a_hold_ends_by_itself(void **state)
{
    struct hold h = { 0 };

    (void)state;
    hold_hear(&h, S / 2, -S, 0, 5);
    assert_int_equal(hold_wait_ns(&h, 0), S / 2);
    assert_int_equal(hold_wait_ns(&h, S / 2), 0);
    hold_hear(&h, INT64_MAX, 0, S, 5);
    assert_int_equal(hold_wait_ns(&h, S), S);
    hold_hear(&h, S, S / 2, S + 1, 5); /* another that was sent before: no longer, no shorter */
    assert_int_equal(hold_wait_ns(&h, S + 1), S - 1);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_probes_one_at_a_time),
        cmocka_unit_test(test_pause_doubles_to_thirty_seconds),
        cmocka_unit_test(test_late_failures_do_not_keep_it_open),
        cmocka_unit_test(test_a_lost_probe_is_followed_by_another),
        cmocka_unit_test(test_a_well_probe_lifts_a_hold),
        cmocka_unit_test(test_ill_probes_come_rarer_and_others_are_told_all_of_it),
        cmocka_unit_test(test_a_hold_ends_by_itself),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
