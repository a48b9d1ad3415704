/*
 * The store from outside: what was put is found, also after a restart; what
 * was dropped is not; damage is a miss; and nothing that goes wrong stops it.
 *
 * long: the cases share their fixtures, and belong side by side.
 */
#include "store/store.h"

#include "base/clock.h"
#include "db/db.h"
#include "store_support.h"
#include "tempdir.h"

#include <dirent.h>
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

enum { KIB = 1024, MIB = 1024 * 1024 };

struct fixture {
    char                *directory;
    struct store        *store;
    struct store_reader *reader;
};

static void fixture_open(struct fixture *f)
{
    f->store = open_store(f->directory, UINT64_C(1024) * MIB);
    f->reader = store_reader_open(f->store);
}

static void fixture_close(struct fixture *f)
{
    store_reader_close(f->reader);
    store_close(f->store);
}

static void fixture_reopen(struct fixture *f)
{
    fixture_close(f);
    fixture_open(f);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof *f);

    f->directory = tempdir_make();
    fixture_open(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    fixture_close(f);
    tempdir_remove(f->directory);
    free(f);
    return 0;
}

static const char *below(const struct fixture *f, const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/%s", f->directory, name);
    return path;
}

static bool is_hit(struct fixture *f, unsigned n)
{
    bool hit = look_up(f->reader, n, &(struct store_record){ 0 }) == STORE_HIT;

    store_reader_end(f->reader);
    return hit;
}

/* -- storing and finding -- */

static void test_bodies_survive_a_restart(void **state)
{
    static const struct { const char *name; int64_t bytes; } rows[] = {
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
    store_reader_end(f->reader);                              /* harmless */
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
    assert_int_equal(r.body_bytes, 12);                       /* the newest of those that would do */
    assert_int_equal(store_lookup(f->reader, hash, make_full_key(&a, 1), take_none, &asked, &r), STORE_OTHER_VARIANT);
    assert_int_equal(asked, 3);
    assert_true(put_record(f->store, 1, 1, 70000));           /* replaced, with a file */
    assert_true(has_record(f->store, f->reader, 1, 1, 70000));
    assert_true(put_record(f->store, 1, 1, 5));               /* and the file is gone again */
    assert_true(has_record(f->store, f->reader, 1, 1, 5));
    assert_int_equal(store_status(f->store).records, 3);
    assert_int_equal(store_status(f->store).body_files, 0);
    arena_free(&a);
}

static void test_the_oldest_of_65_variants_goes(void **state)
{
    struct fixture *f = *state;

    assert_true(put_variants(f->store, 1, 1, 64, 1));
    assert_true(put_record(f->store, 1, 0, 1));               /* the oldest comes last */
    assert_int_equal(store_status(f->store).records, 64);
    assert_true(put_record(f->store, 1, 100, 1));
    assert_int_equal(store_status(f->store).records, 64);
    assert_false(has_record(f->store, f->reader, 1, 0, 1));
    assert_true(has_record(f->store, f->reader, 1, 1, 1));
    assert_true(has_record(f->store, f->reader, 1, 100, 1));
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

    c.received_wall_ns = 5;                                   /* it is another version by now */
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
    assert_true(has_record(f->store, f->reader, 1, 1, 100000));        /* its body file too */
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

/* 300 records: 0 to 299, tags 0 to 2; every tenth has a body file. */
static void put_300(struct fixture *f)
{
    struct arena        a = { 0 };
    struct store_change changes[300];
    struct spool       *small = make_body(-1, 1, 100), *large = make_body(-1, 1, 70000);

    for (unsigned n = 0; n < 300; n++)
        changes[n] = make_put(&a, n, 0, n % 10 == 0 ? large : small);
    assert_true(do_changes(f->store, changes, 300));
    spool_release(small);
    spool_release(large);
    arena_free(&a);
}

static unsigned files_in_bodies(const struct fixture *f)
{
    unsigned files = 0;

    for (unsigned d = 0; d < 256; d++) {
        char           path[4200];
        DIR           *dir;
        struct dirent *e;

        snprintf(path, sizeof path, "%s/bodies/%02x", f->directory, d);
        dir = opendir(path);
        while (dir != NULL && (e = readdir(dir)) != NULL)
            files += e->d_name[0] != '.';
        if (dir != NULL)
            closedir(dir);
    }
    return files;
}

static bool is_in_first_hundred(unsigned n) { return n < 100; }
static bool is_17(unsigned n) { return n == 17; }
static bool ends_in_7(unsigned n) { return n % 10 == 7; }
static bool is_any(unsigned n) { return n < 300; }
static bool is_20(unsigned n) { return n == 20; }

static void test_drops(void **state)
{
    static const struct {
        const char            *name;
        enum store_change_kind kind;
        unsigned               of;          /* hash and tag are those of this record */
        bool                 (*gone)(unsigned n);
        uint64_t               changed, files_left;
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

/* What a pending change says holds in the order of submission: a flush leaves what was put behind it. */
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

/* -- what goes wrong -- */

static void test_bodies_that_may_not_be_stored(void **state)
{
    static const struct { const char *name; int64_t bytes; enum spool_end end; bool pass; } rows[] = {
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
    assert_true(put_record(f->store, 1, 0, 100000));          /* fetched anew, it is whole again */
    assert_true(has_record(f->store, f->reader, 1, 0, 100000));
}

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
    static const struct { const char *name; const char *where; } rows[] = {
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
        c.kind = STORE_DROP;                                  /* the writer is behind the report now */
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
    static const struct { const char *name; off_t length; const char *marker; uint32_t format; } rows[] = {
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
    store_touch(r, &record);
    assert_int_equal(store_body_open(NULL, &record), -1);
    store_reader_close(r);
    assert_false(do_change(NULL, &c));
    assert_int_equal(store_directory(NULL), -1);
    assert_true(store_status(NULL).broken);
    store_close(NULL);
    arena_free(&a);
}

/* The cache may be deleted at any time: what cannot be linked is not stored, and nothing stops. */
static void test_directory_deleted_while_running(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct spool       *body;
    struct store_change c;

    assert_true(put_record(f->store, 1, 0, 100000));
    tempdir_remove(f->directory);
    body = make_body(store_directory(f->store), 2, 100000);
    c = make_put(&a, 2, 0, body);
    assert_false(do_change(f->store, &c));
    assert_false(has_record(f->store, f->reader, 1, 0, 100000));
    assert_true(put_record(f->store, 3, 0, 100));
    assert_true(has_record(f->store, f->reader, 3, 0, 100));
    spool_release(body);
    arena_free(&a);
    f->directory = tempdir_make();
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
    struct fixture *f;
    _Atomic bool   *stop;
    unsigned        wrong, hits;
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
            store_touch(r, &record);
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
        assert_true(lookers[i].hits > 0);
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
        assert_true(put_record(f->store, 1000, 0, 100));      /* changes go on meanwhile */
    assert_int_equal(files_in_bodies(f), 30);
    put_300(f);                                               /* new files take the place of the old ones */
    assert_int_equal(files_in_bodies(f), 30);
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
        cmocka_unit_test_setup_teardown(test_freshen, setup, teardown),
        cmocka_unit_test_setup_teardown(test_invalidated_is_kept_until_freshened, setup, teardown),
        cmocka_unit_test_setup_teardown(test_drops, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_tag_with_many_records, setup, teardown),
        cmocka_unit_test_setup_teardown(test_order_is_kept, setup, teardown),
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
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
