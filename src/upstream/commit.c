/*
 * What goes to the store: a whole response, or what a 304 said of a stored
 * one.  The change stands in the flight until the writer has committed it; look-ups see
 * it from its announcement on, so nobody falls between flight and record, and
 * the flight itself is joined no more.
 */
#include "upstream/internal.h"

#include "policy/search.h"
#include "policy/validate.h"

#include <stdlib.h>

/* Not before it is needed: a flight that waits has none. */
static struct commit *commit_of(struct flight *f)
{
    if (f->commit == NULL) {
        f->commit = mem_alloc(sizeof *f->commit);
        f->commit->flight = f;
    }
    return f->commit;
}

static void receive_done(struct mail *m)
{
    struct commit *commit = CONTAINER_OF(CONTAINER_OF(m, struct store_change, done), struct commit, change);
    struct flight *f = commit->flight;

    f->up->pending.commits--;
    f->committing = false;
    spool_release(commit->change.body);
    commit->change.body = NULL;
    flight_settle(f);
}

static void describe(struct flight *f, enum store_change_kind kind)
{
    const struct fetch  *fetch = f->leader;
    struct store_change *c = &commit_of(f)->change;

    c->kind = kind;
    memcpy(c->hash, fetch->key.hash, sizeof c->hash);
    memcpy(c->tag, fetch->key.path_tag, sizeof c->tag);
    c->full_key = fetch->key.full;
    c->upstream = fetch->upstream->name;
    c->max_share = fetch->upstream->max_share;
    c->requested_wall_ns = f->answer->requested_wall_ns;
    c->received_wall_ns = f->answer->received_wall_ns;
    c->had_credential = fetch->caller.has_credential;
    c->reply_to = f->up->mailbox;
    c->done.receive = receive_done;
}

static void submit(struct flight *f)
{
    if (f->leader->manner.is_early)
        early_renewed(f, &f->commit->change);
    f->committing = true;
    f->up->pending.commits++;
    store_submit(f->up->store, &f->commit->change);
}

/* The head as it is kept: what it says of the request's own credentials only in marks. */
static void keep_head(struct flight *f, const struct http_response *head)
{
    struct store_change *c = &commit_of(f)->change;

    c->status = head->status;
    c->fields = policy_stored_fields(f->leader->policy, head, &commit_of(f)->arena);
    policy_labels(f->leader->policy, policy_key_origin(f->leader->key.full), &head->fields, &commit_of(f)->arena,
                  &commit_of(f)->labels);
    policy_search_labels(&f->leader->key, &head->fields, &commit_of(f)->arena, &commit_of(f)->labels);
    c->labels = policy_labels_slice(&commit_of(f)->labels);
    c->masked = auth_mask(f->leader, MASK_MARK, &c->fields, &commit_of(f)->arena);
}

static enum store_change_kind judge_head(struct flight *f)
{
    const struct fetch         *fetch = f->leader;
    struct http_response        fresh = { .status = 200 };
    struct http_request         request = fetch->request;
    const struct storable_input in = {
        .request = &request,
        .response = &fresh,
        .has_credential = fetch->caller.has_credential,
        .content_length = fetch->stored.head.body_bytes,
        .now_wall_ns = f->answer->received_wall_ns,
    };

    if (!policy_head_selects(&f->answer->head, &fetch->stored.head))
        return STORE_INVALIDATE;
    request.method = HTTP_GET;
    fresh.fields = policy_freshen(&fetch->stored.head.head.fields, &f->answer->head.fields, fetch->policy->own_limits,
                                  &commit_of(f)->arena);
    if (policy_storable(fetch->policy, &in) != STORABLE_YES)
        return STORE_INVALIDATE;
    keep_head(f, &fresh);
    return STORE_FRESHEN;
}

/* The record that `change` is about: what the fetch validated. */
static void name_stored(struct flight *f)
{
    struct store_change *c = &commit_of(f)->change;

    c->id = f->leader->stored.id;
    c->selection = f->leader->stored.selection;
    memcpy(c->variant, f->leader->stored.variant, sizeof c->variant);
}

void commit_head(struct flight *f)
{
    describe(f, judge_head(f));
    name_stored(f);
    submit(f);
}

void commit_announce(struct flight *f, int64_t body_bytes)
{
    struct store_change *c = &commit_of(f)->change;

    if (c->announced)
        return;
    describe(f, STORE_PUT);
    keep_head(f, &f->answer->head);
    c->selection = f->selection;
    policy_variant_hash(f->selection, c->variant);
    c->id = f->joined_part ? f->leader->stored.id : 0;
    c->is_first = f->leader->seen.new_key;
    c->body = f->answer->body;
    c->body_bytes = body_bytes;
    if (c->body != NULL)
        spool_acquire(c->body);
    store_announce(f->up->store, c);
}

void commit_put(struct flight *f)
{
    commit_announce(f, f->answer->body != NULL ? spool_length(f->answer->body) : 0);
    submit(f);
}

void commit_freshen(struct flight *f)
{
    describe(f, STORE_FRESHEN);
    name_stored(f);
    keep_head(f, &f->answer->head);
    submit(f);
}
