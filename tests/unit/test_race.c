/*
 * When nothing more is sent of requests of which a few answers are wanted.
 */
#include "upstream/race.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <cmocka.h>

#define S NS_PER_SEC

static const struct race_accept good = { 2, { { 200, 299 }, { 404, 404 } } };

static void test_holds(void **state)
{
    struct race *r = race_new(3, &good);

    (void)state;
    race_heard(r, 200, 1 * S);
    race_heard(r, 500, 1 * S);
    assert_int_equal(race_holds_ns(r, 1 * S), 0); /* one of three */
    race_heard(r, 404, 2 * S);
    assert_int_equal(race_holds_ns(r, 2 * S), 0);
    race_heard(r, 206, 3 * S);
    assert_int_equal(race_holds_ns(r, 3 * S), S);
    assert_int_equal(race_holds_ns(r, 3 * S + S / 2), S / 2);
    assert_int_equal(race_holds_ns(r, 4 * S), 0); /* he who asked has not taken it for the last: it goes on */
    race_release(r);
}

static void test_fewer(void **state)
{
    struct race *r = race_new(2, &good);

    (void)state;
    race_fewer(r);
    assert_int_equal(race_holds_ns(r, S), 0);
    race_heard(r, 200, S);
    assert_int_equal(race_holds_ns(r, S), S);
    race_fewer(r);
    race_fewer(r);
    race_release(r);
    race_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_holds), cmocka_unit_test(test_fewer) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
