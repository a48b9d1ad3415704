/*
 * How often an API is asked, for how long, and what that costs.
 */
#include "upstream_rig.h"

#include "budget/breaker.h"

/* -- retries and charges -- */

static uint64_t limit_left(struct rig *r)
{
    struct upstream_report report;
    uint64_t               left;

    rig_report(r, &report);
    assert_int_equal(report.count, 1);
    assert_true(report.entries[0].limit_count > 0);
    left = report.entries[0].limits[0].left;
    arena_free(&report.arena);
    return left;
}

static const struct retry_row {
    const char          *name, *method;
    unsigned             attempts;
    const char          *texts[6];
    enum fetch_event     event;
    unsigned             status;
    const char          *body;
    unsigned             requests; /* at the origin, and charged */
    unsigned             attempts_told;
    enum attempt_outcome first;
} retries[] = {
    { "listed_status_then_ok", "GET", 3, { SORRY, HELLO }, FETCH_HEAD, 200, "hello", 2, 2, ATTEMPT_STATUS },
    { "listed_status_to_the_end_passes_through", "GET", 3, { SORRY }, FETCH_HEAD, 503, "busy", 3, 3, ATTEMPT_STATUS },
    { "unlisted_status_is_an_answer",
      "GET",
      3,
      { "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n" },
      FETCH_HEAD,
      500,
      "",
      1,
      1,
      ATTEMPT_OK },
    { "dropped_then_ok", "GET", 3, { "!", HELLO }, FETCH_HEAD, 200, "hello", 2, 2, ATTEMPT_DROPPED },
    { "reset_then_ok", "GET", 3, { "!reset", HELLO }, FETCH_HEAD, 200, "hello", 2, 2, ATTEMPT_DROPPED },
    { "dropped_to_the_end", "GET", 3, { "!" }, FETCH_FAILED, 0, NULL, 3, 3, ATTEMPT_DROPPED },
    { "a_post_that_was_dropped_is_not_repeated",
      "POST",
      3,
      { "!", HELLO },
      FETCH_FAILED,
      0,
      NULL,
      1,
      1,
      ATTEMPT_DROPPED },
    { "a_post_that_got_429_is_repeated",
      "POST",
      3,
      { "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", HELLO },
      FETCH_HEAD,
      200,
      "hello",
      2,
      2,
      ATTEMPT_STATUS },
    { "a_post_that_got_503_is_not_repeated",
      "POST",
      3,
      { SORRY, HELLO },
      FETCH_HEAD,
      503,
      "busy",
      1,
      1,
      ATTEMPT_STATUS },
    { "a_long_failure_is_not_read_out",
      "GET",
      2,
      { "!HTTP/1.1 503 Busy\r\nContent-Length: 9999999\r\n\r\nx", HELLO },
      FETCH_HEAD,
      200,
      "hello",
      2,
      2,
      ATTEMPT_STATUS },
    { "a_body_cut_behind_its_head_is_not_repeated",
      "GET",
      3,
      { "!" OK_HEAD "Content-Length: 50\r\n\r\nhello", HELLO },
      FETCH_HEAD,
      200,
      NULL,
      1,
      1,
      ATTEMPT_OK },
};

static void failures_are_tried_again(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof retries / sizeof *retries; i++) {
        const struct retry_row *row = &retries[i];
        struct rig              r;
        struct fetch           *f;
        char                    body[64] = "";
        size_t                  got;

        rig_open(&r, say_in_turn, row->texts);
        rig_limit(&r, 0, "hour", 100, 3600 * NS_PER_SEC);
        r.options.retry.attempts = row->attempts;
        r.options.retry.statuses = listed;
        r.options.retry.status_count = 2;
        rig_start(&r);
        f = rig_fetch(&r, row->method, "/x", "");
        rig_submit(&r, f);
        if (rig_await(&r, f) != row->event || (row->event == FETCH_HEAD && f->answer->head.status != row->status))
            fail_msg("%s: event %d %s", row->name, f->event, f->said.error);
        if (row->body != NULL &&
            (rig_body(&r, f, body, sizeof body, &got) != SPOOL_READ_END || strcmp(body, row->body) != 0))
            fail_msg("%s: body \"%s\"", row->name, body);
        if (api_requests(r.origin) != row->requests || f->outcome.attempt_count != row->attempts_told ||
            f->outcome.attempts[0].outcome != row->first)
            fail_msg("%s: %u requests, %u attempts, the first %s", row->name, api_requests(r.origin),
                     f->outcome.attempt_count, attempt_outcome_token(f->outcome.attempts[0].outcome));
        rig_leave(&r, f);
        rig_settle(&r);
        if (limit_left(&r) != 100 - row->requests)
            fail_msg("%s: %u left", row->name, (unsigned)limit_left(&r));
        rig_close(&r);
    }
}

