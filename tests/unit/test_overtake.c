/*
 * What is dropped is not stored again by an answer that was asked for before.
 */
#include "rig.h"

#include "base/clock.h"
#include "policy/label.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#define FRESH "HTTP/1.1 200 OK\r\nCache-Control: max-age=60\r\nCache-Tag: its-tag\r\nContent-Length: 5\r\n\r\nhello"

static void wait_and_say(struct talk *t, const void *text)
{
    talk_wait(t);
    talk_say(t, text);
}

static bool drops_x(struct slice full_key, void *context)
{
    (void)context;
    return slice_ends_with(full_key, SLICE("/x"));
}

static const struct drop_row {
    const char            *name;
    enum store_change_kind kind;
    const char            *target; /* that the drop is of; its label */
    bool                   stored; /* what was asked for at /x before it */
} drops[] = {
    { "flush", STORE_FLUSH, "/", false },
    { "its_key", STORE_DROP, "/x", false },
    { "another_key", STORE_DROP, "/x?other", true },
    { "its_path", STORE_DROP_TAG, "/x?other", false },
    { "another_path", STORE_DROP_TAG, "/y", true },
    { "a_label_that_it_turns_out_to_bear", STORE_DROP_LABEL, "its-tag", false },
    { "another_label", STORE_DROP_LABEL, "another-tag", true },
    { "matching", STORE_DROP_MATCHING, "/x", false },
};

struct dropped {
    struct store_change change;
    bool                done;
};
static struct dropped dropped;

static void receive_dropped(struct mail *m)
{
    (void)m;
    dropped.done = true;
}

static bool is_dropped(void *context)
{
    return ((struct dropped *)context)->done;
}

static void drop(struct rig *r, const struct drop_row *row)
{
    struct fetch *like = rig_fetch(r, "GET", row->kind == STORE_DROP_LABEL ? "/" : row->target, "");

    dropped = (struct dropped){ .change = { .kind = row->kind, .matches = drops_x, .reply_to = r->box } };
    memcpy(dropped.change.hash, like->key.hash, STORE_HASH_BYTES);
    memcpy(dropped.change.tag, like->key.path_tag, STORE_HASH_BYTES);
    policy_label_name(slice_of(row->target), dropped.change.label);
    dropped.change.label_bytes = LABEL_NAME_BYTES;
    dropped.change.done.receive = receive_dropped;
    free(like->owner);
    rig_leave(r, like);
    upstream_drop(r->up, &dropped.change);
    rig_until(r, is_dropped, &dropped);
}

static void a_drop_overtakes_what_it_is_about(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof drops / sizeof *drops; i++) {
        struct rig             r;
        struct fetch          *f[2];
        struct upstream_report report;

        rig_open(&r, wait_and_say, FRESH);
        rig_start(&r);
        for (unsigned k = 0; k < 2; k++)
            f[k] = rig_fetch(&r, "GET", "/x", "");
        rig_submit(&r, f[0]);
        api_await(r.origin, 1);
        drop(&r, &drops[i]);
        f[1]->patience.arrived_mono_ns = clock_mono_ns();
        rig_submit(&r, f[1]);
        rig_report(&r, &report); /* it has been seen */
        arena_free(&report.arena);
        api_let_go(r.origin);
        for (unsigned k = 0; k < 2; k++) {
            assert_int_equal(rig_await(&r, f[k]), FETCH_HEAD);
            rig_expect_body(&r, f[k], "hello");
        }
        if (f[0]->outcome.stored != drops[i].stored || f[1]->outcome.collapsed != drops[i].stored ||
            !f[1]->outcome.stored)
            fail_msg("%s: %s", drops[i].name, f[0]->outcome.stored ? "stored" : "not stored");
        rig_leave(&r, f[0]);
        rig_leave(&r, f[1]);
        rig_close(&r);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_drop_overtakes_what_it_is_about),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
