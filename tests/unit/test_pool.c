/*
 * libmicrohttpd's pool of a connection: what is left of it behind a request.  MHD is played by calls of memset().
 */
#include "front/pool.h"

#include "base/clock.h"

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
    one_request(&p, false, HEAD, 0);                         /* MHD closes: what it zeroes is no reset */
    assert_null(p.memory);
    assert_int_equal(count_of(memory, memory + POOL_BYTES, '\0'), POOL_BYTES);

    memset(memory, 'x', 2 * POOL_BYTES);
    pool_enter(&p, memory + 4);
    pool_end(&p, true, HEAD, 0, IDLE_NS);
    zero(memory + POOL_BYTES, POOL_BYTES);                   /* a pool, but the request does not stand in it */
    assert_null(p.memory);
    assert_int_equal(memory[2 * POOL_BYTES - 1], '\0');

    one_request(&p, true, HEAD, 0);
    memset(memory, 'x', 2 * POOL_BYTES);
    pool_enter(&p, memory + 4);
    zero(memory + PAGE, 8192);                               /* MHD shrinks a buffer */
    assert_int_equal(memory[PAGE], 'x');
    zero(memory + POOL_BYTES - 4096, 8192);                  /* reaches out of the pool */
    assert_int_equal(memory[POOL_BYTES - 1], '\0');
    pool_leave();
    zero(memory + PAGE, 8192);
    assert_int_equal(memory[PAGE], '\0');
}

static void test_pages_go_back(void **state)
{
    static const struct { const char *name; int64_t now_ns; char next; bool go; } rows[] = {
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_request_is_cleared_and_the_rest_left),
        cmocka_unit_test(test_what_has_come_of_the_next_request_stays),
        cmocka_unit_test(test_a_request_with_a_body_is_cleared_whole),
        cmocka_unit_test(test_no_other_memory_is_meant),
        cmocka_unit_test(test_pages_go_back),
        cmocka_unit_test(test_nothing_goes_back_in_a_request),
    };

#ifndef WEIR_OWN_MEMSET
    print_message("skipped: a sanitizer's memset() is in place\n");
    return 0;
#endif
    return cmocka_run_group_tests(tests, make_memory, drop_memory);
}
