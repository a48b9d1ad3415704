/*
 * What is read of processes and users out of the kernel's texts, and which processes are remembered.
 */
#include "peer/kernel.h"
#include "peer/known.h"
#include "peer/process.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

/* -- texts -- */

static void test_time_of_start(void **state)
{
    static const struct {
        const char *fact, *text;
        uint64_t    start;
    } cases[] = {
        { "field 22", "1 (init) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 4711 167 9", 4711 },
        { "a name with spaces", "7 (a b c) S 0 1 1 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12 167 9", 12 },
        { "a name that looks like the rest", "7 (x) S 1 2 3) R 0 1 1 0 -1 0 1 2 3 4 5 6 7 8 20 0 1 0 99 167", 99 },
        { "too short", "7 (x) S 1 2 3", 0 },
        { "nothing", "", 0 },
        { "no name", "7 x S 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (process_parse_start(cases[i].text) != cases[i].start)
            fail_msg("%s: %llu", cases[i].fact, (unsigned long long)process_parse_start(cases[i].text));
}

static void test_links(void **state)
{
    static const struct {
        const char *fact, *text;
        unsigned    inode;
    } cases[] = {
        { "a socket", "socket:[4711]", 4711 },
        { "the largest", "socket:[4294967295]", 4294967295U },
        { "larger than there is", "socket:[4294971967]", 0 },
        { "a pipe", "pipe:[4711]", 0 },
        { "a file of that name", "/tmp/socket:[4711]", 0 },
        { "something behind it", "socket:[4711] (deleted)", 0 },
        { "no end", "socket:[4711", 0 },
        { "nothing", "", 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (process_parse_link(cases[i].text) != cases[i].inode)
            fail_msg("%s: %u", cases[i].fact, process_parse_link(cases[i].text));
}

static void test_ids_that_are_none(void **state)
{
    static const struct {
        const char *fact;
        uint32_t    id;
        const char *map, *overflow;
        bool        is_none;
    } cases[] = {
        { "nobody of the whole machine", 65534, "         0          0 4294967295\n", "65534\n", false },
        { "in a namespace of one user", 65534, "0 1000 1\n", "65534\n", true },
        { "another user there", 0, "0 1000 1\n", "65534\n", false },
        { "a namespace that has a nobody of its own", 65534, "0 100000 65536\n", "65534\n", true },
        { "all, in two pieces", 65534, "0 1 1000\n1000 2000 4294966295\n", "65534\n", false },
        { "another overflow id", 65534, "0 1000 1\n", "99\n", false },
        { "that one", 99, "0 1000 1\n", "99\n", true },
        { "no map yet", 65534, "", "65534\n", true },
        { "nothing can be read", 65534, "", "", true },
        { "nonsense", 65534, "x y z\nfoo", "65534\n", true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++)
        if (kernel_is_unmapped(cases[i].id, cases[i].map, cases[i].overflow) != cases[i].is_none)
            fail_msg("%s", cases[i].fact);
}

/* -- what is remembered -- */

static bool knows(struct known *k, uid_t uid, pid_t pid, uint64_t started)
{
    struct known_process *of[KNOWN_MOST];
    unsigned              count = known_of(k, uid, of, KNOWN_MOST);

    for (unsigned i = 0; i < count; i++)
        if (of[i]->pid == pid)
            return of[i]->started == started;
    return false;
}

static void test_known_processes(void **state)
{
    static struct known   k;
    struct known_process *of[2];

    (void)state;
    assert_int_equal(known_of(&k, 1, of, 2), 0);
    known_put(&k, 1, 10, 100, 3);
    known_put(&k, 1, 11, 110, 4);
    known_put(&k, 2, 12, 120, 5);
    assert_int_equal(known_of(&k, 1, of, 2), 2);
    assert_int_equal(of[0]->pid, 11); /* the last one first */
    known_put(&k, 1, 10, 100, 7);
    assert_int_equal(known_of(&k, 1, of, 2), 2);
    assert_int_equal(of[0]->pid, 10);
    assert_int_equal(of[0]->fd, 7);
    assert_int_equal(known_of(&k, 1, of, 1), 1);
    assert_int_equal(of[0]->pid, 10);
    known_put(&k, 3, 10, 130, 3); /* the pid is another user's process by now */
    assert_false(knows(&k, 1, 10, 100));
    assert_true(knows(&k, 3, 10, 130));
    known_of(&k, 3, of, 1);
    known_drop(of[0]);
    assert_int_equal(known_of(&k, 3, of, 2), 0);
}

static void test_nobody_puts_out_others(void **state)
{
    static struct known   k;
    struct known_process *of[KNOWN_MOST];

    (void)state;
    known_put(&k, 1, 1, 1, 3);
    for (int i = 0; i < 5000; i++)
        known_put(&k, 2, 100 + i, 1, 3);
    assert_true(knows(&k, 1, 1, 1));
    assert_int_equal(known_of(&k, 2, of, KNOWN_MOST), KNOWN_OF_USER);
    for (unsigned user = 3; user < 60; user++) /* more users than there is room for: whoever has most gives */
        known_put(&k, user, (pid_t)(10000 + user), 1, 3);
    for (unsigned user = 100; user < 110; user++)
        for (int i = 0; i < KNOWN_OF_USER; i++)
            known_put(&k, user, (pid_t)(20000 + user * 100) + i, 1, 3);
    assert_true(knows(&k, 1, 1, 1));
    assert_true(knows(&k, 59, 10059, 1));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_time_of_start),          cmocka_unit_test(test_links),
        cmocka_unit_test(test_ids_that_are_none),      cmocka_unit_test(test_known_processes),
        cmocka_unit_test(test_nobody_puts_out_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
