/*
 * What the engine's own files share: the exchange as its steps see it.
 * No other room includes this.
 */
#ifndef WEIR_ENGINE_INTERNAL_H
#define WEIR_ENGINE_INTERNAL_H

#include "base/counters.h"
#include "engine/admission.h"
#include "engine/client.h"
#include "engine/credential.h"
#include "engine/engine.h"
#include "engine/guard.h"
#include "engine/relink.h"
#include "policy/decide.h"
#include "policy/validate.h"
#include "route/route.h"

/* The way of a request, in order; a step returns the next one, the runner alone moves. */
#define ENGINE_STEPS(X) \
    X(ADMIT,   admit)   /* framing, names, origins; Weir's own endpoints */       \
    X(ROUTE,   route)   /* upstream, rule, what the request's fields ask for */   \
    X(KEY,     key)     /* whose it is, and what it is the same as */             \
    X(LOOKUP,  lookup)  /* what the store has for it */                           \
    X(DECIDE,  decide)  /* policy: serve, ask, fetch or refuse */                 \
    X(PURGE,   purge)   /* PURGE: drops the URL from the caller's partition */    \
    X(SERVE,   serve)   /* from what is stored */                                 \
    X(FETCH,   fetch)   /* ask the upstream thread */                             \
    X(AWAIT,   await)   /* suspended until it has answered */

enum step {
#define X(id, name) STEP_##id,
    ENGINE_STEPS(X)
#undef X
    STEP_DONE,                        /* the reply's head is ready */
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
    struct access_log            *access;
    struct store_reader          *reader;
    struct groups                *groups;
    struct exchange              *unused;         /* kept for the next request */
    unsigned                      unused_count;
    unsigned                      open_count;     /* exchanges, fenced ones included */
    unsigned                      fetch_count;    /* fetches whose last mail has not come */
    unsigned                      change_count;   /* invalidations that the writer has not acknowledged */
    uint64_t                      next_id, id_step;
};

/* What is stored for the request, as far as the exchange may still serve it. */
struct candidate {
    bool                   selected;              /* something was found */
    bool                   other_variant;
    struct stored_response response;
    struct slice           selection;
    struct slice           body;                  /* inline: database pages, or the arena once kept */
    uint64_t               body_file;
    uint64_t               id;
    uint8_t                hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
    struct store_record    record;                /* valid while `borrowed` */
    bool                   borrowed;              /* the store's read transaction is open for it */
    int                    fd;                    /* body file; -1: not opened */
};

struct invalidation;

struct exchange {
    struct engine               *engine;
    struct config               *config;          /* a reference */
    struct exchange_input        in;
    struct arena                 arena;
    uint64_t                     id;
    enum step                    at;
    bool                         running;         /* inside the runner: no wake */
    bool                         begun;
    bool                         closed;          /* only its fence is awaited */

    struct route                 route;
    const struct config_upstream *up;
    const struct route_rule     *rule;
    const struct policy_options *policy;
    struct request_wish          wish;
    struct client                client;          /* name.ptr NULL: nobody has asked yet */

    bool                         has_key;
    bool                         has_credential;
    struct partition             partition;
    struct signature             signature;
    struct slice                 signer;          /* of a signed request: who asks on this machine */
    bool                         is_nobodys;      /* signed by whom nothing can be kept for */
    bool                         account_differs; /* from the partition */
    bool                         identified;      /* ... is an identity's, of which the token is one */
    int64_t                      heard_for_ns;    /* how long those stay as they are */
    uint64_t                     heard_generation;/* of the upstream's words in the reply */
    struct cache_key             key;
    int64_t                      looked_up_wall_ns;
    uint64_t                     generation;      /* of the store, before that */
    unsigned                     looked_up;       /* times */
    struct candidate             stored;
    struct decision              decision;

    struct fetch                *fetch;
    bool                         not_spared;      /* low_budget has had its say */
    bool                         fetch_noted;     /* what it counted is in the fields below */
    struct upload               *upload;
    struct mail                  room;            /* the upload has space again */
    bool                         collecting;      /* the body is gathered for the key */
    bool                         upload_ended, awaits_body;
    bool                         expects;         /* the client sends no body before it hears 100 */
    bool                         continued;       /* the API wants it */
    bool                         own_conditional; /* the client's conditional fields went upstream */

    struct slice                 cors_origin;     /* of another site's page that may ask; ptr NULL: none */
    bool                         named;           /* the partition is the upstream's name (auth) */
    bool                         inject;          /* Weir adds its credential */
    struct slice                 auth_value;      /* of auth.command; ptr NULL: not there yet */
    uint64_t                     auth_number, refused;       /* of the run that printed it; of one refused with 401 */
    bool                         renewed, awaits_credential, awaited_credential;
    struct credential_wait       credential_wait;

    bool                         relinks;         /* JSON bodies are led back through Weir */
    struct relink               *relink;          /* its filter, over `answer` or over: */
    int                          relink_fd;       /* a stored body; -1: none */
    int64_t                      relink_at, relink_left;
    bool                         relink_ended;

