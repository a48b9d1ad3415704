/*
 * The environment: what opens, what is held by another, what is damaged; and
 * that transactions, tables and cursors do what db.h says.
 */
#include "db/db.h"

#include "tempdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MIB = 1024 * 1024 };

static char *directory;

static int setup(void **state)
{
    (void)state;
    directory = tempdir_make();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    tempdir_remove(directory);
    return 0;
}

static const char *below(const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", directory, name);
    return path;
}

static struct db *must_open(const char *path, uint64_t map_bytes)
{
    struct db   *db = NULL;
    struct fault why = { "" };

    if (db_open(path, map_bytes, 4, 4, DB_LAZY_SYNC, &db, &why) != DB_OPENED)
        fail_msg("%s: %s", path, why.text);
    return db;
}

static void put_some(struct db *db, unsigned from, unsigned count, size_t bytes)
{
    char          *value = malloc(bytes);
    struct db_txn *txn;
    db_table       table;

    assert_non_null(value);
    memset(value, 0x55, bytes);
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "t", DB_CREATE, &table), DB_OK);
    for (unsigned i = from; i < from + count; i++)
        assert_int_equal(db_put(txn, table, (struct slice){ (const char *)&i, sizeof i },
                                (struct slice){ value, bytes }),
                         DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);
    free(value);
}

/* -- opening -- */

static void test_makes_its_directory(void **state)
{
    char       *path = strdup(below("a/b/c"));
    struct db  *db = must_open(path, MIB);
    struct stat st;

    (void)state;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0700);
    db_close(db);
    free(path);
}

static void test_held_by_another(void **state)
{
    char         expected[64];
    struct db   *db = must_open(below("held"), MIB), *second = NULL;
    struct fault why = { "" };

    (void)state;
    assert_int_equal(db_open(below("held"), MIB, 4, 4, 0, &second, &why), DB_HELD);
    assert_null(second);
    snprintf(expected, sizeof expected, "is in use by another weir (pid %ld)", (long)getpid());
    assert_non_null(strstr(why.text, expected));
    db_close(db);
    db = must_open(below("held"), MIB); /* free again when it is closed */
    db_close(db);
}

static void test_unusable_directories(void **state)
{
    static const struct {
        const char *name, *path;
    } rows[] = {
        { "below_a_file", "file/cache" },
        { "a_file_itself", "file" },
    };
    int fd = open(below("file"), O_WRONLY | O_CREAT, 0600);

    (void)state;
    close(fd);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct db   *db = NULL;
        struct fault why = { "" };

        if (db_open(below(rows[i].path), MIB, 4, 4, 0, &db, &why) != DB_UNUSABLE || db != NULL)
            fail_msg("%s: opened", rows[i].name);
        if (strstr(why.text, "file") == NULL || strchr(why.text, '\n') != NULL)
            fail_msg("%s: says \"%s\"", rows[i].name, why.text);
    }
}

