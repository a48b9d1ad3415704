/*
 * A task that is carried out: an exchange of the engine whose client is nobody's connection.  What it answers is
 * gathered in a spool, and kept when it is whole.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "engine/recorder.h"

#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { READ_BYTES = 16 * 1024, AT_ONCE_BYTES = 1024 * 1024, HEAD_BYTES = 256 };
#define PARKED_NS (5 * NS_PER_SEC)

struct performance {
    LIST_ENTRY(performance) entry;
    struct desk            *desk;
    struct task            *task; /* a reference */
    struct exchange        *exchange;
    struct exchange_job     job;
    struct peer             peer;
    int                     request_fd; /* its body; -1: elsewhere, or none */
    int64_t                 sent;       /* of that */
    bool                    sent_all, is_sent;
    struct task_answer     *answer; /* as it comes */
    int64_t                 gathered;
    int                     file; /* an answer that is stored as a file, and is copied; -1 */
    int64_t                 file_at, file_left;
    bool                    is_streaming;
    int64_t                 parked_until_ns; /* monotonic: the queue was full; 0: it is not parked */
    struct mail             cancel, look, again, fence;
    bool                    again_posted, ended;
};

/* -- how long it will wait still -- */

/* As of now; under the lock. */
static void note_outlook(struct task *t, int64_t eta_wall_ns, uint64_t ahead)
{
    t->outlook.is_known = true;
    t->outlook.eta_wall_ns = eta_wall_ns;
    t->outlook.ahead = ahead;
    t->outlook.of_mono_ns = clock_mono_ns();
    task_tell(t);
}

struct task_look { /* what the upstream thread is asked; it may outlive who carries the task out */
    struct upstream_outlook at;
    struct task            *task; /* a reference */
    struct engine          *engine;
};

static void look_is_over(struct task_look *k)
{
    struct task *t = k->task;

    jobs_lock(t->jobs);
    t->outlook.is_asked = false;
    if (k->at.is_known)
        note_outlook(t, time_add(clock_wall_ns(), k->at.wait_ns), k->at.ahead);
    else
        note_outlook(t, t->outlook.eta_wall_ns, t->outlook.ahead);
    jobs_unlock(t->jobs);
    task_release(t);
    engine_let_go(k->engine);
    free(k);
}

static void receive_outlook(struct mail *m)
{
    look_is_over(CONTAINER_OF(CONTAINER_OF(m, struct upstream_outlook, done), struct task_look, at));
}

static void receive_look(struct mail *m)
{
    struct performance *p = CONTAINER_OF(m, struct performance, look);
    struct task_look   *k = mem_alloc(sizeof *k);

    k->at.reply_to = p->desk->mailbox;
    k->at.done.receive = receive_outlook;
    k->task = p->task;
    k->engine = p->desk->engine;
    task_acquire(k->task);
    engine_hold(k->engine);
    if (p->ended || p->exchange == NULL || !exchange_look_out(p->exchange, &k->at))
        look_is_over(k);
}

/* -- who asks: whoever did, as he was then -- */

static const struct peer *task_known(void *owner)
{
    return &((struct performance *)owner)->peer;
}

static struct peer_card *task_card(void *owner)
{
    return ((struct performance *)owner)->task->card;
}

static void task_label(void *owner, struct request_record *record)
{
    const struct performance *p = owner;

    if (p->peer.has_uid)
        record->uid = (int64_t)p->peer.uid;
}

static void task_interim(void *owner, unsigned status, const struct http_fields *fields)
{
    (void)owner;
    (void)status;
    (void)fields;
}

/* -- its end -- */

static void receive_fence(struct mail *m)
{
    struct performance *p = CONTAINER_OF(m, struct performance, fence);
    struct engine      *e = p->desk->engine;

    task_release(p->task);
    free(p);
    engine_let_go(e);
}

