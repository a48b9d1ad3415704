/*
 * From an exchange's reply, or one that was kept, to what libmicrohttpd sends.
 */
#include "front/mhd/call.h"

#include "base/clock.h"
#include "front/mhd/heads.h"
#include "front/mhd/response.h"
#include "front/mhd/tricks.h"

#include <sys/socket.h>

/* The API's trailers follow the last chunk (RFC 9110 6.5). */
static void add_trailers(struct call *call)
{
    const struct http_fields *f = call->admin == NULL ? exchange_trailers(call->exchange) : NULL;

    for (unsigned i = 0; f != NULL && i < f->count; i++)
        MHD_add_response_footer(call->response, arena_copy(&call->arena, f->items[i].name).ptr,
                                response_value(f->items[i].value, &call->arena));
}

static ssize_t read_body(void *context, uint64_t position, char *buffer, size_t count)
{
    struct call *call = context;
    size_t       got = 0;

    (void)position;
    if (call->gone)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    switch (call->admin != NULL ? admin_read(call->admin, buffer, count, &got)
                                : exchange_read(call->exchange, buffer, count, &got)) {
    case SPOOL_READ_BYTES:
        call->sent_bytes += (int64_t)got;
        return (ssize_t)got;
    case SPOOL_READ_WAIT:
        call_wait(call);
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

enum MHD_Result call_queue(struct call *call, unsigned status, struct MHD_Response *response)
{
    call->answering = true;
    return MHD_queue_response(call->mhd, status, response);
}

enum MHD_Result call_queue_problem(struct call *call, const struct refusal *no)
{
    const struct problem_text text = { .kind = no->kind, .detail = slice_of(no->detail) };
    size_t                    room = problem_room(text.detail.len);
    char                     *body = arena_alloc_raw(&call->arena, room);
    struct MHD_Response      *response = MHD_create_response_from_buffer(problem_write(body, room, &text), body,
                                                                         MHD_RESPMEM_MUST_COPY);
    enum MHD_Result           queued;

    MHD_add_response_header(response, "Content-Type", PROBLEM_MEDIA_TYPE);
    queued = call_queue(call, problem_status(no->kind), response);
    MHD_destroy_response(response);
    return queued;
}

static void announce(struct connection *c, enum head_kind kind)
{
    if (kind == HEAD_FOLLOWED && c->is_tls)
        handshake_hold_head(&c->handshake);
    else
        heads_announce(c->fd, kind);
}

static enum MHD_Result queue(struct call *call, unsigned status, struct MHD_Response *response, enum head_kind kind)
{
    enum MHD_Result queued;

    if (kind != HEAD_AS_IT_IS && trick(TRICK_HEADS))
        announce(call->connection, kind);
    queued = call_queue(call, status, response);
    if (queued != MHD_YES)
        heads_forget(call->connection->fd);
    return queued;
}

/* Does the first piece of its body go out as soon as the head does? MHD itself sends bytes in memory along with it, but
 * not through TLS. */
static bool is_followed(const struct call *call, const struct reply *reply)
{
    switch (reply->kind) {
    case REPLY_BYTES:
        return call->connection->is_tls && reply->length > 0;
    case REPLY_FILE:
        return reply->length > 0;
    case REPLY_STREAM:
        return call->admin != NULL ? admin_has_body_bytes(call->admin) : exchange_has_body_bytes(call->exchange);
    case REPLY_EMPTY:
        break;
    }
    return false;
}

enum MHD_Result call_queue_kept(struct call *call)
{
    const struct kept *k = call->kept;

    call->reply_bytes = k->body_bytes;
    return queue(call, k->status, k->response,
                 k->status == 304                  ? HEAD_BARE
                 : k->is_file && k->body_bytes > 0 ? HEAD_FOLLOWED
                                                   : HEAD_AS_IT_IS);
}

/* For the next one with this head.  True: the response is the table's. */
static bool keep_reply(struct call *call, struct MHD_Response *response)
{
    struct worker *w = call->worker;

    if (call->head.rest.ptr == NULL || call->asked_who || w->stop.is_asked ||
        !kept_offer(w->kept.table, &call->head, call->exchange, response, clock_mono_ns()))
        return false;
    w->kept.any = true;
    return true;
}

enum MHD_Result call_queue_reply(struct call *call, const struct reply *reply)
{
    struct response_options options = {
        .is_head = call->request.method == HTTP_HEAD,
        .close = call->worker->stop.is_asked,
        .map_files = call->connection->is_tls,
        .head_room = CALL_ANSWER_ROOM,
        .read = read_body,
        .context = call,
    };
    struct MHD_Response *response;
    enum MHD_Result      queued;
    bool                 bare = response_is_bare(reply, options.is_head);

    if (reply->kind == REPLY_STREAM && reply->length < 0 && call->request.version_minor == 0 && call->admin == NULL &&
        call->connection->is_unix) /* its cut-short end could not be told from its end */
        return call_queue_problem(call, &(struct refusal){ PROBLEM_ANSWER_HAS_NO_LENGTH,
                                                           "Ask with HTTP/1.1 on a unix socket." });
    response = response_make(reply, &options, &call->arena);
    if (response == NULL)
        return call_queue_problem(call, &(struct refusal){ PROBLEM_ANSWER_HEAD_TOO_LARGE,
                                                           "The answer's header fields exceed 24 KiB." });
    call->response = response;
    call->streaming = reply->kind == REPLY_STREAM;
    call->reply_bytes = reply->kind == REPLY_EMPTY ? 0 : reply->length;
    queued = queue(call, reply->status, response,
                   bare                       ? HEAD_BARE
                   : is_followed(call, reply) ? HEAD_FOLLOWED
                                              : HEAD_AS_IT_IS);
    if ((bare && reply->status != 304) || !keep_reply(call, response))
        MHD_destroy_response(response);
    if (call->exchange != NULL)
        exchange_reply_taken(call->exchange);
    return queued;
}
