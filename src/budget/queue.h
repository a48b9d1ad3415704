/*
 * Who goes next while the budget is short (contract section 5).
 *
 * Turns are shared between users, a user's turns between its programs, a
 * program's between its processes, and theirs between their connections; what one
 * connection asks goes in order of arrival.  A turn is one entry.  Usage counts over
 * the time that has gone by: who was there before stays known for a minute after it has
 * hung up, and comes back after those that wait.  All that are new among
 * their like stand in one line together, which takes turns as one of them would (where eight or
 * more of the known wait: as a quarter of them would).  So, while an entry waits whose
 * connection, process, program and user are known, and no limit of its own holds it back,
 *     each known sibling of any of these has at most one turn for each of its own,
 *     all newcomers among them together max(1, K / 4), and there go before it at most
 *     (a + 1) * product over the levels of (1 + K + max(1, K / 4)) - 1
 * others, where `a` of its own connection came before it and K known siblings wait on that level,
 * however many newcomers come.  (What is tried again had its turn: it goes first and
 * is not counted there.)  A newcomer waits for a round of its level for each
 * max(1, K / 4) newcomers before it, and is known from its first turn on.
 *
 * The table of who is known is bounded: 128 users, 64 programs each, 512 processes and
 * connections each.  Those who ever had one turn only make room first; nobody who had more does within
 * a minute: who finds no room stays a newcomer.
 *
 * Entries stand in bands: one band for each class of charge (the same limits
 * at the same cost, and the same credential where one of them is counted per
 * credential; see ledger_class()) and priority.  Turns are counted over all bands of a priority, so that more
 * credentials are not more turns.
 * A band whose first entry may not go is put aside until the time its limits
 * told, so an exhausted search holds up nobody else.  Bands that share limits at the same cost are
 * a group: where it is those limits that hold the first of them, the group waits, and one is asked when it is time.
 * Interactive goes before batch, but of QUEUE_BATCH_EVERY that go one is batch where one waits.  What is idle goes
 * while nobody else waits, whatever holds those back, and holds up nobody.
 *
 * Pure: nodes are the caller's, time is an argument.  A call costs O(log n) of
 * what waits, and now and then a look at each band in which the user waits that had a turn; where many bands
 * have entries of several processes each, a look at those in which the one that had a turn was first.
 * queue_reconsider() looks at every group and the bands of one credential (with NULL at every band
 * put aside), and a prediction at up to some thousand others.  Owned by one thread: the upstream's.
 *
 * How it is used (one queue for each ledger):
 *     e->class = ledger_class(l, &charge);   e->priority, e->who, e->arrived_ns ...
 *     ahead = queue_ahead(q, &e->class, e->priority, &e->who);
 *     wait  = ledger_predict_ns(l, &charge, &ahead, now, &tightest);   over max_wait: refuse
 *     queue_put(q, e);
 *     while (slots are free && (e = queue_take(q, now.mono_ns, may_go, me, &wake_ns)) != NULL)
 *         ledger_spend(), send
 *     come again in wake_ns, or when something is put, ends or is given back.
 * may_go() is ledger_wait_ns(), or ledger_claim_ns() where `overtaken` is set.
 * Put every request, also one that finds the queue empty: queue_take() then
 * hands it out at once, and nobody overtakes those who wait.
 */
#ifndef WEIR_BUDGET_QUEUE_H
#define WEIR_BUDGET_QUEUE_H

#include <stdbool.h>
#include <stdint.h>

enum queue_priority { QUEUE_INTERACTIVE, QUEUE_BATCH, QUEUE_IDLE, QUEUE_PRIORITIES };
enum { QUEUE_BATCH_EVERY = 10, QUEUE_NEWCOMERS_PART = 4 };

struct queue_class { /* filled by ledger_class(); all zero: no limit holds */
    uint32_t shared; /* bits: which limits of the whole upstream are spent from */
    uint32_t owned;  /* bits: which limits of one credential */
    uint64_t costs;  /* differs where the costs differ */
    uint64_t owner;  /* the credential, where `owned` is not 0 */
    uint32_t cost;   /* the largest cost: weighs it in a prediction */
    uint64_t place;  /* the caller's: equal where they take each other's places at the API */
    uint64_t group;  /* equal where all that is `shared` costs the same and holds alike */
    uint32_t part;   /* equal, and not 0, where they have the same part of each limit together */
};

/* What makes an entry wait that may not go: how many others need not be asked. */
enum queue_held {
    QUEUE_HELD_BY_ANY,   /* not said: its band waits */
    QUEUE_HELD_BY_OWN,   /* limits of its owner: its band waits, whatever is given back to others */
    QUEUE_HELD_BY_SHARED /* what all of its group share, at the same cost: the group waits */
};

/* Who asks, as hashes: of what is not known on a level all are one there. */
enum queue_level { QUEUE_USER, QUEUE_PROGRAM, QUEUE_PROCESS, QUEUE_CONNECTION, QUEUE_LEVELS };
struct queue_who {
    uint64_t id[QUEUE_LEVELS];
};

struct queue_band;
struct stand;

