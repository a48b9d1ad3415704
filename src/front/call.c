/*
 * One request on its connection: MHD's callbacks on one side, the exchange
 * (or an admin call) on the other.
 *
 * MHD calls the access handler with the head, then with pieces of the body,
 * then once more; an answer to a request without a body is queued in that
 * last call, since one queued earlier closes the connection.  A call that
 * must wait is suspended and resumed by the wake of what it waits for; if its
 * peer leaves meanwhile, it is resumed to be broken off.
 *
 * long: libmicrohttpd's callbacks for a request share its struct and its way of waiting.
 */
#include "front/worker.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "engine/guard.h"
#include "front/peer.h"
#include "front/rawhead.h"
#include "front/response.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

enum { UNUSED_CALLS = 256, ADMIN_BODY_BYTES = 1024 * 1024, HEAD_ROOM_BYTES = 24 * 1024 };

enum call_stage {
    CALL_HEAD,                        /* nothing but the target is known */
    CALL_BODY,                        /* taking the body, if any */
    CALL_ANSWER                       /* the request is whole */
};

struct call {
    struct worker         *worker;
    struct connection     *connection;
    struct MHD_Connection *mhd;
    struct arena           arena;
    enum call_stage        stage;
    struct slice           target;
    const char            *raw_target;        /* in MHD's buffer */
    struct rawhead         raw;
    struct http_request    request;
    bool                   has_body;
    int64_t                body_bytes;
    struct exchange       *exchange;
    struct kept_head       head;      /* rest.ptr NULL: one whose reply is not kept */
    struct kept           *kept;      /* its reply, instead of an exchange */
    struct repetition      repetition;
    bool                   asked_who; /* the answer may depend on it */
    struct admin_call     *admin;
    struct slice           admin_body;
    bool                   suspended;
    bool                   gone;      /* broken off: the next callback closes the connection */
    int64_t                sent_bytes;
    int64_t                reply_bytes;
    bool                   streaming;
    struct MHD_Response   *response;  /* MHD's, alive while it is being sent */
    struct call           *next, *previous;
};

/* -- life -- */

static void link_call(struct worker *w, struct call *call)
{
    call->next = w->calls;
    call->previous = NULL;
    if (w->calls != NULL)
        w->calls->previous = call;
    w->calls = call;
}

static void unlink_call(struct worker *w, struct call *call)
{
    if (call->next != NULL)
        call->next->previous = call->previous;
    if (call->previous != NULL)
        call->previous->next = call->next;
    else
        w->calls = call->next;
}

static struct call *new_call(struct worker *w)
{
    struct call *call = w->unused_calls;
    struct arena arena = { 0 };

    if (call != NULL) {
        w->unused_calls = call->next;
        w->unused_call_count--;
        arena = call->arena;
    } else {
        call = mem_alloc(sizeof *call);
    }
    memset(call, 0, sizeof *call);
    call->arena = arena;
    call->worker = w;
    link_call(w, call);
    return call;
}

static void free_call(struct call *call)
{
    struct worker *w = call->worker;

    unlink_call(w, call);
    arena_reset(&call->arena);
    if (w->unused_call_count >= UNUSED_CALLS) {
        arena_free(&call->arena);
        free(call);
        return;
    }
    call->next = w->unused_calls;
    w->unused_calls = call;
    w->unused_call_count++;
}

void call_free_unused(struct worker *w)
{
    while (w->unused_calls != NULL) {
        struct call *call = w->unused_calls;

        w->unused_calls = call->next;
        arena_free(&call->arena);
        free(call);
    }
    w->unused_call_count = 0;
}

/* -- waiting -- */

static void suspend(struct call *call)
{
    CHECK(!call->suspended);
    call->suspended = true;
    MHD_suspend_connection(call->mhd);
}

static void resume(struct call *call)
{
    if (!call->suspended)
        return;
    call->suspended = false;
    MHD_resume_connection(call->mhd);
}

static void wake(void *owner)
{
    resume(owner);
}

