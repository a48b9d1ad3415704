/*
 * Methods and statuses: the two tables of the message model.
 */
#include "http/method.h"

#include "http/message.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_methods(void **state)
{
    static const struct {
        const char      *text;
        enum http_method method;
        bool             safe, idempotent;
    } rows[] = {
        { "GET", HTTP_GET, true, true },          { "HEAD", HTTP_HEAD, true, true },
        { "POST", HTTP_POST, false, false },      { "PUT", HTTP_PUT, false, true },
        { "DELETE", HTTP_DELETE, false, true },   { "OPTIONS", HTTP_OPTIONS, true, true },
        { "TRACE", HTTP_TRACE, true, true },      { "CONNECT", HTTP_CONNECT, false, false },
        { "PATCH", HTTP_PATCH, false, false },    { "PURGE", HTTP_PURGE, false, true },
        { "QUERY", HTTP_QUERY, true, true },      { "get", HTTP_OTHER, false, false }, /* 9.1: case-sensitive */
        { "GETS", HTTP_OTHER, false, false },     { "GE", HTTP_OTHER, false, false },
        { "PROPFIND", HTTP_OTHER, false, false }, { "", HTTP_OTHER, false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        enum http_method m = http_method_parse(slice_of(rows[i].text));

        if (m != rows[i].method || http_method_is_safe(m) != rows[i].safe ||
            http_method_is_idempotent(m) != rows[i].idempotent)
            fail_msg("%s", rows[i].text);
        assert_string_equal(http_method_name(m), m == HTTP_OTHER ? "" : rows[i].text);
    }
}

static void test_statuses_without_content(void **state)
{
    (void)state;
    for (unsigned status = 100; status < 1000; status++)
        if (http_status_has_no_body(status) != (status < 200 || status == 204 || status == 304))
            fail_msg("%u", status);
}

static void test_reasons(void **state)
{
    (void)state;
    assert_string_equal(http_status_reason(200), "OK");
    assert_string_equal(http_status_reason(404), "Not Found");
    assert_string_equal(http_status_reason(429), "Too Many Requests");
    assert_string_equal(http_status_reason(504), "Gateway Timeout");
    assert_string_equal(http_status_reason(511), "Network Authentication Required");
    assert_string_equal(http_status_reason(299), "");
    assert_string_equal(http_status_reason(599), "");
    assert_string_equal(http_status_reason(600), "");
    assert_string_equal(http_status_reason(999), "");
    assert_string_equal(http_status_reason(99), "");
    assert_string_equal(http_status_reason(0), "");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_methods),
        cmocka_unit_test(test_statuses_without_content),
        cmocka_unit_test(test_reasons),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
