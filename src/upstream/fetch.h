/*
 * One client's wish for an upstream answer, and what becomes of it.
 *
 * The engine fills a fetch on its worker and submits it; from then on what it asked
 * is constant, and the upstream thread reports by posting `fetch.mail` to the worker's
 * mailbox: `event` says what happened.  Each side holds one reference; the worker
 * gives its own back with fetch_leave(), which also says that the client
 * waits no longer.
 *
 * Life:  new -> submit -> [FETCH_INTERIM]* -> one of the final events -> leave.
 * After FETCH_HEAD the body is read from answer->body at the worker's pace.
 */
#ifndef WEIR_UPSTREAM_FETCH_H
#define WEIR_UPSTREAM_FETCH_H

#include "base/arena.h"
#include "base/clock.h"
#include "base/mailbox.h"
#include "base/ref.h"
#include "budget/ledger.h"
#include "budget/queue.h"
#include "budget/retry.h"
#include "peer/finder.h"
#include "policy/decide.h"
#include "policy/key.h"
#include "policy/storable.h"
#include "policy/vary.h"
#include "store/spool.h"
#include "tape/tape.h"
#include "upstream/options.h"
#include "upstream/race.h"
#include "upstream/upload.h"

enum fetch_event {
    FETCH_PENDING,
    FETCH_HEAD,         /* `answer` has the head; its body follows in the spool */
    FETCH_NOT_MODIFIED, /* the stored response still holds; answer->head is that, freshened */
    FETCH_LOOK_AGAIN,   /* the store has it by now: look up once more */
    FETCH_SPARED,       /* the budget is short: the stale one that is stored will do (may_spare) */
    FETCH_REFUSED,      /* the budget or the queue: `wait_ns` until it would be allowed; answer NULL */
    FETCH_FAILED        /* no usable answer: `outcome`, `error`; answer NULL */
};

struct budget_word { /* of the charge's limit that has the smallest share left */
    char     limit[64];
    uint64_t allowed, left; /* allowed 0: no limit holds */
    int64_t  window_ns;     /* 0: not known */
    int64_t  resets_in_ns;
};

struct attempt {                    /* one try, for the log and Server-Timing */
    enum attempt_outcome outcome;   /* budget/retry.h */
    unsigned             status;    /* 0: none came */
    int64_t              waited_ns; /* in queue, for budget or back-off, before it */
    int64_t              took_ns;   /* from sending to the head or the failure */
};
enum { ATTEMPTS_KEPT = 8, ATTEMPT_TEXT_BYTES = 16 };
/* What it came to: the status of an answer that was one, else the outcome's token. */
void attempt_text(const struct attempt *, char out[ATTEMPT_TEXT_BYTES]);

struct outcome {                       /* what it took to get an answer: for the log, Cache-Status and Server-Timing */
    bool                collapsed;     /* shared an upstream request that another began */
    uint64_t            shared_with;   /* collapsed: whose it was */
    bool                stored;        /* the answer is being stored: Cache-Status `stored` */
    unsigned            attempt_count; /* may exceed ATTEMPTS_KEPT */
    struct attempt     *attempts;      /* the first ATTEMPTS_KEPT, of the fetch or whose outcome it is; NULL: none */
    struct ledger_bill *bill;   /* what it cost of limits in any unit, all attempts; NULL: nothing, it is another's to
                                       * pay, or not known before the body's end */
    struct budget_word  budget; /* as it is now */
    int64_t             predicted_ns; /* the wait, as it was foreseen when it came */
    int64_t             queued_ns;    /* all waits */
    int64_t             upstream_ns;  /* from the first sending to the head */
};

/* What came from the API: shared by all who wait for it, immutable once posted. */
struct answer {
    struct ref           ref;            /* answer_release() */
    struct arena         arena;          /* holds the head */
    struct http_response head;           /* end-to-end fields as the API sent them (or freshened) */
    struct spool        *body;           /* NULL: no content (HEAD, 204, 304) */
    int64_t              content_length; /* -1: unknown */
    int64_t              requested_wall_ns, received_wall_ns;
    enum storable        storable; /* STORABLE_YES: it is being stored */
    bool                 http2;
    bool                 failed; /* its body says so: no success, whatever its status (retry.never, .refused) */
    bool                 masked; /* the head's fields hold marks: policy/mask.h */
    /* valid once the spool has ended whole: */
    struct http_fields  trailers; /* in arena of its own */
    struct arena        trailer_arena;
    struct ledger_bill *bill; /* for the one who asked, where his outcome has none; NULL: nothing */
};
struct answer *answer_new(void); /* one reference; empty */
void           answer_acquire(struct answer *);
void           answer_release(struct answer *); /* NULL is fine */

/* A 1xx head other than 101 (RFC 9110 15.2, 103 Early Hints), passed on as it comes; 100 to a fetch that expects it. */
struct fetch_interim {
    struct mail        mail;  /* .receive is the fetch's on.interim */
    struct fetch      *fetch; /* a reference */
    unsigned           status;
    struct http_fields fields; /* in `arena` */
    struct arena       arena;
};
void fetch_interim_free(struct fetch_interim *); /* drops its reference too */

