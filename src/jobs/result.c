/*
 * The text around a body is made at once, its bytes piece by piece.
 */
#include "jobs/result.h"

#include "http/hop.h"
#include "http/json.h"

#include <sodium.h>
#include <stdlib.h>
#include <unistd.h>

enum { WINDOW_BYTES = 64 * 1024, PROBLEM_BYTES = 2048 };

void result_begin(struct result *e)
{
    *e = (struct result){ .fd = -1 };
}

void result_end(struct result *e)
{
    if (e->fd >= 0)
        close(e->fd);
    spool_release(e->spool);
    result_begin(e);
}

/* -- gathering -- */

/* A byte order mark may begin a document, and not a value within one. */
static void check(struct result *e, const char *bytes, size_t count)
{
    if (count == 0)
        return;
    if (!e->begun)
        e->not_json = bytes[0] == '\xef';
    e->begun = true;
    if (!e->not_json)
        e->not_json = !json_check_feed(&e->json, bytes, count);
    if (e->not_json)
        utf8_check_feed(&e->text, bytes, count);
}

void result_set_bytes(struct result *e, struct slice bytes)
{
    e->bytes = bytes;
    e->length = (int64_t)bytes.len;
    check(e, bytes.ptr, bytes.len);
}

void result_set_file(struct result *e, int fd, int64_t offset, int64_t length)
{
    e->fd = fd;
    e->offset = offset;
    e->length = length;
}

bool result_add(struct result *e, struct spool *fresh, const char *bytes, size_t count)
{
    struct fault why;

    if (e->spool == NULL)
        e->spool = fresh;
    e->length += (int64_t)count;
    check(e, bytes, count);
    return spool_write(e->spool, bytes, count, &why) == 0;
}

bool result_check_file(struct result *e, int64_t most, bool *ended)
{
    char    window[WINDOW_BYTES];
    int64_t until = e->checked + most < e->length ? e->checked + most : e->length;

    while (e->checked < until) {
        size_t  wanted = until - e->checked < WINDOW_BYTES ? (size_t)(until - e->checked) : WINDOW_BYTES;
        ssize_t n = pread(e->fd, window, wanted, e->offset + e->checked);

        if (n <= 0)
            return false;
        check(e, window, (size_t)n);
        e->checked += n;
    }
    *ended = e->checked == e->length;
    return true;
}

/* -- the text around it -- */

struct growing { /* grows in the arena */
    struct json_out out;
    struct arena   *arena;
};

static struct growing begin_text(struct arena *a, size_t room)
{
    return (struct growing){ { .buffer = arena_alloc_raw(a, room), .capacity = room }, a };
}

/* Every byte of a string becomes six at most. */
static size_t room_of(const struct http_fields *f)
{
    size_t room = 256;

    for (unsigned i = 0; i < f->count; i++)
        room += 6 * (f->items[i].name.len + f->items[i].value.len) + 16;
    return room;
}

static struct slice lower(struct slice name, struct arena *a)
{
    char *copy = arena_alloc_raw(a, name.len + 1);

    for (size_t i = 0; i < name.len; i++)
        copy[i] = (char)(name.ptr[i] >= 'A' && name.ptr[i] <= 'Z' ? name.ptr[i] | 0x20 : name.ptr[i]);
    copy[name.len] = '\0';
    return (struct slice){ copy, name.len };
}

/* All lines of the first one's name: cookies as an array, since they cannot be joined (RFC 9110 5.3). */
static void write_field(struct json_out *o, const struct http_fields *f, unsigned at, struct arena *a)
{
    const struct http_field *field = &f->items[at];

    json_key(o, lower(field->name, a).ptr);
    if (field->id != HTTP_SET_COOKIE) {
        json_text(o, http_fields_join(f, field->name, a));
        return;
    }
    json_raw(o, SLICE("["));
    for (int i = (int)at, n = 0; i >= 0; i = http_fields_find(f, HTTP_SET_COOKIE, (unsigned)i + 1), n++) {
        if (n > 0)
            json_raw(o, SLICE(","));
        json_text(o, f->items[i].value);
    }
    json_raw(o, SLICE("]"));
}

static void write_fields(struct json_out *o, const struct http_fields *f, struct arena *a)
{
    json_raw(o, SLICE("{"));
    for (unsigned i = 0; i < f->count; i++)
        if ((!http_name_stays_here(f->items[i].name) || f->items[i].id == HTTP_WEIR_DRY_RUN) &&
            f->items[i].id != HTTP_CONTENT_LENGTH && http_fields_find_name(f, f->items[i].name, 0) == (int)i)
            write_field(o, f, i, a);
    json_raw(o, SLICE("}"));
}

static void write_begin(struct result *e, struct json_out *o, struct slice id, unsigned status, struct arena *a)
{
    e->head = ARENA_JOIN(a, SLICE("{\"id\":"), id);
    json_raw(o, SLICE(",\"status\":"));
    json_int(o, status);
}

void result_head(struct result *e, struct slice id, unsigned status, const struct http_fields *f, struct arena *a)
{
    struct growing t = begin_text(a, room_of(f));

    write_begin(e, &t.out, id, status, a);
    json_raw(&t.out, SLICE(",\"headers\":"));
    write_fields(&t.out, f, a);
    if (e->length > 0)
        e->not_json = e->not_json || !json_check_end(&e->json);
    if (e->length > 0 && !e->not_json)
        json_raw(&t.out, SLICE(",\"body\":"));
    else if (e->length > 0)
        json_raw(&t.out, utf8_check_end(&e->text) ? SLICE(",\"body_text\":\"") : SLICE(",\"body_base64\":\""));
    e->rest = (struct slice){ t.out.buffer, t.out.used };
    e->tail = e->length > 0 && e->not_json ? SLICE("\"}") : SLICE("}");
}

