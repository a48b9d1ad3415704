/*
 * What is said of a finished request: its formats, its fields in the journal, and a record as bytes.
 */
#include <jansson.h>

#include "base/clock.h"
#include "engine/access.h"
#include "engine/access_format.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/uio.h>
#include <cmocka.h>

enum { LINE_BYTES = 32 * 1024 };

static const struct attempt two_tries[] = {
    { ATTEMPT_STATUS, 503, 100 * NS_PER_US, 2 * NS_PER_MS },
    { ATTEMPT_OK, 200, 500 * NS_PER_MS, 3 * NS_PER_MS },
};

static struct request_record a_hit(void)
{
    return (struct request_record){
        .id = 7,
        .started_wall_ns = INT64_C(1795861509) * NS_PER_SEC + 123 * NS_PER_MS,
        .took_ns = 1234500,
        .peer = SLICE("127.0.0.1:50814"),
        .client = SLICE("uid=1000 pid=77"),
        .uid = 1000,
        .pid = 77,
        .method = SLICE("GET"),
        .upstream = SLICE("inat"),
        .target = SLICE("/inat/v1/taxa?q=x&key=***"),
        .version_minor = 1,
        .agent = SLICE("curl/8 \"q\""),
        .rule = SLICE("/v1/taxa/**"),
        .status = 200,
        .sent_bytes = 5,
        .cache = SLICE("hit"),
        .whole = true,
    };
}

static struct request_record a_miss(void)
{
    struct request_record r = a_hit();

    r.client = SLICE("ci = \"one\"");
    r.uid = r.pid = -1;
    r.cache = SLICE("miss");
    r.forward = SLICE("uri-miss");
    r.attempts = two_tries;
    r.attempt_count = 2;
    r.predicted_ns = 400 * NS_PER_MS;
    r.queued_ns = 500 * NS_PER_MS;
    r.upstream_ns = 5 * NS_PER_MS;
    r.stored = r.collapsed = true;
    r.shared_with = 6;
    return r;
}

static struct request_record a_refusal(void)
{
    struct request_record r = a_hit();

    r.upstream = r.rule = r.client = r.agent = SLICE_NONE;
    r.uid = r.pid = -1;
    r.peer = SLICE("[::1]:9");
    r.target = SLICE("-");
    r.version_minor = 0;
    r.status = 400;
    r.sent_bytes = 0;
    r.cache = SLICE("error");
    r.error = SLICE("malformed-chunk");
    r.whole = false;
    return r;
}

