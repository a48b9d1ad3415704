/*
 * Many rules: the first that matches is the one that trying one after the
 * other finds, whatever the rules, and it is found without trying each.
 */
#include "route/rules.h"

#include "property.h"
#include "route/glob.h"
#include "route/literal.h"
#include "route/tree.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <cmocka.h>

enum { GET_AND_HEAD = 1u << HTTP_GET | 1u << HTTP_HEAD };

static struct http_request request_of(const char *method)
{
    return (struct http_request){ .method = http_method_parse(slice_of(method)), .method_name = slice_of(method) };
}

static void free_rules(struct route_rule *rules, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        pattern_free(rules[i].pattern);
}

/* With fewer rules than an index is made for, too. */
static struct rule_index *index_of(const struct route_rule *rules, unsigned count)
{
    bool              *none = mem_alloc(count + 1);
    struct rule_index *x = rule_index_of(rules, count, none);

    free(none);
    return x;
}

static void compare(const struct rule_index *x, const struct route_rule *rules, unsigned count, const char *method,
                    struct slice target, struct arena *a)
{
    struct http_request      r = request_of(method);
    const struct route_rule *wanted = rules_find_plainly(rules, count, &r, target);
    const struct route_rule *found = rule_index_find(x, &r, target, a);

    if (found == wanted)
        return;
    for (unsigned i = 0; i < count; i++)
        print_message("%u: " SLICE_FMT " %x\n", i, SLICE_ARG(pattern_text(rules[i].pattern)), rules[i].methods);
    fail_msg("%s " SLICE_FMT ": rule %d is first, %d was found", method, SLICE_ARG(target),
             wanted != NULL ? (int)(wanted - rules) : -1, found != NULL ? (int)(found - rules) : -1);
}

/* ---- named cases ---- */

enum { ROW_RULES = 5 };

