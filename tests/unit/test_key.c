/*
 * Partitions and keys (contract sections 2, 3 and 7; RFC 9111 2).
 *
 * long: the cases of all that is part of a key stand side by side.
 */
#include "policy/key.h"

#include "head.h"
#include "policy/body.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static const char *const credential_headers[] = { "Authorization", "Cookie", "X-Api-Key", "Private-Token", NULL };
static const char *const credential_params[] = { "api_key", "apikey", "access_token", "token", "key", NULL };
static const char *const ignored[] = { "utm_source", "_", NULL };
static const char *const matched[] = { "Accept", "Accept-Encoding", "Authorization", NULL };

static const struct policy_options plain = { .credential_headers = credential_headers,
                                             .credential_params = credential_params };
static const struct key_secret     secret = { { 1, 2, 3 } };

/* One request as a test writes it. */
struct request {
    const char *method, *target, *lines, *body; /* body NULL: none */
    const char *identity, *identity_field;      /* NULL: none */
};

/* All that comes of it; free_made(). */
struct made {
    struct head         head;
    struct http_request request;
    struct key_input    in;
    struct partition    partition;
    struct cache_key    key;
    struct slice        target;
};

static void make(struct made *m, const struct policy_options *o, const struct request *r)
{
    *m = (struct made){ .head = head_of(r->lines != NULL ? r->lines : "") };
    m->target = property_exact(slice_of(r->target));
    m->request = (struct http_request){ .method = http_method_parse(slice_of(r->method)),
                                        .method_name = slice_of(r->method),
                                        .target = m->target,
                                        .fields = m->head.fields };
    m->in = (struct key_input){ .scheme = SLICE("https"),
                                .authority = SLICE("api.example"),
                                .target = m->target,
                                .request = &m->request,
                                .body = slice_of(r->body),
                                .credential_name = slice_of(r->identity),
                                .credential_field = slice_of(r->identity_field) };
    m->partition = policy_partition(o, &secret, &m->in, &m->head.arena);
    m->key = policy_key(o, &secret, &m->in, &m->partition, &m->head.arena);
}

static void free_made(struct made *m)
{
    property_free(m->target);
    head_free(&m->head);
}

/* ---- the text ---- */

