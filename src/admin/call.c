/*
 * The life of a call to the admin socket, and how an endpoint answers it.
 *
 * A call that asks another thread lives until that thread's mail has come
 * back, even when its client has left meanwhile.
 */
#include "admin/internal.h"

#include <stdlib.h>

static void free_call(struct admin_call *call)
{
    call->admin->open_count--;
    free(call->reload.text);
    arena_free(&call->report.arena);
    arena_free(&call->arena);
    free(call->json);
    free(call);
}

static void answer_made(struct admin_call *call, unsigned status, struct slice body)
{
    call->status = status;
    call->body = body;
    call->done = true;
    if (!call->beginning)
        call->wake(call->owner);
}

void admin_answer_json(struct admin_call *call, unsigned status, json_t *body)
{
    call->json = json_dumps(body, JSON_INDENT(2));
    json_decref(body);
    answer_made(call, status, slice_of(call->json));
}

void admin_answer_problem(struct admin_call *call, enum problem_kind kind, const char *detail)
{
    const struct problem_text text = { .kind = kind, .form = PROBLEM_INDENTED, .detail = slice_of(detail) };
    size_t                    room = problem_room(text.detail.len);
    char                     *body = arena_alloc_raw(&call->arena, room);

    answer_made(call, problem_status(kind), (struct slice){ body, problem_write(body, room, &text) });
}

void admin_ask_upstream(struct admin_call *call, void (*then)(struct mail *))
{
    call->report.reply_to = call->admin->mailbox;
    call->report.done.receive = then;
    call->awaits_mail = true;
    upstream_ask(call->admin->services->upstream, &call->report);
}

void admin_submit_change(struct admin_call *call, void (*then)(struct mail *))
{
    call->change.reply_to = call->admin->mailbox;
    call->change.done.receive = then;
    call->awaits_mail = true;
    if (call->change.kind == STORE_COMPACT)
        store_submit(call->admin->services->store, &call->change);
    else
        upstream_drop(call->admin->services->upstream, &call->change);
}

bool admin_resume(struct admin_call *call)
{
    call->awaits_mail = false;
    if (!call->ended)
        return true;
    free_call(call);
    return false;
}

bool admin_may_see(const struct admin_call *call, const char *upstream)
{
    const struct config *c = call->config;

    if (call->rights.may_use == NULL)
        return true;
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (strcmp(c->upstreams[i].route.name, upstream) == 0)
            return call->rights.may_use(call->owner, &c->upstreams[i]);
    return false;
}

bool admin_is_done(const struct admin_call *call)
{
    return call->done;
}

struct admin_answer admin_answer(const struct admin_call *call)
{
    return (struct admin_answer){
        .status = call->status,
        .content_type = call->status >= 400 ? PROBLEM_MEDIA_TYPE : "application/json",
        .body = call->body.ptr != NULL ? call->body : SLICE("{}"),
    };
}

void admin_end(struct admin_call *call)
{
    call->ended = true;
    if (!call->awaits_mail)
        free_call(call);
}
