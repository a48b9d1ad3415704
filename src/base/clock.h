/*
 * Two clocks, in nanoseconds.
 *
 * Wall time (since 1970-01-01 UTC) is what HTTP and stored records speak;
 * monotonic time is what waits and time-outs are measured in.  When the
 * environment names a WEIR_CLOCK_FILE (8 bytes: a signed offset in
 * nanoseconds, mapped shared), both are moved by it, which is how scenario
 * tests let a day pass; in a file of 16 bytes the second number is the wall clock's own
 * offset, which is how they set the clock.  Any thread.
 */
#ifndef WEIR_BASE_CLOCK_H
#define WEIR_BASE_CLOCK_H

#include <stdbool.h>
#include <stdint.h>

#define NS_PER_US  INT64_C(1000)
#define NS_PER_MS  INT64_C(1000000)
#define NS_PER_SEC INT64_C(1000000000)

/* Call once, before any thread starts; maps WEIR_CLOCK_FILE where it is set.  False and errno: it cannot be used, and
 * the clocks stay as they are. */
bool    clock_start(void);
int64_t clock_wall_ns(void);
int64_t clock_mono_ns(void);
/* Monotonic, and moved by no WEIR_CLOCK_FILE: sockets and processes live in real time. */
int64_t clock_real_ns(void);
/* What clock_mono_ns() says at that reading of clock_real_ns(): one reading does for both. */
int64_t clock_mono_of(int64_t real_ns);
/* How far the wall clock was set since the last call, by the monotonic one: below 0 back; small corrections are none.
 * A machine that slept has set it ahead. One thread. */
int64_t clock_wall_step_ns(void);

/* Times come from clocks and files: sums that do not overflow. */
static inline int64_t time_add(int64_t a, int64_t b)
{
    int64_t sum;

    if (__builtin_add_overflow(a, b, &sum))
        return b > 0 ? INT64_MAX : INT64_MIN;
    return sum;
}

static inline int64_t time_times(int64_t a, uint64_t n)
{
    int64_t product;

    return __builtin_mul_overflow(a, n, &product) ? INT64_MAX : product;
}

#endif
