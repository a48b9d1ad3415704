/*
 * What the files of this room share: the upstream thread's own structures.  No other room includes this; all of it
 * belongs to the upstream thread, but for what fetch.h and upload.h say of their mails.
 *
 *   struct site      one upstream at work: its origin (connections), its breaker
 *   struct budget    a ledger and the queue before it; sites may share one
 *   struct flight    one wish, of one or of many equal fetches, until it is
 *                    answered and what came is committed
 *   struct turn      one attempt at the API, by a transfer of origin/
 *   struct fetch_links   a fetch's place in all this ("waiter")
 *
 * A flight's life is a table: states.c.
 *
 * Files, each of which knows those before it alone: states.c, answer.c, fetch.c, bill.c, waiter.c (who waits, and what
 * he is told), progress.c (what he is told meanwhile), keep.c (the ledger's rows), bust.c, heard.c, early.c, denying.c,
 * hearing.c (what answers tell of limits), misses.c (what misses differ in), site.c, stall.c (uploads that pause),
 * forecast.c (how long a wait will be), naming.c, taped.c (what is recorded), turn.c (one attempt), flight.c (table,
 * life), commit.c (to the store), late.c (drops by label), share.c (who gets the head), overtake.c (writes, purges),
 * patience.c, dispatch.c (queue and budget), enter.c (in and out of the thread), foretell.c (what would become of one),
 * again.c and attempt.c (what became of one), events.c (what origin/ tells), upstream.c (thread).
 *
 * Events logged here: upstream_breaker_open, upstream_breaker_closed, upstream_attempt_failed (debug),
 * upstream_sent_again (debug), upstream_limit_cut (once for each), upstream_hold_lifted, upstream_limits_forgotten,
 * upstream_body_cut, upstream_disk_refused, upstream_set, upstream_credential_held, _passed, ledger_not_kept.
 * Never a target's query, a credential or a body.
 */
#ifndef WEIR_UPSTREAM_INTERNAL_H
#define WEIR_UPSTREAM_INTERNAL_H

#include "base/clock.h"
#include "base/histogram.h"
#include "base/list.h"
#include "base/table.h"
#include "budget/breaker.h"
#include "budget/denials.h"
#include "budget/ledger.h"
#include "budget/queue.h"
#include "upstream/auth.h"
#include "upstream/body_check.h"
#include "upstream/early.h"
#include "upstream/metering.h"
#include "origin/origin.h"
#include "policy/label.h"
#include "upstream/forecast.h"
#include "upstream/naming.h"
#include "upstream/states.h"
#include "upstream/upstream.h"

#include <pthread.h>

enum {
    GRACE_MS = 250, /* a wait that was predicted to end just in time may end a little later */
    BUST_BUCKETS = 256,
    BUST_MARK = 1, /* no budget's name begins so */
    UNSHAREABLE_SLOTS = 1024,
    UNSHAREABLE_SECONDS = 300,
    SPARE_BODY_BYTES = 64 * 1024, /* of a failure that is tried again */
    HELD_BYTES = 1024 * 1024,     /* of a body that is looked at before its head goes out */
    TELLING_BYTES = 1024,         /* of a refusal's body: where it may tell of a limit */
    IDLE_FLIGHTS = 64,
    LATE_DROPS = 1024,    /* by label, that are remembered */
    DEAD_CONNECTIONS = 2, /* found by one request: from then on it asks for a new one */
    UNDONE_AT_ONCE = 3,   /* sends of what the API says it has not done; then it is a failure */
    RETRY_FLOOR = 10      /* retries that `retry.share` always leaves, renewed one a second */
};

/* -- the ledger and its queue -- */
struct budget {
    SLIST_ENTRY(budget)   entry; /* upstream->budgets */
    struct upstream      *up;
    char                 *name;   /* "upstream NAME" or "budget NAME": also the rows' name in the state */
    struct ref           *config; /* what `limits` borrows from */
    struct limit_options *limits; /* of all its sites, equal ones once */
    unsigned              limit_count;
    struct ledger        *ledger;
    struct queue         *queue;
    struct timer          wake;     /* the queue may be asked again */
    struct timer          save;     /* rows are due */
    TAILQ_ENTRY(budget)   dirty;    /* upstream->dirty */
    bool                  is_dirty; /* to be dispatched before the loop sleeps */
    struct table_node     by_name;  /* upstream->budget_names */
    LIST_HEAD(, site) sites;        /* those that spend from it, also ones on their way out */
};

