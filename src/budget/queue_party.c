/*
 * Turns over time that has gone by: start-time fair queueing in layers.
 *
 * Each party has a tag among its siblings: the round in which it is next.  Who
 * had a turn in round r is next in r + 1; who comes back goes in the present round, after those
 * that wait in it, and does not catch up on rounds that it was not there for.  The
 * tag outlives the connection, so that nobody is new because he has hung up.
 *
 * Whoever is not known stands with all the other newcomers in one pool, which
 * takes turns like one sibling more: however many come, those that wait lose one place a round to
 * them.  After its first turn a party is known, while there is a place: one that had a turn of the
 * pool's only gives way to the next, one that had a turn of its own is remembered for a minute.
 */
#include "budget/queue_parts.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdlib.h>

#define REGULAR_NS (60 * NS_PER_SEC)
enum { USERS_MOST = 128, PROGRAMS_MOST = 64, OTHERS_MOST = 512, LOOKS_MOST = 16 };

/* -- who is remembered -- */

static struct party *user_of(struct party *p)
{
    while (p->level > 0)
        p = p->parent;
    return p;
}

static struct remembered *list_of(struct party *p)
{
    return p->level == 0 ? &p->parent->near : p->level == 1 ? &p->parent->near : &user_of(p)->far;
}

static void list(struct party *p, int64_t now_ns)
{
    struct remembered *r = list_of(p);
    int                which = p->regular;

    p->served_ns = now_ns;
    p->older = r->newest[which];
    p->newer = NULL;
    *(p->older != NULL ? &p->older->newer : &r->oldest[which]) = p;
    r->newest[which] = p;
}

static void unlist(struct party *p)
{
    struct remembered *r = list_of(p);
    int                which = p->regular;

    *(p->older != NULL ? &p->older->newer : &r->oldest[which]) = p->newer;
    *(p->newer != NULL ? &p->newer->older : &r->newest[which]) = p->older;
}

static uint64_t hash_of(const struct party *parent, uint64_t id)
{
    return queue_hash((uint64_t)(uintptr_t)parent, id);
}

/* With all below it; nothing of it waits. */
static void forget(struct parties *t, struct party *p)
{
    while (p->first_child != NULL)
        forget(t, p->first_child);
    free(p->pool);
    if (!p->is_new) {
        unlist(p);
        list_of(p)->count--;
        *(p->previous_child != NULL ? &p->previous_child->next_child : &p->parent->first_child) = p->next_child;
        if (p->next_child != NULL)
            p->next_child->previous_child = p->previous_child;
    }
    table_remove(&t->table, &p->link);
    free(p);
}

/* One that waits for nothing makes room; the first of those that had no turn of their own. */
static bool forget_one(struct parties *t, struct remembered *r, int64_t now_ns)
{
    for (int which = 0; which < 2; which++) {
        struct party *p = r->oldest[which];

        for (unsigned i = 0; p != NULL && i < LOOKS_MOST; p = p->newer, i++) {
            if (p->waiting > 0 || (p->regular && now_ns - p->served_ns < REGULAR_NS))
                continue;
            forget(t, p);
            return true;
        }
    }
    return false;
}

static void forget_old(struct parties *t, struct remembered *r, int64_t now_ns)
{
    for (int which = 0; which < 2; which++) {
        struct party *p = r->oldest[which];

        if (p != NULL && p->waiting == 0 && now_ns - p->served_ns >= REGULAR_NS)
            forget(t, p);
    }
}

static bool has_place(struct parties *t, struct party *p, int64_t now_ns)
{
    static const unsigned most[] = { USERS_MOST, PROGRAMS_MOST, OTHERS_MOST, OTHERS_MOST };
    struct remembered    *r = list_of(p);

    return r->count < most[p->level] || forget_one(t, r, now_ns);
}

static void become_known(struct party *p, int64_t now_ns)
{
    p->parent->pool->waiting -= p->waiting;
    p->parent->known_waiting++;
    p->is_new = false;
    list_of(p)->count++;
    list(p, now_ns);
    p->next_child = p->parent->first_child;
    p->previous_child = NULL;
    if (p->next_child != NULL)
        p->next_child->previous_child = p;
    p->parent->first_child = p;
}

/* -- life -- */

struct party *party_root(void)
{
    struct party *p = mem_alloc(sizeof *p);

    p->level = -1;
    return p;
}