struct queue_entry { /* embed it in what waits */
    /* Filled by the caller; while it waits, only queue_may_go changes `class`: */
    struct queue_class class;
    enum queue_priority priority;
    struct queue_who    who;        /* fairness is between these */
    int64_t             arrived_ns; /* monotonic */
    /* The queue's own: */
    enum queue_held     held;  /* queue_may_go says so where it must wait */
    struct queue_band  *band;  /* NULL: does not wait; must be NULL before the first queue_put() */
    struct stand       *stand; /* its connection's there; NULL: it waits to go again */
    struct queue_entry *parent, *left, *right;
    uint64_t            sequence;
    uint32_t            rank, size; /* of the tree: its heap order, and the entries under it with itself */
    bool                again;      /* put by queue_put_again() */
};

struct queue;

struct queue *queue_new(void);
/* Entries that still wait are forgotten, not freed.  NULL is fine. */
void queue_free(struct queue *);

/* Among what its connection waits for it stands where its arrival says. */
void queue_put(struct queue *, struct queue_entry *);
/* For one that went before and is tried again: it goes first, and its client's next turn is that much later. */
void queue_put_again(struct queue *, struct queue_entry *);
/* For one that was taken out by queue_remove() for a while: it stands where it stood. */
void queue_put_back(struct queue *, struct queue_entry *);
/* A client left, or its time is up.  Nothing where it does not wait. */
void               queue_remove(struct queue *, struct queue_entry *);
static inline bool queue_waits(const struct queue_entry *e)
{
    return e->band != 0;
}

/* 0: goes now; else nanoseconds until it may be asked again (INT64_MAX: not before
 * queue_reconsider()).  `overtaken`: others went while it was this one's turn, because they cost
 * less or count as batch: the budget should be held for it (ledger_claim_ns()).
 * Where it must wait, the callback sets e->class = ledger_class() anew: what the API says may have
 * changed it since, and the entry then moves to its new band rather than hold up this one. */
typedef int64_t (*queue_may_go)(void *context, struct queue_entry *, bool overtaken);

/* The entry that goes now, no longer waiting; NULL where none may, and in *wake_ns (may be NULL) the
 * nanoseconds until one may (INT64_MAX: nobody waits). */
struct queue_entry *queue_take(struct queue *, int64_t now_mono_ns, queue_may_go may_go, void *context,
                               int64_t *wake_ns);
/* Budget of this class was given back, or a lease or a place came: the groups that wait and the bands that spend from
 * the same limits are asked again by the next queue_take().  NULL: all bands. */
void queue_reconsider(struct queue *, const struct queue_class *);

/* How many go before one, of its class's own cost.  A limit hears only of those that spend from it. */
enum { QUEUE_LIMITS = 32 };
struct queue_ahead {
    uint64_t all;                                       /* of whatever limit */
    uint64_t alike;                                     /* of its own class: they spend from all that it does */
    uint64_t shared[QUEUE_LIMITS], owned[QUEUE_LIMITS]; /* others, by the limit that they spend from as well */
    uint64_t part[QUEUE_LIMITS];                        /* of these, those that have its part (class.part) too */
    uint64_t held[QUEUE_LIMITS];                        /* those that have a part, where it has none itself */
    uint32_t held_part;                                 /* which one; 0: several */
    uint64_t owner;                                     /* others of its credential */
};
/* How many go before a newcomer if nobody else comes: for ledger_predict_ns().  Exact within a band where up to seven
 * wait that are known, an estimate else and across bands that share limits. */
struct queue_ahead queue_ahead(const struct queue *, const struct queue_class *, enum queue_priority,
                               const struct queue_who *);
/* The same for one that waits already. */
struct queue_ahead queue_ahead_of(const struct queue *, const struct queue_entry *);
/* The first `part` of so many. */
struct queue_ahead queue_ahead_part(const struct queue_ahead *, uint64_t part);

/* How many of `entries` of this one's class its limits let go in time. */
typedef uint64_t (*queue_may_pass)(void *context, const struct queue_entry *, uint64_t entries);
/* How many go before it that take a place where it does (class.place), whatever they spend: one that waits, or (NULL) a
 * newcomer as for queue_ahead().  Of other classes only what `may_pass` says; up to QUEUE_CLASSES_MOST of them. */
enum { QUEUE_CLASSES_MOST = 64 };
uint64_t queue_ahead_in_place(const struct queue *, const struct queue_entry *, const struct queue_class *,
                              enum queue_priority, const struct queue_who *, queue_may_pass may_pass, void *context);
/* Does any wait that is not of this class and priority? */
bool queue_is_mixed(const struct queue *, const struct queue_class *, enum queue_priority);

/* Where there is no room for one more to wait: whose place it takes, NULL: nobody's.  Idle makes room for
 * all, batch for interactive; else, on the first level where it is not one of the largest part of what waits, the
 * newest of that part, if that has at least two more. */
struct queue_entry *queue_crowding(const struct queue *, enum queue_priority, const struct queue_who *);

/* How often queue_may_go was called, and bands were looked at anew to find out who is first: for tests of the cost. */
struct queue_effort {
    uint64_t asks, looks;
};
struct queue_effort queue_effort(const struct queue *);

unsigned queue_length(const struct queue *); /* what is idle not counted */
unsigned queue_length_of(const struct queue *, enum queue_priority);

#endif