/* Nobody carries it out any more. */
static void leave(struct performance *p, bool whole)
{
    if (p->ended)
        return;
    p->ended = true;
    if (p->exchange != NULL)
        exchange_close(p->exchange, clock_mono_ns(), whole, p->gathered);
    p->exchange = NULL;
    if (p->request_fd >= 0)
        close(p->request_fd);
    if (p->file >= 0)
        close(p->file);
    task_answer_free(p->answer);
    p->answer = NULL;
    LIST_REMOVE(p, entry);
    jobs_lock(p->desk->jobs);
    p->task->cancel = p->task->look = NULL;
    p->task->carried_out_at = NULL;
    jobs_unlock(p->desk->jobs);
    mailbox_post(p->desk->mailbox, &p->fence);
}

static void end(struct performance *p, enum task_state state, struct task_answer *answer)
{
    jobs_lock(p->desk->jobs);
    task_become(p->task, state, answer);
    jobs_unlock(p->desk->jobs);
    leave(p, true);
}

static void fail(struct performance *p, enum problem_kind kind, const char *detail)
{
    end(p, TASK_FAILED, task_answer_problem(kind, detail));
}

/* The body is whole. */
static void succeed(struct performance *p)
{
    struct task_answer *a = p->answer;
    const bool          failed = exchange_is_own_reply(p->exchange) && a->status >= 400;

    p->answer = NULL;
    a->body.bytes = p->gathered;
    if (a->body.spool != NULL)
        spool_finish(a->body.spool, SPOOL_WHOLE);
    end(p, failed ? TASK_FAILED : TASK_DONE, a);
}

/* -- its answer -- */

static bool gather(struct performance *p, const char *bytes, size_t count)
{
    struct task_answer *a = p->answer;
    struct fault        why;
    bool                room;

    jobs_lock(p->desk->jobs);
    room = task_take_bytes(p->task, (int64_t)count, engine_config(p->desk->engine)->jobs.max_bytes);
    jobs_unlock(p->desk->jobs);
    if (!room) {
        fail(p, PROBLEM_JOB_RESULT_TOO_LARGE,
             "With this result the bodies of all jobs would be longer than "
             "jobs.max_size.");
        return false;
    }
    if (a->body.spool == NULL)
        a->body.spool = spool_new(p->desk->jobs->directory);
    if (spool_write(a->body.spool, bytes, count, &why) != 0 || spool_is_pass(a->body.spool)) {
        fail(p, PROBLEM_JOB_NOT_KEPT, "The result could not be written to the state directory.");
        return false;
    }
    p->gathered += (int64_t)count;
    return true;
}

static void go_on_later(struct performance *p)
{
    if (p->again_posted)
        return;
    p->again_posted = true;
    mailbox_post(p->desk->mailbox, &p->again);
}

static void read_stream(struct performance *p)
{
    const int64_t until = p->gathered + AT_ONCE_BYTES;
    char          piece[READ_BYTES];
    size_t        got = 0;

    while (p->gathered < until) {
        switch (exchange_read(p->exchange, piece, sizeof piece, &got)) {
        case SPOOL_READ_BYTES:
            if (!gather(p, piece, got))
                return;
            continue;
        case SPOOL_READ_WAIT:
            return;
        case SPOOL_READ_END:
            succeed(p);
            return;
        case SPOOL_READ_CUT:
            fail(p, PROBLEM_UPSTREAM_FAILED, "The answer's body was cut short.");
            return;
        }
    }
    go_on_later(p);
}

static void read_file(struct performance *p)
{
    const int64_t until = p->gathered + AT_ONCE_BYTES;
    char          piece[READ_BYTES];

    while (p->file_left > 0 && p->gathered < until) {
        const size_t  most = p->file_left < (int64_t)sizeof piece ? (size_t)p->file_left : sizeof piece;
        const ssize_t n = pread(p->file, piece, most, p->file_at);

        if (n <= 0) {
            fail(p, PROBLEM_UPSTREAM_FAILED, "The stored body cannot be read.");
            return;
        }
        if (!gather(p, piece, (size_t)n))
            return;
        p->file_at += n;
        p->file_left -= n;
    }
    if (p->file_left > 0)
        go_on_later(p);
    else
        succeed(p);
}

