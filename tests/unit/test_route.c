/*
 * From a request to an upstream, its target and its rule (contract section 2).
 */
#include "route/route.h"

#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define TEXT(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

static const struct route_host github_hosts[] = { { TEXT("api.github.com"), 0, TEXT("api.github.com") },
                                                  { TEXT("uploads.github.com"), 8443, TEXT("uploads.github.com:8443") },
                                                  { TEXT("github.localhost"), 0, TEXT("api.github.com") } };
static const struct route_host inat_hosts[] = { { TEXT("api.inaturalist.org"), 0, TEXT("api.inaturalist.org") } };
static const struct route_host local_hosts[] = { { TEXT("127.0.0.1"), 9000, TEXT("127.0.0.1:9000") },
                                                 { TEXT("secure.example"), 443, TEXT("secure.example:443") } };

static const struct route_upstream upstreams[] = {
    { .name = "inat",
      .scheme = TEXT("https"),
      .authority = TEXT("api.inaturalist.org"),
      .base_path = TEXT(""),
      .hosts = inat_hosts,
      .host_count = 1 },
    { .name = "github",
      .scheme = TEXT("https"),
      .authority = TEXT("api.github.com"),
      .base_path = TEXT(""),
      .hosts = github_hosts,
      .host_count = 3 },
    { .name = "coscine",
      .scheme = TEXT("http"),
      .authority = TEXT("127.0.0.1:9000"),
      .base_path = TEXT("/coscine/api"),
      .hosts = local_hosts,
      .host_count = 2 },
};

enum { COUNT = sizeof upstreams / sizeof upstreams[0] };

struct row {
    const char    *name, *target, *host; /* host NULL: absent */
    bool           own;
    enum route_way way;
    const char    *upstream, *goes_to, *path, *prefix;
};

