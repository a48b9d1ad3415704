/*
 * See table.h.  A table is never made smaller: what grew once is likely to grow again.
 */
#include "base/table.h"

#include "base/arena.h"

#include <stdlib.h>

enum { FIRST_SIZE = 16 };

static void hang(struct table_node **chains, size_t size, struct table_node *n)
{
    struct table_node **at = &chains[n->hash & (size - 1)];

    n->next = *at;
    *at = n;
}

static void grow(struct table *t)
{
    size_t              size = t->size > 0 ? t->size * 2 : FIRST_SIZE;
    struct table_node **chains = mem_alloc(size * sizeof *chains), *next;

    for (size_t i = 0; i < t->size; i++)
        for (struct table_node *n = t->chains[i]; n != NULL; n = next) {
            next = n->next;
            hang(chains, size, n);
        }
    free(t->chains);
    t->chains = chains;
    t->size = size;
}

void table_add(struct table *t, struct table_node *n, uint64_t hash)
{
    if (t->count >= t->size)
        grow(t);
    n->hash = hash;
    hang(t->chains, t->size, n);
    t->count++;
}

void table_remove(struct table *t, struct table_node *n)
{
    struct table_node **at = &t->chains[n->hash & (t->size - 1)];

    while (*at != n)
        at = &(*at)->next;
    *at = n->next;
    t->count--;
}

struct table_node *table_next(const struct table *t, struct table_walk *w)
{
    struct table_node *n;

    while (w->next == NULL && w->chain < t->size)
        w->next = t->chains[w->chain++];
    n = w->next;
    if (n != NULL)
        w->next = n->next;
    return n;
}

void table_free(struct table *t)
{
    free(t->chains);
    *t = (struct table){ 0 };
}
