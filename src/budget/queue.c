/*
 * Bands, what comes and goes, and whose turn it is.
 *
 * A band's place among those that may be asked is where its first entry stands among all
 * parties (queue_stand.c), so that the turns are the users' and not the bands'.
 */
#include "budget/queue_parts.h"

#include "budget/queue_tree.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/check.h"

#include <stdlib.h>
#include <xxhash.h>

/* -- bands -- */

static uint64_t class_hash(const struct queue_class *c, enum queue_priority priority)
{
    uint64_t parts[] = { (uint64_t)c->shared << 32 | c->owned, c->costs, c->owner, (uint64_t)priority };

    return XXH3_64bits(parts, sizeof parts);
}

struct queue_band *queue_band_find(const struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    const uint64_t hash = class_hash(c, priority);

    TABLE_EACH(n, &q->bands, hash)
    {
        struct queue_band *b = CONTAINER_OF(n, struct queue_band, link);

        if (b->priority == priority && queue_same_class(&b->class, c))
            return b;
    }
    return NULL;
}

unsigned queue_band_size(const struct queue_band *b)
{
    return queue_tree_size(b->again) + (b->top != NULL ? b->top->entries : 0);
}

/* It stands nowhere yet. */
static struct queue_band *add_band(struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    struct queue_band *b = mem_alloc(sizeof *b);

    b->class = *c;
    b->priority = priority;
    b->group = group_enter(q, b);
    table_add(&q->bands, &b->link, class_hash(c, priority));
    b->after = q->first;
    if (q->first != NULL)
        q->first->before = b;
    q->first = b;
    return b;
}

static void free_band(struct queue *q, struct queue_band *b)
{
    if (b->aside)
        band_leaves_aside(q, b);
    band_stands_nowhere(q, b);
    group_left(q, b->group);
    table_remove(&q->bands, &b->link);
    *(b->before != NULL ? &b->before->after : &q->first) = b->after;
    if (b->after != NULL)
        b->after->before = b->before;
    free(b);
}

/* -- life -- */

struct queue *queue_new(void)
{
    struct queue *q = mem_alloc(sizeof *q);

    q->random = UINT64_C(0x9e3779b97f4a7c15);
    for (int i = 0; i < QUEUE_PRIORITIES; i++)
        q->roots[i] = party_root();
    groups_begin(q);
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    while (q->first != NULL)
        free_band(q, q->first);
    groups_free(q);
    stands_free(&q->stands);
    parties_free(&q->parties);
    for (int i = 0; i < QUEUE_PRIORITIES; i++) {
        free(q->roots[i]->pool);
        free(q->roots[i]);
    }
    table_free(&q->bands);
    free(q);
}

unsigned queue_length(const struct queue *q)
{
    return q->waiting[QUEUE_INTERACTIVE] + q->waiting[QUEUE_BATCH];
}

struct queue_effort queue_effort(const struct queue *q)
{
    return q->effort;
}

unsigned queue_length_of(const struct queue *q, enum queue_priority priority)
{
    return q->waiting[priority];
}

/* -- in and out -- */

static struct party *connection_of(const struct queue *q, const struct queue_entry *e)
{
    struct party *p = q->roots[e->priority];

    for (int i = 0; i < QUEUE_LEVELS && p != NULL; i++)
        p = party_find(&q->parties, p, e->who.id[i]);
    return p;
}

static void stand_in_line(struct queue *q, struct queue_band *b, struct queue_entry *e, bool back)
{
    struct party *p = q->roots[e->priority];

    for (int i = 0; i < QUEUE_LEVELS; i++)
        p = party_enter(&q->parties, p, e->who.id[i]);
    party_came(&q->parties, p, e->arrived_ns, back);
    stand_put(stand_enter(&q->stands, b, p), e);
}

static void insert(struct queue *q, struct queue_entry *e, bool back)
{
    struct queue_band *b = queue_band_find(q, &e->class, e->priority);

    CHECK(e->band == NULL);
    if (b == NULL)
        b = add_band(q, &e->class, e->priority);
    e->band = b;
    e->sequence = back ? e->sequence : ++q->sequence;
    q->random = q->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    e->rank = (uint32_t)(q->random >> 32);
    if (e->again)
        queue_tree_insert(&b->again, e);
    else
        stand_in_line(q, b, e, back);
    q->waiting[e->priority]++;
    if (!b->aside)
        band_stands(q, b);
}

void queue_put(struct queue *q, struct queue_entry *e)
{
    e->again = false;
    insert(q, e, false);
}

void queue_put_again(struct queue *q, struct queue_entry *e)
{
    e->again = true;
    insert(q, e, false);
}

