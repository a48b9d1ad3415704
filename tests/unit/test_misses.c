/*
 * What the last misses of a rule differ in: told of hashes, bounded, and of nobody's values.
 */
#include "upstream/internal.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { KEYS = 6 };

static void note(struct upstream *up, const char *upstream, const char *rule, const char *key)
{
    struct upstream_options o = { .name = upstream };
    struct policy_options   policy = { .label = rule };
    struct fetch            f = { .upstream = &o, .policy = &policy, .has_key = true, .reason = FWD_URI_MISS };
    struct fetch_links      w = { .up = up, .fetch = &f };

    f.links = &w;
    f.key.full = slice_of(key);
    misses_note(&w);
    misses_end(&f, STORABLE_YES);
}

static const struct {
    const char *name, *keys[KEYS];
    unsigned    differences;
    char        kind;
    const char *what;
    unsigned    count, again;
} rows[] = {
    { "one_parameter",
      { "- GET u://h/p?a=1&_=1", "- GET u://h/p?a=1&_=2", "- GET u://h/p?a=1&_=3" },
      1,
      '?',
      "_",
      3,
      0 },
    { "one_that_some_lack", { "- GET u://h/p?a=1", "- GET u://h/p?a=1&b" }, 1, '?', "b", 2, 0 },
    { "two_parameters", { "- GET u://h/p?a=1&b=1", "- GET u://h/p?a=2&b=2" }, 0, 0, "", 0, 0 },
    { "another_path", { "- GET u://h/p?a=1", "- GET u://h/q?a=2" }, 0, 0, "", 0, 0 },
    { "whose", { "ab GET u://h/p", "cd GET u://h/p", "- GET u://h/p" }, 1, '@', "", 3, 0 },
    { "method", { "- GET u://h/p", "- QUERY u://h/p" }, 1, '!', "", 2, 0 },
    { "field", { "- GET u://h/p\nX-A: 1\nX-B: 1", "- GET u://h/p\nX-A: 2\nX-B: 1" }, 1, ':', "X-A", 2, 0 },
    { "field_and_none", { "- GET u://h/p\nX-A", "- GET u://h/p\nX-A: 2" }, 1, ':', "X-A", 2, 0 },
    { "body", { "- POST u://h/p\n#aa", "- POST u://h/p\n#bb" }, 1, '#', "", 2, 0 },
    { "order", { "- GET u://h/p?a=1&b=2", "- GET u://h/p?b=2&a=1" }, 1, '&', "", 2, 0 },
    { "repeated_values_count_in_their_order", { "- GET u://h/p?a=1&a=2", "- GET u://h/p?a=2&a=1" }, 1, '?', "a", 2, 0 },
    { "the_very_same", { "- GET u://h/p", "- GET u://h/p", "- GET u://h/p" }, 0, 0, "", 0, 2 },
    { "a_long_name_is_cut",
      { "- GET u://h/p?a_name_of_more_than_27_characters=1", "- GET u://h/p?a_name_of_more_than_27_characters=2" },
      1,
      '?',
      "a_name_of_more_than_27_char",
      2,
      0 },
    { "more_than_is_kept_is_one",
      { "- GET u://h/p?a&b&c&d&e&f&g&h&i&j&k=1", "- GET u://h/p?a&b&c&d&e&f&g&h&i&j&k=2" },
      0,
      0,
      "",
      0,
      0 },
};

static void test_what_they_differ_in(void **state)
{
    const struct policy_options rule = { .label = "/p" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct upstream    up = { .misses = misses_open() };
        struct rule_misses m;

        for (unsigned k = 0; k < KEYS && rows[i].keys[k] != NULL; k++)
            note(&up, "u", "/p", rows[i].keys[k]);
        assert_true(misses_of(up.misses, "u", &rule, &m));
        if (m.differences != rows[i].differences || m.again != rows[i].again ||
            (m.differences > 0 && ((char)m.by[0].kind != rows[i].kind || m.by[0].count != rows[i].count ||
                                   strcmp(m.by[0].name, rows[i].what) != 0)))
            fail_msg("%s: %u differences, the first %c %s %u; again %u", rows[i].name, m.differences, m.by[0].kind,
                     m.by[0].name, m.by[0].count, m.again);
        misses_close(up.misses);
    }
}

static void test_the_last_twenty_count(void **state)
{
    struct upstream             up = { .misses = misses_open() };
    const struct policy_options rule = { .label = "/p" }, other = { .label = "/q" };
    struct rule_misses          m;
    char                        key[64];

    (void)state;
    for (int i = 0; i < 100; i++) {
        snprintf(key, sizeof key, "- GET u://h/p?%s=%d", i < 80 ? "old" : "new", i);
        note(&up, "u", "/p", key);
    }
    assert_true(misses_of(up.misses, "u", &rule, &m));
    assert_int_equal(m.count, MISSES_KEPT);
    assert_int_equal(m.answered, MISSES_KEPT);
    assert_int_equal(m.reasons[FWD_URI_MISS], MISSES_KEPT);
    assert_int_equal(m.differences, 1);
    assert_string_equal(m.by[0].name, "new");
    assert_int_equal(m.by[0].count, MISSES_KEPT);
    assert_false(misses_of(up.misses, "u", &other, &m));
    assert_false(misses_of(up.misses, "v", &rule, &m));
    misses_close(up.misses);
}

/* Of thousands of rules those that missed last are remembered. */
static void test_memory_is_bounded_over_thousands_of_rules(void **state)
{
    struct upstream    up = { .misses = misses_open() };
    struct rule_misses m;
    char               label[32];
    unsigned           remembered = 0;

    (void)state;
    for (int i = 0; i < 5000; i++) {
        snprintf(label, sizeof label, "/rule-%d/**", i);
        note(&up, "u", label, "- GET u://h/p?a=1");
    }
    for (int i = 0; i < 5000; i++) {
        struct policy_options rule = { .label = label };

        snprintf(label, sizeof label, "/rule-%d/**", i);
        remembered += misses_of(up.misses, "u", &rule, &m);
        if (i < 4000)
            assert_int_equal(remembered, 0);
    }
    assert_int_equal(remembered, 256);
    misses_close(up.misses);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_they_differ_in),
        cmocka_unit_test(test_the_last_twenty_count),
        cmocka_unit_test(test_memory_is_bounded_over_thousands_of_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
