/*
 * How long an API has taken of late, place by place: what it takes from a request's going out until
 * its place is free again.
 *
 * The last PACE_KEPT times are kept, each for ten minutes, and the longest two of them count as the third: so a
 * few outliers change nothing, and what is often slow counts as it is.  Eight in a row that are all slower, or
 * all faster, than three quarters of what was before are another pace: the rest is forgotten.  Of few times
 * nobody knows which are outliers, and the first are slow for many reasons: then the longer half counts as
 * the middle one.
 * Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_PACE_H
#define WEIR_BUDGET_PACE_H

#include <stdbool.h>
#include <stdint.h>

enum { PACE_KEPT = 256, PACE_LEAST = 4, PACE_MANY = 16, PACE_TURN = 8 };

struct pace { /* all zero: nothing is known */
    struct {
        uint32_t took_us, at_s;
    } kept[PACE_KEPT]; /* the oldest at `first` */
    uint32_t sorted_us[PACE_KEPT];
    unsigned first, count;
    unsigned slower, faster; /* so many of the last in a row */
};

void pace_note(struct pace *, int64_t took_ns, int64_t now_ns);
/* PACE_LEAST or more are known, and lately. */
bool pace_is_known(const struct pace *, int64_t now_ns);
/* Of known ones: at 0 <= part < 1 of them, in order of time. */
int64_t pace_at(const struct pace *, double part);
/* How much longer one may take that was sent so long ago: at `part` of those that took longer than that.
 * 0: it is overdue; -1: for so long that its place is lost to others. */
int64_t pace_left_ns(const struct pace *, int64_t age_ns, double part);

#endif