/* traps.md: a truncated file opens and then kills with SIGBUS. */
static void test_damaged_files(void **state)
{
    static const struct {
        const char *name;
        off_t       length;     /* the file's new length; -1: as it is */
        off_t       garbage_at; /* -1: none */
        bool        opens;
    } rows[] = {
        { "whole", -1, -1, true },
        { "a_quarter_is_there", 256 * 1024, -1, false },
        { "only_the_meta_pages", 8192, -1, false },
        { "half_a_meta_page", 5000, -1, false },
        { "one_byte", 1, -1, false },
        { "no_database_at_all", -1, 0, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char               *path = strdup(below(rows[i].name));
        char                file[8192];
        struct db          *db = must_open(path, 64 * MIB);
        struct fault        why = { "" };
        static char         garbage[8192];
        int                 fd;
        enum db_open_result result;

        put_some(db, 0, 1000, 1000);
        db_close(db);
        snprintf(file, sizeof file, "%s/data.mdb", path);
        if (rows[i].length >= 0)
            assert_int_equal(truncate(file, rows[i].length), 0);
        memset(garbage, 'x', sizeof garbage);
        fd = open(file, O_WRONLY);
        if (rows[i].garbage_at >= 0)
            assert_int_equal(pwrite(fd, garbage, sizeof garbage, rows[i].garbage_at), sizeof garbage);
        close(fd);

        db = NULL;
        result = db_open(path, 64 * MIB, 4, 4, 0, &db, &why);
        if (result != (rows[i].opens ? DB_OPENED : DB_DAMAGED))
            fail_msg("%s: outcome %d: %s", rows[i].name, (int)result, why.text);
        db_close(db);
        if (!rows[i].opens) {
            char aside[128];

            if (strstr(why.text, path) == NULL)
                fail_msg("%s: says \"%s\"", rows[i].name, why.text);
            assert_int_equal(db_set_aside(path, aside, sizeof aside, &why), 0);
            assert_int_equal(strncmp(aside, "data.mdb.damaged-", 17), 0);
            snprintf(file, sizeof file, "%s/%s", path, aside);
            assert_int_equal(access(file, F_OK), 0); /* kept */
            db = must_open(path, 64 * MIB);          /* begun anew */
            db_close(db);
        }
        free(path);
    }
}

/* Pages that were taken and freed again within a commit are never written: that is no damage. */
static void test_healthy_after_rewriting_within_a_transaction(void **state)
{
    struct db     *db = must_open(below("rewritten"), 64 * MIB);
    char          *value = calloc(1, 300000);
    struct db_txn *txn;
    db_table       table;

    (void)state;
    for (int round = 0; round < 20; round++) {
        assert_int_equal(db_begin(db, true, &txn), DB_OK);
        assert_int_equal(db_table_open(txn, "t", DB_CREATE, &table), DB_OK);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(db_put(txn, table, SLICE("k"), (struct slice){ value, 300000 - 30000 * i }), DB_OK);
        assert_int_equal(db_commit(txn), DB_OK);
        db_close(db);
        db = must_open(below("rewritten"), 64 * MIB);
    }
    db_close(db);
    free(value);
}

/* -- transactions -- */

static void test_readers_see_what_was_committed(void **state)
{
    struct db     *db = must_open(below("readers"), MIB);
    struct db_txn *reader, *writer;
    struct slice   value;
    db_table       table;

    (void)state;
    put_some(db, 0, 1, 10);
    assert_int_equal(db_begin(db, true, &writer), DB_OK);
    assert_int_equal(db_table_open(writer, "t", 0, &table), DB_OK);
    assert_int_equal(db_commit(writer), DB_OK);

    assert_int_equal(db_begin(db, false, &reader), DB_OK);
    assert_int_equal(db_begin(db, true, &writer), DB_OK);
    assert_int_equal(db_put(writer, table, SLICE("new"), SLICE("1")), DB_OK);
    assert_int_equal(db_get(reader, table, SLICE("new"), &value), DB_NOT_FOUND);
    assert_int_equal(db_commit(writer), DB_OK);
    assert_int_equal(db_get(reader, table, SLICE("new"), &value), DB_NOT_FOUND);
    db_read_reset(reader);
    assert_int_equal(db_read_renew(reader), DB_OK);
    assert_int_equal(db_get(reader, table, SLICE("new"), &value), DB_OK);
    assert_true(slice_eq(value, SLICE("1")));

    assert_int_equal(db_begin(db, true, &writer), DB_OK);
    assert_int_equal(db_delete(writer, table, SLICE("new")), DB_OK);
    db_abort(writer);
    db_read_reset(reader);
    assert_int_equal(db_read_renew(reader), DB_OK);
    assert_int_equal(db_get(reader, table, SLICE("new"), &value), DB_OK);
    db_abort(reader);
    db_abort(NULL);
    db_close(db);
}

static void test_reserve_delete_clear_and_count(void **state)
{
    struct db     *db = must_open(below("tables"), MIB);
    struct db_txn *txn;
    struct slice   value;
    db_table       plain, tags;
    uint64_t       count;
    void          *room;

    (void)state;
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "none", 0, &plain), DB_NOT_FOUND);
    assert_int_equal(db_table_open(txn, "plain", DB_CREATE, &plain), DB_OK);
    assert_int_equal(db_table_open(txn, "tags", DB_CREATE, &tags), DB_OK);
    assert_int_equal(db_reserve(txn, plain, SLICE("k"), 5, &room), DB_OK);
    memcpy(room, "12345", 5);
    assert_int_equal(db_get(txn, plain, SLICE("k"), &value), DB_OK);
    assert_true(slice_eq(value, SLICE("12345")));
    assert_int_equal(db_delete(txn, plain, SLICE("k")), DB_OK);
    assert_int_equal(db_delete(txn, plain, SLICE("k")), DB_NOT_FOUND);

    assert_int_equal(db_put(txn, tags, SLICE("tb"), SLICE("")), DB_OK);
    assert_int_equal(db_put(txn, tags, SLICE("ta"), SLICE("")), DB_OK);
    assert_int_equal(db_put(txn, tags, SLICE("tc"), SLICE("")), DB_OK);
    assert_int_equal(db_put(txn, tags, SLICE("ua"), SLICE("")), DB_OK);
    assert_int_equal(db_delete(txn, tags, SLICE("tb")), DB_OK);
    assert_int_equal(db_table_count(txn, tags, &count), DB_OK);
    assert_int_equal(count, 3);
    assert_int_equal(db_clear(txn, tags), DB_OK);
    assert_int_equal(db_table_count(txn, tags, &count), DB_OK);
    assert_int_equal(count, 0);
    assert_int_equal(db_commit(txn), DB_OK);
    db_close(db);
}