static void test_first_match(void **state)
{
    static const struct {
        const char *name, *rules[ROW_RULES], *target;
        int         first;
    } rows[] = {
        { "earlier_wins", { "/a/**", "/a/b" }, "/a/b", 0 },
        { "narrower_first_wins", { "/a/b", "/a/**" }, "/a/b", 0 },
        { "later_where_the_first_does_not_match", { "/a/b", "/a/**" }, "/a/c", 1 },
        { "all_first_wins", { "/**", "/a", "/a/*" }, "/a", 0 },
        { "common_beginning", { "/aa", "/ab", "/ac" }, "/ac", 2 },
        { "one_is_the_beginning_of_another", { "/a", "/ab" }, "/ab", 1 },
        { "star_and_byte_side_by_side", { "/*/x", "/a/y" }, "/a/y", 1 },
        { "star_before_byte", { "/*/x", "/a/x" }, "/a/x", 0 },
        { "byte_before_star", { "/a/x", "/*/x" }, "/a/x", 0 },
        { "star_dies_at_a_slash_and_lives_again", { "/**/*b", "/never" }, "/a/xb", 0 },
        { "star_under_two_stars_after_a_slash", { "**x*y" }, "/x/xzy", 0 },
        { "question_and_byte", { "/?", "/a" }, "/a", 0 },
        { "two_stars_in_the_middle_none", { "/a/**/b", "/**" }, "/a/b", 0 },
        { "two_stars_in_the_middle_some", { "/a/**/b", "/**" }, "/a/x/y/b", 0 },
        { "two_stars_in_the_middle_keep_borders", { "/a/**/b", "/**" }, "/a/xb", 1 },
        { "descent_twice", { "/a/**/b/**/c", "/**" }, "/a/x/b/y/z/c", 0 },
        { "descent_ends_after_a_slash", { "/a/**/", "/**" }, "/a/x/", 0 },
        { "descent_ends_after_no_slash", { "/a/**/", "/**" }, "/a/x", 1 },
        { "descent_then_a_star", { "/a/**/*b", "/**" }, "/a/x/yb", 0 },
        { "descent_then_a_star_in_the_next_segment_only", { "/a/**/*b/c", "/**" }, "/a/xb/y/c", 1 },
        { "descent_then_two_stars", { "/a/**/**", "/**" }, "/a/x", 0 },
        { "descent_in_braces", { "/{a/**/,b}c", "/**" }, "/a/x/c", 0 },
        { "descent_in_braces_keeps_borders", { "/{a/**/,b}c", "/**" }, "/a/xc", 1 },
        { "below_is_itself", { "/a/**", "/a" }, "/a", 0 },
        { "braces", { "/{a,b}/x", "/b/**" }, "/b/x", 0 },
        { "braces_with_nothing", { "/a{,.json}", "/**" }, "/a", 0 },
        { "braces_end_a_sequence", { "{/a/**,/b}c", "/**" }, "/ac", 0 },
        { "braces_nested_deep", { "/{a,{b,{c,{d,e}}}}", "/**" }, "/e", 0 },
        { "more_alternatives_than_are_laid_out",
          { "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}/x", "/**" },
          "/abababbab/x",
          0 },
        { "more_alternatives_not", { "/{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}{a,b}/x", "/**" }, "/abababbac/x", 1 },
        { "escaped_star", { "/\\*", "/*" }, "/a", 1 },
        { "high_bytes", { "/\xc3\xa4", "/\xc3\xa5" }, "/\xc3\xa5", 1 },
        { "query_is_asked", { "/s?q=1", "/s?q=2", "/s" }, "/s?q=2", 1 },
        { "query_falls_through", { "/s?q=1", "/s?q=2", "/s" }, "/s?q=3", 2 },
        { "query_none", { "/s?q=1", "/s?q=2", "/s" }, "/s", 2 },
        { "query_order_of_rules", { "/s?a=1", "/s?b=1" }, "/s?b=1&a=1", 0 },
        { "query_needs_all", { "/s?a=1&b=1", "/s?b=1" }, "/s?b=1", 1 },
        { "query_path_differs", { "/s?a=1", "/t?a=1" }, "/t?a=1", 1 },
        { "query_empty", { "/s\\?", "/s" }, "/s", 0 },
        { "query_empty_not", { "/s\\?", "/s" }, "/s?x", 1 },
        { "expression_first", { "~^/a", "/a" }, "/a", 0 },
        { "expression_later", { "~^/b", "/a", "~a" }, "/a", 1 },
        { "expression_in_the_middle", { "/x", "~ab$", "/**" }, "/xab", 1 },
        { "expression_once_more", { "~abc$", "/**" }, "/abcabc", 0 },
        { "expression_of_the_query", { "~page=[0-9]+\\?|[?&]page=1", "/**" }, "/a?page=1", 0 },
        { "expression_of_a_path_and_query", { "~^/a\\?b=1$", "/**" }, "/a?b=1", 0 },
        { "expression_of_the_query_anywhere", { "~[?&]long=1$", "/**" }, "/a?x&long=1", 0 },
        { "expression_that_may_be_empty", { "~^(/a)?$|b", "/**" }, "/cb", 0 },
        { "none", { "/a", "/b/*", "~c" }, "/d", -1 },
        { "empty_target", { "/a", "**" }, "", 1 },
        { "url_pattern", { "https://h/**", "/**" }, "https://h/x", 0 },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct route_rule        rules[ROW_RULES] = { { .pattern = NULL } };
        struct slice             target = property_exact(slice_of(rows[i].target));
        struct http_request      r = request_of("GET");
        const struct route_rule *found;
        struct rule_index       *x;
        unsigned                 count = 0;

        for (; count < ROW_RULES && rows[i].rules[count] != NULL; count++)
            rules[count] = (struct route_rule){ .pattern = pattern_compile(slice_of(rows[i].rules[count]), NULL),
                                                .methods = GET_AND_HEAD };
        x = index_of(rules, count);
        found = rule_index_find(x, &r, target, &a);
        if ((found != NULL ? found - rules : -1) != rows[i].first)
            fail_msg("%s: rule %d", rows[i].name, found != NULL ? (int)(found - rules) : -1);
        compare(x, rules, count, "GET", target, &a);
        rule_index_free(x);
        free_rules(rules, count);
        property_free(target);
    }
    arena_free(&a);
}

