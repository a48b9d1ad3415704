/*
 * Many points in time, and which of them is next: a binary heap of timers
 * that are embedded in what waits.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_TIMER_H
#define WEIR_UPSTREAM_TIMER_H

#include <stdbool.h>
#include <stdint.h>

struct timer {                        /* zeroed but for `fire`: not set */
    int64_t  at_ns;                   /* monotonic */
    unsigned place;                   /* in the heap, from 1; 0: not set */
    void   (*fire)(struct timer *);   /* the timer is not set any more when it is called */
};

struct timers {                       /* all zero: none */
    struct timer **heap;
    unsigned       count, capacity;
};

/* Sets or moves it. */
void timers_set(struct timers *, struct timer *, int64_t at_ns);
/* Nothing where it is not set. */
void timers_clear(struct timers *, struct timer *);
static inline bool timer_is_set(const struct timer *t) { return t->place != 0; }
/* INT64_MAX: none is set. */
int64_t timers_next_ns(const struct timers *);
/* Fires all that are due at `now_ns`; one that is set again while it fires waits for the next call. */
void timers_run(struct timers *, int64_t now_ns);
void timers_free(struct timers *);

#endif
