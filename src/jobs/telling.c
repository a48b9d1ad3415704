/*
 * /.weir/jobs: the caller's own jobs, their states and results, and events as they end.  Somebody else's do not exist.
 *
 * Who waits (Prefer: wait) has a watch on the task: whoever changes that posts it to this worker.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "http/list.h"
#include "http/prefer.h"
#include "http/url.h"

#include <stdio.h>
#include <stdlib.h>

enum { LISTED_MOST = 1000, EVENTS_AT_ONCE = 64 };
#define PATH     "/.weir/jobs"
#define ALIVE_NS (15 * NS_PER_SEC) /* a comment shows that a client has left */

enum wish { WISH_LIST, WISH_EVENTS, WISH_STATE, WISH_RESULT, WISH_DELETE };

struct teller {
    struct desk_asker    asker;
    struct exchange     *outer;
    struct desk         *desk;
    struct task_hash     owner;
    enum wish            wish;
    struct task         *task;    /* a reference; NULL: of none */
    enum task_state      seen;    /* as it was when somebody began to wait */
    bool                 cancels; /* WISH_DELETE: it is on its way to be cancelled, or forgotten */
    bool                 leaves;
    struct task_watch    watch;
    struct engine_ticker ticker;
    int64_t              asked_ns, wait_ns;
    bool                 answered, outside, closed;
    struct mail          fence;
    /* of the events */
    struct spool *body;
    struct mail   drained;
    bool          waits;
    uint64_t      after;   /* events up to this one are told */
    int64_t       told_ns; /* when something was written */
};

static void answered(struct teller *t)
{
    t->answered = true;
    if (t->outside)
        service_wake(t->outer);
}

static void refuse(struct teller *t, enum problem_kind kind, const char *detail)
{
    service_refuse(t->outer, kind, slice_of(detail));
    answered(t);
}

static bool is_own(const struct teller *t, const struct task *k)
{
    return memcmp(&k->owner, &t->owner, sizeof t->owner) == 0;
}

static void say_json(struct teller *t, unsigned status, json_t *shown, int64_t retry_s)
{
    char *text = json_dumps(shown, JSON_COMPACT), seconds[24];

    json_decref(shown);
    service_text(t->outer, status, "application/json", slice_of(text));
    free(text);
    snprintf(seconds, sizeof seconds, "%lld", (long long)retry_s);
    if (retry_s > 0)
        service_add_field(t->outer, "Retry-After", slice_of(seconds));
    answered(t);
}

/* -- one -- */

static void say_state(struct teller *t, unsigned status)
{
    const int64_t now = clock_wall_ns();
    json_t       *shown;
    int64_t       retry_s;

    jobs_lock(t->desk->jobs);
    shown = task_show(t->outer, t->task, now);
    retry_s = TASK_HAS_ENDED(task_state_at(t->task, now)) ? 0 : task_retry_s(t->task, now);
    jobs_unlock(t->desk->jobs);
    say_json(t, status, shown, retry_s);
}

static void say_expired(struct teller *t)
{
    refuse(t, PROBLEM_JOB_EXPIRED, "The job has ended and its result is not kept any more.");
}

static void say_result(struct teller *t, enum task_state state)
{
    if (state == TASK_CANCELLED)
        refuse(t, PROBLEM_JOB_CANCELLED, "The job was cancelled before it had a result.");
    else if (task_answer_with(t->outer, t->task, false))
        answered(t);
    else
        say_expired(t);
}

static enum task_state look_at(struct teller *t)
{
    enum task_state state;

    jobs_lock(t->desk->jobs);
    t->watch.armed = true;
    state = task_state_at(t->task, clock_wall_ns());
    jobs_unlock(t->desk->jobs);
    return state;
}

static bool has_waited(const struct teller *t)
{
    return t->desk->is_stopping || clock_mono_ns() - t->asked_ns >= t->wait_ns;
}

/* 204 when the disk has heard of it.  Under the lock. */
static void delete_under_lock(struct teller *t)
{
    struct task *k = t->task;

    if (k->has_coming || k->state >= TASK_EXPIRED)
        return;
    if (TASK_HAS_ENDED(k->state)) {
        t->leaves = true;
        task_become(k, TASK_GONE, NULL);
        return;
    }
    t->cancels = true;
    if (k->cancel != NULL)
        mailbox_post(k->cancel_at, k->cancel);
    k->cancel = NULL;
    task_become(k, TASK_CANCELLED, NULL);
}

