/*
 * A request as it is asked of the API: everything that the upstream thread is told of it.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "http/hop.h"
#include "policy/range.h"

#define WAIT_MOST (30 * 86400 * NS_PER_SEC) /* of Weir-Max-Wait: "forever" */

enum { COMPLETED_BYTES = 4 * 1024 * 1024 }; /* the longest part that is taken along to be completed */

static void receive_event(struct mail *m)
{
    struct fetch    *f = CONTAINER_OF(m, struct fetch, mail);
    struct exchange *x = f->owner;

    if (x != NULL)
        x->in.wake(x->in.owner);
}

static void receive_interim(struct mail *m)
{
    struct fetch_interim *i = CONTAINER_OF(m, struct fetch_interim, mail);
    struct exchange      *x = i->fetch->owner;

    if (x != NULL && i->status == 100) {
        x->body.continued = true;
        x->in.wake(x->in.owner);
    } else if (x != NULL && x->in.request.version_minor >= 1)
        x->in.interim(x->in.owner, i->status, &i->fields);
    fetch_interim_free(i);
}

static void receive_cut(struct fetch *f)
{
    struct exchange *x = f->owner;

    if (x == NULL)
        return;
    x->stream.cut = true;
    x->in.wake(x->in.owner);
}

/* The upstream thread is done with it: see fetch_leave(). */
static void receive_gone(struct fetch *f)
{
    struct engine *e = f->engine;

    e->fetch_count--;
}

/* The whole "Weir-" family is between the client and Weir, whether or not this version knows the name. */
static void remove_own_names(struct http_fields *f)
{
    unsigned kept = 0;

    for (unsigned i = 0; i < f->count; i++)
        if (!slice_eq_nocase(slice_sub(f->items[i].name, 0, 5), SLICE("Weir-")))
            f->items[kept++] = f->items[i];
    f->count = kept;
}

/* The fields that go upstream: end to end, Weir among the recipients (RFC 9110 7.6.3), body framing left to the
 * transfer. */
static struct http_fields wire_fields(struct exchange *x, struct arena *a)
{
    struct http_fields end_to_end = http_fields_end_to_end(&x->in.request.fields, a);
    struct http_fields f = http_fields_copy(&end_to_end, a);
    struct slice       via = http_fields_join(&f, SLICE("Via"), a);

    remove_own_names(&f);
    http_fields_remove(&f, HTTP_VIA);
    http_fields_add_id(&f, a, HTTP_VIA,
                       via.ptr != NULL ? arena_printf(a, SLICE_FMT ", 1.1 weir", SLICE_ARG(via)) : SLICE("1.1 weir"));
    if (x->in.has_body)
        http_fields_remove(&f, HTTP_CONTENT_LENGTH);
    return f;
}

static bool has_own_conditional(const struct http_fields *f)
{
    static const enum http_name conditional[] = { HTTP_IF_MATCH, HTTP_IF_NONE_MATCH, HTTP_IF_MODIFIED_SINCE,
                                                  HTTP_IF_UNMODIFIED_SINCE, HTTP_IF_RANGE };

    for (size_t i = 0; i < sizeof conditional / sizeof *conditional; i++)
        if (http_fields_find(f, conditional[i], 0) >= 0)
            return true;
    return false;
}

static void copy_stored(struct exchange *x, struct fetch *f)
{
    const struct candidate *c = &x->stored;

    f->stored.head = c->response;
    f->stored.head.head.fields = http_fields_copy(&c->response.head.fields, &f->arena);
    f->stored.selection = arena_copy(&f->arena, c->selection);
    f->stored.id = c->id;
    memcpy(f->stored.variant, c->variant, sizeof f->stored.variant);
    memcpy(f->variant, c->variant, sizeof f->variant);
}

/* A stored part, and the whole is wanted: only what it lacks is asked for (RFC 9111 3.4). */
static bool completes(struct exchange *x, struct fetch *f)
{
    const struct stored_response *part = &x->stored.response;
    char                         *body;

    if (!x->stored.selected || x->decision.forward != FWD_PARTIAL || x->in.request.method != HTTP_GET ||
        !f->may.store || part->body_bytes > COMPLETED_BYTES || x->policy->validate != VALIDATE_NONE ||
        http_fields_find(&f->request.fields, HTTP_RANGE, 0) >= 0 || has_own_conditional(&f->request.fields))
        return false;
    body = arena_alloc_raw(&f->arena, (size_t)part->body_bytes);
    if (!candidate_read(x, 0, body, (size_t)part->body_bytes) ||
        !policy_completing_fields(part, &f->request.fields, &f->arena))
        return false;
    f->stored.part = (struct slice){ body, (size_t)part->body_bytes };
    return true;
}

