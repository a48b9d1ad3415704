/*
 * The store from outside: what was put is found, also after a restart; what
 * was changed is changed; what was dropped is gone.
 */
#include "store/store.h"

#include "base/clock.h"
#include "store_support.h"

#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MIB = 1024 * 1024 };

/* -- storing and finding -- */

static void test_bodies_survive_a_restart(void **state)
{
    static const struct {
        const char *name;
        int64_t     bytes;
    } rows[] = {
        { "empty", 0 },
        { "one_byte", 1 },
        { "one_less_than_inline", STORE_INLINE_BYTES - 1 },
        { "inline_exactly", STORE_INLINE_BYTES },
        { "smallest_file", STORE_INLINE_BYTES + 1 },
        { "all_of_a_spools_memory", SPOOL_MEMORY_BYTES },
        { "linked_file", SPOOL_MEMORY_BYTES + 1 },
        { "200_MiB", INT64_C(200) * MIB },
    };
    enum { ROWS = sizeof rows / sizeof rows[0] };
    struct fixture *f = *state;

    for (unsigned i = 0; i < ROWS; i++) {
        if (!put_record(f->store, i, 0, rows[i].bytes))
            fail_msg("%s: not stored", rows[i].name);
        if (rows[i].bytes < MIB && !has_record(f->store, f->reader, i, 0, rows[i].bytes))
            fail_msg("%s: not found", rows[i].name);
    }
    fixture_reopen(f);
    for (unsigned i = 0; i < ROWS; i++)
        if (!has_record(f->store, f->reader, i, 0, rows[i].bytes))
            fail_msg("%s: not found after the restart", rows[i].name);
    assert_int_equal(look_up(f->reader, 99, &(struct store_record){ 0 }), STORE_MISS);
}

static void test_no_body_is_an_empty_one(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, 1, 0, NULL);
    struct store_record r;

    assert_true(do_change(f->store, &c));
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.body_bytes, 0);
    assert_non_null(r.body.ptr);
    store_reader_end(f->reader);
    store_reader_end(f->reader); /* harmless */
    arena_free(&a);
}

/* 10,000 changes at once: they share commits, come back each, and are all there after a restart. */
static void test_ten_thousand_keys(void **state)
{
    enum { KEYS = 10000 };
    struct fixture      *f = *state;
    struct arena         a = { 0 };
    struct spool        *body = make_body(-1, 7, 300);
    struct store_change *changes = calloc(KEYS, sizeof *changes);

    for (unsigned i = 0; i < KEYS; i++)
        changes[i] = make_put(&a, i, 0, body);
    assert_true(do_changes(f->store, changes, KEYS));
    assert_int_equal(store_status(f->store).records, KEYS);
    fixture_reopen(f);
    for (unsigned i = 0; i < KEYS; i++) {
        struct store_record r;

        if (look_up(f->reader, i, &r) != STORE_HIT || r.body.len != 300 || r.id != changes[i].new_id)
            fail_msg("key %u", i);
    }
    store_reader_end(f->reader);
    free(changes);
    spool_release(body);
    arena_free(&a);
}

static void test_another_key_with_the_same_hash_is_a_miss(void **state)
{
    struct fixture     *f = *state;
    struct store_record r;
    uint8_t             hash[STORE_HASH_BYTES];

    assert_true(put_record(f->store, 1, 0, 10));
    make_hash(hash, "key", 1);
    assert_int_equal(store_lookup(f->reader, hash, SLICE("GET https://api.example/v1/things?id=2"), NULL, NULL, &r),
                     STORE_MISS);
}

static bool take_none(const struct store_record *r, void *context)
{
    (void)r;
    ++*(unsigned *)context;
    return false;
}

static void test_variants(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    uint8_t             hash[STORE_HASH_BYTES];
    struct store_record r;
    unsigned            asked = 0;

    make_hash(hash, "key", 1);
    for (unsigned v = 0; v < 3; v++)
        assert_true(put_record(f->store, 1, v, 10 + (int64_t)v));
    for (unsigned v = 0; v < 3; v++)
        assert_true(has_record(f->store, f->reader, 1, v, 10 + v));
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.body_bytes, 12); /* the newest of those that would do */
    assert_int_equal(store_lookup(f->reader, hash, make_full_key(&a, 1), take_none, &asked, &r), STORE_OTHER_VARIANT);
    assert_int_equal(asked, 3);
    assert_true(put_record(f->store, 1, 1, 70000)); /* replaced, with a file */
    assert_true(has_record(f->store, f->reader, 1, 1, 70000));
    assert_true(put_record(f->store, 1, 1, 5)); /* and the file is gone again */
    assert_true(has_record(f->store, f->reader, 1, 1, 5));
    assert_int_equal(store_status(f->store).records, 3);
    assert_int_equal(store_status(f->store).body_files, 0);
    arena_free(&a);
}

