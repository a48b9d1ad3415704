/*
 * What a request's own fields wish of the cache, and what a decision is called.
 */
#include "policy/decide.h"

#include "base/clock.h"
#include "head.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_wish(void **state)
{
    static const char all[] =
        "Weir-TTL: 1h\nWeir-Refresh: Soft\nWeir-Timeout: 5s\nweir-max-wait: 500ms\nWeir-Priority: "
        "batch\n"
        "Weir-Client: nightly job\nCache-Control: max-age=5\nPragma: no-cache\n";
    struct head         head = head_of(all);
    struct http_request r = { .method = HTTP_GET, .fields = head.fields };
    struct request_wish w;
    struct bad_wish     bad;

    (void)state;
    assert_true(policy_wish(&r, &w, &bad));
    assert_int_equal(w.ttl_override_ns, 3600 * NS_PER_SEC);
    assert_true(w.refresh_soft && !w.refresh_hard);
    assert_int_equal(w.timeout_ns, 5 * NS_PER_SEC);
    assert_int_equal(w.max_wait_ns, 500 * NS_PER_MS);
    assert_true(w.batch && !w.interactive);
    assert_true(slice_eq(w.client, SLICE("nightly job")));
    assert_int_equal(w.cc.max_age_s, 5);
    assert_false(w.pragma_no_cache);
    head_free(&head);

    head = head_of("Pragma: no-cache\n");
    r.fields = head.fields;
    assert_true(policy_wish(&r, &w, &bad));
    assert_true(w.pragma_no_cache);
    assert_int_equal(w.ttl_override_ns, POLICY_UNSET);
    assert_int_equal(w.timeout_ns, POLICY_UNSET);
    assert_int_equal(w.max_wait_ns, POLICY_UNSET);
    assert_null(w.client.ptr);
    head_free(&head);
}

static void test_bad_wishes(void **state)
{
    static const char known[] = "it knows Weir-TTL, Weir-Refresh, Weir-Timeout, Weir-Max-Wait, Weir-Priority";
    static const struct {
        const char *lines, *name, *value, *wanted;
    } rows[] = {
        { "Weir-TTL: 1 hour\n", "Weir-TTL", "1 hour", "\"1h\"" },
        { "Weir-TTL:\n", "Weir-TTL", "", "\"1h\"" },
        { "Weir-TTL: 1h\nWeir-TTL: 2h\n", "Weir-TTL", "1h", "twice" },
        { "weir-refresh: yes\n", "weir-refresh", "yes", "\"soft\" or \"hard\"" },
        { "Weir-Timeout: 0s\n", "Weir-Timeout", "0s", "above 0" },
        { "Weir-Timeout: 5\n", "Weir-Timeout", "5", "\"5s\"" },
        { "Weir-Max-Wait: soon\n", "Weir-Max-Wait", "soon", "\"2s\"" },
        { "Weir-Priority: high\n", "Weir-Priority", "high", "\"interactive\" or \"batch\"" },
        { "Weir-Client:\n", "Weir-Client", "", "1 to 128" },
        { "Weir-Client: a\tb\n", "Weir-Client", "a\tb", "printable" },
        { "Weir-Async: yes\n", "Weir-Async", "yes", "1 is wanted" },
        { "Weir-Async: 1\nWeir-Async: 1\n", "Weir-Async", "1", "twice" },
        { "Weir-Dry-Run: 0\n", "Weir-Dry-Run", "0", "\"1\", \"writes\" or \"show\"" },
        { "Weir-Dry-Run: Writes\n", "Weir-Dry-Run", "Writes", "\"1\", \"writes\" or \"show\"" },
        { "Weir-Cache-Control: max-age=1\n", "Weir-Cache-Control", "max-age=1", known },
        { "WEIR-tll: 1h\n", "WEIR-tll", "1h", known },
        { "Weir-: \n", "Weir-", "", known },
        { "Weir-TTL: 1h\nWeir-Unheard-Of: 1\n", "Weir-Unheard-Of", "1", known },
        { "Accept: x\n", NULL, NULL, NULL },
        { "Weird: x\nWeir: y\n", NULL, NULL, NULL },
        { "Weir-Dry-Run: show\n", NULL, NULL, NULL },
        { "Weir-Max-Wait: 0s\n", NULL, NULL, NULL },
        { "Weir-Max-Wait: forever\n", NULL, NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head         head = head_of(rows[i].lines);
        struct http_request r = { .method = HTTP_GET, .fields = head.fields };
        struct request_wish w;
        struct bad_wish     bad = { SLICE_NONE, SLICE_NONE, NULL };
        bool                good = policy_wish(&r, &w, &bad);

        if (good != (rows[i].name == NULL) ||
            (!good && (!slice_eq(bad.name, slice_of(rows[i].name)) || !slice_eq(bad.value, slice_of(rows[i].value)) ||
                       strstr(bad.wanted, rows[i].wanted) == NULL)))
            fail_msg("%s: %d, \"" SLICE_FMT "\", %s", rows[i].lines, good, SLICE_ARG(bad.value),
                     bad.wanted != NULL ? bad.wanted : "");
        head_free(&head);
    }
}

/* RFC 9211 2.2 */
static void test_tokens(void **state)
{
    static const char *const tokens[] = { "",     "bypass",  "method", "uri-miss", "vary-miss",
                                          "miss", "request", "stale",  "partial" };

    (void)state;
    for (int r = FWD_NONE; r <= FWD_PARTIAL; r++)
        assert_string_equal(forward_reason_token((enum forward_reason)r), tokens[r]);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wish),
        cmocka_unit_test(test_bad_wishes),
        cmocka_unit_test(test_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
