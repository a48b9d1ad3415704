/*
 * /explain: what would happen to a request and why; nothing of it happens.
 *
 * The engine runs its own steps dry (engine/explain.h); the upstream thread says what it would, and whoever may hear of
 * others' answers has a bounded part of the store walked for the same path under other partitions.
 */
#include "admin/asked.h"
#include "admin/explaining.h"
#include "base/clock.h"

#include <stdlib.h>

enum { WALKED_MOST = 50000, LOOKS_AT_CLOCK = 64 };
#define WALK_NS (300 * NS_PER_MS)

static void explaining_free(void *state)
{
    struct explaining *n = state;

    explain_close(n->explain);
    arena_free(&n->kin.arena);
    json_decref(n->question);
    free(n);
}

static void explaining_cancel(void *state)
{
    struct explaining *n = state;

    atomic_store_explicit(&n->kin.walk.is_cancelled, true, memory_order_relaxed);
}

/* -- others' answers: the walk's thread -- */

static bool visit(void *context, const struct store_record *r)
{
    struct explaining  *n = context;
    struct kin         *k = &n->kin;
    struct entry_facts  e;
    struct entry_reader reader = { .config = n->call->config, .now_wall_ns = k->now_wall_ns };

    if (explain_is_kin(n->explain, r)) {
        entry_read(&reader, r, &k->arena, &e);
        if (k->count++ < KIN_TOLD)
            k->found[k->count - 1] = (struct kin_found){ arena_copy(&k->arena, e.url), arena_copy(&k->arena, e.whose),
                                                         e.age_ns };
    }
    return k->walk.seen < WALKED_MOST && (k->walk.seen % LOOKS_AT_CLOCK != 0 || clock_mono_ns() < k->until_ns);
}

static void walked(struct mail *m)
{
    struct explaining *n = CONTAINER_OF(CONTAINER_OF(m, struct store_walk, done), struct explaining, kin.walk);
    struct admin_call *call = n->call;

    if (!admin_resume(call))
        return;
    admin_answer_json(call, 200, explaining_json(n));
}

/* -- the steps -- */

static void finish(struct explaining *n)
{
    const struct explained *o = explain_result(n->explain);

    n->told = o;
    if (!n->call->rights.may_change || n->call->rights.brings_facts || !o->was_looked_up || o->is_stored) {
        admin_answer_json(n->call, 200, explaining_json(n));
        return;
    }
    n->kin.was_walked = true;
    n->kin.now_wall_ns = clock_wall_ns();
    n->kin.until_ns = clock_mono_ns() + WALK_NS;
    n->kin.walk = (struct store_walk){ .visit = visit,
                                       .context = n,
                                       .reply_to = n->call->admin->mailbox,
                                       .done = { .receive = walked } };
    n->call->awaits_mail = true;
    store_walk(n->call->admin->services->store, &n->kin.walk);
}

static void foretold(struct mail *);

static void go(struct explaining *n)
{
    if (!explain_waits(n->explain)) {
        finish(n);
        return;
    }
    n->call->awaits_mail = true;
    explain_ask(n->explain, n->call->admin->mailbox, foretold, n);
}

static void foretold(struct mail *m)
{
    void              *owner;
    struct explain    *e = explain_of_mail(m, &owner);
    struct explaining *n = owner;

    if (!admin_resume(n->call))
        return;
    explain_go_on(e);
    go(n);
}

/* -- the question -- */

static bool is_member(const struct explaining *n, const char *name, const json_t *value)
{
    if (strcmp(name, "headers") == 0)
        return true;
    if (strcmp(name, "facts") == 0)
        return n->call->rights.brings_facts ? json_is_array(value) : json_is_boolean(value);
    return json_is_string(value) &&
           (strcmp(name, "url") == 0 || strcmp(name, "method") == 0 || strcmp(name, "body") == 0);
}

static bool has_members_only(const struct explaining *n)
{
    for (void *i = json_object_iter(n->question); i != NULL; i = json_object_iter_next(n->question, i))
        if (!is_member(n, json_object_iter_key(i), json_object_iter_value(i)))
            return false;
    return true;
}

static int64_t number_of(const json_t *o, const char *name)
{
    return (int64_t)json_integer_value(json_object_get(o, name));
}

static bool read_fact(const json_t *f, struct explain_fact *out, struct arena *a)
{
    *out = (struct explain_fact){
        .is_own = json_is_true(json_object_get(f, "own")),
        .key = asked_text(f, "key"),
        .selection = asked_text(f, "selection"),
        .upstream = asked_text(f, "upstream"),
        .status = (unsigned)number_of(f, "status"),
        .requested_wall_ns = number_of(f, "requested_ns"),
        .received_wall_ns = number_of(f, "received_ns"),
        .set_back_ns = number_of(f, "set_back_ns"),
        .body_bytes = number_of(f, "body_bytes"),
        .invalidated = json_is_true(json_object_get(f, "invalidated")),
        .had_credential = json_is_true(json_object_get(f, "had_credential")),
    };
    return out->key.ptr != NULL && out->selection.ptr != NULL && out->upstream.ptr != NULL && out->body_bytes >= 0 &&
           asked_fields(json_object_get(f, "fields"), 0, &out->fields, a);
}

/* Wanted of the daemon; brought along to weir --explain, as explaining.c has written them. */
static bool read_facts(struct explaining *n, struct explain_question *q)
{
    const json_t        *list = json_object_get(n->question, "facts"), *f;
    struct explain_fact *facts;
    size_t               i;

    q->wants_facts = json_is_true(list);
    if (!n->call->rights.brings_facts)
        return true;
    facts = arena_alloc(&n->call->arena, (json_array_size(list) + 1) * sizeof *facts);
    json_array_foreach(list, i, f) if (!read_fact(f, &facts[i], &n->call->arena)) return false;
    q->has_facts = true;
    q->facts = facts;
    q->fact_count = (unsigned)json_array_size(list);
    return true;
}

static bool read_question(struct explaining *n, struct explain_question *q)
{
    const json_t *o = n->question;

    *q = (struct explain_question){ .method = asked_text(o, "method"),
                                    .url = asked_text(o, "url"),
                                    .body = asked_text(o, "body"),
                                    .knows_all = n->call->rights.may_change };
    if (q->method.ptr == NULL)
        q->method = q->body.ptr != NULL ? SLICE("POST") : SLICE("GET");
    return has_members_only(n) && q->url.ptr != NULL &&
           asked_fields(json_object_get(o, "headers"), 0, &q->fields, &n->call->arena) && read_facts(n, q);
}

static void run(struct admin_call *call)
{
    struct explaining      *n = mem_alloc(sizeof *n);
    struct explain_question q;
    struct fault            why = { "" };

    n->call = call;
    call->own = (struct admin_own){ n, explaining_free, explaining_cancel };
    n->question = json_loadb(call->argument.ptr, call->argument.len, 0, NULL);
    if (n->question == NULL || !json_is_object(n->question) || !read_question(n, &q)) {
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD,
                             "Send {\"url\": URL} and, where wanted, \"method\", \"headers\" as a list of "
                             "[\"Name\", \"value\"], and \"body\", all of them texts.");
        return;
    }
    n->explain = explain_open(call->rights.engine, call->rights.asker, &q, &why);
    if (n->explain == NULL)
        admin_answer_problem(call, PROBLEM_NOT_UNDERSTOOD, arena_copy(&call->arena, slice_of(why.text)).ptr);
    else
        go(n);
}

const struct endpoint endpoint_explain = { "/explain", HTTP_POST, run, ON_QUERY_SOCKET };
