/*
 * What an attempt tells of the API's limits and of its health: the head settles the
 * budget, and the beginning of a body is kept where it may tell of a limit that the head does not.
 */
#include "upstream/denying.h"
#include "upstream/bill.h"
#include "upstream/internal.h"

#include "base/counters.h"
#include "base/log.h"
#include "budget/learned.h"
#include "http/inflate.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <strings.h>

enum { PLAIN_BYTES = 16 * 1024 }; /* of a body, decoded */

/* -- the head -- */

/* Once for each upstream: a wrong word is mostly repeated with every answer. */
static void tell_cut(struct site *s, const struct ledger_cut *cut)
{
    char said[32] = "negative";

    counter_add(COUNTER_LEARNED_CUT, cut->count);
    if (s->cut_was_logged)
        return;
    s->cut_was_logged = true;
    if (cut->said_ns >= 0)
        snprintf(said, sizeof said, "%.0f", (double)cut->said_ns / NS_PER_SEC);
    log_warning("upstream_limit_cut", " upstream=%s field=%s said_s=%s taken_s=%.0f", s->name,
                log_quote(told_by_text(cut->by)), said, cut->kept_ns > 0 ? (double)cut->kept_ns / NS_PER_SEC : 0.0);
}

/* `went`: the API has it, and may have counted it. */
static void settle(struct turn *t, const struct http_response *head, bool went)
{
    struct budget     *b = t->site->budget;
    struct ledger_cut  cut;
    struct ledger_bill bill;
    struct queue_class class;

    if (!went) {
        ledger_return(b->ledger, &t->receipt);
    } else {
        bill = ledger_settle(b->ledger, &t->charge, &t->receipt, head, budget_time());
        bill_add(t, &bill);
    }
    if (ledger_take_cut(b->ledger, &cut))
        tell_cut(t->site, &cut);
    budget_kick(b);
    if (queue_length(b->queue) + queue_length_of(b->queue, QUEUE_IDLE) == 0)
        return;
    class = ledger_owned_class(b->ledger, t->charge.credential);
    queue_reconsider(b->queue, &class);
}

/* -- limits in any unit: settled when the body has ended -- */

static void hold_on(struct turn *t);

static void fire_hold(struct timer *timer)
{
    struct turn   *t = CONTAINER_OF(timer, struct turn, hold);
    struct budget *b = t->site->budget;

    ledger_hold(b->ledger, &t->receipt, budget_time());
    keep_look(b);
    hold_on(t);
}

static void hold_on(struct turn *t)
{
    int64_t due_ns = ledger_hold_due_ns(t->site->budget->ledger, &t->receipt, budget_time());

    t->hold.fire = fire_hold;
    if (due_ns != INT64_MAX)
        timers_set(&t->up->timers, &t->hold, time_add(clock_mono_ns(), due_ns));
}

static void begin_metering(struct turn *t)
{
    if (t->receipt.count == 0)
        return;
    t->metering = metering_open(t->fetch->upstream, &t->answer->head);
    hold_on(t);
}

void hearing_meter(struct turn *t, bool is_whole)
{
    struct estimate    charges[LEDGER_MAX_LIMITS];
    struct budget     *b = t->site->budget;
    struct ledger_bill bill;
    unsigned           count;

    timers_clear(&t->up->timers, &t->hold);
    if (t->receipt.count == 0 || t->metering == NULL)
        return;
    count = is_whole ? metering_end(t->metering, charges) : 0;
    bill = ledger_meter(b->ledger, &t->charge, &t->receipt, charges, count, budget_time());
    bill_add(t, &bill);
    counter_add(COUNTER_METERED_SETTLED, bill.settled);
    counter_add(COUNTER_METERED_UNSETTLED, bill.unsettled);
    if (bill.unsettled > 0)
        log_debug("upstream_unsettled", " upstream=%s status=%u whole=%d", t->site->name, t->answer->head.status,
                  is_whole);
    queue_reconsider(b->queue, NULL);
    budget_kick(b);
}

void hearing_nothing(struct turn *t, bool went)
{
    settle(t, NULL, went);
}

/* A 5xx speaks of the API's health, not of the budget. */
static void hear_health(struct turn *t, const struct http_response *head)
{
    struct site        *s = t->site;
    int64_t             now_ns = clock_mono_ns(), most_ns = s->options->learned_most_ns;
    bool                ill = learned_is_illness(head->status);
    struct learned_wait wait = { -1, false };

    if (ill)
        wait = learned_wait(head, clock_wall_ns());
    if (wait.wait_ns <= 0) {
        if (hold_answered(&s->hold, !ill, t->sent_ns, now_ns))
            log_info("upstream_hold_lifted", " upstream=%s", s->name);
        return;
    }
    if (wait.wait_ns > most_ns) {
        struct ledger_cut cut = { 1, TOLD_BY_RETRY_AFTER, wait.wait_ns, most_ns };

        tell_cut(s, &cut);
        wait.wait_ns = most_ns;
    }
    hold_hear(&s->hold, wait.wait_ns, t->sent_ns, now_ns, clock_wall_ns());
}

