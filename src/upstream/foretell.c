/*
 * What would become of a fetch that came now: enter.c's own judgement, of one that never comes.
 *
 * The worker lends a fetch that it does not submit; what stands in it afterwards is what a real one
 * would be told.  Nobody is counted, nobody's place changes.
 */
#include "upstream/internal.h"

#include <stdio.h>

static void foretell(struct upstream_foretelling *q, struct site *site)
{
    struct fetch_links *w = q->fetch->links;
    struct charge       charge;
    struct ruling       r;

    w->site = site;
    enter_arrive(w, q->up);
    r = enter_rule(site, w);
    enter_foretell(site, w, &r);
    q->fetch->event = enter_say(site, w, &r);
    waiter_tell_budget(w);
    fetch_charge(&charge, q->fetch);
    q->is_known = true;
    q->joins = r.kind == RULING_JOINS;
    q->takes_place = r.kind == RULING_QUEUED && r.flight != NULL;
    q->wait_ns = r.is_foretold ? r.wait_ns : 0;
    q->cost = site_class(site, &charge).cost;
    q->in_flight = site->in_flight;
    q->waiting = site->waiting;
    if (q->wait_ns <= 0)
        return;
    snprintf(q->limit, sizeof q->limit, "%s", r.cause.limit != NULL ? r.cause.limit : "");
    q->told_by = told_by_text(r.cause.by);
}

static void receive_question(struct mail *m)
{
    struct upstream_foretelling *q = CONTAINER_OF(m, struct upstream_foretelling, mail);
    struct site                 *site = site_find(q->up, q->fetch->upstream->name);

    q->told_by = "";
    q->fetch->event = FETCH_PENDING;
    if (site != NULL && site->options != NULL)
        foretell(q, site);
    q->has_misses = misses_of(q->up->misses, q->fetch->upstream->name, q->fetch->policy, &q->misses);
    mailbox_post(q->reply_to, &q->done);
}

void upstream_foretell(struct upstream *up, struct upstream_foretelling *q)
{
    q->mail.receive = receive_question;
    q->up = up;
    mailbox_post(up->mailbox, &q->mail);
}
