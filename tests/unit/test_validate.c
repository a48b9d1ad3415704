/*
 * Conditional requests, freshening and invalidation (RFC 9110 8.8.3, 13;
 * RFC 9111 3.2, 4.3, 4.4).
 */
#include "policy/validate.h"

#include "base/clock.h"
#include "head.h"
#include "policy/etag.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* Sun, 06 Nov 1994 08:49:37 GMT */
static const int64_t NOW = INT64_C(784111777000000000);

#define DATE     "Date: Sun, 06 Nov 1994 08:49:37 GMT\n"
#define MODIFIED "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n"

static struct stored_response stored(const struct head *h, unsigned status)
{
    return (struct stored_response){ .head = { status, h->fields },
                                     .requested_wall_ns = NOW,
                                     .received_wall_ns = NOW,
                                     .body_bytes = 10 };
}

/* "A: 1|B: 2" */
static const char *text_of(const struct http_fields *f)
{
    static char text[1024];
    size_t      used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < f->count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s" SLICE_FMT ": " SLICE_FMT, i > 0 ? "|" : "",
                                 SLICE_ARG(f->items[i].name), SLICE_ARG(f->items[i].value));
    return text;
}

/* RFC 9110 8.8.3.2, the table there and what it does not show. */
static void test_tags(void **state)
{
    static const struct {
        const char *a, *b;
        bool        strong, weak;
    } rows[] = {
        { "W/\"1\"", "W/\"1\"", false, true },
        { "W/\"1\"", "W/\"2\"", false, false },
        { "W/\"1\"", "\"1\"", false, true },
        { "\"1\"", "\"1\"", true, true },
        { "\"\"", "\"\"", true, true },
        { "\"a\"", "\"A\"", false, false },
        { "1", "1", false, false },
        { "w/\"1\"", "w/\"1\"", false, false },
        { "\"1\"x", "\"1\"x", false, false },
        { "\"a b\"", "\"a b\"", false, false },
        { "\"\xc3\xbc\"", "\"\xc3\xbc\"", true, true },
        { "\"1", "\"1", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice a = property_exact(slice_of(rows[i].a)), b = property_exact(slice_of(rows[i].b));
        struct etag  x = etag_parse(a), y = etag_parse(b);

        if (etag_equal_strongly(x, y) != rows[i].strong || etag_equal_weakly(x, y) != rows[i].weak)
            fail_msg("%s %s", rows[i].a, rows[i].b);
        property_free(a);
        property_free(b);
    }
}

static void test_precondition(void **state)
{
    enum { SEND = PRECONDITION_NONE, NOT_MODIFIED = PRECONDITION_NOT_MODIFIED };
    static const struct {
        const char *name;
        unsigned    status;
        const char *head, *request;
        int         expected;
    } rows[] = {
        { "none", 200, "ETag: \"a\"\n", "", SEND },
        /* 4.3.2 */
        { "tag", 200, "ETag: \"a\"\n", "If-None-Match: \"a\"\n", NOT_MODIFIED },
        { "other_tag", 200, "ETag: \"a\"\n", "If-None-Match: \"b\"\n", SEND },
        /* RFC 9110 13.1.2 */
        { "weak_against_strong", 200, "ETag: \"a\"\n", "If-None-Match: W/\"a\"\n", NOT_MODIFIED },
        { "strong_against_weak", 200, "ETag: W/\"a\"\n", "If-None-Match: \"a\"\n", NOT_MODIFIED },
        { "star", 200, "", "If-None-Match: *\n", NOT_MODIFIED },
        { "star_in_a_list_is_malformed", 200, "ETag: \"a\"\n", "If-None-Match: *, \"b\"\n", SEND },
        { "first_of_list", 200, "ETag: \"a\"\n", "If-None-Match: \"a\", \"b\", \"c\"\n", NOT_MODIFIED },
        { "middle_of_list", 200, "ETag: \"b\"\n", "If-None-Match: \"a\" ,\"b\",\"c\"\n", NOT_MODIFIED },
        { "last_of_list", 200, "ETag: \"c\"\n", "If-None-Match: \"a\", \"b\", W/\"c\"\n", NOT_MODIFIED },
        { "second_line", 200, "ETag: \"c\"\n", "If-None-Match: \"a\"\nIf-None-Match: \"c\"\n", NOT_MODIFIED },
        { "empty_members", 200, "ETag: \"c\"\n", "If-None-Match: ,, \"c\",\n", NOT_MODIFIED },
        { "comma_in_a_tag", 200, "ETag: \"a,b\"\n", "If-None-Match: \"x\", \"a,b\"\n", NOT_MODIFIED },
        { "comma_in_a_tag_does_not_split", 200, "ETag: \"b\"\n", "If-None-Match: \"a,\"b\"\n", SEND },
        { "backslash_is_no_escape", 200, "ETag: \"b\"\n", "If-None-Match: \"a\\\", \"b\"\n", NOT_MODIFIED },
        { "unquoted_matches_nothing", 200, "ETag: a\n", "If-None-Match: a\n", SEND },
        { "one_malformed_beside_a_good_one", 200, "ETag: \"a\"\n", "If-None-Match: x, \"a\"\n", NOT_MODIFIED },
        { "no_stored_tag", 200, MODIFIED, "If-None-Match: \"a\"\n", SEND },
        { "since", 200, DATE MODIFIED, "If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT\n", NOT_MODIFIED },
        { "since_later", 200, DATE MODIFIED, "If-Modified-Since: Sun, 06 Nov 1994 00:00:00 GMT\n", NOT_MODIFIED },
        { "since_earlier", 200, DATE MODIFIED, "If-Modified-Since: Sat, 05 Nov 1994 08:49:36 GMT\n", SEND },
        { "since_rfc850", 200, DATE MODIFIED, "If-Modified-Since: Saturday, 05-Nov-94 08:49:37 GMT\n", NOT_MODIFIED },
        { "since_asctime", 200, DATE MODIFIED, "If-Modified-Since: Sat Nov  5 08:49:37 1994\n", NOT_MODIFIED },
        { "since_junk", 200, DATE MODIFIED, "If-Modified-Since: yesterday\n", SEND },
        { "since_twice", 200, DATE MODIFIED,
          "If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT\nIf-Modified-Since: Sat, 05 Nov 1994 "
          "08:49:37 GMT\n",
          SEND },
        { "since_against_date", 200, DATE, "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\n", NOT_MODIFIED },
        { "since_before_date", 200, DATE, "If-Modified-Since: Sun, 06 Nov 1994 08:49:36 GMT\n", SEND },
        { "since_against_receipt", 200, "", "If-Modified-Since: Sun, 06 Nov 1994 08:49:37 GMT\n", NOT_MODIFIED },
        { "tag_goes_before_date_no", 200, "ETag: \"a\"\n" DATE MODIFIED,
          "If-None-Match: \"b\"\nIf-Modified-Since: Sun, 06 Nov 1994 00:00:00 GMT\n", SEND },
        { "tag_goes_before_date_yes", 200, "ETag: \"a\"\n" DATE MODIFIED,
          "If-None-Match: \"a\"\nIf-Modified-Since: Fri, 04 Nov 1994 00:00:00 GMT\n", NOT_MODIFIED },
        /* RFC 9110 13.2.1 */
        { "not_for_404", 404, "ETag: \"a\"\n", "If-None-Match: \"a\"\n", SEND },
        { "not_for_redirects", 301, "ETag: \"a\"\n", "If-None-Match: *\n", SEND },
        { "for_203", 203, "ETag: \"a\"\n", "If-None-Match: \"a\"\n", NOT_MODIFIED },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            head = head_of(rows[i].head), request = head_of(rows[i].request);
        struct stored_response r = stored(&head, rows[i].status);

        for (int m = HTTP_GET; m <= HTTP_QUERY; m++) {
            struct http_request q = { .method = (enum http_method)m, .fields = request.fields };

            if ((int)policy_precondition(&q, &r) !=
                (m == HTTP_GET || m == HTTP_HEAD || m == HTTP_QUERY ? rows[i].expected : SEND))
                fail_msg("%s: %s", rows[i].name, http_method_name(q.method));
        }
        head_free(&head);
        head_free(&request);
    }
}

/* The request may outlive what was looked up: a refresh that nobody waits for, a client that leaves. */
static bool shares_memory(const struct http_fields *sent, const struct http_fields *stored)
{
    for (unsigned i = 0; i < sent->count; i++)
        for (unsigned k = 0; k < stored->count; k++)
            if (sent->items[i].value.len > 0 && sent->items[i].value.ptr == stored->items[k].value.ptr)
                return true;
    return false;
}

/* 4.3.1 */
static void test_conditional_fields(void **state)
{
    static const struct {
        const char *name;
        unsigned    status;
        const char *head;
        bool        can;
        const char *sent;
    } rows[] = {
        { "tag", 200, "ETag: \"a\"\n", true, "A: 1|If-None-Match: \"a\"" },
        { "weak_tag", 200, "ETag: W/\"a\"\n", true, "A: 1|If-None-Match: W/\"a\"" },
        { "date", 200, MODIFIED, true, "A: 1|If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT" },
        { "both", 200, MODIFIED "ETag: \"a\"\n", true,
          "A: 1|If-None-Match: \"a\"|If-Modified-Since: Sat, 05 Nov 1994 08:49:37 GMT" },
        { "neither", 200, DATE, false, "A: 1" },
        { "empty", 200, "ETag:\n", false, "A: 1" },
        { "part", 206, "ETag: \"a\"\n", true, "A: 1|Range: bytes=0-1|If-None-Match: \"a\"" },
        { "part_without_tag", 206, MODIFIED, false, "A: 1|Range: bytes=0-1" },
        { "any_status", 404, "ETag: \"a\"\n", true, "A: 1|If-None-Match: \"a\"" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            head = head_of(rows[i].head);
        struct head            request = head_of("If-None-Match: \"x\"\nIf-Match: \"x\"\nA: "
                                                            "1\nIf-Modified-Since: x\nIf-Unmodified-Since: x\n"
                                                            "If-Range: x\nRange: bytes=0-1\n");
        struct stored_response r = stored(&head, rows[i].status);
        struct http_fields     fields = http_fields_copy(&request.fields, &request.arena);

        if (policy_conditional_fields(&r, &fields, &request.arena) != rows[i].can ||
            strcmp(text_of(&fields), rows[i].sent) != 0)
            fail_msg("%s: %s", rows[i].name, text_of(&fields));
        if (shares_memory(&fields, &r.head.fields))
            fail_msg("%s: the validators are not its own", rows[i].name);
        head_free(&head);
        head_free(&request);
    }
}

/* 4.3.4 */
static void test_304_selects(void **state)
{
    static const struct {
        const char *name, *stored, *update;
        bool        selects;
    } rows[] = {
        { "strong_tag", "ETag: \"a\"\n", "ETag: \"a\"\n", true },
        { "other_strong_tag", "ETag: \"a\"\n", "ETag: \"b\"\n", false },
        { "strong_against_weak", "ETag: W/\"a\"\n", "ETag: \"a\"\n", false },
        { "weak_against_strong", "ETag: \"a\"\n", "ETag: W/\"a\"\n", true },
        { "other_weak_tag", "ETag: W/\"a\"\n", "ETag: W/\"b\"\n", false },
        { "tag_over_date", "ETag: \"a\"\n" MODIFIED, "ETag: \"a\"\nLast-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n",
          true },
        { "date", MODIFIED, MODIFIED, true },
        { "other_date", MODIFIED, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n", false },
        { "date_beside_a_stored_tag", "ETag: \"a\"\n" MODIFIED, MODIFIED, true },
        { "other_date_beside_a_stored_tag", "ETag: \"a\"\n" MODIFIED, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n",
          false },
        { "no_validator", "ETag: \"a\"\n", DATE, true },
        { "no_validator_at_all", DATE, DATE, true },
        { "new_strong_tag", MODIFIED, "ETag: \"a\"\n", false },
        { "new_strong_tag_and_the_date", MODIFIED, MODIFIED "ETag: \"a\"\n", true },
        { "malformed_same", "ETag: a\n", "ETag: a\n", true },
        { "malformed_other", "ETag: a\n", "ETag: b\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            old = head_of(rows[i].stored), new = head_of(rows[i].update);
        struct stored_response r = stored(&old, 200);
        struct http_response   update = { 304, new.fields };

        if (policy_304_selects(&update, &r) != rows[i].selects)
            fail_msg("%s", rows[i].name);
        head_free(&old);
        head_free(&new);
    }
}

/* 4.3.5 */
static void test_head_selects(void **state)
{
    static const struct {
        const char *name, *stored, *head;
        unsigned    status;
        bool        selects;
    } rows[] = {
        { "same", "ETag: \"a\"\nContent-Length: 10\n", "ETag: \"a\"\nContent-Length: 10\n", 200, true },
        { "nothing_said", "ETag: \"a\"\n", "", 200, true },
        { "other_tag", "ETag: \"a\"\n", "ETag: \"b\"\n", 200, false },
        { "other_date", MODIFIED, "Last-Modified: Sun, 06 Nov 1994 08:49:37 GMT\n", 200, false },
        { "other_length", "Content-Length: 10\n", "Content-Length: 11\n", 200, false },
        { "length_of_what_was_chunked", "", "Content-Length: 10\n", 200, true },
        { "other_length_of_what_was_chunked", "", "Content-Length: 11\n", 200, false },
        { "error", "", "", 500, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            old = head_of(rows[i].stored), new = head_of(rows[i].head);
        struct stored_response r = stored(&old, 200);
        struct http_response   head = { rows[i].status, new.fields };

        if (policy_head_selects(&head, &r) != rows[i].selects)
            fail_msg("%s", rows[i].name);
        head_free(&old);
        head_free(&new);
    }
}

/* 3.2 */
static void test_freshen(void **state)
{
    static const struct {
        const char *name, *stored, *update, *fresh;
    } rows[] = {
        { "kept", "A: 1\nB: 2\n", "ETag: \"a\"\n", "A: 1|B: 2|ETag: \"a\"" },
        { "replaced", "A: 1\nB: 2\n", "a: 3\n", "B: 2|a: 3" },
        { "all_lines_replaced", "A: 1\nA: 2\n", "A: 3\nA: 4\n", "A: 3|A: 4" },
        { "cache_control", "Cache-Control: max-age=1\n", "Cache-Control: max-age=60\n", "Cache-Control: max-age=60" },
        { "expires", "Expires: x\n", "Expires: y\n", "Expires: y" },
        { "length_stays", "Content-Length: 10\n", "Content-Length: 0\n", "Content-Length: 10" },
        { "length_is_not_added", "A: 1\n", "Content-Length: 0\n", "A: 1" },
        { "coding_stays", "Content-Encoding: gzip\n", "Content-Encoding: br\n", "Content-Encoding: gzip" },
        { "range_stays", "Content-Range: bytes 0-1/2\n", "Content-Range: bytes 0-0/1\n", "Content-Range: bytes 0-1/2" },
        { "type_stays", "Content-Type: application/json\n", "Content-Type: text/html\n",
          "Content-Type: application/json" },
        { "type_is_not_added", "A: 1\n", "Content-Type: text/html\n", "A: 1" },
        { "type_stays_with_its_parameters", "Content-Type: text/plain; charset=utf-8\n",
          "Content-Type: text/html; charset=utf-16\n", "Content-Type: text/plain; charset=utf-8" },
        { "parameters_of_the_type_change", "Content-Type: text/plain\n", "Content-Type: Text/Plain;charset=utf-8\n",
          "Content-Type: Text/Plain;charset=utf-8" },
        { "content_others_are_replaced", "Content-Location: /a\nContent-Foo: 1\n",
          "Content-Location: /b\nContent-Foo: 2\n", "Content-Location: /b|Content-Foo: 2" },
        { "hop_by_hop_is_not_added", "A: 1\n", "Connection: b\nB: 2\nKeep-Alive: 3\nTransfer-Encoding: chunked\n",
          "A: 1" },
        { "age_is_the_update's", "Age: 50\n", "Age: 3\n", "Age: 3" },
        { "age_does_not_stay", "Age: 50\nA: 1\n", "B: 2\n", "A: 1|B: 2" },
        { "date_is_the_update's", "Date: x\n", "Date: y\n", "Date: y" },
        { "date_does_not_stay", "Date: x\nA: 1\n", "", "A: 1" },
        { "rate_limits_are_not_added", "A: 1\n", "X-RateLimit-Remaining: 1\nRateLimit: x\n", "A: 1" },
        { "cookie_is_not_added", "A: 1\n", "Set-Cookie: a=b\n", "A: 1" },
        { "cookie_that_was_kept_is_replaced", "Set-Cookie: a=b\n", "Set-Cookie: a=c\n", "Set-Cookie: a=c" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head        old = head_of(rows[i].stored), new = head_of(rows[i].update);
        struct http_fields fresh = policy_freshen(&old.fields, &new.fields, NULL, &old.arena);

        head_free(&new); /* the result stands alone */
        if (strcmp(text_of(&fresh), rows[i].fresh) != 0)
            fail_msg("%s: %s", rows[i].name, text_of(&fresh));
        head_free(&old);
    }
}

/* RFC 9110 15.4.5 */
static void test_304_fields(void **state)
{
    static const struct {
        const char *name, *stored, *sent;
    } rows[] = {
        { "all_that_must", "Cache-Control: a\nContent-Location: b\nDate: c\nETag: \"d\"\nExpires: e\nVary: f\n",
          "Cache-Control: a|Content-Location: b|Date: c|ETag: \"d\"|Expires: e|Vary: f" },
        { "no_metadata", "Content-Type: a\nContent-Length: 5\nContent-Encoding: b\nX-A: c\nETag: \"d\"\n",
          "ETag: \"d\"" },
        { "no_date_beside_a_tag", "ETag: \"d\"\n" MODIFIED, "ETag: \"d\"" },
        { "date_without_a_tag", MODIFIED, "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT" },
        { "targeted", "CDN-Cache-Control: a\n", "CDN-Cache-Control: a" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head        head = head_of(rows[i].stored);
        struct http_fields sent = policy_304_fields(&head.fields, &head.arena);

        if (strcmp(text_of(&sent), rows[i].sent) != 0)
            fail_msg("%s: %s", rows[i].name, text_of(&sent));
        head_free(&head);
    }
}

/* 4.4 */
static void test_invalidated(void **state)
{
    static const struct {
        const char *name, *method;
        unsigned    status;
        const char *response, *url, *out;
    } rows[] = {
        { "post", "POST", 200, "", "https://h/a?b", "https://h/a?b" },
        { "put", "PUT", 204, "", "https://h/a", "https://h/a" },
        { "delete", "DELETE", 200, "", "https://h/a", "https://h/a" },
        { "patch", "PATCH", 201, "", "https://h/a", "https://h/a" },
        { "unknown_method", "M-SEARCH", 200, "", "https://h/a", "https://h/a" },
        { "redirect_is_no_error", "POST", 303, "", "https://h/a", "https://h/a" },
        { "client_error", "POST", 404, "", "https://h/a", "" },
        { "server_error", "POST", 500, "Location: /b\n", "https://h/a", "" },
        { "interim", "POST", 103, "", "https://h/a", "" },
        { "get_is_safe", "GET", 200, "Location: /b\n", "https://h/a", "" },
        { "head_is_safe", "HEAD", 200, "", "https://h/a", "" },
        { "options_is_safe", "OPTIONS", 200, "", "https://h/a", "" },
        { "location", "POST", 201, "Location: https://h/b\n", "https://h/a", "https://h/a https://h/b" },
        { "content_location", "POST", 200, "Content-Location: /c?d\n", "https://h/a", "https://h/a https://h/c?d" },
        { "both", "POST", 201, "Location: /b\nContent-Location: /c\n", "https://h/a",
          "https://h/a https://h/b https://h/c" },
        { "same_once", "POST", 201, "Location: /a\nContent-Location: /a\n", "https://h/a", "https://h/a" },
        { "other_host", "POST", 201, "Location: https://x/b\n", "https://h/a", "https://h/a" },
        { "other_scheme", "POST", 201, "Location: http://h/b\n", "https://h/a", "https://h/a" },
        { "other_port", "POST", 201, "Location: https://h:8443/b\n", "https://h/a", "https://h/a" },
        { "default_port", "POST", 201, "Location: https://H:443/b\n", "https://h/a", "https://h/a https://h/b" },
        { "listed_port", "POST", 201, "Location: http://h:81/b\n", "http://h:81/a", "http://h:81/a http://h:81/b" },
        { "scheme_relative", "POST", 201, "Location: //h/b\n", "https://h/a", "https://h/a https://h/b" },
        { "scheme_relative_elsewhere", "POST", 201, "Location: //x/b\n", "https://h/a", "https://h/a" },
        { "relative", "POST", 201, "Location: b\n", "https://h/x/a?q/r", "https://h/x/a?q/r https://h/x/b" },
        { "relative_up", "POST", 201, "Location: ../b/./c\n", "https://h/x/y/a", "https://h/x/y/a https://h/x/b/c" },
        { "relative_over_the_root", "POST", 201, "Location: ../../../b\n", "https://h/x", "https://h/x https://h/b" },
        { "relative_to_a_folder", "POST", 201, "Location: ..\n", "https://h/x/y/a", "https://h/x/y/a https://h/x/" },
        { "relative_query", "POST", 201, "Location: ?b\n", "https://h/x/a?q", "https://h/x/a?q https://h/x/a?b" },
        { "relative_with_query", "POST", 201, "Location: b?c=../d\n", "https://h/x/a",
          "https://h/x/a https://h/x/b?c=../d" },
        { "relative_without_a_path", "POST", 201, "Location: b\n", "https://h", "https://h https://h/b" },
        { "fragment_is_cut", "POST", 201, "Location: /b#c\n", "https://h/a", "https://h/a https://h/b" },
        { "fragment_alone", "POST", 201, "Location: #c\n", "https://h/a", "https://h/a" },
        { "bytes_are_kept", "POST", 201, "Location: /%2F//b;x+y\n", "https://h/a", "https://h/a https://h/%2F//b;x+y" },
        { "other_kind_of_url", "POST", 201, "Location: mailto:x\n", "https://h/a", "https://h/a" },
        { "no_host", "POST", 201, "Location: https:///b\n", "https://h/a", "https://h/a" },
        { "empty", "POST", 201, "Location:\n", "https://h/a", "https://h/a" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head          response = head_of(rows[i].response);
        struct http_request  q = { .method = http_method_parse(slice_of(rows[i].method)),
                                   .method_name = slice_of(rows[i].method) };
        struct http_response r = { rows[i].status, response.fields };
        struct slice         out[3], text = SLICE("");
        unsigned             count = policy_invalidated(&q, &r, slice_of(rows[i].url), &response.arena, out);

        for (unsigned k = 0; k < count; k++)
            text = arena_printf(&response.arena, SLICE_FMT "%s" SLICE_FMT, SLICE_ARG(text), k > 0 ? " " : "",
                                SLICE_ARG(out[k]));
        if (!slice_eq(text, slice_of(rows[i].out)))
            fail_msg("%s: " SLICE_FMT, rows[i].name, SLICE_ARG(text));
        head_free(&response);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tags),
        cmocka_unit_test(test_precondition),
        cmocka_unit_test(test_conditional_fields),
        cmocka_unit_test(test_304_selects),
        cmocka_unit_test(test_head_selects),
        cmocka_unit_test(test_freshen),
        cmocka_unit_test(test_304_fields),
        cmocka_unit_test(test_invalidated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
