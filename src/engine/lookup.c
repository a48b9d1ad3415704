/*
 * The steps from an upstream to a decision: key, lookup, decide.  They gather facts; policy/ decides.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "engine/dry.h"
#include "policy/body.h"
#include "policy/range.h"

/* Begins to gather the body: it is part of what makes two requests the same (key_body). */
static enum step collect_body(struct exchange *x)
{
    x->body.upload = upload_new(x->in.body_bytes);
    upload_set_worker(x->body.upload, x->engine->mailbox, &x->body.room);
    x->body.collecting = true;
    return STEP_SUSPEND;
}

enum step step_key(struct exchange *x)
{
    const struct http_request *r = &x->in.request;
    bool                       keyed_body = r->method == HTTP_QUERY ||
                      (x->policy->key_body && x->rule != NULL && r->method != HTTP_GET && r->method != HTTP_HEAD);
    const void      *body = NULL;
    size_t           body_bytes = 0;
    struct caller    caller;
    struct key_input in = {
        .scheme = x->route.upstream->scheme,
        .authority = x->route.authority,
        .target = x->route.target,
        .request = r,
    };

    inject_name(x, &in);
    identity_name(x, &in);
    if (keyed_body && x->in.has_body && x->body.upload == NULL)
        return collect_body(x);
    if (keyed_body && x->body.collecting && !x->body.ended)
        return STEP_SUSPEND;
    if (keyed_body && x->body.collecting && upload_whole(x->body.upload, &body, &body_bytes)) {
        in.body = (struct slice){ body, body_bytes };
        x->has_key = !policy_body_is_mutation(in.body);
    } else {
        x->has_key = !keyed_body && !x->in.has_body && (r->method == HTTP_GET || r->method == HTTP_HEAD);
    }
    x->body.collecting = false;
    identity_signer(x, &in);
    /* A part of a QUERY's result is nobody else's, and none of what is stored. */
    x->has_key = x->has_key && !x->who.is_nobodys &&
                 !(r->method == HTTP_QUERY && http_fields_find(&r->fields, HTTP_RANGE, 0) >= 0);
    caller = policy_caller(x->policy, &x->engine->services->secret, &in, &x->arena);
    x->who.partition = caller.partition;
    x->who.has_credential = caller.has_credential;
    x->who.is_explicit = caller.is_explicit;
    x->who.account_differs = caller.account_differs || x->who.is_identity;
    if (r->method == HTTP_PURGE)
        return dry_is(x) ? STEP_DRY : STEP_PURGE;
    if (!x->has_key)
        return STEP_DECIDE;
    x->key = policy_key(x->policy, &x->engine->services->secret, &in, &x->who.partition, &x->arena);
    return playing_records(x) ? STEP_DECIDE : STEP_LOOKUP; /* what is stored would be missing in the snapshot */
}

static bool accept_variant(const struct store_record *record, void *context)
{
    struct exchange   *x = context;
    struct http_fields fields = store_record_fields(record, &x->arena);

    if (!policy_selects(x->policy, record->selection, &x->in.request.fields,
                        http_fields_get(&fields, HTTP_CONTENT_ENCODING), &x->arena))
        return false;
    if (record->masked)
        identity_unmask(x, &fields);
    x->stored.response = (struct stored_response){
        .head = { .status = record->status, .fields = fields },
        .requested_wall_ns = record->requested_wall_ns,
        .received_wall_ns = record->received_wall_ns,
        .set_back_ns = record->set_back_ns,
        .body_bytes = record->body_bytes,
        .invalidated = record->invalidated,
        .had_credential = record->had_credential,
    };
    return true;
}

/* False: nothing, and all stands as after the first look-up. */
static bool look_up_similar(struct exchange *x, bool dry)
{
    struct candidate  *c = &x->stored;
    struct similar_key key;

    if ((dry && x->mode.dry->look_up != NULL) || !similar_find(x, &key))
        return false;
    c->is_similar = (dry ? store_peek : store_lookup)(x->engine->reader, key.hash, key.full, accept_variant, x,
                                                      &c->record) == STORE_HIT;
    return c->is_similar;
}