static void look_at_deleted(struct teller *t)
{
    enum task_state state;
    bool            is_over;

    jobs_lock(t->desk->jobs);
    t->watch.armed = true;
    if (!t->cancels && !t->leaves)
        delete_under_lock(t);
    state = t->task->state;
    is_over = t->cancels ? TASK_HAS_ENDED(state) : t->leaves ? state == TASK_GONE : state >= TASK_EXPIRED;
    jobs_unlock(t->desk->jobs);
    if (!is_over)
        return;
    service_text(t->outer, 204, "text/plain", SLICE(""));
    answered(t);
}

/* Says what can be said now. */
static void look(struct teller *t)
{
    enum task_state state;

    if (t->answered || t->closed || t->task == NULL)
        return;
    if (t->wish == WISH_DELETE) {
        look_at_deleted(t);
        return;
    }
    state = look_at(t);
    if (state >= TASK_EXPIRED)
        say_expired(t);
    else if (t->wish == WISH_RESULT && TASK_HAS_ENDED(state))
        say_result(t, state);
    else if (state != t->seen || has_waited(t) || TASK_HAS_ENDED(state))
        if (t->wish == WISH_STATE || has_waited(t))
            say_state(t, t->wish == WISH_STATE ? 200 : 202);
}

/* -- the list -- */

struct list_wish {
    int      state; /* -1: any */
    uint64_t since;
};

static bool read_state(struct slice value, int *state)
{
    for (int s = TASK_QUEUED; s <= TASK_CANCELLED; s++)
        if (slice_eq(value, slice_of(task_state_name((enum task_state)s)))) {
            *state = s;
            return true;
        }
    return false;
}

static bool read_query(struct slice query, struct list_wish *l)
{
    struct slice parameter, name, value;
    int64_t      n;

    *l = (struct list_wish){ .state = -1 };
    while (http_query_next(&query, &parameter)) {
        http_split_parameter(parameter, &name, &value);
        if (slice_eq(name, SLICE("state")) ? !read_state(value, &l->state)
                                           : !slice_eq(name, SLICE("since")) || !slice_to_int64(value, &n))
            return false;
        if (slice_eq(name, SLICE("since")))
            l->since = (uint64_t)n;
    }
    return true;
}

static int by_seq(const void *a, const void *b)
{
    const struct task *x = *(struct task *const *)a, *y = *(struct task *const *)b;

    return (x->seq > y->seq) - (x->seq < y->seq);
}

/* The caller's own after `since`, in order of seq; under the lock.  malloc'd. */
static struct task **gather(struct teller *t, const struct list_wish *l, bool ended, unsigned *count)
{
    const int64_t now = clock_wall_ns();
    struct task **found = NULL, *k;
    unsigned      room = 0;

    *count = 0;
    TAILQ_FOREACH (k, &t->desk->jobs->all, entry) {
        const enum task_state state = task_state_at(k, now);

        if (!is_own(t, k) || !k->row.is_there || k->seq <= l->since || state >= TASK_EXPIRED ||
            (l->state >= 0 && (int)state != l->state) || (ended && !TASK_HAS_ENDED(state)))
            continue;
        MEM_ROOM(found, room, *count + 1);
        found[(*count)++] = k;
    }
    if (*count > 0)
        qsort(found, *count, sizeof *found, by_seq);
    return found;
}

static void say_list(struct teller *t, struct slice query)
{
    const int64_t    now = clock_wall_ns();
    struct list_wish l;
    struct task    **found;
    unsigned         count, most;
    json_t          *list, *all;

    if (!read_query(query, &l)) {
        refuse(t, PROBLEM_JOB_QUERY, "state=queued, running, done, failed or cancelled, and since=SEQ are understood.");
        return;
    }
    list = json_array();
    jobs_lock(t->desk->jobs);
    found = gather(t, &l, false, &count);
    most = count < LISTED_MOST ? count : LISTED_MOST;
    for (unsigned i = 0; i < most; i++)
        json_array_append_new(list, task_show(t->outer, found[i], now));
    all = json_pack("{s:o, s:I, s:b}", "jobs", list, "seq", (json_int_t)(most > 0 ? found[most - 1]->seq : l.since),
                    "more", count > most);
    jobs_unlock(t->desk->jobs);
    free(found);
    say_json(t, 200, all, 0);
}

/* -- events -- */

static bool has_room(struct teller *t)
{
    if (!spool_is_ahead(t->body))
        return true;
    if (!t->waits) {
        t->waits = true;
        spool_set_drained_mail(t->body, t->desk->mailbox, &t->drained);
    }
    return false;
}

