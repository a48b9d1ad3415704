/*
 * The steps that need the API: filling a fetch for the upstream thread, and
 * turning what it reports into a reply.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "http/hop.h"
#include "policy/range.h"

#define WAIT_MOST (30 * 86400 * NS_PER_SEC)      /* of Weir-Max-Wait: "forever" */

enum { COMPLETED_BYTES = 4 * 1024 * 1024 };      /* the longest part that is taken along to be completed */

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
        x->continued = true;
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
    x->cut = true;
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

    f->stored_head = c->response;
    f->stored_head.head.fields = http_fields_copy(&c->response.head.fields, &f->arena);
    f->stored_selection = arena_copy(&f->arena, c->selection);
    f->stored_id = c->id;
    memcpy(f->stored_variant, c->variant, sizeof f->stored_variant);
    memcpy(f->variant, c->variant, sizeof f->variant);
}

/* A stored part, and the whole is wanted: only what it lacks is asked for (RFC 9111 3.4). */
static bool completes(struct exchange *x, struct fetch *f)
{
    const struct stored_response *part = &x->stored.response;
    char                         *body;

    if (!x->stored.selected || x->decision.forward != FWD_PARTIAL || x->in.request.method != HTTP_GET
        || !f->may_store || part->body_bytes > COMPLETED_BYTES || x->policy->validate != VALIDATE_NONE
        || http_fields_find(&f->request.fields, HTTP_RANGE, 0) >= 0 || has_own_conditional(&f->request.fields))
        return false;
    body = arena_alloc_raw(&f->arena, (size_t)part->body_bytes);
    if (!candidate_read(x, 0, body, (size_t)part->body_bytes)
        || !policy_completing_fields(part, &f->request.fields, &f->arena))
        return false;
    f->part_body = (struct slice){ body, (size_t)part->body_bytes };
    return true;
}

/* Decides how the request goes up: with Weir's validators, or as the client sent it. */
static void fill_conditions(struct exchange *x, struct fetch *f)
{
    struct http_fields *fields = &f->request.fields;

    if (x->has_key && x->stored.selected && x->decision.verdict != VERDICT_FETCH
        && policy_conditional_fields(&x->stored.response, fields, &f->arena)) {
        f->validating = true;
        copy_stored(x, f);
        f->may_store_part = x->stored.response.head.status == 206;
        return;
    }
    if (completes(x, f)) {
        f->completing = true;
        copy_stored(x, f);
        return;
    }
    if (x->in.request.method == HTTP_HEAD && x->has_key && x->stored.selected
        && x->stored.response.head.status == 200) {
        copy_stored(x, f);
        f->heading = true;
    }
    x->own_conditional = has_own_conditional(fields);
    f->may_store_part = !x->stored.selected || x->stored.response.head.status == 206;
}

struct partition exchange_account(struct exchange *x)
{
    struct key_input in = { .target = x->route.target, .request = &x->in.request, .signature = x->signature,
                            .signer = x->signer };

    if (!x->account_differs)
        return x->partition;
    inject_name(x, &in);
    return policy_account(x->policy, &x->engine->services->secret, &in, &x->arena);
}

/* Is the answer to be newer than what anybody on the way may have kept (bust_param)? */
static bool is_refresh(const struct exchange *x)
{
    return x->stored.selected || x->wish.refresh_soft || x->wish.refresh_hard || x->wish.pragma_no_cache
        || (x->wish.cc.flags & (CC_NO_CACHE | CC_NO_STORE)) != 0 || x->wish.cc.max_age_s == 0;
}

static const struct timeout_options *timeout_of(const struct exchange *x)
{
    return x->rule != NULL ? &x->up->rule_timeouts[x->rule - x->route.upstream->rules] : &x->up->fetch.timeout;
}

