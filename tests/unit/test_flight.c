/*
 * Flights: equal fetches share one request as long as the answer may be
 * shared, and nobody waits for what is not his.
 */
#include "rig.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { CROWD = 25 };

#define BODY  "Content-Length: 5\r\n\r\nhello"
#define FRESH "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n" BODY

static void say(struct talk *t, const void *text)
{
    talk_say(t, text);
}

/* Holds every answer back until the test lets go. */
static void wait_and_say(struct talk *t, const void *text)
{
    talk_wait(t);
    talk_say(t, text);
}

static void submit_all(struct rig *r, struct fetch **f, unsigned count, const char *method, const char *lines)
{
    for (unsigned i = 0; i < count; i++) {
        f[i] = rig_fetch(r, method, "/x", lines);
        rig_submit(r, f[i]);
    }
}

static void leave_all(struct rig *r, struct fetch **f, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        rig_leave(r, f[i]);
}

static void ask_once(struct rig *r)
{
    struct upstream_report report;

    rig_report(r, &report);
    arena_free(&report.arena);
}

/* Until no flight is left: also what was stored is committed then. */
static void until_quiet(struct rig *r)
{
    int64_t until = clock_mono_ns() + 30 * NS_PER_SEC;

    for (;;) {
        struct upstream_report report;
        unsigned               flights;

        rig_report(r, &report);
        flights = report.flights;
        arena_free(&report.arena);
        if (flights == 0)
            return;
        if (clock_mono_ns() > until)
            fail_msg("%u flights do not end", flights);
    }
}

/* -- who shares -- */

static const struct share_row {
    const char *name, *method, *text, *lines;
    unsigned    requests; /* of CROWD equal fetches */
    bool        stored;
    unsigned    cookies; /* answers with Set-Cookie */
} shares[] = {
    { "fresh", "GET", FRESH, "", 1, true, 0 },
    { "fresh_head", "HEAD", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n", "", 1, false,
      0 },
    { "private", "GET", "HTTP/1.1 200 OK\r\nCache-Control: private, max-age=60\r\n" BODY, "", CROWD, false, 0 },
    { "no_store", "GET", "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\n" BODY, "", CROWD, false, 0 },
    { "vary_star", "GET", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: *\r\n" BODY, "", CROWD, false, 0 },
    { "vary_on_what_is_equal", "GET", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\n" BODY,
      "Accept-Language: de\n", 1, true, 0 },
    { "an_error", "GET", "HTTP/1.1 500 Oops\r\n" BODY, "", 1, false, 0 },
    { "an_error_that_is_not_stored", "GET", "HTTP/1.1 503 Oops\r\nCache-Control: no-store\r\n" BODY, "", 1, false, 0 },
    { "an_error_with_a_cookie", "GET", "HTTP/1.1 503 Oops\r\nSet-Cookie: a=b\r\n" BODY, "", 1, false, 1 },
    { "too_many_requests", "GET", "HTTP/1.1 429 Slow\r\n" BODY, "", 1, false, 0 },
    { "forbidden", "GET", "HTTP/1.1 403 No\r\n" BODY, "", 1, false, 0 },
    { "forbidden_and_private", "GET", "HTTP/1.1 403 No\r\nCache-Control: private\r\n" BODY, "", CROWD, false, 0 },
    { "a_cookie", "GET", "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nSet-Cookie: a=b\r\n" BODY, "", CROWD, false,
      CROWD },
    { "conditions_of_the_clients", "GET", FRESH, "If-None-Match: \"q\"\n", CROWD, true, 0 },
};

static void answers_are_shared_as_they_allow(void **state)
{
    static const unsigned listed[] = { 429 };

    (void)state;
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        const struct share_row *row = &shares[i];
        struct rig              r;
        struct fetch           *f[CROWD];
        unsigned                collapsed = 0, cookies = 0;

        rig_open(&r, wait_and_say, row->text);
        r.options.origin.max_connections = CROWD;
        r.options.retry.statuses = listed;
        r.options.retry.status_count = 1;
        rig_start(&r);
        submit_all(&r, f, CROWD, row->method, row->lines);
        ask_once(&r); /* all of them are in */
        api_let_go(r.origin);
        for (unsigned k = 0; k < CROWD; k++) {
            if (rig_await(&r, f[k]) != FETCH_HEAD)
                fail_msg("%s: fetch %u: event %d %s", row->name, k, f[k]->event, f[k]->said.error);
            if (f[k]->answer->body != NULL)
                rig_expect_body(&r, f[k], "hello");
            if (f[k]->outcome.stored != row->stored)
                fail_msg("%s: fetch %u: stored is %d (%s)", row->name, k, f[k]->outcome.stored,
                         storable_token(f[k]->answer->storable));
            collapsed += f[k]->outcome.collapsed;
            cookies += http_fields_find(&f[k]->answer->head.fields, HTTP_SET_COOKIE, 0) >= 0;
        }
        if (api_requests(r.origin) != row->requests || collapsed != CROWD - row->requests || cookies != row->cookies)
            fail_msg("%s: %u requests, %u collapsed, %u cookies", row->name, api_requests(r.origin), collapsed,
                     cookies);
        leave_all(&r, f, CROWD);
        rig_close(&r);
    }
}

