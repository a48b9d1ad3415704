/*
 * The store where something goes wrong: damage is a miss, a disk that refuses
 * costs a record, orphans are swept, and nothing stops it.
 */
#include "store/store.h"

#include "base/clock.h"
#include "db/db.h"
#include "store_support.h"
#include "tempdir.h"

#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MIB = 1024 * 1024 };

static bool ends_with_7(struct slice full_key, void *context)
{
    (void)context;
    return slice_ends_with(full_key, SLICE("7"));
}

/* -- bodies -- */

static void test_bodies_that_may_not_be_stored(void **state)
{
    static const struct {
        const char    *name;
        int64_t        bytes;
        enum spool_end end;
        bool           pass;
    } rows[] = {
        { "cut_short", 100, SPOOL_CUT_SHORT, false },
        { "cut_short_file", 300000, SPOOL_CUT_SHORT, false },
        { "passed", 100, SPOOL_WHOLE, true },
        { "passed_file", 300000, SPOOL_WHOLE, true },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena        a = { 0 };
        struct spool       *body = spool_new(store_directory(f->store));
        struct store_change c = make_put(&a, 1, 0, body);
        char               *bytes = calloc(1, (size_t)rows[i].bytes);

        if (rows[i].pass)
            spool_set_pass(body);
        assert_int_equal(spool_write(body, bytes, (size_t)rows[i].bytes, NULL), 0);
        spool_finish(body, rows[i].end);
        if (do_change(f->store, &c) || is_hit(f, 1))
            fail_msg("%s: stored", rows[i].name);
        free(bytes);
        spool_release(body);
        arena_free(&a);
    }
    assert_int_equal(files_in_bodies(f), 0);
}

static void find_body_file(struct fixture *f, unsigned n, char path[4200])
{
    struct store_record r;

    assert_int_equal(look_up(f->reader, n, &r), STORE_HIT);
    snprintf(path, 4200, "%s/bodies/%02x/%016llx", f->directory, (unsigned)(r.body_file % 256),
             (unsigned long long)r.body_file);
    store_reader_end(f->reader);
}

static void test_a_body_file_that_is_gone_or_cut_is_a_miss(void **state)
{
    struct fixture     *f = *state;
    struct store_record r;
    char                path[4200];

    assert_true(put_record(f->store, 1, 0, 100000));
    find_body_file(f, 1, path);
    assert_int_equal(truncate(path, 99999), 0);
    assert_int_equal(look_up(f->reader, 1, &r), STORE_HIT);
    assert_int_equal(store_body_open(f->store, &r), -1);
    assert_int_equal(unlink(path), 0);
    assert_int_equal(store_body_open(f->store, &r), -1);
    store_reader_end(f->reader);
    assert_true(put_record(f->store, 1, 0, 100000)); /* fetched anew, it is whole again */
    assert_true(has_record(f->store, f->reader, 1, 0, 100000));
}

/* -- damage -- */

/* Overwrites every place of the database file where `text` stands. */
static unsigned overwrite_in_file(const char *path, const char *text)
{
    unsigned places = 0;
    size_t   length = strlen(text);
    int      fd = open(path, O_RDWR);
    off_t    size = lseek(fd, 0, SEEK_END);
    char    *bytes = malloc((size_t)size), *at;

    assert_int_equal(pread(fd, bytes, (size_t)size, 0), size);
    at = bytes;
    while ((at = memmem(at, (size_t)(bytes + size - at), text, length)) != NULL) {
        assert_int_equal(pwrite(fd, "XX", 2, at - bytes), 2);
        at += length;
        places++;
    }
    close(fd);
    free(bytes);
    return places;
}

static void test_overwritten_pages_are_a_miss_and_dropped(void **state)
{
    static const struct {
        const char *name;
        const char *where;
    } rows[] = {
        { "in_the_head", "things?id=1" },
        { "in_the_body", "body text that can be found" },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena        a = { 0 };
        struct spool       *body = spool_new(-1);
        struct store_change c = make_put(&a, 1, 0, body);

        spool_write(body, "body text that can be found", 27, NULL);
        spool_finish(body, SPOOL_WHOLE);
        assert_true(do_change(f->store, &c));
        fixture_close(f);
        if (overwrite_in_file(below(f, "data.mdb"), rows[i].where) == 0)
            fail_msg("%s: not found in the file", rows[i].name);
        fixture_open(f);
        if (is_hit(f, 1))
            fail_msg("%s: garbage was a hit", rows[i].name);
        c.kind = STORE_DROP; /* the writer is past the report now */
        assert_true(do_change(f->store, &c));
        assert_int_equal(store_status(f->store).records, 0);
        c.kind = STORE_PUT;
        assert_true(do_change(f->store, &c));
        if (!is_hit(f, 1))
            fail_msg("%s: does not come back", rows[i].name);
        spool_release(body);
        arena_free(&a);
    }
}

