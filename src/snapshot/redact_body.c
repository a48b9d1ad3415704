/*
 * What is masked in bodies: members of JSON, credentials in forms, and those that an API says again in links.  What is
 * coded is decoded for that, and coded again; what was Brotli or Zstandard is
 * left without a coding, which any client takes.
 *
 * The boundary of a multipart body is another one each time (RFC 2046 5.1.1), and is made the same in all recordings.
 */
#include "snapshot/internal.h"

#include "http/inflate.h"
#include "http/media.h"
#include "http/multipart.h"
#include "snapshot/json_mask.h"
#include "snapshot/scan.h"

#include <zlib.h>

#define BOUNDARY "weir-boundary"

enum { PIECE_BYTES = 16 * 1024, DECODED_MOST_BYTES = 512 * 1024 * 1024 };

static struct slice replaced(struct slice text, struct slice what, struct slice by, struct arena *a)
{
    struct slice *parts = NULL;
    size_t        count = 0, capacity = 0, at = 0;
    const char   *found;

    while ((found = memmem(text.ptr + at, text.len - at, what.ptr, what.len)) != NULL) {
        ARENA_ROOM(a, parts, capacity, count);
        parts[count++] = slice_sub(text, at, (size_t)(found - text.ptr));
        ARENA_ROOM(a, parts, capacity, count);
        parts[count++] = by;
        at = (size_t)(found - text.ptr) + what.len;
    }
    if (count == 0)
        return text;
    ARENA_ROOM(a, parts, capacity, count);
    parts[count++] = slice_sub(text, at, text.len);
    return arena_join(a, parts, count);
}

static void set(struct http_fields *f, enum http_name id, struct slice value)
{
    int at = http_fields_find(f, id, 0);

    if (at >= 0)
        f->items[at].value = value;
}

/* ---- codings ---- */

bool redact_decode(const struct http_fields *f, struct slice body, struct arena *a, struct slice *plain)
{
    struct inflater *i = inflater_open_any(f);
    char            *text = NULL, piece[PIECE_BYTES];
    size_t           used = 0, room = 0, got;
    bool             sound = true;

    *plain = body;
    if (i == NULL)
        return false;
    inflater_feed(i, body.ptr, body.len);
    while (used < DECODED_MOST_BYTES && (got = inflater_take(i, piece, sizeof piece, &sound)) > 0) {
        if (used + got > room) {
            size_t wider = 2 * (used + got);

            text = arena_widen(a, text, used, wider);
            room = wider;
        }
        memcpy(text + used, piece, got);
        used += got;
    }
    inflater_close(i);
    if (used == 0)
        return false;
    *plain = (struct slice){ text, used };
    return sound && used < DECODED_MOST_BYTES;
}

/* The same coding again, or none: then `f` says so.  ptr NULL: it cannot be. */
static struct slice encode(struct http_fields *f, struct slice plain, struct arena *a)
{
    struct slice coding = slice_trim(http_fields_get(f, HTTP_CONTENT_ENCODING));
    z_stream     z = { 0 };
    bool         gzip = !slice_eq_nocase(coding, SLICE("deflate"));
    uLong        room;
    char        *coded;

    if (slice_eq_nocase(coding, SLICE("br")) || slice_eq_nocase(coding, SLICE("zstd"))) {
        http_fields_remove(f, HTTP_CONTENT_ENCODING);
        return plain;
    }
    if (deflateInit2(&z, Z_DEFAULT_COMPRESSION, Z_DEFLATED, gzip ? MAX_WBITS + 16 : MAX_WBITS, 8, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        return SLICE_NONE;
    room = deflateBound(&z, (uLong)plain.len) + 64;
    coded = arena_alloc_raw(a, room);
    z.next_in = (Bytef *)(uintptr_t)plain.ptr;
    z.avail_in = (uInt)plain.len;
    z.next_out = (Bytef *)coded;
    z.avail_out = (uInt)room;
    if (deflate(&z, Z_FINISH) != Z_STREAM_END)
        coded = NULL;
    room = z.total_out;
    deflateEnd(&z);
    return (struct slice){ coded, coded != NULL ? room : 0 };
}

/* ---- all of it ---- */

static void learn_value(void *context, struct slice value)
{
    struct secrets_known *known = context;
    struct arena          a = { 0 };
    struct slice          text = scan_text_of(value, &a);

    if (known != NULL && text.ptr != NULL)
        secrets_known_add(known, text);
    arena_free(&a);
}

static struct slice normal_boundary(struct http_fields *f, struct slice type, struct slice body, struct arena *a)
{
    struct slice boundary = http_multipart_boundary(type);

    if (boundary.len == 0)
        return body;
    set(f, HTTP_CONTENT_TYPE, replaced(type, boundary, SLICE(BOUNDARY), a));
    return replaced(body, boundary, SLICE(BOUNDARY), a);
}

/* `known` is NULL for a request: what it is matched by depends on nothing but itself. */
static struct slice redact_plain(const struct redaction *r, struct secrets_known *known, struct http_fields *f,
                                 bool is_request, struct slice body, struct arena *a)
{
    struct slice type = http_fields_get(f, HTTP_CONTENT_TYPE);

    if (type.ptr == NULL)
        type = SLICE("");
    if (is_request && http_media_is_same_type(type, SLICE("application/x-www-form-urlencoded")))
        body = redact_query(r, body, a);
    else if (is_request && slice_eq_nocase(slice_sub(type, 0, 10), SLICE("multipart/")))
        body = normal_boundary(f, type, body, a);
    else if (http_media_has_json(type))
        body = json_mask(r->pointers, body, learn_value, known, a);
    return is_request || known == NULL ? body : redact_links(r, known, body, a);
}

/* It is another body now: of what says how it was, only its length can be said anew. */
static void fit_fields(struct http_fields *f, size_t bytes, struct arena *a)
{
    static const char *const sums[] = { "Content-MD5", "Digest", "Content-Digest", "Repr-Digest" };

    for (size_t i = 0; i < sizeof sums / sizeof *sums; i++)
        for (int at; (at = http_fields_find_name(f, slice_of(sums[i]), 0)) >= 0; f->count--)
            memmove(&f->items[at], &f->items[at + 1], (f->count - (unsigned)at - 1) * sizeof *f->items);
    set(f, HTTP_CONTENT_LENGTH, arena_printf(a, "%zu", bytes));
}

struct redacted_body redact_body(const struct redaction *r, struct secrets_known *known, bool is_request,
                                 struct http_fields *f, struct slice body, struct arena *a)
{
    struct redacted_body out = { body, body };
    bool                 coded = http_fields_get(f, HTTP_CONTENT_ENCODING).ptr != NULL && body.len > 0, sound = !coded;
    struct slice         made;

    if (body.len == 0)
        return out;
    if (coded)
        sound = redact_decode(f, body, a, &out.plain);
    made = sound ? redact_plain(r, known, f, is_request, out.plain, a) : out.plain;
    if (made.ptr == out.plain.ptr)
        return out;
    out.plain = made;
    out.bytes = coded ? encode(f, made, a) : made;
    if (out.bytes.ptr == NULL)
        out.bytes = SLICE("");
    fit_fields(f, out.bytes.len, a);
    return out;
}
