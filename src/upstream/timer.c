/*
 * The heap: each timer knows its place, so that moving one costs O(log n).
 */
#include "upstream/timer.h"

#include "base/arena.h"

#include <stddef.h>
#include <stdlib.h>

static void put(struct timers *ts, unsigned place, struct timer *t)
{
    ts->heap[place - 1] = t;
    t->place = place;
}

static struct timer *at(const struct timers *ts, unsigned place)
{
    return ts->heap[place - 1];
}

static void rise(struct timers *ts, struct timer *t)
{
    unsigned place = t->place;

    while (place > 1 && at(ts, place / 2)->at_ns > t->at_ns) {
        put(ts, place, at(ts, place / 2));
        place /= 2;
    }
    put(ts, place, t);
}

static void sink(struct timers *ts, struct timer *t)
{
    unsigned place = t->place;

    for (;;) {
        unsigned below = place * 2;

        if (below < ts->count && at(ts, below + 1)->at_ns < at(ts, below)->at_ns)
            below++;
        if (below > ts->count || at(ts, below)->at_ns >= t->at_ns)
            break;
        put(ts, place, at(ts, below));
        place = below;
    }
    put(ts, place, t);
}

void timers_set(struct timers *ts, struct timer *t, int64_t at_ns)
{
    t->at_ns = at_ns;
    if (t->place == 0) {
        if (ts->count == ts->capacity) {
            ts->capacity = ts->capacity > 0 ? ts->capacity * 2 : 64;
            ts->heap = mem_resize(ts->heap, ts->capacity * sizeof *ts->heap);
        }
        put(ts, ++ts->count, t);
    }
    rise(ts, t);
    sink(ts, t);
}

void timers_clear(struct timers *ts, struct timer *t)
{
    struct timer *last;

    if (t->place == 0)
        return;
    last = at(ts, ts->count--);
    if (last != t) {
        put(ts, t->place, last);
        rise(ts, last);
        sink(ts, last);
    }
    t->place = 0;
}

int64_t timers_next_ns(const struct timers *ts)
{
    return ts->count > 0 ? ts->heap[0]->at_ns : INT64_MAX;
}

void timers_run(struct timers *ts, int64_t now_ns)
{
    /* One that sets itself again at once would fire for ever: so many calls and no more. */
    for (unsigned left = ts->count; left > 0 && timers_next_ns(ts) <= now_ns; left--) {
        struct timer *t = ts->heap[0];

        timers_clear(ts, t);
        t->fire(t);
    }
}

void timers_free(struct timers *ts)
{
    free(ts->heap);
    *ts = (struct timers){ 0 };
}
