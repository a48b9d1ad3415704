/*
 * A script that a fetch brings answers in the API's place: through the whole upstream thread, beside an API that would
 * say something else and is never asked.
 */
#include "rig.h"

#include "base/clock.h"
#include "head.h"
#include "origin/script.h"
#include "property.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <cmocka.h>

static void say_wrong(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nwrong");
}

/* -- what each script comes to -- */

#define EACH_PIECE(...) \
    .pieces = (const struct script_piece[]) \
    { \
        __VA_ARGS__ \
    }
#define BODY(text) .body = { text, sizeof text - 1 }

static const struct row {
    const char          *name, *method, *fields, *trailers;
    struct origin_script script;
    enum fetch_event     event;
    const char          *body; /* NULL: there is none */
    bool                 is_cut;
    int64_t              length; /* told ahead */
    enum attempt_outcome failed_as;
    const char          *token;
    unsigned             interims;
} rows[] = {
    { .name = "a_whole_answer",
      .fields = "Content-Length: 5\n",
      .script = { .status = 200, BODY("hello") },
      .event = FETCH_HEAD,
      .body = "hello",
      .length = 5 },
    { .name = "its_length_is_what_is_there",
      .fields = "Content-Length: 999\n",
      .script = { .status = 200, BODY("hello") },
      .event = FETCH_HEAD,
      .body = "hello",
      .length = 5 },
    { .name = "none_was_said",
      .fields = "Transfer-Encoding: chunked\n",
      .script = { .status = 200, BODY("hello") },
      .event = FETCH_HEAD,
      .body = "hello",
      .length = -1 },
    { .name = "a_head_alone",
      .method = "HEAD",
      .fields = "Content-Length: 5\n",
      .script = { .status = 200 },
      .event = FETCH_HEAD,
      .length = 5 },
    { .name = "a_status_without_content", .script = { .status = 204 }, .event = FETCH_HEAD, .length = -1 },
    { .name = "an_error_that_would_be_tried_again",
      .fields = "Content-Length: 2\nRetry-After: 3600\n",
      .script = { .status = 503, BODY("no") },
      .event = FETCH_HEAD,
      .body = "no",
      .length = 2 },
    { .name = "a_redirect",
      .fields = "Location: /elsewhere\nContent-Length: 0\n",
      .script = { .status = 302 },
      .event = FETCH_HEAD,
      .body = "",
      .length = 0 },
    { .name = "a_body_that_broke_off",
      .fields = "Content-Length: 999\n",
      .script = { .status = 200, BODY("hel"), .is_cut = true, .failed_as = ATTEMPT_CUT_SHORT },
      .event = FETCH_HEAD,
      .body = "hel",
      .is_cut = true,
      .length = 999 },
    { .name = "nobody_answered_in_time",
      .script = { .failed_as = ATTEMPT_TIMEOUT },
      .event = FETCH_FAILED,
      .failed_as = ATTEMPT_TIMEOUT,
      .token = "http_response_timeout" },
    { .name = "the_connection_was_refused",
      .script = { .failed_as = ATTEMPT_REFUSED },
      .event = FETCH_FAILED,
      .failed_as = ATTEMPT_REFUSED,
      .token = "connection_refused" },
    { .name = "a_failure_keeps_its_token",
      .script = { .failed_as = ATTEMPT_UNREACHED, .token = "destination_ip_unroutable" },
      .event = FETCH_FAILED,
      .failed_as = ATTEMPT_UNREACHED,
      .token = "destination_ip_unroutable" },
    { .name = "a_103_and_trailers",
      .fields = "Transfer-Encoding: chunked\n",
      .trailers = "Checksum: abc\n",
      .script = { .status = 200,
                  BODY("hello"),
                  .interims = (const struct script_interim[]){ { .status = 103 } },
                  .interim_count = 1 },
      .event = FETCH_HEAD,
      .body = "hello",
      .length = -1,
      .interims = 1 },
    { .name = "events_at_their_pace",
      .fields = "Content-Type: text/event-stream\n",
      .script = { .status = 200,
                  BODY("onetwo"),
                  EACH_PIECE({ 0, 3 }, { NS_PER_MS, 0 }, { 2 * NS_PER_MS, 2 }, { 3 * NS_PER_MS, 1 }),
                  .piece_count = 4 },
      .event = FETCH_HEAD,
      .body = "onetwo",
      .length = -1 },
    { .name = "more_than_its_pace_says",
      .fields = "Content-Type: text/event-stream\n",
      .script = { .status = 200, BODY("onetwo"), EACH_PIECE({ 0, 3 }), .piece_count = 1 },
      .event = FETCH_HEAD,
      .body = "onetwo",
      .length = -1 },
};

static struct fetch *ask(struct rig *r, const struct row *row, struct origin_script *script)
{
    struct fetch *f = rig_fetch(r, row->method != NULL ? row->method : "GET", "/x", "");

    f->has_key = f->may.store = false;
    f->script = script;
    f->patience.max_wait_ns = 0;
    rig_submit(r, f);
    return f;
}

static void expect_body(struct rig *r, struct fetch *f, const struct row *row)
{
    char            text[64];
    size_t          got;
    enum spool_read end = rig_body(r, f, text, sizeof text, &got);

    if (end != (row->is_cut ? SPOOL_READ_CUT : SPOOL_READ_END) || strcmp(text, row->body) != 0)
        fail_msg("%s: \"%s\", %d", row->name, text, (int)end);
}

