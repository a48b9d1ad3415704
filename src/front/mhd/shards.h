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

#include "front/internal.h"

#include <microhttpd.h>

enum { SHARD_CONNECTIONS = 256 };
enum { SHARD_PLAIN, SHARD_TLS }; /* of struct worker's `shards` */

struct shard {
    struct watch        watch;
    struct worker      *worker;
    struct MHD_Daemon  *daemon;
    bool                is_tls, is_first;
    bool                is_due; /* stands in worker->mhd.due */
    unsigned            connections;
    STAILQ_ENTRY(shard) entry; /* of the worker's of its kind */
    SLIST_ENTRY(shard)  due;
};

/* Something happened: it is to run in this round, or the next. */
void shard_touch(struct shard *);
void shards_touch_all(struct worker *);
/* At most how long the worker may sleep. */
void shards_limit_wait(struct worker *, int64_t *ns);
void shards_run(struct worker *);

#endif
