/*
 * Which labels a response gets, and which groups an answer invalidates.
 */
#include "head.h"

#include "policy/label.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>

#define ORIGIN SLICE("https://api.example.org")

static struct http_fields head_fields(const char *lines, struct arena *a)
{
    struct head        h = head_of(lines);
    struct http_fields f = http_fields_copy(&h.fields, a);

    head_free(&h);
    return f;
}

static bool has_name(const struct labels *l, const char *name)
{
    uint8_t wanted[LABEL_NAME_BYTES];

    policy_label_name(slice_of(name), wanted);
    for (unsigned i = 0; i < l->count; i++)
        if (memcmp(l->items[i], wanted, sizeof wanted) == 0)
            return true;
    return false;
}

static const struct label_row {
    const char *name, *head;
    const char *labels; /* separated by "|", in any order */
} rows[] = {
    { "no_field_no_label", "Content-Type: text/plain\n", "" },
    { "cache_tag_is_separated_by_commas", "Cache-Tag: a,b , c d\n", "a|b|c d" },
    { "cache_tag_on_two_lines", "Cache-Tag: a\nCache-Tag: b\n", "a|b" },
    { "cache_tag_with_empty_members", "Cache-Tag: ,a,,\n", "a" },
    { "surrogate_key_is_separated_by_blanks", "Surrogate-Key: a  b,c\td\n", "a|b,c|d" },
    { "surrogate_key_on_two_lines", "Surrogate-Key: a\nSurrogate-Key: b c\n", "a|b|c" },
    { "cache_groups_are_strings", "Cache-Groups: \"a\", \"b c\"\n", "a|b c" },
    { "cache_groups_on_two_lines", "Cache-Groups: \"a\"\nCache-Groups: \"b\"\n", "a|b" },
    { "parameters_of_groups_say_nothing", "Cache-Groups: \"a\";x=1, \"b\";revalidate\n", "a|b" },
    { "an_escaped_group", "Cache-Groups: \"a\\\"b\"\n", "a\"b" },
    { "groups_of_which_one_is_a_token", "Cache-Groups: \"a\", b\n", "" },
    { "groups_of_which_one_is_a_list", "Cache-Groups: (\"a\"), \"b\"\n", "" },
    { "groups_that_do_not_parse", "Cache-Groups: \"a\n", "" },
    { "groups_that_end_in_a_comma", "Cache-Groups: \"a\",\n", "" },
    { "one_kind_that_fails_leaves_the_others", "Cache-Groups: a\nCache-Tag: b\n", "b" },
    { "case_tells_them_apart", "Cache-Tag: a, A\n", "a|A" },
    { "twice_the_same_is_one", "Cache-Tag: a, a\nSurrogate-Key: a\n", "a" },
    { "a_group_and_a_tag_of_one_name_are_two", "Cache-Groups: \"a\"\nCache-Tag: a\n", "a|a" },
    { "an_empty_group_is_none", "Cache-Groups: \"\"\n", "" },
    { "what_an_answer_invalidates_is_no_label", "Cache-Group-Invalidation: \"a\"\n", "" },
};

static void fields_make_labels(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct arena                a = { 0 };
        const struct http_fields    f = head_fields(rows[i].head, &a);
        const struct policy_options o = { .label = "" };
        struct labels               l;
        unsigned                    wanted = 0;
        char                        text[64];

        policy_labels(&o, ORIGIN, &f, &a, &l);
        snprintf(text, sizeof text, "%s", rows[i].labels);
        for (char *rest = text, *name; (name = strsep(&rest, "|")) != NULL && *name != '\0'; wanted++)
            if (!has_name(&l, name))
                fail_msg("%s: not %s", rows[i].name, name);
        if (l.count != wanted)
            fail_msg("%s: %u labels", rows[i].name, l.count);
        arena_free(&a);
    }
}

