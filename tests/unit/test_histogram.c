/*
 * Histograms: where a time is counted, and what is read out of it; what the workers count of several workers.
 */
#include "base/histogram.h"
#include "base/traffic.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

static const struct {
    const char *name;
    int64_t     ns;
    unsigned    bucket;
} places[] = {
    { "a_time_that_went_back_is_none", -5, 0 },
    { "nothing", 0, 0 },
    { "the_first_bound_is_within", 4096, 0 },
    { "above_it", 4097, 1 },
    { "a_quarter_of_an_octave", 5120, 1 },
    { "the_next_quarter", 5121, 2 },
    { "an_octave", 8192, 4 },
    { "above_an_octave", 8193, 5 },
    { "a_millisecond_or_so", INT64_C(1) << 20, 32 },
    { "the_last_bound", INT64_C(1) << 40, HISTOGRAM_BUCKETS - 1 },
    { "beyond", (INT64_C(1) << 40) + 1, HISTOGRAM_BUCKETS - 1 },
    { "for_ever", INT64_MAX, HISTOGRAM_BUCKETS - 1 },
    { "before_all", INT64_MIN, 0 },
};

static void test_places(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (histogram_bucket(places[i].ns) != places[i].bucket)
            fail_msg("%s: bucket %u", places[i].name, histogram_bucket(places[i].ns));
    for (int64_t ns = 1; ns < INT64_C(1) << 42;
         ns += ns / 7 + 1) { /* no bucket is left out, and none comes before another */
        unsigned at = histogram_bucket(ns), next = histogram_bucket(ns + ns / 7 + 1);

        assert_true(at < HISTOGRAM_BUCKETS && next >= at && next - at <= 2);
    }
}

static void test_within_counts_a_bound_itself(void **state)
{
    struct histogram     h = { 0 };
    struct histogram_sum sum = { 0 };

    (void)state;
    histogram_add(&h, INT64_C(1) << 20);
    histogram_add(&h, (INT64_C(1) << 20) + 1);
    histogram_add(&h, INT64_MAX / 4);
    histogram_gather(&sum, &h);
    assert_int_equal(sum.count, 3);
    assert_int_equal(histogram_within(&sum, 19), 0);
    assert_int_equal(histogram_within(&sum, 20), 1);
    assert_int_equal(histogram_within(&sum, 21), 2);
    assert_int_equal(histogram_within(&sum, 38), 2);
}

static void test_quantiles_are_as_near_as_a_bucket(void **state)
{
    struct histogram     h = { 0 };
    struct histogram_sum sum = { 0 }, none = { 0 };

    (void)state;
    assert_int_equal(histogram_quantile_ns(&none, 0.5), -1);
    for (int64_t ms = 1; ms <= 1000; ms++)
        histogram_add(&h, ms * 1000000);
    histogram_gather(&sum, &h);
    for (int percent = 5; percent < 100; percent += 5) {
        int64_t is = histogram_quantile_ns(&sum, percent / 100.0), should = percent * INT64_C(10000000);

        if (is < should * 9 / 10 || is > should * 11 / 10)
            fail_msg("%d%%: %lld instead of %lld", percent, (long long)is, (long long)should);
    }
}

enum { WORKERS = 3, ADDS = 20000 };

struct counting {
    struct traffic *traffic;
    unsigned        worker;
};

static void *count(void *context)
{
    const struct counting *c = context;

    for (int i = 0; i < ADDS; i++)
        traffic_request(traffic_of(c->traffic, c->worker), traffic_cell(TRAFFIC_SAFE, 200, TRAFFIC_HIT), 5000, 2);
    return NULL;
}

static void test_workers_count_apart_and_a_reader_sums(void **state)
{
    struct traffic    *t = traffic_new(WORKERS);
    struct counting    c[WORKERS];
    pthread_t          threads[WORKERS];
    struct traffic_sum all = { 0 };
    uint64_t           last = 0;

    (void)state;
    traffic_gather(&all, t);
    assert_int_equal(all.client.count, 0);
    for (unsigned i = 0; i < WORKERS; i++) {
        c[i] = (struct counting){ t, i };
        assert_int_equal(pthread_create(&threads[i], NULL, count, &c[i]), 0);
    }
    for (int i = 0; i < 200; i++) { /* while they write: only ever more */
        struct traffic_sum now = { 0 };

        traffic_gather(&now, t);
        assert_true(now.client.count >= last);
        last = now.client.count;
    }
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(threads[i], NULL);
    traffic_gather(&all, t);
    assert_int_equal(all.requests[traffic_cell(TRAFFIC_SAFE, 200, TRAFFIC_HIT)], WORKERS * ADDS);
    assert_int_equal(all.client.count, WORKERS * ADDS);
    assert_int_equal(all.client.sum_ns, (uint64_t)WORKERS * ADDS * 5000);
    assert_int_equal(all.sent_bytes, WORKERS * ADDS * 2);
    traffic_release(t);
    traffic_release(NULL);
}

static void test_every_status_has_a_cell(void **state)
{
    (void)state;
    for (unsigned status = 0; status < 2000; status++)
        assert_true(traffic_cell(TRAFFIC_UNSAFE, status, TRAFFIC_LEFT) < TRAFFIC_CELLS);
    assert_int_equal(traffic_cell(TRAFFIC_SAFE, 204, TRAFFIC_HIT), traffic_cell(TRAFFIC_SAFE, 200, TRAFFIC_HIT));
    assert_int_not_equal(traffic_cell(TRAFFIC_SAFE, 304, TRAFFIC_HIT), traffic_cell(TRAFFIC_SAFE, 200, TRAFFIC_HIT));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_within_counts_a_bound_itself),
        cmocka_unit_test(test_quantiles_are_as_near_as_a_bucket),
        cmocka_unit_test(test_workers_count_apart_and_a_reader_sums),
        cmocka_unit_test(test_every_status_has_a_cell),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
