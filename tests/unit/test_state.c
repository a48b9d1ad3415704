/*
 * The state directory: the key stays, the ledger is durable, and damage is
 * set aside with a note.
 */
#include "store/state.h"

#include "store/backup.h"
#include "store_support.h"
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

struct both {
    char         *directory, *cache;
    struct store *store;
    struct state *state;
};

struct listing {
    char     text[1000];
    unsigned rows;
};

static void list_one(void *context, struct slice name, struct slice value)
{
    struct listing *l = context;
    size_t          used = strlen(l->text);

    snprintf(l->text + used, sizeof l->text - used, SLICE_FMT "=" SLICE_FMT ";", SLICE_ARG(name), SLICE_ARG(value));
    l->rows++;
}

static bool is_seconds(struct slice name)
{
    return name.len > 0 && name.ptr[0] == '+';
}

/* `older` as every version knew it, `newer` since; and both as a later version may have them. */
static const struct state_owner older = { .table = "ledger", .format = 1, .load = list_one };
static const struct state_owner newer = {
    .table = "second",
    .format = 1,
    .load = list_one,
    .stood_with = &older,
    .is_own = is_seconds,
};
static const struct state_owner        later = { .table = "second", .format = 2, .load = list_one };
static const struct state_owner *const owners[] = { &older, &newer, NULL };
static const struct state_owner *const owners_before[] = { &older, NULL };
static const struct state_owner *const owners_later[] = { &older, &later, NULL };

static struct state *must_open_for(const char *path, const struct state_owner *const those[], struct fault *note)
{
    const struct state_options options = { .path = path };
    struct fault               why = { "" };
    struct state              *s = state_open(&options, those, &why, note);

    if (s == NULL)
        fail_msg("%s", why.text);
    return s;
}

static struct state *must_open(const char *path, struct fault *note)
{
    return must_open_for(path, owners, note);
}

static int begin(void **state)
{
    struct both *f = calloc(1, sizeof *f);
    char         path[4096];

    f->directory = tempdir_make();
    f->cache = tempdir_make();
    f->store = open_store(f->cache, 64 << 20);
    snprintf(path, sizeof path, "%s/state", f->directory);
    f->state = must_open(path, NULL);
    *state = f;
    return 0;
}

static int finish(void **state)
{
    struct both *f = *state;

    store_close(f->store);
    state_close(f->state);
    tempdir_remove(f->directory);
    tempdir_remove(f->cache);
    free(f);
    return 0;
}

static const char *file_of(const struct both *f, const char *name)
{
    static char path[4096];

    snprintf(path, sizeof path, "%s/state/%s", f->directory, name);
    return path;
}

/* Closes and opens; what the note says. */
static struct fault reopen_for(struct both *f, const struct state_owner *const those[])
{
    struct fault note = { "" };
    char         path[4096];

    state_close(f->state);
    snprintf(path, sizeof path, "%s/state", f->directory);
    f->state = must_open_for(path, those, &note);
    return note;
}

static struct fault reopen(struct both *f)
{
    return reopen_for(f, owners);
}

static bool change_of(struct both *f, const struct state_owner *owner, struct store *store, const char *name,
                      const char *value)
{
    struct state_change c = { .state = f->state, .owner = owner, .name = slice_of(name), .value = slice_of(value) };

    return do_state(store, &c);
}

static bool change(struct both *f, struct store *store, const char *name, const char *value)
{
    return change_of(f, &older, store, name, value);
}

static struct listing list_of(struct both *f, const struct state_owner *owner)
{
    struct listing l = { "", 0 };

    state_load(f->state, owner, &l);
    return l;
}

static struct listing list(struct both *f)
{
    return list_of(f, &older);
}

/* -- the ledger -- */

static void test_ledger(void **state)
{
    struct both *f = *state;

    assert_string_equal(list(f).text, "");
    assert_true(change(f, f->store, "b", "2"));
    assert_true(change(f, f->store, "a", "1"));
    assert_true(change(f, f->store, "c", ""));
    assert_true(change(f, f->store, "b", "3"));
    assert_string_equal(list(f).text, "a=1;b=3;c=;");
    assert_true(change(f, f->store, "a", NULL));
    assert_true(change(f, f->store, "never there", NULL));
    assert_string_equal(reopen(f).text, "");
    assert_string_equal(list(f).text, "b=3;c=;");
}

