/*
 * What becomes of an attempt: its head is given out, kept back until its body
 * is known to be sound, or put by while the request is tried again; its body
 * goes to the spool; and its end decides what the flight does next.
 *
 * attempt_head() and attempt_body() run inside origin/'s callbacks, and start and stop nothing there.
 */
#include "upstream/again.h"
#include "upstream/bill.h"
#include "upstream/internal.h"
#include "upstream/taped.h"
#include "upstream/verdict.h"

#include "base/counters.h"
#include "base/log.h"
#include "budget/learned.h"
#include "http/date.h"
#include "http/hop.h"
#include "policy/range.h"
#include "policy/validate.h"

#include <stdlib.h>

enum {
    REFUSAL = 429,                  /* as what one that its body tells of is tried again */
    VERDICT_HELD_BYTES = 64 * 1024, /* of a body that may say more than its status, before its head goes out */
};

/* -- the head -- */

/* RFC 9110 6.6.1: what came without a Date is dated by its arrival before it is cached or passed on. */
static void date_head(struct answer *a)
{
    char text[HTTP_DATE_BYTES];

    if (http_fields_find(&a->head.fields, HTTP_DATE, 0) >= 0)
        return;
    http_date_format(a->received_wall_ns / NS_PER_SEC, text);
    http_fields_add_id(&a->head.fields, &a->arena, HTTP_DATE, arena_copy(&a->arena, slice_of(text)));
}

static struct answer *make_answer(struct turn *t, struct transfer_head *h)
{
    struct answer *a = answer_new();

    a->arena = h->arena;
    h->arena = (struct arena){ 0 };
    a->head.status = h->status;
    a->head.fields = http_fields_end_to_end(&h->fields, &a->arena);
    h->fields = (struct http_fields){ 0 };
    auth_scrub(t->fetch, &a->head.fields, &a->arena);
    a->content_length = h->content_length;
    a->http2 = h->http2;
    a->requested_wall_ns = h->sent_wall_ns;
    a->received_wall_ns = h->came_wall_ns;
    date_head(a);
    if (t->fetch->request.method != HTTP_HEAD && !http_status_has_no_body(h->status))
        a->body = spool_new(store_directory(t->up->store));
    return a;
}

static void part(struct flight *f, struct turn *t)
{
    bill_part(t);
    f->turn = NULL;
    t->flight = NULL;
}

/* A status, its own or what its body comes to, that is asked for again: the flight goes on, this answer is read out and
 * kept for the case that the retry is never sent. */
static bool put_by(struct flight *f, struct turn *t, unsigned status)
{
    struct answer      *a = t->answer;
    struct retry_answer again;

    again = again_ask(f, ATTEMPT_STATUS, status, learned_wait(&a->head, clock_wall_ns()).wait_ns);
    if (!again.again)
        return false;
    part(f, t);
    answer_release(f->spare);
    f->spare = a;
    answer_acquire(a);
    taped_body(t);
    taped_put_by(f, t);
    t->given = dispatch_pause(f, again.after_ns);
    return true;
}

/* The answer is none to the condition that Weir added: asked again without it. */
static void ask_plainly(struct flight *f, struct turn *t)
{
    part(f, t);
    f->ask.plain = true;
    f->again = true;
    dispatch_put(f);
}

/* RFC 9110 10.1.1: a 417 says that somebody on the way cannot do with the expectation, and nothing of the request.
 * False: it is the answer. */
static bool ask_unexpecting(struct flight *f, struct turn *t)
{
    if (t->answer->head.status != 417 || !t->fetch->expects || f->ask.unexpecting || !upload_is_kept(t->sending.upload))
        return false;
    again_record(f, t, ATTEMPT_OK, t->answer->head.status);
    part(f, t);
    f->ask.unexpecting = true;
    f->again = true;
    dispatch_put(f);
    t->stop = STOP_ENOUGH; /* curl would send it again by itself */
    return true;
}

/* RFC 9111 4.3.4.  A 304 that speaks of another response than ours is no answer: asked again without conditions.  So is
 * one that speaks of what was dropped meanwhile, by a label. */
