/*
 * Cache-Control of requests and responses, and the targeted fields.
 */
#include "http/cache_control.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { NONE = CC_ABSENT };
static const int64_t LARGEST = INT64_C(2147483648);

/* What a row does not name is absent; CC_PRESENT is to be set unless `absent` is. */
struct expected {
    const char *name, *lines;
    unsigned    flags;
    int64_t     max_age, s_maxage, max_stale, min_fresh, revalidate, error;
    const char *no_cache, *private;
};

#define NUMBERS(max_age, s_maxage) max_age, s_maxage, NONE, NONE, NONE, NONE
#define NO_NUMBERS                 NUMBERS(NONE, NONE)

static void compare(const struct expected *e, const struct cache_control *cc)
{
    if (cc->flags != e->flags)
        fail_msg("%s: flags %#x, not %#x", e->name, cc->flags, e->flags);
    if (cc->max_age_s != e->max_age)
        fail_msg("%s: max-age %lld", e->name, (long long)cc->max_age_s);
    if (cc->s_maxage_s != e->s_maxage)
        fail_msg("%s: s-maxage %lld", e->name, (long long)cc->s_maxage_s);
    if (cc->max_stale_s != e->max_stale)
        fail_msg("%s: max-stale %lld", e->name, (long long)cc->max_stale_s);
    if (cc->min_fresh_s != e->min_fresh)
        fail_msg("%s: min-fresh %lld", e->name, (long long)cc->min_fresh_s);
    if (cc->stale_while_revalidate_s != e->revalidate)
        fail_msg("%s: stale-while-revalidate %lld", e->name, (long long)cc->stale_while_revalidate_s);
    if (cc->stale_if_error_s != e->error)
        fail_msg("%s: stale-if-error %lld", e->name, (long long)cc->stale_if_error_s);
    if (!slice_eq(cc->no_cache_fields, slice_of(e->no_cache)))
        fail_msg("%s: no-cache of %.*s", e->name, SLICE_ARG(cc->no_cache_fields));
    if (!slice_eq(cc->private_fields, slice_of(e->private)))
        fail_msg("%s: private of %.*s", e->name, SLICE_ARG(cc->private_fields));
}