/* A credential that Weir adds as it sends: never among the request's fields nor in its target, so that no key, no
 * selection and no message can hold it.  `value` ptr NULL: none; else one of the two says where. */
struct fetch_auth {
    struct slice header, param, value;
};

/* A refresh behind a CDN that keeps what it has for so long: which parameter makes it another URL; 0: none. */
struct fetch_bust {
    int64_t      every_ns;
    struct slice param;
};

struct fetch_caller {         /* by whose right it is asked */
    struct partition account; /* whose budget it is: the credential's, all zero: none */
    bool             has_credential;
    bool             has_kin;     /* who brings another credential may have the same key */
    bool             is_explicit; /* it is more than a cookie */
    bool             is_signed;   /* the request carries a signature of its own: policy/signature.h */
};

struct fetch_stored {                  /* the stored response that the request is also about */
    bool                   validating; /* its conditional fields are Weir's own, for this one */
    bool                   completing; /* its Range and If-Range are, for what `part` lacks */
    bool                   heading;    /* a HEAD whose 200 speaks of this one, too (RFC 9111 4.3.5) */
    struct stored_response head;       /* copied to the arena; head.status 0: none */
    struct slice           part;       /* the bytes that there are */
    struct slice           selection;
    uint64_t               id; /* store_record.id; 0: none */
    uint8_t                variant[VARIANT_HASH_BYTES];
};

struct fetch_client {
    struct slice        name;          /* for people; where the kernel gives it: as known then */
    bool                is_named;      /* it gave itself that name, which is its program in `who` */
    struct queue_who    who;           /* fairness is between these; the upstream thread's from the submission on */
    struct peer_card   *card;          /* a reference: who that is, where `who` does not say it yet */
    struct peer_finder *finder;        /* which may be asked for it */
    bool                batch;         /* priority class */
    unsigned            keep_permille; /* of every limit, left for others: struct charge */
};

/* With limits in any unit: what these may cost. */
struct fetch_cost {
    uint64_t               rule;
    const struct estimate *estimates; /* in the fetch's arena */
    unsigned               estimate_count;
};

struct fetch_patience {
    int64_t                       max_wait_ns; /* queue.max_wait or Weir-Max-Wait */
    const struct timeout_options *timeout;     /* of the rule, or of the upstream; of `config` */
    int64_t                       read_ns;     /* that one's, or Weir-Timeout */
    int64_t                       arrived_mono_ns;
};

struct fetch_seen {  /* by the look-up before it */
    int64_t wall_ns; /* a record received later than this: FETCH_LOOK_AGAIN */
    bool    none;    /* whatever is stored now came since */
    bool    new_key; /* nothing at all was stored under the key, of no variant */
    bool    again;   /* has had FETCH_LOOK_AGAIN once: fetch now */
    /* What answers of that path have said before (No-Vary-Search): equal where they may well get one answer. */
    bool    has_search;
    uint8_t search[KEY_HASH_BYTES];
};

struct fetch_callbacks {            /* on the worker; each may be NULL */
    void (*interim)(struct mail *); /* NULL: 1xx heads are not wanted */
    void (*cut)(struct fetch *);    /* the body goes on, but no more for this one, whose time-out is over */
    void (*gone)(struct fetch *);   /* see fetch_leave() */
};

struct fetch_said {                 /* why there is no answer */
    enum attempt_outcome failed_as; /* FETCH_FAILED */
    /* FETCH_FAILED: for people, never a credential; Proxy-Status details */
    char       *error;        /* NULL: nothing; the fetch's own */
    bool        body_stalled; /* FETCH_FAILED: its client paused, others waited for a place */
    const char *proxy_error;  /* RFC 9209 error type token: "connection_refused" ... */
    int64_t     wait_ns;      /* FETCH_REFUSED: exact, from now */
    const char *limit;        /* FETCH_REFUSED: name of the limit, or "queue" */
    bool        denied;       /* FETCH_FAILED: its credential is held after a 401 */
    bool        queue_full;   /* FETCH_REFUSED: queue.max_length others wait */
    const char *blocked_by;   /* FETCH_REFUSED: by which word of the API's; NULL: the limit's own */
};

/* For who is told of it while he does not wait for its answer alone.  Its mails come before the final one. */
struct fetch_progress {
    /* -- filled by the engine -- */
    _Atomic uint64_t *mark; /* `number` stands there before anything is sent; NULL: that is of no matter */
    uint64_t          number;
    void (*told)(struct fetch *); /* on the worker */
    struct fetch *fetch;          /* whose it is */
    /* -- there when it is told -- */
    bool     is_queued, is_sent;
    int64_t  wait_ns; /* foreseen, when it came */
    uint64_t ahead;   /* of those that wait for the same API, then */
    /* -- the upstream thread's -- */
    struct mail queued, sent;
    bool        queued_posted, sent_posted;
};

