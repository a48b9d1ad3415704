/*
 * Copies of hot records: which are believed, and that a look-up by them finds what the database would say.
 */
#include "store/hot.h"
#include "store/internal.h"

#include "base/arena.h"
#include "store_support.h"

#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* -- the copies -- */

static char              value_bytes[HOT_VALUE_BYTES + 1];
static struct record_key key_bytes;

static struct slice key_of(unsigned n)
{
    make_hash(key_bytes.bytes, "key", n);
    make_hash(key_bytes.bytes + STORE_HASH_BYTES, "variant", n);
    return record_key_slice(&key_bytes);
}

static struct slice value_of(unsigned n, unsigned version, size_t bytes)
{
    memset(value_bytes, (int)(n % 251), sizeof value_bytes);
    memcpy(value_bytes, &version, sizeof version); /* where the sums and the id stand */
    return (struct slice){ value_bytes, bytes };
}

static void offer(struct hot *h, unsigned times, uint64_t snapshot, unsigned n, unsigned version, size_t bytes)
{
    for (; times > 0; times--)
        hot_offer(h, snapshot, key_of(n), value_of(n, version, bytes));
}

static bool has(struct hot *h, uint64_t snapshot, unsigned n, unsigned version, size_t bytes)
{
    struct slice   key, value;
    const uint8_t *hash = (const uint8_t *)key_of(n).ptr;

    if (!hot_find(h, hash, snapshot, &key, &value))
        return false;
    if (!slice_eq(key, key_of(n)) || !slice_eq(value, value_of(n, version, bytes)))
        fail_msg("%u: another's copy", n);
    return true;
}

static void test_which_are_believed(void **state)
{
    struct hot *h = hot_open();

    (void)state;
    assert_non_null(h);
    offer(h, 1, 5, 1, 0, 500);
    assert_false(has(h, 5, 1, 0, 500)); /* came once */
    offer(h, 1, 5, 1, 0, 500);
    assert_true(has(h, 5, 1, 0, 500));
    assert_false(has(h, 6, 1, 0, 500)); /* there was a commit since */
    offer(h, 1, 6, 1, 0, 500);
    assert_true(has(h, 6, 1, 0, 500)); /* and it is the same record */
    assert_false(has(h, 5, 1, 0, 500));
    offer(h, 1, 7, 1, 1, 500);
    assert_true(has(h, 7, 1, 1, 500)); /* another version of it */
    offer(h, 1, 8, 1, 1, 400);
    assert_true(has(h, 8, 1, 1, 400));
    offer(h, 3, 8, 2, 0, HOT_VALUE_BYTES);
    assert_true(has(h, 8, 2, 0, HOT_VALUE_BYTES));
    offer(h, 3, 8, 3, 0, HOT_VALUE_BYTES + 1);
    assert_false(has(h, 8, 3, 0, HOT_VALUE_BYTES + 1));
    hot_close(h);
    hot_close(NULL);
}

/* Ten times what the ring holds: each that is found is its own, and those of before are gone. */
static void test_written_over(void **state)
{
    enum { COUNT = 30000, BYTES = 2900 };
    struct hot *h = hot_open();
    unsigned    left = 0, early = 0;

    (void)state;
    for (unsigned n = 0; n < COUNT; n++)
        offer(h, 16, 1, n, 0, BYTES - n % 700); /* some win the lottery */
    for (unsigned n = 0; n < COUNT; n++) {
        const bool is_there = has(h, 1, n, 0, BYTES - n % 700);

        left += is_there;
        early += is_there && n < 2000;
    }
    assert_true(left > 500);
    assert_true(left < HOT_BYTES / (BYTES - 700));
    assert_int_equal(early, 0);
    hot_close(h);
}

/* -- by the store -- */

enum { FILL = 1400, FILL_BYTES = 16000, KEYS = 24, STEPS = 3000 };

static bool any(const struct store_record *r, void *context)
{
    (void)context;
    return r->status == 200;
}

