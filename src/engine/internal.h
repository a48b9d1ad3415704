/*
 * What the engine's own files share: the exchange as its steps see it.
 * No other room includes this.
 */
#ifndef WEIR_ENGINE_INTERNAL_H
#define WEIR_ENGINE_INTERNAL_H

#include "base/counters.h"
#include "base/list.h"
#include "base/timer.h"
#include "engine/admission.h"
#include "engine/client.h"
#include "engine/credential.h"
#include "engine/engine.h"
#include "engine/guard.h"
#include "engine/relink.h"
#include "policy/decide.h"
#include "policy/label.h"
#include "policy/validate.h"
#include "route/route.h"
#include "tape/tape.h"

/* The way of a request, in order; a step returns the next one, the runner alone moves. */
// clang-format off
#define ENGINE_STEPS(X) \
    X(GUARD,   guard)   /* framing, and what is never carried */                  \
    X(ROUTE,   route)   /* which upstream */                                      \
    X(ADMIT,   admit)   /* whose pages and which users may use it */              \
    X(OWN,     own)     /* of no upstream: Weir's own endpoints */                \
    X(RULE,    rule)    /* which rule holds, what the request's fields ask for */ \
    X(REPLAY,  replay)  /* from a snapshot, where nothing may be asked */         \
    X(KEY,     key)     /* whose it is, and what it is the same as */             \
    X(LOOKUP,  lookup)  /* what the store has for it */                           \
    X(DECIDE,  decide)  /* policy: serve, ask, fetch or refuse */                 \
    X(PURGE,   purge)   /* PURGE: drops the URL from the caller's partition */    \
    X(SERVE,   serve)   /* from what is stored */                                 \
    X(DRY,     dry)     /* in the API's place: a dry run, a mock */               \
    X(FETCH,   fetch)   /* ask the upstream thread */                             \
    X(AWAIT,   await)   /* suspended until it has answered */                     \
    X(FINISH,  finish)  /* the reply's fields are completed */
// clang-format on

enum step {
#define X(id, name) STEP_##id,
    ENGINE_STEPS(X)
#undef X
        STEP_DONE, /* the reply's head is ready */
    STEP_SUSPEND
};

#define X(id, name) enum step step_##name(struct exchange *x);
struct exchange;
ENGINE_STEPS(X)
#undef X

struct engine {
    const struct engine_services *services;
    struct mailbox               *mailbox;
    struct config                *config;
    struct recorder              *recorder;
    struct store_reader          *reader;
    struct groups                *groups;
    void                         *desk;  /* of services->later; NULL: none */
    struct mail                   begin; /* the worker runs: it may begin */
    LIST_HEAD(, engine_ticker) tickers;
    SLIST_HEAD(, exchange)     unused; /* kept for the next request */
    struct timers     timers;
    struct early_slot early[EARLY_SLOTS];
    unsigned          unused_count;
    unsigned          open_count;   /* exchanges, fenced ones included */
    unsigned          fetch_count;  /* fetches whose last mail has not come */
    unsigned          change_count; /* invalidations that the writer has not acknowledged */
    uint64_t          next_id, id_step;
    unsigned          index; /* of the worker: whose cells of a traffic are its own */
};

/* What is stored for the request, as far as the exchange may still serve it. */
struct similar_key { /* under which something like the request's is stored */
    uint8_t      hash[STORE_HASH_BYTES];
    struct slice full; /* in the exchange's arena */
};
/* similar.c: after a miss, what the newest response that answers the request by its No-Vary-Search is stored under. */
bool similar_find(struct exchange *, struct similar_key *out);

struct candidate {
    bool                   selected; /* something was found */
    bool                   other_variant;
    bool                   is_similar; /* of another query that says the same: as it stands or not at all */
    struct stored_response response;
    struct slice           selection;
    struct slice           body; /* inline: database pages, or the arena once kept */
    uint64_t               body_file;
    uint64_t               id;
    uint8_t                hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
    struct store_record    record;   /* valid while `borrowed` */
    bool                   borrowed; /* the store's read transaction is open for it */
    int                    fd;       /* body file; -1: not opened */
};

/* What the key and the budget go by. */
struct identity {
    struct partition partition;
    bool             has_credential;
    bool             is_explicit;     /* it is more than a cookie */
    bool             account_differs; /* from the partition */
    bool             is_identity;     /* of several tokens, of which this is one (setting identities) */
    bool             is_nobodys;      /* signed by whom nothing can be kept for */
    struct signature signature;
    struct slice     signer; /* of a signed request: who asks on this machine */
};

