/*
 * How limits are written.
 */
#include "budget/options.h"

#include "base/clock.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define MIN_NS (60 * NS_PER_SEC)
#define DAY_NS (86400 * NS_PER_SEC)

static void test_accepted(void **state)
{
    static const struct {
        const char     *text;
        enum limit_kind kind;
        uint64_t        count;
        int64_t         window_ns;
        uint64_t        burst;
        unsigned        start_minute;
        const char     *zone;
    } rows[] = {
        { "60/min", LIMIT_SLIDING, 60, MIN_NS, 0, 0, NULL },
        { "1/s", LIMIT_SLIDING, 1, NS_PER_SEC, 0, 0, NULL },
        { "900/h", LIMIT_SLIDING, 900, 60 * MIN_NS, 0, 0, NULL },
        { "10000/day", LIMIT_SLIDING, 10000, DAY_NS, 0, 0, NULL },
        { "1000000000/month", LIMIT_SLIDING, 1000000000, 30 * DAY_NS, 0, 0, NULL },
        { "10/s burst 20", LIMIT_BUCKET, 10, NS_PER_SEC, 20, 0, NULL },
        { "  10/s \t burst  1 ", LIMIT_BUCKET, 10, NS_PER_SEC, 1, 0, NULL },
        { "5000/h window learned", LIMIT_LEARNED, 5000, 60 * MIN_NS, 0, 0, NULL },
        { "5000/day window 00:00 America/Los_Angeles", LIMIT_FIXED, 5000, DAY_NS, 0, 0, "America/Los_Angeles" },
        { "5000/day window 23:59 UTC", LIMIT_FIXED, 5000, DAY_NS, 0, 23 * 60 + 59, "UTC" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_options o = { .name = "kept" };
        const char          *bad = "unset";

        if (!limit_parse(slice_of(rows[i].text), &o, &bad) || o.kind != rows[i].kind || o.count != rows[i].count ||
            o.window_ns != rows[i].window_ns || o.burst != rows[i].burst || o.start_minute != rows[i].start_minute ||
            (o.zone == NULL) != (rows[i].zone == NULL) || (o.zone != NULL && strcmp(o.zone, rows[i].zone) != 0) ||
            strcmp(o.name, "kept") != 0)
            fail_msg("%s: %s", rows[i].text, bad);
        free((char *)(uintptr_t)o.zone);
    }
}

static void test_refused(void **state)
{
    static const char *const rows[] = {
        "",
        " ",
        "60",
        "60 / min",
        "60/",
        "/min",
        "0/min",
        "-1/min",
        "1.5/s",
        "60/m",
        "60/mins",
        "60/2s",
        "1000000001/s",
        "99999999999999999999/s",
        "60/min burst",
        "60/min burst 0",
        "60/min burst x",
        "60/min burst 5 5",
        "60/min window",
        "60/min window learned burst 5",
        "60/min window 24:00 UTC",
        "60/min window 0:00 UTC",
        "60/min window 00:60 UTC",
        "60/min window 00:00",
        "60/min window 00:00 Mars/Phobos",
        "60/min window 00:00 ../../etc/passwd",
        "60/min window 00:00 UTC UTC",
        "60/min bursts 5",
        "60/min,",
        "60/MIN",
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_options o = { .count = 7 };
        const char          *bad = NULL;

        if (limit_parse(slice_of(rows[i]), &o, &bad) || bad == NULL || o.count != 7)
            fail_msg("%s", rows[i]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accepted),
        cmocka_unit_test(test_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
