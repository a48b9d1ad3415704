/*
 * All limits of one upstream (or of one shared `budget`) at once, all or
 * nothing: a request that the third limit refuses takes nothing from the
 * first two.  Buckets per credential are made when a credential first appears
 * and dropped when they are whole again; there are at most LEDGER_ACCOUNTS_MOST accounts.  Where none
 * of them can go, a credential without one is charged to an account that it shares with others, which
 * never allows it more than its own would.  Pure; upstream thread.
 *
 * A request's life: ledger_wait_ns() == 0, ledger_spend(), then exactly one of
 * ledger_return() (nothing was sent) and ledger_settle() (an answer came, or
 * none ever will).  What the API says is learned by ledger_settle(): it belongs to the credential
 * and to the resource that the API names, else to the limit that matched.
 *
 * Clocks: the caller brings both as they are.  The ledger goes by the
 * monotonic one; a wall clock that steps is not followed until the API's Date
 * fields agree with it, or six hours have passed.
 *
 * Kept over kill -9 (optional): every bucket has a row in a durable table.  A
 * row holds the bucket's state and a lease: a number of units that may be
 * spent beyond it.  What is spent must be covered by a row that is known to be durable,
 * and a start after a crash counts every lease as spent, so that a crash
 * loses a lease and never doubles a quota.  Leases are renewed ahead, so
 * requests do not wait for the disk; they grow under load and shrink when it is quiet.
 *     start:  ledger_load() for every row kept under this ledger's name,
 *             then ledger_start(); never called: nothing is kept, nothing waits
 *     run:    when ledger_save_due_ns() is 0, ledger_save() and write what it
 *             puts out at once; ledger_saved() for each row, then try the queue again
 *     stop:   ledger_stop(), when nothing is spent any more: exact rows, no lease
 */
#ifndef WEIR_BUDGET_LEDGER_H
#define WEIR_BUDGET_LEDGER_H

#include "budget/limit.h"
#include "budget/queue.h"
#include "http/message.h"

/* What ledger_wait_ns() says where no limit is waited for but a row that is under way: until it may be durable. */
#define LEDGER_COMMIT_WAIT_NS (5 * NS_PER_MS)

struct ledger;

enum {
    LEDGER_MAX_LIMITS = 32,
    LEDGER_CREDENTIAL_BYTES = 16,
    LEDGER_ACCOUNTS_MOST = 8192, /* with an account each; of earlier runs there may be more for a while */
    LEDGER_OTHERS = 64           /* accounts that the rest shares */
};
/* Is that, as ledger_visit() tells it, one of the shared ones? */
bool ledger_is_others(const uint8_t *credential);

/* `limits` is borrowed for the ledger's life; at most LEDGER_MAX_LIMITS, 0 is fine. */
struct ledger *ledger_new(const struct limit_options *limits, unsigned count);
void           ledger_free(struct ledger *); /* NULL is fine */
/* Takes over what `old` knows (reload): limits that are the same but for count, burst, cost and name
 * keep what was spent; receipts of `old` and rows under way are good for the new one. */
void ledger_adopt(struct ledger *, const struct ledger *old, struct budget_now now);

/* What a request may cost of a limit in any unit, by the limit's estimate: of the limit of that name. */
struct estimate {
    uint64_t limit; /* ledger_limit_name() */
    uint32_t amount;
    bool     is_unread; /* the request says nothing of it: what others like it have cost is all that is known */
};
uint64_t ledger_limit_name(const char *name);

struct charge { /* which request is charged */
    enum http_method         method;
    struct slice             method_name;
    struct slice             path;          /* what rules and limits match */
    const uint8_t           *credential;    /* LEDGER_CREDENTIAL_BYTES: the partition; NULL: none */
    unsigned                 keep_permille; /* of every limit, for others: 200 for a class with share "80%" */
    uint64_t                 rule;          /* whose estimates are alike: what is learned of them is for each */
    const struct estimate   *estimates;
    unsigned                 estimate_count;
    const struct limit_owns *owns; /* fields in which its API speaks, beside the families; NULL: none */
};

/* matches(pattern, path): how a limit's `match` is tested; given by the caller, since patterns are route's. */
typedef bool (*ledger_match)(const void *pattern, struct slice path);
void ledger_set_match(struct ledger *, ledger_match matches);

/* `learned.max_wait`: a wait that the API asks for is no longer than this, nor is one of an earlier run. */
void ledger_set_told_most(struct ledger *, int64_t most_ns);

