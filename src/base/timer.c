/*
 * See timer.h.
 */
#include "base/timer.h"

#include "base/ref.h"

static struct timer *timer_of(const struct heap_node *n)
{
    return CONTAINER_OF(n, struct timer, node);
}

static bool is_earlier(const struct heap_node *a, const struct heap_node *b)
{
    return timer_of(a)->at_ns < timer_of(b)->at_ns;
}

void timers_set(struct timers *ts, struct timer *t, int64_t at_ns)
{
    ts->heap.before = is_earlier;
    t->at_ns = at_ns;
    heap_put(&ts->heap, &t->node);
}

void timers_clear(struct timers *ts, struct timer *t)
{
    heap_remove(&ts->heap, &t->node);
}

int64_t timers_next_ns(const struct timers *ts)
{
    const struct heap_node *first = heap_first(&ts->heap);

    return first != NULL ? timer_of(first)->at_ns : INT64_MAX;
}

void timers_run(struct timers *ts, int64_t now_ns)
{
    /* One that sets itself again at once would fire for ever: so many calls and no more. */
    for (size_t left = ts->heap.count; left > 0 && timers_next_ns(ts) <= now_ns; left--) {
        struct timer *t = timer_of(heap_first(&ts->heap));

        timers_clear(ts, t);
        t->fire(t);
    }
}

void timers_free(struct timers *ts)
{
    heap_free(&ts->heap);
}
