/*
 * Configurations with thousands of rules, upstreams and files: read whole,
 * and what is said of them is what would be said of a few.
 */
#include "config/config.h"

#include "tempdir.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <cmocka.h>

enum { MANY = 10000, UPSTREAMS = 3000, FILES = 200 };

struct text {
    char  *bytes;
    size_t used, room;
};

static void add(struct text *t, const char *format, ...) __attribute__((format(printf, 2, 3)));
static void add(struct text *t, const char *format, ...)
{
    va_list args;

    if (t->used + 512 > t->room) {
        t->room = t->room * 2 + 1024;
        t->bytes = realloc(t->bytes, t->room);
    }
    va_start(args, format);
    t->used += (size_t)vsnprintf(t->bytes + t->used, t->room - t->used, format, args);
    va_end(args);
}

static void write_text(const char *path, const char *text)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    fputs(text, out);
    fclose(out);
}

/* Loads the text as a file; *said is what there is to say of it. */
static struct config *load(struct text *t, char **said)
{
    char          *directory = tempdir_make(), path[4096];
    size_t         bytes;
    FILE          *problems = open_memstream(said, &bytes);
    struct config *c;

    snprintf(path, sizeof path, "%s/weir.conf", directory);
    write_text(path, t->bytes);
    c = config_load(path, problems);
    fclose(problems);
    tempdir_remove(directory);
    free(t->bytes);
    return c;
}

static unsigned count_of(const char *said, const char *what)
{
    unsigned n = 0;

    for (const char *at = said; (at = strstr(at, what)) != NULL; at++)
        n++;
    return n;
}

static const struct route_rule *rule_for(const struct config *c, const char *path, struct arena *a)
{
    const struct http_request get = { .method = HTTP_GET, .method_name = SLICE("GET") };

    return route_rule_find(&c->upstreams[0].route, &get, slice_of(path), a);
}

static void test_each_of_many_rules_is_found(void **state)
{
    struct text    t = { NULL, 0, 0 };
    struct arena   a = { 0 };
    char          *said, path[64];
    struct config *c;

    (void)state;
    add(&t, "upstreams = ( { name = \"a\"; url = \"https://a.example.org\"; rules = (\n");
    for (unsigned i = 0; i < MANY; i++)
        add(&t, "{ match = \"%s%u%s\"; ttl = \"%us\"; },\n",
            i % 3 == 0   ? "/v1/item"
            : i % 3 == 1 ? "**/z"
                         : "~^/x/y",
            i,
            i % 3 == 0   ? "/**"
            : i % 3 == 1 ? ""
                         : "/",
            i + 1);
    add(&t, "{ match = \"/**\"; } ); } );\n");
    c = load(&t, &said);
    assert_non_null(c);
    assert_string_equal(said, "");
    for (unsigned i = 0; i < MANY; i++) {
        snprintf(path, sizeof path, "%s%u%s",
                 i % 3 == 0   ? "/v1/item"
                 : i % 3 == 1 ? "/a/b/z"
                              : "/x/y",
                 i, i % 3 == 1 ? "" : "/w");
        assert_ptr_equal(rule_for(c, path, &a), &c->upstreams[0].route.rules[i]);
    }
    assert_ptr_equal(rule_for(c, "/else", &a), &c->upstreams[0].route.rules[MANY]);
    free(said);
    config_release(c);
    arena_free(&a);
}

static void test_each_of_many_hidden_rules_is_named(void **state)
{
    struct text    t = { NULL, 0, 0 };
    char          *said;
    struct config *c;

    (void)state;
    add(&t, "upstreams = ( { name = \"a\"; url = \"https://a.example.org\"; rules = (\n");
    for (unsigned i = 0; i < MANY; i++)
        add(&t, "{ match = \"%s%u\"; },\n", i == 0 ? "/*" : "/v1/item", i);
    add(&t, "{ match = \"/v1/**\"; },\n");
    for (unsigned i = 0; i < MANY; i++)
        add(&t, "{ match = \"/v1/i%u\"; }%s\n", i, i + 1 < MANY ? "," : "");
    add(&t, "); } );\n");
    c = load(&t, &said);
    assert_non_null(c);
    assert_int_equal(count_of(said, "the rule \"/v1/**\" of line 10002 matches first"), MANY);
    assert_int_equal(count_of(said, "\n"), MANY);
    free(said);
    config_release(c);
}

