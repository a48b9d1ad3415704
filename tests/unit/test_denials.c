/*
 * Credentials that the API has answered with 401: when one is asked with again.
 */
#include "budget/denials.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S NS_PER_SEC

static const uint8_t ann[DENIAL_BYTES] = "ann", bob[DENIAL_BYTES] = "bob";
enum { A = 1, B, C, D, E, F };

static bool is_held(const struct denials *d, const uint8_t *who, uint64_t path, int64_t at_s)
{
    return denials_wait_ns(d, who, path, at_s * S) > 0;
}

/* Sent and answered in one moment. */
static int64_t denied(struct denials *d, uint64_t path, int64_t at_s)
{
    denials_send(d, ann, at_s * S);
    return denials_hear(d, ann, path, at_s * S + 1, at_s * S + 2, 60 * S) / S;
}

static void test_held_until_a_probe(void **state)
{
    struct denials d = { 0 };

    (void)state;
    assert_false(is_held(&d, ann, A, 0));
    assert_int_equal(denied(&d, A, 0), 60);
    assert_true(is_held(&d, ann, A, 59) && is_held(&d, ann, B, 59));
    assert_false(is_held(&d, bob, A, 1));
    assert_false(is_held(&d, ann, A, 61));
    denials_send(&d, ann, 61 * S);
    assert_true(is_held(&d, ann, A, 61));  /* others wait for what it finds */
    assert_false(is_held(&d, ann, A, 72)); /* it has never reported */
    denials_free(&d);
}

static void test_it_doubles_up_to_an_hour(void **state)
{
    static const int64_t holds[] = { 60, 120, 240, 480, 960, 1920, 3600, 3600 };
    struct denials       d = { 0 };
    int64_t              at_s = 1;

    (void)state;
    for (size_t i = 0; i < sizeof holds / sizeof holds[0]; i++) {
        assert_int_equal(denied(&d, A, at_s), holds[i]);
        assert_true(is_held(&d, ann, A, at_s + holds[i] - 1));
        at_s += holds[i] + 1;
        assert_false(is_held(&d, ann, A, at_s));
    }
    denials_free(&d);
}

static void test_those_that_were_under_way_count_once(void **state)
{
    struct denials d = { 0 };

    (void)state;
    assert_int_equal(denials_hear(&d, ann, A, 1 * S, 5 * S, 60 * S), 60 * S);
    assert_int_equal(denials_hear(&d, ann, B, 2 * S, 6 * S, 60 * S), 0);
    assert_false(denials_pass(&d, ann, B, 3 * S, 7 * S)); /* as good as it was then */
    assert_true(is_held(&d, ann, A, 64) && !is_held(&d, ann, A, 66));
    denials_free(&d);
}

static void test_a_probe_lifts_it(void **state)
{
    struct denials d = { 0 };

    (void)state;
    assert_false(denials_pass(&d, ann, A, 0, 0));
    assert_int_equal(denied(&d, A, 0), 60);
    assert_true(denials_pass(&d, ann, A, 61 * S, 61 * S));
    assert_false(is_held(&d, ann, A, 1));
    assert_int_equal(denied(&d, A, 70), 60); /* anew, not doubled */
    denials_free(&d);
}

static void test_a_path_that_is_odd_holds_nothing(void **state)
{
    struct denials d = { 0 };

    (void)state;
    assert_int_equal(denied(&d, A, 0), 60);
    assert_true(denials_pass(&d, ann, B, 61 * S, 61 * S)); /* elsewhere it is good */
    assert_int_equal(denied(&d, A, 62), 0);
    assert_false(is_held(&d, ann, B, 63));
    assert_int_equal(denied(&d, B, 70), 60); /* and there it is dead by now */
    assert_int_equal(denied(&d, C, 71), 60);
    assert_true(is_held(&d, ann, B, 72) && is_held(&d, ann, C, 72) && !is_held(&d, ann, A, 72));
    denials_free(&d);
}