static void test_without_a_cache_the_caller_writes(void **state)
{
    struct both *f = *state;

    assert_true(change(f, NULL, "a", "1"));
    reopen(f);
    assert_string_equal(list(f).text, "a=1;");
}

static void test_a_flush_does_not_touch_it(void **state)
{
    struct both        *f = *state;
    struct store_change flush = { .kind = STORE_FLUSH };

    assert_true(change(f, f->store, "a", "1"));
    assert_true(do_change(f->store, &flush));
    assert_string_equal(list(f).text, "a=1;");
}

/* What kill -9 leaves is what was answered. */
static void test_answered_is_there_without_closing(void **state)
{
    struct both   *f = *state;
    char           copy[4096], command[9000];
    struct state  *other;
    struct listing l = { "", 0 };

    assert_true(change(f, f->store, "quota", "used up"));
    snprintf(copy, sizeof copy, "%s/copy", f->directory);
    snprintf(command, sizeof command, "mkdir %s && cp %s/state/data.mdb %s/state/key %s", copy, f->directory,
             f->directory, copy);
    assert_int_equal(system(command), 0);
    other = must_open(copy, NULL);
    state_load(other, &older, &l);
    assert_string_equal(l.text, "quota=used up;");
    state_close(other);
}

/* -- several owners -- */

/* The leaves on which that stands become noise. */
static void damage_pages_with(const struct both *f, const char *text)
{
    const int   fd = open(file_of(f, "data.mdb"), O_RDWR);
    char        noise[4096];
    struct stat st;

    memset(noise, 0x55, sizeof noise);
    assert_int_equal(fstat(fd, &st), 0);
    for (off_t at = 8192; at < st.st_size; at += 4096) {
        unsigned char page[4096];

        if (pread(fd, page, sizeof page, at) == (ssize_t)sizeof page && page[10] == 2 &&
            memmem(page, sizeof page, text, strlen(text)) != NULL)
            assert_int_equal(pwrite(fd, noise, sizeof noise, at), (ssize_t)sizeof noise);
    }
    close(fd);
}

static void test_each_owner_has_a_table(void **state)
{
    struct both *f = *state;

    assert_true(change_of(f, &older, f->store, "a", "1"));
    assert_true(change_of(f, &newer, f->store, "a", "2"));
    assert_true(change_of(f, &newer, f->store, "+b", "3"));
    /* moved by a start of an older version's file alone */
    assert_true(change_of(f, &older, f->store, "+b", "4"));
    assert_string_equal(reopen(f).text, "");
    assert_string_equal(list_of(f, &older).text, "+b=4;a=1;");
    assert_string_equal(list_of(f, &newer).text, "+b=3;a=2;");
    assert_true(change_of(f, &newer, NULL, "a", NULL));
    assert_string_equal(list_of(f, &older).text, "+b=4;a=1;");
    assert_string_equal(list_of(f, &newer).text, "+b=3;");
}

/* A directory in which `newer` had no table yet. */
static void begin_before(struct both *f)
{
    state_close(f->state);
    f->state = NULL;
    assert_int_equal(unlink(file_of(f, "data.mdb")), 0);
    assert_string_equal(reopen_for(f, owners_before).text, "");
    assert_true(change(f, f->store, "a", "1"));
    assert_true(change(f, f->store, "+b", "2"));
    assert_true(change(f, f->store, "+c", "3"));
    assert_true(change(f, f->store, "z", "4"));
}

static void test_rows_that_stood_with_another_are_moved(void **state)
{
    struct both *f = *state;

    begin_before(f);
    for (int i = 0; i < 2; i++) {
        assert_string_equal(reopen(f).text, "");
        assert_string_equal(list_of(f, &older).text, "a=1;z=4;");
        assert_string_equal(list_of(f, &newer).text, "+b=2;+c=3;");
    }
}

/* And where the older version's file is damaged. */
static void test_they_are_moved_when_they_are_salvaged(void **state)
{
    struct both *f = *state;

    begin_before(f);
    state_close(f->state);
    f->state = NULL;
    damage_pages_with(f, "format ledger");
    assert_non_null(strstr(reopen(f).text, "4 rows"));
    assert_string_equal(list_of(f, &older).text, "a=1;z=4;");
    assert_string_equal(list_of(f, &newer).text, "+b=2;+c=3;");
}

