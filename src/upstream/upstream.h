/*
 * The upstream thread: the one place that decides about the scarce thing.
 *
 * It owns the curl multi handle, the table of flights, the queues, the
 * ledgers, retries and breakers; everything reaches it as mail, so nothing of
 * it is locked but one table that hits read (heard.c).  What it decides with is pure (budget/, policy/).
 */
#ifndef WEIR_UPSTREAM_UPSTREAM_H
#define WEIR_UPSTREAM_UPSTREAM_H

#include "base/histogram.h"
#include "store/state.h"
#include "store/store.h"
#include "upstream/fetch.h"

struct upstream_start {
    struct store  *store; /* may be broken, never NULL */
    struct state  *state; /* NULL: the ledger is not kept */
    upstream_match match; /* pattern_matches() */
};

/* Who owns rows in the state; ends with NULL. */
extern const struct state_owner *const upstream_rows[];

/* Starts the thread. NULL and *why where it cannot. */
struct upstream *upstream_open(const struct upstream_start *, struct fault *why);
/* Ends what is in flight (clients get FETCH_FAILED), stops the thread, frees.  Workers are stopped before.
 * NULL is fine. */
void upstream_close(struct upstream *);

/* The upstreams in effect from now on; ledgers of the same name and limits go over. Holds a reference to `config`
 * until the next call. Any thread; takes effect on the upstream thread. */
void upstream_configure(struct upstream *, struct ref *config, const struct upstream_options *const *upstreams,
                        unsigned count);

/* A DROP of any kind or a FLUSH of the store, and of what is on its way there: an answer that was asked for before is
 * for those who asked, and not stored after. `done` comes as from store_submit(). Any thread. */
void upstream_drop(struct upstream *, struct store_change *);

/* -- what APIs said last of their limits: any thread -- */
/* Has the upstream of that name ever said anything? Costs next to nothing. */
bool upstream_has_heard(const struct upstream *, const char *upstream);
/* Adds the rate-limit fields of the last answer to that account (fetch.account), in the arena, counted down to now and
 * without what has run out; none where none came.  How long they stay as they are; INT64_MAX: until others come. */
int64_t  upstream_heard(struct upstream *, const char *upstream, const struct partition *account, struct arena *,
                        struct http_fields *);
uint64_t upstream_heard_generation(const struct upstream *); /* another one: something else is heard */

/* -- what it is doing, for status, limits and metrics -- */
struct upstream_waiting { /* of one client, for one bucket */
    char     client[64];
    bool     batch;
    unsigned count;
};
enum {
    WAITING_NAMED = 8, /* of more clients, only the count is told */
    BUSIEST_TOLD = 20  /* buckets of credentials of one upstream; of more, only how many there are */
};
struct upstream_limit_report {
    char                     name[64];
    const char              *kind;    /* "sliding" "bucket" "fixed" "learned" */
    const char              *told_by; /* which word of the API's holds now; "": none */
    unsigned                 waiting; /* requests that would be charged to it */
    struct upstream_waiting *clients;
    unsigned                 client_count;
    char                     credential[12]; /* first characters of the partition's hash in hex; "others-9": one that is
                                       * shared for want of room; "": of the upstream */
    uint64_t                 allowed, left;
    int64_t                  resets_in_ns, blocked_for_ns;
    bool                     is_metered;                   /* it counts in any unit: */
    uint64_t                 reserved, settled, unsettled; /* units, over all credentials */
    unsigned                 scale;
    bool                     is_of_api; /* the name is a resource's, as the API calls it */
};
struct upstream_counts {
    uint64_t requests, attempts, retries, failures, unsent;
    uint64_t ended[ATTEMPT_KINDS];   /* attempts, those that were never sent included */
    uint64_t retried[ATTEMPT_KINDS]; /* by what came of the attempt before */
    uint64_t refused;                /* requests, by a limit or a full queue; some of which a stale answer covers */
    uint64_t heard;                  /* answers that told of limits */
    uint64_t forgotten;              /* limits of which what was learned was dropped */
    uint64_t breaker_opened;
    uint64_t early_sent, early_used, early_wasted; /* prefetch */
    uint64_t body_bytes;                           /* from the API */
};

struct upstream_waiter { /* a request that waits for its turn */
    uint64_t id;
    char     client[64], method[16];
    char     target[256]; /* as it will be asked for, masked */
    int64_t  waited_ns;
};
enum { LONGEST_TOLD = 4 }; /* of one upstream */

