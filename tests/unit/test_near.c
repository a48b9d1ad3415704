/*
 * Looking without leaving a trace: what a peek finds is what a look-up finds, and what stands under one path.
 */
#include "store_support.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <string.h>

struct seen {
    unsigned count;
    bool     of_another_tag;
};

static void see(const struct store_record *r, void *context)
{
    struct seen *s = context;
    struct arena a = { 0 };
    bool         known = false;

    for (unsigned n = 100; n < 200 && !known; n++)
        known = slice_eq(make_full_key(&a, n), r->full_key);
    s->of_another_tag = s->of_another_tag || !known;
    s->count++;
    arena_free(&a);
}

static enum store_result peek(struct fixture *f, unsigned n, struct store_record *out)
{
    struct arena      a = { 0 };
    uint8_t           hash[STORE_HASH_BYTES];
    enum store_result r;

    make_hash(hash, "key", n);
    r = store_peek(f->reader, hash, make_full_key(&a, n), NULL, NULL, out);
    arena_free(&a);
    return r;
}

static void test_a_peek_finds_what_a_look_up_finds(void **state)
{
    struct fixture     *f = *state;
    struct store_record peeked, found;

    put_300(f);
    for (unsigned n = 0; n < 310; n++) {
        enum store_result by_peek = peek(f, n, &peeked);
        uint64_t          id = by_peek == STORE_HIT ? peeked.id : 0;
        enum store_result by_look = look_up(f->reader, n, &found);

        assert_int_equal(by_peek, by_look);
        if (by_look == STORE_HIT)
            assert_int_equal(id, found.id);
        store_reader_end(f->reader);
    }
}

static const struct {
    const char *name;
    unsigned    most, shown, count;
} rows[] = {
    { "none_is_shown_but_all_are_counted", 0, 0, 100 },
    { "as_many_as_are_wanted", 7, 7, 100 },
    { "all_of_them", 1000, 100, 100 },
};

static void test_what_stands_under_one_path(void **state)
{
    struct fixture *f = *state;
    uint8_t         tag[STORE_HASH_BYTES];

    put_300(f);
    make_hash(tag, "tag", 1);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct seen       seen = { 0 };
        struct store_near near = store_of_path(f->reader, tag, rows[i].most, see, &seen);

        if (near.shown != rows[i].shown || near.count != rows[i].count || seen.count != rows[i].shown ||
            seen.of_another_tag || !near.is_all)
            fail_msg("%s: shown %u, seen %u, of %u", rows[i].name, near.shown, seen.count, near.count);
    }
    make_hash(tag, "tag", 99);
    assert_int_equal(store_of_path(f->reader, tag, 10, see, &(struct seen){ 0 }).count, 0);
}

static void test_without_a_store_nothing_is_near(void **state)
{
    struct store_reader *r = store_reader_open(NULL);
    struct store_record  out;
    const uint8_t        hash[STORE_HASH_BYTES] = { 0 };

    (void)state;
    assert_int_equal(store_peek(r, hash, SLICE("k"), NULL, NULL, &out), STORE_BROKEN);
    assert_int_equal(store_of_path(r, hash, 10, see, NULL).count, 0);
    store_reader_close(r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_a_peek_finds_what_a_look_up_finds, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_stands_under_one_path, setup, teardown),
        cmocka_unit_test(test_without_a_store_nothing_is_near),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
