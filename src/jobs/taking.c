/*
 * A request becomes a task.  Its client hears 202 when the row is on the disk and it is known when its turn will be, or
 * gets the answer itself where that comes within the time that it waits.
 *
 * Of what the client brought for a credential nothing is stored: it stands in memory alone, and a task that needs it
 * does not outlive this run.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "base/counters.h"
#include "http/prefer.h"
#include "policy/caller.h"

#include <sodium.h>

#include <stdio.h>
#include <stdlib.h>

struct taker {
    struct waiting waiting;
    struct spool  *body; /* as it comes */
    bool           is_new, is_begun, is_batch;
    bool           is_preferred; /* by Prefer */
};

/* -- answering -- */

static void say_accepted(struct taker *k)
{
    struct waiting *w = &k->waiting;

    waiting_say_state(w, 202);
    service_add_field(w->outer, "Location", task_url(w->outer, w->task, false));
    if (k->is_preferred)
        service_add_field(w->outer, "Preference-Applied", SLICE("respond-async"));
    waiting_answered(w);
}

/* It is there in time: nobody needs to know that there was a job. */
static void say_result(struct taker *k)
{
    if (!task_answer_with(k->waiting.outer, k->waiting.task, !k->is_new || k->waiting.task->has_key)) {
        say_accepted(k);
        return;
    }
    waiting_answered(&k->waiting);
    jobs_lock(k->waiting.task->jobs);
    if (k->is_new && !k->waiting.task->has_key)
        task_become(k->waiting.task, TASK_GONE, NULL);
    jobs_unlock(k->waiting.task->jobs);
}

struct sight_of_task {
    bool            refused, is_kept, is_foretold, has_answer;
    enum task_state state;
};

static struct sight_of_task look_at(struct taker *k)
{
    struct task         *t = k->waiting.task;
    struct sight_of_task s;

    jobs_lock(t->jobs);
    k->waiting.watch.armed = true;
    s = (struct sight_of_task){ t->row.refused, t->row.is_there, t->outlook.is_known, t->answer != NULL,
                                task_state_at(t, clock_wall_ns()) };
    jobs_unlock(t->jobs);
    return s;
}

/* Says what can be said now. */
static void look(struct waiting *w)
{
    struct taker        *k = CONTAINER_OF(w, struct taker, waiting);
    struct sight_of_task s;

    if (w->answered || w->task == NULL)
        return;
    s = look_at(k);
    if (s.refused) {
        jobs_lock(k->waiting.task->jobs);
        task_become(k->waiting.task, TASK_GONE, NULL);
        jobs_unlock(k->waiting.task->jobs);
        waiting_refuse(&k->waiting, PROBLEM_JOB_NOT_KEPT,
                       "The state directory did not take the job. Nothing was sent.");
        return;
    }
    if (!s.is_kept)
        return;
    if (k->is_new && !k->is_begun && !k->waiting.desk->is_stopping) {
        k->is_begun = true;
        perform_start(k->waiting.desk, k->waiting.task);
        s = look_at(k);
    }
    if (TASK_HAS_ENDED(s.state)) {
        if (s.has_answer && s.state < TASK_CANCELLED && (k->is_new || k->waiting.wait_ns > 0))
            say_result(k);
        else
            say_accepted(k);
        return;
    }
    if (!waiting_is_over(w, w->wait_ns))
        return;
    if ((!k->is_new || k->is_batch || s.is_foretold || waiting_is_over(w, NS_PER_SEC)) && waiting_is_up_to_date(w))
        say_accepted(k);
}

/* -- the task -- */

struct secret_look {
    const struct config_upstream *up;
    const struct policy_options  *policy;
    bool                          found;
};

/* A cookie of a load balancer or of statistics is no credential. */
static bool counts(const struct secret_look *l, const struct http_field *f, struct arena *a)
{
    if (slice_eq_nocase(f->name, SLICE("Proxy-Authorization")))
        return false;
    return f->id != HTTP_COOKIE || l->policy == NULL || policy_cookies_that_count(l->policy, f->value, a).len > 0;
}

