/*
 * /flush, /purge, /compact, /reload and /reopen: what a person may change in a running daemon.
 */
#include "admin/internal.h"

#include "base/counters.h"
#include "engine/purge.h"

#include <stdlib.h>

static void change_made(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    purge_free(call->purge);
    call->purge = NULL;
    if (!admin_resume(call))
        return;
    if (!call->change.ok) {
        admin_answer_problem(call, PROBLEM_CACHE_UNCHANGED,
                             "The disk or the database refused; the log says why.");
        return;
    }
    counter_add(COUNTER_PURGED, call->change.changed);
    admin_answer_json(call, 200, json_pack("{s:I}", "dropped", (json_int_t)call->change.changed));
}

void admin_flush(struct admin_call *call)
{
    call->change.kind = STORE_FLUSH;
    admin_submit_change(call, change_made);
}

static void compacted(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, change.done);

    if (!admin_resume(call))
        return;
    if (!call->change.ok) {
        admin_answer_problem(call, PROBLEM_CACHE_UNCOMPACTED,
                             "The file system makes no holes in files, or the database refused; the log says why.");
        return;
    }
    admin_answer_json(call, 200, json_pack("{s:I}", "returned_bytes", (json_int_t)call->change.changed));
}

void admin_compact(struct admin_call *call)
{
    call->change.kind = STORE_COMPACT;
    admin_submit_change(call, compacted);
}

static struct slice purge_argument(struct admin_call *call)
{
    json_t     *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char *text = json_string_value(json_object_get(root, "url"));
    struct slice url = arena_copy(&call->arena, slice_of(text != NULL ? text : ""));

    json_decref(root);
    return url;
}

void admin_purge(struct admin_call *call)
{
    struct fault why;
    struct slice text = purge_argument(call);

    if (text.len == 0) {
        admin_answer_problem(call, PROBLEM_NOTHING_TO_PURGE, "Send {\"url\": \"URL or GLOB\"}.");
        return;
    }
    call->purge = purge_make(call->config, text, &why);
    if (call->purge == NULL) {
        admin_answer_problem(call, PROBLEM_NOT_A_PATTERN, why.text);
        return;
    }
    call->change.kind = STORE_DROP_MATCHING;
    call->change.matches = purge_matches;
    call->change.context = call->purge;
    admin_submit_change(call, change_made);
}

/* {"upstream": NAME, "limit": NAME}, both of which may be left out; false: it is something else. */
static bool read_forget(struct admin_call *call)
{
    json_t *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    json_t *upstream = json_object_get(root, "upstream"), *limit = json_object_get(root, "limit");
    bool    ok = call->argument.len == 0 || (json_is_object(root) && (upstream == NULL || json_is_string(upstream))
                                             && (limit == NULL || (json_is_string(limit) && upstream != NULL)));

    if (ok && upstream != NULL)
        call->forget.upstream = arena_copy(&call->arena, slice_of(json_string_value(upstream))).ptr;
    if (ok && limit != NULL)
        call->forget.limit = arena_copy(&call->arena, slice_of(json_string_value(limit))).ptr;
    json_decref(root);
    return ok;
}

static void forgotten(struct mail *m)
{
    struct admin_call            *call = CONTAINER_OF(m, struct admin_call, report.done);
    const struct upstream_forget *f = &call->forget;

    if (!admin_resume(call))
        return;
    if (f->result == FORGET_NO_UPSTREAM)
        admin_answer_problem(call, PROBLEM_NO_UPSTREAM,
                             arena_printf(&call->arena, "The configuration has no upstream \"%s\"; weirctl status "
                                          "lists those it has.", f->upstream).ptr);
    else if (f->result == FORGET_NO_LIMIT)
        admin_answer_problem(call, PROBLEM_NO_LIMIT,
                             arena_printf(&call->arena, "There is no limit \"%s\" there; weirctl limits lists all, by "
                                          "the names that are wanted here.", f->limit != NULL ? f->limit : "").ptr);
    else
        admin_answer_json(call, 200, json_pack("{s:i}", "forgotten", (int)f->forgotten));
}

void admin_limits_forget(struct admin_call *call)
{
    if (!read_forget(call)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             "Send nothing, {\"upstream\": NAME} or {\"upstream\": NAME, \"limit\": NAME}.");
        return;
    }
    call->report.forget = &call->forget;
    admin_ask_upstream(call, forgotten);
}

static void reloaded(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, reload.done);

    if (!admin_resume(call))
        return;
    if (call->reload.fresh != NULL)
        admin_answer_json(call, 200, json_pack("{s:b, s:s}", "reloaded", 1, "note", call->reload.text));
    else
        admin_answer_problem(call, PROBLEM_OLD_CONFIGURATION, call->reload.text);
}

void admin_reload(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;

    call->reload.reply_to = call->admin->mailbox;
    call->reload.done.receive = reloaded;
    call->awaits_mail = true;
    services->reload(services->context, &call->reload);
}

static void reopened(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, reopened);

    if (admin_resume(call))
        admin_answer_json(call, 200, json_pack("{s:b}", "reopened", 1));
}

void admin_reopen(struct admin_call *call)
{
    const struct admin_services *services = call->admin->services;

    call->reopened.receive = reopened;
    call->awaits_mail = services->reopen(services->context, call->admin->mailbox, &call->reopened);
    if (!call->awaits_mail)
        admin_answer_problem(call, PROBLEM_LOG_NOT_REOPENED, "Weir is about to stop.");
}
