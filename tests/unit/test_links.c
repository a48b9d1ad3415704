/*
 * Links that lead to an upstream, led back through Weir: single URLs, fields, and the
 * beginnings of JSON strings.
 */
#include "engine/relink.h"

#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>
#include <zlib.h>

#define TEXT(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

static const struct route_host hosts[] = {
    { TEXT("api.example.org"), 0, TEXT("api.example.org") },
    { TEXT("up.example.org"), 8443, TEXT("up.example.org:8443") },
    { TEXT("api.localhost"), 0, TEXT("api.example.org") },
    { TEXT("files.localhost"), 8080, TEXT("files.example.org") },
};
static const struct route_host one_host[] = { { TEXT("based.example.org"), 0, TEXT("127.0.0.1:9000") } };

static const struct route_upstream plain = {
    .name = "api",
    .scheme = TEXT("https"),
    .authority = TEXT("api.example.org"),
    .base_path = TEXT(""),
    .hosts = hosts,
    .host_count = 4,
};
static const struct route_upstream based = {
    .name = "based",
    .scheme = TEXT("http"),
    .authority = TEXT("127.0.0.1:9000"),
    .base_path = TEXT("/v1"),
    .hosts = one_host,
    .host_count = 1,
};

#define PREFIX(u, authority, name) \
    { \
        &(u), TEXT(authority), TEXT("http://127.0.0.1:8080"), TEXT(name) \
    }
#define HTTP(u, authority, host) \
    { \
        &(u), TEXT(authority), TEXT("http://" host), \
        { \
            NULL, 0 \
        } \
    }

static const struct links prefix_plain = PREFIX(plain, "api.example.org", "/api"),
                          prefix_based = PREFIX(based, "127.0.0.1:9000", "/based"),
                          http_plain = HTTP(plain, "api.example.org", "api.example.org"),
                          http_up = HTTP(plain, "up.example.org:8443", "up.example.org:8443"),
                          http_alias = HTTP(plain, "api.example.org", "api.localhost"),
                          http_based = HTTP(based, "127.0.0.1:9000", "based.example.org");

