/*
 * The event log, read back through a pipe that stands in for standard error.
 */
#include "base/log.h"

#include "base/counters.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

static int reading_end, writing_end, real_stderr;

static int redirect(void **state)
{
    int ends[2];

    (void)state;
    if (pipe2(ends, O_NONBLOCK) != 0)
        return -1;
    reading_end = ends[0];
    writing_end = ends[1];
    real_stderr = dup(STDERR_FILENO);
    return 0;
}

static int restore(void **state)
{
    (void)state;
    close(reading_end);
    close(writing_end);
    close(real_stderr);
    return 0;
}

/* Only while a line is logged: cmocka writes to standard error too. */
#define LOGGED(call) (dup2(writing_end, STDERR_FILENO), (call), dup2(real_stderr, STDERR_FILENO), read_back())

static const char *read_back(void)
{
    static char text[8192];
    ssize_t     got = read(reading_end, text, sizeof text - 1);

    text[got > 0 ? got : 0] = '\0';
    return text;
}

/* The line without its time, which is checked here. */
static const char *behind_time(const char *line)
{
    int year, month, day, hour, minute, second, ms, used = 0;

    assert_int_equal(sscanf(line, "%4d-%2d-%2dT%2d:%2d:%2d.%3dZ %n", &year, &month, &day, &hour, &minute, &second, &ms,
                            &used),
                     7);
    assert_int_equal(used, 25);
    assert_true(year >= 2024 && month >= 1 && month <= 12 && day >= 1 && day <= 31);
    return line + used;
}

static void test_line_is_time_level_event_pairs(void **state)
{
    (void)state;
    assert_string_equal(behind_time(LOGGED(log_info("started", "port=%d workers=%d", 8080, 2))),
                        "info started port=8080 workers=2\n");
    assert_string_equal(behind_time(LOGGED(log_error("broken", " path=%s", "/x"))), "error broken path=/x\n");
    assert_string_equal(behind_time(LOGGED(log_warning("odd", "%s", ""))), "warning odd\n");
}

static void test_lines_below_the_level_are_dropped(void **state)
{
    (void)state;
    assert_string_equal(LOGGED(log_debug("detail", "a=%d", 1)), "");
    log_set_level(LOG_LEVEL_DEBUG);
    assert_string_equal(behind_time(LOGGED(log_debug("detail", "a=%d", 1))), "debug detail a=1\n");
    log_set_level(LOG_LEVEL_ERROR);
    assert_string_equal(LOGGED(log_warning("odd", "a=%d", 1)), "");
    log_set_level(LOG_LEVEL_INFO);
}

static void test_one_event_is_one_line(void **state)
{
    const char *line;

    (void)state;
    assert_string_equal(behind_time(LOGGED(log_info("e", "a=%s", "x\ny\x1b[31m\x7f"))), "info e a=x y [31m \n");
    line = LOGGED(log_info("long", "a=%0*d", 6000, 1));
    assert_in_range(strlen(line), 3000, 4096);
    assert_string_equal(line + strlen(line) - 5, "0...\n");
    assert_ptr_equal(strchr(line, '\n'), line + strlen(line) - 1);
}

static void test_errno_survives(void **state)
{
    (void)state;
    errno = ENOENT;
    assert_string_equal(behind_time(LOGGED(log_info("e", "reason=%m"))), "info e reason=No such file or directory\n");
    errno = ENOENT;
    log_debug("e", "a=%d", 1);
    assert_int_equal(errno, ENOENT);
}