static void test_formats(void **state)
{
    static const struct {
        const char *name;
        struct request_record (*record)(void);
        enum access_format format;
        const char        *line;
    } rows[] = {
        { "json_of_a_hit", a_hit, ACCESS_JSON,
          "{\"time\":\"2026-11-28T10:25:09.123Z\",\"id\":7,\"peer\":\"127.0.0.1:50814\",\"client\":\"uid=1000 pid=77\","
          "\"uid\":1000,\"pid\":77,\"method\":\"GET\",\"upstream\":\"inat\",\"target\":\"/inat/v1/taxa?q=x&key=***\","
          "\"rule\":\"/v1/taxa/**\",\"status\":200,\"bytes\":5,\"received_bytes\":0,\"cache\":\"hit\",\"collapsed\":"
          "false,\"stored\":false,\"whole\":true,\"attempts\":0,\"queue_ms\":0.000,\"upstream_ms\":0.000,\"took_ms\":"
          "1.235}\n" },
        { "json_of_a_miss", a_miss, ACCESS_JSON,
          "{\"time\":\"2026-11-28T10:25:09.123Z\",\"id\":7,\"peer\":\"127.0.0.1:50814\",\"client\":\"ci = "
          "\\\"one\\\"\","
          "\"method\":\"GET\",\"upstream\":\"inat\",\"target\":\"/inat/v1/taxa?q=x&key=***\",\"rule\":\"/v1/taxa/**\","
          "\"status\":200,\"bytes\":5,\"received_bytes\":0,\"cache\":\"miss\",\"fwd\":\"uri-miss\",\"collapsed\":true,"
          "\"shared_with\":6,\"stored\":true,\"whole\":true,\"attempts\":2,\"tries\":[{\"cause\":\"uri-miss\","
          "\"waited_ms\":0.100,\"outcome\":\"503\",\"took_ms\":2.000},{\"cause\":\"503\",\"waited_ms\":500.000,"
          "\"outcome\":\"200\",\"took_ms\":3.000}],\"predicted_ms\":400.000,\"queue_ms\":500.000,\"upstream_ms\":5.000,"
          "\"took_ms\":1.235}\n" },
        { "logfmt_quotes_what_needs_it", a_miss, ACCESS_LOGFMT,
          "time=2026-11-28T10:25:09.123Z id=7 peer=127.0.0.1:50814 client=\"ci = \\\"one\\\"\" method=GET "
          "upstream=inat "
          "target=\"/inat/v1/taxa?q=x&key=***\" rule=/v1/taxa/** status=200 bytes=5 received_bytes=0 cache=miss "
          "fwd=uri-miss collapsed=true shared_with=6 stored=true whole=true attempts=2 tries=503/0.1ms,200/500.0ms "
          "predicted_ms=400.000 queue_ms=500.000 upstream_ms=5.000 took_ms=1.235\n" },
        { "plain_names_the_client_on_a_hit", a_hit, ACCESS_PLAIN,
          "2026-11-28T10:25:09.123Z 127.0.0.1:50814 GET /inat/v1/taxa?q=x&key=*** 200 5 hit fwd=- attempts=0 "
          "queue=0.0ms upstream=0.0ms took=1.2ms client=\"uid=1000 pid=77\"\n" },
        { "plain_ends_with_the_tries", a_miss, ACCESS_PLAIN,
          "2026-11-28T10:25:09.123Z 127.0.0.1:50814 GET /inat/v1/taxa?q=x&key=*** 200 5 miss fwd=uri-miss attempts=2 "
          "queue=500.0ms upstream=5.0ms took=1.2ms client=\"ci = \\\"one\\\"\" tries=503/0.1ms,200/500.0ms\n" },
        { "combined_has_the_client_as_one_word", a_hit, ACCESS_COMBINED,
          "127.0.0.1 - uid=1000,pid=77 [28/Nov/2026:10:25:09 +0000] \"GET /inat/v1/taxa?q=x&key=*** HTTP/1.1\" 200 5 "
          "\"-\" \"curl/8 \\\"q\\\"\"\n" },
        { "combined_of_what_never_became_a_request", a_refusal, ACCESS_COMBINED,
          "::1 - - [28/Nov/2026:10:25:09 +0000] \"GET - HTTP/1.0\" 400 - \"-\" \"-\"\n" },
        { "logfmt_names_the_error", a_refusal, ACCESS_LOGFMT,
          "time=2026-11-28T10:25:09.123Z id=7 peer=[::1]:9 method=GET target=- status=400 bytes=0 received_bytes=0 "
          "cache=error error=malformed-chunk collapsed=false stored=false whole=false attempts=0 queue_ms=0.000 "
          "upstream_ms=0.000 took_ms=1.235\n" },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char                  text[LINE_BYTES];
        struct json_out       o = { .buffer = text, .capacity = sizeof text };
        struct access_stamp   stamp = { 0 };
        struct request_record r = rows[i].record();

        access_format(&o, rows[i].format, &r, &stamp);
        if (o.overflow || !slice_eq((struct slice){ text, o.used }, slice_of(rows[i].line)))
            fail_msg("%s: %.*s", rows[i].name, (int)o.used, text);
    }
}

/* Every byte that a client may send, in each place where it may. */
static void test_hostile_text_stays_one_line(void **state)
{
    char                  all[256];
    struct request_record r = a_miss();

    (void)state;
    for (int i = 0; i < 256; i++)
        all[i] = (char)i;
    r.client = r.target = r.method = r.referer = r.agent = r.detail = (struct slice){ all, sizeof all };
    for (enum access_format f = ACCESS_JSON; f <= ACCESS_COMBINED; f++) {
        char                text[LINE_BYTES];
        struct json_out     o = { .buffer = text, .capacity = sizeof text };
        struct access_stamp stamp = { 0 };

        access_format(&o, f, &r, &stamp);
        assert_false(o.overflow);
        for (size_t i = 0; i + 1 < o.used; i++)
            if ((unsigned char)text[i] < ' ' || text[i] == 0x7f)
                fail_msg("format %d has byte %02x at %zu", (int)f, (unsigned char)text[i], i);
        assert_int_equal(text[o.used - 1], '\n');
        if (f == ACCESS_JSON) {
            json_t *parsed = json_loadb(text, o.used, JSON_ALLOW_NUL, NULL);

            assert_non_null(parsed);
            json_decref(parsed);
        }
    }
}

/* The longest that there can be fits the room that the log keeps for it. */
static void test_longest_line_fits(void **state)
{
    enum { ROOM = 20 * 1024, LONG = 70000 };
    char                 *quotes = malloc(LONG);
    struct request_record r = a_miss();

    (void)state;
    memset(quotes, '\x01', LONG);
    r.client = r.target = r.method = r.referer = r.agent = (struct slice){ quotes, LONG };
    for (enum access_format f = ACCESS_JSON; f <= ACCESS_COMBINED; f++) {
        char               *text = malloc(ROOM);
        struct json_out     o = { .buffer = text, .capacity = ROOM };
        struct access_stamp stamp = { 0 };

        access_format_native(&o, f, &r, &stamp);
        assert_false(o.overflow);
        free(text);
    }
    free(quotes);
}