static void test_responses(void **state)
{
    static const unsigned P = CC_PRESENT;
    const struct expected rows[] = {
        { "absent", "Age: 1\n", 0, NO_NUMBERS, NULL, NULL },
        { "empty", "Cache-Control:\n", P, NO_NUMBERS, NULL, NULL },
        { "max_age", "Cache-Control: max-age=60\n", P, NUMBERS(60, NONE), NULL, NULL },
        { "any_case", "cache-control: MaX-aGe=60, NO-STORE\n", P | CC_NO_STORE, NUMBERS(60, NONE), NULL, NULL },
        { "quoted_number", "Cache-Control: max-age=\"60\"\n", P, NUMBERS(60, NONE), NULL, NULL },
        { "leading_zeros", "Cache-Control: max-age=003600\n", P, NUMBERS(3600, NONE), NULL, NULL },
        { "zero", "Cache-Control: max-age=0\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "largest", "Cache-Control: max-age=2147483648\n", P, NUMBERS(LARGEST, NONE), NULL, NULL },
        { "over_the_largest", "Cache-Control: max-age=99999999999\n", P, NUMBERS(LARGEST, NONE), NULL, NULL },
        { "over_64_bits", "Cache-Control: max-age=99999999999999999999999\n", P, NUMBERS(LARGEST, NONE), NULL, NULL },
        { "first_of_several_counts", "Cache-Control: max-age=1, max-age=1800\n", P, NUMBERS(1, NONE), NULL, NULL },
        { "first_of_several_lines_counts", "Cache-Control: max-age=1800\nCache-Control: max-age=1\n", P,
          NUMBERS(1800, NONE), NULL, NULL },
        { "first_counts_though_it_is_junk", "Cache-Control: max-age=x, max-age=60\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "junk_is_stale", "Cache-Control: max-age=a100\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "junk_behind_is_stale", "Cache-Control: max-age=100a\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "negative_is_stale", "Cache-Control: max-age=-100\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "decimal_is_stale", "Cache-Control: max-age=3600.0\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "single_quotes_are_stale", "Cache-Control: max-age='3600'\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "no_value_is_stale", "Cache-Control: max-age\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "empty_value_is_stale", "Cache-Control: max-age=\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "empty_quotes_are_stale", "Cache-Control: max-age=\"\"\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "blank_behind_the_sign_is_stale", "Cache-Control: max-age= 3600\n", P, NUMBERS(0, NONE), NULL, NULL },
        { "blank_before_the_sign_is_unknown", "Cache-Control: max-age =3600\n", P, NO_NUMBERS, NULL, NULL },
        { "number_in_an_extension", "Cache-Control: extension=\"max-age=3600\", max-age=1\n", P, NUMBERS(1, NONE), NULL,
          NULL },
        { "number_in_an_extension_behind", "Cache-Control: max-age=1, extension=\"max-age=3600\"\n", P,
          NUMBERS(1, NONE), NULL, NULL },
        { "directive_in_an_extension", "Cache-Control: x=\"a, no-store\", max-age=5\n", P, NUMBERS(5, NONE), NULL,
          NULL },
        { "unclosed_quote_hides_nothing", "Cache-Control: x=\"a, no-store\n", P | CC_NO_STORE, NO_NUMBERS, NULL, NULL },
        { "s_maxage", "Cache-Control: s-maxage=10, max-age=20\n", P, NUMBERS(20, 10), NULL, NULL },
        { "junk_s_maxage_is_stale", "Cache-Control: s-maxage=x, max-age=20\n", P, NUMBERS(20, 0), NULL, NULL },
        { "stale_extensions", "Cache-Control: stale-while-revalidate=30, stale-if-error=\"40\"\n", P, NONE, NONE, NONE,
          NONE, 30, 40, NULL, NULL },
        { "junk_stale_extensions_allow_nothing", "Cache-Control: stale-while-revalidate=x, stale-if-error\n", P, NONE,
          NONE, NONE, NONE, 0, 0, NULL, NULL },
        { "all_flags",
          "Cache-Control: no-store, no-cache, private, public, must-revalidate\n"
          "Cache-Control: proxy-revalidate, must-understand, immutable, no-transform\n",
          P | CC_NO_STORE | CC_NO_CACHE | CC_PRIVATE | CC_PUBLIC | CC_MUST_REVALIDATE | CC_PROXY_REVALIDATE |
              CC_MUST_UNDERSTAND | CC_IMMUTABLE | CC_NO_TRANSFORM,
          NO_NUMBERS, NULL, NULL },
        { "request_directives_mean_nothing", "Cache-Control: max-stale, min-fresh=5, only-if-cached\n", P, NO_NUMBERS,
          NULL, NULL },
        { "unknown_are_ignored", "Cache-Control: foobar, x=y, max-age=5\n", P, NUMBERS(5, NONE), NULL, NULL },
        { "no_cache_with_a_list", "Cache-Control: no-cache=\"Set-Cookie, X-A\"\n", P | CC_NO_CACHE_FIELDS, NO_NUMBERS,
          "Set-Cookie, X-A", NULL },
        { "no_cache_with_a_token", "Cache-Control: no-cache=Set-Cookie\n", P | CC_NO_CACHE_FIELDS, NO_NUMBERS,
          "Set-Cookie", NULL },
        { "no_cache_both_ways", "Cache-Control: no-cache=\"A\", no-cache\n", P | CC_NO_CACHE_FIELDS | CC_NO_CACHE,
          NO_NUMBERS, "A", NULL },
        { "two_lists_cover_everything", "Cache-Control: no-cache=\"A\", no-cache=\"B\"\n",
          P | CC_NO_CACHE_FIELDS | CC_NO_CACHE, NO_NUMBERS, "A", NULL },
        { "empty_list_covers_everything", "Cache-Control: no-cache=\"\"\n", P | CC_NO_CACHE, NO_NUMBERS, NULL, NULL },
        { "odd_list_covers_everything", "Cache-Control: private=\"a b\", no-cache=\"a=b\"\n",
          P | CC_PRIVATE | CC_NO_CACHE, NO_NUMBERS, NULL, NULL },
        { "single_quoted_list_covers_everything", "Cache-Control: private='A'\n", P | CC_PRIVATE, NO_NUMBERS, NULL,
          NULL },
        { "unclosed_list_covers_everything", "Cache-Control: no-cache=\"A, B\n", P | CC_NO_CACHE, NO_NUMBERS, NULL,
          NULL },
        { "private_with_a_list", "Cache-Control: private=\"X-User\", max-age=5\n", P | CC_PRIVATE_FIELDS,
          NUMBERS(5, NONE), NULL, "X-User" },
        { "restriction_counts_with_an_argument", "Cache-Control: no-store=1, must-revalidate=x\n",
          P | CC_NO_STORE | CC_MUST_REVALIDATE, NO_NUMBERS, NULL, NULL },
        { "permission_does_not", "Cache-Control: public=0, immutable=\"\", must-understand=x\n", P, NO_NUMBERS, NULL,
          NULL },
        { "pragma_is_no_response_field", "Pragma: no-cache\n", 0, NO_NUMBERS, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head          h = head_of(rows[i].lines);
        struct cache_control cc = cache_control_of_response(&h.fields);

        compare(&rows[i], &cc);
        head_free(&h);
    }
}

static void test_requests(void **state)
{
    static const unsigned P = CC_PRESENT;
    const struct expected rows[] = {
        { "absent", "", 0, NO_NUMBERS, NULL, NULL },
        { "numbers", "Cache-Control: max-age=1, min-fresh=2, max-stale=3, stale-if-error=4\n", P, 1, NONE, 3, 2, NONE,
          4, NULL, NULL },
        { "max_stale_without_a_value", "Cache-Control: max-stale\n", P | CC_MAX_STALE_ANY, NO_NUMBERS, NULL, NULL },
        { "first_max_stale_counts", "Cache-Control: max-stale=5, max-stale\n", P, NONE, NONE, 5, NONE, NONE, NONE, NULL,
          NULL },
        { "first_max_stale_counts_without_a_value", "Cache-Control: max-stale, max-stale=5\n", P | CC_MAX_STALE_ANY,
          NO_NUMBERS, NULL, NULL },
        { "junk_is_absent", "Cache-Control: max-age=x, min-fresh, max-stale=, max-stale=\"y\"\n", P, NO_NUMBERS, NULL,
          NULL },
        { "too_large", "Cache-Control: max-stale=99999999999\n", P, NONE, NONE, LARGEST, NONE, NONE, NONE, NULL, NULL },
        { "flags", "Cache-Control: no-cache, no-store, no-transform, only-if-cached\n",
          P | CC_NO_CACHE | CC_NO_STORE | CC_NO_TRANSFORM | CC_ONLY_IF_CACHED, NO_NUMBERS, NULL, NULL },
        { "no_cache_with_an_argument_is_no_cache", "Cache-Control: no-cache=\"A\"\n", P | CC_NO_CACHE, NO_NUMBERS, NULL,
          NULL },
        { "must_revalidate_counts_as_no_cache", "Cache-Control: must-revalidate\n",
          P | CC_MUST_REVALIDATE | CC_NO_CACHE, NO_NUMBERS, NULL, NULL },
        { "response_directives_mean_nothing", "Cache-Control: s-maxage=1, private, public\n", P, NO_NUMBERS, NULL,
          NULL },
        { "pragma", "Pragma: foo, No-Cache\n", CC_NO_CACHE, NO_NUMBERS, NULL, NULL },
        { "other_pragma", "Pragma: foo\n", 0, NO_NUMBERS, NULL, NULL },
        { "cache_control_over_pragma", "Pragma: no-cache\nCache-Control: max-age=5\n", P, NUMBERS(5, NONE), NULL,
          NULL },
        { "targeted_fields_are_no_request_fields", "CDN-Cache-Control: no-store\n", 0, NO_NUMBERS, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head          h = head_of(rows[i].lines);
        struct cache_control cc = cache_control_of_request(&h.fields);

        compare(&rows[i], &cc);
        head_free(&h);
    }
}

static void test_targeted_fields(void **state)
{
    static const unsigned T = CC_PRESENT | CC_TARGETED, P = CC_PRESENT;
    const struct expected rows[] = {
        { "targeted_wins", "Cache-Control: no-store\nCDN-Cache-Control: max-age=60\n", T, NUMBERS(60, NONE), NULL,
          NULL },
        { "weirs_before_the_others",
          "CDN-Cache-Control: max-age=60\n"
          "Weir-Cache-Control: max-age=5\n",
          T, NUMBERS(5, NONE), NULL, NULL },
        { "flags", "CDN-Cache-Control: no-store, private, must-revalidate;x=1, no-cache\n",
          T | CC_NO_STORE | CC_PRIVATE | CC_MUST_REVALIDATE | CC_NO_CACHE, NO_NUMBERS, NULL, NULL },
        { "last_of_a_repeated_key", "CDN-Cache-Control: max-age=1, max-age=2\n", T, NUMBERS(2, NONE), NULL, NULL },
        { "over_lines", "CDN-Cache-Control: max-age=1\nCDN-Cache-Control: s-maxage=2\n", T, NUMBERS(1, 2), NULL, NULL },
        { "too_large", "CDN-Cache-Control: max-age=99999999999\n", T, NUMBERS(LARGEST, NONE), NULL, NULL },
        { "negative", "CDN-Cache-Control: max-age=-1\n", T, NUMBERS(0, NONE), NULL, NULL },
        { "unknown_directive_only", "Cache-Control: no-store\nCDN-Cache-Control: none\n", T, NO_NUMBERS, NULL, NULL },
        { "false_is_not_said", "CDN-Cache-Control: no-store=?0, max-age=5\n", T, NUMBERS(5, NONE), NULL, NULL },
        { "field_list", "CDN-Cache-Control: private=\"A, B\", max-age=5\n", T | CC_PRIVATE_FIELDS, NUMBERS(5, NONE),
          NULL, "A, B" },
        { "field_list_with_an_escape", "CDN-Cache-Control: no-cache=\"A\\\\\"\n", T | CC_NO_CACHE, NO_NUMBERS, NULL,
          NULL },
        { "field_list_over_lines",
          "CDN-Cache-Control: no-cache=\"A\"\n"
          "CDN-Cache-Control: max-age=5\n",
          T | CC_NO_CACHE, NUMBERS(5, NONE), NULL, NULL },
        { "does_not_parse", "CDN-Cache-Control: max-age=10000, &&&&&\nCache-Control: no-store\n", P | CC_NO_STORE,
          NO_NUMBERS, NULL, NULL },
        { "wrong_type_only", "CDN-Cache-Control: max-age=\"10000\"\nCache-Control: no-store\n", P | CC_NO_STORE,
          NO_NUMBERS, NULL, NULL },
        { "wrong_type_beside_others_is_stale", "CDN-Cache-Control: max-age=1.5, public\n", T | CC_PUBLIC,
          NUMBERS(0, NONE), NULL, NULL },
        { "wrong_type_takes_no_restriction_away", "CDN-Cache-Control: no-store, max-age=x\nCache-Control: max-age=5\n",
          T | CC_NO_STORE, NUMBERS(0, NONE), NULL, NULL },
        { "capitals_are_no_key", "CDN-Cache-Control: Max-Age=60\nCache-Control: max-age=5\n", P, NUMBERS(5, NONE), NULL,
          NULL },
        { "empty", "CDN-Cache-Control:\nCache-Control: max-age=5\n", P, NUMBERS(5, NONE), NULL, NULL },
        { "next_target_where_the_first_is_invalid", "Weir-Cache-Control: &\nCDN-Cache-Control: max-age=7\n", T,
          NUMBERS(7, NONE), NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head          h = head_of(rows[i].lines);
        struct cache_control cc = cache_control_of_response(&h.fields);

        compare(&rows[i], &cc);
        head_free(&h);
    }
}

static void test_field_lists(void **state)
{
    struct slice list = SLICE("Set-Cookie , x-a,,B");

    (void)state;
    assert_true(field_list_has(list, SLICE("set-cookie")));
    assert_true(field_list_has(list, SLICE("X-A")));
    assert_true(field_list_has(list, SLICE("b")));
    assert_false(field_list_has(list, SLICE("Set")));
    assert_false(field_list_has(list, SLICE("")));
    assert_false(field_list_has(SLICE_NONE, SLICE("a")));
}

static bool in_range(int64_t n)
{
    return n >= CC_ABSENT && n <= LARGEST;
}

/* Whatever comes: numbers stay in their range, lists within the field, and a no-store that
 * stands after everything on a line of its own is seen. */
static void test_any_field_is_survived(void **state)
{
    static const char *const fragments[] = { "max-age",     "=",  "60",        ",",        " ",          "\"",
                                             "\\",          ";",  "s-maxage=", "no-cache", "private=\"", "a, b",
                                             "99999999999", "?1", "'",         "(",        ")",          NULL };
    struct property          p = { 47 };

    (void)state;
    for (int i = 0; i < 20000; i++) {
        struct arena         a = { 0 };
        struct http_fields   f = { 0 };
        struct slice         value = property_text(&p, fragments, 14);
        struct cache_control cc;

        http_fields_add_id(&f, &a, i % 4 == 0 ? HTTP_CDN_CACHE_CONTROL : HTTP_CACHE_CONTROL, value);
        if (i % 4 != 0)
            http_fields_add_id(&f, &a, HTTP_CACHE_CONTROL, SLICE("no-store"));
        cc = cache_control_of_response(&f);
        assert_true(i % 4 == 0 || (cc.flags & CC_NO_STORE) != 0);
        assert_true(in_range(cc.max_age_s) && in_range(cc.s_maxage_s));
        assert_true(cc.private_fields.len == 0 ||
                    (cc.private_fields.ptr >= value.ptr &&
                     cc.private_fields.ptr + cc.private_fields.len <= value.ptr + value.len));
        cc = cache_control_of_request(&f);
        assert_true(in_range(cc.max_age_s) && cc.s_maxage_s == CC_ABSENT);
        property_free(value);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_responses),
        cmocka_unit_test(test_requests),
        cmocka_unit_test(test_targeted_fields),
        cmocka_unit_test(test_field_lists),
        cmocka_unit_test(test_any_field_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