static void test_each_of_many_upstreams_is_found(void **state)
{
    struct text    t = { NULL, 0, 0 };
    char          *said;
    struct config *c;

    (void)state;
    add(&t, "upstreams = (\n");
    for (unsigned i = 0; i < UPSTREAMS; i++)
        add(&t, "{ name = \"u%u\"; url = \"http://127.0.0.1:%u\"; budget = \"b%u\"; limits = ( \"60/min\" ); }%s\n", i,
            20000 + i, i % 7, i + 1 < UPSTREAMS ? "," : "");
    add(&t, ");\n");
    c = load(&t, &said);
    assert_non_null(c);
    assert_string_equal(said, "");
    for (unsigned i = 0; i < UPSTREAMS; i++)
        assert_int_equal(route_find_place(c->routes, SLICE("127.0.0.1"), 20000 + i, 0).upstream->index, i);
    assert_null(route_find_place(c->routes, SLICE("127.0.0.1"), 19999, 0).upstream);
    free(said);
    config_release(c);
}

static void test_upstreams_that_meet_are_told(void **state)
{
    struct text    t = { NULL, 0, 0 };
    char          *said;
    struct config *c;

    (void)state;
    add(&t, "upstreams = (\n"
            "{ name = \"a\"; url = \"https://x\"; hosts = ( \"x\", \"y\" ); },\n"
            "{ name = \"b\"; url = \"https://y\"; hosts = ( \"z:1\", \"Y\", \"X\" ); },\n"
            "{ name = \"a\"; url = \"https://z\"; hosts = ( \"z\", \"z:1\", \"x.\" ); },\n"
            "{ name = \"A\"; url = \"https://w\"; hosts = ( \"w\" ); } );\n");
    c = load(&t, &said);
    assert_null(c);
    assert_non_null(strstr(said, "weir.conf:3: warning: upstreams.b.hosts: \"Y\" is a host of the upstream at"));
    assert_int_equal(count_of(said, "two upstreams are called \"a\"; the other one stands at"), 1);
    assert_int_equal(count_of(said, ":4: warning: upstreams.a.hosts: \"z:1\" is a host of the upstream at"), 1);
    assert_int_equal(count_of(said, ":4: warning: upstreams.a.hosts: \"x.\" is a host of the upstream at"), 1);
    assert_int_equal(count_of(said, "\n"), 4);
    free(said);
}

static void test_a_budget_of_too_many_limits(void **state)
{
    struct text    t = { NULL, 0, 0 };
    char          *said;
    struct config *c;

    (void)state;
    add(&t, "upstreams = (\n");
    for (unsigned i = 0; i < 36; i++)
        add(&t, "{ name = \"u%u\"; url = \"https://h%u\"; budget = \"%s\"; limits = ( \"%u/min\", \"9/s\" ); }%s\n", i,
            i, i % 36 == 35 ? "other" : "one", 1000 + i, i < 35 ? "," : "");
    add(&t, ");\n");
    c = load(&t, &said);
    assert_null(c);
    assert_int_equal(count_of(said, "the upstreams that share \"one\" have more than 32 limits"), 4);
    free(said);
}

static void test_many_files_add_upstreams(void **state)
{
    char          *directory = tempdir_make(), path[4096], text[256], *said;
    size_t         bytes;
    FILE          *problems = open_memstream(&said, &bytes);
    struct config *c;

    (void)state;
    snprintf(path, sizeof path, "%s/weir.conf", directory);
    write_text(path, "upstreams = ( { name = \"first\"; url = \"https://first\"; } );\n");
    snprintf(path, sizeof path, "%s/conf.d", directory);
    assert_int_equal(mkdir(path, 0700), 0);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(path, sizeof path, "%s/conf.d/%03u.conf", directory, i);
        snprintf(text, sizeof text,
                 "upstreams = ( { name = \"u%u\"; url = \"https://h%u\"; },\n"
                 "{ name = \"v%u\"; url = \"https://i%u\"; } );\n",
                 i, i, i, i);
        write_text(path, text);
    }
    snprintf(path, sizeof path, "%s/weir.conf", directory);
    c = config_load(path, problems);
    fclose(problems);
    assert_non_null(c);
    assert_string_equal(said, "");
    assert_int_equal(c->upstream_count, 2 * FILES + 1);
    for (unsigned i = 0; i < FILES; i++) {
        snprintf(text, sizeof text, "v%u", i);
        assert_string_equal(c->upstreams[2 * i + 2].route.name, text);
    }
    free(said);
    config_release(c);
    tempdir_remove(directory);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_of_many_rules_is_found),
        cmocka_unit_test(test_each_of_many_hidden_rules_is_named),
        cmocka_unit_test(test_each_of_many_upstreams_is_found),
        cmocka_unit_test(test_upstreams_that_meet_are_told),
        cmocka_unit_test(test_a_budget_of_too_many_limits),
        cmocka_unit_test(test_many_files_add_upstreams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
