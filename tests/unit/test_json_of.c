/*
 * Texts, bytes and fields as JSON.
 */
#include "http/json_of.h"

#include "base/arena.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

static void check(const char *name, json_t *made, const char *want)
{
    char *text = json_dumps(made, JSON_COMPACT | JSON_ENCODE_ANY);

    if (text == NULL || strcmp(text, want) != 0)
        fail_msg("%s: %s instead of %s", name, text, want);
    free(text);
    json_decref(made);
}

static void test_texts(void **state)
{
    static const struct {
        const char  *name;
        struct slice text;
        const char  *want;
    } cases[] = {
        { "none_is_null", { NULL, 0 }, "null" },
        { "empty_is_empty", { "", 0 }, "\"\"" },
        { "ascii", { "a b", 3 }, "\"a b\"" },
        { "utf8_stays", { "caf\xc3\xa9", 5 }, "\"caf\xc3\xa9\"" },
        { "latin1_is_read_as_such", { "caf\xe9", 4 }, "\"caf\xc3\xa9\"" },
        { "a_half_character_is_two_of_latin1", { "\xc3", 1 }, "\"\xc3\x83\"" },
        { "no_byte_is_lost", { "\x80\xff", 2 }, "\"\xc2\x80\xc3\xbf\"" },
        { "nul_and_control", { "a\0\x01", 3 }, "\"a\\u0000\\u0001\"" },
        { "a_part_of_a_longer_text", { "abc", 2 }, "\"ab\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].name, json_of_text(cases[i].text), cases[i].want);
}

static void test_base64(void **state)
{
    static const struct {
        const char  *name;
        struct slice bytes;
        const char  *want;
    } cases[] = {
        { "none", { NULL, 0 }, "\"\"" },
        { "one", { "\xff", 1 }, "\"/w==\"" },
        { "three", { "a\0b", 3 }, "\"YQBi\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        check(cases[i].name, json_of_base64(cases[i].bytes), cases[i].want);
}

static void test_fields(void **state)
{
    struct arena       a = { 0 };
    struct http_fields f = { 0 };

    (void)state;
    check("no_fields", json_of_fields(&f, json_of_text), "[]");
    http_fields_add(&f, &a, SLICE("A"), SLICE("1"));
    http_fields_add(&f, &a, SLICE("a"), SLICE("\xe9"));
    check("in_their_order", json_of_fields(&f, json_of_text), "[[\"A\",\"1\"],[\"a\",\"\xc3\xa9\"]]");
    check("values_in_another_form", json_of_fields(&f, json_of_base64), "[[\"QQ==\",\"MQ==\"],[\"YQ==\",\"6Q==\"]]");
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts),
        cmocka_unit_test(test_base64),
        cmocka_unit_test(test_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
