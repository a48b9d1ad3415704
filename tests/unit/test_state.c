/*
 * The state directory: the key stays, the ledger is durable, and damage is
 * set aside with a note.
 */
#include "store/state.h"

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

static struct state *must_open(const char *path, struct fault *note)
{
    const struct state_options options = { .path = path };
    struct fault               why = { "" };
    struct state              *s = state_open(&options, &why, note);

    if (s == NULL)
        fail_msg("%s", why.text);
    return s;
}

static int begin(void **state)
{
    struct both *f = calloc(1, sizeof *f);
    char            path[4096];

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
static struct fault reopen(struct both *f)
{
    struct fault note = { "" };
    char         path[4096];

    state_close(f->state);
    snprintf(path, sizeof path, "%s/state", f->directory);
    f->state = must_open(path, &note);
    return note;
}

static bool change(struct both *f, struct store *store, const char *name, const char *value)
{
    struct state_change c = { .state = f->state, .name = slice_of(name), .value = slice_of(value) };

    return do_state(store, &c);
}

struct listing { char text[1000]; };

static void list_one(void *context, struct slice name, struct slice value)
{
    struct listing *l = context;
    size_t          used = strlen(l->text);

    snprintf(l->text + used, sizeof l->text - used, SLICE_FMT "=" SLICE_FMT ";", SLICE_ARG(name), SLICE_ARG(value));
}

static struct listing list(struct both *f)
{
    struct listing l = { "" };

    state_load(f->state, list_one, &l);
    return l;
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
    struct both     *f = *state;
    struct store_change flush = { .kind = STORE_FLUSH };

    assert_true(change(f, f->store, "a", "1"));
    assert_true(do_change(f->store, &flush));
    assert_string_equal(list(f).text, "a=1;");
}

/* What kill -9 leaves is what was answered. */
static void test_answered_is_there_without_closing(void **state)
{
    struct both *f = *state;
    char            copy[4096], command[9000];
    struct state   *second;
    struct listing  l = { "" };

    assert_true(change(f, f->store, "quota", "used up"));
    snprintf(copy, sizeof copy, "%s/copy", f->directory);
    snprintf(command, sizeof command, "mkdir %s && cp %s/state/data.mdb %s/state/key %s", copy, f->directory,
             f->directory, copy);
    assert_int_equal(system(command), 0);
    second = must_open(copy, NULL);
    state_load(second, list_one, &l);
    assert_string_equal(l.text, "quota=used up;");
    state_close(second);
}

/* -- the key -- */

static void test_key(void **state)
{
    struct both *f = *state;
    uint8_t         first[32];
    struct fault    note;
    struct stat     st;

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
    uint8_t         key[32];
    struct fault    note;

    memcpy(key, state_key(f->state), sizeof key);
    assert_true(change(f, f->store, "a", "1"));
    state_close(f->state);
    assert_int_equal(truncate(file_of(f, "data.mdb"), 9000), 0);
    f->state = NULL;
    note = reopen(f);
    assert_non_null(strstr(note.text, "data.mdb.damaged-"));
    assert_string_equal(list(f).text, "");
    assert_memory_equal(state_key(f->state), key, sizeof key);    /* the key has nothing to do with it */
    assert_true(change(f, f->store, "a", "1"));
}

static void test_held_by_another(void **state)
{
    struct both            *f = *state;
    char                       path[4096];
    const struct state_options options = { .path = path };
    struct fault               why = { "" };

    snprintf(path, sizeof path, "%s/state", f->directory);
    assert_null(state_open(&options, &why, NULL));
    assert_non_null(strstr(why.text, "is in use by another weir (pid "));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ledger, begin, finish),
        cmocka_unit_test_setup_teardown(test_without_a_cache_the_caller_writes, begin, finish),
        cmocka_unit_test_setup_teardown(test_a_flush_does_not_touch_it, begin, finish),
        cmocka_unit_test_setup_teardown(test_answered_is_there_without_closing, begin, finish),
        cmocka_unit_test_setup_teardown(test_key, begin, finish),
        cmocka_unit_test_setup_teardown(test_damaged_ledger_is_set_aside, begin, finish),
        cmocka_unit_test_setup_teardown(test_held_by_another, begin, finish),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