static const struct row rows[] = {
    { "prefix", "/inat/v1/taxa?q=x", "127.0.0.1:8080", true, ROUTE_PREFIX, "inat", "/v1/taxa?q=x", "/v1/taxa?q=x",
      "/inat" },
    { "prefix_with_base_path", "/coscine/v2/x", "localhost", true, ROUTE_PREFIX, "coscine", "/coscine/api/v2/x",
      "/v2/x", "/coscine" },
    { "prefix_alone", "/inat", "localhost", true, ROUTE_PREFIX, "inat", "/", "/", "/inat" },
    { "prefix_with_slash", "/inat/", "localhost", true, ROUTE_PREFIX, "inat", "/", "/", "/inat" },
    { "prefix_with_query", "/inat?a=1", "localhost", true, ROUTE_PREFIX, "inat", "/?a=1", "/?a=1", "/inat" },
    { "prefix_alone_with_base_path", "/coscine", "localhost", true, ROUTE_PREFIX, "coscine", "/coscine/api", "/",
      "/coscine" },
    { "prefix_query_with_base_path", "/coscine?a", "localhost", true, ROUTE_PREFIX, "coscine", "/coscine/api?a", "/?a",
      "/coscine" },
    { "prefix_is_whole", "/inatx/v1", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "prefix_case_counts", "/Inat/v1", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "prefix_unknown", "/nothing/v1", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "root_is_nobodys", "/", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "bytes_are_kept", "/inat/clans/%232PP//a/../%2F?x&&x=2;y+z", "localhost", true, ROUTE_PREFIX, "inat",
      "/clans/%232PP//a/../%2F?x&&x=2;y+z", "/clans/%232PP//a/../%2F?x&&x=2;y+z", "/inat" },
    { "double_slash_behind_the_prefix", "/inat//x", "localhost", true, ROUTE_PREFIX, "inat", "//x", "//x", "/inat" },
    { "foreign_host_has_no_prefix", "/inat/v1", "evil.example", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "http_1_0_without_host", "/inat/v1", NULL, false, ROUTE_PREFIX, "inat", "/v1", "/v1", "/inat" },
    { "own", "/.weir/health", "localhost:8080", true, ROUTE_OWN, NULL, "/.weir/health", "/.weir/health", "" },
    { "own_with_query", "/.weir?x", "localhost:8080", true, ROUTE_OWN, NULL, "/.weir?x", "/.weir?x", "" },
    { "own_is_whole", "/.weird/health", "localhost:8080", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "own_only_under_own_names", "/.weir/health", "api.github.com", false, ROUTE_HOST, "github", "/.weir/health",
      "/.weir/health", "" },
    { "host", "/repos/x", "api.github.com", false, ROUTE_HOST, "github", "/repos/x", "/repos/x", "" },
    { "host_any_case", "/repos/x", "API.GitHub.com", false, ROUTE_HOST, "github", "/repos/x", "/repos/x", "" },
    { "host_with_root_dot", "/repos/x", "api.github.com.", false, ROUTE_HOST, "github", "/repos/x", "/repos/x", "" },
    { "host_default_port", "/x", "api.github.com:443", false, ROUTE_HOST, "github", "/x", "/x", "" },
    { "host_default_port_plain", "/x", "api.github.com:80", false, ROUTE_HOST, "github", "/x", "/x", "" },
    { "host_other_port", "/x", "api.github.com:8080", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "host_listed_port", "/x", "uploads.github.com:8443", false, ROUTE_HOST, "github", "/x", "/x", "" },
    { "host_listed_port_is_needed", "/x", "uploads.github.com", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "host_listed_default_port", "/x", "secure.example", false, ROUTE_HOST, "coscine", "/x", "/x", "" },
    { "host_wins_over_prefix", "/inat/v1", "api.github.com", false, ROUTE_HOST, "github", "/inat/v1", "/inat/v1", "" },
    { "host_path_below_base", "/coscine/api/v2?x", "127.0.0.1:9000", true, ROUTE_HOST, "coscine", "/coscine/api/v2?x",
      "/v2?x", "" },
    { "host_path_is_base", "/coscine/api", "127.0.0.1:9000", true, ROUTE_HOST, "coscine", "/coscine/api", "/", "" },
    { "host_path_beside_base", "/coscine/apix", "127.0.0.1:9000", true, ROUTE_HOST, "coscine", "/coscine/apix",
      "/coscine/apix", "" },
    { "host_malformed", "/inat/x", "a b", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "host_empty", "/inat/x", "", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "absolute", "http://api.github.com/repos/x?y", "api.github.com", false, ROUTE_ABSOLUTE, "github", "/repos/x?y",
      "/repos/x?y", "" },
    { "absolute_without_path", "http://api.github.com", "api.github.com", false, ROUTE_ABSOLUTE, "github", "/", "/",
      "" },
    { "absolute_with_query_only", "http://api.github.com?a=1", "x", false, ROUTE_ABSOLUTE, "github", "/?a=1", "/?a=1",
      "" },
    { "absolute_wins_over_host", "http://api.inaturalist.org/x", "api.github.com", false, ROUTE_ABSOLUTE, "inat", "/x",
      "/x", "" },
    { "absolute_default_port", "http://api.github.com:80/x", "x", false, ROUTE_ABSOLUTE, "github", "/x", "/x", "" },
    { "absolute_other_port", "http://api.github.com:443/x", "x", false, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "absolute_https_port", "https://api.github.com:443/x", "x", false, ROUTE_ABSOLUTE, "github", "/x", "/x", "" },
    { "absolute_of_weir_itself", "http://localhost:8080/inat/v1", "localhost:8080", true, ROUTE_PREFIX, "inat", "/v1",
      "/v1", "/inat" },
    { "absolute_unknown", "http://other.example/inat/v1", "localhost:8080", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "asterisk", "*", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
    { "asterisk_to_a_host", "*", "api.github.com", false, ROUTE_HOST, "github", "*", "*", "" },
    { "empty", "", "localhost", true, ROUTE_NONE, NULL, NULL, NULL, NULL },
};

static void compare(const char *row, const char *what, struct slice got, const char *expected)
{
    if (expected != NULL && !slice_eq(got, slice_of(expected)))
        fail_msg("%s: %s is \"%.*s\"", row, what, SLICE_ARG(got));
}

static void test_find(void **state)
{
    struct route_table *t = route_table_build(upstreams, COUNT);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice target = property_exact(slice_of(rows[i].target));
        struct slice host = rows[i].host != NULL ? property_exact(slice_of(rows[i].host)) : SLICE_NONE;
        struct route r = route_find(t, target, host, rows[i].own, &a);

        if (r.way != rows[i].way)
            fail_msg("%s: way %d", rows[i].name, (int)r.way);
        if ((r.upstream == NULL) != (rows[i].upstream == NULL) ||
            (r.upstream != NULL && strcmp(r.upstream->name, rows[i].upstream) != 0))
            fail_msg("%s: upstream %s", rows[i].name, r.upstream != NULL ? r.upstream->name : "none");
        compare(rows[i].name, "target", r.target, rows[i].goes_to);
        compare(rows[i].name, "path", r.path, rows[i].path);
        compare(rows[i].name, "prefix", r.prefix, rows[i].prefix);
        property_free(target);
        if (host.ptr != NULL)
            property_free(host);
        arena_free(&a);
    }
    route_table_free(t);
}

