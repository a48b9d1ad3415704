/*
 * /limits/forget: what was learned of an API's limits is dropped; /limits/set: how much is left of one.
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

/* True: it is answered that there is none of that name. */
static bool is_unknown(struct admin_call *call)
{
    const struct upstream_forget *f = &call->forget;
    struct slice                  what;

    if (f->result == FORGET_DONE)
        return false;
    if (f->result == FORGET_NO_UPSTREAM)
        what = arena_printf(&call->arena,
                            "The configuration has no upstream \"%s\"; weirctl status lists those it has.",
                            f->upstream);
    else
        what =
            arena_printf(&call->arena,
                         "There is no limit \"%s\" there; weirctl limits lists all, by the names that are wanted here.",
                         f->limit != NULL ? f->limit : "");
    admin_answer_problem(call, f->result == FORGET_NO_UPSTREAM ? PROBLEM_NO_UPSTREAM : PROBLEM_NO_LIMIT, what.ptr);
    return true;
}

static void forgotten(struct mail *m)
{
    struct admin_call *call = CONTAINER_OF(m, struct admin_call, report.done);

    if (admin_resume(call) && !is_unknown(call))
        admin_answer_json(call, 200, json_pack("{s:i}", "forgotten", (int)call->forget.forgotten));
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

const struct endpoint endpoint_forget = { "/limits/forget", HTTP_POST, run, ON_ADMIN_SOCKET_ALONE };

/* -- /limits/set -- */

/* {"upstream": NAME, "limit": NAME, "left": N} */
static bool read_set(struct admin_call *call)
{
    json_t *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL), *left = json_object_get(root, "left");
    bool    ok = json_is_integer(left) && json_integer_value(left) >= 0;

    call->forget.sets = true;
    call->forget.left = ok ? (uint64_t)json_integer_value(left) : 0;
    json_decref(root);
    return ok && read_forget(call) && call->forget.limit != NULL;
}

static const char *not_set(struct admin_call *call)
{
    const struct upstream_forget *f = &call->forget;

    if (f->most > 0)
        return arena_printf(&call->arena, "The limit \"%s\" allows %llu at most.", f->limit,
                            (unsigned long long)f->most)
            .ptr;
    return "There is nothing to set yet: a limit for each credential has something left of it when that was asked "
           "with, "
           "and one that only the API told of when it has said how much.";
}

static void is_set(struct mail *m)
{
    struct admin_call            *call = CONTAINER_OF(m, struct admin_call, report.done);
    const struct upstream_forget *f = &call->forget;

    if (!admin_resume(call) || is_unknown(call))
        return;
    if (f->forgotten == 0)
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, not_set(call));
    else
        admin_answer_json(call, 200, json_pack("{s:i, s:I}", "set", (int)f->forgotten, "left", (json_int_t)f->left));
}

static void run_set(struct admin_call *call)
{
    if (!read_set(call)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             "Send {\"upstream\": NAME, \"limit\": NAME, \"left\": N}, N a whole number from 0 on.");
        return;
    }
    call->report.forget = &call->forget;
    admin_ask_upstream(call, is_set);
}

const struct endpoint endpoint_limit_set = { "/limits/set", HTTP_POST, run_set, ON_ADMIN_SOCKET_ALONE };
