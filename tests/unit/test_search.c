/*
 * No-Vary-Search: what the field says, and which queries are the same under it.
 */
#include "head.h"

#include "policy/search.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

static struct http_fields one_field(const char *value, struct arena *a)
{
    struct http_fields f = { 0 };

    http_fields_add_id(&f, a, HTTP_NO_VARY_SEARCH, slice_of(value));
    return f;
}

/* The draft's section 5.1 and 5.2. */
static void fields_that_say_something(void **state)
{
    static const struct {
        const char *value;
        bool        says;
    } rows[] = {
        { "params", true },
        { "params=(\"a\")", true },
        { "params, except=(\"x\")", true },
        { "key-order", true },
        { "params=?1", true },
        { "key-order=?1", true },
        { "params, key-order, except=(\"x\")", true },
        { "params=(\"a\";x=1 \"b\")", true },
        { "params, except=()", true },
        { "key-order, unknown=1", true },
        { "params=?0", false },
        { "params=()", false },
        { "key-order=?0", false },
        { "unknown-key", false },
        { "key-order=\"not a boolean\"", false },
        { "params=\"not a boolean or inner list\"", false },
        { "params=(not-a-string)", false },
        { "params=(\"a\" 1)", false },
        { "params=(\"a\"), except=(\"x\")", false },
        { "params=(), except=()", false },
        { "params=?0, except=(\"x\")", false },
        { "params, except=(not-a-string)", false },
        { "params, except=\"not an inner list\"", false },
        { "params, except=?1", false },
        { "except=(\"x\")", false },
        { "except=()", false },
        { "params=(\"a\"", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena           a = { 0 };
        struct http_fields     f = one_field(rows[i].value, &a);
        struct search_variance v;

        if (policy_search_variance(&f, &a, &v) != rows[i].says)
            fail_msg("%s", rows[i].value);
        arena_free(&a);
    }
}

static const struct same_row {
    const char *name, *field, *one, *other;
    bool        same;
} same[] = {
    { "a_parameter_that_does_not_matter", "params=(\"a\")", "/x?a=1&b=2", "/x?b=2&a=3", true },
    { "another_that_does", "params=(\"a\")", "/x?a=1&b=2", "/x?a=1&b=3", false },
    { "it_is_missing", "params=(\"a\")", "/x?a=1&b=2", "/x?b=2", true },
    { "a_query_of_it_alone", "params=(\"a\")", "/x?a=1", "/x", true },
    { "all", "params", "/x?a=1", "/x?b&c", true },
    { "all_but_one", "params, except=(\"a\")", "/x?a=1&b=2", "/x?c=3&a=1", true },
    { "all_but_one_that_differs", "params, except=(\"a\")", "/x?a=1", "/x?a=2", false },
    { "order_of_others_counts", "params=(\"a\")", "/x?b=1&c=2", "/x?c=2&b=1", false },
    { "key_order", "key-order", "/x?b=1&a=2", "/x?a=2&b=1", true },
    { "key_order_and_equal_names", "key-order", "/x?a=1&a=2", "/x?a=2&a=1", false },
    { "key_order_and_equal_names_in_order", "key-order", "/x?a=1&b&a=2", "/x?a=1&a=2&b", true },
    { "key_order_is_no_leave_to_miss_one", "key-order", "/x?a=1&b=2", "/x?a=1", false },
    { "an_empty_query", "key-order", "/x", "/x?", true },
    { "percent", "key-order", "/x?a=x", "/x?%61=%78", true },
    { "utf_8", "key-order", "/x?a=\xc3\xa9", "/x?a=%C3%A9", true },
    { "no_utf_8_is_one_sign", "key-order", "/x?a=%f6", "/x?a=%ef%bf%bd", true },
    { "a_cut_sequence_is_one_sign", "key-order", "/x?a=%e6%b0", "/x?a=%ef%bf%bd", true },
    { "a_surrogate_is_three", "key-order", "/x?a=%ed%a0%80", "/x?a=%ef%bf%bd%ef%bf%bd%ef%bf%bd", true },
    { "empty_parameters", "key-order", "/x?a=x&&&&", "/x?a=x", true },
    { "no_value_is_an_empty_one", "key-order", "/x?a=", "/x?a", true },
    { "plus_is_a_blank", "key-order", "/x?a=%20", "/x?a=+", true },
    { "an_encoded_plus_is_none", "key-order", "/x?a=%2B", "/x?a=+", false },
    { "an_encoded_ampersand_ends_nothing", "key-order", "/x?a=1%26b", "/x?a=1&b", false },
    { "a_second_equals_sign", "key-order", "/x?a=b=c", "/x?a=b%3dc", true },
    { "a_name_in_the_field_is_decoded", "params=(\"%C3%A9+%E6%B0%97\")", "/x?%C3%A9%20\xe6\xb0\x97=1", "/x", true },
    { "a_name_with_a_blank_in_quotes", "params=(\"a b\" \"c\")", "/x?a+b=1&c", "/x", true },
    { "a_name_with_a_quote", "params=(\"a\\\"b\")", "/x?a%22b=1", "/x", true },
    { "parameters_of_a_name", "params=(\"a\";x=\"b c\" \"d\")", "/x?a&d", "/x", true },
    { "case_counts", "params=(\"a\")", "/x?A=1", "/x", false },
    { "another_path", "params", "/x?a", "/y?a", false },
    { "a_path_that_is_longer", "params", "/x?a", "/x/?a", false },
    { "pairs_do_not_run_together", "key-order", "/x?a=1b&c", "/x?a=1&bc", false },
};

static struct cache_key key_of(const char *target, const char *partition, const char *extras, struct arena *a)
{
    struct cache_key key = { .full = arena_printf(a, "%s GET https://h%s%s", partition, target, extras) };

    memset(key.path_tag, 7, sizeof key.path_tag);
    return key;
}

static bool is_same(const struct search_variance *v, const struct cache_key *one, const struct cache_key *other,
                    struct arena *a)
{
    uint8_t of_one[LABEL_BYTES], of_other[LABEL_BYTES];
    bool    yes = policy_search_is_same(v, one->full, other->full, a);

    assert_true(policy_search_label(one, v, a, of_one) && policy_search_label(other, v, a, of_other));
    assert_int_equal(memcmp(of_one, of_other, sizeof of_one) == 0, yes); /* what is the same is found */
    return yes;
}

static void queries_that_are_the_same(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        struct arena           a = { 0 };
        struct http_fields     f = one_field(same[i].field, &a);
        struct cache_key       one = key_of(same[i].one, "-", "", &a), other = key_of(same[i].other, "-", "", &a);
        struct search_variance v;

        if (!policy_search_variance(&f, &a, &v) || is_same(&v, &one, &other, &a) != same[i].same)
            fail_msg("%s", same[i].name);
        arena_free(&a);
    }
}

