/*
 * Ranges (RFC 9110 14, 13.1.5; RFC 9111 3.3, 3.4).
 */
#include "policy/range.h"

#include "base/clock.h"
#include "head.h"
#include "property.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

/* "0-4 6-9", "ignore" or "unsatisfiable". */
static const char *describe(enum range_result result, const struct byte_range *ranges, unsigned count)
{
    static char text[1024];
    size_t      used = 0;

    text[0] = '\0';
    if (result != RANGE_PARTS)
        return result == RANGE_IGNORE ? "ignore" : "unsatisfiable";
    for (unsigned i = 0; i < count; i++)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%lld-%lld", i > 0 ? " " : "",
                                 (long long)ranges[i].first, (long long)ranges[i].last);
    return text;
}

static struct stored_response stored(const struct head *h, unsigned status, int64_t length)
{
    static const int64_t received = INT64_C(784111777000000000);

    return (struct stored_response){ .head = { status, h->fields },
                                     .requested_wall_ns = received,
                                     .received_wall_ns = received,
                                     .body_bytes = length };
}

#define HEAD_FIELDS \
    "ETag: \"a\"\nDate: Sun, 06 Nov 1994 08:49:37 GMT\nLast-Modified: Sat, 05 Nov 1994 08:49:37 " \
    "GMT\n"

