/*
 * Waits are handed to the kernel as they are: what counts is what it is asked, not how long it then takes.
 */
#include "base/wait.h"

#include "rig.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

enum call { NONE, PWAIT2, PPOLL, PLAIN };

/* What the calls of the library were asked, by whatever thread; they are carried out. */
static _Atomic int     last_call, lacking; /* an errno: epoll_pwait2() fails with it */
static _Atomic int64_t last_ns;
static _Atomic int64_t shortest_ns = INT64_MAX; /* of what was not 0 */
static _Atomic int     pwait2_calls;

static void note(enum call call, int64_t ns)
{
    last_call = call;
    last_ns = ns;
    if (ns > 0 && ns < shortest_ns && (call == PWAIT2 || lacking != 0)) /* the writer's are PPOLL */
        shortest_ns = ns;
}

static int64_t ns_of(const struct timespec *t)
{
    return t != NULL ? t->tv_sec * NS_PER_SEC + t->tv_nsec : -1;
}

#ifdef WEIR_EPOLL_PWAIT2
int epoll_pwait2(int fd, struct epoll_event *events, int most, const struct timespec *t, const sigset_t *mask)
{
    pwait2_calls++;
    if (lacking != 0) {
        errno = lacking;
        return -1;
    }
    note(PWAIT2, ns_of(t));
    return (int)syscall(SYS_epoll_pwait2, fd, events, most, t, mask, _NSIG / 8);
}
#endif

int epoll_wait(int fd, struct epoll_event *events, int most, int ms)
{
    if (ms != 0)
        note(PLAIN, ms * NS_PER_MS);
    return (int)syscall(SYS_epoll_pwait, fd, events, most, ms, NULL, _NSIG / 8);
}

int ppoll(struct pollfd *fds, nfds_t count, const struct timespec *t, const sigset_t *mask)
{
    struct timespec copy = t != NULL ? *t : (struct timespec){ 0 }; /* the kernel writes what is left there */

    note(PPOLL, ns_of(t));
    return (int)syscall(SYS_ppoll, fds, count, t != NULL ? &copy : NULL, mask, _NSIG / 8);
}

/* -- one wait -- */

struct fixture {
    int epoll_fd, pipe[2];
};

static struct fixture fixture_open(void)
{
    struct fixture     f = { .epoll_fd = epoll_create1(0) };
    struct epoll_event e = { .events = EPOLLIN, .data.u32 = 7 };

    assert_int_equal(pipe(f.pipe), 0);
    assert_int_equal(epoll_ctl(f.epoll_fd, EPOLL_CTL_ADD, f.pipe[0], &e), 0);
    return f;
}

static void fixture_close(struct fixture *f)
{
    close(f->epoll_fd);
    close(f->pipe[0]);
    close(f->pipe[1]);
}

static const int64_t waits[] = { 1, 200 * NS_PER_US, 999999, NS_PER_MS, NS_PER_MS + 1, 12345678 };

static void test_a_wait_is_not_rounded(void **state)
{
    struct fixture     f = fixture_open();
    struct epoll_event e;

    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        struct pollfd p = { .fd = f.pipe[0], .events = POLLIN };

        assert_int_equal(wait_epoll(f.epoll_fd, &e, 1, waits[i]), 0);
        assert_true(last_ns == waits[i]);
        assert_int_equal(wait_poll(&p, 1, waits[i]), 0);
        assert_true(last_ns == waits[i]);
    }
    fixture_close(&f);
}

static void test_it_never_ends_before_its_time(void **state)
{
    struct fixture     f = fixture_open();
    struct epoll_event e;

    (void)state;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        int64_t from = clock_mono_ns();

        assert_int_equal(wait_epoll(f.epoll_fd, &e, 1, waits[i]), 0);
        assert_true(clock_mono_ns() - from >= waits[i]);
    }
    fixture_close(&f);
}