static void test_methods_pass_rules_over(void **state)
{
    static const char *const others[] = { "REPORT", NULL };

    struct route_rule rules[] = {
        { .pattern = pattern_compile(SLICE("/a/**"), NULL), .methods = 1u << HTTP_POST },
        { .pattern = pattern_compile(SLICE("/a/**"), NULL), .methods = 1u << HTTP_POST | 1u << HTTP_GET },
        { .pattern = pattern_compile(SLICE("/a/**"), NULL), .other_methods = others },
        { .pattern = pattern_compile(SLICE("/a/**"), NULL), .methods = GET_AND_HEAD },
        { .pattern = pattern_compile(SLICE("/a/**"), NULL), .methods = GET_AND_HEAD },
        { .pattern = pattern_compile(SLICE("~^/a"), NULL), .methods = 1u << HTTP_PUT },
        { .pattern = pattern_compile(SLICE("/a?q=1"), NULL), .methods = 1u << HTTP_DELETE },
        { .pattern = pattern_compile(SLICE("/b"), NULL), .methods = GET_AND_HEAD },
        { .pattern = pattern_compile(SLICE("/c"), NULL), .methods = GET_AND_HEAD },
    };
    enum { RULES = sizeof rules / sizeof rules[0] };
    static const char *const methods[] = { "GET", "HEAD", "POST", "PUT", "DELETE", "REPORT", "report", "MKCOL" };
    struct rule_index       *x = rule_index_build(rules, RULES);
    struct arena             a = { 0 };

    (void)state;
    assert_non_null(x);
    for (size_t i = 0; i < sizeof methods / sizeof methods[0]; i++) {
        compare(x, rules, RULES, methods[i], SLICE("/a/b"), &a);
        compare(x, rules, RULES, methods[i], SLICE("/a?q=1"), &a);
    }
    rule_index_free(x);
    free_rules(rules, RULES);
    arena_free(&a);
}

/* ---- generated cases ---- */

static const char *const glob_parts[] = { "/",          "/",       "/",      "/a",   "/b",        "a", "b",     "ab",
                                          "*",          "**",      "/**",    "/**/", "/*",        "?", "{a,b}", "{a,}",
                                          "{/a,/b/**}", "{a*,?b}", "{**,a}", "\\*",  "{a,{b,*}}", ".", NULL };
static const char *const query_parts[] = { "?a=1", "?b=*", "&a=1", "&b=2", "?a={1,2}",
                                           "&c=?", "\\?",  "\\?a", "&**",  NULL };
static const char *const expressions[] = { "~^/a",       "~a",      "~b$",        "~^/a/b$",  "~ab",
                                           "~a?b",       "~(a|b)/", "~^/(a|b)",   "~^/[ab]+", "~[?]a=1",
                                           "~^/a\\?a=1", "~a/b*",   "~b=2$",      "~ab|ba",   "~.",
                                           "~^/ab{1,2}", "~a{2}b",  "~^(?:/a)+$", "~/a(?=b)", "~(?i)/A",
                                           "~a\\.b",     "~\\x61b", "~[^/]b/",    "~[?&]b=2", NULL };
enum { EXPRESSIONS = sizeof expressions / sizeof expressions[0] - 1 };
static const char *const target_parts[] = { "/", "/a", "/b", "a", "b", "ab", "ba", "aab", ".", "*", "a.b", NULL };
static const char *const target_query_parts[] = { "?a=1", "&b=2", "&a=2", "?", "&", "&c=x", "?b=", "a", NULL };

