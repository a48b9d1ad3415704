/* Which types are JSON, which are streams of events. */
#include "http/media.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static void types_are_told_apart(void **state)
{
    static const struct {
        const char *type;
        bool        is, has;
    } rows[] = {
        { "application/json", true, true },
        { "Application/JSON; charset=UTF-8", true, true },
        { "application/json;charset=\"utf-8\"", true, true },
        { "application/json ; odd; charset=us-ascii", true, true },
        { "application/json; charset=utf-16", false, true },
        { "application/json; charset=iso-8859-1", false, true },
        { "application/json; profile=\"charset\"", true, true },
        { "text/json", true, true },
        { "application/vnd.github+json", true, true },
        { "application/ld+json; profile=x", true, true },
        { "application/problem+json", true, true },
        { "application/x-ndjson", false, true },
        { "application/jsonl", false, true },
        { "application/stream+json", false, true },
        { "application/json-seq", false, false },
        { "application/jsonp", false, false },
        { "+json", false, false },
        { "application/javascript", false, false },
        { "text/html; x=application/json", false, false },
        { "text/csv", false, false },
        { "image/png", false, false },
        { "", false, false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (http_media_is_json(slice_of(rows[i].type)) != rows[i].is ||
            http_media_has_json(slice_of(rows[i].type)) != rows[i].has)
            fail_msg("\"%s\" is JSON: %d, has JSON: %d", rows[i].type, http_media_is_json(slice_of(rows[i].type)),
                     http_media_has_json(slice_of(rows[i].type)));
    assert_false(http_media_is_json(SLICE_NONE));
}

static void parameters_make_no_other_type(void **state)
{
    (void)state;
    assert_true(http_media_is_same_type(SLICE("text/plain"), SLICE("TEXT/Plain ; charset=utf-8")));
    assert_false(http_media_is_same_type(SLICE("text/plain"), SLICE("text/html")));
    assert_false(http_media_is_same_type(SLICE("text/plain"), SLICE_NONE));
}

static void event_streams_are_told_apart(void **state)
{
    static const struct {
        const char *type;
        bool        is;
    } rows[] = {
        { "text/event-stream", true },
        { "Text/Event-Stream;charset=utf-8", true },
        { "text/event-stream ; odd", true },
        { "application/x-dom-event-stream", true },
        { "application/vnd.amazon.eventstream", true },
        { "multipart/x-mixed-replace; boundary=x", true },
        { "multipart/mixed; boundary=text/event-stream", false },
        { "text/event-streams", false },
        { "text/event", false },
        { "application/json", false },
        { "", false },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        if (http_media_is_event_stream(slice_of(rows[i].type)) != rows[i].is)
            fail_msg("\"%s\" is %s", rows[i].type, rows[i].is ? "one" : "none");
    assert_false(http_media_is_event_stream(SLICE_NONE));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(types_are_told_apart),
                                        cmocka_unit_test(event_streams_are_told_apart),
                                        cmocka_unit_test(parameters_make_no_other_type) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
