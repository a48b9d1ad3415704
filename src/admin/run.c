/*
 * /run: a program begins that is to have a mode of its own.  The answer is its token, and does not end: the run is over
 * when who began it leaves, whatever became of him.  /run/end ends it and says what there was.
 *
 * A run that records or replays brings descriptors (SCM_RIGHTS): of a file that is recorded into, and of what is
 * recorded already.  No path travels, since this process may not have the caller's rights, nor he its own.
 */
#include "admin/internal.h"

#include "base/log.h"
#include "config/mode.h"
#include "engine/runs.h"
#include "tape/tape.h"

#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

struct begun { /* the call's own */
    struct admin_call *call;
    struct runs       *runs;
    struct own_run    *run;  /* NULL: not yet */
    struct tape       *tape; /* a reference, until the run has it */
    struct mail        opened;
    enum upstream_mode mode;
    int64_t            uid;
    const char        *as; /* in the call's arena; NULL: none */
    char               token[RUN_TOKEN_BYTES];
    bool               is_told;
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

    if (b->run != NULL)
        runs_end(b->runs, b->run);
    run_release(b->run);
    tape_release(b->tape);
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

/* What may be refused has been. */
static void start(struct begun *b)
{
    struct admin_call *call = b->call;

    b->run = runs_begin(b->runs, b->mode, b->uid, b->as != NULL ? slice_of(b->as) : SLICE_NONE, b->tape, b->token);
    if (b->run == NULL) {
        admin_answer_problem(call, PROBLEM_NO_RESOURCES, "Too many runs are under way.");
        return;
    }
    b->tape = NULL;
    store_look_again(
        call->admin->services->store); /* replies that are kept ready are asked without a look at who asks */
    log_info("run_begun", "uid=%lld mode=%s", (long long)b->uid, config_mode_name(b->mode));
    call->may_be_cut = true;
    admin_start(call, 200, "application/x-ndjson", tell);
    admin_go_on(call);
}

/* ---- with a snapshot ---- */

static void opened(struct mail *m)
{
    struct begun *b = CONTAINER_OF(m, struct begun, opened);
    struct fault  why = { "" };

    if (!admin_resume(b->call))
        return;
    if (tape_is_open(b->tape, &why))
        start(b);
    else
        admin_answer_problem(b->call, PROBLEM_SNAPSHOT_UNUSABLE, why.text);
}

/* ---- what all upstreams say, since the program may ask any ---- */

struct name_list {
    struct arena *arena;
    const char  **all; /* ends with NULL */
    size_t        count, room;
};

static void add_name(struct name_list *n, const char *name)
{
    ARENA_ROOM(n->arena, n->all, n->room, n->count);
    n->all[n->count++] = name;
}

/* `names` ends with NULL; NULL: none. */
static void add_names(struct name_list *n, const char *const *names)
{
    for (; names != NULL && *names != NULL; names++)
        add_name(n, *names);
}

/* The order's own, and what upstreams mask; NULL: *wrong. */
static const char *const *redact_list(struct admin_call *call, const json_t *own, const char **wrong)
{
    const struct config *c = call->config;
    struct name_list     n = { .arena = &call->arena };
    size_t               i;
    json_t              *entry;
    struct fault         why;

    json_array_foreach(own, i, entry)
    {
        if (!json_is_string(entry) || !snapshot_redact_is_valid(json_string_value(entry), &why)) {
            *wrong = json_is_string(entry) ? arena_copy(&call->arena, slice_of(why.text)).ptr
                                           : "redact is a list of texts.";
            return NULL;
        }
        add_name(&n, arena_copy(&call->arena, slice_of(json_string_value(entry))).ptr);
    }
    for (unsigned u = 0; u < c->upstream_count; u++)
        add_names(&n, c->upstreams[u].snapshot.redact);
    add_name(&n, NULL);
    return n.all;
}

static const char *const *credential_list(struct admin_call *call, bool params)
{
    const struct config *c = call->config;
    struct name_list     n = { .arena = &call->arena };

    for (unsigned u = 0; u < c->upstream_count; u++) {
        const struct policy_options *p = &c->upstreams[u].route.policy;

        add_names(&n, params ? p->credential_params : p->credential_headers);
    }
    add_name(&n, NULL);
    return n.all;
}

/* ---- with a snapshot: what comes with it ---- */

/* Whoever passes a descriptor in must not be able to have anything written that he could not write himself, nor to stop
 * more than his own recording. */
static const char *wrong_journal(int fd, int64_t uid)
{
    const int   flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    struct stat st;

    if (fd < 0)
        return "This mode takes the descriptor of a file that is recorded into, with the first bytes of the request "
               "(SCM_RIGHTS): weirctl run --record passes it.";
    if (flags < 0 || fstat(fd, &st) != 0 || !S_ISREG(st.st_mode) || (int64_t)st.st_uid != uid || st.st_size != 0 ||
        (flags & O_ACCMODE) != O_RDWR || (flags & O_APPEND) != 0)
        return "What is recorded into is a regular file of the caller's own, empty, open to read and write.";
    return NULL;
}

/* A file that may still change, or hang, is none to answer from. */
static const char *wrong_snapshot(int fd)
{
    const int wanted = F_SEAL_WRITE | F_SEAL_GROW | F_SEAL_SHRINK, seals = fd >= 0 ? fcntl(fd, F_GET_SEALS) : -1;

    if (seals < 0 || (seals & wanted) != wanted)
        return "What is recorded already comes as a second descriptor: of memory that is sealed against writing, "
               "growing and shrinking (memfd_create).";
    return NULL;
}

static void begin_taped(struct begun *b, const json_t *order)
{
    struct admin_call *call = b->call;
    const bool         plays = b->mode == MODE_REPLAY;
    const char        *line = json_string_value(json_object_get(order, "line")), *wrong = NULL;
    const int          journal = call->rights.handed != NULL ? call->rights.handed(call->owner, 0) : -1,
              snapshot = plays && call->rights.handed != NULL ? call->rights.handed(call->owner, 1) : -1;
    struct tape_options options = { .miss = TAPE_MISS_RECORD, .order = TAPE_LAST, .time = TAPE_RECORDED };
    struct fault        why = { "" };

    wrong = wrong_journal(journal, b->uid);
    if (wrong == NULL && plays)
        wrong = wrong_snapshot(snapshot);
    if (wrong == NULL)
        options.redact = redact_list(call, json_object_get(order, "redact"), &wrong);
    if (wrong != NULL) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, wrong);
        return;
    }
    for (unsigned u = 0; u < call->config->upstream_count; u++)
        options.timing = options.timing || call->config->upstreams[u].snapshot.timing;
    b->opened.receive = opened;
    b->tape = tape_open_client(&(struct tape_client){ .journal_fd = journal,
                                                      .snapshot_fd = snapshot,
                                                      .scratch_fd = store_directory(call->admin->services->store),
                                                      .line = line != NULL ? slice_of(line) : SLICE_NONE,
                                                      .options = &options,
                                                      .credential_fields = credential_list(call, false),
                                                      .credential_params = credential_list(call, true) },
                               call->admin->mailbox, &b->opened, &why);
    if (b->tape != NULL)
        call->awaits_mail = true;
    else
        admin_answer_problem(call, PROBLEM_NO_RESOURCES, why.text);
}