void result_error(struct result *e, struct slice id, unsigned status, struct slice problem, struct arena *a)
{
    struct growing t = begin_text(a, problem.len + 256);

    while (problem.len > 0 && problem.ptr[problem.len - 1] == '\n')
        problem.len--;

    result_end(e);
    write_begin(e, &t.out, id, status, a);
    json_raw(&t.out, SLICE(",\"error\":"));
    json_raw(&t.out, problem);
    e->rest = (struct slice){ t.out.buffer, t.out.used };
    e->tail = SLICE("}");
}

void result_problem(struct result *e, struct slice id, enum problem_kind kind, struct slice detail, struct arena *a)
{
    const struct problem_text text = { .kind = kind, .detail = detail };
    char                     *body = arena_alloc_raw(a, PROBLEM_BYTES);

    result_error(e, id, problem_status(kind), (struct slice){ body, problem_write(body, PROBLEM_BYTES, &text) }, a);
}

void result_share(struct result *e, struct slice id, struct spool *kept, int64_t at, int64_t bytes, struct arena *a)
{
    result_end(e);
    spool_acquire(kept);
    e->head = ARENA_JOIN(a, SLICE("{\"id\":"), id);
    e->spool = kept;
    e->offset = at;
    e->length = bytes;
}

/* -- writing -- */

/* The body's bytes from `at`; 0: unreadable. */
static size_t read_piece(const struct result *e, int64_t at, char *piece, size_t count)
{
    ssize_t n;

    if (e->fd >= 0)
        n = pread(e->fd, piece, count, e->offset + at);
    else if (e->spool != NULL)
        n = spool_peek(e->spool, e->offset + at, piece, count);
    else
        n = (ssize_t)count, memcpy(piece, e->bytes.ptr + at, count);
    return n > 0 ? (size_t)n : 0;
}

static bool write_all(struct spool *to, struct slice s)
{
    struct fault why;

    return s.len == 0 || spool_write(to, s.ptr, s.len, &why) == 0;
}

/* Line ends stand between a JSON text's tokens alone: within strings they are escaped. */
static size_t drop_line_ends(char *piece, size_t count)
{
    size_t kept = 0;

    for (size_t i = 0; i < count; i++)
        if (piece[i] != '\n' && piece[i] != '\r')
            piece[kept++] = piece[i];
    return kept;
}

/* So many bytes of it that no sequence is cut. */
static size_t whole_sequences(const char *piece, size_t count)
{
    size_t whole = count;

    while (whole > 0 && count - whole < 4 && (piece[whole - 1] & 0xc0) == 0x80)
        whole--;
    if (whole > 0 && (unsigned char)piece[whole - 1] >= 0xc0)
        return whole - 1 > 0 ? whole - 1 : count;
    return count;
}

/* The number of the body's bytes that were written; 0: it failed. */
static size_t write_piece(struct result *e, struct spool *to, char *piece, size_t count)
{
    char            coded[6 * RESULT_PIECE_BYTES + 8];
    struct json_out o = { .buffer = coded, .capacity = sizeof coded };

    if (!e->not_json) {
        size_t kept = e->one_line ? drop_line_ends(piece, count) : count;

        return write_all(to, (struct slice){ piece, kept }) ? count : 0;
    }
    if (!utf8_check_end(&e->text)) {
        sodium_bin2base64(coded, sizeof coded, (unsigned char *)piece, count, sodium_base64_VARIANT_ORIGINAL);
        return write_all(to, slice_of(coded)) ? count : 0;
    }
    if (e->written + (int64_t)count < e->length)
        count = whole_sequences(piece, count);
    json_text(&o, (struct slice){ piece, count });
    return write_all(to, (struct slice){ coded + 1, o.used - 2 }) ? count : 0;
}

static enum result_state write_body(struct result *e, struct spool *to, unsigned pieces)
{
    char piece[RESULT_PIECE_BYTES];

    for (; e->written < e->length; pieces--) {
        size_t wanted = e->length - e->written < RESULT_PIECE_BYTES ? (size_t)(e->length - e->written)
                                                                    : RESULT_PIECE_BYTES;
        size_t n;

        if (pieces == 0 || spool_is_ahead(to))
            return RESULT_AHEAD;
        /* base64 of pieces is that of the whole where each is a multiple of three but the last: short reads are rare */
        for (size_t got = 0; got < wanted; got += n) {
            n = read_piece(e, e->written + (int64_t)got, piece + got, wanted - got);
            if (n == 0)
                return RESULT_BROKEN;
        }
        n = write_piece(e, to, piece, wanted);
        if (n == 0)
            return RESULT_BROKEN;
        e->written += (int64_t)n;
    }
    return write_all(to, e->tail) ? RESULT_DONE : RESULT_BROKEN;
}

enum result_state result_write(struct result *e, struct spool *to, bool one_line, unsigned pieces)
{
    e->one_line = one_line;
    if (!e->head_written && (!write_all(to, e->head) || !write_all(to, e->rest)))
        return RESULT_BROKEN;
    e->head_written = true;
    return write_body(e, to, pieces);
}

bool result_keep(struct result *e, struct spool *to, bool one_line)
{
    e->one_line = one_line;
    return write_all(to, e->rest) && write_body(e, to, UINT32_MAX) == RESULT_DONE;
}
