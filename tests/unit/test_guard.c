/*
 * The guard: framing, Weir's own names, and pages of other sites.
 */
#include "engine/guard.h"

#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_framing(void **state)
{
    static const struct {
        const char *name;
        unsigned    minor;
        const char *lines;
        size_t      head_bytes;
        unsigned    status;
    } rows[] = {
        { "plain_get", 1, "Host: localhost", 20, 0 },
        { "no_host_in_1_1", 1, "Accept: x", 20, 400 }, /* RFC 9112 3.2 */
        { "no_host_in_1_0", 0, "Accept: x", 20, 0 },
        { "two_hosts", 1, "Host: a\nHost: a", 20, 400 },
        { "host_with_path", 1, "Host: a/b", 20, 400 },
        { "host_with_userinfo", 1, "Host: u@a", 20, 400 },
        { "empty_host", 1, "Host: ", 20, 400 },
        { "length_and_chunked", 1, "Host: a\nContent-Length: 3\nTransfer-Encoding: chunked", 20, 400 }, /* 6.1 */
        { "two_lengths", 1, "Host: a\nContent-Length: 3\nContent-Length: 3", 20, 400 },                 /* 6.3 */
        { "list_of_lengths", 1, "Host: a\nContent-Length: 3, 3", 20, 400 },
        { "negative_length", 1, "Host: a\nContent-Length: -1", 20, 400 },
        { "signed_length", 1, "Host: a\nContent-Length: +1", 20, 400 },
        { "hex_length", 1, "Host: a\nContent-Length: 0x1", 20, 400 },
        { "overflowing_length", 1, "Host: a\nContent-Length: 99999999999999999999", 20, 400 },
        { "length", 1, "Host: a\nContent-Length: 3", 20, 0 },
        { "chunked", 1, "Host: a\nTransfer-Encoding: chunked", 20, 0 },
        { "chunked_in_capitals", 1, "Host: a\nTransfer-Encoding: CHUNKED", 20, 0 },
        { "chunked_in_1_0", 0, "Host: a\nTransfer-Encoding: chunked", 20, 400 }, /* 6.1 */
        { "gzip_coding", 1, "Host: a\nTransfer-Encoding: gzip, chunked", 20, 400 },
        { "two_codings", 1, "Host: a\nTransfer-Encoding: chunked\nTransfer-Encoding: chunked", 20, 400 },
        { "head_of_32_kib", 1, "Host: a", GUARD_HEAD_BYTES, 0 },
        { "head_over_32_kib", 1, "Host: a", GUARD_HEAD_BYTES + 1, 431 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head         h = head_of(rows[i].lines);
        struct http_request r = { .method = HTTP_GET,
                                  .method_name = SLICE("GET"),
                                  .version_minor = rows[i].minor,
                                  .fields = h.fields };
        struct refusal      no = guard_framing(&r, rows[i].head_bytes);

        if (problem_status(no.kind) != rows[i].status)
            fail_msg("%s: %u", rows[i].name, problem_status(no.kind));
        if (problem_status(no.kind) != 0 && (problem_types[no.kind].title == NULL || no.detail == NULL))
            fail_msg("%s: says nothing", rows[i].name);
        head_free(&h);
    }
}

static void test_method_is_a_token(void **state)
{
    static const struct {
        const char *method;
        unsigned    status;
    } rows[] = {
        { "GET", 0 }, { "M-SEARCH", 0 }, { "x", 0 }, { "", 400 }, { "G(T", 400 }, { "G T", 400 }, { "G\x01T", 400 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request r = { .method_name = slice_of(rows[i].method), .version_minor = 0 };

        if (problem_status(guard_framing(&r, 20).kind) != rows[i].status) /* RFC 9110 9.1 */
            fail_msg("\"%s\"", rows[i].method);
    }
}

static void test_own_host(void **state)
{
    static const struct config_listener listeners[] = { { .address = "192.0.2.7:8080" }, { .address = "unix:/x" } };
    static const char *const            allowed[] = { "weir.lan", "box:9000", NULL };
    static const struct {
        const char *name, *host;
        bool        own;
    } rows[] = {
        { "localhost", "localhost", true },
        { "localhost_with_port", "localhost:8080", true },
        { "localhost_in_capitals", "LOCALHOST", true },
        { "below_localhost", "weir.localhost", true }, /* RFC 6761 6.3 */
        { "loopback_address", "127.0.0.1:8080", true },
        { "another_loopback_address", "127.9.9.9", true },
        { "loopback_v6", "[::1]:8080", true },
        { "a_listener", "192.0.2.7:8080", true },
        { "where_metrics_are_read", "192.0.2.8:9464", true },
        { "listed_name", "weir.lan", true },
        { "listed_name_any_port", "weir.lan:8080", true },
        { "listed_with_port", "box:9000", true },
        { "listed_with_another_port", "box:9001", false },
        { "rebound_name", "evil.example", false },
        { "name_that_begins_like_an_address", "127.0.0.1.evil.example", false },
        { "name_that_ends_like_localhost", "evillocalhost", false },
        { "other_address", "10.0.0.1", false },
        { "junk", "a b", false },
    };
    const struct config c = { .listeners = listeners,
                              .listener_count = 2,
                              .allow_hosts = allowed,
                              .metrics_listen = "192.0.2.8:9464" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (guard_is_own_host(&c, slice_of(rows[i].host)) != rows[i].own)
            fail_msg("%s", rows[i].name);
}

static void test_origin(void **state)
{
    static const char *const allowed[] = { "https://lab.example", NULL }, *const any[] = { "*", NULL };
    static const struct config_upstream listed = { .allow_origins = allowed }, open = { .allow_origins = any };
    static const struct {
        const char                   *name;
        const struct config_upstream *up;
        const char                   *lines;
        unsigned                      status;
    } rows[] = {
        { "no_page", NULL, "Accept: x", 0 },
        { "typed_by_a_person", NULL, "Sec-Fetch-Site: none", 0 },
        { "own_page", NULL, "Sec-Fetch-Site: same-origin", 0 },
        { "own_origin", NULL, "Origin: http://localhost:8080", 0 },
        { "own_origin_through_the_https_proxy", NULL, "Origin: https://localhost:8080", 0 },
        { "own_origin_of_another_kind", NULL, "Origin: ftp://localhost:8080", 403 },
        { "another_port_is_another_origin", NULL, "Origin: http://localhost:3000", 403 },
        { "another_site", NULL, "Origin: https://evil.example", 403 },
        { "opaque_origin", NULL, "Origin: null", 403 },
        { "cross_site_without_origin", NULL, "Sec-Fetch-Site: cross-site", 403 },
        { "same_site_without_origin", NULL, "Sec-Fetch-Site: same-site", 403 },
        { "listed_origin", &listed, "Origin: https://lab.example\nSec-Fetch-Site: cross-site", 0 },
        { "unlisted_origin", &listed, "Origin: https://lab.example.evil", 403 },
        { "listed_scheme_counts", &listed, "Origin: http://lab.example", 403 },
        { "any_origin", &open, "Origin: https://evil.example", 0 },
        { "any_origin_needs_one", &open, "Sec-Fetch-Site: cross-site", 403 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head         h = head_of(rows[i].lines);
        struct http_request r = { .method = HTTP_GET, .version_minor = 1, .fields = h.fields };

        struct slice allowed_origin;
        bool         other_page = rows[i].up != NULL && rows[i].status == 0;

        if (problem_status(guard_origin(rows[i].up, &r, SLICE("localhost:8080"), &allowed_origin).kind) !=
            rows[i].status)
            fail_msg("%s", rows[i].name);
        if ((allowed_origin.ptr != NULL) != other_page)
            fail_msg("%s: is said to be another site's page, or not to be", rows[i].name);
        head_free(&h);
    }
}

static void test_own_page(void **state)
{
    static const struct {
        const char *name, *lines;
        unsigned    status;
    } rows[] = {
        { "a_program", "Host: 127.0.0.1:8081", 0 },
        { "another_name_of_this_machine", "Host: localhost:8081", 0 },
        { "its_own_address", "Host: 192.0.2.9:8081", 0 },
        { "its_page", "Host: localhost:8081\nOrigin: http://localhost:8081\nSec-Fetch-Site: same-origin", 0 },
        { "its_page_that_says_no_origin", "Host: localhost:8081\nSec-Fetch-Site: same-origin", 0 },
        { "typed_by_a_person", "Host: localhost:8081\nSec-Fetch-Site: none", 0 },
        { "no_host", "Accept: x", 400 },
        { "rebound_name", "Host: evil.example:8081", 403 },
        { "rebound_name_and_its_origin", "Host: evil.example:8081\nOrigin: http://evil.example:8081", 403 },
        { "the_data_port", "Host: localhost:8081\nOrigin: http://localhost:8080", 403 },
        { "another_name_of_the_same_port", "Host: localhost:8081\nOrigin: http://127.0.0.1:8081", 403 },
        { "another_scheme", "Host: localhost:8081\nOrigin: https://localhost:8081", 403 },
        { "opaque_origin", "Host: localhost:8081\nOrigin: null", 403 },
        { "no_origin_in_the_field", "Host: localhost:8081\nOrigin:", 403 },
        { "two_origins", "Host: localhost:8081\nOrigin: http://localhost:8081\nOrigin: http://localhost:8081", 403 },
        { "cross_site", "Host: localhost:8081\nSec-Fetch-Site: cross-site", 403 },
        { "same_site", "Host: localhost:8081\nSec-Fetch-Site: same-site", 403 },
        { "same_site_that_says_its_origin_is_ours",
          "Host: localhost:8081\nOrigin: http://localhost:8081\nSec-Fetch-Site: same-site", 403 },
        { "sites_of_two_minds", "Host: localhost:8081\nSec-Fetch-Site: none\nSec-Fetch-Site: cross-site", 403 },
        { "a_site_nobody_knows", "Host: localhost:8081\nSec-Fetch-Site: nearby", 403 },
    };
    const struct config c = { .admin_listen = "192.0.2.9:8081" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head         h = head_of(rows[i].lines);
        struct http_request r = { .method = HTTP_GET,
                                  .method_name = SLICE("GET"),
                                  .version_minor = 1,
                                  .fields = h.fields };

        if (problem_status(guard_own_page(&c, &r, 20).kind) != rows[i].status)
            fail_msg("%s", rows[i].name);
        head_free(&h);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_framing), cmocka_unit_test(test_method_is_a_token), cmocka_unit_test(test_own_host),
        cmocka_unit_test(test_origin),  cmocka_unit_test(test_own_page),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
