/*
 * Labels of stored responses: what is dropped by one, and that the table of labels says no more than the records do.
 */
#include "store_support.h"

#include "db/db.h"
#include "store/record.h"
#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <unistd.h>

#define MIB (UINT64_C(1024) * 1024)

/* Name and scope of a label are a letter each. */
static void put_label(char *to, char name, char scope)
{
    memset(to, name, STORE_LABEL_NAME_BYTES);
    memset(to + STORE_LABEL_NAME_BYTES, scope, STORE_LABEL_BYTES - STORE_LABEL_NAME_BYTES);
}

/* "aXbY": two of them. */
static struct slice make_labels(struct arena *a, const char *text)
{
    const size_t count = strlen(text) / 2;
    char        *labels = arena_alloc(a, count * STORE_LABEL_BYTES + 1);

    for (size_t i = 0; i < count; i++)
        put_label(labels + i * STORE_LABEL_BYTES, text[2 * i], text[2 * i + 1]);
    return (struct slice){ labels, count * STORE_LABEL_BYTES };
}

static struct store_change put_labelled(struct fixture *f, struct arena *a, unsigned n, const char *labels,
                                        const char *upstream)
{
    struct store_change c = make_put(a, n, 0, NULL);

    c.labels = make_labels(a, labels);
    c.upstream = upstream;
    assert_true(do_change(f->store, &c));
    return c;
}

static uint64_t drop(struct fixture *f, const char *label, size_t bytes, const char *upstream)
{
    struct store_change c = { .kind = STORE_DROP_LABEL, .label_bytes = bytes, .upstream = upstream };

    put_label((char *)c.label, label[0], bytes == STORE_LABEL_BYTES ? label[1] : 0);
    assert_true(do_change(f->store, &c));
    return c.changed;
}

/* Entries of the table, looked at with the store closed. */
static uint64_t entries(struct fixture *f)
{
    struct db     *db;
    struct db_txn *txn;
    db_table       table;
    struct fault   why;
    uint64_t       count = 0;

    fixture_close(f);
    assert_int_equal(db_open(f->directory, 64 * MIB, 5, 8, DB_LAZY_SYNC, &db, &why), DB_OPENED);
    assert_int_equal(db_begin(db, false, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "labels", 0, &table), DB_OK);
    assert_int_equal(db_table_count(txn, table, &count), DB_OK);
    db_abort(txn);
    db_close(db);
    fixture_open(f);
    return count;
}

static void what_bears_it_is_dropped(void **state)
{
    static const struct {
        const char *name, *label;
        size_t      bytes;
        const char *upstream;
        const char *left; /* of four: 0 "aX" and 1 "aXbX" of one, 2 "aYbX" of two, 3 none */
        uint64_t    entries;
    } rows[] = {
        { "a_whole_one_of_its_scope", "aX", STORE_LABEL_BYTES, NULL, "23", 2 },
        { "a_whole_one_of_another_scope", "aY", STORE_LABEL_BYTES, NULL, "013", 3 },
        { "a_name_of_all_scopes", "a", STORE_LABEL_NAME_BYTES, NULL, "3", 0 },
        { "a_name_of_one_upstream", "a", STORE_LABEL_NAME_BYTES, "two", "013", 3 },
        { "a_name_of_an_upstream_that_has_none", "a", STORE_LABEL_NAME_BYTES, "three", "0123", 5 },
        { "another_label_of_what_has_two", "bX", STORE_LABEL_BYTES, NULL, "03", 1 },
        { "what_nobody_bears", "cX", STORE_LABEL_BYTES, NULL, "0123", 5 },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena        a = { 0 };
        struct store_change flush = { .kind = STORE_FLUSH };

        assert_true(do_change(f->store, &flush));
        put_labelled(f, &a, 0, "aX", "one");
        put_labelled(f, &a, 1, "aXbX", "one");
        put_labelled(f, &a, 2, "aYbX", "two");
        put_labelled(f, &a, 3, "", "two");
        if (drop(f, rows[i].label, rows[i].bytes, rows[i].upstream) != 4 - strlen(rows[i].left))
            fail_msg("%s: count", rows[i].name);
        for (unsigned n = 0; n < 4; n++)
            if (is_hit(f, n) != (strchr(rows[i].left, '0' + (int)n) != NULL))
                fail_msg("%s: record %u", rows[i].name, n);
        if (entries(f) != rows[i].entries)
            fail_msg("%s: entries", rows[i].name);
        arena_free(&a);
    }
}

