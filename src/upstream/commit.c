/*
 * What goes to the store: a whole response, or what a 304 said of a stored
 * one.  The change stands in the flight, which stays joinable until the
 * writer has acknowledged it, so nobody falls between flight and record.
 */
#include "upstream/inside.h"

static void receive_done(struct mail *m)
{
    struct flight *f = CONTAINER_OF(CONTAINER_OF(m, struct store_change, done), struct flight, change);

    f->up->commits--;
    f->committing = false;
    spool_release(f->change.body);
    f->change.body = NULL;
    flight_hide(f);
    flight_settle(f);
}

static void submit(struct flight *f, enum store_change_kind kind)
{
    const struct fetch  *fetch = f->leader;
    struct store_change *c = &f->change;

    c->kind = kind;
    memcpy(c->hash, fetch->key.hash, sizeof c->hash);
    memcpy(c->tag, fetch->key.path_tag, sizeof c->tag);
    c->full_key = fetch->key.full;
    c->upstream = fetch->upstream->name;
    c->requested_wall_ns = f->answer->requested_wall_ns;
    c->received_wall_ns = f->answer->received_wall_ns;
    c->had_credential = fetch->has_credential;
    c->reply_to = f->up->mailbox;
    c->done.receive = receive_done;
    f->committing = true;
    f->up->commits++;
    store_submit(f->up->store, c);
}

void commit_put(struct flight *f)
{
    struct store_change *c = &f->change;

    c->status = f->answer->head.status;
    c->fields = policy_stored_fields(f->leader->policy, &f->answer->head, &f->change_arena);
    c->selection = f->selection;
    policy_variant_hash(f->selection, c->variant);
    c->body = f->answer->body;
    if (c->body != NULL)
        spool_acquire(c->body);
    submit(f, STORE_PUT);
}

void commit_freshen(struct flight *f)
{
    struct store_change *c = &f->change;

    c->status = f->answer->head.status;
    c->fields = policy_stored_fields(f->leader->policy, &f->answer->head, &f->change_arena);
    c->id = f->leader->stored_id;
    c->selection = f->leader->stored_selection;
    memcpy(c->variant, f->leader->stored_variant, sizeof c->variant);
    submit(f, STORE_FRESHEN);
}
