/*
 * What the upstream thread reports, as a reply.
 */
#include "engine/internal.h"

#include "base/clock.h"

/* RFC 5861 4 names four; a 429 is no answer either, nor is another 5xx that the configuration has asked again. */
static bool is_error_status(const struct exchange *x, unsigned status)
{
    return status == 500 || status == 502 || status == 503 || status == 504 || status == 429 ||
           (status > 504 && retry_status_listed(&x->up->fetch.retry, status));
}

static enum step deliver_head(struct exchange *x)
{
    struct fetch          *f = x->fetch;
    struct answer         *answer = f->answer;
    struct reply          *r = &x->reply;
    struct stored_response fresh = { .head = answer->head,
                                     .requested_wall_ns = answer->requested_wall_ns,
                                     .received_wall_ns = answer->received_wall_ns };
    bool                   has_body = answer->body != NULL && x->in.request.method != HTTP_HEAD &&
                    !http_status_has_no_body(answer->head.status);

    if (is_error_status(x, answer->head.status) && serve_cover(x, answer->head.status, "stale-if-error"))
        return STEP_FINISH;
    if (x->outcome.collapsed)
        counter_add(COUNTER_COLLAPSED, 1);
    x->log.counter = f->script != NULL ? COUNTER_OWN : f->has_key ? COUNTER_MISSES : COUNTER_PASSED;
    candidate_drop(x);
    x->stream.answer = answer;
    answer_acquire(answer);
    if (f->has_key && answer->storable != STORABLE_YES && (x->log.detail == NULL || x->log.detail[0] == '\0'))
        x->log.detail = storable_token(answer->storable);
    *r = (struct reply){ .status = answer->head.status, .fd = -1, .length = answer->content_length };
    r->fields = http_fields_copy(&answer->head.fields, &x->arena);
    if (answer->masked)
        identity_unmask(x, &r->fields);
    if (f->stored.validating && answer->head.status == 200 &&
        policy_precondition(&x->in.request, &fresh) == PRECONDITION_NOT_MODIFIED) {
        r->status = 304; /* the client has this one already */
        r->fields = policy_304_fields(&r->fields, &x->arena);
        has_body = false;
    }
    http_fields_remove(&r->fields, HTTP_CONTENT_LENGTH);
    r->kind = has_body ? REPLY_STREAM : REPLY_EMPTY;
    if (r->status == 204)
        r->length = 0;
    x->finish = (struct finish){ .of_api = true, .upstream_status = answer->head.status };
    return STEP_FINISH;
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
    x->log.cache = "revalidated";
    if (!serve_stored(x, 304))
        return STEP_LOOKUP;
    x->log.counter = COUNTER_REVALIDATED;
    if (x->outcome.collapsed)
        counter_add(COUNTER_COLLAPSED, 1);
    return STEP_FINISH;
}

/* The budget is short, and what is stored will do. */
static bool deliver_spared(struct exchange *x)
{
    x->so_far.forwarded = false;
    x->decision.forward = FWD_NONE;
    x->so_far.not_spared = true; /* should its body file be gone: not again */
    x->log.detail = "low-budget";
    x->log.cache = "stale";
    if (!x->stored.selected || !serve_stored(x, 0))
        return false;
    x->log.counter = COUNTER_STALE_HITS;
    return true;
}

static enum step deliver_refused(struct exchange *x)
{
    if (serve_cover(x, 0, "stale-over-budget"))
        return STEP_FINISH;
    x->log.counter = COUNTER_BUDGET_REFUSED;
    return refused_reply(x);
}

/* RFC 9209 2.3: dns_timeout, connection_timeout, http_response_timeout and the like. */
static bool is_timeout(const char *proxy_error)
{
    return proxy_error != NULL && slice_ends_with(slice_of(proxy_error), SLICE("_timeout"));
}

