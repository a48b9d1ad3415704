/*
 * What becomes of a limit by what an API or a person says of it; images of it tell the same.
 */
#include "limit_rig.h"

#include "property.h"

#include <stdio.h>

/* -- what the API says -- */

static void test_told_only_tightens(void **state)
{
    static const char *const rows[] = { "60/min", "10/s burst 20", "60/day window 00:00 UTC", "60/h window learned" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i]);

        learn(l, 3, 60, 30 * S, at(0));
        learn(l, 50, 60, 30 * S, at(0));
        if (limit_state(l, at(0)).left != 3 || drain(l, at(0)) != 3)
            fail_msg("%s: not three", rows[i]);
        if (limit_wait_ns(l, 1, at(0)) != 30 * S + LIMIT_GUARD_NS)
            fail_msg("%s: waits %lld", rows[i], (long long)limit_wait_ns(l, 1, at(0)));
        if (drain(l, at(31 * S)) == 0)
            fail_msg("%s: not freed", rows[i]);
        limit_free(l);
    }
}

static void test_told_more_than_configured(void **state)
{
    struct limit *l = make("5/min");

    (void)state;
    learn(l, 1000, 5000, 10 * S, at(0));
    assert_int_equal(drain(l, at(0)), 5);
    assert_int_equal(drain(l, at(20 * S)), 0);
    limit_free(l);
}

static void test_two_caps_hold_both(void **state)
{
    struct limit *l = make("1000/min");

    (void)state;
    learn(l, 5, -1, 60 * S, at(0));
    learn(l, 0, -1, 10 * S, at(0));
    assert_int_equal(limit_wait_ns(l, 1, at(0)), 10 * S + LIMIT_GUARD_NS);
    assert_int_equal(drain(l, at(11 * S)), 5);
    assert_int_equal(limit_wait_ns(l, 1, at(11 * S)), 49 * S + LIMIT_GUARD_NS);
    limit_free(l);
}

static void test_block(void **state)
{
    struct limit *l = make("60/min");

    (void)state;
    limit_block(l, 10 * S, TOLD_BY_RETRY_AFTER, at(0));
    limit_block(l, 5 * S, TOLD_BY_RETRY_AFTER, at(0));
    assert_int_equal(limit_wait_ns(l, 1, at(0)), 10 * S);
    assert_int_equal(limit_state(l, at(4 * S)).blocked_for_ns, 6 * S);
    assert_false(limit_is_whole(l, at(9 * S)));
    assert_int_equal(limit_wait_ns(l, 1, at(10 * S)), 0);
    assert_true(limit_is_whole(l, at(10 * S)));
    limit_block(l, INT64_MAX, TOLD_BY_RETRY_AFTER, at(10 * S)); /* a mistake of the API does not freeze for ever */
    assert_true(limit_wait_ns(l, 1, at(10 * S)) <= 32 * DAY);
    limit_free(l);
}

static void test_learned_window(void **state)
{
    struct limit *l = make("100/h window learned");

    (void)state;
    assert_int_equal(drain(l, at(0)), 100);
    assert_int_equal(limit_wait_ns(l, 1, at(0)), 3600 * S + LIMIT_GUARD_NS);
    /* The API began its window earlier: its word counts for the end. */
    learn(l, 0, 100, 600 * S, at(S));
    assert_int_equal(limit_wait_ns(l, 1, at(S)), 600 * S + LIMIT_GUARD_NS);
    learn(l, 0, 100, 598 * S, at(2 * S)); /* the same, in whole seconds */
    assert_int_equal(limit_wait_ns(l, 1, at(601 * S)), LIMIT_GUARD_NS);
    assert_int_equal(drain(l, at(602 * S)), 100);
    learn(l, 40, 100, 3600 * S, at(603 * S));
    assert_int_equal(limit_wait_ns(l, 1, at(603 * S)), 3600 * S + LIMIT_GUARD_NS);
    limit_free(l);
}