static void test_urls(void **state)
{
    static const struct {
        const char         *name;
        const struct links *links;
        const char         *from, *to;
    } rows[] = {
        { "absolute", &prefix_plain, "https://api.example.org/x?page=2", "http://127.0.0.1:8080/api/x?page=2" },
        { "other_scheme", &prefix_plain, "http://api.example.org/x", "http://127.0.0.1:8080/api/x" },
        { "capitals_in_the_host", &prefix_plain, "HTTPS://API.example.ORG/x", "http://127.0.0.1:8080/api/x" },
        { "default_port", &prefix_plain, "https://api.example.org:443/x", "http://127.0.0.1:8080/api/x" },
        { "other_port", &prefix_plain, "https://api.example.org:444/x", "https://api.example.org:444/x" },
        { "another_host_has_no_prefix", &prefix_plain, "https://up.example.org:8443/x",
          "https://up.example.org:8443/x" },
        { "alias_of_the_url", &prefix_plain, "https://api.localhost/x", "http://127.0.0.1:8080/api/x" },
        { "no_path", &prefix_plain, "https://api.example.org", "http://127.0.0.1:8080/api" },
        { "query_alone", &prefix_plain, "https://api.example.org?x", "http://127.0.0.1:8080/api?x" },
        { "fragment", &prefix_plain, "https://api.example.org/x#here", "http://127.0.0.1:8080/api/x#here" },
        { "rooted", &prefix_plain, "/x?y#z", "/api/x?y#z" },
        { "rooted_like_the_prefix", &prefix_plain, "/api/x", "/api/api/x" },
        { "scheme_relative", &prefix_plain, "//api.example.org/x", "http://127.0.0.1:8080/api/x" },
        { "relative", &prefix_plain, "x?page=2", "x?page=2" },
        { "query_relative", &prefix_plain, "?page=2", "?page=2" },
        { "empty", &prefix_plain, "", "" },
        { "elsewhere", &prefix_plain, "https://example.org/x", "https://example.org/x" },
        { "elsewhere_scheme_relative", &prefix_plain, "//cdn.example.org/x", "//cdn.example.org/x" },
        { "longer_host", &prefix_plain, "https://api.example.org.evil/x", "https://api.example.org.evil/x" },
        { "userinfo", &prefix_plain, "https://api.example.org@evil/x", "https://api.example.org@evil/x" },
        { "other_scheme_altogether", &prefix_plain, "mailto:x@api.example.org", "mailto:x@api.example.org" },
        { "base_path", &prefix_based, "http://127.0.0.1:9000/v1/x", "http://127.0.0.1:8080/based/x" },
        { "base_path_alone", &prefix_based, "http://127.0.0.1:9000/v1", "http://127.0.0.1:8080/based" },
        { "base_path_of_a_host", &prefix_based, "http://based.example.org/v1/x", "http://127.0.0.1:8080/based/x" },
        { "outside_the_base_path", &prefix_based, "http://127.0.0.1:9000/v2/x", "http://127.0.0.1:9000/v2/x" },
        { "base_path_is_whole", &prefix_based, "http://127.0.0.1:9000/v10", "http://127.0.0.1:9000/v10" },
        { "rooted_below_the_base_path", &prefix_based, "/v1/x", "/based/x" },
        { "rooted_outside_the_base_path", &prefix_based, "/v2/x", "http://127.0.0.1:9000/v2/x" },
        { "http_mode", &http_plain, "https://api.example.org/x", "http://api.example.org/x" },
        { "http_mode_default_port", &http_plain, "https://api.example.org:443/x", "http://api.example.org/x" },
        { "http_mode_other_host", &http_plain, "https://up.example.org:8443/x", "http://up.example.org:8443/x" },
        { "http_mode_plain_already", &http_plain, "http://api.example.org/x", "http://api.example.org/x" },
        { "http_mode_rooted", &http_plain, "/x", "/x" },
        { "http_mode_elsewhere", &http_plain, "https://example.org/x", "https://example.org/x" },
        { "http_mode_from_another_host", &http_up, "https://api.example.org/x", "http://api.example.org/x" },
        { "http_mode_of_the_host_itself", &http_up, "https://up.example.org:8443/x", "http://up.example.org:8443/x" },
        { "http_mode_alias_stays_one", &http_alias, "https://api.example.org/x", "http://api.localhost/x" },
        { "http_mode_alias_of_another", &http_plain, "https://files.example.org/x", "http://files.localhost:8080/x" },
        { "http_mode_url_that_is_no_host", &http_based, "http://127.0.0.1:9000/v2/x", "http://based.example.org/v2/x" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        struct slice got = links_rewrite(rows[i].links, slice_of(rows[i].from), &a);

        if (!slice_eq(got, slice_of(rows[i].to)))
            fail_msg("%s: " SLICE_FMT, rows[i].name, SLICE_ARG(got));
        arena_free(&a);
    }
}

static void test_fields(void **state)
{
    static const struct {
        const char *name, *from, *to;
    } rows[] = {
        { "location", "Location: /x", "/api/x" },
        { "content_location", "Content-Location: https://api.example.org/x", "http://127.0.0.1:8080/api/x" },
        { "link", "Link: <https://api.example.org/x?p=2>; rel=\"next\", </x?p=9>; rel=last",
          "<http://127.0.0.1:8080/api/x?p=2>; rel=\"next\", </api/x?p=9>; rel=last" },
        { "comma_in_a_target", "Link: </x?a,b>; rel=next", "</api/x?a,b>; rel=next" },
        { "quoted_angle_bracket", "Link: <?p=2>; title=\"</x>\"; rel=next", "<?p=2>; title=\"</x>\"; rel=next" },
        { "escaped_quote", "Link: <x>; title=\"\\\"</x>\", </y>", "<x>; title=\"\\\"</x>\", </api/y>" },
        { "unclosed_target", "Link: </x", "</api/x" },
        { "unclosed_quote", "Link: </x>; title=\"\\", "</api/x>; title=\"\\" },
        { "elsewhere", "Link: <https://example.org/x>; rel=help", "<https://example.org/x>; rel=help" },
        { "other_field", "Refresh: /x", "/x" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head        h = head_of(rows[i].from);
        struct arena       a = { 0 };
        struct http_fields f = http_fields_copy(&h.fields, &a);

        links_rewrite_fields(&prefix_plain, &f, &a);
        if (!slice_eq(f.items[0].value, slice_of(rows[i].to)))
            fail_msg("%s: " SLICE_FMT, rows[i].name, SLICE_ARG(f.items[0].value));
        arena_free(&a);
        head_free(&h);
    }
}

/* -- bodies -- */

static const char json_head[] = "Content-Type: application/json; charset=utf-8";
static const char gzip_head[] = "Content-Type: application/vnd.api+json\nContent-Encoding: gzip";

static struct relink *open_filter(const struct links *l, const char *head)
{
    struct link_pair pairs[LINK_PAIRS_MAX];
    struct head      h = head_of(head);
    struct relink   *r = relink_open(&h.fields, pairs, links_pairs(l, pairs, &h.arena));

    head_free(&h);
    return r;
}

/* In pieces of `step` bytes, taken in small pieces too, with a flush now and then. */
static size_t filter(struct relink *r, const char *body, size_t count, size_t step, char *out, size_t room, bool *sound)
{
    size_t used = 0, n;

    *sound = true;
    for (size_t at = 0; at < count && *sound; at += step) {
        *sound = relink_feed(r, body + at, count - at < step ? count - at : step);
        while (*sound && (n = relink_take(r, out + used, room - used < 7 ? room - used : 7, sound)) > 0)
            used += n;
        if (*sound && at % 3 == 0)
            *sound = relink_flush(r);
    }
    *sound = *sound && relink_finish(r);
    while (*sound && (n = relink_take(r, out + used, room - used, sound)) > 0)
        used += n;
    return used;
}

static const struct {
    const char         *name;
    const struct links *links;
    const char         *from, *to;
} bodies[] = {
    { "string", &prefix_plain, "{\"url\":\"https://api.example.org/x\"}", "{\"url\":\"http://127.0.0.1:8080/api/x\"}" },
    { "whole_string", &prefix_plain, "[\"https://api.example.org\"]", "[\"http://127.0.0.1:8080/api\"]" },
    { "query", &prefix_plain, "\"https://api.example.org?x\"", "\"http://127.0.0.1:8080/api?x\"" },
    { "uri_template", &prefix_plain, "\"https://api.example.org{/x}\"", "\"http://127.0.0.1:8080/api{/x}\"" },
    { "escaped_slashes", &prefix_plain, "\"https:\\/\\/api.example.org\\/x\\/y\"",
      "\"http://127.0.0.1:8080/api\\/x\\/y\"" },
    { "other_escape_in_it", &prefix_plain, "\"https:\\u002f\\/api\"", "\"https:\\u002f\\/api\"" },
    { "longer_host", &prefix_plain, "\"https://api.example.org.evil/x\"", "\"https://api.example.org.evil/x\"" },
    { "other_port", &prefix_plain, "\"https://api.example.org:81/x\"", "\"https://api.example.org:81/x\"" },
    { "another_host", &prefix_plain, "\"https://up.example.org:8443/x\"", "\"https://up.example.org:8443/x\"" },
    { "from_an_alias", &http_alias, "\"https://api.example.org/x\"", "\"http://api.localhost/x\"" },
    { "of_an_alias", &http_up, "\"https://files.example.org/x\"", "\"http://files.localhost:8080/x\"" },
    { "not_at_the_beginning", &prefix_plain, "\"see https://api.example.org/x\"", "\"see https://api.example.org/x\"" },
    { "behind_an_escaped_quote", &prefix_plain, "\"\\\"https://api.example.org/x\"",
      "\"\\\"https://api.example.org/x\"" },
    { "escaped_backslash_ends", &prefix_plain, "[\"\\\\\",\"https://api.example.org/\"]",
      "[\"\\\\\",\"http://127.0.0.1:8080/api/\"]" },
    { "escaped_quote_behind_it", &prefix_plain, "\"https://api.example.org\\\"/\"",
      "\"https://api.example.org\\\"/\"" },
    { "outside_of_strings", &prefix_plain, "https://api.example.org/x \"a\"", "https://api.example.org/x \"a\"" },
    { "empty_strings", &prefix_plain, "[\"\",\"\",\"https://api.example.org/\"]",
      "[\"\",\"\",\"http://127.0.0.1:8080/api/\"]" },
    { "one_behind_the_other", &prefix_plain, "[\"https://api.example.org/1\",\"https://api.example.org/2\"]",
      "[\"http://127.0.0.1:8080/api/1\",\"http://127.0.0.1:8080/api/2\"]" },
    { "ends_in_a_beginning", &prefix_plain, "\"https://api.exam", "\"https://api.exam" },
    { "ends_in_an_escape", &prefix_plain, "\"https:\\", "\"https:\\" },
    { "base_path", &prefix_based, "[\"http://127.0.0.1:9000/v1/x\",\"http://127.0.0.1:9000/v10\"]",
      "[\"http://127.0.0.1:8080/based/x\",\"http://127.0.0.1:9000/v10\"]" },
    { "http_mode", &http_plain, "\"https://api.example.org/x\"", "\"http://api.example.org/x\"" },
    { "nothing_in_it", &prefix_plain, "{\"a\":[1,2,{\"b\":\"c\\n\"}]}", "{\"a\":[1,2,{\"b\":\"c\\n\"}]}" },
};

/* A hostile API's field costs no more than its length. */
static void test_long_link_field(void **state)
{
    enum { LINKS = 60000 };
    struct arena       a = { 0 };
    char              *text = arena_alloc(&a, LINKS * 4 + 1);
    struct http_fields f = { 0 };

    (void)state;
    for (int i = 0; i < LINKS; i++)
        memcpy(text + (size_t)i * 4, "</>,", 4);
    http_fields_add_id(&f, &a, HTTP_LINK, slice_of(text));
    links_rewrite_fields(&prefix_plain, &f, &a);
    assert_int_equal(f.items[0].value.len, LINKS * 8);
    assert_memory_equal(f.items[0].value.ptr + 4 * 8, "</api/>,", 8);
    arena_free(&a);
}

static void test_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        for (size_t step = 1; step < 40; step += step < 4 ? 1 : 12) {
            struct relink *r = open_filter(bodies[i].links, json_head);
            char           out[512];
            bool           sound;
            size_t         n;

            assert_non_null(r);
            n = filter(r, bodies[i].from, strlen(bodies[i].from), step, out, sizeof out, &sound);
            if (!sound || !slice_eq((struct slice){ out, n }, slice_of(bodies[i].to)))
                fail_msg("%s in steps of %zu: %.*s", bodies[i].name, step, (int)n, out);
            relink_close(r);
        }
}

static size_t gzip(const char *text, size_t count, char *out, size_t room)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)text,
                   .avail_in = (uInt)count,
                   .next_out = (Bytef *)out,
                   .avail_out = (uInt)room };

    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    deflateEnd(&z);
    return room - z.avail_out;
}

