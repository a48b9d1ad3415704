/*
 * One limit's memory: how much may be spent now, and when more (contract
 * section 5).  Pure: the caller brings the clock.  Constant memory whatever
 * the count: a sliding window keeps the times of at most LIMIT_SLOTS groups of
 * requests, so it is exact up to LIMIT_SLOTS a window and on the safe side above,
 * wasting at most 0.5 %.  Upstream thread.
 *
 * Beside what is configured a limit holds what the API said of it: caps ("so
 * many until then") and a block ("nothing before then").  These only tighten.
 */
#ifndef WEIR_BUDGET_LIMIT_H
#define WEIR_BUDGET_LIMIT_H

#include "budget/options.h"

enum { LIMIT_SLOTS = 512 };
/* A unit of a sliding or learned window is free again this much later than the window says, so that two
 * requests that are delayed differently on their way do not meet in one window at the API.  For windows
 * under about a second it is less: guard and grouping together stay within 0.5 % of the window. */
#define LIMIT_GUARD_NS (INT64_C(5) * 1000 * 1000)
/* A token bucket lets a request go this much early (at most a tenth of its interval), so that
 * the lateness of timers is made up for and "burst 1" keeps its rate. */
#define LIMIT_SLACK_NS (INT64_C(2) * 1000 * 1000)

struct limit;

struct limit *limit_new(const struct limit_options *o); /* copies what it needs; full budget */
/* Another of the same options, full; shares what is immutable. For buckets per credential. */
struct limit *limit_new_like(struct limit *);
/* A part of it, in thousandths, of one unit at least: what a class of clients may use. */
struct limit *limit_new_part(const struct limit *, unsigned permille);
/* Allows everything; holds only what the API says. */
struct limit *limit_new_open(void);
void          limit_free(struct limit *); /* NULL is fine */

/* Monotonic time never goes back; wall time may. */
struct budget_now {
    int64_t mono_ns, wall_ns;
};
/* Nanoseconds until `cost` could be spent, 0: now; INT64_MAX: never (cost over what the limit ever allows).
 * Changes nothing. */
int64_t limit_wait_ns(const struct limit *, uint64_t cost, struct budget_now now);
/* Spends; the caller has seen limit_wait_ns() == 0 at this `now`. */
void limit_spend(struct limit *, uint64_t cost, struct budget_now now);
/* For what may have been spent and nobody knows: up to all that may ever be spent at once. */
void limit_spend_up_to(struct limit *, uint64_t cost, struct budget_now now);
/* Gives back what was spent at `spent` (an attempt that never left, a 304 that costs nothing). */
void limit_return(struct limit *, uint64_t cost, struct budget_now spent, struct budget_now now);
/* The wait of the `ahead`-th unit from now (0: the next) if all before it are spent as early as allowed. */
int64_t limit_predict_ns(const struct limit *, uint64_t ahead, struct budget_now now);

/* By which word of the API's: kept with what it says, for people. */
enum told_by {
    TOLD_BY_NOBODY,
    TOLD_BY_RATELIMIT,
    TOLD_BY_RATELIMIT_FIELDS,
    TOLD_BY_X_RATELIMIT,
    TOLD_BY_X_RATE_LIMIT,
    TOLD_BY_RETRY_AFTER,
    TOLD_BY_BODY,
    /* Kept in rows: new ones at the end. */
    TOLD_BY_READ,
    TOLD_BY_ANTHROPIC,
    TOLD_BY_HUBSPOT,
    TOLD_BY_AZURE,
    TOLD_BY_SHOPIFY,
    TOLD_BY_X,
    TOLD_BY_OWN
};
const char *told_by_text(enum told_by); /* "X-RateLimit-Remaining" ...; "" for nobody */
struct limit_word {
    int64_t      remaining;   /* left until then; -1: it does not say */
    int64_t      allowed;     /* of how many; -1: it does not say */
    int64_t      reset_in_ns; /* from now */
    int64_t      assumed_ns;  /* the reset is assumed: the end of a window of this length; 0: told */
    enum told_by by;
};
/* Only ever tightens, except that a learned window begins anew when the API says so, and that an assumed reset
 * lasts until the next word on its window. */
void limit_learn(struct limit *, const struct limit_word *, struct budget_now now);
/* The API says: nothing for `for_ns` from now (Retry-After). Only ever tightens. */
void limit_block(struct limit *, int64_t for_ns, enum told_by, struct budget_now now);
/* The longest that anything the API said holds from now on. */
void limit_cut_told(struct limit *, int64_t most_ns, struct budget_now now);
/* As if the API had said nothing; what was spent here stays.  False where it had not said anything that holds. */
bool limit_forget(struct limit *, struct budget_now now);
/* So many are left from now on, and what the API said is dropped; what was spent before then counts from now, so it is
 * whole a window from now at the latest.  False: it never allows so many, or knows no count at all. */
bool limit_set_left(struct limit *, uint64_t left, struct budget_now now);
/* All that is told, over an image that has no room for when it was: of the same moment. */
void limit_copy_told(struct limit *to, const struct limit *from);
/* How much of limit_predict_ns() is the API's doing, by which word and when (wall clock; 0: in an earlier run). */
struct limit_cause {
    int64_t      told_ns, own_ns;
    enum told_by by;
    int64_t      heard_wall_ns;
};
struct limit_cause limit_cause(const struct limit *, uint64_t ahead, struct budget_now now);

/* The most that can be spent at once; 0: no bound. */
uint64_t limit_most(const struct limit *);
/* True where nothing is remembered any more: as good as new. */
bool limit_is_whole(const struct limit *, struct budget_now now);
/* After a pause this long all of what is configured is allowed again. */
int64_t limit_memory_ns(const struct limit *);

struct limit_state { /* for `weirctl limits` and RateLimit fields */
    uint64_t     allowed, left;
    int64_t      window_ns;      /* 0: not known */
    int64_t      resets_in_ns;   /* until it is whole again if nothing is spent */
    int64_t      blocked_for_ns; /* 0: not blocked by what the API said */
    enum told_by told_by;        /* NOBODY: nothing that the API said holds now */
};
struct limit_state limit_state(const struct limit *, struct budget_now now);

/* A flat image of the state (version and sum inside; ages, so that it may be read under other clocks).
 * limit_save() writes at most limit_image_bytes() and returns how much. */
size_t limit_image_bytes(const struct limit *);
size_t limit_save(const struct limit *, void *image, struct budget_now now);
/* `elapsed_ns`: since limit_save().  `same_boot` false: that is an estimate.  The limit may differ in count and burst.
 * False where the image is damaged or of another kind or window; then the limit is as it was. */
bool limit_restore(struct limit *, const void *image, size_t bytes, int64_t elapsed_ns, bool same_boot,
                   struct budget_now now);

#endif
