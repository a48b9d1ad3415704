/*
 * The ledger's own structures, shared by its files only: ledger.c (spending), ledger_class.c (costs and classes),
 * ledger_meter.c (limits in any unit), ledger_slots.c (buckets),
 * ledger_learn.c (what the API says), ledger_keep.c (leases and
 * rows), ledger_rows.c (lists of rows), ledger_load.c (rows of an earlier run), accounts.c (the table of
 * credentials).
 */
#ifndef WEIR_BUDGET_LEDGER_PARTS_H
#define WEIR_BUDGET_LEDGER_PARTS_H

#include "budget/ledger.h"
#include "budget/factor.h"
#include "budget/steady.h"

enum { NAMED_MOST = 16, SEEN_MOST = 32, SEEN_NAMES = 4, NAME_MOST_BYTES = 63 };

enum slot_scope {
    SLOT_SHARED, /* a limit of the whole upstream */
    SLOT_OWNED,  /* a limit of one credential */
    SLOT_TOLD,   /* what the API told one credential of a shared limit */
    SLOT_NAMED   /* what it told of a resource that no limit covers */
};

struct ledger_share { /* what those may use that leave so much of a bucket to others */
    struct ledger_share *next;
    unsigned             keep_permille;
    struct limit        *limit;
};

struct slot { /* one bucket */
    struct limit   *limit;
    enum slot_scope scope;
    uint64_t        identity; /* of the limit or the resource: of its row and in receipts */
    struct account *account;  /* NULL: SLOT_SHARED */
    const char     *name;
    /* What waits for this one and saves up: ledger_claim_ns(). */
    uint64_t             claim_cost, claim_class;
    int64_t              claim_until_ns;
    struct ledger_share *shares; /* not kept over a restart: the bucket itself is */
    /* Keeping; see ledger_keep.c. */
    bool         is_leased; /* spending has to be covered by a row */
    bool         has_row, is_dirty;
    bool         is_newer;               /* than its newest row: something was spent, given back or said since */
    uint64_t     lease;                  /* units left under the row that is durable */
    uint64_t     pending, pending_spent; /* the lease of the row under way, and what was spent since */
    uint64_t     ticket;                 /* of the row under way; 0: none */
    uint64_t     target, wanted;
    int64_t      saved_ns; /* when its newest row was put out, or the bucket made */
    int64_t      spent_ns; /* or, where it is not leased, when the API said something new */
    struct slot *dirty_next;
    struct slot *quiet_prev, *quiet_next; /* by spent_ns */
    bool         in_quiet;
};

struct seen {
    uint64_t prefix;
    uint64_t names[SEEN_NAMES];
    unsigned count;
};

struct account_line {            /* of one limit */
    struct slot *slot;           /* SLOT_OWNED or SLOT_TOLD; NULL: none yet */
    uint64_t     open;           /* units that are under way */
    uint64_t     bound;          /* hash of the resource's name that this limit turned out to be; 0: none */
    bool         bound_for_want; /* of a better one: nothing but the match speaks for it */
    bool         is_of_several;  /* more than one name came under its match: it is none of them */
};

struct account { /* one credential, or none */
    uint8_t             credential[LEDGER_CREDENTIAL_BYTES];
    bool                has_credential;
    unsigned            open; /* receipts not settled */
    int64_t             used_ns;
    struct slot        *named[NAMED_MOST];
    uint64_t            named_open[NAMED_MOST];
    unsigned            named_count;
    struct seen        *seen; /* which paths belong to which resources; SEEN_MOST, NULL: none */
    unsigned            seen_count, seen_next;
    struct account_line line[]; /* one for each limit */
};

struct account_place {
    uint64_t        hash;
    struct account *account;
};
struct accounts { /* open addressing, by credential */
    struct account_place *table;
    size_t                capacity, count; /* a power of two; at most half full */
    struct account       *last;            /* found */
    size_t                hand;            /* where ledger_sweep() looks next */
};

struct account *accounts_find(struct accounts *, const uint8_t *credential);
/* Its credential is not in the table yet. */
void accounts_add(struct accounts *, struct account *);
void accounts_remove(struct accounts *, struct account *);
/* Walks over all of them from *at 0 on, while none comes or goes; NULL at the end. */
struct account *accounts_next(const struct accounts *, size_t *at);

struct limit_scope { /* a configured limit */
    const struct limit_options *options;
    uint64_t                    identity;
    uint64_t                    status_cost_most;
    uint64_t                    open;    /* units that are under way, over all credentials */
    uint64_t                    name;    /* ledger_limit_name() */
    struct factors             *factors; /* of a limit in any unit; else NULL */
    struct ledger_metered       metered;
    struct slot                *slot;  /* SLOT_SHARED; NULL: per credential */
    struct limit               *model; /* what new SLOT_OWNED are like */
};

