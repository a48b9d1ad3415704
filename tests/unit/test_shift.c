/*
 * Times in an answer's fields, moved by as much as has gone by since it was recorded.
 */
#include "tape/shift.h"

#include "head.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#define DAY 86400

static const struct {
    const char *name, *field, *moved;
} rows[] = {
    { "date", "Date: Tue, 01 Jan 2019 00:00:00 GMT\n", "Wed, 02 Jan 2019 00:00:00 GMT" },
    { "expires", "Expires: Mon, 31 Dec 2018 23:59:59 GMT\n", "Tue, 01 Jan 2019 23:59:59 GMT" },
    { "expires_that_is_none", "Expires: 0\n", "0" },
    { "last_modified_of_rfc_850", "Last-Modified: Tuesday, 01-Jan-19 00:00:00 GMT\n", "Wed, 02 Jan 2019 00:00:00 GMT" },
    { "retry_after_at_a_time", "Retry-After: Tue, 01 Jan 2019 00:00:00 GMT\n", "Wed, 02 Jan 2019 00:00:00 GMT" },
    { "retry_after_in_seconds", "Retry-After: 120\n", "120" },
    { "age_is_a_length", "Age: 7\n", "7" },
    { "another_field", "X-Made: Tue, 01 Jan 2019 00:00:00 GMT\n", "Tue, 01 Jan 2019 00:00:00 GMT" },
    { "cookie", "Set-Cookie: a=b; Expires=Tue, 01 Jan 2019 00:00:00 GMT; Path=/\n",
      "a=b; Expires=Wed, 02 Jan 2019 00:00:00 GMT; Path=/" },
    { "cookie_with_hyphens", "Set-Cookie: a=b; expires=Tue, 01-Jan-2019 00:00:00 GMT\n",
      "a=b; Expires=Wed, 02 Jan 2019 00:00:00 GMT" },
    { "cookie_without_an_end", "Set-Cookie: a=b; Max-Age=60; Secure\n", "a=b; Max-Age=60; Secure" },
    { "cookie_that_is_called_so", "Set-Cookie: Expires=Tue; Path=/\n", "Expires=Tue; Path=/" },
};

static void test_each_time_is_moved(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head        h = head_of(rows[i].field);
        struct arena       a = { 0 };
        struct http_fields f = http_fields_copy(&h.fields, &a); /* what head_of() made is its own */

        shift_times(&f, DAY, &a);
        if (!slice_eq(f.items[0].value, slice_of(rows[i].moved)))
            fail_msg("%s: %.*s", rows[i].name, (int)f.items[0].value.len, f.items[0].value.ptr);
        arena_free(&a);
        head_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_each_time_is_moved) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
