/*
 * Counters that cost a plain add: every thread has its own set, readers sum.
 *
 * Names and help texts stand in counters.def.  A set is written by the
 * thread that registered it and read by any.
 */
#ifndef WEIR_BASE_COUNTERS_H
#define WEIR_BASE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

enum counter {
#define COUNTER(id, name, help) COUNTER_##id,
#include "base/counters.def"
#undef COUNTER
    COUNTER_COUNT
};

struct counter_info {
    const char *name;
    const char *help;
};
extern const struct counter_info counter_table[COUNTER_COUNT];

/* Adds to the calling thread's set (made at first use, kept when the thread ends). */
void counter_add(enum counter c, uint64_t n);
/* The sum over all threads; may lag by what is being added now. */
uint64_t counter_sum(enum counter c);

#endif
