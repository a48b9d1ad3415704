/*
 * Groups: bands that share limits at the same cost, which one of them can be asked about for all.
 *
 * Of a group some bands may be asked, the others are aside by when to ask again.  Those that may be
 * stand on shelves: a band whose entries are all of one party stands on that party's shelf, and the
 * shelf on that of the party above, each in a heap by where its first entry stands.  So a turn moves its
 * party's shelves, and not the thousands of bands that may stand on them.  Groups stand in a heap like that.
 *
 * What heaps remember is never higher than what holds, so it is enough to look anew at the one that comes to the top.
 */
#include "budget/queue_parts.h"

#include "budget/queue_tree.h"

#include "base/arena.h"

#include <stdlib.h>

enum { BANDS_ON_ROOT = 16, EMPTY_MOST = 8 };

/* -- heaps -- */

static struct standing *standing_at(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct standing, place);
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    const struct standing *x = standing_at(a), *y = standing_at(b);

    return queue_key_before(&x->key, &y->key, x->on != NULL ? x->on->depth : 0);
}

static struct queue_band *aside_at(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct queue_band, place);
}

static bool is_due_before(const struct heap_node *a, const struct heap_node *b)
{
    return aside_at(a)->due_ns < aside_at(b)->due_ns;
}

static struct queue_group *due_at(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct queue_group, due);
}

static bool is_group_due_before(const struct heap_node *a, const struct heap_node *b)
{
    return due_at(a)->due_ns < due_at(b)->due_ns;
}

/* -- groups come and go -- */

static uint64_t group_hash(const struct queue_class *c, enum queue_priority priority)
{
    return queue_hash(c->group ^ c->place, (uint64_t)c->shared * QUEUE_PRIORITIES + priority);
}

struct queue_group *group_enter(struct queue *q, const struct queue_band *b)
{
    const struct queue_class *c = &b->class;
    const uint64_t            hash = group_hash(c, b->priority);
    struct queue_group       *g;

    TABLE_EACH(n, &q->group_table, hash)
    {
        g = CONTAINER_OF(n, struct queue_group, link);
        if (g->group == c->group && g->place == c->place && g->shared == c->shared && g->priority == b->priority) {
            q->empty_groups -= g->bands++ == 0;
            return g;
        }
    }
    g = mem_alloc(sizeof *g);
    g->group = c->group;
    g->place = c->place;
    g->shared = c->shared;
    g->priority = b->priority;
    g->bands = 1;
    g->root.group = g;
    g->root.below.before = is_before;
    g->root.standing.of = &g->root;
    g->aside.before = is_due_before;
    table_add(&q->group_table, &g->link, hash);
    LIST_INSERT_HEAD(&q->groups, g, entry);
    return g;
}

static void free_group(struct queue *q, struct queue_group *g)
{
    heap_remove(&q->due, &g->due);
    heap_free(&g->root.below);
    heap_free(&g->aside);
    table_remove(&q->group_table, &g->link);
    LIST_REMOVE(g, entry);
    free(g);
}

static void set_due(struct queue *q, struct queue_group *g)
{
    if (g->held || g->aside.count > 0) {
        g->due_ns = g->held ? g->held_until_ns : aside_at(heap_first(&g->aside))->due_ns;
        heap_put(&q->due, &g->due);
    } else {
        heap_remove(&q->due, &g->due);
    }
}

/* It stands in line where it has something to be asked and is not held. */
static void set_ready(struct queue *q, struct queue_group *g)
{
    struct heap *ready = &q->ready[g->priority];

    if (g->root.below.count > 0 && !g->held)
        heap_put(ready, &g->root.standing.place);
    else
        heap_remove(ready, &g->root.standing.place);
}

void group_left(struct queue *q, struct queue_group *g)
{
    if (--g->bands > 0)
        return;
    g->held = g->returned = false;
    set_due(q, g);
    if (q->empty_groups < EMPTY_MOST)
        q->empty_groups++;
    else
        free_group(q, g);
}

void groups_begin(struct queue *q)
{
    q->due.before = is_group_due_before;
    for (int i = 0; i < QUEUE_PRIORITIES; i++)
        q->ready[i].before = is_before;
}

void groups_free(struct queue *q)
{
    while (!LIST_EMPTY(&q->groups))
        free_group(q, LIST_FIRST(&q->groups));
    for (int i = 0; i < QUEUE_PRIORITIES; i++)
        heap_free(&q->ready[i]);
    heap_free(&q->due);
    table_free(&q->group_table);
    table_free(&q->shelves);
    table_free(&q->owned);
}

/* -- shelves -- */

