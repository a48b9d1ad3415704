/*
 * The tree of tree.h: grown as lists of children, then laid out in the order
 * of a walk, a node's edges side by side.
 */
#include "route/tree.h"

#include "base/check.h"
#include "route/program.h"

#include <stdlib.h>

enum key {                         /* of an edge; below: that byte */
           KEY_SEGMENT_BYTE = 256, /* one byte, no '/' */
           KEY_ANY_BYTE,
           KEY_SEGMENT_LOOP, /* nothing; the child takes any number of them */
           KEY_ANY_LOOP,
           KEY_DESCENT /* the same, but what follows begins after a '/' (and so does it) */
};

enum tree_told { TOLD_AT_ONCE, TOLD_TO_ASK, TOLD_AT_END };

struct tree_entry { /* of a node: what has matched there */
    unsigned id;
    unsigned told;
};

struct tree_node {
    uint32_t least; /* id below it */
    uint32_t edges; /* the first one: bytes in order, then classes */
    uint32_t stop;  /* what is told here; 0: nothing */
    uint16_t byte_count;
    uint8_t  class_count;
    uint8_t  loop; /* KEY_..._LOOP - 256 over which it was reached; 0: another */
};

struct tree_stop {
    uint32_t first, at_once, at_end;
}; /* entries: so many told on arrival, then so many at the end */

struct growth {              /* a node that is not laid out yet */
    uint32_t child, sibling; /* 0: none */
    uint32_t entries;        /* chain of struct grown_entry; 0: none */
    uint32_t least;
    uint16_t key;
};

struct grown_entry {
    struct tree_entry entry;
    uint32_t          before;
};

struct tree {
    struct tree_node  *nodes;
    uint16_t          *edge_keys;
    uint32_t          *edge_nodes;
    uint32_t          *loop_numbers; /* of each node with a loop: its bit; NULL: no loop */
    struct tree_stop  *stops;
    struct tree_entry *entries;
    unsigned           node_count, edge_count, stop_count, entry_count, loop_count;
    /* until tree_finish() */
    struct growth      *growths;
    struct grown_entry *grown_entries;
    unsigned            growth_count, growth_room, grown_entry_count, grown_entry_room;
};

/* ---- growing ---- */

static uint32_t grow(struct tree *t, unsigned key)
{
    MEM_ROOM(t->growths, t->growth_room, t->growth_count + 1);
    t->growths[t->growth_count] = (struct growth){ .least = UINT32_MAX, .key = (uint16_t)key };
    return t->growth_count++;
}

struct tree *tree_new(void)
{
    struct tree *t = mem_alloc(sizeof *t);

    t->grown_entry_room = 64;
    t->grown_entries = mem_alloc(t->grown_entry_room * sizeof t->grown_entries[0]);
    t->grown_entry_count = 1; /* 0 is none */
    grow(t, 0);               /* the root */
    return t;
}

static uint32_t child_of(struct tree *t, uint32_t node, unsigned key, unsigned id)
{
    uint32_t child = t->growths[node].child;

    while (child != 0 && t->growths[child].key != key)
        child = t->growths[child].sibling;
    if (child == 0) {
        child = grow(t, key);
        t->growths[child].sibling = t->growths[node].child;
        t->growths[node].child = child;
    }
    if (id < t->growths[child].least)
        t->growths[child].least = id;
    return child;
}

static void tell(struct tree *t, uint32_t node, unsigned id, enum tree_told told)
{
    uint32_t last = t->growths[node].entries;

    /* Two ways through one glob may end alike. */
    if (last != 0 && t->grown_entries[last].entry.id == id && t->grown_entries[last].entry.told == (unsigned)told)
        return;
    MEM_ROOM(t->grown_entries, t->grown_entry_room, t->grown_entry_count + 1);
    t->grown_entries[t->grown_entry_count] = (struct grown_entry){ { id, told }, last };
    t->growths[node].entries = t->grown_entry_count++;
}

