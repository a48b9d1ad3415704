/*
 * See shards.h.
 */
#include "front/mhd/shards.h"

#include "base/clock.h"

#define LONGEST_WAIT_NS (60 * NS_PER_SEC)

void shard_touch(struct shard *s)
{
    if (s->is_first || s->is_due)
        return;
    s->is_due = true;
    SLIST_INSERT_HEAD(&s->worker->mhd.due, s, due);
}

void shards_touch_all(struct worker *w)
{
    struct shard *s;

    for (int kind = SHARD_PLAIN; kind <= SHARD_TLS; kind++)
        STAILQ_FOREACH (s, &w->mhd.shards[kind], entry)
            shard_touch(s);
}

/* A handshake that waits for its client looks to MHD as if there were something to read, and a chunk line that
 * outgrows its buffer as if there were something to process: it would never wait. */
static int64_t shortest_ns(const struct shard *s)
{
    return s->worker->mhd.restless[s->is_tls] > 0 ? NS_PER_MS : 0;
}

/* In milliseconds as MHD says it. */
static int64_t least_wait_ns(const struct shard *s)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    const int64_t          least = shortest_ns(s);
    int64_t                ns;

    if (MHD_get_timeout(s->daemon, &mhd_ms) != MHD_YES)
        return INT64_MAX;
    if (mhd_ms > LONGEST_WAIT_NS / NS_PER_MS)
        mhd_ms = LONGEST_WAIT_NS / NS_PER_MS;
    ns = (int64_t)mhd_ms * NS_PER_MS;
    return ns > least ? ns : least;
}

void shards_limit_wait(struct worker *w, int64_t *ns)
{
    const struct shard *s;

    for (int kind = SHARD_PLAIN; kind <= SHARD_TLS; kind++) {
        int64_t wait = !STAILQ_EMPTY(&w->mhd.shards[kind]) ? least_wait_ns(STAILQ_FIRST(&w->mhd.shards[kind]))
                                                           : INT64_MAX;

        if (wait < *ns)
            *ns = wait;
    }
    SLIST_FOREACH (s, &w->mhd.due, due) {
        const int64_t wait = shortest_ns(s);

        if (wait < *ns)
            *ns = wait;
    }
}

/* It goes on in the next round where MHD would not wait for an event. */
static void run_due(struct shard *s)
{
    s->is_due = false;
    MHD_run(s->daemon);
    if (least_wait_ns(s) <= NS_PER_MS)
        shard_touch(s);
}

void shards_run(struct worker *w)
{
    struct due_shards due = w->mhd.due;
    struct shard     *s;

    SLIST_INIT(&w->mhd.due);
    MHD_run(STAILQ_FIRST(&w->mhd.shards[SHARD_PLAIN])->daemon);
    if (!STAILQ_EMPTY(&w->mhd.shards[SHARD_TLS]))
        MHD_run(STAILQ_FIRST(&w->mhd.shards[SHARD_TLS])->daemon);
    while ((s = SLIST_FIRST(&due)) != NULL) {
        SLIST_REMOVE_HEAD(&due, due);
        run_due(s);
    }
}