static void not_modified(struct flight *f, struct turn *t)
{
    if (policy_304_selects(&t->answer->head, &t->fetch->stored.head) &&
        late_dropped_ns(t, &t->fetch->stored.head.head.fields) == 0) {
        t->given = true;
        share_not_modified(f, t, t->answer);
        return;
    }
    ask_plainly(f, t);
}

/* The head waits for its body to be known as sound.  Elsewhere it passes: what a write has done is not done again
 * because of what the answer to it looks like.  It waits also for what the body may say of trying again. */
static void begin_check(struct turn *t, bool is_listed)
{
    const struct fetch *fetch = t->fetch;

    if (t->answer->body == NULL)
        return;
    if (fetch->policy->validate == VALIDATE_JSON && !is_listed)
        t->check = body_check_open(&t->answer->head);
    t->verdict = verdict_open(&t->site->options->retry, fetch->policy->complete, &t->answer->head);
    t->held = (t->check != NULL && http_method_is_safe(fetch->request.method)) ||
              (verdict_may_decide(t->verdict, is_listed) && !fetch->stored.completing &&
               t->answer->head.status != 206) ||
              bill_is_awaited(t);
}

/* True: there is nothing to be said against it. */
static bool is_sound(struct turn *t)
{
    if (t->check == NULL || body_check_end(t->check))
        return true;
    counter_add(COUNTER_UNSOUND, 1);
    log_info("upstream_body_unsound", " upstream=%s status=%u bytes=%lld method=%s", t->site->name,
             t->answer->head.status, (long long)t->body_bytes, http_method_name(t->fetch->request.method));
    return false;
}

/* RFC 9111 4.4: what was asked before it may be what it has changed. */
static void note_write(const struct turn *t)
{
    const struct fetch *f = t->fetch;

    if (!f->has_key && !http_method_is_safe(f->request.method) && t->answer->head.status >= 200 &&
        t->answer->head.status < 400 && !t->answer->failed && f->policy->invalidate != INVALIDATE_OFF)
        overtake_by_write(t->site, f);
}

static void give_head(struct flight *f, struct turn *t)
{
    struct waiters parted = TAILQ_HEAD_INITIALIZER(parted);

    share_head(f, t, t->answer, &parted);
    enter_again(t->site, &parted);
}

static bool give(struct flight *f, struct turn *t)
{
    t->given = true;
    if (!turn_is_played(t))
        note_write(t);
    give_head(f, t);
    if (flight_goes_on(f))
        return true;
    t->stop = STOP_ABANDONED;
    return false;
}

static bool give_listed(struct flight *f, struct turn *t)
{
    again_record(f, t, ATTEMPT_STATUS, t->answer->head.status);
    return put_by(f, t, t->answer->head.status) || give(f, t);
}

/* What stands before the API is alive, and says that the API itself is not (RFC 9110 15.6.3, 15.6.5). */
static bool is_dead_behind(unsigned status)
{
    return status == 502 || status == 504;
}

bool attempt_head(struct turn *t, struct transfer_head *head)
{
    struct flight *f = t->flight;
    unsigned       status = head->status;
    bool           listed;

    t->answer = make_answer(t, head);
    if (turn_is_played(t))
        return f == NULL || give(f, t);
    site_report_breaker(t->site, !is_dead_behind(status), clock_mono_ns());
    hearing_head(t);
    if (f == NULL)
        return true;
    if (t->sending.upload != NULL && ask_unexpecting(f, t))
        return false;
    listed = retry_status_listed(&f->site->options->retry, status);
    answer_release(f->spare);
    f->spare = NULL;
    begin_check(t, listed);
    if (t->held)
        return true;
    if (listed)
        return give_listed(f, t);
    again_record(f, t, ATTEMPT_OK, status);
    if (status == 304 && t->fetch->stored.validating && !f->ask.plain) {
        not_modified(f, t);
        return true;
    }
    if (t->fetch->stored.completing && !f->ask.plain && (status == 416 || (status == 206 && !complete_head(t)))) {
        ask_plainly(f, t);
        return true;
    }
    return t->stop == STOP_NONE && give(f, t);
}