struct saved_row {
    uint8_t  key[LEDGER_KEY_BYTES];
    uint64_t ticket;
    void    *value;
    size_t   bytes;
};
struct kept_rows {
    struct saved_row *items;
    size_t            count, capacity;
};

struct keeping {                     /* ledger_keep.c */
    bool              is_on;         /* ledger_start() was called */
    bool              crashed;       /* the last run did not end with ledger_stop() */
    bool              rows_are_lost; /* until ledger_start(): said by the caller */
    int64_t           lost_wall_ns;  /* own time; rows of before that may be missing; 0: none is */
    struct budget_now started;
    uint8_t           boot[LEDGER_BOOT_BYTES];
    bool              state_is_durable, state_is_dirty;
    uint64_t          state_ticket, last_ticket;
    int64_t           unwritable_until_ns; /* own time; 0: rows can be written */
    struct slot      *dirty, **dirty_end;
    struct slot      *quiet_first, *quiet_last;
    int64_t           tidy_at_ns; /* own time: when all accounts are looked at, some with each ledger_save() */
    struct kept_rows  gone;       /* rows to delete; ticket 0: not yet put out */
    struct kept_rows  loaded;     /* until ledger_start() */
};

struct ledger {
    struct limit_scope *scopes;
    unsigned            count;
    ledger_match        matches;
    struct accounts     accounts;
    unsigned            spendings; /* since the last sweep */
    struct steady       clock;
    int64_t             claims_until_ns; /* no claim lives longer */
    int64_t             told_most_ns;
    struct ledger_cut   cut;
    struct keeping      keep;
};

struct row_head { /* then: name, prefixes, image */
    uint64_t sum; /* of all after it */
    uint16_t magic, version;
    uint8_t  scope;
    uint8_t  has_credential, is_clean, name_bytes;
    uint32_t prefix_count, zero;
    uint64_t lease;            /* of the state: lost_wall_ns */
    int64_t  mono_ns, wall_ns; /* own time */
    uint8_t  boot[LEDGER_BOOT_BYTES];
};
enum { ROW_VERSION = 1, ROW_MAGIC = 0x57c1, ROW_SUMMED_FROM = sizeof(uint64_t) };

/* What one charge spends from. */
struct plan_line {
    struct slot *slot;
    uint64_t     cost;
    uint32_t     estimate; /* as in the receipt */
    unsigned     index;    /* of the limit; LEDGER_MAX_LIMITS and up: named */
};
struct plan {
    struct plan_line line[LEDGER_MAX_BUCKETS];
    unsigned         count;
    struct account  *account;
    uint32_t         matched; /* bits: limits that match */
};

/* ledger_ahead.c */
uint64_t ledger_share_cost(const struct limit *share, uint64_t cost);
/* UINT64_MAX: more than can be told. */
uint64_t ledger_units_ahead(const struct plan_line *, const struct queue_ahead *, struct budget_now own);
/* Of these units, those of the same part: others do not use that up. */
uint64_t ledger_part_ahead(const struct plan_line *, const struct queue_ahead *, uint64_t units);

/* ledger.c */
void ledger_plan(struct ledger *, const struct charge *, struct budget_now own, struct plan *);
bool ledger_scope_matches(const struct ledger *, const struct limit_scope *, const struct charge *);

/* The limit, or LEDGER_MAX_LIMITS and the place among the account's resources; -1: it is no more. */
int  ledger_index_of(const struct ledger *, const struct account *, uint64_t identity);
void ledger_note_open(struct ledger *, struct account *, unsigned index, int64_t units);
void ledger_give_back(struct ledger *, struct account *, unsigned index, uint64_t back, const struct receipt *,
                      struct budget_now spent, struct budget_now own);

/* ledger_meter.c */
void ledger_meter_adopt(struct limit_scope *, const struct limit_scope *old);
void ledger_note_unsettled(struct ledger *, unsigned index, uint64_t units);

/* ledger_class.c */
/* What the answer turns out to cost. */
uint64_t ledger_final_cost(const struct limit_options *, const struct charge *, unsigned status);
/* The most it may turn out to cost, so that no answer finds the budget spent. */
uint64_t ledger_sending_cost(const struct limit_scope *, const struct charge *);
/* Whose answers tell how far such an estimate is off: the charge's rule, or of those under it that say nothing. */
uint64_t ledger_estimate_rule(const struct limit_scope *, const struct charge *);
/* The estimate for it, before what is learned of estimates; 0: it counts requests, or this one by its method. */
uint32_t ledger_estimate(const struct limit_scope *, const struct charge *);
/* Its cost is settled by this status, also where it counts in any unit. */
bool ledger_has_status_cost(const struct limit_options *, const struct charge *, unsigned status);