/* What was spent, to settle or give back.  A value: it may outlive the ledger it came from (ledger_adopt). */
enum { LEDGER_MAX_LINES = LEDGER_MAX_LIMITS + 4 };
struct receipt {
    struct {
        uint64_t limit;
        uint32_t cost;
        uint32_t estimate; /* of a limit in any unit, before what is learned of estimates; 0: it counts requests */
    } line[LEDGER_MAX_LINES];
    unsigned          count; /* 0: nothing to settle */
    uint8_t           credential[LEDGER_CREDENTIAL_BYTES];
    bool              has_credential;
    unsigned          keep_permille;
    struct budget_now spent; /* the ledger's own time */
    struct budget_now held;  /* since when the lines in any unit count */
};

/* What limits in any unit have come to: of one attempt, or of several added up. */
enum { BILL_LINES = 8 };
struct ledger_bill {
    struct bill_line {
        uint64_t limit; /* ledger_limit_name() */
        uint64_t units;
        bool     is_unsettled; /* as it was reserved: the answer did not say, or none came */
    } line[BILL_LINES];
    unsigned count;
    unsigned settled, unsettled; /* when the body had ended */
};
void ledger_bill_note(struct ledger_bill *, uint64_t limit, uint64_t units, bool is_unsettled);
void ledger_bill_add(struct ledger_bill *, const struct ledger_bill *more);

/* 0 where all limits allow it now; else the longest of their waits (INT64_MAX: never).
 * *tightest (may be NULL): that limit's name, valid while the ledger lives; NULL where nothing waits. */
int64_t ledger_wait_ns(struct ledger *, const struct charge *, struct budget_now now, const char **tightest);
/* The same, and where it must wait, the tightest limit saves up for it: cheaper requests of other
 * classes do not take what it waits for.  For queue_take()'s `overtaken`. */
int64_t ledger_claim_ns(struct ledger *, const struct charge *, struct budget_now now, const char **tightest);
/* One of the two, for a queue of many credentials: also whether those that spend from the same limits of the whole
 * upstream at the same cost (queue_class.group) wait as long, or what is the credential's own holds it longer. */
int64_t ledger_ask_ns(struct ledger *, const struct charge *, struct budget_now now, bool claims, enum queue_held *);
/* Spends from all; the caller has seen ledger_wait_ns() == 0 at this `now`. */
void ledger_spend(struct ledger *, const struct charge *, struct budget_now now, struct receipt *);
/* Gives all of it back (nothing was sent). Empties the receipt. */
void ledger_return(struct ledger *, struct receipt *);
/* The answer came: costs by status are settled ("304 0" gives back), and what the API says is learned.
 * NULL: no answer will come; nothing is given back.  Empties the receipt, but see ledger_hold_due_ns(); the bill has
 * what limits in any unit came to by that. */
struct ledger_bill ledger_settle(struct ledger *, const struct charge *, struct receipt *, const struct http_response *,
                                 struct budget_now now);
/* After ledger_settle() the receipt still has lines of limits in any unit: what they cost is known when the body has
 * ended.  While it has, the reservation must not fall out of its window: ledger_hold() when this is 0 (INT64_MAX:
 * never). */
int64_t ledger_hold_due_ns(const struct ledger *, const struct receipt *, struct budget_now now);
void    ledger_hold(struct ledger *, struct receipt *, struct budget_now now);
/*
 * The body has ended.  `charges` are those that were found in a whole answer: each takes the place of its reservation,
 * from now on, and may take the limit below nothing.  What is not there stays reserved, as if spent now.
 * Empties the receipt.
 */
struct ledger_bill ledger_meter(struct ledger *, const struct charge *, struct receipt *,
                                const struct estimate *charges, unsigned charge_count, struct budget_now now);
/* Of the limit in any unit with that name, over all credentials, since the ledger was made; false: there is none. */
struct ledger_metered {
    uint64_t reserved;           /* now */
    uint64_t settled, unsettled; /* units */
    uint64_t settled_count, unsettled_count;
};
bool ledger_metered(const struct ledger *, const char *name, struct ledger_metered *out);
/* What a receipt has reserved of limits in any unit: calls `each` with limit and units. */
void ledger_reserved(const struct ledger *, const struct receipt *,
                     void (*each)(void *context, const struct limit_options *, uint64_t units), void *context);
/* The API said so in a body: nothing of this kind before `for_ns` from now (GitHub's secondary limits without
 * Retry-After). */
void ledger_block(struct ledger *, const struct charge *, int64_t for_ns, struct budget_now now);
/* What could not be meant and was cut since the last call; false: nothing. */
struct ledger_cut {
    unsigned     count;
    enum told_by by;
    int64_t      said_ns, kept_ns;
}; /* of the last of them */
bool ledger_take_cut(struct ledger *, struct ledger_cut *);
/* Drops what the API said of this limit or resource (NULL: of everything) to whatever credential; what was spent stays.
 * How many buckets held something; -1: there is none of that name. */
