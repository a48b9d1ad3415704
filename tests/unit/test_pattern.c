/*
 * Patterns of rules: what they match, what they refuse, and which hides which
 * (contract section 3).
 */
#include "route/pattern.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

static struct pattern *compile(const char *name, const char *text)
{
    struct fault    why = { "" };
    struct slice    exact = property_exact(slice_of(text));
    struct pattern *p = pattern_compile(exact, &why);

    property_free(exact);
    if (p == NULL)
        fail_msg("%s: %s: %s", name, text, why.text);
    return p;
}

static bool matches(const struct pattern *p, const char *target)
{
    struct slice exact = property_exact(slice_of(target));
    bool         yes = pattern_matches(p, exact);

    property_free(exact);
    return yes;
}

static void test_matches(void **state)
{
    static const struct {
        const char *name, *pattern, *target;
        bool        matches;
    } rows[] = {
        { "literal_is_itself", "/v1/taxa", "/v1/taxa", true },
        { "literal_is_whole", "/v1/taxa", "/v1/taxa/", false },
        { "literal_is_no_prefix", "/v1/taxa", "/v1/taxafoo", false },
        { "literal_needs_all", "/v1/taxa", "/v1/tax", false },
        { "case_counts", "/v1/Taxa", "/v1/taxa", false },
        { "root", "/", "/", true },
        { "query_is_passed_over", "/v1/taxa", "/v1/taxa?q=1&r=/x", true },
        { "empty_query_is_passed_over", "/v1/taxa", "/v1/taxa?", true },
        { "star_is_a_segment", "/v1/*/photos", "/v1/taxa/photos", true },
        { "star_may_be_empty", "/v1/*/photos", "/v1//photos", true },
        { "star_stops_at_a_slash", "/v1/*", "/v1/taxa/1", false },
        { "star_in_a_segment", "/v1/ta*s.json", "/v1/taxas.json", true },
        { "two_stars_in_a_segment", "/*a*b", "/xaxb", true },
        { "star_does_not_see_the_query", "/v1/*x", "/v1/a?x", false },
        { "star_needs_its_slash", "/v1/*", "/v1", false },
        { "star_takes_a_trailing_nothing", "/v1/*", "/v1/", true },
        { "below_is_itself", "/v1/taxa/**", "/v1/taxa", true },
        { "below_is_with_slash", "/v1/taxa/**", "/v1/taxa/", true },
        { "below_is_a_child", "/v1/taxa/**", "/v1/taxa/1", true },
        { "below_is_deep", "/v1/taxa/**", "/v1/taxa/1/2/3", true },
        { "below_is_no_sibling", "/v1/taxa/**", "/v1/taxafoo", false },
        { "below_with_query", "/v1/taxa/**", "/v1/taxa?x=1", true },
        { "below_root_is_all", "/**", "/a/b/c", true },
        { "below_root_is_root", "/**", "/", true },
        { "two_stars_are_all", "**", "/a/b", true },
        { "two_stars_cross_segments", "/a/**.json", "/a/b/c.json", true },
        { "two_stars_in_the_middle", "/a/**/z", "/a/b/c/z", true },
        { "two_stars_in_the_middle_may_be_one", "/a/**/z", "/a/b/z", true },
        { "two_stars_in_the_middle_may_be_none", "/a/**/z", "/a/z", true },
        { "two_stars_in_the_middle_keep_borders", "/a/**/z", "/a/bz", false },
        { "two_stars_begin", "**/photos", "/a/b/photos", true },
        { "two_stars_then_a_star", "/a/**/*.json", "/a/x/y.json", true },
        { "question_is_one_byte", "/v?/taxa", "/v1/taxa", true },
        { "question_is_not_none", "/v?/taxa", "/v/taxa", false },
        { "question_is_not_two", "/v?/taxa", "/v12/taxa", false },
        { "question_is_no_slash", "/v?taxa", "/v/taxa", false },
        { "question_at_the_end", "/a?", "/ab", true },
        { "question_at_the_end_is_no_query", "/a?", "/a?b=1", false },
        { "braces_first", "/v{1,2}/taxa", "/v1/taxa", true },
        { "braces_second", "/v{1,2}/taxa", "/v2/taxa", true },
        { "braces_neither", "/v{1,2}/taxa", "/v3/taxa", false },
        { "braces_with_nothing", "/v1{,.json}", "/v1", true },
        { "braces_with_one", "/v{1}/x", "/v1/x", true },
        { "braces_hold_wildcards", "/{v*,w?}/x", "/vvv/x", true },
        { "braces_hold_wildcards_too", "/{v*,w?}/x", "/w1/x", true },
        { "braces_nest", "/{a,b{c,d}}", "/bd", true },
        { "braces_nest_whole", "/{a,b{c,d}}", "/b", false },
        { "braces_and_below", "{/a/**,/b/**}", "/b/x", true },
        { "braces_and_below_itself", "{/a/**,/b/**}", "/a", true },
        { "comma_outside_is_literal", "/a,b", "/a,b", true },
        { "escaped_star", "/a\\*", "/a*", true },
        { "escaped_star_is_no_wildcard", "/a\\*", "/ab", false },
        { "escaped_brace", "/\\{x\\}", "/{x}", true },
        { "percent_is_raw", "/api/%232PP", "/api/%232PP", true },
        { "percent_is_not_decoded", "/api/a", "/api/%61", false },
        { "encoded_slash_is_in_the_segment", "/api/*/x", "/api/a%2Fb/x", true },
        { "double_slash_is_kept", "/a/b", "/a//b", false },
        { "brackets_are_literal", "/a[0]", "/a[0]", true },
        { "high_bytes", "/\xc3\xa4*", "/\xc3\xa4\xff", true },
        /* the query part */
        { "query_parameter", "/search?q=*", "/search?q=frog", true },
        { "query_parameter_is_needed", "/search?q=*", "/search", false },
        { "query_parameter_of_another_name", "/search?q=*", "/search?r=1", false },
        { "query_others_may_stand_beside", "/search?q=*", "/search?a=1&q=2&b=3", true },
        { "query_order_is_free", "/s?a=1&b=2", "/s?b=2&a=1", true },
        { "query_needs_all", "/s?a=1&b=2", "/s?a=1", false },
        { "query_value_counts", "/s?a=1", "/s?a=12", false },
        { "query_star_takes_slashes", "/s?u=*", "/s?u=http://x/y", true },
        { "query_question_in_the_value", "/s?a=?", "/s?a=7", true },
        { "query_braces", "/s?a={1,2}", "/s?a=2", true },
        { "query_with_wild_path", "/v?/s?a=1", "/v1/s?a=1", true },
        { "escaped_question_begins_the_query", "/s\\?flag", "/s?flag", true },
        { "escaped_question_needs_the_parameter", "/s\\?flag", "/s", false },
        { "escaped_question_any", "/s\\?*", "/s?x", true },
        { "escaped_question_alone_is_no_query", "/s\\?", "/s", true },
        { "escaped_question_alone_refuses_one", "/s\\?", "/s?x=1", false },
        /* expressions */
        { "expression", "~^/v[0-9]+/places/", "/v12/places/7", true },
        { "expression_not", "~^/v[0-9]+/places/", "/vx/places/7", false },
        { "expression_is_unanchored", "~places", "/v1/places/7", true },
        { "expression_end_is_of_the_path", "~\\.json$", "/a.json?x=1", true },
        { "expression_with_question_sees_all", "~^/a\\?x=1$", "/a?x=1", true },
        { "expression_with_class_sees_all", "~[?&]x=1", "/a?b=2&x=1", true },
        { "expression_without_does_not", "~x=1", "/a?x=1", false },
        { "expression_end_is_the_very_end", "~^/a$", "/a\n", false },
        { "expression_no_utf_needed", "~^/\xff$", "/\xff", true },
        { "whole_urls", "https://host/v1/**", "https://host/v1/a?x=1", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pattern *p = compile(rows[i].name, rows[i].pattern);

        if (matches(p, rows[i].target) != rows[i].matches)
            fail_msg("%s: %s against %s", rows[i].name, rows[i].pattern, rows[i].target);
        if (!slice_eq(pattern_text(p), slice_of(rows[i].pattern)))
            fail_msg("%s: text", rows[i].name);
        pattern_free(p);
    }
}

static void test_refused(void **state)
{
    static const struct {
        const char *name, *pattern, *says;
    } rows[] = {
        { "empty", "", "empty" },
        { "no_slash", "v1/taxa", "character 1" },
        { "open_brace", "/a{b,c", "character 3" },
        { "open_brace_inside", "/a{b,{c}", "character 3" },
        { "stray_brace", "/a}b", "character 3" },
        { "backslash_at_the_end", "/a\\", "character 3" },
        { "bad_expression", "~^/a(", "character 6" },
        { "bad_parameter", "/a?b={1", "character 6" },
        { "too_deep", "/{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{a", "nested" },
    };
    struct fault why;

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        why.text[0] = '\0';
        if (pattern_compile(slice_of(rows[i].pattern), &why) != NULL)
            fail_msg("%s: taken", rows[i].name);
        if (strstr(why.text, rows[i].says) == NULL)
            fail_msg("%s: %s", rows[i].name, why.text);
    }
}

