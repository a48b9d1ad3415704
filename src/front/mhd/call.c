/*
 * One request on its connection: MHD's callbacks on one side, the exchange
 * (or an admin call) on the other.
 *
 * MHD calls the access handler with the head, then with pieces of the body,
 * then once more; an answer to a request without a body is queued in that
 * last call, since one queued earlier closes the connection.  A call that
 * must wait is suspended and resumed by the wake of what it waits for; if its
 * peer leaves meanwhile, it is resumed to be broken off.
 */
#include "front/mhd/call.h"

#include "base/clock.h"
#include "base/log.h"
#include "engine/guard.h"
#include "front/mhd/refuse.h"
#include "front/mhd/shards.h"
#include "front/mhd/startline.h"
#include "front/mhd/tricks.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { UNUSED_CALLS = 256, SMALL_BYTES = 448 };

static const int64_t left_ns = 2 * NS_PER_SEC;

/* -- life -- */

static void link_call(struct worker *w, struct call *call)
{
    LIST_INSERT_HEAD(&w->calls.list, call, entry);
    w->calls.count++;
}

static void unlink_call(struct worker *w, struct call *call)
{
    w->calls.count--;
    LIST_REMOVE(call, entry);
}

static struct call *new_call(struct worker *w)
{
    struct call *call = LIST_FIRST(&w->calls.unused);
    struct arena arena = { 0 };

    if (call != NULL) {
        LIST_REMOVE(call, entry);
        w->calls.unused_count--;
        arena = call->arena;
    } else {
        call = mem_alloc(sizeof *call);
    }
    memset(call, 0, sizeof *call);
    call->arena = arena;
    call->worker = w;
    link_call(w, call);
    if (w->calls.count > MANY_CALLS && call->arena.first == NULL)
        arena_begin_small(&call->arena, SMALL_BYTES); /* so many are waiting, as this one is likely to do */
    return call;
}

static void free_call(struct call *call)
{
    struct worker *w = call->worker;

    unlink_call(w, call);
    arena_recycle(&call->arena);
    if (w->calls.unused_count >= UNUSED_CALLS) {
        arena_free(&call->arena);
        free(call);
        return;
    }
    LIST_INSERT_HEAD(&w->calls.unused, call, entry);
    w->calls.unused_count++;
}

void call_free_unused(struct worker *w)
{
    struct call *call;

    while ((call = LIST_FIRST(&w->calls.unused)) != NULL) {
        LIST_REMOVE(call, entry);
        arena_free(&call->arena);
        free(call);
    }
    w->calls.unused_count = 0;
}

/* -- waiting -- */

static void *tls_session(const struct call *call)
{
    return MHD_get_connection_info(call->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
}

/* MHD cannot say it, but while the call waits the connection is ours to write to (RFC 9110 15.2). It goes out
 * whole or not at all: a piece of it would spoil the answer after it. */
static void send_interim(void *owner, unsigned status, const struct http_fields *f)
{
    struct call *call = owner;
    struct slice text = arena_printf(&call->arena, "HTTP/1.1 %u %s\r\n", status, http_status_reason(status));
    ssize_t      sent;

    if (!call->suspended || call->streaming)
        return;
    for (unsigned i = 0; i < f->count; i++)
        text = arena_printf(&call->arena, SLICE_FMT SLICE_FMT ": " SLICE_FMT "\r\n", SLICE_ARG(text),
                            SLICE_ARG(f->items[i].name), SLICE_ARG(f->items[i].value));
    text = arena_printf(&call->arena, SLICE_FMT "\r\n", SLICE_ARG(text));
    if (call->connection->is_tls) {
        if (!handshake_send(tls_session(call), text.ptr, text.len))
            call_break_off(call);
        return;
    }
    sent = send(call->connection->fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0 && (size_t)sent < text.len)
        call_break_off(call);
}

/* libmicrohttpd takes a read that did not fill its buffer for the last one until epoll tells it of more; an end that
 * had come by then it would never see.  Put into epoll anew it is told.  With its buffer full it does not read at all;
 * then nothing of the body comes any more. */
static void read_on(struct call *call)
{
    struct connection *c = call->connection;
    const int64_t      latest_ns = clock_real_ns() + left_ns;

    if (c->is_broken) /* told of our own shutdown(); to resume would begin its time-out anew */
        return;
    if (latest_ns < c->deadline_ns)
        c->deadline_ns = latest_ns;
    call_suspend(call);
    call_resume(call);
}

/* While it waits, that is a client that left; otherwise perhaps one that only has nothing more to ask. */
void call_on_peer_closed(struct connection *c)
{
    c->peer_closed = true;
    if (c->call == NULL)
        return;
    if (c->call->suspended)
        call_break_off(c->call);
    else if (c->call->stage == CALL_BODY)
        read_on(c->call);
}

bool call_any(const struct worker *w)
{
    const struct call *call;

    LIST_FOREACH (call, &w->calls.list, entry)
        if (call->stage != CALL_HEAD && (call->admin == NULL || !admin_may_be_cut(call->admin)))
            return true;
    return false;
}

void call_break_endless(struct worker *w)
{
    struct call *call;

    LIST_FOREACH (call, &w->calls.list, entry)
        if (call->admin != NULL && admin_may_be_cut(call->admin))
            call_break_off(call);
}

void call_break_all(struct worker *w)
{
    struct call *call;

    LIST_FOREACH (call, &w->calls.list, entry) {
        if (!call->gone)
            w->stop.broken_off++;
        call->gone = true;
        call_resume(call);
        if (call->connection != NULL && !call->connection->is_broken)
            connection_break(call->connection);
    }
}

/* -- the head -- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* MHD would parse the query into the connection's pool, and refuse a long one: the target is copied,
 * and what MHD goes on with ends after its '?'. */
void *call_on_target(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct connection *c = connection_of(mhd);
    struct call       *call = new_call(context);
    char              *query = strchr(uri, '?');

    call->mhd = mhd;
    call->raw_target = uri;
    c->begun = call;
    c->worker->intake.current = c;
    pool_enter(&c->pool, uri);
    call->target = arena_copy(&call->arena, slice_of(uri));
    if (query != NULL)
        query[1] = '\0';
    return call;
}

static void find_connection(struct call *call)
{
    const int64_t      idle_ns = call->worker->config->timeout.idle_ns;
    struct connection *c = connection_of(call->mhd);

    call->connection = c;
    c->call = call;
    if (idle_ns != c->idle_timeout_ns)
        MHD_set_connection_option(call->mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)(idle_ns / NS_PER_SEC));
    c->idle_timeout_ns = idle_ns;
}

