/*
 * HTTP dates: the three forms, the cases around them, and the C library's
 * calendar as the judge of ours.
 */
#include "http/date.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <time.h>
#include <cmocka.h>

static const int64_t NOW_S = INT64_C(1795211100); /* Fri, 20 Nov 2026 21:45:00 GMT */

enum { INVALID = -1 };

static void test_forms(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t     seconds;
    } rows[] = {
        { "imf_fixdate", "Sun, 06 Nov 1994 08:49:37 GMT", 784111777 },
        { "rfc_850", "Sunday, 06-Nov-94 08:49:37 GMT", 784111777 },
        { "asctime", "Sun Nov  6 08:49:37 1994", 784111777 },
        { "asctime_with_two_digits", "Sun Nov 06 08:49:37 1994", 784111777 },
        { "asctime_later_in_the_month", "Wed Nov 16 08:49:37 1994", 784975777 },
        { "epoch", "Thu, 01 Jan 1970 00:00:00 GMT", 0 },
        { "over_32_bits", "Sun, 21 Nov 2286 04:46:39 GMT", INT64_C(10000039599) },
        { "last_of_all", "Fri, 31 Dec 9999 23:59:59 GMT", INT64_C(253402300799) },
        { "leap_day", "Thu, 29 Feb 2024 00:00:00 GMT", 1709164800 },
        { "leap_day_of_2000", "Tue, 29 Feb 2000 00:00:00 GMT", 951782400 },
        { "leap_second", "Sat, 31 Dec 2016 23:59:60 GMT", 1483228800 },
        { "weekday_need_not_match", "Mon, 06 Nov 1994 08:49:37 GMT", 784111777 },
        { "weekday_in_capitals", "THU, 18 Aug 2050 02:01:18 GMT", 2544400878 }, /* RFC 9111 4.2 */
        { "month_in_capitals", "Thu, 18 AUG 2050 02:01:18 GMT", 2544400878 },
        { "zone_in_odd_case", "Thu, 18 Aug 2050 02:01:18 gMT", 2544400878 },
        { "rfc_850_in_50_years", "Thursday, 18-Aug-50 02:01:18 GMT", 2544400878 },

        { "no_leap_day", "Thu, 29 Feb 2023 00:00:00 GMT", INVALID },
        { "no_leap_day_of_1900", "Thu, 29 Feb 1900 00:00:00 GMT", INVALID },
        { "day_31_of_april", "Thu, 31 Apr 2023 00:00:00 GMT", INVALID },
        { "day_zero", "Thu, 00 Apr 2023 00:00:00 GMT", INVALID },
        { "hour_24", "Thu, 06 Apr 2023 24:00:00 GMT", INVALID },
        { "minute_60", "Thu, 06 Apr 2023 00:60:00 GMT", INVALID },
        { "second_61", "Thu, 06 Apr 2023 00:00:61 GMT", INVALID },
        { "utc", "Thu, 18 Aug 2050 02:01:18 UTC", INVALID },
        { "other_zone", "Thu, 18 Aug 2050 02:01:18 AEST", INVALID },
        { "numeric_zone", "Thu, 18 Aug 2050 02:01:18 +0000", INVALID },
        { "no_zone", "Thu, 18 Aug 2050 02:01:18", INVALID },
        { "imf_with_two_digit_year", "Thu, 18 Aug 50 02:01:18 GMT", INVALID },
        { "rfc_850_with_short_weekday", "Thu, 18-Aug-50 02:01:18 GMT", INVALID },
        { "rfc_850_with_four_digit_year", "Thursday, 18-Aug-2050 02:01:18 GMT", INVALID },
        { "imf_with_dashes", "Thu, 18-Aug-2050 02:01:18 GMT", INVALID },
        { "imf_with_long_weekday", "Thursday, 18 Aug 2050 02:01:18 GMT", INVALID },
        { "no_comma", "Thu 18 Aug 2050 02:01:18 GMT", INVALID },
        { "several_spaces", "Thu, 18  Aug  2050 02:01:18 GMT", INVALID },
        { "periods_in_the_time", "Thu, 18 Aug 2050 02.01.18 GMT", INVALID },
        { "one_digit_hour", "Thu, 18 Aug 2050 2:01:18 GMT", INVALID },
        { "one_digit_day", "Thu, 8 Aug 2050 02:01:18 GMT", INVALID },
        { "blank_for_a_digit", "Thu,  8 Aug 2050 02:01:18 GMT", INVALID },
        { "asctime_with_one_blank", "Sun Nov 6 08:49:37 1994", INVALID },
        { "asctime_with_zone", "Sun Nov  6 08:49:37 1994 GMT", INVALID },
        { "asctime_day_zero", "Sun Nov  0 08:49:37 1994", INVALID },
        { "no_such_weekday", "Xun, 06 Nov 1994 08:49:37 GMT", INVALID },
        { "no_such_month", "Sun, 06 Nob 1994 08:49:37 GMT", INVALID },
        { "text_behind", "Sun, 06 Nov 1994 08:49:37 GMT ", INVALID },
        { "two_dates", "Sun, 06 Nov 1994 08:49:37 GMT, Sun, 06 Nov 1994 08:49:37 GMT", INVALID },
        { "zero", "0", INVALID },
        { "minus_one", "-1", INVALID },
        { "empty", "", INVALID },
        { "sign_in_a_number", "Sun, +6 Nov 1994 08:49:37 GMT", INVALID },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice text = property_exact(slice_of(rows[i].text));
        int64_t      out = -77;
        bool         valid = http_date_parse(text, NOW_S, &out);

        property_free(text);
        if (valid != (rows[i].seconds != INVALID) || out != (valid ? rows[i].seconds : -77))
            fail_msg("%s: %lld", rows[i].name, (long long)out);
    }
}

