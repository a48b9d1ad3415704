/*
 * Comma-separated lists, parameters, quoted strings.
 */
#include "http/list.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* The members with " | " between them. */
static struct slice members_of(struct http_list list, struct arena *a)
{
    struct slice all = SLICE(""), member;

    while (http_list_next(&list, &member)) {
        assert_true(member.len > 0);
        all = arena_printf(a, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(all), all.len > 0 ? " | " : "", SLICE_ARG(member));
    }
    return all;
}

static void test_members_of_a_value(void **state)
{
    static const struct {
        const char *name, *value, *members;
    } rows[] = {
        { "one", "a", "a" },
        { "several", "a, b,c ,\td", "a | b | c | d" },
        { "empty_members_are_passed_over", ",, a, ,b,", "a | b" },
        { "nothing", "", "" },
        { "only_commas", " , ,, ", "" },
        { "comma_in_quotes", "a=\"1, 2\", b", "a=\"1, 2\" | b" },
        { "escaped_quote", "a=\"1\\\", 2\", b", "a=\"1\\\", 2\" | b" },
        { "escaped_backslash", "a=\"1\\\\\", b", "a=\"1\\\\\" | b" },
        { "unclosed_quote_hides_nothing", "a=\"1, no-store", "a=\"1 | no-store" },
        { "unclosed_behind_a_closed_one", "a=\"1,2\", b=\"3, c", "a=\"1,2\" | b=\"3 | c" },
        { "backslash_at_the_end_of_quotes", "a=\"1, b\\", "a=\"1 | b\\" },
        { "backslash_outside_of_quotes", "a\\, b", "a\\ | b" },
        { "single_quotes_are_no_quotes", "a='1, 2'", "a='1 | 2'" },
        { "entity_tags", "W/\"a,b\", \"c\"", "W/\"a,b\" | \"c\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice value = property_exact(slice_of(rows[i].value));
        struct slice members = members_of(http_list_of_value(value), &a);

        if (!slice_eq(members, slice_of(rows[i].members)))
            fail_msg("%s: %s", rows[i].name, members.ptr);
        property_free(value);
        arena_free(&a);
    }
}

static void test_members_over_lines(void **state)
{
    static const struct {
        const char *name, *lines, *members;
    } rows[] = {
        { "no_line", "A: 1\n", "" },
        { "two_lines", "Vary: a, b\nA: 1\nvary: c\n", "a | b | c" },
        { "empty_lines", "Vary:\nVary: ,\nVary: a\nVary:\n", "a" },
        { "quotes_do_not_reach_over_lines", "Vary: a=\"1\nVary: b, c\"\n", "a=\"1 | b | c\"" },
        { "quotes_work_again_on_the_next_line", "Vary: \"\nVary: \"b,c\"\n", "\" | \"b,c\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  h = head_of(rows[i].lines);
        struct slice members = members_of(http_list_of_field(&h.fields, HTTP_VARY), &h.arena);

        if (!slice_eq(members, slice_of(rows[i].members)))
            fail_msg("%s: %s", rows[i].name, members.ptr);
        head_free(&h);
    }
}

static void test_parameters(void **state)
{
    static const struct {
        const char *name, *member, *key, *value;
    } rows[] = {
        { "with_value", "a=1", "a", "1" },
        { "without", "a", "a", NULL },
        { "empty_value", "a=", "a", "" },
        { "second_equals_sign_is_value", "a=b=c", "a", "b=c" },
        { "blanks_stay", "a =1", "a ", "1" },
        { "blank_behind", "a= 1", "a", " 1" },
        { "quoted", "a=\"x=y\"", "a", "\"x=y\"" },
        { "equals_sign_in_quotes", "\"a=b\"=c", "\"a=b\"", "c" },
        { "empty", "", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice key, value;

        http_split_parameter(slice_of(rows[i].member), &key, &value);
        if (!slice_eq(key, slice_of(rows[i].key)) || !slice_eq(value, slice_of(rows[i].value)) ||
            (value.ptr == NULL) != (rows[i].value == NULL))
            fail_msg("%s", rows[i].name);
    }
}

static void test_quoted_strings(void **state)
{
    static const struct {
        const char *name, *value, *text;
    } rows[] = {
        { "token", "abc", "abc" },
        { "quoted", "\"a b\"", "a b" },
        { "empty", "\"\"", "" },
        { "escapes", "\"a\\\"b\\\\c\\d\"", "a\"b\\cd" },
        { "one_quote", "\"", "\"" },
        { "unclosed", "\"abc", "\"abc" },
        { "closing_quote_is_escaped", "\"abc\\\"", "\"abc\\\"" },
        { "quote_in_the_middle", "\"a\"b\"", "\"a\"b\"" },
        { "nothing", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice value = property_exact(slice_of(rows[i].value));

        if (!slice_eq(http_unquote(value, &a), slice_of(rows[i].text)))
            fail_msg("%s", rows[i].name);
        property_free(value);
        arena_free(&a);
    }
}

/* Members lie in order within the value and between them there is nothing but what separates. */
static void test_members_cover_the_value(void **state)
{
    static const char *const fragments[] = { ",",  "\"",      "\\", "a", " ", "\t", "=", "max-age=\"1\"",
                                             ", ", "\"a,b\"", NULL };
    struct property          p = { 31 };

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct slice     value = property_text(&p, fragments, 20);
        struct http_list list = http_list_of_value(value);
        const char      *at = value.ptr;
        struct slice     member;

        while (http_list_next(&list, &member)) {
            assert_true(member.len > 0 && member.ptr >= at);
            for (; at < member.ptr; at++)
                assert_true(*at == ',' || *at == ' ' || *at == '\t');
            at = member.ptr + member.len;
        }
        for (; at < value.ptr + value.len; at++)
            assert_true(*at == ',' || *at == ' ' || *at == '\t');
        property_free(value);
    }
}

static void test_quoting_comes_back(void **state)
{
    static const char *const fragments[] = { "\"", "\\", "a", ",", NULL };
    struct property          p = { 37 };

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct arena a = { 0 };
        struct slice text = property_text(&p, fragments, 10);
        char        *quoted = arena_alloc(&a, text.len * 2 + 2);
        size_t       used = 0;

        quoted[used++] = '"';
        for (size_t k = 0; k < text.len; k++) {
            if (text.ptr[k] == '"' || text.ptr[k] == '\\')
                quoted[used++] = '\\';
            quoted[used++] = text.ptr[k];
        }
        quoted[used++] = '"';
        assert_true(slice_eq(http_unquote((struct slice){ quoted, used }, &a), text));
        property_free(text);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members_of_a_value),
        cmocka_unit_test(test_members_over_lines),
        cmocka_unit_test(test_parameters),
        cmocka_unit_test(test_quoted_strings),
        cmocka_unit_test(test_members_cover_the_value),
        cmocka_unit_test(test_quoting_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
