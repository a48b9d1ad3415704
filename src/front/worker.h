/*
 * A worker: one thread with its epoll, its MHD daemons, its engine and its
 * share of the connections.  front.c starts and feeds workers; call.c runs
 * requests on them.  This room's own header.
 */
#ifndef WEIR_FRONT_WORKER_H
#define WEIR_FRONT_WORKER_H

#include "front/front.h"
#include "front/mhd/intake.h"
#include "front/mhd/kept.h"
#include "front/net/listener.h"
#include "front/mhd/pool.h"

#include "tls/handshake.h"

#include <microhttpd.h>
#include <pthread.h>
#include <sys/socket.h>

struct call;
struct knock;
struct lingering;
struct tunnel;

/* What every worker sees. */
struct front_shared {
    bool             has_proxy;           /* there is a proxy listener; constant once the workers run */
    _Atomic unsigned tunnels;             /* open ones, of all workers */
    struct places   *places;
};

/* Stands first in what a worker's epoll watches. */
struct watch {
    void (*ready)(struct watch *, uint32_t events);       /* NULL: waking up was all */
};

struct connection {                   /* one client's socket; MHD's socket context */
    struct watch          watch;
    struct worker        *worker;
    struct MHD_Connection *mhd;
    struct shard         *shard;
    int                   fd;
    enum listener_kind    kind;
    bool                  is_unix;
    bool                  is_tls;
    char                 *connected;      /* "host:port" of the CONNECT that it came after; NULL: of none */
    char                 *proxy_user;     /* of that CONNECT; NULL: none */
    struct handshake      handshake;      /* is_tls */
    bool                  peer_closed;    /* the client will send no more */
    struct pool           pool;           /* MHD's memory */
    struct intake         intake;
    bool                  is_doomed;      /* intake.doom is what comes next */
    bool                  refused;        /* it was given an answer of ours, and goes */
    bool                  lingers;        /* what is still to come is read when it is closed */
    struct call          *call;           /* whose head is whole; NULL between requests */
    struct call          *begun;          /* the same, from its request line on */
    char                  peer[80];
    struct peer_card     *card;           /* who that is, as far as anybody asked; NULL: nobody did */
    struct peer           who;            /* what it said last */
    bool                  is_labelled, is_labelled_whole;
    char                  label[PEER_LABEL_BYTES];        /* the same as text; "": not known */
    int64_t               idle_timeout_ns;        /* that MHD was told */
    int64_t               deadline_ns;    /* real monotonic; INT64_MAX while a request is being answered */
    struct connection    *next, *previous;
};

struct worker {
    pthread_t                    thread;
    const struct front_services *services;
    struct front_shared         *shared;
    struct mailbox              *mailbox;
    struct watch                 mail_watch;
    struct shard                *shards[2];       /* plain; those that speak TLS: NULL without a proxy listener */
    struct shard                *due_shards;
    int                          epoll_fd;
    int                          done_fd;         /* eventfd of the front: written when the thread ends */
    _Atomic unsigned             connections;     /* main adds, the worker takes away: for balance only */
    struct mail                  stop, hurry;     /* the second one takes the grace away */

    /* -- the worker's thread only -- */
    struct config               *config;
    int64_t                      mhd_idle_ns;     /* the time-out MHD was started with */
    struct engine               *engine;
    struct admin                *admin;
    struct access_log           *access;
    struct leaf_cache           *leaves;
    unsigned                     handshakes;      /* under way */
    struct knock                *knocks;          /* at the proxy's door: what they want is not known yet */
    struct tunnel               *tunnels, *ended_tunnels;
    struct connection           *open;            /* all connections */
    struct connection           *adding;          /* while MHD_add_connection() runs */
    struct connection          **by_fd;           /* MHD's, by descriptor */
    size_t                       by_fd_count;
    struct connection           *current;         /* that MHD works on, as far as is known; NULL: none */
    bool                         has_doomed;      /* some connection may be */
    struct lingering            *lingering;
    unsigned                     lingering_count;
    struct kept_table           *kept;            /* replies that are ready */
    bool                         keeps;           /* there were some at the last sweep, or one came since */
    struct call                 *calls;           /* requests being answered */
    struct call                 *longest, *shortest;          /* suspended ones whose pools were not looked at */
    unsigned                     sweeps;
    bool                         parks;           /* there are more */
    struct call                 *unused_calls;
    unsigned                     call_count, unused_call_count;
    bool                         stopping;
    int64_t                      stop_at_ns;      /* real monotonic: then the rest is broken off */
    int64_t                      grace_ns;        /* written before `stop` is posted */
    unsigned                     broken_off;
    int64_t                      sweep_at_ns;
};

/* Starts the thread; -1 and *why where it cannot. Takes a reference to `config`; the rest is lent. */
int  worker_start(struct worker *, const struct front_services *, struct front_shared *, struct config *,
                  unsigned index, int done_fd, struct fault *why);
/* Any thread. */
void worker_adopt(struct worker *, int fd, enum listener_kind, const struct sockaddr *, socklen_t);
/* All of them, each on its own thread; the last one posts `done` (reply_to NULL: nobody waits). */
void workers_reopen_logs(struct worker *, unsigned count, struct mailbox *reply_to, struct mail *done);
void worker_configure(struct worker *, struct config *);
void worker_stop(struct worker *, int64_t grace_ns);
/* Once, after worker_stop(): breaks off what is still in flight. */
void worker_hurry(struct worker *);
/* After its thread has ended. */
void worker_free(struct worker *);

/* -- on the worker's thread -- */

struct arrival {                      /* a socket that begins to be served */
    int                     fd;
    enum listener_kind      kind;
    struct sockaddr_storage address;
    socklen_t               address_bytes;
    const char             *connected, *proxy_user;       /* of the CONNECT that it comes after; else NULL */
    struct peer_card       *card;                          /* a reference, which goes over; NULL: nobody asked */
    bool                    is_tls;                        /* the client begins a handshake */
};
/* Gives it to libmicrohttpd, which closes it in the end. */
void worker_serve(struct worker *, const struct arrival *);
/* Its place is free, before it is closed. */
void worker_leave(struct worker *, int fd);
/* It is not served any more, and was not given to libmicrohttpd: closes it. */
void worker_drop(struct worker *, int fd);
/* "127.0.0.1:50814", "unix:uid=1000,pid=77" */
void worker_name_peer(int fd, const struct sockaddr *, socklen_t, char *out, size_t bytes);

/* -- call.c -- */
void *call_on_target(void *worker, const char *uri, struct MHD_Connection *);
enum MHD_Result call_on_request(void *worker, struct MHD_Connection *, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size,
                                void **context);
void call_on_completed(void *worker, struct MHD_Connection *, void **context,
                       enum MHD_RequestTerminationCode);
/* worker.c: a connection begins or ends. */
void worker_on_connection(void *worker, struct MHD_Connection *, void **socket_context,
                          enum MHD_ConnectionNotificationCode);
/* MHD has closed the connection, and may have forgotten to say so of its request. */
void call_on_closed(struct connection *);
/* The client has closed its side. */
void call_on_peer_closed(struct connection *);
/* True while a request whose head is whole is being answered. */
bool call_any(const struct worker *);
/* Breaks off every call of the worker. */
void call_break_all(struct worker *);
void call_free_unused(struct worker *);
/* Gives back memory that calls do not need while they wait; true where there is more of it to be given. */
bool call_park_some(struct worker *);

#endif
