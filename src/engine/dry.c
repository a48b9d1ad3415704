/*
 * What is answered in the API's place: of a dry run whatever would be sent, and in any mode what a share injects.
 *
 * The first there is: the rule's mock; for a safe method what is stored, fresh or not; the upstream's mock; else 200,
 * with {} for who takes JSON.  What would have become of the request the upstream thread foretells, as it does for
 * `weirctl explain`: of a fetch that is never submitted, so nothing is charged, shared, stored or dropped.
 */
#include "engine/dry.h"

#include "engine/internal.h"
#include "engine/show.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/timer.h"
#include "config/mode.h"
#include "http/structured.h"
#include "policy/range.h"

#include <stdlib.h>

struct dry_question { /* outlives its exchange where that ends before the answer comes */
    struct upstream_foretelling asked;
    struct engine              *engine;
    struct exchange            *x; /* NULL: nobody waits */
    bool                        is_answered;
};

struct stand_in {
    struct exchange           *x;
    bool                       is_dry;      /* nothing of it is sent */
    bool                       is_injected; /* by a share, in whatever mode */
    bool                       takes;       /* it answers; else what is fresh does */
    bool                       uses_stored;
    bool                       has_chosen, has_rolled, has_waited;
    const struct mock_options *mock;
    struct dry_question       *question;
    struct timer               timer;
};

static const struct mock_options *rules_mock(const struct exchange *x)
{
    return x->rule != NULL ? x->up->rule_mocks[x->rule - x->route.upstream->rules] : NULL;
}

static bool has_share(const struct mock_options *m)
{
    return m != NULL && m->has_share;
}

static bool is_dry_mode(const struct exchange *x)
{
    return x->mode.holds == MODE_DRY_RUN ||
           (x->mode.holds == MODE_DRY_RUN_WRITES && !http_method_is_safe(x->in.request.method));
}

void dry_begin(struct exchange *x)
{
    const bool is_dry = is_dry_mode(x);

    if (!is_dry && !has_share(rules_mock(x)) && !has_share(x->up->mock))
        return;
    x->mode.stand_in = arena_alloc(&x->arena, sizeof *x->mode.stand_in);
    x->mode.stand_in->x = x;
    x->mode.stand_in->is_dry = is_dry;
}

bool dry_is(const struct exchange *x)
{
    return x->mode.stand_in != NULL && x->mode.stand_in->is_dry;
}

bool dry_answers(const struct exchange *x)
{
    return x->mode.stand_in != NULL && x->mode.stand_in->takes;
}

/* Evenly: so that a test of twenty requests sees what a share of 5 % does.  What is only explained is not counted. */
static bool rolls(const struct exchange *x, const struct mock_options *m)
{
    enum { MILLION = 1000000 };
    uint64_t before, share;

    if (m == NULL || !m->has_share)
        return m != NULL;
    if (x->mode.dry != NULL)
        return m->share_millionths == MILLION;
    share = m->share_millionths;
    before = atomic_fetch_add_explicit(m->requests, 1, memory_order_relaxed) % MILLION;
    return (before + 1) * share / MILLION != before * share / MILLION;
}

bool dry_takes(struct exchange *x)
{
    struct stand_in *s = x->mode.stand_in;

    if (!s->has_rolled) {
        s->has_rolled = true;
        if ((s->is_dry || has_share(rules_mock(x))) && rolls(x, rules_mock(x)))
            s->mock = rules_mock(x);
        else if (!s->is_dry && has_share(x->up->mock) && rolls(x, x->up->mock))
            s->mock = x->up->mock;
        s->is_injected = s->mock != NULL && !s->is_dry;
    }
    s->takes = s->mock != NULL ||
               (s->is_dry && (x->wish.dry == DRY_SHOW ||
                              (x->decision.verdict != VERDICT_SERVE && x->decision.verdict != VERDICT_UNAVAILABLE)));
    return s->takes;
}

/* -- what would become of it -- */

static void free_question(struct dry_question *q)
{
    fetch_leave(q->engine->services->upstream, q->asked.fetch);
    free(q);
}

static void receive_told(struct mail *m)
{
    struct dry_question *q = CONTAINER_OF(CONTAINER_OF(m, struct upstream_foretelling, done), struct dry_question,
                                          asked);

    q->engine->fetch_count--;
    q->is_answered = true;
    if (q->x == NULL)
        free_question(q);
    else
        q->x->go_on(q->x);
}

static void ask(struct exchange *x)
{
    struct dry_question *q = mem_alloc(sizeof *q);

    q->engine = x->engine;
    q->x = x;
    q->asked.fetch = asking_fill(x);
    q->asked.reply_to = x->engine->mailbox;
    q->asked.done.receive = receive_told;
    x->mode.stand_in->question = q;
    x->engine->fetch_count++;
    upstream_foretell(x->engine->services->upstream, &q->asked);
}