static void what_else_is_in_the_key_counts(void **state)
{
    struct arena           a = { 0 };
    struct http_fields     f = one_field("params", &a);
    struct cache_key       one = key_of("/x?a", "-", "", &a);
    struct cache_key       others[] = { key_of("/x?b", "0123", "", &a), key_of("/x?b", "-", "\nAccept: x", &a),
                                        key_of("/x?b", "-", "\n# 01", &a) };
    struct search_variance v;

    (void)state;
    assert_true(policy_search_variance(&f, &a, &v));
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        assert_false(is_same(&v, &one, &others[i], &a));
    arena_free(&a);
}

/* Too much of it is not compared; what is labelled has room for it. */
static void there_is_an_end_to_it(void **state)
{
    struct arena           a = { 0 };
    struct http_fields     f = one_field("key-order", &a);
    char                   target[4096] = "/x?", *at = target + 3;
    struct cache_key       key;
    struct labels          labels = { .count = LABELS_AT_MOST };
    struct search_variance v;
    uint8_t                label[LABEL_BYTES];

    (void)state;
    for (int i = 0; i <= SEARCH_PAIRS; i++)
        at += sprintf(at, "a%d&", i);
    key = key_of(target, "-", "", &a);
    assert_true(policy_search_variance(&f, &a, &v));
    assert_false(policy_search_label(&key, &v, &a, label));
    policy_search_labels(&key, &f, &a, &labels);
    assert_int_equal(labels.count, LABELS_AT_MOST);
    assert_int_equal(labels.items[0][7], 0);
    key = key_of("/x?a", "-", "", &a);
    policy_search_labels(&key, &f, &a, &labels);
    assert_int_equal(labels.count, LABELS_AT_MOST);
    assert_true(labels.items[0][7] == 1 && labels.items[1][7] == 2);
    at = target + sprintf(target, "params=(");
    for (int i = 0; i <= SEARCH_NAMES; i++)
        at += sprintf(at, "\"a%d\" ", i);
    sprintf(at, ")");
    f = one_field(target, &a);
    assert_false(policy_search_variance(&f, &a, &v));
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_that_say_something),
        cmocka_unit_test(queries_that_are_the_same),
        cmocka_unit_test(what_else_is_in_the_key_counts),
        cmocka_unit_test(there_is_an_end_to_it),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