    struct reply                 reply;
    size_t                       cache_status_bytes;          /* Weir's member, the last one of that field's value */
    struct answer               *answer;          /* REPLY_STREAM: a reference */
    struct spool_reader          reader;
    bool                         reader_open;
    bool                         cut;             /* its own time-out is over: the body goes on for others only */

    struct invalidation         *invalidations;   /* on their way through the writer */
    bool                         invalidated;
    uint64_t                     dropped;         /* records, by them */

    struct mail                  fence;
    int64_t                      started_wall_ns, started_mono_ns;
    int64_t                      received_bytes;
    const char                  *cache_word;      /* for the access log */
    unsigned             refused_status;  /* by the front, in the midst of its body; 0: not */
    const char                  *detail;
    bool                         collapsed, stored_flag, forwarded;
    enum counter                 outcome;     /* what became of it; 0: as its status says */
    bool                         counted;
    struct budget_word           budget;          /* of Weir's own ledger, behind the fetch */
    int64_t                      predicted_ns, queued_ns, upstream_ns;
    unsigned                     attempt_count;
    struct attempt               attempts[ATTEMPTS_KEPT];
    struct exchange             *next_unused;
};

/* inject.c: whether Weir adds a credential, and whose partition that is; once, when the route is known. */
void inject_decide(struct exchange *x);
/* identity.c: whose token the request brings, where it is one of several of a principal. */
void identity_name(struct exchange *x, struct key_input *in);
/* Is the request signed, and by whom then?  Asks the kernel who that is for a signed one only. */
void identity_signer(struct exchange *x, struct key_input *in);
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
bool cors_is_preflight(const struct exchange *x);
enum step cors_preflight(struct exchange *x);
/* What a page of x->cors_origin needs to read the reply. */
void cors_fields(struct exchange *x, struct http_fields *f);
/* A document below Weir's own name gets an origin of its own: its scripts are no pages of Weir's. */
void cors_sandbox(struct exchange *x, struct http_fields *f);

/* exchange.c: what it waited for, and front/ cannot know of, is there. */
void exchange_go_on(struct exchange *x);
/* exchange.c: the log's line but for how long it took and what went out; text is the exchange's, or in `a`. */
struct access_record exchange_describe(const struct exchange *x, struct arena *a);
/* The answer's body as it came. */
enum spool_read read_answer(struct exchange *x, void *buffer, size_t count, size_t *got);
/* exchange_read() while x->relink is set. */
enum spool_read dress_read(struct exchange *x, void *buffer, size_t count, size_t *got);
void dress_close(struct exchange *x);

/* fetching.c: whose budget it is. */
struct partition exchange_account(struct exchange *x);

/* serve.c: the candidate as the reply, fresh or not.  False where its body file is gone. */
bool serve_stored(struct exchange *x, unsigned upstream_status);
/* Copies what is borrowed of the database, so that the exchange may be suspended. */
void candidate_keep(struct exchange *x);
void candidate_drop(struct exchange *x);
/* Bytes of the stored body, from `first` of it on.  False where its file is gone or broken. */
bool candidate_read(struct exchange *x, int64_t first, char *out, size_t count);

/* invalidate.c: starts what a successful write drops; true when the writer has done all of it. */
bool invalidate_after_write(struct exchange *x, const struct http_response *response);
/* The exchange ends: nobody waits for them. */
void invalidate_forget(struct exchange *x);

#define HIT_TTL "weir; hit; ttl="     /* Weir's member of Cache-Status on a hit, up to the number */

/* refused.c */
enum step refused_reply(struct exchange *);            /* of FETCH_REFUSED: 429 with its cause */

/* reply.c */
struct problem {
    unsigned     status;
    const char  *title;
    struct slice detail;
    const char  *proxy_error;         /* RFC 9209 error type; NULL: none */
    const char  *reason;              /* Cache-Status detail token */
    const char  *limit;               /* that would be exceeded; NULL: none */
    int64_t      retry_after_ns;      /* -1: none */
    const char  *blocked_by;          /* the API's own word that makes it wait; NULL: none */
    bool         close;
};
enum step reply_problem(struct exchange *x, const struct problem *p);
enum step reply_refusal(struct exchange *x, const struct refusal *r);
enum step reply_text(struct exchange *x, unsigned status, const char *type, struct slice text);
/* spent.c: RateLimit of Weir's own ledger, and Server-Timing with every attempt. */
void reply_add_spent(struct exchange *x, struct http_fields *fields);
/* Weir's member behind those that came with the answer: the list's order is the way it took. */
void reply_append_member(struct exchange *x, struct http_fields *fields, enum http_name id, struct slice member);
/* Adds Via, Cache-Status and Server-Timing to `fields` (its own lines of them joined in front). */
void reply_finish_fields(struct exchange *x, struct http_fields *fields, unsigned upstream_status);

#endif