static void test_cursors(void **state)
{
    static const char *const keys[] = { "b", "d", "f" };
    struct db               *db = must_open(below("cursors"), MIB);
    struct slice             key = SLICE_NONE, value;
    struct db_cursor        *cursor;
    struct db_txn           *txn;
    db_table                 table;

    (void)state;
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "t", DB_CREATE, &table), DB_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(db_put(txn, table, slice_of(keys[i]), SLICE("1")), DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);

    assert_int_equal(db_begin(db, false, &txn), DB_OK);
    assert_int_equal(db_cursor_open(txn, table, &cursor), DB_OK);
    assert_int_equal(db_cursor_move(cursor, DB_FIRST, &key, &value), DB_OK);
    assert_true(slice_eq(key, SLICE("b")) && slice_eq(value, SLICE("1")));
    key = SLICE("c");
    assert_int_equal(db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value), DB_OK);
    assert_true(slice_eq(key, SLICE("d")));
    assert_int_equal(db_cursor_move(cursor, DB_NEXT, &key, &value), DB_OK);
    assert_true(slice_eq(key, SLICE("f")));
    assert_int_equal(db_cursor_move(cursor, DB_NEXT, &key, &value), DB_NOT_FOUND);
    db_read_reset(txn);
    assert_int_equal(db_read_renew(txn), DB_OK);
    assert_int_equal(db_cursor_renew(cursor, txn), DB_OK);
    key = SLICE("g");
    assert_int_equal(db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value), DB_NOT_FOUND);
    db_cursor_close(cursor);
    db_cursor_close(NULL);
    db_abort(txn);

    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_cursor_open(txn, table, &cursor), DB_OK);
    key = SLICE("d");
    assert_int_equal(db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value), DB_OK);
    assert_int_equal(db_cursor_delete(cursor), DB_OK);
    db_cursor_close(cursor);
    assert_int_equal(db_get(txn, table, SLICE("d"), &value), DB_NOT_FOUND);
    assert_int_equal(db_get(txn, table, SLICE("f"), &value), DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);
    db_close(db);
}

/* -- space -- */

