/*
 * How long changes wait to be committed together.  Pure: the caller brings the clock.
 *
 * A commit copies each page on the way to what it changes, whatever the change is: to write
 * one record costs about as much as to write ten.  Nobody waits for it, since look-ups see what is
 * announced.  So the first change after a quiet time is committed soon, and while changes keep coming each group waits
 * twice as long as the one before, up to GROUPING_LONGEST_NS: that is what a crash may lose.
 */
#ifndef WEIR_STORE_GROUPING_H
#define WEIR_STORE_GROUPING_H

#include "base/clock.h"

#include <stdbool.h>
#include <stdint.h>

#define GROUPING_SHORTEST_NS (5 * NS_PER_MS)
#define GROUPING_PROMPT_NS   (250 * NS_PER_MS) /* the first one waits no longer, however slow the disk is */
#define GROUPING_LONGEST_NS  (5 * NS_PER_SEC)
#define GROUPING_QUIET_NS    (2 * NS_PER_SEC)

enum {
    GROUPING_CHANGES = 1000,
    GROUPING_BYTES = 4 * 1024 * 1024,
};

struct grouping {         /* all zero: nothing was committed yet */
    int64_t wait_ns;      /* of the group that gathers */
    int64_t begun_ns;     /* monotonic: when the first of it came */
    int64_t committed_ns; /* when the last group was; 0: never */
    int64_t took_ns;      /* and how long it took */
};

/* The first change of a group came. */
void grouping_begin(struct grouping *, int64_t now_ns);
/* A group was committed, which took so long. */
void grouping_end(struct grouping *, int64_t took_ns, int64_t now_ns);
/* For how long the group that gathers waits on; 0: it is due. */
int64_t grouping_left(const struct grouping *, int64_t now_ns);

#endif
