/*
 * What is masked in bodies, and made the same in two recordings: credentials in forms, and the boundary of a
 * multipart body, which is another one each time (RFC 2046 5.1.1).
 */
#include "snapshot/internal.h"

#include "http/media.h"

#define BOUNDARY "weir-boundary"

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

/* RFC 2046 5.1.1: of 1 to 70 characters, quoted or not. */
static struct slice boundary_of(struct slice type)
{
    for (size_t at = slice_find(type, ';', 0); at < type.len; at = slice_find(type, ';', at + 1)) {
        struct slice part = slice_trim(slice_sub(type, at + 1, slice_find(type, ';', at + 1)));

        if (!slice_eq_nocase(slice_sub(part, 0, 9), SLICE("boundary=")))
            continue;
        part = slice_sub(part, 9, part.len);
        return part.len > 2 && part.ptr[0] == '"' ? slice_sub(part, 1, part.len - 1) : part;
    }
    return SLICE_NONE;
}

static void set(struct http_fields *f, enum http_name id, struct slice value)
{
    int at = http_fields_find(f, id, 0);

    if (at >= 0)
        f->items[at].value = value;
}

struct slice redact_body(const struct redaction *r, struct http_fields *f, struct slice body, struct arena *a)
{
    struct slice type = http_fields_get(f, HTTP_CONTENT_TYPE), boundary, made = body;

    if (body.len == 0 || type.ptr == NULL || http_fields_get(f, HTTP_CONTENT_ENCODING).ptr != NULL)
        return body;
    if (http_media_is_same_type(type, SLICE("application/x-www-form-urlencoded"))) {
        made = redact_query(r, body, a);
    } else if (slice_eq_nocase(slice_sub(type, 0, 10), SLICE("multipart/"))) {
        boundary = boundary_of(type);
        if (boundary.len == 0)
            return body;
        made = replaced(body, boundary, SLICE(BOUNDARY), a);
        set(f, HTTP_CONTENT_TYPE, replaced(type, boundary, SLICE(BOUNDARY), a));
    }
    if (made.ptr != body.ptr)
        set(f, HTTP_CONTENT_LENGTH, arena_printf(a, "%zu", made.len));
    return made;
}