/* The file stays beside, with the rows that this version cannot read; the other owner's go on. */
static void test_another_format_of_one_owner(void **state)
{
    struct both *f = *state;
    struct fault note;

    assert_true(change_of(f, &older, f->store, "a", "1"));
    assert_true(change_of(f, &newer, f->store, "b", "2"));
    note = reopen_for(f, owners_later);
    assert_non_null(strstr(note.text, "another format"));
    assert_non_null(strstr(note.text, "1 rows"));
    assert_true(state_rows_lost(f->state));
    assert_string_equal(list_of(f, &older).text, "a=1;");
    assert_string_equal(list_of(f, &later).text, "");
    assert_true(change_of(f, &later, f->store, "b", "3"));
    assert_string_equal(reopen_for(f, owners_later).text, "");
    assert_string_equal(list_of(f, &later).text, "b=3;");
}

/* -- the key -- */

static void test_key(void **state)
{
    struct both *f = *state;
    uint8_t      first[32];
    struct fault note;
    struct stat  st;

    memcpy(first, state_key(f->state), sizeof first);
    assert_memory_not_equal(first, ((const uint8_t[32]){ 0 }), 32);
    assert_int_equal(stat(file_of(f, "key"), &st), 0);
    assert_int_equal(st.st_mode & 0777, 0600);
    assert_int_equal(st.st_size, 32);
    reopen(f);
    assert_memory_equal(state_key(f->state), first, sizeof first);

    assert_int_equal(truncate(file_of(f, "key"), 31), 0);
    note = reopen(f);
    assert_non_null(strstr(note.text, "key.damaged-"));
    assert_memory_not_equal(state_key(f->state), first, sizeof first);
    assert_int_equal(faccessat(state_directory(f->state), "key", R_OK, 0), 0);
}

/* -- what goes wrong -- */

static void test_damaged_ledger_is_set_aside(void **state)
{
    struct both *f = *state;
    uint8_t      key[32];
    struct fault note;

    memcpy(key, state_key(f->state), sizeof key);
    assert_true(change(f, f->store, "a", "1"));
    state_close(f->state);
    assert_int_equal(truncate(file_of(f, "data.mdb"), 9000), 0);
    f->state = NULL;
    note = reopen(f);
    assert_non_null(strstr(note.text, "data.mdb.damaged-"));
    assert_string_equal(list(f).text, "");
    assert_memory_equal(state_key(f->state), key, sizeof key); /* the key has nothing to do with it */
    assert_true(change(f, f->store, "a", "1"));
}

/* One page of many is noise: the rows of the others are kept. */
static void test_rows_are_salvaged(void **state)
{
    struct both *f = *state;
    char         value[1001];
    struct fault note;
    unsigned     rows;

    memset(value, 'v', 1000);
    value[1000] = '\0';
    for (unsigned i = 0; i < 60; i++) {
        char name[16];

        snprintf(name, sizeof name, "row%04u", i);
        assert_true(change(f, f->store, name, value));
    }
    assert_false(state_rows_lost(f->state));
    state_close(f->state);
    f->state = NULL;
    damage_pages_with(f, "row0030");
    note = reopen(f);
    assert_non_null(strstr(note.text, "data.mdb.damaged-"));
    assert_true(state_rows_lost(f->state));
    rows = list(f).rows;
    if (rows < 50 || rows >= 60)
        fail_msg("%u rows: %s", rows, note.text);
    assert_true(change(f, f->store, "row0030", "again"));
    reopen(f);
    assert_false(state_rows_lost(f->state));
}

/* Who else may write there, or owns it, is said; a link or a FIFO in a file's place is neither followed nor waited for.
 */
