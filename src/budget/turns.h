/*
 * When a request has its turn, where places are short: so many may be at the API at one time.
 *
 * The turns before it are gone through, each in the place that is free first, for as long as requests like
 * those that wait have taken of late.  Where they take now this long and now that, no dice are thrown: a place
 * stands there several times, with each of the times that it may still take, and the line as often.  So the
 * answer is the middle of what may come, and the same each time.  A large API, and a long line, are looked at
 * in part.
 *
 * Where the budget is short as well, the k-th of a line goes when its budget is there and the place of the
 * (k - count)-th is free again, so not before
 *     budget(k - j * count) + j * time, for any j:
 * a window that opens late is followed by as many rounds as go through it.
 * Pure; upstream thread.
 *
 *     turns_begin(&p, places, busy);
 *     for each place that is busy (or every step-th):  turns_busy(&p, its pace, its age, 0, step);
 *     for each kind that waits:  turns_of_kind(&p, its pace, so many have been said, so many wait);
 *     wait = turns_wait_ns(&p, ahead);
 */
#ifndef WEIR_BUDGET_TURNS_H
#define WEIR_BUDGET_TURNS_H

#include "budget/pace.h"

enum { TURNS_PLACES = 128, TURNS_TIMES = 64 };

struct turns {
    unsigned count;                 /* that there are; 0: nothing can be said */
    unsigned busy;                  /* of them; may be more, where there were more before */
    int64_t  left_ns[TURNS_PLACES]; /* until busy ones are free: of all, or of a sample */
    unsigned left_count, looked_at;
    unsigned each;                  /* so often does each stand there */
    int64_t  times_ns[TURNS_TIMES]; /* of those that wait, kind by kind, each in order of length */
    unsigned times_count;
};

void turns_begin(struct turns *, unsigned count, unsigned busy);
/* One that is busy, and stands for `step`. What is to be told goes `after_ns` from now at the earliest.
 * `pace` NULL: it will not be free. */
void turns_busy(struct turns *, const struct pace *, int64_t age_ns, int64_t after_ns, unsigned step);
/* Requests `from` to `to` of `all` that wait are of this pace; of 0 that wait, for all that may come. */
void turns_of_kind(struct turns *, const struct pace *, unsigned from, unsigned to, unsigned all);
/* How long until one goes that has `ahead` others before it.  May sort left_ns. */
int64_t turns_wait_ns(struct turns *, uint64_t ahead);

/* The wait for the budget of one that has so many before it; INT64_MAX: never. */
typedef int64_t (*turns_budget)(void *context, uint64_t ahead);
/* What the budget makes of that wait: `ahead` others take places, and `spending` spend before it. */
int64_t turns_wait_spent_ns(const struct turns *, int64_t wait_ns, uint64_t ahead, uint64_t spending, turns_budget,
                            void *context);

#endif