void parties_free(struct parties *t)
{
    struct table_walk  w = { 0 };
    struct table_node *n;

    while ((n = table_next(&t->table, &w)) != NULL) {
        struct party *p = CONTAINER_OF(n, struct party, link);

        free(p->pool);
        free(p);
    }
    table_free(&t->table);
}

struct party *party_find(const struct parties *t, const struct party *parent, uint64_t id)
{
    uint64_t hash = hash_of(parent, id);

    TABLE_EACH(n, &t->table, hash)
    {
        struct party *p = CONTAINER_OF(n, struct party, link);

        if (p->parent == parent && p->id == id)
            return p;
    }
    return NULL;
}

struct party *party_enter(struct parties *t, struct party *parent, uint64_t id)
{
    struct party *p = party_find(t, parent, id);

    if (p != NULL)
        return p;
    p = mem_alloc(sizeof *p);
    p->id = id;
    p->parent = parent;
    p->level = parent->level + 1;
    p->is_new = true;
    table_add(&t->table, &p->link, hash_of(parent, id));
    if (parent->pool == NULL) {
        parent->pool = mem_alloc(sizeof *parent->pool);
        parent->pool->parent = parent;
        parent->pool->level = p->level;
        parent->pool->is_pool = true;
    }
    return p;
}

struct party *party_above(const struct party *p)
{
    return p->is_new ? p->parent->pool : p->parent;
}

/* -- turns -- */

struct rank party_rank(const struct party *p, const struct party *parent)
{
    struct rank r = { parent->present, UINT64_MAX };

    if (p == NULL)
        return r;
    if (p->waiting > 0)
        return p->rank;
    if (p->rank.tag > r.tag)
        r.tag = p->rank.tag;
    return r;
}

static void come(struct parties *t, struct party *p, int64_t arrived_ns, bool back)
{
    if (p->is_new) { /* the pool is first come, first served */
        p->rank = (struct rank){ arrived_ns > 0 ? (uint64_t)arrived_ns : 0, ++t->stamps };
        return;
    }
    if (p->rank.tag < p->parent->present)
        p->rank.tag = p->parent->present;
    if (!back || !p->unserved)
        p->rank.stamp = ++t->stamps;
    p->unserved = false;
    p->parent->known_waiting += !p->is_pool;
}

void party_came(struct parties *t, struct party *leaf, int64_t arrived_ns, bool back)
{
    for (struct party *p = leaf; p->parent != NULL; p = party_above(p))
        if (p->waiting++ == 0)
            come(t, p, arrived_ns, back);
}

void party_left(struct parties *t, struct party *leaf)
{
    for (struct party *p = leaf, *above; p->parent != NULL; p = above) {
        above = party_above(p);
        if (--p->waiting > 0)
            continue;
        p->unserved = true;
        if (p->is_new)
            forget(t, p);
        else
            p->parent->known_waiting -= !p->is_pool;
    }
}

static void go(struct parties *t, struct party *p)
{
    struct party *parent = p->parent;
    bool          again = p->is_pool && ++p->turns < party_pool_turns(parent);

    if (p->rank.tag > parent->present)
        parent->present = p->rank.tag;
    if (!again)
        p->turns = 0;
    p->rank = (struct rank){ parent->present + !again, ++t->stamps };
    p->unserved = false;
}

void party_pays(struct parties *t, struct party *leaf)
{
    for (struct party *p = leaf; p->parent != NULL; p = p->parent)
        if (!p->is_new)
            go(t, p);
}

unsigned party_went(struct parties *t, struct party *leaf, int64_t now_ns, struct party *known[QUEUE_LEVELS])
{
    unsigned count = 0;

    for (struct party *p = leaf; p->parent != NULL; p = p->parent) {
        if (!p->is_new) {
            go(t, p);
            unlist(p);
            p->regular = true;
            list(p, now_ns);
            continue;
        }
        go(t, p->parent->pool);
        if (!has_place(t, p, now_ns)) {
            p->rank = (struct rank){ now_ns > 0 ? (uint64_t)now_ns : 0, ++t->stamps };
            continue;
        }
        p->rank = (struct rank){ p->parent->present + 1, ++t->stamps };
        become_known(p, now_ns);
        known[count++] = p;
    }
    forget_old(t, list_of(leaf), now_ns);
    forget_old(t, &user_of(leaf)->near, now_ns);
    forget_old(t, &user_of(leaf)->parent->near, now_ns);
    return count;
}