static const char *word_of(const struct exchange *x, const struct upstream_foretelling *told)
{
    if (x->in.request.method == HTTP_PURGE)
        return "would-purge";
    if (x->decision.verdict == VERDICT_SERVE)
        return "would-serve";
    if (told == NULL)
        return "would-send";
    switch (told->fetch->event) {
    case FETCH_LOOK_AGAIN:
    case FETCH_SPARED:
        return "would-serve";
    case FETCH_REFUSED:
        return "would-refuse";
    case FETCH_FAILED:
        return "would-fail";
    case FETCH_PENDING:
    case FETCH_HEAD:
    case FETCH_NOT_MODIFIED:
        break;
    }
    return told->joins ? "would-join" : "would-send";
}

/* would-send; cost=1; wait=0s; rule="/v1/observations/..." */
static struct slice foretold(struct exchange *x)
{
    const struct dry_question         *q = x->mode.stand_in->question;
    const struct upstream_foretelling *told = q != NULL ? &q->asked : NULL;
    const char                        *word = word_of(x, told);
    const bool                         costs = told != NULL && strcmp(word, "would-serve") != 0 && !told->joins;
    const int64_t                      wait_ns = costs ? told->wait_ns : 0;
    struct slice                       rule = SLICE("");

    if (x->rule != NULL)
        rule = ARENA_JOIN(&x->arena, SLICE("; rule="), sf_string(slice_of(x->rule->policy.label), &x->arena));
    return arena_printf(&x->arena, "%s; cost=%u; wait=%llds" SLICE_FMT "%s", word, costs ? told->cost : 0,
                        (long long)((wait_ns + NS_PER_SEC - 1) / NS_PER_SEC), SLICE_ARG(rule),
                        x->wish.dry == DRY_SHOW && x->body.is_cut ? "; body=omitted" : "");
}

/* -- the answer -- */

static void begin_reply(struct exchange *x, unsigned status, struct slice body)
{
    struct reply *r = &x->reply;

    candidate_drop(x);
    *r = (struct reply){ .status = status, .kind = REPLY_BYTES, .fd = -1, .bytes = body, .length = (int64_t)body.len };
    x->finish = (struct finish){ .of_api = true };
    if (body.len == 0 || x->in.request.method == HTTP_HEAD)
        r->kind = REPLY_EMPTY;
}

static void reply_mock(struct exchange *x, const struct mock_options *m)
{
    begin_reply(x, m->status, m->body);
    x->log.counter = COUNTER_OWN; /* no failure of the API's, nor a refusal */
    counter_add(COUNTER_MOCKED, 1);
    x->reply.fields = http_fields_copy(&m->headers, &x->arena);
}

/* Of one range of Accept, without its parameters. */
static bool means_json(struct slice type)
{
    return slice_eq(type, SLICE("*/*")) || slice_eq_nocase(type, SLICE("application/*")) ||
           slice_eq_nocase(type, SLICE("application/json")) || slice_ends_with(type, SLICE("+json"));
}

static bool is_refused(struct slice parameters)
{
    size_t       at = slice_find(parameters, '=', 0);
    struct slice name = slice_trim(slice_sub(parameters, 0, at)), value = slice_sub(parameters, at + 1, parameters.len);

    return slice_eq_nocase(name, SLICE("q")) && value.len > 0 && value.ptr[0] == '0' &&
           slice_find(value, '1', 0) == value.len;
}

bool dry_accepts_json(const struct http_fields *f, struct arena *a)
{
    struct slice all = http_fields_join(f, SLICE("Accept"), a);

    if (all.ptr == NULL || slice_trim(all).len == 0)
        return true;
    for (size_t at = 0; at < all.len;) {
        size_t       end = slice_find(all, ',', at);
        struct slice one = slice_sub(all, at, end);
        size_t       semicolon = slice_find(one, ';', 0);

        if (means_json(slice_trim(slice_sub(one, 0, semicolon))) && !is_refused(slice_sub(one, semicolon + 1, one.len)))
            return true;
        at = end + 1;
    }
    return false;
}

static void reply_nothing(struct exchange *x)
{
    bool json = dry_accepts_json(&x->in.request.fields, &x->arena);

    begin_reply(x, 200, json ? SLICE("{}") : SLICE(""));
    if (json)
        http_fields_add_id(&x->reply.fields, &x->arena, HTTP_CONTENT_TYPE, SLICE("application/json"));
}

static void reply_shown(struct exchange *x)
{
    struct fetch *f = x->mode.stand_in->question != NULL ? x->mode.stand_in->question->asked.fetch : asking_fill(x);

    begin_reply(x, 200, show_request(x, f));
    http_fields_add_id(&x->reply.fields, &x->arena, HTTP_CONTENT_TYPE, SLICE("message/http"));
    if (x->mode.stand_in->question == NULL)
        fetch_leave(x->engine->services->upstream, f);
}

