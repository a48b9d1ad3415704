/*
 * One exchange: a client's request on its way to an answer.
 *
 * An engine is a worker's share of the shared services (store, upstream
 * thread, configuration); an exchange is a list of steps that runs on that
 * worker, suspends while the upstream thread works for it, and ends with a
 * reply that front/ puts on the wire.  Everything here is called on the
 * worker's thread, but for engine_services, which only lends.
 *
 * Life:  exchange_open -> exchange_begin -> [exchange_upload]* ->
 *        exchange_run (again after each wake) -> exchange_read* -> exchange_close.
 */
#ifndef WEIR_ENGINE_ENGINE_H
#define WEIR_ENGINE_ENGINE_H

#include "config/config.h"
#include "engine/recorder.h"
#include "http/message.h"
#include "http/problem.h"
#include "peer/finder.h"
#include "policy/key.h"
#include "store/store.h"
#include "upstream/upstream.h"

struct credentials;
struct engine_later;
struct engine_service;
struct jobs;
struct own_run;
struct runs;

struct engine_services { /* lent to every engine, outlives them */
    struct store                       *store;
    struct upstream                    *upstream;
    struct credentials                 *credentials;
    struct peer_finder                 *finder;
    struct records                     *records; /* of all workers */
    struct runs                        *runs;    /* NULL: there are never any */
    struct key_secret                   secret;
    const struct engine_service *const *own;   /* service.h; ends with NULL */
    const struct engine_later          *later; /* service.h; NULL: nothing is answered later */
    struct jobs                        *jobs;  /* for the two above */
};

struct engine;

/* `mailbox` is the worker's; `index` of `count` engines: so that no two number a request alike.
 * Takes a reference to `config`.  Never NULL. */
struct engine *engine_open(const struct engine_services *, struct mailbox *, struct config *config, struct recorder *,
                           unsigned index, unsigned count);
/* All exchanges are closed and their mail delivered (see engine_is_idle). */
void engine_close(struct engine *);
/* For the exchanges that are opened from now on. */
void engine_configure(struct engine *, struct config *config);
/* A number in the log for a request that no exchange is opened for. */
uint64_t engine_take_id(struct engine *);
/* Counts a request that the front has refused itself, with 4xx, before an exchange was opened. */
void engine_count_refused(struct engine *, struct slice method, unsigned status);
/* About once a second while any client is connected. */
void engine_tick(struct engine *, int64_t now_mono_ns);
/* The worker is to stop: what is answered later and waits is not begun any more. */
void engine_stop(struct engine *);
/* Is any of that under way?  engine_break() ends it. */
bool engine_is_busy(const struct engine *);
void engine_break(struct engine *);
/* When something of an exchange's is due, on the monotonic clock; INT64_MAX: never. */
int64_t engine_due_ns(const struct engine *);
void    engine_run_due(struct engine *);
/* True where no exchange is open and no mail for one is on its way. */
bool engine_is_idle(const struct engine *);

struct exchange;

/* May this client use the upstream (setting access)?  For connections that no exchange comes of. */
bool engine_admits(struct engine *, const struct config_upstream *, const struct peer *);
/* What is said to one that may not. */
struct slice engine_not_admitted(const struct peer *, struct arena *);

/* Of an exchange that nobody waits for on a connection: jobs/. */
struct exchange_job {
    _Atomic uint64_t *mark; /* `number` stands there before anything is sent that may not be sent twice */
    uint64_t          number;
    /* It stands in line, and will so for about wait_ns, after `ahead` others; or it goes out. */
    void (*queued)(struct exchange_job *, int64_t wait_ns, uint64_t ahead);
    void (*sent)(struct exchange_job *);
};

