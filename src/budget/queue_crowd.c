/*
 * Who gives way where there is no room for one more to wait: what stands for the most, level by level.
 *
 * Else a crowd would fill the queue, and those whose turns are theirs could not get in to have
 * them.  Who asks gets in at the cost of a sibling (the newcomers together are one) that
 * waits for at least two more than it does, so that nobody has less in the end than
 * the one for whom it made room, and two of the same size do not drive each other out.
 */
#include "budget/queue_parts.h"

#include "budget/queue_tree.h"

static const struct party *fattest(const struct party *of)
{
    const struct party *most = of->pool != NULL && of->pool->waiting > 0 ? of->pool : NULL;

    for (const struct party *p = of->first_child; p != NULL; p = p->next_child)
        if (p->waiting > (most != NULL ? most->waiting : 0))
            most = p;
    return most;
}

static const struct party *newest(const struct party *pool)
{
    const struct party *last = NULL;

    for (const struct stand *s = pool->stands; s != NULL; s = s->next_of_party)
        for (size_t i = 0; i < s->below.count; i++)
            if (last == NULL || rank_before(last->rank, stand_below(s, i)->party->rank))
                last = stand_below(s, i)->party;
    return last;
}

static struct queue_entry *last_of(const struct party *connection)
{
    struct queue_entry *last = NULL;

    for (const struct stand *s = connection->stands; s != NULL; s = s->next_of_party) {
        struct queue_entry *e = queue_tree_last(s->root);

        if (last == NULL || e->arrived_ns >= last->arrived_ns)
            last = e;
    }
    return last;
}

/* The newest of the largest part of what waits under `p`. */
static struct queue_entry *from(const struct party *p)
{
    while (p != NULL && p->level < QUEUE_CONNECTION)
        p = p->is_pool ? newest(p) : fattest(p);
    if (p != NULL && p->is_pool)
        p = newest(p);
    return p != NULL ? last_of(p) : NULL;
}

struct queue_entry *queue_crowding(const struct queue *q, enum queue_priority priority, const struct queue_who *who)
{
    const struct party *p = q->roots[priority], *most, *own;

    if (priority != QUEUE_IDLE && fattest(q->roots[QUEUE_IDLE]) != NULL)
        return from(q->roots[QUEUE_IDLE]);
    if (priority == QUEUE_INTERACTIVE && fattest(q->roots[QUEUE_BATCH]) != NULL)
        return from(q->roots[QUEUE_BATCH]);
    for (int i = 0; i < QUEUE_LEVELS; i++, p = own) {
        own = party_find(&q->parties, p, who->id[i]);
        if (own == NULL || own->is_new)
            own = p->pool;
        most = fattest(p);
        if (most == NULL || (most == own && own->is_pool))
            return NULL;
        if (most != own)
            return most->waiting >= 2 + (own != NULL ? own->waiting : 0) ? from(most) : NULL;
    }
    return NULL;
}
