/*
 * What is noted of an attempt that has come to something, and whether there is to be another: budget/ has the rules,
 * and its answer counts only where the budget allows the next attempt in time, too.
 */
#include "upstream/again.h"

#include "upstream/internal.h"

#include "base/counters.h"

/* -- the record for the log -- */

void again_record(struct flight *f, const struct turn *t, enum attempt_outcome outcome, unsigned status)
{
    int64_t now = clock_mono_ns();
    int64_t waited = t->begun_ns - f->unsent_from_ns;
    int64_t from = t->sent_ns != 0 ? t->sent_ns : t->begun_ns;

    if (turn_is_played(t))
        return;
    if (f->past.attempt_count < ATTEMPTS_KEPT)
        f->past.attempts[f->past.attempt_count] = (struct attempt){ outcome, status, waited, now - from };
    if (f->past.attempt_count == 0)
        site_count_request(f->site, t->begun_ns);
    else
        site_spend_retry(f->site);
    f->past.attempt_count++;
    f->past.last = outcome;
    f->past.waited_ns += waited;
    f->site->counts.ended[attempt_kind(outcome)]++;
    if (t->sent)
        histogram_add(&f->site->took, now - from);
    if (!t->sent) {
        f->site->counts.unsent++;
        counter_add(COUNTER_UPSTREAM_UNSENT, 1);
    } else if (outcome != ATTEMPT_OK) {
        f->site->counts.failures++;
        counter_add(COUNTER_UPSTREAM_FAILURES, 1);
    }
}

/* -- whether again -- */

static double chance(struct upstream *up)
{
    up->random ^= up->random << 13; /* xorshift64: jitter wants no more */
    up->random ^= up->random >> 7;
    up->random ^= up->random << 17;
    return (double)(up->random >> 11) / (double)(UINT64_C(1) << 53);
}

/* The most that anybody who waits would still wait, or of those who bear refusals. */
static int64_t wait_left(const struct flight *f, bool bearing)
{
    int64_t now = clock_mono_ns(), most = 0;

    EACH_WAITER(w, f)
    if (w->at == WAITER_WAITING && (!bearing || w->fetch->manner.bears_refusals) && waiter_wait_left(w, now) > most)
        most = waiter_wait_left(w, now);
    if (bearing)
        return most;
    if (f->keep && most == 0)
        most = f->keep_until_ns > now ? f->keep_until_ns - now : f->leader->patience.max_wait_ns;
    return most;
}

struct retry_answer again_ask(struct flight *f, enum attempt_outcome outcome, unsigned status, int64_t told_ns)
{
    const struct fetch   *fetch = f->leader;
    struct wait_cause     cause;
    struct retry_question q = {
        .outcome = outcome,
        .status = status,
        .attempts_made = f->past.attempt_count,
        .method = fetch->request.method,
        .idempotency_key = http_fields_find(&fetch->request.fields, HTTP_IDEMPOTENCY_KEY, 0) >= 0,
        .body_kept = fetch->upload == NULL || upload_is_kept(fetch->upload),
        .client_saw_byte = f->answer != NULL,
        .told_ns = told_ns,
        .wait_left_ns = wait_left(f, false),
        .bears_ns = wait_left(f, true),
        .chance = chance(f->up),
        .share_left = site_may_retry(f->site, clock_mono_ns()),
    };
    struct retry_answer a = retry_decide(&f->site->options->retry, &q);

    if (a.again &&
        (f->up->stopping || !flight_goes_on(f) || early_is_alone(f) ||
         forecast_wait(f->site, NULL, &f->charge, f->entry.priority, &f->entry.who, &cause) > q.wait_left_ns))
        a.again = false;
    return a;
}
