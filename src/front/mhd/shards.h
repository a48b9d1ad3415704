/*
 * A worker's libmicrohttpd daemons.
 *
 * To resume one connection MHD walks over all that are suspended in that daemon: with ten thousand that wait, half a
 * millisecond for each answer.  So a worker has more than one, each with so many connections and no more; what a
 * resumption costs is bounded by that.  The first of its kind (plain, TLS) runs in every round of the worker; any other
 * in those in which something happened to it, and once a second for its time-outs.
 *
 * Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_SHARDS_H
#define WEIR_FRONT_MHD_SHARDS_H

#include "front/worker.h"

enum { SHARD_CONNECTIONS = 256 };

struct shard {
    struct watch       watch;
    struct worker     *worker;
    struct MHD_Daemon *daemon;
    bool               is_tls, is_first;
    bool               is_due;            /* stands in worker->due_shards */
    unsigned           connections;
    struct shard      *next, *next_due;
};

/* The first ones; -1 and *why where it cannot. */
int  shards_start(struct worker *, struct fault *why);
/* One with room; where no other can be started, the first. */
struct shard *shard_with_room(struct worker *, bool is_tls);
/* Something happened: it is to run in this round, or the next. */
void shard_touch(struct shard *);
void shards_touch_all(struct worker *);
/* At most how long the worker may sleep. */
void shards_limit_wait(struct worker *, int64_t *ns);
void shards_run(struct worker *);
/* Closes all connections. */
void shards_stop(struct worker *);

#endif