struct exchange_input {           /* borrowed until exchange_close() */
    struct http_request  request; /* target raw; fields as received */
    bool                 has_body;
    int64_t              body_bytes; /* -1: chunked */
    size_t               head_bytes;
    bool                 is_probe;    /* how the API does is asked: a credential that is held goes, too */
    bool                 is_doubtful; /* the head did not stand on the wire as it was parsed */
    const char          *peer;        /* "127.0.0.1:50814", "unix" */
    struct slice         connected;   /* "host:port" of the CONNECT that it came out of; ptr NULL: of none */
    bool                 is_tls;      /* and over TLS */
    struct race         *race;        /* NULL: of none */
    uint64_t             batch; /* id of the request that it is an item of; 0: none. What waits goes when it leaves. */
    struct exchange_job *job;   /* NULL: of none.  What waits goes when it leaves. */
    struct slice         proxy_user; /* of that CONNECT: names the client (see Weir-Client); ptr NULL */
    struct own_run      *run;        /* of an item: that of the request that it is an item of; else NULL (runs.h) */
    /* Who that is, as far as it is known by now, and with the user, for whom the kernel is asked the first time.  Never
     * NULL; valid until the next call for the connection. */
    const struct peer *(*known)(void *owner);
    const struct peer *(*who)(void *owner);
    /* What peer/finder.h fills; the connection's, acquire it to keep it. */
    struct peer_card *(*card)(void *owner);
    /* For the log: who it is as far as is known by now.  Text is valid as long as the connection. */
    void (*label)(void *owner, struct request_record *);
    /* Called on the worker's thread, never from within a call of the front's: what
     * made it wait is there, call exchange_run() or exchange_read() again. */
    void (*wake)(void *owner);
    /* A 1xx head other than 100 and 101 came from the API (RFC 9110 15.2); fields are borrowed. */
    void (*interim)(void *owner, unsigned status, const struct http_fields *fields);
    void *owner;
};

struct exchange *exchange_open(struct engine *, const struct exchange_input *);

enum exchange_state {
    EXCHANGE_WAIT, /* `wake` will come */
    EXCHANGE_READY /* exchange_reply() has the head */
};

/* The head is there, the body (if any) is not: refuses what must be refused
 * before a body is taken (READY), and begins to send a request that has one. */
enum exchange_state exchange_begin(struct exchange *);
/* Of a client that sends its body when it hears 100 (RFC 9110 10.1.1): is it to, now?  Else `wake` will come, and
 * exchange_run() may have the answer meanwhile.  True for all others. */
bool exchange_wants_body(const struct exchange *);
/* Bytes taken; fewer than `count`: wait for `wake`, then offer the rest again. */
size_t exchange_upload(struct exchange *, const void *bytes, size_t count);
/* The client's body has ended. */
void exchange_upload_end(struct exchange *);
/* The rest of the client's request was none, and the front has answered that itself: what the log shall say.
 * exchange_close() follows. */
void                exchange_refuse(struct exchange *, enum problem_kind);
enum exchange_state exchange_run(struct exchange *);

enum reply_kind {
    REPLY_EMPTY, /* no content; `length` may still be announced (HEAD, 304) */
    REPLY_BYTES, /* `bytes`, borrowed until exchange_reply_taken() */
    REPLY_FILE,  /* `length` bytes of `fd` from `offset`; the front takes the descriptor over */
    REPLY_STREAM /* exchange_read() gives them as they come */
};

struct reply {
    unsigned           status;
    struct http_fields fields; /* without Content-Length, which `length` is */
    enum reply_kind    kind;
    struct slice       bytes;
    int                fd;
    int64_t            offset;
    int64_t            length; /* -1: unknown */
    bool               close;  /* the connection ends with this answer */
};
const struct reply *exchange_reply(const struct exchange *);
/* The front has copied what it needs of `bytes` and `fields`. */
void exchange_reply_taken(struct exchange *);

/* REPLY_STREAM: as spool_read(); WAIT: `wake` will come. */
enum spool_read exchange_read(struct exchange *, void *buffer, size_t count, size_t *got);
/* Before the first exchange_read(): will it give bytes at once? */
bool exchange_has_body_bytes(const struct exchange *);
/* After SPOOL_READ_END: trailers to send, borrowed until close; NULL where there are none. */
const struct http_fields *exchange_trailers(struct exchange *);

/* `whole`: the answer went out to its end; `sent_bytes` of body went out. Counts it, and writes the access log's
 * line. */
void exchange_close(struct exchange *, int64_t now_mono_ns, bool whole, int64_t sent_bytes);

#endif
