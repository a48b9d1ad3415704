/*
 * Bands, and whose turn it is.
 *
 * Fair queueing in two layers.  Within a band the turns are whole numbers: a client's
 * entries get one turn each, from the band's present turn on.  Between bands
 * there is virtual time: each band has a clock that advances by 1/clients for every
 * entry that goes, and the band that lags goes first; one that was empty or
 * put aside starts at the present time and does not catch up.  Bands that may be
 * asked stand in a heap by that clock, those put aside in one by when to ask again.
 */
#include "budget/queue.h"
#include "budget/queue_tree.h"

#include "base/arena.h"
#include "base/check.h"

#include <stdlib.h>
#include <xxhash.h>

#define CLOCK_STEP (UINT64_C(1) << 24)          /* one entry of a band with one client */

enum { FIRST_CHAINS = 64, OTHER_BANDS_MOST = 256 };

struct queue_client {                 /* of one band */
    uint64_t             client;
    struct queue_band   *band;
    uint64_t             last_turn;
    unsigned             waiting;
    struct queue_client *chain;
    struct queue_client *older, *newer;         /* among the band's idle ones, or those that wait: all are listed */
};

struct queue_band {
    struct queue_class  class;
    enum queue_priority priority;
    struct queue_entry *root;
    uint64_t            turn;         /* of the last that went */
    uint64_t            clock;
    unsigned            clients;      /* that have something waiting */
    bool                aside, overtaken;
    int64_t             due_ns;       /* where it is aside: when to ask again */
    uint64_t            batch_went;   /* when it was put aside */
    size_t              place;        /* in its heap */
    struct queue_client *oldest, *newest;       /* by when they last put something */
    struct queue_band   *chain, *before, *after;
};

struct heap { struct queue_band **items; size_t count, capacity; bool by_due; };

struct queue {
    struct heap          ready[QUEUE_PRIORITIES], aside;
    uint64_t             clock[QUEUE_PRIORITIES];    /* present time: of the last that went, before it went */
    uint64_t             left[QUEUE_PRIORITIES];     /* the furthest clock of bands that are no more */
    unsigned             waiting[QUEUE_PRIORITIES];
    uint64_t             batch_went;
    unsigned             since_batch; /* interactive ones that went while a batch one waited */
    uint64_t             sequence, random;
    struct queue_band  **bands;       /* chains, by class and priority */
    size_t               band_chains, band_count;
    struct queue_band   *first;
    struct queue_client **clients;    /* chains, by band and client */
    size_t               client_chains, client_count;
};

/* -- heaps -- */

static bool goes_before(const struct heap *h, const struct queue_band *a, const struct queue_band *b)
{
    const struct queue_entry *first_a, *first_b;

    if (h->by_due)
        return a->due_ns < b->due_ns;
    if (a->clock != b->clock)
        return a->clock < b->clock;
    first_a = queue_tree_first(a->root);
    first_b = queue_tree_first(b->root);
    return first_a != NULL && first_b != NULL && first_a->arrived_ns < first_b->arrived_ns;
}

static void put_at(struct heap *h, size_t at, struct queue_band *b)
{
    h->items[at] = b;
    b->place = at;
}

static void sift_down(struct heap *h, size_t at)
{
    struct queue_band *moved = h->items[at];

    for (;;) {
        size_t child = at * 2 + 1;

        if (child + 1 < h->count && goes_before(h, h->items[child + 1], h->items[child]))
            child++;
        if (child >= h->count || !goes_before(h, h->items[child], moved))
            break;
        put_at(h, at, h->items[child]);
        at = child;
    }
    put_at(h, at, moved);
}

/* The band at this place alone may stand wrong. */
static void sift(struct heap *h, size_t at)
{
    struct queue_band *moved = h->items[at];

    for (; at > 0 && goes_before(h, moved, h->items[(at - 1) / 2]); at = (at - 1) / 2)
        put_at(h, at, h->items[(at - 1) / 2]);
    put_at(h, at, moved);
    sift_down(h, at);
}

static void heap_add(struct heap *h, struct queue_band *b)
{
    if (h->count == h->capacity) {
        h->capacity = h->capacity > 0 ? h->capacity * 2 : 16;
        h->items = mem_resize(h->items, h->capacity * sizeof(h->items[0]));
    }
    put_at(h, h->count++, b);
    sift(h, b->place);
}

