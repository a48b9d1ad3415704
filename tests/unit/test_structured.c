/*
 * Structured fields: RFC 8941 and RFC 9651.
 */
#include "http/structured.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_bare_items(void **state)
{
    static const struct {
        const char  *name, *text;
        bool         valid;
        enum sf_type type;
        int64_t      integer;
        const char  *item;
    } rows[] = {
        { "integer", "42", true, SF_INTEGER, 42, "42" },
        { "negative", "-42", true, SF_INTEGER, -42, "-42" },
        { "zeros", "-0042", true, SF_INTEGER, -42, "-0042" },
        { "fifteen_digits", "999999999999999", true, SF_INTEGER, INT64_C(999999999999999), "999999999999999" },
        { "decimal", "1.5", true, SF_DECIMAL, 1500, "1.5" },
        { "negative_decimal", "-0.125", true, SF_DECIMAL, -125, "-0.125" },
        { "largest_decimal", "999999999999.999", true, SF_DECIMAL, INT64_C(999999999999999), "999999999999.999" },
        { "string", "\"a b\"", true, SF_STRING, 0, "a b" },
        { "empty_string", "\"\"", true, SF_STRING, 0, "" },
        { "escapes", "\"a\\\"b\\\\\"", true, SF_STRING, 0, "a\"b\\" },
        { "token", "foo:bar/baz*", true, SF_TOKEN, 0, "foo:bar/baz*" },
        { "token_with_a_star", "*foo", true, SF_TOKEN, 0, "*foo" },
        { "token_in_capitals", "Foo", true, SF_TOKEN, 0, "Foo" },
        { "true", "?1", true, SF_BOOLEAN, 1, "?1" },
        { "false", "?0", true, SF_BOOLEAN, 0, "?0" },
        { "binary", ":aGVsbG8=:", true, SF_BINARY, 0, ":aGVsbG8=:" },
        { "empty_binary", "::", true, SF_BINARY, 0, "::" },
        { "date", "@1659578233", true, SF_DATE, 1659578233, "@1659578233" },
        { "date_before_the_epoch", "@-1", true, SF_DATE, -1, "@-1" },
        { "display_string", "%\"f%c3%bc\"", true, SF_DISPLAY, 0, "%\"f%c3%bc\"" },
        { "inner_list", "(a \"b\";x 1)", true, SF_INNER_LIST, 0, "(a \"b\";x 1)" },
        { "empty_inner_list", "( )", true, SF_INNER_LIST, 0, "( )" },
        { "spaces_around", "  1  ", true, SF_INTEGER, 1, "1" },

        { "sixteen_digits", "1000000000000000", false, 0, 0, NULL },
        { "thirteen_digits_and_a_point", "1000000000000.0", false, 0, 0, NULL },
        { "four_decimals", "1.0000", false, 0, 0, NULL },
        { "point_at_the_end", "1.", false, 0, 0, NULL },
        { "point_at_the_front", ".1", false, 0, 0, NULL },
        { "two_points", "1.1.1", false, 0, 0, NULL },
        { "sign_only", "-", false, 0, 0, NULL },
        { "two_signs", "--1", false, 0, 0, NULL },
        { "plus", "+1", false, 0, 0, NULL },
        { "number_and_letter", "1a", false, 0, 0, NULL },
        { "unclosed_string", "\"a", false, 0, 0, NULL },
        { "backslash_at_the_end", "\"a\\", false, 0, 0, NULL },
        { "other_escape", "\"a\\n\"", false, 0, 0, NULL },
        { "control_byte_in_a_string", "\"a\x01\"", false, 0, 0, NULL },
        { "utf8_in_a_string", "\"\xc3\xa4\"", false, 0, 0, NULL },
        { "single_quotes", "'a'", false, 0, 0, NULL },
        { "boolean_without_a_digit", "?", false, 0, 0, NULL },
        { "boolean_two", "?2", false, 0, 0, NULL },
        { "boolean_word", "?true", false, 0, 0, NULL },
        { "unclosed_binary", ":aGVsbG8=", false, 0, 0, NULL },
        { "odd_byte_in_binary", ":a-b:", false, 0, 0, NULL },
        { "date_with_a_point", "@1.5", false, 0, 0, NULL },
        { "date_without_a_number", "@", false, 0, 0, NULL },
        { "display_in_capitals", "%\"%C3\"", false, 0, 0, NULL },
        { "display_cut_short", "%\"%c", false, 0, 0, NULL },
        { "display_unclosed", "%\"a", false, 0, 0, NULL },
        { "display_without_quotes", "%a", false, 0, 0, NULL },
        { "unclosed_inner_list", "(a b", false, 0, 0, NULL },
        { "inner_list_without_blanks", "(\"a\"\"b\")", false, 0, 0, NULL },
        { "inner_list_in_an_inner_list", "((a))", false, 0, 0, NULL },
        { "tab_at_the_front", "\t1", false, 0, 0, NULL },
        { "ampersands", "&&&&&", false, 0, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena      a = { 0 };
        struct slice      text = property_exact(slice_of(rows[i].text));
        struct sf_members list = { NULL, 77 };
        bool              valid = sf_parse_list(text, &a, &list);

        if (valid != rows[i].valid || list.count != (valid ? 1 : 77))
            fail_msg("%s", rows[i].name);
        if (valid && (list.items[0].value.type != rows[i].type || list.items[0].value.integer != rows[i].integer ||
                      !slice_eq(list.items[0].value.text, slice_of(rows[i].item))))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(list.items[0].value.text));
        property_free(text);
        arena_free(&a);
    }
}