/* Every way through the program from pc on becomes a way down from the node. */
static void lay(struct tree *t, uint32_t node, const struct glob *g, unsigned pc, unsigned id)
{
    for (;;) {
        const struct op *op = &g->ops[pc];

        switch (op->code) {
        case OP_BYTE:
            node = child_of(t, node, (uint8_t)op->byte, id);
            pc++;
            break;
        case OP_SEGMENT_BYTE:
        case OP_ANY_BYTE:
            node = child_of(t, node, op->code == OP_ANY_BYTE ? KEY_ANY_BYTE : KEY_SEGMENT_BYTE, id);
            pc++;
            break;
        case OP_JUMP:
            pc = op->a;
            break;
        case OP_SPLIT:
            if (program_descends(g, pc))
                node = child_of(t, node, KEY_DESCENT, id);
            else if (program_loops(g, pc))
                node = child_of(t, node, g->ops[pc + 1].code == OP_ANY_BYTE ? KEY_ANY_LOOP : KEY_SEGMENT_LOOP, id);
            else if (op->a != op->b)
                lay(t, node, g, op->a, id);
            pc = op->b;
            break;
        default:
            tell(t, node, id, op->code == OP_REST ? TOLD_AT_ONCE : TOLD_AT_END);
            return;
        }
    }
}

/* Counts *left down by the nodes that lay() would go to; false: it is not enough. */
static bool can_lay(const struct glob *g, unsigned pc, unsigned *left)
{
    while (g->ops[pc].code != OP_END && g->ops[pc].code != OP_REST) {
        const struct op *op = &g->ops[pc];

        if (*left == 0)
            return false;
        (*left)--;
        if (op->code == OP_SPLIT && !program_loops(g, pc) && !program_descends(g, pc) && op->a != op->b &&
            !can_lay(g, op->a, left))
            return false;
        pc = op->code == OP_SPLIT ? op->b : op->code == OP_JUMP ? op->a : pc + 1u;
    }
    return true;
}

void tree_add_literal(struct tree *t, struct slice literal, bool anywhere, unsigned id)
{
    uint32_t node = 0;

    if (id < t->growths[0].least)
        t->growths[0].least = id;
    if (anywhere && literal.len > 0)
        node = child_of(t, node, KEY_ANY_LOOP, id);
    for (size_t i = 0; i < literal.len && t->growth_count < TREE_NODES_MOST; i++)
        node = child_of(t, node, (uint8_t)literal.ptr[i], id);
    tell(t, node, id, TOLD_TO_ASK);
}

void tree_add(struct tree *t, const struct glob *g, unsigned id)
{
    enum { WAYS = 16 }; /* so many times as long as the program may all ways through it be */
    unsigned left = g->op_count * WAYS, all = left;

    if (id < t->growths[0].least)
        t->growths[0].least = id;
    if (can_lay(g, 0, &left) && t->growth_count + (all - left) < TREE_NODES_MOST)
        lay(t, 0, g, 0, id);
    else
        tree_add_literal(t, (struct slice){ g->prefix, g->prefix_length }, false, id);
}

/* ---- laying out ---- */