struct upstream_report_entry {
    char                   name[64];
    unsigned               in_flight, waiting, connections;
    struct upstream_counts counts;
    struct histogram_sum   took; /* attempts */
    bool                   breaker_open;
    int64_t                certificate_ends_s; /* since 1970, of the one that the API showed last; 0: none was seen */
    int64_t                predicted_ns;       /* one would wait that comes now, of nobody known, without a credential;
                                       * INT64_MAX: for ever */
    int64_t                lost_ago_ns; /* what is not known to be left counts as spent since then; -1: all is known */
    struct upstream_limit_report *limits;
    unsigned                      limit_count;
    unsigned                      more_limits; /* buckets of credentials that are not told */
    struct upstream_waiter       *longest;     /* where they are asked for: those that have waited longest, first */
    unsigned                      longest_count;
};
enum forget_result { FORGET_DONE, FORGET_NO_UPSTREAM, FORGET_NO_LIMIT };
struct upstream_forget {           /* what APIs said of their limits, before the report is made */
    const char        *upstream;   /* NULL: of all */
    const char        *limit;      /* NULL: of all of it */
    bool               sets;       /* it is not forgotten, but so many are left of it: `left` */
    uint64_t           left, most; /* most: what it allows at most, where nothing was set; 0: there is nothing to set */
    enum forget_result result;
    unsigned           forgotten; /* limits that something was learned of, or that were set */
};
struct upstream_report {                /* the asker's; answered by mail */
    struct mail                   mail; /* upstream's */
    struct mailbox               *reply_to;
    struct mail                   done;
    struct arena                  arena; /* holds the entries; the asker frees it */
    struct upstream_report_entry *entries;
    unsigned                      count;
    unsigned                      most;     /* how many to tell at once; 0: all */
    uint64_t                      last;     /* the number of the last one told: the next report goes on after it */
    bool                          has_more; /* than was told */
    unsigned                      flights;  /* in the table, committing ones included */
    struct upstream_forget       *forget;   /* NULL: nothing is to be forgotten */
    bool                          tells_longest;
    const char *only; /* limits of that name, and of credentials that are shown so; NULL: the busiest */
};
void upstream_ask(struct upstream *, struct upstream_report *);

/* -- what would become of a request, and why those before it were no hits: for explain -- */
enum { MISSES_KEPT = 20, MISSES_TOLD = 6, MISSES_NAME_BYTES = 28 };
enum miss_kind { /* of what two misses of one path differ in */
                 MISS_PARAM = '?',
                 MISS_FIELD = ':', /* of match_headers */
                 MISS_BODY = '#',  /* of key_body */
                 MISS_WHOSE = '@', /* the partition */
                 MISS_METHOD = '!',
                 MISS_ORDER = '&' /* the parameters are the same, in another order or spelling */
};
struct miss_difference {
    enum miss_kind kind;
    char           name[MISSES_NAME_BYTES]; /* of a parameter or field */
    bool           is_cut;                  /* it is longer */
    unsigned       count;                   /* misses that differ in that alone from another */
};
struct rule_misses { /* the last ones of a rule */
    unsigned               count, differences;
    struct miss_difference by[MISSES_TOLD];          /* the most common first */
    unsigned               again;                    /* the very same had been asked before */
    unsigned               reasons[FWD_PARTIAL + 1]; /* by enum forward_reason */
    unsigned               answered;                 /* of how many the head came; and why they were not stored: */
    unsigned               storable[STORABLE_COUNT];
};
struct upstream_foretelling { /* the asker's; answered by mail */
    struct mail      mail;    /* upstream's */
    struct upstream *up;      /* upstream's */
    struct mailbox  *reply_to;
    struct mail      done;
    struct fetch    *fetch; /* one that is not submitted: its `event`, `said` and `outcome` become what they would
                                   * be if it came now; FETCH_PENDING: it waits, and is sent */
    /* -- answer -- */
    bool               is_known;    /* the upstream thread has this upstream */
    bool               joins;       /* it shares a request that is under way */
    bool               takes_place; /* of another in a full queue */
    int64_t            wait_ns;
    char               limit[64]; /* that makes it wait; "queue": the places; "": none */
    const char        *told_by;   /* a word of the API's; "" where the limit is the configuration's own */
    unsigned           cost;      /* the largest that a limit counts for it */
    unsigned           in_flight, waiting;
    bool               has_misses;
    struct rule_misses misses;
};
/* Nothing is counted, kept or changed by it. */
void upstream_foretell(struct upstream *, struct upstream_foretelling *);

/* -- how long many more like one that is submitted will take -- */
struct upstream_outlook { /* the asker's; answered by mail */
    struct mail     mail; /* upstream's */
    struct mailbox *reply_to;
    struct mail     done;
    struct fetch   *fetch; /* that one; the worker has not left it */
    uint64_t        more;  /* after it */
    /* -- answer -- */
    bool     is_known;  /* false: it has its answer */
    int64_t  wait_ns;   /* of that one; 0: it is at the API */
    uint64_t ahead;     /* how many go before it, of those that wait for the same API */
    char     limit[64]; /* that makes it wait; "queue": the places; "": none */
    int64_t  last_ns;   /* until the last one goes; INT64_MAX: never */
    int64_t  takes_ns;  /* one, at the API; 0: not known */
};
void upstream_look_out(struct upstream *, struct upstream_outlook *);

#endif
