/*
 * What is told of a fetch while it has no answer: how long it will wait, and that it goes out, which is marked before.
 */
#include "rig.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

static _Atomic uint64_t mark;      /* as a job has it */
static _Atomic uint64_t mark_then; /* when the API had the request */

static void answer(struct talk *t, const void *context)
{
    (void)context;
    mark_then = mark;
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello");
}

static void hear(struct fetch *f)
{
    (void)f;
}

static struct fetch *follow(struct rig *r, const char *method, const char *target, uint64_t number)
{
    struct fetch *f = rig_fetch(r, method, target, "");

    f->progress = arena_alloc(&f->arena, sizeof *f->progress);
    f->progress->told = hear;
    f->progress->fetch = f;
    f->progress->mark = number > 0 ? &mark : NULL;
    f->progress->number = number;
    f->patience.max_wait_ns = 1000 * NS_PER_SEC;
    return f;
}

static bool is_queued(void *fetch)
{
    return ((struct fetch *)fetch)->progress->is_queued;
}

static void test_one_that_goes_at_once(void **state)
{
    struct rig    r;
    struct fetch *f;

    (void)state;
    mark = 0;
    rig_open(&r, answer, NULL);
    rig_start(&r);
    f = follow(&r, "POST", "/first", 7);
    rig_submit(&r, f);
    assert_int_equal(rig_await(&r, f), FETCH_HEAD);
    assert_true(f->progress->is_queued && f->progress->is_sent); /* both came before the answer */
    assert_int_equal(f->progress->wait_ns, 0);
    assert_int_equal(mark_then, 7);
    rig_leave(&r, f);
    rig_close(&r);
}

static void test_those_that_wait(void **state)
{
    struct rig    r;
    struct fetch *first, *second, *third;

    (void)state;
    mark = 0;
    rig_open(&r, answer, NULL);
    rig_limit(&r, 0, "one", 1, 100 * NS_PER_SEC);
    rig_start(&r);
    first = follow(&r, "GET", "/first", 0);
    second = follow(&r, "POST", "/second", 8);
    third = follow(&r, "GET", "/third", 0);
    rig_submit(&r, first);
    rig_await(&r, first);
    rig_submit(&r, second);
    rig_until(&r, is_queued, second);
    rig_submit(&r, third);
    rig_until(&r, is_queued, third);
    assert_int_equal(second->progress->ahead, 0);
    assert_int_equal(third->progress->ahead, 1);
    assert_true(second->progress->wait_ns > 90 * NS_PER_SEC && second->progress->wait_ns < 110 * NS_PER_SEC);
    assert_true(third->progress->wait_ns > 190 * NS_PER_SEC);
    assert_false(second->progress->is_sent);
    assert_int_equal(mark, 0);
    rig_leave(&r, first);
    rig_leave(&r, second);
    rig_leave(&r, third);
    rig_close(&r);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_goes_at_once),
        cmocka_unit_test(test_those_that_wait),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
