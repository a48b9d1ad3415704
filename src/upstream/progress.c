/*
 * What a fetch's client hears of it while it has no answer yet, where he wants to: how long it will wait, and that it
 * goes out.  Upstream thread, and the worker where the mails arrive.
 */
#include "upstream/internal.h"

#include <stdatomic.h>

static void receive_queued(struct mail *m)
{
    struct fetch_progress *p = CONTAINER_OF(m, struct fetch_progress, queued);

    p->is_queued = true;
    p->told(p->fetch);
}

static void receive_sent(struct mail *m)
{
    struct fetch_progress *p = CONTAINER_OF(m, struct fetch_progress, sent);

    p->is_sent = true;
    p->told(p->fetch);
}

void progress_queued(struct fetch_links *w, bool joins, int64_t wait_ns)
{
    struct fetch_progress *p = w->fetch->progress;

    if (p == NULL || p->queued_posted)
        return;
    p->queued_posted = true;
    p->wait_ns = wait_ns;
    p->ahead = joins ? 0 : w->site->waiting;
    p->queued.receive = receive_queued;
    mailbox_post(w->fetch->mailbox, &p->queued);
}

void progress_mark(const struct fetch *f)
{
    const struct fetch_progress *p = f->progress;

    if (p != NULL && p->mark != NULL)
        atomic_store(p->mark, p->number);
}

void progress_sent(struct fetch *f)
{
    struct fetch_progress *p = f->progress;

    if (p == NULL || p->sent_posted)
        return;
    progress_mark(f);
    p->sent_posted = true;
    p->sent.receive = receive_sent;
    mailbox_post(f->mailbox, &p->sent);
}
