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

struct list_wish {
    int      state; /* -1: any */
    uint64_t since;
};

struct teller {
    struct waiting   waiting;
    struct task_hash owner;
    enum wish        wish;
    enum task_state  seen;    /* as it was when somebody began to wait */
    bool             cancels; /* WISH_DELETE: it is on its way to be cancelled, or forgotten */
    bool             leaves;
    /* of the list */
    struct list_wish list;
    /* of the events */
    struct spool *body;
    struct mail   drained;
    bool          waits;
    uint64_t      after;   /* events up to this one are told */
    int64_t       told_ns; /* when something was written */
};

static bool is_own(const struct teller *t, const struct task *k)
{
    return memcmp(&k->owner, &t->owner, sizeof t->owner) == 0;
}

/* -- one -- */

static void say_state(struct waiting *w, unsigned status)
{
    waiting_say_state(w, status);
    waiting_answered(w);
}

static void say_expired(struct teller *t)
{
    waiting_refuse(&t->waiting, PROBLEM_JOB_EXPIRED, "The job has ended and its result is not kept any more.");
}

static void say_result(struct teller *t, enum task_state state)
{
    if (state == TASK_CANCELLED)
        waiting_refuse(&t->waiting, PROBLEM_JOB_CANCELLED, "The job was cancelled before it had a result.");
    else if (task_answer_with(t->waiting.outer, t->waiting.task, false))
        waiting_answered(&t->waiting);
    else
        say_expired(t);
}

static enum task_state look_at(struct teller *t)
{
    enum task_state state;

    jobs_lock(t->waiting.desk->jobs);
    t->waiting.watch.armed = true;
    state = task_state_at(t->waiting.task, clock_wall_ns());
    jobs_unlock(t->waiting.desk->jobs);
    return state;
}

/* 204 when the disk has heard of it.  Under the lock. */
static void delete_under_lock(struct teller *t)
{
    struct task *k = t->waiting.task;

    if (k->has_coming || k->state >= TASK_EXPIRED)
        return;
    if (TASK_HAS_ENDED(k->state)) {
        t->leaves = true;
        task_become(k, TASK_GONE, NULL);
        return;
    }
    t->cancels = true;
    if (k->cancel != NULL)
        mailbox_post(k->carried_out_at, k->cancel);
    k->cancel = NULL;
    task_become(k, TASK_CANCELLED, NULL);
}

static void look_at_deleted(struct teller *t)
{
    enum task_state state;
    bool            is_over;

    jobs_lock(t->waiting.desk->jobs);
    t->waiting.watch.armed = true;
    if (!t->cancels && !t->leaves)
        delete_under_lock(t);
    state = t->waiting.task->state;
    is_over = t->cancels ? TASK_HAS_ENDED(state) : t->leaves ? state == TASK_GONE : state >= TASK_EXPIRED;
    jobs_unlock(t->waiting.desk->jobs);
    if (!is_over)
        return;
    service_text(t->waiting.outer, 204, "text/plain", SLICE(""));
    waiting_answered(&t->waiting);
}

/* Says what can be said now. */
static void look(struct waiting *w)
{
    struct teller  *t = CONTAINER_OF(w, struct teller, waiting);
    enum task_state state;
    bool            is_over;

    if (w->answered || w->task == NULL)
        return;
    if (t->wish == WISH_DELETE) {
        look_at_deleted(t);
        return;
    }
    state = look_at(t);
    is_over = waiting_is_over(w, w->wait_ns);
    if (state >= TASK_EXPIRED)
        say_expired(t);
    else if (t->wish == WISH_RESULT && TASK_HAS_ENDED(state))
        say_result(t, state);
    else if ((is_over || (t->wish == WISH_STATE && (state != t->seen || TASK_HAS_ENDED(state)))) &&
             waiting_is_up_to_date(w))
        say_state(w, t->wish == WISH_STATE ? 200 : 202);
}

