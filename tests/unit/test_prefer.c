/*
 * Prefer (RFC 7240): what is Weir's, and what is left for others.
 */
#include "http/prefer.h"

#include "base/clock.h"
#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const struct {
    const char *name, *lines;
    bool        async;
    int64_t     wait_s; /* -1: none */
    const char *left;   /* NULL: no field */
} rows[] = {
    { "none", "", false, -1, NULL },
    { "async_alone", "Prefer: respond-async\n", true, -1, NULL },
    { "any_case", "prefer: Respond-Async\n", true, -1, NULL },
    { "async_and_wait", "Prefer: respond-async, wait=2\n", true, 2, NULL },
    { "wait_alone", "Prefer: wait=10\n", false, 10, NULL },
    { "quoted_wait", "Prefer: wait=\"10\"\n", false, 10, NULL },
    { "first_wait_counts", "Prefer: wait=1, wait=9\n", false, 1, NULL },
    { "wait_that_is_no_number", "Prefer: wait=soon\n", false, -1, NULL },
    { "negative_wait", "Prefer: wait=-1\n", false, -1, NULL },
    { "wait_of_a_century", "Prefer: wait=3153600000\n", false, 86400, NULL },
    { "others_stay", "Prefer: return=minimal, respond-async, handling=lenient\n", true, -1,
      "return=minimal, handling=lenient" },
    { "others_alone", "Prefer: return=minimal\n", false, -1, "return=minimal" },
    { "several_lines", "Prefer: return=minimal\nPrefer: respond-async\nPrefer: x=\"a, b\"\n", true, -1,
      "return=minimal, x=\"a, b\"" },
    { "parameters", "Prefer: respond-async; a=b, wait=3; c\n", true, 3, NULL },
    { "part_of_a_name", "Prefer: respond-async-now, waiting=2\n", false, -1, "respond-async-now, waiting=2" },
    { "in_quotes", "Prefer: note=\"respond-async, wait=2\"\n", false, -1, "note=\"respond-async, wait=2\"" },
};

static void test_prefer(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct head         h = head_of(rows[i].lines);
        const struct prefer p = prefer_read(&h.fields);
        struct arena        a = { 0 };
        struct http_fields  f = http_fields_copy(&h.fields, &a);
        struct slice        left;

        if (p.respond_async != rows[i].async || p.wait_ns != (rows[i].wait_s < 0 ? -1 : rows[i].wait_s * NS_PER_SEC))
            fail_msg("%s: async %d, wait %lld", rows[i].name, p.respond_async, (long long)p.wait_ns);
        prefer_remove(&f, &a);
        left = http_fields_join(&f, SLICE("Prefer"), &a);
        if ((left.ptr == NULL) != (rows[i].left == NULL) || !slice_eq(left, slice_of(rows[i].left)))
            fail_msg("%s: left is \"" SLICE_FMT "\"", rows[i].name, SLICE_ARG(left));
        arena_free(&a);
        head_free(&h);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefer),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