/* When, and by what, the look-up was answered. */
struct sight {
    unsigned times; /* looked up */
    int64_t  wall_ns;
    uint64_t generation;          /* of the store, before that */
    bool     has_search;          /* of the path something varies by a part of the query alone: */
    uint8_t  search[LABEL_BYTES]; /* the label of what is this one then */
    uint64_t heard_generation;    /* of the upstream's words in the reply */
    int64_t  heard_for_ns;        /* how long those stay as they are */
};

/* The client's body. */
struct body {
    struct upload *upload;
    struct mail    room; /* the upload has space again */
    int64_t        received_bytes;
    bool           collecting; /* it is gathered for the key */
    bool           estimating; /* or to tell what it may cost */
    bool           awaited;    /* nothing of it is there, and without that nothing is sent */
    bool           ended;
    bool           expects;   /* the client sends nothing before it hears 100 */
    bool           continued; /* the API wants it */
    bool           is_cut;    /* of a dry run: too long to be shown */
};

/* The credential that Weir adds (setting auth). */
struct injection {
    bool                   names; /* the partition is the upstream's name */
    bool                   adds;  /* to this request */
    bool                   renewed;
    bool                   waits, waited; /* for auth.command; ever */
    struct slice           value;         /* of auth.command; ptr NULL: not there yet */
    uint64_t               number;        /* of the run that printed it */
    uint64_t               refused;       /* ... of one refused with 401 */
    struct credential_wait wait;
};

/* The process that asks, where its class may depend on that. */
struct naming_process {
    bool             waits, waited; /* ever */
    struct peer_wait wait;
};

/* JSON bodies are led back through Weir. */
struct relinking {
    bool           wanted;
    struct relink *filter; /* over the answer's body, or over: */
    int            fd;     /* a stored body; -1: none */
    int64_t        at, left;
    bool           ended;
};

/* REPLY_STREAM */
struct stream {
    struct answer      *answer; /* a reference */
    struct spool_reader reader;
    bool                is_open;
    bool                cut; /* its own time-out is over: the body goes on for others only */
};

/* Of a path of Weir's own: service.h. */
struct service {
    const struct engine_service *of;
    void                        *handle;
    bool                         answered;
    bool                         complete;  /* the reply is one that was finished before */
    bool                         is_wanted; /* it is to be answered later, should it have to be asked for */
    struct http_request          asked;     /* is_wanted: the request as it came */
};

/* A snapshot answers, or is added to: playing.c. */
struct playing {
    struct tape *own;      /* the client's: a reference; NULL: the upstream's counts */
    bool         missed;   /* it is not recorded, and goes on as any other */
    bool         collects; /* the body is taken, to be looked for */
    bool         too_long;
    char        *body; /* malloc'd */
    size_t       body_bytes, body_room;
};

struct explain_fact;
struct dry_run {    /* explain.c */
    bool knows_all; /* whoever asks may hear what would come after he is refused by `access`, too */
    bool is_denied; /* he was */
    /* instead of what is stored: explain_fact.c */
    enum store_result (*look_up)(struct exchange *, store_accept,
                                 struct store_record *out); /* NULL: the store has it */
    const struct explain_fact *facts;
    unsigned                   fact_count;
};

struct invalidation;
struct drops {
    LIST_HEAD(, invalidation) on_way; /* through the writer */
    bool     begun;
    uint64_t records;
};

/* What step_finish() completes the reply by. */
struct finish {
    bool     of_api;             /* not Weir's own: it is dressed for the client */
    unsigned upstream_status;    /* Cache-Status fwd-status; 0: none */
    size_t   cache_status_bytes; /* made by it: Weir's member, the last one of that field's value */
};

/* For the access log and the counters, but for `outcome`. */
struct story {
    int64_t      started_wall_ns, started_mono_ns;
    const char  *cache, *detail; /* its words there */
    const char  *error;          /* name of the problem that was answered; NULL: none */
    unsigned     refused_status; /* by the front, in the midst of its body; 0: not */
    enum counter counter;        /* what became of it; 0: as its status says */
    enum counter counted;        /* as what it was; 0: it was not yet */
};

struct exchange_mode {
    enum upstream_mode holds; /* mode_decide() */
    enum upstream_mode own;   /* the client's: engine/mode.h */
    bool               has_own;
    struct own_run    *run;      /* a reference; NULL: it belongs to none */
    struct stand_in   *stand_in; /* dry.c; NULL: nothing is answered in the API's place */
    struct dry_run    *dry;      /* nothing happens: only what would; NULL: a request */
};

