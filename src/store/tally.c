/*
 * The sets of a table: four ways each, looked through one after the other.
 */
#include "store/tally.h"

#include "base/arena.h"

struct hit_tally *tally_new(void)
{
    return mem_alloc(sizeof(struct hit_tally));
}

static uint64_t hits_of(struct hit_tally_way *way)
{
    return atomic_load_explicit(&way->hits, memory_order_relaxed);
}

void tally_hit_elsewhere(struct hit_tally *t, uint64_t name)
{
    struct hit_tally_way *set = tally_set(t, name), *fewest = set;

    for (unsigned i = 0; i < TALLY_WAYS; i++) {
        if (atomic_load_explicit(&set[i].name, memory_order_relaxed) == name) {
            atomic_store_explicit(&set[i].hits, hits_of(&set[i]) + 1, memory_order_relaxed);
            return;
        }
        if (hits_of(&set[i]) < hits_of(fewest))
            fewest = &set[i];
    }
    atomic_store_explicit(&fewest->hits, 1, memory_order_relaxed);
    atomic_store_explicit(&fewest->name, name, memory_order_relaxed);
}

uint64_t tally_hits(struct hit_tally *list, uint64_t name)
{
    uint64_t sum = 0;

    for (struct hit_tally *t = list; t != NULL; t = t->next) {
        struct hit_tally_way *set = tally_set(t, name);

        for (unsigned i = 0; i < TALLY_WAYS; i++)
            if (atomic_load_explicit(&set[i].name, memory_order_relaxed) == name)
                sum += hits_of(&set[i]);
    }
    return sum;
}