static const struct peer *who(void *owner)
{
    struct call       *call = owner;
    struct connection *c = call->connection;

    call->asked_who = true;
    if (!c->who_is_known)
        peer_look_up(c->fd, &c->who);
    c->who_is_known = true;
    return &c->who;
}

static void break_off(struct call *call)
{
    call->gone = true;
    resume(call);
}

static void *tls_session(const struct call *call)
{
    return MHD_get_connection_info(call->mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session;
}

/* MHD cannot say it, but while the call waits the connection is ours to write to (RFC 9110 15.2). It goes out
 * whole or not at all: a piece of it would spoil the answer behind it. */
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
            break_off(call);
        return;
    }
    sent = send(call->connection->fd, text.ptr, text.len, MSG_NOSIGNAL | MSG_DONTWAIT);
    if (sent > 0 && (size_t)sent < text.len)
        break_off(call);
}

/* While it waits, that is a client that left; otherwise perhaps one that only has nothing more to ask. */
void call_on_peer_closed(struct connection *c)
{
    c->peer_closed = true;
    if (c->call != NULL && c->call->suspended)
        break_off(c->call);
}

bool call_any(const struct worker *w)
{
    for (const struct call *call = w->calls; call != NULL; call = call->next)
        if (call->stage != CALL_HEAD)
            return true;
    return false;
}

void call_break_all(struct worker *w)
{
    for (struct call *call = w->calls; call != NULL; call = call->next) {
        if (!call->gone)
            w->broken_off++;
        call->gone = true;
        resume(call);
        if (call->connection != NULL)
            shutdown(call->connection->fd, SHUT_RDWR);
    }
}

/* -- the head -- */

static struct connection *connection_of(struct MHD_Connection *mhd)
{
    return MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_SOCKET_CONTEXT)->socket_context;
}

/* MHD would parse the query into the connection's pool, and refuse a long one: the target is copied,
 * and what MHD goes on with ends behind its '?'. */
void *call_on_target(void *context, const char *uri, struct MHD_Connection *mhd)
{
    struct call *call = new_call(context);
    char        *query = strchr(uri, '?');

    call->mhd = mhd;
    call->raw_target = uri;
    pool_enter(&connection_of(mhd)->pool, uri);
    call->target = arena_copy(&call->arena, slice_of(uri));
    if (query != NULL)
        query[1] = '\0';
    return call;
}

static enum MHD_Result add_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                                 const char *value, size_t value_bytes)
{
    struct call *call = context;

    (void)kind;
    rawhead_field(&call->raw, name, name_bytes, value != NULL ? value : name + name_bytes + 1, value_bytes);
    http_fields_add(&call->request.fields, &call->arena, (struct slice){ name, name_bytes },
                    slice_trim((struct slice){ value != NULL ? value : "", value != NULL ? value_bytes : 0 }));
    return MHD_YES;
}

static void find_connection(struct call *call)
{
    const int64_t      idle_ns = call->worker->config->idle_timeout_ns;
    struct connection *c = connection_of(call->mhd);

    call->connection = c;
    c->call = call;
    if (idle_ns != c->idle_timeout_ns)
        MHD_set_connection_option(call->mhd, MHD_CONNECTION_OPTION_TIMEOUT, (unsigned)(idle_ns / NS_PER_SEC));
    c->idle_timeout_ns = idle_ns;
}

static enum MHD_Result pass_field(void *context, enum MHD_ValueKind kind, const char *name, size_t name_bytes,
                                  const char *value, size_t value_bytes)
{
    (void)kind;
    rawhead_field(context, name, name_bytes, value != NULL ? value : name + name_bytes + 1, value_bytes);
    return MHD_YES;
}

/* The same head as one that was answered within the second?  Then nothing of it has to be read again. */
static bool find_kept(struct call *call, const char *method, const char *version)
{
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(call->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    struct worker *w = call->worker;
    struct rawhead raw;
    int64_t        now_wall_ns;

    if (call->connection->kind != LISTENER_DATA || w->stopping || strcmp(method, MHD_HTTP_METHOD_GET) != 0)
        return false;
    rawhead_begin(&raw, call->raw_target, call->target.len, version);
    MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, pass_field, &raw);
    call->head.rest = rawhead_rest(&raw, method, size->header_size, version);
    if (call->head.rest.ptr == NULL)
        return false;
    call->head = kept_head(call->target, call->head.rest);
    now_wall_ns = clock_wall_ns();
    call->kept = kept_find(w->kept, &call->head, w->engine, now_wall_ns);
    if (call->kept == NULL)
        return false;
    kept_use(call->kept);
    call->repetition = repeat_begin(call->kept->repeat, w->engine, now_wall_ns);
    return true;
}