static size_t gunzip(const char *bytes, size_t count, char *out, size_t room)
{
    z_stream z = { .next_in = (Bytef *)(uintptr_t)bytes,
                   .avail_in = (uInt)count,
                   .next_out = (Bytef *)out,
                   .avail_out = (uInt)room };

    assert_int_equal(inflateInit2(&z, 31), Z_OK);
    assert_int_equal(inflate(&z, Z_FINISH), Z_STREAM_END);
    assert_int_equal(z.avail_in, 0);
    inflateEnd(&z);
    return room - z.avail_out;
}

static void test_gzip_bodies(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++)
        for (size_t step = 1; step < 40; step += 13) {
            struct relink *r = open_filter(bodies[i].links, gzip_head);
            char           in[512], coded[4096], out[512];
            size_t         half = strlen(bodies[i].from) / 2, count, n;
            bool           sound;

            /* two members (RFC 1952 2.2) */
            count = gzip(bodies[i].from, half, in, sizeof in);
            count += gzip(bodies[i].from + half, strlen(bodies[i].from) - half, in + count, sizeof in - count);
            n = filter(r, in, count, step, coded, sizeof coded, &sound);
            assert_true(sound);
            n = gunzip(coded, n, out, sizeof out);
            if (!slice_eq((struct slice){ out, n }, slice_of(bodies[i].to)))
                fail_msg("%s in steps of %zu: %.*s", bodies[i].name, step, (int)n, out);
            relink_close(r);
        }
}

