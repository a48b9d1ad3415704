/*
 * Who goes next while the budget is short (contract section 5).
 *
 * Entries stand in bands: one band for each class of charge (the same limits
 * at the same cost, and the same credential where one of them is counted per
 * credential; see ledger_class()) and priority.  Within a band clients take
 * turns: an entry's turn is one behind its client's last, entries of one turn
 * go in order of arrival.  Bands take turns too, weighted by their clients.
 * A band whose first entry may not go is put aside until the time its limits
 * told, so an exhausted search holds up nobody else.  Interactive goes before
 * batch, but of QUEUE_BATCH_EVERY that go one is batch where one waits.
 *
 * Pure: nodes are the caller's, time is an argument.  A call costs O(log n) of
 * what waits; queue_reconsider() looks at every band put aside, and a
 * prediction at up to 256 other bands.  Owned by one thread: the upstream's.
 *
 * How it is used (one queue for each ledger):
 *     e->class = ledger_class(l, &charge);   e->priority, e->client, e->arrived_ns ...
 *     ahead = queue_ahead(q, &e->class, e->priority, e->client);
 *     wait  = ledger_predict_ns(l, &charge, ahead, now, &tightest);   over max_wait: refuse
 *     queue_put(q, e);
 *     while (slots are free && (e = queue_take(q, now.mono_ns, may_go, me, &wake_ns)) != NULL)
 *         ledger_spend(), send
 *     come again in wake_ns, or when something is put, ends or is given back.
 * may_go() is ledger_wait_ns(), or ledger_claim_ns() where `overtaken` is set.
 * Put every request, also one that finds the queue empty: queue_take() then
 * hands it out at once, and nobody overtakes those who wait.
 */
#ifndef WEIR_BUDGET_QUEUE_H
#define WEIR_BUDGET_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum queue_priority { QUEUE_INTERACTIVE, QUEUE_BATCH, QUEUE_PRIORITIES };
enum { QUEUE_BATCH_EVERY = 10 };

struct queue_class {                  /* filled by ledger_class(); all zero: no limit holds */
    uint32_t shared;                  /* bits: which limits of the whole upstream are spent from */
    uint32_t owned;                   /* bits: which limits of one credential */
    uint64_t costs;                   /* differs where the costs differ */
    uint64_t owner;                   /* the credential, where `owned` is not 0 */
    uint32_t cost;                    /* the largest cost: weighs it in a prediction */
};

struct queue_band;

struct queue_entry {                  /* embed it in what waits */
    /* Filled by the caller; while it waits, only queue_may_go changes `class`: */
    struct queue_class  class;
    enum queue_priority priority;
    uint64_t            client;       /* a hash of who this is; fairness is between these */
    int64_t             arrived_ns;   /* monotonic */
    /* The queue's own: */
    struct queue_band  *band;         /* NULL: does not wait; must be NULL before the first queue_put() */
    struct queue_entry *parent, *left, *right;
    uint64_t            turn, sequence;
    uint32_t            rank, size;   /* of the tree: its heap order, and the entries under it with itself */
};

struct queue;

struct queue *queue_new(void);
/* Entries that still wait are forgotten, not freed.  NULL is fine. */
void queue_free(struct queue *);

void queue_put(struct queue *, struct queue_entry *);
/* For one that has waited its turn before (a retry, a flight split off at the head): the present
 * turn is its own again, before those that arrived later. */
void queue_put_again(struct queue *, struct queue_entry *);
/* A client left, or its time is up.  Nothing where it does not wait. */
void queue_remove(struct queue *, struct queue_entry *);
static inline bool queue_waits(const struct queue_entry *e) { return e->band != 0; }

/* 0: goes now; else nanoseconds until it may be asked again (INT64_MAX: not before
 * queue_reconsider()).  `overtaken`: others went while it was this one's turn, because they cost
 * less or count as batch: the budget should be held for it (ledger_claim_ns()).
 * Where it must wait, the callback sets e->class = ledger_class() anew: what the API says may have
 * changed it since, and the entry then moves to its new band rather than hold up this one. */
typedef int64_t (*queue_may_go)(void *context, struct queue_entry *, bool overtaken);

/* The entry that goes now, no longer waiting; NULL where none may, and in *wake_ns (may be NULL) the
 * nanoseconds until one may (INT64_MAX: nobody waits). */
struct queue_entry *queue_take(struct queue *, int64_t now_mono_ns, queue_may_go may_go, void *context,
                               int64_t *wake_ns);
/* Budget of this class was given back, or a lease came: the bands that spend from the same limits are
 * asked again by the next queue_take().  NULL: all bands. */
void queue_reconsider(struct queue *, const struct queue_class *);

/* How many (of the class's own cost) go before a newcomer if nobody else comes: for
 * ledger_predict_ns().  Exact within a band, an estimate across bands that share limits. */
uint64_t queue_ahead(const struct queue *, const struct queue_class *, enum queue_priority, uint64_t client);
/* The same for one that waits already. */
uint64_t queue_ahead_of(const struct queue *, const struct queue_entry *);

unsigned queue_length(const struct queue *);
unsigned queue_length_of(const struct queue *, enum queue_priority);

#endif
