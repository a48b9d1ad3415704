/*
 * Cookies of several APIs under one host (engine/jar.h).
 */
#include "engine/jar.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_outward(void **state)
{
    static const struct {
        const char *name, *base, *target, *given, *expected;
    } rows[] = {
        { "whole_host", "", "/x", "a=1; Path=/", "a=1; Path=/api" },
        { "below", "", "/x", "a=1; Path=/v1", "a=1; Path=/api/v1" },
        { "below_with_a_slash", "", "/x", "a=1; Path=/v1/", "a=1; Path=/api/v1/" },
        { "case_and_space", "", "/x", "a=1;pAtH = /v1 ;HttpOnly", "a=1; HttpOnly; Path=/api/v1" },
        { "no_path", "", "/v1/users/7?q=/a/b", "a=1", "a=1; Path=/api/v1/users" },
        { "no_path_at_the_top", "", "/users", "a=1", "a=1; Path=/api" },
        { "no_path_of_a_folder", "", "/v1/", "a=1", "a=1; Path=/api/v1" },
        { "no_path_without_anything", "", "/", "a=1", "a=1; Path=/api" },
        { "empty_path_is_the_default", "", "/v1/x", "a=1; Path=", "a=1; Path=/api/v1" },
        { "relative_path_is_the_default", "", "/v1/x", "a=1; Path=v2", "a=1; Path=/api/v1" },
        { "quoted_path_is_the_default", "", "/v1/x", "a=1; Path=\"/\"", "a=1; Path=/api/v1" },
        { "flag_path_is_the_default", "", "/v1/x", "a=1; Path", "a=1; Path=/api/v1" },
        { "last_path_counts", "", "/v1/x", "a=1; Path=/b; Path=/c", "a=1; Path=/api/c" },
        { "last_path_is_invalid", "", "/v1/x", "a=1; Path=/b; Path=c", "a=1; Path=/api/v1" },
        { "base", "/v2", "/v2/x", "a=1; Path=/v2", "a=1; Path=/api" },
        { "base_with_a_slash", "/v2", "/v2/x", "a=1; Path=/v2/", "a=1; Path=/api/" },
        { "below_the_base", "/v2", "/v2/x", "a=1; Path=/v2/me", "a=1; Path=/api/me" },
        { "above_the_base", "/a/b", "/a/b/x", "a=1; Path=/a", "a=1; Path=/api" },
        { "above_the_base_with_a_slash", "/a/b", "/a/b/x", "a=1; Path=/a/", "a=1; Path=/api" },
        { "default_above_the_base", "/v2", "/v2?x", "a=1", "a=1; Path=/api" },
        { "beside_the_base_is_never_sent", "/v2", "/v2/x", "a=1; Path=/auth", NULL },
        { "begins_like_the_base", "/v2", "/v2/x", "a=1; Path=/v20", NULL },
        { "begins_like_what_is_above", "/ab/c", "/ab/c/x", "a=1; Path=/a", NULL },
        { "domain_falls", "", "/x", "a=1; Domain=.example.com; Path=/; domain=x", "a=1; Path=/api" },
        { "secure_falls", "", "/x", "a=1; Secure; Path=/; secure=yes", "a=1; Path=/api" },
        { "same_site_none_falls", "", "/x", "a=1; SameSite=none; Path=/; Partitioned", "a=1; Path=/api" },
        { "the_rest_stays", "", "/x",
          "a=b=c; Path=/; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; X=y",
          "a=b=c; SameSite=Lax; Max-Age=0; Expires=Thu, 01 Jan 1970 00:00:00 GMT; X=y; Path=/api" },
        { "host_prefix", "", "/x", "__Host-sid=1; Secure; Path=/", "weir-__Host-sid=1; Path=/api" },
        { "secure_prefix", "", "/x", "__SECURE-sid=1; Secure", "weir-__SECURE-sid=1; Path=/api" },
        { "our_own_name", "", "/x", "weir-sid=1", "weir-weir-sid=1; Path=/api" },
        { "prefix_in_a_value", "", "/x", "a=__Host-b", "a=__Host-b; Path=/api" },
        { "without_a_name", "", "/x", "__Host-b", "__Host-b; Path=/api" },
        { "pair_that_looks_like_an_attribute", "", "/x", "Path=/y; Path=/z", "Path=/y; Path=/api/z" },
        { "empty", "", "/x", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct route_upstream u = { .base_path = slice_of(rows[i].base) };
        const struct route          r = { .way = ROUTE_PREFIX,
                                          .upstream = &u,
                                          .target = slice_of(rows[i].target),
                                          .prefix = SLICE("/api") };
        struct arena                a = { 0 };
        struct slice                given = property_exact(slice_of(rows[i].given));
        struct slice                made = jar_outward(&r, given, &a);

        if ((made.ptr == NULL) != (rows[i].expected == NULL) || !slice_eq(made, slice_of(rows[i].expected)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(made));
        property_free(given);
        arena_free(&a);
    }
}

static void test_inward(void **state)
{
    static const struct {
        const char *name, *given, *expected;
    } rows[] = {
        { "nothing_of_ours", "a=1;b=2", "a=1;b=2" },
        { "renamed", "a=1; weir-__Host-sid=2; b=3", "a=1; __Host-sid=2; b=3" },
        { "any_case", "weir-__secure-x=1", "__secure-x=1" },
        { "our_own_name", "weir-weir-sid=1", "weir-sid=1" },
        { "a_name_that_only_begins_so", "weir-sid=1;  a=2", "weir-sid=1;  a=2" },
        { "in_a_value", "a=weir-__Host-sid", "a=weir-__Host-sid" },
        { "empty", "", "" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice given = property_exact(slice_of(rows[i].given));
        struct slice made = jar_inward(given, &a);

        if (!slice_eq(made, slice_of(rows[i].expected)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(made));
        property_free(given);
        arena_free(&a);
    }
}

/* Whatever names an API gives, it gets the same back. */
static void test_there_and_back(void **state)
{
    static const char *const names[] = { "sid", "__Host-a", "weir-__Host-a", "weir-weir-b", "__http-x", "weir-" };
    static const struct route_upstream u = { .base_path = { "", 0 } };
    static const struct route r = { .way = ROUTE_PREFIX, .upstream = &u, .target = { "/", 1 }, .prefix = { "/a", 2 } };

    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        struct arena a = { 0 };
        struct slice pair = arena_printf(&a, "%s=1", names[i]);
        struct slice kept = jar_outward(&r, pair, &a);

        if (!slice_eq(jar_inward(slice_sub(kept, 0, slice_find(kept, ';', 0)), &a), pair))
            fail_msg("%s: %.*s", names[i], SLICE_ARG(kept));
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_outward),
        cmocka_unit_test(test_inward),
        cmocka_unit_test(test_there_and_back),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