static void say_language(struct talk *t, const void *context)
{
    (void)context;
    talk_wait(t);
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nVary: Accept-Language\r\nContent-Length: 2\r\n\r\n");
    talk_say(t, strstr(talk_text(t), "Language: fr") != NULL ? "fr" : "de");
}

static void variants_part_at_the_head(void **state)
{
    enum { COUNT = 6 };
    struct rig    r;
    struct fetch *f[COUNT];

    (void)state;
    rig_open(&r, say_language, NULL);
    rig_start(&r);
    for (unsigned i = 0; i < COUNT; i++) {
        f[i] = rig_fetch(&r, "GET", "/x", i % 2 == 0 ? "Accept-Language: de\n" : "Accept-Language: fr\n");
        rig_submit(&r, f[i]);
    }
    api_await(r.origin, 1);
    ask_once(&r);
    assert_int_equal(api_requests(r.origin), 1);
    api_let_go(r.origin);
    for (unsigned i = 0; i < COUNT; i++) {
        assert_int_equal(rig_await(&r, f[i]), FETCH_HEAD);
        rig_expect_body(&r, f[i], i % 2 == 0 ? "de" : "fr");
        assert_true(f[i]->outcome.stored);
    }
    assert_int_equal(api_requests(r.origin), 2); /* those that parted found each other */
    leave_all(&r, f, COUNT);
    rig_close(&r);
}

static void say_private_then_wait(struct talk *t, const void *context)
{
    (void)context;
    if (talk_number(t) > 0)
        talk_wait(t);
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: private\r\n" BODY);
}

static void the_next_ones_do_not_wait_for_one_another(void **state)
{
    struct rig    r;
    struct fetch *f[3];

    (void)state;
    rig_open(&r, say_private_then_wait, NULL);
    rig_start(&r);
    submit_all(&r, f, 1, "GET", "");
    rig_await(&r, f[0]);
    submit_all(&r, f + 1, 2, "GET", "");
    api_await(r.origin, 3); /* both, while neither is answered */
    api_let_go(r.origin);
    rig_await(&r, f[1]);
    rig_await(&r, f[2]);
    assert_false(f[1]->outcome.collapsed || f[2]->outcome.collapsed);
    leave_all(&r, f, 3);
    rig_close(&r);
}

/* -- coming late -- */

static void say_half_and_wait(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\nhe");
    talk_wait(t);
    talk_say(t, "llo");
}