struct so_far {
    bool                      fetch_noted; /* what it counted is in `outcome` */
    bool                      forwarded;
    bool                      not_spared; /* low_budget has had its say */
    const struct ledger_bill *paid;       /* before it was asked again with a renewed credential; NULL: nothing */
};

struct exchange {
    struct engine        *engine;
    struct config        *config; /* a reference */
    struct exchange_input in;
    struct arena          arena;
    uint64_t              id;
    enum step             at;
    bool                  closed; /* only its fence is awaited */
    /* what it waited for, and front/ cannot know of, is there */
    void (*go_on)(struct exchange *);

    struct route                  route;
    const struct config_upstream *up;
    const struct route_rule      *rule;
    struct exchange_mode          mode;
    const struct policy_options  *policy;
    struct request_wish           wish;
    struct slice                  cors_origin; /* of another site's page that may ask; ptr NULL: none */
    struct client                 client;      /* name.ptr NULL: nobody has asked yet */
    struct identity               who;
    bool                          has_key;
    struct cache_key              key;
    struct sight                  seen;
    struct candidate              stored;
    struct decision               decision;

    struct body           body;
    struct playing        play;
    struct injection      auth;
    struct naming_process peer;
    struct fetch         *fetch;
    struct so_far         so_far;
    struct outcome        outcome;
    struct drops          drops;

    struct reply     reply;
    struct finish    finish;
    struct stream    stream;
    struct relinking relink;
    struct service   service;
    struct story     log;

    struct mail           fence;
    SLIST_ENTRY(exchange) entry; /* of those that are unused */
};

/* runner.c: one step of an exchange that only asks what would happen.  STEP_SUSPEND: it would wait for its client. */
enum step exchange_step_dry(struct exchange *x);
/* lookup.c: the same look-up, which leaves no trace. */
enum step step_lookup_dry(struct exchange *x);
/* exchange.c: one that is run dry (explain.c): it has no number, is not counted and not in the log. */
struct exchange *exchange_open_dry(struct engine *, const struct exchange_input *, struct dry_run *);
void             exchange_close_dry(struct exchange *);
/* fetching.c: what is stored goes along with the request, where its body is still there. */
void fetching_keep(struct exchange *x);
/* spent.c: what it cost of limits in any unit, as Weir-Cost says it; ptr NULL: nothing, or another pays. */
struct slice spent_cost(struct exchange *x, const struct ledger_bill *bill);
/* estimate.c: what it may cost in any unit. */
bool estimate_awaits_body(struct exchange *x);
void estimate_fill(struct exchange *x, struct fetch *f);
/* exchange.c: each request is counted once, for what became of it. */
void exchange_count(struct exchange *x, enum counter outcome);

/* inject.c: whether Weir adds a credential, and whose partition that is; once, when the route is known. */
void inject_decide(struct exchange *x);
/* identity.c: whose token the request brings, where it is one of several of a principal. */
void identity_name(struct exchange *x, struct key_input *in);
/* Is the request signed, and by whom then?  Asks the kernel who that is for a signed one only. */
void identity_signer(struct exchange *x, struct key_input *in);
/* Whose budget it is. */
struct partition identity_account(struct exchange *x);
/* Puts the request's own credentials where the fields have marks of them (policy/mask.h). */
void identity_unmask(struct exchange *x, struct http_fields *f);
void inject_name(const struct exchange *x, struct key_input *in);
/* READY: it is there, or none is needed; RUNNING: the exchange is told when to ask again. */
enum credential_state inject_await(struct exchange *x, struct credential *c);
/* The reply that says so. */
enum step inject_failed(struct exchange *x, const struct credential *c);
/* The same for a fetch that nobody waits for. */
bool inject_is_ready(struct exchange *x);
void inject_fill(struct exchange *x, struct fetch *f);
/* The API has answered so: true where the request is to be sent again with a new credential. */
bool inject_renew(struct exchange *x, unsigned status);
void inject_close(struct exchange *x);

/* dress.c: the request's fields as they go to its upstream; once, when its route is known. */
void dress_request(struct exchange *x);
/* The reply as it goes to the client: links lead back through Weir. Once, when head and body are set. */
void dress_reply(struct exchange *x);
/* cors.c: x->cors_origin asks what it may send; the reply says yes. */
bool      cors_is_preflight(const struct exchange *x);
enum step cors_preflight(struct exchange *x);
/* What a page of x->cors_origin needs to read the reply. */
void cors_fields(struct exchange *x, struct http_fields *f);
/* A document below Weir's own name gets an origin of its own: its scripts are no pages of Weir's. */
void cors_sandbox(struct exchange *x, struct http_fields *f);

