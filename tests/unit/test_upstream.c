/*
 * The upstream thread against a scripted origin: what goes out, what comes
 * back, what is tried again and what is charged.
 *
 * long: what one attempt may meet is one set of tables over one rig.
 */
#include "rig.h"

#include "base/clock.h"
#include "budget/breaker.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

#define OK_HEAD "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\n"

/* Says a fixed text to every request. */
static void say_text(struct talk *t, const void *text)
{
    talk_say(t, text);
}

/* Says the n-th text of a NULL-ended list to the n-th request, the last one to all further ones;
 * a text that begins with '!' is followed by hanging up, "!reset" by a reset. */
static void say_in_turn(struct talk *t, const void *texts)
{
    const char *const *list = texts;
    const char        *text = list[0];

    for (unsigned i = 0; i < talk_number(t) && list[i + 1] != NULL; i++)
        text = list[i + 1];
    if (strcmp(text, "!reset") == 0) {
        talk_reset(t);
    } else if (text[0] == '!') {
        talk_say(t, text + 1);
        talk_hang_up(t);
    } else {
        talk_say(t, text);
    }
}

static bool starts_with(const char *text, const char *with)
{
    return strncmp(text, with, strlen(with)) == 0;
}

/* -- requests -- */

static const char *const targets[] = {
    "/", "/a/b?x&&x=2", "/api/clans/%232PP", "/a%2Fb/../c/./d//e", "/?", "/q?a=b;c=%zz+[]{}|\"<>", "/%c3%a9/\xc3\xa9",
};

static void targets_go_out_byte_for_byte(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say_text, OK_HEAD "Content-Length: 2\r\n\r\nok");
    rig_start(&r);
    for (unsigned i = 0; i < sizeof targets / sizeof *targets; i++) {
        struct fetch *f = rig_fetch(&r, "GET", targets[i], "");
        char          line[256];

        rig_expect(&r, f, FETCH_HEAD, 200);
        rig_expect_body(&r, f, "ok");
        rig_leave(&r, f);
        snprintf(line, sizeof line, "GET %s HTTP/1.1\r\n", targets[i]);
        if (!starts_with(api_text(r.origin, i), line))
            fail_msg("%s went out as %.100s", targets[i], api_text(r.origin, i));
    }
    assert_int_equal(api_connections(r.origin), 1);
    rig_close(&r);
}

static void targets_that_cannot_be_sent_are_refused(void **state)
{
    static const char *const bad[] = { "*", "a/b", "", "/a b", "/a\tb", "/a\r\nX: y" };
    struct rig               r;

    (void)state;
    rig_open(&r, say_text, OK_HEAD "Content-Length: 2\r\n\r\nok");
    rig_start(&r);
    for (unsigned i = 0; i < sizeof bad / sizeof *bad; i++) {
        struct fetch *f = rig_fetch(&r, "GET", bad[i], "");

        rig_expect(&r, f, FETCH_FAILED, 0);
        assert_string_equal(f->said.proxy_error, "http_request_error");
        rig_leave(&r, f);
    }
    rig_settle(&r);
    assert_int_equal(api_requests(r.origin), 0);
    rig_close(&r);
}

