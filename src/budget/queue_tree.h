/*
 * The entries of one connection in their order: by arrival, then
 * sequence.  A treap with sizes: the first, any place, and removal in O(log n).
 * Inside of this room only.
 */
#ifndef WEIR_BUDGET_QUEUE_TREE_H
#define WEIR_BUDGET_QUEUE_TREE_H

#include "budget/queue.h"

/* `rank` is set by the caller to a random number. */
void                   queue_tree_insert(struct queue_entry **root, struct queue_entry *);
void                   queue_tree_remove(struct queue_entry **root, struct queue_entry *);
struct queue_entry    *queue_tree_first(struct queue_entry *root);
struct queue_entry    *queue_tree_last(struct queue_entry *root);
static inline uint32_t queue_tree_size(const struct queue_entry *root)
{
    return root != 0 ? root->size : 0;
}
/* How many stand before it. */
uint32_t queue_tree_before(const struct queue_entry *);

#endif