/* -- the list -- */

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
    TAILQ_FOREACH (k, &t->waiting.desk->jobs->all, entry) {
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

/* Of those that are told, one whose outlook is on its way; under the lock. */
static struct task *awaited(struct task *const *found, unsigned count, int64_t since_ns)
{
    struct task *last = NULL;

    for (unsigned i = 0; i < count; i++)
        if (!task_outlook_is_fresh(found[i], since_ns))
            last = found[i];
    return last;
}

static void say_list(struct teller *t, struct task *const *found, unsigned count)
{
    const unsigned most = count < LISTED_MOST ? count : LISTED_MOST;
    const int64_t  now = clock_wall_ns();
    json_t        *list = json_array(), *all;

    for (unsigned i = 0; i < most; i++)
        json_array_append_new(list, task_show(t->waiting.outer, found[i], now));
    all = json_pack("{s:o, s:I, s:b}", "jobs", list, "seq",
                    (json_int_t)(most > 0 ? found[most - 1]->seq : t->list.since), "more", count > most);
    waiting_say(&t->waiting, 200, all, 0);
}

/* They are asked all at once, and heard of one after the other. */
static void look_at_list(struct waiting *w)
{
    struct teller *t = CONTAINER_OF(w, struct teller, waiting);
    struct task  **found, *last;
    unsigned       count;

    if (w->answered)
        return;
    jobs_lock(w->desk->jobs);
    task_unwatch(&w->watch);
    found = gather(t, &t->list, false, &count);
    last = waiting_is_over(w, NS_PER_SEC) ? NULL
                                          : awaited(found, count < LISTED_MOST ? count : LISTED_MOST, w->asked_ns);
    if (last != NULL) {
        task_acquire(last);
        task_watch(last, &w->watch);
    } else {
        say_list(t, found, count);
    }
    jobs_unlock(w->desk->jobs);
    free(found);
    task_release(w->task);
    w->task = last;
    if (last == NULL)
        waiting_answered(w);
}

static void begin_list(struct teller *t, struct slice query)
{
    if (!read_query(query, &t->list))
        waiting_refuse(&t->waiting, PROBLEM_JOB_QUERY,
                       "state=queued, running, done, failed or cancelled, and since=SEQ are understood.");
}

/* -- events -- */

static bool has_room(struct teller *t)
{
    if (!spool_is_ahead(t->body))
        return true;
    if (!t->waits) {
        t->waits = true;
        spool_set_drained_mail(t->body, t->waiting.desk->mailbox, &t->drained);
    }
    return false;
}

static void write_event(struct teller *t, const struct task *k, enum task_state state)
{
    char         text[256];
    struct fault why;
    struct slice url = task_url(t->waiting.outer, k, true);
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

    if (t->waiting.closed || t->body == NULL || !has_room(t))
        return;
    jobs_lock(t->waiting.desk->jobs);
    t->waiting.watch.armed = true;
    found = gather(t, &l, true, &count);
    for (unsigned i = 0; i < count && i < EVENTS_AT_ONCE; i++) {
        write_event(t, found[i], task_state_at(found[i], now));
        t->after = found[i]->seq;
    }
    if (count > EVENTS_AT_ONCE && t->waiting.watch.armed) {
        t->waiting.watch.armed = false;
        mailbox_post(t->waiting.watch.mailbox, &t->waiting.watch.mail);
    }
    jobs_unlock(t->waiting.desk->jobs);
    free(found);
    if (count > 0)
        t->told_ns = clock_mono_ns();
}

static bool last_seen(struct teller *t)
{
    const struct http_fields *f = &service_input(t->waiting.outer)->request.fields;
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

    t->body = service_spool(t->waiting.outer);
    spool_set_pass(t->body);
    spool_write(t->body, ": weir\n\n", 8, &why);
    t->told_ns = clock_mono_ns();
    jobs_lock(t->waiting.desk->jobs);
    if (!goes_on)
        t->after = t->waiting.desk->jobs->last_seq;
    jobs_watch(t->waiting.desk->jobs, &t->waiting.watch);
    jobs_unlock(t->waiting.desk->jobs);
    service_answer(t->waiting.outer, 200, "text/event-stream", t->body);
    waiting_answered(&t->waiting);
}

/* -- mail and time -- */

static void look_for_events(struct waiting *w)
{
    tell_events(CONTAINER_OF(w, struct teller, waiting));
}

static void receive_drained(struct mail *m)
{
    struct teller *t = CONTAINER_OF(m, struct teller, drained);

    t->waits = false;
    tell_events(t);
}

static void keep_alive(struct waiting *w, int64_t now_ns)
{
    struct teller *t = CONTAINER_OF(w, struct teller, waiting);
    struct fault   why;

    if (now_ns - t->told_ns < ALIVE_NS || spool_is_ahead(t->body))
        return;
    t->told_ns = now_ns;
    spool_write(t->body, ":\n\n", 3, &why);
}

static void stop_events(struct waiting *w)
{
    struct teller *t = CONTAINER_OF(w, struct teller, waiting);

    if (t->body != NULL)
        spool_finish(t->body, SPOOL_WHOLE);
}

static void free_rest(struct waiting *w)
{
    spool_release(CONTAINER_OF(w, struct teller, waiting)->body);
}

/* -- the service -- */

/* May he use the upstream that it is of, and each that a batch asks?  Else he hears that he may not. */
static bool admits_all(struct teller *t, const struct task *k)
{
    struct slice lines = k->asked.upstream.ptr != NULL ? k->asked.upstream : k->asked.upstreams;

    while (lines.len > 0) {
        const size_t                  end = slice_find(lines, '\n', 0);
        const struct slice            name = arena_copy(service_arena(t->waiting.outer), slice_sub(lines, 0, end));
        const struct config_upstream *up = config_find_upstream(service_config(t->waiting.outer), name.ptr);

        if (up != NULL && !service_admits(t->waiting.outer, up))
            return false;
        lines = slice_sub(lines, end + 1, lines.len);
    }
    return true;
}

/* The caller's own, and access to what it is of; else it is answered. */
static void find(struct teller *t, struct slice id)
{
    struct task *k;

    jobs_lock(t->waiting.desk->jobs);
    k = task_find(t->waiting.desk->jobs, id);
    if (k != NULL &&
        (!is_own(t, k) || !k->row.is_there || k->state == TASK_GONE || (k->has_coming && k->coming == TASK_GONE)))
        k = NULL;
    if (k != NULL) {
        task_acquire(k);
        task_watch(k, &t->waiting.watch);
        t->seen = k->state;
    }
    jobs_unlock(t->waiting.desk->jobs);
    t->waiting.task = k;
    if (k == NULL) {
        waiting_refuse(&t->waiting, PROBLEM_JOB_UNKNOWN, "There is no such job of yours.");
        return;
    }
    if (t->wish != WISH_DELETE && !admits_all(t, k))
        waiting_answered(&t->waiting);
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
    struct teller  *t = mem_alloc(sizeof *t);
    struct waiting *w = &t->waiting;

    waiting_begin(w, x, look);
    w->free = free_rest;
    t->wish = wish;
    t->owner = task_owner(x);
    t->drained.receive = receive_drained;
    if (wish == WISH_LIST)
        w->look = w->stop = look_at_list;
    if (wish == WISH_EVENTS) {
        w->look = look_for_events;
        w->tick = keep_alive;
        w->stop = stop_events;
    }
    atomic_store(&w->desk->jobs->keep_ns, service_config(x)->jobs.keep_ns);
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
        begin_list(t, query);
    else if (wish == WISH_EVENTS)
        begin_events(t);
    else
        find(t, id);
    t->waiting.look(&t->waiting);
    t->waiting.outside = true;
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

    if (t->body != NULL)
        spool_set_drained_mail(t->body, NULL, NULL);
    waiting_end(&t->waiting);
}

const struct engine_service jobs_told = {
    .path = PATH,
    .below = true,
    .open = telling_open,
    .upload = telling_upload,
    .upload_end = telling_upload_end,
    .close = telling_close,
};