TAILQ_HEAD(budgets, budget);

/* -- one upstream at work -- */

struct site {
    LIST_ENTRY(site)               entry; /* upstream->sites */
    struct upstream               *up;
    char                          *name;
    uint64_t                       number; /* rises with each that comes */
    struct ref                    *config; /* what `options` is part of */
    const struct upstream_options *options;
    bool                           configured; /* in the configuration in effect */
    struct budget                 *budget;
    struct origin                 *origin;
    struct timer                   stall;          /* an upload has paused for long enough */
    unsigned                       paused_uploads; /* of `turns`: their clients have sent nothing more */
    struct breaker                 breaker;
    struct denials                 denials;
    struct hold                    hold;            /* a 5xx asked for a pause */
    bool                           cut_was_logged;  /* what it says of its limits cannot be meant: said once */
    LIST_HEAD(, early_life) early_lives;            /* early.c */
    LIST_HEAD(, flight)     flights;                /* all of this site, the newest first */
    TAILQ_HEAD(, naming) namings[QUEUE_PRIORITIES]; /* of flights that do not yet stand in line, in order of arrival */
    LIST_HEAD(, turn)    turns;                     /* under way */
    unsigned               in_flight, waiting;
    struct pace            pace; /* of all its requests */
    struct kind            kinds[KINDS];
    unsigned               paces;  /* noted since it was first known */
    LIST_ENTRY(site)       review; /* upstream->reviews: those who wait are to be told anew how long */
    struct upstream_counts counts;
    struct histogram       took; /* each attempt, from its sending to the head or the failure */
    double                 retry_balance;
    int64_t                retry_balance_ns; /* when it was last renewed */
    struct table_node      by_name;          /* upstream->site_names */
    LIST_ENTRY(site)       of_budget;        /* budget->sites */
};

/* -- who waits -- */
enum waiter_at { WAITER_NOWHERE, WAITER_WAITING, WAITER_RECEIVING /* has the head, the body is coming */ };

struct fetch_links {
    struct mail submit, leave, gone, cut; /* worker -> here, here -> worker */
    void (*receive)(struct mail *);       /* the engine's, of fetch->mail */
    enum fetch_event          event;      /* what fetch->event becomes when that mail arrives */
    struct upstream          *up;
    struct site              *site; /* from its arrival on */
    struct fetch             *fetch;
    struct flight            *flight;
    TAILQ_ENTRY(fetch_links)  entry; /* in the flight, in order of arrival */
    STAILQ_ENTRY(fetch_links) held;  /* upstream->held: those that curl's work keeps waiting */
    enum waiter_at            at;
    bool                      submitted, left;
    bool                      told; /* the worker's: fetch->mail has come */
    bool                      last; /* set before that: nothing here knows of the fetch any more */
    uint8_t                   variant[VARIANT_HASH_BYTES]; /* the fetch's, or what the split taught */
    bool                      by_search;                   /* it is told apart by seen.search, not by its key */
    int64_t                   wait_left_ns;                /* of max_wait, before the wait under way */
    int64_t                   wait_from_ns;                /* when that began */
    uint64_t                  miss;                        /* its number in misses.c; 0: none */
    char                     *words; /* hold fetch->limit and fetch->blocked_by; NULL: it was not refused */
};

TAILQ_HEAD(waiters, fetch_links);

/* -- one wish -- */
struct asking {                /* how it is sent, after what came of it before */
    bool     plain;            /* without Weir's own conditions: the 304 was about something else */
    bool     continued;        /* the client has been told to send its body */
    bool     unexpecting;      /* without Expect: the body is here, or the API answered 417 to that */
    int64_t  stalled_at;       /* failure.stalled: not again before the client has sent more than so much */
    unsigned dead_connections; /* it would have gone out on */
    unsigned undone;           /* times that the API said so */
};

struct past { /* what its attempts were like */
    struct attempt       attempts[ATTEMPTS_KEPT];
    unsigned             attempt_count;
    enum attempt_outcome last; /* of the newest; some may not be kept */
    int64_t              waited_ns, first_sent_ns, head_ns;
    struct ledger_bill  *bill; /* what they cost of limits in any unit, as far as that is known; NULL: nothing */
};

