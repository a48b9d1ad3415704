/*
 * What an answer cost, as fields: RateLimit and RateLimit-Policy (IETF draft)
 * of the limit of Weir's own that is nearest to its end, Server-Timing with the
 * cause, the wait and the outcome of every attempt, and Weir-Cost, which of a stream comes after it, as a trailer.
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/decimal.h"
#include "http/structured.h"

static int64_t seconds_up(int64_t ns)
{
    return ns > 0 ? (ns + NS_PER_SEC - 1) / NS_PER_SEC : 0;
}

/* Does the API speak the draft's present form, a list, or nothing at all?  Any other form stays as it came. */
static bool can_join(struct exchange *x, const struct http_fields *f)
{
    struct slice      theirs = http_fields_join(f, SLICE("RateLimit"), &x->arena);
    struct sf_members list;

    return theirs.ptr == NULL || theirs.len == 0 || sf_parse_list(theirs, &x->arena, &list);
}

static void add_budget(struct exchange *x, struct http_fields *f)
{
    const struct budget_word *b = &x->outcome.budget;
    struct slice              name, window = SLICE("");
    char                      left[DECIMAL_BYTES], resets[DECIMAL_BYTES], allowed[DECIMAL_BYTES], of[DECIMAL_BYTES];

    if (b->allowed == 0 || !can_join(x, f))
        return;
    name = sf_string(ARENA_JOIN(&x->arena, SLICE("weir: "), slice_of(b->limit)), &x->arena);
    if (b->window_ns > 0)
        window = decimal((uint64_t)seconds_up(b->window_ns), of);
    reply_append_member(x, f, HTTP_RATELIMIT,
                        ARENA_JOIN(&x->arena, name, SLICE(";r="), decimal(b->left, left), SLICE(";t="),
                                   decimal((uint64_t)seconds_up(b->resets_in_ns), resets)));
    reply_append_member(x, f, HTTP_RATELIMIT_POLICY,
                        ARENA_JOIN(&x->arena, name, SLICE(";q="), decimal(b->allowed, allowed),
                                   window.len > 0 ? SLICE(";w=") : SLICE(""), window));
}

/* "stale after 0.1 ms: 503" */
static struct slice add_attempt(struct exchange *x, struct slice so_far, unsigned i)
{
    const struct attempt *a = &x->outcome.attempts[i];
    char                  cause[ATTEMPT_TEXT_BYTES], outcome[ATTEMPT_TEXT_BYTES];
    char                  number[DECIMAL_BYTES], took[DECIMAL_BYTES], waited[DECIMAL_BYTES];

    if (i > 0)
        attempt_text(&x->outcome.attempts[i - 1], cause);
    attempt_text(a, outcome);
    return ARENA_JOIN(&x->arena, so_far, SLICE(", weir-attempt-"), decimal(i + 1, number), SLICE(";dur="),
                      decimal_ms(a->took_ns, took), SLICE(";desc=\""),
                      slice_of(i > 0 ? cause : forward_reason_token(x->decision.forward)), SLICE(" after "),
                      decimal_ms(a->waited_ns, waited), SLICE(" ms: "), slice_of(outcome), SLICE("\""));
}

static void add_timing(struct exchange *x, struct http_fields *f)
{
    char         queued[DECIMAL_BYTES], upstream[DECIMAL_BYTES], count[DECIMAL_BYTES];
    struct slice text = ARENA_JOIN(&x->arena, SLICE("weir-queue;dur="), decimal_ms(x->outcome.queued_ns, queued),
                                   SLICE(", weir-upstream;dur="), decimal_ms(x->outcome.upstream_ns, upstream),
                                   SLICE(";desc=\""), decimal(x->outcome.attempt_count, count),
                                   x->outcome.attempt_count == 1 ? SLICE(" attempt\"") : SLICE(" attempts\""));

    for (unsigned i = 0; i < x->outcome.attempt_count && i < ATTEMPTS_KEPT; i++)
        text = add_attempt(x, text, i);
    reply_append_member(x, f, HTTP_SERVER_TIMING, text);
}

/* NULL: the configuration has no limit in any unit of that name. */
static const struct limit_options *limit_of(const struct exchange *x, uint64_t name)
{
    const struct upstream_options *o = &x->up->fetch;

    for (unsigned i = 0; i < o->limit_count; i++)
        if (limit_is_metered(&o->limits[i]) && ledger_limit_name(o->limits[i].name) == name)
            return &o->limits[i];
    return NULL;
}

/* "tokens";cost=451, "dollars";cost=751000;scale=6;unsettled */
struct slice spent_cost(struct exchange *x, const struct ledger_bill *bill)
{
    struct ledger_bill all = { .count = 0 };
    struct slice       text = SLICE_NONE;

    if (x->so_far.paid != NULL)
        ledger_bill_add(&all, x->so_far.paid);
    if (bill != NULL)
        ledger_bill_add(&all, bill);
    for (unsigned i = 0; i < all.count; i++) {
        const struct limit_options *limit = limit_of(x, all.line[i].limit);
        char                        units[DECIMAL_BYTES], scale[DECIMAL_BYTES];

        if (limit == NULL)
            continue;
        text = ARENA_JOIN(&x->arena, text, text.ptr != NULL ? SLICE(", ") : SLICE(""),
                          sf_string(slice_of(limit->name), &x->arena), SLICE(";cost="),
                          decimal(all.line[i].units, units), limit->scale > 0 ? SLICE(";scale=") : SLICE(""),
                          limit->scale > 0 ? decimal(limit->scale, scale) : SLICE(""),
                          all.line[i].is_unsettled ? SLICE(";unsettled") : SLICE(""));
    }
    return text;
}

/* RFC 9110 6.6.2: a trailer is announced.  Only where there are chunks can one follow. */
static bool comes_after_body(const struct exchange *x)
{
    return x->reply.kind == REPLY_STREAM && x->reply.length < 0 && x->stream.answer != NULL && !x->outcome.collapsed &&
           x->fetch->cost.estimate_count > 0 && x->in.request.version_minor > 0;
}

static void add_cost(struct exchange *x, struct http_fields *f)
{
    struct slice text;

    if (x->outcome.bill == NULL && comes_after_body(x)) {
        http_fields_add(f, &x->arena, SLICE("Trailer"), SLICE("Weir-Cost"));
        return;
    }
    text = spent_cost(x, x->outcome.bill);
    http_fields_remove(f, HTTP_WEIR_COST);
    if (text.ptr != NULL)
        http_fields_add_id(f, &x->arena, HTTP_WEIR_COST, text);
}

void reply_add_spent(struct exchange *x, struct http_fields *f)
{
    add_budget(x, f);
    if (!x->so_far.forwarded)
        return;
    add_timing(x, f);
    if (x->fetch != NULL && x->fetch->cost.estimate_count > 0)
        add_cost(x, f);
}
