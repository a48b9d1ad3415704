/*
 * Databases looked at without LMDB: every healthy one is sound, whatever was
 * done to it; every damaged one is either found or does LMDB no harm; and
 * what can be read of it is.
 */
#include "db/db.h"
#include "db/pages.h"

#include "property.h"
#include "tempdir.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { TABLES = 3, KEYS = 3000 };
#define MAP (UINT64_C(64) * 1024 * 1024)

struct base {
    char      *directory, path[512];
    struct db *db;
    db_table   tables[TABLES];
};

static void open_base(struct base *b)
{
    struct fault   why;
    struct db_txn *txn;

    if (db_open(b->directory, MAP, TABLES, 4, DB_NO_SYNC, &b->db, &why) != DB_OPENED)
        fail_msg("%s", why.text);
    assert_int_equal(db_begin(b->db, true, &txn), DB_OK);
    for (int i = 0; i < TABLES; i++) {
        char name[8];

        snprintf(name, sizeof name, "t%d", i);
        assert_int_equal(db_table_open(txn, name, DB_CREATE, &b->tables[i]), DB_OK);
    }
    assert_int_equal(db_commit(txn), DB_OK);
}

static int setup(void **state)
{
    struct base *b = calloc(1, sizeof *b);

    b->directory = tempdir_make();
    snprintf(b->path, sizeof b->path, "%s/data.mdb", b->directory);
    open_base(b);
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct base *b = *state;

    db_close(b->db);
    tempdir_remove(b->directory);
    free(b);
    return 0;
}

static void check_sound(const struct base *b, const char *after)
{
    struct fault why = { "" };
    int          fd = open(b->path, O_RDONLY | O_CLOEXEC);

    assert_true(fd >= 0);
    if (!pages_are_sound(fd, &why))
        fail_msg("after %s: %s", after, why.text);
    close(fd);
}

static const size_t sizes[] = { 0, 1, 10, 100, 500, 1000, 1900, 2100, 3900, 4080, 4081, 5000, 16000, 70000 };

/* One change: rows of all sizes come, are replaced by other sizes, go. */
static void change(struct base *b, struct db_txn *txn, struct property *p)
{
    static char    value[70000];
    const db_table table = b->tables[property_below(p, TABLES)];
    char           key[300];
    const size_t   number = property_below(p, KEYS), bytes = sizes[property_below(p, sizeof sizes / sizeof sizes[0])];
    const int      key_bytes = snprintf(key, sizeof key, "%0*zu", (int)(8 + number % 5 * 60), number * 7919 % KEYS);
    enum db_result r;

    memset(value, (int)number, bytes);
    if (property_below(p, 5) < 2)
        r = db_delete(txn, table, (struct slice){ key, (size_t)key_bytes });
    else
        r = db_put(txn, table, (struct slice){ key, (size_t)key_bytes }, (struct slice){ value, bytes });
    assert_true(r == DB_OK || r == DB_NOT_FOUND);
}

static void commit_some(struct base *b, struct property *p, size_t most)
{
    struct db_txn *txn;

    assert_int_equal(db_begin(b->db, true, &txn), DB_OK);
    if (property_below(p, 60) == 0)
        assert_int_equal(db_clear(txn, b->tables[property_below(p, TABLES)]), DB_OK);
    for (size_t n = property_below(p, most) + 1; n > 0; n--)
        change(b, txn, p);
    assert_int_equal(db_commit(txn), DB_OK);
}

static void test_what_lmdb_wrote_is_sound(void **state)
{
    struct base    *b = *state;
    struct property p = { 27 };
    uint64_t        bytes;

    check_sound(b, "the first commit");
    for (int i = 0; i < 400; i++) {
        struct db_txn *reader = NULL;
        char           after[32];

        if (property_below(&p, 4) == 0) /* keeps pages from being used again */
            assert_int_equal(db_begin(b->db, false, &reader), DB_OK);
        commit_some(b, &p, i % 40 == 0 ? 2000 : 60);
        db_abort(reader);
        if (property_below(&p, 50) == 0)
            assert_int_equal(db_give_back(b->db, &bytes), DB_OK);
        if (property_below(&p, 50) == 0) {
            db_close(b->db);
            open_base(b);
        }
        snprintf(after, sizeof after, "commit %d", i);
        check_sound(b, after);
    }
}

