/*
 * The clocks, and how a file moves them.
 */
#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>
#include <cmocka.h>

static const int64_t DAY_NS = 86400 * NS_PER_SEC;

static void write_offset(int fd, int64_t offset_ns)
{
    assert_int_equal(pwrite(fd, &offset_ns, sizeof offset_ns, 0), sizeof offset_ns);
}

static void test_wall_clock_is_unix_time(void **state)
{
    time_t  before = time(NULL) - 1;
    int64_t now_s = clock_wall_ns() / NS_PER_SEC;

    (void)state;
    assert_true(now_s >= before && now_s <= time(NULL) + 1);
}

static void test_monotonic_clock_never_goes_back(void **state)
{
    int64_t last = clock_mono_ns();

    (void)state;
    for (int i = 0; i < 1000; i++) {
        int64_t now = clock_mono_ns();

        assert_true(now >= last);
        last = now;
    }
}

/* Last: the mapping stays for the rest of the process. */
static void test_clock_file_moves_both_clocks(void **state)
{
    char    path[] = "/tmp/weir-test-clock-XXXXXX";
    int     fd = mkstemp(path);
    int64_t wall = clock_wall_ns(), mono = clock_mono_ns();

    (void)state;
    assert_true(fd >= 0);
    setenv("WEIR_CLOCK_FILE", "/nonexistent/clock", 1);
    assert_false(clock_start());
    assert_true(clock_wall_ns() - wall < DAY_NS / 2);
    setenv("WEIR_CLOCK_FILE", path, 1);
    assert_false(clock_start()); /* too short: reading it would be a SIGBUS */
    assert_true(clock_wall_ns() - wall < DAY_NS / 2);

    write_offset(fd, DAY_NS);
    assert_true(clock_start());
    assert_true(clock_wall_ns() - wall >= DAY_NS && clock_wall_ns() - wall < 2 * DAY_NS);
    assert_true(clock_mono_ns() - mono >= DAY_NS && clock_mono_ns() - mono < 2 * DAY_NS);
    write_offset(fd, 3 * DAY_NS); /* at once, without another call */
    assert_true(clock_wall_ns() - wall >= 3 * DAY_NS);
    assert_true(clock_mono_ns() - mono >= 3 * DAY_NS);
    write_offset(fd, -DAY_NS);
    assert_true(clock_wall_ns() < wall);
    assert_int_equal(clock_wall_step_ns(), 0);
    write_offset(fd, 5 * DAY_NS); /* both: no step of the one by the other */
    assert_int_equal(clock_wall_step_ns(), 0);
    close(fd);
    unlink(path);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wall_clock_is_unix_time),
        cmocka_unit_test(test_monotonic_clock_never_goes_back),
        cmocka_unit_test(test_clock_file_moves_both_clocks),
    };

    unsetenv("WEIR_CLOCK_FILE");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