static void test_packed_and_unpacked_is_the_same(void **state)
{
    struct request_record (*const records[])(void) = { a_hit, a_miss, a_refusal };

    (void)state;
    for (size_t i = 0; i < sizeof records / sizeof *records; i++) {
        struct request_record        r = records[i]();
        char                         before[LINE_BYTES], after[LINE_BYTES];
        struct json_out              o = { .buffer = before, .capacity = sizeof before };
        struct json_out              p = { .buffer = after, .capacity = sizeof after };
        struct access_stamp          stamp = { 0 };
        size_t                       bytes = record_packed_bytes(&r);
        char                        *packed = malloc(bytes), *moved = malloc(bytes);
        const struct request_record *again;

        assert_int_equal(bytes % 8, 0);
        record_pack(&r, packed);
        memcpy(moved, packed, bytes);
        free(packed);
        again = record_unpack(moved);
        access_format_json(&o, &r, &stamp);
        access_format_json(&p, again, &stamp);
        assert_true(slice_eq((struct slice){ before, o.used }, (struct slice){ after, p.used }));
        assert_true(slice_eq(r.agent, again->agent));
        free(moved);
    }
}

static void test_packed_texts_are_bounded(void **state)
{
    struct request_record r = a_hit();
    char                 *text = calloc(1, 100000);
    void                 *packed;

    (void)state;
    r.target = (struct slice){ text, 100000 };
    packed = malloc(record_packed_bytes(&r));
    assert_true(record_packed_bytes(&r) < 6000);
    record_pack(&r, packed);
    assert_int_equal(record_unpack(packed)->target.len, RECORD_TARGET_MOST);
    free(packed);
    free(text);
}

/* -- the journal: this function stands in the place of libsystemd's -- */

static char journal[LINE_BYTES];
static int  entries;

int sd_journal_sendv(const struct iovec *fields, int count);
int sd_journal_sendv(const struct iovec *fields, int count)
{
    entries++;
    for (int i = 0; i < count; i++) {
        size_t used = strlen(journal);

        snprintf(journal + used, sizeof journal - used, "%.*s\n", (int)fields[i].iov_len,
                 (const char *)fields[i].iov_base);
    }
    return 0;
}

static void test_journal_has_native_fields(void **state)
{
    const struct config   c = { .access_log = { ACCESS_JOURNAL, .format = ACCESS_PLAIN } };
    struct access_log    *log = access_log_open(&c);
    struct request_record hit = a_hit(), refusal = a_refusal();

    (void)state;
    hit.target = SLICE("/inat/line\nWEIR_STATUS=999");
    access_log_write(log, &hit);
    access_log_write(log, &refusal);
    access_log_close(log);
    assert_int_equal(entries, 2);
    assert_string_equal(journal,
                        "MESSAGE=2026-11-28T10:25:09.123Z 127.0.0.1:50814 GET /inat/line?WEIR_STATUS=999 200 5 hit "
                        "fwd=- attempts=0 queue=0.0ms upstream=0.0ms took=1.2ms client=\"uid=1000 pid=77\"\n"
                        "PRIORITY=6\nSYSLOG_IDENTIFIER=weir-access\nWEIR_ID=7\nWEIR_PEER=127.0.0.1:50814\n"
                        "WEIR_CLIENT=uid=1000 pid=77\nWEIR_CLIENT_UID=1000\nWEIR_CLIENT_PID=77\nWEIR_METHOD=GET\n"
                        "WEIR_UPSTREAM=inat\nWEIR_TARGET=/inat/line?WEIR_STATUS=999\nWEIR_RULE=/v1/taxa/**\n"
                        "WEIR_STATUS=200\nWEIR_BYTES=5\nWEIR_RECEIVED_BYTES=0\nWEIR_CACHE=hit\nWEIR_COLLAPSED=false\n"
                        "WEIR_STORED=false\nWEIR_WHOLE=true\nWEIR_ATTEMPTS=0\nWEIR_QUEUE_MS=0.000\n"
                        "WEIR_UPSTREAM_MS=0.000\nWEIR_TOOK_MS=1.235\n"
                        "MESSAGE=2026-11-28T10:25:09.123Z [::1]:9 GET - 400 0 error fwd=- attempts=0 queue=0.0ms "
                        "upstream=0.0ms took=1.2ms broken\n"
                        "PRIORITY=6\nSYSLOG_IDENTIFIER=weir-access\nWEIR_ID=7\nWEIR_PEER=[::1]:9\nWEIR_METHOD=GET\n"
                        "WEIR_TARGET=-\nWEIR_STATUS=400\nWEIR_BYTES=0\nWEIR_RECEIVED_BYTES=0\nWEIR_CACHE=error\n"
                        "WEIR_ERROR=malformed-chunk\nWEIR_COLLAPSED=false\nWEIR_STORED=false\nWEIR_WHOLE=false\n"
                        "WEIR_ATTEMPTS=0\nWEIR_QUEUE_MS=0.000\nWEIR_UPSTREAM_MS=0.000\nWEIR_TOOK_MS=1.235\n");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_formats),
        cmocka_unit_test(test_hostile_text_stays_one_line),
        cmocka_unit_test(test_longest_line_fits),
        cmocka_unit_test(test_packed_and_unpacked_is_the_same),
        cmocka_unit_test(test_packed_texts_are_bounded),
        cmocka_unit_test(test_journal_has_native_fields),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