/* The second request of a connection gets nothing but its end. */
static void drop_second_turn(struct talk *t, const void *context)
{
    (void)context;
    if (talk_turn(t) > 0) {
        talk_hang_up(t);
        return;
    }
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
}

static const struct {
    const char      *name, *method;
    unsigned         attempts;
    enum fetch_event event;
    unsigned         requests;
} reused[] = {
    { "tried_again_by_us_and_charged_again", "GET", 2, FETCH_HEAD, 3 },
    { "never_sent_again_by_itself", "GET", 1, FETCH_FAILED, 2 },
    { "a_post_is_never_sent_again", "POST", 2, FETCH_FAILED, 2 },
};

static void a_reused_connection_that_dies_is_our_own_retry(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof reused / sizeof *reused; i++) {
        struct rig    r;
        struct fetch *first, *second;

        rig_open(&r, drop_second_turn, NULL);
        rig_limit(&r, 0, "hour", 100, 3600 * NS_PER_SEC);
        r.options.retry.attempts = reused[i].attempts;
        rig_start(&r);
        first = rig_fetch(&r, "GET", "/first", "");
        rig_expect(&r, first, FETCH_HEAD, 200);
        rig_expect_body(&r, first, "ok");
        rig_leave(&r, first);
        rig_settle(&r);
        second = rig_fetch(&r, reused[i].method, "/second", "");
        rig_submit(&r, second);
        if (rig_await(&r, second) != reused[i].event)
            fail_msg("%s: event %d", reused[i].name, second->event);
        rig_leave(&r, second);
        rig_settle(&r);
        if (api_requests(r.origin) != reused[i].requests || limit_left(&r) != 100 - reused[i].requests)
            fail_msg("%s: %u requests, %u left", reused[i].name, api_requests(r.origin), (unsigned)limit_left(&r));
        rig_close(&r);
    }
}

static void a_refused_connection_costs_nothing(void **state)
{
    struct rig    r;
    struct api   *gone = api_open(say_text, NULL);
    struct fetch *f;

    (void)state;
    rig_open(&r, say_text, "");
    snprintf(r.authority, sizeof r.authority, "127.0.0.1:%u", api_port(gone));
    api_close(gone);
    rig_limit(&r, 0, "hour", 100, 3600 * NS_PER_SEC);
    r.options.retry.attempts = 3;
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    rig_expect(&r, f, FETCH_FAILED, 0);
    assert_int_equal(f->said.failed_as, ATTEMPT_REFUSED);
    assert_string_equal(f->said.proxy_error, "connection_refused");
    assert_int_equal(f->outcome.attempt_count, 3);
    rig_leave(&r, f);
    rig_settle(&r);
    assert_int_equal(limit_left(&r), 100);
    rig_close(&r);
}

static void a_dead_upstream_is_not_asked(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say_in_turn, (const char *[]){ "!", NULL });
    rig_start(&r);
    for (unsigned i = 0; i < BREAKER_FAILURES + 1; i++) {
        struct fetch *f = rig_fetch(&r, "GET", "/x", "");

        rig_expect(&r, f, FETCH_FAILED, 0);
        if (i < BREAKER_FAILURES) {
            assert_string_equal(f->said.proxy_error, "connection_terminated");
        } else {
            assert_string_equal(f->said.proxy_error, "destination_unavailable");
            assert_true(f->said.wait_ns > 0 && f->said.wait_ns <= NS_PER_SEC);
        }
        rig_leave(&r, f);
    }
    rig_settle(&r);
    assert_int_equal(api_requests(r.origin), BREAKER_FAILURES);
    rig_close(&r);
}

/* -- time-outs -- */

static void stall(struct talk *t, const void *text)
{
    talk_say(t, text);
    talk_until_closed(t);
}

static void silence_ends_with_a_timeout(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, stall, "");
    r.options.timeout.read_ns = 50 * NS_PER_MS;
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_FAILED, 0);
    assert_int_equal(f->said.failed_as, ATTEMPT_TIMEOUT);
    assert_string_equal(f->said.proxy_error, "http_response_timeout");
    rig_leave(&r, f);
    rig_close(&r);
}

