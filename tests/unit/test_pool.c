/*
 * libmicrohttpd's pool of a connection: what is left of it after a request.  MHD is played by calls of memset().
 */
#include "front/mhd/pool.h"

#include "base/clock.h"
#include "front/mhd/tricks.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <cmocka.h>

enum { PAGE = 4096, HEAD = 300 };

#define IDLE_NS (60 * NS_PER_SEC)

static char *memory;

static int make_memory(void **state)
{
    (void)state;
    memory = mmap(NULL, 2 * POOL_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return memory == MAP_FAILED;
}

static int drop_memory(void **state)
{
    (void)state;
    return munmap(memory, 2 * POOL_BYTES);
}

/* What the compiler cannot see through: it knows what memset() does. */
static void *(*volatile fill)(void *, int, size_t) = memset;

static void zero(char *at, size_t count)
{
    fill(at, 0, count);
}

static size_t count_of(const char *from, const char *to, char wanted)
{
    size_t n = 0;

    for (; from < to; from++)
        n += *from == wanted;
    return n;
}

/* A request whose head is HEAD bytes long, up to MHD's reset; `kept` bytes of a next one have come. */
static void one_request(struct pool *p, bool well, size_t received, size_t kept)
{
    memset(memory, 'x', 2 * POOL_BYTES);
    pool_enter(p, memory + 4);
    pool_end(p, well, received, 0, IDLE_NS);
    zero(memory + kept, POOL_BYTES - kept);
    pool_leave();
}

static void test_a_request_is_cleared_and_the_rest_left(void **state)
{
    struct pool p = { 0 };

    (void)state;
    one_request(&p, true, HEAD, 0);
    assert_ptr_equal(p.memory, memory);
    assert_true(p.is_resting);
    assert_int_equal(count_of(memory, memory + HEAD, '\0'), HEAD);
    assert_int_equal(memory[HEAD], 'x');
    assert_int_equal(memory[POOL_BYTES - 1], 'x');
}

static void test_what_has_come_of_the_next_request_stays(void **state)
{
    struct pool p = { 0 };

    (void)state;
    one_request(&p, true, HEAD, 100);
    assert_int_equal(count_of(memory, memory + 100, 'x'), 100);
    assert_int_equal(count_of(memory + 100, memory + HEAD, '\0'), HEAD - 100);
    one_request(&p, true, HEAD, HEAD + 100);
    assert_int_equal(count_of(memory, memory + HEAD + 100, 'x'), HEAD + 100);
}

static void test_a_request_with_a_body_is_cleared_whole(void **state)
{
    struct pool p = { 0 };

    (void)state;
    one_request(&p, true, SIZE_MAX, 0);
    assert_int_equal(count_of(memory, memory + POOL_BYTES, '\0'), POOL_BYTES);
    assert_int_equal(memory[POOL_BYTES], 'x');
}

static void test_no_other_memory_is_meant(void **state)
{
    struct pool p = { 0 };

    (void)state;
    one_request(&p, false, HEAD, 0); /* MHD closes: what it zeroes is no reset */
    assert_null(p.memory);
    assert_int_equal(count_of(memory, memory + POOL_BYTES, '\0'), POOL_BYTES);

    memset(memory, 'x', 2 * POOL_BYTES);
    pool_enter(&p, memory + 4);
    pool_end(&p, true, HEAD, 0, IDLE_NS);
    zero(memory + POOL_BYTES, POOL_BYTES); /* a pool, but the request does not stand in it */
    assert_null(p.memory);
    assert_int_equal(memory[2 * POOL_BYTES - 1], '\0');

    one_request(&p, true, HEAD, 0);
    memset(memory, 'x', 2 * POOL_BYTES);
    pool_enter(&p, memory + 4);
    zero(memory + PAGE, 8192); /* MHD shrinks a buffer */
    assert_int_equal(memory[PAGE], 'x');
    zero(memory + POOL_BYTES - 4096, 8192); /* reaches out of the pool */
    assert_int_equal(memory[POOL_BYTES - 1], '\0');
    pool_leave();
    zero(memory + PAGE, 8192);
    assert_int_equal(memory[PAGE], '\0');
}

static void test_pages_go_back(void **state)
{
    static const struct {
        const char *name;
        int64_t     now_ns;
        char        next;
        bool        go;
    } rows[] = {
        { "behind_a_rest", NS_PER_SEC, '\0', true },
        { "not_at_once", NS_PER_SEC - 1, '\0', false },
        { "not_when_mhd_may_have_closed", IDLE_NS - NS_PER_SEC, '\0', false },
        { "not_where_a_line_is_longer_than_a_page", NS_PER_SEC, 'y', false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pool p = { 0 };

        one_request(&p, true, HEAD, 0);
        memory[PAGE - 1] = rows[i].next;
        pool_sweep(&p, rows[i].now_ns);
        if ((memory[PAGE] == '\0') != rows[i].go || memory[HEAD] != 'x')
            fail_msg("%s", rows[i].name);
    }
}

static void test_nothing_goes_back_in_a_request(void **state)
{
    struct pool p = { 0 };

    (void)state;
    one_request(&p, true, HEAD, 0);
    pool_enter(&p, memory + 4);
    pool_sweep(&p, 10 * NS_PER_SEC);
    assert_int_equal(memory[PAGE], 'x');
    pool_leave();
}

/* Whatever stands in it: all of it is there again, and nothing in between. */
static void test_a_parked_pool_is_whole_again(void **state)
{
    static const struct {
        const char *name;
        size_t      at[3], bytes[3];
        bool        parks;
    } rows[] = {
        { "a_head_and_its_records", { 0, POOL_BYTES - 400 }, { 300, 400 }, true },
        { "a_piece_over_a_page_s_end", { PAGE - 10, 5 * PAGE - 1, 0 }, { 20, 2, 1 }, true },
        { "the_last_byte", { POOL_BYTES - 1 }, { 1 }, true },
        { "nothing_at_all", { 0 }, { 0 }, false },
        { "more_than_is_worth_it", { 0 }, { POOL_BYTES - 1 }, false },
    };
    static char before[POOL_BYTES];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pool p = { .memory = memory };
        unsigned    parks;

        memset(memory, '\0', POOL_BYTES);
        memory[POOL_BYTES] = 'z';
        for (size_t k = 0; k < 3; k++)
            for (size_t at = 0; at < rows[i].bytes[k]; at++)
                memory[rows[i].at[k] + at] = (char)(1 + (at + k) % 250);
        memcpy(before, memory, POOL_BYTES);
        parks = pool_park(&p);
        if (parks != rows[i].parks || (p.parked != NULL) != rows[i].parks)
            fail_msg("%s: parked %u", rows[i].name, parks);
        if (parks && count_of(memory, memory + POOL_BYTES, '\0') != POOL_BYTES)
            fail_msg("%s: something is left", rows[i].name);
        pool_unpark(&p);
        if (memcmp(before, memory, POOL_BYTES) != 0 || memory[POOL_BYTES] != 'z' || p.parked != NULL)
            fail_msg("%s: it is not what it was", rows[i].name);
    }
}

static void test_a_pool_begins_where_the_first_bytes_are_read_to(void **state)
{
    struct pool p = { 0 }, q = { 0 };

    (void)state;
    pool_read(&p, memory);
    pool_read(&p, memory + PAGE); /* more of the same head */
    assert_ptr_equal(p.memory, memory);
    pool_read(&q, memory + 16); /* a pool out of malloc() */
    pool_read(&q, memory);
    assert_null(q.memory);
    assert_false(pool_park(&q));
    pool_close(&q);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_cleared_and_the_rest_left),
        cmocka_unit_test(test_what_has_come_of_the_next_request_stays),
        cmocka_unit_test(test_a_request_with_a_body_is_cleared_whole),
        cmocka_unit_test(test_no_other_memory_is_meant),
        cmocka_unit_test(test_pages_go_back),
        cmocka_unit_test(test_nothing_goes_back_in_a_request),
        cmocka_unit_test(test_a_parked_pool_is_whole_again),
        cmocka_unit_test(test_a_pool_begins_where_the_first_bytes_are_read_to),
    };
#ifndef WEIR_OWN_MEMSET
    static const struct CMUnitTest parking[] = {
        /* the others need the program's own memset() */
        cmocka_unit_test(test_a_parked_pool_is_whole_again),
        cmocka_unit_test(test_a_pool_begins_where_the_first_bytes_are_read_to),
    };

    (void)tests;
    return tricks_start(TRICKS_MEASURED_WITH) ? cmocka_run_group_tests(parking, make_memory, drop_memory) : 77;
#endif
    if (!tricks_start(TRICKS_MEASURED_WITH))
        return 77; /* built without: nothing to test */
    return cmocka_run_group_tests(tests, make_memory, drop_memory);
}
