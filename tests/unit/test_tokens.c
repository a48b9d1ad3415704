/*
 * Codes that work once, and the tokens that they are exchanged for.
 */
#include "admin/tokens.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

enum { ANN = 1000, BOB = 1001 };

static void test_exchange(void **state)
{
    static const struct {
        const char         *name;
        int64_t             made_for, by, after_ns;
        enum token_exchange first, second;
    } rows[] = {
        { "once", TOKENS_ANY_UID, ANN, 0, TOKEN_MADE, TOKEN_CODE_USED },
        { "by_whom_nobody_knows", TOKENS_ANY_UID, TOKENS_ANY_UID, 0, TOKEN_MADE, TOKEN_CODE_USED },
        { "at_the_end_of_its_time", TOKENS_ANY_UID, ANN, TOKENS_CODE_NS - 1, TOKEN_MADE, TOKEN_CODE_USED },
        { "after_its_time", TOKENS_ANY_UID, ANN, TOKENS_CODE_NS, TOKEN_CODE_UNKNOWN, TOKEN_CODE_UNKNOWN },
        { "of_her_own", ANN, ANN, 0, TOKEN_MADE, TOKEN_CODE_USED },
        { "of_root", 0, 0, 0, TOKEN_MADE, TOKEN_CODE_USED },
        { "of_another", ANN, BOB, 0, TOKEN_CODE_ANOTHERS, TOKEN_CODE_ANOTHERS },
        { "of_her_own_by_root", ANN, 0, 0, TOKEN_CODE_ANOTHERS, TOKEN_CODE_ANOTHERS },
        { "of_her_own_by_whom_nobody_knows", ANN, TOKENS_ANY_UID, 0, TOKEN_CODE_ANOTHERS, TOKEN_CODE_ANOTHERS },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct tokens *t = tokens_open();
        char           code[TOKEN_TEXT_BYTES], token[TOKEN_TEXT_BYTES] = "";
        const int64_t  now = 5 * NS_PER_SEC, then = now + rows[i].after_ns;

        tokens_make_code(t, rows[i].made_for, now, code);
        if (tokens_know(t, slice_of(code), now))
            fail_msg("%s: a code is a token", rows[i].name);
        if (tokens_exchange(t, slice_of(code), rows[i].by, then, token) != rows[i].first)
            fail_msg("%s: first", rows[i].name);
        if (tokens_know(t, slice_of(token), then) != (rows[i].first == TOKEN_MADE))
            fail_msg("%s: the token", rows[i].name);
        if (tokens_exchange(t, slice_of(code), rows[i].by, then, token) != rows[i].second)
            fail_msg("%s: second", rows[i].name);
        tokens_close(t);
    }
}

/* Another user's try does not take it from its owner. */
static void test_anothers_try_spoils_nothing(void **state)
{
    struct tokens *t = tokens_open();
    char           code[TOKEN_TEXT_BYTES], token[TOKEN_TEXT_BYTES];

    (void)state;
    tokens_make_code(t, ANN, 0, code);
    assert_int_equal(tokens_exchange(t, slice_of(code), BOB, 0, token), TOKEN_CODE_ANOTHERS);
    assert_int_equal(tokens_exchange(t, slice_of(code), ANN, 0, token), TOKEN_MADE);
    tokens_close(t);
}

static void new_session(struct tokens *t, int64_t now, char token[TOKEN_TEXT_BYTES])
{
    char code[TOKEN_TEXT_BYTES];

    tokens_make_code(t, TOKENS_ANY_UID, now, code);
    assert_int_equal(tokens_exchange(t, slice_of(code), TOKENS_ANY_UID, now, token), TOKEN_MADE);
}

static void test_a_session_ends(void **state)
{
    struct tokens *t = tokens_open();
    char           token[TOKEN_TEXT_BYTES], other[TOKEN_TEXT_BYTES];

    (void)state;
    new_session(t, 0, token);
    new_session(t, 1, other);
    assert_string_not_equal(token, other);
    assert_int_equal(strlen(token), TOKEN_TEXT_BYTES - 1);
    assert_true(tokens_know(t, slice_of(token), TOKENS_SESSION_NS - 1));
    assert_false(tokens_know(t, slice_of(token), TOKENS_SESSION_NS));
    tokens_forget(t, slice_of(token));
    assert_false(tokens_know(t, slice_of(token), 2));
    assert_true(tokens_know(t, slice_of(other), 2));
    tokens_close(t);
}

static void test_what_is_no_token(void **state)
{
    struct tokens *t = tokens_open();
    char           token[TOKEN_TEXT_BYTES], wrong[TOKEN_TEXT_BYTES + 1];

    (void)state;
    assert_false(tokens_know(t, SLICE(""), 0));
    assert_false(tokens_know(t, SLICE(""), -1));
    new_session(t, 0, token);
    for (unsigned i = 0; i < TOKEN_TEXT_BYTES - 1; i++) {
        memcpy(wrong, token, sizeof token);
        wrong[i] = wrong[i] == 'A' ? 'B' : 'A';
        assert_false(tokens_know(t, slice_of(wrong), 0));
    }
    memcpy(wrong, token, sizeof token);
    strcat(wrong, "A");
    assert_false(tokens_know(t, slice_of(wrong), 0));
    assert_false(tokens_know(t, slice_sub(slice_of(token), 0, 42), 0));
    assert_false(tokens_know(t, SLICE(""), 0));
    tokens_close(t);
}

/* They are bounded: the oldest goes, and the others stay. */
static void test_more_than_there_are_places(void **state)
{
    static char    tokens[TOKENS_SESSIONS_MOST + 1][TOKEN_TEXT_BYTES], codes[TOKENS_CODES_MOST + 1][TOKEN_TEXT_BYTES];
    struct tokens *t = tokens_open();
    char           token[TOKEN_TEXT_BYTES];

    (void)state;
    for (int i = 0; i <= TOKENS_SESSIONS_MOST; i++)
        new_session(t, i, tokens[i]);
    for (int i = 0; i <= TOKENS_SESSIONS_MOST; i++)
        assert_true(tokens_know(t, slice_of(tokens[i]), 100) == (i > 0));
    for (int i = 0; i <= TOKENS_CODES_MOST; i++)
        tokens_make_code(t, TOKENS_ANY_UID, 1000 + i, codes[i]);
    for (int i = 0; i <= TOKENS_CODES_MOST; i++)
        assert_int_equal(tokens_exchange(t, slice_of(codes[i]), ANN, 1100, token),
                         i > 0 ? TOKEN_MADE : TOKEN_CODE_UNKNOWN);
    tokens_close(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exchange),
        cmocka_unit_test(test_anothers_try_spoils_nothing),
        cmocka_unit_test(test_a_session_ends),
        cmocka_unit_test(test_what_is_no_token),
        cmocka_unit_test(test_more_than_there_are_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
