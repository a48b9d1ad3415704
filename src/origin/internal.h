/*
 * What the files of this room share.  No other room includes this.
 *
 * Files, from the top: pool.c (an API's connections as a whole), loop.c (libcurl's sockets and timers),
 * transfer.c (an exchange's life), callbacks.c (what libcurl calls), request.c (what it is told), response.c (heads),
 * sending.c (the way out, time-outs), watch.c (descriptors), gather.c (bodies), failure.c, via.c (a proxy), http2.c,
 * connection.c, certificate.c, tls_end.c, script.c (what answers in an API's place), and above all of them way.c.
 */
#ifndef WEIR_ORIGIN_INTERNAL_H
#define WEIR_ORIGIN_INTERNAL_H

#include "base/clock.h"
#include "base/list.h"
#include "origin/origin.h"

#include <curl/curl.h>

enum {
    HEAD_MAX_BYTES = 256 * 1024,
    HEAD_MAX_FIELDS = 1000,
    STREAMS_PER_CONNECTION = 100,
    IDLE_TRANSFERS = 64,
    LARGE_NEXT = 16, /* bodies after a large one of the same API may be large */
    KEEP_ALIVE_MAX_SECONDS = 86400
};

struct origin_connection;

struct socket_watch {             /* by descriptor */
    struct origin *origin;        /* NULL: curl does not want to hear of it */
    uint32_t       events;        /* that epoll watches for; 0: not, or not known */
    struct origin *connection_of; /* opened and closed by the callbacks in callbacks.c; NULL: is none */
};

struct origins {
    struct origins_start start;
    LIST_HEAD(, origin) origins, reaps;
    struct socket_watch *watches;
    unsigned             watch_count;
    uint64_t             numbers; /* of options, given out */
    struct transfer     *idle;
    unsigned             idle_count;
    struct arena         scratch; /* reset by whoever used it */
    struct transfer     *gathers; /* whose body has come and is not given out yet: gather.c */
    char                *gathered;
    size_t               gathered_bytes;
    int64_t              acted_ns;   /* when curl was last let work: the time of what it brings */
    size_t               came_bytes; /* of bodies, since then */
    bool                 tls_tells;  /* how TLS connections end: see tls_end.c */
};

struct origin {
    struct origins              *all;
    LIST_ENTRY(origin)           entry; /* of all */
    const char                  *name;
    const struct origin_options *options;
    uint64_t                     options_number; /* no two sets of options have the same; from 1 */
    const unsigned              *waiting;
    struct origin_known          known;
    CURLM                       *multi;
    CURLSH                      *sessions; /* of TLS: curl would keep them with a handle */
    struct timer                 curl_timer;
    LIST_HEAD(, transfer) transfers; /* under way */
    LIST_HEAD(, transfer) plays;     /* of scripts */
    unsigned                  in_flight;
    unsigned                  handed_back, closing; /* of them, and their connections will stay, or not */
    struct origin_connection *sockets;              /* curl's, open */
    unsigned                  dead;                 /* of them: curl will find that out */
    unsigned                  streams_told;
    bool                      http1;         /* it wants no HTTP/2 */
    unsigned                  large_next;    /* so many of its next bodies are expected to be large */
    bool                      name_doubtful; /* no new connection since one could not be made */
    LIST_ENTRY(origin)        reap;          /* origins->reaps: curl may have finished something */
    bool                      stops;         /* a transfer is to be stopped: transfer->stops */
    bool                      early_ends;    /* streams ended before all of their requests was sent */
};

struct head { /* being read */
    struct transfer_head out;
    size_t               bytes;
    unsigned             version_minor;  /* of HTTP/1 */
    bool                 doubtful;       /* see http_framing */
    bool                 interim_length; /* a 1xx head said one */
    bool                 open;           /* between status line and blank line */
    bool                 final;          /* the final head has been read: what follows are trailers */
};

struct http2_stream { /* of HTTP/2, as http2.c sees it */
    bool     is;      /* one */
    bool     sent;    /* its head at least */
    bool     ended;   /* by the API's last frame */
    bool     closed;
    uint32_t error; /* it was closed with */
    int64_t  bytes; /* of the body, in frames without padding */
};

