/*
 * Who the caller is: ignored cookies, signed requests, partition and account
 * (policy/caller.h, policy/signature.h).
 */
#include "policy/key.h"

#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const char *const headers[] = { "Authorization", "Cookie", "X-Api-Key", NULL };
static const char *const params[] = { "api_key", NULL };
static const char *const ignored[] = { "AWSALB*", "__cf_bm", "_ga", "*_lb", NULL };
static const char *const matched[] = { "Cookie", "Connection", "Signature", "Authorization", NULL };

static const struct policy_options plain = { .credential_headers = headers,
                                             .credential_params = params,
                                             .ignore_cookies = ignored };
static const struct policy_options shared = {
    .credential_headers = headers, .credential_params = params, .ignore_cookies = ignored, .shared = true
};
static const struct policy_options keyed = { .credential_headers = headers,
                                             .ignore_cookies = ignored,
                                             .key_body = true };
static const struct policy_options matching = { .ignore_cookies = ignored, .match_headers = matched };
static const struct key_secret     secret = { { 1 } };

#define OAUTH(key, token, nonce) \
    "OAuth realm=\"x\", oauth_consumer_key=\"" key "\", oauth_token=\"" token "\", oauth_nonce=\"" nonce \
    "\", oauth_signature=\"" nonce "%3D\", oauth_version=\"1.0\""
#define AWS4(id, day) \
    "AWS4-HMAC-SHA256 Credential=" id "/" day "/eu-west-1/s3/aws4_request, SignedHeaders=host;x-amz-date, " \
    "Signature=" day
#define DIGEST(user, nc) \
    "Digest username=\"" user "\", realm=\"r\", nonce=\"n\", uri=\"/a,b\", nc=" nc ", response=\"" nc "\""
// clang-format off
#define INPUT(id, when) \
    "Signature-Input: s=(\"@method\");created=" when ";keyid=\"" id "\"\nSignature: s=:" when "=:\n"
#define QUERY(key, nonce) "oauth_consumer_key=" key "&oauth_token=t&oauth_nonce=" nonce "&oauth_signature=" nonce
#define AMZ(id, when) \
    "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" id "%2F" when "%2Fs3&X-Amz-Date=" when \
    "&X-Amz-Signature=" when
// clang-format on

/* ---- cookies ---- */

static void test_cookies(void **state)
{
    static const struct {
        const char *name, *cookies, *left;
    } rows[] = {
        { "none_is_ignored", "a=1; b=2", "a=1; b=2" },
        { "all_are", "AWSALB=x; AWSALBCORS=y;__cf_bm=z", "" },
        { "first", "AWSALB=x; a=1", "a=1" },
        { "middle", "a=1;_ga=2 ;  b=3", "a=1; b=3" },
        { "last", "a=1; AWSALBAPP-0=_remove_", "a=1" },
        { "star_in_front", "route_lb=7; a", "a" },
        { "whole_name_counts", "_gauth=1; x_ga=2", "_gauth=1; x_ga=2" },
        { "case_counts", "awsalb=1", "awsalb=1" },
        { "a_value_is_no_name", "a=AWSALB", "a=AWSALB" },
        { "without_a_name", "AWSALB; =AWSALB", "AWSALB; =AWSALB" },
        { "space_around_the_name", "  AWSALB =1 ;a=b=c", "a=b=c" },
        { "empty_parts", ";; AWSALB=1;;a=2;", "a=2" },
        { "empty", "", "" },
        { "another_behind_a_space", "AWSALB=x sid=a; _ga=1\t_gb=2", "AWSALB=x sid=a; _ga=1\t_gb=2" },
        { "another_behind_a_comma", "AWSALB=x, sid=a; _ga=1", "AWSALB=x, sid=a" },
        { "quotes_end_nothing", "AWSALB=\"x; a=1\"", "a=1\"" },
    };

    struct policy_options known = plain;

    (void)state;
    policy_cookie_firsts(ignored, known.cookie_firsts);
    for (size_t i = 0; i < 2 * sizeof rows / sizeof rows[0]; i++) {
        struct arena a = { 0 };
        size_t       row = i / 2;
        struct slice cookies = property_exact(slice_of(rows[row].cookies));
        struct slice left = policy_cookies_that_count(i % 2 != 0 ? &known : &plain, cookies, &a);

        if (!slice_eq(left, slice_of(rows[row].left)))
            fail_msg("%s: %.*s", rows[row].name, SLICE_ARG(left));
        property_free(cookies);
        arena_free(&a);
    }
}