static void write_event(struct teller *t, const struct task *k, enum task_state state)
{
    char         text[256];
    struct fault why;
    struct slice url = task_url(t->outer, k, true);
    int n = snprintf(text, sizeof text, "id: %llu\nevent: %s\ndata: {\"id\":\"%s\",\"status\":%u,\"result\":\"",
                     (unsigned long long)k->seq, task_state_name(state), k->id,
                     k->answer != NULL ? k->answer->status : 0);

    spool_write(t->body, text, (size_t)n, &why);
    spool_write(t->body, url.ptr, url.len, &why);
    spool_write(t->body, "\"}\n\n", 4, &why);
}

/* Under the lock a few are copied out as text: they are short. */
static void tell_events(struct teller *t)
{
    struct list_wish l = { .state = -1, .since = t->after };
    struct task    **found;
    unsigned         count;
    const int64_t    now = clock_wall_ns();

    if (t->closed || t->body == NULL || !has_room(t))
        return;
    jobs_lock(t->desk->jobs);
    t->watch.armed = true;
    found = gather(t, &l, true, &count);
    for (unsigned i = 0; i < count && i < EVENTS_AT_ONCE; i++) {
        write_event(t, found[i], task_state_at(found[i], now));
        t->after = found[i]->seq;
    }
    if (count > EVENTS_AT_ONCE && t->watch.armed) {
        t->watch.armed = false;
        mailbox_post(t->watch.mailbox, &t->watch.mail);
    }
    jobs_unlock(t->desk->jobs);
    free(found);
    if (count > 0)
        t->told_ns = clock_mono_ns();
}

static bool last_seen(struct teller *t)
{
    const struct http_fields *f = &service_input(t->outer)->request.fields;
    int                       at = http_fields_find_name(f, SLICE("Last-Event-ID"), 0);
    int64_t                   n;

    if (at < 0)
        return false;
    t->after = slice_to_int64(f->items[at].value, &n) ? (uint64_t)n : 0;
    return true;
}

static void begin_events(struct teller *t)
{
    const bool   goes_on = last_seen(t);
    struct fault why;

    t->body = service_spool(t->outer);
    spool_set_pass(t->body);
    spool_write(t->body, ": weir\n\n", 8, &why);
    t->told_ns = clock_mono_ns();
    jobs_lock(t->desk->jobs);
    if (!goes_on)
        t->after = t->desk->jobs->last_seq;
    jobs_watch(t->desk->jobs, &t->watch);
    jobs_unlock(t->desk->jobs);
    service_answer(t->outer, 200, "text/event-stream", t->body);
    answered(t);
    tell_events(t);
}

static void end_events(struct teller *t)
{
    if (t->body != NULL)
        spool_finish(t->body, SPOOL_WHOLE);
}

/* -- mail and time -- */

static void receive_watch(struct mail *m)
{
    struct teller *t = CONTAINER_OF(CONTAINER_OF(m, struct task_watch, mail), struct teller, watch);

    if (t->closed)
        return;
    if (t->wish == WISH_EVENTS)
        tell_events(t);
    else
        look(t);
}

static void receive_drained(struct mail *m)
{
    struct teller *t = CONTAINER_OF(m, struct teller, drained);

    t->waits = false;
    tell_events(t);
}

static void tick(struct engine_ticker *ticker, int64_t now_ns)
{
    struct teller *t = CONTAINER_OF(ticker, struct teller, ticker);
    struct fault   why;

    if (t->wish != WISH_EVENTS) {
        look(t);
        return;
    }
    if (now_ns - t->told_ns < ALIVE_NS || spool_is_ahead(t->body))
        return;
    t->told_ns = now_ns;
    spool_write(t->body, ":\n\n", 3, &why);
}

static void stop(struct desk_asker *asker)
{
    struct teller *t = CONTAINER_OF(asker, struct teller, asker);

    if (t->wish == WISH_EVENTS)
        end_events(t);
    else
        look(t);
}

static void receive_fence(struct mail *m)
{
    struct teller *t = CONTAINER_OF(m, struct teller, fence);
    struct engine *e = t->desk->engine;

    task_release(t->task);
    spool_release(t->body);
    free(t);
    engine_let_go(e);
}

/* -- the service -- */

/* May he use the upstream that it is of, and each that a batch asks?  Else he hears that he may not. */
static bool admits_all(struct teller *t, const struct task *k)
{
    struct slice lines = k->asked.upstream.ptr != NULL ? k->asked.upstream : k->asked.upstreams;

    while (lines.len > 0) {
        const size_t                  end = slice_find(lines, '\n', 0);
        const struct slice            name = arena_copy(service_arena(t->outer), slice_sub(lines, 0, end));
        const struct config_upstream *up = config_find_upstream(service_config(t->outer), name.ptr);

        if (up != NULL && !service_admits(t->outer, up))
            return false;
        lines = slice_sub(lines, end + 1, lines.len);
    }
    return true;
}

