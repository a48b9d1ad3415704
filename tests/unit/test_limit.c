/*
 * Each kind of limit against what it promises: never over, hardly anything wasted, exact waits.
 */
#include "limit_rig.h"

#include "property.h"

#include <stdio.h>

/* -- sliding -- */

static void test_all_may_come_at_once(void **state)
{
    static const struct {
        const char *text;
        unsigned    count;
    } rows[] = {
        { "1/s", 1 }, { "60/min", 60 }, { "512/min", 512 }, { "513/min", 513 }, { "10000/day", 10000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i].text);

        if (drain(l, at(0)) != rows[i].count)
            fail_msg("%s", rows[i].text);
        limit_free(l);
    }
}

/* No closed window of the length told holds more than `count` of the times. */
static void check_window(const char *name, const int64_t *times, size_t n, uint64_t count, int64_t window_ns)
{
    for (size_t i = count; i < n; i++)
        if (times[i] - times[i - count] <= window_ns)
            fail_msg("%s: %llu and one more within %lld ns", name, (unsigned long long)count,
                     (long long)(times[i] - times[i - count]));
}

/* Random arrivals, at times in bursts: never over in any window. */
static void test_never_over(void **state)
{
    static const struct {
        const char *text;
        uint64_t    count;
        int64_t     window_ns;
    } rows[] = {
        { "1/s", 1, S },
        { "5/s", 5, S },
        { "60/min", 60, 60 * S },
        { "512/min", 512, 60 * S },
        { "700/min", 700, 60 * S },
        { "1000/s", 1000, S },
        { "10000/h", 10000, 3600 * S },
    };
    enum { MOST = 40000 };
    int64_t        *times = malloc(MOST * sizeof *times);
    struct property p = { 7 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i].text);
        int64_t       mean = rows[i].window_ns / (int64_t)rows[i].count, now = 0;
        size_t        n = 0;

        for (int step = 0; step < MOST * 2 && n < MOST; step++) {
            struct budget_now t = at(now);

            now += (int64_t)property_below(&p, (size_t)mean) * (property_below(&p, 100) == 0 ? 200 : 1);
            t = at(now);
            if (limit_wait_ns(l, 1, t) != 0)
                continue;
            limit_spend(l, 1, t);
            times[n++] = now;
        }
        assert_true(n > rows[i].count);
        check_window(rows[i].text, times, n, rows[i].count, rows[i].window_ns);
        limit_free(l);
    }
    free(times);
}

/* Greedy clients get 99.5 % of what is allowed, and exactly as early as limit_wait_ns() says. */
static void test_hardly_wasted(void **state)
{
    static const char *const rows[] = { "1/s", "10/s", "100/s", "1000/s", "60/min", "600/min", "10000/day" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit        *l = make(rows[i]);
        struct limit_options o = { 0 };
        const char          *bad;
        int64_t              now = 0, end;
        uint64_t             sent = 0, due;

        limit_parse(slice_of(rows[i]), &o, &bad);
        end = 20 * o.window_ns;
        while (now < end) {
            int64_t wait_ns = limit_wait_ns(l, 1, at(now));

            if (wait_ns > 0) {
                assert_int_not_equal(limit_wait_ns(l, 1, at(now + wait_ns - 1)), 0);
                now += wait_ns;
                /* 20 windows hold 20 times the count: the first burst belongs to the first. */
                continue;
            }
            limit_spend(l, 1, at(now));
            sent++;
            now += o.window_ns / (int64_t)o.count / 7; /* not all at once: the groups drift */
        }
        due = 20 * o.count;
        if (sent < due - due / 200)
            fail_msg("%s: %llu of %llu", rows[i], (unsigned long long)sent, (unsigned long long)due);
        limit_free(l);
    }
}

