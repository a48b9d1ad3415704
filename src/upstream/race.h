/*
 * Requests of which only the first few acceptable answers are wanted: once those are there, no more of them is sent.
 *
 * Who asked them hears of an answer a little after the upstream thread, where the next one's turn may have come by
 * then: so that one waits until he has said what becomes of it, or until a second has passed.
 */
#ifndef WEIR_UPSTREAM_RACE_H
#define WEIR_UPSTREAM_RACE_H

#include "base/ref.h"

#include <stdbool.h>
#include <stdint.h>

enum { RACE_STATUSES = 16 };

struct race_accept { /* constant */
    unsigned count;
    struct {
        unsigned first, last;
    } statuses[RACE_STATUSES];
};
struct race;

/* One reference. */
struct race *race_new(uint64_t wanted, const struct race_accept *);
void         race_acquire(struct race *);
void         race_release(struct race *); /* NULL is fine */
/* One of those that are wanted came in another way.  Any thread. */
void race_fewer(struct race *);

/* -- upstream thread -- */
/* An answer of one of them is whole. */
void race_heard(struct race *, unsigned status, int64_t now_ns);
/* How long none of them is sent; 0: it may go. */
int64_t race_holds_ns(const struct race *, int64_t now_ns);

#endif