static const struct {
    const char *name, *method, *lines, *wanted;
} heads[] = {
    { "nothing_is_added", "GET", "", "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "names_keep_case_and_order", "GET", "b-second: 2\nA-FIRST: 1\nUser-Agent: me\n",
      "GET /x HTTP/1.1\r\nHost: %s\r\nb-second: 2\r\nA-FIRST: 1\r\nUser-Agent: me\r\n\r\n" },
    { "an_empty_field_is_sent_empty", "GET", "X-Empty:\nAccept: */*\n",
      "GET /x HTTP/1.1\r\nHost: %s\r\nX-Empty:\r\nAccept: */*\r\n\r\n" },
    { "head_is_head", "HEAD", "", "HEAD /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "delete_without_a_body", "DELETE", "", "DELETE /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "an_unknown_method", "BREW", "", "BREW /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "post_without_a_body_says_nothing_of_one", "POST", "", "POST /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "post_of_length_0_says_so", "POST", "Content-Length: 0\n",
      "POST /x HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n" },
    { "expect_does_not_go_out", "GET", "Expect: 100-continue\n", "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "fields_are_not_those_of_the_request_before", "GET", "X-New: 1\n",
      "GET /x HTTP/1.1\r\nHost: %s\r\nX-New: 1\r\n\r\n" },
    { "get_of_length_0_says_so", "GET", "Content-Length: 0\n",
      "GET /x HTTP/1.1\r\nHost: %s\r\nContent-Length: 0\r\n\r\n" },
    { "get_behind_one_with_a_body_has_none", "GET", "", "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "head_behind_a_get_is_head", "HEAD", "", "HEAD /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
    { "get_behind_a_head_is_get", "GET", "", "GET /x HTTP/1.1\r\nHost: %s\r\n\r\n" },
};

static void heads_go_out_as_they_are(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 204 No Content\r\n\r\n");
    rig_start(&r);
    for (unsigned i = 0; i < sizeof heads / sizeof *heads; i++) {
        struct fetch *f = rig_fetch(&r, heads[i].method, "/x", heads[i].lines);
        char          wanted[512];

        rig_expect(&r, f, FETCH_HEAD, 204);
        assert_null(f->answer->body);
        rig_leave(&r, f);
        snprintf(wanted, sizeof wanted, heads[i].wanted, r.authority);
        if (strcmp(api_text(r.origin, i), wanted) != 0)
            fail_msg("%s: went out as %s", heads[i].name, api_text(r.origin, i));
    }
    rig_close(&r);
}

/* -- answers -- */

static const struct answer_row {
    const char     *name, *method, *text;
    bool            hang_up;
    unsigned        status;
    const char     *body; /* NULL: none */
    enum spool_read end;
    int64_t         length;
    const char     *trailer; /* value of X-Sum; NULL: none */
} answers[] = {
    { "length", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", false, 200, "hello", SPOOL_READ_END, 5,
      NULL },
    { "empty", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false, 200, "", SPOOL_READ_END, 0, NULL },
    { "chunked_with_trailers", "GET",
      "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n"
      "X-Sum: 5\r\nContent-Length: 99\r\n\r\n",
      false, 200, "abcde", SPOOL_READ_END, -1, "5" },
    { "chunked_overrides_length", "GET",
      "HTTP/1.1 200 OK\r\nContent-Length: 99\r\nTransfer-Encoding: chunked\r\n\r\n"
      "2\r\nok\r\n0\r\n\r\n",
      false, 200, "ok", SPOOL_READ_END, -1, NULL },
    { "until_closed_by_http_1_0", "GET", "HTTP/1.0 200 OK\r\n\r\nold body", true, 200, "old body", SPOOL_READ_END, -1,
      NULL },
    { "until_closed_by_http_1_1", "GET", "HTTP/1.1 200 OK\r\n\r\nbody", true, 200, "body", SPOOL_READ_END, -1, NULL },
    { "not_found", "GET", "HTTP/1.1 404 Nope\r\nContent-Length: 2\r\n\r\nno", false, 404, "no", SPOOL_READ_END, 2,
      NULL },
    { "redirect_is_not_followed", "GET", "HTTP/1.1 302 Found\r\nLocation: /y\r\nContent-Length: 0\r\n\r\n", false, 302,
      "", SPOOL_READ_END, 0, NULL },
    { "head_with_length", "HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 77\r\n\r\n", false, 200, NULL, SPOOL_READ_END, 77,
      NULL },
    { "no_content_with_length", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 3\r\n\r\n", false, 204, NULL,
      SPOOL_READ_END, 3, NULL },
    { "not_modified_of_the_clients", "GET", "HTTP/1.1 304 Not Modified\r\nETag: \"a\"\r\n\r\n", false, 304, NULL,
      SPOOL_READ_END, -1, NULL },
    { "early_hints_and_processing_pass", "GET",
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
      false, 200, "ok", SPOOL_READ_END, 2, NULL },
    { "length_cut", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello", true, 200, "hello", SPOOL_READ_CUT, 10,
      NULL },
    { "chunks_cut", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", true, 200, "hello",
      SPOOL_READ_CUT, -1, NULL },
    { "chunk_cut", "GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello", true, 200, "hello",
      SPOOL_READ_CUT, -1, NULL },
    { "equal_lengths_twice", "GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok", false, 200,
      "ok", SPOOL_READ_END, 2, NULL },
};

static void say_answer(struct talk *t, const void *row)
{
    const struct answer_row *a = *(const struct answer_row *const *)row;

    talk_say(t, a->text);
    if (a->hang_up)
        talk_hang_up(t);
}

static void answers_come_as_they_are(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof answers / sizeof *answers; i++) {
        const struct answer_row *a = &answers[i];
        struct rig               r;
        struct fetch            *f;
        char                     body[256] = "";
        size_t                   got = 0;
        enum spool_read          end = SPOOL_READ_END;
        struct slice             trailer = SLICE_NONE;

        rig_open(&r, say_answer, &a);
        rig_start(&r);
        f = rig_fetch(&r, a->method, "/x", a->status == 304 ? "If-None-Match: \"a\"\n" : "");
        rig_submit(&r, f);
        if (rig_await(&r, f) != FETCH_HEAD || f->answer->head.status != a->status)
            fail_msg("%s: event %d, %s", a->name, f->event, f->said.error);
        if ((f->answer->body != NULL) != (a->body != NULL) || f->answer->content_length != a->length)
            fail_msg("%s: body %p length %lld", a->name, (void *)f->answer->body, (long long)f->answer->content_length);
        if (a->body != NULL)
            end = rig_body(&r, f, body, sizeof body, &got);
        if (end != a->end || (a->body != NULL && strcmp(body, a->body) != 0))
            fail_msg("%s: ended %d with \"%s\"", a->name, end, body);
        if (f->answer->trailers.count > 0)
            trailer = f->answer->trailers.items[0].value;
        if ((trailer.ptr != NULL) != (a->trailer != NULL) || f->answer->trailers.count > 1 ||
            (a->trailer != NULL && !slice_eq(trailer, slice_of(a->trailer))))
            fail_msg("%s: %u trailers, the first is " SLICE_FMT, a->name, f->answer->trailers.count,
                     SLICE_ARG(trailer));
        if (strcmp(a->name, "early_hints_and_processing_pass") == 0 && (r.interims != 1 || r.last_interim != 103))
            fail_msg("%s: %u interim heads", a->name, r.interims);
        rig_leave(&r, f);
        rig_close(&r);
    }
}

