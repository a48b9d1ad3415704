/*
 * The last step of every exchange: it alone completes the reply, with links and cookies as the client needs them, Via,
 * Cache-Status (RFC 9211), RateLimit and Server-Timing, and counts what became of the request.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/decimal.h"
#include "config/mode.h"
#include "engine/dry.h"
#include "http/structured.h"

static int64_t whole_seconds(int64_t ns)
{
    return ns >= 0 ? ns / NS_PER_SEC : -((-ns + NS_PER_SEC - 1) / NS_PER_SEC);
}

/* Why it went upstream, and what came of that. */
static struct slice forwarded_status(struct exchange *x, unsigned upstream_status)
{
    char         digits[DECIMAL_BYTES];
    struct slice status = decimal(upstream_status, digits);

    return ARENA_JOIN(&x->arena, SLICE("weir; fwd="), slice_of(forward_reason_token(x->decision.forward)),
                      upstream_status != 0 ? SLICE("; fwd-status=") : SLICE(""),
                      upstream_status != 0 ? status : SLICE(""), x->outcome.stored ? SLICE("; stored") : SLICE(""),
                      x->outcome.collapsed ? SLICE("; collapsed") : SLICE(""));
}

static struct slice hit_status(struct exchange *x)
{
    char    digits[DECIMAL_BYTES];
    int64_t ttl = whole_seconds(x->decision.ttl_ns);

    if (x->decision.ttl_ns == INT64_MAX)
        return SLICE("weir; hit");
    return ARENA_JOIN(&x->arena, ttl < 0 ? SLICE(HIT_TTL "-") : SLICE(HIT_TTL),
                      decimal((uint64_t)(ttl < 0 ? -ttl : ttl), digits));
}

/* An upstream that is not as it is usually says so, where there is nothing else to say. */
static void note_mode(struct exchange *x)
{
    const bool is_free = x->log.detail == NULL || x->log.detail[0] == '\0';

    if (x->mode.holds != MODE_LIVE && (is_free || (x->mode.holds == MODE_RECORD && x->log.error == NULL)))
        x->log.detail = config_mode_detail(x->mode.holds);
}

static struct slice cache_status(struct exchange *x, unsigned upstream_status)
{
    struct slice text = SLICE("weir"), detail = SLICE_NONE;

    if (dry_answers(x))
        text = SLICE("weir; fwd=bypass");
    else if (x->so_far.forwarded)
        text = forwarded_status(x, upstream_status);
    else if (x->stored.selected)
        text = hit_status(x);
    if (x->log.detail != NULL && x->log.detail[0] != '\0')
        detail = slice_of(x->log.detail);
    else if (x->rule != NULL && x->rule->policy.label != NULL && x->rule->policy.label[0] != '\0')
        detail = sf_string(slice_of(x->rule->policy.label), &x->arena);
    return detail.ptr != NULL ? ARENA_JOIN(&x->arena, text, SLICE("; detail="), detail) : text;
}

/* A small body that is there already goes out with its head, in one piece. */
static void take_whole_body(struct exchange *x)
{
    const struct spool *body;
    struct reply       *r = &x->reply;
    char               *bytes;

    if (r->kind != REPLY_STREAM || x->relink.filter != NULL || r->length <= 0 || r->length > STORE_INLINE_BYTES)
        return;
    body = x->stream.answer->body;
    if (spool_ended(body) != SPOOL_WHOLE || spool_length(body) != r->length)
        return;
    bytes = arena_alloc_raw(&x->arena, (size_t)r->length);
    if (spool_peek(body, 0, bytes, (size_t)r->length) != r->length)
        return; /* it passes, and its beginning is gone */
    r->kind = REPLY_BYTES;
    r->bytes = (struct slice){ bytes, (size_t)r->length };
}

static enum counter outcome_of(const struct exchange *x)
{
    if (x->log.counter != 0)
        return x->log.counter;
    if (x->decision.verdict == VERDICT_UNAVAILABLE && x->reply.status == 504)
        return COUNTER_UNAVAILABLE;
    return x->reply.status >= 500 ? COUNTER_FAILED : x->reply.status >= 400 ? COUNTER_CLIENT_ERRORS : COUNTER_OWN;
}

enum step step_finish(struct exchange *x)
{
    struct http_fields *f = &x->reply.fields;
    struct slice        status;

    if (x->finish.of_api) {
        dress_reply(x);
        take_whole_body(x);
    }
    if (x->mode.stand_in != NULL)
        dry_finish(x);
    note_mode(x);
    cors_fields(x, f);
    reply_append_member(x, f, HTTP_VIA, SLICE("1.1 weir"));
    status = cache_status(x, x->finish.upstream_status);
    x->finish.cache_status_bytes = status.len;
    reply_append_member(x, f, HTTP_CACHE_STATUS, status);
    reply_add_spent(x, f);
    exchange_count(x, outcome_of(x));
    return STEP_DONE;
}
