/*
 * The life of an exchange: opening, running its steps, its request body, its
 * streamed answer, and closing it without leaving mail behind.
 *
 * An exchange is woken by mail of other threads (the fetch's answer, room in
 * the upload, more of the spool).  Closing detaches it from all of them and
 * then posts a fence to the worker's own mailbox: mail is delivered in order,
 * so when the fence arrives, nothing addressed to the exchange is left and
 * it can be used again.
 */
#include "engine/internal.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/counters.h"

#include <stdlib.h>
#include <unistd.h>

enum { UNUSED_EXCHANGES = 256 };

static enum step (*const step_table[])(struct exchange *) = {
#define X(id, name) [STEP_##id] = step_##name,
    ENGINE_STEPS(X)
#undef X
};

struct engine *engine_open(const struct engine_services *services, struct mailbox *mailbox,
                           struct config *config, struct access_log *access, unsigned index, unsigned count)
{
    struct engine *e = mem_alloc(sizeof *e);

    e->services = services;
    e->mailbox = mailbox;
    e->access = access;
    e->next_id = index + 1;
    e->id_step = count;
    e->groups = groups_open();
    e->reader = store_reader_open(services->store);
    config_acquire(config);
    e->config = config;
    return e;
}

void engine_close(struct engine *e)
{
    if (e == NULL)
        return;
    CHECK(engine_is_idle(e));
    while (e->unused != NULL) {
        struct exchange *x = e->unused;

        e->unused = x->next_unused;
        arena_free(&x->arena);
        free(x);
    }
    store_reader_close(e->reader);
    groups_close(e->groups);
    config_release(e->config);
    free(e);
}

void engine_configure(struct engine *e, struct config *config)
{
    config_acquire(config);
    config_release(e->config);
    e->config = config;
}

uint64_t engine_take_id(struct engine *e)
{
    uint64_t id = e->next_id;

    e->next_id += e->id_step;
    return id;
}

bool engine_is_idle(const struct engine *e)
{
    return e->open_count == 0 && e->fetch_count == 0 && e->change_count == 0;
}

bool engine_admits(struct engine *e, const struct config_upstream *up, const struct peer *who)
{
    return admission_allows(up, who, e->groups, clock_mono_ns());
}

struct slice engine_not_admitted(const struct peer *who, struct arena *a)
{
    return ARENA_JOIN(a, SLICE("The setting access of this upstream does not list whom Weir takes you for: "),
                      admission_who(who, a), SLICE("."));
}

static void receive_room(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(m, struct exchange, room);

    if (!x->closed)
        x->in.wake(x->in.owner);
}

static void receive_spool(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(CONTAINER_OF(m, struct spool_reader, wake), struct exchange, reader);

    if (!x->closed)
        x->in.wake(x->in.owner);
}

/* Nothing is addressed to it any more: its memory serves the next request. */
static void recycle(struct exchange *x)
{
    struct engine *e = x->engine;

    e->open_count--;
    arena_reset(&x->arena);
    if (e->unused_count >= UNUSED_EXCHANGES) {
        arena_free(&x->arena);
        free(x);
        return;
    }
    x->next_unused = e->unused;
    e->unused = x;
    e->unused_count++;
}

static void receive_fence(struct mail *m)
{
    recycle(CONTAINER_OF(m, struct exchange, fence));
}

struct exchange *exchange_open(struct engine *e, const struct exchange_input *in)
{
    struct exchange *x = e->unused;
    struct arena     arena = { 0 };

    if (x != NULL) {
        e->unused = x->next_unused;
        e->unused_count--;
        arena = x->arena;
    } else {
        x = mem_alloc(sizeof *x);
    }
    memset(x, 0, sizeof *x);
    x->arena = arena;
    x->engine = e;
    x->in = *in;
    x->id = engine_take_id(e);
    config_acquire(e->config);
    x->config = e->config;
    x->stored.fd = -1;
    x->reply.fd = -1;
    x->relink_fd = -1;
    x->room.receive = receive_room;
    x->reader.wake.receive = receive_spool;
    x->fence.receive = receive_fence;
    x->started_wall_ns = clock_wall_ns();
    x->started_mono_ns = clock_mono_ns();
    e->open_count++;
    counter_add(COUNTER_REQUESTS, 1);
    return x;
}