/* RFC 9110 15.2: what a client may make use of. */
void attempt_interim(struct turn *t, unsigned status, const struct http_fields *all, struct arena *arena)
{
    struct http_fields fields = http_fields_end_to_end(all, arena), for_others;
    bool               masked;

    http_fields_remove(&fields, HTTP_CONTENT_LENGTH);
    auth_scrub(t->fetch, &fields, arena);
    for_others = http_fields_copy(&fields, arena);
    masked = auth_mask(t->fetch, MASK_STARS, &for_others, arena);
    EACH_WAITER(w, t->flight)
    waiter_post_interim(w, status, masked && w->fetch != t->fetch ? &for_others : &fields);
}

/* -- the body -- */

static void log_disk(struct upstream *up, const char *why)
{
    int64_t now = clock_mono_ns();

    if (up->disk_refused_ns != 0 && now - up->disk_refused_ns < 60 * NS_PER_SEC)
        return;
    up->disk_refused_ns = now;
    log_error("upstream_disk_refused", " reason=%s", log_quote(why));
}

/* Longer than is kept: from here on it only passes. With one reader what he has read need not stand any longer. */
static void stop_storing(struct flight *f, struct spool *body)
{
    flight_unstore(f);
    flight_hide(f);
    if (f->receiving + f->waiting <= 1 && f->leader->manner.tape == NULL)
        spool_set_pass(body);
}

static bool to_spool(struct turn *t, const char *bytes, size_t count)
{
    struct fault why;

    if (spool_write(t->answer->body, bytes, count, &why) != 0) {
        log_disk(t->up, why.text);
        t->stop = STOP_DISK;
        return false;
    }
    t->body_bytes += (int64_t)count;
    t->site->counts.body_bytes += count;
    return true;
}

static bool check_body(struct flight *f, struct turn *t, const char *bytes, size_t count)
{
    bool          sound = t->check == NULL || body_check_feed(t->check, bytes, count);
    const int64_t most = t->check != NULL || bill_is_awaited(t) ? HELD_BYTES : VERDICT_HELD_BYTES;

    if (!t->held || t->body_bytes <= most)
        return true;
    if (!sound)
        return false;
    t->held = false; /* so far it is sound, and too long to be kept back */
    if (retry_status_listed(&f->site->options->retry, t->answer->head.status))
        return give_listed(f, t);
    again_record(f, t, ATTEMPT_OK, t->answer->head.status);
    return give(f, t);
}

/* Who has read the last byte may ask again before we hear of the end: look-ups must find it by then. */
static bool is_last_of(const struct flight *f, const struct turn *t, size_t count)
{
    return f->storing && !t->held && t->body_bytes + (int64_t)count == t->answer->content_length &&
           t->answer->head.status != 206 && t->check == NULL && t->verdict == NULL;
}

bool attempt_takes(const struct turn *t)
{
    return t->answer == NULL || t->answer->body == NULL || t->flight == NULL || t->held || !t->may_wait ||
           !spool_is_ahead(t->answer->body);
}

bool attempt_body(struct turn *t, const char *bytes, size_t count)
{
    struct flight *f = t->flight;

    if (t->answer == NULL || t->answer->body == NULL)
        return true;
    hearing_body(t, bytes, count);
    if (t->metering != NULL)
        metering_feed(t->metering, bytes, count);
    verdict_feed(t->verdict, bytes, count);
    if (f == NULL && !t->given && t->body_bytes + (int64_t)count > SPARE_BODY_BYTES) {
        t->stop = STOP_ENOUGH;
        return false;
    }
    if (f != NULL && is_last_of(f, t, count))
        commit_announce(f, t->answer->content_length);
    if (!to_spool(t, bytes, count))
        return false;
    if (f == NULL)
        return true;
    if (f->storing && spool_is_pass(t->answer->body)) {
        log_disk(t->up, "the cache's disk is full or broken: answers pass through without being stored");
        counter_add(COUNTER_STORE_FAILURES, 1);
        store_refuses_files(t->up->store);
        flight_unstore(f);
        flight_hide(f);
    }
    if (f->storing && t->fetch->policy->max_object_bytes >= 0 && t->body_bytes > t->fetch->policy->max_object_bytes)
        stop_storing(f, t->answer->body);
    if ((t->check != NULL || t->held) && !check_body(f, t, bytes, count))
        return false;
    if (t->flight != NULL && t->given && !flight_goes_on(f)) {
        t->stop = STOP_ABANDONED;
        return false;
    }
    return true;
}