static void read_head(struct call *call, const char *method, const char *version)
{
    struct http_request *r = &call->request;
    struct slice         length;

    r->method_name = slice_of(method);
    r->method = http_method_parse(r->method_name);
    r->target = call->target;
    r->version_minor = strcmp(version, MHD_HTTP_VERSION_1_0) == 0 ? 0 : 1;
    rawhead_begin(&call->raw, call->raw_target, call->target.len, version);
    MHD_get_connection_values_n(call->mhd, MHD_HEADER_KIND, add_field, call);
    length = http_fields_get(&r->fields, HTTP_CONTENT_LENGTH);
    call->body_bytes = 0;
    if (http_fields_find(&r->fields, HTTP_TRANSFER_ENCODING, 0) >= 0)
        call->body_bytes = -1;
    else if (length.ptr != NULL && !slice_to_int64(length, &call->body_bytes))
        call->body_bytes = 0;
    call->has_body = call->body_bytes != 0;
}

static size_t head_bytes(const struct call *call)
{
    size_t n = call->target.len + call->request.method_name.len + 16;

    for (unsigned i = 0; i < call->request.fields.count; i++)
        n += call->request.fields.items[i].name.len + call->request.fields.items[i].value.len + 4;
    return n;
}

static void open_exchange(struct call *call)
{
    const union MHD_ConnectionInfo *size = MHD_get_connection_info(call->mhd, MHD_CONNECTION_INFO_REQUEST_HEADER_SIZE);
    const struct exchange_input in = {
        .request = call->request,
        .has_body = call->has_body,
        .body_bytes = call->body_bytes,
        .head_bytes = head_bytes(call),
        .is_doubtful = !rawhead_is_plain(&call->raw, call->request.method_name.ptr, size->header_size),
        .peer = call->connection->peer,
        .connected = slice_of(call->connection->connected),
        .proxy_user = slice_of(call->connection->proxy_user),
        .who = who,
        .wake = wake,
        .interim = send_interim,
        .owner = call,
    };

    call->exchange = exchange_open(call->worker->engine, &in);
}

/* -- the answer -- */

/* The API's trailers follow the last chunk (RFC 9110 6.5). */
static void add_trailers(struct call *call)
{
    const struct http_fields *f = exchange_trailers(call->exchange);

    for (unsigned i = 0; f != NULL && i < f->count; i++)
        MHD_add_response_footer(call->response, arena_copy(&call->arena, f->items[i].name).ptr,
                                arena_copy(&call->arena, f->items[i].value).ptr);
}