static struct fetch *fill_fetch(struct exchange *x)
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
    f->account = exchange_account(x);
    f->has_credential = x->has_credential;
    f->has_key = x->has_key && x->decision.verdict != VERDICT_BYPASS;
    if (f->has_key) {
        f->key = x->key;
        f->key.full = arena_copy(&f->arena, x->key.full);
    }
    f->may_store = f->has_key && x->decision.may_store;
    f->must_be_new = x->decision.must_be_new;
    f->has_kin = x->policy->shared || x->identified;
    f->is_signed = x->signature.is_signed;          /* which covers the query: nothing is added to that */
    if (x->up->bust_every_ns > 0 && f->has_key && !f->is_signed && is_refresh(x)) {
        f->bust_every_ns = x->up->bust_every_ns;
        f->bust_param = slice_of(x->policy->bust_param);
    }
    fill_conditions(x, f);
    f->may_spare = x->stored.selected && !x->not_spared
                && policy_stale_to_spare(x->policy, &x->wish, &x->stored.response, x->up->fetch.low_budget.stale_ns,
                                         clock_wall_ns());
    if (x->client.name.ptr == NULL)
        x->client = client_of(x->config, &x->in, &x->wish, &x->arena);
    f->batch = x->client.batch;
    f->keep_permille = x->client.keep_permille;
    f->client = arena_copy(&f->arena, x->client.name);
    f->who = x->client.who;
    f->max_wait_ns = x->up->fetch.queue.max_wait_ns;
    if (x->wish.max_wait_ns != POLICY_UNSET)
        f->max_wait_ns = x->wish.max_wait_ns < WAIT_MOST ? x->wish.max_wait_ns : WAIT_MOST;
    f->timeout = timeout_of(x);
    f->read_timeout_ns = x->wish.timeout_ns != POLICY_UNSET ? x->wish.timeout_ns : f->timeout->read_ns;
    f->arrived_mono_ns = x->upload != NULL ? clock_mono_ns() : x->started_mono_ns;
    f->looked_up_wall_ns = x->looked_up_wall_ns;
    f->found_none = !x->stored.selected;
    f->new_key = f->found_none && !x->stored.other_variant;
    f->wish = x->wish;
    f->wish.client = SLICE_NONE;
    f->looked_again = x->looked_up > 1;
    f->mailbox = x->engine->mailbox;
    f->mail.receive = receive_event;
    f->on_interim = receive_interim;
    f->on_gone = receive_gone;
    f->on_cut = receive_cut;
    f->engine = x->engine;
    return f;
}

static void submit(struct exchange *x, struct fetch *f)
{
    x->engine->fetch_count++;
    fetch_submit(x->engine->services->upstream, f);
}

/* stale-while-revalidate (RFC 5861 3): one fetch that nobody waits for. */
static void refresh_behind(struct exchange *x)
{
    struct fetch *f;

    if (!inject_is_ready(x))          /* its command runs now; the next hit will find it there */
        return;
    f = fill_fetch(x);
    f->refresh_behind = true;
    f->owner = NULL;
    submit(x, f);
    fetch_leave(x->engine->services->upstream, f);
}

enum step step_serve(struct exchange *x)
{
    if (!serve_stored(x, 0)) {                      /* the body file is gone: as if it had never been stored */
        candidate_drop(x);
        x->decision = policy_decide(x->policy, &x->in.request, &x->wish, NULL, false, clock_wall_ns());
        x->cache_word = "miss";
        return x->decision.verdict == VERDICT_UNAVAILABLE ? STEP_DECIDE : STEP_FETCH;
    }
    x->outcome = x->decision.ttl_ns > 0 ? COUNTER_HITS : COUNTER_STALE_HITS;
    if (x->decision.verdict == VERDICT_SERVE_AND_REFRESH)
        refresh_behind(x);
    return STEP_DONE;
}

/* An error came, or nothing: what is stored may cover for it (RFC 5861 4, RFC 9111 4.2.4). */
static bool cover_with_stale(struct exchange *x, unsigned status, const char *why)
{
    if (!x->stored.selected || !policy_holds_range(&x->in.request, &x->stored.response)
        || !policy_stale_if_error(x->policy, &x->wish, &x->stored.response, clock_wall_ns()))
        return false;
    x->detail = why;
    x->cache_word = "stale";
    if (!serve_stored(x, status))
        return false;
    x->outcome = COUNTER_STALE_HITS;
    counter_add(COUNTER_COVERED, 1);
    return true;
}

/* Before anything that may be waited for: from here on the client's body is taken. */
static void open_upload(struct exchange *x)
{
    if (!x->in.has_body || x->upload != NULL)
        return;
    x->upload = upload_new(x->in.body_bytes);
    upload_set_worker(x->upload, x->engine->mailbox, &x->room);
}

/* A request takes a place at the API when there is something to send: the first byte of its body, or the head of one
 * that is held back for a 100. */
static bool awaits_body(const struct exchange *x)
{
    return x->upload != NULL && !x->upload_ended && !x->expects && x->received_bytes == 0;
}

enum step step_fetch(struct exchange *x)
{
    bool              had = x->stored.selected;
    struct credential c;
    struct fetch     *f;

