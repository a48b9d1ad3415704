/*
 * A worker's recorder, and the list of all of them.
 */
#include "engine/recorder.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/ring.h"
#include "engine/access.h"

#include <stdlib.h>

/* A worker's: some two thousand records. */
enum { HISTORY_BYTES = 1024 * 1024 };

struct records {
    unsigned         count;
    struct recorder *of[]; /* by worker; constant once they run */
};

struct records *records_open(unsigned workers)
{
    struct records *all = mem_alloc(sizeof *all + workers * sizeof all->of[0]);

    all->count = workers;
    return all;
}

void records_close(struct records *all)
{
    free(all);
}

unsigned records_count(const struct records *all)
{
    return all->count;
}

const struct ring *records_ring(const struct records *all, unsigned worker)
{
    return all->of[worker]->ring;
}

static void add_taker(struct recorder *r)
{
    atomic_fetch_add_explicit(&r->takers, 1, memory_order_relaxed);
}

static void drop_taker(struct recorder *r)
{
    atomic_fetch_sub_explicit(&r->takers, 1, memory_order_relaxed);
}

/* What access.c was told to write to has changed. */
static void heed_log(struct recorder *r)
{
    bool is_on = access_log_is_on(r->log);

    if (is_on && !r->log_is_on)
        add_taker(r);
    else if (!is_on && r->log_is_on)
        drop_taker(r);
    r->log_is_on = is_on;
}

static void set_due(struct recorder *r)
{
    int64_t log_ns = access_log_due_ns(r->log);

    r->due_ns = log_ns < r->tick_ns ? log_ns : r->tick_ns;
}

_Static_assert((int)RECORD_PACKED_MOST <= (int)RING_RECORD_MOST, "every record has room in the ring");

struct recorder *recorder_open(struct records *all, unsigned index, const struct config *c)
{
    struct recorder *r = mem_alloc(sizeof *r);

    CHECK(index < all->count);
    r->records = all;
    r->ring = ring_open(HISTORY_BYTES);
    r->scratch = mem_alloc_raw(RING_RECORD_MOST);
    r->log = access_log_open(c);
    r->tick_ns = r->due_ns = INT64_MAX;
    LIST_INIT(&r->watches);
    heed_log(r);
    all->of[index] = r;
    return r;
}

void recorder_close(struct recorder *r)
{
    if (r == NULL)
        return;
    CHECK(LIST_EMPTY(&r->watches));
    access_log_close(r->log);
    ring_close(r->ring);
    free(r->scratch);
    free(r);
}

void recorder_take(struct recorder *r, const struct request_record *record)
{
    counter_add(COUNTER_RECORDS_MADE, 1);
    access_log_write(r->log, record);
    ring_put(r->ring, r->scratch, record_pack(record, r->scratch));
    set_due(r);
}

/* -- the worker's loop -- */

static void tell_watches(struct recorder *r, enum record_tick what)
{
    struct record_watch *watch, *next;

    LIST_FOREACH_SAFE (watch, &r->watches, entry, next)
        watch->tick(watch, what);
}

static void tick(struct recorder *r)
{
    r->tick_ns = clock_mono_ns() + RECORD_TICK_NS;
    tell_watches(r, RECORD_TICK);
    if (LIST_EMPTY(&r->watches))
        r->tick_ns = INT64_MAX;
}

void recorder_tend(struct recorder *r)
{
    const int64_t now = clock_mono_ns();

    if (access_log_due_ns(r->log) <= now)
        access_log_flush(r->log);
    if (r->tick_ns <= now)
        tick(r);
    set_due(r);
}

void recorder_configure(struct recorder *r, struct config *c)
{
    struct record_watch *watch;

    access_log_configure(r->log, c);
    heed_log(r);
    LIST_FOREACH (watch, &r->watches, entry)
        watch->config = c;
    tell_watches(r, RECORD_CHANGED);
    set_due(r);
}

void recorder_reopen(struct recorder *r)
{
    access_log_reopen(r->log);
    set_due(r);
}

void recorder_flush(struct recorder *r)
{
    access_log_flush(r->log);
    set_due(r);
}

void recorder_end_watches(struct recorder *r)
{
    tell_watches(r, RECORD_ENDING);
}

/* -- who looks -- */

void recorder_watch(struct recorder *r, struct record_watch *watch)
{
    LIST_INSERT_HEAD(&r->watches, watch, entry);
    for (unsigned i = 0; i < r->records->count; i++)
        add_taker(r->records->of[i]);
    if (r->tick_ns == INT64_MAX)
        r->tick_ns = clock_mono_ns() + RECORD_TICK_NS;
    set_due(r);
}

void recorder_unwatch(struct recorder *r, struct record_watch *watch)
{
    LIST_REMOVE(watch, entry);
    for (unsigned i = 0; i < r->records->count; i++)
        drop_taker(r->records->of[i]);
    if (LIST_EMPTY(&r->watches))
        r->tick_ns = INT64_MAX;
    set_due(r);
}

bool recorder_keeps(const struct recorder *r)
{
    return r->log_is_on;
}