static void set_format(struct fixture *f, uint32_t format)
{
    struct db     *db = NULL;
    struct db_txn *txn;
    db_table       meta;

    assert_int_equal(db_open(f->directory, 64 * MIB, 4, 4, 0, &db, NULL), DB_OPENED);
    assert_int_equal(db_begin(db, true, &txn), DB_OK);
    assert_int_equal(db_table_open(txn, "meta", 0, &meta), DB_OK);
    assert_int_equal(db_put(txn, meta, SLICE("format"), (struct slice){ (const char *)&format, sizeof format }), DB_OK);
    assert_int_equal(db_commit(txn), DB_OK);
    db_close(db);
}

static void test_damaged_or_strange_databases_are_set_aside(void **state)
{
    static const struct {
        const char *name;
        off_t       length;
        const char *marker;
        uint32_t    format;
    } rows[] = {
        { "truncated", 20000, NULL, 0 },
        { "marked_by_the_last_run", -1, "damaged", 0 },
        { "of_a_newer_format", -1, NULL, 99 },
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct store_options options = { .path = f->directory, .max_bytes = 64 * MIB, .readers = 2 };
        struct fault               why = { "" }, note = { "" };

        put_300(f);
        fixture_close(f);
        if (rows[i].length >= 0)
            assert_int_equal(truncate(below(f, "data.mdb"), rows[i].length), 0);
        if (rows[i].marker != NULL)
            close(open(below(f, rows[i].marker), O_WRONLY | O_CREAT, 0600));
        if (rows[i].format != 0)
            set_format(f, rows[i].format);
        f->store = store_open(&options, &why, &note);
        if (f->store == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        f->reader = store_reader_open(f->store);
        if (strstr(note.text, "data.mdb.damaged-") == NULL || strchr(note.text, '\n') != NULL)
            fail_msg("%s: says \"%s\"", rows[i].name, note.text);
        if (access(below(f, strstr(note.text, "data.mdb.damaged-")), F_OK) == 0)
            fail_msg("%s: the note ends with more than the name", rows[i].name);
        if (is_hit(f, 1) || !put_record(f->store, 1, 0, 10) || !is_hit(f, 1))
            fail_msg("%s: the new one does not work", rows[i].name);
    }
}

static void test_one_line_where_it_cannot_open(void **state)
{
    struct fixture            *f = *state;
    char                      *file = strdup(below(f, "lock"));
    const struct store_options held = { .path = f->directory, .max_bytes = MIB, .readers = 1 };
    const struct store_options unusable = { .path = file, .max_bytes = MIB, .readers = 1 };
    struct fault               why = { "" };

    assert_null(store_open(&held, &why, NULL));
    assert_non_null(strstr(why.text, "is in use by another weir (pid "));
    assert_null(store_open(&unusable, &why, NULL));
    assert_non_null(strstr(why.text, file));
    assert_null(strchr(why.text, '\n'));
    free(file);
}

static void test_without_a_store_everything_misses(void **state)
{
    struct arena         a = { 0 };
    struct store_reader *r = store_reader_open(NULL);
    struct store_change  c = make_put(&a, 1, 0, NULL);
    struct store_record  record = { .body_file = 1 };

    (void)state;
    assert_int_equal(look_up(r, 1, &record), STORE_BROKEN);
    store_reader_end(r);
    store_touch(r, record.hash, record.variant);
    assert_int_equal(store_body_open(NULL, &record), -1);
    store_reader_close(r);
    assert_false(do_change(NULL, &c));
    assert_int_equal(store_directory(NULL), -1);
    assert_true(store_status(NULL).broken);
    store_close(NULL);
    arena_free(&a);
}

/* -- the disk -- */

/* The cache may be deleted at any time: what cannot be linked is not stored, and nothing stops. */
static void test_directory_deleted_while_running(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct spool       *body;
    struct store_change c;

    assert_true(put_record(f->store, 1, 0, 100000));
    tempdir_remove(strdup(f->directory));
    body = make_body(store_directory(f->store), 2, 100000);
    c = make_put(&a, 2, 0, body);
    assert_true(do_change(f->store, &c));
    assert_false(has_record(f->store, f->reader, 1, 0, 100000));
    assert_true(put_record(f->store, 3, 0, 100));
    assert_true(has_record(f->store, f->reader, 3, 0, 100));
    assert_true(has_record(f->store, f->reader, 2, 0, 100000));
    spool_release(body);
    arena_free(&a);
}

/* A file may not grow any more, which is what a full disk looks like from here. */
static void test_a_disk_that_refuses(void **state)
{
    struct fixture     *f = *state;
    const struct rlimit none = { 12 * MIB, RLIM_INFINITY };
    struct rlimit       before;
    unsigned            stored = 0;

    getrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_IGN);
    assert_true(put_records(f->store, 0, 50, 1000));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &none), 0);
    for (unsigned n = 100; n < 700; n += 100)
        stored += put_records(f->store, n, n + 100, 30000);
    assert_true(stored < 6);
    assert_false(store_status(f->store).broken);
    /* in pages that were freed */
    assert_true(put_record(f->store, 2000, 0, 100) || put_record(f->store, 2001, 0, 100));
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_true(put_records(f->store, 3000, 3100, 30000));
    assert_true(has_record(f->store, f->reader, 3001, 0, 30000));
    fixture_reopen(f);
    assert_true(has_record(f->store, f->reader, 3001, 0, 30000));
}

