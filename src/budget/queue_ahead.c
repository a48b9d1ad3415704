/*
 * How many go before one that waits, or would.
 *
 * Level by level from its connection up: if `own` of a party go before it,
 * a sibling that is next before that party has own + 1 turns until then, any other `own`,
 * and none has more turns than entries.  Of the newcomers, the j-th has its first turn in round j and
 * is a sibling from then on.
 */
#include "budget/queue_parts.h"

#include "budget/queue_tree.h"

#include <stdlib.h>

enum { OTHER_BANDS_MOST = 256, OTHER_STANDS_MOST = 4096, SORTED_MOST = 256 };

struct target { /* on one level */
    struct party       *parent;
    const struct party *party; /* NULL: never heard of */
    bool                is_new;
    struct rank         rank;  /* its own or, of a newcomer, the pool's */
    uint64_t            place; /* newcomers before it */
    uint64_t            own;   /* under it, before it */
    uint64_t            rate;  /* newcomers a round */
};

struct asked {
    const struct queue *queue;
    struct queue_band  *band; /* NULL: nobody waits in it */
    const struct queue_class *class;
    enum queue_priority priority;
    struct party       *path[QUEUE_LEVELS]; /* NULL: from there on it is new */
    uint64_t            own;                /* of its connection, before it */
    uint64_t            again;              /* before it */
    queue_may_pass      may_pass;           /* it is asked for a place; NULL: for the budget */
    void               *context;
    unsigned            classes; /* other ones, looked at */
    struct queue_ahead  ahead;   /* what was found: all but `all` */
};

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* -- newcomers -- */

struct newcomer {
    struct rank rank;
    uint64_t    entries;
};

static int compare(const void *a, const void *b)
{
    const struct newcomer *x = a, *y = b;

    return rank_before(x->rank, y->rank) ? -1 : rank_before(y->rank, x->rank);
}

static uint64_t before_in_pool(const struct stand *pool, const struct party *party)
{
    uint64_t before = 0;

    if (pool == NULL)
        return 0;
    if (party == NULL)
        return pool->below.count;
    for (size_t i = 0; i < pool->below.count; i++)
        before += rank_before(stand_below(pool, i)->party->rank, party->rank);
    return before;
}

/* Turns of the newcomer at `at` before the target: it has its first in a round of the pool. */
static uint64_t turns_of_newcomer(const struct target *t, uint64_t rounds, uint64_t at)
{
    uint64_t first = at / t->rate;

    if (!t->is_new)
        return rounds > first ? rounds - first : 0;
    if (at < t->place)
        return t->place / t->rate - first + t->own > 0 ? t->place / t->rate - first + t->own : 1;
    first = (at - t->place + t->rate) / t->rate; /* the target stands there itself */
    return t->own + 1 > first ? t->own + 1 - first : 0;
}

/* `rounds`: turns of the pool before a target that is no newcomer. */
static uint64_t newcomers_ahead(const struct stand *pool, const struct target *t, uint64_t rounds)
{
    struct newcomer sorted[SORTED_MOST];
    uint64_t        ahead = 0, entries = 0;
    unsigned        count = 0, others = 0;

    for (size_t i = 0; i < pool->below.count; i++) {
        const struct stand *s = stand_below(pool, i);

        if (s->party == t->party)
            continue;
        others++;
        entries += s->entries;
        if (count < SORTED_MOST)
            sorted[count++] = (struct newcomer){ s->party->rank, s->entries };
    }
    if (others == entries || count < others) /* one each, or about that */
        return least(entries, t->is_new ? t->place + t->own * t->rate : rounds * t->rate);
    qsort(sorted, count, sizeof sorted[0], compare);
    for (unsigned i = 0; i < count; i++)
        ahead += least(sorted[i].entries, turns_of_newcomer(t, rounds, i));
    return ahead;
}

/* -- one level -- */

static struct target target_at(const struct asked *a, int level, uint64_t own)
{
    struct target t = { .parent = level > 0 ? a->path[level - 1] : a->queue->roots[a->priority],
                        .party = a->path[level],
                        .own = own };

    if (t.parent == NULL)
        return t;
    t.is_new = t.party == NULL || t.party->is_new;
    t.rank = party_rank(t.is_new ? t.parent->pool : t.party, t.parent);
    t.rate = party_pool_turns(t.parent);
    return t;
}

