/*
 * See heap.h.  Children of place n stand at 2n and 2n + 1; the node at place n is nodes[n - 1].
 */
#include "base/heap.h"

#include "base/arena.h"

#include <stdlib.h>

static void put_at(struct heap *h, size_t place, struct heap_node *n)
{
    h->nodes[place - 1] = n;
    n->place = place;
}

static size_t rise(struct heap *h, struct heap_node *n, size_t place)
{
    for (; place > 1 && h->before(n, h->nodes[place / 2 - 1]); place /= 2)
        put_at(h, place, h->nodes[place / 2 - 1]);
    return place;
}

static size_t sink(struct heap *h, struct heap_node *n, size_t place)
{
    for (;;) {
        size_t child = place * 2;

        if (child < h->count && h->before(h->nodes[child], h->nodes[child - 1]))
            child++;
        if (child > h->count || !h->before(h->nodes[child - 1], n))
            return place;
        put_at(h, place, h->nodes[child - 1]);
        place = child;
    }
}

/* It alone may stand wrong. */
static void settle(struct heap *h, struct heap_node *n)
{
    put_at(h, sink(h, n, rise(h, n, n->place)), n);
}

void heap_put(struct heap *h, struct heap_node *n)
{
    if (n->place == 0) {
        MEM_ROOM(h->nodes, h->capacity, h->count + 1);
        put_at(h, ++h->count, n);
    }
    settle(h, n);
}

void heap_remove(struct heap *h, struct heap_node *n)
{
    struct heap_node *last;

    if (n->place == 0)
        return;
    last = h->nodes[--h->count];
    if (last != n) {
        put_at(h, n->place, last);
        settle(h, last);
    }
    n->place = 0;
}

void heap_renew(struct heap *h)
{
    for (size_t place = h->count / 2; place > 0; place--) {
        struct heap_node *n = h->nodes[place - 1];

        put_at(h, sink(h, n, place), n);
    }
}

void heap_free(struct heap *h)
{
    free(h->nodes);
    h->nodes = NULL;
    h->count = h->capacity = 0;
}