struct wire {                                     /* what a transfer goes on */
    const void               *tls;                /* the library's handle of the connection; NULL: plain, not known */
    bool                      tls_closed;         /* the API closed it in order (close_notify) */
    struct origin_connection *connection;         /* that it was sent on; NULL: not yet, or closed */
    int64_t                   acknowledged;       /* of what was sent on it before this request; 0: not known */
    bool                      hands_back, closes; /* it stays or not; both false: not known yet */
};

struct uploading {        /* a request's body */
    int64_t      bytes;   /* that were taken */
    bool         all;     /* nothing of the request is left to send */
    bool         expects; /* nothing of the body is sent before the API's 100, or until `patience` is over */
    bool         heard_100, held_back, asked, paused;
    struct timer patience; /* a second */
};

struct transfer {
    struct origins             *all;
    struct origin              *origin;
    struct transfer            *next_idle;
    LIST_ENTRY(transfer)        entry; /* of the origin's */
    const struct origin_events *events;
    void                       *owner;
    struct origin_request       ask;
    CURL                       *easy;
    CURLU                      *url;       /* what `easy` was told of */
    uint64_t                    set_for;   /* the options_number whose options `easy` still has; 0: none */
    bool                        set_large; /* it reads in large pieces */
    const char                 *set_to;    /* ... and the text of the authority that was asked with them */
    struct curl_slist          *fields;
    char                        error[CURL_ERROR_SIZE];

    CURLcode     code; /* at its end */
    enum stop    stop;
    bool         stops;   /* found in a callback of curl's: as soon as it returns. What
                                                     * comes is nobody's */
    unsigned     prereqs; /* times that it was about to be sent */
    int64_t      begun_ns, sent_ns, sent_wall_ns;
    int64_t      paused_ns; /* for whoever asked, in all: not the API's fault */
    int64_t      pause_from_ns;
    int64_t      progress_ns; /* of what the read or write time-out measures */
    struct timer timer;
    struct head  head;
    int64_t      body_bytes; /* given out */
    bool         looked_up;  /* its API's name, anew */

    struct wire         wire;
    struct http2_stream stream;

    struct uploading sending;
    bool             receive_paused;
};

/* -- loop.c -- */
int loop_socket(CURL *, curl_socket_t, int what, void *origin, void *socketp);
int loop_timer(CURLM *, long timeout_ms, void *origin);
/* Lets curl work, ends what it has finished, and then lets those who wait hear of it. */
void loop_act(struct origin *, curl_socket_t, int what);
/* -- transfer.c: what origin.h says of transfer_start() and transfer_stop(), over libcurl -- */
struct transfer *transfer_wire_start(struct origin *, const struct origin_request *, const struct origin_events *,
                                     void *owner);
void             transfer_wire_stop(struct transfer *, enum stop);
void             transfer_reap(struct origin *);
void             transfers_free_idle(struct origins *);

/* -- callbacks.c -- */
void callbacks_set(struct transfer *);

/* -- watch.c: a connection's descriptor stays in epoll between two requests, so that its end is seen -- */
struct socket_watch *watch_of(struct origins *, curl_socket_t fd);
void                 watch_opened(struct origin *, curl_socket_t fd);
void                 watch_closed(struct origins *, curl_socket_t fd);
bool                 watch_forget(struct origins *, curl_socket_t fd); /* epoll's; false: it is not there any more */
void                 watch_forget_all(struct origin *);

/* -- request.c -- */
bool request_prepare(struct transfer *);
/* Lets go of the request. After an unsound end the handle may remember what the next must not know: it is reset. */
void request_forget(struct transfer *, bool sound);

/* -- response.c -- */
/* One header line of curl's. False: the transfer is to end (t->stop says why). */
bool response_line(struct transfer *, const char *line, size_t bytes);

/* -- sending.c: from curl's callbacks -- */
bool   sending_begins(struct transfer *); /* is it sent now? */
size_t sending_read(struct transfer *, char *buffer, size_t count);
void   sending_heard(struct transfer *);  /* 100 */
void   sending_resume(struct transfer *); /* what is not paused any more goes on */
void   transfer_wire_resume_source(struct transfer *);
void   transfer_wire_resume_body(struct transfer *);
void   transfer_wire_watch(struct transfer *);
/* It is not wanted any more, t->stop says why.  False: curl is to be told so by an error. */
bool sending_stops(struct transfer *);
struct due {
    int64_t   at_ns;
    enum stop stop;
};
struct due sending_due(const struct transfer *); /* STOP_NONE: only some of those who listen give up */

