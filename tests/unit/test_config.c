/*
 * What settings become: inheritance, conversions, further files,
 * and the dump that loads to the same.
 */
#include "base/clock.h"
#include "conf.h"
#include "config/settings.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>
#include <cmocka.h>

/* -- what the settings become -- */

static void test_place_of_an_upstream(void **state)
{
    static const struct {
        const char *url, *scheme, *authority, *base_path, *host;
        unsigned    port;
    } rows[] = {
        { "https://API.example.org", "https", "api.example.org", "", "api.example.org", 0 },
        { "https://a.example.org:443/", "https", "a.example.org", "", "a.example.org", 0 },
        { "http://a.example.org:443/v1/", "http", "a.example.org:443", "/v1", "a.example.org", 443 },
        { "http://[::1]:81/a/b", "http", "[::1]:81", "/a/b", "[::1]", 81 },
        { "http://127.0.0.1:80", "http", "127.0.0.1", "", "127.0.0.1", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char                         text[256];
        struct config               *c;
        const struct route_upstream *r;

        snprintf(text, sizeof text, "upstreams = ( { name = \"a\"; url = \"%s\"; } );", rows[i].url);
        c = conf_load_good(text);
        r = &c->upstreams[0].route;
        if (!slice_eq(r->scheme, slice_of(rows[i].scheme)) || !slice_eq(r->authority, slice_of(rows[i].authority)) ||
            !slice_eq(r->base_path, slice_of(rows[i].base_path)) || r->host_count != 1 ||
            !slice_eq(r->hosts[0].host, slice_of(rows[i].host)) || r->hosts[0].port != rows[i].port)
            fail_msg("%s", rows[i].url);
        config_release(c);
    }
}

/* Where a request for an entry of `hosts` goes. */
static void test_hosts(void **state)
{
    static const struct {
        const char *name, *url, *entry, *host;
        unsigned    port;
        const char *authority;
    } rows[] = {
        { "own_name", "https://api.example.org", "UP.example.org", "up.example.org", 0, "up.example.org" },
        { "own_port", "https://api.example.org", "up.example.org:8443", "up.example.org", 8443, "up.example.org:8443" },
        { "port_of_the_url", "https://api.example.org:8443/v1", "up.example.org", "up.example.org", 0,
          "up.example.org:8443" },
        { "own_port_over_that_of_the_url", "https://api.example.org:8443", "up.example.org:443", "up.example.org", 443,
          "up.example.org" },
        { "default_port_of_the_scheme", "http://api.example.org", "up.example.org:80", "up.example.org", 80,
          "up.example.org" },
        { "host_of_the_url", "https://api.example.org", "api.example.org", "api.example.org", 0, "api.example.org" },
        { "root_dot", "https://api.example.org", "up.example.org.", "up.example.org", 0, "up.example.org" },
        { "address", "https://api.example.org", "[2001:DB8::1]:444", "[2001:db8::1]", 444, "[2001:db8::1]:444" },
        { "alias", "https://api.example.org", "api.localhost = API.example.org", "api.localhost", 0,
          "api.example.org" },
        { "alias_without_spaces", "https://api.example.org", "a=b", "a", 0, "b" },
        { "alias_with_ports", "https://api.example.org", "a:1 = b:2", "a", 1, "b:2" },
        { "alias_has_the_urls_port", "http://api.example.org:9000", "a:1 = b", "a", 1, "b:9000" },
        { "alias_of_an_address", "http://[::1]:81", "a = [::1]:81", "a", 0, "[::1]:81" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char                     text[256];
        struct config           *c;
        const struct route_host *h;

        snprintf(text, sizeof text, "upstreams = ( { name = \"a\"; url = \"%s\"; hosts = ( \"%s\" ); } );", rows[i].url,
                 rows[i].entry);
        c = conf_load_good(text);
        h = c->upstreams[0].route.hosts;
        if (c->upstreams[0].route.host_count != 1 || !slice_eq(h->host, slice_of(rows[i].host)) ||
            h->port != rows[i].port || !slice_eq(h->authority, slice_of(rows[i].authority)))
            fail_msg("%s: " SLICE_FMT ":%u to " SLICE_FMT, rows[i].name, SLICE_ARG(h->host), h->port,
                     SLICE_ARG(h->authority));
        if (slice_eq(h->authority, c->upstreams[0].route.authority) &&
            h->authority.ptr != c->upstreams[0].route.authority.ptr)
            fail_msg("%s: equal authorities are two texts", rows[i].name);
        config_release(c);
    }
}

static void test_via(void **state)
{
    static const struct {
        const char *name, *set, *url, *authority;
        bool        is_http;
    } rows[] = {
        { "http", "\"http://proxy.corp:3128\"", "http://proxy.corp:3128", "proxy.corp:3128", true },
        { "slash", "\"http://proxy.corp:3128/\"", "http://proxy.corp:3128", "proxy.corp:3128", true },
        { "https", "{ url = \"https://[::1]:443\"; }", "https://[::1]:443", "[::1]:443", true },
        { "socks_has_names", "\"socks5://10.0.0.1:1080\"", "socks5h://10.0.0.1:1080", "10.0.0.1:1080", false },
        { "socks_h", "\"socks5h://p:1/\"", "socks5h://p:1", "p:1", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char                      text[256];
        struct config            *c;
        const struct via_options *via;

        snprintf(text, sizeof text, API "via = %s;" API_END, rows[i].set);
        c = conf_load_good(text);
        via = &c->upstreams[0].fetch.origin.via;
        if (strcmp(via->url, rows[i].url) != 0 || !slice_eq(via->authority, slice_of(rows[i].authority)) ||
            via->is_http != rows[i].is_http)
            fail_msg("%s: %s", rows[i].name, via->url);
        config_release(c);
    }
}

/* The first colon divides; what is no pair is an error that does not repeat it. */
static void test_credentials_of_via(void **state)
{
    static const struct {
        const char *name, *value, *user, *password;
    } rows[] = {
        { "pair", "ann:secret\n", "ann", "secret" }, { "colons", "ann:a:b:", "ann", "a:b:" },
        { "empty_password", "ann:", "ann", "" },     { "no_colon", "ann", NULL, NULL },
        { "no_user", ":secret", NULL, NULL },        { "empty", "", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char           text[4200], *said = NULL;
        size_t         bytes;
        FILE          *problems = open_memstream(&said, &bytes);
        struct config *c;
        bool           good;

        conf_write(conf_path("via"), rows[i].value);
        snprintf(text, sizeof text, API "via = { url = \"http://p:1\"; value_file = \"%s\"; };" API_END,
                 conf_path("via"));
        c = conf_load_good(text);
        good = config_read_secrets(c, problems);
        fclose(problems);
        if (good != (rows[i].user != NULL) ||
            (good && (strcmp(c->upstreams[0].fetch.origin.via.user, rows[i].user) != 0 ||
                      strcmp(c->upstreams[0].fetch.origin.via.password, rows[i].password) != 0)) ||
            (!good &&
             (strstr(said, "upstreams.a.via.value_file: the credential ") == NULL || strstr(said, "secret") != NULL)))
            fail_msg("%s: %s", rows[i].name, said);
        free(said);
        config_release(c);
    }
}

/* A rule's are the upstream's where it says nothing. */
static void test_timeouts_of_rules(void **state)
{
    struct config *c = conf_load_good(
        API "timeout = { connect = \"1s\"; read = \"2s\"; write = \"3s\"; total = \"4s\"; };"
            "rules = ( { match = \"/a\"; },"
            "          { match = \"/b\"; timeout = { total = \"1h\"; read = \"9s\"; }; share = false; } );" API_END);
    const struct config_upstream *u = &c->upstreams[0];
    const struct timeout_options *t = u->rule_timeouts;

    (void)state;
    assert_true(u->fetch.timeout.connect_ns == NS_PER_SEC && u->fetch.timeout.total_ns == 4 * NS_PER_SEC);
    assert_memory_equal(&t[0], &u->fetch.timeout, sizeof t[0]);
    assert_true(t[1].connect_ns == NS_PER_SEC && t[1].read_ns == 9 * NS_PER_SEC && t[1].write_ns == 3 * NS_PER_SEC &&
                t[1].total_ns == 3600 * NS_PER_SEC);
    assert_true(!u->route.rules[0].policy.alone && u->route.rules[1].policy.alone && !u->route.policy.alone);
    config_release(c);
}

static void test_ttls(void **state)
{
    static const struct {
        const char   *text;
        enum ttl_kind kind;
        int64_t       seconds;
    } rows[] = {
        { "1h", TTL_FIXED, 3600 },     { "0s", TTL_FIXED, 0 },
        { "origin", TTL_ORIGIN, 0 },   { "origin else 30m", TTL_ORIGIN_ELSE, 1800 },
        { "never", TTL_NEVER, 0 },     { "revalidate", TTL_REVALIDATE, 0 },
        { "forever", TTL_FOREVER, 0 },
    };
    static const struct {
        const char   *text;
        enum ttl_kind kind;
        unsigned      minute;
        const char   *zone;
    } until[] = {
        { "until 04:00 Europe/Berlin", TTL_UNTIL, 240, "Europe/Berlin" },
        { "until 23:59 UTC", TTL_UNTIL, 1439, "UTC" },
        { "origin else until 00:00 UTC", TTL_ORIGIN_ELSE_UNTIL, 0, "UTC" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char                     text[256];
        struct config           *c;
        const struct policy_ttl *ttl;

        snprintf(text, sizeof text, API "ttl = \"%s\";" API_END, rows[i].text);
        c = conf_load_good(text);
        ttl = &c->upstreams[0].route.policy.ttl;
        if (ttl->kind != rows[i].kind || (rows[i].seconds > 0 && ttl->ns != rows[i].seconds * NS_PER_SEC))
            fail_msg("%s", rows[i].text);
        config_release(c);
    }
    for (size_t i = 0; i < sizeof until / sizeof until[0]; i++) {
        char                     text[256];
        struct config           *c;
        const struct policy_ttl *ttl, *of_rule, *of_status;

        snprintf(text, sizeof text,
                 API "ttl = \"%s\"; rules = ( { match = \"/a\"; status = ( \"404 %s\" ); } );" API_END, until[i].text,
                 until[i].text);
        c = conf_load_good(text);
        ttl = &c->upstreams[0].route.policy.ttl;
        of_rule = &c->upstreams[0].route.rules[0].policy.ttl;
        of_status = &c->upstreams[0].route.rules[0].policy.status[0].ttl;
        if (ttl->kind != until[i].kind || ttl->minute != until[i].minute ||
            strcmp(zone_name(ttl->zone), until[i].zone) != 0)
            fail_msg("%s", until[i].text);
        assert_ptr_equal(of_rule->zone, ttl->zone); /* one table for all who name it */
        assert_ptr_equal(of_status->zone, ttl->zone);
        config_release(c);
    }
}

static void test_rules_inherit_what_they_do_not_say(void **state)
{
    /* `rules` stands before what it inherits. */
    struct config *c = conf_load_good("cache = { max_object_size = \"5MiB\"; };" API
                                      "rules = ( { match = \"/a\"; }, { match = \"/b\"; ttl = "
                                      "\"7d\"; status = ( \"404 1m\", \"5xx never\" );"
                                      "  methods = ( \"POST\", \"BREW\" ); key_body = true; "
                                      "partition = \"credential\"; stale_if_error = \"0s\";"
                                      "  invalidates = ( \"/x/**\" ); } );"
                                      "ttl = \"1h\"; partition = \"shared\"; stale_if_error = "
                                      "\"1d\"; heuristic = 0.1; validate = \"json\";"
                                      "set_cookie = \"store\"; ignore_params = ( \"utm\" ); "
                                      "bust_param = { name = \"v\"; every = \"122s\"; };" API_END);

    const struct config_upstream *u = &c->upstreams[0];
    const struct route_rule      *a = &u->route.rules[0], *b = &u->route.rules[1];

    (void)state;
    assert_int_equal(u->route.rule_count, 2);
    assert_string_equal(a->policy.label, "/a");
    assert_int_equal(a->methods, 1u << HTTP_GET | 1u << HTTP_HEAD | 1u << HTTP_QUERY);
    assert_null(a->other_methods);
    assert_int_equal(a->policy.ttl.ns, 3600 * NS_PER_SEC);
    assert_true(a->policy.shared);
    assert_int_equal(a->policy.stale_if_error_ns, 86400 * NS_PER_SEC);
    assert_true(a->policy.heuristic > 0.09 && a->policy.heuristic < 0.11);
    assert_int_equal(a->policy.validate, VALIDATE_JSON);
    assert_int_equal(a->policy.set_cookie, SET_COOKIE_STORE);
    assert_int_equal(a->policy.max_object_bytes, 5 << 20);
    assert_string_equal(a->policy.ignore_params[0], "utm");
    assert_string_equal(a->policy.bust_param, "v");
    assert_int_equal(u->bust_every_ns, 122 * NS_PER_SEC);
    assert_int_equal(a->policy.status_count, 0);
    assert_null(a->invalidates);
    assert_int_equal(b->policy.ttl.ns, 7 * 86400 * NS_PER_SEC);
    assert_false(b->policy.shared);
    assert_int_equal(b->policy.stale_if_error_ns, 0);
    assert_int_equal(b->methods, 1u << HTTP_POST);
    assert_string_equal(b->other_methods[0], "BREW");
    assert_true(b->policy.key_body);
    assert_int_equal(b->policy.status_count, 2);
    assert_int_equal(b->policy.status[0].first, 404);
    assert_int_equal(b->policy.status[0].ttl.ns, 60 * NS_PER_SEC);
    assert_int_equal(b->policy.status[1].first, 500);
    assert_int_equal(b->policy.status[1].last, 599);
    assert_int_equal(b->policy.status[1].ttl.kind, TTL_NEVER);
    assert_string_equal(b->invalidates[0], "/x/**");
    assert_true(pattern_matches(a->pattern, SLICE("/a")));
    config_release(c);
}

static void test_limits(void **state)
{
    struct config *c = conf_load_good(
        API "limits = ( \"60/min\", \"10/s burst 20\","
            "{ rate = \"30/min\"; per = \"credential\"; match = \"/search/**\"; methods = ( \"GET\" );"
            "  cost = ( \"304 0\", \"5xx 2\", \"GET 1\", \"* 5\" ); }, { rate = \"30/min\"; match = "
            "\"/x\"; },"
            "{ rate = \"30/min\"; name = \"mine\"; }, \"60/min\" );" API_END);
    const struct limit_options *l = c->upstreams[0].fetch.limits;

    (void)state;
    assert_int_equal(c->upstreams[0].fetch.limit_count, 6);
    assert_string_equal(l[0].name, "60/min");
    assert_int_equal(l[0].kind, LIMIT_SLIDING);
    assert_int_equal(l[0].count, 60);
    assert_int_equal(l[0].window_ns, 60 * NS_PER_SEC);
    assert_false(l[0].per_credential);
    assert_null(l[0].pattern);
    assert_int_equal(l[0].methods, 0);
    assert_int_equal(l[1].kind, LIMIT_BUCKET);
    assert_int_equal(l[1].burst, 20);
    assert_true(l[2].per_credential);
    assert_true(pattern_matches(l[2].pattern, SLICE("/search/code?q=x")));
    assert_int_equal(l[2].methods, 1u << HTTP_GET);
    assert_int_equal(l[2].cost_count, 4);
    assert_int_equal(l[2].costs[0].status_first, 304);
    assert_int_equal(l[2].costs[0].cost, 0);
    assert_int_equal(l[2].costs[1].status_last, 599);
    assert_string_equal(l[2].costs[2].method, "GET");
    assert_string_equal(l[2].costs[3].method, "*");
    assert_int_equal(l[2].costs[3].cost, 5);
    assert_string_equal(l[2].name, "30/min");
    assert_string_equal(l[3].name, "30/min /x");
    assert_string_equal(l[4].name, "mine");
    assert_string_equal(l[5].name, "60/min #2");
    config_release(c);
}

static const char other_settings[] =
    "listen = ( \"[::1]:81\", { address = \"unix:/x/y\"; mode = \"0660\"; group = \"g\"; } ); "
    "workers = 3;"
    "admin = { socket = \"/a/b\"; mode = \"0640\"; listen = \"127.0.0.1:9\"; };"
    "log = { level = \"debug\"; access = \"/l\"; format = \"plain\"; };"
    "proxy = { listen = \"127.0.0.1:3128\"; tunnel = \"allow\"; };"
    "server = { allow_hosts = ( \"weir.lan\" ); max_connections = 7; idle_timeout = \"1s\"; };"
    "clients = ( { match = \"ci\"; priority = \"batch\"; share = \"80%\"; } );" API
    "set_headers = ( \"X-A: b c\", \"X-B:\" ); user_agent = \"u\"; on_abort = \"drop\"; mode = "
    "\"offline\";"
    "auth = { param = \"k\"; value_file = \"env:X\"; methods = ( \"POST\" ); }; budget = "
    "\"x\"; max_share = \"25%\";"
    "access = ( \"user:no-such-user\", \"10.0.0.0/8\", \"::1\", \"group:70\" ); allow_origins = ( \"https://o\" ); "
    "intercept = false;"
    "identities = ( { name = \"i\"; value_files = ( \"credential:a\", \"/dev/null\" ); } ); "
    "invalidate = \"off\";"
    "low_budget = { below = \"10%\"; stale = \"1h\"; }; hosts = ( \"H.example:8443\", \"h\" );"
    "tls = { ca_file = \"ca.pem\"; cert_file = \"ca.pem\"; key_file = \"key\"; };" API_END;

static void test_other_settings_arrive(void **state)
{
    struct config                *c;
    const struct config_upstream *u;
    char                          ca[4096];

    (void)state;
    conf_write(conf_path("ca.pem"), "-----BEGIN CERTIFICATE-----\n");
    conf_write(conf_path("key"), "-----BEGIN PRIVATE KEY-----\n");
    c = conf_load_good(other_settings);
    u = &c->upstreams[0];
    assert_string_equal(c->listeners[0].address, "[::1]:81");
    assert_string_equal(c->listeners[1].address, "unix:/x/y");
    assert_int_equal(c->listeners[1].mode, 0660);
    assert_string_equal(c->listeners[1].group, "g");
    assert_int_equal(c->workers, 3);
    assert_int_equal(c->cache.readers, 4);
    assert_string_equal(c->admin_socket.address, "unix:/a/b");
    assert_int_equal(c->admin_socket.mode, 0640);
    assert_string_equal(c->admin_listen, "127.0.0.1:9");
    assert_int_equal(c->log_level, LOG_LEVEL_DEBUG);
    assert_int_equal(c->access_log.kind, ACCESS_FILE);
    assert_string_equal(c->access_log.file, "/l");
    assert_int_equal(c->access_log.format, ACCESS_PLAIN);
    assert_string_equal(c->proxy.listen, "127.0.0.1:3128");
    assert_true(c->proxy.tunnel);
    assert_string_equal(c->allow_hosts[0], "weir.lan");
    assert_int_equal(c->max_connections, 7);
    assert_int_equal(c->timeout.idle_ns, NS_PER_SEC);
    assert_true(c->client_count == 1 && c->clients[0].batch && !c->clients[0].has_uid);
    assert_int_equal(u->fetch.set_headers.count, 3);
    assert_true(slice_eq(u->fetch.set_headers.items[0].value, SLICE("b c")));
    assert_true(slice_eq(u->fetch.set_headers.items[1].name, SLICE("X-B")));
    assert_true(slice_eq(u->fetch.set_headers.items[2].name, SLICE("User-Agent")));
    assert_true(u->fetch.drop_on_abort);
    assert_int_equal(u->mode, MODE_OFFLINE);
    assert_string_equal(u->auth_param, "k");
    assert_string_equal(u->auth_value_file, "env:X");
    assert_int_equal(u->auth_methods, 1u << HTTP_POST);
    assert_string_equal(u->fetch.budget, "x");
    assert_true(u->fetch.max_share > 0.24 && u->fetch.max_share < 0.26);
    assert_true(u->has_access && u->access_count == 4);
    assert_true(u->access[0].kind == ACCESS_USER && u->access[0].id == UINT32_MAX); /* no such user */
    assert_true(u->access[1].kind == ACCESS_NETWORK && u->access[1].address[0] == 10 && u->access[1].bits == 8);
    assert_true(u->access[2].address_bytes == 16 && u->access[2].address[15] == 1 && u->access[2].bits == 128);
    assert_true(u->access[3].kind == ACCESS_GROUP && u->access[3].id == 70);
    assert_string_equal(u->route.policy.credential_params[5], "k"); /* what auth sets is a credential */
    assert_string_equal(u->allow_origins[0], "https://o");
    assert_false(u->intercept);
    assert_string_equal(u->identities[0].value_files[1], "/dev/null");
    assert_int_equal(u->route.policy.invalidate, INVALIDATE_OFF);
    assert_true(u->fetch.low_budget.share > 0.099 && u->fetch.low_budget.share < 0.101);
    assert_int_equal(u->fetch.low_budget.stale_ns, 3600 * NS_PER_SEC);
    assert_int_equal(u->route.host_count, 2);
    assert_true(slice_eq(u->route.hosts[0].host, SLICE("h.example")));
    assert_int_equal(u->route.hosts[0].port, 8443);
    snprintf(ca, sizeof ca, "%s/ca.pem", conf_directory());
    assert_string_equal(u->fetch.origin.tls.ca_file, ca); /* beside the file that names it */
    config_release(c);
}

static void test_conf_d_adds_upstreams(void **state)
{
    char          *said;
    struct config *c;

    (void)state;
    assert_int_equal(mkdir(conf_path("conf.d"), 0700), 0);
    conf_write(conf_path("conf.d/2.conf"), "upstreams = ( { name = \"c\"; url = \"https://c\"; } );");
    conf_write(conf_path("conf.d/1.conf"), "upstreams = ( { name = \"b\"; url = \"https://b\"; } );");
    conf_write(conf_path("conf.d/.x.conf"), "nonsense");
    conf_write(conf_path("conf.d/x.conf~"), "nonsense");
    c = conf_load_good("cache = { max_object_size = \"1MiB\"; };" API API_END);
    assert_int_equal(c->upstream_count, 3);
    assert_string_equal(c->upstreams[0].route.name, "a");
    assert_string_equal(c->upstreams[1].route.name, "b");
    assert_string_equal(c->upstreams[2].route.name, "c");
    assert_int_equal(c->upstreams[2].route.index, 2);
    assert_int_equal(c->upstreams[2].route.policy.max_object_bytes, 1 << 20);
    config_release(c);
    conf_write(conf_path("conf.d/2.conf"), "\nupstreams = ( { name = \"a\"; url = \"x\"; } );\nworkers = 1;");
    assert_null(conf_load(API API_END, &said));
    assert_non_null(strstr(said, "conf.d/2.conf:2: upstreams.a.url: \"x\" is no URL"));
    assert_non_null(strstr(said, "conf.d/2.conf:2: upstreams.a.name: two upstreams are called \"a\""));
    assert_non_null(strstr(said, "conf.d/2.conf:3: workers: a file of conf.d only adds upstreams"));
    free(said);
    unlink(conf_path("conf.d/1.conf"));
    unlink(conf_path("conf.d/2.conf"));
    unlink(conf_path("conf.d/.x.conf"));
    unlink(conf_path("conf.d/x.conf~"));
    rmdir(conf_path("conf.d"));
}

static void test_include_beside_the_file(void **state)
{
    struct config *c;
    char          *said;

    (void)state;
    conf_write(conf_path("part"), "{ name = \"p\"; url = \"https://p\"; }");
    c = conf_load_good("upstreams = (\n@include \"part\" # here\n);");
    assert_string_equal(c->upstreams[0].route.name, "p");
    config_release(c);
    conf_write(conf_path("part"), "\n{ name = \"p\"; url = 3; }");
    assert_null(conf_load("upstreams = (\n@include \"part\"\n, { name = \"q\"; url = 4; } );", &said));
    assert_non_null(strstr(said, "/part:2: upstreams.p.url: is a number"));
    assert_non_null(strstr(said, "/weir.conf:3: upstreams.q.url: is a number"));
    free(said);
    unlink(conf_path("part"));
}

/* -- dump, reload, lives -- */

/* dump(c) loads and dumps to the same; frees c. */
static void check_round_trip(const char *name, struct config *c)
{
    char          *first, *second, *said;
    struct config *again;

    if (c == NULL)
        fail_msg("%s: refused", name);
    first = conf_dump(c);
    again = conf_load(first, &said);
    if (again == NULL)
        fail_msg("%s: its dump is refused: %s", name, said);
    second = conf_dump(again);
    if (strcmp(first, second) != 0)
        fail_msg("%s: the dump of the dump differs:\n%s\n%s", name, first, second);
    free(first);
    free(second);
    free(said);
    config_release(c);
    config_release(again);
}

static void test_dump_loads_to_the_same(void **state)
{
    (void)state;
    check_round_trip("the embedded default", config_load_default(NULL));
    check_round_trip("etc/weir.conf", config_load(conf_source("etc/weir.conf"), NULL));
    check_round_trip("the contract's example", config_load(conf_source("tests/conf/good-contract.conf"), NULL));
    check_round_trip("escapes", conf_load_good(API "user_agent = \"a\\\\b \\\"c\\\" \\x7e\xc3\xa4\"; heuristic = 0.125;"
                                                   "retry = { share = \"12.5%\"; on = ( ); }; hosts = ( );" API_END));
}

static void test_restart_needed(void **state)
{
    static const struct {
        const char *name, *text, *names;
    } rows[] = {
        { "nothing", "", "" },
        { "live_settings", "log = { level = \"debug\"; }; server = { max_connections = 5; };", "" },
        { "listeners", "listen = ( \"127.0.0.1:9\" );", "listen" },
        { "several",
          "workers = 7; cache = { path = \"/x\"; max_object_size = \"1MiB\"; }; admin = { mode = "
          "\"0660\"; };",
          "workers, admin.mode, cache.path" },
    };
    struct config *old;

    (void)state;
    old = conf_load_good(API API_END);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char           text[512], names[128] = "x";
        struct config *fresh;

        snprintf(text, sizeof text, "%s" API "ttl = \"1h\";" API_END, rows[i].text);
        fresh = conf_load_good(text);
        config_restart_needed(old, fresh, names, sizeof names);
        if (strcmp(names, rows[i].names) != 0)
            fail_msg("%s: \"%s\"", rows[i].name, names);
        config_release(fresh);
    }
    config_release(old);
}

static void test_holders_keep_it_alive(void **state)
{
    struct config *c = conf_load_good(API "rules = ( { match = \"/a/**\"; } );" API_END);
    struct ref    *held = &c->ref;

    (void)state;
    config_acquire(c);
    config_release(c);
    assert_true(pattern_matches(c->upstreams[0].route.rules[0].pattern, SLICE("/a/b")));
    ref_release(held);
    config_release(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_place_of_an_upstream),
        cmocka_unit_test(test_hosts),
        cmocka_unit_test(test_via),
        cmocka_unit_test(test_credentials_of_via),
        cmocka_unit_test(test_timeouts_of_rules),
        cmocka_unit_test(test_ttls),
        cmocka_unit_test(test_rules_inherit_what_they_do_not_say),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_other_settings_arrive),
        cmocka_unit_test(test_conf_d_adds_upstreams),
        cmocka_unit_test(test_include_beside_the_file),
        cmocka_unit_test(test_dump_loads_to_the_same),
        cmocka_unit_test(test_restart_needed),
        cmocka_unit_test(test_holders_keep_it_alive),
    };

    return cmocka_run_group_tests(tests, conf_set_up, conf_tear_down);
}
