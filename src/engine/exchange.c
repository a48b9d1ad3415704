/*
 * The life of an exchange: opening, running its steps, its request body, its
 * streamed answer, and closing it without leaving mail over.
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
#include "engine/dry.h"
#include "engine/runs.h"
#include "engine/service.h"

#include <stdlib.h>
#include <unistd.h>

enum { UNUSED_EXCHANGES = 256, MANY_EXCHANGES = 64, SMALL_BYTES = 256 };

static void receive_room(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(m, struct exchange, body.room);

    if (!x->closed)
        x->in.wake(x->in.owner);
}

static void receive_spool(struct mail *m)
{
    struct exchange *x = CONTAINER_OF(CONTAINER_OF(m, struct spool_reader, wake), struct exchange, stream.reader);

    if (!x->closed)
        x->in.wake(x->in.owner);
}

/* Nothing is addressed to it any more: its memory serves the next request. */
static void recycle(struct exchange *x)
{
    struct engine *e = x->engine;

    e->open_count--;
    arena_recycle(&x->arena);
    if (e->unused_count >= UNUSED_EXCHANGES) {
        arena_free(&x->arena);
        free(x);
        return;
    }
    SLIST_INSERT_HEAD(&e->unused, x, entry);
    e->unused_count++;
}

static void receive_fence(struct mail *m)
{
    recycle(CONTAINER_OF(m, struct exchange, fence));
}

/* Each request is counted once, for what became of it. */
void exchange_count(struct exchange *x, enum counter outcome)
{
    if (x->log.counted == 0) {
        counter_add(outcome, 1);
        x->log.counted = outcome;
    }
}

static struct exchange *begin(struct engine *e, const struct exchange_input *in)
{
    struct exchange *x = SLIST_FIRST(&e->unused);
    struct arena     arena = { 0 };

    if (x != NULL) {
        SLIST_REMOVE_HEAD(&e->unused, entry);
        e->unused_count--;
        arena = x->arena;
    } else {
        x = mem_alloc(sizeof *x);
    }
    memset(x, 0, sizeof *x);
    x->arena = arena;
    if (e->open_count >= MANY_EXCHANGES && arena.first == NULL)
        arena_begin_small(&x->arena, SMALL_BYTES); /* so many are waiting, as this one is likely to do */
    x->engine = e;
    x->in = *in;
    config_acquire(e->config);
    x->config = e->config;
    x->stored.fd = -1;
    x->reply.fd = -1;
    x->relink.fd = -1;
    x->body.room.receive = receive_room;
    x->stream.reader.wake.receive = receive_spool;
    x->fence.receive = receive_fence;
    x->log.started_wall_ns = clock_wall_ns();
    x->log.started_mono_ns = clock_mono_ns();
    e->open_count++;
    return x;
}

struct exchange *exchange_open(struct engine *e, const struct exchange_input *in)
{
    struct exchange *x = begin(e, in);

    x->id = engine_take_id(e);
    counter_add(COUNTER_REQUESTS, 1);
    return x;
}

struct exchange *exchange_open_dry(struct engine *e, const struct exchange_input *in, struct dry_run *dry)
{
    struct exchange *x = begin(e, in);

    x->mode.dry = dry;
    x->log.counted = COUNTER_OWN; /* as if it had been */
    return x;
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

/* ... and once more for its upstream, with how long it took. */
static void count_traffic(struct exchange *x, int64_t took_ns, int64_t sent_bytes)
{
    struct traffic_cells *cells = traffic_of(x->up != NULL ? x->up->traffic : x->config->traffic, x->engine->index);

    traffic_request(cells, exchange_traffic_cell(x), took_ns, sent_bytes);
    if (x->body.received_bytes > 0)
        cell_add(&cells->received_bytes, (uint64_t)x->body.received_bytes);
    if (x->so_far.fetch_noted) /* who left while he waited has not been told how long that was */
        histogram_add(&cells->queue, x->outcome.queued_ns);
}

static void tell_of(struct exchange *x, bool whole, int64_t took_ns, int64_t sent_bytes)
{
    struct request_record record;

    if (!recorder_is_on(x->engine->recorder))
        return;
    record = exchange_describe(x, &x->arena);
    x->in.label(x->in.owner, &record);
    record.took_ns = took_ns;
    record.sent_bytes = sent_bytes;
    record.whole = whole;
    recorder_take(x->engine->recorder, &record);
}

void exchange_refuse(struct exchange *x, enum problem_kind kind)
{
    exchange_count(x, COUNTER_CLIENT_ERRORS);
    x->log.refused_status = problem_status(kind);
    x->log.cache = "error";
    x->log.detail = problem_types[kind].title;
    x->log.error = problem_types[kind].name;
}

void exchange_close_dry(struct exchange *x)
{
    struct engine *e = x->engine;
    bool           may_have_mail = x->body.upload != NULL || x->stream.is_open || x->auth.waited || x->peer.waited;

    if (x->service.handle != NULL)
        x->service.of->close(x->service.handle);
    dry_close(x);
    candidate_drop(x);
    invalidate_forget(x);
    read_close(x);
    inject_close(x);
    playing_close(x);
    if (x->peer.waits)
        peer_find_leave(e->services->finder, &x->peer.wait);
    if (x->reply.fd >= 0)
        close(x->reply.fd);
    if (x->fetch != NULL) {
        x->fetch->owner = NULL;
        fetch_leave(e->services->upstream, x->fetch);
        x->fetch = NULL;
    }
    if (x->stream.is_open)
        spool_reader_close(&x->stream.reader);
    answer_release(x->stream.answer);
    x->stream.answer = NULL;
    if (x->body.upload != NULL) {
        if (!x->body.ended)
            upload_finish(x->body.upload, false);
        upload_set_worker(x->body.upload, NULL, NULL);
        upload_release(x->body.upload);
        x->body.upload = NULL;
    }
    config_release(x->config);
    x->config = NULL;
    run_release(x->mode.run);
    x->mode.run = NULL;
    x->closed = true;
    if (may_have_mail)
        mailbox_post(e->mailbox, &x->fence);
    else
        recycle(x);
}

void exchange_close(struct exchange *x, int64_t now_mono_ns, bool whole, int64_t sent_bytes)
{
    const int64_t took_ns = now_mono_ns - x->log.started_mono_ns;

    if (!whole && x->log.refused_status == 0)
        counter_add(COUNTER_CLIENT_GONE, 1);
    exchange_count(x, COUNTER_UNANSWERED);
    count_traffic(x, took_ns, sent_bytes);
    tell_of(x, whole, took_ns, sent_bytes);
    exchange_close_dry(x);
}
