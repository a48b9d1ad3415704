/*
 * What is counted of the requests for one upstream: a set of cells for each worker, which alone writes it.
 *
 * It is a configuration's, and goes over to the next one that has an upstream of that name (config.h): so counts
 * outlive a reload, and are gone when the last one lets go of them.  No lock; who reads sums over the workers.
 */
#ifndef WEIR_BASE_TRAFFIC_H
#define WEIR_BASE_TRAFFIC_H

#include "base/histogram.h"
#include "base/ref.h"

enum traffic_method { TRAFFIC_SAFE, TRAFFIC_UNSAFE, TRAFFIC_METHODS }; /* RFC 9110 9.2.1 */

/* TRAFFIC_OUTCOME(id, label): what became of a request, in the order of their counters in counters.def. */
// clang-format off
#define TRAFFIC_OUTCOMES_ALL(X) \
    X(HIT, "hit") X(STALE, "stale") X(REVALIDATED, "revalidated") X(MISS, "miss") X(PASS, "pass") X(OWN, "own") \
    X(ERROR, "error") X(REFUSED, "refused") X(UNAVAILABLE, "unavailable") X(FAILED, "failed") X(LEFT, "left")
// clang-format on
enum traffic_outcome {
#define X(id, label) TRAFFIC_##id,
    TRAFFIC_OUTCOMES_ALL(X)
#undef X
        TRAFFIC_OUTCOMES
};

enum { TRAFFIC_STATUSES = 5 }; /* 1xx to 5xx */
enum { TRAFFIC_CELLS = TRAFFIC_METHODS * TRAFFIC_STATUSES * TRAFFIC_OUTCOMES };

/* Where a request is counted. */
static inline unsigned traffic_cell(enum traffic_method method, unsigned status, enum traffic_outcome outcome)
{
    unsigned class = status / 100 - 1;

    return ((unsigned)method * TRAFFIC_STATUSES + (class < TRAFFIC_STATUSES ? class : TRAFFIC_STATUSES - 1)) *
               TRAFFIC_OUTCOMES +
           (unsigned)outcome;
}

struct traffic_cells { /* one worker's */
    _Atomic uint64_t requests[TRAFFIC_CELLS];
    _Atomic uint64_t sent[TRAFFIC_CELLS]; /* bytes of bodies, to clients */
    _Atomic uint64_t received_bytes;      /* the same, from them */
    struct histogram client;              /* from a request's head to its answer's last byte */
    struct histogram queue;               /* what those waited that had to be asked of the API */
};

struct traffic {
    struct ref                      ref;
    unsigned                        workers;
    _Atomic(struct traffic_cells *) of[]; /* made by its worker when it first counts; NULL: it never has */
};

/* One reference. */
struct traffic *traffic_new(unsigned workers);
void            traffic_release(struct traffic *); /* NULL is fine */
/* The cells of a worker that has none yet. */
struct traffic_cells *traffic_begin(struct traffic *, unsigned worker);

static inline struct traffic_cells *traffic_of(struct traffic *t, unsigned worker)
{
    struct traffic_cells *cells = atomic_load_explicit(&t->of[worker], memory_order_relaxed);

    return __builtin_expect(cells != 0, 1) ? cells : traffic_begin(t, worker);
}

static inline void traffic_request(struct traffic_cells *cells, unsigned cell, int64_t took_ns, int64_t sent_bytes)
{
    cell_add(&cells->requests[cell], 1);
    cell_add(&cells->sent[cell], (uint64_t)sent_bytes);
    histogram_add(&cells->client, took_ns);
}

/* -- for who reads: any thread that holds the configuration -- */

struct traffic_sum {
    uint64_t             requests[TRAFFIC_CELLS], sent[TRAFFIC_CELLS];
    uint64_t             sent_bytes, received_bytes;
    struct histogram_sum client, queue;
};
void traffic_gather(struct traffic_sum *, const struct traffic *); /* adds */

extern const char *const traffic_outcome_labels[TRAFFIC_OUTCOMES];
extern const char *const traffic_method_labels[TRAFFIC_METHODS];

#endif
