/*
 * Counters: sums over threads that run and threads that are gone.
 */
#include "base/counters.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <pthread.h>
#include <string.h>
#include <cmocka.h>

enum { THREADS = 4, ADDS = 10000 };

static void *add_many(void *argument)
{
    (void)argument;
    for (int i = 0; i < ADDS; i++) {
        counter_add(COUNTER_HITS, 1);
        counter_add(COUNTER_MISSES, 3);
    }
    return NULL;
}

static void test_sums_over_all_threads(void **state)
{
    pthread_t threads[THREADS];
    uint64_t  hits = counter_sum(COUNTER_HITS), misses = counter_sum(COUNTER_MISSES);
    uint64_t  last = hits;

    (void)state;
    for (int i = 0; i < THREADS; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, add_many, NULL), 0);
    add_many(NULL);
    for (int i = 0; i < 100; i++) { /* reading while they write: only ever more */
        uint64_t now = counter_sum(COUNTER_HITS);

        assert_true(now >= last);
        last = now;
    }
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(counter_sum(COUNTER_HITS) - hits, (THREADS + 1) * ADDS);
    assert_int_equal(counter_sum(COUNTER_MISSES) - misses, (THREADS + 1) * ADDS * 3);
    assert_int_equal(counter_sum(COUNTER_EVICTED), 0);
}

static void test_names_are_unique_and_usable_as_metrics(void **state)
{
    (void)state;
    for (int i = 0; i < COUNTER_COUNT; i++) {
        assert_int_equal(strspn(counter_table[i].name, "abcdefghijklmnopqrstuvwxyz_"), strlen(counter_table[i].name));
        assert_true(strlen(counter_table[i].name) > 0 && strlen(counter_table[i].help) > 0);
        for (int k = 0; k < i; k++)
            assert_string_not_equal(counter_table[i].name, counter_table[k].name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sums_over_all_threads),
        cmocka_unit_test(test_names_are_unique_and_usable_as_metrics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