/* Decides how the request goes up: with Weir's validators, or as the client sent it. */
static void fill_conditions(struct exchange *x, struct fetch *f)
{
    struct http_fields *fields = &f->request.fields;

    if (x->has_key && x->stored.selected && x->decision.verdict != VERDICT_FETCH &&
        policy_conditional_fields(&x->stored.response, fields, &f->arena)) {
        f->stored.validating = true;
        copy_stored(x, f);
        f->may.store_part = x->stored.response.head.status == 206;
        return;
    }
    if (completes(x, f)) {
        f->stored.completing = true;
        copy_stored(x, f);
        return;
    }
    if (x->in.request.method == HTTP_HEAD && x->has_key && x->stored.selected &&
        x->stored.response.head.status == 200) {
        copy_stored(x, f);
        f->stored.heading = true;
    }
    f->may.store_part = !x->stored.selected || x->stored.response.head.status == 206;
}

/* Is the answer to be newer than what anybody on the way may have kept (bust_param)? */
static bool is_refresh(const struct exchange *x)
{
    return x->stored.selected || x->wish.refresh_soft || x->wish.refresh_hard || x->wish.pragma_no_cache ||
           (x->wish.cc.flags & (CC_NO_CACHE | CC_NO_STORE)) != 0 || x->wish.cc.max_age_s == 0;
}

static const struct timeout_options *timeout_of(const struct exchange *x)
{
    return x->rule != NULL ? &x->up->rule_timeouts[x->rule - x->route.upstream->rules] : &x->up->fetch.timeout;
}

static void fill_client(struct exchange *x, struct fetch *f)
{
    if (x->client.name.ptr == NULL)
        x->client = client_of(x->config, &x->in, &x->wish, &x->arena);
    f->client.batch = x->client.batch;
    f->manner.race = x->in.race;
    if (f->manner.race != NULL)
        race_acquire(f->manner.race);
    f->manner.bears_refusals = x->in.batch != 0 || x->in.job != NULL;
    f->manner.leaves_queue = x->in.batch != 0 || x->in.job != NULL;
    f->client.keep_permille = x->client.keep_permille;
    f->client.name = arena_copy(&f->arena, x->client.name);
    f->client.is_named = x->client.is_named;
    f->client.who = x->client.who;
    f->client.card = x->in.card(x->in.owner);
    ref_acquire(&f->client.card->ref);
    f->client.finder = x->engine->services->finder;
    if (!f->client.is_named && x->mode.dry == NULL && recorder_is_on(x->engine->recorder))
        peer_find(f->client.finder, f->client.card, NULL); /* for the line, which does not wait for it */
}

static void fill_patience(const struct exchange *x, struct fetch *f)
{
    f->patience.max_wait_ns = x->up->fetch.queue.max_wait_ns;
    if (x->wish.max_wait_ns != POLICY_UNSET)
        f->patience.max_wait_ns = x->wish.max_wait_ns < WAIT_MOST ? x->wish.max_wait_ns : WAIT_MOST;
    f->patience.timeout = timeout_of(x);
    f->patience.read_ns = x->wish.timeout_ns != POLICY_UNSET ? x->wish.timeout_ns : f->patience.timeout->read_ns;
    f->patience.arrived_mono_ns = x->body.upload != NULL ? clock_mono_ns() : x->log.started_mono_ns;
}

struct fetch *asking_fill(struct exchange *x)
{
    struct fetch *f = fetch_new();