    open_upload(x);
    candidate_keep(x);
    if (had && !x->stored.selected)                 /* its body file is gone: not worth asking about */
        x->decision.verdict = VERDICT_FETCH;
    x->awaits_body = awaits_body(x);
    if (x->awaits_body)
        return STEP_SUSPEND;
    switch (inject_await(x, &c)) {
    case CREDENTIAL_READY:
        break;
    case CREDENTIAL_RUNNING:
        return STEP_SUSPEND;
    case CREDENTIAL_FAILED:
        return cover_with_stale(x, 0, "stale-if-error") ? STEP_DONE : inject_failed(x, &c);
    }
    f = fill_fetch(x);
    if (x->upload != NULL) {
        upload_acquire(x->upload);
        f->upload = x->upload;
        f->expects = x->expects && x->received_bytes == 0 && !x->upload_ended;
    }
    f->owner = x;
    x->fetch = f;
    x->forwarded = true;
    submit(x, f);
    x->at = STEP_AWAIT;
    return STEP_SUSPEND;
}

/* RFC 5861 4 names four; a 429 is no answer either, nor is another 5xx that the configuration has asked again. */
static bool is_error_status(const struct exchange *x, unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504 || status == 429
        || (status > 504 && retry_status_listed(&x->up->fetch.retry, status));
}

/* A small body that is there already goes out with its head, in one piece. */
static void take_whole_body(struct exchange *x)
{
    const struct spool *body = x->answer->body;
    struct reply       *r = &x->reply;
    char               *bytes;

    if (r->kind != REPLY_STREAM || x->relink != NULL || r->length <= 0 || r->length > STORE_INLINE_BYTES
        || spool_ended(body) != SPOOL_WHOLE || spool_length(body) != r->length)
        return;
    bytes = arena_alloc_raw(&x->arena, (size_t)r->length);
    if (spool_peek(body, 0, bytes, (size_t)r->length) != r->length)
        return;                                     /* it passes, and its beginning is gone */
    r->kind = REPLY_BYTES;
    r->bytes = (struct slice){ bytes, (size_t)r->length };
}

static enum step deliver_head(struct exchange *x)
{
    struct fetch  *f = x->fetch;
    struct answer *answer = f->answer;
    struct reply  *r = &x->reply;
    struct stored_response fresh = { .head = answer->head,
                                     .requested_wall_ns = answer->requested_wall_ns,
                                     .received_wall_ns = answer->received_wall_ns };
    bool           has_body = answer->body != NULL && x->in.request.method != HTTP_HEAD
                           && !http_status_has_no_body(answer->head.status);

    if (is_error_status(x, answer->head.status) && cover_with_stale(x, answer->head.status, "stale-if-error"))
        return STEP_DONE;
    if (x->collapsed)
        counter_add(COUNTER_COLLAPSED, 1);
    x->outcome = f->has_key ? COUNTER_MISSES : COUNTER_PASSED;
    candidate_drop(x);
    x->answer = answer;
    answer_acquire(answer);
    if (f->has_key && answer->storable != STORABLE_YES && (x->detail == NULL || x->detail[0] == '\0'))
        x->detail = storable_token(answer->storable);
    *r = (struct reply){ .status = answer->head.status, .fd = -1, .length = answer->content_length };
    r->fields = http_fields_copy(&answer->head.fields, &x->arena);
    if (answer->masked)
        identity_unmask(x, &r->fields);
    if (f->validating && answer->head.status == 200
        && policy_precondition(&x->in.request, &fresh) == PRECONDITION_NOT_MODIFIED) {
        r->status = 304;                            /* the client has this one already */
        r->fields = policy_304_fields(&r->fields, &x->arena);
        has_body = false;
    }
    http_fields_remove(&r->fields, HTTP_CONTENT_LENGTH);
    r->kind = has_body ? REPLY_STREAM : REPLY_EMPTY;
    if (r->status == 204)
        r->length = 0;
    dress_reply(x);
    take_whole_body(x);
    reply_finish_fields(x, &r->fields, answer->head.status);
    return STEP_DONE;
}

static enum step deliver_not_modified(struct exchange *x)
{
    struct answer *answer = x->fetch->answer;

    if (!x->stored.selected)
        return STEP_LOOKUP;
    x->stored.response.head.fields = http_fields_copy(&answer->head.fields, &x->arena);
    if (answer->masked)
        identity_unmask(x, &x->stored.response.head.fields);
    x->stored.response.requested_wall_ns = answer->requested_wall_ns;
    x->stored.response.received_wall_ns = answer->received_wall_ns;
    x->stored.response.set_back_ns = 0;
    x->cache_word = "revalidated";
    if (!serve_stored(x, 304))
        return STEP_LOOKUP;
    x->outcome = COUNTER_REVALIDATED;
    if (x->collapsed)
        counter_add(COUNTER_COLLAPSED, 1);
    return STEP_DONE;
}

