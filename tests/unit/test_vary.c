/*
 * Variants (RFC 9111 4.1).
 */
#include "policy/vary.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

static const char *const           credential_headers[] = { "Authorization", "Cookie", NULL };
static const struct policy_options plain = { .credential_headers = credential_headers };
static const struct policy_options no_credentials = { .credential_headers = NULL };

static void test_selection_text(void **state)
{
    static const struct {
        const char *name, *response, *request, *selection;
    } rows[] = {
        { "no_vary", "Age: 1\n", "Foo: 1\n", "" },
        { "empty_vary", "Vary:\n", "Foo: 1\n", "" },
        { "one_name", "Vary: Foo\n", "Foo: 1\n", "foo: 1\n" },
        { "sorted_once_and_lower", "Vary: Foo, bar\nVary: FOO,,baz\n", "bar: b\nFoo: f\n", "bar: b\nbaz\nfoo: f\n" },
        { "absent_is_told_from_empty", "Vary: Foo, Bar\n", "Foo:\n", "bar\nfoo: \n" },
        { "lines_are_combined", "Vary: Foo\n", "Foo: 1\nFoo: 2\n", "foo: 1,2\n" },
        { "space_around_commas", "Vary: Foo\n", "Foo: 1 ,\t2\n", "foo: 1,2\n" },
        { "space_inside_members_stays", "Vary: Foo\n", "Foo: a b, c\n", "foo: a b,c\n" },
        { "quoted_commas_stay", "Vary: Foo\n", "Foo: \"a, b\", c\n", "foo: \"a, b\",c\n" },
        { "quoted_quotes_stay", "Vary: Foo\n", "Foo: \"a\\\", b\", c\n", "foo: \"a\\\", b\",c\n" },
        { "encoding_is_normalised", "Vary: Accept-Encoding\n",
          "Accept-Encoding: GZIP;q=0.9 , br, x-gzip, deflate;q=0\n", "accept-encoding: br, gzip\n" },
        { "credentials_are_the_partition's", "Vary: Cookie, Foo, authorization\n", "Cookie: s\nAuthorization: s\n",
          "foo\n" },
        { "never_sent", "Vary: Host, Connection, Weir-TTL, Foo, weir-unknown\n", "Host: a\nConnection: b\n", "foo\n" },
        { "signed_is_the_partition's", "Vary: Signature, Signature-Input\n",
          "Signature-Input: s=();keyid=\"k\"\nSignature: s=:1:\n", "signature: \nsignature-input: \n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  response = head_of(rows[i].response), request = head_of(rows[i].request);
        struct slice selection;

        if (!policy_selection(&plain, &response.fields, &request.fields, &request.arena, &selection) ||
            !slice_eq(selection, slice_of(rows[i].selection)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(selection));
        head_free(&response);
        head_free(&request);
    }
}

static void test_star(void **state)
{
    static const struct {
        const char *name, *response;
    } rows[] = {
        { "star", "Vary: *\n" },
        { "star_first", "Vary: *, Foo\n" },
        { "star_last", "Vary: Foo, *\n" },
        { "star_between", "Vary: Foo,*,Bar\n" },
        { "star_on_another_line", "Vary: Foo\nVary: *\n" },
        { "no_field_name", "Vary: Foo Bar\n" },
        { "quoted", "Vary: \"Foo\"\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  response = head_of(rows[i].response), request = head_of("Foo: 1\n");
        struct slice selection;

        if (policy_selection(&plain, &response.fields, &request.fields, &request.arena, &selection))
            fail_msg("%s", rows[i].name);
        head_free(&response);
        head_free(&request);
    }
}

/* The request `first` fetched a response with `response`; does it answer `second`? */
static void test_selects(void **state)
{
    static const struct {
        const char *name, *response, *first, *second;
        bool        selects;
    } rows[] = {
        { "no_vary_selects_all", "Age: 1\n", "Foo: 1\n", "Foo: 2\n", true },
        { "same_value", "Vary: Foo\n", "Foo: 1\n", "Foo: 1\n", true },
        { "other_value", "Vary: Foo\n", "Foo: 1\n", "Foo: 2\n", false },
        { "case_of_the_name", "Vary: foo\n", "FOO: 1\n", "Foo: 1\n", true },
        { "case_of_the_value", "Vary: foo\n", "Foo: a\n", "Foo: A\n", false },
        { "omitted", "Vary: Foo\n", "Foo: 1\n", "", false },
        { "added", "Vary: Foo\n", "", "Foo: 1\n", false },
        { "absent_both_times", "Vary: Foo\n", "", "Bar: 1\n", true },
        { "absent_is_not_empty", "Vary: Foo\n", "", "Foo:\n", false },
        { "empty_is_not_absent", "Vary: Foo\n", "Foo:\n", "", false },
        { "two_of_two", "Vary: Foo, Bar\n", "Foo: 1\nBar: a\n", "Bar: a\nFoo: 1\n", true },
        { "one_of_two", "Vary: Foo, Bar\n", "Foo: 1\nBar: a\n", "Foo: 1\nBar: b\n", false },
        { "one_of_three", "Vary: Foo, Bar, Baz\n", "Foo: 1\nBar: a4\nBaz: 7\n", "Foo: 1\nBar: a\nBaz: 7\n", false },
        { "others_do_not_matter", "Vary: Foo\n", "Foo: 1\nOther: 2\n", "Foo: 1\nOther: 3\n", true },
        { "another_signature", "Vary: Signature\n", "Signature: keyId=\"k\",signature=\"1\"\n",
          "Signature: keyId=\"k\",signature=\"2\"\n", true },
        { "a_field_that_only_has_the_name", "Vary: Signature\n", "Signature: a\n", "Signature: b\n", false },
        { "space", "Vary: Foo\n", "Foo: 1,2\n", "Foo:  1, 2 \n", true },
        { "combined", "Vary: Foo\n", "Foo: 1, 2\n", "Foo: 1\nFoo: 2\n", true },
        { "order_of_lines_matters", "Vary: Foo\n", "Foo: 1\nFoo: 2\n", "Foo: 2\nFoo: 1\n", false },
        { "encoding_spellings", "Vary: Accept-Encoding\n", "Accept-Encoding: gzip, deflate\n",
          "accept-encoding: deflate;q=0.5,gzip;q=1.0\n", true },
        { "plain_does_for_every_coding", "Vary: Accept-Encoding\n", "Accept-Encoding: gzip\n", "Accept-Encoding: br\n",
          true },
        { "plain_is_refused", "Vary: Accept-Encoding\n", "Accept-Encoding: gzip\n",
          "Accept-Encoding: br, identity;q=0\n", false },
        { "encoding_and_another", "Vary: Accept-Encoding, Foo\n", "Accept-Encoding: gzip\nFoo: 1\n",
          "Accept-Encoding: br\nFoo: 2\n", false },
        { "language_space_and_case", "Vary: Accept-Language\n", "Accept-Language: en-GB,de;q=0.5\n",
          "Accept-Language: EN-gb , de; q=0.5\n", true },
        { "language_order", "Vary: Accept-Language\n", "Accept-Language: en, de\n", "Accept-Language: de, en\n", true },
        { "language_preference", "Vary: Accept-Language\n", "Accept-Language: en, de;q=0.9\n",
          "Accept-Language: de, en;q=0.9\n", false },
        { "language_differs", "Vary: Accept-Language\n", "Accept-Language: en\n", "Accept-Language: de\n", false },
        { "value_with_colon", "Vary: Foo\n", "Foo: a: b\n", "Foo: a: b\n", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head response = head_of(rows[i].response), first = head_of(rows[i].first),
                    second = head_of(rows[i].second);
        struct slice selection;

        assert_true(policy_selection(&plain, &response.fields, &first.fields, &first.arena, &selection));
        selection = property_exact(selection);
        if (policy_selects(&plain, selection, &second.fields, SLICE_NONE, &second.arena) != rows[i].selects)
            fail_msg("%s", rows[i].name);
        property_free(selection);
        head_free(&response);
        head_free(&first);
        head_free(&second);
    }
}

/* Contract section 4: one stored coding does for whoever takes it, and who wants identity gets it.  Is what came for
 * `first` in `coding`, with and without a Vary that says so, for `second`? */
static void test_one_coding_for_all_who_take_it(void **state)
{
    static const struct {
        const char *name, *coding, *first, *second;
        bool        selects;
    } rows[] = {
        { "the_same_spelling", "gzip", "gzip, deflate", "gzip, deflate", true },
        { "requests", "gzip", "gzip, deflate, br", "gzip, deflate", true },
        { "curl", "gzip", "gzip", "deflate, gzip, br, zstd", true },
        { "node", "gzip", "gzip", "br, gzip, deflate", true },
        { "go", "gzip", "gzip, deflate, br, zstd", "gzip", true },
        { "weights", "gzip", "gzip", "br;q=1.0, gzip;q=0.2, *;q=0.1", true },
        { "alias", "x-gzip", "gzip", "X-GZIP", true },
        { "anything", "br", "br", "*", true },
        { "anything_else", "br", "br", "gzip, *;q=0.1", true },
        { "not_taken", "br", "gzip, br", "gzip", false },
        { "refused", "gzip", "gzip", "br, gzip;q=0", false },
        { "anything_but", "gzip", "gzip", "*, gzip;q=0", false },
        { "one_of_two_codings", "gzip, br", "gzip, br", "gzip", false },
        { "both_of_two_codings", "gzip, br", "gzip, br", "br, gzip", true },
        { "identity_wanted", "gzip", "gzip", "identity", false },
        { "nothing_taken", "gzip", "gzip", "", false },
        { "no_field", "gzip", "gzip", NULL, false },
        { "came_without_being_asked_for", "gzip", NULL, NULL, true },
        { "plain_for_gzip", NULL, NULL, "gzip", true },
        { "plain_for_no_field", NULL, "gzip", NULL, true },
        { "plain_for_who_refuses_it", NULL, "gzip", "gzip, identity;q=0", false },
        { "identity_by_name", "identity", "gzip", NULL, true },
        { "no_negotiated_coding", "foo", "gzip", NULL, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (int vary = 0; vary < 2; vary++) {
            char         lines[3][128] = { "", "", "" };
            struct head  response, first, second;
            struct slice selection;

            snprintf(lines[0], sizeof lines[0], "%s%s%s%s", vary ? "Vary: Accept-Encoding\n" : "",
                     rows[i].coding != NULL ? "Content-Encoding: " : "", rows[i].coding != NULL ? rows[i].coding : "",
                     rows[i].coding != NULL ? "\n" : "");
            if (rows[i].first != NULL)
                snprintf(lines[1], sizeof lines[1], "Accept-Encoding: %s\n", rows[i].first);
            if (rows[i].second != NULL)
                snprintf(lines[2], sizeof lines[2], "Accept-Encoding: %s\n", rows[i].second);
            response = head_of(lines[0]);
            first = head_of(lines[1]);
            second = head_of(lines[2]);
            assert_true(policy_selection(&plain, &response.fields, &first.fields, &first.arena, &selection));
            if (policy_selects(&plain, selection, &second.fields, slice_of(rows[i].coding), &second.arena) !=
                rows[i].selects)
                fail_msg("%s, Vary %d", rows[i].name, vary);
            head_free(&response);
            head_free(&first);
            head_free(&second);
        }
}

/* Contract section 7: where Vary names a secret that the settings do not call a credential, its
 * hash stands there. */
static void test_secrets_are_hashed(void **state)
{
    struct head response = head_of("Vary: Cookie\n"), request = head_of("Cookie: s=hunter2\n"),
                other = head_of("Cookie: s=x\n");
    struct slice selection;

    (void)state;
    assert_true(policy_selection(&no_credentials, &response.fields, &request.fields, &request.arena, &selection));
    assert_null(memmem(selection.ptr, selection.len, "hunter2", 7));
    assert_true(policy_selects(&plain, selection, &request.fields, SLICE_NONE, &request.arena));
    assert_false(policy_selects(&plain, selection, &other.fields, SLICE_NONE, &other.arena));
    head_free(&response);
    head_free(&request);
    head_free(&other);
}

/* Where Cookie is no credential it selects, but for those that say nothing of who the caller is. */
static void test_cookies_that_are_no_credential(void **state)
{
    static const char *const           ignored[] = { "lb*", NULL };
    static const struct policy_options o = { .ignore_cookies = ignored };
    static const struct {
        const char *name, *first, *second;
        bool        selects;
    } rows[] = {
        { "rotated", "Cookie: lang=de; lb=1\n", "Cookie: lb=2; lang=de\n", true },
        { "only_ignored_and_none", "Cookie: lb=1\n", "", true },
        { "another", "Cookie: lang=de; lb=1\n", "Cookie: lang=en; lb=1\n", false },
        { "one_and_none", "Cookie: lang=de\n", "Cookie: lb=1\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head  response = head_of("Vary: Cookie\n"), first = head_of(rows[i].first);
        struct head  second = head_of(rows[i].second);
        struct slice selection;

        assert_true(policy_selection(&o, &response.fields, &first.fields, &first.arena, &selection));
        if (policy_selects(&o, selection, &second.fields, SLICE_NONE, &second.arena) != rows[i].selects)
            fail_msg("%s", rows[i].name);
        head_free(&response);
        head_free(&first);
        head_free(&second);
    }
}

static void test_variant_hash(void **state)
{
    uint8_t a[VARIANT_HASH_BYTES], b[VARIANT_HASH_BYTES];

    (void)state;
    policy_variant_hash(SLICE("foo: 1\n"), a);
    policy_variant_hash(SLICE("foo: 1\n"), b);
    assert_memory_equal(a, b, sizeof a);
    policy_variant_hash(SLICE("foo: 2\n"), b);
    assert_memory_not_equal(a, b, sizeof a);
    policy_variant_hash(SLICE_NONE, a);
    policy_variant_hash(SLICE(""), b);
    assert_memory_equal(a, b, sizeof a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_selection_text),
        cmocka_unit_test(test_star),
        cmocka_unit_test(test_selects),
        cmocka_unit_test(test_one_coding_for_all_who_take_it),
        cmocka_unit_test(test_secrets_are_hashed),
        cmocka_unit_test(test_cookies_that_are_no_credential),
        cmocka_unit_test(test_variant_hash),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