/* The caller's own, and access to what it is of; else it is answered. */
static void find(struct teller *t, struct slice id)
{
    struct task *k;

    jobs_lock(t->desk->jobs);
    k = task_find(t->desk->jobs, id);
    if (k != NULL &&
        (!is_own(t, k) || !k->row.is_there || k->state == TASK_GONE || (k->has_coming && k->coming == TASK_GONE)))
        k = NULL;
    if (k != NULL) {
        task_acquire(k);
        task_watch(k, &t->watch);
        t->seen = k->state;
    }
    jobs_unlock(t->desk->jobs);
    t->task = k;
    if (k == NULL) {
        refuse(t, PROBLEM_JOB_UNKNOWN, "There is no such job of yours.");
        return;
    }
    if (t->wish != WISH_DELETE && !admits_all(t, k))
        answered(t);
}

static enum wish wish_of(struct slice path, enum http_method method, struct slice *id)
{
    size_t end;

    path = slice_sub(path, sizeof PATH, path.len);
    if (path.len == 0)
        return WISH_LIST;
    if (slice_eq(path, SLICE("events")))
        return WISH_EVENTS;
    end = slice_find(path, '/', 0);
    *id = slice_sub(path, 0, end);
    if (end < path.len && !slice_eq(slice_sub(path, end, path.len), SLICE("/result")))
        *id = SLICE("");
    if (method == HTTP_DELETE)
        return WISH_DELETE;
    return end < path.len ? WISH_RESULT : WISH_STATE;
}

static bool is_allowed(enum wish wish, enum http_method method, struct slice path)
{
    if (method == HTTP_GET)
        return true;
    if (method == HTTP_HEAD)
        return wish != WISH_EVENTS;
    return method == HTTP_DELETE && wish == WISH_DELETE && !slice_ends_with(path, SLICE("/result"));
}

static struct teller *make(struct exchange *x, enum wish wish)
{
    struct teller      *t = mem_alloc(sizeof *t);
    const struct prefer p = prefer_read(&service_input(x)->request.fields);

    t->outer = x;
    t->desk = service_desk(x);
    t->wish = wish;
    t->owner = task_owner(x);
    t->asked_ns = clock_mono_ns();
    t->wait_ns = p.wait_ns > 0 ? p.wait_ns : 0;
    t->watch.mailbox = t->desk->mailbox;
    t->watch.mail.receive = receive_watch;
    t->drained.receive = receive_drained;
    t->fence.receive = receive_fence;
    t->ticker.tick = tick;
    t->asker.stop = stop;
    engine_hold(t->desk->engine);
    engine_add_ticker(t->desk->engine, &t->ticker);
    LIST_INSERT_HEAD(&t->desk->askers, &t->asker, entry);
    atomic_store(&t->desk->jobs->keep_ns, service_config(x)->jobs.keep_ns);
    return t;
}

static void *telling_open(struct exchange *x)
{
    const struct http_request *r = &service_input(x)->request;
    struct slice               path, query, id = SLICE("");
    enum wish                  wish;
    struct teller             *t;

    http_target_split(r->target, &path, &query);
    wish = wish_of(path, r->method, &id);
    if (!is_allowed(wish, r->method, path) || service_input(x)->has_body) {
        service_refuse(x, PROBLEM_JOB_METHOD, SLICE("GET and DELETE without a body are understood there."));
        return NULL;
    }
    t = make(x, wish);
    if (wish == WISH_LIST)
        say_list(t, query);
    else if (wish == WISH_EVENTS)
        begin_events(t);
    else
        find(t, id);
    look(t);
    t->outside = true;
    return t;
}

static size_t telling_upload(void *teller, const void *bytes, size_t count)
{
    (void)teller;
    (void)bytes;
    return count;
}

static void telling_upload_end(void *teller)
{
    (void)teller;
}

static void telling_close(void *teller)
{
    struct teller *t = teller;

    t->closed = true;
    LIST_REMOVE(&t->asker, entry);
    engine_drop_ticker(&t->ticker);
    jobs_lock(t->desk->jobs);
    task_unwatch(&t->watch);
    jobs_unlock(t->desk->jobs);
    if (t->body != NULL)
        spool_set_drained_mail(t->body, NULL, NULL);
    mailbox_post(t->desk->mailbox, &t->fence);
}

const struct engine_service jobs_told = {
    .path = PATH,
    .below = true,
    .open = telling_open,
    .upload = telling_upload,
    .upload_end = telling_upload_end,
    .close = telling_close,
};
