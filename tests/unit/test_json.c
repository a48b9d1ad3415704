/*
 * The JSON writer, with Jansson as the judge of what it wrote.
 */
#include <jansson.h>

#include "http/json.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void test_strings(void **state)
{
    static const struct {
        const char *name, *text, *json;
    } rows[] = {
        { "plain", "abc /", "\"abc /\"" },
        { "empty", "", "\"\"" },
        { "quotes", "a\"b\\c", "\"a\\\"b\\\\c\"" },
        { "short_escapes", "\b\f\n\r\t", "\"\\b\\f\\n\\r\\t\"" },
        { "other_control_bytes", "\x01\x1f\x7f", "\"\\u0001\\u001f\\u007f\"" },
        { "utf8", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", "\"\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80\"" },
        { "latin1", "a\xe4z", "\"a\xef\xbf\xbdz\"" },
        { "lonely_continuation", "\x80", "\"\xef\xbf\xbd\"" },
        { "overlong", "\xc0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "overlong_three", "\xe0\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "surrogate", "\xed\xa0\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "last_before_surrogates", "\xed\x9f\xbf", "\"\xed\x9f\xbf\"" },
        { "over_10ffff", "\xf4\x90\x80\x80", "\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"" },
        { "cut_short", "a\xe2\x82", "\"a\xef\xbf\xbd\xef\xbf\xbd\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char            buffer[256];
        struct json_out o = { .buffer = buffer, .capacity = sizeof buffer };
        struct slice    text = property_exact(slice_of(rows[i].text));

        json_text(&o, text);
        if (o.overflow || !slice_eq((struct slice){ buffer, o.used }, slice_of(rows[i].json)))
            fail_msg("%s: %.*s", rows[i].name, (int)o.used, buffer);
        property_free(text);
    }
}

static void test_keys_bring_their_commas(void **state)
{
    char            buffer[256];
    struct json_out o = { .buffer = buffer, .capacity = sizeof buffer };

    (void)state;
    json_raw(&o, SLICE("{"));
    json_key(&o, "a");
    json_int(&o, INT64_MIN);
    json_key(&o, "b");
    json_raw(&o, SLICE("{"));
    json_key(&o, "c");
    json_int(&o, 0);
    json_raw(&o, SLICE("}"));
    json_key(&o, "d");
    json_text(&o, SLICE("{"));
    json_key(&o, "e");
    json_raw(&o, SLICE("[{"));
    json_key(&o, "f");
    json_raw(&o, SLICE("true}]}"));
    assert_false(o.overflow);
    assert_true(
        slice_eq((struct slice){ buffer, o.used }, SLICE("{\"a\":-9223372036854775808,\"b\":{\"c\":0},\"d\":\"{\","
                                                         "\"e\":[{\"f\":true}]}")));
}

/* In every smaller buffer it says so, writes not a byte beyond, and stays so. */
static void test_overflow_is_said(void **state)
{
    char   whole[256];
    size_t length = 0;

    (void)state;
    for (size_t capacity = sizeof whole; capacity-- > 0;) {
        char           *buffer = malloc(capacity > 0 ? capacity : 1);
        struct json_out o = { .buffer = buffer, .capacity = capacity };

        assert_non_null(buffer);
        json_raw(&o, SLICE("{"));
        json_key(&o, "key");
        json_text(&o, SLICE("a\n\x01\xff\xc3\xa4 text"));
        json_key(&o, "n");
        json_int(&o, 12345);
        json_raw(&o, SLICE("}"));
        assert_true(o.used <= capacity);
        if (length == 0)
            length = o.used;
        assert_int_equal(o.overflow, capacity < length);
        free(buffer);
    }
}

static void test_jansson_reads_it(void **state)
{
    static const char *const fragments[] = { "\"",   "\\",           "a",        "\n",           "\x01", "\xc3\xa4",
                                             "\xff", "\xed\xa0\x80", "\xf0\x9f", "\xe2\x82\xac", "/",    NULL };
    struct property          p = { 59 };

    (void)state;
    for (int i = 0; i < 5000; i++) {
        struct slice    text = property_text(&p, fragments, 20);
        char            buffer[4096];
        struct json_out o = { .buffer = buffer, .capacity = sizeof buffer };
        json_error_t    error;
        json_t         *read;

        json_text(&o, text);
        assert_false(o.overflow);
        read = json_loadb(buffer, o.used, JSON_DECODE_ANY | JSON_ALLOW_NUL, &error);
        if (read == NULL)
            fail_msg("%s: %.*s", error.text, (int)o.used, buffer);
        json_decref(read);
        property_free(text);
    }
}

/* Text that is UTF-8 comes back as it was. */
static void test_utf8_comes_back(void **state)
{
    static const size_t ranges[] = { 0x80, 0x800, 0x110000 };
    struct property     p = { 61 };

    (void)state;
    for (int i = 0; i < 5000; i++) {
        char            source[64], buffer[512];
        struct json_out o = { .buffer = buffer, .capacity = sizeof buffer };
        size_t          used = 0;
        json_t         *read;

        for (size_t n = property_below(&p, 12); n > 0; n--) {
            unsigned c = (unsigned)property_below(&p, ranges[n % 3]);

            if (c >= 0xd800 && c < 0xe000)
                continue;
            if (c < 0x80) {
                source[used++] = (char)c;
            } else if (c < 0x800) {
                source[used++] = (char)(0xc0 | c >> 6);
                source[used++] = (char)(0x80 | (c & 0x3f));
            } else if (c < 0x10000) {
                source[used++] = (char)(0xe0 | c >> 12);
                source[used++] = (char)(0x80 | (c >> 6 & 0x3f));
                source[used++] = (char)(0x80 | (c & 0x3f));
            } else {
                source[used++] = (char)(0xf0 | c >> 18);
                source[used++] = (char)(0x80 | (c >> 12 & 0x3f));
                source[used++] = (char)(0x80 | (c >> 6 & 0x3f));
                source[used++] = (char)(0x80 | (c & 0x3f));
            }
        }
        json_text(&o, (struct slice){ source, used });
        read = json_loadb(buffer, o.used, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
        assert_non_null(read);
        assert_int_equal(json_string_length(read), used);
        assert_memory_equal(json_string_value(read), source, used);
        json_decref(read);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_strings),          cmocka_unit_test(test_keys_bring_their_commas),
        cmocka_unit_test(test_overflow_is_said), cmocka_unit_test(test_jansson_reads_it),
        cmocka_unit_test(test_utf8_comes_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