/* ---- its beginning and its end ---- */

static const char *wrong_mode(const char *name, enum upstream_mode *mode)
{
    if (name == NULL || !config_mode_parse(slice_of(name), mode) || *mode == MODE_LIVE || *mode == MODE_READ_ONLY)
        return "Send {\"mode\": MODE}, and \"as\": NAME where the client is to be called so. MODE is offline, dry_run, "
               "dry_run_writes, record or replay.";
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
    b->call = call;
    b->runs = call->admin->services->runs;
    b->mode = mode;
    b->uid = uid;
    b->as = as != NULL ? arena_copy(&call->arena, slice_of(as)).ptr : NULL;
    call->own = (struct admin_own){ .state = b, .free = leave };
    if (mode == MODE_RECORD || mode == MODE_REPLAY)
        begin_taped(b, root);
    else
        start(b);
    json_decref(root);
}

const struct endpoint endpoint_run = { "/run", HTTP_POST, begin, ON_QUERY_SOCKET };

struct ending { /* the call's own */
    struct admin_call *call;
    struct own_run    *run;
    struct mail        finished;
};

static void free_ending(void *state)
{
    struct ending *e = state;

    run_release(e->run);
    free(e);
}

static void tell_end(struct ending *e)
{
    const struct run_counts n = run_counts(e->run);
    struct tape            *tape = run_tape(e->run);
    json_t *told = json_pack("{s:I, s:I, s:I}", "requests", (json_int_t)n.requests, "refused", (json_int_t)n.refused,
                             "astray", (json_int_t)n.astray);
    struct tape_counts t;

    if (tape != NULL) {
        tape_counts(tape, &t);
        json_object_set_new(told, "recorded", json_integer((json_int_t)t.recorded));
        json_object_set_new(told, "played", json_integer((json_int_t)t.played));
        json_object_set_new(told, "secret", json_integer((json_int_t)t.secret));
        json_object_set_new(told, "failed", json_integer((json_int_t)t.failed));
        json_object_set_new(told, "trouble", t.trouble[0] != '\0' ? json_string(t.trouble) : json_null());
    }
    log_info("run_ended", "uid=%lld mode=%s requests=%llu refused=%llu astray=%llu", (long long)uid_of(e->call),
             config_mode_name(run_mode(e->run)), (unsigned long long)n.requests, (unsigned long long)n.refused,
             (unsigned long long)n.astray);
    admin_answer_json(e->call, 200, told);
}

static void finished(struct mail *m)
{
    struct ending *e = CONTAINER_OF(m, struct ending, finished);

    if (admin_resume(e->call))
        tell_end(e);
}

static void end(struct admin_call *call)
{
    struct runs    *runs = call->admin->services->runs;
    json_t         *root = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    const char     *token = json_string_value(json_object_get(root, "token"));
    struct own_run *run = token != NULL ? runs_find(runs, slice_of(token), uid_of(call)) : NULL;
    struct ending  *e;

    json_decref(root);
    if (run == NULL || !runs_end(runs, run)) {
        run_release(run);
        admin_answer_problem(call, PROBLEM_RUN_OVER, "Send {\"token\": TOKEN} of a run of yours that is not over.");
        return;
    }
    e = mem_alloc(sizeof *e);
    e->call = call;
    e->run = run;
    e->finished.receive = finished;
    call->own = (struct admin_own){ .state = e, .free = free_ending };
    if (run_tape(run) == NULL) {
        tell_end(e);
        return;
    }
    call->awaits_mail = true;
    tape_finish(run_tape(run), call->admin->mailbox, &e->finished);
}

const struct endpoint endpoint_run_end = { "/run/end", HTTP_POST, end, ON_QUERY_SOCKET };
