/*
 * A worker: one thread with its epoll, its MHD daemon, its engine and its
 * share of the connections.  front.c starts and feeds workers; call.c runs
 * requests on them.  This room's own header.
 */
#ifndef WEIR_FRONT_WORKER_H
#define WEIR_FRONT_WORKER_H

#include "front/front.h"
#include "front/listener.h"

#include <microhttpd.h>
#include <pthread.h>
#include <sys/socket.h>

struct call;

struct connection {                   /* one client's socket; MHD's socket context */
    struct worker        *worker;
    struct MHD_Connection *mhd;
    int                   fd;
    enum listener_kind    kind;
    bool                  is_unix;
    bool                  peer_closed;    /* the client will send no more */
    struct call          *call;           /* whose head is whole; NULL between requests */
    char                  peer[80];
    bool                  who_is_known;
    struct peer           who;            /* where it is known: peer.h */
    int64_t               deadline_ns;    /* real monotonic; INT64_MAX while a request is being answered */
    struct connection    *next, *previous;
};

struct worker {
    pthread_t                    thread;
    const struct front_services *services;
    struct mailbox              *mailbox;
    struct MHD_Daemon           *daemon;
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
    struct connection           *open;            /* all connections */
    struct connection           *adding;          /* while MHD_add_connection() runs */
    struct call                 *calls;           /* requests being answered */
    struct call                 *unused_calls;
    unsigned                     unused_call_count;
    bool                         stopping;
    int64_t                      stop_at_ns;      /* real monotonic: then the rest is broken off */
    int64_t                      grace_ns;        /* written before `stop` is posted */
    unsigned                     broken_off;
    int64_t                      sweep_at_ns;
};

/* Starts the thread; -1 and *why where it cannot. Takes a reference to `config`. */
int  worker_start(struct worker *, const struct front_services *, struct config *, unsigned index, int done_fd,
                  struct fault *why);
/* Any thread. */
void worker_adopt(struct worker *, int fd, enum listener_kind, const struct sockaddr *, socklen_t);
void worker_configure(struct worker *, struct config *);
void worker_stop(struct worker *, int64_t grace_ns);
/* Once, after worker_stop(): breaks off what is still in flight. */
void worker_hurry(struct worker *);
/* After its thread has ended. */
void worker_free(struct worker *);

/* -- call.c, on the worker's thread -- */
void *call_on_target(void *worker, const char *uri, struct MHD_Connection *);
enum MHD_Result call_on_request(void *worker, struct MHD_Connection *, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size,
                                void **context);
void call_on_completed(void *worker, struct MHD_Connection *, void **context,
                       enum MHD_RequestTerminationCode);
/* The client has closed its side. */
void call_on_peer_closed(struct connection *);
/* True while a request whose head is whole is being answered. */
bool call_any(const struct worker *);
/* Breaks off every call of the worker. */
void call_break_all(struct worker *);
void call_free_unused(struct worker *);

/* Monotonic time that no test clock moves: sockets live in real time. */
int64_t worker_socket_clock_ns(void);

#endif