static void test_the_oldest_of_65_variants_goes(void **state)
{
    struct fixture *f = *state;

    assert_true(put_variants(f->store, 1, 1, 64, 1));
    assert_true(put_record(f->store, 1, 0, 1)); /* the oldest comes last */
    assert_int_equal(store_status(f->store).records, 64);
    assert_true(put_record(f->store, 1, 100, 1));
    assert_int_equal(store_status(f->store).records, 64);
    assert_false(has_record(f->store, f->reader, 1, 0, 1));
    assert_true(has_record(f->store, f->reader, 1, 1, 1));
    assert_true(has_record(f->store, f->reader, 1, 100, 1));
}

static bool put_received(struct fixture *f, unsigned v, int64_t received_wall_ns)
{
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, 1, v, NULL);
    bool                ok;

    c.received_wall_ns = received_wall_ns;
    ok = do_changes(f->store, &c, 1);
    arena_free(&a);
    return ok;
}

/* What was received before the clock was set back is no newer than what was stored since. */
static void test_a_clock_set_back_prefers_no_old_variant(void **state)
{
    const int64_t       now_ns = clock_wall_ns(), ahead_ns = now_ns + 3600 * NS_PER_SEC;
    struct fixture     *f = *state;
    struct store_record r;

    assert_true(put_received(f, 1, ahead_ns) && put_received(f, 2, now_ns));
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.received_wall_ns, now_ns);
    store_reader_end(f->reader);
    for (unsigned v = 3; v < 66; v++)
        assert_true(put_received(f, v, now_ns + v));
    assert_int_equal(store_status(f->store).records, 64);
    assert_false(has_record(f->store, f->reader, 1, 1, 0)); /* of all 65 the one from the future went */
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.received_wall_ns, now_ns + 65);
    store_reader_end(f->reader);
}

/* -- changes -- */

static void test_freshen(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_record r;
    struct store_change c = make_put(&a, 1, 0, NULL);
    struct http_fields  fields;
    uint64_t            first_id;

    assert_true(put_record(f->store, 1, 0, 1000));
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    first_id = r.id;
    store_reader_end(f->reader);

    c.kind = STORE_FRESHEN;
    c.id = first_id;
    c.received_wall_ns = 999999;
    http_fields_add(&c.fields, &a, SLICE("ETag"), SLICE("\"new\""));
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 1);
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.received_wall_ns, 999999);
    assert_int_equal(r.id, c.new_id);
    assert_int_not_equal(r.id, first_id);
    assert_int_equal(r.body.len, 1000);
    for (int i = 0; i < 1000; i++)
        assert_int_equal((unsigned char)r.body.ptr[i], body_byte(1, i));
    fields = store_record_fields(&r, &a);
    assert_true(slice_eq(http_fields_get(&fields, HTTP_ETAG), SLICE("\"new\"")));
    store_reader_end(f->reader);

    c.received_wall_ns = 5; /* it is another version by now */
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 0);
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(r.received_wall_ns, 999999);
    store_reader_end(f->reader);
    arena_free(&a);
}

static void test_invalidated_is_kept_until_freshened(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_record r;
    struct store_change c = make_put(&a, 1, 0, NULL);

    assert_true(put_record(f->store, 1, 0, 100));
    assert_true(put_record(f->store, 1, 1, 100000));
    assert_true(put_record(f->store, 2, 0, 100));
    c.kind = STORE_INVALIDATE;
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 2);
    assert_true(has_record(f->store, f->reader, 1, 0, 100));
    assert_true(has_record(f->store, f->reader, 1, 1, 100000)); /* its body file too */
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_true(r.invalidated);
    assert_int_equal(look_up(f->reader, 2, &r), STORE_HIT);
    assert_false(r.invalidated);

    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    c = make_put(&a, 1, 1, NULL);
    c.kind = STORE_FRESHEN;
    c.id = r.id;
    store_reader_end(f->reader);
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 1);
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_false(r.invalidated);
    assert_true(has_record(f->store, f->reader, 1, 1, 100000));
    arena_free(&a);
}