static void open_exchange(struct call *call, size_t head_bytes)
{
    const struct exchange_input in = {
        .request = call->request,
        .has_body = call->has_body,
        .body_bytes = call->body_bytes,
        .head_bytes = call_head_bytes(call),
        .is_doubtful = !rawhead_is_plain(&call->raw, call->request.method_name.ptr, head_bytes),
        .peer = call->connection->peer,
        .connected = slice_of(call->connection->connected),
        .is_tls = call->connection->is_tls,
        .proxy_user = slice_of(call->connection->proxy_user),
        .known = call_known,
        .who = call_who,
        .card = call_card,
        .label = call_label_record,
        .wake = call_wake,
        .interim = send_interim,
        .owner = call,
    };

    call->exchange = exchange_open(call->worker->engine, &in);
}

static enum MHD_Result continue_exchange(struct call *call, enum exchange_state state)
{
    if (state == EXCHANGE_READY)
        return call_queue_reply(call, exchange_reply(call->exchange));
    call_wait(call);
    return MHD_YES;
}

/* -- MHD's callbacks -- */

/* The client's next piece of a body has to come in time. */
static void await_body(struct call *call)
{
    call->connection->deadline_ns = call->has_body ? clock_real_ns() + call->worker->config->timeout.body_ns
                                                   : INT64_MAX;
}

/* The head is there, its body is not: what must be refused is refused before it is taken, which also closes the
 * connection.  libmicrohttpd says 100 to who expects it when this returns without an answer and not suspended; so a
 * suspended call is asked here again until the API wants the body. */
static enum MHD_Result await_want(struct call *call, enum exchange_state state)
{
    if (state == EXCHANGE_READY) {
        intake_pass(call->connection);
        call->connection->lingers = true;
        return call_queue_reply(call, exchange_reply(call->exchange));
    }
    if (exchange_wants_body(call->exchange)) {
        call->stage = CALL_BODY;
        await_body(call);
        return MHD_YES;
    }
    call->stage = CALL_EXPECT;
    call->connection->deadline_ns = INT64_MAX; /* the API's turn */
    call_wait(call);
    return MHD_YES;
}

static void set_restless(struct call *call, bool is_restless)
{
    unsigned *count = &call->worker->mhd.restless[call->connection->is_tls];

    *count += is_restless;
    *count -= call->is_restless;
    call->is_restless = is_restless;
}

/* A body is followed only where MHD and the guard see the same one. */
static int64_t certain_body_bytes(const struct call *call)
{
    const struct http_fields *f = &call->request.fields;

    if (!call->has_body)
        return 0;
    if (call->body_bytes >= 0)
        return http_fields_count(f, HTTP_CONTENT_LENGTH) == 1 ? call->body_bytes : -2;
    return http_fields_count(f, HTTP_TRANSFER_ENCODING) == 1 &&
                   slice_eq_nocase(http_fields_get(f, HTTP_TRANSFER_ENCODING), SLICE("chunked"))
               ? -1
               : -2;
}

static enum MHD_Result refuse_head(struct call *call)
{
    const struct refusal no = startline_refusal(431);

    refuse_connection(call->connection, &no);
    return MHD_NO;
}

