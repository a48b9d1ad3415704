/*
 * The queue's own structures, shared by its files only: queue.c (bands, in and
 * out), queue_group.c (which of them may be asked, and which is first), queue_party.c (who ever waited, and
 * when each is next), queue_stand.c (who waits in which band), queue_ahead.c (predictions), queue_crowd.c (who
 * makes room), queue_tree.c (entries of one connection).
 */
#ifndef WEIR_BUDGET_QUEUE_PARTS_H
#define WEIR_BUDGET_QUEUE_PARTS_H

#include "base/heap.h"
#include "base/list.h"
#include "base/ref.h"
#include "base/table.h"
#include "budget/queue.h"

#include <stddef.h>

/* Of two addresses, or of one and a hash: of a client's making are hashes only, so any mixing will do. */
static inline uint64_t queue_hash(uint64_t a, uint64_t b)
{
    uint64_t h = (a ^ (b << 32 | b >> 32)) * UINT64_C(0x9e3779b97f4a7c15);

    return h ^ h >> 32;
}

/* -- parties: users, their programs, those's processes, their connections -- */

struct rank {
    uint64_t tag, stamp;
}; /* who is next: the lower tag, then the lower stamp */

static inline bool rank_before(struct rank a, struct rank b)
{
    return a.tag != b.tag ? a.tag < b.tag : a.stamp < b.stamp;
}

/* Parties that are remembered though they wait for nothing, by when they last had a turn. */
struct remembered {
    struct party *oldest[2], *newest[2];
    unsigned      count;
};

struct party {
    struct table_node link; /* by parent and id; a pool stands in no table */
    uint64_t          id;
    struct party     *parent; /* NULL: the root */
    struct party     *pool;   /* its children that are new stand under it; NULL: there never was one */
    int               level;  /* of queue_who; -1: the root */
    bool              is_pool, is_new;
    bool              regular;       /* had a turn of its own, not only one of the pool's */
    bool              unserved;      /* left before its turn came: it is still its own */
    struct rank       rank;          /* among its siblings */
    uint64_t          present;       /* its children's: the highest tag that had a turn */
    uint64_t          turns;         /* of a pool: in its present round */
    unsigned          waiting;       /* entries under it */
    unsigned          known_waiting; /* children that are no newcomers and have something waiting */
    int64_t           served_ns;
    struct party     *first_child, *next_child, *previous_child; /* known ones */
    struct party     *older, *newer;                             /* in the list of remembered() */
    struct remembered near, far;                                 /* root: users; user: programs, and all below those */
    struct stand     *stands;                                    /* one for each band that it waits in */
    uint64_t          mark, counted;                             /* of the prediction under way: queue_ahead.c */
};

struct parties {
    struct table table;
    uint64_t     stamps;
};

struct party *party_root(void);
/* All but the roots. */
void          parties_free(struct parties *);
struct party *party_find(const struct parties *, const struct party *parent, uint64_t id);
/* Where none is there, a new one: one that has nothing waiting when the queue is left is gone. */
struct party *party_enter(struct parties *, struct party *parent, uint64_t id);
/* Where it stands: under its parent, or in the pool of the new. */
struct party *party_above(const struct party *);
/* One more entry waits under it.  `back`: it waited before and has not had its turn. */
void party_came(struct parties *, struct party *leaf, int64_t arrived_ns, bool back);
/* An entry of it is no longer waiting; new ones that wait for nothing more are freed. */
void party_left(struct parties *, struct party *leaf);
/* It had a turn: it and all above it go to the end of the line.  Newcomers for whom there is a place
 * become known; they stand in `known`, the deepest first. How many. */
unsigned party_went(struct parties *, struct party *leaf, int64_t now_ns, struct party *known[QUEUE_LEVELS]);
/* It went once more for a turn that it had: it goes to the end of the line all the same. */
void party_pays(struct parties *, struct party *leaf);
/* So many newcomers go for each turn of the others' round. */
static inline uint64_t party_pool_turns(const struct party *parent)
{
    return parent->known_waiting > QUEUE_NEWCOMERS_PART ? parent->known_waiting / QUEUE_NEWCOMERS_PART : 1;
}
/* The rank that it has, or would have when something came for it now (parent's known child or pool). */
struct rank party_rank(const struct party *, const struct party *parent);

/* -- stands: a party in one band -- */

struct stand {
    struct table_node   link; /* by band and party */
    struct party       *party;
    struct queue_band  *band;
    struct stand       *above;   /* NULL: the band's top */
    struct heap         below;   /* by `rank` */
    struct heap_node    place;   /* in that of the one above */
    struct rank         rank;    /* the party's, or an earlier and lower one */
    unsigned            entries; /* under it */
    struct queue_entry *root;    /* of a connection: its entries */
    struct stand       *next_of_party, *previous_of_party;
};

static inline struct stand *stand_at(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct stand, place);
}
/* In no order but that the first comes first; at < s->below.count. */
static inline struct stand *stand_below(const struct stand *s, size_t at)
{
    return stand_at(s->below.nodes[at]);
}

struct stands {
    struct table  table;
    struct stand *idle;
    unsigned      idle_count;
};

struct queue_step {
    const struct party *party;
    struct rank         rank;
};
/* Where a band's first entry stands. */
struct queue_key {
    unsigned          count;
    struct queue_step step[2 * QUEUE_LEVELS]; /* from the users down, pools among them */
    int64_t           arrived_ns;
    uint64_t          sequence;
};