int ledger_forget(struct ledger *, const char *name, struct budget_now now);
/* So many are left of the limit of that name: of each credential's that was asked with, where it is one for each.  How
 * many were set, without those that never allow so many, of which *most is what they allow (0: there are none); -1:
 * there is no limit of that name. */
int ledger_set(struct ledger *, const char *name, uint64_t left, uint64_t *most, struct budget_now now);
/* The wait of a request that has so many before it (queue_ahead()). */
int64_t ledger_predict_ns(struct ledger *, const struct charge *, const struct queue_ahead *, struct budget_now now,
                          const char **tightest);

/* Whose doing that wait is: the API's word (by, heard_wall_ns 0: in an earlier run), or NOBODY's: the limit's own. */
struct ledger_cause {
    const char  *limit;
    enum told_by by;
    int64_t      heard_wall_ns;
};
struct ledger_cause ledger_cause(struct ledger *, const struct charge *, const struct queue_ahead *,
                                 struct budget_now now);

/* The class that the queue keeps apart from others. */
struct queue_class ledger_class(struct ledger *, const struct charge *);
/* For queue_reconsider(), where something of this credential's came back or was learned. */
struct queue_class ledger_owned_class(const struct ledger *, const uint8_t *credential);
/* The limit of this charge that has the smallest share left: for RateLimit fields.  False where no limit holds. */
bool ledger_lowest(struct ledger *, const struct charge *, struct budget_now now, struct limit_state *,
                   const char **name);
/* Less than that is left of one of the charge's limits. */
bool ledger_is_low(struct ledger *, const struct charge *, const struct low_budget_options *, struct budget_now now);

/* Calls `each` for every bucket: what tells it from others, limit (for what is only learned: kind
 * LIMIT_LEARNED, count 0, the resource's name), credential (NULL: per upstream or without one) and state. */
typedef void (*ledger_each)(void *context, const void *bucket, const struct limit_options *, const uint8_t *credential,
                            const struct limit_state *);
void ledger_visit(struct ledger *, struct budget_now now, ledger_each each, void *context);
/* Those that the charge spends from, as ledger_visit() tells them apart; how many. */
enum { LEDGER_MAX_BUCKETS = 2 * LEDGER_MAX_LIMITS + 4 };
unsigned ledger_buckets(struct ledger *, const struct charge *, struct budget_now now,
                        const void *out[LEDGER_MAX_BUCKETS]);

/* -- durable -- */

enum { LEDGER_KEY_BYTES = 24, LEDGER_BOOT_BYTES = 16 };
struct ledger_row {
    uint8_t      key[LEDGER_KEY_BYTES]; /* within this ledger: the caller puts the budget's name before it */
    uint64_t     ticket;                /* for ledger_saved() */
    struct slice value;                 /* borrowed for the call; ptr NULL: delete the row */
};
typedef void (*ledger_put)(void *context, const struct ledger_row *);

/* One row as it was kept; copied. Rows of limits that are no more are passed over by ledger_start().  A damaged one is
 * lost. */
void ledger_load(struct ledger *, const uint8_t key[LEDGER_KEY_BYTES], struct slice value);
/* Rows may be missing: whatever has none counts as spent to the full, until the limit's memory has gone by. */
void ledger_rows_lost(struct ledger *);
/* How long ago rows were lost; -1: none was, or it does not matter to any limit any more. */
int64_t ledger_lost_ago_ns(const struct ledger *, struct budget_now now);
/* All rows are loaded.  `boot`: this boot's id (base/boot.h): within one boot the monotonic
 * clock says how much time has passed, over a reboot the wall clock, on the safe side. */
void ledger_start(struct ledger *, const uint8_t boot[LEDGER_BOOT_BYTES], struct budget_now now);
/* 0: call ledger_save() now; INT64_MAX: nothing to save. */
int64_t ledger_save_due_ns(const struct ledger *, struct budget_now now);
/* Puts out every row that has to be written; rows are to be written in this order. */
void ledger_save(struct ledger *, struct budget_now now, ledger_put put, void *context);
/* A row is durable, or could not be written (!ok: the ledger goes on without leases and tries again in a few seconds).
 */
void ledger_saved(struct ledger *, const uint8_t key[LEDGER_KEY_BYTES], uint64_t ticket, bool ok,
                  struct budget_now now);
/* For queue_reconsider(): what may go for it. */
struct queue_class ledger_row_class(const uint8_t key[LEDGER_KEY_BYTES]);
/* Puts out everything as it is, and that the end was clean. Nothing may be spent after it. */
void ledger_stop(struct ledger *, struct budget_now now, ledger_put put, void *context);

#endif
