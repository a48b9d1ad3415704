/*
 * Times counted by how long they were: a quarter of an octave is a bucket, found by shifts of the nanoseconds.
 *
 * One thread adds, any reads: a relaxed load and store do for an add, and a reader may lag by what is being added.
 */
#ifndef WEIR_BASE_HISTOGRAM_H
#define WEIR_BASE_HISTOGRAM_H

#include <stdatomic.h>
#include <stdint.h>

enum {
    HISTOGRAM_FIRST = 12, /* what took no longer than 2^12 ns, 4 us, is in the first bucket */
    HISTOGRAM_LAST = 40,  /* what took longer than 2^40 ns, 18 minutes, is in the last one all the same */
    HISTOGRAM_BUCKETS = (HISTOGRAM_LAST - HISTOGRAM_FIRST) * 4 + 1
};

struct histogram { /* all zero: nothing was counted */
    _Atomic uint64_t buckets[HISTOGRAM_BUCKETS];
    _Atomic uint64_t sum_ns;
};

/* Of the one thread that writes it. */
static inline void cell_add(_Atomic uint64_t *value, uint64_t n)
{
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
}

/* Bucket 0 is up to 2^12 ns; then come four to an octave, each without its lower bound and with its upper one, hence
 * the nanosecond less. */
static inline unsigned histogram_bucket(int64_t ns)
{
    const int64_t low = (INT64_C(1) << HISTOGRAM_FIRST) - 1, high = (INT64_C(1) << HISTOGRAM_LAST) - 1;
    const int64_t below = ns <= low ? low : ns > high ? high : ns - 1;
    const int     octave = 63 - __builtin_clzll((uint64_t)below);

    return (unsigned)(octave * 4 + (int)(below >> (octave - 2)) - HISTOGRAM_FIRST * 4 - 3);
}

static inline void histogram_add(struct histogram *h, int64_t ns)
{
    cell_add(&h->buckets[histogram_bucket(ns)], 1);
    cell_add(&h->sum_ns, ns > 0 ? (uint64_t)ns : 0);
}

/* -- for who reads -- */

struct histogram_sum { /* of several, as they were at one time */
    uint64_t buckets[HISTOGRAM_BUCKETS];
    uint64_t count, sum_ns;
};

void histogram_gather(struct histogram_sum *, const struct histogram *);
/* How many took no longer than 2^exponent ns; HISTOGRAM_FIRST to HISTOGRAM_LAST - 1. */
uint64_t histogram_within(const struct histogram_sum *, unsigned exponent);
/* The time that a share of them (0.5, 0.95) did not exceed, as near as a bucket tells; -1: there are none. */
int64_t histogram_quantile_ns(const struct histogram_sum *, double share);

#endif
