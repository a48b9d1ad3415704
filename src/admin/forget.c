/*
 * /limits/forget: what was learned of an API's limits is dropped.
 */
#include "admin/internal.h"

/* {"upstream": NAME, "limit": NAME}, both of which may be left out; false: it is something else. */
static bool read_forget(struct admin_call *call)
{
    json_t *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    json_t *upstream = json_object_get(root, "upstream"), *limit = json_object_get(root, "limit");
    bool    ok = call->argument.len == 0 || (json_is_object(root) && (upstream == NULL || json_is_string(upstream)) &&
                                          (limit == NULL || (json_is_string(limit) && upstream != NULL)));

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
                             arena_printf(&call->arena,
                                          "The configuration has no upstream \"%s\"; weirctl status "
                                          "lists those it has.",
                                          f->upstream)
                                 .ptr);
    else if (f->result == FORGET_NO_LIMIT)
        admin_answer_problem(call, PROBLEM_NO_LIMIT,
                             arena_printf(&call->arena,
                                          "There is no limit \"%s\" there; weirctl limits lists all, by "
                                          "the names that are wanted here.",
                                          f->limit != NULL ? f->limit : "")
                                 .ptr);
    else
        admin_answer_json(call, 200, json_pack("{s:i}", "forgotten", (int)f->forgotten));
}

static void run(struct admin_call *call)
{
    if (!read_forget(call)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             "Send nothing, {\"upstream\": NAME} or {\"upstream\": NAME, \"limit\": NAME}.");
        return;
    }
    call->report.forget = &call->forget;
    admin_ask_upstream(call, forgotten);
}

const struct endpoint endpoint_forget = { "/limits/forget", HTTP_POST, run, false };