static void test_learned_window_begun_by_the_api(void **state)
{
    struct limit *l = make("100/h window learned");

    (void)state;
    limit_spend(l, 90, at(0));
    learn(l, 10, 100, 60 * S, at(0));
    learn(l, 95, 100, 3600 * S, at(59 * S)); /* its clock is a second ahead: a new window */
    assert_int_equal(limit_wait_ns(l, 96, at(61 * S)), 3598 * S + LIMIT_GUARD_NS);
    assert_int_equal(drain(l, at(61 * S)), 95);
    learn(l, 99, 100, 1 * S, at(62 * S)); /* an old answer that came late */
    assert_int_equal(drain(l, at(64 * S)), 0);
    limit_free(l);
}

/* -- images -- */

static void test_images_tell_the_same(void **state)
{
    static const char *const rows[] = {
        "1/s", "60/min", "5000/min", "10/s burst 20", "3/s burst 2", "50/day window 00:00 UTC", "50/h window learned"
    };
    struct property p = { 5 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i]), *copy = make(rows[i]);
        int64_t       now = 0, elapsed = 3 * S, shift = INT64_C(77777) * S;
        char         *image;
        size_t        bytes;

        for (int k = 0; k < 3000; k++) {
            now += (int64_t)property_below(&p, 10) * MS;
            if (limit_wait_ns(l, 1, at(now)) == 0)
                limit_spend(l, 1, at(now));
        }
        learn(l, 9, 100, 60 * S, at(now));
        image = malloc(limit_image_bytes(l));
        bytes = limit_save(l, image, at(now));
        /* The copy lives under another monotonic clock. */
        struct budget_now then = at(now + elapsed), there = { then.mono_ns + shift, then.wall_ns };

        if (!limit_restore(copy, image, bytes, elapsed, true, there))
            fail_msg("%s: not restored", rows[i]);
        for (int k = 0; k < 200; k++) {
            int64_t a, b;

            then.mono_ns += 50 * MS, then.wall_ns += 50 * MS;
            there.mono_ns += 50 * MS, there.wall_ns += 50 * MS;
            a = limit_wait_ns(l, 1, then);
            b = limit_wait_ns(copy, 1, there);
            if (llabs(a - b) > 1) /* an arrival time's fraction is rounded up */
                fail_msg("%s: %lld and %lld", rows[i], (long long)a, (long long)b);
            if (a <= 0 && b <= 0) {
                limit_spend(l, 1, then);
                limit_spend(copy, 1, there);
            }
        }
        free(image);
        limit_free(l);
        limit_free(copy);
    }
}

static void test_damaged_images_are_refused(void **state)
{
    struct limit *l = make("60/min"), *other = make("60/h"), *bucket = make("60/min burst 3");
    char          image[16384];
    size_t        bytes;

    (void)state;
    drain(l, at(0));
    bytes = limit_save(l, image, at(0));
    assert_true(bytes <= limit_image_bytes(l) && bytes <= sizeof image);
    assert_false(limit_restore(other, image, bytes, 0, true, at(0)));
    assert_false(limit_restore(bucket, image, bytes, 0, true, at(0)));
    for (size_t cut = 0; cut < bytes; cut++)
        assert_false(limit_restore(l, image, cut, 0, true, at(0)));
    for (size_t i = 0; i < bytes; i++) {
        image[i] ^= 0x10;
        if (limit_restore(l, image, bytes, 0, true, at(0)))
            fail_msg("byte %zu", i);
        image[i] ^= 0x10;
    }
    assert_int_equal(drain(l, at(0)), 0);
    assert_int_equal(drain(other, at(0)), 60);
    limit_free(l);
    limit_free(other);
    limit_free(bucket);
}

static void test_image_under_another_count(void **state)
{
    struct limit *l = make("60/min"), *less = make("20/min"), *more = make("1000/min"), *slow = make("5/s burst 30"),
                 *fast = make("10/s burst 20");
    char   image[16384];
    size_t bytes;

    (void)state;
    for (int i = 0; i < 60; i++)
        limit_spend(l, 1, at(i * S / 10));
    bytes = limit_save(l, image, at(6 * S));
    assert_true(limit_restore(less, image, bytes, 0, true, at(6 * S)));
    assert_int_equal(drain(less, at(6 * S)), 0);
    assert_true(limit_wait_ns(less, 1, at(6 * S)) > 57 * S); /* until fewer than 20 are left in the window */
    assert_true(limit_restore(more, image, bytes, 0, true, at(6 * S)));
    assert_int_equal(drain(more, at(6 * S)), 940);
    assert_int_equal(drain(fast, at(0)), 20);
    bytes = limit_save(fast, image, at(0));
    assert_true(limit_restore(slow, image, bytes, 0, true, at(0)));
    assert_int_equal(drain(slow, at(0)), 10);
    limit_free(l);
    limit_free(less);
    limit_free(more);
    limit_free(slow);
    limit_free(fast);
}