/* -- failure.c -- */
void transfer_wire_failure(const struct transfer *, struct failure *);

/* -- script.c: the same as transfer.c's and others', where the request brings a script -- */
struct transfer *script_start(struct origin *, const struct origin_request *, const struct origin_events *,
                              void *owner);
void             script_stop(struct transfer *, enum stop);
void             script_resume_source(struct transfer *);
void             script_resume_body(struct transfer *);
void             script_failure(const struct transfer *, struct failure *);

/* -- gather.c: from curl's callback, and when it has returned to the loop -- */
enum gathered { GATHERED, GATHERED_NOT /* it is to wait */, GATHERED_LAST /* t->stop says why */ };
enum gathered gather_body(struct transfer *, const char *bytes, size_t count);
void          gather_end(struct origins *);

/* -- via.c -- */
void         via_set(struct transfer *); /* the handle is told of the proxy, or of none */
struct slice via_target(const struct transfer *, struct slice target, struct arena *); /* as it is sent to it */
/* The final head is the proxy's own word, not the API's. */
bool via_refuses(const struct transfer *);
struct via_cause {
    const char *token;
    bool        lasting;
    char        text[128];
};
/* False: not the proxy's failure. */
bool via_failure(struct via_cause *, const struct transfer *, CURLcode);

/* -- tls_end.c -- */
void tls_end_watch(struct transfer *); /* while the easy handle is prepared */
void tls_end_know(struct transfer *);  /* at the final head: which connection it is */
/* The connection's end delimits the body, and it did not come in order (RFC 9112 9.8). */
bool tls_end_is_cut(const struct transfer *);

/* -- certificate.c -- */
/* When that of the peer ends, since 1970; 0: not known, or `tls` is NULL. */
int64_t certificate_end_s(const void *tls);

/* -- connection.c: by callbacks.c -- */
void connection_opened(struct origin *, curl_socket_t fd);
void connection_closed(struct origin *, curl_socket_t fd);
/* curl has none any more. */
void connection_forget_all(struct origin *);
/* PREREQ: may the request go out on the connection with these ends?  False: t->stop says why not. */
bool connection_look(struct transfer *, const char *peer_ip, int local_port, int peer_port);
void connection_carries(struct transfer *); /* it does */
/* At the first bytes of an answer: they were sent before the request can have been read. */
bool connection_is_early(const struct transfer *);
void connection_speaks_http2(struct transfer *); /* as soon as that is known */
void connection_heard(struct transfer *);        /* at the final head, while its fields stand */
/* After that: does it stay? */
void connection_plan(struct transfer *);
void connection_left(struct transfer *); /* the transfer's end */
/* Something came on a socket that no transfer uses. */
void connection_stirs(struct origin *, curl_socket_t fd);
/* The API has closed the TLS connection in order. */
void connection_notify(struct origin *, const void *tls);

/* -- http2.c -- */
void http2_acts_for(struct origin *); /* before curl is let work */
/* Around curl's removal of a transfer that is given up: its stream is reset at once. */
void http2_reset_begin(struct transfer *);
void http2_reset_end(void);
/* RFC 9113 8.7: nothing was done of the request, whatever its method. */
bool http2_was_not_done(const struct transfer *);
bool http2_wants_http1(const struct transfer *);
bool http2_may_be(const struct transfer *); /* an answer that says so is one of HTTP/2 */
bool http2_answered_early(const struct transfer *);
bool http2_is_cut(const struct transfer *); /* its end is not the end of an answer (RFC 9113 8.1) */

/* Before the loop sleeps. */
static inline void origin_reap_soon(struct origin *o)
{
    if (!LIST_IS_IN(o, reap))
        LIST_INSERT_HEAD(&o->all->reaps, o, reap);
}

static inline void transfer_stop_soon(struct transfer *t)
{
    t->stops = t->origin->stops = true;
    origin_reap_soon(t->origin);
}

/* An answer to this has no content (RFC 9110 6.4.1). */
static inline bool transfer_has_no_body(const struct transfer *t)
{
    return t->ask.request->method == HTTP_HEAD || http_status_has_no_body(t->head.out.status);
}

#endif