static void test_full_is_an_outcome_and_space_is_used_again(void **state)
{
    static char     value[100000];
    struct db      *db = must_open(below("full"), MIB);
    struct db_space before, after;
    struct db_txn  *txn;
    enum db_result  r = DB_OK;
    db_table        table;

    (void)state;
    put_some(db, 0, 100, 1000);
    assert_int_equal(db_space(db, &before), DB_OK);
    assert_int_equal(before.map_bytes, MIB);
    assert_true(before.used_bytes >= 100 * 1000 && before.used_bytes < MIB);
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "t", 0, &table), DB_OK);
    for (unsigned i = 1000; r == DB_OK && i < 1100; i++)
        r = db_put(txn, table, (struct slice){ (const char *)&i, sizeof i }, (struct slice){ value, sizeof value });
    assert_int_equal(r, DB_FULL);
    assert_true(strlen(db_reason(db)) > 0);
    db_abort(txn);
    assert_int_equal(db_space(db, &after), DB_OK);
    assert_int_equal(after.used_bytes, before.used_bytes); /* nothing of it stayed */

    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "t", 0, &table), DB_OK);
    assert_int_equal(db_clear(txn, table), DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);
    assert_int_equal(db_space(db, &after), DB_OK);
    assert_true(after.free_bytes >= 100 * 1000);
    assert_true(after.used_bytes < before.used_bytes);
    for (unsigned round = 0; round < 20; round++) /* 20 x 200 KB go through 1 MiB */
        put_some(db, 0, 200, 1000);
    db_close(db);
}

static void delete_some(struct db *db, unsigned from, unsigned count)
{
    struct db_txn *txn;
    db_table       table;

    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "t", 0, &table), DB_OK);
    for (unsigned i = from; i < from + count; i++)
        assert_int_equal(db_delete(txn, table, (struct slice){ (const char *)&i, sizeof i }), DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);
}

static uint64_t file_blocks(void)
{
    struct stat st;

    assert_int_equal(stat(below("data.mdb"), &st), 0);
    return (uint64_t)st.st_blocks * 512;
}

/* Values of 'x' and nothing else? */
static bool is_intact(struct db_txn *txn, db_table table, unsigned key)
{
    struct slice value;

    if (db_get(txn, table, (struct slice){ (const char *)&key, sizeof key }, &value) != DB_OK)
        return false;
    for (size_t i = 0; i < value.len; i++)
        if (value.ptr[i] != 0x55)
            return false;
    return value.len > 0;
}

static void test_free_pages_go_back(void **state)
{
    enum { COUNT = 200, BYTES = 20000 };
    struct db     *db = must_open(directory, 64 * MIB);
    struct db_txn *old;
    db_table       table;
    uint64_t       returned, full;

    (void)state;
    put_some(db, 0, COUNT, BYTES);
    assert_int_equal(db_begin(db, false, &old), DB_OK); /* it still needs what goes now */
    assert_int_equal(db_table_open(old, "t", 0, &table), DB_OK);
    delete_some(db, 0, COUNT - 1);
    put_some(db, 1000, 1, 10);
    put_some(db, 1001, 1, 10);
    full = file_blocks();
    assert_int_equal(db_give_back(db, &returned), DB_OK);
    for (unsigned i = 0; i < COUNT; i++)
        if (!is_intact(old, table, i))
            fail_msg("%u was taken from a reader", i);
    db_abort(old);

    assert_int_equal(db_give_back(db, &returned), DB_OK);
    assert_true(returned > (COUNT - 10) * BYTES);
    assert_true(file_blocks() + returned <= full + MIB);
    put_some(db, 2000, COUNT, BYTES); /* and all is as it was */
    db_close(db);
    db = must_open(directory, 64 * MIB);
    assert_int_equal(db_begin(db, false, &old), DB_OK);
    assert_int_equal(db_table_open(old, "t", 0, &table), DB_OK);
    for (unsigned i = 2000; i < 2000 + COUNT; i++)
        assert_true(is_intact(old, table, i));
    assert_true(is_intact(old, table, COUNT - 1));
    db_abort(old);
    db_close(db);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_makes_its_directory),
        cmocka_unit_test(test_held_by_another),
        cmocka_unit_test(test_unusable_directories),
        cmocka_unit_test(test_damaged_files),
        cmocka_unit_test(test_healthy_after_rewriting_within_a_transaction),
        cmocka_unit_test(test_readers_see_what_was_committed),
        cmocka_unit_test(test_reserve_delete_clear_and_count),
        cmocka_unit_test(test_cursors),
        cmocka_unit_test(test_full_is_an_outcome_and_space_is_used_again),
        cmocka_unit_test(test_free_pages_go_back),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