    config_acquire(x->config);
    f->config = &x->config->ref;
    f->upstream = &x->up->fetch;
    f->policy = x->policy;
    f->authority = x->route.authority;
    f->request = (struct http_request){
        .method = x->in.request.method,
        .method_name = arena_copy(&f->arena, x->in.request.method_name),
        .target = arena_copy(&f->arena, x->route.target),
        .version_minor = 1,
        .fields = wire_fields(x, &f->arena),
    };
    inject_fill(x, f);
    f->path = arena_copy(&f->arena, x->route.path);
    f->caller.account = identity_account(x);
    f->caller.has_credential = x->who.has_credential;
    f->caller.is_explicit = x->who.is_explicit;
    f->manner.is_probe = x->in.is_probe;
    f->id = x->id;
    f->has_key = x->has_key && x->decision.verdict != VERDICT_BYPASS;
    if (f->has_key) {
        f->key = x->key;
        f->key.full = arena_copy(&f->arena, x->key.full);
    }
    f->may.store = f->has_key && x->decision.may_store;
    f->reason = x->decision.forward;
    f->manner.must_be_new = x->decision.must_be_new;
    if (playing_records(x)) {
        f->manner.must_be_new = true;
        f->manner.tape = playing_tape(x);
        f->manner.taped_as = playing_authority(x, &f->arena);
        tape_acquire(f->manner.tape);
    }
    f->caller.has_kin = x->policy->shared || x->who.is_identity;
    f->caller.is_signed = x->who.signature.is_signed; /* which covers the query: nothing is added to that */
    if (x->up->bust_every_ns > 0 && f->has_key && !f->caller.is_signed && is_refresh(x)) {
        f->bust.every_ns = x->up->bust_every_ns;
        f->bust.param = slice_of(x->policy->bust_param);
    }
    fill_conditions(x, f);
    f->may.spare = x->stored.selected && !x->so_far.not_spared &&
                   policy_stale_to_spare(x->policy, &x->wish, &x->stored.response, x->up->fetch.low_budget.stale_ns,
                                         clock_wall_ns());
    fill_client(x, f);
    fill_patience(x, f);
    f->seen.wall_ns = x->seen.wall_ns;
    f->seen.none = !x->stored.selected;
    f->seen.new_key = f->seen.none && !x->stored.other_variant;
    f->wish = x->wish;
    f->wish.client = SLICE_NONE;
    f->seen.again = x->seen.times > 1;
    f->seen.has_search = x->seen.has_search && f->seen.none;
    memcpy(f->seen.search, x->seen.search, sizeof f->seen.search);
    f->mailbox = x->engine->mailbox;
    f->mail.receive = receive_event;
    f->on.interim = receive_interim;
    f->on.gone = receive_gone;
    f->on.cut = receive_cut;
    f->engine = x->engine;
    estimate_fill(x, f);
    return f;
}

void asking_submit(struct exchange *x, struct fetch *f)
{
    x->engine->fetch_count++;
    fetch_submit(x->engine->services->upstream, f);
}

/* Its wait is as long as it would be early. */
static void make_early(const struct exchange *x, struct fetch *f)
{
    const double   share = x->policy->prefetch.share;
    const unsigned others = share < 1.0 ? (unsigned)((1.0 - share) * 1000.0 + 0.5) : 0;

    f->manner.is_early = true;
    memcpy(f->stored.variant, x->stored.variant, sizeof f->stored.variant); /* by which its hits are counted */
    if (f->client.keep_permille < others)
        f->client.keep_permille = others;
    f->patience.max_wait_ns = x->decision.ttl_ns;
}

/* stale-while-revalidate (RFC 5861 3), prefetch: one fetch that nobody waits for. */
void asking_refresh(struct exchange *x)
{
    const bool    is_early = x->decision.refresh == REFRESH_EARLY;
    struct fetch *f;

    if (is_early && !early_is_due(x))
        return;
    if (!inject_is_ready(x)) /* its command runs now; the next hit will find it there */
        return;
    f = asking_fill(x);
    f->manner.refresh_behind = true;
    if (is_early)
        make_early(x, f);
    if (!f->stored.validating && x->stored.response.head.status != 206) /* it is for all, not for this request */
        policy_unconditional_fields(&f->request.fields);
    if (x->body.upload != NULL) { /* whole: it is part of the key */
        upload_acquire(x->body.upload);
        f->upload = x->body.upload;
    }
    f->owner = NULL;
    asking_submit(x, f);
    fetch_leave(x->engine->services->upstream, f);
}

void asking_leave(struct exchange *x)
{
    x->fetch->owner = NULL;
    fetch_leave(x->engine->services->upstream, x->fetch);
    x->fetch = NULL;
    x->so_far.fetch_noted = false;
}