static uint64_t shelf_hash(const struct queue_group *g, const struct party *party)
{
    return queue_hash((uint64_t)(uintptr_t)g, (uint64_t)(uintptr_t)party);
}

/* A new one stands nowhere as long as nothing is on it. */
static struct shelf *shelf_enter(struct queue *q, struct shelf *above, const struct party *party)
{
    const uint64_t hash = shelf_hash(above->group, party);
    struct shelf  *s;

    TABLE_EACH(n, &q->shelves, hash)
    {
        s = CONTAINER_OF(n, struct shelf, link);
        if (s->group == above->group && s->party == party)
            return s;
    }
    s = mem_alloc(sizeof *s);
    s->group = above->group;
    s->party = party;
    s->depth = above->depth + 1;
    s->below.before = is_before;
    s->standing.on = above;
    s->standing.of = s;
    table_add(&q->shelves, &s->link, hash);
    return s;
}

static void leave(struct queue *q, struct standing *gone)
{
    struct shelf *s = gone->on;

    heap_remove(&s->below, &gone->place);
    gone->on = NULL;
    if (s->below.count > 0)
        return;
    if (s->party == NULL) {
        set_ready(q, s->group);
        return;
    }
    leave(q, &s->standing);
    heap_free(&s->below);
    table_remove(&q->shelves, &s->link);
    free(s);
}

/* What is on the shelf begins with this by now, or with what was there before. */
static void begins_with(struct queue *q, struct shelf *s, const struct queue_key *key)
{
    for (; s->party != NULL; s = s->standing.on) {
        struct shelf *above = s->standing.on;

        if (heap_has(&s->standing.place) && !queue_key_before(key, &s->standing.key, above->depth))
            return;
        s->standing.key = *key;
        heap_put(&above->below, &s->standing.place);
    }
    if (s->below.count == 1 || queue_key_before(key, &s->standing.key, 0))
        s->standing.key = *key;
    set_ready(q, s->group);
}

/* The lowest party that all of the band are of; but where another band has nothing of a party, it needs no
 * shelf, and few bands need none at all.  Those that go again come before all others. */
static struct stand *common(const struct queue_band *b)
{
    struct stand *s = b->top;

    if (b->again != NULL || b->group->bands <= BANDS_ON_ROOT)
        return s;
    while (s->below.count == 1 && stand_below(s, 0)->party->stands->next_of_party != NULL)
        s = stand_below(s, 0);
    return s;
}

static struct shelf *shelf_of(struct queue *q, struct queue_band *b, const struct stand *s)
{
    return s == NULL || s->above == NULL ? &b->group->root : shelf_enter(q, shelf_of(q, b, s->above), s->party);
}

static bool stands_there(const struct queue_band *b, const struct stand *s)
{
    const struct shelf *on = b->standing.on;

    return on != NULL && on->party == (s == NULL || s->above == NULL ? NULL : s->party);
}

void band_stands_nowhere(struct queue *q, struct queue_band *b)
{
    if (b->standing.on != NULL)
        leave(q, &b->standing);
}

void band_stands(struct queue *q, struct queue_band *b)
{
    const struct stand *s = common(b);

    band_look(q, b);
    if (!stands_there(b, s)) {
        band_stands_nowhere(q, b);
        b->standing.on = shelf_of(q, b, s);
    }
    heap_put(&b->standing.on->below, &b->standing.place);
    begins_with(q, b->standing.on, &b->standing.key);
}

/* -- who is first -- */

struct queue_entry *band_look(struct queue *q, struct queue_band *b)
{
    struct queue_entry *e = queue_tree_first(b->again);

    q->effort.looks++;
    if (e == NULL)
        return stand_first(b->top, &b->standing.key);
    b->standing.key = (struct queue_key){ .arrived_ns = e->arrived_ns, .sequence = e->sequence };
    return e;
}

/* What they remembered may be too low: a party had a turn elsewhere. */
static struct queue_band *first_of(struct queue *q, struct heap *h, unsigned same)
{
    for (;;) {
        struct standing   *first = standing_at(heap_first(h));
        struct queue_key   before = first->key;
        struct queue_band *b;

        if (first->of != NULL) {
            b = first_of(q, &first->of->below, first->of->depth);
            first->key = b->standing.key;
        } else {
            b = CONTAINER_OF(first, struct queue_band, standing);
            band_look(q, b);
        }
        if (!queue_key_before(&before, &first->key, same))
            return b;
        heap_put(h, &first->place);
    }
}

/* -- who waits for what -- */