static void freshen(struct fixture *f, struct arena *a, const struct store_change *put, const char *labels)
{
    struct store_change c = *put;

    c.kind = STORE_FRESHEN;
    c.id = put->new_id;
    c.labels = make_labels(a, labels);
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 1);
}

static void invalidate(struct fixture *f, const struct store_change *put)
{
    struct store_change c = *put;

    c.kind = STORE_INVALIDATE;
    assert_true(do_change(f->store, &c));
    assert_int_equal(c.changed, 1);
}

static void labels_go_with_what_bore_them(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_change c = put_labelled(f, &a, 0, "aXbX", "one");

    assert_int_equal(entries(f), 2);
    c = put_labelled(f, &a, 0, "bXcXdX", "one"); /* another set takes its place */
    assert_int_equal(entries(f), 3);
    assert_int_equal(drop(f, "aX", STORE_LABEL_BYTES, NULL), 0);
    assert_true(is_hit(f, 0));
    freshen(f, &a, &c, "cXeX"); /* a 304 that says others */
    assert_int_equal(entries(f), 2);
    assert_int_equal(drop(f, "bX", STORE_LABEL_BYTES, NULL), 0);
    c = put_labelled(f, &a, 0, "cXeX", "one");
    invalidate(f, &c); /* what is kept for validation has them still */
    assert_int_equal(entries(f), 2);
    assert_int_equal(drop(f, "eX", STORE_LABEL_BYTES, NULL), 1);
    assert_int_equal(entries(f), 0);
    put_labelled(f, &a, 0, "aX", "one");
    c = make_put(&a, 0, 0, NULL);
    c.kind = STORE_DROP;
    assert_true(do_change(f->store, &c));
    assert_int_equal(entries(f), 0);
    arena_free(&a);
}

/* More than a transaction drops at once, with as many labels as one may have: it goes on in steps, past those of
 * another upstream. */
static void many_go_in_steps(void **state)
{
    enum { RECORDS = 1200, LABELS = STORE_LABELS_AT_MOST };
    struct fixture      *f = *state;
    struct arena         a = { 0 };
    struct store_change *changes = calloc(RECORDS, sizeof *changes);

    for (unsigned n = 0; n < RECORDS; n++) {
        char *labels = arena_alloc(&a, LABELS * STORE_LABEL_BYTES);

        changes[n] = make_put(&a, n, 0, NULL);
        changes[n].upstream = n % 3 == 0 ? "two" : "one";
        put_label(labels, 'a', n % 3 == 0 ? 'Y' : 'X');
        for (unsigned i = 1; i < LABELS; i++)
            make_hash((uint8_t *)labels + (size_t)i * STORE_LABEL_BYTES, "label", n % 50 * LABELS + i);
        changes[n].labels = (struct slice){ labels, LABELS * STORE_LABEL_BYTES };
    }
    assert_true(do_changes(f->store, changes, RECORDS));
    assert_int_equal(store_status(f->store).records, RECORDS);
    assert_int_equal(drop(f, "a", STORE_LABEL_NAME_BYTES, "one"), RECORDS - RECORDS / 3);
    assert_int_equal(entries(f), RECORDS / 3 * LABELS);
    assert_int_equal(drop(f, "a", STORE_LABEL_NAME_BYTES, NULL), RECORDS / 3);
    assert_int_equal(store_status(f->store).records, 0);
    assert_int_equal(entries(f), 0);
    free(changes);
    arena_free(&a);
}