/* Each request is counted once, for what became of it. */
static void count(struct exchange *x, enum counter outcome)
{
    if (!x->counted)
        counter_add(outcome, 1);
    x->counted = true;
}

static enum counter outcome_of(const struct exchange *x)
{
    if (x->outcome != 0)
        return x->outcome;
    if (x->decision.verdict == VERDICT_UNAVAILABLE && x->reply.status == 504)
        return COUNTER_UNAVAILABLE;
    return x->reply.status >= 500 ? COUNTER_FAILED : x->reply.status >= 400 ? COUNTER_CLIENT_ERRORS : COUNTER_OWN;
}

static enum exchange_state run(struct exchange *x)
{
    x->running = true;
    while (x->at < STEP_DONE) {
        enum step next = step_table[x->at](x);

        if (next == STEP_SUSPEND) {
            x->running = false;
            return EXCHANGE_WAIT;
        }
        x->at = next;
    }
    x->running = false;
    count(x, outcome_of(x));
    return EXCHANGE_READY;
}

/* A body that is being taken keeps the front busy: it would not ask before its end. */
void exchange_go_on(struct exchange *x)
{
    if (x->in.has_body)
        run(x);
    x->in.wake(x->in.owner);
}

/* RFC 9110 10.1.1: an HTTP/1.0 client cannot hear a 100. */
static bool expects_100(const struct exchange_input *in)
{
    return in->has_body && in->request.version_minor >= 1
        && slice_eq_nocase(http_fields_get(&in->request.fields, HTTP_EXPECT), SLICE("100-continue"));
}

bool exchange_wants_body(const struct exchange *x)
{
    return !x->expects || x->continued || x->collecting || x->at == STEP_DONE;
}

enum exchange_state exchange_begin(struct exchange *x)
{
    x->begun = true;
    x->expects = expects_100(&x->in);
    return run(x);
}

enum exchange_state exchange_run(struct exchange *x)
{
    return run(x);
}

size_t exchange_upload(struct exchange *x, const void *bytes, size_t count)
{
    size_t taken;

    if (x->upload == NULL || x->at == STEP_DONE
        || (x->fetch != NULL && (x->fetch->event == FETCH_FAILED || x->fetch->event == FETCH_REFUSED)))
        return count;                               /* decided already: the rest is drained */
    taken = upload_write(x->upload, bytes, count);
    x->received_bytes += (int64_t)taken;
    if (x->awaits_body)
        run(x);
    if (taken < count && x->collecting) {
        /* Too long to be part of a key: it goes through as it is. */
        x->collecting = false;
        x->has_key = false;
        run(x);
    }
    return taken;
}

void exchange_upload_end(struct exchange *x)
{
    x->upload_ended = true;
    if (x->upload != NULL)
        upload_finish(x->upload, true);
}

const struct reply *exchange_reply(const struct exchange *x)
{
    return &x->reply;
}

void exchange_reply_taken(struct exchange *x)
{
    if (x->reply.kind == REPLY_FILE)
        x->reply.fd = -1;
    if (x->stored.borrowed) {
        store_reader_end(x->engine->reader);
        x->stored.borrowed = false;
    }
}

enum spool_read read_answer(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    enum spool_read state;

    if (!x->reader_open) {
        spool_reader_open(&x->reader, x->answer->body, x->engine->mailbox, 0);
        x->reader_open = true;
    }
    state = spool_read(&x->reader, buffer, count, got);
    return state == SPOOL_READ_WAIT && x->cut ? SPOOL_READ_CUT : state;
}

enum spool_read exchange_read(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    return x->relink != NULL ? dress_read(x, buffer, count, got) : read_answer(x, buffer, count, got);
}

const struct http_fields *exchange_trailers(const struct exchange *x)
{
    return x->answer != NULL && x->answer->trailers.count > 0 ? &x->answer->trailers : NULL;
}