static void test_an_empty_file_is_sound(void **state)
{
    char         path[] = "/tmp/weir-test-pages-XXXXXX";
    struct fault why;
    int          fd = mkstemp(path);

    (void)state;
    assert_true(pages_are_sound(fd, &why));
    assert_int_equal(write(fd, "x", 1), 1);
    assert_false(pages_are_sound(fd, &why));
    close(fd);
    unlink(path);
}

/* -- damage -- */

static void copy_file(const char *from, const char *to)
{
    char command[1200];

    snprintf(command, sizeof command, "cp --sparse=always '%s' '%s'", from, to);
    assert_int_equal(system(command), 0);
}

static size_t used_bytes(int fd)
{
    return (size_t)pages_bytes_in_use(fd);
}

/* As disks do it: a bit, some bytes, a whole page of another page's content, zeros, noise, a file cut off. */
static void damage(int fd, size_t used, struct property *p)
{
    const size_t page = property_below(p, used / 4096) * 4096;
    char         bytes[4096];

    switch (property_below(p, 6)) {
    case 0:
        assert_int_equal(pread(fd, bytes, 1, (off_t)(page + property_below(p, 64))), 1);
        bytes[0] = (char)(bytes[0] ^ 1 << property_below(p, 8));
        assert_int_equal(pwrite(fd, bytes, 1, (off_t)(page + property_below(p, 64))), 1);
        break;
    case 1:
        for (int i = 0; i < 16; i++) {
            bytes[0] = (char)property_next(p);
            assert_int_equal(pwrite(fd, bytes, 1, (off_t)(page + property_below(p, 4096))), 1);
        }
        break;
    case 2:
        assert_int_equal(pread(fd, bytes, 4096, (off_t)(property_below(p, used / 4096) * 4096)), 4096);
        assert_int_equal(pwrite(fd, bytes, 4096, (off_t)page), 4096);
        break;
    case 3:
        memset(bytes, 0, sizeof bytes);
        assert_int_equal(pwrite(fd, bytes, 4096, (off_t)page), 4096);
        break;
    case 4:
        for (int i = 0; i < 4096; i++)
            bytes[i] = (char)property_next(p);
        assert_int_equal(pwrite(fd, bytes, 4096, (off_t)page), 4096);
        break;
    default:
        assert_int_equal(ftruncate(fd, (off_t)(page + property_below(p, 4096))), 0);
        break;
    }
}

/* Reads all of it and writes a lot, as a daemon would; a damage that was not found is met here. */
static int use(struct base *b, uint64_t seed)
{
    struct property p = { seed };
    struct fault    why;

    if (db_open(b->directory, MAP, TABLES, 4, DB_NO_SYNC, &b->db, &why) != DB_OPENED)
        return 1;
    for (int i = 0; i < TABLES; i++) {
        struct db_txn    *txn;
        struct db_cursor *cursor;
        struct slice      key = SLICE_NONE, value;
        char              name[8];
        uint64_t          sum = 0;

        snprintf(name, sizeof name, "t%d", i);
        if (db_begin(b->db, true, &txn) != DB_OK)
            return 0;
        if (db_table_open(txn, name, DB_CREATE, &b->tables[i]) != DB_OK)
            return 0;
        if (db_cursor_open(txn, b->tables[i], &cursor) != DB_OK)
            return 0;
        while (db_cursor_move(cursor, DB_NEXT, &key, &value) == DB_OK)
            for (size_t k = 0; k < value.len; k++)
                sum += (unsigned char)value.ptr[k];
        db_cursor_close(cursor);
        if (db_commit(txn) != DB_OK || sum == 1)
            return 0;
    }
    for (int i = 0; i < 20; i++) {
        struct db_txn *txn;

        if (db_begin(b->db, true, &txn) != DB_OK)
            return 0;
        for (int k = 0; k < 40; k++)
            change(b, txn, &p);
        if (db_commit(txn) != DB_OK)
            return 0;
    }
    db_close(b->db);
    return 0;
}

