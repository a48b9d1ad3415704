/*
 * What the kinds of limits have in common, inside of this room: limit.c keeps what
 * the API said and the images, sliding.c, bucket.c and fixed.c what is spent.
 */
#ifndef WEIR_BUDGET_LIMIT_KIND_H
#define WEIR_BUDGET_LIMIT_KIND_H

#include "base/clock.h"
#include "budget/limit.h"
#include "base/zone.h"

struct group {                    /* requests that are forgotten together */
    int64_t  first_ns, newest_ns; /* monotonic */
    uint64_t count;
};

struct sliding {
    struct group *ring; /* oldest at `head` */
    unsigned      head, used, capacity;
    uint64_t      total;      /* of all counts */
    int64_t       hold_ns;    /* how long a unit counts: window and guard */
    int64_t       quantum_ns; /* width of a group; 0: one for each time */
};

enum { BUCKET_LOWS = 8 };
struct bucket { /* GCRA; the theoretical arrival time is exact: ns and fraction/count */
    int64_t interval_ns, interval_rest;
    int64_t arrival_ns, arrival_rest;
    int64_t slack_ns;
    struct {
        int64_t at_ns, debt_ns;
    } low[BUCKET_LOWS]; /* both rise: bucket_give_back() */
    unsigned lows;
};

struct fixed {                 /* wall clock for LIMIT_FIXED, monotonic for LIMIT_LEARNED */
    int64_t  begin_ns, end_ns; /* end 0: no window has begun */
    uint64_t used, late;       /* `late` of them count in the next window, too */
    uint64_t own;              /* of `used`, what was spent here: the rest is the API's word */
    bool     is_doubtful;      /* its end is not known for certain: all that is spent is late */
    bool     end_is_told;      /* LIMIT_LEARNED: the API said when */
    int64_t  spent_mono_ns;    /* LIMIT_FIXED: when anything was spent last, by the monotonic clock */
};

struct told {
    enum told_by by;
    int64_t      wall_ns;
}; /* by which word, and when: 0: in an earlier run */
struct limit_cap {
    int64_t     until_ns; /* monotonic; 0: free */
    uint64_t    left;
    int64_t     assumed_ns; /* its end is assumed from a window of this length: the next word on that
                                       * window takes its place; 0: the API said when */
    struct told told;
};
enum { TOLD_CAPS = 4, ASSUMED_CAPS = 3, LIMIT_CAPS = TOLD_CAPS + ASSUMED_CAPS };

struct limit {
    const struct limit_kind_ops *ops;
    enum limit_kind              kind;
    uint64_t                     count, burst;
    int64_t                      window_ns;
    unsigned                     start_minute;
    struct zone                 *zone; /* a reference; LIMIT_FIXED */
    union {
        struct sliding sliding;
        struct bucket  bucket;
        struct fixed   fixed;
    } is;
    struct limit_cap cap[LIMIT_CAPS]; /* those that are assumed stand after the others */
    int64_t          blocked_until_ns;
    struct told      blocked_by;
    uint64_t         told; /* how many the API says it allows; 0: it has not */
};

/* How many a window allows: a learned one, no more than the API says. */
static inline uint64_t limit_count(const struct limit *l)
{
    return l->kind == LIMIT_LEARNED && l->told > 0 && l->told < l->count ? l->told : l->count;
}

struct limit_kind_ops {
    void (*init)(struct limit *);
    void (*fini)(struct limit *);
    /* Cost is 1 to limit_most(). */
    int64_t (*wait_ns)(const struct limit *, uint64_t cost, struct budget_now now);
    void (*spend)(struct limit *, uint64_t cost, struct budget_now now);
    void (*give_back)(struct limit *, uint64_t cost, struct budget_now spent);
    int64_t (*predict_ns)(const struct limit *, uint64_t ahead, struct budget_now now);
    uint64_t (*left)(const struct limit *, struct budget_now now);
    int64_t (*whole_in_ns)(const struct limit *, struct budget_now now);
    size_t (*image_bytes)(const struct limit *);
    size_t (*save)(const struct limit *, void *out, struct budget_now now);
    /* `bytes` is the whole of what save() wrote; false: damaged. */
    bool (*restore)(struct limit *, const void *in, size_t bytes, int64_t elapsed_ns, bool same_boot,
                    struct budget_now now);
};

extern const struct limit_kind_ops limit_sliding_ops, limit_bucket_ops, limit_fixed_ops, limit_learned_ops;

/* LIMIT_LEARNED: the API told of its window. */
void limit_learned_told(struct limit *, const struct limit_word *, struct budget_now now);
void limit_learned_forget(struct limit *);

#endif
