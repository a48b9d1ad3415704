/* The streaming JSON check against RFC 8259: each text whole, and a byte at a time. */
#include "http/json_check.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *text;
    bool        valid;
} rows[] = {
    { "empty_object", "{}", true },
    { "empty_array_with_space", " [ ] \r\n\t", true },
    { "nested", "{\"a\":[1,2,{\"b\":null}],\"c\":{\"d\":true,\"e\":false}}", true },
    { "top_level_string", "\"x\"", true },
    { "top_level_number", "12", true },
    { "top_level_zero", "0", true },
    { "negative_fraction_exponent", "-0.5e+10", true },
    { "large_exponent", "1E400", true },
    { "escapes", "\"\\\"\\\\\\/\\b\\f\\n\\r\\t\\u00e9\"", true },
    { "utf8", "\"\xc3\xa9 \xe2\x82\xac \xf0\x9f\x98\x80\"", true },
    { "duplicate_names_are_grammatical", "{\"a\":1,\"a\":2}", true },
    { "byte_order_mark", "\xef\xbb\xbf{\"a\":1}", true },
    { "byte_order_mark_and_space", "\xef\xbb\xbf\n[]", true },
    { "byte_order_mark_alone", "\xef\xbb\xbf", false },
    { "cut_byte_order_mark", "\xef\xbb{}", false },
    { "two_byte_order_marks", "\xef\xbb\xbf\xef\xbb\xbf{}", false },
    { "byte_order_mark_after_space", " \xef\xbb\xbf{}", false },
    { "byte_order_mark_after_value", "{}\xef\xbb\xbf", false },
    { "nothing", "", false },
    { "only_space", "  ", false },
    { "cut_object", "{\"a\":1", false },
    { "cut_string", "\"abc", false },
    { "cut_literal", "tru", false },
    { "cut_exponent", "1e", false },
    { "cut_fraction", "1.", false },
    { "lone_minus", "-", false },
    { "html", "<html>", false },
    { "trailing_comma_in_array", "[1,]", false },
    { "trailing_comma_in_object", "{\"a\":1,}", false },
    { "missing_colon", "{\"a\" 1}", false },
    { "name_without_quotes", "{a:1}", false },
    { "two_values", "1 2", false },
    { "value_behind_object", "{}{}", false },
    { "wrong_bracket", "[}", false },
    { "bracket_too_many", "[]]", false },
    { "leading_zero", "01", false },
    { "plus_sign", "+1", false },
    { "nan", "NaN", false },
    { "single_quotes", "'a'", false },
    { "bad_escape", "\"\\x\"", false },
    { "short_unicode_escape", "\"\\u12\"", false },
    { "newline_in_string", "\"a\nb\"", false },
    { "overlong_utf8", "\"\xc0\xaf\"", false },
    { "surrogate_in_utf8", "\"\xed\xa0\x80\"", false },
    { "cut_utf8", "\"\xe2\x82\"", false },
    { "stray_continuation", "\"\x80\"", false },
};

static void texts_are_judged(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct json_check whole = { 0 }, bytes = { 0 };
        size_t            n = strlen(rows[i].text);

        json_check_feed(&whole, rows[i].text, n);
        for (size_t k = 0; k < n; k++)
            json_check_feed(&bytes, rows[i].text + k, 1);
        if (json_check_end(&whole) != rows[i].valid || json_check_end(&bytes) != rows[i].valid)
            fail_msg("%s: is not judged %d", rows[i].name, rows[i].valid);
    }
}

static void nesting_is_bounded(void **state)
{
    struct json_check at = { 0 }, over = { 0 };

    (void)state;
    for (int i = 0; i < JSON_CHECK_DEPTH; i++)
        assert_true(json_check_feed(&at, "[", 1) && json_check_feed(&over, "[", 1));
    assert_false(json_check_feed(&over, "[", 1));
    for (int i = 0; i < JSON_CHECK_DEPTH; i++)
        json_check_feed(&at, "]", 1);
    assert_true(json_check_end(&at));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_are_judged),
        cmocka_unit_test(nesting_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
