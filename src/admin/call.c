/*
 * The life of a call to the admin socket.
 *
 * A call that asks another thread lives until that thread's mail has come
 * back, even when its client has left meanwhile.
 */
#include "admin/internal.h"

#include <stdlib.h>

static void free_call(struct admin_call *call)
{
    call->admin->open_count--;
    if (call->own.free != NULL)
        call->own.free(call->own.state);
    config_release(call->config);
    admin_rest_close(call->rights.rest);
    free(call->reload.text);
    arena_free(&call->report.arena);
    arena_free(&call->arena);
    free(call->json);
    json_decref(call->listing.more);
    admin_free_stream(&call->stream);
    free(call);
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
    if (call->change.kind == STORE_COMPACT || admin_is_alone(call->admin))
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

void admin_walked(struct admin_call *call, bool ok, void (*more)(struct admin_call *))
{
    if (!admin_resume(call))
        return;
    if (!ok && !admin_is_done(call)) {
        admin_answer_problem(call, PROBLEM_CACHE_UNREADABLE, "The database could not be read; the log says why.");
        return;
    }
    if (!ok)
        admin_finish(call); /* without its last line: what was told is not all */
    else if (!admin_is_done(call))
        admin_start(call, 200, "application/x-ndjson", more);
    admin_go_on(call);
}

bool admin_has_changed(struct admin_call *call, enum problem_kind kind, const char *detail)
{
    if (!admin_resume(call))
        return false;
    if (!call->change.ok)
        admin_answer_problem(call, kind, detail);
    return call->change.ok;
}

bool admin_may_see(const struct admin_call *call, const char *upstream)
{
    const struct config_upstream *up;

    if (call->rights.may_use == NULL)
        return true;
    up = config_find_upstream(call->config, upstream);
    return up != NULL && call->rights.may_use(call->owner, up);
}

void admin_end(struct admin_call *call)
{
    call->ended = true;
    if (call->awaits_mail && call->own.cancel != NULL)
        call->own.cancel(call->own.state);
    if (!call->awaits_mail)
        free_call(call);
}