struct taping;
struct flight {
    struct upstream   *up;
    struct site       *site;
    LIST_ENTRY(flight) entry_of; /* site->flights; once it is over upstream->dead or upstream->idle */
    struct table_node  by_wish;  /* upstream->wishes */
    bool               in_table; /* others may join */
    enum flight_state  state;    /* flight_become() */
    struct fetch      *leader;   /* whose request is sent: a reference */
    uint8_t            variant[VARIANT_HASH_BYTES];
    struct waiters     waiters;
    unsigned           waiting, receiving; /* of these */
    bool               keep;               /* goes on without anybody: on_abort = "finish", refresh_behind */
    int64_t            keep_until_ns;      /* as long as that one would have waited */

    struct naming     *naming; /* who asks is being found out; NULL: it is not */
    struct queue_entry entry;
    struct charge      charge;
    unsigned           kind;           /* while it waits: of site->kinds */
    struct timer       pause;          /* back-off */
    struct timer       deadline;       /* the next waiter whose wait is over */
    int64_t            unsent_from_ns; /* when the wait under way began */
    bool               again;          /* was sent before: queue_put_again() */
    struct asking      ask;

    struct turn    *turn; /* at the API */
    struct past     past;
    struct failure *failure;      /* the last one, flight_failure(); NULL: there was none */
    struct answer  *spare;        /* the last listed status, for when it is not tried again after all */
    struct taping  *spare_taping; /* of that; NULL: it is not recorded */

    /* from the head on */
    struct answer *answer;
    struct answer *others;      /* for all but the first: see share.c; NULL: it is the same */
    struct slice   selection;   /* in answer's arena */
    bool           joined_part; /* to a stored one: stored only where that still stands */
    bool           live;        /* a stream of events: for those who were there when it began */
    bool           storing;     /* the body goes to the store when it is whole */
    bool           renewed;     /* what was early: early.c */
    bool           overtaken;   /* by a write or a purge: it does not */
    struct commit *commit;      /* what goes to the store; NULL: nothing yet */
    bool           committing;  /* its change is the writer's */
};

struct commit {
    struct flight      *flight;
    struct store_change change;
    struct arena        arena;
    struct labels       labels; /* of the change */
};

/* What was dropped by label of late: whose head comes after that, and was asked for before, bears it in vain. */
struct late_drops {
    struct late_drop {
        uint8_t label[LABEL_BYTES];
        size_t  bytes; /* of it that count */
        int64_t at_ns;
    } items[LATE_DROPS];
    unsigned count; /* that there ever were: a ring */
};

/* -- one attempt -- */
struct sending {                          /* of its body: stall.c */
    struct upload *upload;                /* the fetch's; NULL: there is none */
    bool           paused;                /* its client has sent nothing more */
    int64_t        asked_ns;              /* when more of it was asked for */
    int64_t        bytes;                 /* have gone */
    int64_t        paced_bytes, paced_ns; /* of these at that time */
};

struct turn {
    struct upstream *up;
    LIST_ENTRY(turn) entry; /* of the site's */
    struct site     *site;
    struct flight   *flight;   /* NULL: nobody's any more, it is only read out */
    struct fetch    *fetch;    /* whose request it sends: a reference */
    struct transfer *transfer; /* NULL: it has ended */

    struct receipt receipt; /* reserved from dispatch, stamped anew when it is sent */
    int64_t        reserved_ns;
    struct charge  charge;
    bool           sent;
    int64_t        begun_ns, sent_ns;
    enum stop      stop; /* what the callback under way says; at the end: why it was ended */

    struct answer       *answer;            /* made of the final head: a reference */
    bool                 chunked, may_wait; /* see transfer_head */
    bool                 given;             /* waiters have the head */
    bool                 held;              /* the head waits for its body to be checked */
    struct body_check   *check;             /* of the body, as `validate` asks; NULL: none */
    struct body_verdict *verdict;           /* what it says that its status does not; NULL: nothing */
    struct metering     *metering; /* what the answer says it cost; NULL: nothing of it is reserved in any unit */
    struct timer         hold;     /* the reservation moves along with its window */
    int64_t              body_bytes;
    int64_t              part_bytes; /* a stored part is being completed by so many; 0: none is */
    struct slice         part_tail;  /* of the stored part, after them; the fetch's */
    char                *telling;    /* the beginning of a body that may tell of a limit; malloc'd, NULL: may not */
    size_t               telling_bytes;

