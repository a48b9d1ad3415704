/*
 * Heads as curl's header callback brings them: a status line, fields, a blank
 * line; 1xx heads before the final one, trailers (RFC 9112 7.1.2, RFC 9113 8.1) behind it.
 */
#include "upstream/inside.h"

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
        return malformed(t);          /* 101 was never asked for: what follows it is no HTTP */
    arena_reset(&h->arena);
    h->fields = (struct http_fields){ 0 };
    h->status = (unsigned)status;
    h->http2 = slice_starts_with(line, SLICE("HTTP/2"));
    if (h->http2 && !http2_may_be(t)) {
        t->site->http1 = true;
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

    if (h->fields.count == 0)
        return true;
    last = &h->fields.items[h->fields.count - 1];
    if (frames(last->name)) {
        t->stop = STOP_FRAMING;
        return false;
    }
    last->value = last->value.len > 0 && more.len > 0
                ? arena_printf(&h->arena, SLICE_FMT " " SLICE_FMT, SLICE_ARG(last->value), SLICE_ARG(more))
                : arena_copy(&h->arena, more.len > 0 ? more : last->value);
    return true;
}

static bool add_field(struct transfer *t, struct slice line)
{
    struct head *h = &t->head;
    size_t       colon = slice_find(line, ':', 0);
    struct slice name = slice_sub(line, 0, colon);
    struct slice value = slice_trim(slice_sub(line, colon + 1, line.len));

    if (colon == line.len || !http_is_token(name) || !http_is_field_value(value))
        return h->final || !frames(name) || malformed(t);     /* nothing that could be passed on */
    if (h->final) {
        attempt_trailer(t, name, value);
        return true;
    }
    if (h->fields.count >= HEAD_MAX_FIELDS) {
        t->stop = STOP_HEAD_TOO_LARGE;
        return false;
    }
    http_fields_add(&h->fields, &h->arena, arena_copy(&h->arena, name), arena_copy(&h->arena, value));
    return true;
}

/* RFC 9110 15.2: what a client may make use of; 100 was for us. */
static void pass_interim(struct transfer *t)
{
    struct http_fields fields, for_others;
    bool               masked;

    if (t->head.status == 100)
        expect_heard(t);
    if (t->head.status == 100 || t->flight == NULL)
        return;
    fields = http_fields_end_to_end(&t->head.fields, &t->head.arena);
    http_fields_remove(&fields, HTTP_CONTENT_LENGTH);
    auth_scrub(t->fetch, &fields, &t->head.arena);
    for_others = http_fields_copy(&fields, &t->head.arena);
    masked = auth_mask(t->fetch, MASK_STARS, &for_others, &t->head.arena);
    for (struct fetch_links *w = t->flight->first; w != NULL; w = w->next)
        waiter_post_interim(w, t->head.status, masked && w->fetch != t->fetch ? &for_others : &fields);
}

/* RFC 9110 8.6, RFC 9112 6.1: such a head has no framing, and libcurl would take it for the answer's where that has
 * none of its own. */
static bool end_interim(struct transfer *t)
{
    struct head *h = &t->head;

    h->interim_length = h->interim_length || http_fields_find(&h->fields, HTTP_CONTENT_LENGTH, 0) >= 0;
    if (http_fields_find(&h->fields, HTTP_TRANSFER_ENCODING, 0) >= 0) {
        t->stop = STOP_FRAMING;
        return false;
    }
    pass_interim(t);
    return true;
}

static bool end_head(struct transfer *t)
{
    struct head        *h = &t->head;
    struct http_framing framing;

    if (!h->open)
        return true;                  /* the blank line behind trailers */
    h->open = false;
    if (h->status < 200)
        return end_interim(t);
    if (via_refuses(t)) {
        t->stop = STOP_VIA_REFUSED;
        return false;
    }
    if (!http_framing_of_answer(&h->fields, h->version_minor, &framing)
        || (h->interim_length && framing.length < 0 && !framing.chunked)) {
        t->stop = STOP_FRAMING;
        return false;
    }
    h->content_length = framing.length;
    h->chunked = framing.chunked;
    h->doubtful = framing.doubtful;
    h->final = true;
    return attempt_head(t);
}

bool response_line(struct transfer *t, const char *bytes, size_t count)
{
    struct head *h = &t->head;
    struct slice line = line_text(bytes, count);

    t->progress_ns = t->up->acted_ns;
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