static bool ends_with_7(struct slice full_key, void *context)
{
    (void)context;
    return slice_ends_with(full_key, SLICE("7"));
}

static bool is_in_first_hundred(unsigned n)
{
    return n < 100;
}
static bool is_17(unsigned n)
{
    return n == 17;
}
static bool ends_in_7(unsigned n)
{
    return n % 10 == 7;
}
static bool is_any(unsigned n)
{
    return n < 300;
}
static bool is_20(unsigned n)
{
    return n == 20;
}

static void test_drops(void **state)
{
    static const struct {
        const char            *name;
        enum store_change_kind kind;
        unsigned               of; /* hash and tag are those of this record */
        bool (*gone)(unsigned n);
        uint64_t changed, files_left;
    } rows[] = {
        { "drop_one", STORE_DROP, 17, is_17, 1, 30 },
        { "drop_one_with_a_file", STORE_DROP, 20, is_20, 1, 29 },
        { "drop_tag", STORE_DROP_TAG, 50, is_in_first_hundred, 100, 20 },
        { "drop_matching", STORE_DROP_MATCHING, 0, ends_in_7, 30, 30 },
        { "flush", STORE_FLUSH, 0, is_any, 300, 0 },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena        a = { 0 };
        struct store_change c = make_put(&a, rows[i].of, 0, NULL);

        put_300(f);
        c.kind = rows[i].kind;
        c.matches = ends_with_7;
        if (!do_change(f->store, &c) || c.changed != rows[i].changed)
            fail_msg("%s: changed %llu", rows[i].name, (unsigned long long)c.changed);
        for (unsigned n = 0; n < 300; n++)
            if (is_hit(f, n) == rows[i].gone(n))
                fail_msg("%s: record %u", rows[i].name, n);
        if (store_status(f->store).body_files != rows[i].files_left ||
            store_status(f->store).records != 300 - rows[i].changed)
            fail_msg("%s: status", rows[i].name);
        /* a flush leaves them to the sweep */
        if (rows[i].kind != STORE_FLUSH && files_in_bodies(f) != rows[i].files_left)
            fail_msg("%s: files", rows[i].name);
        if (!do_change(f->store, &c) || c.changed != 0)
            fail_msg("%s: dropped something twice", rows[i].name);
        arena_free(&a);
    }
}

/* More records than a transaction drops at once: it goes on in steps. */
static void test_a_tag_with_many_records(void **state)
{
    enum { RECORDS = 3000 };
    struct fixture      *f = *state;
    struct arena         a = { 0 };
    struct store_change *changes = calloc(RECORDS, sizeof *changes), c;

    for (unsigned n = 0; n < RECORDS; n++) {
        changes[n] = make_put(&a, n, 0, NULL);
        make_hash(changes[n].tag, "tag", 0);
    }
    assert_true(do_changes(f->store, changes, RECORDS));
    c = make_put(&a, 0, 0, NULL);
    c.kind = STORE_DROP_TAG;
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, RECORDS);
    assert_int_equal(store_status(f->store).records, 0);
    free(changes);
    arena_free(&a);
}

/* What a pending change says holds in the order of submission: a flush leaves what was put after it. */
static void test_order_is_kept(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_change changes[5];

    changes[0] = make_put(&a, 1, 0, NULL);
    changes[1] = make_put(&a, 2, 0, NULL);
    changes[1].kind = STORE_FLUSH;
    changes[2] = make_put(&a, 3, 0, NULL);
    changes[3] = make_put(&a, 3, 0, NULL);
    changes[3].kind = STORE_DROP;
    changes[4] = make_put(&a, 4, 0, NULL);
    assert_true(do_changes(f->store, changes, 5));
    assert_false(is_hit(f, 1));
    assert_false(is_hit(f, 3));
    assert_true(is_hit(f, 4));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bodies_survive_a_restart, setup, teardown),
        cmocka_unit_test_setup_teardown(test_no_body_is_an_empty_one, setup, teardown),
        cmocka_unit_test_setup_teardown(test_ten_thousand_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(test_another_key_with_the_same_hash_is_a_miss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_variants, setup, teardown),
        cmocka_unit_test_setup_teardown(test_the_oldest_of_65_variants_goes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_clock_set_back_prefers_no_old_variant, setup, teardown),
        cmocka_unit_test_setup_teardown(test_freshen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalidated_is_kept_until_freshened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_tag_with_many_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_is_kept, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
