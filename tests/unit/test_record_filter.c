/*
 * Which records a filter lets through, and what is said of one that is none.
 */
#include "base/clock.h"
#include "engine/record_filter.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct request_record record = {
    .id = 7,
    .started_wall_ns = INT64_C(1795861509) * NS_PER_SEC,
    .took_ns = 1500 * NS_PER_MS,
    .peer = SLICE("127.0.0.1:50814"),
    .client = SLICE("uid=1000 pid=77"),
    .uid = 1000,
    .pid = 77,
    .method = SLICE("GET"),
    .upstream = SLICE("inat"),
    .target = SLICE("/inat/v1/Taxa?q=a,b"),
    .rule = SLICE("/v1/taxa/**"),
    .status = 503,
    .sent_bytes = 3 << 20,
    .cache = SLICE("miss"),
    .forward = SLICE("uri-miss"),
    .error = SLICE("upstream-down"),
    .collapsed = true,
    .attempt_count = 2,
    .queued_ns = NS_PER_SEC,
    .upstream_ns = 250 * NS_PER_MS,
};

static void test_what_fits(void **state)
{
    static const struct {
        const char *name, *filter;
        bool        fits;
    } rows[] = {
        { "no_terms", "", true },
        { "spaces_alone", "  \t ", true },
        { "text_equal", "upstream=inat", true },
        { "text_equal_other", "upstream=ina", false },
        { "text_unequal", "upstream!=gbif", true },
        { "text_glob", "upstream=i*t", true },
        { "one_of_several", "upstream=gbif,inat", true },
        { "none_of_several", "upstream!=gbif,inat", false },
        { "part_whatever_its_case", "url~taxa", true },
        { "part_that_is_not_there", "url~observations", false },
        { "lacks", "url!~observations", true },
        { "quotes_hold_spaces", "client=\"uid=1000 pid=77\"", true },
        { "quotes_hold_commas", "url~\"a,b\"", true },
        { "missing_text_is_empty", "detail=\"\"", true },
        { "all_terms_have_to_fit", "upstream=inat status>=500 cache=miss", true },
        { "one_term_that_does_not", "upstream=inat status>=504", false },
        { "over", "status>502", true },
        { "not_over_itself", "status>503", false },
        { "at_least_itself", "status>=503", true },
        { "under", "status<503", false },
        { "at_most_itself", "status<=503", true },
        { "class", "status=5xx", true },
        { "other_class", "status=4xx", false },
        { "either_class", "status=4xx,5xx", true },
        { "not_class", "status!=5xx", false },
        { "over_class", "status>4xx", true },
        { "longer_than", "wait>999ms", true },
        { "not_longer_than_itself", "wait>1s", false },
        { "as_long", "wait>=1s", true },
        { "took", "took>1s took<2s", true },
        { "milliseconds_are_shown", "upstream_ms=250", true },
        { "size", "bytes>2MiB", true },
        { "size_over", "bytes>3MiB", false },
        { "decimal_size", "bytes>3MB", true },
        { "attempts", "attempts>1", true },
        { "flag", "collapsed=true stored=no", true },
        { "flag_unequal", "collapsed!=yes", false },
        { "user", "uid=1000 pid=77", true },
        { "process", "pid!=77", false },
        { "error", "error=upstream-*", true },
        { "rule", "rule=/v1/taxa/\\*\\*", false },
        { "rule_glob", "rule=/v1/taxa/**", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena                a = { 0 };
        struct fault                why = { "" };
        const struct record_filter *f = record_filter_parse(slice_of(rows[i].filter), &a, &why);

        if (f == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        if (record_filter_fits(f, &record) != rows[i].fits)
            fail_msg("%s: %s", rows[i].name, rows[i].filter);
        arena_free(&a);
    }
}

static void test_what_is_none(void **state)
{
    static const struct {
        const char *name, *filter, *says;
    } rows[] = {
        { "unknown_name", "upstream=a statu=1",
          "at character 12: there is nothing called statu; there are url, wait, took" },
        { "time_is_no_field", "time=1", "there is nothing called time" },
        { "no_operator", "taxa", "at character 1: taxa is no term" },
        { "no_name", "=5", "at character 1: =5 is no term" },
        { "no_value", "status=", "at character 8: after status= a value is missing: a number such as 503, or 5xx" },
        { "no_value_after_a_comma", "cache=miss,", "at character 12: after cache=miss, a value is missing: a text" },
        { "no_number", "status>x", "at character 8: x is not what status takes" },
        { "too_large", "bytes>99999999999999999999", "is not what bytes takes" },
        { "too_large_with_its_unit", "bytes>9999999999GiB", "is not what bytes takes" },
        { "no_duration", "wait>1y", "at character 6: 1y is not what queue_ms takes: a duration such as 1s or 250ms" },
        { "no_flag", "whole=maybe", "at character 7: maybe is not what whole takes: true or false" },
        { "text_is_not_over", "url>5", "target takes = != ~ !~" },
        { "flag_is_not_over", "whole>no", "whole takes = !=" },
        { "number_has_no_part", "status~5", "status takes = != > >= < <=" },
        { "several_are_not_over", "status>4,5", "at character 9: ,5 cannot follow the value" },
        { "open_quote", "url~\"a", "at character 5: the quote that begins \"a is not closed" },
        { "after_a_quote", "url~\"a\"b", "at character 8: b cannot follow the value" },
        { "control_bytes_are_not_said_again", "\x1b[31m", "at character 1: ?[31m is no term" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct fault why = { "" };

        if (record_filter_parse(slice_of(rows[i].filter), &a, &why) != NULL)
            fail_msg("%s is taken", rows[i].name);
        if (strstr(why.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_fits),
        cmocka_unit_test(test_what_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
