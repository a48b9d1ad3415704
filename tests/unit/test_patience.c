/*
 * Each of those who share a request listens to a silent API for as long as his
 * own time-out lets him, before the head and in mid-body.
 */
#include "rig.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define HEAD "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nContent-Length: 5\r\n\r\n"

enum { SHARERS = 3, LONG = 30000, FOR_EVER = 0, SHORT = 900, SHORTER = 600 };

static const struct row {
    const char *name;
    int64_t     timeout_ms[SHARERS];
    bool        gives_up[SHARERS];
} rows[] = {
    { "the_leaders_is_short", { SHORT, LONG, LONG }, { true, false, false } },
    { "anothers_is_short", { LONG, SHORT, LONG }, { false, true, false } },
    { "all_but_one_are_short", { SHORT, SHORTER, LONG }, { true, true, false } },
    { "one_waits_for_ever", { SHORT, LONG, FOR_EVER }, { true, false, false } },
    { "nobodys_is_short", { LONG, LONG, FOR_EVER }, { false, false, false } },
};
enum { ROWS = sizeof rows / sizeof rows[0] };

static void wait_and_say(struct talk *t, const void *context)
{
    (void)context;
    talk_wait(t);
    talk_say(t, HEAD "hello");
}

static void say_half_and_wait(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, HEAD "he");
    talk_wait(t);
    talk_say(t, "llo");
}

static unsigned            cut_count;
static const struct fetch *cuts[SHARERS];

static void note_cut(struct fetch *f)
{
    cuts[cut_count++] = f;
}

static bool was_cut(const struct fetch *f)
{
    for (unsigned i = 0; i < cut_count; i++)
        if (cuts[i] == f)
            return true;
    return false;
}

static void share(struct rig *r, const struct row *row, api_script script, struct fetch *f[SHARERS])
{
    struct upstream_report report;

    cut_count = 0;
    rig_open(r, script, NULL);
    rig_start(r);
    for (unsigned i = 0; i < SHARERS; i++) {
        f[i] = rig_fetch(r, "GET", "/x", "");
        f[i]->patience.read_ns = row->timeout_ms[i] * NS_PER_MS;
        f[i]->on.cut = note_cut;
        rig_submit(r, f[i]);
    }
    api_await(r->origin, 1);
    rig_report(r, &report); /* all of them have been seen */
    arena_free(&report.arena);
}

static void finish(struct rig *r, const struct row *row, struct fetch *f[SHARERS])
{
    if (api_requests(r->origin) != 1)
        fail_msg("%s: %u requests", row->name, api_requests(r->origin));
    for (unsigned i = 0; i < SHARERS; i++)
        rig_leave(r, f[i]);
    rig_close(r);
}

static void before_the_head(void **state)
{
    (void)state;
    for (size_t n = 0; n < ROWS; n++) {
        const struct row *row = &rows[n];
        struct rig        r;
        struct fetch     *f[SHARERS];

        share(&r, row, wait_and_say, f);
        for (unsigned i = 0; i < SHARERS; i++)
            if (row->gives_up[i] && (rig_await(&r, f[i]) != FETCH_FAILED || f[i]->said.failed_as != ATTEMPT_TIMEOUT))
                fail_msg("%s: %u does not give up", row->name, i);
        api_let_go(r.origin);
        for (unsigned i = 0; i < SHARERS; i++)
            if (!row->gives_up[i]) {
                if (rig_await(&r, f[i]) != FETCH_HEAD)
                    fail_msg("%s: %u gives up: %s", row->name, i, f[i]->said.error);
                rig_expect_body(&r, f[i], "hello");
            }
        finish(&r, row, f);
    }
}

static bool is_cut(void *fetch)
{
    return was_cut(fetch);
}

static void in_mid_body(void **state)
{
    (void)state;
    for (size_t n = 0; n < ROWS; n++) {
        const struct row *row = &rows[n];
        struct rig        r;
        struct fetch     *f[SHARERS];

        share(&r, row, say_half_and_wait, f);
        for (unsigned i = 0; i < SHARERS; i++)
            if (rig_await(&r, f[i]) != FETCH_HEAD)
                fail_msg("%s: %u has no head", row->name, i);
        for (unsigned i = 0; i < SHARERS; i++)
            if (row->gives_up[i])
                rig_until(&r, is_cut, f[i]);
        api_let_go(r.origin);
        for (unsigned i = 0; i < SHARERS; i++) {
            if (was_cut(f[i]) != row->gives_up[i])
                fail_msg("%s: %u was cut", row->name, i);
            if (!row->gives_up[i])
                rig_expect_body(&r, f[i], "hello");
        }
        finish(&r, row, f);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(before_the_head), cmocka_unit_test(in_mid_body) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