static void test_what_is_there_ends_it(void **state)
{
    static const int64_t ns[] = { WAIT_FOR_EVER, 0, 1, NS_PER_SEC * 60 };
    struct fixture       f = fixture_open();

    (void)state;
    assert_int_equal(write(f.pipe[1], "x", 1), 1);
    for (size_t i = 0; i < sizeof ns / sizeof *ns; i++) {
        struct epoll_event e = { 0 };
        struct pollfd      p = { .fd = f.pipe[0], .events = POLLIN };

        assert_int_equal(wait_epoll(f.epoll_fd, &e, 1, ns[i]), 1);
        assert_int_equal(e.data.u32, 7);
        assert_int_equal(wait_poll(&p, 1, ns[i]), 1);
    }
    fixture_close(&f);
}

static void test_for_ever_is_said_so(void **state)
{
    struct fixture     f = fixture_open();
    struct pollfd      p = { .fd = f.pipe[0], .events = POLLIN };
    struct epoll_event e;

    (void)state;
    assert_int_equal(write(f.pipe[1], "x", 1), 1);
    wait_epoll(f.epoll_fd, &e, 1, -12345);
    assert_int_equal(last_call, PLAIN);
    assert_true(last_ns < 0);
    wait_poll(&p, 1, WAIT_FOR_EVER);
    assert_int_equal(last_call, PPOLL);
    assert_true(last_ns < 0);
    fixture_close(&f);
}

static void test_slack(void **state)
{
    (void)state;
    wait_exactly();
    assert_true(prctl(PR_GET_TIMERSLACK, 0UL, 0UL, 0UL, 0UL) <= 1000);
}

/* -- the upstream thread -- */

static void say(struct talk *t, const void *text)
{
    talk_say(t, text);
}

/* 5000 a second, one at a time: each waits for a fifth of a millisecond, and the thread sleeps no longer. */
static void test_upstream_waits_for_parts_of_a_millisecond(void **state)
{
    enum { REQUESTS = 20 };
    struct rig    r;
    struct fetch *f[REQUESTS];

    (void)state;
    rig_open(&r, say, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 0\r\n\r\n");
    r.limits[0] = (struct limit_options){ .kind = LIMIT_BUCKET,
                                          .name = "tight",
                                          .count = 5000,
                                          .window_ns = NS_PER_SEC,
                                          .burst = 1 };
    r.options.limits = r.limits;
    r.options.limit_count = 1;
    r.options.origin.max_connections = REQUESTS;
    shortest_ns = INT64_MAX;
    rig_start(&r);
    for (unsigned i = 0; i < REQUESTS; i++) {
        char target[16] = { '/', (char)('a' + i) };

        f[i] = rig_fetch(&r, "GET", target, "");
        rig_submit(&r, f[i]);
    }
    for (unsigned i = 0; i < REQUESTS; i++)
        assert_int_equal(rig_await(&r, f[i]), FETCH_HEAD);
    assert_true(shortest_ns <= 200 * NS_PER_US);
    for (unsigned i = 0; i < REQUESTS; i++)
        rig_leave(&r, f[i]);
    rig_close(&r);
}

/* -- a kernel without the call: last, since that is remembered -- */

static void test_without_the_call(void **state)
{
    struct fixture     f = fixture_open();
    struct epoll_event e;

    (void)state;
    lacking = EPERM; /* what systemd's filter says; the kernel says ENOSYS */
    pwait2_calls = 0;
    for (size_t i = 0; i < sizeof waits / sizeof *waits; i++) {
        assert_int_equal(wait_epoll(f.epoll_fd, &e, 1, waits[i]), 0);
        assert_int_equal(last_call, PPOLL);
        assert_true(last_ns == waits[i]);
    }
    assert_true(pwait2_calls <= 1); /* not asked for again */
    test_it_never_ends_before_its_time(state);
    test_what_is_there_ends_it(state);
    test_upstream_waits_for_parts_of_a_millisecond(state);
    fixture_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_wait_is_not_rounded),
        cmocka_unit_test(test_it_never_ends_before_its_time),
        cmocka_unit_test(test_what_is_there_ends_it),
        cmocka_unit_test(test_for_ever_is_said_so),
        cmocka_unit_test(test_slack),
        cmocka_unit_test(test_upstream_waits_for_parts_of_a_millisecond),
        cmocka_unit_test(test_without_the_call),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
