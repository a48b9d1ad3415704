/*
 * Answers from what is stored: whole, a part (RFC 9110 14), or 304 to a
 * client that has it already (RFC 9111 4.3.2).
 */
#include "engine/internal.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/decimal.h"
#include "policy/range.h"

#include <sodium.h>
#include <unistd.h>

enum { MULTIPART_BYTES = 1024 * 1024 };

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

/* -- ranges (RFC 9110 14) -- */

/* Where the stored body begins in the whole, and how long that is. */
struct extent {
    int64_t first, complete;
};

static struct extent extent_of(const struct stored_response *r)
{
    struct byte_range held;
    int64_t           complete;

    if (policy_part_of(r, &held, &complete))
        return (struct extent){ held.first, complete };
    return (struct extent){ 0, r->body_bytes };
}

static struct slice content_range(struct exchange *x, struct byte_range r, struct extent e)
{
    return arena_printf(&x->arena, "bytes %lld-%lld/%lld", (long long)r.first, (long long)r.last,
                        (long long)e.complete);
}

static bool serve_unsatisfiable(struct exchange *x, struct http_fields *fields, struct extent e)
{
    x->reply.status = 416;
    http_fields_remove(fields, HTTP_CONTENT_TYPE);
    http_fields_remove(fields, HTTP_CONTENT_RANGE);
    http_fields_add_id(fields, &x->arena, HTTP_CONTENT_RANGE,
                       arena_printf(&x->arena, "bytes */%lld", (long long)e.complete));
    x->reply.kind = REPLY_EMPTY;
    x->reply.length = 0;
    return true;
}

/* Text that stands before each part; `boundary` is 128 random bits, which no body holds but by a chance of none. */
static struct slice part_head(struct exchange *x, struct slice boundary, struct slice type, struct byte_range r,
                              struct extent e)
{
    struct slice range = content_range(x, r, e);

    if (type.ptr == NULL)
        return arena_printf(&x->arena, "\r\n--" SLICE_FMT "\r\nContent-Range: " SLICE_FMT "\r\n\r\n",
                            SLICE_ARG(boundary), SLICE_ARG(range));
    return arena_printf(&x->arena,
                        "\r\n--" SLICE_FMT "\r\nContent-Type: " SLICE_FMT "\r\nContent-Range: " SLICE_FMT "\r\n\r\n",
                        SLICE_ARG(boundary), SLICE_ARG(type), SLICE_ARG(range));
}

/* 14.6: several parts in one body, made in memory.  False where they are too much for that: the whole is sent then,
 * as 14.2 allows. */
static bool serve_parts(struct exchange *x, struct http_fields *fields, const struct byte_range *ranges, unsigned count)
{
    struct candidate *c = &x->stored;
    struct extent     e = extent_of(&c->response);
    struct slice      type = http_fields_get(fields, HTTP_CONTENT_TYPE), heads[RANGE_MAX], boundary, tail;
    unsigned char     random[16];
    char              hex[2 * sizeof random + 1], *body, *at;
    int64_t           length = 0;

    for (unsigned i = 0; i < count; i++)
        length += ranges[i].last - ranges[i].first + 1;
    if (length > MULTIPART_BYTES)
        return false;
    randombytes_buf(random, sizeof random);
    boundary = slice_of(sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    tail = arena_printf(&x->arena, "\r\n--" SLICE_FMT "--\r\n", SLICE_ARG(boundary));
    for (unsigned i = 0; i < count; i++) {
        heads[i] = part_head(x, boundary, type, ranges[i], e);
        length += (int64_t)heads[i].len;
    }
    body = at = arena_alloc_raw(&x->arena, (size_t)length + tail.len);
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = (size_t)(ranges[i].last - ranges[i].first + 1);

        at = (char *)memcpy(at, heads[i].ptr, heads[i].len) + heads[i].len;
        if (!candidate_read(x, ranges[i].first - e.first, at, bytes))
            return false;
        at += bytes;
    }
    memcpy(at, tail.ptr, tail.len);
    x->reply.status = 206;
    x->reply.kind = REPLY_BYTES;
    x->reply.bytes = slice_sub((struct slice){ body, (size_t)length + tail.len }, 2, (size_t)length + tail.len);
    x->reply.length = (int64_t)x->reply.bytes.len;
    http_fields_remove(fields, HTTP_CONTENT_TYPE);
    http_fields_add_id(fields, &x->arena, HTTP_CONTENT_TYPE,
                       arena_printf(&x->arena, "multipart/byteranges; boundary=" SLICE_FMT, SLICE_ARG(boundary)));
    return true;
}