/* -- threads -- */

struct looker {
    struct fixture  *f;
    _Atomic bool    *stop;
    unsigned         wrong;
    _Atomic unsigned hits;
};

/* Whatever is seen is whole: the body is as long and as filled as its record says. */
static void *look_in_thread(void *argument)
{
    struct looker       *l = argument;
    struct store_reader *r = store_reader_open(l->f->store);
    unsigned             seed = 1;

    while (!*l->stop) {
        struct store_record record;
        unsigned            n = (seed = seed * 1103515245 + 12345) >> 16 & 63;

        if (look_up(r, n, &record) == STORE_HIT) {
            l->hits++;
            for (size_t i = 0; i < record.body.len; i++)
                if ((unsigned char)record.body.ptr[i] != body_byte(n, (int64_t)i)) {
                    l->wrong++;
                    break;
                }
            store_touch(r, record.hash, record.variant);
        }
        store_reader_end(r);
    }
    store_reader_close(r);
    return NULL;
}

static void test_look_ups_while_everything_changes(void **state)
{
    enum { THREADS = 2, ROUNDS = 12 };
    struct fixture *f = *state;
    _Atomic bool    stop = false;
    struct looker   lookers[THREADS];
    pthread_t       threads[THREADS];

    assert_true(put_records(f->store, 0, 64, 500));
    for (int i = 0; i < THREADS; i++) {
        lookers[i] = (struct looker){ .f = f, .stop = &stop };
        assert_int_equal(pthread_create(&threads[i], NULL, look_in_thread, &lookers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++)
        while (lookers[i].hits == 0)
            usleep(100);
    for (int round = 0; round < ROUNDS; round++) {
        struct arena        a = { 0 };
        struct store_change c = make_put(&a, (unsigned)round, 0, NULL);

        c.kind = round % 3 == 0 ? STORE_INVALIDATE : round % 3 == 1 ? STORE_DROP : STORE_DROP_MATCHING;
        c.matches = ends_with_7;
        assert_true(do_change(f->store, &c));
        assert_true(put_records(f->store, 0, 64, 500 + 100 * round));
        arena_free(&a);
    }
    stop = true;
    for (int i = 0; i < THREADS; i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(lookers[i].wrong, 0);
    }
}

/* -- the sweep -- */

static void make_file(const struct fixture *f, uint64_t number)
{
    char name[64];

    snprintf(name, sizeof name, "bodies/%02x", (unsigned)(number % 256));
    mkdir(below(f, name), 0700);
    snprintf(name, sizeof name, "bodies/%02x/%016llx", (unsigned)(number % 256), (unsigned long long)number);
    close(open(below(f, name), O_WRONLY | O_CREAT, 0600));
}

static void test_sweep_removes_orphans_only(void **state)
{
    struct fixture *f = *state;
    const int64_t   deadline_ns = clock_mono_ns() + 20 * NS_PER_SEC;

    put_300(f);
    fixture_close(f);
    for (unsigned i = 1; i <= 600; i++)
        make_file(f, i);
    assert_int_equal(files_in_bodies(f), 630);
    fixture_open(f);
    while (files_in_bodies(f) > 30 && clock_mono_ns() < deadline_ns)
        assert_true(put_record(f->store, 1000, 0, 100)); /* changes go on meanwhile */
    assert_int_equal(files_in_bodies(f), 30);
    put_300(f); /* new files take the place of the old ones */
    assert_int_equal(files_in_bodies(f), 30);
}

/* What could not be stored the last time is not promised, until it can. */
static void test_promises(void **state)
{
    struct fixture *f = *state;
    const int64_t   small = 1000, large = 100000, unknown = -1;

    assert_false(store_promises(NULL, small));
    assert_true(store_promises(f->store, small) && store_promises(f->store, large) &&
                store_promises(f->store, unknown));
    store_refuses_files(f->store); /* a spool met a full disk */
    assert_true(store_promises(f->store, small));
    assert_false(store_promises(f->store, large) || store_promises(f->store, unknown));
    assert_true(put_record(f->store, 1, 0, small));
    assert_false(store_promises(f->store, large));
    assert_true(put_record(f->store, 2, 0, large));
    assert_true(store_promises(f->store, large) && store_promises(f->store, unknown));
}

/* Readers go over to the new database, whatever they have open of the old one; nothing of it is closed under them. */
static void test_begun_anew_under_its_readers(void **state)
{
    struct fixture      *f = *state;
    struct store_reader *other = store_reader_open(f->store), *late;
    struct store_record  r;

    for (unsigned turn = 1; turn <= 3; turn++) {
        const unsigned n = turn * 10;

        assert_true(put_record(f->store, n, 0, 1000));
        assert_int_equal(look_up(f->reader, n, &r), STORE_HIT); /* and keeps it borrowed */
        tempdir_remove(strdup(f->directory));
        assert_false(store_promises(f->store, 1000));
        assert_true(put_record(f->store, n + 1, 0, 100000));
        assert_int_equal(r.body.len, 1000);
        for (int i = 0; i < 1000; i++)
            assert_int_equal((unsigned char)r.body.ptr[i], body_byte(n, i));
        assert_true(has_record(f->store, f->reader, n + 1, 0, 100000));
        assert_false(has_record(f->store, f->reader, n, 0, 1000));
        if (turn != 2) /* the other one is behind by two, then */
            assert_true(has_record(f->store, other, n + 1, 0, 100000));
        assert_true(store_promises(f->store, 1000));
        late = store_reader_open(f->store);
        assert_true(has_record(f->store, late, n + 1, 0, 100000));
        store_reader_close(late);
    }
    store_reader_close(other);
    fixture_reopen(f);
    assert_true(is_hit(f, 31));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_bodies_that_may_not_be_stored, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_body_file_that_is_gone_or_cut_is_a_miss, setup, teardown),
        cmocka_unit_test_setup_teardown(test_overwritten_pages_are_a_miss_and_dropped, setup, teardown),
        cmocka_unit_test_setup_teardown(test_damaged_or_strange_databases_are_set_aside, setup, teardown),
        cmocka_unit_test_setup_teardown(test_one_line_where_it_cannot_open, setup, teardown),
        cmocka_unit_test(test_without_a_store_everything_misses),
        cmocka_unit_test_setup_teardown(test_directory_deleted_while_running, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_disk_that_refuses, setup, teardown),
        cmocka_unit_test_setup_teardown(test_look_ups_while_everything_changes, setup, teardown),
        cmocka_unit_test_setup_teardown(test_sweep_removes_orphans_only, setup, teardown),
        cmocka_unit_test_setup_teardown(test_promises, setup, teardown),
        cmocka_unit_test_setup_teardown(test_begun_anew_under_its_readers, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