struct fetch_may {
    bool store;      /* the request does not forbid it */
    bool store_part; /* nothing better is stored than a 206 would be (RFC 9111 3.3) */
    bool spare;      /* a stale answer will do while the budget is short */
};

struct fetch_manner {
    struct tape *tape;           /* a reference: what comes of it is recorded; NULL: it is not */
    struct slice taped_as;       /* with a tape: the authority that was asked for, which may be an alias */
    struct race *race;           /* a reference; NULL: its answer is wanted whatever others say */
    bool         must_be_new;    /* joins only a flight not yet sent */
    bool         is_probe;       /* a credential that is held goes, too */
    bool         refresh_behind; /* nobody waits: stale-while-revalidate, prefetch */
    bool         is_early;       /* what is stored is fresh yet: after everybody else, or never (prefetch) */
    bool         bears_refusals; /* it waits for as long as the API says 429, whatever retry.attempts says */
    bool         leaves_queue;   /* while it waits it goes when its owner goes, whatever on_abort says */
};

struct fetch {
    /* -- filled by the engine before fetch_submit(), constant after; text in `arena` -- */
    struct arena                   arena;
    uint64_t                       id;     /* of the request, in the log */
    struct ref                    *config; /* a reference: keeps `upstream` and `policy` alive */
    const struct upstream_options *upstream;
    const struct policy_options   *policy;    /* of the matching rule */
    struct slice                   authority; /* which of the upstream's hosts is asked; text of `config` */
    struct http_request            request;   /* target and fields as they go upstream (end to end) */
    struct fetch_auth              auth;
    struct slice                   path; /* what limits' `match` sees */
    struct fetch_bust              bust;
    /* Answers in the API's place: at once, without a limit, a retry or a trace in what is known of the API.  NULL: the
     * API does. */
    const struct origin_script *script;  /* of `arena` */
    struct upload              *upload;  /* a reference; NULL: no body */
    bool                        expects; /* its client sends the body when it hears 100 (RFC 9110 10.1.1):
                                                   * on.interim gets one when the body is wanted */
    struct fetch_caller         caller;
    bool                        has_key; /* false: passed through, neither shared nor stored */
    struct cache_key            key;
    /* of the last known Vary: flights are told apart by it */
    uint8_t                variant[VARIANT_HASH_BYTES];
    enum forward_reason    reason; /* why the look-up did not do; FWD_NONE: a refresh */
    struct fetch_may       may;
    struct fetch_manner    manner;
    struct fetch_stored    stored;
    struct fetch_cost      cost;
    struct fetch_client    client;
    struct fetch_patience  patience;
    struct fetch_seen      seen;
    struct request_wish    wish;    /* what the client says of freshness; its `client` is not set */
    struct mailbox        *mailbox; /* the worker's */
    struct mail            mail;    /* .receive set by the engine; posted once, with the final event */
    struct fetch_callbacks on;
    struct fetch_progress *progress; /* in `arena`; NULL: only the final mail is wanted */
    void                  *engine;   /* whose fetch it is; untouched by the upstream thread */
    void                  *owner;    /* the exchange; the worker's alone; NULL once it left */

    /* -- filled by the upstream thread before it posts `mail` -- */
    enum fetch_event  event;
    struct answer    *answer; /* the fetch's reference */
    struct fetch_said said;
    struct outcome    outcome;

    struct fetch_links *links; /* the upstream thread's own */
    struct ref          ref;
};

/* What was asked about early of late, and until when that rests. */
enum { EARLY_SLOTS = 256 };
struct early_slot {
    uint64_t name;
    int64_t  until_ns; /* monotonic */
};
/* `left_ns`: of its life. */
static inline int64_t fetch_early_rest_ns(int64_t left_ns)
{
    return left_ns / 8 < 30 * NS_PER_SEC ? left_ns / 8 : 30 * NS_PER_SEC;
}

struct upstream;

static inline enum queue_priority fetch_priority(const struct fetch *f)
{
    return f->manner.is_early ? QUEUE_IDLE : f->client.batch ? QUEUE_BATCH : QUEUE_INTERACTIVE;
}

struct fetch *fetch_new(void); /* zeroed, one reference: the worker's */
/* Hands it over (takes a second reference). The answer comes as mail; never from within this call. */
void fetch_submit(struct upstream *, struct fetch *);
/*
 * Worker: done with it, whether or not an answer came.  `mail` may still arrive:
 * the engine's receive sees owner NULL and does nothing.  The upstream thread takes
 * note, drops its reference, and posts one last mail (of its own, in the fetch)
 * to the worker's mailbox; on the worker's thread that mail calls on.gone(fetch)
 * and then drops the worker's reference.  So the memory outlives every mail
 * that was posted before, and a worker can wait until all its fetches are gone.
 * Where the upstream thread was done with it when it posted `mail`, all of that happens at once.
 * Never called twice.  A fetch that was not submitted is freed at once (no on.gone).
 */
void fetch_leave(struct upstream *, struct fetch *);

#endif
