/*
 * The dry run: an exchange that stops before anything would happen.
 */
#include "engine/explain.h"

#include "base/clock.h"
#include "engine/explain_parts.h"
#include "http/url.h"

#include <stdlib.h>

/* -- the request that is meant -- */

static const struct http_fields *with_host(struct explain *e, struct slice host)
{
    if (http_fields_find(&e->in.request.fields, HTTP_HOST, 0) < 0)
        http_fields_add_id(&e->in.request.fields, &e->arena, HTTP_HOST, host);
    return &e->in.request.fields;
}

/* As a client would say it that has the forward proxy for https, and any other way for http. */
static void go_to_url(struct explain *e, const struct http_url *url, struct slice text)
{
    const struct config *c = e->engine->config;
    bool                 is_tls = slice_eq_nocase(url->scheme, SLICE("https"));
    struct route_place   to = { NULL, NULL };

    if (is_tls)
        to = route_find_connected(c->routes, url->host, url->port);
    if (to.upstream != NULL && c->upstreams[to.upstream->index].intercept) {
        e->in.is_tls = true;
        e->in.connected = arena_printf(&e->arena, SLICE_FMT ":%u", SLICE_ARG(url->host), url->port);
        text = url->target;
    } else if (url->target.len == 0) {
        text = ARENA_JOIN(&e->arena, text, SLICE("/"));
    }
    with_host(e, url->authority);
    e->in.request.target = text.len > 0 ? text : SLICE("/");
}

static bool set_target(struct explain *e, struct slice text, struct fault *why)
{
    struct http_url url;

    text = slice_sub(text, 0, slice_find(text, '#', 0));
    if (http_url_parse(text, &url)) {
        go_to_url(e, &url, text);
        return true;
    }
    if (text.len > 0 && text.ptr[0] == '/') {
        with_host(e, SLICE("localhost"));
        e->in.request.target = text;
        return true;
    }
    fault_set(why, "\"" SLICE_FMT "\" is no URL: write https://host/path or /UPSTREAM/path",
              SLICE_ARG(slice_sub(text, 0, 200)));
    return false;
}

static void wake_nobody(void *owner)
{
    (void)owner;
}

static void tell_nobody(void *owner, unsigned status, const struct http_fields *fields)
{
    (void)owner;
    (void)status;
    (void)fields;
}

static bool make_request(struct explain *e, const struct exchange_input *as, const struct explain_question *q,
                         struct fault *why)
{
    struct http_request *r = &e->in.request;

    e->in = *as;
    e->in.connected = e->in.proxy_user = SLICE_NONE;
    e->in.is_tls = false;
    e->in.wake = wake_nobody;
    e->in.interim = tell_nobody;
    r->method_name = arena_copy(&e->arena, q->method);
    r->method = http_method_parse(r->method_name);
    r->version_minor = 1;
    r->fields = http_fields_copy(&q->fields, &e->arena);
    e->in.has_body = q->body.ptr != NULL;
    e->in.body_bytes = e->in.has_body ? (int64_t)q->body.len : -1;
    if (!http_is_token(r->method_name)) {
        fault_set(why, "\"" SLICE_FMT "\" is no method", SLICE_ARG(slice_sub(q->method, 0, 80)));
        return false;
    }
    return set_target(e, arena_copy(&e->arena, q->url), why);
}

/* The whole body is there from the beginning. */
static void give_body(struct exchange *x, struct slice body)
{
    if (body.ptr == NULL || body.len > UPLOAD_KEPT_BYTES)
        return;
    x->body.upload = upload_new((int64_t)body.len);
    upload_set_worker(x->body.upload, x->engine->mailbox, &x->body.room);
    x->body.received_bytes = (int64_t)upload_write(x->body.upload, body.ptr, body.len);
    upload_finish(x->body.upload, true);
    x->body.ended = x->body.collecting = true;
}

/* -- the steps -- */

/* The policy, before the decision: later what was borrowed for it may be gone. */
static void note_look_up(struct explain *e)
{
    struct exchange    *x = e->x;
    struct explained   *o = &e->out;
    struct entry_reader reader = { .config = x->config, .now_wall_ns = clock_wall_ns() };
    struct entry_facts *s = &o->stored;

    o->was_looked_up = x->seen.times > 0;
    o->is_stored = x->stored.selected;
    o->other_variant = x->stored.other_variant;
    o->has_key = x->has_key;
    o->key = x->key;
    if (!o->is_stored) {
        explain_find_near(e);
        return;
    }
    entry_read(&reader, &x->stored.record, &e->arena, s);
    explain_keep_entry(s, &e->arena);
    s->fields = http_fields_copy(&s->fields, &e->arena);
    o->selection = arena_copy(&e->arena, x->stored.record.selection);
}

/* Up to where something would be done. */
static void run(struct explain *e)
{
    struct exchange *x = e->x;
    enum step        next = x->at;

    while (next != STEP_DONE && next != STEP_SUSPEND && next != STEP_PURGE && next != STEP_FETCH) {
        x->at = next;
        if (x->at == STEP_LOOKUP && e->wants_facts && e->facts == NULL)
            explain_gather_facts(e);
        if (x->at == STEP_DECIDE)
            note_look_up(e);
        next = exchange_step_dry(x);
        if (x->at == STEP_DECIDE)
            e->out.decision = x->decision;
    }
    if (next == STEP_SUSPEND)
        return;
    x->at = next;
    if (next != STEP_FETCH)
        return;
    fetching_keep(x);
    x->fetch = asking_fill(x);
    x->fetch->owner = x;
    x->so_far.forwarded = true;
    e->waits = true;
}

struct explain *explain_open(struct engine *engine, const struct exchange_input *as, const struct explain_question *q,
                             struct fault *why)
{
    struct explain *e = mem_alloc(sizeof *e);

    e->engine = engine;
    e->dry.knows_all = q->knows_all;
    e->wants_facts = q->wants_facts;
    if (q->has_facts) {
        e->dry.look_up = explain_fact_look_up;
        e->dry.facts = q->facts;
        e->dry.fact_count = q->fact_count;
    }
    if (!make_request(e, as, q, why)) {
        explain_close(e);
        return NULL;
    }
    e->x = exchange_open_dry(engine, &e->in, &e->dry);
    give_body(e->x, arena_copy(&e->arena, q->body));
    run(e);
    return e;
}

void explain_close(struct explain *e)
{
    if (e == NULL)
        return;
    if (e->x != NULL)
        exchange_close_dry(e->x);
    arena_free(&e->arena);
    free(e);
}

bool explain_waits(const struct explain *e)
{
    return e->waits;
}

void explain_ask(struct explain *e, struct mailbox *mailbox, void (*then)(struct mail *), void *owner)
{
    e->owner = owner;
    e->foretelling = (struct upstream_foretelling){
        .fetch = e->x->fetch,
        .reply_to = mailbox,
        .done = { .receive = then },
    };
    upstream_foretell(e->engine->services->upstream, &e->foretelling);
}

struct explain *explain_of_mail(struct mail *done, void **owner)
{
    struct explain *e = CONTAINER_OF(CONTAINER_OF(done, struct upstream_foretelling, done), struct explain,
                                     foretelling);

    *owner = e->owner;
    return e;
}

/* What it would hear goes the way of any fetch's answer. */
void explain_go_on(struct explain *e)
{
    struct exchange *x = e->x;

    e->waits = false;
    e->out.asked = true;
    if (x->fetch->event == FETCH_PENDING)
        return;
    x->at = STEP_AWAIT;
    run(e);
}
