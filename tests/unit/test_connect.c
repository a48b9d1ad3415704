/*
 * The head of a CONNECT, by the letter.
 */
#include "front/proxy/connect.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define HOST "Host: api.example:443\r\n"

static void test_head(void **state)
{
    static const struct {
        const char *name, *head;
        unsigned    status;
        const char *host;
        unsigned    port;
        const char *user;
    } rows[] = {
        { "plain", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "\r\n", 0, "api.example", 443, NULL },
        { "http_1_0_without_host", "CONNECT api.example:8443 HTTP/1.0\r\n\r\n", 0, "api.example", 8443, NULL },
        { "ipv6", "CONNECT [2001:db8::1]:443 HTTP/1.1\r\nHost: [2001:db8::1]:443\r\n\r\n", 0, "[2001:db8::1]", 443,
          NULL },
        { "user", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "Proxy-Authorization: Basic Y2k6eA==\r\n\r\n", 0,
          "api.example", 443, "ci" },
        { "other_fields",
          "CONNECT api.example:443 HTTP/1.1\r\n" HOST
          "Proxy-Connection: keep-alive\r\nUser-Agent: x y\r\nEmpty:\r\n\r\n",
          0, "api.example", 443, NULL },
        { "no_port", "CONNECT api.example HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "port_0", "CONNECT api.example:0 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "port_too_large", "CONNECT api.example:65536 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "no_host_in_target", "CONNECT :443 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "userinfo", "CONNECT a@api.example:443 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "path", "CONNECT api.example:443/x HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "url", "CONNECT https://api.example:443 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "two_spaces", "CONNECT  api.example:443 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "more_behind_the_version", "CONNECT api.example:443 HTTP/1.1 x\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "http_2", "CONNECT api.example:443 HTTP/2.0\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "lower_case", "connect api.example:443 HTTP/1.1\r\n" HOST "\r\n", 400, NULL, 0, NULL },
        { "request_line_alone", "CONNECT\r\n\r\n", 400, NULL, 0, NULL },
        { "without_host", "CONNECT api.example:443 HTTP/1.1\r\n\r\n", 400, NULL, 0, NULL },
        { "two_hosts", "CONNECT api.example:443 HTTP/1.1\r\n" HOST HOST "\r\n", 400, NULL, 0, NULL },
        { "content", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "Content-Length: 5\r\n\r\n", 400, NULL, 0, NULL },
        { "empty_content", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "Content-Length: 0\r\n\r\n", 400, NULL, 0,
          NULL },
        { "chunks", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "Transfer-Encoding: chunked\r\n\r\n", 400, NULL, 0,
          NULL },
        { "folded", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X: a\r\n b\r\n\r\n", 400, NULL, 0, NULL },
        { "space_before_colon", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X : a\r\n\r\n", 400, NULL, 0, NULL },
        { "no_colon", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X\r\n\r\n", 400, NULL, 0, NULL },
        { "no_name", "CONNECT api.example:443 HTTP/1.1\r\n" HOST ": a\r\n\r\n", 400, NULL, 0, NULL },
        { "bare_lf", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X: a\nY: b\r\n\r\n", 400, NULL, 0, NULL },
        { "bare_cr", "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X: a\rY: b\r\n\r\n", 400, NULL, 0, NULL },
        { "bare_lf_behind_the_request_line", "CONNECT api.example:443 HTTP/1.1\n" HOST "\r\n", 400, NULL, 0, NULL },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice        text = property_exact(slice_of(rows[i].head));
        struct connect_head h;
        struct refusal      no = connect_head_parse(text, &h, &a);

        if (problem_status(no.kind) != rows[i].status)
            fail_msg("%s: %u", rows[i].name, problem_status(no.kind));
        if (problem_status(no.kind) == 0 && (!slice_eq(h.host, slice_of(rows[i].host)) || h.port != rows[i].port ||
                                             !slice_eq(h.user, slice_of(rows[i].user))))
            fail_msg("%s: %.*s %u %.*s", rows[i].name, SLICE_ARG(h.host), h.port, SLICE_ARG(h.user));
        property_free(text);
    }
    arena_free(&a);
}

static void test_nul(void **state)
{
    const struct slice  text = SLICE("CONNECT api.example:443 HTTP/1.1\r\n" HOST "X: a\0b\r\n\r\n");
    struct connect_head h;
    struct arena        a = { 0 };

    (void)state;
    assert_int_equal(problem_status(connect_head_parse(text, &h, &a).kind), 400);
    arena_free(&a);
}

static void test_large(void **state)
{
    static char         text[GUARD_HEAD_BYTES + 100];
    struct connect_head h;
    struct arena        a = { 0 };
    int                 n = snprintf(text, sizeof text, "CONNECT api.example:443 HTTP/1.1\r\n" HOST "X: ");

    (void)state;
    memset(text + n, 'x', sizeof text - (size_t)n);
    memcpy(text + sizeof text - 5, "\r\n\r\n", 4);
    assert_int_equal(problem_status(connect_head_parse((struct slice){ text, sizeof text - 1 }, &h, &a).kind), 431);
    /* no end */
    assert_int_equal(problem_status(connect_head_parse((struct slice){ text, sizeof text - 5 }, &h, &a).kind), 431);
    n = snprintf(text, sizeof text, "CONNECT %0*d:443 HTTP/1.0\r\n\r\n", 256, 1);
    assert_int_equal(problem_status(connect_head_parse((struct slice){ text, (size_t)n }, &h, &a).kind), 400);
    n = snprintf(text, sizeof text, "CONNECT %0*d:443 HTTP/1.0\r\n\r\n", 255, 1);
    assert_int_equal(problem_status(connect_head_parse((struct slice){ text, (size_t)n }, &h, &a).kind), 0);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_head),
        cmocka_unit_test(test_nul),
        cmocka_unit_test(test_large),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