void attempt_trailer(struct turn *t, struct slice name, struct slice value)
{
    struct answer     *a = t->answer;
    struct http_fields added;

    /* RFC 9110 6.5.1: what frames or routes has no business in a trailer. */
    if (a == NULL || (http_name_flags(http_name_parse(name)) & HTTP_HOP_BY_HOP) != 0 ||
        slice_eq_nocase(name, SLICE("Content-Length")))
        return;
    http_fields_add(&a->trailers, &a->trailer_arena, arena_copy(&a->trailer_arena, name),
                    arena_copy(&a->trailer_arena, value));
    added = (struct http_fields){ &a->trailers.items[a->trailers.count - 1], 1, 1 };
    auth_scrub(t->fetch, &added, &a->trailer_arena);
    auth_mask(t->fetch, MASK_STARS, &added, &a->trailer_arena);
}

/* -- the end -- */

/* Nobody receives any more: those who have the head have all of it. */
static void release_receivers(struct flight *f)
{
    EACH_WAITER_SAFE(w, f)
    {
        if (w->at == WAITER_RECEIVING)
            waiter_unlink(w);
    }
}

static void end_flight(struct flight *f, bool again)
{
    if (!again && f->leader->upload != NULL)
        upload_discard(f->leader->upload);
    flight_settle(f);
}

/* RFC 9111 3.3: a 206 whose Content-Range contradicts its body, now that its length is known, is nobody's part. */
static bool is_its_part(const struct turn *t)
{
    const struct stored_response part = { .head = t->answer->head, .body_bytes = t->body_bytes };
    struct byte_range            range;
    int64_t                      complete;

    return t->answer->head.status != 206 || policy_part_of(&part, &range, &complete);
}

/* A stream of events that only stopped may have been cut off by anything on the way. */
static bool has_clean_end(const struct turn *t)
{
    if (t->fetch->policy->complete != NULL)
        return verdict_is_complete(t->verdict);
    return t->answer->content_length >= 0 || t->chunked || t->answer->http2 || t->answer->body == NULL;
}

static void whole(struct flight *f, struct turn *t)
{
    bool sound = is_sound(t);

    if (f->storing && sound && !verdict_is_failure(t->verdict) && is_its_part(t) && (!f->live || has_clean_end(t)))
        commit_announce(f, t->answer->body != NULL ? spool_length(t->answer->body) : 0);
    else
        flight_unstore(f);
    if (f->others != NULL)
        f->others->trailers = http_fields_copy(&t->answer->trailers, &f->others->trailer_arena);
    EACH_WAITER(w, f)
    if (w->fetch->manner.race != NULL)
        race_heard(w->fetch->manner.race, t->answer->head.status, clock_mono_ns());
    taped_whole(t);
    t->answer->bill = bill_copy(f);
    if (t->answer->body != NULL)
        spool_finish(t->answer->body, SPOOL_WHOLE);
    release_receivers(f);
    flight_hide(f);
    if (f->storing)
        commit_put(f);
    f->storing = false;
    flight_become(f, FLIGHT_ENDING);
    end_flight(f, false);
}

static void cut(struct flight *f, struct turn *t, enum stop stop)
{
    struct failure failure;

    transfer_failure(t->transfer, &failure);
    taped_failed(t, &failure);
    if (t->answer->body != NULL && spool_ended(t->answer->body) == SPOOL_GROWING)
        spool_finish(t->answer->body, SPOOL_CUT_SHORT);
    if (stop != STOP_ABANDONED) {
        counter_add(COUNTER_CUT_SHORT, 1);
        log_info("upstream_body_cut", " upstream=%s bytes=%lld reason=%s", f->site->name, (long long)t->body_bytes,
                 log_quote(failure.text));
    }
    flight_unstore(f);
    f->keep = false;
    flight_hide(f);
    release_receivers(f);
    flight_become(f, FLIGHT_ENDING);
    end_flight(f, false);
}

