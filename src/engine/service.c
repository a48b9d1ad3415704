/*
 * The exchange as a service sees it.
 */
#include "engine/service.h"

#include "base/own_address.h"

#include "engine/internal.h"
#include "policy/mask.h"

const struct exchange_input *service_input(const struct exchange *x)
{
    return &x->in;
}

struct engine *service_engine(const struct exchange *x)
{
    return x->engine;
}

struct mailbox *service_mailbox(const struct exchange *x)
{
    return x->engine->mailbox;
}

const struct config *service_config(const struct exchange *x)
{
    return x->config;
}

uint64_t service_id(const struct exchange *x)
{
    return x->id;
}

struct arena *service_arena(struct exchange *x)
{
    return &x->arena;
}

struct jobs *service_jobs(const struct exchange *x)
{
    return x->engine->services->jobs;
}

void *service_desk(const struct exchange *x)
{
    return x->engine->desk;
}

const struct key_secret *service_secret(const struct exchange *x)
{
    return &x->engine->services->secret;
}

const struct http_request *service_asked(const struct exchange *x)
{
    return x->service.is_wanted ? &x->service.asked : &x->in.request;
}

const struct config_upstream *service_upstream(const struct exchange *x)
{
    return x->route.way != ROUTE_OWN ? x->up : NULL;
}

const struct policy_options *service_policy(const struct exchange *x)
{
    return x->policy;
}

struct slice service_base_url(const struct exchange *x)
{
    if (x->route.way == ROUTE_OWN || x->route.way == ROUTE_PREFIX)
        return SLICE("");
    return slice_of(x->config->public_url != NULL ? x->config->public_url : own_address_published());
}

bool service_admits(struct exchange *x, const struct config_upstream *up)
{
    if (engine_admits(x->engine, up, x->in.who(x->in.owner)))
        return true;
    service_refuse(x, PROBLEM_NOT_ALLOWED, engine_not_admitted(x->in.who(x->in.owner), &x->arena));
    return false;
}

struct http_fields service_fields_to_keep(const struct exchange *x, struct arena *a)
{
    const struct key_input in = { .target = x->in.request.target, .request = &x->in.request };
    struct http_fields     f = http_fields_copy(&x->reply.fields, a);
    struct arena           scratch = { 0 };

    if (x->policy != NULL)
        policy_mask(policy_secrets(x->policy, &in, &scratch), MASK_STARS, &f, a);
    arena_free(&scratch);
    return f;
}

struct spool *service_spool(const struct exchange *x)
{
    return spool_new(store_directory(x->engine->services->store));
}

void service_answer(struct exchange *x, unsigned status, const char *content_type, struct spool *body)
{
    struct reply *r = &x->reply;

    x->stream.answer = answer_new();
    spool_acquire(body);
    x->stream.answer->body = body;
    *r = (struct reply){ .status = status, .kind = REPLY_STREAM, .fd = -1, .length = -1 };
    http_fields_add_id(&r->fields, &x->arena, HTTP_CONTENT_TYPE, slice_of(content_type));
    http_fields_add_id(&r->fields, &x->arena, HTTP_CACHE_CONTROL, SLICE("no-store"));
    x->service.answered = true;
}

void service_text(struct exchange *x, unsigned status, const char *content_type, struct slice text)
{
    reply_text(x, status, content_type, arena_copy(&x->arena, text));
    x->service.answered = true;
}

void service_add_field(struct exchange *x, const char *name, struct slice value)
{
    http_fields_add(&x->reply.fields, &x->arena, slice_of(name), arena_copy(&x->arena, value));
}

void service_reply(struct exchange *x, const struct reply *from)
{
    x->reply = *from;
    x->reply.fields = http_fields_copy(&from->fields, &x->arena);
    x->reply.bytes = arena_copy(&x->arena, from->bytes);
    x->service.answered = x->service.complete = true;
    exchange_count(x, COUNTER_OWN);
}

void service_refuse(struct exchange *x, enum problem_kind kind, struct slice detail)
{
    service_refuse_until(x, kind, detail, -1);
}

void service_refuse_until(struct exchange *x, enum problem_kind kind, struct slice detail, int64_t retry_after_ns)
{
    reply_problem(x, &(struct problem){ .kind = kind,
                                        .retry_after_ns = retry_after_ns,
                                        .detail = arena_copy(&x->arena, detail) });
    x->service.answered = true;
}

void service_wake(struct exchange *x)
{
    if (!x->closed)
        x->in.wake(x->in.owner);
}

const struct config *engine_config(const struct engine *e)
{
    return e->config;
}

void engine_hold(struct engine *e)
{
    e->open_count++;
}

void engine_let_go(struct engine *e)
{
    e->open_count--;
}

void engine_add_ticker(struct engine *e, struct engine_ticker *t)
{
    LIST_INSERT_HEAD(&e->tickers, t, entry);
}

void engine_drop_ticker(struct engine_ticker *t)
{
    LIST_REMOVE(t, entry);
}

void engine_tick(struct engine *e, int64_t now_mono_ns)
{
    struct engine_ticker *t, *next;

    LIST_FOREACH_SAFE (t, &e->tickers, entry, next)
        t->tick(t, now_mono_ns);
}

struct race *service_race(uint64_t wanted, const struct race_accept *accept)
{
    return race_new(wanted, accept);
}

void service_race_fewer(struct race *r)
{
    race_fewer(r);
}

void service_race_release(struct race *r)
{
    race_release(r);
}

bool exchange_look_out(const struct exchange *x, struct upstream_outlook *o)
{
    if (x->fetch == NULL)
        return false;
    o->fetch = x->fetch;
    upstream_look_out(x->engine->services->upstream, o);
    return true;
}

bool exchange_is_own_reply(const struct exchange *x)
{
    return !x->finish.of_api;
}