static const struct {
    const char          *name, *text;
    bool                 reset;
    enum attempt_outcome outcome;
    const char          *token;
} broken[] = {
    { "closed_without_a_byte", "", false, ATTEMPT_DROPPED, "connection_terminated" },
    { "reset_without_a_byte", "", true, ATTEMPT_DROPPED, "connection_terminated" },
    { "closed_in_the_head", "HTTP/1.1 200 OK\r\nContent-Le", false, ATTEMPT_DROPPED, NULL },
    { "not_http", "SSH-2.0-OpenSSH\r\n", false, ATTEMPT_DROPPED, "http_protocol_error" },
    { "lengths_that_differ", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok!", false,
      ATTEMPT_DROPPED, "http_protocol_error" },
};

static void say_broken(struct talk *t, const void *index)
{
    size_t i = *(const size_t *)index;

    talk_say(t, broken[i].text);
    if (broken[i].reset)
        talk_reset(t);
    talk_hang_up(t);
}

static void broken_heads_fail(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof broken / sizeof *broken; i++) {
        struct rig    r;
        struct fetch *f;

        rig_open(&r, say_broken, &i);
        rig_start(&r);
        f = rig_fetch(&r, "GET", "/x?key=secret", "");
        rig_submit(&r, f);
        if (rig_await(&r, f) != FETCH_FAILED || f->said.failed_as != broken[i].outcome ||
            (broken[i].token != NULL && strcmp(f->said.proxy_error, broken[i].token) != 0))
            fail_msg("%s: event %d outcome %d %s (%s)", broken[i].name, f->event, f->said.failed_as,
                     f->said.proxy_error != NULL ? f->said.proxy_error : "", f->said.error);
        assert_null(strstr(f->said.error, "secret"));
        assert_int_equal(f->outcome.attempt_count, 1);
        rig_leave(&r, f);
        rig_close(&r);
    }
}

