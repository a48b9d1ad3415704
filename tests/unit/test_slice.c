/*
 * Slices: comparing, cutting, numbers.
 */
#include "base/slice.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_compares_without_case(void **state)
{
    static const struct {
        const char *name, *a, *b;
        bool        equal;
    } rows[] = {
        { "same", "Accept", "Accept", true },
        { "case_differs", "aCCEPT", "Accept", true },
        { "both_empty", "", "", true },
        { "one_is_longer", "Accept", "Accepts", false },
        { "only_letters_fold", "a-b", "a\rb", false }, /* 0x2d and 0x0d */
        { "at_sign_is_not_a_backquote", "@", "`", false },
        { "bracket_is_not_a_brace", "[", "{", false },
        { "three_letters", "aGE", "Age", true },
        { "three_differ_in_the_last", "age", "agf", false },
        { "four_letters", "hOST", "Host", true },
        { "four_differ_in_the_first", "Host", "Most", false },
        { "seven_letters", "REfErEr", "Referer", true },
        { "seven_differ_in_the_middle", "Referer", "RefXrer", false },
        { "seven_differ_in_the_last", "Referer", "Referes", false },
        { "above_ascii_is_left_alone", "\xc4", "\xe4", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_eq_nocase(slice_of(rows[i].a), slice_of(rows[i].b)) != rows[i].equal)
            fail_msg("%s", rows[i].name);
    assert_true(slice_eq_nocase(SLICE_NONE, SLICE("")));
}

static void test_cuts_are_clamped(void **state)
{
    struct slice s = SLICE("abcdef");

    (void)state;
    assert_true(slice_eq(slice_sub(s, 1, 3), SLICE("bc")));
    assert_true(slice_eq(slice_sub(s, 4, 99), SLICE("ef")));
    assert_int_equal(slice_sub(s, 99, 100).len, 0);
    assert_int_equal(slice_sub(s, 3, 2).len, 0);
    assert_int_equal(slice_sub(SLICE_NONE, 1, 2).len, 0);
    assert_true(slice_starts_with(s, SLICE("abc")) && slice_starts_with(s, SLICE("")));
    assert_false(slice_starts_with(s, SLICE("bc")) || slice_starts_with(s, SLICE("abcdefg")));
    assert_true(slice_ends_with(s, SLICE("ef")) && slice_ends_with(s, s));
    assert_false(slice_ends_with(s, SLICE("de")) || slice_ends_with(s, SLICE("xabcdef")));
}

static void test_trims_only_blanks(void **state)
{
    static const struct {
        const char *name, *text, *trimmed;
    } rows[] = {
        { "nothing_to_do", "a b", "a b" },
        { "spaces_and_tabs", " \t a \t", "a" },
        { "all_blank", " \t ", "" },
        { "line_ends_stay", "\r\na\n", "\r\na\n" },
        { "empty", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (!slice_eq(slice_trim(slice_of(rows[i].text)), slice_of(rows[i].trimmed)))
            fail_msg("%s", rows[i].name);
}

static void test_finds_at_or_behind(void **state)
{
    struct slice s = SLICE("a,b,c");

    (void)state;
    assert_int_equal(slice_find(s, ',', 0), 1);
    assert_int_equal(slice_find(s, ',', 1), 1);
    assert_int_equal(slice_find(s, ',', 2), 3);
    assert_int_equal(slice_find(s, ',', 4), 5);
    assert_int_equal(slice_find(s, ',', 77), 5);
    assert_int_equal(slice_find(SLICE_NONE, ',', 0), 0);
}

static void test_reads_numbers(void **state)
{
    static const struct {
        const char *name, *text;
        bool        valid;
        int64_t     value;
    } rows[] = {
        { "zero", "0", true, 0 },
        { "leading_zeros", "007", true, 7 },
        { "largest", "9223372036854775807", true, INT64_MAX },
        { "one_more_than_largest", "9223372036854775808", false, 0 },
        { "a_digit_more", "92233720368547758070", false, 0 },
        { "empty", "", false, 0 },
        { "sign", "+1", false, 0 },
        { "negative", "-1", false, 0 },
        { "blank", " 1", false, 0 },
        { "behind", "1x", false, 0 },
        { "hexadecimal", "0x1", false, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = property_exact(slice_of(rows[i].text));
        int64_t      n = -77;
        bool         valid = slice_to_int64(text, &n);

        property_free(text);
        if (valid != rows[i].valid || n != (valid ? rows[i].value : -77))
            fail_msg("%s", rows[i].name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_compares_without_case), cmocka_unit_test(test_cuts_are_clamped),
        cmocka_unit_test(test_trims_only_blanks),     cmocka_unit_test(test_finds_at_or_behind),
        cmocka_unit_test(test_reads_numbers),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