static bool is_between_hops(const struct http_field *f)
{
    return f->id == HTTP_WEIR_ASYNC || f->id == HTTP_CONTENT_LENGTH || f->id == HTTP_TRANSFER_ENCODING ||
           f->id == HTTP_EXPECT || f->id == HTTP_CONNECTION;
}

/* All of them for this run, and those that may be stored. */
static void fill_fields(struct taker *k, struct task *t, struct secret_look *l)
{
    struct http_fields *all = &t->asked.request.fields, *kept = &t->asked.kept, from;
    struct slice        length;

    from = http_fields_copy(&service_asked(k->waiting.outer)->fields, &t->arena);
    if (k->is_batch || (l->up != NULL && l->up->jobs))
        prefer_remove(&from, &t->arena);
    if (http_fields_find(&from, HTTP_WEIR_MAX_WAIT, 0) < 0 && !k->is_batch)
        http_fields_add_id(&from, &t->arena, HTTP_WEIR_MAX_WAIT, SLICE("forever"));
    if (t->asked.has_body) {
        http_fields_remove(&from, HTTP_CONTENT_LENGTH);
        length = arena_printf(&t->arena, "%lld", (long long)t->body.bytes);
    }
    for (unsigned i = 0; i < from.count; i++) {
        const struct http_field *f = &from.items[i];

        if (is_between_hops(f))
            continue;
        http_fields_add_field(all, &t->arena, f);
        if (!task_field_is_credential(l->up, l->policy, f->name))
            http_fields_add_field(kept, &t->arena, f);
        else if (counts(l, f, &t->arena))
            l->found = true;
    }
    if (t->asked.has_body) {
        http_fields_add_id(all, &t->arena, HTTP_CONTENT_LENGTH, length);
        http_fields_add_id(kept, &t->arena, HTTP_CONTENT_LENGTH, length);
    }
}

static void fill_asked(struct taker *k, struct task *t, bool own_credential)
{
    const struct exchange_input *in = service_input(k->waiting.outer);
    const struct http_request   *asked = service_asked(k->waiting.outer);
    const struct peer           *who = in->who(in->owner);
    struct task_asked           *a = &t->asked;
    struct secret_look           l = { service_upstream(k->waiting.outer), service_policy(k->waiting.outer), false };

    a->request = (struct http_request){ .method = asked->method,
                                        .method_name = arena_copy(&t->arena, asked->method_name),
                                        .target = arena_copy(&t->arena, asked->target),
                                        .version_minor = 1 };
    a->shown = task_shown_target(l.policy, a->request.target, &t->arena);
    a->upstream = l.up != NULL ? arena_copy(&t->arena, slice_of(l.up->route.name)) : SLICE_NONE;
    a->connected = in->connected.ptr != NULL ? arena_copy(&t->arena, in->connected) : SLICE_NONE;
    a->proxy_user = in->proxy_user.ptr != NULL ? arena_copy(&t->arena, in->proxy_user) : SLICE_NONE;
    a->is_tls = in->is_tls;
    a->has_body = k->body != NULL;
    snprintf(a->peer_name, sizeof a->peer_name, "%s", in->peer);
    a->peer = *who;
    t->card = in->card(in->owner);
    ref_acquire(&t->card->ref);
    fill_fields(k, t, &l);
    t->own_credential = own_credential || (l.found && !k->is_batch) || !slice_eq(a->shown, a->request.target);
}

