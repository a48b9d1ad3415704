/*
 * The exchange as a service sees it.
 */
#include "engine/service.h"

#include "engine/internal.h"

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

void service_refuse(struct exchange *x, enum problem_kind kind, struct slice detail)
{
    reply_problem(x, &(struct problem){ .kind = kind, .retry_after_ns = -1, .detail = arena_copy(&x->arena, detail) });
    x->service.answered = true;
}

void service_wake(struct exchange *x)
{
    if (!x->closed)
        x->in.wake(x->in.owner);
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