static uint64_t turns_of(const struct target *t, const struct party *sibling)
{
    uint64_t rounds = t->own + (t->is_new ? t->place / t->rate : 0);

    return rounds + rank_before(sibling->rank, t->rank);
}

static const struct stand *pool_of(const struct stand *above)
{
    for (size_t i = 0; above != NULL && i < above->below.count; i++)
        if (stand_below(above, i)->party->is_pool)
            return stand_below(above, i);
    return NULL;
}

/* In the target's own band. */
static uint64_t siblings_ahead(const struct stand *above, struct target *t, uint64_t mark)
{
    const struct stand *pool = pool_of(above);
    uint64_t            ahead = 0;

    t->place += t->is_new ? before_in_pool(pool, t->party) : 0;
    for (size_t i = 0; above != NULL && i < above->below.count; i++) {
        const struct stand *s = stand_below(above, i);
        struct party       *p = s->party;
        uint64_t            turns;

        if (p == t->party)
            continue;
        turns = p->is_pool ? newcomers_ahead(s, t, turns_of(t, p)) : least(s->entries, turns_of(t, p));
        p->mark = mark;
        p->counted = turns;
        ahead += turns;
    }
    return ahead;
}

/* -- other bands that spend from the same limits -- */

static bool is_other(const struct asked *a, const struct queue_band *b, enum queue_priority priority)
{
    if (b == a->band || b->priority != priority)
        return false;
    return a->may_pass != NULL ? b->class.place == a->class->place : queue_competes(a->class, &b->class);
}

/* Any one of a band: they are all of one class. */
static const struct queue_entry *one_of(const struct queue_band *b)
{
    const struct stand *s = b->top;

    while (s != NULL && s->below.count > 0)
        s = stand_below(s, 0);
    return s != NULL ? s->root : b->again;
}

static uint64_t in_units(struct asked *a, const struct queue_band *b, uint64_t entries)
{
    uint64_t cost = a->class->cost > 0 ? a->class->cost : 1;

    if (a->may_pass != NULL)
        return entries > 0 && a->classes++ < QUEUE_CLASSES_MOST ? a->may_pass(a->context, one_of(b), entries) : 0;
    return (entries * (b->class.cost > 0 ? b->class.cost : 1) + cost - 1) / cost;
}

static bool holds(const struct queue_ahead *ahead)
{
    for (int i = 0; i < QUEUE_LIMITS; i++)
        if (ahead->held[i] > 0)
            return true;
    return false;
}

/* Where the other band spends from what this one spends from. */
static void note_limits(struct queue_ahead *to, const struct queue_class *own, const struct queue_class *other,
                        uint64_t units)
{
    bool           is_same_owner = own->owner != 0 && own->owner == other->owner;
    const uint32_t shared = own->shared & other->shared, owned = is_same_owner ? own->owned & other->owned : 0;

    for (uint32_t bits = shared; bits != 0; bits &= bits - 1)
        to->shared[__builtin_ctz(bits)] += units;
    for (uint32_t bits = owned; bits != 0; bits &= bits - 1)
        to->owned[__builtin_ctz(bits)] += units;
    for (uint32_t bits = own->part == other->part ? shared | owned : 0; bits != 0; bits &= bits - 1)
        to->part[__builtin_ctz(bits)] += units;
    if (own->part == 0 && other->part != 0 && units > 0) {
        to->held_part = holds(to) && to->held_part != other->part ? 0 : other->part;
        for (uint32_t bits = shared | owned; bits != 0; bits &= bits - 1)
            to->held[__builtin_ctz(bits)] += units;
    }
    to->owner += is_same_owner ? units : 0;
    to->all += units;
}

static void add(struct queue_ahead *to, const struct queue_ahead *more)
{
    if (holds(more))
        to->held_part = holds(to) && to->held_part != more->held_part ? 0 : more->held_part;
    to->all += more->all;
    to->owner += more->owner;
    for (int i = 0; i < QUEUE_LIMITS; i++) {
        to->shared[i] += more->shared[i];
        to->owned[i] += more->owned[i];
        to->part[i] += more->part[i];
        to->held[i] += more->held[i];
    }
}

/* Of more bands than are looked at, those that are stand for all. */
static uint64_t for_all(const struct asked *a, uint64_t found)
{
    uint64_t bands = a->queue->bands.count;

    return bands > OTHER_BANDS_MOST ? found * bands / OTHER_BANDS_MOST : found;
}

