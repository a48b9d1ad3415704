/*
 * Calls on the admin socket: who may make them, and what goes back.
 */
#include "front/mhd/call.h"

#include "engine/guard.h"
#include "front/mhd/refuse.h"

enum { ADMIN_BODY_BYTES = 1024 * 1024 };

/* What is read alone has none: who may only read takes no memory with it. */
static size_t body_most(const struct call *call)
{
    return call->connection->kind == LISTENER_METRICS ? 0 : ADMIN_BODY_BYTES;
}

/* It comes in pieces: room for twice of what there is, so that what is copied, and left over in the arena, is no more
 * than a few times of it. */
static char *body_room(struct call *call, size_t bytes)
{
    char *more;

    if (bytes <= call->admin_room)
        return (char *)(uintptr_t)call->admin_body.ptr;
    call->admin_room = bytes > ADMIN_BODY_BYTES / 2 ? ADMIN_BODY_BYTES : 2 * bytes;
    more = arena_alloc_raw(&call->arena, call->admin_room);
    if (call->admin_body.len > 0)
        memcpy(more, call->admin_body.ptr, call->admin_body.len);
    return more;
}

enum MHD_Result call_take_admin_body(struct call *call, const char *bytes, size_t *count)
{
    size_t had = call->admin_body.len;
    char  *whole;

    if (had + *count > body_most(call)) {
        refuse_connection(call->connection,
                          &(struct refusal){ PROBLEM_CONTENT_TOO_LARGE, body_most(call) > 0
                                                                            ? "A call's content may have 1 MiB."
                                                                            : "Here is only read: send no content." });
        return MHD_NO;
    }
    whole = body_room(call, had + *count);
    memcpy(whole + had, bytes, *count);
    call->admin_body = (struct slice){ whole, had + *count };
    *count = 0;
    return MHD_YES;
}

/* A TCP port is in reach of every page that a browser on this machine shows. */
static bool admin_is_refused(const struct call *call)
{
    const struct http_request *r = &call->request;
    struct slice               host = http_fields_get(&r->fields, HTTP_HOST);

    if (call->connection->is_unix)
        return false;
    return guard_framing(r, call_head_bytes(call)).kind != PROBLEM_NONE || host.ptr == NULL ||
           !guard_is_own_host(call->worker->config, host) || guard_origin(NULL, r, host, NULL).kind != PROBLEM_NONE;
}

static bool may_use(void *owner, const struct config_upstream *up)
{
    struct call *call = owner;

    return engine_admits(call->worker->engine, up, call_who(call));
}

static struct admin_rights rights_of(struct call *call)
{
    const struct peer *who;

    if (call->connection->kind == LISTENER_ADMIN)
        return (struct admin_rights){ .may_change = true, .uid = -1 };
    if (call->connection->kind == LISTENER_METRICS)
        return (struct admin_rights){ .metrics_alone = true, .uid = -1 };
    who = call_who(call);
    return (
        struct admin_rights){ .may_change = false, .uid = who->has_uid ? (int64_t)who->uid : -1, .may_use = may_use };
}

static void begin_admin(struct call *call)
{
    const struct exchange_input asker = { .peer = call->connection->peer,
                                          .known = call_known,
                                          .who = call_who,
                                          .card = call_card,
                                          .owner = call };
    struct admin_rights         rights = rights_of(call);

    rights.engine = call->worker->engine;
    rights.asker = &asker;
    call->admin = admin_begin(call->worker->admin, call->worker->config, &call->request, call->admin_body, rights,
                              call_wake, call);
}

enum MHD_Result call_answer_admin(struct call *call)
{
    if (call->admin == NULL && admin_is_refused(call))
        return call_queue_problem(call,
                                  &(struct refusal){ PROBLEM_ADMIN_REFUSED, "Host and Origin must be Weir's own." });
    if (call->admin == NULL)
        begin_admin(call);
    if (!admin_is_done(call->admin)) {
        call_suspend(call);
        return MHD_YES;
    }
    return call_queue_reply(call, admin_reply(call->admin));
}
