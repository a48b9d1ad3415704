/*
 * Where values begin and end in a document, against Jansson; and texts that come in pieces, whatever the pieces.
 */
#include <jansson.h>

#include "http/utf8.h"
#include "jobs/scan.h"

#include "base/fault.h"

#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static struct spool *spool_of(const char *text, size_t bytes)
{
    struct spool *s = spool_new(-1);
    struct fault  why;

    assert_int_equal(spool_write(s, text, bytes, &why), 0);
    return s;
}

static json_t *parse(struct slice text)
{
    return json_loadb(text.ptr, text.len, JSON_DECODE_ANY | JSON_ALLOW_NUL, NULL);
}

static const char *const documents[] = {
    "[]",
    " [ ] ",
    "{}",
    "[1,2,3]",
    "[ \"a\" , [ \"b]\\\"\" , {\"c\":\"}\"} ] , null , -1.5e3 , true ]",
    "{\"a\":1,\"b\":[1,{\"x\":\"\\\\\"}],\"\\\"}\":\"{\",\"e\":\"\\u00e4\"}",
    "[[[[[[]]]],{}],\"\",{\"\":\"\"}]",
    "\n{\n \"requests\" : [ \"/a\" ] ,\t\"take\" : 1 }\r\n",
};

static json_t *text_at(struct json_scan *s, struct span at, struct arena *a)
{
    json_t *v = parse(scan_text(s, at, a));

    assert_non_null(v);
    return v;
}

static void compare(const char *text)
{
    struct spool    *body = spool_of(text, strlen(text));
    json_t          *whole = parse(slice_of(text)), *again;
    struct json_scan s;
    struct arena     a = { 0 };
    struct span      key, value;

    assert_non_null(whole);
    again = json_is_array(whole) ? json_array() : json_object();
    scan_begin(&s, body, 0);
    scan_enter(&s);
    while (scan_next(&s, json_is_object(whole) ? &key : NULL, &value)) {
        json_t *v = text_at(&s, value, &a), *name = json_is_object(whole) ? text_at(&s, key, &a) : NULL;

        if (name == NULL)
            json_array_append_new(again, v);
        else
            json_object_set_new(again, json_string_value(name), v);
        json_decref(name);
    }
    if (!json_equal(whole, again))
        fail_msg("%s", text);
    assert_int_equal(scan_peek(&s), '\0');
    json_decref(whole);
    json_decref(again);
    arena_free(&a);
    spool_release(body);
}

static void test_members(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof documents / sizeof *documents; i++)
        compare(documents[i]);
}

/* Values and escapes across the window's end, wherever that is. */
static void test_longer_than_the_window(void **state)
{
    (void)state;
    for (size_t filler = SCAN_WINDOW_BYTES - 40; filler < SCAN_WINDOW_BYTES + 2; filler++) {
        char *text = malloc(filler + 128);

        sprintf(text, "[\"%0*d\",\"a\\\\\\\"]\",{\"k\":[\"\\u00e4\"]},12345]", (int)filler, 0);
        compare(text);
        free(text);
    }
}

static void test_utf8(void **state)
{
    static const struct {
        const char *fact, *text;
        bool        good;
    } rows[] = {
        { "ASCII", "abc\x7f", true },
        { "two, three and four bytes", "\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80", true },
        { "the highest", "\xf4\x8f\xbf\xbf", true },
        { "over it", "\xf4\x90\x80\x80", false },
        { "a surrogate", "\xed\xa0\x80", false },
        { "before the surrogates", "\xed\x9f\xbf", true },
        { "two bytes for what one can say", "\xc0\x80", false },
        { "three bytes for what two can say", "\xe0\x9f\xbf", false },
        { "four bytes for what three can say", "\xf0\x8f\xbf\xbf", false },
        { "a byte that continues nothing", "a\x80", false },
        { "one that is missing", "\xe2\x82", false },
        { "another in its place", "\xe2\x82z", false },
        { "no such byte", "\xff", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (size_t cut = 0; cut <= strlen(rows[i].text); cut++) {
            struct utf8_check u = { 0 };

            utf8_check_feed(&u, rows[i].text, cut);
            utf8_check_feed(&u, rows[i].text + cut, strlen(rows[i].text) - cut);
            if (utf8_check_end(&u) != rows[i].good)
                fail_msg("%s, cut at %zu", rows[i].fact, cut);
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_members),
        cmocka_unit_test(test_longer_than_the_window),
        cmocka_unit_test(test_utf8),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