/* -- out of a CONNECT -- */

static void test_find_inside(void **state)
{
    static const struct {
        const char *name, *connected, *target, *host, *upstream, *goes_to;
        bool        is_plain;
    } inside[] = {
        { "host_of_the_connect", "api.github.com:443", "/repos/x", "api.github.com", "github", "/repos/x", false },
        { "host_with_the_port", "api.github.com:443", "/x", "API.github.com:443", "github", "/x", false },
        { "another_host_of_that_upstream", "api.github.com:443", "/x", "uploads.github.com:8443", "github", "/x",
          false },
        { "listed_port", "uploads.github.com:8443", "/x", "uploads.github.com:8443", "github", "/x", false },
        { "host_of_another_upstream", "api.github.com:443", "/x", "api.inaturalist.org", NULL, NULL, false },
        { "host_of_none", "api.github.com:443", "/x", "evil.example", NULL, NULL, false },
        { "weirs_own_name", "api.github.com:443", "/inat/v1", "localhost", NULL, NULL, false },
        { "weirs_own_endpoints_are_the_apis", "127.0.0.1:9000", "/.weir/health", "127.0.0.1:9000", "coscine",
          "/.weir/health", false },
        { "prefixes_are_the_apis", "api.github.com:443", "/inat/v1", "api.github.com", "github", "/inat/v1", false },
        { "http_1_0_without_host", "api.github.com:443", "/x", NULL, "github", "/x", false },
        { "absolute", "api.github.com:443", "https://api.github.com/x?y", "evil.example", "github", "/x?y", false },
        { "absolute_to_another", "api.github.com:443", "https://api.inaturalist.org/x", "api.github.com", NULL, NULL,
          false },
        { "absolute_in_the_clear", "api.github.com:443", "http://api.github.com/x", "api.github.com", NULL, NULL,
          false },
        { "connect_to_none", "other.example:443", "/x", "api.github.com", NULL, NULL, false },
        { "connect_to_port_80", "api.github.com:80", "/x", "api.github.com", "github", "/x", true },
        { "connect_to_port_80_and_host_says_so", "api.github.com:80", "/x", "api.github.com:80", "github", "/x", true },
        { "connect_to_port_80_for_tls", "api.github.com:80", "/x", "api.github.com", "github", "/x", false },
        { "connect_to_port_443_in_the_clear", "api.github.com:443", "/x", "api.github.com", "github", "/x", true },
        { "connect_to_port_80_and_host_says_443", "api.github.com:80", "/x", "api.github.com:443", NULL, NULL, true },
        { "connect_to_port_80_absolute", "api.github.com:80", "http://api.github.com/x", "x", "github", "/x", true },
        { "connect_to_port_80_absolute_to_another", "api.github.com:80", "http://api.inaturalist.org/x", "x", NULL,
          NULL, true },
        { "connect_to_port_80_host_of_another", "api.github.com:80", "/x", "api.inaturalist.org", NULL, NULL, true },
        { "connect_to_port_80_where_443_is_listed", "secure.example:80", "/x", "secure.example", NULL, NULL, true },
        { "connect_to_port_81", "api.github.com:81", "/x", "api.github.com", NULL, NULL, true },
        { "listed_port_in_the_clear", "uploads.github.com:8443", "/x", "uploads.github.com:8443", "github", "/x",
          true },
        { "listed_port_absolute_in_the_clear", "uploads.github.com:8443", "http://uploads.github.com:8443/x", "x",
          "github", "/x", true },
        { "host_with_port_80", "api.github.com:443", "/x", "api.github.com:80", NULL, NULL, false },
        { "host_malformed", "api.github.com:443", "/x", "a b", NULL, NULL, false },
        { "path_below_base", "127.0.0.1:9000", "/coscine/api/v2", "127.0.0.1:9000", "coscine", "/coscine/api/v2",
          false },
    };
    struct route_table *t = route_table_build(upstreams, COUNT);
    struct arena        a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof inside / sizeof inside[0]; i++) {
        struct route r = route_find_inside(t, slice_of(inside[i].connected), !inside[i].is_plain,
                                           slice_of(inside[i].target), slice_of(inside[i].host), &a);

        if (r.way != (inside[i].upstream == NULL ? ROUTE_NONE : inside[i].is_plain ? ROUTE_HOST : ROUTE_CONNECT))
            fail_msg("%s: way %d", inside[i].name, (int)r.way);
        if (r.upstream != NULL && strcmp(r.upstream->name, inside[i].upstream) != 0)
            fail_msg("%s: upstream %s", inside[i].name, r.upstream->name);
        compare(inside[i].name, "target", r.target, inside[i].goes_to);
        compare(inside[i].name, "prefix", r.prefix, r.upstream != NULL ? "" : NULL);
    }
    compare("path_behind_the_base", "path",
            route_find_inside(t, SLICE("127.0.0.1:9000"), true, SLICE("/coscine/api/v2"), SLICE_NONE, &a).path, "/v2");
    route_table_free(t);
    arena_free(&a);
}

