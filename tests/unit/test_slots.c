/*
 * Where libmicrohttpd's pools stand: a slot comes back clean, whoever had it.  MHD is played by calls of mmap().
 */
#include "front/mhd/slots.h"

#include "front/mhd/pool.h"
#include "front/mhd/tricks.h"

#include <pthread.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include <cmocka.h>

enum { PAGE = 4096, MANY = SLOTS + 20 };

static char *map_with(size_t bytes, int protection, int flags)
{
    char *at = mmap(NULL, bytes, protection, flags, -1, 0);

    assert_true(at != MAP_FAILED);
    return at;
}

static char *map_pool(void)
{
    return map_with(POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
}

static int begin(void **state)
{
    (void)state;
    slots_open();
    return 0;
}

static int end(void **state)
{
    (void)state;
    slots_close();
    return 0;
}

static bool is_clean(const char *pool)
{
    return pool[0] == '\0' && memcmp(pool, pool + 1, POOL_BYTES - 1) == 0;
}

static size_t resident_pages(char *pool)
{
    unsigned char pages[POOL_BYTES / PAGE];
    size_t        count = 0;

    assert_int_equal(mincore(pool, POOL_BYTES, pages), 0);
    for (size_t i = 0; i < sizeof pages; i++)
        count += pages[i] & 1;
    return count;
}

static void test_a_pool_comes_back_without_what_it_held(void **state)
{
    static const size_t held_at[] = { 0, 1, PAGE - 1, PAGE, 5 * PAGE + 7, POOL_BYTES - 1 };
    char               *first = map_pool();

    (void)state;
    assert_true(is_clean(first));
    for (size_t i = 0; i < sizeof held_at / sizeof held_at[0]; i++) {
        first[held_at[i]] = 's';
        assert_int_equal(munmap(first, POOL_BYTES), 0);
        assert_ptr_equal(map_pool(), first);
        assert_true(is_clean(first));
    }
    munmap(first, POOL_BYTES);
}

static int by_address(const void *a, const void *b)
{
    const uintptr_t x = (uintptr_t) * (char *const *)a, y = (uintptr_t) * (char *const *)b;

    return x < y ? -1 : x > y;
}

static void test_more_than_there_are_slots(void **state)
{
    char *pools[MANY];

    (void)state;
    for (int round = 0; round < 2; round++) {
        for (int i = 0; i < MANY; i++) {
            pools[i] = map_pool();
            assert_true(is_clean(pools[i]));
            memset(pools[i], 's', POOL_BYTES);
        }
        qsort(pools, MANY, sizeof pools[0], by_address);
        for (int i = 1; i < MANY; i++)
            assert_true(pools[i] >= pools[i - 1] + POOL_BYTES);
        for (int i = 0; i < MANY; i++)
            assert_int_equal(munmap(pools[i], POOL_BYTES), 0);
    }
}

/* All but SLOTS_WARM of what is free has given its pages back. */
static void test_few_keep_their_pages(void **state)
{
    char  *pools[SLOTS];
    size_t resident = 0;

    (void)state;
    for (int i = 0; i < SLOTS; i++)
        memset(pools[i] = map_pool(), 's', POOL_BYTES);
    for (int i = 0; i < SLOTS; i++)
        munmap(pools[i], POOL_BYTES);
    for (int i = 0; i < SLOTS; i++)
        resident += resident_pages(pools[i]);
    assert_int_equal(resident, SLOTS_WARM * (POOL_BYTES / PAGE));
}

static void test_nothing_else_is_meant(void **state)
{
    static const struct {
        const char *name;
        size_t      bytes;
        int         protection, flags;
    } rows[] = {
        { "longer", POOL_BYTES * 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS },
        { "shorter", POOL_BYTES / 2, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS },
        { "to_be_read", POOL_BYTES, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS },
        { "shared", POOL_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS },
    };
    unsigned char resident;
    char         *pool = map_pool();

    (void)state;
    munmap(pool, POOL_BYTES);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char *other = map_with(rows[i].bytes, rows[i].protection, rows[i].flags);

        if (other >= pool && other < pool + (size_t)SLOTS * POOL_BYTES)
            fail_msg("%s: stands in a slot", rows[i].name);
        assert_int_equal(munmap(other, rows[i].bytes), 0);
        assert_int_not_equal(mincore(other, PAGE, &resident), 0); /* it is gone */
    }
}

static void *map_elsewhere(void *pool)
{
    char *other = map_pool();
    bool  is_own = other >= (char *)pool && other < (char *)pool + (size_t)SLOTS * POOL_BYTES;

    munmap(other, POOL_BYTES);
    return is_own ? pool : NULL;
}

static void test_another_thread_has_none(void **state)
{
    char     *pool = map_pool();
    pthread_t other;
    void     *own;

    (void)state;
    munmap(pool, POOL_BYTES);
    assert_int_equal(pthread_create(&other, NULL, map_elsewhere, pool), 0);
    pthread_join(other, &own);
    assert_null(own);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_pool_comes_back_without_what_it_held, begin, end),
        cmocka_unit_test_setup_teardown(test_more_than_there_are_slots, begin, end),
        cmocka_unit_test_setup_teardown(test_few_keep_their_pages, begin, end),
        cmocka_unit_test_setup_teardown(test_nothing_else_is_meant, begin, end),
        cmocka_unit_test_setup_teardown(test_another_thread_has_none, begin, end),
    };

#ifndef SLOTS_ARE_OWN
    (void)tests;
    return 77; /* MHD maps and unmaps by itself */
#else
    return tricks_start(TRICKS_MEASURED_WITH) ? cmocka_run_group_tests(tests, NULL, NULL) : 77;
#endif
}
