/*
 * What a body says that its status does not: conditions, and the mark that ends a stream of events.
 */
#include "upstream/verdict.h"

#include "head.h"
#include "http/condition.h"
#include "http/event_mark.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void test_conditions(void **state)
{
    static const struct {
        const char *text, *pointer, *value; /* NULL: refused */
    } rows[] = {
        { "json:/error/code = insufficient_quota", "/error/code", "insufficient_quota" },
        { "json:/a=b", "/a", "b" },
        { " json:/a   =  two words ", "/a", "two words" },
        { "json:/a=b = c", "/a=b", "c" },
        { "json:/a~1b/0 = false", "/a~1b/0", "false" },
        { "json:/a = b = c", "/a", "b = c" },
        { "json:/a", NULL, NULL },
        { "json:/a = ", NULL, NULL },
        { "json: = b", NULL, NULL },
        { "json:a = b", NULL, NULL },
        { "json:/a~2 = b", NULL, NULL },
        { "header:X = b", NULL, NULL },
        { "", NULL, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct condition c;
        bool             good = condition_parse(slice_of(rows[i].text), &c);

        if (good != (rows[i].pointer != NULL) ||
            (good && (!slice_eq(c.pointer, slice_of(rows[i].pointer)) || !slice_eq(c.value, slice_of(rows[i].value)))))
            fail_msg("%s", rows[i].text);
    }
}

static void test_marks(void **state)
{
    static const struct {
        const char *name, *mark, *stream;
        bool        whole;
    } rows[] = {
        { "the_last_event", "data: [DONE]", "data: {}\n\ndata: [DONE]\n\n", true },
        { "without_the_space", "data: [DONE]", "data: {}\n\ndata:[DONE]\n\n", true },
        { "the_mark_without_the_space", "data:[DONE]", "data: [DONE]\n\n", true },
        { "crlf", "data: [DONE]", "data: {}\r\n\r\ndata: [DONE]\r\n\r\n", true },
        { "cr_alone", "data: [DONE]", "data: {}\r\rdata: [DONE]\r\r", true },
        { "without_the_empty_line", "data: [DONE]", "data: {}\n\ndata: [DONE]", true },
        { "a_line_of_several", "event: message_stop", "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n",
          true },
        { "comments_and_empty_lines_after_it", "data: [DONE]", "data: [DONE]\n\n: ping\n\n\n: x\n", true },
        { "another_event_after_it", "data: [DONE]", "data: [DONE]\n\ndata: {}\n\n", false },
        { "the_beginning_of_another_after_it", "data: [DONE]", "data: [DONE]\n\nda", false },
        { "not_there", "data: [DONE]", "data: {}\n\n", false },
        { "cut_off", "data: [DONE]", "data: {}\n\ndata: [DON", false },
        { "more_in_the_line", "data: [DONE]", "data: [DONE]!\n\n", false },
        { "inside_a_value", "data: [DONE]", "data: {\"a\":\"data: [DONE]\"}\n\n", false },
        { "in_a_comment", "data: [DONE]", ": data: [DONE]\n\n", false },
        { "another_field", "data: [DONE]", "event: [DONE]\n\n", false },
        { "two_spaces", "data: [DONE]", "data:  [DONE]\n\n", false },
        { "nothing", "data: [DONE]", "", false },
    };
    static const char *const wrong[] = { "", "[DONE]", "data:", "data: ", ": x", "da ta: x", "data: x\n" };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        for (size_t piece = 1; piece <= 40; piece += 13) {
            struct event_mark e = { .mark = slice_of(rows[i].mark) };
            struct slice      all = slice_of(rows[i].stream);

            assert_true(event_mark_is_valid(e.mark));
            for (size_t at = 0; at < all.len; at += piece)
                event_mark_feed(&e, all.ptr + at, piece < all.len - at ? piece : all.len - at);
            if (event_mark_end(&e) != rows[i].whole)
                fail_msg("%s in pieces of %zu", rows[i].name, piece);
        }
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        if (event_mark_is_valid(slice_of(wrong[i])))
            fail_msg("'%s' is a mark", wrong[i]);
}

static void test_long_lines(void **state)
{
    struct event_mark e = { .mark = SLICE("data: [DONE]") };

    (void)state;
    event_mark_feed(&e, "data: ", 6);
    for (unsigned i = 0; i < 10000; i++)
        event_mark_feed(&e, "xxxxxxxxxxxxxxxx", 16);
    event_mark_feed(&e, "\n\ndata: [DONE]\n\n", 16);
    assert_true(event_mark_end(&e));
}

enum said { NOTHING, NEVER = 1, REFUSED = 2, COMPLETE = 4 };

#define JSON   "Content-Type: application/json\n"
#define EVENTS "Content-Type: text/event-stream\n"

static void test_bodies(void **state)
{
    static const char *const          never[] = { "json:/error/code = insufficient_quota", "json:/fatal = true", NULL };
    static const char *const          refused[] = { "json:/errors/0/extensions/code = THROTTLED", "json:/status = 429",
                                                    "json:/left = null", NULL };
    static const struct retry_options options = { .never = never, .refused = refused };
    static const struct {
        const char *name, *head, *body;
        int         said;    /* enum said; -1: it is not read at all */
        bool        whole;   /* the body ended as it should */
        bool        decides; /* the head waits for it, where the status is not listed */
    } rows[] = {
        { "never", JSON, "{\"error\":{\"code\":\"insufficient_quota\",\"x\":1}}", NEVER, true, true },
        { "refused", JSON, "{\"errors\":[{\"message\":\"x\",\"extensions\":{\"code\":\"THROTTLED\"}}]}", REFUSED, true,
          true },
        { "of_the_second_only", JSON, "{\"errors\":[{},{\"extensions\":{\"code\":\"THROTTLED\"}}]}", NOTHING, true,
          true },
        { "a_number", JSON, "{\"status\":429}", REFUSED, true, true },
        { "a_number_as_a_text", JSON, "{\"status\":\"429\"}", REFUSED, true, true },
        { "another_number", JSON, "{\"status\":4290}", NOTHING, true, true },
        { "true", JSON, "{\"fatal\":true}", NEVER, true, true },
        { "false", JSON, "{\"fatal\":false}", NOTHING, true, true },
        { "null", JSON, "{\"left\":null}", REFUSED, true, true },
        { "both", JSON, "{\"fatal\":true,\"status\":429}", NEVER | REFUSED, true, true },
        { "escapes_are_read", JSON, "{\"error\":{\"code\":\"insufficient\\u005fquota\"}}", NEVER, true, true },
        { "at_another_place", JSON, "{\"code\":\"insufficient_quota\"}", NOTHING, true, true },
        { "a_container_there", JSON, "{\"status\":{\"429\":429}}", NOTHING, true, true },
        { "no_json", JSON, "{\"status\":429", NOTHING, true, true },
        { "cut_off", JSON, "{\"status\":429}", NOTHING, false, true },
        { "problem_json", "Content-Type: application/problem+json\n", "{\"status\":429}", REFUSED, true, true },
        { "html", "Content-Type: text/html\n", "{\"status\":429}", -1, true, false },
        { "a_coding_that_is_not_read", JSON "Content-Encoding: br\n", "{\"status\":429}", NOTHING, true, false },
        { "a_stream_that_is_whole", EVENTS, "data: {\"a\":1}\n\ndata: [DONE]\n\n", COMPLETE, true, false },
        { "a_stream_that_is_not", EVENTS, "data: {\"a\":1}\n\n", NOTHING, true, false },
        { "a_stream_that_was_cut_off", EVENTS, "data: [DONE]\n\n", NOTHING, false, false },
        { "a_stream_that_refuses", EVENTS, "data: {\"error\":{\"code\":\"insufficient_quota\"}}\n\ndata: [DONE]\n\n",
          NEVER | COMPLETE, true, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct head          head = head_of(rows[i].head);
        struct http_response r = { .status = 200, .fields = head.fields };
        struct body_verdict *v = verdict_open(&options, "data: [DONE]", &r);
        int                  said;

        for (const char *c = rows[i].body; *c != '\0'; c++)
            verdict_feed(v, c, 1);
        if (verdict_may_decide(v, false) != rows[i].decides)
            fail_msg("%s: waits for it: %d", rows[i].name, !rows[i].decides);
        if (rows[i].whole)
            verdict_end(v);
        said = (verdict_is_never(v) ? NEVER : 0) | (verdict_is_refused(v) ? REFUSED : 0) |
               (verdict_is_complete(v) ? COMPLETE : 0);
        if ((v == NULL) != (rows[i].said < 0) || (v != NULL && said != rows[i].said))
            fail_msg("%s: %d", rows[i].name, said);
        verdict_close(v);
        head_free(&head);
    }
}

static void test_what_is_not_asked_is_not_read(void **state)
{
    static const char *const none[] = { NULL }, *const one[] = { "json:/a = b", NULL };
    static const struct retry_options nothing = { .never = none }, refused = { .refused = one };
    struct head                       json = head_of(JSON), events = head_of(EVENTS);
    struct http_response a = { .status = 200, .fields = json.fields }, b = { .status = 200, .fields = events.fields };
    struct body_verdict *v = verdict_open(&refused, NULL, &a);

    (void)state;
    assert_null(verdict_open(&nothing, NULL, &a));
    assert_null(verdict_open(&nothing, NULL, &b));
    assert_null(verdict_open(&nothing, "data: x", &a));
    assert_true(verdict_may_decide(v, false) && !verdict_may_decide(v, true)); /* its status has said it already */
    verdict_close(v);
    head_free(&json);
    head_free(&events);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conditions),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_long_lines),
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_what_is_not_asked_is_not_read),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
