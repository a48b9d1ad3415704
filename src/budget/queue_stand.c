/*
 * Who waits in one band: a tree of stands, one for each party that has an
 * entry there, in the shape of the parties themselves.  Each stand keeps those below
 * it in a heap by rank.
 *
 * A party has one rank in all the bands that it waits in, and a turn in one of them makes it
 * higher everywhere.  The other bands' heaps are not told: what they remember is too low
 * then, so that the stand comes to their top early, where it is looked at once more.
 */
#include "budget/queue_parts.h"

#include "base/arena.h"
#include "budget/queue_tree.h"

#include <stdlib.h>

enum { IDLE_MOST = 64 };

/* -- heaps -- */

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return rank_before(stand_at(a)->rank, stand_at(b)->rank);
}

static void hang(struct stand *s, struct stand *above)
{
    s->above = above;
    s->rank = s->party->rank;
    heap_put(&above->below, &s->place);
}

static void unhang(struct stand *s)
{
    heap_remove(&s->above->below, &s->place);
}

void stand_moved(struct stand *s)
{
    s->rank = s->party->rank;
    if (s->above != NULL)
        heap_put(&s->above->below, &s->place);
}

/* -- life -- */

static uint64_t hash_of(const struct queue_band *band, const struct party *party)
{
    return queue_hash((uint64_t)(uintptr_t)band, (uint64_t)(uintptr_t)party);
}

struct stand *stand_find(const struct stands *t, const struct queue_band *band, const struct party *party)
{
    uint64_t hash = hash_of(band, party);

    TABLE_EACH(n, &t->table, hash)
    {
        struct stand *s = CONTAINER_OF(n, struct stand, link);

        if (s->band == band && s->party == party)
            return s;
    }
    return NULL;
}

static struct stand *stand_new(struct stands *t, struct queue_band *band, struct party *party)
{
    struct stand *s = t->idle;

    if (s != NULL) {
        t->idle = s->above;
        t->idle_count--;
        *s = (struct stand){ .below = s->below };
    } else {
        s = mem_alloc(sizeof *s);
        s->below.before = is_before;
    }
    s->band = band;
    s->party = party;
    table_add(&t->table, &s->link, hash_of(band, party));
    s->next_of_party = party->stands;
    if (party->stands != NULL)
        party->stands->previous_of_party = s;
    party->stands = s;
    return s;
}

static void stand_free(struct stands *t, struct stand *s)
{
    if (s->above != NULL)
        unhang(s);
    table_remove(&t->table, &s->link);
    *(s->previous_of_party != NULL ? &s->previous_of_party->next_of_party : &s->party->stands) = s->next_of_party;
    if (s->next_of_party != NULL)
        s->next_of_party->previous_of_party = s->previous_of_party;
    if (t->idle_count < IDLE_MOST && s->below.capacity <= IDLE_MOST) {
        s->above = t->idle;
        t->idle = s;
        t->idle_count++;
        return;
    }
    heap_free(&s->below);
    free(s);
}

void stands_free(struct stands *t)
{
    struct table_walk  w = { 0 };
    struct table_node *n;

    while ((n = table_next(&t->table, &w)) != NULL) {
        struct stand *s = CONTAINER_OF(n, struct stand, link);

        heap_free(&s->below);
        free(s);
    }
    while (t->idle != NULL) {
        struct stand *s = t->idle;

        t->idle = s->above;
        heap_free(&s->below);
        free(s);
    }
    table_free(&t->table);
}

struct stand *stand_enter(struct stands *t, struct queue_band *band, struct party *leaf)
{
    struct stand *s = stand_find(t, band, leaf);

    if (s != NULL)
        return s;
    s = stand_new(t, band, leaf);
    if (leaf->parent == NULL)
        band->top = s;
    else
        hang(s, stand_enter(t, band, party_above(leaf)));
    return s;
}

void stand_put(struct stand *leaf, struct queue_entry *e)
{
    e->stand = leaf;
    queue_tree_insert(&leaf->root, e);
    for (struct stand *s = leaf; s != NULL; s = s->above)
        s->entries++;
}

static void shrink(struct stands *t, struct stand *s)
{
    while (s != NULL) {
        struct stand *above = s->above;

        if (--s->entries == 0) {
            if (above == NULL)
                s->band->top = NULL;
            stand_free(t, s);
        }
        s = above;
    }
}

void stand_take(struct stands *t, struct queue_entry *e)
{
    queue_tree_remove(&e->stand->root, e);
    shrink(t, e->stand);
    e->stand = NULL;
}

void stand_known(struct stands *t, struct stand *s)
{
    struct stand *pool = s->above, *above = pool->above;

    unhang(s);
    hang(s, above);
    pool->entries -= s->entries;
    if (pool->entries == 0)
        stand_free(t, pool);
}

/* -- who is first -- */

static struct stand *first_below(struct stand *s)
{
    struct stand *first = stand_below(s, 0);

    while (rank_before(first->rank, first->party->rank)) {
        first->rank = first->party->rank;
        heap_put(&s->below, &first->place);
        first = stand_below(s, 0);
    }
    return first;
}

struct queue_entry *stand_first(struct stand *top, struct queue_key *key)
{
    struct stand       *s = top;
    struct queue_entry *e;

    key->count = 0;
    if (top == NULL)
        return NULL;
    while (s->below.count > 0) {
        s = first_below(s);
        key->step[key->count++] = (struct queue_step){ s->party, s->rank };
    }
    e = queue_tree_first(s->root);
    key->arrived_ns = e->arrived_ns;
    key->sequence = e->sequence;
    return e;
}

/* Stamps are given out once, so ranks are equal only where the party is the same: what is below it decides. */
bool queue_key_before(const struct queue_key *a, const struct queue_key *b, unsigned same)
{
    unsigned count = a->count < b->count ? a->count : b->count;

    for (unsigned i = same; i < count; i++)
        if (a->step[i].rank.tag != b->step[i].rank.tag || a->step[i].rank.stamp != b->step[i].rank.stamp)
            return rank_before(a->step[i].rank, b->step[i].rank);
    if (a->count != b->count) /* one goes again: before those that wait for their turn */
        return a->count < b->count;
    return a->arrived_ns != b->arrived_ns ? a->arrived_ns < b->arrived_ns : a->sequence < b->sequence;
}