static void test_memory_is_constant(void **state)
{
    struct limit   *l = make("1000000/day");
    struct property p = { 9 };
    int64_t         now = 0;

    (void)state;
    for (int i = 0; i < 400000; i++) {
        now += (int64_t)property_below(&p, 2000) * MS;
        if (limit_wait_ns(l, 1, at(now)) == 0)
            limit_spend(l, 1, at(now));
    }
    assert_true(limit_image_bytes(l) < 10000);
    limit_free(l);
}

/* -- set by hand -- */

static void test_what_is_left_can_be_set(void **state)
{
    static const struct {
        const char *fact, *text;
        unsigned    spent;
        uint64_t    left;
        bool        ok;
    } rows[] = {
        { "sliding_more", "60/min", 60, 40, true },
        { "sliding_fewer", "60/min", 5, 10, true },
        { "sliding_none", "60/min", 0, 0, true },
        { "sliding_all", "60/min", 60, 60, true },
        { "sliding_too_many", "60/min", 60, 61, false },
        { "bucket_more", "1/s burst 10", 10, 4, true },
        { "bucket_too_many", "1/s burst 10", 10, 11, false },
        { "fixed_more", "100/day window 00:00 UTC", 100, 30, true },
        { "fixed_fewer", "100/day window 00:00 UTC", 0, 30, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i].text), *again;
        char          image[65536];
        size_t        bytes;

        limit_spend_up_to(l, rows[i].spent, at(S));
        learn(l, 0, 60, 30 * S, at(S));
        limit_block(l, 20 * S, TOLD_BY_RETRY_AFTER, at(S));
        if (limit_set_left(l, rows[i].left, at(S)) != rows[i].ok)
            fail_msg("%s: %s", rows[i].fact, rows[i].ok ? "refused" : "taken");
        if (!rows[i].ok) {
            assert_true(limit_wait_ns(l, 1, at(S)) > 0);
            limit_free(l);
            continue;
        }
        assert_int_equal(limit_state(l, at(S)).told_by, TOLD_BY_NOBODY);
        bytes = limit_save(l, image, at(S));
        again = limit_new_like(l);
        assert_true(limit_restore(again, image, bytes, 0, true, at(S)));
        if (limit_state(l, at(S)).left != rows[i].left || drain(l, at(S)) != rows[i].left ||
            drain(again, at(S)) != rows[i].left)
            fail_msg("%s", rows[i].fact);
        limit_return(l, 1, at(S / 2), at(S)); /* of what was under way when it was set */
        limit_free(l);
        limit_free(again);
    }
}

static void test_of_an_api_s_own_the_count_can_be_set(void **state)
{
    struct limit *l = limit_new_open();

    (void)state;
    assert_false(limit_set_left(l, 5, at(S))); /* nobody knows of how many */
    learn(l, 0, 50, 60 * S, at(S));
    assert_true(limit_set_left(l, 5, at(S)));
    assert_int_equal(drain(l, at(S)), 5);
    assert_true(limit_wait_ns(l, 1, at(S)) > 50 * S);
    limit_free(l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_told_only_tightens),
        cmocka_unit_test(test_told_more_than_configured),
        cmocka_unit_test(test_two_caps_hold_both),
        cmocka_unit_test(test_block),
        cmocka_unit_test(test_learned_window),
        cmocka_unit_test(test_learned_window_begun_by_the_api),
        cmocka_unit_test(test_images_tell_the_same),
        cmocka_unit_test(test_damaged_images_are_refused),
        cmocka_unit_test(test_image_under_another_count),
        cmocka_unit_test(test_memory_is_constant),
        cmocka_unit_test(test_what_is_left_can_be_set),
        cmocka_unit_test(test_of_an_api_s_own_the_count_can_be_set),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