static bool passed(struct denials *d, uint64_t path, int64_t at_s)
{
    return denials_pass(d, ann, path, at_s * S, at_s * S + 1);
}

static void test_one_that_has_passed_is_held_at_the_path_first(void **state)
{
    struct denials d = { 0 };

    (void)state;
    assert_false(passed(&d, A, 0));
    assert_int_equal(denied(&d, B, 10), 60);
    assert_true(is_held(&d, ann, B, 11) && !is_held(&d, ann, A, 11) && !is_held(&d, ann, C, 11));
    assert_false(passed(&d, A, 12)); /* it is good there still */
    assert_int_equal(denied(&d, C, 13), 60);
    assert_true(is_held(&d, ann, C, 14) && !is_held(&d, ann, A, 14));
    assert_int_equal(denied(&d, A, 15), 60); /* nowhere any more */
    assert_true(is_held(&d, ann, A, 16) && is_held(&d, ann, B, 16) && is_held(&d, ann, C, 16) &&
                is_held(&d, ann, D, 16));
    assert_true(passed(&d, A, 76));
    assert_false(is_held(&d, ann, A, 77));
    denials_free(&d);
}

static void test_a_path_that_is_held_doubles_alone(void **state)
{
    struct denials d = { 0 };

    (void)state;
    passed(&d, A, 0);
    assert_int_equal(denied(&d, B, 10), 60);
    assert_int_equal(denied(&d, B, 71), 120);
    assert_true(is_held(&d, ann, B, 180) && !is_held(&d, ann, A, 180));
    assert_true(passed(&d, B, 192));
    assert_false(is_held(&d, ann, B, 193));
    denials_free(&d);
}

static void test_what_has_passed_long_ago_is_not_known_as_good(void **state)
{
    struct denials d = { 0 };

    (void)state;
    passed(&d, A, 0);
    assert_int_equal(denied(&d, B, 3700), 60);
    assert_true(is_held(&d, ann, A, 3701));
    denials_free(&d);
}

static void test_what_is_odd_everywhere_is_held_no_more(void **state)
{
    struct denials d = { 0 };
    int64_t        at_s = 0;

    (void)state;
    for (uint64_t path = A; path <= D; path++, at_s += 4000) {
        assert_int_equal(denied(&d, path, at_s), 60);
        assert_true(denials_pass(&d, ann, F, (at_s + 61) * S, (at_s + 61) * S));
    }
    assert_int_equal(denied(&d, E, at_s), 0);
    denials_free(&d);
}

static void test_bounded_and_forgotten(void **state)
{
    struct denials d = { 0 };
    uint8_t        who[DENIAL_BYTES] = { 0 };

    (void)state;
    for (unsigned i = 0; i < 2 * DENIALS_MOST; i++) {
        who[0] = (uint8_t)i;
        who[1] = (uint8_t)(i >> 8);
        assert_int_equal(denials_hear(&d, who, A, i, i + 1, 60 * S), 60 * S);
    }
    assert_int_equal(d.count, DENIALS_MOST);
    assert_true(denials_wait_ns(&d, who, A, S) > 0);
    who[1] = 0;
    assert_int_equal(denials_wait_ns(&d, who, A, S), 0); /* the oldest made room */
    assert_int_equal(denials_forget(&d, S), DENIALS_MOST);
    assert_int_equal(denials_forget(&d, S), 0);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_held_until_a_probe),
        cmocka_unit_test(test_it_doubles_up_to_an_hour),
        cmocka_unit_test(test_those_that_were_under_way_count_once),
        cmocka_unit_test(test_a_probe_lifts_it),
        cmocka_unit_test(test_a_path_that_is_odd_holds_nothing),
        cmocka_unit_test(test_one_that_has_passed_is_held_at_the_path_first),
        cmocka_unit_test(test_a_path_that_is_held_doubles_alone),
        cmocka_unit_test(test_what_has_passed_long_ago_is_not_known_as_good),
        cmocka_unit_test(test_what_is_odd_everywhere_is_held_no_more),
        cmocka_unit_test(test_bounded_and_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
