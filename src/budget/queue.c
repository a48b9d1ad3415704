/*
 * Bands, and which of them is asked next.
 *
 * A band's place among those that may be asked is where its first entry stands among all
 * parties (queue_stand.c), so that the turns are the users' and not the bands'.  Those put aside stand
 * in a heap by when to ask again.  What heaps remember of a band is never higher than what
 * holds, so it is enough to look anew at the one that comes to the top.
 */
#include "budget/queue_parts.h"

#include "budget/queue_tree.h"

#include "base/arena.h"
#include "base/check.h"

#include <stdlib.h>
#include <xxhash.h>

/* -- heaps -- */

static struct queue_band *band_at(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct queue_band, place);
}

static bool is_before(const struct heap_node *a, const struct heap_node *b)
{
    return queue_key_before(&band_at(a)->key, &band_at(b)->key);
}

static bool is_due_before(const struct heap_node *a, const struct heap_node *b)
{
    return band_at(a)->due_ns < band_at(b)->due_ns;
}

static struct heap *heap_of(struct queue *q, const struct queue_band *b)
{
    return b->aside ? &q->aside : &q->ready[b->priority];
}

/* -- bands -- */

static uint64_t class_hash(const struct queue_class *c, enum queue_priority priority)
{
    uint64_t parts[] = { (uint64_t)c->shared << 32 | c->owned, c->costs, c->owner, (uint64_t)priority };

    return XXH3_64bits(parts, sizeof parts);
}

static bool same_class(const struct queue_class *a, const struct queue_class *b)
{
    return a->shared == b->shared && a->owned == b->owned && a->costs == b->costs && a->owner == b->owner;
}

bool queue_competes(const struct queue_class *a, const struct queue_class *b)
{
    return (a->shared & b->shared) != 0 || (a->owner == b->owner && (a->owned & b->owned) != 0) || same_class(a, b);
}

struct queue_band *queue_band_find(const struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    const uint64_t hash = class_hash(c, priority);

    TABLE_EACH(n, &q->bands, hash) {
        struct queue_band *b = CONTAINER_OF(n, struct queue_band, link);

        if (b->priority == priority && same_class(&b->class, c))
            return b;
    }
    return NULL;
}

unsigned queue_band_size(const struct queue_band *b)
{
    return queue_tree_size(b->again) + (b->top != NULL ? b->top->entries : 0);
}

/* In no heap yet. */
static struct queue_band *add_band(struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    struct queue_band *b = mem_alloc(sizeof *b);

    b->class = *c;
    b->priority = priority;
    table_add(&q->bands, &b->link, class_hash(c, priority));
    b->after = q->first;
    if (q->first != NULL)
        q->first->before = b;
    q->first = b;
    return b;
}

static void free_band(struct queue *q, struct queue_band *b)
{
    table_remove(&q->bands, &b->link);
    *(b->before != NULL ? &b->before->after : &q->first) = b->after;
    if (b->after != NULL)
        b->after->before = b->before;
    free(b);
}

/* Those that are tried again go first. */
static struct queue_entry *look(struct queue_band *b)
{
    struct queue_entry *e = queue_tree_first(b->again);

    if (e == NULL)
        return stand_first(b->top, &b->key);
    b->key = (struct queue_key){ .arrived_ns = e->arrived_ns, .sequence = e->sequence };
    return e;
}

static void look_anew(struct queue *q, struct queue_band *b)
{
    look(b);
    if (!b->aside)
        heap_put(&q->ready[b->priority], &b->place);
}

static void set_aside(struct queue *q, struct queue_band *b, int64_t due_ns)
{
    heap_remove(heap_of(q, b), &b->place);
    b->aside = true;
    b->due_ns = due_ns;
    b->batch_went = q->batch_went;
    heap_put(&q->aside, &b->place);
}

/* Did the last that went stand after the first of this band? A party's own rank is higher since it went. */
static bool is_overtaken(const struct queue *q, const struct queue_band *b)
{
    const struct queue_key *went = &q->went[b->priority], *key = &b->key;
    unsigned                count = went->count < key->count ? went->count : key->count;

    for (unsigned i = 0; i < count; i++)
        if (went->step[i].party != key->step[i].party)
            return rank_before(key->step[i].rank, went->step[i].rank);
    return key->count == 0 || (went->count > 0 && key->sequence < went->sequence);
}

