/*
 * Tokens of programs that have a mode of their own.
 */
#include "engine/runs.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

enum { ANN = 1000, BOB = 1001 };

static bool knows(struct runs *t, const char *token, int64_t uid)
{
    struct own_run *r = runs_find(t, slice_of(token), uid);

    run_release(r);
    return r != NULL;
}

static void test_whose(void **state)
{
    static const struct {
        const char *name;
        int64_t     of, by;
        bool        known;
    } rows[] = {
        { "of_her_own", ANN, ANN, true },        { "of_root", 0, 0, true },
        { "of_another", ANN, BOB, false },       { "of_hers_by_root", ANN, 0, false },
        { "of_root_by_another", 0, ANN, false }, { "by_whom_nobody_knows", ANN, -1, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct runs    *t = runs_open();
        char            token[RUN_TOKEN_BYTES];
        struct own_run *r = runs_begin(t, MODE_OFFLINE, rows[i].of, SLICE_NONE, NULL, token);

        if (knows(t, token, rows[i].by) != rows[i].known)
            fail_msg("%s", rows[i].name);
        run_release(r);
        runs_close(t);
    }
}

static void test_a_text_that_is_no_token_of_it(void **state)
{
    struct runs    *t = runs_open();
    char            token[RUN_TOKEN_BYTES], other[RUN_TOKEN_BYTES];
    struct own_run *r = runs_begin(t, MODE_OFFLINE, ANN, SLICE_NONE, NULL, token),
                   *q = runs_begin(t, MODE_DRY_RUN, ANN, SLICE("two"), NULL, other);

    (void)state;
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(token), 41);
    assert_true(runs_is_token(slice_of(token)) && runs_is_token(SLICE("weir-run-")));
    assert_false(runs_is_token(SLICE("weir-runs")) || runs_is_token(SLICE_NONE) || runs_is_token(SLICE("Weir-run-x")));
    assert_null(runs_name(slice_of(token)).ptr);
    assert_true(slice_eq(runs_name(SLICE("ci")), SLICE("ci")));
    for (size_t i = sizeof "weir-run-" - 1; i < strlen(token); i++) {
        char changed[RUN_TOKEN_BYTES];

        strcpy(changed, token);
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        assert_false(knows(t, changed, ANN));
        changed[i] = '\0';
        assert_false(knows(t, changed, ANN));
    }
    assert_true(knows(t, token, ANN) && knows(t, other, ANN));
    assert_int_equal(run_mode(r), MODE_OFFLINE);
    assert_int_equal(run_mode(q), MODE_DRY_RUN);
    assert_true(slice_eq(run_as(q), SLICE("two")) && run_as(r).ptr == NULL);
    runs_end(t, q);
    runs_end(t, q); /* again */
    assert_true(run_is_over(q) && !run_is_over(r));
    assert_true(knows(t, token, ANN) && !knows(t, other, ANN) && runs_any(t));
    run_release(q);
    runs_close(t); /* and with it the other one's */
    assert_true(run_is_over(r));
    run_release(r);
}

static void test_what_is_counted(void **state)
{
    struct runs    *t = runs_open();
    char            token[RUN_TOKEN_BYTES];
    struct own_run *ann = runs_begin(t, MODE_OFFLINE, ANN, SLICE_NONE, NULL, token),
                   *bob = runs_begin(t, MODE_OFFLINE, BOB, SLICE_NONE, NULL, token);

    (void)state;
    runs_note_astray(t, ANN);
    runs_note_astray(t, -1); /* nobody knows whose: of no run's user */
    run_note_request(bob);
    run_note_refused(bob);
    assert_int_equal(run_counts(ann).astray, 1);
    assert_int_equal(run_counts(bob).astray, 0);
    assert_int_equal(run_counts(bob).requests, 1);
    assert_int_equal(run_counts(bob).refused, 1);
    runs_end(t, ann);
    runs_note_astray(t, ANN);
    assert_int_equal(run_counts(ann).astray, 1);
    run_release(ann);
    run_release(bob);
    runs_close(t);
}

static void test_their_number_is_bounded(void **state)
{
    struct runs    *t = runs_open();
    char            token[RUN_TOKEN_BYTES];
    unsigned        begun = 0;
    struct own_run *r;

    (void)state;
    for (int64_t uid = 1; uid <= RUNS_MOST / RUNS_OF_USER + 1; uid++)
        for (unsigned i = 0; i <= RUNS_OF_USER; i++) {
            r = runs_begin(t, MODE_OFFLINE, uid, SLICE_NONE, NULL, token);
            begun += r != NULL;
            if (i == RUNS_OF_USER)
                assert_null(r);
            run_release(r);
        }
    assert_int_equal(begun, RUNS_MOST);
    runs_close(t);
    assert_false(runs_any(NULL));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_whose),
        cmocka_unit_test(test_a_text_that_is_no_token_of_it),
        cmocka_unit_test(test_what_is_counted),
        cmocka_unit_test(test_their_number_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