static void test_guard_in_the_window(void **state)
{
    struct limit *l = make("60/min");

    (void)state;
    drain(l, at(0));
    assert_int_equal(limit_wait_ns(l, 1, at(0)), 60 * S + LIMIT_GUARD_NS);
    assert_int_equal(limit_wait_ns(l, 61, at(0)), INT64_MAX);
    assert_int_equal(drain(l, at(60 * S + LIMIT_GUARD_NS)), 60);
    limit_free(l);
}

static void test_give_back(void **state)
{
    static const char *const rows[] = { "10/min", "1000/min", "10/min burst 10", "10/day window 00:00 UTC",
                                        "10/h window learned" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i]);
        unsigned      all = drain(l, at(0));

        limit_return(l, 3, at(0), at(S / 100));
        if (drain(l, at(S / 100)) != 3)
            fail_msg("%s", rows[i]);
        assert_true(all >= 10);
        limit_free(l);
    }
}

/* What is given back late must not count twice: its time had passed already. */
static void test_give_back_of_what_was_free_again(void **state)
{
    struct limit *window = make("10/s"), *bucket = make("10/s burst 10");

    (void)state;
    limit_spend(window, 1, at(0));
    limit_return(window, 1, at(0), at(5 * S));
    assert_int_equal(drain(window, at(5 * S)), 10);
    limit_return(window, 1, at(0), at(5 * S));
    assert_int_equal(drain(window, at(5 * S)), 0);

    limit_spend(bucket, 1, at(0));
    assert_int_equal(drain(bucket, at(5 * S)), 10);
    limit_return(bucket, 1, at(0), at(5 * S));
    assert_int_equal(drain(bucket, at(5 * S)), 0);
    limit_free(window);
    limit_free(bucket);
}

/* -- token bucket -- */

static void test_bucket(void **state)
{
    struct limit *l = make("10/s burst 20");
    int64_t       now = 0;

    (void)state;
    assert_int_equal(drain(l, at(0)), 20);
    assert_int_equal(limit_wait_ns(l, 1, at(0)), 100 * MS - LIMIT_SLACK_NS);
    assert_int_equal(limit_wait_ns(l, 21, at(0)), INT64_MAX);
    for (int i = 0; i < 100; i++) {
        now += limit_wait_ns(l, 1, at(now));
        limit_spend(l, 1, at(now));
    }
    assert_int_equal(now, 10 * S - LIMIT_SLACK_NS);
    assert_int_equal(drain(l, at(now + 500 * MS)), 5);
    assert_int_equal(drain(l, at(now + 100 * S)), 20);
    limit_free(l);
}

static void test_burst_of_one_spaces_evenly(void **state)
{
    struct limit *l = make("10/s burst 1");
    int64_t       now = 0, last = -1;
    int           sent = 0;

    (void)state;
    for (; now < 20 * S; now += 1700 * NS_PER_US) { /* a timer that is late each time */
        if (limit_wait_ns(l, 1, at(now)) > 0)
            continue;
        limit_spend(l, 1, at(now));
        if (last >= 0)
            assert_true(now - last >= 100 * MS - LIMIT_SLACK_NS);
        last = now;
        sent++;
    }
    assert_true(sent >= 199 && sent <= 201);
    limit_free(l);
}

static void test_bucket_rate_is_exact(void **state)
{
    struct limit *l = make("3/s burst 1"); /* a third of a second is no whole number of ns */
    int64_t       now = 0;

    (void)state;
    limit_spend(l, 1, at(0));
    for (int i = 0; i < 300000; i++) {
        now += limit_wait_ns(l, 1, at(now));
        limit_spend(l, 1, at(now));
    }
    assert_in_range(100000 * S - now, LIMIT_SLACK_NS - 2, LIMIT_SLACK_NS + 2);
    limit_free(l);
}