/* Wildcards in a row on a long target: what backtracks would not come back. */
static void test_no_explosion(void **state)
{
    static const char *const patterns[] = {
        "/a*a*a*a*a*a*a*a*a*a*b",
        "/**a**a**a**a**a**a**a**b",
        "/{a,aa,aaa}*{a,aa}*{a,aa}*b",
        "/x?q=a*a*a*a*a*a*a*a*b",
        "~^/(a+)+b",
        "~^/(a|aa)+$b",
    };
    enum { LONG = 20000 };
    char *target = malloc(LONG + 6);

    (void)state;
    for (size_t i = 0; i < sizeof patterns / sizeof patterns[0]; i++) {
        struct pattern *p = compile("explosion", patterns[i]);

        memset(target, 'a', LONG);
        memcpy(target, strchr(patterns[i], '=') != NULL ? "/x?q=a" : "/aaaaa", 6);
        assert_false(pattern_matches(p, (struct slice){ target, LONG }));
        pattern_free(p);
    }
    free(target);
}

static void test_too_long(void **state)
{
    char         text[4000] = "/";
    struct fault why = { "" };

    (void)state;
    memset(text + 1, 'a', sizeof text - 2);
    text[sizeof text - 1] = '\0';
    assert_null(pattern_compile(slice_of(text), &why));
    assert_non_null(strstr(why.text, "too long"));
}