static void run_row(struct rig *r, const struct row *row)
{
    struct head          fields = head_of(row->fields != NULL ? row->fields : "");
    struct head          trailers = head_of(row->trailers != NULL ? row->trailers : "");
    struct origin_script script = row->script;
    struct fetch        *f;
    unsigned             interims = r->interims;

    script.fields = fields.fields;
    script.trailers = trailers.fields;
    script.sent_wall_ns = script.came_wall_ns = 1000 * NS_PER_SEC;
    f = ask(r, row, &script);
    if (rig_await(r, f) != row->event)
        fail_msg("%s: event %d", row->name, (int)f->event);
    if (row->event == FETCH_HEAD) {
        if (f->answer->head.status != script.status || f->answer->content_length != row->length)
            fail_msg("%s: status %u, length %lld", row->name, f->answer->head.status,
                     (long long)f->answer->content_length);
        assert_int_equal(f->answer->received_wall_ns, script.came_wall_ns);
        assert_true((f->answer->body != NULL) == (row->body != NULL));
        if (row->body != NULL)
            expect_body(r, f, row);
        assert_int_equal(f->answer->trailers.count, trailers.fields.count);
    } else {
        assert_int_equal(f->said.failed_as, row->failed_as);
        assert_string_equal(f->said.proxy_error, row->token);
    }
    assert_int_equal(r->interims - interims, row->interims);
    if (f->outcome.attempt_count != 0 || f->outcome.stored)
        fail_msg("%s: it counts as an attempt", row->name);
    rig_leave(r, f);
    head_free(&fields);
    head_free(&trailers);
}

static void test_what_a_script_comes_to(void **state)
{
    static const unsigned on[] = { 503, 0 };
    struct rig            r;

    (void)state;
    rig_open(&r, say_wrong, NULL);
    r.options.retry.attempts = 3;
    r.options.retry.statuses = on;
    r.options.retry.status_count = 1;
    rig_start(&r);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        run_row(&r, &rows[i]);
    rig_settle(&r);
    assert_int_equal(api_requests(r.origin), 0);
    rig_close(&r);
}

/* -- what it does not depend on, and leaves no trace in -- */

static void test_a_limit_that_is_spent_holds_none_and_is_charged_for_none(void **state)
{
    struct rig             r;
    struct upstream_report report = { 0 };
    struct fetch          *f;

    (void)state;
    rig_open(&r, say_wrong, NULL);
    rig_limit(&r, 0, "hourly", 1, 3600 * NS_PER_SEC);
    rig_start(&r);
    for (int i = 0; i < 20; i++)
        run_row(&r, &rows[i % 6]);
    rig_report(&r, &report);
    assert_int_equal(report.entries[0].counts.attempts, 0);
    assert_int_equal(report.entries[0].counts.heard, 0);
    assert_int_equal(report.entries[0].in_flight, 0);
    assert_int_equal(report.entries[0].limits[0].left, 1);
    arena_free(&report.arena);
    f = rig_fetch(&r, "GET", "/real", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    rig_leave(&r, f);
    run_row(&r, &rows[0]);
    assert_int_equal(api_requests(r.origin), 1);
    rig_close(&r);
}

static void test_failures_open_no_breaker(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_wrong, NULL);
    rig_start(&r);
    for (int i = 0; i < 40; i++)
        for (size_t k = 0; k < sizeof rows / sizeof *rows; k++)
            if (rows[k].event == FETCH_FAILED)
                run_row(&r, &rows[k]);
    f = rig_fetch(&r, "GET", "/real", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    rig_leave(&r, f);
    rig_close(&r);
}

/* -- a body that is longer than what stands in memory -- */

enum { LONG_BYTES = 9 * 1024 * 1024 + 17 };

static void test_a_long_body_waits_for_who_reads_it(void **state)
{
    struct rig           r;
    char                *bytes = malloc(LONG_BYTES), *got = malloc(LONG_BYTES + 1);
    struct head          fields = head_of("Content-Length: 9437201\n");
    struct origin_script script = { .status = 200, .fields = fields.fields, .body = { bytes, LONG_BYTES } };
    struct fetch        *f;
    size_t               count;

    (void)state;
    for (int i = 0; i < LONG_BYTES; i++)
        bytes[i] = (char)(i * 7 + i / 251);
    rig_open(&r, say_wrong, NULL);
    rig_start(&r);
    f = ask(&r, &rows[0], &script);
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    assert_int_equal(rig_body(&r, f, got, LONG_BYTES + 1, &count), SPOOL_READ_END);
    assert_int_equal(count, LONG_BYTES);
    assert_memory_equal(got, bytes, LONG_BYTES);
    rig_leave(&r, f);
    rig_close(&r);
    head_free(&fields);
    free(bytes);
    free(got);
}

static void test_one_that_is_left_ends(void **state)
{
    static const struct script_piece late = { INT64_C(3600) * NS_PER_SEC, 5 };
    struct rig                       r;
    struct origin_script             script = { .status = 200, BODY("hello"), .pieces = &late, .piece_count = 1 };
    struct fetch                    *f;

    (void)state;
    rig_open(&r, say_wrong, NULL);
    rig_start(&r);
    f = ask(&r, &rows[0], &script);
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    rig_leave(&r, f);
    rig_settle(&r);
    f = ask(&r, &rows[0], &script); /* and so does one that the thread's end finds under way */
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    rig_leave(&r, f);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_what_a_script_comes_to),
        cmocka_unit_test(test_a_limit_that_is_spent_holds_none_and_is_charged_for_none),
        cmocka_unit_test(test_failures_open_no_breaker),
        cmocka_unit_test(test_a_long_body_waits_for_who_reads_it),
        cmocka_unit_test(test_one_that_is_left_ends),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