static void say_endless_head(struct talk *t, const void *context)
{
    char line[1024];

    (void)context;
    memset(line, 'x', sizeof line);
    memcpy(line, "X-Y: ", 5);
    memcpy(line + sizeof line - 2, "\r\n", 2);
    talk_say(t, "HTTP/1.1 200 OK\r\n");
    for (int i = 0; i < 400; i++)
        talk_say_bytes(t, line, sizeof line);
    talk_hang_up(t);
}

static void an_endless_head_fails(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_endless_head, NULL);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_FAILED, 0);
    rig_leave(&r, f);
    rig_close(&r);
}

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

static const unsigned listed[] = { 429, 503 };

#define HELLO OK_HEAD "Content-Length: 5\r\n\r\nhello"
#define SORRY "HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy"

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

/* -- bodies up -- */

struct feed {
    struct rig    *rig;
    struct upload *upload;
    struct mail    room;
    bool           has_room;
};

static void receive_room(struct mail *m)
{
    CONTAINER_OF(m, struct feed, room)->has_room = true;
}

static bool has_room(void *feed)
{
    return ((struct feed *)feed)->has_room;
}

static void give_upload(struct rig *r, struct fetch *f, struct feed *feed, int64_t length)
{
    *feed = (struct feed){ .rig = r, .upload = upload_new(length), .room.receive = receive_room };
    upload_set_worker(feed->upload, r->box, &feed->room);
    upload_acquire(feed->upload);
    f->upload = feed->upload;
}

static void feed_bytes(struct feed *feed, size_t count)
{
    char piece[4096];

    memset(piece, 'u', sizeof piece);
    while (count > 0) {
        size_t n = count < sizeof piece ? count : sizeof piece;
        size_t taken;

        feed->has_room = false;
        taken = upload_write(feed->upload, piece, n);
        if (taken < n)
            rig_until(feed->rig, has_room, feed);
        count -= taken;
    }
}

static void end_feed(struct feed *feed)
{
    upload_set_worker(feed->upload, NULL, NULL);
    upload_release(feed->upload);
}

static const struct upload_row {
    const char *name;
    int64_t     length;
    size_t      bytes;
} uploads[] = {
    { "one_byte", 1, 1 },
    { "nothing", 0, 0 },
    { "kept_size", 1024 * 1024, 1024 * 1024 },
    { "over_the_kept_size", 3 * 1024 * 1024, 3 * 1024 * 1024 },
    { "chunked_nothing", -1, 0 },
    { "chunked_small", -1, 1000 },
    { "chunked_over_the_kept_size", -1, 3 * 1024 * 1024 },
};

static size_t count_bytes(const char *text, char c)
{
    size_t n = 0;

    for (; *text != '\0'; text++)
        n += *text == c;
    return n;
}

static void uploads_go_up_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof uploads / sizeof *uploads; i++) {
        const struct upload_row *row = &uploads[i];
        struct rig               r;
        struct feed              feed;
        struct fetch            *f;
        const char              *text, *body;
        char                     length[64];

        rig_open(&r, say_text, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
        rig_start(&r);
        f = rig_fetch(&r, "PUT", "/x", "Content-Type: text/plain\n");
        give_upload(&r, f, &feed, row->length);
        rig_submit(&r, f);
        feed_bytes(&feed, row->bytes);
        upload_finish(feed.upload, true);
        if (rig_await(&r, f) != FETCH_HEAD)
            fail_msg("%s: %s", row->name, f->said.error);
        text = api_text(r.origin, 0);
        body = strstr(text, "\r\n\r\n");
        if (count_bytes(body, 'u') != row->bytes)
            fail_msg("%s: %zu bytes", row->name, count_bytes(body, 'u'));
        snprintf(length, sizeof length, "\r\nContent-Length: %lld\r\n", (long long)row->length);
        if ((row->length >= 0) != (strstr(text, length) != NULL) ||
            (row->length < 0) != (strstr(text, "chunked") != NULL))
            fail_msg("%s: framed as %.300s", row->name, text);
        rig_leave(&r, f);
        rig_settle(&r);
        end_feed(&feed);
        rig_close(&r);
    }
}

