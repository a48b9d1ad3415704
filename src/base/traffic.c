/*
 * Cells are made when a worker first has something to count: with a thousand upstreams most have nothing.
 */
#include "base/traffic.h"

#include "base/arena.h"

#include <stdalign.h>
#include <stdlib.h>
#include <string.h>

enum { CACHE_LINE_BYTES = 64 };

const char *const traffic_outcome_labels[TRAFFIC_OUTCOMES] = {
#define X(id, label) label,
    TRAFFIC_OUTCOMES_ALL(X)
#undef X
};

const char *const traffic_method_labels[TRAFFIC_METHODS] = { "safe", "unsafe" };

static void destroy(struct ref *ref)
{
    struct traffic *t = CONTAINER_OF(ref, struct traffic, ref);

    for (unsigned i = 0; i < t->workers; i++)
        free(atomic_load_explicit(&t->of[i], memory_order_relaxed));
    free(t);
}

struct traffic *traffic_new(unsigned workers)
{
    struct traffic *t = mem_alloc(sizeof *t + workers * sizeof t->of[0]);

    ref_init(&t->ref, destroy);
    t->workers = workers;
    return t;
}

void traffic_release(struct traffic *t)
{
    if (t != NULL)
        ref_release(&t->ref);
}

struct traffic_cells *traffic_begin(struct traffic *t, unsigned worker)
{
    /* No two workers write into one cache line. */
    const size_t bytes = (sizeof(struct traffic_cells) + CACHE_LINE_BYTES - 1) / CACHE_LINE_BYTES * CACHE_LINE_BYTES;
    struct traffic_cells *cells = aligned_alloc(CACHE_LINE_BYTES, bytes);

    if (cells == NULL)
        abort();
    memset(cells, 0, bytes);
    /* Release: who sees it sees it empty. */
    atomic_store_explicit(&t->of[worker], cells, memory_order_release);
    return cells;
}

void traffic_gather(struct traffic_sum *sum, const struct traffic *t)
{
    for (unsigned i = 0; i < t->workers; i++) {
        const struct traffic_cells *c = atomic_load_explicit(&t->of[i], memory_order_acquire);

        if (c == NULL)
            continue;
        for (unsigned k = 0; k < TRAFFIC_CELLS; k++) {
            const uint64_t sent = atomic_load_explicit(&c->sent[k], memory_order_relaxed);

            sum->requests[k] += atomic_load_explicit(&c->requests[k], memory_order_relaxed);
            sum->sent[k] += sent;
            sum->sent_bytes += sent;
        }
        sum->received_bytes += atomic_load_explicit(&c->received_bytes, memory_order_relaxed);
        histogram_gather(&sum->client, &c->client);
        histogram_gather(&sum->queue, &c->queue);
    }
}