static void one_may_join_while_the_body_comes(void **state)
{
    struct rig    r;
    struct fetch *f[3];

    (void)state;
    rig_open(&r, say_half_and_wait, NULL);
    rig_start(&r);
    submit_all(&r, f, 1, "GET", "");
    rig_await(&r, f[0]);
    submit_all(&r, f + 1, 1, "GET", "");
    assert_int_equal(rig_await(&r, f[1]), FETCH_HEAD);
    assert_true(f[1]->outcome.collapsed);
    f[2] = rig_fetch(&r, "GET", "/x", "");
    f[2]->manner.must_be_new = true; /* was asked for after that was sent */
    rig_submit(&r, f[2]);
    api_await(r.origin, 2);
    api_let_go(r.origin);
    for (unsigned i = 0; i < 3; i++) {
        rig_await(&r, f[i]);
        rig_expect_body(&r, f[i], "hello");
    }
    assert_false(f[2]->outcome.collapsed);
    assert_int_equal(api_requests(r.origin), 2);
    leave_all(&r, f, 3);
    rig_close(&r);
}

static void nobody_falls_between_flight_and_record(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say, FRESH);
    rig_start(&r);
    /* One after the other without a pause: some join the flight that is being committed, the rest are told to look
     * again. */
    for (unsigned i = 0; i < 400; i++) {
        struct fetch *f = rig_fetch(&r, "GET", "/x", "");

        f->seen.wall_ns = 1; /* the store had nothing, long ago */
        rig_submit(&r, f);
        assert_true(rig_await(&r, f) == FETCH_HEAD || f->event == FETCH_LOOK_AGAIN);
        rig_leave(&r, f);
    }
    until_quiet(&r);
    {
        struct fetch *f = rig_fetch(&r, "GET", "/x", "");

        f->seen.wall_ns = 1;
        rig_expect(&r, f, FETCH_LOOK_AGAIN, 0);
        rig_leave(&r, f);
        f = rig_fetch(&r, "GET", "/x", "");
        f->seen.wall_ns = 1;
        f->seen.wall_ns = INT64_MAX; /* committed since, though it was received before */
        f->seen.none = true;
        rig_expect(&r, f, FETCH_LOOK_AGAIN, 0);
        rig_leave(&r, f);
        f = rig_fetch(&r, "GET", "/x", "");
        f->seen.wall_ns = 1;
        f->seen.again = true; /* once is enough */
        rig_expect(&r, f, FETCH_HEAD, 200);
        rig_leave(&r, f);
    }
    assert_int_equal(api_requests(r.origin), 2);
    rig_close(&r);
}

static void new_ones_share_what_is_not_yet_sent(void **state)
{
    struct rig    r;
    struct fetch *first, *f[4];

    (void)state;
    rig_open(&r, wait_and_say, FRESH);
    r.options.max_in_flight = 1;
    rig_start(&r);
    first = rig_fetch(&r, "GET", "/other", "");
    rig_submit(&r, first);
    api_await(r.origin, 1);
    for (unsigned i = 0; i < 4; i++) {
        f[i] = rig_fetch(&r, "GET", "/x", "");
        f[i]->manner.must_be_new = true;
        rig_submit(&r, f[i]);
    }
    ask_once(&r);
    api_let_go(r.origin);
    rig_await(&r, first);
    rig_leave(&r, first);
    for (unsigned i = 0; i < 4; i++)
        assert_int_equal(rig_await(&r, f[i]), FETCH_HEAD);
    assert_int_equal(api_requests(r.origin), 2);
    leave_all(&r, f, 4);
    rig_close(&r);
}

/* -- validation -- */

static struct fetch *validating_fetch(struct rig *r, uint64_t id)
{
    struct fetch *f = rig_fetch(r, "GET", "/x", "If-None-Match: \"v1\"\n");