/* A pattern that compiles, among those that look like what people write and those that nobody would. */
static struct pattern *make_pattern(struct property *p)
{
    for (;;) {
        struct slice    path, query;
        char            text[256];
        struct pattern *made;

        if (property_below(p, 5) == 0)
            return pattern_compile(slice_of(expressions[property_below(p, EXPRESSIONS)]), NULL);
        path = property_text(p, glob_parts, 6);
        query = property_text(p, query_parts, property_below(p, 3) == 0 ? 3 : 0);
        snprintf(text, sizeof text, "%s" SLICE_FMT SLICE_FMT, property_below(p, 8) == 0 ? "" : "/", SLICE_ARG(path),
                 SLICE_ARG(query));
        property_free(path);
        property_free(query);
        made = pattern_compile(slice_of(text), NULL);
        if (made != NULL)
            return made;
    }
}

static struct slice make_target(struct property *p)
{
    struct slice path = property_text(p, target_parts, 6), query = property_text(p, target_query_parts, 4), whole;
    char         text[512];

    snprintf(text, sizeof text, "/" SLICE_FMT SLICE_FMT, SLICE_ARG(path), SLICE_ARG(query));
    whole = property_exact(slice_of(text));
    property_free(path);
    property_free(query);
    return whole;
}

static void make_rule(struct property *p, struct route_rule *out)
{
    static const char *const others[] = { "REPORT", NULL };

    static const unsigned sets[] = {
        GET_AND_HEAD, GET_AND_HEAD, GET_AND_HEAD, 1u << HTTP_GET, 1u << HTTP_POST, 0, GET_AND_HEAD | 1u << HTTP_POST
    };

    *out = (struct route_rule){ .pattern = make_pattern(p),
                                .methods = sets[property_below(p, 7)],
                                .other_methods = property_below(p, 8) == 0 ? others : NULL };
}

static void test_same_as_one_after_the_other(void **state)
{
    enum { SETS = 1500, RULES_MOST = 40, TARGETS = 40 };
    static const char *const methods[] = { "GET", "GET", "HEAD", "POST", "REPORT", "MKCOL" };
    struct property          p = { 20261128 };
    struct arena             a = { 0 };

    (void)state;
    for (unsigned set = 0; set < SETS; set++) {
        struct route_rule  rules[RULES_MOST];
        unsigned           count = 1 + (unsigned)property_below(&p, RULES_MOST);
        struct rule_index *x;

        for (unsigned i = 0; i < count; i++)
            make_rule(&p, &rules[i]);
        x = set % 2 == 0 ? index_of(rules, count) : rule_index_build(rules, count);
        for (unsigned i = 0; x != NULL && i < TARGETS; i++) {
            struct slice target = make_target(&p);

            compare(x, rules, count, methods[property_below(&p, 6)], target, &a);
            property_free(target);
        }
        rule_index_free(x);
        free_rules(rules, count);
        arena_reset(&a);
    }
    arena_free(&a);
}

/* ---- which rules are hidden ---- */

static bool covers_plainly(const struct route_rule *earlier, const struct route_rule *later)
{
    return (later->methods & ~earlier->methods) == 0 &&
           (later->other_methods == NULL || earlier->other_methods != NULL);
}

static void test_hidden_is_the_first_that_hides(void **state)
{
    enum { SETS = 600, RULES_MOST = 40 };
    struct property p = { 4711 };
    unsigned        hidden = 0;

    (void)state;
    for (unsigned set = 0; set < SETS; set++) {
        struct route_rule rules[RULES_MOST];
        unsigned          count = 1 + (unsigned)property_below(&p, RULES_MOST), by[RULES_MOST];

        for (unsigned i = 0; i < count; i++)
            make_rule(&p, &rules[i]);
        rules_hidden(rules, count, by);
        for (unsigned i = 0; i < count; i++) {
            unsigned first = 0;

            while (first < i &&
                   !(covers_plainly(&rules[first], &rules[i]) && pattern_hides(rules[first].pattern, rules[i].pattern)))
                first++;
            if (by[i] != (first < i ? first : count))
                fail_msg(SLICE_FMT ": hidden by %u and not by %u", SLICE_ARG(pattern_text(rules[i].pattern)), first,
                         by[i]);
            hidden += first < i;
        }
        free_rules(rules, count);
    }
    assert_true(hidden > 1000);
}

