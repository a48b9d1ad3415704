/*
 * Which of many comes first: a binary heap of what embeds a `struct heap_node`.
 *
 * Each node knows its place, so that moving or removing one costs O(log n).  The order is the caller's; nothing
 * is copied, and a node is in one heap at a time.  No thread of its own: whoever owns the heap owns its nodes.
 */
#ifndef WEIR_BASE_HEAP_H
#define WEIR_BASE_HEAP_H

#include <stdbool.h>
#include <stddef.h>

struct heap_node { /* all zero: in no heap */
    size_t place;  /* from 1 */
};

struct heap { /* all zero but for `before`: empty */
    bool (*before)(const struct heap_node *, const struct heap_node *);
    struct heap_node **nodes;
    size_t             count, capacity;
};

/* Adds it; one that is in it already goes to where it belongs by now. */
void heap_put(struct heap *, struct heap_node *);
/* Nothing where it is in none. */
void heap_remove(struct heap *, struct heap_node *);
/* NULL: it is empty. */
static inline struct heap_node *heap_first(const struct heap *h)
{
    return h->count > 0 ? h->nodes[0] : NULL;
}
static inline bool heap_has(const struct heap_node *n)
{
    return n->place != 0;
}
/* Of any number of its nodes the order has changed, in place. */
void heap_renew(struct heap *);
void heap_free(struct heap *); /* the heap's own memory */

#endif