static inline __attribute__((always_inline)) enum step look_up(struct exchange *x, bool dry)
{
    struct candidate *c = &x->stored;
    enum store_result result;

    candidate_drop(x);
    x->seen.times++;
    x->seen.generation = store_generation(x->engine->services->store);
    x->seen.wall_ns = clock_wall_ns();
    if (dry && x->mode.dry->look_up != NULL)
        result = x->mode.dry->look_up(x, accept_variant, &c->record);
    else
        result = (dry ? store_peek : store_lookup)(x->engine->reader, x->key.hash, x->key.full, accept_variant, x,
                                                   &c->record);
    c->borrowed = true;
    c->other_variant = result == STORE_OTHER_VARIANT;
    if (result != STORE_HIT && !(store_varies_by_search(x->engine->services->store) && look_up_similar(x, dry)))
        return STEP_DECIDE;
    c->selected = true;
    c->selection = c->record.selection;
    c->body = c->record.body;
    c->body_file = c->record.body_file;
    c->id = c->record.id;
    memcpy(c->hash, c->record.hash, sizeof c->hash);
    memcpy(c->variant, c->record.variant, sizeof c->variant);
    if (!dry)
        store_touch(x->engine->reader, c->hash, c->variant);
    return STEP_DECIDE;
}

enum step step_lookup(struct exchange *x)
{
    return look_up(x, false);
}

enum step step_lookup_dry(struct exchange *x)
{
    return look_up(x, true);
}

static enum step refuse_uncached(struct exchange *x, const char *reason, struct slice detail)
{
    if (x->stored.selected && x->mode.holds == MODE_OFFLINE &&
        policy_holds_range(&x->in.request, &x->stored.response)) {
        x->log.cache = "stale";
        x->log.detail = "offline";
        return STEP_SERVE;
    }
    return reply_problem(x, &(struct problem){ .kind = PROBLEM_NOT_CACHED,
                                               .retry_after_ns = -1,
                                               .reason = reason,
                                               .detail = detail });
}

/* Its validators are another URL's, and so is what a 304 would freshen. */
static void decide_without_similar(struct exchange *x)
{
    const bool other_variant = x->stored.other_variant;

    candidate_drop(x);
    x->stored.other_variant = other_variant;
}

enum step step_decide(struct exchange *x)
{
    struct decision *d = &x->decision;

    *d = policy_decide(x->policy, &x->in.request, &x->wish, x->stored.selected ? &x->stored.response : NULL,
                       x->stored.other_variant, clock_wall_ns());
    if (x->stored.is_similar && d->verdict != VERDICT_SERVE) {
        decide_without_similar(x);
        *d = policy_decide(x->policy, &x->in.request, &x->wish, NULL, x->stored.other_variant, clock_wall_ns());
    }
    if (!x->has_key && d->verdict != VERDICT_UNAVAILABLE) {
        d->verdict = VERDICT_BYPASS;
        if (d->forward == FWD_NONE || d->forward == FWD_URI_MISS)
            d->forward = x->who.is_nobodys ? FWD_BYPASS : FWD_METHOD;
    }
    x->log.detail = d->detail;
    if (x->who.is_nobodys)
        x->log.detail = "signer-unknown";
    if (x->mode.stand_in != NULL && dry_takes(x))
        return STEP_DRY;
    if (x->mode.holds == MODE_OFFLINE && d->verdict != VERDICT_SERVE)
        return refuse_uncached(x, "offline",
                               SLICE("This upstream's mode is offline: "
                                     "what is not stored is not asked for."));
    switch (d->verdict) {
    case VERDICT_SERVE:
    case VERDICT_SERVE_AND_REFRESH:
        x->log.cache = d->ttl_ns > 0 ? "hit" : "stale";
        return STEP_SERVE;
    case VERDICT_UNAVAILABLE:
        return refuse_uncached(x, "only-if-cached",
                               SLICE("The request says only-if-cached and nothing that it "
                                     "would take is stored."));
    case VERDICT_BYPASS:
        x->log.cache = "bypass";
        return STEP_FETCH;
    case VERDICT_REVALIDATE:
    case VERDICT_FETCH:
        break;
    }
    x->log.cache = "miss";
    return STEP_FETCH;
}