/* Everything sent conforms to the bucket, whatever is given back in between. */
static void test_bucket_never_over_with_returns(void **state)
{
    enum { SENT = 4000, BURST = 5 };
    static int64_t  times[SENT];
    static bool     gone[SENT];
    struct limit   *l = make("10/s burst 5");
    struct property p = { 3 };
    int64_t         now = 0;
    size_t          n = 0;

    (void)state;
    while (n < SENT) {
        now += (int64_t)property_below(&p, 150) * MS;
        if (limit_wait_ns(l, 1, at(now)) == 0) {
            limit_spend(l, 1, at(now));
            times[n++] = now;
        }
        if (n > 0 && property_below(&p, 3) == 0) {
            size_t which = n - 1 - property_below(&p, n < 12 ? n : 12);

            if (!gone[which])
                limit_return(l, 1, at(times[which]), at(now));
            gone[which] = true;
        }
    }
    for (size_t from = 0; from < SENT; from++) {
        int kept = 0;

        for (size_t to = from; to < SENT && to < from + 300; to++) {
            if (gone[to])
                continue;
            kept++;
            if (!gone[from] && kept > BURST + (times[to] - times[from] + LIMIT_SLACK_NS) / (100 * MS))
                fail_msg("%d within %lld ms", kept, (long long)((times[to] - times[from]) / MS));
        }
    }
    limit_free(l);
}

/* -- fixed windows -- */

static void test_fixed_windows_in_zones(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t     wall_s, next_s;
    } rows[] = {
        { "utc_midnight", "5/day window 00:00 UTC", 1700000000, 1700006400 },
        { "utc_noon", "5/day window 12:00 UTC", 1700000000, 1700049600 },
        { "los_angeles_in_winter", "5/day window 00:00 America/Los_Angeles", 1700000000, 1700035200 },
        { "los_angeles_in_summer", "5/day window 00:00 America/Los_Angeles", 1720000000, 1720076400 },
        /* 2024-03-10 has 23 hours there, 2024-11-03 has 25. */
        { "day_of_23_hours", "5/day window 00:00 America/Los_Angeles", 1710057600 + 60, 1710140400 },
        { "day_of_25_hours", "5/day window 00:00 America/Los_Angeles", 1730617200 + 60, 1730707200 },
        /* 02:30 does not come on 2024-03-10: the leap at 10:00 UTC is its time. */
        { "start_that_is_leapt_over", "5/day window 02:30 America/Los_Angeles", 1710057600, 1710064800 },
        /* 01:30 comes twice on 2024-11-03: the first counts, and the day that begins then is 25 hours long. */
        { "start_that_comes_twice", "5/day window 01:30 America/Los_Angeles", 1730617200, 1730622600 },
        { "behind_the_first_of_two", "5/day window 01:30 America/Los_Angeles", 1730622600, 1730712600 },
        { "behind_the_second_of_two", "5/day window 01:30 America/Los_Angeles", 1730626200 + 1, 1730712600 },
        { "far_future_by_the_rule", "5/day window 00:00 America/Los_Angeles", 2540000000, 2540012400 },
        { "hours", "5/h window 00:15 UTC", 1700000000, 1700000100 },
        { "half_hour_zone", "5/day window 00:00 Asia/Kolkata", 1700000000, 1700073000 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit     *l = make(rows[i].text);
        struct budget_now now = { 0, rows[i].wall_s * S };

        if (drain(l, now) != 5 || limit_wait_ns(l, 1, now) != (rows[i].next_s - rows[i].wall_s) * S)
            fail_msg("%s: next %lld", rows[i].name, (long long)(rows[i].wall_s + limit_wait_ns(l, 1, now) / S));
        now.wall_ns = rows[i].next_s * S;
        if (drain(l, now) != 5)
            fail_msg("%s: not anew", rows[i].name);
        limit_free(l);
    }
}