static void test_a_glob_matches_its_witness(void **state)
{
    struct property p = { 99 };
    char           *text = mem_alloc(GLOB_WITNESS_BYTES);

    (void)state;
    for (unsigned i = 0; i < 3000; i++) {
        struct slice source = property_text(&p, glob_parts, 8);
        struct glob *g = glob_compile(source, i % 2 == 0, 0, NULL);

        if (g != NULL)
            assert_true(glob_matches(g, (struct slice){ text, glob_witness(g, text) }));
        glob_free(g);
        property_free(source);
    }
    free(text);
}

/* ---- literals ---- */

static void test_literals(void **state)
{
    static const struct {
        const char *name, *expression, *literal;
        bool        first;
    } rows[] = {
        { "anchored", "^/v1/taxa", "/v1/taxa", true },
        { "anywhere", "taxa", "taxa", false },
        { "the_longest", "^/v[0-9]+/places/", "/places/", false },
        { "the_first_of_equals", "^/ab[0-9]/ab", "/ab", true },
        { "optional_byte_is_no_part", "^/v1/?x", "/v1", true },
        { "star_takes_its_byte_away", "abc*d", "ab", false },
        { "plus_keeps_its_byte", "abc+d", "abc", false },
        { "count_takes_its_byte_away", "abc{2,3}d", "ab", false },
        { "lazy_plus", "abc+?d", "abc", false },
        { "possessive_plus", "abc++d", "abc", false },
        { "count_may_be_zero", "x{0}ab", "ab", false },
        { "other_brace_gives_up", "a{|b}c", "", false },
        { "alternative_gives_up", "^/a|^/b", "", false },
        { "alternative_in_a_group", "^/v1/(a|b)/cde", "/v1/", true },
        { "optional_group", "abc(def)?g", "abc", false },
        { "nested_group", "ab((c)d)efg", "efg", false },
        { "group_without_capture", "ab(?:cd)efg", "efg", false },
        { "option_gives_up", "(?i)abc", "", false },
        { "lookahead_gives_up", "abc(?=d)", "", false },
        { "negative_gives_up", "abc(?!d)", "", false },
        { "verb_gives_up", "(*UCP)abc", "", false },
        { "escaped_byte", "a\\.json", "a.json", false },
        { "escaped_question", "^/a\\?b=1", "/a?b=1", true },
        { "digit_class", "abc\\d+de", "abc", false },
        { "hexadecimal_gives_up", "\\x61bcd", "", false },
        { "backreference_gives_up", "(a)\\1bcd", "", false },
        { "quotation_gives_up", "\\Qa|b\\E", "", false },
        { "class_with_bracket", "[]a]bcd", "bcd", false },
        { "class_with_escape", "[\\]a]bcd", "bcd", false },
        { "class_negated", "[^]a]bcd", "bcd", false },
        { "class_of_posix_gives_up", "[[:alpha:]]bcd", "", false },
        { "dot", "ab.cde", "cde", false },
        { "end", "abc$", "abc", false },
        { "caret_in_the_middle", "a^bcd", "bcd", false },
        { "empty", "", "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice   exact = property_exact(slice_of(rows[i].expression));
        struct literal l = literal_of(exact);

        if (!slice_eq((struct slice){ l.bytes, l.length }, slice_of(rows[i].literal)) || l.first != rows[i].first)
            fail_msg("%s: \"%.*s\"", rows[i].name, (int)l.length, l.bytes);
        property_free(exact);
    }
}

/* ---- bounds ---- */

struct counted {
    struct tree_walk walk;
    unsigned         told;
};

static void count_told(struct tree_walk *walk, unsigned id, bool certain)
{
    (void)id;
    (void)certain;
    ((struct counted *)(void *)walk)->told++;
}

struct shape {
    const char *name, *format, *target;
    unsigned    told, steps;
};

/* However many there are, a walk goes to as many nodes as the target has bytes, times a few. */
static void test_a_walk_does_not_grow_with_the_rules(void **state)
{
    static const struct shape shapes[] = {
        { "common_prefix", "/v1/item%u/**", "/v1/item77/photos", 1, 20 },
        { "middle_star", "/v1/*/item%u/*", "/v1/taxa/item77/photos", 1, 80 },
        { "begin_with_two_stars", "**/item%u/x", "/v1/taxa/item77/x", 1, 60 },
        { "two_stars_inside", "/a/**/b%u/**/c", "/a/x/b77/y/c", 1, 100 },
        { "stars_in_a_row", "/a*a*a*a*b%u", "/aaaaaaaaaaaaaaaaaaaaaab77", 1, 400 },
        { "braces", "/{v1,v2}/item%u/{a,b}", "/v2/item77/b", 1, 20 },
        { "many_descents", "/**/a/**/%u/**/b/**/c/**/d/**/e", "/x/a/x/77/x/b/x/c/x/d/x/e", 1, 400 },
        { "suffix", "/*.x%u", "/a.b.c.x77", 1, 40 },
    };
    enum { RULES = 10000 };

    (void)state;
    for (size_t i = 0; i < sizeof shapes / sizeof shapes[0]; i++) {
        struct tree   *t = tree_new();
        struct counted c = { .walk = { .below = UINT32_MAX, .told = count_told } };
        struct arena   a = { 0 };

        for (unsigned n = 0; n < RULES; n++) {
            char         text[64];
            struct glob *g;

            snprintf(text, sizeof text, shapes[i].format, n);
            g = glob_compile(slice_of(text), true, 0, NULL);
            tree_add(t, g, n);
            glob_free(g);
        }
        tree_finish(t);
        tree_walk(t, slice_of(shapes[i].target), &c.walk, &a);
        if (c.told != shapes[i].told || c.walk.steps > shapes[i].steps)
            fail_msg("%s: %u told, %u steps", shapes[i].name, c.told, c.walk.steps);
        assert_true(tree_nodes(t) < 10 * RULES * 20);
        tree_free(t);
        arena_free(&a);
    }
}

/* So many alternatives that they would fill the memory: the tree ends, and the rules are asked. */
static void test_a_tree_is_bounded(void **state)
{
    struct tree   *t = tree_new();
    struct counted c = { .walk = { .below = UINT32_MAX, .told = count_told } };
    struct arena   a = { 0 };
    char           text[1024];

    (void)state;
    for (unsigned n = 0; n < 3000; n++) {
        size_t       used = (size_t)snprintf(text, sizeof text, "/%u/{a,b}{c,d}{e,f}", n);
        struct glob *g;

        memset(text + used, 'x', 900);
        text[used + 900] = '\0';
        g = glob_compile(slice_of(text), true, 0, NULL);
        assert_non_null(g);
        tree_add(t, g, n);
        glob_free(g);
    }
    tree_finish(t);
    assert_true(tree_nodes(t) <= TREE_NODES_MOST);
    tree_walk(t, SLICE("/2999/aceno"), &c.walk, &a);
    assert_true(c.told >= 1);
    tree_free(t);
    arena_free(&a);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_match),
        cmocka_unit_test(test_methods_pass_rules_over),
        cmocka_unit_test(test_same_as_one_after_the_other),
        cmocka_unit_test(test_hidden_is_the_first_that_hides),
        cmocka_unit_test(test_a_glob_matches_its_witness),
        cmocka_unit_test(test_literals),
        cmocka_unit_test(test_a_walk_does_not_grow_with_the_rules),
        cmocka_unit_test(test_a_tree_is_bounded),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
