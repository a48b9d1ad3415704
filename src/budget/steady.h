/*
 * A wall clock that does not jump.  Fixed windows go by wall time, but
 * somebody moving the clock by an hour shall neither free nor stop traffic.
 * So wall time is the monotonic clock and an offset; the offset follows
 * small corrections at once, and a step only when an API's Date field agrees with it
 * or it has lasted STEADY_BELIEVE_NS.  Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_STEADY_H
#define WEIR_BUDGET_STEADY_H

#include "budget/limit.h"

#define STEADY_BELIEVE_NS (INT64_C(6) * 3600 * 1000 * 1000 * 1000)

struct steady { /* all zero: has seen no clock */
    bool    running;
    int64_t last_mono_ns; /* of its own time, which never goes back */
    int64_t skew_ns;      /* own monotonic time beyond the clock's */
    int64_t offset_ns;    /* own wall time beyond own monotonic time */
    int64_t step_ns;      /* how far the clock's offset is from that; 0: no step */
    int64_t step_seen_ns;
};

struct budget_now steady_now(struct steady *, struct budget_now clock);
/* What steady_now() would say, without taking note. */
struct budget_now steady_peek(const struct steady *, struct budget_now clock);
/* Does the clock differ, so that an API's Date would tell which is right? */
static inline bool steady_asks(const struct steady *s)
{
    return s->step_ns != 0;
}
/* An API's Date, just now. */
void steady_evidence(struct steady *, struct budget_now own, int64_t date_wall_ns);
/* Another run of this boot kept this own time: its offset holds until there is reason to change it. */
void steady_resume(struct steady *, struct budget_now own);

#endif