/* The body's beginning is kept until it is long enough or whole: see learned_body_may_tell(). */
void hearing_head(struct turn *t)
{
    const struct http_response *head = &t->answer->head;

    if (!learned_is_old(head)) {
        t->site->counts.heard += heard_note(t->up->heard, t->fetch, head);
        hear_health(t, head);
        denying_hear(t, head);
    }
    settle(t, head, true);
    begin_metering(t);
    if (t->answer->body == NULL) /* there is no more to come that could say */
        hearing_meter(t, true);
    if (t->answer->body != NULL && learned_body_may_tell(head, t->fetch->policy->own_limits))
        t->telling = mem_alloc(TELLING_BYTES);
}

/* -- forgetting -- */

const char hearing_hold_name[] = "Retry-After";

static bool set_at(struct site *s, struct upstream_forget *f)
{
    int count = ledger_set(s->budget->ledger, f->limit, f->left, &f->most, budget_time());

    if (count < 0)
        return false;
    f->forgotten += (unsigned)count;
    log_info("upstream_limit_set", " upstream=%s limit=%s left=%" PRIu64 " count=%d", s->name, log_quote(f->limit),
             f->left, count);
    queue_reconsider(s->budget->queue, NULL);
    budget_kick(s->budget);
    return true;
}

/* False: it has no limit of that name. */
static bool forget_at(struct site *s, struct upstream_forget *f)
{
    int64_t now_ns = clock_mono_ns();
    bool    is_hold = f->limit != NULL && strcasecmp(f->limit, hearing_hold_name) == 0;
    int     count = is_hold ? 0 : ledger_forget(s->budget->ledger, f->limit, budget_time());

    if (count < 0)
        return false;
    if ((f->limit == NULL || is_hold) && hold_predict_ns(&s->hold, now_ns) > 0)
        count++;
    if (f->limit == NULL || is_hold)
        s->hold = (struct hold){ 0 };
    if (f->limit == NULL)
        count += (int)denying_forget(s);
    heard_forget(s->up->heard, s->name);
    s->cut_was_logged = false;
    f->forgotten += (unsigned)count;
    s->counts.forgotten += (unsigned)count;
    log_info("upstream_limits_forgotten", " upstream=%s limit=%s count=%d", s->name,
             log_quote(f->limit != NULL ? f->limit : ""), count);
    queue_reconsider(s->budget->queue, NULL);
    budget_kick(s->budget);
    return true;
}

void hearing_forget(struct upstream *up, struct upstream_forget *f)
{
    bool found = false, found_limit = false;

    EACH_SITE(s, up)
    {
        if (!s->configured || (f->upstream != NULL && strcmp(f->upstream, s->name) != 0))
            continue;
        found = true;
        found_limit = (f->sets ? set_at(s, f) : forget_at(s, f)) || found_limit;
    }
    f->result = found_limit ? FORGET_DONE : found || f->upstream == NULL ? FORGET_NO_LIMIT : FORGET_NO_UPSTREAM;
    if (!f->sets)
        counter_add(COUNTER_LIMITS_FORGOTTEN, f->forgotten);
}

/* -- the body -- */

void hearing_body(struct turn *t, const char *bytes, size_t count)
{
    size_t room = TELLING_BYTES - t->telling_bytes;

    if (t->telling == NULL)
        return;
    if (count > room)
        count = room;
    memcpy(t->telling + t->telling_bytes, bytes, count);
    t->telling_bytes += count;
}

/* Whatever the coding: what cannot be decoded, or is cut off, is read as far as it goes. */
static int64_t read_coded(struct inflater *coding, struct slice bytes)
{
    char   plain[PLAIN_BYTES];
    size_t used = 0, more;
    bool   sound = true;

    inflater_feed(coding, bytes.ptr, bytes.len);
    do {
        more = inflater_take(coding, plain + used, sizeof plain - used, &sound);
        used += more;
    } while (more > 0 && sound && used < sizeof plain);
    inflater_close(coding);
    return learned_body_block_ns((struct slice){ plain, used });
}

void hearing_end(struct turn *t)
{
    struct budget   *b = t->site->budget;
    struct slice     text = { t->telling, t->telling_bytes };
    struct inflater *coding;
    struct queue_class class;
    int64_t block_ns;

    if (t->telling == NULL)
        return;
    coding = text.len > 0 ? inflater_open(&t->answer->head.fields) : NULL;
    block_ns = coding != NULL ? read_coded(coding, text) : learned_body_block_ns(text);
    free(t->telling);
    t->telling = NULL;
    if (block_ns <= 0)
        return;
    ledger_block(b->ledger, &t->charge, block_ns, budget_time());
    class = ledger_owned_class(b->ledger, t->charge.credential);
    queue_reconsider(b->queue, &class);
    budget_kick(b);
}
