/*
 * When a hit has an answer asked about again before it is stale (setting prefetch).
 */
#include "policy/decide.h"

#include "base/clock.h"
#include "head.h"

#include <math.h>
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static const int64_t T0 = INT64_C(784111777) * NS_PER_SEC;

enum { SERVE = VERDICT_SERVE, BEHIND = VERDICT_SERVE_AND_REFRESH, ASK = VERDICT_REVALIDATE };

struct row {
    const char                  *name, *stored; /* head */
    int64_t                      age_s;         /* since it was received */
    const char                  *request, *method;
    const struct policy_options *o;
    int                          verdict;
    enum refresh                 refresh;
};

struct question { /* a row, set up */
    struct head            head, request_head;
    struct http_request    request;
    struct request_wish    wish;
    struct stored_response stored;
};

static void set_up(struct question *q, const struct row *row)
{
    struct bad_wish bad;

    *q = (struct question){ .head = head_of(row->stored), .request_head = head_of(row->request) };
    q->request = (struct http_request){ .method = http_method_parse(slice_of(row->method)),
                                        .method_name = slice_of(row->method),
                                        .fields = q->request_head.fields };
    q->stored = (struct stored_response){ .head = { 200, q->head.fields },
                                          .requested_wall_ns = T0,
                                          .received_wall_ns = T0,
                                          .body_bytes = 10 };
    assert_true(policy_wish(&q->request, &q->wish, &bad));
}

static void tear_down(struct question *q)
{
    head_free(&q->head);
    head_free(&q->request_head);
}

/* Ages at which a hit has the answer asked about again; a tenth of the last tenth of 1000 s is 10 s. */
static void test_prefetch(void **state)
{
    static const struct policy_options fixed = { .ttl = { TTL_FIXED, .ns = 1000 * NS_PER_SEC },
                                                 .prefetch = { .last = 0.1 },
                                                 .stale_while_revalidate_ns = 10 * NS_PER_SEC };
    static const struct policy_options said = { .prefetch = { .last = 0.1 }, .key_body = true };
    static const struct policy_options without = { .ttl = { TTL_FIXED, .ns = 1000 * NS_PER_SEC } };
    static const struct policy_options forever = { .ttl = { .kind = TTL_FOREVER }, .prefetch = { .last = 0.1 } };
    static const struct policy_options off = { .ttl = { TTL_FIXED, .ns = 1000 * NS_PER_SEC },
                                               .prefetch = { .last = (double)NAN } };

    static const struct row rows[] = {
        { "early_in_its_life", "", 1, "", "GET", &fixed, SERVE, REFRESH_NONE },
        { "before_all_that_is_scattered", "", 889, "", "GET", &fixed, SERVE, REFRESH_NONE },
        { "after_all_that_is_scattered", "", 911, "", "GET", &fixed, SERVE, REFRESH_EARLY },
        { "last_moment", "", 999, "", "GET", &fixed, SERVE, REFRESH_EARLY },
        { "stale_is_refreshed_behind", "", 1001, "", "GET", &fixed, BEHIND, REFRESH_STALE },
        { "beyond_that_is_asked", "", 1011, "", "GET", &fixed, ASK, REFRESH_NONE },
        { "of_what_the_origin_says", "Cache-Control: max-age=1000\n", 950, "", "GET", &said, SERVE, REFRESH_EARLY },
        { "age_counts", "Cache-Control: max-age=1000\nAge: 940\n", 10, "", "GET", &said, SERVE, REFRESH_EARLY },
        { "of_a_post_keyed_by_its_body", "Cache-Control: max-age=1000\n", 950, "", "POST", &said, SERVE,
          REFRESH_EARLY },
        { "not_for_a_head", "", 950, "", "HEAD", &fixed, SERVE, REFRESH_NONE },
        { "not_for_only_if_cached", "", 950, "Cache-Control: only-if-cached\n", "GET", &fixed, SERVE, REFRESH_NONE },
        { "nor_while_stale", "", 1001, "Cache-Control: only-if-cached\n", "GET", &fixed, SERVE, REFRESH_NONE },
        { "not_by_a_life_of_the_request's", "", 95, "Weir-TTL: 100s\n", "GET", &fixed, SERVE, REFRESH_NONE },
        { "not_what_has_no_end", "", 950, "", "GET", &forever, SERVE, REFRESH_NONE },
        { "not_where_no_rule_says_so", "", 950, "", "GET", &without, SERVE, REFRESH_NONE },
        { "not_where_it_is_not_set", "", 950, "", "GET", &off, SERVE, REFRESH_NONE },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const int64_t   now = T0 + rows[i].age_s * NS_PER_SEC;
        struct question q;
        struct decision d;
        int64_t         in;

        set_up(&q, &rows[i]);
        d = policy_decide(rows[i].o, &q.request, &q.wish, &q.stored, false, now);
        if ((int)d.verdict != rows[i].verdict)
            fail_msg("%s: verdict %d", rows[i].name, (int)d.verdict);
        if (d.refresh != rows[i].refresh)
            fail_msg("%s: %d", rows[i].name, (int)d.refresh);
        in = policy_early_in_ns(rows[i].o, &q.request, &q.wish, &q.stored, now);
        if ((in == 0) != (rows[i].refresh == REFRESH_EARLY))
            fail_msg("%s: in %lld", rows[i].name, (long long)in);
        if (in > 0 && in < INT64_MAX) { /* from then on it is, and not a nanosecond sooner */
            assert_int_equal(policy_early_in_ns(rows[i].o, &q.request, &q.wish, &q.stored, now + in - 1), 1);
            assert_int_equal(policy_early_in_ns(rows[i].o, &q.request, &q.wish, &q.stored, now + in), 0);
        }
        tear_down(&q);
    }
}

/* What came in one moment is not asked about in one moment again. */
static void test_prefetch_is_scattered(void **state)
{
    static const struct policy_options o = { .ttl = { TTL_FIXED, .ns = 1000 * NS_PER_SEC },
                                             .prefetch = { .last = 0.1 } };
    static const struct row            row = { "scatter", "", 0, "", "GET", &o, SERVE, REFRESH_NONE };
    unsigned                           tenths[10] = { 0 };
    struct question                    q;

    (void)state;
    set_up(&q, &row);
    for (int i = 0; i < 1000; i++) {
        int64_t in;

        q.stored.received_wall_ns = q.stored.requested_wall_ns = T0 + i * INT64_C(1000037);
        in = policy_early_in_ns(&o, &q.request, &q.wish, &q.stored, q.stored.received_wall_ns);
        assert_in_range(in, 890 * NS_PER_SEC, 910 * NS_PER_SEC);
        tenths[(in - 890 * NS_PER_SEC) / (2 * NS_PER_SEC + 1)]++;
    }
    for (int i = 0; i < 10; i++)
        if (tenths[i] < 50 || tenths[i] > 150)
            fail_msg("%d: %u of 1000", i, tenths[i]);
    tear_down(&q);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefetch),
        cmocka_unit_test(test_prefetch_is_scattered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
