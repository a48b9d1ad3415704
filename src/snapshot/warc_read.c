/*
 * WARC 1.0 and 1.1, read: responses, each with the request that it was concurrent to, where there is one.
 *
 * Other writers keep a message as it stood on the wire: a chunked body is put together.
 */
#include "snapshot/archive.h"

#include "http/date.h"
#include "snapshot/internal.h"

#include <stdlib.h>

struct warc_part {
    struct slice type, id, concurrent, url, date, block;
};

struct warc_parts {
    struct warc_part *items;
    size_t            count, capacity;
};

/* "Name: value" up to the line's end; false at the blank line. */
static bool next_field(struct slice text, size_t *at, struct slice *name, struct slice *value)
{
    size_t       end = slice_find(text, '\n', *at);
    struct slice line = slice_sub(text, *at, end);
    size_t       colon;

    *at = end < text.len ? end + 1 : text.len;
    if (line.len > 0 && line.ptr[line.len - 1] == '\r')
        line.len--;
    if (line.len == 0)
        return false;
    colon = slice_find(line, ':', 0);
    *name = slice_sub(line, 0, colon);
    *value = slice_trim(slice_sub(line, colon + 1, line.len));
    return true;
}

static struct slice without_brackets(struct slice s)
{
    return s.len > 1 && s.ptr[0] == '<' && s.ptr[s.len - 1] == '>' ? slice_sub(s, 1, s.len - 1) : s;
}

static bool read_part(struct slice text, size_t *at, struct warc_part *p)
{
    struct slice name, value, version = slice_sub(text, *at, slice_find(text, '\n', *at));
    int64_t      length = -1;

    if (!slice_starts_with(version, SLICE("WARC/1.")))
        return false;
    *p = (struct warc_part){ 0 };
    *at += version.len + 1;
    while (*at < text.len && next_field(text, at, &name, &value)) {
        struct slice *to = NULL;

        if (slice_eq_nocase(name, SLICE("Content-Length")) && !slice_to_int64(value, &length))
            return false;
        to = slice_eq_nocase(name, SLICE("WARC-Type")) ? &p->type : to;
        to = slice_eq_nocase(name, SLICE("WARC-Record-ID")) ? &p->id : to;
        to = slice_eq_nocase(name, SLICE("WARC-Concurrent-To")) ? &p->concurrent : to;
        to = slice_eq_nocase(name, SLICE("WARC-Target-URI")) ? &p->url : to;
        to = slice_eq_nocase(name, SLICE("WARC-Date")) ? &p->date : to;
        if (to != NULL)
            *to = without_brackets(value);
    }
    if (length < 0 || (uint64_t)length > text.len - *at)
        return false;
    p->block = slice_sub(text, *at, *at + (size_t)length);
    *at += (size_t)length;
    while (*at < text.len && (text.ptr[*at] == '\r' || text.ptr[*at] == '\n'))
        (*at)++;
    return true;
}

static bool joined_chunks(struct slice coded, struct slice *out, struct arena *a)
{
    char  *text = arena_alloc_raw(a, coded.len + 1);
    size_t used = 0, at = 0;

    for (;;) {
        char  *end;
        size_t line = slice_find(coded, '\n', at);
        char   digits[20] = "";
        size_t size;

        if (line >= coded.len || line - at >= sizeof digits)
            return false;
        memcpy(digits, coded.ptr + at, line - at);
        size = (size_t)strtoull(digits, &end, 16);
        at = line + 1;
        if (end == digits || size > coded.len - at)
            return false;
        if (size == 0)
            break;
        memcpy(text + used, coded.ptr + at, size);
        used += size;
        at = slice_find(coded, '\n', at + size) + 1;
        if (at > coded.len)
            return false;
    }
    *out = (struct slice){ text, used };
    return true;
}

/* The fields and the body of a message, after its first line. */
static bool read_message(struct slice block, struct slice *first, struct http_fields *f, struct slice *body,
                         struct arena *a)
{
    size_t       at = slice_find(block, '\n', 0) + 1;
    struct slice name, value;
    bool         chunked = false;

