/*
 * When: every form of Retry-After and of reset fields that APIs are known to send.
 */
#include "http/when.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define MS  NS_PER_MS
#define NOW (INT64_C(1700000000) * S) /* Tue, 14 Nov 2023 22:13:20 GMT */
#define DAY (86400 * S)

enum { SILENT = -1, ODD = -2 };
#define BEYOND INT64_MAX

static const struct row {
    const char *name, *text;
    int64_t     in_ns;
} rows[] = {
    /* what RFC 9110 10.2.3 has */
    { "seconds", "120", 120 * S },
    { "zero", "0", 0 },
    { "spaces_around", "  120 \t", 120 * S },
    { "leading_zeros", "007", 7 * S },
    { "plus", "+30", 30 * S },
    { "imf_fixdate", "Tue, 14 Nov 2023 22:13:50 GMT", 30 * S },
    { "rfc_850", "Tuesday, 14-Nov-23 22:13:50 GMT", 30 * S },
    { "asctime", "Tue Nov 14 22:13:50 2023", 30 * S },
    { "date_that_has_passed", "Tue, 14 Nov 2023 22:00:00 GMT", 0 },
    /* dates as they come */
    { "utc", "Tue, 14 Nov 2023 22:13:50 UTC", 30 * S },
    { "lower_case", "tue, 14 nov 2023 22:13:50 gmt", 30 * S },
    { "odd_spacing", "Tue,14  Nov 2023  22:13:50  GMT", 30 * S },
    { "no_weekday", "14 Nov 2023 22:13:50 GMT", 30 * S },
    { "one_digit_day", "Sun, 3 Dec 2023 22:13:20 GMT", 19 * DAY },
    { "asctime_one_digit_day", "Sun Dec  3 22:13:20 2023", 19 * DAY },
    { "numeric_zone", "Tue, 14 Nov 2023 22:13:50 +0000", 30 * S },
    { "zone_east", "Tue, 14 Nov 2023 23:13:50 +0100", 30 * S },
    { "zone_west", "Tue, 14 Nov 2023 17:13:50 -0500", 30 * S },
    { "no_zone_is_utc", "Tue, 14 Nov 2023 22:13:50", 30 * S },
    { "long_names", "Tuesday, 14 November 2023 22:13:50 GMT", 30 * S },
    { "asctime_with_zone", "Tue Nov 14 22:13:50 UTC 2023", 30 * S },
    { "unknown_zone", "Tue, 14 Nov 2023 22:13:50 EST", SILENT },
    { "no_such_day", "Fri, 31 Nov 2023 22:13:50 GMT", SILENT },
    { "no_such_hour", "Tue, 14 Nov 2023 25:13:50 GMT", SILENT },
    { "no_time", "Tue, 14 Nov 2023", SILENT },
    { "leap_day", "Thu, 29 Feb 2024 22:13:20 GMT", 107 * DAY },
    { "no_leap_day", "Wed, 29 Feb 2023 22:13:20 GMT", SILENT },
    /* fractions, exponents, epochs */
    { "fraction", "1.5", 1500 * MS },
    { "fraction_without_a_whole", ".25", 250 * MS },
    { "shopify", "2.0", 2 * S },
    { "point_at_the_end", "30.", 30 * S },
    { "epoch_s", "1700000042", 42 * S },
    { "epoch_s_with_fraction", "1700000042.5", 42500 * MS },
    { "epoch_ms", "1700000042500", 42500 * MS },
    { "epoch_us", "1700000042500000", 42500 * MS },
    { "epoch_ns", "1700000042500000000", 42500 * MS },
    { "epoch_as_go_prints_a_float", "1.700000042e+09", 42 * S },
    { "epoch_that_has_passed", "1600000000", 0 },
    { "largest_delay", "999999999", INT64_C(999999999) * S },
    { "twenty_digits", "99999999999999999999", BEYOND },
    { "forty_digits", "9999999999999999999999999999999999999999", BEYOND },
    { "huge_exponent", "1e99", BEYOND },
    { "exponent_of_three_digits", "1e999", SILENT },
    /* ISO 8601 */
    { "iso", "2023-11-14T22:13:50Z", 30 * S },
    { "iso_lower_case", "2023-11-14t22:13:50z", 30 * S },
    { "iso_fraction", "2023-11-14T22:13:50.250Z", 30250 * MS },
    { "iso_nanoseconds", "2023-11-14T22:13:50.250000000Z", 30250 * MS },
    { "iso_without_seconds", "2023-11-14T22:14Z", 40 * S },
    { "iso_offset", "2023-11-15T00:13:50+02:00", 30 * S },
    { "iso_offset_without_colon", "2023-11-14T17:13:50-0500", 30 * S },
    { "iso_offset_of_hours", "2023-11-15T00:13:50+02", 30 * S },
    { "iso_without_seconds_with_offset", "2023-11-15T00:14+02:00", 40 * S },
    { "iso_without_zone_is_utc", "2023-11-14T22:13:50", 30 * S },
    { "iso_with_a_blank", "2023-11-14 22:13:50", 30 * S },
    { "iso_with_a_blank_and_zone", "2023-11-14 22:13:50 UTC", 30 * S },
    { "iso_date_alone", "2023-11-15", 6400 * S },
    { "iso_no_such_month", "2023-13-14T22:13:50Z", SILENT },
    { "iso_no_such_day", "2023-11-31T22:13:50Z", SILENT },
    { "iso_cut_off", "2023-11-14T22", SILENT },
    { "iso_far_away", "2300-01-01T00:00:00Z", INT64_MAX - NOW },
    /* durations */
    { "go_minutes", "6m0s", 360 * S },
    { "go_hours", "1h2m3.5s", 3723500 * MS },
    { "go_ms", "12ms", 12 * MS },
    { "go_ms_with_fraction", "12.5ms", 12500 * NS_PER_US },
    { "go_us", "500\xc2\xb5s", 500 * NS_PER_US },
    { "go_us_ascii", "500us", 500 * NS_PER_US },
    { "go_s", "8.64s", 8640 * MS },
    { "days", "1d", DAY },
    { "words", "30 seconds", 30 * S },
    { "words_mixed", "1 minute 30 seconds", 90 * S },
    { "iso_duration", "PT1M30S", 90 * S },
    { "unknown_unit", "30 fortnights", SILENT },
    { "unit_alone", "ms", SILENT },
    /* what says nothing */
    { "empty", "", SILENT },
    { "spaces", "   ", SILENT },
    { "minus_one", "-1", SILENT },
    { "nan", "NaN", SILENT },
    { "inf", "inf", SILENT },
    { "infinity", "-Infinity", SILENT },
    { "null", "null", SILENT },
    { "word", "later", SILENT },
    { "hexadecimal", "0x1e", SILENT },
    { "number_and_junk", "30abc", SILENT },
    { "sign_alone", "-", SILENT },
    { "point_alone", ".", SILENT },
    { "two_points", "1.2.3", SILENT },
    /* what nobody can mean */
    { "negative", "-5", ODD },
    { "negative_fraction", "-0.5", ODD },
    { "negative_duration", "-5s", ODD },
    { "minus_zero", "-0", 0 },
    /* wrappings */
    { "quotation_marks", "\"30\"", 30 * S },
    { "parameters", "30;w=60", 30 * S },
    { "parameters_with_blanks", "30 ; comment=\"wait\"", 30 * S },
    /* lists: the longest */
    { "list", "30, 60, 10", 60 * S },
    { "list_of_dates", "Tue, 14 Nov 2023 22:13:50 GMT, Tue, 14 Nov 2023 22:13:40 GMT", 30 * S },
    { "list_of_forms", "5, Tue, 14 Nov 2023 22:13:50 GMT", 30 * S },
    { "list_with_junk", "soon, 30", 30 * S },
    { "list_of_junk", "soon, later", SILENT },
    { "list_with_empty_members", ", 30,", 30 * S },
    { "list_with_a_negative", "-5, 30", 30 * S },
};

