/*
 * Where a worker's finished requests are told: to its access log, and to whoever looks.
 *
 * Records are made while somebody takes them: the access log where it is on, and each who looks (`weirctl log`, `top`,
 * the page).  `takers` counts them; it is the one thing that a request looks at, and with nobody there nothing is made.
 * What was made stands in the worker's ring (base/ring.h): the last of them, in a bounded piece of memory, which costs
 * little beside a log's line.  Any worker reads the rings of all (record_reader.h).
 */
#ifndef WEIR_ENGINE_RECORDER_H
#define WEIR_ENGINE_RECORDER_H

#include "base/list.h"
#include "config/config.h"
#include "engine/record.h"

#include <stdatomic.h>

struct access_log;
struct records;
struct ring;

/* -- the recorders of all workers -- */
/* Never NULL. */
struct records *records_open(unsigned workers);
void            records_close(struct records *); /* NULL is fine; all recorders are closed */

enum record_tick {
    RECORD_TICK,    /* there may be more to read */
    RECORD_CHANGED, /* there is another configuration */
    RECORD_ENDING   /* the worker stops, and will not call again */
};

/* Who looks, on the worker where he is served. */
struct record_watch {
    void (*tick)(struct record_watch *, enum record_tick); /* on that worker's thread, some times a second */
    struct config           *config;                       /* RECORD_CHANGED: the one in effect, borrowed */
    LIST_ENTRY(record_watch) entry;
};

struct recorder {
    _Atomic unsigned takers;  /* any thread */
    struct records  *records; /* constant, like the next one */
    struct ring     *ring;    /* written here, read by any thread */
    /* -- the worker's thread only -- */
    struct access_log *log;
    bool               log_is_on; /* and is one of the takers */
    int64_t            due_ns;    /* monotonic: when recorder_tend() is wanted; INT64_MAX: not */
    int64_t            tick_ns;   /* the watches' */
    LIST_HEAD(, record_watch) watches;
    void *scratch;
};

/* One per worker, number `index` of them; before any of them runs.  Never NULL. */
struct recorder *recorder_open(struct records *, unsigned index, const struct config *);
void             recorder_close(struct recorder *); /* NULL is fine */

/* False: a record would go nowhere. */
static inline bool recorder_is_on(const struct recorder *r)
{
    return atomic_load_explicit(&r->takers, memory_order_relaxed) != 0;
}
void recorder_take(struct recorder *, const struct request_record *);

/* -- the worker's loop -- */
static inline int64_t recorder_due_ns(const struct recorder *r)
{
    return r->due_ns;
}
void recorder_tend(struct recorder *);
void recorder_configure(struct recorder *, struct config *);
void recorder_reopen(struct recorder *); /* the log's file was renamed */
void recorder_flush(struct recorder *);
/* The worker stops: who looks hears so. */
void recorder_end_watches(struct recorder *);

/* -- for who looks -- */
/* From now on all workers make records.  It is told every RECORD_TICK_NS. */
void recorder_watch(struct recorder *, struct record_watch *);
void recorder_unwatch(struct recorder *, struct record_watch *);
#define RECORD_TICK_NS (20 * NS_PER_MS)
/* Does any other than those who look have records made? */
bool recorder_keeps(const struct recorder *);

/* -- for record_reader.c -- */
unsigned           records_count(const struct records *);
const struct ring *records_ring(const struct records *, unsigned worker);

#endif
