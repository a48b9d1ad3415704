/*
 * Heads as curl's header callback brings them: a status line, fields, a blank
 * line; 1xx heads before the final one, trailers (RFC 9112 7.1.2, RFC 9113 8.1) after it.
 */
#include "origin/internal.h"

#include "http/framing.h"
#include "http/hop.h"

#include <stdlib.h>

static struct slice line_text(const char *line, size_t bytes)
{
    while (bytes > 0 && (line[bytes - 1] == '\n' || line[bytes - 1] == '\r'))
        bytes--;
    return (struct slice){ line, bytes };
}

static bool malformed(struct transfer *t)
{
    t->stop = STOP_HEAD_MALFORMED;
    return false;
}

/* "HTTP/1.1 200 OK", "HTTP/2 200" */
static bool begin_head(struct transfer *t, struct slice line)
{
    struct head *h = &t->head;
    size_t       space = slice_find(line, ' ', 0);
    struct slice code = slice_trim(slice_sub(line, space, line.len));
    int64_t      status;

    if (!slice_to_int64(slice_sub(code, 0, 3), &status) || status < 100 || status == 101)
        return malformed(t); /* 101 was never asked for: what follows it is no HTTP */
    arena_reset(&h->out.arena);
    h->out.fields = (struct http_fields){ 0 };
    h->out.status = (unsigned)status;
    h->out.http2 = slice_starts_with(line, SLICE("HTTP/2"));
    if (h->out.http2 && !http2_may_be(t)) {
        t->origin->http1 = true;
        return malformed(t);
    }
    h->version_minor = slice_starts_with(line, SLICE("HTTP/1.0")) ? 0 : 1;
    h->open = true;
    return true;
}

/* "Content-Length : 5" is a framing to some readers and none to others (RFC 9112 5.1); so is one with a NUL. */
static bool frames(struct slice name)
{
    name = slice_trim(name);
    return slice_eq_nocase(name, SLICE("Content-Length")) || slice_eq_nocase(name, SLICE("Transfer-Encoding"));
}

/* A line that begins with white space goes on with the one before it (obs-fold, RFC 9112 5.2).  libcurl frames by the
 * first of the two alone. */
static bool continue_field(struct transfer *t, struct slice line)
{
    struct head       *h = &t->head;
    struct http_field *last;
    struct slice       more = slice_trim(line);

    if (h->out.fields.count == 0)
        return true;
    last = &h->out.fields.items[h->out.fields.count - 1];
    if (frames(last->name)) {
        t->stop = STOP_FRAMING;
        return false;
    }
    last->value = last->value.len > 0 && more.len > 0
                      ? arena_printf(&h->out.arena, SLICE_FMT " " SLICE_FMT, SLICE_ARG(last->value), SLICE_ARG(more))
                      : arena_copy(&h->out.arena, more.len > 0 ? more : last->value);
    return true;
}

static bool add_field(struct transfer *t, struct slice line)
{
    struct head *h = &t->head;
    size_t       colon = slice_find(line, ':', 0);
    struct slice name = slice_sub(line, 0, colon);
    struct slice value = slice_trim(slice_sub(line, colon + 1, line.len));

    if (colon == line.len || !http_is_token(name) || !http_is_field_value(value))
        return h->final || !frames(name) || malformed(t); /* nothing that could be passed on */
    if (h->final) {
        t->events->trailer(t->owner, name, value);
        return true;
    }
    if (h->out.fields.count >= HEAD_MAX_FIELDS) {
        t->stop = STOP_HEAD_TOO_LARGE;
        return false;
    }
    http_fields_add(&h->out.fields, &h->out.arena, arena_copy(&h->out.arena, name), arena_copy(&h->out.arena, value));
    return true;
}

/* RFC 9110 8.6, RFC 9112 6.1: such a head has no framing, and libcurl would take it for the answer's where that has
 * none of its own. */
static bool end_interim(struct transfer *t)
{
    struct head *h = &t->head;

    h->interim_length = h->interim_length || http_fields_find(&h->out.fields, HTTP_CONTENT_LENGTH, 0) >= 0;
    if (http_fields_find(&h->out.fields, HTTP_TRANSFER_ENCODING, 0) >= 0) {
        t->stop = STOP_FRAMING;
        return false;
    }
    if (h->out.status == 100)
        sending_heard(t);
    t->events->interim(t->owner, h->out.status, &h->out.fields, &h->out.arena);
    return true;
}

static bool give_head(struct transfer *t)
{
    struct head *h = &t->head;
    enum stop    stop;

    h->out.sent_wall_ns = t->sent_wall_ns;
    h->out.may_wait = !h->out.http2 || t->stream.is;
    h->out.came_wall_ns = clock_wall_ns();
    t->origin->known.http2 = h->out.http2;
    tls_end_know(t);
    connection_heard(t);
    connection_plan(t);
    stop = t->events->head(t->owner, &h->out);
    if (stop != STOP_NONE)
        t->stop = stop;
    return t->stop == STOP_NONE;
}

static bool end_head(struct transfer *t)
{
    struct head        *h = &t->head;
    struct http_framing framing;

    if (!h->open)
        return true; /* the blank line after trailers */
    h->open = false;
    if (h->out.status < 200)
        return end_interim(t);
    if (via_refuses(t)) {
        t->stop = STOP_VIA_REFUSED;
        return false;
    }
    if (!http_framing_of_answer(&h->out.fields, h->version_minor, &framing) ||
        (h->interim_length && framing.length < 0 && !framing.chunked)) {
        t->stop = STOP_FRAMING;
        return false;
    }
    h->out.content_length = framing.length;
    h->out.chunked = framing.chunked;
    h->doubtful = framing.doubtful;
    h->final = true;
    return give_head(t);
}

bool response_line(struct transfer *t, const char *bytes, size_t count)
{
    struct head *h = &t->head;
    struct slice line = line_text(bytes, count);

    t->progress_ns = t->all->acted_ns;
    if (h->bytes == 0 && connection_is_early(t)) {
        t->stop = STOP_UNASKED;
        return false;
    }
    h->bytes += count;
    if (h->bytes > HEAD_MAX_BYTES) {
        t->stop = STOP_HEAD_TOO_LARGE;
        return false;
    }
    if (line.len == 0)
        return end_head(t);
    if (!h->open && !h->final)
        return slice_starts_with(line, SLICE("HTTP/")) ? begin_head(t, line) : true;
    if (line.ptr[0] == ' ' || line.ptr[0] == '\t')
        return !h->open || continue_field(t, line);
    return add_field(t, line);
}