/* Those of one credential are few: what was found of them is no sample of more. */
static void scale_up(const struct asked *a, struct queue_ahead *found)
{
    if (a->queue->bands.count <= OTHER_BANDS_MOST)
        return;
    found->all = for_all(a, found->all);
    for (int i = 0; i < QUEUE_LIMITS; i++) {
        found->shared[i] = for_all(a, found->shared[i]);
        found->part[i] = for_all(a, found->part[i]);
        found->held[i] = for_all(a, found->held[i]);
    }
}

static uint64_t newcomers_elsewhere(const struct asked *a, const struct target *t)
{
    uint64_t before = 0;
    unsigned looked_at = 0;

    for (const struct queue_band *b = a->queue->first; b != NULL && looked_at++ < OTHER_BANDS_MOST; b = b->after)
        if (is_other(a, b, a->priority))
            before += before_in_pool(pool_of(b->top), t->party);
    return for_all(a, before);
}

/* Of a party's entries there, those that go before the target; what it was counted for elsewhere is off its turns. */
static uint64_t entries_ahead(const struct target *t, const struct stand *s, uint64_t mark)
{
    struct party *p = s->party;
    uint64_t      most, entries;

    if (p == t->party)
        return least(s->entries, t->own + 1);
    if (!p->is_pool)
        most = turns_of(t, p);
    else
        most = t->is_new ? before_in_pool(s, t->party) + t->own * t->rate : turns_of(t, p) * t->rate;
    if (p->mark != mark) {
        p->mark = mark;
        p->counted = 0;
    }
    if (!p->is_pool || !t->is_new)
        most = most > p->counted ? most - p->counted : 0;
    entries = least(s->entries, most);
    p->counted += entries;
    return entries;
}

static uint64_t others_ahead(struct asked *a, const struct target *t, uint64_t mark)
{
    struct queue_ahead found = { 0 };
    unsigned           bands = 0, stands = 0;

    for (const struct queue_band *b = a->queue->first; b != NULL && bands++ < OTHER_BANDS_MOST; b = b->after) {
        uint64_t entries = queue_tree_size(b->again);

        if (!is_other(a, b, a->priority))
            continue;
        for (size_t i = 0; b->top != NULL && i < b->top->below.count && stands++ < OTHER_STANDS_MOST; i++)
            entries += entries_ahead(t, stand_below(b->top, i), mark);
        note_limits(&found, a->class, &b->class, in_units(a, b, entries));
    }
    scale_up(a, &found);
    add(&a->ahead, &found);
    return found.all;
}

/* All of another priority. */
static struct queue_ahead of_priority(struct asked *a, enum queue_priority priority)
{
    struct queue_ahead rest = { 0 };
    unsigned           bands = 0;

    for (const struct queue_band *b = a->queue->first; b != NULL && bands++ < OTHER_BANDS_MOST; b = b->after)
        if (is_other(a, b, priority))
            note_limits(&rest, a->class, &b->class, in_units(a, b, queue_band_size(b)));
    scale_up(a, &rest);
    return rest;
}

/* So many of the rest at most. */
static void add_rest(struct queue_ahead *to, const struct queue_ahead *rest, uint64_t most)
{
    struct queue_ahead part = { .all = least(rest->all, most),
                                .owner = least(rest->owner, most),
                                .held_part = rest->held_part };

    for (int i = 0; i < QUEUE_LIMITS; i++) {
        part.shared[i] = least(rest->shared[i], most);
        part.owned[i] = least(rest->owned[i], most);
        part.part[i] = least(rest->part[i], most);
        part.held[i] = least(rest->held[i], most);
    }
    add(to, &part);
}

/* -- all of it -- */

