/*
 * What the admin socket answers: status, limits, ca, purge, flush, reload; and
 * the query socket, to anybody on this machine: what of it only reads.
 *
 * One file per endpoint, with its row.  A call is asynchronous, since the
 * facts are the upstream thread's and the writer's: admin_begin() either
 * answers at once or asks them by mail and wakes the owner when they have
 * answered.  Worker's thread; bodies are JSON made with Jansson.
 */
#ifndef WEIR_ADMIN_ADMIN_H
#define WEIR_ADMIN_ADMIN_H

#include "base/mailbox.h"
#include "config/config.h"
#include "config/keeper.h"
#include "engine/engine.h"
#include "http/message.h"
#include "store/store.h"
#include "upstream/upstream.h"

#include <jansson.h>

struct admin_ca {              /* the local CA, as far as anybody may know it */
    char    certificate[2048]; /* PEM */
    char    fingerprint[96];   /* SHA-256, "AB:CD:..." */
    char    subject[160];
    int64_t made_s, expires_s; /* since 1970 */
};

struct admin_reloads {               /* written by main, read by any thread */
    _Atomic int64_t  loaded_wall_ns; /* when the configuration in effect was */
    _Atomic bool     last_failed;
    _Atomic uint64_t good, bad;
};

struct admin_connections { /* that are open */
    unsigned clients, tunnels;
};

struct front;
struct jobs;
struct runs;
struct saved;
struct tokens;

struct admin_services { /* lent; outlive every call */
    struct store    *store;
    struct upstream *upstream; /* NULL: there is nothing but the store (alone.h) */
    struct state    *state;
    /* Has the configuration read again and swapped. `done` is posted to `reply_to`, which the caller sets, when
     * requests that come from then on meet the new one, or when the old one stays (keeper.h). */
    void (*reload)(void *context, struct reload_order *);
    /* Opens the access log's file anew; `done` is posted when all workers have. False: Weir is about to stop. */
    bool (*reopen)(void *context, struct mailbox *reply_to, struct mail *done);
    /* Makes the CA where there is none or `rotate` asks for another. Worker's thread; may block for the writing of
     * one file. */
    bool (*ca)(void *context, bool rotate, struct admin_ca *, struct fault *why);
    const struct admin_reloads *reloads;
    /* The front's own: any thread. */
    struct admin_connections (*connections)(const struct front *);
    const struct front *front;
    const char         *proxy;  /* address of the forward proxy; NULL: it is off */
    const char         *page;   /* of the page: the first TCP address of the admin's; NULL: none */
    struct tokens      *tokens; /* its sessions */
    const char         *data;   /* of the first data listener; NULL: there is none */
    struct saved       *saved;  /* main's */
    struct runs        *runs;   /* programs with a mode of their own: engine/runs.h */
    /* What is answered later, everybody's: up to `most`. */
    json_t *(*jobs_overview)(struct jobs *, unsigned most, int64_t now_wall_ns);
    struct jobs *jobs; /* for that one; NULL: there is none */
    void        *context;
    int64_t      started_wall_ns;
};

struct admin; /* a worker's desk: its calls */

/* Never NULL. */
struct admin *admin_open(const struct admin_services *, struct mailbox *worker, struct recorder *);
void          admin_close(struct admin *); /* NULL is fine; it is idle */
/* True where no call is open and no mail for one is on its way. */
bool admin_is_idle(const struct admin *);

/* Over TCP: does the request say a token that is good? */
bool admin_knows_token(const struct admin *, const struct http_request *);

struct admin_call;

/* The rest of a call's content that is no JSON: a body, of any length.  Of which call: admin_takes_rest(), whose first
 * line alone is the question then. */
struct admin_rest;
bool               admin_takes_rest(const struct http_request *);
struct admin_rest *admin_rest_open(const struct admin *); /* never NULL */
/* False: there is no room for it. */
bool admin_rest_add(struct admin_rest *, const void *bytes, size_t count);
void admin_rest_close(struct admin_rest *); /* NULL is fine */

struct admin_rights {      /* what the caller may see and do */
    bool    may_change;    /* false: on the query socket */
    bool    metrics_alone; /* and nothing else, of all upstreams: metrics.listen */
    bool    over_tcp;      /* of the page, or of who has its token */
    bool    is_stranger;   /* of those, without a token: may exchange a code for one, and nothing else */
    int64_t uid;           /* -1: not known, or of no matter: the caller may change things */
    /* Whose connection it is, to refuse by and never to allow by; -1: not known. NULL: the same. */
    int64_t (*caller_uid)(void *owner);
    /* The nth descriptor that came with the connection's first bytes, which stays the connection's; -1: there is none.
     * NULL: there are none. */
    int (*handed)(void *owner, unsigned nth);
    /* May the owner use the upstream, and so hear of it?  NULL: of all. Worker's thread, while the call lives. */
    bool (*may_use)(void *owner, const struct config_upstream *);
    /* As whom a request is explained: the worker's engine, and who asks; during admin_begin() only. */
    struct engine               *engine;
    const struct exchange_input *asker;
    bool                         brings_facts; /* of what is stored, in its question: weir --explain */
    struct admin_rest           *rest;         /* of the content; taken over; NULL: none */
};

/* `wake(owner)` is called, never from within this call, when a call that was not done at once is done, and
 * when admin_read() has more for one that waits.
 * The call holds `config`; `request` and `body` are borrowed for this call only. */
struct admin_call *admin_begin(struct admin *, struct config *config, const struct http_request *request,
                               struct slice body, struct admin_rights, void (*wake)(void *owner), void *owner);
bool               admin_is_done(const struct admin_call *);
/* Of an answer that goes on for as long as somebody reads it: a stop of Weir does not wait for that. */
bool admin_may_be_cut(const struct admin_call *);

/* When it is done. */
const struct reply *admin_reply(const struct admin_call *);
/* REPLY_STREAM: as exchange_read(); WAIT: `wake` will come. */
enum spool_read admin_read(struct admin_call *, void *buffer, size_t count, size_t *got);
bool            admin_has_body_bytes(const struct admin_call *);
/* Also before it is done: then its memory goes when the last mail has come. */
void admin_end(struct admin_call *);

#endif