    *first = slice_trim(slice_sub(block, 0, at > 1 ? at - 2 : 0));
    while (at < block.len && next_field(block, &at, &name, &value)) {
        if (slice_eq_nocase(name, SLICE("Transfer-Encoding"))) {
            chunked = value.len >= 7 && slice_eq_nocase(slice_sub(value, value.len - 7, value.len), SLICE("chunked"));
            continue;
        }
        if (http_is_token(name) && http_is_field_value(value))
            http_fields_add(f, a, name, value);
    }
    *body = slice_sub(block, at, block.len);
    return !chunked || joined_chunks(*body, body, a);
}

static const struct warc_part *request_of(const struct warc_parts *all, const struct warc_part *answer)
{
    for (size_t i = 0; i < all->count; i++) {
        const struct warc_part *p = &all->items[i];

        if (slice_eq(p->type, SLICE("request")) && slice_eq(p->url, answer->url) &&
            ((p->concurrent.len > 0 && slice_eq(p->concurrent, answer->id)) ||
             (answer->concurrent.len > 0 && slice_eq(answer->concurrent, p->id))))
            return p;
    }
    return NULL;
}

static bool read_date(struct slice s, int64_t *ms, struct arena *a)
{
    int     year, month, day, hour, minute, second;
    double  part = 0;
    int64_t seconds;

    if (s.ptr == NULL ||
        sscanf(arena_copy(a, s).ptr, "%4d-%2d-%2dT%2d:%2d:%2d%lf", &year, &month, &day, &hour, &minute, &second,
               &part) < 6 ||
        !http_date_seconds(year, month, day, hour, minute, second, &seconds))
        return false;
    *ms = seconds * 1000 + (int64_t)(part * 1000 + 0.5);
    return true;
}

static bool read_item(const struct warc_parts *all, const struct warc_part *p, struct archive_item *i, struct arena *a)
{
    const struct warc_part *asked = request_of(all, p);
    struct slice            first;
    int64_t                 status = 0;

    *i = (struct archive_item){ .sent = SLICE("") };
    i->x.method = SLICE("GET");
    i->x.url = p->url;
    if (!read_date(p->date, &i->x.time_ms, a) || !read_message(p->block, &first, &i->x.response, &i->came, a) ||
        !slice_starts_with(first, SLICE("HTTP/")))
        return false;
    first = slice_sub(first, slice_find(first, ' ', 0) + 1, first.len);
    slice_to_int64(slice_sub(first, 0, 3), &status);
    i->x.status = status >= 200 && status <= 999 ? (unsigned)status : 0;
    if (asked != NULL && read_message(asked->block, &first, &i->x.request, &i->sent, a))
        i->x.method = slice_sub(first, 0, slice_find(first, ' ', 0));
    return http_is_token(i->x.method);
}

int archive_read_warc(struct slice text, archive_each each, void *context, struct fault *why)
{
    struct warc_parts all = { 0 };
    size_t            at = 0;
    int               result = 0;

    while (at < text.len && result == 0) {
        MEM_ROOM(all.items, all.capacity, all.count + 1);
        if (read_part(text, &at, &all.items[all.count]))
            all.count++;
        else
            result = fault_set(why, "record %zu is none of WARC 1.1", all.count + 1);
    }
    for (size_t n = 0; n < all.count && result == 0; n++) {
        struct arena        a = { 0 };
        struct archive_item i;
        bool                more = true;

        if (slice_eq(all.items[n].type, SLICE("response")) && all.items[n].url.ptr != NULL) {
            if (read_item(&all, &all.items[n], &i, &a))
                more = each(context, &i);
            else
                result = fault_set(why, "record %zu is no HTTP response", n + 1);
        }
        arena_free(&a);
        if (!more)
            break;
    }
    free(all.items);
    return result;
}