/* The budget is short, and what is stored will do. */
static bool deliver_spared(struct exchange *x)
{
    x->forwarded = false;
    x->decision.forward = FWD_NONE;
    x->not_spared = true;             /* should its body file be gone: not again */
    x->detail = "low-budget";
    x->cache_word = "stale";
    if (!x->stored.selected || !serve_stored(x, 0))
        return false;
    x->outcome = COUNTER_STALE_HITS;
    return true;
}

static enum step deliver_refused(struct exchange *x)
{
    if (cover_with_stale(x, 0, "stale-over-budget"))
        return STEP_DONE;
    x->outcome = COUNTER_BUDGET_REFUSED;
    return refused_reply(x);
}

/* RFC 9209 2.3: dns_timeout, connection_timeout, http_response_timeout and the like. */
static bool is_timeout(const char *proxy_error)
{
    return proxy_error != NULL && slice_ends_with(slice_of(proxy_error), SLICE("_timeout"));
}

static enum step deliver_failed(struct exchange *x)
{
    struct fetch *f = x->fetch;
    unsigned      status = 502;
    bool          pausing = f->wait_ns > 0;

    if (cover_with_stale(x, 0, "stale-if-error"))
        return STEP_DONE;
    if (pausing)
        status = 503;
    else if (f->body_stalled)
        status = 408;
    else if (f->outcome == ATTEMPT_TIMEOUT || is_timeout(f->proxy_error))
        status = 504;
    return reply_problem(x, &(struct problem){
        .status = status,
        .title = status == 504 ? "Upstream timed out" : status == 503 ? "Upstream is down"
               : status == 408 ? "Request body stalled" : "Upstream failed",
        .proxy_error = f->proxy_error != NULL ? f->proxy_error : "destination_unavailable",
        .reason = "upstream-failed", .retry_after_ns = pausing ? f->wait_ns : -1,
        .detail = slice_of(f->error) });
}

/* A request that is asked again with a renewed credential has the attempts of both. */
static void note_attempts(struct exchange *x, const struct fetch *f)
{
    for (unsigned i = 0; i < f->attempt_count && i < ATTEMPTS_KEPT && x->attempt_count + i < ATTEMPTS_KEPT; i++)
        x->attempts[x->attempt_count + i] = f->attempts[i];
    x->attempt_count += f->attempt_count;
}

/* What the upstream thread counted belongs to the log line and to Server-Timing. */
static void note_fetch(struct exchange *x)
{
    struct fetch *f = x->fetch;

    if (x->fetch_noted)
        return;
    x->fetch_noted = true;
    x->collapsed = f->collapsed;
    x->stored_flag = f->stored;
    x->budget = f->budget;
    x->predicted_ns = f->predicted_ns;
    x->queued_ns += f->queued_ns;
    x->upstream_ns += f->upstream_ns;
    note_attempts(x, f);
}

static void leave_fetch(struct exchange *x)
{
    x->fetch->owner = NULL;
    fetch_leave(x->engine->services->upstream, x->fetch);
    x->fetch = NULL;
    x->fetch_noted = false;
}

enum step step_await(struct exchange *x)
{
    if (x->fetch->event == FETCH_PENDING)
        return STEP_SUSPEND;
    if (x->fetch->event == FETCH_LOOK_AGAIN) {       /* nothing was asked for it */
        leave_fetch(x);
        x->forwarded = false;
        return STEP_LOOKUP;
    }
    note_fetch(x);
    switch (x->fetch->event) {
    case FETCH_HEAD:
        if (inject_renew(x, x->fetch->answer->head.status)) {
            counter_add(COUNTER_RENEWALS, 1);
            leave_fetch(x);
            return STEP_FETCH;
        }
        return invalidate_after_write(x, &x->fetch->answer->head) ? deliver_head(x) : STEP_SUSPEND;
    case FETCH_NOT_MODIFIED:
        if (deliver_not_modified(x) == STEP_DONE)
            return STEP_DONE;
        leave_fetch(x);
        return STEP_LOOKUP;
    case FETCH_SPARED:
        if (deliver_spared(x))
            return STEP_DONE;
        leave_fetch(x);
        return STEP_LOOKUP;
    case FETCH_REFUSED:
        return deliver_refused(x);
    case FETCH_FAILED:
    case FETCH_PENDING:
    case FETCH_LOOK_AGAIN:
        break;
    }
    return deliver_failed(x);
}
