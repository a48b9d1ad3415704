/*
 * Who is at the other end of a call's connection: asked as far as somebody needs to know, and remembered with the
 * connection (peer/card.h).
 */
#include "front/mhd/call.h"

#include "peer/finder.h"

static struct peer_card *card_of(struct connection *c)
{
    if (c->card == NULL)
        c->card = peer_card_open(c->fd);
    return c->card;
}

/* For the log: the user is asked for at the first request, since a client that has its answer may be gone; the process,
 * which nobody waits for, is looked for where a second one comes. */
void call_label(struct connection *c)
{
    if (c->is_sought || !recorder_is_on(c->worker->recorder))
        return;
    if (c->is_labelled) {
        c->is_sought = true;
        peer_find(c->worker->services->engine.finder, card_of(c), NULL);
        return;
    }
    c->is_labelled = true;
    peer_card_ask_user(card_of(c));
    peer_card_read(c->card, &c->who);
    peer_label(&c->who, c->label);
}

void call_label_record(void *owner, struct request_record *record)
{
    const struct call *call = owner;
    struct connection *c = call->connection;

    if (!c->is_labelled_whole && c->card != NULL && peer_card_is_told(c->card)) {
        c->is_labelled_whole = true;
        peer_card_read(c->card, &c->who);
        peer_label(&c->who, c->label);
    }
    record_name_client(record, &c->who, c->label);
}

struct peer_card *call_card(void *owner)
{
    const struct call *call = owner;

    return card_of(call->connection);
}

const struct peer *call_known(void *owner)
{
    struct call       *call = owner;
    struct connection *c = call->connection;

    call->asked_who = true;
    peer_card_read(card_of(c), &c->who);
    return &c->who;
}

const struct peer *call_who(void *owner)
{
    peer_card_ask_user(call_card(owner));
    return call_known(owner);
}
