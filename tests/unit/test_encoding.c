/*
 * Accept-Encoding and Accept-Language.
 */
#include "http/encoding.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_one_spelling_for_one_wish(void **state)
{
    static const struct {
        const char *name, *lines, *normal;
    } rows[] = {
        { "curl", "Accept-Encoding: deflate, gzip, br, zstd\n", "br, deflate, gzip, zstd" },
        { "requests", "Accept-Encoding: gzip, deflate, br, zstd\n", "br, deflate, gzip, zstd" },
        { "case_and_blanks", "Accept-Encoding: GZip ,\tDeflate\n", "deflate, gzip" },
        { "weights_do_not_matter", "Accept-Encoding: gzip;q=0.5, br ; q=1.0\n", "br, gzip" },
        { "refused_is_left_out", "Accept-Encoding: gzip, br;q=0, zstd;q=0.000, x;Q=0.0\n", "gzip" },
        { "identity_is_folded", "Accept-Encoding: gzip, identity;q=0.5\n", "gzip" },
        { "identity_only", "Accept-Encoding: identity\n", "" },
        { "absent", "Accept: x\n", "" },
        { "empty", "Accept-Encoding:\n", "" },
        { "aliases", "Accept-Encoding: x-gzip, X-Compress\n", "compress, gzip" },
        { "twice", "Accept-Encoding: gzip, x-gzip\nAccept-Encoding: gzip\n", "gzip" },
        { "any", "Accept-Encoding: *\n", "*" },
        { "any_and_one", "Accept-Encoding: gzip, *;q=0.1\n", "*, gzip" },
        { "nothing_else", "Accept-Encoding: gzip, *;q=0\n", "gzip" },
        { "prefixes_are_sorted", "Accept-Encoding: gzipx, gzip\n", "gzip, gzipx" },
        { "bad_weight_is_no_weight", "Accept-Encoding: gzip;q=x, br;q=0x, a;q=, b;q=00\n", "a, b, br, gzip" },
        { "member_without_a_name", "Accept-Encoding: ;q=1, gzip\n", "gzip" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  h = head_of(rows[i].lines);
        struct slice normal = http_accept_encoding_normalise(&h.fields, &h.arena);

        if (normal.ptr == NULL || !slice_eq(normal, slice_of(rows[i].normal)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(normal));
        head_free(&h);
    }
}

static void test_languages_in_order_of_preference(void **state)
{
    static const struct {
        const char *name, *lines, *normal;
    } rows[] = {
        { "order_says_nothing", "Accept-Language: en, de\n", "de, en" },
        { "weights_make_the_order", "Accept-Language: en;q=0.5, DE-at;q=0.9, fr\n", "fr, de-at;q=0.999, en;q=0.998" },
        { "a_preference_is_no_equal", "Accept-Language: de, en;q=0.9\n", "de, en;q=0.999" },
        { "numbers_of_weights_say_nothing", "Accept-Language: de;q=0.7, en;q=0.1\n", "de, en;q=0.999" },
        { "equal_weights_by_name", "Accept-Language: c;q=0.5, b;q=0.5, a;q=0.5, d\n",
          "d, a;q=0.999, b;q=0.999, c;q=0.999" },
        { "thousandths_count", "Accept-Language: a;q=0.001, b;q=0.002\n", "b, a;q=0.999" },
        { "refused_is_told_apart", "Accept-Language: en;q=0, *\n", "*, en;q=0" },
        { "over_lines", "Accept-Language: a;q=0.1\nAccept-Language: b\n", "b, a;q=0.999" },
        { "absent", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  h = head_of(rows[i].lines);
        struct slice normal = http_accept_language_normalise(&h.fields, &h.arena);

        if (!slice_eq(normal, slice_of(rows[i].normal)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(normal));
        head_free(&h);
    }
}

static void test_acceptable_codings(void **state) /* RFC 9110 12.5.3 */
{
    static const struct {
        const char *name, *lines, *coding;
        bool        acceptable;
    } rows[] = {
        { "no_preference_takes_any", "", "gzip", true },
        { "no_preference_takes_none", "", NULL, true },
        { "listed", "Accept-Encoding: gzip\n", "gzip", true },
        { "listed_in_other_case", "Accept-Encoding: GZIP\n", "Gzip", true },
        { "listed_as_alias", "Accept-Encoding: x-gzip\n", "gzip", true },
        { "stored_as_alias", "Accept-Encoding: gzip\n", "x-gzip", true },
        { "not_listed", "Accept-Encoding: gzip\n", "br", false },
        { "refused", "Accept-Encoding: gzip;q=0\n", "gzip", false },
        { "any", "Accept-Encoding: *\n", "br", true },
        { "any_refused", "Accept-Encoding: gzip, *;q=0\n", "br", false },
        { "own_name_over_any", "Accept-Encoding: *;q=0, br\n", "br", true },
        { "own_refusal_over_any", "Accept-Encoding: br;q=0, *\n", "br", false },
        { "empty_field_takes_no_coding", "Accept-Encoding:\n", "gzip", false },
        { "identity_takes_no_coding", "Accept-Encoding: identity\n", "gzip", false },
        { "no_coding", "Accept-Encoding: gzip\n", NULL, true },
        { "no_coding_with_an_empty_field", "Accept-Encoding:\n", NULL, true },
        { "identity_refused", "Accept-Encoding: gzip, identity;q=0\n", NULL, false },
        { "identity_refused_by_any", "Accept-Encoding: gzip, *;q=0\n", NULL, false },
        { "identity_over_any", "Accept-Encoding: identity, *;q=0\n", NULL, true },
        { "identity_refused_but_coded", "Accept-Encoding: gzip, identity;q=0\n", "gzip", true },
        { "identity_as_a_coding", "Accept-Encoding: gzip\n", "identity", true },
        { "both_of_two", "Accept-Encoding: gzip, br\n", "gzip, br", true },
        { "of_no_registry", "Accept-Encoding: gzip\n", "private-coding", true },
        { "of_no_registry_and_not_listed", "Accept-Encoding: gzip\n", "private-coding, br", false },
        { "one_of_two", "Accept-Encoding: gzip\n", "gzip, br", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head h = head_of(rows[i].lines);

        if (http_coding_is_acceptable(&h.fields, slice_of(rows[i].coding)) != rows[i].acceptable)
            fail_msg("%s", rows[i].name);
        head_free(&h);
    }
}

/* A normal form of a normal form is itself: what is stored under it is found under it. */
static void test_normal_forms_are_fixed_points(void **state)
{
    static const char *const fragments[] = { "gzip", "br", "x-gzip", "*", "identity", ",",  ", ", ";q=",
                                             "0",    "1",  "0.5",    " ", "GZIP",     "\"", ";",  NULL };
    struct property          p = { 53 };

    (void)state;
    for (int i = 0; i < 10000; i++) {
        struct arena       a = { 0 };
        struct http_fields f = { 0 }, again = { 0 };
        struct slice       value = property_text(&p, fragments, 12), normal, twice;

        http_fields_add_id(&f, &a, HTTP_ACCEPT_ENCODING, value);
        http_fields_add_id(&f, &a, HTTP_ACCEPT_LANGUAGE, value);
        normal = http_accept_encoding_normalise(&f, &a);
        http_fields_add_id(&again, &a, HTTP_ACCEPT_ENCODING, normal);
        twice = http_accept_encoding_normalise(&again, &a);
        if (!slice_eq(normal, twice))
            fail_msg("%.*s: %.*s, then %.*s", SLICE_ARG(value), SLICE_ARG(normal), SLICE_ARG(twice));
        normal = http_accept_language_normalise(&f, &a);
        http_fields_add_id(&again, &a, HTTP_ACCEPT_LANGUAGE, normal);
        assert_true(slice_eq(http_accept_language_normalise(&again, &a), normal));
        http_coding_is_acceptable(&f, SLICE("gzip, br"));
        property_free(value);
        arena_free(&a);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_spelling_for_one_wish),
        cmocka_unit_test(test_languages_in_order_of_preference),
        cmocka_unit_test(test_acceptable_codings),
        cmocka_unit_test(test_normal_forms_are_fixed_points),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