/* What is asked, in one number: the same key leads here for that alone. */
static void fill_hashes(struct taker *k, struct task *t)
{
    const struct key_secret *secret = service_secret(k->waiting.outer);
    struct slice             key = http_fields_get(&t->asked.request.fields, HTTP_IDEMPOTENCY_KEY);
    crypto_generichash_state state;
    char                     piece[16 * 1024];
    ssize_t                  n;
    int64_t                  at = 0;

    t->owner = task_owner(k->waiting.outer);
    if (key.ptr == NULL)
        return;
    t->has_key = true;
    crypto_generichash_init(&state, secret->bytes, sizeof secret->bytes, TASK_HASH_BYTES);
    crypto_generichash_update(&state, t->owner.bytes, sizeof t->owner.bytes);
    crypto_generichash_update(&state, (const unsigned char *)key.ptr, key.len);
    crypto_generichash_final(&state, t->key.bytes, TASK_HASH_BYTES);
    crypto_generichash_init(&state, secret->bytes, sizeof secret->bytes, TASK_HASH_BYTES);
    crypto_generichash_update(&state, (const unsigned char *)t->asked.request.method_name.ptr,
                              t->asked.request.method_name.len);
    crypto_generichash_update(&state, (const unsigned char *)"\n", 1);
    crypto_generichash_update(&state, (const unsigned char *)t->asked.request.target.ptr, t->asked.request.target.len);
    crypto_generichash_update(&state, (const unsigned char *)"\n", 1);
    while (k->body != NULL && (n = spool_peek(k->body, at, piece, sizeof piece)) > 0) {
        crypto_generichash_update(&state, (const unsigned char *)piece, (size_t)n);
        at += n;
    }
    crypto_generichash_final(&state, t->content.bytes, TASK_HASH_BYTES);
}

static struct task *make(struct taker *k, const struct task_batch *b)
{
    struct task *t = task_new(k->waiting.desk->jobs);

    t->created_wall_ns = clock_wall_ns();
    t->is_batch = k->is_batch;
    if (k->body != NULL) {
        spool_acquire(k->body);
        t->body = (struct task_body){ .bytes = spool_length(k->body), .spool = k->body };
    }
    fill_asked(k, t, b->own_credential);
    t->asked.upstreams = arena_copy(&t->arena, b->upstreams);
    fill_hashes(k, t);
    t->may_repeat = b->may_repeat ||
                    (!k->is_batch && (t->has_key || http_method_is_idempotent(t->asked.request.method)));
    return t;
}

/* The one that has the same Idempotency-Key; a reference. */
static struct task *find_same(struct task *t)
{
    struct task *same = t->has_key ? task_find_key(t->jobs, &t->key, clock_wall_ns()) : NULL;

    if (same != NULL)
        task_acquire(same);
    return same;
}

/* Among the others, where it is one of its own.  Else why not; NULL: it is, or the same that was there before. */
struct task_refusal {
    enum problem_kind kind;
    const char       *detail;
};

static const struct task_refusal *enter_new(struct taker *k, struct task *t)
{
    static const struct task_refusal
        bytes = { PROBLEM_JOBS_FULL, "Its body is too long for the room under jobs.max_size. Nothing was sent." },
        full[] = {
            [TASK_NO_ROOM] = { PROBLEM_JOBS_FULL,
                               "There is no room for one more job under jobs.max. Nothing was sent." },
            [TASK_NO_ROOM_OF_USER] = { PROBLEM_JOBS_FULL,
                                       "One user's jobs may be no more than jobs.max_share of jobs.max, "
                                       "and yours are that many. Nothing was sent." },
        };
    const struct jobs_options *o = &service_config(k->waiting.outer)->jobs;
    enum task_room             room;

    if (!task_take_bytes(t, t->body.bytes, o->max_bytes))
        return &bytes;
    room = task_add(t, o);
    if (room != TASK_ROOM) {
        task_take_bytes(t, -t->held, 0);
        return &full[room];
    }
    k->is_new = true;
    task_save(t);
    return NULL;
}