static void test_whose_directory_it_is(void **state)
{
    static const struct {
        const char *name;
        unsigned    mode;
        const char *says;
    } rows[] = {
        { "for_its_owner", 0700, NULL },
        { "read_by_others", 0755, NULL },
        { "written_by_its_group", 0770, "may be written by others (mode 0770)" },
        { "written_by_all", 0777, "may be written by others (mode 0777)" },
        { "with_a_sticky_bit", 01777, "may be written by others (mode 1777)" },
    };
    struct both               *f = *state;
    char                       path[4096];
    const struct state_options options = { .path = path };

    state_close(f->state);
    f->state = NULL;
    snprintf(path, sizeof path, "%s/state", f->directory);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct fault  why = { "" }, note;
        struct state *s;

        assert_int_equal(chmod(path, rows[i].mode), 0);
        s = state_open(&options, owners, &why, &note);
        if (rows[i].says == NULL ? s == NULL : s != NULL || strstr(why.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        state_close(s);
    }
    assert_int_equal(chmod(path, 0700), 0);
    if (geteuid() == 0) {
        struct fault why = { "" }, note;

        assert_int_equal(chown(path, 12345, 0), 0);
        assert_null(state_open(&options, owners, &why, &note));
        assert_non_null(strstr(why.text, "belongs to user 12345"));
        assert_int_equal(chown(path, 0, 0), 0);
    }
    f->state = must_open(path, NULL);
}

static void test_what_is_no_file(void **state)
{
    static const char *const names[] = { "key", "data.mdb", "lock", "lock.mdb", "starting", "key.new" };
    struct both             *f = *state;

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        for (int kind = 0; kind < 2; kind++) {
            struct fault note = { "" };
            char         path[4096];

            assert_true(change(f, f->store, "a", "1"));
            state_close(f->state);
            f->state = NULL;
            unlink(file_of(f, names[i]));
            if ((kind == 0 ? mkfifo(file_of(f, names[i]), 0600) : symlink("elsewhere", file_of(f, names[i]))) != 0)
                fail_msg("%s: cannot be made", names[i]);
            snprintf(path, sizeof path, "%s/state", f->directory);
            f->state = must_open(path, &note);
            if (strstr(note.text, "damaged") == NULL && i < 2)
                fail_msg("%s: \"%s\"", names[i], note.text);
            assert_int_equal(access(file_of(f, "elsewhere"), F_OK), -1);
            assert_true(change(f, f->store, "b", "2"));
        }
}

static void test_held_by_another(void **state)
{
    struct both               *f = *state;
    char                       path[4096];
    const struct state_options options = { .path = path };
    struct fault               why = { "" };

    snprintf(path, sizeof path, "%s/state", f->directory);
    assert_null(state_open(&options, owners, &why, NULL));
    assert_non_null(strstr(why.text, "is in use by another weir (pid "));
}

/* What this version may put back. */
static void test_which_formats_are_known(void **state)
{
    static const struct {
        const char                      *name;
        const struct state_owner *const *made, *const *known;
        bool ok;
    } rows[] = {
        { "the same", owners, owners, true },
        { "of an older version", owners, owners_later, true },
        { "of fewer owners", owners_before, owners, true },
        { "of a newer version", owners_later, owners, false },
        { "rows of somebody that this version does not know", owners, owners_before, false },
    };

    (void)state;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char        *directory = tempdir_make();
        struct fault why = { "" }, note = { "" };

        state_close(must_open_for(directory, rows[i].made, &note));
        if ((backup_check_state(directory, rows[i].known, &why) == 0) != rows[i].ok)
            fail_msg("%s: %s", rows[i].name, why.text);
        if (!rows[i].ok && strstr(why.text, "newer weir") == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        if (backup_check_cache(directory, &why) != 0 && strstr(why.text, "newer weir") == NULL)
            fail_msg("%s, as a cache: %s", rows[i].name, why.text);
        tempdir_remove(directory);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ledger, begin, finish),
        cmocka_unit_test_setup_teardown(test_without_a_cache_the_caller_writes, begin, finish),
        cmocka_unit_test_setup_teardown(test_a_flush_does_not_touch_it, begin, finish),
        cmocka_unit_test_setup_teardown(test_answered_is_there_without_closing, begin, finish),
        cmocka_unit_test_setup_teardown(test_each_owner_has_a_table, begin, finish),
        cmocka_unit_test_setup_teardown(test_rows_that_stood_with_another_are_moved, begin, finish),
        cmocka_unit_test_setup_teardown(test_they_are_moved_when_they_are_salvaged, begin, finish),
        cmocka_unit_test_setup_teardown(test_another_format_of_one_owner, begin, finish),
        cmocka_unit_test_setup_teardown(test_key, begin, finish),
        cmocka_unit_test_setup_teardown(test_damaged_ledger_is_set_aside, begin, finish),
        cmocka_unit_test_setup_teardown(test_rows_are_salvaged, begin, finish),
        cmocka_unit_test_setup_teardown(test_whose_directory_it_is, begin, finish),
        cmocka_unit_test_setup_teardown(test_what_is_no_file, begin, finish),
        cmocka_unit_test_setup_teardown(test_held_by_another, begin, finish),
        cmocka_unit_test(test_which_formats_are_known),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