/* 0: it was used; 1: it was refused as damaged; else what it died of. */
static int use_in_a_child(struct base *b, uint64_t seed)
{
    int   status;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        int nowhere = open("/dev/null", O_WRONLY);

        dup2(nowhere, STDERR_FILENO);
        _exit(use(b, seed));
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void test_a_damaged_one_is_found_or_does_no_harm(void **state)
{
    struct base    *b = *state;
    struct property p = { 4242 };
    unsigned        found = 0, used = 0;
    char            whole[600];

    for (int i = 0; i < 40; i++)
        commit_some(b, &p, 100);
    db_close(b->db);
    b->db = NULL;
    snprintf(whole, sizeof whole, "%s/whole", b->directory);
    copy_file(b->path, whole);
    for (int i = 0; i < 300; i++) {
        int fd, result;

        copy_file(whole, b->path);
        fd = open(b->path, O_RDWR | O_CLOEXEC);
        for (size_t n = property_below(&p, 3) + 1; n > 0; n--)
            if (used_bytes(fd) > 8192)
                damage(fd, used_bytes(fd), &p);
        close(fd);
        result = use_in_a_child(b, (uint64_t)i + 1);
        if (result > 1)
            fail_msg("damage %d: died of %d", i, result - 1000);
        found += result == 1;
        used += result == 0;
    }
    print_message("%u found, %u harmless\n", found, used);
    assert_true(found > 100 && used > 10); /* what stands in free pages and values is no damage here */
}

/* -- salvaging -- */

static void count_row(void *context, struct slice key, struct slice value)
{
    unsigned *counts = context;
    unsigned  number = 0;

    for (size_t i = 0; i < key.len; i++)
        number = number * 10 + (unsigned)(key.ptr[i] - '0');
    for (size_t i = 0; i < value.len; i++)
        assert_int_equal((unsigned char)value.ptr[i], number & 0xff);
    assert_true(number < 1000);
    counts[number]++;
}

static void test_what_can_be_read_is_salvaged(void **state)
{
    struct base   *b = *state;
    unsigned       counts[1000] = { 0 }, got = 0;
    struct db_txn *txn;
    int            fd;
    static char    value[6000];

    assert_int_equal(db_begin(b->db, true, &txn), DB_OK);
    for (unsigned i = 0; i < 1000; i++) {
        char key[16];

        snprintf(key, sizeof key, "%06u", i);
        memset(value, (int)i, i % 50 == 0 ? 6000 : 100);
        assert_int_equal(db_put(txn, b->tables[1], slice_of(key), (struct slice){ value, i % 50 == 0 ? 6000 : 100 }),
                         DB_OK);
        assert_int_equal(db_put(txn, b->tables[2], slice_of(key), SLICE("other")), DB_OK);
    }
    assert_int_equal(db_commit(txn), DB_OK);
    db_close(b->db);
    b->db = NULL;

    db_salvage(b->directory, "data.mdb", "t1", count_row, counts);
    for (unsigned i = 0; i < 1000; i++)
        assert_int_equal(counts[i], 1);

    /* One leaf of the table is noise: its rows are lost, and only they. */
    fd = open(b->path, O_RDWR | O_CLOEXEC);
    for (off_t at = 8192; at < (off_t)used_bytes(fd); at += 4096) {
        unsigned char page[4096];

        assert_int_equal(pread(fd, page, sizeof page, at), (ssize_t)sizeof page);
        if (page[10] == 2 && memmem(page, sizeof page, "000500", 6) != NULL &&
            memmem(page, sizeof page, "other", 5) == NULL)
            assert_int_equal(pwrite(fd, value, 4096, at), 4096);
    }
    close(fd);
    memset(counts, 0, sizeof counts);
    db_salvage(b->directory, "data.mdb", "t1", count_row, counts);
    for (unsigned i = 0; i < 1000; i++)
        got += counts[i];
    assert_int_equal(counts[500], 0);
    assert_true(got > 900 && got < 1000);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_lmdb_wrote_is_sound, setup, teardown),
        cmocka_unit_test(test_an_empty_file_is_sound),
        cmocka_unit_test_setup_teardown(test_a_damaged_one_is_found_or_does_no_harm, setup, teardown),
        cmocka_unit_test_setup_teardown(test_what_can_be_read_is_salvaged, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