/* Long enough for more than one buffer of each machine; the expansion of gzip is far over them. */
static void test_long_gzip_body(void **state)
{
    static const char one[] = "\"https://api.example.org/items/1\",", made[] = "\"http://127.0.0.1:8080/api/items/1\",";
    enum { COUNT = 20000 };
    size_t         bytes = COUNT * (sizeof one - 1), n;
    char          *text = malloc(bytes), *coded = malloc(bytes), *out = malloc(bytes * 2), *whole = malloc(bytes * 2);
    struct relink *r = open_filter(&prefix_plain, gzip_head);
    bool           sound;

    (void)state;
    for (size_t i = 0; i < COUNT; i++)
        memcpy(text + i * (sizeof one - 1), one, sizeof one - 1);
    n = gzip(text, bytes, coded, bytes);
    n = filter(r, coded, n, 4096, out, bytes * 2, &sound);
    assert_true(sound);
    n = gunzip(out, n, whole, bytes * 2);
    assert_int_equal(n, COUNT * (sizeof made - 1));
    assert_memory_equal(whole + n - (sizeof made - 1), made, sizeof made - 1);
    relink_close(r);
    free(text);
    free(coded);
    free(out);
    free(whole);
}

static void test_broken_gzip(void **state)
{
    static const char text[] = "[\"https://api.example.org/x\"]";
    char              in[256], out[4096];
    size_t            count = gzip(text, sizeof text - 1, in, sizeof in);
    bool              sound;
    struct relink    *r = open_filter(&prefix_plain, gzip_head);

    (void)state;
    filter(r, in, count - 4, 16, out, sizeof out, &sound);
    assert_false(sound); /* cut */
    relink_close(r);
    in[15] = (char)(in[15] ^ 0x55);
    r = open_filter(&prefix_plain, gzip_head);
    filter(r, in, count, 16, out, sizeof out, &sound);
    assert_false(sound); /* damaged */
    relink_close(r);
    r = open_filter(&prefix_plain, gzip_head);
    assert_int_equal(filter(r, in, 0, 1, out, sizeof out, &sound), 0);
    assert_true(sound); /* no body at all is none */
    relink_close(r);
}

