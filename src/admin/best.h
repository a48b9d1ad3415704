/*
 * The best of many lines, and of more no memory: a heap whose first is the worst of them.
 */
#ifndef WEIR_ADMIN_BEST_H
#define WEIR_ADMIN_BEST_H

#include "base/heap.h"
#include "base/slice.h"

struct best { /* best_init() */
    struct heap heap;
    size_t      most;
    uint64_t    met; /* all that were offered */
};

void best_init(struct best *, size_t most);
void best_free(struct best *);
/* Would a line of that worth be among them?  Counts it as met. */
bool best_wants(struct best *, int64_t worth);
/* A copy of the line, after best_wants(); of two that are worth the same, the first is the better one. */
void best_put(struct best *, int64_t worth, struct slice line);
/* Takes all of them, the best first. How many. */
size_t best_take(struct best *, void (*each)(void *context, struct slice line), void *context);

#endif
