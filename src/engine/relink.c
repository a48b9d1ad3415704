/*
 * Two machines in a row.  The coding: inflate before, deflate after, or
 * neither.  The text: a scanner that knows of JSON only where its strings
 * begin and end; at the beginning of each it holds bytes back until they are a
 * pair's `from` with something after it that ends an authority or a path
 * segment, or cannot become one.  "\/" counts as "/" (RFC 8259 7).
 */
#include "engine/relink.h"

#include "http/inflate.h"
#include "http/media.h"

#include <stdlib.h>
#include <zlib.h>

enum {
    PLAIN_BYTES = 16 * 1024, /* of what is inflated at a time */
    HELD_BYTES = 2 * LINK_FROM_BYTES + 2,
    GZIP_WINDOW = 15 + 16, /* zlib: with gzip's head and end */
    GZIP_LEVEL = 1,
    GZIP_MEMORY = 7
};

enum scan_state { SCAN_OUTSIDE, SCAN_BEGIN, SCAN_BEGIN_ESCAPED, SCAN_INSIDE, SCAN_ESCAPED };

struct bytes {
    char  *ptr;
    size_t used, room;
};

struct relink {
    struct arena     arena; /* of the pairs */
    struct link_pair pairs[LINK_PAIRS_MAX];
    unsigned         pair_count;

    enum scan_state state;
    uint32_t        alive;   /* pairs that the string may still begin with */
    size_t          matched; /* bytes of them */
    char            held[HELD_BYTES];
    size_t          held_bytes;

    struct inflater *in;  /* NULL: the body has no coding */
    z_stream         out; /* used with `in` */
    bool             any; /* something was fed */
    char             raw[RELINK_PIECE_BYTES];

    struct bytes text;  /* scanned, not yet deflated; gzip only */
    struct bytes ready; /* to be taken */
    size_t       taken;
};

/* -- bytes -- */

static void put(struct bytes *b, const char *from, size_t count)
{
    if (count == 0)
        return;
    MEM_ROOM(b->ptr, b->room, b->used + count);
    memcpy(b->ptr + b->used, from, count);
    b->used += count;
}

/* -- the text -- */

static void hold(struct relink *r, char c)
{
    r->held[r->held_bytes++] = c;
}

static void let_go(struct relink *r, struct bytes *out)
{
    put(out, r->held, r->held_bytes);
    r->held_bytes = 0;
}

static bool ends_a_beginning(char c)
{
    return c == '/' || c == '?' || c == '#' || c == '{' || c == '"';
}

/* The pair that is matched whole and has `c` after it; NULL: none. */
static const struct link_pair *matched_pair(const struct relink *r, char c)
{
    for (unsigned i = 0; i < r->pair_count && ends_a_beginning(c); i++)
        if ((r->alive >> i & 1) != 0 && r->pairs[i].from.len == r->matched)
            return &r->pairs[i];
    return NULL;
}

static uint32_t still_alive(const struct relink *r, char c)
{
    uint32_t alive = 0;

    for (unsigned i = 0; i < r->pair_count; i++)
        if ((r->alive >> i & 1) != 0 && r->matched < r->pairs[i].from.len && r->pairs[i].from.ptr[r->matched] == c)
            alive |= UINT32_C(1) << i;
    return alive;
}

/* One more byte of a string's beginning, `escaped` by a backslash that is held already. */
static void begin_byte(struct relink *r, char c, bool escaped, struct bytes *out)
{
    bool                    plain = !escaped || c == '/';
    const struct link_pair *pair = plain ? matched_pair(r, c) : NULL;

    if (pair != NULL) {
        put(out, pair->to.ptr, pair->to.len);
        if (escaped)
            put(out, "\\", 1);
        r->held_bytes = 0;
        r->alive = 0;
    } else {
        r->alive = plain ? still_alive(r, c) : 0;
    }
    hold(r, c);
    r->matched++;
    r->state = SCAN_BEGIN;
    if (r->alive != 0)
        return;
    let_go(r, out);
    r->state = c == '"' && !escaped ? SCAN_OUTSIDE : SCAN_INSIDE;
}

static void begin_string(struct relink *r)
{
    r->state = SCAN_BEGIN;
    r->alive = (uint32_t)((UINT64_C(1) << r->pair_count) - 1);
    r->matched = 0;
}

/* Where the run of bytes that change nothing ends. */
static size_t skip(const struct relink *r, const char *text, size_t from, size_t count)
{
    size_t i = from;

    if (r->state == SCAN_OUTSIDE) {
        const char *quote = memchr(text + from, '"', count - from);

        return quote != NULL ? (size_t)(quote - text) : count;
    }
    while (i < count && text[i] != '"' && text[i] != '\\')
        i++;
    return i;
}

/* The byte after such a run. */
static void turn(struct relink *r, char c, struct bytes *out)
{
    put(out, &c, 1);
    if (r->state == SCAN_OUTSIDE)
        begin_string(r);
    else
        r->state = c == '"' ? SCAN_OUTSIDE : SCAN_ESCAPED;
}

