/*
 * The rules of repeating, as the contract's section 5 and RFC 9110 9.2.2 have them.
 */
#include "budget/retry.h"

#include "base/clock.h"

enum { TOO_MANY_REQUESTS = 429 };

bool retry_status_listed(const struct retry_options *o, unsigned status)
{
    for (unsigned i = 0; i < o->status_count; i++)
        if (o->statuses[i] == status)
            return true;
    return false;
}

static bool is_refusal(const struct retry_question *q)
{
    return q->outcome == ATTEMPT_STATUS && q->status == TOO_MANY_REQUESTS;
}

/* Those are bounds on failures; a refusal is a wait, for whoever bears it. */
static bool is_used_up(const struct retry_options *o, const struct retry_question *q)
{
    return q->attempts_made >= o->attempts || !q->share_left;
}

static bool may_repeat(const struct retry_options *o, const struct retry_question *q)
{
    if (q->outcome == ATTEMPT_OK || q->outcome > ATTEMPT_INVALID || q->client_saw_byte || !q->body_kept)
        return false;
    if (is_used_up(o, q) && !(is_refusal(q) && q->bears_ns > 0))
        return false;
    if (q->outcome == ATTEMPT_STATUS && !retry_status_listed(o, q->status))
        return false;
    if (attempt_did_nothing(q->outcome) || is_refusal(q))
        return true;
    return http_method_is_idempotent(q->method) || q->idempotency_key;
}

/* Doubles with every attempt; the upper half is left to chance, so that those that failed together
 * do not come back together. */
static int64_t backoff_ns(const struct retry_options *o, const struct retry_question *q)
{
    int64_t pause_ns = o->backoff_ns;
    double  chance = q->chance >= 0.0 && q->chance <= 1.0 ? q->chance : 1.0;

    for (unsigned i = 1; i < q->attempts_made && pause_ns < o->max_backoff_ns; i++)
        if (__builtin_mul_overflow(pause_ns, 2, &pause_ns))
            pause_ns = o->max_backoff_ns;
    if (pause_ns > o->max_backoff_ns)
        pause_ns = o->max_backoff_ns;
    return pause_ns / 2 + (int64_t)((double)(pause_ns - pause_ns / 2) * chance);
}

struct retry_answer retry_decide(const struct retry_options *o, const struct retry_question *q)
{
    struct retry_answer no = { false, 0 };
    int64_t             after_ns;

    if (!may_repeat(o, q))
        return no;
    after_ns = q->outcome == ATTEMPT_STATUS && q->told_ns > 0 ? q->told_ns : backoff_ns(o, q);
    if (after_ns > (is_used_up(o, q) ? q->bears_ns : q->wait_left_ns))
        return no;
    return (struct retry_answer){ true, after_ns };
}