static void a_rule_adds_its_own(void **state)
{
    static const char *const    tags[] = { "taxa", "all", NULL };
    const struct policy_options o = { .tags = tags };
    struct arena                a = { 0 };
    const struct http_fields    f = head_fields("Cache-Tag: all, x\n", &a);
    struct labels               l;

    (void)state;
    policy_labels(&o, ORIGIN, &f, &a, &l);
    assert_int_equal(l.count, 3);
    assert_true(has_name(&l, "taxa") && has_name(&l, "all") && has_name(&l, "x"));
    arena_free(&a);
}

/* Many, and long ones: as many as count, RFC 9875's least among them. */
static void there_is_an_end_to_them(void **state)
{
    const struct policy_options o = { .label = "" };
    struct arena                a = { 0 };
    char                        head[32 * 1024], *at = head;
    struct http_fields          f;
    struct labels               l;

    (void)state;
    at += sprintf(at, "Surrogate-Key:");
    for (int i = 0; i < 200; i++)
        at += sprintf(at, " key%d", i);
    at += sprintf(at, "\nCache-Groups: \"g0\"");
    for (int i = 1; i < 32; i++)
        at += sprintf(at, ", \"group-of-thirty-two-characters%02d\"", i);
    sprintf(at, "\nCache-Tag: %0*d,%0*d\n", LABEL_NAME_LONGEST, 1, LABEL_NAME_LONGEST + 1, 1);
    f = head_fields(head, &a);
    policy_labels(&o, ORIGIN, &f, &a, &l);
    assert_int_equal(l.count, LABELS_AT_MOST);
    assert_true(has_name(&l, "g0") && has_name(&l, "group-of-thirty-two-characters31") && has_name(&l, "key0"));
    assert_false(has_name(&l, "key199"));
    sprintf(head, "%0*d", LABEL_NAME_LONGEST, 1);
    assert_true(has_name(&l, head));
    sprintf(head, "%0*d", LABEL_NAME_LONGEST + 1, 1);
    assert_false(has_name(&l, head));
    arena_free(&a);
}

/* RFC 9875 2.1: the same characters, and the same origin. */
static void a_group_is_its_origins(void **state)
{
    static const struct {
        const char *name, *stored, *origin, *said, *answers;
        bool        same;
    } cases[] = {
        { "same_origin", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"a\"\n", "https://x", true },
        { "another_host", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"a\"\n", "https://y",
          false },
        { "another_port", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"a\"\n", "https://x:444",
          false },
        { "another_scheme", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"a\"\n", "http://x",
          false },
        { "another_case", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"A\"\n", "https://x",
          false },
        { "a_tag_is_no_group", "Cache-Tag: a\n", "https://x", "Cache-Group-Invalidation: \"a\"\n", "https://x", false },
        { "not_a_list_of_strings", "Cache-Groups: \"a\"\n", "https://x", "Cache-Group-Invalidation: \"a\", 1\n",
          "https://x", false },
        { "its_own_groups_are_not_what_it_invalidates", "Cache-Groups: \"a\"\n", "https://x", "Cache-Groups: \"a\"\n",
          "https://x", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const struct policy_options o = { .label = "" };
        struct arena                a = { 0 };
        struct labels               of, said;
        struct http_fields          f = head_fields(cases[i].stored, &a);

        policy_labels(&o, slice_of(cases[i].origin), &f, &a, &of);
        f = head_fields(cases[i].said, &a);
        policy_invalidated_groups(slice_of(cases[i].answers), &f, &a, &said);
        assert_int_equal(of.count, 1);
        if ((said.count == 1 && memcmp(of.items[0], said.items[0], LABEL_BYTES) == 0) != cases[i].same)
            fail_msg("%s", cases[i].name);
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fields_make_labels),
        cmocka_unit_test(a_rule_adds_its_own),
        cmocka_unit_test(there_is_an_end_to_them),
        cmocka_unit_test(a_group_is_its_origins),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
