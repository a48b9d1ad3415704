/*
 * A hash table of what embeds a `struct table_node`: chains, doubled as it fills, so a look-up costs O(1) whatever
 * comes.
 *
 * The caller brings the hash (XXH3 of what the key is made of) and compares keys himself:
 *
 *     TABLE_EACH(n, &t->things, hash)
 *         if (is_it(CONTAINER_OF(n, struct thing, node), key))
 *
 * No thread of its own: whoever owns the table owns its nodes.
 */
#ifndef WEIR_BASE_TABLE_H
#define WEIR_BASE_TABLE_H

#include <stddef.h>
#include <stdint.h>

struct table_node {
    struct table_node *next;
    uint64_t           hash;
};

struct table { /* all zero: empty */
    struct table_node **chains;
    size_t              size, count; /* `size`: a power of two, or 0 */
};

void                             table_add(struct table *, struct table_node *, uint64_t hash);
void                             table_remove(struct table *, struct table_node *); /* it is in it */
static inline struct table_node *table_chain(const struct table *t, uint64_t hash)
{
    return t->size > 0 ? t->chains[hash & (t->size - 1)] : NULL;
}
/* Those of that hash. The body may not add or remove. */
#define TABLE_EACH(n, t, wanted) \
    for (struct table_node *n = table_chain((t), (wanted)); n != NULL; n = n->next) \
        if (n->hash != (wanted)) { \
        } else

struct table_walk {
    size_t             chain;
    struct table_node *next;
}; /* all zero at first */
/* All, in no order; NULL: that was all. The one returned may be removed before the next call. */
struct table_node *table_next(const struct table *, struct table_walk *);
void               table_free(struct table *); /* the table's own memory */

#endif