/* ledger_slots.c */
/* Its own, or the one that it shares where there is no room; made where it has to be. */
struct account *ledger_account(struct ledger *, const uint8_t *credential, struct budget_now own);
/* The same, NULL where it is not there yet. */
struct account *ledger_account_find(const struct ledger *, const uint8_t *credential);
/* Its own, room or not: what was known before is not forgotten. */
struct account *ledger_account_kept(struct ledger *, const uint8_t *credential, struct budget_now own);
/* Drops some accounts that can go; true: all have been looked at. */
bool         ledger_tidy(struct ledger *, struct budget_now own);
struct slot *ledger_slot_new(struct ledger *, struct account *, unsigned index, struct budget_now own);
struct slot *ledger_named_new(struct ledger *, struct account *, struct slice name, struct budget_now own);
void         ledger_slot_free(struct ledger *, struct slot *);
/* The part of it that a class may use; NULL: all of it. */
struct limit *ledger_share(struct slot *, unsigned keep_permille);
/* Now and then looks at an account, and drops it where it can go; never the one in use. */
void ledger_sweep(struct ledger *, const struct account *in_use, struct budget_now own);
/* In any case of letters; never 0. */
uint64_t ledger_name_hash(struct slice name);
/* The name of a resource's own bucket in printable ASCII. */
const char *ledger_name_shown(const struct slot *named, char out[NAME_MOST_BYTES + 1]);

/* ledger_learn.c */
void         ledger_learn(struct ledger *, const struct charge *, const struct http_response *, struct budget_now own);
struct slot *ledger_told_slot(struct ledger *, struct account *, const struct charge *, struct budget_now own);
/* The resources that the path is known to belong to: indices into account->named. */
unsigned ledger_named_of(const struct account *, struct slice path, unsigned out[SEEN_NAMES]);

/* ledger_keep.c */
/* What may be spent of it without waiting for a row; UINT64_MAX: not leased. */
uint64_t lease_allowance(const struct ledger *, const struct slot *);
/* It would take a larger lease. */
void lease_want(struct ledger *, struct slot *, uint64_t cost);
void lease_spent(struct ledger *, struct slot *, uint64_t cost, struct budget_now own);
void lease_returned(struct ledger *, struct slot *, uint64_t cost, struct budget_now spent);
void lease_changed(struct ledger *, struct slot *); /* what the API said of it */
void lease_stopped(struct ledger *, struct slot *); /* the API said stop: its row is due at once */
void lease_new_slot(struct ledger *, struct slot *, struct budget_now own);
/* After a crash: what a bucket without a row may have spent before it counts as spent. */
void lease_without_row(struct ledger *, struct slot *, struct budget_now own);
void lease_drop_slot(struct ledger *, struct slot *); /* it is whole, its row may go */
bool lease_is_idle(const struct slot *);              /* nothing of it is under way */
bool lease_is_told(const struct slot *);              /* it holds only what the API said */
/* After a crash: as if its lease, or all that is not leased, were spent. */
void                 lease_as_if_spent(const struct ledger *, struct slot *, uint64_t lease, struct budget_now at);
void                 lease_make_dirty(struct ledger *, struct slot *);
extern const uint8_t lease_state_key[LEDGER_KEY_BYTES];
/* Buckets of which nothing has been spent for QUIET_NS: their leases shrink. */
#define QUIET_NS (250 * NS_PER_MS) /* nothing was spent for this long: the lease shrinks */
void     lease_unlist_quiet(struct ledger *l, struct slot *s);
void     lease_list_quiet(struct ledger *l, struct slot *s, int64_t at_ns);
uint64_t lease_when_quiet(const struct slot *s);
void     lease_key_of(const struct slot *, uint8_t key[LEDGER_KEY_BYTES]); /* of its row */
uint64_t lease_key_part(enum slot_scope, bool has_credential, uint64_t identity);
void     lease_rows_add(struct kept_rows *, const uint8_t key[LEDGER_KEY_BYTES], struct slice value);
/* The last takes its place. */
void lease_rows_drop(struct kept_rows *, size_t at);
/* -1: not there. */
int  lease_rows_find(const struct kept_rows *, const uint8_t key[LEDGER_KEY_BYTES]);
void lease_rows_free(struct kept_rows *);
void lease_adopt_slot(struct ledger *, struct slot *, const struct slot *old);
void ledger_keep_end(struct ledger *); /* no more rows: it is freed */
void ledger_keep_free(struct ledger *);

#endif
