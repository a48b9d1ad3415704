/*
 * The system calls that take nanoseconds, and what stands in for them.
 *
 * epoll_pwait2() came with Linux 5.11 and glibc 2.35, and a filter of system calls that is older than
 * that refuses it.  An epoll descriptor can itself be polled, and ppoll() is everywhere: one
 * call more for each wait, and as exact.
 */
#include "base/wait.h"

#include "base/clock.h"

#include <errno.h>
#include <poll.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <time.h>

#define SLACK_NS 1000UL /* 0 would mean the usual */

static struct timespec timespec_of(int64_t ns)
{
    return (struct timespec){ .tv_sec = (time_t)(ns / NS_PER_SEC), .tv_nsec = (long)(ns % NS_PER_SEC) };
}

#ifdef WEIR_EPOLL_PWAIT2
static _Atomic bool is_lacking; /* the kernel, or a filter, does not let us */

/* False: it cannot be had, errno says why. */
static bool epoll_exactly(int epoll_fd, struct epoll_event *events, int most, const struct timespec *t, int *n)
{
    if (atomic_load_explicit(&is_lacking, memory_order_relaxed))
        return false;
    *n = epoll_pwait2(epoll_fd, events, most, t, NULL);
    if (*n >= 0 || (errno != ENOSYS && errno != EPERM))
        return true;
    atomic_store_explicit(&is_lacking, true, memory_order_relaxed);
    return false;
}
#else
static bool epoll_exactly(int epoll_fd, struct epoll_event *events, int most, const struct timespec *t, int *n)
{
    (void)epoll_fd, (void)events, (void)most, (void)t, (void)n;
    return false;
}
#endif

int wait_epoll(int epoll_fd, struct epoll_event *events, int most, int64_t ns)
{
    struct pollfd   ready = { .fd = epoll_fd, .events = POLLIN };
    struct timespec t;
    int             n;

    if (ns <= 0)
        return epoll_wait(epoll_fd, events, most, ns < 0 ? -1 : 0);
    t = timespec_of(ns);
    if (epoll_exactly(epoll_fd, events, most, &t, &n))
        return n;
    n = ppoll(&ready, 1, &t, NULL);
    return n > 0 ? epoll_wait(epoll_fd, events, most, 0) : n;
}

int wait_poll(struct pollfd *fds, unsigned count, int64_t ns)
{
    struct timespec t = timespec_of(ns >= 0 ? ns : 0);

    return ppoll(fds, count, ns >= 0 ? &t : NULL, NULL);
}

void wait_exactly(void)
{
    prctl(PR_SET_TIMERSLACK, SLACK_NS, 0UL, 0UL, 0UL);
}
