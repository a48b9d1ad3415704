/*
 * Multipart bodies in their parts (RFC 2046 5.1), and the key that comes of them and of JSON without what is ignored.
 */
#include "http/multipart.h"

#include "head.h"
#include "policy/key.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#define FORM(b) "multipart/form-data; boundary=" b

static void test_boundaries(void **state)
{
    static const struct {
        const char *name, *type, *boundary; /* NULL: none */
    } rows[] = {
        { "plain", FORM("abc"), "abc" },
        { "quoted", "multipart/form-data; boundary=\"a b:c\"", "a b:c" },
        { "any_case", "Multipart/Related; TYPE=\"x\"; Boundary=abc", "abc" },
        { "after_a_quoted_semicolon", "multipart/related; type=\"a;boundary=no\"; boundary=yes", "yes" },
        { "no_multipart", "application/json; boundary=abc", NULL },
        { "none", "multipart/form-data", NULL },
        { "empty", FORM(""), NULL },
        { "ends_in_a_blank", "multipart/form-data; boundary=\"abc \"", NULL },
        { "a_byte_that_is_none", FORM("a\"b"), NULL },
        { "longer_than_70", FORM("0123456789012345678901234567890123456789012345678901234567890123456789x"), NULL },
        { "of_70", FORM("0123456789012345678901234567890123456789012345678901234567890123456789"),
          "0123456789012345678901234567890123456789012345678901234567890123456789" },
        { "nothing", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice got = http_multipart_boundary(slice_of(rows[i].type));

        if ((got.ptr != NULL) != (rows[i].boundary != NULL) || !slice_eq(got, slice_of(rows[i].boundary)))
            fail_msg("%s: '" SLICE_FMT "'", rows[i].name, SLICE_ARG(got));
    }
}

static void test_parts(void **state)
{
    static const struct {
        const char *name, *body;
        bool        whole;
        const char *parts; /* "head=content|" each */
    } rows[] = {
        { "two", "--x\r\nA: 1\r\n\r\none\r\n--x\r\nB: 2\r\n\r\ntwo\r\n--x--\r\n", true, "A: 1=one|B: 2=two|" },
        { "without_a_last_line_end", "--x\r\nA: 1\r\n\r\none\r\n--x--", true, "A: 1=one|" },
        { "no_fields", "--x\r\n\r\none\r\n--x--", true, "=one|" },
        { "empty_content", "--x\r\nA: 1\r\n\r\n\r\n--x--", true, "A: 1=|" },
        { "lines_in_the_content", "--x\r\n\r\n1\r\n\r\n2\n--x\r\n--x--", true, "=1\r\n\r\n2\n--x|" },
        { "padding", "--x \t\r\n\r\n1\r\n--x \r\n\r\n2\r\n--x-- ", true, "=1|=2|" },
        { "cut_off", "--x\r\n\r\none\r\n", false, "" },
        { "cut_off_after_a_part", "--x\r\n\r\none\r\n--x\r\n\r\ntw", false, "=one|" },
        { "something_before", "hello\r\n--x\r\n\r\none\r\n--x--", false, "" },
        { "something_after", "--x\r\n\r\none\r\n--x--\r\nbye", false, "" },
        { "a_longer_boundary", "--x\r\n\r\none\r\n--xy\r\n--x--", false, "" },
        { "another_boundary", "--y\r\n\r\none\r\n--y--", false, "" },
        { "line_feeds_alone", "--x\n\none\n--x--", false, "" },
        { "nothing", "", false, "" },
        { "delimiter_alone", "--x", false, "" },
        { "end_alone", "--x--", true, "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice          body = property_exact(slice_of(rows[i].body)), head, content;
        char                  got[256] = "";
        struct http_multipart m;

        if (http_multipart_open(&m, SLICE(FORM("x")), body))
            while (http_multipart_next(&m, &head, &content))
                snprintf(got + strlen(got), sizeof got - strlen(got), SLICE_FMT "=" SLICE_FMT "|", SLICE_ARG(head),
                         SLICE_ARG(content));
        if (m.is_whole != rows[i].whole || strcmp(got, rows[i].parts) != 0)
            fail_msg("%s: %d '%s'", rows[i].name, m.is_whole, got);
        property_free(body);
    }
}

/* ---- keys ---- */

struct posted {
    const char *method, *lines, *body;
};

static struct cache_key key_of(const struct policy_options *o, const struct posted *p, struct head *h)
{
    static const struct key_secret secret = { { 1, 2, 3 } };
    struct http_request            r;
    struct key_input               in;

    *h = head_of(p->lines);
    r = (struct http_request){ .method = http_method_parse(slice_of(p->method)),
                               .method_name = slice_of(p->method),
                               .target = SLICE("/"),
                               .fields = h->fields };
    in = (struct key_input){ .scheme = SLICE("https"),
                             .authority = SLICE("api.example"),
                             .target = SLICE("/"),
                             .request = &r,
                             .body = slice_of(p->body) };
    return policy_key(o, &secret, &in, &(struct partition){ { 0 } }, &h->arena);
}

#define LINES(b)         "Content-Type: " FORM(b) "\n"
#define BODY(b, content) "--" b "\r\nA: 1\r\n\r\n" content "\r\n--" b "--\r\n"
#define JSON             "Content-Type: application/json\n"

static void test_keys(void **state)
{
    static const char *const none[] = { NULL };
    static const char *const users[] = { "/user", "/metadata/trace", "/items/1", "/a~1b", "/items/2/id", NULL };
    static const struct policy_options all = { .key_body = true, .ignore_body = none };
    static const struct policy_options some = { .key_body = true, .ignore_body = users };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        bool                         same;
        struct posted                a, b;
    } rows[] = {
        { "boundary_does_not_count",
          &all,
          true,
          { "POST", LINES("abc"), BODY("abc", "x") },
          { "POST", LINES("d-e-f"), BODY("d-e-f", "x") } },
        { "two_boundaries_of_one_length",
          &all,
          true,
          { "POST", LINES("abc"), BODY("abc", "x") },
          { "POST", LINES("abd"), BODY("abd", "x") } },
        { "content_counts",
          &all,
          false,
          { "POST", LINES("abc"), BODY("abc", "x") },
          { "POST", LINES("abc"), BODY("abc", "y") } },
        { "fields_of_a_part_count",
          &all,
          false,
          { "POST", LINES("a"), "--a\r\nA: 1\r\n\r\nx\r\n--a--" },
          { "POST", LINES("a"), "--a\r\nA: 2\r\n\r\nx\r\n--a--" } },
        { "order_of_parts_counts",
          &all,
          false,
          { "POST", LINES("a"), "--a\r\n\r\n1\r\n--a\r\n\r\n2\r\n--a--" },
          { "POST", LINES("a"), "--a\r\n\r\n2\r\n--a\r\n\r\n1\r\n--a--" } },
        { "where_parts_end_counts",
          &all,
          false,
          { "POST", LINES("a"), "--a\r\n\r\n1\r\n--a\r\n\r\n2\r\n--a--" },
          { "POST", LINES("b"), "--b\r\n\r\n1\r\n--a\r\n\r\n2\r\n--b--" } },
        { "subtype_counts",
          &all,
          false,
          { "POST", LINES("a"), BODY("a", "x") },
          { "POST", "Content-Type: multipart/mixed; boundary=a\n", BODY("a", "x") } },
        { "what_has_no_end_is_its_bytes",
          &all,
          false,
          { "POST", LINES("a"), "--a\r\n\r\nx" },
          { "POST", LINES("b"), "--b\r\n\r\nx" } },
        { "under_a_coding_it_is_its_bytes",
          &all,
          false,
          { "POST", LINES("a") "Content-Encoding: x\n", BODY("a", "x") },
          { "POST", LINES("b") "Content-Encoding: x\n", BODY("b", "x") } },
        { "of_a_query_too",
          &all,
          true,
          { "QUERY", LINES("a"), BODY("a", "x") },
          { "QUERY", LINES("b"), BODY("b", "x") } },
        { "of_a_query_no_transform_is_its_bytes",
          &all,
          false,
          { "QUERY", LINES("a") "Cache-Control: no-transform\n", BODY("a", "x") },
          { "QUERY", LINES("b") "Cache-Control: no-transform\n", BODY("b", "x") } },
        { "ignored_member",
          &some,
          true,
          { "POST", JSON, "{\"q\":1,\"user\":\"a\"}" },
          { "POST", JSON, "{\"user\":{\"b\":[1]},\"q\":1}" } },
        { "ignored_member_that_is_not_there",
          &some,
          true,
          { "POST", JSON, "{\"q\":1,\"user\":\"a\"}" },
          { "POST", JSON, "{\"q\":1}" } },
        { "others_count",
          &some,
          false,
          { "POST", JSON, "{\"q\":1,\"user\":\"a\"}" },
          { "POST", JSON, "{\"q\":2,\"user\":\"a\"}" } },
        { "without_the_setting_it_counts",
          &all,
          false,
          { "POST", JSON, "{\"user\":\"a\"}" },
          { "POST", JSON, "{\"user\":\"b\"}" } },
        { "inner_member",
          &some,
          true,
          { "POST", JSON, "{\"metadata\":{\"trace\":1,\"k\":2}}" },
          { "POST", JSON, "{\"metadata\":{\"trace\":2,\"k\":2}}" } },
        { "what_stands_beside_it_counts",
          &some,
          false,
          { "POST", JSON, "{\"metadata\":{\"trace\":1,\"k\":2}}" },
          { "POST", JSON, "{\"metadata\":{\"trace\":1,\"k\":3}}" } },
        { "a_name_deeper_down_counts",
          &some,
          false,
          { "POST", JSON, "{\"a\":{\"user\":1}}" },
          { "POST", JSON, "{\"a\":{\"user\":2}}" } },
        { "a_value_of_an_array",
          &some,
          true,
          { "POST", JSON, "{\"items\":[1,2,{\"id\":1}]}" },
          { "POST", JSON, "{\"items\":[1,9,{\"id\":2}]}" } },
        { "its_neighbours_count",
          &some,
          false,
          { "POST", JSON, "{\"items\":[1,2,{\"id\":1}]}" },
          { "POST", JSON, "{\"items\":[2,2,{\"id\":1}]}" } },
        { "an_index_beyond_the_end",
          &some,
          false,
          { "POST", JSON, "{\"items\":[1]}" },
          { "POST", JSON, "{\"items\":[2]}" } },
        { "a_slash_in_a_name", &some, true, { "POST", JSON, "{\"a/b\":1}" }, { "POST", JSON, "{\"a/b\":2}" } },
        { "a_way_that_ends_early",
          &some,
          false,
          { "POST", JSON, "{\"metadata\":1}" },
          { "POST", JSON, "{\"metadata\":2}" } },
        { "what_is_no_json_is_its_bytes",
          &some,
          false,
          { "POST", JSON, "{\"user\":\"a\"" },
          { "POST", JSON, "{\"user\":\"b\"" } },
        { "of_a_query_ignored_too", &some, true, { "QUERY", JSON, "{\"user\":1}" }, { "QUERY", JSON, "{\"user\":2}" } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head      a, b;
        struct cache_key one = key_of(rows[i].o, &rows[i].a, &a), two = key_of(rows[i].o, &rows[i].b, &b);

        if (slice_eq(one.full, two.full) != rows[i].same)
            fail_msg("%s", rows[i].name);
        head_free(&a);
        head_free(&b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_boundaries),
        cmocka_unit_test(test_parts),
        cmocka_unit_test(test_keys),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
