/*
 * One attempt: what goes to the API, and what comes back.
 */
#include "upstream_rig.h"

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(targets_go_out_byte_for_byte),
        cmocka_unit_test(targets_that_cannot_be_sent_are_refused),
        cmocka_unit_test(heads_go_out_as_they_are),
        cmocka_unit_test(answers_come_as_they_are),
        cmocka_unit_test(broken_heads_fail),
        cmocka_unit_test(an_endless_head_fails),
        cmocka_unit_test(bodies_that_do_not_parse_are_failures),
        cmocka_unit_test(a_slow_reader_holds_the_api_back),
        cmocka_unit_test(chunks_that_come_at_once_wake_their_reader_once),
        cmocka_unit_test(what_is_too_large_passes_and_is_not_stored),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