/* A connection that could not be made or that broke counts against the API; our own ending of it does not. */
static void report_breaker(struct turn *t, const struct transfer_end *end)
{
    enum stop stop = end->stop;
    bool ours = stop == STOP_ABANDONED || stop == STOP_OVER_BUDGET || stop == STOP_DISK || stop == STOP_UPLOAD_BROKEN ||
                stop == STOP_UPLOAD_STALLED || stop == STOP_SECOND_SENDING || stop == STOP_DEAD_CONNECTION ||
                end->undone;

    if (end->answered)
        return;
    if (!ours || t->site->breaker.probing)
        site_report_breaker(t->site, false, clock_mono_ns());
    if (!ours)
        hold_answered(&t->site->hold, false, t->sent_ns, clock_mono_ns());
}

static void failed(struct flight *f, struct turn *t, const struct failure *failure)
{
    struct retry_answer again = { .again = false };

    *flight_failure(f) = *failure;
    again_record(f, t, failure->outcome, t->answer != NULL ? t->answer->head.status : 0);
    log_debug("upstream_attempt_failed", " upstream=%s attempt=%u outcome=%s reason=%s", f->site->name,
              f->past.attempt_count, attempt_outcome_token(failure->outcome), log_quote(failure->text));
    if (!failure->final && !turn_is_played(t))
        again = again_ask(f, failure->outcome, 0, -1);
    if (again.again) {
        dispatch_pause(f, again.after_ns);
        return;
    }
    taped_failed(t, failure);
    f->keep = false;
    flight_become(f, FLIGHT_ENDING);
    flight_fail(f, 0);
}

/* It is whole and sound: what it says decides, and its status where it says nothing. */
static void judged(struct flight *f, struct turn *t)
{
    const struct retry_options *o = &f->site->options->retry;
    struct answer              *a = t->answer;
    bool                        refused = verdict_is_refused(t->verdict), never = verdict_is_never(t->verdict);
    bool                        listed = retry_status_listed(o, a->head.status);

    again_record(f, t, listed || refused || never ? ATTEMPT_STATUS : ATTEMPT_OK, a->head.status);
    counter_add(COUNTER_REFUSED_IN_BODY, refused);
    if (!never && (listed || refused) && put_by(f, t, listed ? a->head.status : REFUSAL)) {
        spool_finish(a->body, SPOOL_WHOLE);
        return;
    }
    a->failed = refused || never;
    t->held = false;
    t->given = true;
    note_write(t);
    give_head(f, t);
    whole(f, t);
}

/* A body that was to be checked before its head went out has ended. */
static void checked(struct flight *f, struct turn *t, bool complete)
{
    struct failure failure;
    bool           sound = complete && is_sound(t);

    if (sound) {
        judged(f, t);
        return;
    }
    if (t->check != NULL && (complete || !body_check_feed(t->check, "", 0)))
        failure_set(&failure, ATTEMPT_INVALID, "http_protocol_error",
                    "%s: its answer is not JSON, and validate = \"json\" asks for that", f->site->name);
    else
        transfer_failure(t->transfer, &failure);
    failed(f, t, &failure);
}

void attempt_ended(struct turn *t, const struct transfer_end *end)
{
    struct flight *f = t->flight;
    bool           complete = end->complete && complete_end(t);
    bool           played = turn_is_played(t);
    struct failure failure;

    if (!played && (!end->sent || !end->answered))
        hearing_nothing(t, end->sent && !end->undone);
    if (complete)
        verdict_end(t->verdict);
    hearing_end(t);
    hearing_meter(t, complete);
    if (!complete && !played)
        report_breaker(t, end);
    if (f == NULL) {
        if (t->answer != NULL && t->answer->body != NULL)
            spool_finish(t->answer->body, complete ? SPOOL_WHOLE : SPOOL_CUT_SHORT);
        return;
    }
    part(f, t);
    if (end->stop == STOP_OVER_BUDGET) {
        dispatch_put(f); /* nothing was sent: its turn comes again */
        return;
    }
    if (t->held)
        checked(f, t, complete);
    else if (complete)
        whole(f, t);
    else if (t->given)
        cut(f, t, end->stop);
    else {
        transfer_failure(t->transfer, &failure);
        failed(f, t, &failure);
    }
}