static void test_quotes_and_escapes(void **state)
{
    static const struct {
        const char *name, *text, *quoted;
    } rows[] = {
        { "plain", "abc", "\"abc\"" },
        { "empty", "", "\"\"" },
        { "null", NULL, "\"\"" },
        { "quote_and_backslash", "a\"b\\", "\"a\\\"b\\\\\"" },
        { "control_bytes", "a\n\x1b\x7f", "\"a\\x0a\\x1b\\x7f\"" },
        { "utf8_stays", "\xc3\xa4", "\"\xc3\xa4\"" },
    };
    char        text[2000];
    const char *quoted[8];

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (strcmp(log_quote(rows[i].text), rows[i].quoted) != 0)
            fail_msg("%s: %s", rows[i].name, log_quote(rows[i].text));
    for (int fill = '\x01'; fill < 'z'; fill += 'y' - 1) {
        memset(text, fill, sizeof text - 1);
        text[sizeof text - 1] = '\0';
        assert_in_range(strlen(log_quote(text)), 500, 511);
        assert_string_equal(strchr(log_quote(text), '.'), "...\"");
    }
    for (int i = 0; i < 8; i++) {
        snprintf(text, sizeof text, "%d", i);
        quoted[i] = log_quote(text);
    }
    for (int i = 0; i < 8; i++)
        assert_int_equal(quoted[i][1], '0' + i);
}

static void test_level_names(void **state)
{
    (void)state;
    assert_int_equal(log_level_parse("error"), LOG_LEVEL_ERROR);
    assert_int_equal(log_level_parse("warning"), LOG_LEVEL_WARNING);
    assert_int_equal(log_level_parse("info"), LOG_LEVEL_INFO);
    assert_int_equal(log_level_parse("debug"), LOG_LEVEL_DEBUG);
    assert_int_equal(log_level_parse("warn"), -1);
    assert_int_equal(log_level_parse("Error"), -1);
    assert_int_equal(log_level_parse(""), -1);
}

/* In a process of its own, started anew: whether this is the journal is found out only once. */
static void test_journal_gets_priorities(void **state)
{
    struct stat st;
    char        stream[64];
    int         status;
    pid_t       child;

    (void)state;
    assert_int_equal(fstat(writing_end, &st), 0);
    snprintf(stream, sizeof stream, "%ju:%ju", (uintmax_t)st.st_dev, (uintmax_t)st.st_ino);
    child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(writing_end, STDERR_FILENO);
        setenv("JOURNAL_STREAM", stream, 1);
        execl("/proc/self/exe", "test_log", "--say", (char *)NULL);
        _exit(127);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    const char *line = read_back();
    assert_memory_equal(line, "<3>", 3);
    assert_string_equal(behind_time(line + 3), "error said a=1\n");
}

static const char *first_line(const char *text)
{
    static char line[256];

    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    return line;
}

/* /dev/full takes nothing, as a full disk. */
static void test_lost_lines_are_counted_and_told_once(void **state)
{
    const uint64_t before = counter_sum(COUNTER_LOG_LINES_LOST);
    int            full = open("/dev/full", O_WRONLY | O_CLOEXEC);
    const char    *text;

    (void)state;
    assert_true(full >= 0);
    dup2(full, STDERR_FILENO);
    for (int i = 0; i < 3; i++)
        log_error("unheard", "i=%d", i);
    dup2(real_stderr, STDERR_FILENO);
    close(full);
    assert_int_equal(counter_sum(COUNTER_LOG_LINES_LOST) - before, 3);
    text = LOGGED(log_error("heard", "i=3"));
    assert_string_equal(first_line(behind_time(text)), "warning log_lines_lost lines=3");
    assert_string_equal(behind_time(strchr(text, '\n') + 1), "error heard i=3\n");
    assert_string_equal(behind_time(LOGGED(log_error("heard", "i=4"))), "error heard i=4\n");
}

int main(int argc, char **argv)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_line_is_time_level_event_pairs),
        cmocka_unit_test(test_lines_below_the_level_are_dropped),
        cmocka_unit_test(test_one_event_is_one_line),
        cmocka_unit_test(test_errno_survives),
        cmocka_unit_test(test_quotes_and_escapes),
        cmocka_unit_test(test_level_names),
        cmocka_unit_test(test_journal_gets_priorities),
        cmocka_unit_test(test_lost_lines_are_counted_and_told_once),
    };

    if (argc > 1 && strcmp(argv[1], "--say") == 0) {
        log_error("said", "a=%d", 1);
        return 0;
    }
    unsetenv("JOURNAL_STREAM");
    return cmocka_run_group_tests(tests, redirect, restore);
}