/* What a reader without copies finds. */
static void compare(struct fixture *f, unsigned n)
{
    struct store_reader *fresh = store_reader_open(f->store);
    struct arena         a = { 0 };
    struct store_record  got = { 0 }, want = { 0 };
    uint8_t              hash[STORE_HASH_BYTES];
    enum store_result    result, wanted;

    make_hash(hash, "key", n);
    wanted = store_lookup(fresh, hash, make_full_key(&a, n), any, NULL, &want);
    result = store_lookup(f->reader, hash, make_full_key(&a, n), any, NULL, &got);
    assert_int_equal(result, wanted);
    if (wanted == STORE_HIT) {
        assert_int_equal(got.id, want.id);
        assert_int_equal(got.invalidated, want.invalidated);
        assert_int_equal(got.received_wall_ns, want.received_wall_ns);
        assert_int_equal(got.body_bytes, want.body_bytes);
        assert_int_equal(got.set_back_ns, want.set_back_ns);
        assert_memory_equal(got.variant, want.variant, sizeof got.variant);
        assert_true(slice_eq(got.encoded_fields, want.encoded_fields) && slice_eq(got.selection, want.selection) &&
                    slice_eq(got.upstream, want.upstream) && slice_eq(got.body, want.body));
    }
    store_reader_end(f->reader);
    store_reader_close(fresh);
    arena_free(&a);
}

static bool change(struct fixture *f, unsigned n, unsigned random)
{
    struct arena        a = { 0 };
    struct spool       *body = make_body(-1, random, 200 + random % 700);
    struct store_change c = make_put(&a, n, random % 7 == 0, body);
    struct store_record r;
    bool                ok;

    switch (random % 16) {
    case 0:
        c.kind = STORE_DROP;
        break;
    case 1:
        c.kind = STORE_INVALIDATE;
        break;
    case 2:
        if (look_up(f->reader, n, &r) == STORE_HIT) {
            c.kind = STORE_FRESHEN;
            c.id = r.id;
            memcpy(c.variant, r.variant, sizeof c.variant);
        }
        store_reader_end(f->reader);
        break;
    case 3:
        c.kind = STORE_DROP_TAG;
        break;
    case 4:
        store_clock_set_back(f->store, 1000000);
        break;
    default:
        break;
    }
    ok = do_change(f->store, &c);
    spool_release(body);
    arena_free(&a);
    return ok;
}

static void test_look_ups_are_the_databases(void **state)
{
    struct fixture *f = *state;
    unsigned        random = 1, copies = 0;

    assert_true(put_records(f->store, 5000, 5000 + FILL, FILL_BYTES));
    assert_true(store_status(f->store).bytes >= HOT_DATABASE_BYTES);
    assert_true(put_records(f->store, 0, KEYS, 300));
    for (unsigned step = 0; step < STEPS; step++) {
        struct slice key, value;
        unsigned     n;
        uint8_t      hash[STORE_HASH_BYTES];

        random = random * 1664525 + 1013904223;
        n = (random >> 16) % KEYS;
        if (random % 29 == 0)
            assert_true(change(f, (random >> 8) % KEYS, random >> 20));
        compare(f, n);
        make_hash(hash, "key", n);
        copies += f->reader->hot != NULL && hot_find(f->reader->hot, hash, f->store->snapshot, &key, &value);
    }
    assert_true(copies > STEPS / 4); /* it was they that were compared */
}

static void test_huge_pages_are_for_large_databases(void **state)
{
    struct fixture *f = *state;

    assert_true(put_records(f->store, 0, 10, 300));
    for (unsigned i = 0; i < 100; i++)
        assert_true(is_hit(f, i % 10));
    assert_false(hot_is_large(f->reader->hot));
    assert_true(put_records(f->store, 5000, 5000 + FILL, FILL_BYTES));
    assert_true(is_hit(f, 1));
    assert_true(hot_is_large(f->reader->hot));
}

static void test_another_key_with_the_hash_of_a_copy_is_a_miss(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_record r;
    uint8_t             hash[STORE_HASH_BYTES];

    assert_true(put_records(f->store, 5000, 5000 + FILL, FILL_BYTES));
    assert_true(put_records(f->store, 0, 10, 300));
    for (unsigned i = 0; i < 5; i++)
        assert_true(is_hit(f, 3));
    make_hash(hash, "key", 3);
    assert_int_equal(store_lookup(f->reader, hash, make_full_key(&a, 4), NULL, NULL, &r), STORE_MISS);
    assert_true(has_record(f->store, f->reader, 3, 0, 300));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_are_believed),
        cmocka_unit_test(test_written_over),
        cmocka_unit_test_setup_teardown(test_look_ups_are_the_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_huge_pages_are_for_large_databases, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_key_with_the_hash_of_a_copy_is_a_miss, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
