/*
 * Answers that are overtaken on their way to the store: by a write that has
 * changed what they tell of, or by somebody who drops it.
 *
 * Every drop goes through this thread before it goes to the writer, as every
 * answer does.  So each answer is either submitted before the drop, and goes with what
 * is stored, or it is marked here: whoever asked gets it, it is joined no more, and
 * not stored.  What is still queued is asked for later and is none of these.
 */
#include "upstream/internal.h"

#include <stdlib.h>

static bool is_asked(const struct flight *f)
{
    return f->state == FLIGHT_SENDING || f->state == FLIGHT_STREAMING;
}

static void overtake(struct flight *f)
{
    flight_hide(f);
    f->overtaken = true;
    flight_unstore(f);
    if (f->answer != NULL && f->answer->body != NULL && f->receiving + f->waiting <= 1)
        spool_set_pass(f->answer->body);
    if (!f->up->holds) /* else the body's next piece finds that nobody waits */
        flight_look_who_waits(f);
}

/* -- by a write -- */

static struct slice without_query(struct slice path)
{
    return slice_sub(path, 0, slice_find(path, '?', 0));
}

void overtake_by_write(struct site *site, const struct fetch *write)
{
    struct slice path = without_query(write->path);

    EACH_FLIGHT_SAFE(f, site)
    {
        if (is_asked(f) && f->leader->has_key && slice_eq(without_query(f->leader->path), path))
            overtake(f);
    }
}

/* -- by a drop -- */

static bool is_about(const struct store_change *drop, const struct flight *flight)
{
    const struct fetch *f = flight->leader;

    switch (drop->kind) {
    case STORE_FLUSH:
        return true;
    case STORE_DROP:
        return memcmp(drop->hash, f->key.hash, sizeof drop->hash) == 0;
    case STORE_DROP_TAG:
        return memcmp(drop->tag, f->key.path_tag, sizeof drop->tag) == 0;
    case STORE_DROP_LABEL: /* whose head has not come: late.c */
        return flight->storing && late_bears(flight->answer, f, drop->label, drop->label_bytes);
    case STORE_DROP_MATCHING:
        return drop->matches != NULL && drop->matches(f->key.full, drop->context);
    default:
        return false;
    }
}

struct dropping {
    struct mail          mail;
    struct upstream     *up;
    struct store_change *change;
};

static void receive_drop(struct mail *m)
{
    struct dropping *d = CONTAINER_OF(m, struct dropping, mail);
    struct upstream *up = d->up;

    if (d->change->kind == STORE_DROP_LABEL)
        late_note(&up->late_drops, d->change);
    EACH_SITE(s, up)
    EACH_FLIGHT_SAFE(f, s)
    {
        if (is_asked(f) && f->leader->has_key && is_about(d->change, f))
            overtake(f);
    }
    store_submit(up->store, d->change);
    free(d);
}

void upstream_drop(struct upstream *up, struct store_change *change)
{
    struct dropping *d = mem_alloc(sizeof *d);

    d->mail.receive = receive_drop;
    d->up = up;
    d->change = change;
    mailbox_post(up->mailbox, &d->mail);
}