static void test_hides(void **state)
{
    static const struct {
        const char *earlier, *later;
        bool        hides;
    } rows[] = {
        { "/a", "/a", true },
        { "/a", "/b", false },
        { "/a/**", "/a", true },
        { "/a/**", "/a/b", true },
        { "/a/**", "/a/b/*", true },
        { "/a/**", "/a/b/**", true },
        { "/a/**", "/ab/**", false },
        { "/a/b/**", "/a/**", false },
        { "/**", "/x/y?z=1", true },
        { "**", "/anything/**", true },
        { "**", "~^/v[0-9]", true },
        { "/**", "~^/v[0-9]", true },
        { "/*", "~^/v[0-9]", false },
        { "/v1/*", "/v1/taxa", true },
        { "/v1/*", "/v1/t?xa", true },
        { "/v1/*", "/v1/taxa/1", false },
        { "/v1/*", "/v1/**", false },
        { "/v1/**", "/v1/*", true },
        { "/v?/x", "/v1/x", true },
        { "/v1/x", "/v?/x", false },
        { "/{a,b}/**", "/a/x", true },
        { "/{a,b}", "/{b,a}", true },
        { "/{a,b}", "/{b,c}", false },
        { "/a*", "/a*b", true },
        { "/a*b", "/a*", false },
        { "/**", "**", true },   /* a path begins with a slash */
        { "~^/a", "/a", false }, /* an expression is not looked into */
        { "~^/a", "~^/a", true },
        { "/s", "/s?q=1", true },
        { "/s?q=1", "/s", false },
        { "/s?q=1", "/s?q=1&r=2", true },
        { "/s?q=1&r=2", "/s?q=1", false },
        { "/s\\?", "/s", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct pattern *earlier = compile("hides", rows[i].earlier), *later = compile("hides", rows[i].later);

        if (pattern_hides(earlier, later) != rows[i].hides)
            fail_msg("%s before %s", rows[i].earlier, rows[i].later);
        pattern_free(earlier);
        pattern_free(later);
    }
}

/* Whatever is hidden matches nothing that its hider does not: tried on random pairs and targets. */
static void test_hidden_is_never_needed(void **state)
{
    static const char *const bits[] = { "/", "a", "b", "*", "**", "?", "{a,b}", "{,/a}", "/**", NULL };
    static const char *const parts[] = { "/", "a", "b", "c", NULL };
    struct property          random = { 7 };
    unsigned                 hidden = 0;

    (void)state;
    for (unsigned round = 0; round < 3000; round++) {
        struct slice    texts[2], target;
        struct pattern *p[2];
        char            text[256];

        for (unsigned i = 0; i < 2; i++) {
            texts[i] = property_text(&random, bits, 5);
            for (size_t k = 0; k < texts[i].len; k++)
                ((char *)(uintptr_t)texts[i].ptr)[k] &= 0x7f;
            snprintf(text, sizeof text, "/%.*s", SLICE_ARG(texts[i]));
            p[i] = pattern_compile(slice_of(text), NULL);
            property_free(texts[i]);
        }
        if (p[0] != NULL && p[1] != NULL && pattern_hides(p[0], p[1])) {
            hidden++;
            for (unsigned k = 0; k < 20; k++) {
                target = property_text(&random, parts, 6);
                snprintf(text, sizeof text, "/%.*s", SLICE_ARG(target));
                property_free(target);
                if (pattern_matches(p[1], slice_of(text)) && !pattern_matches(p[0], slice_of(text)))
                    fail_msg("%s: %s hides %s", text, pattern_text(p[0]).ptr, pattern_text(p[1]).ptr);
            }
        }
        pattern_free(p[0]);
        pattern_free(p[1]);
    }
    assert_true(hidden > 50);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_matches),  cmocka_unit_test(test_refused), cmocka_unit_test(test_no_explosion),
        cmocka_unit_test(test_too_long), cmocka_unit_test(test_hides),   cmocka_unit_test(test_hidden_is_never_needed),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
