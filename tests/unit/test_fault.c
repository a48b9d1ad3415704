/*
 * Faults and failed checks.
 */
#include "base/fault.h"

#include "base/check.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static void test_fault_holds_the_words(void **state)
{
    struct fault why = { "" };

    (void)state;
    assert_int_equal(fault_set(&why, "%s: line %d", "weir.conf", 3), -1);
    assert_string_equal(why.text, "weir.conf: line 3");
    assert_int_equal(fault_set_errno(&why, ENOENT, "open %s", "x"), -1);
    assert_string_equal(why.text, "open x: No such file or directory");
    assert_int_equal(fault_set(NULL, "nobody asks"), -1);
    assert_int_equal(fault_set_errno(NULL, ENOENT, "nobody asks"), -1);
}

static void test_words_may_be_put_in_front(void **state)
{
    struct fault why;

    (void)state;
    fault_set(&why, "no such key");
    fault_set(&why, "section a: %s", why.text);
    assert_string_equal(why.text, "section a: no such key");
}

static void test_long_text_is_cut(void **state)
{
    struct fault why;

    (void)state;
    fault_set(&why, "%0*d", 5000, 1);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
    fault_set_errno(&why, ENOENT, "%0*d", 5000, 1);
    assert_int_equal(strlen(why.text), sizeof why.text - 1);
}

static void test_check_aborts_and_names_the_place(void **state)
{
    char    text[1024] = "";
    int     ends[2], status;
    ssize_t got;
    pid_t   child;

    (void)state;
    assert_int_equal(pipe(ends), 0);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
        signal(SIGABRT, SIG_DFL);
        dup2(ends[1], STDERR_FILENO);
        CHECK(1 + 1 == 2);
        CHECK(ends[0] == -1);
        _exit(0);
    }
    close(ends[1]);
    got = read(ends[0], text, sizeof text - 1);
    close(ends[0]);
    assert_true(got > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "check_failed"));
    assert_non_null(strstr(text, "ends[0] == -1"));
    assert_non_null(strstr(text, "test_fault.c"));
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fault_holds_the_words),
        cmocka_unit_test(test_words_may_be_put_in_front),
        cmocka_unit_test(test_long_text_is_cut),
        cmocka_unit_test(test_check_aborts_and_names_the_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