/* What waits then is *t: a reference. */
static const struct task_refusal *enter(struct taker *k, struct task **t)
{
    static const struct task_refusal reused = {
        PROBLEM_IDEMPOTENCY_KEY_REUSED,
        "That Idempotency-Key has a job of another method, target or body. Nothing was sent."
    };
    struct jobs               *jobs = k->waiting.desk->jobs;
    const struct task_refusal *why_not = NULL;
    struct task               *same;

    atomic_store(&jobs->keep_ns, service_config(k->waiting.outer)->jobs.keep_ns);
    jobs_lock(jobs);
    same = find_same(*t);
    if (same == NULL)
        why_not = enter_new(k, *t);
    else if (memcmp(&same->content, &(*t)->content, sizeof same->content) != 0)
        why_not = &reused;
    if (why_not == NULL)
        task_watch(same != NULL ? same : *t, &k->waiting.watch);
    jobs_unlock(jobs);
    if (same != NULL) {
        task_release(*t);
        *t = same;
    }
    return why_not;
}

static void begin(struct taker *k, const struct task_batch *b)
{
    struct task               *t = make(k, b);
    const struct task_refusal *why_not = enter(k, &t);

    if (why_not == NULL) {
        counter_add(COUNTER_JOBS_TAKEN, k->is_new);
        k->waiting.task = t;
        waiting_look_later(&k->waiting);
        return;
    }
    counter_add(COUNTER_JOBS_REFUSED, why_not->kind == PROBLEM_JOBS_FULL);
    task_release(t);
    waiting_refuse(&k->waiting, why_not->kind, why_not->detail);
}

/* -- the service -- */

static const struct task_batch alone; /* of what is no batch */

static struct taker *take(struct exchange *x, bool is_batch)
{
    struct taker *k = mem_alloc(sizeof *k);

    waiting_begin(&k->waiting, x, look);
    k->is_batch = is_batch;
    k->is_preferred = prefer_read(&service_asked(x)->fields).respond_async && (is_batch || service_upstream(x)->jobs);
    return k;
}

static void *taking_open(struct exchange *x)
{
    struct taker *k = take(x, false);

    if (service_input(x)->has_body)
        k->body = spool_new(k->waiting.desk->jobs->directory);
    else
        begin(k, &alone);
    return k;
}

static size_t taking_upload(void *handle, const void *bytes, size_t count)
{
    struct taker *k = handle;
    struct fault  why;

    if (k->waiting.answered)
        return count;
    if (spool_length(k->body) + (int64_t)count > service_config(k->waiting.outer)->jobs.max_bytes)
        waiting_refuse(&k->waiting, PROBLEM_JOBS_FULL,
                       "The request's body alone is longer than jobs.max_size. Nothing was sent.");
    else if (spool_write(k->body, bytes, count, &why) != 0 || spool_is_pass(k->body))
        waiting_refuse(&k->waiting, PROBLEM_JOB_NOT_KEPT,
                       "The request's body could not be written to the state directory.");
    return count;
}

static void taking_upload_end(void *handle)
{
    struct taker *k = handle;

    if (k->waiting.answered)
        return;
    spool_finish(k->body, SPOOL_WHOLE);
    begin(k, &alone);
}

/* Who leaves before he has heard of his job has none, unless he can find it by its key. */
static void taking_close(void *handle)
{
    struct taker *k = handle;
    struct task  *t = k->waiting.task;

    spool_release(k->body);
    if (t != NULL && k->is_new && !k->waiting.answered && !t->has_key) {
        jobs_lock(t->jobs);
        if (t->cancel != NULL)
            mailbox_post(t->carried_out_at, t->cancel);
        t->cancel = NULL;
        task_become(t, TASK_GONE, NULL);
        jobs_unlock(t->jobs);
    }
    waiting_end(&k->waiting);
}

void *taking_take_batch(struct exchange *x, const struct task_batch *b)
{
    struct taker *k = take(x, true);

    spool_acquire(b->body);
    k->body = b->body;
    begin(k, b);
    return k;
}

void taking_leave_batch(void *taker)
{
    taking_close(taker);
}

const struct engine_later jobs_later = {
    .taking = { .path = "",
                .open = taking_open,
                .upload = taking_upload,
                .upload_end = taking_upload_end,
                .close = taking_close },
    .open_desk = desk_open,
    .begin = desk_begin,
    .stop = desk_stop,
    .end = desk_end,
    .is_busy = desk_is_busy,
    .close_desk = desk_close,
};