/* queue.max_length is for clients that wait: a job that was promised waits here meanwhile. */
static bool found_queue_full(const struct performance *p, const struct reply *r)
{
    return r->status == 429 && r->kind == REPLY_BYTES && exchange_is_own_reply(p->exchange) &&
           slice_matches(SLICE("*" PROBLEM_TYPE "queue-full\"*"), r->bytes);
}

static void park(struct performance *p)
{
    exchange_close(p->exchange, clock_mono_ns(), true, 0);
    p->exchange = NULL;
    p->sent = 0;
    p->sent_all = false;
    p->parked_until_ns = clock_mono_ns() + PARKED_NS;
    jobs_lock(p->desk->jobs);
    note_outlook(p->task, 0, 0); /* as far as it can be known */
    jobs_unlock(p->desk->jobs);
}

static void take_reply(struct performance *p)
{
    const struct reply *r = exchange_reply(p->exchange);
    struct task_answer *a;

    if (found_queue_full(p, r)) {
        park(p);
        return;
    }
    a = task_answer_new();
    p->answer = a;
    a->status = r->status;
    a->length = r->length;
    a->fields = http_fields_copy(&r->fields, &a->arena);
    a->kept = p->task->own_credential ? service_fields_to_keep(p->exchange, &a->arena) : a->fields;
    switch (r->kind) {
    case REPLY_EMPTY:
        a->is_empty = true;
        exchange_reply_taken(p->exchange);
        succeed(p);
        return;
    case REPLY_BYTES:
        if (r->bytes.len > 0 && !gather(p, r->bytes.ptr, r->bytes.len))
            return;
        exchange_reply_taken(p->exchange);
        succeed(p);
        return;
    case REPLY_FILE:
        p->file = r->fd;
        p->file_at = r->offset;
        p->file_left = r->length;
        exchange_reply_taken(p->exchange);
        read_file(p);
        return;
    case REPLY_STREAM:
        p->is_streaming = true;
        read_stream(p);
        return;
    }
}

/* -- its request -- */

static bool send_body(struct performance *p)
{
    const struct task_body *b = &p->task->body;
    char                    piece[READ_BYTES];

    while (p->sent < b->bytes) {
        const ssize_t n = task_body_read(b, p->request_fd, p->sent, piece, sizeof piece);
        size_t        taken;

        if (n <= 0) {
            fail(p, PROBLEM_JOB_NOT_KEPT, "The request's body cannot be read again from the state directory.");
            return false;
        }
        taken = exchange_upload(p->exchange, piece, (size_t)n);
        p->sent += (int64_t)taken;
        if (taken < (size_t)n)
            return true;
    }
    if (!p->sent_all)
        exchange_upload_end(p->exchange);
    p->sent_all = true;
    return true;
}

static void go_on(struct performance *p)
{
    if (p->file >= 0) {
        read_file(p);
    } else if (p->is_streaming) {
        read_stream(p);
    } else if (p->answer == NULL) {
        if (p->task->asked.has_body && !send_body(p))
            return;
        if (exchange_run(p->exchange) == EXCHANGE_READY)
            take_reply(p);
    }
}

/* A service may say so from within a call of the exchange's. */
static void wake(void *owner)
{
    go_on_later(owner);
}

static void receive_again(struct mail *m)
{
    struct performance *p = CONTAINER_OF(m, struct performance, again);

    p->again_posted = false;
    if (!p->ended && p->exchange != NULL)
        go_on(p);
}

/* Somebody has deleted it. */
static void receive_cancel(struct mail *m)
{
    leave(CONTAINER_OF(m, struct performance, cancel), false);
}

/* -- what is heard of it meanwhile -- */

