/*
 * The arena: what it hands out is aligned, apart from everything else, and
 * gone (or kept) when it is said to be.
 */
#include "base/arena.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_blocks_are_aligned_zeroed_and_apart(void **state)
{
    enum { BLOCKS = 400 };
    struct property p = { 17 };
    struct arena    a = { 0 };
    unsigned char  *blocks[BLOCKS];
    size_t          sizes[BLOCKS];

    (void)state;
    for (int i = 0; i < BLOCKS; i++) {
        sizes[i] = property_below(&p, i % 50 == 0 ? 100000 : 300);
        blocks[i] = arena_alloc(&a, sizes[i]);
        assert_int_equal((uintptr_t)blocks[i] % _Alignof(max_align_t), 0);
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(blocks[i][k], 0);
        memset(blocks[i], i & 0xff, sizes[i]);
    }
    for (int i = 0; i < BLOCKS; i++)
        for (size_t k = 0; k < sizes[i]; k++)
            assert_int_equal(blocks[i][k], i & 0xff);
    arena_free(&a);
}

static void test_reset_gives_the_same_memory_again(void **state)
{
    struct arena a = { 0 };
    char        *first = arena_alloc(&a, 100);

    (void)state;
    arena_alloc(&a, 1000000);
    memset(first, 'x', 100);
    arena_reset(&a);
    assert_ptr_equal(arena_alloc(&a, 100), first);
    for (int i = 0; i < 100; i++)
        assert_int_equal(first[i], 0);
    arena_free(&a);
    assert_null(a.first);
    arena_free(&a); /* empty is fine */
    arena_reset(&a);
}

static void test_first_chunk_stays_small(void **state)
{
    struct arena a = { 0 };
    char        *large = arena_alloc(&a, 1 << 20);

    (void)state;
    large[(1 << 20) - 1] = 'x';
    arena_reset(&a);
    assert_in_range((uintptr_t)arena_alloc_raw(&a, 1) - (uintptr_t)a.first, 0, 4096);
    arena_free(&a);
}

static void test_copies_end_with_nul(void **state)
{
    struct arena a = { 0 };
    struct slice copy = arena_copy(&a, slice_sub(SLICE("hello"), 0, 4));
    struct slice empty = arena_copy(&a, SLICE_NONE);
    struct slice printed = arena_printf(&a, "%s-%d", "x", 42);
    char        *own = mem_copy(SLICE("ab"));

    (void)state;
    assert_string_equal(copy.ptr, "hell");
    assert_int_equal(copy.len, 4);
    assert_string_equal(empty.ptr, "");
    assert_string_equal(printed.ptr, "x-42");
    assert_int_equal(printed.len, 4);
    assert_int_equal(arena_printf(&a, "%05000d", 1).len, 5000);
    assert_string_equal(own, "ab");
    own = mem_resize(own, 100);
    assert_string_equal(own, "ab");
    free(own);
    free(mem_alloc(0));
    arena_free(&a);
}

static void test_joins_end_with_nul(void **state)
{
    static const struct {
        const char  *name;
        struct slice parts[3];
        const char  *joined;
    } rows[] = {
        { "in_order", { { "a", 1 }, { ": ", 2 }, { "bcd", 3 } }, "a: bcd" },
        { "empty_and_absent_parts_take_nothing", { { "", 0 }, { "x", 1 }, { NULL, 0 } }, "x" },
        { "nothing", { { NULL, 0 } }, "" },
        { "cut_where_the_length_says", { { "abc", 1 }, { "def", 2 } }, "ade" },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice s = arena_join(&a, rows[i].parts, 3);

        if (s.len != strlen(rows[i].joined) || strcmp(s.ptr, rows[i].joined) != 0)
            fail_msg("%s", rows[i].name);
    }
    assert_string_equal(ARENA_JOIN(&a, SLICE("one"), SLICE("two")).ptr, "onetwo");
    arena_free(&a);
}

/* What many hold at once takes no room ahead, and is no burden to the next life. */
static void test_a_small_one_takes_what_it_needs(void **state)
{
    struct arena        a = { 0 };
    struct arena_chunk *first;
    char               *p;

    (void)state;
    arena_begin_small(&a, 64);
    first = a.first;
    memset(arena_alloc(&a, 64), 1, 64);
    assert_ptr_equal(a.current, first);
    p = arena_alloc(&a, 100);
    memset(p, 1, 100);
    assert_ptr_not_equal(a.current, first);
    arena_recycle(&a);
    assert_null(a.first); /* else the next request would begin with little room */

    arena_alloc(&a, 100);
    first = a.first;
    arena_recycle(&a);
    assert_ptr_equal(a.first, first);
    arena_free(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_blocks_are_aligned_zeroed_and_apart),
        cmocka_unit_test(test_reset_gives_the_same_memory_again),
        cmocka_unit_test(test_first_chunk_stays_small),
        cmocka_unit_test(test_copies_end_with_nul),
        cmocka_unit_test(test_joins_end_with_nul),
        cmocka_unit_test(test_a_small_one_takes_what_it_needs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
