/*
 * One exchange with an API: the request out; head, body and end back.
 *
 * Who asks brings a request and what is to be called; the rest stands in here: connections and whether they are
 * alive, HTTP/1.1 and HTTP/2, TLS, a proxy on the way, time-outs, and what a failure is called.  Nothing in here knows
 * why something is asked, what that costs, or what becomes of the answer.  A request may bring what answers in the
 * API's place (script.h), and a test takes the place of all of it behind this header.
 *
 * All of it is one thread's, which waits for the events of its epoll and lets its timers fire.  Callbacks come from
 * within origins_serve(), origins_reap() and timers; `end` from transfer_stop() as well.  Of the functions here the
 * callbacks may call those that only read, and transfer_watch().
 */
#ifndef WEIR_ORIGIN_ORIGIN_H
#define WEIR_ORIGIN_ORIGIN_H

#include "base/arena.h"
#include "base/timer.h"
#include "http/attempt.h"
#include "http/message.h"
#include "origin/options.h"
#include "origin/script.h"

#include <sys/epoll.h>

/* -- a thread's -- */

struct origins;

struct origins_start {
    int            epoll_fd; /* connections are watched there, by event.data.fd */
    struct timers *timers;
    /* Called before and after each time that something is let work: what callbacks tell others may wait for its
     * end, since head and body mostly come together. */
    void (*acts)(void *context, bool begins);
    void *context;
};

/* Never NULL. */
struct origins *origins_open(const struct origins_start *);
void            origins_close(struct origins *); /* all its origins are closed; NULL is fine */
/* An event of a descriptor that is not the thread's own. */
void origins_serve(struct origins *, const struct epoll_event *);
/* After timers and mail: what they ended is told. */
void origins_reap(struct origins *);

/* -- an API -- */

struct origin;

/* `name` for messages and `waiting`, the requests that will soon want a connection (kept for them), outlive it. */
struct origin *origin_open(struct origins *, const char *name, const unsigned *waiting);
/* From now on; `options` live until the next call or the end. */
void origin_configure(struct origin *, const struct origin_options *options);
void origin_close(struct origin *); /* nothing is under way */

struct origin_known {
    unsigned connections;        /* open */
    bool     http2;              /* the last answer came over it */
    unsigned streams;            /* that a connection takes then */
    int64_t  certificate_ends_s; /* since 1970, of the last one that was shown; 0: none was */
};
struct origin_known origin_known(const struct origin *);

/* -- an exchange -- */

struct transfer;

struct origin_request { /* what it points to stays until `end`, but for `target` */
    const struct origin_options  *options;
    const struct timeout_options *timeout;               /* `read` is whoever listens' own: see `listens` */
    const struct http_request    *request;               /* its method, and its fields as they are sent */
    struct slice                  target;                /* ... and this in place of its target */
    struct slice                  authority;             /* which host is asked; one text for each that options name */
    struct slice                  auth_name, auth_value; /* a field that is sent, too; value.ptr NULL: none */
    bool                          plain;                 /* fields that make it conditional are left out */
    bool                          no_range;              /* ... and Range */
    bool                          has_body, expects;     /* expects: 100 is waited for before that (RFC 9110 10.1.1) */
    int64_t                       body_bytes;            /* -1: not known */
    bool                          fresh;                 /* on a new connection */
    const struct origin_script   *script;                /* answers in the API's place; NULL: the API does */
};

struct transfer_head {
    struct arena       arena;  /* of the fields: whoever takes it over leaves it zeroed */
    struct http_fields fields; /* all, as they came */
    unsigned           status;
    int64_t            content_length; /* -1: none */
    bool               chunked, http2;
    bool               may_wait; /* where its body has to wait, the API is held back */
    int64_t            sent_wall_ns, came_wall_ns;
};

