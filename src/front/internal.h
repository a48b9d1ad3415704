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
    int                          epoll_fd;
    int                          done_fd;     /* eventfd of the front: written when the thread ends */
    _Atomic unsigned             connections; /* main adds, the worker takes away: for balance only */
    struct {
        struct mail mail, hurry; /* the second one takes the grace away */
        int64_t     grace_ns;    /* written before `mail` is posted */
        bool        is_asked;
        int64_t     at_ns; /* real monotonic: then the rest is broken off */
        unsigned    broken_off;
    } stop;

    /* -- the worker's thread only, from here on; a part is the file's that it is named after -- */
    struct config     *config;
    struct engine     *engine;
    struct admin      *admin;
    struct recorder   *recorder;
    struct leaf_cache *leaves;
    LIST_HEAD(, knock)      knocks; /* at the proxy's door: what they want is not known yet */
    LIST_HEAD(, tunnel)     tunnels, ended_tunnels;
    LIST_HEAD(, connection) open; /* all connections */
    struct connection *adding;    /* while MHD_add_connection() runs */
    struct {
        STAILQ_HEAD(, shard) shards[2]; /* plain; those that speak TLS: none without a proxy listener */
        SLIST_HEAD(due_shards, shard) due;
        unsigned                      restless[2]; /* connections of such a shard for which MHD may never wait */
        int64_t                       idle_ns;     /* the time-out MHD was started with */
    } mhd;                                         /* front/mhd/shards.c, daemon.c */
    struct {
        struct connection **by_fd; /* MHD's, by descriptor */
        size_t              count;
        struct connection  *current;    /* that MHD works on, as far as is known; NULL: none */
        bool                has_doomed; /* some connection may be */
    } intake;
    struct {
        LIST_HEAD(, call)  list;      /* requests being answered */
        TAILQ_HEAD(, call) suspended; /* of them, those whose pools were not looked at; the longest first */
        LIST_HEAD(, call)  unused;
        unsigned count, unused_count;
        bool     parks; /* there are more to be looked at */
    } calls;
    struct {
        LIST_HEAD(, lingering) list;
        unsigned count;
    } lingering; /* front/mhd/refuse.c */
    struct {
        struct kept_table *table; /* replies that are ready */
        bool               any;   /* there were some at the last sweep, or one came since */
    } kept;
    struct {
        int64_t  at_ns;
        unsigned count;
    } sweep; /* front/loop.c: once a second */
};

#endif