    f->stored.validating = true;
    f->stored.id = id;
    f->stored.head.head.status = 200;
    f->stored.head.received_wall_ns = f->stored.head.requested_wall_ns = clock_wall_ns() - 100 * NS_PER_SEC;
    http_fields_add(&f->stored.head.head.fields, &f->arena, SLICE("ETag"), SLICE("\"v1\""));
    http_fields_add(&f->stored.head.head.fields, &f->arena, SLICE("X-Old"), SLICE("kept"));
    http_fields_add(&f->stored.head.head.fields, &f->arena, SLICE("Cache-Control"), SLICE("max-age=10"));
    return f;
}

static void a_304_freshens_for_all(void **state)
{
    struct rig    r;
    struct fetch *f[3];

    (void)state;
    rig_open(&r, wait_and_say, "HTTP/1.1 304 Not Modified\r\nETag: \"v1\"\r\nCache-Control: max-age=60\r\n\r\n");
    rig_start(&r);
    for (unsigned i = 0; i < 3; i++) {
        f[i] = validating_fetch(&r, i < 2 ? 7 : 8);
        rig_submit(&r, f[i]);
    }
    api_await(r.origin, 2); /* another record is another question */
    ask_once(&r);
    api_let_go(r.origin);
    for (unsigned i = 0; i < 3; i++) {
        const struct http_response *head;

        assert_int_equal(rig_await(&r, f[i]), FETCH_NOT_MODIFIED);
        head = &f[i]->answer->head;
        assert_int_equal(head->status, 200);
        assert_true(http_fields_find_name(&head->fields, SLICE("X-Old"), 0) >= 0);
        assert_true(slice_eq(http_fields_get(&head->fields, HTTP_CACHE_CONTROL), SLICE("max-age=60")));
        assert_null(f[i]->answer->body);
    }
    assert_int_equal(api_requests(r.origin), 2);
    assert_true(f[1]->outcome.collapsed);
    leave_all(&r, f, 3);
    rig_close(&r);
}

static void say_other_etag(struct talk *t, const void *context)
{
    (void)context;
    if (strstr(talk_text(t), "If-None-Match") != NULL)
        talk_say(t, "HTTP/1.1 304 Not Modified\r\nETag: \"v2\"\r\n\r\n");
    else
        talk_say(t, FRESH);
}

static void a_304_about_another_response_is_asked_again(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_other_etag, NULL);
    rig_start(&r);
    f = validating_fetch(&r, 7);
    rig_expect(&r, f, FETCH_HEAD, 200);
    rig_expect_body(&r, f, "hello");
    assert_int_equal(api_requests(r.origin), 2);
    rig_leave(&r, f);
    rig_close(&r);
}

/* -- leaving -- */

static void one_that_left_before_it_was_sent(struct rig *r, unsigned requests)
{
    struct fetch *first, *second;

    r->options.max_in_flight = 1;
    rig_start(r);
    first = rig_fetch(r, "GET", "/first", "");
    rig_submit(r, first);
    api_await(r->origin, 1);
    second = rig_fetch(r, "GET", "/second", "");
    rig_submit(r, second);
    rig_leave(r, second);
    ask_once(r);
    api_let_go(r->origin);
    rig_await(r, first);
    rig_leave(r, first);
    rig_settle(r);
    until_quiet(r);
    assert_int_equal(api_requests(r->origin), requests);
    rig_close(r);
}

static void on_abort_drop_frees_the_place(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, wait_and_say, FRESH);
    r.options.drop_on_abort = true;
    one_that_left_before_it_was_sent(&r, 1);
}

static void on_abort_finish_keeps_the_place(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, wait_and_say, FRESH);
    one_that_left_before_it_was_sent(&r, 2);
}