/* What has a body is refused before it is taken, anything else as soon as libmicrohttpd takes an answer. */
static enum MHD_Result admin_admit_head(struct call *call, size_t head_bytes)
{
    call_judge_admin_head(call, head_bytes);
    if (call->refusal == NULL || !call->has_body)
        return MHD_YES;
    refuse_connection(call->connection, call->refusal);
    return MHD_NO;
}

static enum MHD_Result on_head(struct call *call, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(call->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const size_t                    head_bytes = size->header_size;

    call->head_bytes = head_bytes;
    find_connection(call);
    call->stage = CALL_BODY;
    call_label(call->connection);
    if (call_find_kept(call, method, version, head_bytes)) {
        intake_head(call->connection, method, head_bytes, 0);
        return MHD_YES;
    }
    call_read_head(call, method, version);
    if (!call_head_fits(call, head_bytes))
        return refuse_head(call);
    if (!intake_head(call->connection, method, head_bytes, certain_body_bytes(call)))
        return MHD_NO;
    await_body(call);
    if (call->body_bytes < 0 && !trick(TRICK_INTAKE))
        set_restless(call, true);
    if (listener_is_admin(call->connection->kind))
        return admin_admit_head(call, head_bytes);
    open_exchange(call, head_bytes);
    return call->has_body ? await_want(call, exchange_begin(call->exchange)) : MHD_YES;
}

static enum MHD_Result on_body(struct call *call, const char *bytes, size_t *count)
{
    size_t taken;

    if (listener_is_admin(call->connection->kind))
        return call_take_admin_body(call, bytes, count);
    taken = exchange_upload(call->exchange, bytes, *count);
    *count -= taken;
    await_body(call);
    if (*count > 0) {
        call->connection->deadline_ns = INT64_MAX; /* the API's turn */
        call_wait(call);
    } else if (call->connection->peer_closed) {
        read_on(call);
    }
    return MHD_YES;
}

enum MHD_Result call_on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size,
                                void **call_context)
{
    struct call *call = *call_context;

    struct connection *c = connection_of(mhd);

    (void)context;
    (void)url;
    c->worker->intake.current = c;
    pool_enter(&c->pool, call->raw_target);
    if (call->gone || c->refused)
        return MHD_NO;
    if (call->stage == CALL_HEAD)
        return on_head(call, method, version);
    if (call->stage == CALL_EXPECT)
        return await_want(call, exchange_run(call->exchange));
    if (*upload_data_size > 0)
        return on_body(call, upload_data, upload_data_size);
    if (call->stage == CALL_BODY) {
        call->stage = CALL_ANSWER;
        call->connection->deadline_ns = INT64_MAX;
        if (call->is_restless)
            set_restless(call, false);
        if (call->has_body && call->exchange != NULL)
            exchange_upload_end(call->exchange);
    }
    if (listener_is_admin(call->connection->kind))
        return call_answer_admin(call);
    if (call->kept != NULL)
        return call_queue_kept(call);
    return continue_exchange(call, exchange_run(call->exchange));
}

/* Of a request without a body: its head. */
static size_t received_bytes(const struct call *call)
{
    return !call->has_body && call->head_bytes > 0 ? call->head_bytes : SIZE_MAX;
}

/* With its pool full of cookies, MHD ends a request without saying so. */
void call_on_closed(struct connection *c)
{
    void *call = c->begun;

    if (call != NULL)
        call_on_completed(c->worker, c->mhd, &call, MHD_REQUEST_TERMINATED_WITH_ERROR);
}

void call_on_completed(void *context, struct MHD_Connection *mhd, void **call_context,
                       enum MHD_RequestTerminationCode why)
{
    struct worker     *w = context;
    struct call       *call = *call_context;
    struct connection *c;
    size_t             received;
    bool               whole = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    int64_t            now = clock_real_ns();
    int64_t            mono = clock_mono_of(now);

    pool_leave();
    if (call == NULL)
        return;
    c = call->connection != NULL ? call->connection : connection_of(mhd);
    c->begun = NULL;
    w->intake.current = c;
    c = call->connection;
    received = received_bytes(call);
    if (call->is_restless)
        set_restless(call, false);
    if (call->exchange != NULL)
        exchange_close(call->exchange, mono, whole, call->streaming ? call->sent_bytes : whole ? call->reply_bytes : 0);
    if (call->kept != NULL) {
        repeat_end(call->kept->repeat, w->engine, &call->repetition,
                   &(struct repeat_client){ c->peer, call_label_record, call }, mono, whole,
                   whole ? call->reply_bytes : 0);
        kept_release(call->kept);
    }
    if (call->admin != NULL)
        admin_end(call->admin);
    if (call->admin_rest != NULL)
        admin_rest_close(call->admin_rest);
    free_call(call);
    *call_context = NULL;
    if (c == NULL)
        return;
    c->call = NULL;
    if (whole)
        intake_next(c);
    if (!c->refused)
        c->deadline_ns = now + w->config->timeout.idle_ns;
    pool_end(&c->pool, whole, received, now, c->idle_timeout_ns);
}