static void set_ready(struct queue *q, struct queue_band *b)
{
    heap_remove(heap_of(q, b), &b->place);
    look(b);
    b->aside = false;
    if (is_overtaken(q, b) || (b->priority == QUEUE_INTERACTIVE && q->batch_went != b->batch_went))
        b->overtaken = true;
    heap_put(&q->ready[b->priority], &b->place);
}

/* -- life -- */

struct queue *queue_new(void)
{
    struct queue *q = mem_alloc(sizeof *q);

    q->random = UINT64_C(0x9e3779b97f4a7c15);
    q->aside.before = is_due_before;
    for (int i = 0; i < QUEUE_PRIORITIES; i++) {
        q->ready[i].before = is_before;
        q->roots[i] = party_root();
    }
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    while (q->first != NULL)
        free_band(q, q->first);
    stands_free(&q->stands);
    parties_free(&q->parties);
    for (int i = 0; i < QUEUE_PRIORITIES; i++) {
        heap_free(&q->ready[i]);
        free(q->roots[i]->pool);
        free(q->roots[i]);
    }
    heap_free(&q->aside);
    table_free(&q->bands);
    free(q);
}

unsigned queue_length(const struct queue *q)
{
    return q->waiting[QUEUE_INTERACTIVE] + q->waiting[QUEUE_BATCH];
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
    bool               is_new = b == NULL;

    CHECK(e->band == NULL);
    if (is_new)
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
    if (!is_new) {
        look_anew(q, b);
        return;
    }
    look(b);
    heap_put(&q->ready[e->priority], &b->place);
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
    if (queue_band_size(b) > 0) {
        look_anew(q, b);
        return;
    }
    heap_remove(heap_of(q, b), &b->place);
    free_band(q, b);
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
    q->went[b->priority] = b->key;
    count = party_went(&q->parties, e->stand->party, now_ns, known);
    for (unsigned i = 0; i < count; i++)
        for (struct stand *s = known[i]->stands, *next; s != NULL; s = next) {
            next = s->next_of_party;
            stand_known(&q->stands, s);
            if (s->band != b)
                look_anew(q, s->band);
        }
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
static struct queue_entry *ask_ready(struct queue *q, enum queue_priority priority, int64_t now_ns,
                                     queue_may_go may_go, void *context)
{
    struct heap *h = &q->ready[priority];

    while (h->count > 0) {
        struct queue_band  *b = band_at(heap_first(h));
        struct queue_key    before = b->key;
        struct queue_entry *e = look(b);
        int64_t             wait_ns;

        if (queue_key_before(&before, &b->key)) {    /* its party had a turn elsewhere */
            heap_put(h, &b->place);
            continue;
        }
        wait_ns = may_go(context, e, b->overtaken);
        if (wait_ns <= 0)
            return e;
        if (same_class(&e->class, &b->class)) {
            set_aside(q, b, now_ns > INT64_MAX - wait_ns ? INT64_MAX : now_ns + wait_ns);
        } else {
            queue_remove(q, e);
            queue_put_back(q, e);
        }
    }
    return NULL;
}

struct queue_entry *queue_take(struct queue *q, int64_t now_mono_ns, queue_may_go may_go, void *context,
                               int64_t *wake_ns)
{
    enum queue_priority first = QUEUE_INTERACTIVE;
    struct queue_entry *e;

    while (q->aside.count > 0 && band_at(heap_first(&q->aside))->due_ns <= now_mono_ns)
        set_ready(q, band_at(heap_first(&q->aside)));
    if (q->since_batch >= QUEUE_BATCH_EVERY - 1)
        first = QUEUE_BATCH;
    e = ask_ready(q, first, now_mono_ns, may_go, context);
    if (e == NULL)
        e = ask_ready(q, first == QUEUE_BATCH ? QUEUE_INTERACTIVE : QUEUE_BATCH, now_mono_ns, may_go, context);
    if (e != NULL) {
        go(q, e, now_mono_ns);
        return e;
    }
    if (wake_ns != NULL) {
        int64_t due_ns = q->aside.count > 0 ? band_at(heap_first(&q->aside))->due_ns : INT64_MAX;

        *wake_ns = due_ns < INT64_MAX ? due_ns - now_mono_ns : INT64_MAX;
    }
    return NULL;
}

void queue_reconsider(struct queue *q, const struct queue_class *class)
{
    bool any = false;

    for (size_t i = 0; i < q->aside.count; i++) {
        struct queue_band *b = band_at(q->aside.nodes[i]);

        if (class == NULL || queue_competes(class, &b->class)) {
            b->due_ns = INT64_MIN;
            any = true;
        }
    }
    if (any)
        heap_renew(&q->aside);
}