static void a_kept_body_is_sent_again(void **state)
{
    static const char *texts[] = { "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n",
                                   "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n", NULL };
    struct rig         r;
    struct feed        feed;
    struct fetch      *f;

    (void)state;
    rig_open(&r, say_in_turn, texts);
    r.options.retry.attempts = 3;
    r.options.retry.statuses = listed;
    r.options.retry.status_count = 2;
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 100000);
    feed_bytes(&feed, 100000);
    upload_finish(feed.upload, true);
    rig_expect(&r, f, FETCH_HEAD, 201);
    assert_int_equal(api_requests(r.origin), 2);
    assert_string_equal(api_text(r.origin, 0), api_text(r.origin, 1));
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

static void a_broken_upload_never_looks_whole(void **state)
{
    struct rig    r;
    struct feed   feed;
    struct fetch *f;

    (void)state;
    rig_open(&r, say_text, "HTTP/1.1 201 Created\r\nContent-Length: 0\r\n\r\n");
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, -1);
    rig_submit(&r, f);
    feed_bytes(&feed, 1000);
    upload_finish(feed.upload, false);
    assert_int_equal(rig_await(&r, f), FETCH_FAILED);
    assert_string_equal(f->said.proxy_error, "http_request_error");
    assert_int_equal(api_requests(r.origin), 0);
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

static void refuse_early(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig");
    talk_until_closed(t);
}

static void an_answer_before_the_upload_ended_passes(void **state)
{
    struct rig    r;
    struct feed   feed;
    struct fetch *f;

    (void)state;
    rig_open(&r, refuse_early, NULL);
    api_leave_bodies(r.origin);
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 50 * 1024 * 1024);
    rig_submit(&r, f);
    feed_bytes(&feed, 100000);
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    assert_int_equal(f->answer->head.status, 413);
    feed_bytes(&feed, 50 * 1024 * 1024 - 100000); /* taken and dropped */
    upload_finish(feed.upload, true);
    rig_expect_body(&r, f, "big");
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

struct patience {
    struct feed  *feed;
    struct fetch *fetch;
};

static bool has_room_or_event(void *patience)
{
    const struct patience *p = patience;

    return p->feed->has_room || p->fetch->event != FETCH_PENDING;
}

static void swallow_nothing(struct talk *t, const void *context)
{
    (void)context;
    talk_wait(t);
    talk_hang_up(t);
}

static void an_upload_nobody_takes_times_out(void **state)
{
    struct rig      r;
    struct feed     feed;
    struct fetch   *f;
    struct patience patience;
    char            piece[65536];

    (void)state;
    rig_open(&r, swallow_nothing, NULL);
    api_leave_bodies(r.origin);
    r.options.timeout.write_ns = 100 * NS_PER_MS;
    rig_start(&r);
    f = rig_fetch(&r, "POST", "/x", "");
    give_upload(&r, f, &feed, 500 * 1024 * 1024);
    patience = (struct patience){ &feed, f };
    rig_submit(&r, f);
    memset(piece, 'u', sizeof piece);
    while (f->event == FETCH_PENDING) { /* as long as something is taken, until nothing is */
        feed.has_room = false;
        if (upload_write(feed.upload, piece, sizeof piece) < sizeof piece)
            rig_until(&r, has_room_or_event, &patience);
    }
    assert_int_equal(f->event, FETCH_FAILED);
    assert_string_equal(f->said.proxy_error, "connection_write_timeout");
    api_let_go(r.origin);
    rig_leave(&r, f);
    rig_settle(&r);
    end_feed(&feed);
    rig_close(&r);
}

/* -- validate = "json" -- */