enum stop { /* why an exchange was ended that would have gone on */
            STOP_NONE,
            /* by whoever asked */
            STOP_ABANDONED,   /* nobody wants it any more */
            STOP_OVER_BUDGET, /* it may not be sent after all */
            STOP_DISK,
            STOP_UPLOAD_BROKEN,
            STOP_UPLOAD_STALLED, /* the client pauses, and others wait for its place */
            STOP_READ_TIMEOUT,
            STOP_ENOUGH, /* the body of a failure that is tried again is too long to read out */
            /* by what is found here */
            STOP_LOOP,            /* the API's address is Weir's own */
            STOP_DEAD_CONNECTION, /* found before anything was sent on it */
            STOP_SPOKE_FIRST,     /* a new connection, on which it said something, or left, unasked */
            STOP_UNASKED,         /* the answer was on its way before the request */
            STOP_VIA_REFUSED,     /* the answer is the proxy's: it wants other credentials */
            STOP_SECOND_SENDING,  /* a reused connection died and it would be sent again */
            STOP_HEAD_TOO_LARGE,
            STOP_HEAD_MALFORMED,
            STOP_FRAMING, /* nobody can say where its body ends */
            STOP_CONNECT_TIMEOUT,
            STOP_WRITE_TIMEOUT,
            STOP_TOTAL_TIMEOUT,
            STOP_ANSWERED /* it has answered, and takes no more of the request */
};

enum again { /* nothing was done of it: it may go on at once on another connection */
             AGAIN_NO,
             AGAIN_DEAD_CONNECTION,
             AGAIN_MOVED,   /* the API's name may lead elsewhere by now */
             AGAIN_NOT_DONE /* the API says so (RFC 9113 8.7), whatever the method */
};

struct transfer_end {
    bool       complete;     /* the answer is whole */
    bool       sent, undone; /* it went out; the API did nothing of it all the same */
    bool       answered;     /* by a final head */
    enum again again;
    enum stop  stop;
};

enum { ORIGIN_PIECE_BYTES = 64 * 1024 }; /* what has come at once is given out in pieces of this */

enum body_source { SOURCE_BYTES, SOURCE_WAIT, SOURCE_END, SOURCE_BROKEN };

struct origin_events { /* each gets the owner of transfer_start() */
    /* It goes out now, on a connection that stands.  STOP_NONE: it may. */
    enum stop (*sends)(void *owner);
    /* A 1xx head, 100 included (RFC 9110 15.2). */
    void (*interim)(void *owner, unsigned status, struct http_fields *fields, struct arena *);
    /* The API wants the body, or has said nothing of it for long enough. */
    void (*wants_body)(void *owner);
    /* More of the body; WAIT: transfer_resume_source() is called when there is. */
    enum body_source (*source)(void *owner, void *buffer, size_t count, size_t *got);
    enum stop (*head)(void *owner, struct transfer_head *);
    /* May more of the body come?  False: it waits until transfer_resume_body(). */
    bool (*takes)(void *owner);
    enum stop (*body)(void *owner, const char *bytes, size_t count); /* at most ORIGIN_PIECE_BYTES, mostly */
    void (*trailer)(void *owner, struct slice name, struct slice value);
    /* The API has been silent since then: when does the first of those who listen give up, and is that the last one,
     * with whom it ends?  INT64_MAX: nobody does. */
    int64_t (*listens)(void *owner, int64_t since_ns, bool *ends);
    /* One of them does now, who is not the last: then transfer_watch(), or it has been stopped. */
    void (*silent)(void *owner, int64_t since_ns, int64_t now_ns);
    /* The transfer is gone after this call; also where transfer_start() has not returned yet. */
    void (*end)(void *owner, struct transfer *, const struct transfer_end *);
};

/* `end` may come from within the call, and then it returns NULL. */
struct transfer *transfer_start(struct origin *, const struct origin_request *, const struct origin_events *,
                                void *owner);
/* Ends it now. Not from within a callback. */
void transfer_stop(struct transfer *, enum stop);
/* What made `source`, or `body`, wait is over. */
void transfer_resume_source(struct transfer *);
void transfer_resume_body(struct transfer *);
/* Somebody else listens: its time-outs are looked at anew. */
void transfer_watch(struct transfer *);

/* Within `end`: what a failure is called (RFC 9209 2.3), and a sentence for people that names the API's host and
 * nothing that was sent to it. */
struct failure {
    enum attempt_outcome outcome;
    const char          *token; /* RFC 9209 error type */
    char                 text[320];
    bool                 final;   /* trying again cannot help */
    bool                 stalled; /* STOP_UPLOAD_STALLED */
    bool                 denied;  /* its credential is held: nothing was sent */
};
void transfer_failure(const struct transfer *, struct failure *);
void failure_set(struct failure *, enum attempt_outcome, const char *token, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

#endif