static enum step reply(struct exchange *x)
{
    struct stand_in *s = x->mode.stand_in;

    x->log.cache = s->is_injected ? "mock" : "dry";
    if (x->in.request.method == HTTP_PURGE) {
        reply_text(x, 200, "application/json", SLICE("{\"dropped\": 0}\n"));
    } else if (x->wish.dry == DRY_SHOW) {
        reply_shown(x);
    } else if (!s->uses_stored || !serve_stored(x, 0)) {
        if (s->mock != NULL)
            reply_mock(x, s->mock);
        else
            reply_nothing(x);
    }
    return STEP_FINISH;
}

/* "injected-429-after-50ms" */
static const char *injected(struct exchange *x)
{
    const struct mock_options *m = x->mode.stand_in->mock;

    if (m->delay_ns == 0)
        return arena_printf(&x->arena, "injected-%u", m->status).ptr;
    return arena_printf(&x->arena, "injected-%u-after-%lldms", m->status, (long long)(m->delay_ns / NS_PER_MS)).ptr;
}

void dry_finish(struct exchange *x)
{
    struct stand_in    *s = x->mode.stand_in;
    struct http_fields *f = &x->reply.fields;

    if (!s->takes && !(s->is_dry && x->decision.verdict == VERDICT_SERVE && x->log.error == NULL))
        return; /* refused as it would have been */
    http_fields_remove(f, HTTP_CACHE_CONTROL);
    http_fields_add_id(f, &x->arena, HTTP_CACHE_CONTROL, SLICE("no-store"));
    if (s->is_injected) {
        x->log.detail = injected(x);
        return;
    }
    x->log.detail = "dry-run";
    http_fields_remove(f, HTTP_WEIR_DRY_RUN);
    http_fields_add_id(f, &x->arena, HTTP_WEIR_DRY_RUN, foretold(x));
}

/* -- the step -- */

static void choose(struct exchange *x)
{
    struct stand_in *s = x->mode.stand_in;

    candidate_keep(x);
    s->takes = true;
    s->uses_stored = s->mock == NULL && x->stored.selected && http_method_is_safe(x->in.request.method) &&
                     policy_holds_range(&x->in.request, &x->stored.response);
    if (s->mock == NULL && !s->uses_stored && rolls(x, x->up->mock))
        s->mock = x->up->mock;
    x->body.continued = true; /* it is taken, and goes nowhere */
    if (x->wish.dry == DRY_SHOW && x->in.has_body && x->body.upload == NULL) {
        x->body.upload = upload_new(x->in.body_bytes);
        upload_set_worker(x->body.upload, x->engine->mailbox, &x->body.room);
    }
    if (s->is_dry && x->in.request.method != HTTP_PURGE && x->decision.verdict != VERDICT_SERVE)
        ask(x);
}

static void fire(struct timer *t)
{
    struct exchange *x = CONTAINER_OF(t, struct stand_in, timer)->x;

    x->go_on(x);
}

/* True: not yet. */
static bool waits(struct exchange *x)
{
    struct stand_in           *s = x->mode.stand_in;
    const struct mock_options *m = x->wish.dry != DRY_SHOW ? s->mock : NULL;

    if (s->question != NULL && !s->question->is_answered)
        return true;
    if (x->in.has_body && !x->body.ended)
        return true;
    if (m != NULL && m->delay_ns > 0 && !s->has_waited) {
        s->has_waited = true;
        s->timer.fire = fire;
        timers_set(&x->engine->timers, &s->timer, time_add(clock_mono_ns(), m->delay_ns));
    }
    return timer_is_set(&s->timer);
}

enum step step_dry(struct exchange *x)
{
    struct stand_in *s = x->mode.stand_in;

    if (!s->has_chosen) {
        s->has_chosen = true;
        if (x->mode.dry != NULL) { /* it is explained: nothing is waited for */
            candidate_keep(x);
            return reply(x);
        }
        choose(x);
    }
    return waits(x) ? STEP_SUSPEND : reply(x);
}

size_t dry_upload(struct exchange *x, const void *bytes, size_t count)
{
    x->body.received_bytes += (int64_t)count;
    if (x->body.upload != NULL && !x->body.is_cut && upload_write(x->body.upload, bytes, count) < count) {
        x->body.is_cut = true; /* too long to be shown */
        upload_discard(x->body.upload);
    }
    return count;
}

void dry_close(struct exchange *x)
{
    struct stand_in *s = x->mode.stand_in;

    if (s == NULL)
        return;
    timers_clear(&x->engine->timers, &s->timer);
    if (s->question != NULL && s->question->is_answered)
        free_question(s->question);
    else if (s->question != NULL)
        s->question->x = NULL;
    x->mode.stand_in = NULL;
}