#define JSON_HEAD OK_HEAD "Content-Type: application/json\r\n"

static const struct {
    const char      *name;
    const char      *texts[3];
    enum fetch_event event;
    const char      *body;
    unsigned         requests;
} json[] = {
    { "sound", { JSON_HEAD "Content-Length: 7\r\n\r\n{\"a\":1}" }, FETCH_HEAD, "{\"a\":1}", 1 },
    { "unsound_then_sound",
      { JSON_HEAD "Content-Length: 6\r\n\r\n<html>", JSON_HEAD "Content-Length: 2\r\n\r\n[]" },
      FETCH_HEAD,
      "[]",
      2 },
    { "unsound_to_the_end", { JSON_HEAD "Content-Length: 6\r\n\r\n<html>" }, FETCH_FAILED, NULL, 2 },
    { "cut_then_sound",
      { "!" JSON_HEAD "Content-Length: 60\r\n\r\n[1,2]", JSON_HEAD "Content-Length: 2\r\n\r\n[]" },
      FETCH_HEAD,
      "[]",
      2 },
    { "an_error_is_not_checked", { "HTTP/1.1 404 No\r\nContent-Length: 6\r\n\r\n<html>" }, FETCH_HEAD, "<html>", 1 },
};

static void bodies_that_do_not_parse_are_failures(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof json / sizeof *json; i++) {
        struct rig    r;
        struct fetch *f;

        rig_open(&r, say_in_turn, json[i].texts);
        r.policy.validate = VALIDATE_JSON;
        r.options.retry.attempts = 2;
        rig_start(&r);
        f = rig_fetch(&r, "GET", "/x", "");
        rig_submit(&r, f);
        if (rig_await(&r, f) != json[i].event || api_requests(r.origin) != json[i].requests)
            fail_msg("%s: event %d, %u requests, %s", json[i].name, f->event, api_requests(r.origin), f->said.error);
        if (json[i].body != NULL)
            rig_expect_body(&r, f, json[i].body);
        else
            assert_int_equal(f->said.failed_as, ATTEMPT_INVALID);
        rig_leave(&r, f);
        rig_close(&r);
    }
}

/* -- large bodies -- */

enum { LARGE = 24 * 1024 * 1024, PIECE = 64 * 1024 };

static void say_large(struct talk *t, const void *head)
{
    static const char piece[PIECE];

    talk_say(t, head);
    for (int i = 0; i < LARGE / PIECE; i++)
        talk_say_bytes(t, piece, sizeof piece);
}

static void a_slow_reader_holds_the_api_back(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 25165824\r\n\r\n";
    struct rig        r;
    struct fetch     *f;
    size_t            got;

    (void)state;
    rig_open(&r, say_large, head);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    assert_int_equal(f->answer->storable, STORABLE_NO_STORE);
    /* Nothing is read yet: after a report the thread has come to rest, ahead by no more than it may be. */
    for (int i = 0; i < 50; i++) {
        struct upstream_report report;

        rig_report(&r, &report);
        arena_free(&report.arena);
        assert_true(spool_length(f->answer->body) <= SPOOL_MEMORY_BYTES);
    }
    assert_int_equal(spool_file(f->answer->body), -1);
    assert_int_equal(rig_body(&r, f, NULL, 0, &got), SPOOL_READ_END);
    assert_int_equal(got, LARGE);
    rig_leave(&r, f);
    rig_close(&r);
}

enum { CHUNKS = 400, CHUNK = 64 };

static void say_chunks(struct talk *t, const void *head)
{
    char   text[CHUNKS * (CHUNK + 6) + 1];
    size_t n = 0;

    talk_say(t, head);
    talk_wait(t);
    for (int i = 0; i < CHUNKS; i++)
        n += (size_t)snprintf(text + n, sizeof text - n, "%x\r\n%0*d\r\n", (unsigned)CHUNK, CHUNK, i);
    talk_say_bytes(t, text, n);
    talk_until_closed(t);
}

struct ear {
    struct spool_reader reader;
    unsigned            woken;
};

