/*
 * Heap, table and lists of base/, each beside the plainest thing that does the same.
 */
#include "base/arena.h"
#include "base/heap.h"
#include "base/list.h"
#include "base/ref.h"
#include "base/table.h"
#include "property.h"

#include <limits.h>
#include <stdarg.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>
#include <stdlib.h>

enum { THINGS = 300, ROUNDS = 20000 };

struct thing {
    unsigned           value;
    bool               in;
    struct heap_node   heap;
    struct table_node  table;
    LIST_ENTRY(thing)  list;
    TAILQ_ENTRY(thing) queue;
};

static bool is_less(const struct heap_node *a, const struct heap_node *b)
{
    return CONTAINER_OF(a, struct thing, heap)->value < CONTAINER_OF(b, struct thing, heap)->value;
}

static unsigned least(const struct thing *things)
{
    unsigned found = UINT_MAX;

    for (unsigned i = 0; i < THINGS; i++)
        if (things[i].in && things[i].value < found)
            found = things[i].value;
    return found;
}

static void test_a_heap_knows_its_first_whatever_moves(void **state)
{
    struct property p = { 7 };
    struct heap     h = { .before = is_less };
    struct thing   *things = mem_alloc(THINGS * sizeof *things);
    size_t          count = 0;

    (void)state;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct thing *t = &things[property_below(&p, THINGS)];

        if (property_below(&p, 3) == 0) {
            count -= t->in;
            t->in = false;
            heap_remove(&h, &t->heap);
        } else {
            count += !t->in;
            t->in = true;
            t->value = (unsigned)property_below(&p, 1000);
            heap_put(&h, &t->heap);
        }
        assert_int_equal(heap_has(&t->heap), t->in);
        assert_int_equal(h.count, count);
        if (count == 0)
            assert_null(heap_first(&h));
        else
            assert_int_equal(CONTAINER_OF(heap_first(&h), struct thing, heap)->value, least(things));
    }
    heap_free(&h);
    free(things);
}

static void test_a_heap_gives_out_in_order(void **state)
{
    struct property p = { 11 };
    struct heap     h = { .before = is_less };
    struct thing   *things = mem_alloc(THINGS * sizeof *things);
    unsigned        before = 0, given = 0;

    (void)state;
    for (unsigned i = 0; i < THINGS; i++) {
        things[i].value = (unsigned)property_below(&p, 50);
        heap_put(&h, &things[i].heap);
    }
    for (struct heap_node *n; (n = heap_first(&h)) != NULL; given++) {
        assert_true(CONTAINER_OF(n, struct thing, heap)->value >= before);
        before = CONTAINER_OF(n, struct thing, heap)->value;
        heap_remove(&h, n);
    }
    assert_int_equal(given, THINGS);
    heap_free(&h);
    free(things);
}

static void test_a_heap_is_renewed_where_many_have_changed(void **state)
{
    struct property p = { 17 };
    struct heap     h = { .before = is_less };
    struct thing   *things = mem_alloc(THINGS * sizeof *things);

    (void)state;
    for (unsigned i = 0; i < THINGS; i++) {
        things[i].in = true;
        things[i].value = (unsigned)property_below(&p, 1000);
        heap_put(&h, &things[i].heap);
    }
    for (unsigned i = 0; i < THINGS; i++)
        things[i].value = (unsigned)property_below(&p, 1000);
    heap_renew(&h);
    for (unsigned left = THINGS; left > 0; left--) {
        struct thing *t = CONTAINER_OF(heap_first(&h), struct thing, heap);

        assert_int_equal(t->value, least(things));
        heap_remove(&h, &t->heap);
        t->in = false;
    }
    heap_free(&h);
    free(things);
}

static struct thing *find(const struct table *t, unsigned value, uint64_t hash)
{
    TABLE_EACH(n, t, hash)
    if (CONTAINER_OF(n, struct thing, table)->value == value)
        return CONTAINER_OF(n, struct thing, table);
    return NULL;
}

/* Hashes of which many collide: in their chains, and as a whole. */
static uint64_t bad_hash(unsigned value)
{
    return value % 2 == 0 ? value % 8 : (uint64_t)value << 32;
}

