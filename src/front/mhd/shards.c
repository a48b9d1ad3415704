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
    s->next_due = s->worker->due_shards;
    s->worker->due_shards = s;
}

void shards_touch_all(struct worker *w)
{
    for (int kind = SHARD_PLAIN; kind <= SHARD_TLS; kind++)
        for (struct shard *s = w->shards[kind]; s != NULL; s = s->next)
            shard_touch(s);
}

/* In milliseconds as MHD says it.  A handshake that waits for its client looks to MHD as if there were something to
 * read: it would never wait. */
static int64_t least_wait_ns(const struct shard *s)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    int64_t                least = s->is_tls && s->worker->handshakes > 0 ? NS_PER_MS : 0, ns;

    if (MHD_get_timeout(s->daemon, &mhd_ms) != MHD_YES)
        return INT64_MAX;
    if (mhd_ms > LONGEST_WAIT_NS / NS_PER_MS)
        mhd_ms = LONGEST_WAIT_NS / NS_PER_MS;
    ns = (int64_t)mhd_ms * NS_PER_MS;
    return ns > least ? ns : least;
}

void shards_limit_wait(struct worker *w, int64_t *ns)
{
    for (int kind = SHARD_PLAIN; kind <= SHARD_TLS; kind++) {
        int64_t wait = w->shards[kind] != NULL ? least_wait_ns(w->shards[kind]) : INT64_MAX;

        if (wait < *ns)
            *ns = wait;
    }
    for (const struct shard *s = w->due_shards; s != NULL; s = s->next_due) {
        int64_t wait = s->is_tls && w->handshakes > 0 ? NS_PER_MS : 0;

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
    struct shard *due = w->due_shards, *next;

    w->due_shards = NULL;
    MHD_run(w->shards[SHARD_PLAIN]->daemon);
    if (w->shards[SHARD_TLS] != NULL)
        MHD_run(w->shards[SHARD_TLS]->daemon);
    for (; due != NULL; due = next) {
        next = due->next_due;
        run_due(due);
    }
}