/* Did the last that went stand after the first of this band? A party's own rank is higher since it went. */
static bool is_overtaken(const struct queue *q, const struct queue_band *b)
{
    const struct queue_key *went = &q->went[b->priority], *key = &b->standing.key;
    unsigned                count = went->count < key->count ? went->count : key->count;

    for (unsigned i = 0; i < count; i++)
        if (went->step[i].party != key->step[i].party)
            return rank_before(key->step[i].rank, went->step[i].rank);
    return key->count == 0 || (went->count > 0 && key->sequence < went->sequence);
}

/* It waited; where others went meanwhile whose turn it was not, it says so when it is asked. */
static void note_overtaken(const struct queue *q, struct queue_band *b, uint64_t batch_went)
{
    if (is_overtaken(q, b) || (b->priority == QUEUE_INTERACTIVE && q->batch_went != batch_went))
        b->overtaken = true;
}

struct queue_band *groups_first(struct queue *q, enum queue_priority priority)
{
    struct queue_band *b;

    if (q->ready[priority].count == 0)
        return NULL;
    b = first_of(q, &q->ready[priority], 0);
    if (b->group->returned) {
        b->group->returned = false;
        note_overtaken(q, b, b->group->batch_went);
    }
    return b;
}

void band_set_aside(struct queue *q, struct queue_band *b, enum queue_held held, int64_t due_ns)
{
    struct queue_group *g = b->group;

    band_stands_nowhere(q, b);
    b->aside = true;
    b->held = held;
    b->due_ns = due_ns;
    b->batch_went = q->batch_went;
    g->aside_by_any += held == QUEUE_HELD_BY_ANY;
    heap_put(&g->aside, &b->place);
    if (b->class.owner != 0)
        table_add(&q->owned, &b->owned, b->class.owner);
    set_due(q, g);
}

void band_leaves_aside(struct queue *q, struct queue_band *b)
{
    struct queue_group *g = b->group;

    heap_remove(&g->aside, &b->place);
    b->aside = false;
    g->aside_by_any -= b->held == QUEUE_HELD_BY_ANY;
    if (b->class.owner != 0)
        table_remove(&q->owned, &b->owned);
    set_due(q, g);
}

void group_hold(struct queue *q, struct queue_group *g, int64_t until_ns)
{
    g->held = true;
    g->held_until_ns = until_ns;
    g->batch_went = q->batch_went;
    set_ready(q, g);
    set_due(q, g);
}

static void wake(struct queue *q, struct queue_group *g, int64_t now_ns)
{
    if (g->held) {
        g->held = false;
        g->returned = true;
        set_ready(q, g);
    }
    while (g->aside.count > 0 && aside_at(heap_first(&g->aside))->due_ns <= now_ns) {
        struct queue_band *b = aside_at(heap_first(&g->aside));

        band_leaves_aside(q, b);
        band_stands(q, b);
        note_overtaken(q, b, b->batch_went);
    }
    set_due(q, g);
}

void groups_wake(struct queue *q, int64_t now_ns)
{
    while (groups_due_ns(q) <= now_ns && q->due.count > 0)
        wake(q, due_at(heap_first(&q->due)), now_ns);
}

int64_t groups_due_ns(const struct queue *q)
{
    return q->due.count > 0 ? due_at(heap_first(&q->due))->due_ns : INT64_MAX;
}

/* -- asked again -- */

bool queue_competes(const struct queue_class *a, const struct queue_class *b)
{
    return (a->shared & b->shared) != 0 || (a->owner == b->owner && (a->owned & b->owned) != 0) ||
           queue_same_class(a, b);
}

static void reconsider_aside(struct queue_group *g, const struct queue_class *class)
{
    bool any = false;

    for (size_t i = 0; i < g->aside.count; i++) {
        struct queue_band *b = aside_at(g->aside.nodes[i]);

        if (class == NULL || (b->held == QUEUE_HELD_BY_ANY && queue_competes(class, &b->class))) {
            b->due_ns = INT64_MIN;
            any = true;
        }
    }
    if (any)
        heap_renew(&g->aside);
}

void queue_reconsider(struct queue *q, const struct queue_class *class)
{
    struct queue_group *g;

    LIST_FOREACH (g, &q->groups, entry) {
        if (g->held)
            g->held_until_ns = INT64_MIN;
        if (g->aside.count > 0 && (class == NULL || g->aside_by_any > 0))
            reconsider_aside(g, class);
        if (g->held || g->aside.count > 0)
            set_due(q, g);
    }
    if (class == NULL || class->owner == 0)
        return;
    TABLE_EACH(n, &q->owned, class->owner)
    {
        struct queue_band *b = CONTAINER_OF(n, struct queue_band, owned);

        if (b->held == QUEUE_HELD_BY_OWN) {
            b->due_ns = INT64_MIN;
            heap_put(&b->group->aside, &b->place);
            set_due(q, b->group);
        }
    }
}