/* RFC 9110 5.6.7: what seems to be more than 50 years ahead is in the past. */
static void test_two_digit_years(void **state)
{
    static const struct {
        const char *name, *text;
        int64_t     now_s;
        int         year;
    } rows[] = {
        { "this_year", "Friday, 20-Nov-26 21:45:00 GMT", NOW_S, 2026 },
        { "fifty_years_to_the_second", "Friday, 20-Nov-76 21:45:00 GMT", NOW_S, 2076 },
        { "a_second_more", "Friday, 20-Nov-76 21:45:01 GMT", NOW_S, 1976 },
        { "a_year_more", "Friday, 20-Nov-77 00:00:00 GMT", NOW_S, 1977 },
        { "last_century", "Sunday, 06-Nov-94 08:49:37 GMT", NOW_S, 1994 },
        { "next_century", "Friday, 20-Nov-05 00:00:00 GMT", INT64_C(3786912000), 2105 },
        { "before_the_epoch", "Friday, 20-Nov-30 00:00:00 GMT", 0, 1930 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int64_t   seconds = 0;
        time_t    t;
        struct tm tm;

        assert_true(http_date_parse(slice_of(rows[i].text), rows[i].now_s, &seconds));
        t = (time_t)seconds;
        if (gmtime_r(&t, &tm)->tm_year + 1900 != rows[i].year)
            fail_msg("%s: %d", rows[i].name, tm.tm_year + 1900);
    }
}

static void test_writes_what_the_library_writes(void **state)
{
    static const char *const forms[] = { "%a, %d %b %Y %H:%M:%S GMT", "%a %b %e %H:%M:%S %Y",
                                         "%A, %d-%b-%y %H:%M:%S GMT" };
    struct property          p = { 11 };

    (void)state;
    for (int i = 0; i < 20000; i++) {
        time_t    t = (time_t)property_below(&p, (size_t)INT64_C(253402300800));
        struct tm tm;
        char      ours[HTTP_DATE_BYTES], theirs[64];

        gmtime_r(&t, &tm);
        http_date_format(t, ours);
        for (size_t k = 0; k < sizeof forms / sizeof forms[0]; k++) {
            int64_t back = -1;

            strftime(theirs, sizeof theirs, forms[k], &tm);
            if (k == 0)
                assert_string_equal(ours, theirs);
            assert_true(http_date_parse(slice_of(theirs), t, &back) && back == t);
        }
    }
}

static void test_years_are_clamped(void **state)
{
    char out[HTTP_DATE_BYTES];

    (void)state;
    http_date_format(-1, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(INT64_MIN, out);
    assert_string_equal(out, "Thu, 01 Jan 1970 00:00:00 GMT");
    http_date_format(INT64_MAX, out);
    assert_string_equal(out, "Fri, 31 Dec 9999 23:59:59 GMT");
}

static void test_never_reads_beyond_the_text(void **state)
{
    static const char *const fragments[] = { "Sun",
                                             "Sunday",
                                             ", ",
                                             "06",
                                             " ",
                                             "Nov",
                                             "1994",
                                             "-",
                                             "08:49:37",
                                             " GMT",
                                             "94",
                                             "  6",
                                             "Mon, 06 Nov 1994 ",
                                             "Monday, 06-Nov-94 ",
                                             "Mon Nov  6 ",
                                             NULL };
    struct property          p = { 23 };

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct slice text = property_text(&p, fragments, 8);
        int64_t      out;

        if (http_date_parse(text, (int64_t)property_next(&p), &out))
            assert_true(text.len >= 24 && text.len <= 33);
        property_free(text);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_forms),
        cmocka_unit_test(test_two_digit_years),
        cmocka_unit_test(test_writes_what_the_library_writes),
        cmocka_unit_test(test_years_are_clamped),
        cmocka_unit_test(test_never_reads_beyond_the_text),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