/* False where this machine was so busy that the time was over before the head was there. */
static bool body_is_cut_after(int64_t read_timeout_ns)
{
    struct rig    r;
    struct fetch *f;
    char          body[32];
    size_t        got;
    bool          in_time;

    rig_open(&r, stall, OK_HEAD "Content-Length: 9\r\n\r\nhalf");
    r.options.timeout.read_ns = read_timeout_ns;
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_submit(&r, f);
    in_time = rig_await(&r, f) == FETCH_HEAD;
    if (in_time) {
        assert_int_equal(rig_body(&r, f, body, sizeof body, &got), SPOOL_READ_CUT);
        assert_string_equal(body, "half");
    } else {
        assert_int_equal(f->said.failed_as, ATTEMPT_TIMEOUT);
    }
    rig_leave(&r, f);
    rig_close(&r);
    return in_time;
}

static void a_stalled_body_is_cut(void **state)
{
    int64_t read_timeout_ns = 100 * NS_PER_MS;

    (void)state;
    while (!body_is_cut_after(read_timeout_ns)) {
        read_timeout_ns *= 2;
        assert_true(read_timeout_ns < 60 * NS_PER_SEC);
    }
}

static void an_attempt_has_an_end(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, stall, "HTTP/1.1 100 Continue\r\n\r\n");
    r.options.timeout.total_ns = 400 * NS_PER_MS;
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_FAILED, 0);
    assert_int_equal(f->said.failed_as, ATTEMPT_TIMEOUT);
    rig_leave(&r, f);
    rig_close(&r);
}

/* -- the budget -- */

static void over_budget_is_refused_at_once(void **state)
{
    struct rig    r;
    struct fetch *first, *second;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
    rig_limit(&r, 0, "hourly", 1, 3600 * NS_PER_SEC);
    rig_start(&r);
    first = rig_fetch(&r, "GET", "/a", "");
    rig_expect(&r, first, FETCH_HEAD, 200);
    second = rig_fetch(&r, "GET", "/b", "");
    rig_expect(&r, second, FETCH_REFUSED, 0);
    assert_string_equal(second->said.limit, "hourly");
    if (second->said.wait_ns < 3590 * NS_PER_SEC || second->said.wait_ns > 3610 * NS_PER_SEC)
        fail_msg("told to wait for %lld ns", (long long)second->said.wait_ns);
    assert_int_equal(api_requests(r.origin), 1);
    rig_leave(&r, first);
    rig_leave(&r, second);
    rig_close(&r);
}

static void waiting_goes_in_order_and_within_the_limit(void **state)
{
    enum { COUNT = 6 };
    struct rig    r;
    struct fetch *f[COUNT];
    int64_t       began;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
    rig_limit(&r, 0, "pairs", 2, 200 * NS_PER_MS);
    r.options.origin.max_connections = 1; /* on several, one may overtake another on its way */
    rig_start(&r);
    began = clock_mono_ns();
    for (unsigned i = 0; i < COUNT; i++) {
        char target[16];

        snprintf(target, sizeof target, "/%u", i);
        f[i] = rig_fetch(&r, "GET", target, "");
        rig_submit(&r, f[i]);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        char line[32];

        assert_int_equal(rig_await(&r, f[i]), FETCH_HEAD);
        snprintf(line, sizeof line, "GET /%u ", i);
        assert_true(starts_with(api_text(r.origin, i), line));
        assert_true(clock_mono_ns() - began >= (int64_t)(i / 2) * 200 * NS_PER_MS);
        if (i >= 2)
            assert_true(f[i]->outcome.queued_ns > 0);
        rig_leave(&r, f[i]);
    }
    rig_close(&r);
}

static void so_many_at_a_time_and_no_more(void **state)
{
    enum { COUNT = 5 };
    struct rig             r;
    struct fetch          *f[COUNT];
    struct upstream_report report;

    (void)state;
    rig_open(&r, swallow_nothing, NULL);
    r.options.max_in_flight = 2;
    rig_start(&r);
    for (unsigned i = 0; i < COUNT; i++) {
        f[i] = rig_fetch(&r, "POST", "/x", "");
        rig_submit(&r, f[i]);
    }
    api_await(r.origin, 2);
    rig_report(&r, &report);
    assert_int_equal(report.entries[0].in_flight, 2);
    assert_int_equal(report.entries[0].waiting, 3);
    assert_int_equal(report.entries[0].connections, 2);
    arena_free(&report.arena);
    assert_int_equal(api_requests(r.origin), 2);
    api_let_go(r.origin);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(rig_await(&r, f[i]), FETCH_FAILED);
        rig_leave(&r, f[i]);
    }
    assert_int_equal(api_requests(r.origin), COUNT);
    rig_close(&r);
}