/* False where the request wants no range, or none that can be cut out. */
static bool serve_range(struct exchange *x, struct http_fields *fields)
{
    const struct stored_response *stored = &x->stored.response;
    struct byte_range             ranges[RANGE_MAX];
    unsigned                      count = 0;
    struct extent                 e = extent_of(stored);
    enum range_result             result;

    if (stored->head.status == 206)
        result = policy_range_in_part(&x->in.request, stored, ranges, &count);
    else
        result = policy_range(&x->in.request, stored, stored->body_bytes, ranges, &count);
    if (result == RANGE_UNSATISFIABLE)
        return serve_unsatisfiable(x, fields, e);
    if (result != RANGE_PARTS)
        return false;
    http_fields_remove(fields, HTTP_CONTENT_RANGE);
    if (count > 1)
        return serve_parts(x, fields, ranges, count);
    x->reply.status = 206;
    http_fields_add_id(fields, &x->arena, HTTP_CONTENT_RANGE, content_range(x, ranges[0], e));
    body_part(x, ranges[0].first - e.first, ranges[0].last - ranges[0].first + 1);
    return true;
}

/* Age replaces what came from the origin: it is part of the age by now (RFC 9111 5.1). */
static struct http_fields stored_fields(struct exchange *x, bool not_modified)
{
    const struct http_fields *stored = &x->stored.response.head.fields;
    const int64_t             age_ns = policy_age_ns(&x->stored.response, clock_wall_ns());
    struct http_fields        f = { 0 };
    char                      digits[DECIMAL_BYTES];

    if (not_modified)
        f = policy_304_fields(stored, &x->arena);
    else
        for (unsigned i = 0; i < stored->count; i++)
            if (stored->items[i].id != HTTP_AGE && stored->items[i].id != HTTP_CONTENT_LENGTH)
                http_fields_add_field(&f, &x->arena, &stored->items[i]);
    http_fields_remove(&f, HTTP_AGE);
    http_fields_remove(&f, HTTP_CONTENT_LENGTH);
    http_fields_add_id(&f, &x->arena, HTTP_AGE,
                       arena_copy(&x->arena, decimal((uint64_t)(age_ns / NS_PER_SEC), digits)));
    return f;
}

/* The newest word on the limits, in place of the one that came with the answer and was not stored. */
static void add_heard(struct exchange *x, struct http_fields *f)
{
    struct upstream *up = x->engine->services->upstream;
    struct partition account;

    x->seen.heard_generation = upstream_heard_generation(up);
    x->seen.heard_for_ns = INT64_MAX;
    if (!upstream_has_heard(up, x->up->route.name))
        return;
    account = identity_account(x);
    x->seen.heard_for_ns = upstream_heard(up, x->up->route.name, &account, &x->arena, f);
}

bool serve_stored(struct exchange *x, unsigned upstream_status)
{
    struct reply     *r = &x->reply;
    struct candidate *c = &x->stored;
    bool              not_modified;

    if (!candidate_open(x))
        return false;
    not_modified = policy_precondition(&x->in.request, &c->response) == PRECONDITION_NOT_MODIFIED;
    *r = (struct reply){ .status = not_modified ? 304 : c->response.head.status, .fd = -1 };
    r->fields = stored_fields(x, not_modified);
    add_heard(x, &r->fields);
    if (not_modified) {
        r->kind = REPLY_EMPTY;
        r->length = c->response.body_bytes;
    } else if (!(x->in.request.method == HTTP_GET && serve_range(x, &r->fields))) {
        body_part(x, 0, c->response.body_bytes);
    }
    x->finish = (struct finish){ .of_api = true, .upstream_status = upstream_status };
    return true;
}

/* An error came, or nothing: what is stored may cover for it (RFC 5861 4, RFC 9111 4.2.4). */
bool serve_cover(struct exchange *x, unsigned status, const char *why)
{
    if (!x->stored.selected || !policy_holds_range(&x->in.request, &x->stored.response) ||
        !policy_stale_if_error(x->policy, &x->wish, &x->stored.response, clock_wall_ns()))
        return false;
    x->log.detail = why;
    x->log.cache = "stale";
    if (!serve_stored(x, status))
        return false;
    x->log.counter = COUNTER_STALE_HITS;
    if (x->mode.dry == NULL)
        counter_add(COUNTER_COVERED, 1);
    return true;
}

enum step step_serve(struct exchange *x)
{
    if (!serve_stored(x, 0)) { /* the body file is gone: as if it had never been stored */
        candidate_drop(x);
        x->decision = policy_decide(x->policy, &x->in.request, &x->wish, NULL, false, clock_wall_ns());
        x->log.cache = "miss";
        return x->decision.verdict == VERDICT_UNAVAILABLE || x->mode.stand_in != NULL ? STEP_DECIDE : STEP_FETCH;
    }
    x->log.counter = x->decision.ttl_ns > 0 ? COUNTER_HITS : COUNTER_STALE_HITS;
    if (x->decision.refresh != REFRESH_NONE && x->mode.dry == NULL)
        asking_refresh(x);
    return STEP_FINISH;
}