static void test_what_is_filtered(void **state)
{
    static const struct {
        const char *head;
        bool        yes;
    } rows[] = {
        { json_head, true },
        { gzip_head, true },
        { "Content-Type: APPLICATION/JSON", true },
        { "Content-Type: application/x-ndjson", true },
        { "Content-Type: application/geo+json;x=y", true },
        { "Content-Type: text/html", false },
        { "Content-Type: application/jsonp", false },
        { "X: y", false },
        { "Content-Type: application/json\nContent-Encoding: br", false },
        { "Content-Type: application/json\nContent-Encoding: gzip, br", false },
        { "Content-Type: application/json\nContent-Encoding: gzip\nContent-Encoding: gzip", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct relink *r = open_filter(&prefix_plain, rows[i].head);

        if ((r != NULL) != rows[i].yes)
            fail_msg("%s", rows[i].head);
        relink_close(r);
    }
}

static void test_whole_body(void **state)
{
    struct relink *r = open_filter(&prefix_plain, json_head);
    struct arena   a = { 0 };
    struct slice   got = relink_whole(r, SLICE("[\"https://api.example.org/x\"]"), &a);

    (void)state;
    assert_true(slice_eq(got, SLICE("[\"http://127.0.0.1:8080/api/x\"]")));
    relink_close(r);
    arena_free(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_urls),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_long_link_field),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_gzip_bodies),
        cmocka_unit_test(test_long_gzip_body),
        cmocka_unit_test(test_broken_gzip),
        cmocka_unit_test(test_what_is_filtered),
        cmocka_unit_test(test_whole_body),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
