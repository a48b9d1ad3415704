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
    fail_times(&b, 50, NS_PER_SEC / 2);          /* sent before it opened */
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

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_opens_after_failures_in_a_row),
        cmocka_unit_test(test_probes_one_at_a_time),
        cmocka_unit_test(test_pause_doubles_to_thirty_seconds),
        cmocka_unit_test(test_late_failures_do_not_keep_it_open),
        cmocka_unit_test(test_a_lost_probe_is_followed_by_another),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