static int by_id(const void *a, const void *b)
{
    const struct tree_entry *x = a, *y = b;
    bool                     x_ends = x->told == TOLD_AT_END, y_ends = y->told == TOLD_AT_END;

    if (x_ends != y_ends)
        return x_ends ? 1 : -1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static uint32_t lay_out_entries(struct tree *t, uint32_t chain)
{
    struct tree_stop stop = { .first = t->entry_count };

    if (chain == 0)
        return 0;
    for (; chain != 0; chain = t->grown_entries[chain].before) {
        const struct tree_entry *e = &t->grown_entries[chain].entry;

        t->entries[t->entry_count++] = *e;
        if (e->told == TOLD_AT_END)
            stop.at_end++;
        else
            stop.at_once++;
    }
    if (stop.at_once + stop.at_end > 1)
        qsort(&t->entries[stop.first], stop.at_once + stop.at_end, sizeof t->entries[0], by_id);
    t->stops[t->stop_count] = stop;
    return t->stop_count++;
}

struct tree_pending {
    uint32_t growth, edge;
}; /* laid out next, for that edge */

static int by_key(const void *a, const void *b)
{
    const struct tree_pending *x = a, *y = b;

    return x->edge < y->edge ? -1 : x->edge > y->edge; /* the key, until they are in order */
}

/* The children of `growth` in the order of their keys, after what is pending; how many. */
static unsigned gather(const struct tree *t, uint32_t growth, struct tree_pending *out)
{
    unsigned count = 0;

    for (uint32_t c = t->growths[growth].child; c != 0; c = t->growths[c].sibling)
        out[count++] = (struct tree_pending){ c, t->growths[c].key };
    if (count > 1)
        qsort(out, count, sizeof out[0], by_key);
    return count;
}

static void lay_out_node(struct tree *t, struct tree_pending *stack, unsigned *depth)
{
    const struct tree_pending at = stack[--*depth];
    const struct growth      *g = &t->growths[at.growth];
    struct tree_node         *n = &t->nodes[t->node_count];
    unsigned                  count = gather(t, at.growth, stack + *depth);

    *n = (struct tree_node){ .least = g->least, .edges = t->edge_count, .stop = lay_out_entries(t, g->entries) };
    if (g->key >= KEY_SEGMENT_LOOP) {
        n->loop = (uint8_t)(g->key - 256);
        t->loop_numbers[t->node_count] = t->loop_count++;
    }
    if (at.growth != 0)
        t->edge_nodes[at.edge] = t->node_count;
    t->node_count++;
    for (unsigned i = 0; i < count; i++) {
        struct tree_pending *p = &stack[*depth + i];

        t->edge_keys[t->edge_count] = (uint16_t)p->edge;
        if (p->edge < 256)
            n->byte_count++;
        else
            n->class_count++;
        p->edge = t->edge_count++;
    }
    /* The first child is laid out next, so that a run of bytes is a run in memory. */
    for (unsigned i = 0; i < count / 2; i++) {
        struct tree_pending swap = stack[*depth + i];

        stack[*depth + i] = stack[*depth + count - 1 - i];
        stack[*depth + count - 1 - i] = swap;
    }
    *depth += count;
}

void tree_finish(struct tree *t)
{
    struct tree_pending *stack = mem_alloc((t->growth_count + 1) * sizeof stack[0]);
    unsigned             depth = 1;

    t->nodes = mem_alloc(t->growth_count * sizeof t->nodes[0]);
    t->edge_keys = mem_alloc(t->growth_count * sizeof t->edge_keys[0]);
    t->edge_nodes = mem_alloc(t->growth_count * sizeof t->edge_nodes[0]);
    t->loop_numbers = mem_alloc(t->growth_count * sizeof t->loop_numbers[0]);
    t->entries = mem_alloc(t->grown_entry_count * sizeof t->entries[0]);
    t->stops = mem_alloc((t->grown_entry_count + 1) * sizeof t->stops[0]);
    t->stop_count = 1; /* 0 is none */
    while (depth > 0)
        lay_out_node(t, stack, &depth);
    CHECK(t->node_count == t->growth_count);
    t->stops = mem_resize(t->stops, t->stop_count * sizeof t->stops[0]);
    free(stack);
    free(t->growths);
    free(t->grown_entries);
    t->growths = NULL;
    t->grown_entries = NULL;
    if (t->loop_count > 0)
        return;
    free(t->loop_numbers);
    t->loop_numbers = NULL;
}

void tree_free(struct tree *t)
{
    if (t == NULL)
        return;
    free(t->nodes);
    free(t->edge_keys);
    free(t->edge_nodes);
    free(t->loop_numbers);
    free(t->stops);
    free(t->entries);
    free(t->growths);
    free(t->grown_entries);
    free(t);
}

unsigned tree_nodes(const struct tree *t)
{
    return t->node_count;
}

/* ---- walking ---- */

struct list {
    uint32_t *items;
    unsigned  count, room;
};

enum { LIST_FIRST = 32, BITS_FIRST = 512 };

struct walk {
    const struct tree *t;
    struct tree_walk  *out;
    struct arena      *arena;
    struct list        now, next;
    uint64_t          *on; /* loops that stand in `next` */
    uint32_t           room[2][LIST_FIRST];
    uint64_t           bits[BITS_FIRST / 64];
};

static void put(struct walk *w, uint32_t node)
{
    struct list *l = &w->next;

    if (l->count == l->room) {
        uint32_t *more = arena_alloc_raw(w->arena, 2 * l->room * sizeof l->items[0]);

        memcpy(more, l->items, l->count * sizeof l->items[0]);
        l->items = more;
        l->room *= 2;
    }
    l->items[l->count++] = node;
}

static void tell_all(struct walk *w, uint32_t first, unsigned count)
{
    for (const struct tree_entry *e = &w->t->entries[first]; count > 0 && e->id < w->out->below; e++, count--)
        w->out->told(w->out, e->id, e->told != TOLD_TO_ASK);
}

/* False where it stands there already.  A node has one parent, so only one with a loop can be come to twice for one
 * byte. */
static bool enter(struct walk *w, uint32_t at)
{
    const struct tree_node *n = &w->t->nodes[at];

    if (n->least >= w->out->below)
        return false;
    if (n->loop != 0) {
        uint32_t number = w->t->loop_numbers[at];
        uint64_t bit = UINT64_C(1) << (number % 64);

        if ((w->on[number / 64] & bit) != 0)
            return false;
        w->on[number / 64] |= bit;
    }
    w->out->steps++;
    put(w, at);
    return true;
}

static void arrive(struct walk *w, uint32_t at);

/* What is reached over nothing. */
static void arrive_at_loops(struct walk *w, const struct tree_node *n)
{
    for (unsigned i = 0; i < n->class_count; i++) {
        uint32_t edge = n->edges + n->byte_count + i;

        if (w->t->edge_keys[edge] >= KEY_SEGMENT_LOOP)
            arrive(w, w->t->edge_nodes[edge]);
    }
}

static void arrive(struct walk *w, uint32_t at)
{
    const struct tree_node *n = &w->t->nodes[at];

    if (!enter(w, at))
        return;
    if (n->stop != 0)
        tell_all(w, w->t->stops[n->stop].first, w->t->stops[n->stop].at_once);
    arrive_at_loops(w, n);
}

static void stay(struct walk *w, uint32_t at, uint8_t byte)
{
    const struct tree_node *n = &w->t->nodes[at];

    if (enter(w, at) && (n->loop != KEY_DESCENT - 256 || byte == '/'))
        arrive_at_loops(w, n);
}

/* The edge over that byte; UINT32_MAX: there is none. */
static uint32_t edge_over(const struct tree *t, const struct tree_node *n, uint8_t byte)
{
    const uint16_t *keys = &t->edge_keys[n->edges];
    unsigned        low = 0, high = n->byte_count;

    while (high - low > 4) {
        unsigned middle = low + (high - low) / 2;

        if (keys[middle] <= byte)
            low = middle;
        else
            high = middle;
    }
    for (; low < high; low++)
        if (keys[low] == byte)
            return n->edges + low;
    return UINT32_MAX;
}

/* `before`: the byte before this one. */
static void leave(struct walk *w, uint32_t at, uint8_t before, uint8_t byte)
{
    const struct tree_node *n = &w->t->nodes[at];
    uint32_t                edge;

    if (n->loop != 0 && (n->loop != KEY_SEGMENT_LOOP - 256 || byte != '/'))
        stay(w, at, byte);
    if (n->loop == KEY_DESCENT - 256 && before != '/')
        return;
    edge = edge_over(w->t, n, byte);
    if (edge != UINT32_MAX)
        arrive(w, w->t->edge_nodes[edge]);
    for (unsigned i = 0; i < n->class_count; i++) {
        unsigned key;

        edge = n->edges + n->byte_count + i;
        key = w->t->edge_keys[edge];
        if (key == KEY_ANY_BYTE || (key == KEY_SEGMENT_BYTE && byte != '/'))
            arrive(w, w->t->edge_nodes[edge]);
    }
}

static void turn(struct walk *w)
{
    struct list swap = w->now;

    w->now = w->next;
    w->next = swap;
    w->next.count = 0;
    for (unsigned i = 0; w->t->loop_count > 0 && i < w->now.count; i++) {
        uint32_t at = w->now.items[i];

        if (w->t->nodes[at].loop != 0)
            w->on[w->t->loop_numbers[at] / 64] &= ~(UINT64_C(1) << (w->t->loop_numbers[at] % 64));
    }
}

void tree_walk(const struct tree *t, struct slice subject, struct tree_walk *out, struct arena *arena)
{
    struct walk w;
    size_t      words = (t->loop_count + 63) / 64;
    uint8_t     before = 0;

    w.t = t;
    w.out = out;
    w.arena = arena;
    w.now = (struct list){ w.room[0], 0, LIST_FIRST };
    w.next = (struct list){ w.room[1], 0, LIST_FIRST };
    w.on = words <= BITS_FIRST / 64 ? w.bits : arena_alloc_raw(arena, words * sizeof w.on[0]);
    memset(w.on, 0, words * sizeof w.on[0]);
    arrive(&w, 0);
    turn(&w);
    for (size_t i = 0; i < subject.len && w.now.count > 0; i++) {
        for (unsigned k = 0; k < w.now.count; k++)
            leave(&w, w.now.items[k], before, (uint8_t)subject.ptr[i]);
        before = (uint8_t)subject.ptr[i];
        turn(&w);
    }
    for (unsigned k = 0; k < w.now.count; k++) {
        const struct tree_node *n = &t->nodes[w.now.items[k]];
        const struct tree_stop *stop = &t->stops[n->stop];

        if (n->stop != 0 && (n->loop != KEY_DESCENT - 256 || before == '/'))
            tell_all(&w, stop->first + stop->at_once, stop->at_end);
    }
}