static void test_text(void **state)
{
    static const struct policy_options ignoring = { .ignore_params = ignored,
                                                    .credential_params = credential_params,
                                                    .bust_param = "v" };
    static const struct policy_options sorting = { .sort_params = true };
    static const struct policy_options all = { .ignore_params = ignored,
                                               .credential_params = credential_params,
                                               .bust_param = "v",
                                               .sort_params = true };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        const char                  *method, *target, *full;
    } rows[] = {
        { "get", &plain, "GET", "/v1/taxa?q=x", "- GET https://api.example/v1/taxa?q=x" },
        { "head_is_get", &plain, "HEAD", "/v1", "- GET https://api.example/v1" },
        { "post_is_post", &plain, "POST", "/v1", "- POST https://api.example/v1" },
        { "bytes_are_kept", &plain, "GET", "/%232PP//a/../%2f?x&&x=2;y+z&",
          "- GET https://api.example/%232PP//a/../%2f?x&&x=2;y+z&" },
        { "empty_query_is_kept", &plain, "GET", "/p?", "- GET https://api.example/p?" },
        { "order_is_kept", &plain, "GET", "/p?b=1&a=2", "- GET https://api.example/p?b=1&a=2" },
        { "ignored_first", &ignoring, "GET", "/p?utm_source=x&a=1", "- GET https://api.example/p?a=1" },
        { "ignored_middle", &ignoring, "GET", "/p?a=1&_=7&b=2", "- GET https://api.example/p?a=1&b=2" },
        { "ignored_last", &ignoring, "GET", "/p?a=1&utm_source", "- GET https://api.example/p?a=1" },
        { "ignored_alone", &ignoring, "GET", "/p?_=1", "- GET https://api.example/p" },
        { "ignored_twice", &ignoring, "GET", "/p?_=1&a&_=2", "- GET https://api.example/p?a" },
        { "ignored_encoded", &ignoring, "GET", "/p?%5f=1&a", "- GET https://api.example/p?a" },
        { "ignored_is_the_whole_name", &ignoring, "GET", "/p?__=1&a_=2", "- GET https://api.example/p?__=1&a_=2" },
        { "empty_members_stay_beside_ignored", &ignoring, "GET", "/p?&_=1&&b", "- GET https://api.example/p?&&b" },
        { "bust_param_is_ignored", &ignoring, "GET", "/p?v=3&a=1", "- GET https://api.example/p?a=1" },
        { "sorted_by_name", &sorting, "GET", "/p?b=1&a=2&c", "- GET https://api.example/p?a=2&b=1&c" },
        { "sorted_stays_as_it_is", &sorting, "GET", "/p?a=2&b=1", "- GET https://api.example/p?a=2&b=1" },
        { "sorted_names_alike_keep_their_order", &sorting, "GET",
          "/p?id=9&a=1&id=1&id=5&id=", "- GET https://api.example/p?a=1&id=9&id=1&id=5&id=" },
        { "sorted_shorter_first", &sorting, "GET", "/p?ab=1&a=2&abc=0", "- GET https://api.example/p?a=2&ab=1&abc=0" },
        { "sorted_by_decoded_names", &sorting, "GET", "/p?c=1&%62=2&a=3", "- GET https://api.example/p?a=3&%62=2&c=1" },
        { "sorted_name_is_what_stands_before_the_first_equals", &sorting, "GET", "/p?b=a=0&a=z=9",
          "- GET https://api.example/p?a=z=9&b=a=0" },
        { "sorted_values_do_not_count", &sorting, "GET", "/p?a=9&a=1&A=5", "- GET https://api.example/p?A=5&a=9&a=1" },
        { "sorted_empty_members_first", &sorting, "GET", "/p?b&&a&", "- GET https://api.example/p?&&a&b" },
        { "sorted_one", &sorting, "GET", "/p?b", "- GET https://api.example/p?b" },
        { "sorted_none", &sorting, "GET", "/p?", "- GET https://api.example/p?" },
        { "sorted_no_query", &sorting, "GET", "/p/b&a", "- GET https://api.example/p/b&a" },
        { "sorted_beside_ignored", &all, "GET", "/p?z=1&utm_source=x&_=3&b=2&v=1&a=0",
          "- GET https://api.example/p?a=0&b=2&z=1" },
        { "sorted_all_ignored", &all, "GET", "/p?_=3&v=1", "- GET https://api.example/p" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request r = { .method = rows[i].method, .target = rows[i].target };
        struct made    m;

        make(&m, rows[i].o, &r);
        if (!slice_eq(m.key.full, slice_of(rows[i].full)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(m.key.full));
        free_made(&m);
    }
}

/* ---- which requests are the same ---- */

static bool same_key(const struct policy_options *o, const struct request *a, const struct request *b)
{
    struct made x, y;
    bool        same;

    make(&x, o, a);
    make(&y, o, b);
    same = slice_eq(x.key.full, y.key.full);
    /* Hash and text never say different things. */
    if (same != (memcmp(x.key.hash, y.key.hash, sizeof x.key.hash) == 0))
        fail_msg("hash of %.*s and %.*s", SLICE_ARG(x.key.full), SLICE_ARG(y.key.full));
    free_made(&x);
    free_made(&y);
    return same;
}

static void test_same(void **state)
{
    static const struct policy_options shared = { .credential_headers = credential_headers,
                                                  .credential_params = credential_params,
                                                  .shared = true };
    static const struct policy_options matching = { .credential_headers = credential_headers,
                                                    .match_headers = matched };
    static const struct policy_options body = { .credential_headers = credential_headers, .key_body = true };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        bool                         same;
        struct request               a, b;
    } rows[] = {
        { "one_credential",
          &plain,
          true,
          { "GET", "/", "Authorization: a\n", 0, 0, 0 },
          { "GET", "/", "authorization: a\n", 0, 0, 0 } },
        { "two_credentials",
          &plain,
          false,
          { "GET", "/", "Authorization: a\n", 0, 0, 0 },
          { "GET", "/", "Authorization: b\n", 0, 0, 0 } },
        { "credential_and_none",
          &plain,
          false,
          { "GET", "/", "Authorization: a\n", 0, 0, 0 },
          { "GET", "/", NULL, 0, 0, 0 } },
        { "credential_field_counts",
          &plain,
          false,
          { "GET", "/", "Authorization: a\n", 0, 0, 0 },
          { "GET", "/", "Cookie: a\n", 0, 0, 0 } },
        { "all_credentials_count",
          &plain,
          false,
          { "GET", "/", "Authorization: a\nCookie: c\n", 0, 0, 0 },
          { "GET", "/", "Authorization: a\n", 0, 0, 0 } },
        { "order_of_fields_does_not",
          &plain,
          true,
          { "GET", "/", "Authorization: a\nCookie: c\n", 0, 0, 0 },
          { "GET", "/", "Cookie: c\nAuthorization: a\n", 0, 0, 0 } },
        { "border_of_values_counts",
          &plain,
          false,
          { "GET", "/", "Cookie: ab\nCookie: c\n", 0, 0, 0 },
          { "GET", "/", "Cookie: a\nCookie: bc\n", 0, 0, 0 } },
        { "credential_parameter",
          &plain,
          false,
          { "GET", "/?api_key=a", NULL, 0, 0, 0 },
          { "GET", "/?api_key=b", NULL, 0, 0, 0 } },
        { "credential_parameter_encoded_name",
          &plain,
          false,
          { "GET", "/?%61pi_key=a", NULL, 0, 0, 0 },
          { "GET", "/?%61pi_key=b", NULL, 0, 0, 0 } },
        { "other_headers_do_not_count",
          &plain,
          true,
          { "GET", "/", "Accept: x\n", 0, 0, 0 },
          { "GET", "/", "Accept: y\n", 0, 0, 0 } },
        { "shared_takes_no_notice",
          &shared,
          true,
          { "GET", "/", "Authorization: a\n", 0, 0, 0 },
          { "GET", "/", NULL, 0, 0, 0 } },
        /* "key" and "token" may well be what is asked for */
        { "shared_still_tells_keys_apart",
          &shared,
          false,
          { "GET", "/?key=a", NULL, 0, 0, 0 },
          { "GET", "/?key=b", NULL, 0, 0, 0 } },
        { "identity_joins_tokens",
          &plain,
          true,
          { "GET", "/", "Authorization: a\n", 0, "ann", "Authorization" },
          { "GET", "/", "Authorization: b\n", 0, "ann", "Authorization" } },
        { "identity_joins_parameters",
          &plain,
          true,
          { "GET", "/?token=a", NULL, 0, "ann", "token" },
          { "GET", "/?token=b", NULL, 0, "ann", "token" } },
        { "identities_differ",
          &plain,
          false,
          { "GET", "/", "Authorization: a\n", 0, "ann", "Authorization" },
          { "GET", "/", "Authorization: a\n", 0, "bob", "Authorization" } },
        { "cookie_counts_beside_an_identity",
          &plain,
          false,
          { "GET", "/", "Cookie: c\n", 0, "ann", "Authorization" },
          { "GET", "/", "Cookie: d\n", 0, "ann", "Authorization" } },
        { "identity_for_all",
          &plain,
          true,
          { "GET", "/", "Cookie: c\n", 0, "ann", NULL },
          { "GET", "/", "Cookie: d\n", 0, "ann", NULL } },
        { "matched_header_counts",
          &matching,
          false,
          { "GET", "/", "Accept: x\n", 0, 0, 0 },
          { "GET", "/", "Accept: y\n", 0, 0, 0 } },
        { "matched_header_absent_or_empty",
          &matching,
          false,
          { "GET", "/", "Accept:\n", 0, 0, 0 },
          { "GET", "/", NULL, 0, 0, 0 } },
        { "matched_lines_are_joined",
          &matching,
          true,
          { "GET", "/", "Accept: x\nAccept: y\n", 0, 0, 0 },
          { "GET", "/", "accept: x, y\n", 0, 0, 0 } },
        { "matched_encoding_is_normalised",
          &matching,
          true,
          { "GET", "/", "Accept-Encoding: gzip, br\n", 0, 0, 0 },
          { "GET", "/", "Accept-Encoding: br;q=0.5,GZIP\n", 0, 0, 0 } },
        { "body_counts",
          &body,
          false,
          { "POST", "/", NULL, "{\"a\":1}", 0, 0 },
          { "POST", "/", NULL, "{\"a\":2}", 0, 0 } },
        { "body_does_not_without_key_body",
          &plain,
          true,
          { "POST", "/", NULL, "1", 0, 0 },
          { "POST", "/", NULL, "2", 0, 0 } },
        { "query_content_counts", &plain, false, { "QUERY", "/", NULL, "a", 0, 0 }, { "QUERY", "/", NULL, "b", 0, 0 } },
        { "query_content_counts_without_key_body",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: application/json\n", "[1]", 0, 0 },
          { "QUERY", "/", "Content-Type: application/json\n", "[2]", 0, 0 } },
        { "query_type_counts",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: text/plain\n", "x", 0, 0 },
          { "QUERY", "/", "Content-Type: text/csv\n", "x", 0, 0 } },
        { "query_type_of_json_counts",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: application/json\n", "[1]", 0, 0 },
          { "QUERY", "/", "Content-Type: application/x+json\n", "[1]", 0, 0 } },
        { "query_coding_counts",
          &plain,
          false,
          { "QUERY", "/", "Content-Encoding: gzip\n", "x", 0, 0 },
          { "QUERY", "/", "Content-Encoding: br\n", "x", 0, 0 } },
        { "query_language_counts",
          &plain,
          false,
          { "QUERY", "/", "Content-Language: de\n", "x", 0, 0 },
          { "QUERY", "/", "Content-Language: en\n", "x", 0, 0 } },
        { "query_json_that_says_the_same",
          &plain,
          true,
          { "QUERY", "/", "Content-Type: application/json\n", "[1, 2]", 0, 0 },
          { "QUERY", "/", "Content-Type: application/json\n", "[1,2]", 0, 0 } },
        { "query_json_without_its_type_by_bytes",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: text/plain\n", "[1, 2]", 0, 0 },
          { "QUERY", "/", "Content-Type: text/plain\n", "[1,2]", 0, 0 } },
        { "query_json_with_a_coding_by_bytes",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: application/json\nContent-Encoding: x\n", "[1, 2]", 0, 0 },
          { "QUERY", "/", "Content-Type: application/json\nContent-Encoding: x\n", "[1,2]", 0, 0 } },
        { "query_json_no_transform_by_bytes",
          &plain,
          false,
          { "QUERY", "/", "Content-Type: application/json\nCache-Control: no-transform\n", "[1, 2]", 0, 0 },
          { "QUERY", "/", "Content-Type: application/json\nCache-Control: no-transform\n", "[1,2]", 0, 0 } },
        { "query_no_transform_itself_is_no_part",
          &plain,
          true,
          { "QUERY", "/", "Cache-Control: no-transform\n", "x", 0, 0 },
          { "QUERY", "/", NULL, "x", 0, 0 } },
        { "query_is_no_post", &body, false, { "QUERY", "/", NULL, "x", 0, 0 }, { "POST", "/", NULL, "x", 0, 0 } },
        { "json_space",
          &body,
          true,
          { "POST", "/", NULL, "{\"a\":1,\"b\":[1,2]}", 0, 0 },
          { "POST", "/", NULL, " { \"a\" : 1 ,\n \"b\" : [ 1,2 ] }\n", 0, 0 } },
        { "json_member_order",
          &body,
          true,
          { "POST", "/", NULL, "{\"a\":1,\"b\":{\"c\":1,\"d\":2}}", 0, 0 },
          { "POST", "/", NULL, "{\"b\":{\"d\":2,\"c\":1},\"a\":1}", 0, 0 } },
        { "json_array_order_counts",
          &body,
          false,
          { "POST", "/", NULL, "[1,2]", 0, 0 },
          { "POST", "/", NULL, "[2,1]", 0, 0 } },
        { "json_string_escapes",
          &body,
          true,
          { "POST", "/", NULL, "\"\\u0041\"", 0, 0 },
          { "POST", "/", NULL, "\"A\"", 0, 0 } },
        { "json_number_and_string",
          &body,
          false,
          { "POST", "/", NULL, "[1]", 0, 0 },
          { "POST", "/", NULL, "[\"1\"]", 0, 0 } },
        { "json_integer_and_real",
          &body,
          false,
          { "POST", "/", NULL, "[1]", 0, 0 },
          { "POST", "/", NULL, "[1.0]", 0, 0 } },
        { "json_reals_with_one_double",
          &body,
          false,
          { "POST", "/", NULL, "[0.1]", 0, 0 },
          { "POST", "/", NULL, "[0.1000000000000000055511151231257827]", 0, 0 } },
        { "json_huge_integers",
          &body,
          false,
          { "POST", "/", NULL, "[18446744073709551616]", 0, 0 },
          { "POST", "/", NULL, "[18446744073709551617]", 0, 0 } },
        { "json_large_integers",
          &body,
          false,
          { "POST", "/", NULL, "[9007199254740993]", 0, 0 },
          { "POST", "/", NULL, "[9007199254740992]", 0, 0 } },
        { "json_tiny_reals",
          &body,
          false,
          { "POST", "/", NULL, "[1e-400]", 0, 0 },
          { "POST", "/", NULL, "[2e-400]", 0, 0 } },
        { "json_repeated_members",
          &body,
          false,
          { "POST", "/", NULL, "{\"a\":1,\"a\":2}", 0, 0 },
          { "POST", "/", NULL, "{\"a\":2}", 0, 0 } },
        { "json_nul",
          &body,
          false,
          { "POST", "/", NULL, "\"a\\u0000b\"", 0, 0 },
          { "POST", "/", NULL, "\"a\\u0000c\"", 0, 0 } },
        { "json_null_is_a_value",
          &body,
          false,
          { "POST", "/", NULL, "{\"a\":null}", 0, 0 },
          { "POST", "/", NULL, "{}", 0, 0 } },
        { "no_json_by_bytes",
          &body,
          false,
          { "POST", "/", NULL, "a=1&b=2", 0, 0 },
          { "POST", "/", NULL, "b=2&a=1", 0, 0 } },
        { "no_json_by_type",
          &body,
          false,
          { "POST", "/", "Content-Type: text/plain\n", "x", 0, 0 },
          { "POST", "/", "Content-Type: text/html\n", "x", 0, 0 } },
        { "no_json_by_coding",
          &body,
          false,
          { "POST", "/", "Content-Encoding: gzip\n", "x", 0, 0 },
          { "POST", "/", NULL, "x", 0, 0 } },
        { "empty_body_is_none", &body, true, { "POST", "/", NULL, "", 0, 0 }, { "POST", "/", NULL, NULL, 0, 0 } },
        { "method_counts", &body, false, { "POST", "/", NULL, "x", 0, 0 }, { "GET", "/", NULL, "x", 0, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (same_key(rows[i].o, &rows[i].a, &rows[i].b) != rows[i].same)
            fail_msg("%s", rows[i].name);
}

/* ---- credentials ---- */

static bool is_zero(const struct partition *p)
{
    static const struct partition zero;

    return memcmp(p, &zero, sizeof zero) == 0;
}

static void test_credentials(void **state)
{
    static const struct policy_options shared = { .credential_headers = credential_headers, .shared = true };
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        bool                         has, zero;
        struct request               r;
    } rows[] = {
        { "none", &plain, false, true, { "GET", "/?q=key", "Accept: x\n", 0, 0, 0 } },
        { "header", &plain, true, false, { "GET", "/", "x-api-key: s\n", 0, 0, 0 } },
        { "empty_header", &plain, true, false, { "GET", "/", "Authorization:\n", 0, 0, 0 } },
        { "parameter", &plain, true, false, { "GET", "/?a&key=s", NULL, 0, 0, 0 } },
        { "parameter_without_value", &plain, true, false, { "GET", "/?key", NULL, 0, 0, 0 } },
        { "parameter_name_has_case", &plain, false, true, { "GET", "/?Key=s", NULL, 0, 0, 0 } },
        { "parameter_in_the_path", &plain, false, true, { "GET", "/key=s", NULL, 0, 0, 0 } },
        { "injected", &plain, true, false, { "GET", "/", NULL, 0, "github", NULL } },
        { "shared_has_one_but_no_partition", &shared, true, true, { "GET", "/", "Authorization: s\n", 0, 0, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made m;

        make(&m, rows[i].o, &rows[i].r);
        if (policy_caller(rows[i].o, &secret, &m.in, &m.head.arena).has_credential != rows[i].has ||
            is_zero(&m.partition) != rows[i].zero)
            fail_msg("%s", rows[i].name);
        free_made(&m);
    }
}

static void test_accounts(void **state)
{
    static const struct policy_options shared = { .credential_headers = credential_headers,
                                                  .shared = true,
                                                  .credential_params = credential_params };
    static const struct {
        const char    *name;
        bool           same;
        struct request a, b;
    } rows[] = {
        { "one", true, { "GET", "/a", "Cookie: s\n", 0, 0, 0 }, { "GET", "/b", "Cookie: s\n", 0, 0, 0 } },
        { "two", false, { "GET", "/", "Cookie: s\n", 0, 0, 0 }, { "GET", "/", "Cookie: t\n", 0, 0, 0 } },
        { "one_and_none", false, { "GET", "/", "Cookie: s\n", 0, 0, 0 }, { "GET", "/", 0, 0, 0, 0 } },
        { "parameters", false, { "GET", "/?key=s", 0, 0, 0, 0 }, { "GET", "/?key=t", 0, 0, 0, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made      a, b;
        struct partition x, y, own;

        make(&a, &shared, &rows[i].a);
        make(&b, &shared, &rows[i].b);
        x = policy_account(&shared, &secret, &a.in, &a.head.arena);
        y = policy_account(&shared, &secret, &b.in, &b.head.arena);
        own = policy_partition(&plain, &secret, &a.in, &a.head.arena);
        free_made(&a);
        free_made(&b);
        if ((memcmp(&x, &y, sizeof x) == 0) != rows[i].same || memcmp(&x, &own, sizeof x) != 0)
            fail_msg("%s", rows[i].name);
    }
}

/* Contract section 7: no credential in readable form, nor one that another key would give the same
 * hash. */
static void test_no_secret_in_the_key(void **state)
{
    static const struct policy_options        shared = { .credential_headers = credential_headers,
                                                         .match_headers = matched,
                                                         .credential_params = credential_params,
                                                         .shared = true };
    static const struct policy_options        matching = { .credential_headers = credential_headers,
                                                           .match_headers = matched,
                                                           .credential_params = credential_params };
    static const struct policy_options *const all[] = { &plain, &shared, &matching };

    static const struct request r = {
        "GET", "/p?a=1&api_key=hunter2&token=hunter2", "Authorization: Bearer hunter2\nCookie: s=hunter2\n", NULL, NULL,
        NULL
    };
    static const struct key_secret other = { { 9 } };

    (void)state;
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++) {
        struct made      m;
        struct partition p;

        make(&m, all[i], &r);
        p = policy_partition(all[i], &other, &m.in, &m.head.arena);
        assert_null(memmem(m.key.full.ptr, m.key.full.len, "hunter2", 7));
        assert_non_null(memmem(m.key.full.ptr, m.key.full.len, "a=1&api_key=", 12));
        if (!all[i]->shared)
            assert_memory_not_equal(p.bytes, m.partition.bytes, sizeof p.bytes);
        free_made(&m);
    }
}

/* ---- the tag of a path ---- */

static void test_path_tag(void **state)
{
    static const struct {
        const char    *name;
        bool           same;
        struct request a, b;
    } rows[] = {
        { "any_query", true, { "GET", "/p?a=1", NULL, 0, 0, 0 }, { "GET", "/p", NULL, 0, 0, 0 } },
        { "any_method", true, { "POST", "/p?a=1", NULL, 0, 0, 0 }, { "GET", "/p?b", NULL, 0, 0, 0 } },
        { "other_path", false, { "GET", "/p", NULL, 0, 0, 0 }, { "GET", "/p/", NULL, 0, 0, 0 } },
        { "other_partition", false, { "GET", "/p", "Cookie: a\n", 0, 0, 0 }, { "GET", "/p", "Cookie: b\n", 0, 0, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made a, b;

        make(&a, &plain, &rows[i].a);
        make(&b, &plain, &rows[i].b);
        if ((memcmp(a.key.path_tag, b.key.path_tag, sizeof a.key.path_tag) == 0) != rows[i].same)
            fail_msg("%s", rows[i].name);
        free_made(&a);
        free_made(&b);
    }
}

/* ---- for people ---- */

static void test_url_and_redacting(void **state)
{
    static const struct {
        const char *full, *url;
    } urls[] = {
        { "- GET https://h/p?q=1", "https://h/p?q=1" },
        { "00ff GET https://h/p\nAccept: a b\n#1234", "https://h/p" },
        { "- POST https://h/\n#1234", "https://h/" },
        { "", "" },
    };
    static const struct {
        const char *target, *redacted;
    } targets[] = {
        { "/p?a=1&api_key=s3cret&b", "/p?a=1&api_key=***&b" },
        { "/p?token=x&token=y", "/p?token=***&token=***" },
        { "/p?token", "/p?token=***" },
        { "/p?%74oken=x", "/p?%74oken=***" },
        { "/p?a=1&&", "/p?a=1&&" },
        { "/token=x", "/token=x" },
    };
    struct arena a = { 0 };

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++)
        if (!slice_eq(policy_key_url(slice_of(urls[i].full)), slice_of(urls[i].url)))
            fail_msg("%s", urls[i].full);
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct slice got = policy_redact_target(&plain, slice_of(targets[i].target), &a);

        if (!slice_eq(got, slice_of(targets[i].redacted)))
            fail_msg("%s: %.*s", targets[i].target, SLICE_ARG(got));
    }
    arena_free(&a);
}

/* ---- GraphQL ---- */

/* Which of what match_headers tells apart a request with these fields would get. */
static void test_selects(void **state)
{
    static const struct policy_options matching = { .credential_headers = credential_headers,
                                                    .match_headers = matched };
    static const struct policy_options body = { .match_headers = matched, .key_body = true };
    static const struct policy_options none = { .credential_headers = credential_headers };
    static const struct {
        const char                  *name;
        const struct policy_options *stored, *now;
        const char                  *lines, *asked;
        bool                         selects;
    } rows[] = {
        { "same", &matching, &matching, "Accept: a\n", "accept: a\n", true },
        { "another_value", &matching, &matching, "Accept: a\n", "Accept: b\n", false },
        { "longer_value", &matching, &matching, "Accept: a\n", "Accept: ab\n", false },
        { "missing", &matching, &matching, "Accept: a\n", "", false },
        { "missing_there", &matching, &matching, "", "Accept: a\n", false },
        { "missing_in_both", &matching, &matching, "", "", true },
        { "one_more_that_does_not_count", &matching, &matching, "Accept: a\n", "Accept: a\nX: y\n", true },
        { "normalised", &matching, &matching, "Accept-Encoding: gzip, br\n", "Accept-Encoding: br,gzip\n", true },
        { "credentials_are_not_asked", &matching, &matching, "Authorization: x\n", "", true },
        { "settings_that_were_others", &none, &matching, "Accept: a\n", "Accept: a\n", false },
        { "settings_that_are_no_more", &matching, &none, "Accept: a\n", "Accept: a\n", false },
        { "no_such_settings", &none, &none, "Accept: a\n", "Accept: b\n", true },
        { "beside_a_body", &body, &body, "Accept: a\n", "Accept: a\n", true },
        { "not_beside_a_body", &body, &body, "Accept: a\n", "Accept: b\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct request r = { .method = rows[i].stored->key_body ? "POST" : "GET",
                             .target = "/p?a",
                             .lines = rows[i].lines,
                             .body = rows[i].stored->key_body ? "x" : NULL };
        struct made    m;
        struct head    asked = head_of(rows[i].asked);

        make(&m, rows[i].stored, &r);
        if (policy_key_selects(rows[i].now, m.key.full, &asked.fields, &asked.arena) != rows[i].selects)
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(m.key.full));
        free_made(&m);
        head_free(&asked);
    }
}

static void test_mutations(void **state)
{
    static const struct {
        const char *name, *body;
        bool        writes;
    } rows[] = {
        { "query", "{\"query\":\"query Q { a }\"}", false },
        { "anonymous_query", "{\"query\":\"{ mutation }\"}", false },
        { "mutation", "{\"query\":\"mutation M { a }\"}", true },
        { "anonymous_mutation", "{\"query\":\"mutation{a}\"}", true },
        { "subscription", "{\"query\":\"subscription { a }\"}", true },
        { "mutation_with_variables", "{\"query\":\"mutation M($a: T = {b: 1}) @d(x: [1]) { a }\"}", true },
        { "mutation_behind_comment", "{\"query\":\"# query\\n mutation { a }\"}", true },
        { "mutation_in_a_comment", "{\"query\":\"# mutation { a }\\n query { a }\"}", false },
        { "mutation_behind_fragment", "{\"query\":\"fragment f on T { a } mutation { b }\"}", true },
        { "mutation_beside_query", "{\"query\":\"query A { a } mutation B { b }\",\"operationName\":\"A\"}", true },
        { "mutation_as_a_field", "{\"query\":\"query A { mutation { a } }\"}", false },
        { "mutation_in_a_string", "{\"query\":\"query A { a(b: \\\"} mutation {\\\") }\"}", false },
        { "mutation_in_a_block_string", "{\"query\":\"query A { a(b: \\\"\\\"\\\"} \\\" mutation {\\\"\\\"\\\") }\"}",
          false },
        { "mutation_behind_commas", "{\"query\":\",, \\ufeff mutation { a }\"}", true },
        { "batch", "[{\"query\":\"{ a }\"},{\"query\":\"mutation { a }\"}]", true },
        { "batch_of_queries", "[{\"query\":\"{ a }\"},{\"query\":\"{ b }\"}]", false },
        { "document_alone", "mutation { a }", true },
        { "document_alone_query", "query { a }", false },
        { "stored_document", "{\"extensions\":{\"persistedQuery\":{\"version\":1}}}", true },
        { "stored_document_with_its_text", "{\"query\":\"{ a }\",\"extensions\":{\"persistedQuery\":{}}}", false },
        { "search_for_a_word", "{\"query\":\"mutation of genes\"}", false },
        { "search_of_another_kind", "{\"query\":{\"match\":\"mutation\"}}", false },
        { "no_graphql", "{\"a\":1}", false },
        { "unclosed", "{\"query\":\"query { a mutation { b\"}", false },
        { "empty", "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice body = property_exact(slice_of(rows[i].body));
        bool         writes = policy_body_is_mutation(body);

        property_free(body);
        if (writes != rows[i].writes)
            fail_msg("%s", rows[i].name);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_text),
        cmocka_unit_test(test_same),
        cmocka_unit_test(test_credentials),
        cmocka_unit_test(test_accounts),
        cmocka_unit_test(test_no_secret_in_the_key),
        cmocka_unit_test(test_path_tag),
        cmocka_unit_test(test_url_and_redacting),
        cmocka_unit_test(test_selects),
        cmocka_unit_test(test_mutations),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
