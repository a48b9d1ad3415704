/*
 * URLs, authorities, targets, queries.
 */
#include "http/url.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

static void test_urls(void **state)
{
    static const struct {
        const char *name, *text, *host;
        unsigned    port;
        bool        port_given;
        const char *target;
    } rows[] = {
        { "plain", "http://example.org/a?b", "example.org", 80, false, "/a?b" },
        { "https", "https://example.org/", "example.org", 443, false, "/" },
        { "scheme_in_any_case", "HTTPS://Example.org", "Example.org", 443, false, "" },
        { "port", "http://h:8080/x", "h", 8080, true, "/x" },
        { "default_port_written", "http://h:80", "h", 80, true, "" },
        { "empty_port", "http://h:/x", "h", 80, false, "/x" },
        { "query_without_a_path", "http://h?a=/b", "h", 80, false, "?a=/b" },
        { "ipv6", "https://[2001:db8::1]:8443/x", "[2001:db8::1]", 8443, true, "/x" },
        { "ipv6_without_port", "https://[::1]", "[::1]", 443, false, "" },
        { "ipv4", "http://127.0.0.1:1/", "127.0.0.1", 1, true, "/" },
        { "encoded_stays", "http://h/%2F%23?a+b;c", "h", 80, false, "/%2F%23?a+b;c" },
        { "colon_in_the_path", "http://h/a:b", "h", 80, false, "/a:b" },
        { "bytes_over_ascii", "http://h/\xc3\xa4", "h", 80, false, "/\xc3\xa4" },

        { "no_scheme", "//h/x", NULL, 0, false, NULL },
        { "other_scheme", "ftp://h/x", NULL, 0, false, NULL },
        { "longer_scheme", "httpss://h/x", NULL, 0, false, NULL },
        { "no_slashes", "http:h/x", NULL, 0, false, NULL },
        { "one_slash", "http:/h/x", NULL, 0, false, NULL },
        { "no_host", "http:///x", NULL, 0, false, NULL },
        { "no_host_but_a_port", "http://:80/x", NULL, 0, false, NULL },
        { "userinfo", "http://u:p@h/x", NULL, 0, false, NULL },
        { "user_only", "http://u@h/x", NULL, 0, false, NULL },
        { "fragment", "http://h/x#y", NULL, 0, false, NULL },
        { "fragment_behind_the_host", "http://h#y", NULL, 0, false, NULL },
        { "blank", "http://h/x y", NULL, 0, false, NULL },
        { "blank_in_the_host", "http://h h/x", NULL, 0, false, NULL },
        { "control_byte", "http://h/\x01", NULL, 0, false, NULL },
        { "line_end", "http://h/\r\nX: y", NULL, 0, false, NULL },
        { "port_zero", "http://h:0/", NULL, 0, false, NULL },
        { "port_too_large", "http://h:65536/", NULL, 0, false, NULL },
        { "port_with_a_sign", "http://h:+80/", NULL, 0, false, NULL },
        { "two_ports", "http://h:1:2/", NULL, 0, false, NULL },
        { "ipv6_without_brackets", "http://::1/", NULL, 0, false, NULL },
        { "ipv6_unclosed", "http://[::1/", NULL, 0, false, NULL },
        { "ipv6_with_text_behind", "http://[::1]x/", NULL, 0, false, NULL },
        { "ipv6_zone", "http://[fe80::1%25eth0]/", NULL, 0, false, NULL },
        { "ipv4_in_brackets", "http://[127.0.0.1]/", NULL, 0, false, NULL },
        { "empty_brackets", "http://[]/", NULL, 0, false, NULL },
        { "bad_percent_in_the_host", "http://a%zz/", NULL, 0, false, NULL },
        { "backslash_in_the_host", "http://a\\b/", NULL, 0, false, NULL },
        { "empty", "", NULL, 0, false, NULL },
        { "target_only", "/x", NULL, 0, false, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice    text = property_exact(slice_of(rows[i].text));
        struct http_url url = { .port = 77 };
        bool            valid = http_url_parse(text, &url);

        if (valid != (rows[i].host != NULL))
            fail_msg("%s", rows[i].name);
        if (valid && (!slice_eq(url.host, slice_of(rows[i].host)) || url.port != rows[i].port ||
                      url.port_given != rows[i].port_given || !slice_eq(url.target, slice_of(rows[i].target))))
            fail_msg("%s", rows[i].name);
        if (!valid && url.port != 77)
            fail_msg("%s: touched", rows[i].name);
        property_free(text);
    }
}

static void test_authorities(void **state)
{
    static const struct {
        const char *text, *host;
        unsigned    port;
    } rows[] = {
        { "h", "h", 0 },
        { "h:8080", "h", 8080 },
        { "h:", "h", 0 },
        { "[::1]:65535", "[::1]", 65535 },
        { "[::1]:", "[::1]", 0 },
        { "a_b-c.d~e", "a_b-c.d~e", 0 },
        { "a%20b", "a%20b", 0 },
        { "", NULL, 0 },
        { ":80", NULL, 0 },
        { "[", NULL, 0 },
        { "]", NULL, 0 },
        { "[]", NULL, 0 },
        { "[::1", NULL, 0 },
        { "[::g]", NULL, 0 },
        { "h/x", NULL, 0 },
        { "u@h", NULL, 0 },
        { "h:99999999999999999999", NULL, 0 },
        { "h:-1", NULL, 0 },
        { "h h", NULL, 0 },
        { "a%2", NULL, 0 },
        { "\xc3\xa4", NULL, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = property_exact(slice_of(rows[i].text)), host = SLICE_NONE;
        unsigned     port = 77;
        bool         valid = http_authority_parse(text, &host, &port);

        if (valid != (rows[i].host != NULL) || !slice_eq(host, slice_of(rows[i].host)) ||
            port != (valid ? rows[i].port : 77))
            fail_msg("%s", rows[i].text);
        property_free(text);
    }
}

static void test_targets(void **state)
{
    static const struct {
        const char *text;
        bool        valid;
    } rows[] = {
        { "/", true },          { "/a/../b//c?d=%zz&", true },
        { "*", true },          { "/\xff\x80", true },
        { "", false },          { "*a", false },
        { "a", false },         { "?a", false },
        { "/a b", false },      { "/a\tb", false },
        { "/a\x7f", false },    { "/a#b", false },
        { "http://h/", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (http_target_is_valid(slice_of(rows[i].text)) != rows[i].valid)
            fail_msg("%s", rows[i].text);
    assert_false(http_target_is_valid(SLICE("/a\0b")));
}

static void test_targets_are_split_at_the_first_mark(void **state)
{
    static const struct {
        const char *text, *path, *query;
    } rows[] = {
        { "/a", "/a", NULL }, { "/a?", "/a", "" }, { "/a?b?c", "/a", "b?c" }, { "?", "", "" }, { "", "", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice path, query;

        http_target_split(slice_of(rows[i].text), &path, &query);
        if (!slice_eq(path, slice_of(rows[i].path)) || !slice_eq(query, slice_of(rows[i].query)) ||
            (query.ptr == NULL) != (rows[i].query == NULL))
            fail_msg("%s", rows[i].text);
    }
}

/* However often and however empty: the parameters with '&' between them are the query again. */
static void test_query_parameters_lose_nothing(void **state)
{
    static const char *const fragments[] = { "&", "a", "=", "%26", "+", ";", NULL };
    struct property          p = { 41 };

    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct slice query = property_text(&p, fragments, 12), rest = query, parameter;
        char         again[1100];
        size_t       used = 0, count = 0;

        while (http_query_next(&rest, &parameter)) {
            if (count++ > 0)
                again[used++] = '&';
            assert_int_equal(slice_find(parameter, '&', 0), parameter.len);
            memcpy(again + used, parameter.ptr, parameter.len);
            used += parameter.len;
        }
        assert_true(count > 0 && slice_eq(query, (struct slice){ again, used }));
        property_free(query);
    }
}

static void test_absent_query_has_no_parameters(void **state)
{
    struct slice rest = SLICE_NONE, parameter;

    (void)state;
    assert_false(http_query_next(&rest, &parameter));
    rest = SLICE("a=1&");
    assert_true(http_query_next(&rest, &parameter) && slice_eq(parameter, SLICE("a=1")));
    assert_true(http_query_next(&rest, &parameter) && parameter.len == 0);
    assert_false(http_query_next(&rest, &parameter));
}

static void test_parameter_names_are_decoded(void **state)
{
    static const struct {
        const char *parameter, *name;
    } rows[] = {
        { "api_key=secret", "api_key" },
        { "api%5Fkey=secret", "api_key" },
        { "api%5fkey", "api_key" },
        { "%61%70%69=x=%61", "api" },
        { "a%3Db=c", "a=b" },
        { "a%", "a%" },
        { "a%4", "a%4" },
        { "a%4x", "a%4x" },
        { "%%41", "%A" },
        { "a+b", "a+b" },
        { "=x", "" },
        { "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice parameter = property_exact(slice_of(rows[i].parameter));

        if (!slice_eq(http_parameter_name(parameter, &a), slice_of(rows[i].name)))
            fail_msg("%s", rows[i].parameter);
        property_free(parameter);
        arena_free(&a);
    }
}

/* What parses is made of what was there, and parses the same when it is put together again. */
static void test_urls_put_together_parse_the_same(void **state)
{
    static const char *const fragments[] = { "http", "https", "://",     "h",         ":",           "80",  "[::1]",
                                             "/",    "?",     "#",       "@",         "example.org", "%41", "[",
                                             "]",    " ",     "http://", "https://a", NULL };
    struct property          p = { 43 };
    int                      parsed = 0;

    (void)state;
    for (int i = 0; i < 30000; i++) {
        struct slice    text = property_text(&p, fragments, 8);
        struct http_url url, again;
        char            made[1200];
        int             length;

        if (http_url_parse(text, &url)) {
            parsed++;
            length = snprintf(made, sizeof made, SLICE_FMT "://" SLICE_FMT ":%u" SLICE_FMT, SLICE_ARG(url.scheme),
                              SLICE_ARG(url.host), url.port, SLICE_ARG(url.target));
            assert_true(http_url_parse((struct slice){ made, (size_t)length }, &again));
            assert_true(slice_eq(again.host, url.host) && again.port == url.port && slice_eq(again.target, url.target));
            assert_true(slice_ends_with(text, url.target));
            assert_true(slice_starts_with(url.authority, url.host));
        }
        property_free(text);
    }
    assert_true(parsed > 100);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_authorities),
        cmocka_unit_test(test_targets),
        cmocka_unit_test(test_targets_are_split_at_the_first_mark),
        cmocka_unit_test(test_query_parameters_lose_nothing),
        cmocka_unit_test(test_absent_query_has_no_parameters),
        cmocka_unit_test(test_parameter_names_are_decoded),
        cmocka_unit_test(test_urls_put_together_parse_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
