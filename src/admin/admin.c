/*
 * The admin socket's endpoints: a table of rows, and the life of a call.
 *
 * A call that asks another thread lives until that thread's mail has come
 * back, even when its client has left meanwhile.
 */
#include "admin/internal.h"

#include "http/url.h"

#include <stdlib.h>

static const struct endpoint {
    const char      *path;
    enum http_method method;
    void           (*run)(struct admin_call *);
    bool             is_open;         /* on the query socket as well */
} endpoints[] = {
    { "/status",        HTTP_GET,  admin_status,        true },
    { "/limits",        HTTP_GET,  admin_limits,        true },
    { "/limits/forget", HTTP_POST, admin_limits_forget, false },
    { "/upstreams",     HTTP_GET,  admin_upstreams,     true },
    { "/ca",            HTTP_GET,  admin_ca,            true },
    { "/ca/rotate",     HTTP_POST, admin_ca_rotate,     false },
    { "/flush",         HTTP_POST, admin_flush,         false },
    { "/compact",       HTTP_POST, admin_compact,       false },
    { "/purge",         HTTP_POST, admin_purge,         false },
    { "/reload",        HTTP_POST, admin_reload,        false },
    { "/reopen",        HTTP_POST, admin_reopen,        false },
};

struct admin *admin_open(const struct admin_services *services, struct mailbox *worker)
{
    struct admin *a = mem_alloc(sizeof *a);

    a->services = services;
    a->mailbox = worker;
    return a;
}

void admin_close(struct admin *a)
{
    free(a);
}

bool admin_is_idle(const struct admin *a)
{
    return a->open_count == 0;
}

static void free_call(struct admin_call *call)
{
    call->admin->open_count--;
    free(call->reload.text);
    arena_free(&call->report.arena);
    arena_free(&call->arena);
    free(call->body);
    free(call);
}

void admin_answer_json(struct admin_call *call, unsigned status, json_t *body)
{
    call->status = status;
    call->body = json_dumps(body, JSON_INDENT(2));
    json_decref(body);
    call->done = true;
    if (!call->beginning)
        call->wake(call->owner);
}

void admin_answer_problem(struct admin_call *call, unsigned status, const char *title, const char *detail)
{
    admin_answer_json(call, status, json_pack("{s:s, s:i, s:s}", "title", title, "status", (int)status,
                                              "detail", detail));
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

struct admin_call *admin_begin(struct admin *a, const struct config *config, const struct http_request *request,
                               struct slice body, struct admin_rights rights, void (*wake)(void *owner), void *owner)
{
    struct admin_call     *call = mem_alloc(sizeof *call);
    const struct endpoint *found = NULL;
    struct slice           path, query;

    a->open_count++;
    call->admin = a;
    call->config = config;
    call->rights = rights;
    call->wake = wake;
    call->owner = owner;
    call->beginning = true;
    http_target_split(request->target, &path, &query);
    for (size_t i = 0; i < sizeof endpoints / sizeof *endpoints && found == NULL; i++)
        if (slice_eq(path, slice_of(endpoints[i].path)))
            found = &endpoints[i];
    call->argument = arena_copy(&call->arena, body);
    call->query = arena_copy(&call->arena, query);
    if (found == NULL)
        admin_answer_problem(call, 404, "No such endpoint", "weirctl(1) lists what can be asked.");
    else if (!found->is_open && !rights.may_change)
        admin_answer_problem(call, 403, "Not on this socket",
                             "This socket is for reading alone: who may change something has the rights of the admin "
                             "socket (admin.mode and admin.group, or its systemd unit).");
    else if (found->method != request->method)
        admin_answer_problem(call, 405, "Method not allowed",
                             found->method == HTTP_POST ? "This endpoint changes something: use POST."
                                                        : "This endpoint is read with GET.");
    else
        found->run(call);
    call->beginning = false;
    return call;
}

bool admin_is_done(const struct admin_call *call)
{
    return call->done;
}

struct admin_answer admin_answer(const struct admin_call *call)
{
    return (struct admin_answer){
        .status = call->status,
        .content_type = call->status >= 400 ? "application/problem+json" : "application/json",
        .body = slice_of(call->body != NULL ? call->body : "{}"),
    };
}

void admin_end(struct admin_call *call)
{
    call->ended = true;
    if (!call->awaits_mail)
        free_call(call);
}