static void test_fixed_window_and_steps_of_the_clock(void **state)
{
    struct limit     *l = make("5/day window 00:00 UTC");
    struct budget_now now = { 0, INT64_C(1700006400) * S + 600 * S }; /* ten past midnight */

    (void)state;
    assert_int_equal(drain(l, now), 5);
    now.wall_ns -= 3600 * S; /* ten past eleven, once more */
    assert_int_equal(drain(l, now), 0);
    now.wall_ns += 3600 * S; /* that midnight began no window */
    assert_int_equal(drain(l, now), 0);
    now.wall_ns -= 40 * DAY; /* a wrong date: spent stays spent, but not for 40 days */
    assert_int_equal(drain(l, now), 0);
    assert_true(limit_wait_ns(l, 1, now) <= DAY);
    limit_free(l);
}

/* Whatever the wall clock does, by a second or ten years, again and again: never more than a window's count within
 * half a window of true time, nobody waits for longer than a window, and nothing overflows. */
static void test_no_step_of_the_wall_clock_opens_or_locks(void **state)
{
    static const char *const texts[] = { "7/min",
                                         "7/min burst 7",
                                         "7/min burst 2",
                                         "7/day window 00:00 UTC",
                                         "7/h window 00:30 UTC",
                                         "7/h window learned",
                                         "7/month window 00:00 UTC" };
    static const int64_t     steps_s[] = { 1,         2,          59,          60,
                                           61,        3599,       3600,        7200,
                                           36000,     86399,      86400,       25 * 3600,
                                           27 * 3600, 30 * 86400, 366 * 86400, INT64_C(10) * 366 * 86400 };
    struct property          p = { 24 };

    (void)state;
    for (size_t i = 0; i < 400 * sizeof texts / sizeof texts[0]; i++) {
        struct limit     *l = make(texts[i % (sizeof texts / sizeof texts[0])]);
        const int64_t     window_ns = limit_memory_ns(l), longest_ns = window_ns + 3600 * S + S;
        struct budget_now now = at(0);
        char              image[4096];

        for (int turn = 0; turn < 30; turn++) {
            const int64_t step_ns = steps_s[property_below(&p, sizeof steps_s / sizeof steps_s[0])] * S;
            int64_t       wait_ns;

            drain(l, now);
            wait_ns = limit_wait_ns(l, 1, now);
            if (wait_ns <= 0 || wait_ns > longest_ns || limit_predict_ns(l, 0, now) > longest_ns ||
                limit_state(l, now).resets_in_ns > longest_ns + window_ns)
                fail_msg("%s: waits %lld s", texts[i % 7], (long long)(wait_ns / S));
            now.wall_ns += property_below(&p, 2) == 0 ? step_ns : -step_ns;
            if (limit_wait_ns(l, 1, now) > longest_ns)
                fail_msg("%s: stepped by %lld, waits %lld s", texts[i % 7], (long long)(step_ns / S),
                         (long long)(limit_wait_ns(l, 1, now) / S));
            if (property_below(&p, 4) == 0) {
                const bool   same_boot = property_below(&p, 2) == 0;
                const size_t bytes = limit_save(l, image, now);

                assert_true(bytes <= sizeof image && limit_restore(l, image, bytes, 0, same_boot, now));
                if (limit_wait_ns(l, 1, now) > longest_ns)
                    fail_msg("%s: restored, waits %lld s", texts[i % 7], (long long)(limit_wait_ns(l, 1, now) / S));
            }
            /* What was spent late may count in the next window, too: it may wait twice. */
            for (int64_t waited_ns = 0; (wait_ns = limit_wait_ns(l, 1, now)) > 0; waited_ns += wait_ns) {
                now.mono_ns += wait_ns;
                now.wall_ns += wait_ns;
                if (waited_ns + wait_ns > longest_ns)
                    fail_msg("%s: waited %lld s", texts[i % 7], (long long)((waited_ns + wait_ns) / S));
            }
        }
        limit_free(l);
    }
}

/* Spent at the end of a day by a clock that is then set back by ten hours: a day later it is over, not ten hours
 * after that. */
