/*
 * Answers from what is stored: whole, a part (RFC 9110 14), or 304 to a
 * client that has it already (RFC 9111 4.3.2).
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "policy/range.h"

#include <unistd.h>

void candidate_drop(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (c->borrowed)
        store_reader_end(x->engine->reader);
    if (c->fd >= 0)
        close(c->fd);
    *c = (struct candidate){ .fd = -1 };
}

/* A body file is opened now, since eviction may unlink it at any time. */
static bool open_body(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (c->body_file == 0 || c->fd >= 0)
        return true;
    c->fd = store_body_open(x->engine->services->store, &c->record);
    return c->fd >= 0;
}

void candidate_keep(struct exchange *x)
{
    struct candidate *c = &x->stored;

    if (!c->borrowed)
        return;
    if (c->selected && open_body(x)) {
        c->response.head.fields = http_fields_copy(&c->response.head.fields, &x->arena);
        c->selection = arena_copy(&x->arena, c->selection);
        c->body = arena_copy(&x->arena, c->body);
    } else {
        c->selected = false;
    }
    store_reader_end(x->engine->reader);
    c->borrowed = false;
}

static void body_part(struct exchange *x, int64_t first, int64_t count)
{
    struct reply     *r = &x->reply;
    struct candidate *c = &x->stored;

    r->length = count;
    if (x->in.request.method == HTTP_HEAD) {
        r->kind = REPLY_EMPTY;
    } else if (c->body_file != 0) {
        r->kind = REPLY_FILE;
        r->fd = c->fd;
        r->offset = first;
        c->fd = -1;
    } else {
        r->kind = REPLY_BYTES;
        r->bytes = (struct slice){ c->body.ptr + first, (size_t)count };
    }
}

/* RFC 9110 14: one range as 206, none that fits as 416; several are answered by the whole (14.2 lets us). */
static bool serve_range(struct exchange *x, struct http_fields *fields)
{
    struct byte_range ranges[RANGE_MAX];
    unsigned          count = 0;
    int64_t           length = x->stored.response.body_bytes;
    enum range_result result = policy_range(&x->in.request, &x->stored.response, length, ranges, &count);

    if (result == RANGE_UNSATISFIABLE) {
        x->reply.status = 416;
        http_fields_remove(fields, HTTP_CONTENT_TYPE);
        http_fields_add_id(fields, &x->arena, HTTP_CONTENT_RANGE,
                           arena_printf(&x->arena, "bytes */%lld", (long long)length));
        x->reply.kind = REPLY_EMPTY;
        x->reply.length = 0;
        return true;
    }
    if (result != RANGE_PARTS || count != 1)
        return false;
    x->reply.status = 206;
    http_fields_add_id(fields, &x->arena, HTTP_CONTENT_RANGE,
                       arena_printf(&x->arena, "bytes %lld-%lld/%lld", (long long)ranges[0].first,
                                    (long long)ranges[0].last, (long long)length));
    body_part(x, ranges[0].first, ranges[0].last - ranges[0].first + 1);
    return true;
}

/* Age replaces what came from the origin: it is part of the age by now (RFC 9111 5.1). */
static struct http_fields stored_fields(struct exchange *x, bool not_modified)
{
    const struct http_fields *stored = &x->stored.response.head.fields;
    struct http_fields        f = { 0 };

    if (not_modified)
        f = policy_304_fields(stored, &x->arena);
    else
        for (unsigned i = 0; i < stored->count; i++)
            if (stored->items[i].id != HTTP_AGE && stored->items[i].id != HTTP_CONTENT_LENGTH)
                http_fields_add(&f, &x->arena, stored->items[i].name, stored->items[i].value);
    http_fields_remove(&f, HTTP_AGE);
    http_fields_remove(&f, HTTP_CONTENT_LENGTH);
    http_fields_add_id(&f, &x->arena, HTTP_AGE,
                       arena_printf(&x->arena, "%lld",
                                    (long long)(policy_age_ns(&x->stored.response, clock_wall_ns()) / NS_PER_SEC)));
    return f;
}

bool serve_stored(struct exchange *x, unsigned upstream_status)
{
    struct reply     *r = &x->reply;
    struct candidate *c = &x->stored;
    bool              not_modified;

    if (!open_body(x))
        return false;
    not_modified = policy_precondition(&x->in.request, &c->response) == PRECONDITION_NOT_MODIFIED;
    *r = (struct reply){ .status = not_modified ? 304 : c->response.head.status, .fd = -1 };
    r->fields = stored_fields(x, not_modified);
    if (not_modified) {
        r->kind = REPLY_EMPTY;
        r->length = c->response.body_bytes;
    } else if (!(x->in.request.method == HTTP_GET && c->response.head.status == 200
                 && serve_range(x, &r->fields))) {
        body_part(x, 0, c->response.body_bytes);
    }
    dress_reply(x);
    reply_finish_fields(x, &r->fields, upstream_status);
    return true;
}
