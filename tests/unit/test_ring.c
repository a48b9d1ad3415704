/*
 * The ring of records: order, what a slow reader misses, and two threads at once.
 */
#include "base/ring.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

enum { RING_BYTES = 4 * RING_RECORD_MOST, WORDS_MOST = RING_RECORD_MOST / 8 };

/* A record's words all say its number, and its first how many there are. */
static void put(struct ring *r, uint64_t number, size_t words)
{
    uint64_t record[WORDS_MOST];

    for (size_t i = 0; i < words; i++)
        record[i] = number;
    ring_put(r, record, words * sizeof record[0]);
}

/* Its number; UINT64_MAX: there is none. */
static uint64_t take(const struct ring *r, struct ring_cursor *c, uint64_t *missed)
{
    uint64_t record[WORDS_MOST];
    size_t   bytes = ring_read(r, c, record, missed);

    if (bytes == 0)
        return UINT64_MAX;
    for (size_t i = 1; i < bytes / 8; i++)
        assert_int_equal(record[i], record[0]);
    return record[0];
}

static void test_records_come_in_order(void **state)
{
    struct ring       *r = ring_open(RING_BYTES);
    struct ring_cursor all = ring_oldest(r), late;
    uint64_t           missed = 0;

    (void)state;
    assert_int_equal(take(r, &all, &missed), UINT64_MAX);
    for (uint64_t i = 0; i < 100; i++)
        put(r, i, 1 + i % 7);
    late = ring_newest(r);
    put(r, 100, 3);
    for (uint64_t i = 0; i <= 100; i++)
        assert_int_equal(take(r, &all, &missed), i);
    assert_int_equal(take(r, &all, &missed), UINT64_MAX);
    assert_int_equal(take(r, &late, &missed), 100);
    assert_int_equal(take(r, &late, &missed), UINT64_MAX);
    assert_int_equal(missed, 0);
    ring_close(r);
}

static void test_who_comes_too_late_hears_how_many_he_missed(void **state)
{
    static const size_t words[] = { 1, 2, 50, 333, WORDS_MOST };

    (void)state;
    for (size_t w = 0; w < sizeof words / sizeof words[0]; w++) {
        struct ring       *r = ring_open(RING_BYTES);
        struct ring_cursor c = ring_oldest(r), old;
        uint64_t           missed = 0, number, got = 0;
        const uint64_t     count = 3 * RING_BYTES / 8 / words[w];

        for (uint64_t i = 0; i < count; i++)
            put(r, i, words[w]);
        old = ring_oldest(r);
        number = take(r, &c, &missed);
        assert_int_equal(number, missed);
        assert_int_equal(number, take(r, &old, &missed)); /* who begins there has missed nothing */
        assert_int_equal(number, missed);
        for (got = 1; take(r, &c, &missed) != UINT64_MAX; got++)
            ;
        assert_int_equal(got + missed, count);
        assert_true(got * (words[w] + 1) + words[w] + 1 > RING_BYTES / 8); /* all that there was room for */
        ring_close(r);
    }
}

static void test_readers_do_not_know_each_other(void **state)
{
    struct ring       *r = ring_open(RING_BYTES);
    struct ring_cursor quick = ring_oldest(r), slow = ring_oldest(r);
    uint64_t           missed = 0, missed_too = 0, first;

    (void)state;
    for (uint64_t i = 0; i < 5000; i++) {
        put(r, i, 20);
        assert_int_equal(take(r, &quick, &missed), i);
    }
    assert_int_equal(missed, 0);
    first = take(r, &slow, &missed_too);
    assert_int_equal(first, missed_too);
    assert_true(missed_too > 0);
    ring_close(r);
}

/* -- two threads, and more -- */

enum { PUT_IN_ALL = 200000, READERS = 3 };

struct race {
    struct ring *ring;
    _Atomic bool done;
};

static void *write_all(void *context)
{
    struct race *race = context;

    for (uint64_t i = 0; i < PUT_IN_ALL; i++)
        put(race->ring, i, 1 + i % 61);
    atomic_store(&race->done, true);
    return NULL;
}

/* Whole records, in order, and none is unaccounted for. */
static const char *read_until_done(struct race *race)
{
    struct ring_cursor c = { 0, 0 };
    uint64_t           missed = 0, got = 0, before = UINT64_MAX, record[WORDS_MOST];

    for (;;) {
        bool   done = atomic_load(&race->done);
        size_t bytes = ring_read(race->ring, &c, record, &missed);

        if (bytes == 0 && done)
            break;
        if (bytes == 0)
            continue;
        for (size_t i = 1; i < bytes / 8; i++)
            if (record[i] != record[0])
                return "torn";
        if (bytes / 8 != 1 + record[0] % 61)
            return "of another length";
        if (before != UINT64_MAX && record[0] <= before)
            return "out of order";
        before = record[0];
        got++;
        if (got + missed != before + 1)
            return "miscounted";
    }
    return before == PUT_IN_ALL - 1 ? NULL : "not to the end";
}

static void *read_all(void *context)
{
    return (void *)(uintptr_t)read_until_done(context);
}

static void test_threads(void **state)
{
    struct race race = { .ring = ring_open(RING_BYTES) };
    pthread_t   writer, readers[READERS];

    (void)state;
    for (int i = 0; i < READERS; i++)
        assert_int_equal(pthread_create(&readers[i], NULL, read_all, &race), 0);
    assert_int_equal(pthread_create(&writer, NULL, write_all, &race), 0);
    pthread_join(writer, NULL);
    for (int i = 0; i < READERS; i++) {
        void *wrong;

        pthread_join(readers[i], &wrong);
        if (wrong != NULL)
            fail_msg("reader %d: %s", i, (const char *)wrong);
    }
    ring_close(race.ring);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records_come_in_order),
        cmocka_unit_test(test_who_comes_too_late_hears_how_many_he_missed),
        cmocka_unit_test(test_readers_do_not_know_each_other),
        cmocka_unit_test(test_threads),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