static void test_a_clock_set_back_locks_for_a_window_at_most(void **state)
{
    struct limit     *l = make("5/day window 00:00 UTC");
    struct budget_now now = { 0, INT64_C(1700006400) * S + 600 * S };

    (void)state;
    assert_int_equal(drain(l, now), 5);
    now.wall_ns -= 10 * 3600 * S;
    assert_true(limit_wait_ns(l, 1, now) <= DAY + 3600 * S);
    now = (struct budget_now){ now.mono_ns + 23 * 3600 * S, now.wall_ns + 23 * 3600 * S };
    assert_int_equal(drain(l, now), 0);
    now = (struct budget_now){ now.mono_ns + 2 * 3600 * S, now.wall_ns + 2 * 3600 * S };
    assert_int_equal(drain(l, now), 5);
    limit_free(l);
}

static void test_late_in_a_window_counts_in_the_next(void **state)
{
    struct limit     *l = make("5/day window 00:00 UTC");
    struct budget_now now = { 0, INT64_C(1700006400) * S - 3 * MS };

    (void)state;
    limit_spend(l, 2, now);
    now.wall_ns += 4 * MS;
    assert_int_equal(drain(l, now), 3);
    now.wall_ns += DAY;
    assert_int_equal(drain(l, now), 5);
    limit_free(l);
}

/* -- predictions -- */

/* The prediction for n ahead is when the (n+1)st goes if all go as early as they may. */
static void test_predictions_come_true(void **state)
{
    static const char *const rows[] = { "1/s",
                                        "7/s",
                                        "60/min",
                                        "600/min",
                                        "10/s burst 1",
                                        "10/s burst 20",
                                        "3/s burst 2",
                                        "50/h window 00:00 UTC",
                                        "50/h window learned" };
    struct property          p = { 11 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit *l = make(rows[i]);
        int64_t       start = 0, now, predicted[300];

        for (int k = 0; k < 40; k++) { /* some history */
            start += (int64_t)property_below(&p, 300) * MS;
            if (limit_wait_ns(l, 1, at(start)) == 0)
                limit_spend(l, 1, at(start));
        }
        if (i % 3 == 0)
            learn(l, 5, -1, 2 * S, at(start));
        for (unsigned n = 0; n < 300; n++)
            predicted[n] = limit_predict_ns(l, n, at(start));
        now = start;
        for (unsigned n = 0; n < 300; n++) {
            int64_t had, wait_ns = limit_wait_ns(l, 1, at(now));

            now += wait_ns;
            limit_spend(l, 1, at(now));
            had = now - start;
            if (llabs(had - predicted[n]) > had / 20 && llabs(had - predicted[n]) > 20 * MS)
                fail_msg("%s: %u ahead: predicted %lld ms, had %lld ms", rows[i], n, (long long)(predicted[n] / MS),
                         (long long)(had / MS));
        }
        limit_free(l);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_may_come_at_once),
        cmocka_unit_test(test_never_over),
        cmocka_unit_test(test_hardly_wasted),
        cmocka_unit_test(test_guard_in_the_window),
        cmocka_unit_test(test_give_back),
        cmocka_unit_test(test_give_back_of_what_was_free_again),
        cmocka_unit_test(test_bucket),
        cmocka_unit_test(test_burst_of_one_spaces_evenly),
        cmocka_unit_test(test_bucket_rate_is_exact),
        cmocka_unit_test(test_bucket_never_over_with_returns),
        cmocka_unit_test(test_fixed_windows_in_zones),
        cmocka_unit_test(test_fixed_window_and_steps_of_the_clock),
        cmocka_unit_test(test_no_step_of_the_wall_clock_opens_or_locks),
        cmocka_unit_test(test_a_clock_set_back_locks_for_a_window_at_most),
        cmocka_unit_test(test_late_in_a_window_counts_in_the_next),
        cmocka_unit_test(test_predictions_come_true),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
