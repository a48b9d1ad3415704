/*
 * Many points in time, and which of them is next: timers that are embedded in what waits.  One thread's.
 */
#ifndef WEIR_BASE_TIMER_H
#define WEIR_BASE_TIMER_H

#include "base/heap.h"

#include <stdint.h>

struct timer {              /* zeroed but for `fire`: not set */
    int64_t          at_ns; /* monotonic */
    struct heap_node node;
    void (*fire)(struct timer *); /* the timer is not set any more when it is called */
};

struct timers { /* all zero: none */
    struct heap heap;
};

/* Sets or moves it. */
void timers_set(struct timers *, struct timer *, int64_t at_ns);
/* Nothing where it is not set. */
void               timers_clear(struct timers *, struct timer *);
static inline bool timer_is_set(const struct timer *t)
{
    return heap_has(&t->node);
}
/* INT64_MAX: none is set. */
int64_t timers_next_ns(const struct timers *);
/* Fires all that are due at `now_ns`; one that is set again while it fires waits for the next call. */
void timers_run(struct timers *, int64_t now_ns);
void timers_free(struct timers *);

#endif