static void scan(struct relink *r, const char *text, size_t count, struct bytes *out)
{
    for (size_t i = 0; i < count;) {
        size_t end = i;

        switch (r->state) {
        case SCAN_OUTSIDE:
        case SCAN_INSIDE:
            end = skip(r, text, i, count);
            put(out, text + i, end - i);
            if (end < count)
                turn(r, text[end], out);
            i = end + 1;
            break;
        case SCAN_ESCAPED:
            put(out, text + i++, 1);
            r->state = SCAN_INSIDE;
            break;
        case SCAN_BEGIN:
            if (text[i] == '\\') {
                /* Only what stands after it tells. */
                r->state = SCAN_BEGIN_ESCAPED;
                i++;
                break;
            }
            begin_byte(r, text[i++], false, out);
            break;
        case SCAN_BEGIN_ESCAPED:
            if (matched_pair(r, text[i]) == NULL || text[i] != '/')
                hold(r, '\\');
            begin_byte(r, text[i++], true, out);
            break;
        }
    }
}

/* -- the coding -- */

static bool deflate_text(struct relink *r, int flush)
{
    char chunk[PLAIN_BYTES];

    r->out.next_in = (Bytef *)(void *)r->text.ptr;
    r->out.avail_in = (uInt)r->text.used;
    do {
        r->out.next_out = (Bytef *)chunk;
        r->out.avail_out = sizeof chunk;
        if (deflate(&r->out, flush) == Z_STREAM_ERROR)
            return false;
        put(&r->ready, chunk, sizeof chunk - r->out.avail_out);
    } while (r->out.avail_out == 0);
    r->text.used = 0;
    return true;
}

/* One piece of plain text from what was fed.  0: there is none. */
static size_t inflate_some(struct relink *r, bool *sound)
{
    char   chunk[PLAIN_BYTES];
    size_t got = inflater_take(r->in, chunk, sizeof chunk, sound);

    if (got > 0) {
        scan(r, chunk, got, &r->text);
        *sound = deflate_text(r, Z_NO_FLUSH);
    }
    return got;
}

bool relink_feed(struct relink *r, const void *bytes, size_t count)
{
    r->any = r->any || count > 0;
    if (r->in == NULL) {
        scan(r, bytes, count, &r->ready);
        return true;
    }
    memcpy(r->raw, bytes, count);
    inflater_feed(r->in, r->raw, count);
    return true;
}

bool relink_flush(struct relink *r)
{
    return r->in == NULL || deflate_text(r, Z_SYNC_FLUSH);
}

bool relink_finish(struct relink *r)
{
    struct bytes *out = r->in != NULL ? &r->text : &r->ready;

    if (r->state == SCAN_BEGIN_ESCAPED)
        hold(r, '\\');
    let_go(r, out);
    if (r->in == NULL || !r->any)
        return true;
    return inflater_is_whole(r->in) && deflate_text(r, Z_FINISH);
}

size_t relink_take(struct relink *r, void *buffer, size_t count, bool *sound)
{
    *sound = true;
    while (r->taken == r->ready.used) {
        r->taken = r->ready.used = 0;
        if (r->in == NULL || inflate_some(r, sound) == 0 || !*sound)
            return 0;
    }
    if (count > r->ready.used - r->taken)
        count = r->ready.used - r->taken;
    memcpy(buffer, r->ready.ptr + r->taken, count);
    r->taken += count;
    return count;
}

struct slice relink_whole(struct relink *r, struct slice body, struct arena *a)
{
    struct bytes all = { NULL, 0, 0 };
    struct slice whole = SLICE_NONE;
    char         chunk[4096];
    bool         sound = true, finished = false;

    while (sound && !finished) {
        size_t piece = body.len < RELINK_PIECE_BYTES ? body.len : RELINK_PIECE_BYTES, got;

        finished = piece == 0;
        sound = finished ? relink_finish(r) : relink_feed(r, body.ptr, piece);
        body = slice_sub(body, piece, body.len);
        while (sound && (got = relink_take(r, chunk, sizeof chunk, &sound)) > 0)
            put(&all, chunk, got);
    }
    if (sound)
        whole = arena_copy(a, (struct slice){ all.ptr, all.used });
    free(all.ptr);
    return whole;
}

/* -- life -- */

struct relink *relink_open(const struct http_fields *head, const struct link_pair *pairs, unsigned count)
{
    struct slice     coding = slice_trim(http_fields_get(head, HTTP_CONTENT_ENCODING));
    struct inflater *in = NULL;
    struct relink   *r;

    if (count == 0 || !http_media_has_json(http_fields_get(head, HTTP_CONTENT_TYPE)))
        return NULL;
    if (coding.len > 0 || http_fields_count(head, HTTP_CONTENT_ENCODING) > 1) {
        in = slice_eq_nocase(coding, SLICE("deflate")) ? NULL : inflater_open(head);
        if (in == NULL)
            return NULL;
    }
    r = mem_alloc(sizeof *r);
    for (unsigned i = 0; i < count; i++)
        r->pairs[r->pair_count++] = (struct link_pair){ arena_copy(&r->arena, pairs[i].from),
                                                        arena_copy(&r->arena, pairs[i].to) };
    r->in = in;
    if (in != NULL &&
        deflateInit2(&r->out, GZIP_LEVEL, Z_DEFLATED, GZIP_WINDOW, GZIP_MEMORY, Z_DEFAULT_STRATEGY) != Z_OK) {
        relink_close(r);
        return NULL;
    }
    return r;
}

void relink_close(struct relink *r)
{
    if (r == NULL)
        return;
    if (r->in != NULL)
        deflateEnd(&r->out);
    inflater_close(r->in);
    arena_free(&r->arena);
    free(r->text.ptr);
    free(r->ready.ptr);
    free(r);
}