/* A cache that is full of what has many labels stays within its size, and loses them with what is evicted. */
static void eviction_takes_them_along(void **state)
{
    enum { RECORDS = 3000, LABELS = 40 };
    struct fixture      *f = *state;
    struct arena         a = { 0 };
    struct store_change *changes = calloc(RECORDS, sizeof *changes);
    uint64_t             records;

    store_reader_close(f->reader);
    store_close(f->store);
    f->store = open_store(f->directory, 4 * MIB);
    f->reader = store_reader_open(f->store);
    for (unsigned n = 0; n < RECORDS; n++) {
        char *labels = arena_alloc(&a, LABELS * STORE_LABEL_BYTES);

        changes[n] = make_put(&a, n, 0, NULL);
        for (unsigned i = 0; i < LABELS; i++)
            make_hash((uint8_t *)labels + (size_t)i * STORE_LABEL_BYTES, "label", n * LABELS + i);
        changes[n].labels = (struct slice){ labels, LABELS * STORE_LABEL_BYTES };
    }
    assert_true(do_changes(f->store, changes, RECORDS));
    records = store_status(f->store).records;
    assert_in_range(records, 50, RECORDS - 1);
    assert_true(store_status(f->store).bytes <= 4 * MIB);
    assert_int_equal(entries(f), records * LABELS);
    free(changes);
    arena_free(&a);
}

/* -- what other versions wrote -- */

static void put_meta(struct db_txn *txn, db_table meta, uint32_t format)
{
    assert_int_equal(db_put(txn, meta, SLICE("format"), (struct slice){ (const char *)&format, sizeof format }), DB_OK);
}

/* As before there were labels: four tables, and a record of number 1 where `with_record`. */
static void write_old(struct fixture *f, uint32_t format, bool with_record)
{
    static const char *const names[] = { "meta", "records", "tags", "files" };
    struct arena             a = { 0 };
    struct store_change      c = make_put(&a, 1, 0, NULL);
    struct record_parts      p = { .key = record_key(c.hash, c.variant),
                                   .id = 1,
                                   .status = 200,
                                   .full_key = c.full_key,
                                   .selection = c.selection,
                                   .upstream = SLICE("one"),
                                   .fields = &c.fields,
                                   .requested_wall_ns = c.requested_wall_ns,
                                   .received_wall_ns = c.received_wall_ns,
                                   .had_credential = true };
    size_t                   size = record_size(&p);
    struct db               *db;
    struct db_txn           *txn;
    db_table                 tables[4];
    struct fault             why;
    void                    *room;

    fixture_close(f);
    assert_int_equal(unlink(below(f, "data.mdb")), 0);
    assert_int_equal(db_open(f->directory, 64 * MIB, 5, 8, DB_LAZY_SYNC, &db, &why), DB_OPENED);
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(db_table_open(txn, names[i], DB_CREATE, &tables[i]), DB_OK);
    put_meta(txn, tables[0], format);
    if (with_record) {
        assert_int_equal(db_reserve(txn, tables[1], record_key_slice(&p.key), size, &room), DB_OK);
        record_begin(&p, room);
        record_seal(&p.key, room, size);
    }
    assert_int_equal(db_commit(txn), DB_OK);
    db_close(db);
    arena_free(&a);
}

static void a_cache_without_the_table_opens(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_record r;

    write_old(f, 1, true);
    fixture_open(f);
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(store_record_labels(&r).len, 0);
    store_reader_end(f->reader);
    put_labelled(f, &a, 2, "aX", "one");
    assert_int_equal(drop(f, "a", STORE_LABEL_NAME_BYTES, NULL), 1);
    assert_true(is_hit(f, 1));
    arena_free(&a);
}

static void one_of_another_format_is_not_made_ours(void **state)
{
    struct fixture      *f = *state;
    struct fault         why = { "" }, note = { "" };
    struct store_options o = { .max_bytes = 64 * MIB };
    struct store        *s;

    write_old(f, 2, false);
    o.path = f->directory;
    s = store_open(&o, &why, &note);
    assert_non_null(s);
    assert_non_null(strstr(note.text, "another format"));
    store_close(s);
    fixture_open(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(what_bears_it_is_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(labels_go_with_what_bore_them, setup, teardown),
        cmocka_unit_test_setup_teardown(many_go_in_steps, setup, teardown),
        cmocka_unit_test_setup_teardown(eviction_takes_them_along, setup, teardown),
        cmocka_unit_test_setup_teardown(a_cache_without_the_table_opens, setup, teardown),
        cmocka_unit_test_setup_teardown(one_of_another_format_is_not_made_ours, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