    struct taping *taping; /* what is recorded of it; NULL: nothing */

    struct sending sending;
    struct mail    ready, drained, farewell;
    bool           drained_wanted, mailed, ended;
};

/* -- the thread -- */
struct kept_row {
    SLIST_ENTRY(kept_row) entry;
    char                 *budget, *value;
    uint8_t               key[LEDGER_KEY_BYTES];
    size_t                bytes; /* of the value */
};

struct kept_ledger {             /* of the ledger, in the state */
    SLIST_HEAD(, kept_row) rows; /* as they were at the start, until their budget is made */
    uint8_t boot[LEDGER_BOOT_BYTES];
    bool    failed; /* to be written: said in the log */
};

struct pending {        /* what has to come back before the thread may end */
    unsigned farewells; /* of turns that have ended: their last mail */
    unsigned commits;   /* changes at the writer */
    unsigned saves;     /* rows at the writer */
    unsigned namings;   /* that have mail to come */
};

struct unshareable {
    uint64_t hash;
    int64_t  until_ns;
};

struct upstream {
    pthread_t                   thread;
    struct mailbox             *mailbox;
    int                         epoll_fd;
    bool                        fake_clock; /* WEIR_CLOCK_FILE: time may jump while the loop sleeps */
    struct store               *store;
    struct state               *state;
    upstream_match              match;
    struct store_reader        *reader;
    struct timers               timers;
    struct arena                scratch; /* reset by whoever used it */
    struct origins             *origins;
    const struct origin_events *events;    /* of all turns: turn_events */
    uint64_t                    last_site; /* the number of the newest */
    LIST_HEAD(, site)    sites, reviews;
    SLIST_HEAD(, budget) budgets;
    struct budgets dirty;
    struct table   site_names, budget_names;
    struct table   wishes;    /* flights that others may join */
    LIST_HEAD(, flight) dead; /* to be freed at the end of the round */
    LIST_HEAD(, flight) idle; /* memory for the next ones */
    unsigned                         idle_flight_count;
    unsigned                         flight_count;
    struct unshareable               unshareable[UNSHAREABLE_SLOTS];
    struct pending                   pending;
    struct late_drops                late_drops;
    struct early                     early;
    struct kept_ledger               kept;
    unsigned                         bust_count; /* in `busts` */
    struct heard                    *heard;      /* locks itself: heard.c */
    struct misses                   *misses;
    LIST_HEAD(bust_bucket, bust_row) busts[BUST_BUCKETS]; /* by the URL's hash: bust.c */
    uint64_t                         random;
    struct mail                      stop;
    bool                             stopping;
    bool                             holds; /* origin/ is at work: what waiters are told waits for its end */
    STAILQ_HEAD(, fetch_links) held;        /* in their order */
    int64_t disk_refused_ns;                /* said in the log at this time */
};

#define EACH_WAITER(w, f) for (struct fetch_links *w = TAILQ_FIRST(&(f)->waiters); w != NULL; w = TAILQ_NEXT(w, entry))
#define EACH_FLIGHT(f, site) \
    for (struct flight *f = LIST_FIRST(&(site)->flights); f != NULL; f = LIST_NEXT(f, entry_of))