/* Credentials are redacted; where no upstream says which parameters they are in, the whole query is. */
static struct slice loggable_target(const struct exchange *x, struct arena *a)
{
    struct slice target = x->in.request.target;
    size_t       query = slice_find(target, '?', 0);

    if (x->policy != NULL)
        return policy_redact_target(x->policy, target, a);
    if (query == target.len)
        return target;
    return arena_printf(a, SLICE_FMT "?***", SLICE_ARG(slice_sub(target, 0, query)));
}

/* What it calls itself, where it does. */
static struct slice name_for_log(const struct exchange *x)
{
    if (x->client.name.ptr != NULL && x->client.name.ptr != x->in.peer)
        return x->client.name;
    return x->wish.client.ptr != NULL ? x->wish.client : x->in.proxy_user;
}

struct access_record exchange_describe(const struct exchange *x, struct arena *a)
{
    return (struct access_record){
        .started_wall_ns = x->started_wall_ns,
        .id = x->id,
        .peer = x->in.peer,
        .client = name_for_log(x),
        .method = x->in.request.method_name,
        .upstream = x->up != NULL ? x->up->route.name : NULL,
        .target = loggable_target(x, a),
        .rule = x->rule != NULL ? x->rule->policy.label : NULL,
        .status = x->refused_status != 0 ? x->refused_status : x->at == STEP_DONE ? x->reply.status : 499,
        .received_bytes = x->received_bytes,
        .cache = x->cache_word != NULL ? x->cache_word : "none",
        .forward = x->forwarded ? forward_reason_token(x->decision.forward) : NULL,
        .detail = x->detail,
        .collapsed = x->collapsed,
        .stored = x->stored_flag,
        .attempts = x->attempts,
        .attempt_count = x->attempt_count,
        .predicted_ns = x->predicted_ns,
        .queued_ns = x->queued_ns,
        .upstream_ns = x->upstream_ns,
    };
}

static void write_access(struct exchange *x, bool whole, int64_t sent_bytes)
{
    struct access_record record;

    if (!access_log_is_on(x->engine->access))
        return;
    record = exchange_describe(x, &x->arena);
    if (record.client.ptr == NULL)
        record.client = x->in.label(x->in.owner);
    record.took_ns = clock_mono_ns() - x->started_mono_ns;
    record.sent_bytes = sent_bytes;
    record.whole = whole;
    access_log_write(x->engine->access, &record);
}

void exchange_refuse(struct exchange *x, unsigned status, const char *why)
{
    count(x, COUNTER_CLIENT_ERRORS);
    x->refused_status = status;
    x->cache_word = "error";
    x->detail = why;
}

void exchange_close(struct exchange *x, bool whole, int64_t sent_bytes)
{
    struct engine *e = x->engine;
    bool           may_have_mail = x->upload != NULL || x->reader_open || x->awaited_credential;

    if (!whole && x->refused_status == 0)
        counter_add(COUNTER_CLIENT_GONE, 1);
    count(x, COUNTER_UNANSWERED);
    write_access(x, whole, sent_bytes);
    candidate_drop(x);
    invalidate_forget(x);
    dress_close(x);
    inject_close(x);
    if (x->reply.fd >= 0)
        close(x->reply.fd);
    if (x->fetch != NULL) {
        x->fetch->owner = NULL;
        fetch_leave(e->services->upstream, x->fetch);
        x->fetch = NULL;
    }
    if (x->reader_open)
        spool_reader_close(&x->reader);
    answer_release(x->answer);
    x->answer = NULL;
    if (x->upload != NULL) {
        if (!x->upload_ended)
            upload_finish(x->upload, false);
        upload_set_worker(x->upload, NULL, NULL);
        upload_release(x->upload);
        x->upload = NULL;
    }
    config_release(x->config);
    x->config = NULL;
    x->closed = true;
    if (may_have_mail)
        mailbox_post(e->mailbox, &x->fence);
    else
        recycle(x);
}