/* -- groups, and the shelves on which their bands stand -- */

struct standing { /* of a band or a shelf, on a shelf */
    struct heap_node place;
    struct shelf    *on;  /* NULL: on none */
    struct shelf    *of;  /* NULL: a band's */
    struct queue_key key; /* of its first entry, or an earlier and lower one */
};

struct shelf {                /* one party's in a group: for what is all of that party */
    struct table_node   link; /* by group and party; but for a group's own */
    struct queue_group *group;
    const struct party *party; /* NULL: a group's own, of the root */
    unsigned            depth; /* so many steps of keys are the same for all on it */
    struct heap         below;
    struct standing     standing;
};

struct queue_group {
    struct table_node       link;
    LIST_ENTRY(queue_group) entry;
    uint64_t                group, place;
    uint32_t                shared;
    enum queue_priority     priority;
    unsigned                bands;
    struct shelf            root;         /* bands that may be asked */
    struct heap             aside;        /* others, by when to ask again */
    unsigned                aside_by_any; /* of them */
    bool                    held;         /* nobody of it may be asked until then: */
    int64_t                 held_until_ns;
    uint64_t                batch_went; /* when it was held */
    bool                    returned;   /* it was held, and its first has not been asked since */
    int64_t                 due_ns;     /* the next of all this; where it is in the heap */
    struct heap_node        due;
};
LIST_HEAD(queue_groups, queue_group);

struct queue_band {
    struct table_node link;  /* by class and priority */
    struct table_node owned; /* by owner, where it is aside and has one */
    struct queue_class class;
    enum queue_priority priority;
    struct queue_group *group;
    struct stand       *top;   /* the root's */
    struct queue_entry *again; /* those that had their turn before: a tree */
    bool                aside, overtaken;
    enum queue_held     held;       /* where it is aside */
    int64_t             due_ns;     /* where it is aside: when to ask again */
    uint64_t            batch_went; /* when it was put aside */
    struct heap_node    place;      /* among those aside */
    struct standing     standing;   /* where it is not */
    struct queue_band  *before, *after;
};

/* Of its class; where none is there, a new one. */
struct queue_group *group_enter(struct queue *, const struct queue_band *);
/* A band of it is gone. */
void group_left(struct queue *, struct queue_group *);
/* Looks at what is first in the band, and puts it where that says. */
void band_stands(struct queue *, struct queue_band *);
void band_stands_nowhere(struct queue *, struct queue_band *);
/* Who is first in it: those that are tried again, then parties; and where that one stands. */
struct queue_entry *band_look(struct queue *, struct queue_band *);
void                band_set_aside(struct queue *, struct queue_band *, enum queue_held, int64_t due_ns);
/* It is no longer aside, and stands nowhere yet. */
void band_leaves_aside(struct queue *, struct queue_band *);
void group_hold(struct queue *, struct queue_group *, int64_t until_ns);
/* All that is due by now may be asked again. */
void groups_wake(struct queue *, int64_t now_ns);
/* INT64_MAX: nothing is. */
int64_t groups_due_ns(const struct queue *);
/* The band whose turn it is of those that may be asked, looked at; NULL: there is none. */
struct queue_band *groups_first(struct queue *, enum queue_priority);
void               groups_begin(struct queue *);
void               groups_free(struct queue *);

struct stand *stand_find(const struct stands *, const struct queue_band *, const struct party *);
/* Of the connection; with all those above it, where they are not there yet. */
struct stand *stand_enter(struct stands *, struct queue_band *, struct party *leaf);
/* An entry more or less under it; those that are empty are gone. */
void stand_put(struct stand *leaf, struct queue_entry *);
void stand_take(struct stands *, struct queue_entry *);
/* Its party's rank is another, and it is higher or lower. */
void stand_moved(struct stand *);
/* Its party is no newcomer any more. */
void stand_known(struct stands *, struct stand *);
/* The first entry of the band's parties, and in *key where it stands; NULL where none waits but again. */
struct queue_entry *stand_first(struct stand *top, struct queue_key *key);
/* Of keys that are the same for so many steps. */
bool queue_key_before(const struct queue_key *, const struct queue_key *, unsigned same);
void stands_free(struct stands *); /* those in use, too */

/* -- the queue -- */

struct queue {
    struct heap         ready[QUEUE_PRIORITIES]; /* groups of which a band may be asked, by their first */
    struct heap         due;                     /* groups of which one may not, by when it may */
    struct queue_groups groups;
    struct table        group_table, shelves, owned;
    unsigned            empty_groups;
    struct queue_effort effort;
    struct queue_key    went[QUEUE_PRIORITIES]; /* where the last stood that went */
    unsigned            waiting[QUEUE_PRIORITIES];
    uint64_t            batch_went;
    unsigned            since_batch; /* interactive ones that went while a batch one waited */
    uint64_t            sequence, random;
    struct table        bands;
    struct queue_band  *first;
    struct parties      parties;
    struct party       *roots[QUEUE_PRIORITIES];
    struct stands       stands;
};

struct queue_band *queue_band_find(const struct queue *, const struct queue_class *, enum queue_priority);
static inline bool queue_same_class(const struct queue_class *a, const struct queue_class *b)
{
    return a->shared == b->shared && a->owned == b->owned && a->costs == b->costs && a->owner == b->owner;
}
/* Do both spend from one bucket? */
bool     queue_competes(const struct queue_class *, const struct queue_class *);
unsigned queue_band_size(const struct queue_band *);

#endif
