/*
 * How long a whole row of requests will take, of which one is here: for who asks many things at once.
 */
#include "upstream/internal.h"

#include <stdio.h>

static void look(struct upstream_outlook *o, const struct flight *f)
{
    struct wait_cause cause;

    o->is_known = true;
    o->last_ns = forecast_last(f, o->more);
    o->takes_ns = forecast_takes(f);
    if (f->state >= FLIGHT_SENDING)
        return;
    o->wait_ns = forecast_wait(f->site, f, &f->charge, f->entry.priority, &f->entry.who, &cause);
    o->ahead = queue_waits(&f->entry) ? queue_ahead_of(f->site->budget->queue, &f->entry).all : 0;
    if (o->wait_ns > 0)
        snprintf(o->limit, sizeof o->limit, "%s", cause.limit != NULL ? cause.limit : "");
}

static void receive_question(struct mail *m)
{
    struct upstream_outlook  *o = CONTAINER_OF(m, struct upstream_outlook, mail);
    const struct fetch_links *w = o->fetch->links;

    o->is_known = false;
    o->wait_ns = o->last_ns = o->takes_ns = 0;
    o->ahead = 0;
    o->limit[0] = '\0';
    if (w->flight != NULL)
        look(o, w->flight);
    fetch_release(o->fetch);
    o->fetch = NULL;
    mailbox_post(o->reply_to, &o->done);
}

void upstream_look_out(struct upstream *up, struct upstream_outlook *o)
{
    fetch_acquire(o->fetch);
    o->mail.receive = receive_question;
    mailbox_post(up->mailbox, &o->mail);
}