static void test_ranges(void **state)
{
    static const struct {
        const char *name, *request;
        int64_t     length;
        const char *expected;
    } rows[] = {
        { "none", "", 10, "ignore" },
        { "first_and_last", "Range: bytes=0-1\n", 10, "0-1" },
        { "one_byte", "Range: bytes=9-9\n", 10, "9-9" },
        { "to_the_end", "Range: bytes=1-\n", 10, "1-9" },
        { "suffix", "Range: bytes=-3\n", 10, "7-9" },
        { "suffix_longer_than_all", "Range: bytes=-30\n", 10, "0-9" },
        { "suffix_of_nothing", "Range: bytes=-0\n", 10, "unsatisfiable" },
        { "last_beyond_the_end", "Range: bytes=5-99\n", 10, "5-9" },
        { "first_beyond_the_end", "Range: bytes=10-\n", 10, "unsatisfiable" },
        { "huge_last", "Range: bytes=5-99999999999999999999999\n", 10, "5-9" },
        { "huge_first", "Range: bytes=99999999999999999999999-\n", 10, "unsatisfiable" },
        { "huge_suffix", "Range: bytes=-99999999999999999999999\n", 10, "0-9" },
        { "backwards_is_malformed", "Range: bytes=5-4\n", 10, "ignore" },
        { "unit_has_no_case", "Range: BYTES=0-1\n", 10, "0-1" },
        { "other_unit", "Range: lines=0-1\n", 10, "ignore" },
        { "no_spec", "Range: bytes=\n", 10, "ignore" },
        { "no_number", "Range: bytes=-\n", 10, "ignore" },
        { "junk", "Range: bytes=a-b\n", 10, "ignore" },
        { "sign", "Range: bytes=+1-2\n", 10, "ignore" },
        { "space_inside", "Range: bytes=1 -2\n", 10, "ignore" },
        { "one_bad_spec_spoils_all", "Range: bytes=0-1,x\n", 10, "ignore" },
        { "two", "Range: bytes=0-1,4-5\n", 10, "0-1 4-5" },
        { "two_with_space", "Range: bytes=0-1 , 4-5\n", 10, "0-1 4-5" },
        { "order_is_kept", "Range: bytes=4-5,0-1\n", 10, "4-5 0-1" },
        { "overlap_is_joined", "Range: bytes=0-3,2-5\n", 10, "0-5" },
        { "adjoining_is_joined", "Range: bytes=0-3,4-5\n", 10, "0-5" },
        { "same_twice", "Range: bytes=0-3,0-3\n", 10, "0-3" },
        { "one_joins_two", "Range: bytes=0-1,5-6,8-9,2-4\n", 10, "0-6 8-9" },
        { "one_joins_all", "Range: bytes=8-9,0-1,0-9\n", 10, "0-9" },
        { "unsatisfiable_is_left_out", "Range: bytes=0-1,50-60\n", 10, "0-1" },
        { "all_unsatisfiable", "Range: bytes=50-60,70-\n", 10, "unsatisfiable" },
        { "sixteen",
          "Range: "
          "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
          "30-30\n",
          99, "0-0 2-2 4-4 6-6 8-8 10-10 12-12 14-14 16-16 18-18 20-20 22-22 24-24 26-26 28-28 30-30" },
        { "seventeen_are_too_many",
          "Range: "
          "bytes=0-0,2-2,4-4,6-6,8-8,10-10,12-12,14-14,16-16,18-18,20-20,22-22,24-24,26-26,28-28,"
          "30-30,32-\n",
          99, "ignore" },
        { "two_lines_are_malformed", "Range: bytes=0-1\nRange: bytes=2-3\n", 10, "ignore" },
        { "nothing_has_no_parts", "Range: bytes=0-1\n", 0, "ignore" },
        /* 13.1.5 */
        { "if_range_tag", "Range: bytes=0-1\nIf-Range: \"a\"\n", 10, "0-1" },
        { "if_range_other_tag", "Range: bytes=0-1\nIf-Range: \"b\"\n", 10, "ignore" },
        { "if_range_weak_tag", "Range: bytes=0-1\nIf-Range: W/\"a\"\n", 10, "ignore" },
        { "if_range_date", "Range: bytes=0-1\nIf-Range: Sat, 05 Nov 1994 08:49:37 GMT\n", 10, "0-1" },
        { "if_range_later_date", "Range: bytes=0-1\nIf-Range: Sat, 05 Nov 1994 08:49:38 GMT\n", 10, "ignore" },
        { "if_range_junk", "Range: bytes=0-1\nIf-Range: a\n", 10, "ignore" },
        { "if_range_keeps_the_unsatisfiable_away", "Range: bytes=90-\nIf-Range: \"b\"\n", 10, "ignore" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            request = head_of(rows[i].request), head = head_of(HEAD_FIELDS);
        struct http_request    q = { .method = HTTP_GET, .fields = request.fields };
        struct stored_response r = stored(&head, 200, rows[i].length);
        struct byte_range      out[RANGE_MAX];
        unsigned               count;
        enum range_result      result = policy_range(&q, &r, rows[i].length, out, &count);

        if (strcmp(describe(result, out, count), rows[i].expected) != 0)
            fail_msg("%s: %s", rows[i].name, describe(result, out, count));
        head_free(&request);
        head_free(&head);
    }
}

static void test_where_ranges_count(void **state)
{
    static const struct {
        const char      *name;
        enum http_method method;
        unsigned         status;
        const char      *head;
        bool             counts;
    } rows[] = {
        { "get_200", HTTP_GET, 200, HEAD_FIELDS, true },
        { "head", HTTP_HEAD, 200, HEAD_FIELDS, false }, /* RFC 9110 14.2 */
        { "post", HTTP_POST, 200, HEAD_FIELDS, false },
        { "get_404", HTTP_GET, 404, HEAD_FIELDS, false },
        { "date_too_near_to_be_strong", HTTP_GET, 200, /* 8.8.2.2 */
          "Date: Sat, 05 Nov 1994 08:49:37 GMT\nLast-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n", false },
        { "date_without_date", HTTP_GET, 200, "Last-Modified: Sat, 05 Nov 1994 08:49:37 GMT\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            request = head_of("Range: bytes=0-1\nIf-Range: Sat, 05 Nov 1994 08:49:37 GMT\n");
        struct head            head = head_of(rows[i].head);
        struct http_request    q = { .method = rows[i].method, .fields = request.fields };
        struct stored_response r = stored(&head, rows[i].status, 10);
        struct byte_range      out[RANGE_MAX];
        unsigned               count;

        if ((policy_range(&q, &r, 10, out, &count) == RANGE_PARTS) != rows[i].counts)
            fail_msg("%s", rows[i].name);
        head_free(&request);
        head_free(&head);
    }
}

/* Ranges of random requests lie within the length, apart from each other, and hold what was asked
 * for. */
static void test_ranges_are_apart(void **state)
{
    static const char *const bits[] = { "0", "1", "5", "9", "-", "-", ",", ",", "12", " ", NULL };
    struct property          random = { 11 };

    (void)state;
    for (unsigned round = 0; round < 20000; round++) {
        struct slice           spec = property_text(&random, bits, 24);
        struct head            head = head_of(HEAD_FIELDS);
        char                   value[1100];
        struct http_field      field = { SLICE("Range"), SLICE_NONE, HTTP_RANGE };
        struct http_request    q = { .method = HTTP_GET, .fields = { &field, 1, 1 } };
        struct stored_response r = stored(&head, 200, 15);
        struct byte_range      out[RANGE_MAX];
        unsigned               count;

        snprintf(value, sizeof value, "bytes=%.*s", SLICE_ARG(spec));
        property_free(spec);
        field.value = slice_of(value);
        if (policy_range(&q, &r, 15, out, &count) == RANGE_PARTS)
            for (unsigned i = 0; i < count; i++) {
                assert_true(out[i].first >= 0 && out[i].first <= out[i].last && out[i].last < 15);
                for (unsigned k = 0; k < i; k++)
                    if (out[i].first <= out[k].last + 1 && out[k].first <= out[i].last + 1)
                        fail_msg("%s", value);
            }
        head_free(&head);
    }
}

static void test_content_range(void **state)
{
    static const struct {
        const char *name, *value;
        bool        valid;
        int64_t     first, last, complete;
    } rows[] = {
        { "whole_form", "bytes 0-99/1234", true, 0, 99, 1234 },
        { "unknown_length", "bytes 0-99/*", true, 0, 99, -1 },
        { "unsatisfied", "bytes */1234", true, -1, -1, 1234 },
        { "unit_has_no_case", "Bytes 0-0/1", true, 0, 0, 1 },
        { "last_byte", "bytes 9-9/10", true, 9, 9, 10 },
        { "nothing_known", "bytes */*", false, 0, 0, 0 },
        { "beyond_the_end", "bytes 0-10/10", false, 0, 0, 0 },
        { "backwards", "bytes 5-4/10", false, 0, 0, 0 },
        { "other_unit", "lines 0-1/2", false, 0, 0, 0 },
        { "no_length", "bytes 0-1", false, 0, 0, 0 },
        { "no_last", "bytes 0-/10", false, 0, 0, 0 },
        { "no_first", "bytes -1/10", false, 0, 0, 0 },
        { "trailing", "bytes 0-1/10 ", false, 0, 0, 0 },
        { "equals", "bytes=0-1/10", false, 0, 0, 0 },
        { "huge", "bytes 0-1/99999999999999999999", false, 0, 0, 0 },
        { "nothing_can_lie_behind_it", "bytes 0-9223372036854775807/*", false, 0, 0, 0 },
        { "largest", "bytes 0-9223372036854775806/*", true, 0, INT64_MAX - 1, -1 },
        { "empty", "", false, 0, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct slice      value = property_exact(slice_of(rows[i].value));
        struct byte_range range = { 0, 0 };
        int64_t           complete = 0;
        bool              valid = policy_content_range_parse(value, &range, &complete);

        property_free(value);
        if (valid != rows[i].valid || range.first != rows[i].first || range.last != rows[i].last ||
            complete != rows[i].complete)
            fail_msg("%s", rows[i].name);
    }
}

/* A stored 206 (RFC 9111 3.3): only what it holds is answered from it. */
static void test_in_part(void **state)
{
    static const struct {
        const char *name, *content_range;
        int64_t     length;
        const char *request, *expected;
    } rows[] = {
        { "same", "bytes 5-9/10", 5, "Range: bytes=5-9\n", "5-9" },
        { "suffix", "bytes 5-9/10", 5, "Range: bytes=-5\n", "5-9" },
        { "smaller", "bytes 5-9/10", 5, "Range: bytes=6-7\n", "6-7" },
        { "to_the_end", "bytes 5-9/10", 5, "Range: bytes=6-\n", "6-9" },
        { "two", "bytes 5-9/10", 5, "Range: bytes=5-5,9-9\n", "5-5 9-9" },
        { "begins_before", "bytes 5-9/10", 5, "Range: bytes=4-7\n", "ignore" },
        { "ends_behind", "bytes 0-4/10", 5, "Range: bytes=3-5\n", "ignore" },
        { "whole_is_wanted", "bytes 5-9/10", 5, "", "ignore" },
        { "unsatisfiable_by_the_whole", "bytes 5-9/10", 5, "Range: bytes=10-\n", "unsatisfiable" },
        { "length_is_not_known", "bytes 5-9/*", 5, "Range: bytes=5-9\n", "ignore" },
        { "contradicts_its_body", "bytes 4-9/10", 5, "Range: bytes=5-9\n", "ignore" },
        { "if_range_differs", "bytes 5-9/10", 5, "Range: bytes=5-9\nIf-Range: \"b\"\n", "ignore" },
        { "if_range_holds", "bytes 5-9/10", 5, "Range: bytes=5-9\nIf-Range: \"a\"\n", "5-9" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            request = head_of(rows[i].request), head = head_of(HEAD_FIELDS);
        struct http_request    q = { .method = HTTP_GET, .fields = request.fields };
        struct stored_response r;
        struct byte_range      out[RANGE_MAX];
        unsigned               count;
        enum range_result      result;

        http_fields_add_id(&head.fields, &head.arena, HTTP_CONTENT_RANGE, slice_of(rows[i].content_range));
        r = stored(&head, 206, rows[i].length);
        result = policy_range_in_part(&q, &r, out, &count);
        if (strcmp(describe(result, out, count), rows[i].expected) != 0)
            fail_msg("%s: %s", rows[i].name, describe(result, out, count));
        if (policy_holds_range(&q, &r) != (result != RANGE_IGNORE && count < 2))
            fail_msg("%s: holds", rows[i].name);
        head.fields.count--; /* head_free() gives back what head_of() made */
        head_free(&request);
        head_free(&head);
    }
}

/* RFC 9111 3.4: what lacks is asked for under the strong validator, or not at all. */
static void test_completing(void **state)
{
    static const struct {
        const char *name, *head, *range;
    } rows[] = {
        { "end_lacks", "Content-Range: bytes 0-4/10\nETag: \"a\"\n", "bytes=5-" },
        { "end_of_unknown_lacks", "Content-Range: bytes 0-4/*\nETag: \"a\"\n", "bytes=5-" },
        { "beginning_lacks", "Content-Range: bytes 5-9/10\nETag: \"a\"\n", "bytes=0-4" },
        { "both_lack", "Content-Range: bytes 3-4/10\nETag: \"a\"\n", NULL },
        { "nothing_lacks", "Content-Range: bytes 0-9/10\nETag: \"a\"\n", NULL },
        { "weak_validator", "Content-Range: bytes 0-4/10\nETag: W/\"a\"\n", NULL },
        { "no_validator", "Content-Range: bytes 0-4/10\n", NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            head = head_of(rows[i].head);
        struct stored_response r = stored(&head, 206, -1);
        struct http_fields     fields = { 0 };
        bool                   can;

        http_fields_add_id(&fields, &head.arena, HTTP_IF_NONE_MATCH, SLICE("\"x\""));
        can = policy_completing_fields(&r, &fields, &head.arena);
        if (can != (rows[i].range != NULL))
            fail_msg("%s", rows[i].name);
        if (can && (!slice_eq(http_fields_get(&fields, HTTP_RANGE), slice_of(rows[i].range)) ||
                    !slice_eq(http_fields_get(&fields, HTTP_IF_RANGE), SLICE("\"a\"")) ||
                    http_fields_find(&fields, HTTP_IF_NONE_MATCH, 0) >= 0))
            fail_msg("%s: %.*s", rows[i].name, SLICE_ARG(http_fields_get(&fields, HTTP_RANGE)));
        if (can && http_fields_get(&fields, HTTP_IF_RANGE).ptr == http_fields_get(&r.head.fields, HTTP_ETAG).ptr)
            fail_msg("%s: the request may outlive what is stored, its validator is not its own", rows[i].name);
        head_free(&head);
    }
}

static void test_combining(void **state)
{
    static const char *const first = "Content-Range: bytes 0-4/10\nETag: \"a\"\n";
    static const struct {
        const char *name, *other;
        bool        combine;
    } rows[] = {
        { "adjoining", "Content-Range: bytes 5-9/10\nETag: \"a\"\n", true },
        { "overlapping", "Content-Range: bytes 3-9/10\nETag: \"a\"\n", true },
        { "gap", "Content-Range: bytes 6-9/10\nETag: \"a\"\n", false },
        { "other_tag", "Content-Range: bytes 5-9/10\nETag: \"b\"\n", false },
        { "weak_tag", "Content-Range: bytes 5-9/10\nETag: W/\"a\"\n", false },
        { "no_tag", "Content-Range: bytes 5-9/10\n", false },
        { "other_length", "Content-Range: bytes 5-10/11\nETag: \"a\"\n", false },
        { "unknown_length", "Content-Range: bytes 5-9/*\nETag: \"a\"\n", true },
        { "malformed", "Content-Range: bytes 5-\nETag: \"a\"\n", false },
        { "two_content_ranges", "Content-Range: bytes 5-9/10\nContent-Range: bytes 5-9/10\nETag: \"a\"\n", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head            a = head_of(first), b = head_of(rows[i].other);
        struct stored_response part = stored(&a, 206, 5), other = stored(&b, 206, -1);

        if (policy_parts_combine(&part, &other) != rows[i].combine)
            fail_msg("%s", rows[i].name);
        head_free(&a);
        head_free(&b);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ranges),           cmocka_unit_test(test_where_ranges_count),
        cmocka_unit_test(test_ranges_are_apart), cmocka_unit_test(test_content_range),
        cmocka_unit_test(test_in_part),          cmocka_unit_test(test_completing),
        cmocka_unit_test(test_combining),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