void queue_put_back(struct queue *q, struct queue_entry *e)
{
    insert(q, e, true);
}

void queue_remove(struct queue *q, struct queue_entry *e)
{
    struct queue_band *b = e->band;

    if (b == NULL)
        return;
    e->band = NULL;
    q->waiting[b->priority]--;
    if (e->again) {
        queue_tree_remove(&b->again, e);
    } else {
        struct party *p = e->stand->party;

        stand_take(&q->stands, e);
        party_left(&q->parties, p);
    }
    if (queue_band_size(b) == 0)
        free_band(q, b);
    else if (!b->aside)
        band_stands(q, b);
}

/* They are newcomers no more: what they wait in stands elsewhere from now on. */
static void move_known(struct queue *q, struct party *const known[], unsigned count, const struct queue_band *but)
{
    for (unsigned i = 0; i < count; i++)
        for (struct stand *s = known[i]->stands; s != NULL; s = s->next_of_party)
            band_stands_nowhere(q, s->band);
    for (unsigned i = 0; i < count; i++)
        for (struct stand *s = known[i]->stands, *next; s != NULL; s = next) {
            next = s->next_of_party;
            stand_known(&q->stands, s);
        }
    for (unsigned i = 0; i < count; i++)
        for (struct stand *s = known[i]->stands; s != NULL; s = s->next_of_party)
            if (s->band != but && !s->band->aside)
                band_stands(q, s->band);
}

/* Its party goes to the end of the line, in every band. */
static void take_turn(struct queue *q, struct queue_band *b, struct queue_entry *e, int64_t now_ns)
{
    struct party *known[QUEUE_LEVELS];
    unsigned      count;

    if (e->again) {
        struct party *p = connection_of(q, e);

        if (p != NULL)
            party_pays(&q->parties, p);
        return;
    }
    q->went[b->priority] = b->standing.key;
    count = party_went(&q->parties, e->stand->party, now_ns, known);
    move_known(q, known, count, b);
    for (struct stand *s = e->stand; s->above != NULL; s = s->above)
        stand_moved(s);
}

static void go(struct queue *q, struct queue_entry *e, int64_t now_ns)
{
    struct queue_band *b = e->band;

    b->overtaken = false;
    if (b->priority == QUEUE_BATCH) {
        q->batch_went++;
        q->since_batch = 0;
    } else if (q->waiting[QUEUE_BATCH] > 0) {
        q->since_batch++;
    } else {
        q->since_batch = 0;
    }
    take_turn(q, b, e, now_ns);
    queue_remove(q, e);
}

/* The first of this priority that may go. */
static struct queue_entry *ask_ready(struct queue *q, enum queue_priority priority, int64_t now_ns, queue_may_go may_go,
                                     void *context)
{
    struct queue_band *b;

    while ((b = groups_first(q, priority)) != NULL) {
        struct queue_entry *e = band_look(q, b);
        int64_t             wait_ns, due_ns;

        e->held = QUEUE_HELD_BY_ANY;
        q->effort.asks++;
        wait_ns = may_go(context, e, b->overtaken && priority != QUEUE_IDLE);
        if (wait_ns <= 0)
            return e;
        due_ns = time_add(now_ns, wait_ns);
        if (!queue_same_class(&e->class, &b->class)) {
            queue_remove(q, e);
            queue_put_back(q, e);
        } else if (e->held == QUEUE_HELD_BY_SHARED) {
            group_hold(q, b->group, due_ns);
        } else {
            band_set_aside(q, b, e->held, due_ns);
        }
    }
    return NULL;
}

struct queue_entry *queue_take(struct queue *q, int64_t now_mono_ns, queue_may_go may_go, void *context,
                               int64_t *wake_ns)
{
    enum queue_priority first = QUEUE_INTERACTIVE;
    struct queue_entry *e;

    groups_wake(q, now_mono_ns);
    if (q->since_batch >= QUEUE_BATCH_EVERY - 1)
        first = QUEUE_BATCH;
    e = ask_ready(q, first, now_mono_ns, may_go, context);
    if (e == NULL)
        e = ask_ready(q, first == QUEUE_BATCH ? QUEUE_INTERACTIVE : QUEUE_BATCH, now_mono_ns, may_go, context);
    if (e == NULL && queue_length(q) == 0)
        e = ask_ready(q, QUEUE_IDLE, now_mono_ns, may_go, context);
    if (e != NULL) {
        go(q, e, now_mono_ns);
        return e;
    }
    if (wake_ns != NULL) {
        int64_t due_ns = groups_due_ns(q);

        *wake_ns = due_ns < INT64_MAX ? due_ns - now_mono_ns : INT64_MAX;
    }
    return NULL;
}
