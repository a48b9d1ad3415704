/*
 * /run: a program begins that is to have a mode of its own.  The answer is its token, and does not end: the run is over
 * when who began it leaves, whatever became of him.  /run/end ends it and says what there was.
 */
#include "admin/internal.h"

#include "base/log.h"
#include "config/mode.h"
#include "engine/runs.h"

#include <stdlib.h>

struct begun { /* the call's own */
    struct runs    *runs;
    struct own_run *run;
    char            token[RUN_TOKEN_BYTES];
    bool            is_told;
};

static int64_t uid_of(const struct admin_call *call)
{
    if (call->rights.over_tcp)
        return -1;
    return call->rights.caller_uid != NULL ? call->rights.caller_uid(call->owner) : call->rights.uid;
}

static void leave(void *state)
{
    struct begun *b = state;

    runs_end(b->runs, b->run);
    run_release(b->run);
    free(b);
}

static void tell(struct admin_call *call)
{
    struct begun *b = call->own.state;
    json_t       *said;
    char         *text;

    if (b->is_told)
        return;
    b->is_told = true;
    said = json_pack("{s:s, s:s}", "token", b->token, "mode", config_mode_name(run_mode(b->run)));
    text = json_dumps(said, JSON_COMPACT);
    admin_write(call, slice_of(text));
    admin_write(call, SLICE("\n"));
    free(text);
    json_decref(said);
}

static const char *wrong_mode(const char *name, enum upstream_mode *mode)
{
    if (name == NULL || !config_mode_parse(slice_of(name), mode) || *mode == MODE_LIVE || *mode == MODE_READ_ONLY)
        return "Send {\"mode\": MODE}, and \"as\": NAME where the client is to be called so. MODE is offline, dry_run "
               "or dry_run_writes.";
    if (*mode == MODE_RECORD || *mode == MODE_REPLAY)
        return "A run has no snapshot here.";
    return config_mode_missing(*mode);
}

static void begin(struct admin_call *call)
{
    const int64_t      uid = uid_of(call);
    json_t            *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char        *as = json_string_value(json_object_get(root, "as"));
    enum upstream_mode mode = MODE_LIVE;
    const char        *wrong = wrong_mode(json_string_value(json_object_get(root, "mode")), &mode);
    struct begun      *b;

    if (wrong == NULL && as != NULL && (as[0] == '\0' || strlen(as) >= RUN_NAME_BYTES))
        wrong = "A client's name has up to 127 bytes.";
    if (wrong != NULL || uid < 0) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             wrong != NULL ? wrong
                                           : "A run belongs to a user: begin it over the admin or the query socket.");
        json_decref(root);
        return;
    }
    b = mem_alloc(sizeof *b);
    b->runs = call->admin->services->runs;
    b->run = runs_begin(b->runs, mode, uid, as != NULL ? slice_of(as) : SLICE_NONE, b->token);
    json_decref(root);
    if (b->run == NULL) {
        free(b);
        admin_answer_problem(call, PROBLEM_NO_RESOURCES, "Too many runs are under way.");
        return;
    }
    store_look_again(
        call->admin->services->store); /* replies that are kept ready are asked without a look at who asks */
    log_info("run_begun", "uid=%lld mode=%s", (long long)uid, config_mode_name(mode));
    call->own = (struct admin_own){ .state = b, .free = leave };
    call->may_be_cut = true;
    admin_start(call, 200, "application/x-ndjson", tell);
    admin_go_on(call);
}

const struct endpoint endpoint_run = { "/run", HTTP_POST, begin, ON_QUERY_SOCKET };

static void end(struct admin_call *call)
{
    struct runs      *runs = call->admin->services->runs;
    json_t           *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char       *token = json_string_value(json_object_get(root, "token"));
    struct own_run   *run = token != NULL ? runs_find(runs, slice_of(token), uid_of(call)) : NULL;
    struct run_counts n;

    json_decref(root);
    if (run == NULL) {
        admin_answer_problem(call, PROBLEM_RUN_OVER, "Send {\"token\": TOKEN} of a run of yours that is not over.");
        return;
    }
    runs_end(runs, run);
    n = run_counts(run);
    log_info("run_ended", "uid=%lld mode=%s requests=%llu refused=%llu astray=%llu", (long long)uid_of(call),
             config_mode_name(run_mode(run)), (unsigned long long)n.requests, (unsigned long long)n.refused,
             (unsigned long long)n.astray);
    run_release(run);
    admin_answer_json(call, 200,
                      json_pack("{s:I, s:I, s:I}", "requests", (json_int_t)n.requests, "refused", (json_int_t)n.refused,
                                "astray", (json_int_t)n.astray));
}

const struct endpoint endpoint_run_end = { "/run/end", HTTP_POST, end, ON_QUERY_SOCKET };
