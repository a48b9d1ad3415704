/*
 * Calls on the admin socket: who may make them, and what goes back.
 */
#include "front/mhd/call.h"

#include "engine/guard.h"
#include "front/mhd/refuse.h"

enum { ADMIN_BODY_BYTES = 1024 * 1024, STRANGER_BODY_BYTES = 4096 };

/* What is read alone has none: who may only read takes no memory with it. */
static size_t body_most(const struct call *call)
{
    if (call->connection->kind == LISTENER_METRICS)
        return 0;
    return call->is_stranger ? STRANGER_BODY_BYTES : ADMIN_BODY_BYTES;
}

static const char *body_detail(const struct call *call)
{
    if (body_most(call) == 0)
        return "Here is only read: send no content.";
    return call->is_stranger ? "Without a token a call's content may have 4 KiB." : "A call's content may have 1 MiB.";
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

static bool take_question(struct call *call, const char *bytes, size_t count)
{
    size_t had = call->admin_body.len;
    char  *whole;

    if (had + count > body_most(call)) {
        refuse_connection(call->connection, &(struct refusal){ PROBLEM_CONTENT_TOO_LARGE, body_detail(call) });
        return false;
    }
    whole = body_room(call, had + count);
    memcpy(whole + had, bytes, count);
    call->admin_body = (struct slice){ whole, had + count };
    return true;
}

static bool take_rest(struct call *call, const char *bytes, size_t count)
{
    if (count == 0 || admin_rest_add(call->admin_rest, bytes, count))
        return true;
    refuse_connection(call->connection, &(struct refusal){ PROBLEM_CONTENT_TOO_LARGE,
                                                           "There is no room for this body: it may have 1 GiB, and as "
                                                           "much as the disk of the cache has." });
    return false;
}

/* Who may not change anything has no disk space taken. */
static bool may_have_rest(const struct call *call)
{
    return call->connection->kind == LISTENER_ADMIN && !call->is_stranger && admin_takes_rest(&call->request);
}

enum MHD_Result call_take_admin_body(struct call *call, const char *bytes, size_t *count)
{
    const struct slice piece = { bytes, *count };
    size_t             line = call->admin_rest != NULL ? 0 : piece.len, rest = line;

    if (call->admin_rest == NULL && may_have_rest(call) && (line = slice_find(piece, '\n', 0)) < piece.len) {
        call->admin_rest = admin_rest_open(call->worker->admin);
        rest = line + 1;
    }
    *count = 0;
    if ((line > 0 && !take_question(call, bytes, line)) ||
        (rest < piece.len && !take_rest(call, bytes + rest, piece.len - rest)))
        return MHD_NO;
    return MHD_YES;
}

/* A TCP port is in reach of every page that a browser on this machine shows, and of every user: who has not shown a
 * token is a stranger. Prometheus at metrics.listen shows none, and hears no more than figures. */
void call_judge_admin_head(struct call *call, size_t head_bytes)
{
    const struct connection *c = call->connection;
    struct refusal           no = { 0 };

    if (!c->is_unix)
        no = guard_own_page(call->worker->config, &call->request, head_bytes);
    else if (call->has_body) /* of a coding that is none MHD would wait for an end that does not come */
        no = guard_framing(&call->request, head_bytes);
    if (no.kind != PROBLEM_NONE) {
        struct refusal *kept = arena_alloc(&call->arena, sizeof *kept);

        *kept = no;
        call->refusal = kept;
    }
    call->is_stranger = !c->is_unix && c->kind != LISTENER_METRICS &&
                        !admin_knows_token(call->worker->admin, &call->request);
}

static bool may_use(void *owner, const struct config_upstream *up)
{
    struct call *call = owner;

    return engine_admits(call->worker->engine, up, call_who(call));
}

static int64_t caller_uid(void *owner)
{
    const struct peer *who = call_who(owner);

    return who->has_uid ? (int64_t)who->uid : -1;
}

static int handed(void *owner, unsigned nth)
{
    const struct call       *call = owner;
    const struct connection *c = call->connection;

    return nth < c->handed_count ? c->handed[nth] : -1;
}

/* Over TCP nobody has rights by his uid: a forwarder that root runs would be root. */
static struct admin_rights rights_of(struct call *call)
{
    const bool is_unix = call->connection->is_unix;

    if (call->connection->kind == LISTENER_METRICS)
        return (struct admin_rights){ .metrics_alone = true, .uid = -1 };
    if (call->connection->kind == LISTENER_ADMIN)
        return (struct admin_rights){ .may_change = !call->is_stranger,
                                      .is_stranger = call->is_stranger,
                                      .over_tcp = !is_unix,
                                      .uid = -1,
                                      .caller_uid = caller_uid,
                                      .handed = handed };
    return (struct admin_rights){ .is_stranger = call->is_stranger,
                                  .over_tcp = !is_unix,
                                  .handed = handed,
                                  .uid = is_unix ? caller_uid(call) : -1,
                                  .may_use = may_use };
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
    rights.rest = call->admin_rest;
    call->admin_rest = NULL;
    call->admin = admin_begin(call->worker->admin, call->worker->config, &call->request, call->admin_body, rights,
                              call_wake, call);
}

enum MHD_Result call_answer_admin(struct call *call)
{
    if (call->admin == NULL && call->refusal != NULL)
        return call_queue_problem(call, call->refusal);
    if (call->admin == NULL)
        begin_admin(call);
    if (!admin_is_done(call->admin)) {
        call_wait(call);
        return MHD_YES;
    }
    return call_queue_reply(call, admin_reply(call->admin));
}
