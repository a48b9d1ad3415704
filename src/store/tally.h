/*
 * How often each record was a hit, as far as a worker remembers: nothing is written for it, and nothing locked.
 *
 * Each reader has a table of its own, which that reader's thread counts in and any thread reads.  It holds the most
 * used of what comes to it: where a set is full, the one with the fewest hits makes place, so that counts of what is
 * hit often hold, and those of the rest are a lower bound.  Nothing is kept over a restart.
 *
 * A table outlives its reader, since its counts do, and goes to the next one that is opened.
 */
#ifndef WEIR_STORE_TALLY_H
#define WEIR_STORE_TALLY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

enum { TALLY_WAYS = 4, TALLY_SETS = 8192 };

struct hit_tally_way {
    _Atomic uint64_t name, hits; /* written by the reader's thread */
};

struct hit_tally {
    struct hit_tally    *next;     /* in the list; constant once it is there */
    bool                 is_taken; /* the list's owner's */
    struct hit_tally_way ways[TALLY_SETS * TALLY_WAYS];
};

struct hit_tally *tally_new(void); /* memory is taken as it is used */
/* Not in the first way: finds it, or makes place. */
void tally_hit_elsewhere(struct hit_tally *, uint64_t name);

/* A record's name there: from its hash and variant, 16 bytes each. */
static inline uint64_t tally_name(const void *hash, const void *variant)
{
    uint64_t a, b;

    memcpy(&a, hash, sizeof a);
    memcpy(&b, variant, sizeof b);
    return a + b * 0x9E3779B97F4A7C15u;
}

static inline struct hit_tally_way *tally_set(struct hit_tally *t, uint64_t name)
{
    return &t->ways[name % TALLY_SETS * TALLY_WAYS];
}

/* The reader's thread. */
static inline void tally_hit(struct hit_tally *t, uint64_t name)
{
    struct hit_tally_way *way = tally_set(t, name);

    if (atomic_load_explicit(&way->name, memory_order_relaxed) == name)
        atomic_store_explicit(&way->hits, atomic_load_explicit(&way->hits, memory_order_relaxed) + 1,
                              memory_order_relaxed);
    else
        tally_hit_elsewhere(t, name);
}

/* Of all tables in the list. Any thread. */
uint64_t tally_hits(struct hit_tally *list, uint64_t name);

#endif