static void hear_queued(struct exchange_job *job, int64_t wait_ns, uint64_t ahead)
{
    struct performance *p = CONTAINER_OF(job, struct performance, job);
    struct task        *t = p->task;

    if (p->ended)
        return;
    jobs_lock(t->jobs);
    if (t->is_batch)
        note_outlook(t, 0, 0);
    else
        note_outlook(t, time_add(clock_wall_ns(), wait_ns), ahead);
    jobs_unlock(t->jobs);
}

static void hear_sent(struct exchange_job *job)
{
    struct performance *p = CONTAINER_OF(job, struct performance, job);

    if (p->ended)
        return;
    p->is_sent = true;
    jobs_lock(p->desk->jobs);
    p->task->outlook.is_known = true;
    task_become(p->task, TASK_RUNNING, NULL);
    jobs_unlock(p->desk->jobs);
}

/* -- its beginning -- */

static void begin(struct performance *p)
{
    const struct task_asked    *a = &p->task->asked;
    const struct exchange_input in = {
        .request = a->request,
        .has_body = a->has_body,
        .body_bytes = p->task->body.bytes,
        .head_bytes = HEAD_BYTES,
        .peer = a->peer_name,
        .connected = a->connected,
        .is_tls = a->is_tls,
        .job = &p->job,
        .proxy_user = a->proxy_user,
        .known = task_known,
        .who = task_known,
        .card = task_card,
        .label = task_label,
        .wake = wake,
        .interim = task_interim,
        .owner = p,
    };

    p->exchange = exchange_open(p->desk->engine, &in);
    if (exchange_begin(p->exchange) == EXCHANGE_READY)
        take_reply(p);
    else if (a->has_body || p->task->is_batch)
        go_on(p);
}

bool perform_again(struct performance *p, int64_t now_mono_ns)
{
    if (p->parked_until_ns == 0 || now_mono_ns < p->parked_until_ns)
        return false;
    p->parked_until_ns = 0;
    begin(p);
    return true;
}

static bool open_body(struct performance *p)
{
    char name[TASK_FILE_BYTES];

    if (!p->task->body.is_in_file)
        return true;
    task_file_name(p->task, false, name);
    p->request_fd = openat(p->task->jobs->directory, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    return p->request_fd >= 0;
}

static bool is_wanted(struct task *t)
{
    bool wanted;

    jobs_lock(t->jobs);
    wanted = t->state == TASK_QUEUED && !t->has_coming;
    jobs_unlock(t->jobs);
    return wanted;
}

void perform_start(struct desk *d, struct task *t)
{
    struct performance *p;

    if (!is_wanted(t))
        return;
    p = mem_alloc(sizeof *p);

    task_acquire(t);
    engine_hold(d->engine);
    p->desk = d;
    p->task = t;
    p->request_fd = p->file = -1;
    p->peer = t->asked.peer;
    p->job = (struct exchange_job){ .number = t->number, .queued = hear_queued, .sent = hear_sent };
    p->cancel.receive = receive_cancel;
    p->look.receive = receive_look;
    p->again.receive = receive_again;
    p->fence.receive = receive_fence;
    LIST_INSERT_HEAD(&d->performances, p, entry);
    jobs_lock(d->jobs);
    if (t->slot < TASK_SLOTS)
        p->job.mark = &d->jobs->marks[t->slot];
    t->cancel = &p->cancel;
    t->look = &p->look;
    t->carried_out_at = d->mailbox;
    jobs_unlock(d->jobs);
    if (!open_body(p))
        fail(p, PROBLEM_JOB_NOT_KEPT, "The request's body is not in the state directory any more.");
    else
        begin(p);
}

void perform_end(struct performance *p)
{
    leave(p, false);
}

bool perform_is_sent(const struct performance *p)
{
    return p->is_sent;
}

struct performance *perform_next(struct performance *p)
{
    return LIST_NEXT(p, entry);
}