static void test_a_table_finds_what_is_in_it_and_nothing_else(void **state)
{
    struct property p = { 13 };
    struct table    t = { 0 };
    struct thing   *things = mem_alloc(THINGS * sizeof *things);

    (void)state;
    for (unsigned i = 0; i < THINGS; i++)
        things[i].value = i;
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned      i = (unsigned)property_below(&p, THINGS);
        struct thing *wanted = &things[i];

        assert_ptr_equal(find(&t, i, bad_hash(i)), wanted->in ? wanted : NULL);
        if (wanted->in)
            table_remove(&t, &wanted->table);
        else
            table_add(&t, &wanted->table, bad_hash(i));
        wanted->in = !wanted->in;
    }
    table_free(&t);
    free(things);
}

static void test_a_table_can_be_emptied_while_it_is_walked(void **state)
{
    struct table       t = { 0 };
    struct table_walk  w = { 0 };
    struct table_node *n;
    size_t             met = 0;

    (void)state;
    for (unsigned i = 0; i < THINGS; i++) {
        struct thing *each = mem_alloc(sizeof *each);

        each->value = i;
        table_add(&t, &each->table, bad_hash(i));
    }
    for (; (n = table_next(&t, &w)) != NULL; met++) {
        table_remove(&t, n);
        free(CONTAINER_OF(n, struct thing, table));
    }
    assert_int_equal(met, THINGS);
    assert_int_equal(t.count, 0);
    table_free(&t);
}

LIST_HEAD(list_of_things, thing);
TAILQ_HEAD(queue_of_things, thing);

static void test_a_list_is_left_once_and_may_be_freed_within_a_loop(void **state)
{
    struct list_of_things  list = LIST_HEAD_INITIALIZER(list);
    struct queue_of_things queue = TAILQ_HEAD_INITIALIZER(queue);
    struct thing          *each, *following;
    unsigned               expected = 0;

    (void)state;
    for (unsigned i = 0; i < 10; i++) {
        each = mem_alloc(sizeof *each);
        each->value = i;
        assert_false(LIST_IS_IN(each, list));
        LIST_INSERT_HEAD(&list, each, list);
        TAILQ_INSERT_TAIL(&queue, each, queue);
        assert_true(LIST_IS_IN(each, list));
    }
    LIST_FOREACH_SAFE (each, &list, list, following)
        if (each->value % 2 == 0) {
            LIST_TAKE(each, list);
            LIST_TAKE(each, list); /* once is enough */
        }
    TAILQ_FOREACH_SAFE (each, &queue, queue, following) {
        assert_int_equal(each->value, expected++);
        assert_int_equal(LIST_IS_IN(each, list), each->value % 2 == 1);
        LIST_TAKE(each, list);
        free(each);
    }
    assert_int_equal(expected, 10);
    assert_true(LIST_EMPTY(&list));
}

static void test_an_array_has_the_room_that_is_wanted(void **state)
{
    unsigned *numbers = NULL, capacity = 0, renewals = 0;

    (void)state;
    for (unsigned i = 0; i < 1000; i++) {
        unsigned was = capacity;

        MEM_ROOM(numbers, capacity, i + 1);
        numbers[i] = i;
        renewals += capacity != was;
        assert_true(capacity > i);
    }
    assert_true(renewals < 10);
    MEM_ROOM(numbers, capacity, 5000);
    assert_true(capacity >= 5000);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(numbers[i], i);
    free(numbers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_heap_knows_its_first_whatever_moves),
        cmocka_unit_test(test_a_heap_gives_out_in_order),
        cmocka_unit_test(test_a_heap_is_renewed_where_many_have_changed),
        cmocka_unit_test(test_a_table_finds_what_is_in_it_and_nothing_else),
        cmocka_unit_test(test_a_table_can_be_emptied_while_it_is_walked),
        cmocka_unit_test(test_a_list_is_left_once_and_may_be_freed_within_a_loop),
        cmocka_unit_test(test_an_array_has_the_room_that_is_wanted),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