static void test_empty_table(void **state)
{
    struct route_table *t = route_table_build(NULL, 0);
    struct arena        a = { 0 };

    (void)state;
    assert_int_equal(route_find(t, SLICE("/inat/x"), SLICE("localhost"), true, &a).way, ROUTE_NONE);
    route_table_free(t);
    route_table_free(NULL);
    arena_free(&a);
}

/* The name asked for is the name sent; base-URL mode asks the url's; an alias gets whom it stands for. */
static void test_authority(void **state)
{
    static const struct {
        const char *name, *target, *host;
        bool        own;
        const char *authority;
    } rows_of[] = {
        { "prefix", "/github/x", "localhost", true, "api.github.com" },
        { "prefix_with_port", "/coscine/x", "localhost", true, "127.0.0.1:9000" },
        { "host_of_the_url", "/x", "api.github.com", false, "api.github.com" },
        { "host_of_the_url_any_case", "/x", "API.GITHUB.COM:443", false, "api.github.com" },
        { "another_host", "/x", "uploads.github.com:8443", false, "uploads.github.com:8443" },
        { "another_host_absolute", "https://uploads.github.com:8443/x", "api.github.com", false,
          "uploads.github.com:8443" },
        { "alias", "/x", "github.localhost", false, "api.github.com" },
        { "alias_absolute", "http://github.localhost/x", "x", false, "api.github.com" },
        { "absolute_of_weir_itself", "http://localhost/github/x", "localhost", true, "api.github.com" },
        { "port_of_the_entry", "/x", "secure.example", false, "secure.example:443" },
    };
    struct route_table *t = route_table_build(upstreams, COUNT);
    struct arena        a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof rows_of / sizeof rows_of[0]; i++)
        compare(rows_of[i].name, "authority",
                route_find(t, slice_of(rows_of[i].target), slice_of(rows_of[i].host), rows_of[i].own, &a).authority,
                rows_of[i].authority);
    compare("inside_by_its_host", "authority",
            route_find_inside(t, SLICE("api.github.com:443"), true, SLICE("/x"), SLICE("uploads.github.com:8443"), &a)
                .authority,
            "uploads.github.com:8443");
    compare("inside_without_host", "authority",
            route_find_inside(t, SLICE("uploads.github.com:8443"), true, SLICE("/x"), SLICE_NONE, &a).authority,
            "uploads.github.com:8443");
    compare("inside_an_alias", "authority",
            route_find_inside(t, SLICE("github.localhost:443"), true, SLICE("/x"), SLICE("github.localhost"), &a)
                .authority,
            "api.github.com");
    route_table_free(t);
    arena_free(&a);
}