static void what_goes_on_without_its_client_is_stored(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_half_and_wait, NULL);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_submit(&r, f);
    rig_await(&r, f);
    rig_leave(&r, f);
    rig_settle(&r);
    api_let_go(r.origin);
    until_quiet(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    f->seen.wall_ns = 1;
    rig_expect(&r, f, FETCH_LOOK_AGAIN, 0);
    rig_leave(&r, f);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

static void refresh_behind_needs_nobody(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, say, FRESH);
    r.options.drop_on_abort = true;
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    f->manner.refresh_behind = true;
    rig_submit(&r, f);
    rig_leave(&r, f);
    rig_settle(&r);
    until_quiet(&r);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

static void stall_unstorable(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhe");
    talk_until_closed(t);
}

static void nobody_waits_for_what_nobody_may_have(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, stall_unstorable, NULL);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    rig_leave(&r, f);
    rig_settle(&r);
    until_quiet(&r); /* the connection was closed on it */
    rig_close(&r);
}

static void the_rest_goes_on_when_the_first_leaves(void **state)
{
    struct rig    r;
    struct fetch *f[2];

    (void)state;
    rig_open(&r, wait_and_say, FRESH);
    r.options.drop_on_abort = true;
    rig_start(&r);
    submit_all(&r, f, 2, "GET", "");
    api_await(r.origin, 1);
    rig_leave(&r, f[0]);
    ask_once(&r);
    api_let_go(r.origin);
    assert_int_equal(rig_await(&r, f[1]), FETCH_HEAD);
    rig_expect_body(&r, f[1], "hello");
    rig_leave(&r, f[1]);
    rig_settle(&r);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

static void a_post_that_was_left_is_not_sent(void **state)
{
    struct rig    r;
    struct fetch *first, *post;

    (void)state;
    rig_open(&r, wait_and_say, FRESH);
    r.options.max_in_flight = 1;
    rig_start(&r);
    first = rig_fetch(&r, "GET", "/first", "");
    rig_submit(&r, first);
    api_await(r.origin, 1);
    post = rig_fetch(&r, "POST", "/second", "");
    rig_submit(&r, post);
    rig_leave(&r, post);
    ask_once(&r);
    api_let_go(r.origin);
    rig_await(&r, first);
    rig_leave(&r, first);
    rig_settle(&r);
    until_quiet(&r);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

/* -- the end -- */

static void closing_ends_what_is_in_flight(void **state)
{
    struct rig     r;
    struct fetch  *streaming, *waiting;
    struct answer *cut;

    (void)state;
    rig_open(&r, say_half_and_wait, NULL);
    r.options.max_in_flight = 1;
    rig_start(&r);
    streaming = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, streaming, FETCH_HEAD, 200);
    cut = streaming->answer;
    answer_acquire(cut);
    waiting = rig_fetch(&r, "GET", "/z", "");
    rig_submit(&r, waiting);
    rig_leave(&r, streaming);
    rig_leave(&r, waiting); /* both go on by themselves: on_abort = "finish" */
    rig_close(&r);
    assert_int_equal(spool_ended(cut->body), SPOOL_CUT_SHORT);
    answer_release(cut);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_shared_as_they_allow),
        cmocka_unit_test(variants_part_at_the_head),
        cmocka_unit_test(the_next_ones_do_not_wait_for_one_another),
        cmocka_unit_test(one_may_join_while_the_body_comes),
        cmocka_unit_test(nobody_falls_between_flight_and_record),
        cmocka_unit_test(new_ones_share_what_is_not_yet_sent),
        cmocka_unit_test(a_304_freshens_for_all),
        cmocka_unit_test(a_304_about_another_response_is_asked_again),
        cmocka_unit_test(on_abort_drop_frees_the_place),
        cmocka_unit_test(on_abort_finish_keeps_the_place),
        cmocka_unit_test(what_goes_on_without_its_client_is_stored),
        cmocka_unit_test(refresh_behind_needs_nobody),
        cmocka_unit_test(nobody_waits_for_what_nobody_may_have),
        cmocka_unit_test(the_rest_goes_on_when_the_first_leaves),
        cmocka_unit_test(a_post_that_was_left_is_not_sent),
        cmocka_unit_test(closing_ends_what_is_in_flight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