static void receive_ear(struct mail *m)
{
    CONTAINER_OF(CONTAINER_OF(m, struct spool_reader, wake), struct ear, reader)->woken++;
}

static bool is_heard(void *ear)
{
    return ((struct ear *)ear)->woken > 0;
}

/* Which are as many calls of libcurl's: whoever reads is told once, and has all of it then. */
static void chunks_that_come_at_once_wake_their_reader_once(void **state)
{
    static const char head[] = "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nTransfer-Encoding: chunked\r\n\r\n";
    struct rig        r;
    struct fetch     *f;
    struct ear        ear = { .reader.wake.receive = receive_ear };
    char              bytes[2 * CHUNKS * CHUNK];
    size_t            got;

    (void)state;
    rig_open(&r, say_chunks, head);
    rig_start(&r);
    f = rig_fetch(&r, "GET", "/x", "");
    rig_expect(&r, f, FETCH_HEAD, 200);
    spool_reader_open(&ear.reader, f->answer->body, r.box, 0);
    assert_int_equal(spool_read(&ear.reader, bytes, sizeof bytes, &got), SPOOL_READ_WAIT);
    api_let_go(r.origin);
    rig_until(&r, is_heard, &ear);
    assert_int_equal(spool_read(&ear.reader, bytes, sizeof bytes, &got), SPOOL_READ_BYTES);
    assert_int_equal(got, CHUNKS * CHUNK);
    assert_int_equal(spool_read(&ear.reader, bytes, sizeof bytes, &got), SPOOL_READ_WAIT);
    assert_int_equal(ear.woken, 1);
    spool_reader_close(&ear.reader);
    rig_leave(&r, f);
    rig_close(&r);
}

static void what_is_too_large_passes_and_is_not_stored(void **state)
{
    struct rig r;

    (void)state;
    rig_open(&r, say_large, OK_HEAD "Content-Length: 25165824\r\n\r\n");
    r.policy.max_object_bytes = 1024 * 1024;
    rig_start(&r);
    for (unsigned i = 0; i < 2; i++) {
        struct fetch *f = rig_fetch(&r, "GET", "/x", "");
        size_t        got;

        rig_expect(&r, f, FETCH_HEAD, 200);
        assert_int_equal(f->answer->storable, STORABLE_TOO_LARGE);
        assert_false(f->outcome.stored);
        assert_int_equal(rig_body(&r, f, NULL, 0, &got), SPOOL_READ_END);
        assert_int_equal(got, LARGE);
        rig_leave(&r, f);
        rig_settle(&r);
        assert_int_equal(api_requests(r.origin), i + 1);
    }
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
        cmocka_unit_test(targets_go_out_byte_for_byte),
        cmocka_unit_test(targets_that_cannot_be_sent_are_refused),
        cmocka_unit_test(heads_go_out_as_they_are),
        cmocka_unit_test(answers_come_as_they_are),
        cmocka_unit_test(broken_heads_fail),
        cmocka_unit_test(an_endless_head_fails),
        cmocka_unit_test(failures_are_tried_again),
        cmocka_unit_test(a_reused_connection_that_dies_is_our_own_retry),
        cmocka_unit_test(a_refused_connection_costs_nothing),
        cmocka_unit_test(a_dead_upstream_is_not_asked),
        cmocka_unit_test(silence_ends_with_a_timeout),
        cmocka_unit_test(a_stalled_body_is_cut),
        cmocka_unit_test(an_attempt_has_an_end),
        cmocka_unit_test(uploads_go_up_whole),
        cmocka_unit_test(a_kept_body_is_sent_again),
        cmocka_unit_test(a_broken_upload_never_looks_whole),
        cmocka_unit_test(an_answer_before_the_upload_ended_passes),
        cmocka_unit_test(an_upload_nobody_takes_times_out),
        cmocka_unit_test(bodies_that_do_not_parse_are_failures),
        cmocka_unit_test(a_slow_reader_holds_the_api_back),
        cmocka_unit_test(chunks_that_come_at_once_wake_their_reader_once),
        cmocka_unit_test(what_is_too_large_passes_and_is_not_stored),
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