#define EACH_SITE(s, up)   for (struct site *s = LIST_FIRST(&(up)->sites); s != NULL; s = LIST_NEXT(s, entry))
#define EACH_BUDGET(b, up) for (struct budget *b = SLIST_FIRST(&(up)->budgets); b != NULL; b = SLIST_NEXT(b, entry))
/* The body may remove the one, and no other. */
#define EACH_WAITER_SAFE(w, f) \
    for (struct fetch_links *w = TAILQ_FIRST(&(f)->waiters), *w##_next; \
         w != NULL && (w##_next = TAILQ_NEXT(w, entry), true); w = w##_next)
#define EACH_FLIGHT_SAFE(f, site) \
    for (struct flight *f = LIST_FIRST(&(site)->flights), *f##_next; \
         f != NULL && (f##_next = LIST_NEXT(f, entry_of), true); f = f##_next)

/* fetch.c */
void fetch_acquire(struct fetch *);
void fetch_set_error(struct fetch *, struct slice text);
void fetch_release(struct fetch *);
void fetch_charge(struct charge *, const struct fetch *);

/* waiter.c */
void    waiter_link(struct flight *, struct fetch_links *);
void    waiter_unlink(struct fetch_links *);
int64_t waiter_wait_left(const struct fetch_links *, int64_t now_ns);
/* Posts the final event; what it says stands in the fetch. Unlinks the waiter from its flight unless it receives. */
void waiter_post(struct fetch_links *, enum fetch_event);
void waiter_post_held(struct upstream *);
void waiter_fail(struct fetch_links *, const struct failure *, int64_t wait_ns);
void waiter_refuse(struct fetch_links *, int64_t wait_ns, const struct wait_cause *);
/* Parts of that: what is said, and what becomes of the body. */
void waiter_say_refusal(struct fetch_links *, int64_t wait_ns, const struct wait_cause *);
void waiter_discard(struct fetch_links *);
void waiter_tell_budget(struct fetch_links *);
void waiter_cut(struct fetch_links *); /* no more of the body, which goes on for others */
void waiter_post_interim(struct fetch_links *, unsigned status, const struct http_fields *);

/* flight.c */
/* May this fetch share an upstream request with others, and will it, as far as is known? */
bool flight_may_share(const struct site *, const struct fetch *);
/* Its answer is of the leader's URL: is it this one's as well? */
bool flight_answers(const struct flight *, const struct answer *, const struct fetch *);
void flight_remember_unshareable(struct flight *);
/* One that asks the same, after `last` (NULL: the first); NULL: that was all. */
struct flight  *flight_equal(const struct site *, const struct fetch_links *, const struct flight *last);
struct flight  *flight_new(struct site *, struct fetch_links *, bool shared);
void            flight_hide(struct flight *);          /* nobody joins any more */
bool            flight_goes_on(const struct flight *); /* somebody waits, or it finishes by itself */
struct failure *flight_failure(struct flight *);       /* to be written */
void            flight_set_deadline(struct flight *);
void            flight_withdraw(struct flight *); /* out of queue, pause and deadline */
void            flight_unstore(struct flight *);  /* it is not stored after all */
void            flight_settle(struct flight *);   /* free at the end of the loop's round where nothing holds it */
/* Nobody waits for it any more, and it does not finish by itself: ended, true. Else its deadline is set anew. */
bool flight_end_unwaited(struct flight *, int64_t now_ns);
void flight_fail(struct flight *, int64_t wait_ns); /* everybody hears of flight->failure */
/* Somebody has left, or it will not be stored: ended where it does not go on. Not from within curl's callbacks. */
void flight_look_who_waits(struct flight *);
void flight_sweep(struct upstream *);
void flight_free_idle(struct upstream *);

/* enter.c: also fetch_submit() and fetch_leave() */
enum ruling_kind {
    RULING_UNSENDABLE,
    RULING_JOINS,       /* `flight` */
    RULING_LOOKS_AGAIN, /* the store has it by now */
    RULING_SPARED,      /* what is stored and stale will do: low_budget */
    RULING_PAUSED,      /* the breaker is open */
    RULING_DENIED,      /* its credential is held */
    RULING_REFUSED,     /* it would wait for too long, or the queue is full */
    RULING_NAMED,       /* it stands in line when it is known who asks */
    RULING_QUEUED       /* in place of the newest of `flight`, where that is not NULL */
};
struct ruling { /* what becomes of a fetch that comes now; `w` has its variant and wait_left_ns, nothing is changed */
    enum ruling_kind  kind;
    struct flight    *flight;
    bool              may_share;
    bool              is_foretold, queue_full;
    int64_t           wait_ns; /* is_foretold */
    struct wait_cause cause;
};
/* progress.c: each is told once */
void          progress_queued(struct fetch_links *, bool joins, int64_t wait_ns);
void          progress_mark(const struct fetch *); /* it is about to be sent */
void          progress_sent(struct fetch *);       /* so is it, and is to hear of that: it waits still */
struct ruling enter_rule(struct site *, struct fetch_links *w);
/* Writes into the fetch what it is told; FETCH_PENDING: nothing, it goes on. */
enum fetch_event enter_say(struct site *, struct fetch_links *, const struct ruling *);
void             enter_arrive(struct fetch_links *, struct upstream *); /* what it stands in line with */
/* How long it will wait where RULING_NAMED says no more. */
void enter_foretell(struct site *, struct fetch_links *, struct ruling *);
void enter_again(struct site *, struct waiters *parted); /* they have left a flight; empty after */

/* late.c */
bool late_bears(const struct answer *, const struct fetch *asked, const uint8_t *label, size_t bytes);
void late_note(struct late_drops *, const struct store_change *drop);
/* When a label among those that a turn's head bears was last dropped, if that was since it was sent; else 0. */
int64_t late_dropped_ns(const struct turn *, const struct http_fields *);

/* patience.c: of those who listen to an API that is silent since then, while nothing is paused */
/* When the first of them gives up, and whether the attempt ends with that; INT64_MAX: nobody does. */
int64_t patience_until(const struct turn *, int64_t since_ns, bool *ends);
void    patience_end(struct turn *, int64_t since_ns, int64_t now_ns); /* tells those; it may be ended then */

/* overtake.c */
/* A write has changed this path: what was asked before is for those who asked, and not stored. */
void overtake_by_write(struct site *, const struct fetch *write);

/* dispatch.c */
void dispatch_put(struct flight *); /* into the queue */
/* May this one go before the flight as it stands? */
bool dispatch_stands_higher(const struct fetch *, const struct flight *);
/* Its client is known by now: where it waits it moves to his place. */
void dispatch_renamed(struct flight *);
/* A waiting one has another waiter: it may have to stand in another place for that. */
void dispatch_joined(struct flight *, const struct fetch *by);
/* Until it is tried again. Those who may not wait so long get what there is, at once: true where there are any. */
bool dispatch_pause(struct flight *, int64_t after_ns);
void dispatch_run(struct upstream *);    /* all dirty budgets */
void dispatch_review(struct upstream *); /* what became known is told to those whom it concerns */
/* PREREQ: may it go now? */
bool dispatch_sends(struct turn *);
/* Has the store got an answer to this since it was looked up? */
bool dispatch_is_stored(struct upstream *, const struct fetch *);

/* complete.c */
/* A 206 to a request for what a stored part lacks: becomes the whole's head.  False where the two do not combine. */
bool complete_head(struct turn *);
/* The body has ended: false where it is not as long as it said. */
bool complete_end(struct turn *);

/* turn.c */
void turn_start(struct flight *, const struct receipt *, struct budget_now);
/* The flight wants no more of it: ended, without a word to the flight. */
void turn_abandon(struct turn *);
void turn_retire(struct turn *); /* it has ended */
void turn_joined(struct turn *); /* somebody listens to it from now on; NULL is fine */

/* stall.c */
/* Others wait for a place, and none is free: the upload that has paused longest may have to give up its own. */
void stall_watch(struct site *);
/* It was sent for long enough, without its client: true while that one still sends nothing. */
bool stall_goes_on(const struct flight *);
/* So much of the body has gone. */
void stall_sent(struct turn *, size_t bytes);
void stall_paused(struct turn *);
void stall_resumed(struct turn *);

/* events.c */
extern const struct origin_events turn_events;

/* attempt.c: called from origin/'s callbacks.  False: t->stop says why it is to end. */
bool attempt_head(struct turn *, struct transfer_head *);
void attempt_interim(struct turn *, unsigned status, const struct http_fields *, struct arena *);
/* False: so far ahead of who reads it that the API is to wait. */
bool attempt_takes(const struct turn *);
bool attempt_body(struct turn *, const char *bytes, size_t count);
void attempt_ended(struct turn *, const struct transfer_end *);
void attempt_trailer(struct turn *, struct slice name, struct slice value);

/* hearing.c: what an attempt tells */
void hearing_head(struct turn *); /* t->answer is there */
void hearing_body(struct turn *, const char *bytes, size_t count);
void hearing_end(struct turn *);
/* The body has ended: what is reserved in any unit is settled by what a whole answer said. */
void              hearing_meter(struct turn *, bool is_whole);
void              hearing_nothing(struct turn *, bool went); /* no head will come; the API may have counted it */
void              hearing_forget(struct upstream *, struct upstream_forget *);
extern const char hearing_hold_name[]; /* under which a 5xx's pause is told and forgotten */

/* share.c */
/* The flight's final head: decides whether it is stored, and who gets it. Those who do not have left the flight, and
 * stand in `parted`, in their order. */
void share_head(struct flight *, struct turn *, struct answer *, struct waiters *parted);
void share_not_modified(struct flight *, struct turn *, struct answer *);
/* May one that comes later have what is coming?  Then it gets it. */
bool share_may_late(const struct flight *, const struct fetch *);
void share_late(struct flight *, struct fetch_links *);
/* What was kept of the last attempt goes to everybody. */
bool share_spare(struct flight *);
/* The same to one of them, for whom it is over. */
bool share_spare_with(struct flight *, struct fetch_links *);

/* commit.c */
/* The answer with so many bytes of body is seen by look-ups, as soon as these are there. */
void commit_announce(struct flight *, int64_t body_bytes);
void commit_put(struct flight *);
/* What the 200 to a HEAD says of the stored response (RFC 9111 4.3.5): it is freshened, or stale from now on. */
void commit_head(struct flight *);
void commit_freshen(struct flight *);

/* site.c */
struct site       *site_find(const struct upstream *, const char *name); /* NULL: nothing is known of it */
struct site       *site_of(struct upstream *, const struct fetch *);
struct queue_class site_class(const struct site *, const struct charge *);
void site_configure(struct upstream *, struct ref *config, const struct upstream_options *const *, unsigned count);
void site_free_all(struct upstream *);
/* Requests that may be under way at once. */
unsigned site_slots(const struct site *);
bool     site_may_retry(struct site *, int64_t now_ns);
void     site_count_request(struct site *, int64_t now_ns);
void     site_spend_retry(struct site *); /* out of retry.share, whether it was sent or not */
void     site_report_breaker(struct site *, bool ok, int64_t now_ns);

/* keep.c */
extern const struct state_owner keep_rows;
void                            keep_load(struct upstream *);
void                            keep_start(struct budget *);
void                            keep_look(struct budget *); /* something was spent: rows may be due */
void                            keep_stop(struct budget *);
void                            keep_free(struct upstream *);

/* heard.c */
struct heard *heard_open(void);
void          heard_close(struct heard *); /* NULL is fine */
void          heard_forget(struct heard *, const char *upstream);
/* False: it says nothing of limits. */
bool heard_note(struct heard *, const struct fetch *, const struct http_response *);

/* bust.c */
extern const struct state_owner bust_rows;
void                            bust_load(struct upstream *);
void                            bust_free(struct upstream *);
/* The target as it is sent: for a refresh with the bust parameter, whose number is taken by that. */
struct slice bust_target(struct turn *, struct slice target, struct arena *);

/* misses.c: the last misses of each rule */
struct misses *misses_open(void);
void           misses_close(struct misses *); /* NULL is fine */
void           misses_note(struct fetch_links *);
/* What was said of storing the answer. */
void misses_end(const struct fetch *, enum storable);
/* False: it has had none, as far as is remembered. */
bool misses_of(const struct misses *, const char *upstream, const struct policy_options *rule, struct rule_misses *);

/* report.c */
void report_fill(struct upstream *, struct upstream_report *);
/* longest.c */
/* What people know the client by, as far as the kernel has told by now; printable ASCII. */
void longest_name_client(const struct fetch *, char *out, size_t bytes);
void longest_fill(struct upstream_report_entry *, const struct site *, struct arena *);

/* A script answers, not the API: nothing is learned from that, charged for it or tried again. */
static inline bool turn_is_played(const struct turn *t)
{
    return t->fetch->script != NULL;
}

static inline struct budget_now budget_time(void)
{
    return (struct budget_now){ .mono_ns = clock_mono_ns(), .wall_ns = clock_wall_ns() };
}

/* Its queue is asked before the loop sleeps. */
static inline void budget_kick(struct budget *b)
{
    if (b->is_dirty)
        return;
    b->is_dirty = true;
    TAILQ_INSERT_TAIL(&b->up->dirty, b, dirty);
}

#endif