/* describe.c: what was answered; 499: nothing. */
unsigned exchange_status(const struct exchange *x);
/* Where it is counted in its upstream's traffic, when exchange_count() has said what became of it. */
unsigned exchange_traffic_cell(const struct exchange *x);
/* The log's line but for how long it took and what went out; text is the exchange's, or in `a`. */
struct request_record exchange_describe(const struct exchange *x, struct arena *a);
/* read.c */
void read_close(struct exchange *x);

/* rule.c: a "Weir-" field that is not known, or has a value that it cannot have. */
enum step rule_refuse_field(struct exchange *x, const struct bad_wish *bad);
/* taped.c */
struct tape *playing_tape(const struct exchange *x); /* NULL: there is none */
/* Of the host that was asked for: a program that asks for an alias is to find what it asked for. */
struct slice playing_authority(const struct exchange *x, struct arena *a);
bool         playing_records(const struct exchange *x);                         /* what comes of it is added to that */
void         playing_take(struct exchange *x, const void *bytes, size_t count); /* while play.collects */
void         playing_close(struct exchange *x);

/* mode.c: which mode holds, of the upstream's, as it was when the request came, and the client's own; the route is
 * known; again when the request's own wish (Weir-Dry-Run) is. */
void mode_decide(struct exchange *x);

/* joining.c: the run that the request's token is of, and with it a mode of its own; STEP_ROUTE, or it is refused. */
enum step joining_run(struct exchange *x);
/* Once it is known to be for an upstream. */
void joining_count(struct exchange *x);

/* rule.c: no Host at all is a name of Weir's, too. */
bool route_is_own_host(struct exchange *x, struct slice host);

/* asking.c */
struct fetch *asking_fill(struct exchange *x);
void          asking_submit(struct exchange *x, struct fetch *);
void          asking_leave(struct exchange *x);
/* stale-while-revalidate (RFC 5861 3), prefetch: one fetch that nobody waits for. */
void asking_refresh(struct exchange *x);
/* early.c: of a hit that is REFRESH_EARLY: is it the one that has the answer asked about? */
bool early_is_due(struct exchange *x);
/* How long no hit like this one would be. */
int64_t early_rests_ns(const struct exchange *x);

/* serve.c: the candidate as the reply, fresh or not.  False where its body file is gone. */
bool serve_stored(struct exchange *x, unsigned upstream_status);
/* An error came, or nothing: what is stored may cover for it (RFC 5861 4, RFC 9111 4.2.4).  `why`: a detail token. */
bool serve_cover(struct exchange *x, unsigned upstream_status, const char *why);

/* candidate.c */
/* A body file is opened now, since eviction may unlink it at any time.  False where it is gone. */
bool candidate_open(struct exchange *x);
/* Copies what is borrowed of the database, so that the exchange may be suspended. */
void candidate_keep(struct exchange *x);
void candidate_drop(struct exchange *x);
/* Bytes of the stored body, from `first` of it on.  False where its file is gone or broken. */
bool candidate_read(struct exchange *x, int64_t first, char *out, size_t count);

/* invalidate.c: starts what a successful write drops; true when the writer has done all of it. */
bool invalidate_after_write(struct exchange *x, const struct http_response *response);
/* The exchange ends: nobody waits for them. */
void invalidate_forget(struct exchange *x);

#define HIT_TTL "weir; hit; ttl=" /* Weir's member of Cache-Status on a hit, up to the number */

/* refused.c */
enum step refused_reply(struct exchange *); /* of FETCH_REFUSED: 429 with its cause */

/* reply.c */
struct problem {
    enum problem_kind kind;
    struct slice      detail;
    const char       *proxy_error;    /* RFC 9209 error type; NULL: none */
    const char       *reason;         /* Cache-Status detail token */
    const char       *limit;          /* that would be exceeded; NULL: none */
    int64_t           retry_after_ns; /* -1: none */
    const char       *blocked_by;     /* the API's own word that makes it wait; NULL: none */
    bool              close;
};
enum step reply_problem(struct exchange *x, const struct problem *p);
enum step reply_refusal(struct exchange *x, const struct refusal *r);
enum step reply_text(struct exchange *x, unsigned status, const char *type, struct slice text);
/* spent.c: RateLimit of Weir's own ledger, and Server-Timing with every attempt. */
void reply_add_spent(struct exchange *x, struct http_fields *fields);
/* Weir's member after those that came with the answer: the list's order is the way it took. */
void reply_append_member(struct exchange *x, struct http_fields *fields, enum http_name id, struct slice member);

#endif
