/*
 * How an endpoint answers: with bytes, or with a stream that is made as the client takes it.
 *
 * The buffer of a stream is bounded: an endpoint stops writing when it is full, and is called again when it is empty.
 */
#include "admin/internal.h"

#include <stdlib.h>

enum { STREAM_BYTES = 16 * 1024 };

static void begin_reply(struct admin_call *call, unsigned status, const char *content_type)
{
    call->reply = (struct reply){ .status = status, .fd = -1 };
    http_fields_add_id(&call->reply.fields, &call->arena, HTTP_CONTENT_TYPE, slice_of(content_type));
    http_fields_add_id(&call->reply.fields, &call->arena, HTTP_CACHE_CONTROL, SLICE("no-store"));
    if (call->rights.over_tcp)
        http_fields_add(&call->reply.fields, &call->arena, SLICE("X-Content-Type-Options"), SLICE("nosniff"));
}

static void make_known(struct admin_call *call)
{
    call->done = true;
    if (!call->beginning)
        call->wake(call->owner);
}

static void reply_bytes(struct admin_call *call, struct slice body)
{
    call->reply.kind = REPLY_BYTES;
    call->reply.bytes = body;
    call->reply.length = (int64_t)body.len;
    make_known(call);
}

void admin_answer_json(struct admin_call *call, unsigned status, json_t *body)
{
    call->json = json_dumps(body, JSON_INDENT(2));
    json_decref(body);
    begin_reply(call, status, "application/json");
    reply_bytes(call, call->json != NULL ? slice_of(call->json) : SLICE("{}"));
}

void admin_answer_problem(struct admin_call *call, enum problem_kind kind, const char *detail)
{
    const struct problem_text text = { .kind = kind, .form = PROBLEM_INDENTED, .detail = slice_of(detail) };
    size_t                    room = problem_room(text.detail.len);
    char                     *body = arena_alloc_raw(&call->arena, room);

    begin_reply(call, problem_status(kind), PROBLEM_MEDIA_TYPE);
    reply_bytes(call, (struct slice){ body, problem_write(body, room, &text) });
}

/* -- piece by piece -- */

static bool has_bytes(const struct admin_stream *s)
{
    return s->taken < s->used;
}

void admin_start(struct admin_call *call, unsigned status, const char *content_type, void (*more)(struct admin_call *))
{
    begin_reply(call, status, content_type);
    call->stream.more = more;
    call->stream.length = -1;
}

void admin_promise(struct admin_call *call, int64_t bytes)
{
    call->stream.length = bytes;
}

void admin_write(struct admin_call *call, struct slice piece)
{
    struct admin_stream *s = &call->stream;

    if (piece.len == 0)
        return;
    MEM_ROOM(s->bytes, s->capacity, s->used + piece.len);
    memcpy(s->bytes + s->used, piece.ptr, piece.len);
    s->used += piece.len;
}

bool admin_has_room(const struct admin_call *call)
{
    return call->stream.used < STREAM_BYTES;
}

void admin_finish(struct admin_call *call)
{
    call->stream.has_ended = true;
}

/* What is whole before its head goes out has a length. */
static void reply_stream(struct admin_call *call)
{
    struct admin_stream *s = &call->stream;

    if (s->has_ended && (s->length < 0 || (int64_t)s->used == s->length)) {
        reply_bytes(call, (struct slice){ s->bytes, s->used });
        return;
    }
    call->reply.kind = call->is_head ? REPLY_EMPTY : REPLY_STREAM;
    call->reply.length = s->length;
    make_known(call);
}

void admin_go_on(struct admin_call *call)
{
    struct admin_stream *s = &call->stream;

    if (!s->has_ended)
        s->more(call);
    if (!call->done) {
        reply_stream(call);
    } else if (s->is_awaited && (has_bytes(s) || s->has_ended)) {
        s->is_awaited = false;
        call->wake(call->owner);
    }
}

bool admin_is_done(const struct admin_call *call)
{
    return call->done;
}

bool admin_may_be_cut(const struct admin_call *call)
{
    return call->may_be_cut;
}

const struct reply *admin_reply(const struct admin_call *call)
{
    return &call->reply;
}

bool admin_has_body_bytes(const struct admin_call *call)
{
    return has_bytes(&call->stream);
}

enum spool_read admin_read(struct admin_call *call, void *buffer, size_t count, size_t *got)
{
    struct admin_stream *s = &call->stream;

    if (!has_bytes(s)) {
        s->taken = s->used = 0;
        if (!s->has_ended && !call->awaits_mail)
            s->more(call);
    }
    if (!has_bytes(s)) {
        s->is_awaited = !s->has_ended;
        if (!s->has_ended)
            return SPOOL_READ_WAIT;
        return s->given == s->length || s->length < 0 ? SPOOL_READ_END : SPOOL_READ_CUT;
    }
    *got = s->used - s->taken < count ? s->used - s->taken : count;
    memcpy(buffer, s->bytes + s->taken, *got);
    s->taken += *got;
    s->given += (int64_t)*got;
    return SPOOL_READ_BYTES;
}

void admin_free_stream(struct admin_stream *s)
{
    free(s->bytes);
}