static void check(const struct row *row, int64_t unit_ns)
{
    struct http_when w = http_when_read_list(slice_of(row->text), unit_ns, NOW);
    int64_t          got = w.told ? w.in_ns : w.odd ? ODD : SILENT;

    if (got / NS_PER_US != row->in_ns / NS_PER_US || w.told != (row->in_ns >= 0))
        fail_msg("%s: %lld", row->name, (long long)got);
    if (row->in_ns == BEYOND && !w.odd)
        fail_msg("%s: not odd", row->name);
}

static void test_values(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        check(&rows[i], S);
}

static void test_milliseconds(void **state)
{
    static const struct row cases[] = {
        { "delay", "1500", 1500 * MS },       { "fraction", "0.5", 500 * NS_PER_US },
        { "ten_minutes", "600000", 600 * S }, { "epoch", "1700000001500", 1500 * MS },
        { "with_a_unit", "3s", 3 * S },       { "eleven_days", "1000000000", 1000000 * S },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        check(&cases[i], MS);
}

/* No bytes make it read beyond its slice, or say more than it may. */
static void test_every_cut_of_every_value(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t length = strlen(rows[i].text);

        for (size_t from = 0; from <= length; from++)
            for (size_t to = from; to <= length; to++) {
                char            *copy = to > from ? memcpy(malloc(to - from), rows[i].text + from, to - from) : NULL;
                struct http_when w = http_when_read_list((struct slice){ copy, to - from }, S, NOW);

                assert_true(w.in_ns >= 0);
                free(copy);
            }
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_values),
        cmocka_unit_test(test_milliseconds),
        cmocka_unit_test(test_every_cut_of_every_value),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
