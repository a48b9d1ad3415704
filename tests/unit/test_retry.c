/*
 * Which failures are tried again, and when.
 */
#include "budget/retry.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S NS_PER_SEC

static const unsigned             listed[] = { 429, 500, 502, 503, 504 };
static const struct retry_options options = {
    .attempts = 5, .backoff_ns = S / 2, .max_backoff_ns = 30 * S, .statuses = listed, .status_count = 5, .share = 0.2
};

static struct retry_question question(enum attempt_outcome outcome, unsigned status, enum http_method method)
{
    return (struct retry_question){ .outcome = outcome,
                                    .status = status,
                                    .attempts_made = 1,
                                    .method = method,
                                    .body_kept = true,
                                    .told_ns = -1,
                                    .wait_left_ns = 30 * S,
                                    .share_left = true };
}

static void test_which(void **state)
{
    static const struct {
        const char          *name;
        enum attempt_outcome outcome;
        unsigned             status;
        enum http_method     method;
        bool                 again;
    } rows[] = {
        { "an_answer_is_an_answer", ATTEMPT_OK, 200, HTTP_GET, false },
        { "listed_status_of_get", ATTEMPT_STATUS, 503, HTTP_GET, true },
        { "unlisted_status", ATTEMPT_STATUS, 404, HTTP_GET, false },
        { "listed_status_of_put_which_is_idempotent", ATTEMPT_STATUS, 500, HTTP_PUT, true },
        { "listed_status_of_delete_which_is_idempotent", ATTEMPT_STATUS, 500, HTTP_DELETE, true },
        { "listed_status_of_post_may_have_been_done", ATTEMPT_STATUS, 503, HTTP_POST, false },
        { "listed_status_of_patch_may_have_been_done", ATTEMPT_STATUS, 503, HTTP_PATCH, false },
        { "429_of_post_was_not_done", ATTEMPT_STATUS, 429, HTTP_POST, true },
        { "429_of_an_unknown_method", ATTEMPT_STATUS, 429, HTTP_OTHER, true },
        { "refused_post_was_not_done", ATTEMPT_REFUSED, 0, HTTP_POST, true },
        { "dropped_get", ATTEMPT_DROPPED, 0, HTTP_GET, true },
        { "dropped_post", ATTEMPT_DROPPED, 0, HTTP_POST, false },
        { "timeout_of_head", ATTEMPT_TIMEOUT, 0, HTTP_HEAD, true },
        { "timeout_of_post", ATTEMPT_TIMEOUT, 0, HTTP_POST, false },
        { "cut_short_get", ATTEMPT_CUT_SHORT, 200, HTTP_GET, true },
        { "cut_short_post", ATTEMPT_CUT_SHORT, 200, HTTP_POST, false },
        { "invalid_body_of_get", ATTEMPT_INVALID, 200, HTTP_GET, true },
        { "invalid_body_of_post", ATTEMPT_INVALID, 200, HTTP_POST, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct retry_question q = question(rows[i].outcome, rows[i].status, rows[i].method);

        if (retry_decide(&options, &q).again != rows[i].again)
            fail_msg("%s", rows[i].name);
    }
}

static void test_key_makes_it_repeatable(void **state)
{
    struct retry_question q = question(ATTEMPT_DROPPED, 0, HTTP_POST);

    (void)state;
    q.idempotency_key = true;
    assert_true(retry_decide(&options, &q).again);
    q.body_kept = false;
    assert_false(retry_decide(&options, &q).again);
}

static void test_bounds(void **state)
{
    struct retry_question q = question(ATTEMPT_STATUS, 503, HTTP_GET);

    (void)state;
    q.attempts_made = 4;
    assert_true(retry_decide(&options, &q).again);
    q.attempts_made = 5;
    assert_false(retry_decide(&options, &q).again);
    q = question(ATTEMPT_STATUS, 503, HTTP_GET);
    q.client_saw_byte = true;
    assert_false(retry_decide(&options, &q).again);
    q = question(ATTEMPT_STATUS, 503, HTTP_GET);
    q.share_left = false;
    assert_false(retry_decide(&options, &q).again);
    q = question(ATTEMPT_STATUS, 503, HTTP_GET);
    q.wait_left_ns = S / 4 - 1;
    assert_false(retry_decide(&options, &q).again);
    q.wait_left_ns = S / 4;
    assert_true(retry_decide(&options, &q).again);
}

/* A batch's 429 is a wait, and no failure that adds up. */
static void test_refusals(void **state)
{
    static const struct {
        const char *name;
        unsigned    status, made;
        bool        share_left;
        int64_t     told_ns, bears_ns, after_ns; /* after_ns -1: not again */
    } rows[] = {
        { "nobody_bears_it", 429, 5, true, 9 * S, 0, -1 },
        { "a_batch_does", 429, 5, true, 9 * S, 60 * S, 9 * S },
        { "for_as_long_as_it_waits_at_all", 429, 5, true, 90 * S, 60 * S, -1 },
        { "which_is_longer_than_others_do", 429, 500, true, 90 * S, 900 * S, 90 * S },
        { "with_no_share_left", 429, 2, false, 9 * S, 60 * S, 9 * S },
        { "by_back_off_where_nothing_is_said", 429, 500, true, -1, 60 * S, 30 * S },
        { "a_failure_is_no_refusal", 503, 5, true, 9 * S, 60 * S, -1 },
        { "nor_without_a_share", 503, 2, false, 9 * S, 60 * S, -1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct retry_question q = question(ATTEMPT_STATUS, rows[i].status, HTTP_POST);
        struct retry_answer   a;

        if (rows[i].status == 503)
            q.method = HTTP_GET;
        q.attempts_made = rows[i].made;
        q.share_left = rows[i].share_left;
        q.told_ns = rows[i].told_ns;
        q.bears_ns = rows[i].bears_ns;
        q.chance = 1.0;
        a = retry_decide(&options, &q);
        if ((a.again ? a.after_ns : -1) != rows[i].after_ns)
            fail_msg("%s", rows[i].name);
    }
}

static void test_pauses(void **state)
{
    static const struct {
        const char *name;
        unsigned    made;
        double      chance;
        int64_t     after_ns;
    } rows[] = {
        { "first_least", 1, 0.0, S / 4 },
        { "first_most", 1, 1.0, S / 2 },
        { "second_least", 2, 0.0, S / 2 },
        { "third_most", 3, 1.0, 2 * S },
        { "fourth_middle", 4, 0.5, 3 * S },
        { "max_backoff", 60, 1.0, 30 * S },
        { "max_backoff_least", 2000000000, 0.0, 15 * S },
    };
    struct retry_options o = options;

    (void)state;
    o.attempts = 0xffffffff;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct retry_question q = question(ATTEMPT_TIMEOUT, 0, HTTP_GET);
        struct retry_answer   a;

        q.attempts_made = rows[i].made;
        q.chance = rows[i].chance;
        a = retry_decide(&o, &q);
        if (!a.again || a.after_ns != rows[i].after_ns)
            fail_msg("%s: %lld", rows[i].name, (long long)a.after_ns);
    }
}

static void test_retry_after_counts(void **state)
{
    struct retry_question q = question(ATTEMPT_STATUS, 429, HTTP_POST);

    (void)state;
    q.told_ns = 7 * S;
    assert_int_equal(retry_decide(&options, &q).after_ns, 7 * S);
    q.told_ns = 31 * S; /* over what the client waits */
    assert_false(retry_decide(&options, &q).again);
    q.told_ns = 0; /* not at once with all the others */
    assert_int_equal(retry_decide(&options, &q).after_ns, S / 4);
    q.told_ns = -1;
    assert_int_equal(retry_decide(&options, &q).after_ns, S / 4);
}

static void test_tokens(void **state)
{
    (void)state;
    assert_string_equal(attempt_outcome_token(ATTEMPT_OK), "ok");
    assert_string_equal(attempt_outcome_token(ATTEMPT_CUT_SHORT), "cut_short");
    assert_string_equal(attempt_outcome_token(ATTEMPT_INVALID), "invalid");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which),  cmocka_unit_test(test_key_makes_it_repeatable),
        cmocka_unit_test(test_bounds), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_pauses), cmocka_unit_test(test_retry_after_counts),
        cmocka_unit_test(test_tokens),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