static void heap_remove(struct heap *h, struct queue_band *b)
{
    size_t at = b->place;

    h->count--;
    if (at == h->count)
        return;
    put_at(h, at, h->items[h->count]);
    sift(h, at);
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

/* Do both spend from one bucket? */
static bool competes(const struct queue_class *a, const struct queue_class *b)
{
    return (a->shared & b->shared) != 0 || (a->owner == b->owner && (a->owned & b->owned) != 0) || same_class(a, b);
}

static struct queue_band *find_band(const struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    struct queue_band *b = q->bands[class_hash(c, priority) & (q->band_chains - 1)];

    while (b != NULL && (b->priority != priority || !same_class(&b->class, c)))
        b = b->chain;
    return b;
}

static void grow_bands(struct queue *q)
{
    q->band_chains *= 2;
    free(q->bands);
    q->bands = mem_alloc(q->band_chains * sizeof(q->bands[0]));
    for (struct queue_band *b = q->first; b != NULL; b = b->after) {
        struct queue_band **chain = &q->bands[class_hash(&b->class, b->priority) & (q->band_chains - 1)];

        b->chain = *chain;
        *chain = b;
    }
}

static struct queue_band *add_band(struct queue *q, const struct queue_class *c, enum queue_priority priority)
{
    struct queue_band  *b = mem_alloc(sizeof *b);
    struct queue_band **chain;

    if (++q->band_count > q->band_chains)
        grow_bands(q);
    chain = &q->bands[class_hash(c, priority) & (q->band_chains - 1)];
    *b = (struct queue_band){ .class = *c, .priority = priority, .chain = *chain, .after = q->first };
    /* Who comes with one request at a time is not first each time. */
    b->clock = q->clock[priority] > q->left[priority] ? q->clock[priority] : q->left[priority];
    *chain = b;
    if (q->first != NULL)
        q->first->before = b;
    q->first = b;
    return b;
}

static void set_aside(struct queue *q, struct queue_band *b, int64_t due_ns)
{
    heap_remove(heap_of(q, b), b);
    b->aside = true;
    b->due_ns = due_ns;
    b->batch_went = q->batch_went;
    heap_add(&q->aside, b);
}

/* Others went in the meantime where their clocks are beyond this one's, or where batch went before interactive. */
static void set_ready(struct queue *q, struct queue_band *b)
{
    uint64_t present = q->clock[b->priority];

    heap_remove(heap_of(q, b), b);
    b->aside = false;
    if (present > b->clock || (b->priority == QUEUE_INTERACTIVE && q->batch_went != b->batch_went))
        b->overtaken = true;
    if (present > b->clock)
        b->clock = present;
    heap_add(&q->ready[b->priority], b);
}

/* -- clients -- */

static struct queue_client **client_chain(const struct queue *q, const struct queue_band *b, uint64_t client)
{
    uint64_t parts[] = { (uint64_t)(uintptr_t)b, client };

    return &q->clients[XXH3_64bits(parts, sizeof parts) & (q->client_chains - 1)];
}

static struct queue_client *find_client(const struct queue *q, const struct queue_band *b, uint64_t client)
{
    struct queue_client *c = *client_chain(q, b, client);

    while (c != NULL && (c->band != b || c->client != client))
        c = c->chain;
    return c;
}

static void grow_clients(struct queue *q)
{
    struct queue_client **old = q->clients;
    size_t                chains = q->client_chains;

    q->client_chains *= 2;
    q->clients = mem_alloc(q->client_chains * sizeof(q->clients[0]));
    for (size_t i = 0; i < chains; i++) {
        for (struct queue_client *c = old[i], *next; c != NULL; c = next) {
            struct queue_client **chain = client_chain(q, c->band, c->client);

            next = c->chain;
            c->chain = *chain;
            *chain = c;
        }
    }
    free(old);
}

static void list_client(struct queue_client *c)
{
    c->older = c->band->newest;
    c->newer = NULL;
    *(c->older != NULL ? &c->older->newer : &c->band->oldest) = c;
    c->band->newest = c;
}

static void unlist_client(struct queue_client *c)
{
    *(c->older != NULL ? &c->older->newer : &c->band->oldest) = c->newer;
    *(c->newer != NULL ? &c->newer->older : &c->band->newest) = c->older;
}

static struct queue_client *add_client(struct queue *q, struct queue_band *b, uint64_t client)
{
    struct queue_client  *c = mem_alloc(sizeof *c);
    struct queue_client **chain;

    if (++q->client_count > q->client_chains)
        grow_clients(q);
    chain = client_chain(q, b, client);
    *c = (struct queue_client){ .client = client, .band = b, .chain = *chain };
    *chain = c;
    list_client(c);
    return c;
}

static void free_client(struct queue *q, struct queue_client *c)
{
    struct queue_client **at = client_chain(q, c->band, c->client);

    while (*at != c)
        at = &(*at)->chain;
    *at = c->chain;
    unlist_client(c);
    q->client_count--;
    free(c);
}

/* Who waits for nothing and has no turn beyond the present one is like a newcomer. */
static void forget_clients(struct queue *q, struct queue_band *b)
{
    for (int i = 0; i < 2 && b->oldest != NULL; i++) {
        struct queue_client *c = b->oldest;

        if (c->waiting == 0 && c->last_turn < b->turn) {
            free_client(q, c);
        } else {
            unlist_client(c);
            list_client(c);
        }
    }
}

static void free_band(struct queue *q, struct queue_band *b)
{
    struct queue_band **at = &q->bands[class_hash(&b->class, b->priority) & (q->band_chains - 1)];

    if (b->clock > q->left[b->priority])
        q->left[b->priority] = b->clock;
    while (b->oldest != NULL)
        free_client(q, b->oldest);
    while (*at != b)
        at = &(*at)->chain;
    *at = b->chain;
    *(b->before != NULL ? &b->before->after : &q->first) = b->after;
    if (b->after != NULL)
        b->after->before = b->before;
    q->band_count--;
    free(b);
}

/* -- life -- */

struct queue *queue_new(void)
{
    struct queue *q = mem_alloc(sizeof *q);

    q->random = UINT64_C(0x9e3779b97f4a7c15);
    q->aside.by_due = true;
    q->band_chains = q->client_chains = FIRST_CHAINS;
    q->bands = mem_alloc(q->band_chains * sizeof(q->bands[0]));
    q->clients = mem_alloc(q->client_chains * sizeof(q->clients[0]));
    return q;
}

void queue_free(struct queue *q)
{
    if (q == NULL)
        return;
    while (q->first != NULL)
        free_band(q, q->first);
    for (int i = 0; i < QUEUE_PRIORITIES; i++)
        free(q->ready[i].items);
    free(q->aside.items);
    free(q->bands);
    free(q->clients);
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

static uint64_t next_turn(const struct queue_band *b, const struct queue_client *c)
{
    return c != NULL && c->last_turn >= b->turn ? c->last_turn + 1 : b->turn;
}

/* Turns begin at 1, so that a client that is new (last turn 0) is told from one that had the present turn. */
static void insert(struct queue *q, struct queue_entry *e, bool again)
{
    struct queue_band   *b = find_band(q, &e->class, e->priority);
    struct queue_client *c;
    bool                 was_empty;

    if (b == NULL) {
        b = add_band(q, &e->class, e->priority);
        b->turn = 1;
    }
    was_empty = b->root == NULL;
    c = find_client(q, b, e->client);
    if (c == NULL)
        c = add_client(q, b, e->client);
    e->turn = again ? b->turn : next_turn(b, c);
    if (e->turn > c->last_turn)
        c->last_turn = e->turn;
    b->clients += c->waiting++ == 0;
    e->sequence = ++q->sequence;
    q->random = q->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    e->rank = (uint32_t)(q->random >> 32);
    queue_tree_insert(&b->root, e);
    e->band = b;
    q->waiting[e->priority]++;
    if (was_empty)
        heap_add(&q->ready[e->priority], b);
    else if (!b->aside)
        sift(&q->ready[e->priority], b->place);
}

void queue_put(struct queue *q, struct queue_entry *e)
{
    CHECK(e->band == NULL);
    insert(q, e, false);
}

void queue_put_again(struct queue *q, struct queue_entry *e)
{
    CHECK(e->band == NULL);
    insert(q, e, true);
}

void queue_remove(struct queue *q, struct queue_entry *e)
{
    struct queue_band   *b = e->band;
    struct queue_client *c;

    if (b == NULL)
        return;
    c = find_client(q, b, e->client);
    queue_tree_remove(&b->root, e);
    b->clients -= --c->waiting == 0;
    e->band = NULL;
    q->waiting[b->priority]--;
    if (b->root != NULL) {
        if (!b->aside)
            sift(&q->ready[b->priority], b->place);
        return;
    }
    heap_remove(heap_of(q, b), b);
    free_band(q, b);
}

static void go(struct queue *q, struct queue_entry *e)
{
    struct queue_band *b = e->band;
    uint64_t           step = CLOCK_STEP / (b->clients > 0 ? b->clients : 1);

    if (e->turn > b->turn)
        b->turn = e->turn;
    b->overtaken = false;
    if (b->clock > q->clock[b->priority])
        q->clock[b->priority] = b->clock;
    b->clock += step > 0 ? step : 1;
    if (b->priority == QUEUE_BATCH) {
        q->batch_went++;
        q->since_batch = 0;
    } else if (q->waiting[QUEUE_BATCH] > 0) {
        q->since_batch++;
    } else {
        q->since_batch = 0;
    }
    forget_clients(q, b);
    queue_remove(q, e);
}

/* The first of this priority that may go. */
static struct queue_entry *ask_ready(struct queue *q, enum queue_priority priority, int64_t now_ns,
                                     queue_may_go may_go, void *context)
{
    struct heap *h = &q->ready[priority];

    while (h->count > 0) {
        struct queue_band  *b = h->items[0];
        struct queue_entry *e = queue_tree_first(b->root);
        int64_t             wait_ns = may_go(context, e, b->overtaken);

        if (wait_ns <= 0)
            return e;
        if (same_class(&e->class, &b->class)) {
            set_aside(q, b, now_ns > INT64_MAX - wait_ns ? INT64_MAX : now_ns + wait_ns);
        } else {
            queue_remove(q, e);
            insert(q, e, false);
        }
    }
    return NULL;
}

struct queue_entry *queue_take(struct queue *q, int64_t now_mono_ns, queue_may_go may_go, void *context,
                               int64_t *wake_ns)
{
    enum queue_priority first = QUEUE_INTERACTIVE;
    struct queue_entry *e;

    while (q->aside.count > 0 && q->aside.items[0]->due_ns <= now_mono_ns)
        set_ready(q, q->aside.items[0]);
    if (q->since_batch >= QUEUE_BATCH_EVERY - 1)
        first = QUEUE_BATCH;
    e = ask_ready(q, first, now_mono_ns, may_go, context);
    if (e == NULL)
        e = ask_ready(q, first == QUEUE_BATCH ? QUEUE_INTERACTIVE : QUEUE_BATCH, now_mono_ns, may_go, context);
    if (e != NULL) {
        go(q, e);
        return e;
    }
    if (wake_ns != NULL)
        *wake_ns = q->aside.count == 0 || q->aside.items[0]->due_ns == INT64_MAX
                       ? INT64_MAX : q->aside.items[0]->due_ns - now_mono_ns;
    return NULL;
}

void queue_reconsider(struct queue *q, const struct queue_class *class)
{
    bool any = false;

    for (size_t i = 0; i < q->aside.count; i++) {
        struct queue_band *b = q->aside.items[i];

        if (class == NULL || competes(class, &b->class)) {
            b->due_ns = INT64_MIN;
            any = true;
        }
    }
    for (size_t i = any ? q->aside.count / 2 : 0; i-- > 0;)
        sift_down(&q->aside, i);
}

/* -- predictions -- */

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

/* Of the others' entries, those that go while `own` of a band with `clients` do. */
static uint64_t others_ahead(const struct queue *q, const struct queue_band *not_this, const struct queue_class *c,
                             enum queue_priority priority, uint64_t own, unsigned clients, bool all)
{
    uint64_t ahead = 0, cost = c->cost > 0 ? c->cost : 1;
    unsigned looked_at = 0;

    for (const struct queue_band *b = q->first; b != NULL && looked_at < OTHER_BANDS_MOST; b = b->after, looked_at++) {
        uint64_t waiting = queue_tree_size(b->root);

        if (b == not_this || b->priority != priority || !competes(c, &b->class))
            continue;
        if (!all)
            waiting = least(waiting, (own + 1) * b->clients / (clients > 0 ? clients : 1));
        ahead += (waiting * (b->class.cost > 0 ? b->class.cost : 1) + cost - 1) / cost;
    }
    return ahead;
}

/* `own` go before it in its band. */
static uint64_t predict(const struct queue *q, const struct queue_band *band, const struct queue_class *c,
                        enum queue_priority priority, uint64_t own, unsigned clients)
{
    enum queue_priority other = priority == QUEUE_BATCH ? QUEUE_INTERACTIVE : QUEUE_BATCH;
    uint64_t            ahead, rest;

    if (q->band_count <= (band != NULL ? 1 : 0))
        return own;
    ahead = own + others_ahead(q, band, c, priority, own, clients, false);
    rest = others_ahead(q, band, c, other, 0, 1, true);
    if (priority == QUEUE_BATCH)      /* before each batch one so many interactive ones */
        return ahead +
               least(rest, (ahead + 1) * (QUEUE_BATCH_EVERY - 1) - least(q->since_batch, QUEUE_BATCH_EVERY - 1));
    return ahead + least(rest, (ahead + q->since_batch) / (QUEUE_BATCH_EVERY - 1));
}

uint64_t queue_ahead(const struct queue *q, const struct queue_class *c, enum queue_priority priority, uint64_t client)
{
    const struct queue_band   *b = find_band(q, c, priority);
    const struct queue_client *who;

    if (b == NULL)
        return predict(q, NULL, c, priority, 0, 1);
    who = find_client(q, b, client);
    return predict(q, b, c, priority, queue_tree_up_to(b->root, next_turn(b, who)),
                   b->clients + (who == NULL || who->waiting == 0));
}

uint64_t queue_ahead_of(const struct queue *q, const struct queue_entry *e)
{
    if (e->band == NULL)
        return 0;
    return predict(q, e->band, &e->class, e->priority, queue_tree_before(e), e->band->clients);
}
