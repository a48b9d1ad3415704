/*
 * What goes to the store: a whole response, or what a 304 said of a stored
 * one.  The change stands in the flight, which stays joinable until the
 * writer has acknowledged it, so nobody falls between flight and record.
 * Whoever comes then and may not join (a condition or a range of his own, or an
 * answer that must be validated) waits for the record, and the writer is
 * told to hurry.
 */
#include "upstream/inside.h"

#include "policy/validate.h"

static struct flight **bucket_of(struct upstream *up, const struct fetch *f)
{
    return &up->committing[f->key.hash[0] % COMMIT_BUCKETS];
}

static void take_out(struct flight *f)
{
    struct flight **at = bucket_of(f->up, f->leader);

    while (*at != f)
        at = &(*at)->next_committing;
    *at = f->next_committing;
    f->committing = false;
}

/* Those who could not be answered by the flight itself look for what it left in the store. */
static void send_back(struct flight *f)
{
    struct fetch_links *next;

    for (struct fetch_links *w = f->first; w != NULL; w = next) {
        next = w->next;
        if (w->at == WAITER_WAITING)
            waiter_post(w, FETCH_LOOK_AGAIN);
    }
}

bool commit_await(struct site *site, struct fetch_links *w)
{
    const struct fetch *fetch = w->fetch;
    struct flight      *f;

    if (!fetch->has_key || fetch->looked_again)
        return false;
    for (f = *bucket_of(site->up, fetch); f != NULL; f = f->next_committing)
        if (f->site == site && memcmp(f->leader->key.hash, fetch->key.hash, sizeof fetch->key.hash) == 0
            && slice_eq(f->leader->key.full, fetch->key.full))
            break;
    if (f == NULL)
        return false;
    flight_link(f, w);
    if (!f->hurried)
        store_hurry(f->up->store);
    f->hurried = true;
    return true;
}

static void receive_done(struct mail *m)
{
    struct flight *f = CONTAINER_OF(CONTAINER_OF(m, struct store_change, done), struct flight, change);

    f->up->commits--;
    take_out(f);
    send_back(f);
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
    c->max_share = fetch->upstream->max_share;
    c->requested_wall_ns = f->answer->requested_wall_ns;
    c->received_wall_ns = f->answer->received_wall_ns;
    c->had_credential = fetch->has_credential;
    c->reply_to = f->up->mailbox;
    c->done.receive = receive_done;
    f->committing = true;
    f->next_committing = *bucket_of(f->up, fetch);
    *bucket_of(f->up, fetch) = f;
    f->up->commits++;
    store_submit(f->up->store, c);
}

static enum store_change_kind judge_head(struct flight *f)
{
    const struct fetch         *fetch = f->leader;
    struct http_response        fresh = { .status = 200 };
    struct http_request         request = fetch->request;
    const struct storable_input in = {
        .request = &request,
        .response = &fresh,
        .has_credential = fetch->has_credential,
        .content_length = fetch->stored_head.body_bytes,
        .now_wall_ns = f->answer->received_wall_ns,
    };

    if (!policy_head_selects(&f->answer->head, &fetch->stored_head))
        return STORE_INVALIDATE;
    request.method = HTTP_GET;
    fresh.fields = policy_freshen(&fetch->stored_head.head.fields, &f->answer->head.fields, &f->change_arena);
    if (policy_storable(fetch->policy, &in) != STORABLE_YES)
        return STORE_INVALIDATE;
    f->change.status = 200;
    f->change.fields = policy_stored_fields(fetch->policy, &fresh, &f->change_arena);
    return STORE_FRESHEN;
}

void commit_head(struct flight *f)
{
    enum store_change_kind kind = judge_head(f);
    struct store_change   *c = &f->change;

    c->id = f->leader->stored_id;
    c->selection = f->leader->stored_selection;
    memcpy(c->variant, f->leader->stored_variant, sizeof c->variant);
    submit(f, kind);
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
