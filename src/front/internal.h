/*
 * A worker: one thread with its epoll, its MHD daemons, its engine and its share of the connections.  This room's own
 * header: what its parts share; each knows what of it is its own.
 */
#ifndef WEIR_FRONT_INTERNAL_H
#define WEIR_FRONT_INTERNAL_H

#include "base/list.h"
#include "front/front.h"

#include <pthread.h>

struct call;
struct connection;
struct kept_table;
struct knock;
struct leaf_cache;
struct lingering;
struct shard;
struct tunnel;

/* What every worker sees. */
struct front_shared {
    bool             has_proxy; /* there is a proxy listener; constant once the workers run */
    _Atomic unsigned tunnels;   /* open ones, of all workers */
    struct places   *places;
};

/* Stands first in what a worker's epoll watches. */
struct watch {
    void (*ready)(struct watch *, uint32_t events); /* NULL: waking up was all */
};

struct worker {
    pthread_t                    thread;
    const struct front_services *services;
    struct front_shared         *shared;
    struct mailbox              *mailbox;
    struct watch                 mail_watch;
    STAILQ_HEAD(, shard) shards[2]; /* plain; those that speak TLS: none without a proxy listener */
    SLIST_HEAD(due_shards, shard) due_shards;
    int                           epoll_fd;
    int                           done_fd;     /* eventfd of the front: written when the thread ends */
    _Atomic unsigned              connections; /* main adds, the worker takes away: for balance only */
    struct mail                   stop, hurry; /* the second one takes the grace away */

    /* -- the worker's thread only -- */
    struct config     *config;
    int64_t            mhd_idle_ns; /* the time-out MHD was started with */
    struct engine     *engine;
    struct admin      *admin;
    struct recorder   *recorder;
    struct leaf_cache *leaves;
    unsigned           restless[2]; /* connections of such a shard for which MHD may never wait (front/mhd/shards.h) */
    LIST_HEAD(, knock)      knocks; /* at the proxy's door: what they want is not known yet */
    LIST_HEAD(, tunnel)     tunnels, ended_tunnels;
    LIST_HEAD(, connection) open; /* all connections */
    struct connection  *adding;   /* while MHD_add_connection() runs */
    struct connection **by_fd;    /* MHD's, by descriptor */
    size_t              by_fd_count;
    struct connection  *current;    /* that MHD works on, as far as is known; NULL: none */
    bool                has_doomed; /* some connection may be */
    LIST_HEAD(, lingering) lingering;
    unsigned           lingering_count;
    struct kept_table *kept;      /* replies that are ready */
    bool               keeps;     /* there were some at the last sweep, or one came since */
    LIST_HEAD(, call)  calls;     /* requests being answered */
    TAILQ_HEAD(, call) suspended; /* of them, those whose pools were not looked at; the longest first */
    unsigned sweeps;
    bool     parks; /* there are more */
    LIST_HEAD(, call) unused_calls;
    unsigned call_count, unused_call_count;
    bool     stopping;
    int64_t  stop_at_ns; /* real monotonic: then the rest is broken off */
    int64_t  grace_ns;   /* written before `stop` is posted */
    unsigned broken_off;
    int64_t  sweep_at_ns;
};

#endif