static void predict(struct asked *a)
{
    const struct queue *q = a->queue;
    uint64_t            ahead = a->own, alike, mark = ++q->roots[a->priority]->mark;
    bool                alone = q->bands.count <= (a->band != NULL ? 1 : 0);
    struct queue_ahead  rest;

    for (int level = QUEUE_LEVELS - 1; level >= 0; level--) {
        struct target       t = target_at(a, level, ahead);
        const struct stand *above = t.parent != NULL && a->band != NULL ? stand_find(&q->stands, a->band, t.parent)
                                                                        : NULL;

        if (t.parent == NULL)
            continue;
        if (level == 0 && t.is_new && !alone)
            t.place = newcomers_elsewhere(a, &t);
        alike = siblings_ahead(above, &t, mark);
        a->ahead.alike += alike;
        ahead += alike;
        if (level == 0 && !alone)
            ahead += others_ahead(a, &t, mark);
    }
    ahead += a->again;
    a->ahead.alike += a->own + a->again;
    a->ahead.all = ahead;
    if (alone)
        return;
    rest = of_priority(a, a->priority == QUEUE_INTERACTIVE ? QUEUE_BATCH : QUEUE_INTERACTIVE);
    if (a->priority == QUEUE_IDLE) { /* all others */
        add_rest(&a->ahead, &rest, UINT64_MAX);
        rest = of_priority(a, QUEUE_BATCH);
        add_rest(&a->ahead, &rest, UINT64_MAX);
    } else if (a->priority == QUEUE_BATCH) /* before each batch one so many interactive ones */
        add_rest(&a->ahead, &rest,
                 (ahead + 1) * (QUEUE_BATCH_EVERY - 1) - least(q->since_batch, QUEUE_BATCH_EVERY - 1));
    else
        add_rest(&a->ahead, &rest, (ahead + q->since_batch) / (QUEUE_BATCH_EVERY - 1));
}

static void find_path(struct asked *a, const struct queue_who *who)
{
    struct party *p = a->queue->roots[a->priority];

    for (int i = 0; i < QUEUE_LEVELS && p != NULL; i++)
        a->path[i] = p = party_find(&a->queue->parties, p, who->id[i]);
}

static void find_newcomer(struct asked *a, const struct queue_who *who)
{
    const struct queue *q = a->queue;
    const struct stand *s;

    if (queue_length(q) + q->waiting[a->priority] == 0)
        return;
    find_path(a, who);
    if (a->band != NULL) {
        a->again = queue_tree_size(a->band->again);
        s = a->path[QUEUE_CONNECTION] != NULL ? stand_find(&q->stands, a->band, a->path[QUEUE_CONNECTION]) : NULL;
        a->own = s != NULL ? s->entries : 0;
    }
    predict(a);
}

static void find_waiting(struct asked *a, const struct queue_entry *e)
{
    if (e->band == NULL)
        return;
    if (e->again) {
        a->ahead.all = a->ahead.alike = queue_tree_before(e);
        return;
    }
    find_path(a, &e->who);
    a->own = queue_tree_before(e);
    a->again = queue_tree_size(e->band->again);
    predict(a);
}

struct queue_ahead queue_ahead(const struct queue *q, const struct queue_class *c, enum queue_priority priority,
                               const struct queue_who *who)
{
    struct asked a = { .queue = q, .band = queue_band_find(q, c, priority), .class = c, .priority = priority };

    find_newcomer(&a, who);
    return a.ahead;
}

struct queue_ahead queue_ahead_of(const struct queue *q, const struct queue_entry *e)
{
    struct asked a = { .queue = q, .band = e->band, .class = &e->class, .priority = e->priority };

    find_waiting(&a, e);
    return a.ahead;
}

struct queue_ahead queue_ahead_part(const struct queue_ahead *ahead, uint64_t part)
{
    double             share = ahead->all > 0 ? (double)part / (double)ahead->all : 0;
    struct queue_ahead out = { .all = part,
                               .alike = (uint64_t)((double)ahead->alike * share),
                               .owner = (uint64_t)((double)ahead->owner * share),
                               .held_part = ahead->held_part };

    for (int i = 0; i < QUEUE_LIMITS; i++) {
        out.shared[i] = (uint64_t)((double)ahead->shared[i] * share);
        out.owned[i] = (uint64_t)((double)ahead->owned[i] * share);
        out.part[i] = (uint64_t)((double)ahead->part[i] * share);
        out.held[i] = (uint64_t)((double)ahead->held[i] * share);
    }
    return out;
}

uint64_t queue_ahead_in_place(const struct queue *q, const struct queue_entry *e, const struct queue_class *c,
                              enum queue_priority priority, const struct queue_who *who, queue_may_pass may_pass,
                              void *context)
{
    struct asked a = { .queue = q, .class = c, .priority = priority, .may_pass = may_pass, .context = context };

    a.band = e != NULL ? e->band : queue_band_find(q, c, priority);
    if (e != NULL)
        find_waiting(&a, e);
    else
        find_newcomer(&a, who);
    return a.ahead.all;
}

bool queue_is_mixed(const struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    return q->bands.count > (queue_band_find(q, c, priority) != NULL);
}
