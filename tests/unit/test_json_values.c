/*
 * Numbers out of JSON and of event streams, whole and in pieces of every size.
 */
#include "http/json_values.h"

#include "base/arena.h"

#include <stdio.h>

#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct case_row {
    const char *name, *pointer, *text;
    bool        is_stream, found;
    double      value;
};

static const struct case_row rows[] = {
    { "a member", "/a", "{\"a\":7}", false, true, 7 },
    { "a member of a member", "/usage/total_tokens",
      "{\"id\":\"x\",\"usage\":{\"prompt_tokens\":3,\"total_tokens\":12}}", false, true, 12 },
    { "the last of two", "/a", "{\"a\":1,\"a\":2}", false, true, 2 },
    { "a fraction and an exponent", "/a", "{\"a\":-1.5e2}", false, true, -150 },
    { "not at another depth", "/a", "{\"b\":{\"a\":1}}", false, false, 0 },
    { "not below a like name", "/a/b", "{\"c\":{\"b\":1},\"a\":2,\"d\":{\"b\":3}}", false, false, 0 },
    { "after a container of the like", "/a/b", "{\"a\":{\"c\":{\"b\":9}},\"a\":{\"b\":4}}", false, true, 4 },
    { "an element", "/a/1", "{\"a\":[5,6,7]}", false, true, 6 },
    { "an element after strings and objects", "/a/3/n", "{\"a\":[\"s\",{\"n\":1},[2],{\"n\":8}]}", false, true, 8 },
    { "a name that is a number", "/a/1", "{\"a\":{\"1\":5}}", false, true, 5 },
    { "no element has a leading zero", "/a/01", "{\"a\":[5,6]}", false, false, 0 },
    { "a slash and a tilde in a name", "/a~1b/~0c", "{\"a/b\":{\"~c\":3}}", false, true, 3 },
    { "a name with an escape", "/ab", "{\"\\u0061b\":3}", false, true, 3 },
    { "a string is no number", "/a", "{\"a\":\"7\"}", false, false, 0 },
    { "null is no number", "/a", "{\"a\":null}", false, false, 0 },
    { "cut short", "/a", "{\"a\":7", false, false, 0 },
    { "broken", "/a", "{\"a\":7}}", false, false, 0 },
    { "no JSON", "/a", "<a>7</a>", false, false, 0 },
    { "nothing", "/a", "", false, false, 0 },
    { "an event", "/a", "data: {\"a\":7}\n\n", true, true, 7 },
    { "the last event counts", "/a", "data: {\"a\":7}\n\ndata: {\"b\":1}\n\ndata: {\"a\":9}\n\ndata: [DONE]\n\n", true,
      true, 9 },
    { "null after a value leaves it", "/u/t", "data: {\"u\":{\"t\":5}}\n\ndata: {\"u\":null}\n\n", true, true, 5 },
    { "an event that is no JSON is passed over", "/a", "data: {\"a\":7\n\ndata: nonsense\n\ndata: {\"b\":2}\n\n", true,
      true, 7 },
    { "events with names, ids and comments", "/m/t", "event: x\nid: 4\ndata: {\"m\":{\"t\":3}}\n\n: ping\n\n", true,
      true, 3 },
    { "lines that end with CR and LF", "/a", "event: x\r\ndata: {\"a\":1}\r\n\r\ndata: {\"a\":2}\r\n\r\n", true, true,
      2 },
    { "lines that end with CR", "/a", "data: {\"a\":1}\r\rdata: {\"a\":2}\r\r", true, true, 2 },
    { "data over several lines", "/a", "data: {\ndata: \"a\":\ndata: 6}\n\n", true, true, 6 },
    { "no space after the colon", "/a", "data:{\"a\":6}\n\n", true, true, 6 },
    { "without an empty line at the end", "/a", "data: {\"a\":6}\n", true, true, 6 },
    { "another field", "/a", "xdata: {\"a\":6}\n\n", true, false, 0 },
};

static bool read_in_pieces(const struct case_row *r, size_t bytes, double *out)
{
    struct json_values *v = json_values_open(&r->pointer, 1, r->is_stream);
    size_t              length = strlen(r->text);
    bool                found;

    for (size_t at = 0; at < length; at += bytes) {
        size_t count = length - at < bytes ? length - at : bytes;
        char  *piece = malloc(count); /* of its own, so that a byte read beyond is seen */

        memcpy(piece, r->text + at, count);
        json_values_feed(v, piece, count);
        free(piece);
    }
    json_values_end(v);
    found = json_values_at(v, r->pointer, out);
    json_values_close(v);
    return found;
}

static void test_table(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t bytes = 1; bytes < 80; bytes++) {
            double value = 0;
            bool   found = read_in_pieces(&rows[i], bytes, &value);

            if (found != rows[i].found || (found && (value < rows[i].value || value > rows[i].value)))
                fail_msg("%s, in pieces of %zu: %s %g", rows[i].name, bytes, found ? "found" : "not found", value);
        }
}

/* A string of megabytes, with escapes all over, between what is looked for. */
static void test_long_strings(void **state)
{
    static const char *const pointers[] = { "/a", "/z" };
    static const char *const fillers[] = { "x", "\\u4e2d", "\\\\", "\\\"", "ab\\n" };

    (void)state;
    for (size_t k = 0; k < sizeof fillers / sizeof fillers[0]; k++)
        for (size_t bytes = 1; bytes < 5000; bytes = bytes * 3 + 1) {
            struct json_values *v = json_values_open(pointers, 2, false);
            size_t              unit = strlen(fillers[k]), length = 0;
            char               *text = malloc(400000);
            double              a = 0, z = 0;

            length = (size_t)sprintf(text, "{\"a\":1,\"s\":\"");
            for (unsigned i = 0; i < 30000; i++, length += unit)
                memcpy(text + length, fillers[k], unit);
            length += (size_t)sprintf(text + length, "\",\"z\":2}");
            for (size_t at = 0; at < length; at += bytes)
                json_values_feed(v, text + at, length - at < bytes ? length - at : bytes);
            json_values_end(v);
            if (!json_values_number(v, 0, &a) || !json_values_number(v, 1, &z) || a < 1 || z < 2)
                fail_msg("filler %s, pieces of %zu", fillers[k], bytes);
            json_values_close(v);
            free(text);
        }
}

/* What nobody means costs no memory: it is given up. */
static void test_bounds(void **state)
{
    static const char *const pointers[] = { "/a" };
    struct json_values      *v = json_values_open(pointers, 1, false);
    double                   a;

    (void)state;
    json_values_feed(v, "{\"a\":", 5);
    for (unsigned i = 0; i < 20000; i++)
        json_values_feed(v, "1", 1);
    json_values_feed(v, "}", 1);
    json_values_end(v);
    assert_false(json_values_number(v, 0, &a));
    json_values_close(v);
    v = json_values_open(pointers, 1, false);
    for (unsigned i = 0; i < 2000; i++)
        json_values_feed(v, "[", 1);
    json_values_end(v);
    assert_false(json_values_number(v, 0, &a));
    json_values_close(v);
    v = json_values_open(NULL, 0, true);
    json_values_feed(v, "data: {}\n\n", 10);
    json_values_end(v);
    assert_false(json_values_at(v, "/a", &a));
    json_values_close(v);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_long_strings),
        cmocka_unit_test(test_bounds),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