static ssize_t read_body(void *context, uint64_t position, char *buffer, size_t count)
{
    struct call *call = context;
    size_t       got = 0;

    (void)position;
    if (call->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    switch (exchange_read(call->exchange, buffer, count, &got)) {
    case SPOOL_READ_BYTES:
        call->sent_bytes += (int64_t)got;
        return (ssize_t)got;
    case SPOOL_READ_WAIT:
        suspend(call);
        return 0;
    case SPOOL_READ_END:
        add_trailers(call);
        return MHD_CONTENT_READER_END_OF_STREAM;
    case SPOOL_READ_CUT:
        break;
    }
    /* HTTP/1.0 without a length: an end of the connection would look like the body's; a reset does not. */
    if (call->request.version_minor == 0) {
        struct sockaddr none = { .sa_family = AF_UNSPEC };

        connect(call->connection->fd, &none, sizeof none);
    }
    return MHD_CONTENT_READER_END_WITH_ERROR;
}

static enum MHD_Result queue_problem(struct call *call, unsigned status, const char *text)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(strlen(text), (void *)(uintptr_t)text,
                                                                    MHD_RESPMEM_PERSISTENT);
    enum MHD_Result      queued;

    MHD_add_response_header(response, "Content-Type", "application/problem+json");
    queued = MHD_queue_response(call->mhd, status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result queue_kept(struct call *call)
{
    call->reply_bytes = call->kept->body_bytes;
    return MHD_queue_response(call->mhd, call->kept->status, call->kept->response);
}

/* For the next one with this head.  True: the response is the table's. */
static bool keep_reply(struct call *call, struct MHD_Response *response)
{
    struct worker *w = call->worker;

    if (call->head.rest.ptr == NULL || call->asked_who || w->stopping
        || !kept_offer(w->kept, &call->head, call->exchange, response, clock_mono_ns()))
        return false;
    w->keeps = true;
    return true;
}

static enum MHD_Result queue_reply(struct call *call)
{
    const struct reply     *reply = exchange_reply(call->exchange);
    struct response_options options = {
        .is_head = call->request.method == HTTP_HEAD,
        .close = call->worker->stopping,
        .map_files = call->connection->is_tls,
        .head_room = HEAD_ROOM_BYTES,
        .read = read_body,
        .context = call,
    };
    struct MHD_Response    *response;
    enum MHD_Result         queued;

    if (reply->kind == REPLY_STREAM && reply->length < 0 && call->request.version_minor == 0
        && call->connection->is_unix)     /* its cut-short end could not be told from its end */
        return queue_problem(call, 502, "{\"title\":\"Upstream answer has no length\",\"status\":502,"
                                        "\"detail\":\"Ask with HTTP/1.1 on a unix socket.\"}\n");
    response = response_make(reply, &options, &call->arena);
    if (response == NULL)
        return queue_problem(call, 502, "{\"title\":\"Upstream answer head too large\",\"status\":502,"
                                        "\"detail\":\"The answer's header fields exceed 24 KiB.\"}\n");
    call->response = response;
    call->streaming = reply->kind == REPLY_STREAM;
    call->reply_bytes = reply->kind == REPLY_EMPTY ? 0 : reply->length;
    queued = MHD_queue_response(call->mhd, reply->status, response);
    if (!keep_reply(call, response))
        MHD_destroy_response(response);
    exchange_reply_taken(call->exchange);
    return queued;
}

static enum MHD_Result continue_exchange(struct call *call, enum exchange_state state)
{
    if (state == EXCHANGE_READY)
        return queue_reply(call);
    suspend(call);
    return MHD_YES;
}

/* -- the admin socket -- */

static enum MHD_Result take_admin_body(struct call *call, const char *bytes, size_t *count)
{
    size_t had = call->admin_body.len;
    char  *whole;

    if (had + *count > ADMIN_BODY_BYTES)
        return MHD_NO;
    whole = arena_alloc_raw(&call->arena, had + *count);
    if (had > 0)
        memcpy(whole, call->admin_body.ptr, had);
    memcpy(whole + had, bytes, *count);
    call->admin_body = (struct slice){ whole, had + *count };
    *count = 0;
    return MHD_YES;
}

/* A TCP port is in reach of every page that a browser on this machine shows. */
static bool admin_is_refused(const struct call *call)
{
    const struct http_request *r = &call->request;
    struct slice               host = http_fields_get(&r->fields, HTTP_HOST);

    if (call->connection->is_unix)
        return false;
    return guard_framing(r, head_bytes(call)).status != 0 || host.ptr == NULL
        || !guard_is_own_host(call->worker->config, host) || guard_origin(NULL, r, host, NULL).status != 0;
}

static enum MHD_Result answer_admin(struct call *call)
{
    struct admin_answer  answer;
    struct MHD_Response *response;
    enum MHD_Result      queued;

    if (call->admin == NULL && admin_is_refused(call))
        return queue_problem(call, 403, "{\"title\":\"Refused\",\"status\":403,"
                                        "\"detail\":\"Host and Origin must be Weir's own.\"}\n");
    if (call->admin == NULL)
        call->admin = admin_begin(call->worker->admin, call->worker->config, &call->request, call->admin_body, wake,
                                  call);
    if (!admin_is_done(call->admin)) {
        suspend(call);
        return MHD_YES;
    }
    answer = admin_answer(call->admin);
    response = MHD_create_response_from_buffer(answer.body.len, (void *)(uintptr_t)answer.body.ptr,
                                               MHD_RESPMEM_MUST_COPY);
    MHD_add_response_header(response, "Content-Type", answer.content_type);
    MHD_add_response_header(response, "Cache-Control", "no-store");
    queued = MHD_queue_response(call->mhd, answer.status, response);
    MHD_destroy_response(response);
    return queued;
}

/* -- MHD's callbacks -- */

/* The client's next piece of a body has to come in time. */
static void await_body(struct call *call)
{
    call->connection->deadline_ns = call->has_body
        ? worker_socket_clock_ns() + call->worker->config->body_timeout_ns : INT64_MAX;
}

static enum MHD_Result on_head(struct call *call, const char *method, const char *version)
{
    find_connection(call);
    call->stage = CALL_BODY;
    if (find_kept(call, method, version))
        return MHD_YES;
    read_head(call, method, version);
    await_body(call);
    if (call->connection->kind == LISTENER_ADMIN)
        return MHD_YES;
    open_exchange(call);
    /* What must be refused is refused before its body is taken; that also closes the connection. */
    if (call->has_body && exchange_begin(call->exchange) == EXCHANGE_READY)
        return queue_reply(call);
    return MHD_YES;
}

static enum MHD_Result on_body(struct call *call, const char *bytes, size_t *count)
{
    size_t taken;

    if (call->connection->kind == LISTENER_ADMIN)
        return take_admin_body(call, bytes, count);
    taken = exchange_upload(call->exchange, bytes, *count);
    *count -= taken;
    await_body(call);
    if (*count > 0) {
        call->connection->deadline_ns = INT64_MAX;          /* the API's turn */
        suspend(call);
    }
    return MHD_YES;
}

enum MHD_Result call_on_request(void *context, struct MHD_Connection *mhd, const char *url, const char *method,
                                const char *version, const char *upload_data, size_t *upload_data_size,
                                void **call_context)
{
    struct call *call = *call_context;

    (void)context;
    (void)url;
    pool_enter(&connection_of(mhd)->pool, call->raw_target);
    if (call->gone)
        return MHD_NO;
    if (call->stage == CALL_HEAD)
        return on_head(call, method, version);
    if (*upload_data_size > 0)
        return on_body(call, upload_data, upload_data_size);
    if (call->stage == CALL_BODY) {
        call->stage = CALL_ANSWER;
        call->connection->deadline_ns = INT64_MAX;
        if (call->has_body && call->exchange != NULL)
            exchange_upload_end(call->exchange);
    }
    if (call->connection->kind == LISTENER_ADMIN)
        return answer_admin(call);
    if (call->kept != NULL)
        return queue_kept(call);
    return continue_exchange(call, exchange_run(call->exchange));
}

void call_on_completed(void *context, struct MHD_Connection *mhd, void **call_context,
                       enum MHD_RequestTerminationCode why)
{
    struct worker     *w = context;
    struct call       *call = *call_context;
    struct connection *c;
    bool               whole = why == MHD_REQUEST_TERMINATED_COMPLETED_OK;
    int64_t            now = worker_socket_clock_ns();

    (void)mhd;
    pool_leave();
    if (call == NULL)
        return;
    c = call->connection;
    if (call->exchange != NULL)
        exchange_close(call->exchange, whole,
                       call->streaming ? call->sent_bytes : whole ? call->reply_bytes : 0);
    if (call->kept != NULL) {
        repeat_end(call->kept->repeat, w->engine, &call->repetition, c->peer, whole,
                   whole ? call->reply_bytes : 0);
        kept_release(call->kept);
    }
    if (call->admin != NULL)
        admin_end(call->admin);
    free_call(call);
    *call_context = NULL;
    if (c == NULL)
        return;
    c->call = NULL;
    c->deadline_ns = now + w->config->idle_timeout_ns;
    pool_end(&c->pool, whole, now, c->idle_timeout_ns);
}
