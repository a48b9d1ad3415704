/*
 * Durations.
 */
#include "http/duration.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { REFUSED = -1 };

static void test_durations(void **state)
{
    static const struct {
        const char *text;
        int64_t     ns;
    } rows[] = {
        { "500ms", INT64_C(500000000) },
        { "30s", INT64_C(30000000000) },
        { "5m", INT64_C(300000000000) },
        { "12h", INT64_C(43200000000000) },
        { "30d", INT64_C(2592000000000000) },
        { "0s", 0 },
        { "007s", INT64_C(7000000000) },
        { "forever", INT64_MAX },
        { "9223372036s", INT64_C(9223372036000000000) },
        { "9223372037s", REFUSED },
        { "9223372036854775807d", REFUSED },
        { "", REFUSED },
        { "5", REFUSED },
        { "s", REFUSED },
        { "5 s", REFUSED },
        { " 5s", REFUSED },
        { "-5s", REFUSED },
        { "1.5s", REFUSED },
        { "5S", REFUSED },
        { "5sec", REFUSED },
        { "1h30m", REFUSED },
        { "Forever", REFUSED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = property_exact(slice_of(rows[i].text));
        int64_t      ns = -77;
        bool         valid = http_duration_parse(text, &ns);

        property_free(text);
        if (valid != (rows[i].ns != REFUSED) || ns != (valid ? rows[i].ns : -77))
            fail_msg("%s", rows[i].text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_durations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