static struct slice written(const struct sf_members *members, struct arena *a)
{
    struct slice all = arena_printf(a, "%s", "");

    for (unsigned i = 0; i < members->count; i++) {
        const struct sf_member *m = &members->items[i];

        all = arena_printf(a, SLICE_FMT "%s" SLICE_FMT "=" SLICE_FMT, SLICE_ARG(all), i > 0 ? " | " : "",
                           SLICE_ARG(m->key), SLICE_ARG(m->value.text));
        if (m->value.type == SF_BOOLEAN)
            all = arena_printf(a, SLICE_FMT "<%d>", SLICE_ARG(all), (int)m->value.integer);
        for (unsigned k = 0; k < m->parameter_count; k++)
            all = arena_printf(a, SLICE_FMT ";" SLICE_FMT "=" SLICE_FMT, SLICE_ARG(all),
                               SLICE_ARG(m->parameters[k].key), SLICE_ARG(m->parameters[k].value.text));
    }
    return all;
}

static void test_dictionaries(void **state)
{
    static const struct {
        const char *name, *text, *members;
    } rows[] = {
        { "cache_control", "max-age=60, no-store", "max-age=60 | no-store=<1>" },
        { "blanks_and_tabs", "a=1 ,\tb=2", "a=1 | b=2" },
        { "parameters", "a=1;x;y=2 , b;z=\"q\"", "a=1;x=;y=2 | b=<1>;z=q" },
        { "blanks_before_a_parameter", "a=1;  x=2", "a=1;x=2" },
        { "last_value_at_the_first_place", "a=1, b=2, a=3", "a=3 | b=2" },
        { "last_value_brings_its_parameters", "a=1;x=1, a=2;y=2", "a=2;y=2" },
        { "repeated_parameter", "a;x=1;y=2;x=3", "a=<1>;x=3;y=2" },
        { "keys", "*a-b_c.d*1=1", "*a-b_c.d*1=1" },
        { "ratelimit", "\"default\"", NULL },
        { "empty", "", "" },
        { "spaces_only", "  ", "" },
        { "trailing_comma", "a=1,", NULL },
        { "leading_comma", ",a=1", NULL },
        { "empty_member", "a=1,,b=2", NULL },
        { "no_comma", "a=1 b=2", NULL },
        { "key_in_capitals", "Max-Age=60", NULL },
        { "key_begins_with_a_digit", "1a=2", NULL },
        { "blank_before_the_sign", "a =1", NULL },
        { "blank_behind_the_sign", "a= 1", NULL },
        { "no_value_behind_the_sign", "a=", NULL },
        { "blank_before_the_semicolon", "a=1 ;x", NULL },
        { "parameter_in_capitals", "a;X", NULL },
        { "junk_behind", "max-age=10000, &&&&&", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena      a = { 0 };
        struct slice      text = property_exact(slice_of(rows[i].text));
        struct sf_members members;
        bool              valid = sf_parse_dictionary(text, &a, &members);

        if (valid != (rows[i].members != NULL))
            fail_msg("%s", rows[i].name);
        if (valid && !slice_eq(written(&members, &a), slice_of(rows[i].members)))
            fail_msg("%s: %s", rows[i].name, written(&members, &a).ptr);
        property_free(text);
        arena_free(&a);
    }
}

static void test_lists(void **state)
{
    static const struct {
        const char *name, *text, *members;
    } rows[] = {
        { "ratelimit", "\"default\";r=50;t=30, \"daily\";r=1", "=default;r=50;t=30 | =daily;r=1" },
        { "cache_status", "weir; hit; ttl=30, \"x y\"; fwd=miss", "=weir;hit=;ttl=30 | =x y;fwd=miss" },
        { "the_same_item_twice", "a, a", "=a | =a" },
        { "trailing_comma", "a,", NULL },
        { "no_comma", "a b", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena      a = { 0 };
        struct sf_members members;
        bool              valid = sf_parse_list(slice_of(rows[i].text), &a, &members);
        struct slice      shown = valid ? written(&members, &a) : SLICE_NONE;

        /* a parameter without a value shows as an empty one */
        if (valid != (rows[i].members != NULL) || !slice_eq(shown, slice_of(rows[i].members)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(shown));
        arena_free(&a);
    }
}

static void test_limits_hold(void **state)
{
    (void)state;
    for (unsigned count = SF_MEMBERS_MAX - 1; count <= SF_MEMBERS_MAX + 1; count++) {
        struct arena      a = { 0 };
        char             *text = arena_alloc(&a, (size_t)count * 8);
        struct sf_members members;
        size_t            used = 0;

        for (unsigned i = 0; i < count; i++)
            used += (size_t)sprintf(text + used, "%sa%u", i > 0 ? "," : "", i);
        assert_int_equal(sf_parse_dictionary((struct slice){ text, used }, &a, &members), count <= SF_MEMBERS_MAX);
        if (count <= SF_MEMBERS_MAX)
            assert_int_equal(members.count, count);
        arena_free(&a);
    }
}

static void test_strings_are_written(void **state)
{
    struct arena a = { 0 };

    (void)state;
    assert_true(slice_eq(sf_string(SLICE("a\"b\\c"), &a), SLICE("\"a\\\"b\\\\c\"")));
    assert_true(slice_eq(sf_string(SLICE("\n\x7f\xc3\xa4~ "), &a), SLICE("\"????~ \"")));
    assert_true(slice_eq(sf_string(SLICE_NONE, &a), SLICE("\"\"")));
    arena_free(&a);
}

static void test_written_strings_are_read(void **state)
{
    static const char *const fragments[] = { "\"", "\\", "a", " ", ",", ";", "=", NULL };
    struct property          p = { 67 };

    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct arena      a = { 0 };
        struct slice      text = property_text(&p, fragments, 12), source;
        char             *printable = arena_alloc(&a, text.len);
        struct sf_members list;

        for (size_t k = 0; k < text.len; k++)
            printable[k] = text.ptr[k] >= 0x20 && text.ptr[k] < 0x7f ? text.ptr[k] : '?';
        source = property_exact(sf_string(text, &a));
        assert_true(sf_parse_list(source, &a, &list) && list.count == 1);
        assert_true(list.items[0].value.type == SF_STRING);
        assert_true(slice_eq(list.items[0].value.text, (struct slice){ printable, text.len }));
        property_free(source);
        property_free(text);
        arena_free(&a);
    }
}

/* What a valid field is made of parses alone to the same. */
static void test_members_parse_alone(void **state)
{
    static const char *const fragments[] = { "a", "b=", "1",  "-2.5",   ",",  ", ",        ";", "\"x\\\"\"", "(",
                                             ")", " ",  "?1", ":YQ==:", "@3", "%\"a%20\"", "=", "*t",        NULL };
    struct property          p = { 71 };
    int                      parsed = 0;

    (void)state;
    for (int i = 0; i < 30000; i++) {
        struct arena      a = { 0 };
        struct slice      text = property_text(&p, fragments, 10);
        struct sf_members members;

        sf_parse_list(text, &a, &members);
        if (sf_parse_dictionary(text, &a, &members) && members.count > 0) {
            parsed++;
            for (unsigned k = 0; k < members.count; k++) {
                struct sf_member *m = &members.items[k];
                struct slice      alone;
                struct sf_members again;

                if (m->value.text.ptr == NULL || m->value.type == SF_STRING)
                    continue;
                alone = arena_printf(&a, SLICE_FMT "=" SLICE_FMT, SLICE_ARG(m->key), SLICE_ARG(m->value.text));
                assert_true(sf_parse_dictionary(alone, &a, &again) && again.count == 1);
                assert_true(again.items[0].value.type == m->value.type &&
                            again.items[0].value.integer == m->value.integer);
            }
        }
        property_free(text);
        arena_free(&a);
    }
    assert_true(parsed > 500);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bare_items),
        cmocka_unit_test(test_dictionaries),
        cmocka_unit_test(test_lists),
        cmocka_unit_test(test_limits_hold),
        cmocka_unit_test(test_strings_are_written),
        cmocka_unit_test(test_written_strings_are_read),
        cmocka_unit_test(test_members_parse_alone),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