/* The first upstream that lists a host has it. */
static void test_first_host_wins(void **state)
{
    struct route_upstream both[2] = { upstreams[1], upstreams[1] };
    struct route_table   *t;
    struct arena          a = { 0 };

    (void)state;
    both[0].name = "first";
    both[1].name = "second";
    t = route_table_build(both, 2);
    assert_string_equal(route_find(t, SLICE("/x"), SLICE("api.github.com"), false, &a).upstream->name, "first");
    route_table_free(t);
    arena_free(&a);
}

static void test_rules(void **state)
{
    enum { GET_AND_HEAD = 1u << HTTP_GET | 1u << HTTP_HEAD };
    static const char *const others[] = { "REPORT", NULL };

    struct route_rule rules[] = {
        { .pattern = pattern_compile(SLICE("/v1/taxa/**"), NULL), .methods = GET_AND_HEAD },
        { .pattern = pattern_compile(SLICE("/graphql"), NULL), .methods = 1u << HTTP_POST },
        { .pattern = pattern_compile(SLICE("/dav/**"), NULL), .other_methods = others },
        { .pattern = pattern_compile(SLICE("/v1/**"), NULL), .methods = GET_AND_HEAD },
    };
    const struct route_upstream u = { .name = "u", .rules = rules, .rule_count = 4 };
    static const struct {
        const char *name, *method, *path;
        int         rule;
    } cases[] = {
        { "first_match", "GET", "/v1/taxa/1", 0 },          { "head_as_get", "HEAD", "/v1/taxa/1", 0 },
        { "later_match", "GET", "/v1/places", 3 },          { "none", "GET", "/v2", -1 },
        { "method_passes_over", "POST", "/v1/taxa/1", -1 }, { "method_matches", "POST", "/graphql?x=1", 1 },
        { "method_differs", "GET", "/graphql", -1 },        { "other_method", "REPORT", "/dav/x", 2 },
        { "other_method_differs", "MKCOL", "/dav/x", -1 },  { "other_method_has_case", "report", "/dav/x", -1 },
    };

    (void)state;
    struct arena a = { 0 };

    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct http_request      r = { .method = http_method_parse(slice_of(cases[i].method)),
                                       .method_name = slice_of(cases[i].method) };
        const struct route_rule *found = route_rule_find(&u, &r, slice_of(cases[i].path), &a);

        if (found != (cases[i].rule >= 0 ? &rules[cases[i].rule] : NULL))
            fail_msg("%s", cases[i].name);
        assert_ptr_equal(route_policy(&u, found), found != NULL ? &found->policy : &u.policy);
    }
    arena_free(&a);
    for (size_t i = 0; i < 4; i++)
        pattern_free(rules[i].pattern);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),        cmocka_unit_test(test_find_inside),     cmocka_unit_test(test_authority),
        cmocka_unit_test(test_empty_table), cmocka_unit_test(test_first_host_wins), cmocka_unit_test(test_rules),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
