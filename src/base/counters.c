/*
 * Counter sets: one a thread, on a list that only grows.
 *
 * A set outlives its thread, so that what it counted is not lost and readers
 * need no lock; the threads of a daemon are few and long-lived.  Only its
 * thread writes a set: a relaxed load and store do for an add.
 */
#include "base/counters.h"

#include <stdalign.h>
#include <stdlib.h>

enum { CACHE_LINE_BYTES = 64 };

struct counter_set {
    alignas(CACHE_LINE_BYTES) _Atomic uint64_t values[COUNTER_COUNT];
    struct counter_set *next; /* never changes once the set is on the list */
};

const struct counter_info counter_table[COUNTER_COUNT] = {
#define COUNTER(id, name, help) { name, help },
#include "base/counters.def"
#undef COUNTER
};

static _Atomic(struct counter_set *)     all_sets;
static _Thread_local struct counter_set *own_set;

static struct counter_set *register_set(void)
{
    struct counter_set *set = aligned_alloc(CACHE_LINE_BYTES, sizeof *set);

    if (set == NULL)
        abort(); /* not CHECK(), whose log counts the lines that it loses */
    for (int i = 0; i < COUNTER_COUNT; i++)
        atomic_init(&set->values[i], 0);
    set->next = atomic_load_explicit(&all_sets, memory_order_relaxed);
    /* Release: who sees the set sees it filled. */
    while (
        !atomic_compare_exchange_weak_explicit(&all_sets, &set->next, set, memory_order_release, memory_order_relaxed))
        ;
    return set;
}

void counter_add(enum counter c, uint64_t n)
{
    _Atomic uint64_t *value;

    if (own_set == NULL)
        own_set = register_set();
    value = &own_set->values[c];
    atomic_store_explicit(value, atomic_load_explicit(value, memory_order_relaxed) + n, memory_order_relaxed);
}

uint64_t counter_sum(enum counter c)
{
    const struct counter_set *set = atomic_load_explicit(&all_sets, memory_order_acquire);
    uint64_t                  sum = 0;

    for (; set != NULL; set = set->next)
        sum += atomic_load_explicit(&set->values[c], memory_order_relaxed);
    return sum;
}
