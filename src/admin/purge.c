/*
 * /purge: a URL, or all that a glob matches, is dropped.
 */
#include "admin/internal.h"

#include "engine/purge.h"

static struct slice purge_argument(struct admin_call *call)
{
    json_t      *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char  *text = json_string_value(json_object_get(root, "url"));
    struct slice url = arena_copy(&call->arena, slice_of(text != NULL ? text : ""));

    json_decref(root);
    return url;
}

static void run(struct admin_call *call)
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
    call->change.matches = purge_matches;
    call->change.context = call->purge;
    admin_drop(call, STORE_DROP_MATCHING);
}

const struct endpoint endpoint_purge = { "/purge", HTTP_POST, run, false };