static enum step deliver_failed(struct exchange *x)
{
    struct fetch     *f = x->fetch;
    enum problem_kind kind = PROBLEM_UPSTREAM_FAILED;
    bool              pausing = f->said.wait_ns > 0;

    if (!f->said.denied && serve_cover(x, 0, "stale-if-error"))
        return STEP_FINISH;
    if (f->said.denied)
        kind = PROBLEM_CREDENTIAL_HELD;
    else if (pausing)
        kind = PROBLEM_UPSTREAM_DOWN;
    else if (f->said.body_stalled)
        kind = PROBLEM_BODY_STALLED;
    else if (f->said.failed_as == ATTEMPT_TIMEOUT || is_timeout(f->said.proxy_error))
        kind = PROBLEM_UPSTREAM_TIMED_OUT;
    return reply_problem(x, &(struct problem){ .kind = kind,
                                               .proxy_error = f->said.proxy_error != NULL ? f->said.proxy_error
                                                                                          : "destination_unavailable",
                                               .reason = f->said.denied ? "credential-held" : "upstream-failed",
                                               .retry_after_ns = pausing ? f->said.wait_ns : -1,
                                               .detail = slice_of(f->said.error != NULL ? f->said.error : "") });
}

/* A request that is asked again with a renewed credential has the attempts of both. */
static void put_before(struct outcome *o, const struct outcome *earlier, struct arena *a)
{
    const struct outcome later = *o;
    unsigned             count = 0;

    o->attempt_count = earlier->attempt_count + later.attempt_count;
    o->attempts = o->attempt_count > 0 ? arena_alloc_raw(a, ATTEMPTS_KEPT * sizeof *o->attempts) : NULL;
    for (unsigned i = 0; i < earlier->attempt_count && count < ATTEMPTS_KEPT; i++)
        o->attempts[count++] = earlier->attempts[i];
    for (unsigned i = 0; i < later.attempt_count && count < ATTEMPTS_KEPT; i++)
        o->attempts[count++] = later.attempts[i];
    o->queued_ns += earlier->queued_ns;
    o->upstream_ns += earlier->upstream_ns;
}

/* What the upstream thread counted belongs to the log line and to Server-Timing. */
static void note_fetch(struct exchange *x)
{
    struct outcome earlier;

    if (x->so_far.fetch_noted)
        return;
    x->so_far.fetch_noted = true;
    earlier = x->outcome;
    x->outcome = x->fetch->outcome;
    if (x->outcome.bill != NULL) { /* the fetch may go before the exchange does */
        x->outcome.bill = arena_alloc_raw(&x->arena, sizeof *x->outcome.bill);
        *x->outcome.bill = *x->fetch->outcome.bill;
    }
    if (earlier.bill != NULL)
        x->so_far.paid = earlier.bill;
    put_before(&x->outcome, &earlier, &x->arena);
}

enum step step_await(struct exchange *x)
{
    if (x->fetch->event == FETCH_PENDING)
        return STEP_SUSPEND;
    if (x->fetch->event == FETCH_LOOK_AGAIN) { /* nothing was asked for it */
        asking_leave(x);
        x->so_far.forwarded = false;
        return STEP_LOOKUP;
    }
    note_fetch(x);
    switch (x->fetch->event) {
    case FETCH_HEAD:
        if (inject_renew(x, x->fetch->answer->head.status)) {
            counter_add(COUNTER_RENEWALS, 1);
            asking_leave(x);
            return STEP_FETCH;
        }
        if (x->fetch->script != NULL) /* nothing was written */
            return deliver_head(x);
        return invalidate_after_write(x, &x->fetch->answer->head) ? deliver_head(x) : STEP_SUSPEND;
    case FETCH_NOT_MODIFIED:
        if (deliver_not_modified(x) == STEP_FINISH)
            return STEP_FINISH;
        asking_leave(x);
        return STEP_LOOKUP;
    case FETCH_SPARED:
        if (deliver_spared(x))
            return STEP_FINISH;
        asking_leave(x);
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
