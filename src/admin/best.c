/*
 * See best.h.
 */
#include "admin/best.h"

#include "base/arena.h"
#include "base/ref.h"

#include <stdlib.h>

struct best_line {
    struct heap_node node;
    int64_t          worth;
    uint64_t         number; /* in the order of coming */
    size_t           bytes;
    char             text[];
};

static struct best_line *line_of(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct best_line, node);
}

static bool is_worse(const struct heap_node *a, const struct heap_node *b)
{
    const struct best_line *x = line_of(a), *y = line_of(b);

    return x->worth != y->worth ? x->worth < y->worth : x->number > y->number;
}

void best_init(struct best *b, size_t most)
{
    *b = (struct best){ .heap = { .before = is_worse }, .most = most };
}

void best_free(struct best *b)
{
    for (size_t i = 0; i < b->heap.count; i++)
        free(line_of(b->heap.nodes[i]));
    heap_free(&b->heap);
}

bool best_wants(struct best *b, int64_t worth)
{
    b->met++;
    return b->heap.count < b->most || (b->most > 0 && worth > line_of(heap_first(&b->heap))->worth);
}

static struct best_line *take_worst(struct best *b)
{
    struct heap_node *worst = heap_first(&b->heap);

    heap_remove(&b->heap, worst);
    return line_of(worst);
}

void best_put(struct best *b, int64_t worth, struct slice text)
{
    struct best_line *line = mem_alloc_raw(sizeof *line + text.len);

    if (b->heap.count == b->most)
        free(take_worst(b));
    line->node = (struct heap_node){ 0 };
    line->worth = worth;
    line->number = b->met;
    line->bytes = text.len;
    memcpy(line->text, text.ptr, text.len);
    heap_put(&b->heap, &line->node);
}

size_t best_take(struct best *b, void (*each)(void *context, struct slice line), void *context)
{
    const size_t       count = b->heap.count;
    struct best_line **lines = mem_alloc((count + 1) * sizeof *lines);

    for (size_t i = count; i-- > 0;)
        lines[i] = take_worst(b);
    for (size_t i = 0; i < count; i++) {
        each(context, (struct slice){ lines[i]->text, lines[i]->bytes });
        free(lines[i]);
    }
    free(lines);
    return count;
}