static void a_full_queue_refuses(void **state)
{
    struct rig    r;
    struct fetch *f[3];

    (void)state;
    rig_open(&r, swallow_nothing, NULL);
    r.options.max_in_flight = 1;
    r.options.queue.max_length = 1;
    rig_start(&r);
    for (unsigned i = 0; i < 3; i++) {
        f[i] = rig_fetch(&r, "POST", "/x", "");
        rig_submit(&r, f[i]);
        if (i == 0)
            api_await(r.origin, 1);
    }
    assert_int_equal(rig_await(&r, f[2]), FETCH_REFUSED);
    assert_string_equal(f[2]->said.limit, "queue");
    api_let_go(r.origin);
    for (unsigned i = 0; i < 3; i++) {
        rig_await(&r, f[i]);
        rig_leave(&r, f[i]);
    }
    rig_close(&r);
}

static void one_that_waits_too_long_is_refused(void **state)
{
    struct rig    r;
    struct fetch *first, *second;

    (void)state;
    rig_open(&r, swallow_nothing, NULL);
    r.options.max_in_flight = 1; /* whose end nobody can predict */
    rig_start(&r);
    first = rig_fetch(&r, "POST", "/x", "");
    rig_submit(&r, first);
    api_await(r.origin, 1);
    second = rig_fetch(&r, "POST", "/x", "");
    second->patience.max_wait_ns = 10 * NS_PER_MS;
    rig_expect(&r, second, FETCH_REFUSED, 0);
    assert_string_equal(second->said.limit, "queue");
    api_let_go(r.origin);
    rig_await(&r, first);
    rig_leave(&r, first);
    rig_leave(&r, second);
    rig_settle(&r);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

static void a_new_configuration_keeps_what_was_spent(void **state)
{
    struct rig                     r;
    struct fetch                  *f;
    struct upstream_options        again;
    const struct upstream_options *all[] = { &again };

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
    rig_limit(&r, 0, "hour", 100, 3600 * NS_PER_SEC);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/a", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    rig_leave(&r, f);
    again = r.options;
    upstream_configure(r.up, &r.config, all, 1);
    assert_int_equal(limit_left(&r), 99);
    upstream_configure(r.up, &r.config, NULL, 0); /* taken away, and back again */
    upstream_configure(r.up, &r.config, NULL, 0);
    upstream_configure(r.up, &r.config, all, 1);
    assert_int_equal(limit_left(&r), 99);
    rig_close(&r);
}

static void a_restart_keeps_what_was_spent(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 2\r\n\r\nok");
    rig_keep(&r);
    rig_limit(&r, 0, "day", 5, 24 * 3600 * NS_PER_SEC);
    for (unsigned i = 0; i < 6; i++) {
        struct fetch *f;

        rig_start(&r);
        f = rig_fetch(&r, "GET", "/a", "");
        rig_expect(&r, f, i < 5 ? FETCH_HEAD : FETCH_REFUSED, 200);
        rig_leave(&r, f);
        rig_stop(&r);
    }
    assert_int_equal(api_requests(r.origin), 5);
    rig_start(&r);
    assert_int_equal(limit_left(&r), 0);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(failures_are_tried_again),
        cmocka_unit_test(a_reused_connection_that_dies_is_our_own_retry),
        cmocka_unit_test(a_refused_connection_costs_nothing),
        cmocka_unit_test(a_dead_upstream_is_not_asked),
        cmocka_unit_test(silence_ends_with_a_timeout),
        cmocka_unit_test(a_stalled_body_is_cut),
        cmocka_unit_test(an_attempt_has_an_end),
        cmocka_unit_test(over_budget_is_refused_at_once),
        cmocka_unit_test(waiting_goes_in_order_and_within_the_limit),
        cmocka_unit_test(so_many_at_a_time_and_no_more),
        cmocka_unit_test(a_full_queue_refuses),
        cmocka_unit_test(one_that_waits_too_long_is_refused),
        cmocka_unit_test(a_new_configuration_keeps_what_was_spent),
        cmocka_unit_test(a_restart_keeps_what_was_spent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