/* ---- signatures ---- */

static void test_first_bytes(void **state)
{
    static const char *const patterns[] = { "AWSALB*", "_ga", "\xc3\xa4", NULL };
    struct policy_options    o = { .ignore_cookies = patterns };

    (void)state;
    policy_cookie_firsts(patterns, o.cookie_firsts);
    assert_true(policy_cookie_is_ignored(&o, SLICE("AWSALBCORS")));
    assert_true(policy_cookie_is_ignored(&o, SLICE("_ga")));
    assert_true(policy_cookie_is_ignored(&o, SLICE("\xc3\xa4")));
    assert_false(policy_cookie_is_ignored(&o, SLICE("_gb")));
    assert_false(policy_cookie_is_ignored(&o, SLICE("sid")));
    assert_false(policy_cookie_is_ignored(&o, SLICE("")));
}

static void test_signatures(void **state)
{
    static const struct {
        const char *name, *target, *lines, *body, *identity;
    } rows[] = {
        { "none", "/?q=signature", NULL, NULL, NULL },
        { "bearer", "/", "Authorization: Bearer oauth_signature\n", NULL, NULL },
        { "oauth", "/", "Authorization: " OAUTH("k", "t", "1") "\n", NULL, "OAuth 1:k 1:t" },
        { "oauth_without_a_token", "/", "Authorization: OAuth oauth_consumer_key=k,oauth_signature=s\n", NULL,
          "OAuth 1:k" },
        { "oauth_decoded", "/", "Authorization: oauth oauth_signature=s, oauth_consumer_key=\"%6b%3D=\"\n", NULL,
          "OAuth 3:k==" },
        { "oauth_2_of_salesforce", "/", "Authorization: OAuth 00Dx0!AQ\n", NULL, NULL },
        { "aws", "/", "Authorization: " AWS4("AKID", "2025") "\n", NULL, "AWS4- 4:AKID" },
        { "aws_without_spaces", "/",
          "Authorization: AWS4-ECDSA-P256-SHA256 Credential=A/1,SignedHeaders=h,Signature=s\n", NULL, "AWS4- 1:A" },
        { "aws_2", "/", "Authorization: AWS AKID:sig=\n", NULL, "AWS 4:AKID" },
        { "azure", "/", "Authorization: SharedKey account:sig=\n", NULL, "SharedKey 7:account" },
        { "azure_configuration", "/", "Authorization: HMAC-SHA256 Credential=c&SignedHeaders=h&Signature=s\n", NULL,
          "HMAC-SHA256 1:c" },
        { "edge_grid", "/", "Authorization: EG1-HMAC-SHA256 client_token=c;access_token=a;nonce=n;signature=s=\n", NULL,
          "EG1- 1:c 1:a" },
        { "digest", "/", "Authorization: " DIGEST("a/b", "01") "\n", NULL, "Digest 3:a/b 1:r" },
        { "digest_without_a_response", "/", "Authorization: Digest username=\"u\"\n", NULL, NULL },
        { "hawk", "/", "Authorization: Hawk id=\"i\", ts=\"1\", nonce=\"n\", mac=\"m\"\n", NULL, "Hawk 1:i" },
        { "before_the_standard", "/", "Authorization: Signature keyId=\"k\",signature=\"s\"\n", NULL, "Signature 1:k" },
        { "the_same_in_its_own_field", "/", "Signature: keyId=\"k\",signature=\"s\"\n", NULL, "Signature 1:k" },
        { "another_field_of_that_name", "/", "Signature: 0123abcd\n", NULL, NULL },
        { "message", "/", INPUT("me", "1"), NULL, "message 2:me" },
        { "message_of_two", "/", "Signature-Input: a=();keyid=\"x\", b=();keyid=\"y\"\n", NULL, "message 1:x 1:y" },
        { "message_of_nobody", "/", "Signature-Input: a=();created=1\n", NULL, "" },
        { "message_that_does_not_parse", "/", "Signature-Input: (\n", NULL, "" },
        { "negotiate", "/", "Authorization: Negotiate YII=\n", NULL, "" },
        { "query_oauth", "/?a=1&" QUERY("k", "7"), NULL, NULL, "oauth_consumer_key 1:k 1:t" },
        { "query_aws", "/?" AMZ("AKID", "9"), NULL, NULL, "X-Amz-Credential 4:AKID" },
        { "query_aws_2", "/?AWSAccessKeyId=A&Expires=1&Signature=s", NULL, NULL, "AWSAccessKeyId 1:A" },
        { "a_signature_that_names_nobody", "/?Signature=s&oauth_signature=1", NULL, NULL, NULL },
        { "foursquare", "/?oauth_token=t", NULL, NULL, NULL },
        { "form", "/", "Content-Type: application/x-www-form-urlencoded; charset=utf-8\n", "a=1&" QUERY("k", "7"),
          "oauth_consumer_key 1:k 1:t" },
        { "no_form", "/", "Content-Type: text/plain\n", QUERY("k", "7"), NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head         head = head_of(rows[i].lines != NULL ? rows[i].lines : "");
        struct http_request r = { .fields = head.fields };
        struct slice        target = property_exact(slice_of(rows[i].target));
        struct signature    s;

        policy_signature(&plain, &r, target, slice_of(rows[i].body), &head.arena, &s);
        if (s.is_signed != (rows[i].identity != NULL) ||
            (s.is_signed && !slice_eq(s.identity, slice_of(rows[i].identity))))
            fail_msg("%s: %d %.*s", rows[i].name, s.is_signed, SLICE_ARG(s.identity));
        property_free(target);
        head_free(&head);
    }
}

/* ---- what comes of it ---- */

struct request {
    const char *target, *lines, *signer, *body;
};

struct made {
    struct partition account;
    struct caller    caller;
    struct slice     key;
    struct head      head;
};

static struct made make(const struct policy_options *o, const struct request *r)
{
    struct made         m = { .head = head_of(r->lines != NULL ? r->lines : "") };
    struct http_request request = { .method = HTTP_GET, .method_name = SLICE("GET"), .fields = m.head.fields };
    struct key_input    in = { .scheme = SLICE("https"),
                               .authority = SLICE("a"),
                               .target = slice_of(r->target),
                               .request = &request,
                               .body = slice_of(r->body) };

    policy_signature(o, &request, in.target, in.body, &m.head.arena, &in.signature);
    in.signer = slice_of(r->signer != NULL ? r->signer : "uid 1");
    m.caller = policy_caller(o, &secret, &in, &m.head.arena);
    m.account = policy_account(o, &secret, &in, &m.head.arena);
    m.key = policy_key(o, &secret, &in, &m.caller.partition, &m.head.arena).full;
    return m;
}

static bool same(const struct partition *a, const struct partition *b)
{
    return memcmp(a, b, sizeof *a) == 0;
}

static void test_same(void **state)
{
    static const struct {
        const char                  *name;
        const struct policy_options *o;
        bool                         account, key; /* are the same */
        struct request               a, b;
    } rows[] = {
        { "rotated_cookie",
          &plain,
          true,
          true,
          { "/", "Cookie: s=1; AWSALB=1\n", 0, 0 },
          { "/", "Cookie: AWSALB=2; s=1\n", 0, 0 } },
        { "rotated_and_none", &plain, true, true, { "/", "Cookie: AWSALB=1\n", 0, 0 }, { "/", NULL, 0, 0 } },
        { "two_sessions", &plain, false, false, { "/", "Cookie: s=1\n", 0, 0 }, { "/", "Cookie: s=2\n", 0, 0 } },
        { "two_users_of_one_application",
          &plain,
          true,
          false,
          { "/", "X-Api-Key: k\nCookie: s=1\n", 0, 0 },
          { "/", "X-Api-Key: k\nCookie: s=2\n", 0, 0 } },
        { "the_key_alone",
          &plain,
          true,
          false,
          { "/", "Authorization: Bearer k\nCookie: s=1\n", 0, 0 },
          { "/", "Authorization: Bearer k\n", 0, 0 } },
        { "a_parameter_is_explicit",
          &plain,
          true,
          false,
          { "/?api_key=k", "Cookie: s=1\n", 0, 0 },
          { "/?api_key=k", NULL, 0, 0 } },
        { "two_keys",
          &plain,
          false,
          false,
          { "/", "X-Api-Key: k\nCookie: s=1\n", 0, 0 },
          { "/", "X-Api-Key: l\nCookie: s=1\n", 0, 0 } },
        { "scheme_in_any_case",
          &plain,
          true,
          true,
          { "/", "Authorization: Bearer k\n", 0, 0 },
          { "/", "Authorization: bEARER  k\n", 0, 0 } },
        { "token_has_case",
          &plain,
          false,
          false,
          { "/", "Authorization: Bearer k\n", 0, 0 },
          { "/", "Authorization: Bearer K\n", 0, 0 } },
        { "two_schemes",
          &plain,
          false,
          false,
          { "/", "Authorization: Bearer k\n", 0, 0 },
          { "/", "Authorization: Basic k\n", 0, 0 } },
        { "oauth_again",
          &plain,
          true,
          true,
          { "/", "Authorization: " OAUTH("k", "t", "1") "\n", 0, 0 },
          { "/", "Authorization: " OAUTH("k", "t", "2") "\n", 0, 0 } },
        { "oauth_of_another",
          &plain,
          false,
          false,
          { "/", "Authorization: " OAUTH("k", "t", "1") "\n", 0, 0 },
          { "/", "Authorization: " OAUTH("k", "u", "1") "\n", 0, 0 } },
        { "oauth_for_another_user_of_the_application",
          &plain,
          false,
          false,
          { "/", "Authorization: " OAUTH("k", "t", "1") ", xoauth_requestor_id=\"ann\"\n", 0, 0 },
          { "/", "Authorization: " OAUTH("k", "t", "1") ", xoauth_requestor_id=\"bob\"\n", 0, 0 } },
        { "signed_and_a_token_besides",
          &plain,
          false,
          false,
          { "/", "Authorization: " OAUTH("k", "t", "1") "\nAuthorization: Bearer ann\n", 0, 0 },
          { "/", "Authorization: " OAUTH("k", "t", "1") "\nAuthorization: Bearer bob\n", 0, 0 } },
        { "oauth_of_another_user_of_the_machine",
          &plain,
          false,
          false,
          { "/", "Authorization: " OAUTH("k", "t", "1") "\n", "uid 1", 0 },
          { "/", "Authorization: " OAUTH("k", "t", "1") "\n", "uid 2", 0 } },
        { "oauth_under_shared",
          &shared,
          false,
          true,
          { "/", "Authorization: " OAUTH("k", "t", "1") "\n", 0, 0 },
          { "/", "Authorization: " OAUTH("l", "t", "1") "\n", 0, 0 } },
        { "border_of_names",
          &plain,
          false,
          false,
          { "/", "Authorization: " OAUTH("k 1:t", "t", "1") "\n", 0, 0 },
          { "/", "Authorization: " OAUTH("k", "t 1:t", "1") "\n", 0, 0 } },
        { "aws_again",
          &plain,
          true,
          true,
          { "/", "Authorization: " AWS4("A", "1") "\n", 0, 0 },
          { "/", "Authorization: " AWS4("A", "2") "\n", 0, 0 } },
        { "digest_again",
          &plain,
          true,
          true,
          { "/", "Authorization: " DIGEST("u", "1") "\n", 0, 0 },
          { "/", "Authorization: " DIGEST("u", "2") "\n", 0, 0 } },
        { "message_again", &plain, true, true, { "/", INPUT("k", "1"), 0, 0 }, { "/", INPUT("k", "2"), 0, 0 } },
        { "message_and_anonymous", &plain, false, false, { "/", INPUT("k", "1"), 0, 0 }, { "/", NULL, 0, 0 } },
        { "query_again",
          &plain,
          true,
          true,
          { "/?a=1&" QUERY("k", "1") "&b", NULL, 0, 0 },
          { "/?a=1&b&" QUERY("k", "2"), NULL, 0, 0 } },
        { "query_of_another",
          &plain,
          false,
          false,
          { "/?" QUERY("k", "1"), NULL, 0, 0 },
          { "/?" QUERY("l", "1"), NULL, 0, 0 } },
        { "query_says_more",
          &plain,
          true,
          false,
          { "/?" QUERY("k", "1") "&oauth_verifier=1", NULL, 0, 0 },
          { "/?" QUERY("k", "1") "&oauth_verifier=2", NULL, 0, 0 } },
        { "presigned_again",
          &plain,
          true,
          true,
          { "/o?" AMZ("A", "1"), NULL, 0, 0 },
          { "/o?" AMZ("A", "2"), NULL, 0, 0 } },
        { "presigned_object",
          &plain,
          true,
          false,
          { "/o?" AMZ("A", "1") "&versionId=1", NULL, 0, 0 },
          { "/o?" AMZ("A", "1"), NULL, 0, 0 } },
        { "presigned_under_shared",
          &shared,
          false,
          true,
          { "/o?" AMZ("A", "1"), NULL, 0, 0 },
          { "/o?" AMZ("B", "2"), NULL, 0, 0 } },
        { "unsigned_parameters_count",
          &plain,
          true,
          false,
          { "/?oauth_nonce=1", NULL, 0, 0 },
          { "/?oauth_nonce=2", NULL, 0, 0 } },
        { "form_again",
          &keyed,
          true,
          true,
          { "/", "Content-Type: application/x-www-form-urlencoded\n", 0, "q=1&" QUERY("k", "1") },
          { "/", "Content-Type: application/x-www-form-urlencoded\n", 0, "q=1&" QUERY("k", "2") } },
        { "form_says_more",
          &keyed,
          true,
          false,
          { "/", "Content-Type: application/x-www-form-urlencoded\n", 0, "q=1&" QUERY("k", "1") },
          { "/", "Content-Type: application/x-www-form-urlencoded\n", 0, "q=2&" QUERY("k", "1") } },
        { "matched_cookie_without_the_ignored",
          &matching,
          true,
          true,
          { "/", "Cookie: s=1; _ga=1\n", 0, 0 },
          { "/", "Cookie: s=1; _ga=2\n", 0, 0 } },
        { "matched_cookie", &matching, true, false, { "/", "Cookie: s=1\n", 0, 0 }, { "/", "Cookie: s=2\n", 0, 0 } },
        { "matched_but_never_sent",
          &matching,
          true,
          true,
          { "/", "Connection: a\n", 0, 0 },
          { "/", "Connection: b\n", 0, 0 } },
        { "matched_signature", &matching, true, true, { "/", INPUT("k", "1"), 0, 0 }, { "/", INPUT("k", "2"), 0, 0 } },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct made a = make(rows[i].o, &rows[i].a), b = make(rows[i].o, &rows[i].b);

        if (same(&a.account, &b.account) != rows[i].account || slice_eq(a.key, b.key) != rows[i].key)
            fail_msg("%s: %.*s, %.*s", rows[i].name, SLICE_ARG(a.key), SLICE_ARG(b.key));
        if (!a.caller.account_differs && !same(&a.account, &a.caller.partition))
            fail_msg("%s: the account is not the partition", rows[i].name);
        head_free(&a.head);
        head_free(&b.head);
    }
}

static void test_bare_targets(void **state)
{
    static const struct {
        const char *name, *target, *bare;
    } rows[] = {
        { "no_query", "/a", "/a" },
        { "nothing_to_leave_out", "/a?b&&c=1&", "/a?b&&c=1&" },
        { "first", "/a?api_key=k&b=1", "/a?b=1" },
        { "alone", "/a?api_key=k", "/a" },
        { "encoded", "/a?b&%61pi_key=k&c", "/a?b&c" },
        { "signed", "/a?b&" QUERY("k", "1"), "/a?b" },
        { "not_signed", "/a?oauth_nonce=1", "/a?oauth_nonce=1" },
        { "empty_query", "/a?", "/a?" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct http_request r = { .method = HTTP_GET };
        struct key_input    in = { .target = slice_of(rows[i].target), .request = &r };
        struct arena        a = { 0 };
        struct slice        bare;

        policy_signature(&plain, &r, in.target, SLICE_NONE, &a, &in.signature);
        bare = policy_bare_target(&plain, &in, &a);
        if (!slice_eq(bare, slice_of(rows[i].bare)))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(bare));
        arena_free(&a);
    }
}

static void test_nothing_secret_in_key_or_log(void **state)
{
    static const char *const targets[] = {
        "/?" QUERY("k", "hush"), "/?" AMZ("A", "hush"),         "/?oauth_token=hush",
        "/?Signature=hush",      "/?X-Amz-Security-Token=hush", "/?%73ignature=hush",
    };

    (void)state;
    for (size_t i = 0; i < sizeof targets / sizeof targets[0]; i++) {
        struct arena a = { 0 };
        struct slice shown = policy_redact_target(&plain, slice_of(targets[i]), &a);

        /* The nonce is none: a log may say it. */
        if (strstr(arena_copy(&a, shown).ptr, "ignature=hush") != NULL ||
            strstr(arena_copy(&a, shown).ptr, "oken=hush") != NULL)
            fail_msg("%.*s", SLICE_ARG(shown));
        arena_free(&a);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cookies),      cmocka_unit_test(test_first_bytes),
        cmocka_unit_test(test_signatures),   cmocka_unit_test(test_same),
        cmocka_unit_test(test_bare_targets), cmocka_unit_test(test_nothing_secret_in_key_or_log),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
