/*
 * A snapshot in use: looked into, counted.
 */
#include "tape/internal.h"

#include <stdlib.h>

void tape_free(struct tape *t)
{
    snapshot_close(t->snapshot);
    pthread_mutex_destroy(&t->lock);
    free(t->name);
    free(t);
}

void tape_acquire(struct tape *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
}

void tape_release(struct tape *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    if (t->taper != NULL)
        taper_end(t->taper);
    else
        tape_free(t);
}

const struct tape_options *tape_options(const struct tape *t)
{
    return &t->options;
}

const char *tape_name(const struct tape *t)
{
    return t->name;
}

void tape_counts(struct tape *t, struct tape_counts *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->counts;
    pthread_mutex_unlock(&t->lock);
}

void tape_finish(struct tape *t, struct mailbox *mailbox, struct mail *done)
{
    if (t->taper != NULL)
        taper_finish(t->taper, mailbox, done);
    else
        mailbox_post(mailbox, done);
}

/* -- playing -- */

bool tape_plays(const struct tape *t)
{
    return t->reads;
}

bool tape_matches_body(const struct tape *t)
{
    return t->matches_body;
}

bool tape_records(const struct tape *t)
{
    return t->taper != NULL && !atomic_load_explicit(&t->is_over, memory_order_relaxed);
}

enum snapshot_found tape_find(struct tape *t, const struct snapshot_request *r, struct tape_answer *out,
                              struct snapshot_nearest *nearest, struct arena *a, struct fault *why)
{
    enum snapshot_found found = SNAPSHOT_MISSED;

    *out = (struct tape_answer){ .body = { .fd = -1 } };
    *nearest = (struct snapshot_nearest){ .method = SLICE_NONE };
    pthread_mutex_lock(&t->lock);
    if (t->snapshot != NULL)
        found = snapshot_find(t->snapshot, r, &out->exchange, nearest, a, why);
    if (found == SNAPSHOT_FOUND && out->exchange.body.name.ptr != NULL &&
        snapshot_body_open(t->snapshot, &out->exchange.body, &out->body, why) != 0)
        found = SNAPSHOT_BROKEN;
    if (found == SNAPSHOT_FOUND)
        t->counts.played++;
    else
        t->counts.missed++;
    pthread_mutex_unlock(&t->lock);
    return found;
}
