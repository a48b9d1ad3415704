/*
 * How long changes wait for their commit: the rule by cases, and what the store makes of it.
 */
#include "store/grouping.h"
#include "store/store.h"

#include "base/arena.h"
#include "base/check.h"
#include "store_support.h"
#include "tempdir.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define MS       NS_PER_MS
#define START_NS (1000 * NS_PER_SEC)

/* Groups one after another, the first of each `every_ns` after the last commit. */
struct flow {
    const char *name;
    int64_t     took_ns, every_ns;
    unsigned    groups;
    int64_t     waits_ns;
};

static int64_t wait_of_last(const struct flow *f)
{
    struct grouping g = { 0 };
    int64_t         now_ns = START_NS, wait_ns = 0;

    for (unsigned i = 0; i < f->groups; i++) {
        now_ns += f->every_ns;
        grouping_begin(&g, now_ns);
        wait_ns = grouping_left(&g, now_ns);
        now_ns += wait_ns;
        if (grouping_left(&g, now_ns - 1) != 1 || grouping_left(&g, now_ns) != 0)
            fail_msg("%s: it is due at another time than it said", f->name);
        grouping_end(&g, f->took_ns, now_ns);
    }
    return wait_ns;
}

static void test_waits(void **state)
{
    static const struct flow rows[] = {
        { "the_first_of_all_is_prompt", 0, 0, 1, 5 * MS },
        { "one_after_a_quiet_time_is_prompt", 1 * MS, 2001 * MS, 50, 16 * MS },
        { "prompt_on_a_slow_disk_too", 4 * NS_PER_SEC, 2001 * MS, 50, 250 * MS },
        { "while_they_keep_coming_the_wait_doubles", 1 * MS, 100 * MS, 3, 20 * MS },
        { "at_one_a_second_too", 1 * MS, NS_PER_SEC, 4, 40 * MS },
        { "up_to_its_bound", 1 * MS, 10 * MS, 12, GROUPING_LONGEST_NS },
        { "and_no_further", 300 * MS, 10 * MS, 100, GROUPING_LONGEST_NS },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (wait_of_last(&rows[i]) != rows[i].waits_ns)
            fail_msg("%s: %lld ms", rows[i].name, (long long)(wait_of_last(&rows[i]) / MS));
}

static void test_a_clock_that_was_moved_makes_it_due(void **state)
{
    struct grouping g = { 0 };

    (void)state;
    grouping_begin(&g, START_NS);
    assert_int_equal(grouping_left(&g, START_NS - NS_PER_SEC), 0);
    assert_int_equal(grouping_left(&g, START_NS + 3600 * NS_PER_SEC), 0);
    grouping_end(&g, 1 * MS, START_NS);
    grouping_begin(&g, START_NS - NS_PER_SEC);
    assert_true(grouping_left(&g, START_NS - NS_PER_SEC) <= GROUPING_PROMPT_NS);
}

/* -- the store -- */

static void receive(struct mail *m)
{
    (void)m;
}

/* Nobody asks and nothing is urgent: what makes the number of commits is the rule alone. */
static void test_a_stream_is_committed_in_few_groups(void **state)
{
    enum { COUNT = 600 };
    struct fixture     *f = *state;
    struct mailbox     *box = mailbox_open();
    struct pollfd       watch = { .fd = mailbox_fd(box), .events = POLLIN };
    struct arena        a = { 0 };
    struct store_change changes[COUNT];
    const uint64_t      before = store_generation(f->store);
    unsigned            done = 0;

    for (unsigned n = 0; n < COUNT; n++) {
        changes[n] = make_put(&a, n, 0, NULL);
        changes[n].is_first = true;
        changes[n].reply_to = box;
        changes[n].done.receive = receive;
        store_submit(f->store, &changes[n]);
        usleep(500);
        done += mailbox_deliver(box);
        assert_true(is_hit(f, n)); /* committed or not */
    }
    store_hurry(f->store);
    for (; done < COUNT; done += mailbox_deliver(box))
        CHECK(poll(&watch, 1, 20000) == 1);
    if (store_generation(f->store) - before > 16) /* at 5 ms each it would be some sixty */
        fail_msg("%llu commits", (unsigned long long)(store_generation(f->store) - before));
    mailbox_close(box);
    arena_free(&a);
}

static void test_a_lone_change_is_committed_unasked(void **state)
{
    struct fixture     *f = *state;
    struct mailbox     *box = mailbox_open();
    struct pollfd       watch = { .fd = mailbox_fd(box), .events = POLLIN };
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, 1, 0, NULL);

    c.reply_to = box;
    c.done.receive = receive;
    store_submit(f->store, &c);
    assert_int_equal(poll(&watch, 1, 20000), 1);
    assert_int_equal(mailbox_deliver(box), 1);
    assert_true(c.ok);
    assert_int_equal(store_status(f->store).records, 1);
    mailbox_close(box);
    arena_free(&a);
}

static void submit_and_wait_for_death(const char *directory, int told)
{
    static struct store_change changes[200];
    struct store              *s = open_store(directory, UINT64_C(1) << 30);
    struct mailbox            *box = mailbox_open();
    struct arena               a = { 0 };

    alarm(60);                          /* nothing is left of it where the test fails */
    CHECK(put_records(s, 0, 50, 3000)); /* these are committed, and heard of */
    for (unsigned n = 0; n < 200; n++) {
        changes[n] = make_put(&a, 1000 + n, 0, NULL);
        changes[n].reply_to = box;
        changes[n].done.receive = receive;
        store_submit(s, &changes[n]);
    }
    CHECK(write(told, "x", 1) == 1);
    for (;;)
        pause();
}

/* The group is lost or whole; what was committed before stands, and the database is sound. */
static void test_killed_in_mid_group(void **state)
{
    char                *directory = tempdir_make();
    struct store        *s;
    struct store_reader *r;
    unsigned             left = 0;
    int                  told[2];
    char                 byte;
    pid_t                child;

    (void)state;
    assert_int_equal(pipe(told), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0)
        submit_and_wait_for_death(directory, told[1]);
    assert_int_equal(read(told[0], &byte, 1), 1);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    s = open_store(directory, UINT64_C(1) << 30);
    assert_false(store_status(s).broken);
    r = store_reader_open(s);
    for (unsigned n = 0; n < 50; n++)
        assert_true(has_record(s, r, n, 0, 3000));
    for (unsigned n = 1000; n < 1200; n++)
        left += has_record(s, r, n, 0, 0);
    assert_int_equal(store_status(s).records, 50 + left);
    assert_true(put_records(s, 2000, 2100, 3000));
    store_reader_close(r);
    store_close(s);
    close(told[0]);
    close(told[1]);
    tempdir_remove(directory);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_killed_in_mid_group), /* forks: before there are threads */
        cmocka_unit_test(test_waits),
        cmocka_unit_test(test_a_clock_that_was_moved_makes_it_due),
        cmocka_unit_test_setup_teardown(test_a_stream_is_committed_in_few_groups, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_lone_change_is_committed_unasked, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
