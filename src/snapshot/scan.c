/*
 * See scan.h.  Extents alone are looked for: whether what stands between them is JSON is found out by who reads it.
 */
#include "snapshot/scan.h"

#include <jansson.h>

static size_t past_space(struct slice s, size_t at)
{
    while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\t' || s.ptr[at] == '\r' || s.ptr[at] == '\n'))
        at++;
    return at;
}

/* At a quote; past the one that ends it, or s.len. */
static size_t past_string(struct slice s, size_t at)
{
    for (at++; at < s.len; at++) {
        size_t      quote = slice_find(s, '"', at), escapes = 0;
        const char *text = s.ptr;

        while (quote - escapes > at && text[quote - escapes - 1] == '\\')
            escapes++;
        at = quote;
        if (escapes % 2 == 0)
            return quote < s.len ? quote + 1 : s.len;
    }
    return s.len;
}

static bool ends_literal(char c)
{
    return c == ',' || c == '}' || c == ']' || c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static size_t past_value(struct slice s, size_t at)
{
    unsigned depth = 0;

    while (at < s.len) {
        char c = s.ptr[at];

        if (depth == 0 && ends_literal(c))
            return at;
        if (c == '"') {
            at = past_string(s, at);
        } else {
            depth += c == '{' || c == '[';
            depth -= c == '}' || c == ']';
            at++;
            if (c != '}' && c != ']')
                continue;
        }
        if (depth == 0)
            return at;
    }
    return at;
}

bool scan_one(struct slice s, size_t *at, struct slice *value)
{
    size_t from = past_space(s, *at);

    *at = past_value(s, from);
    *value = slice_sub(s, from, *at);
    return *at > from;
}

bool scan_member(struct slice s, size_t *at, struct slice *key, struct slice *value)
{
    size_t from = past_space(s, *at), to;

    if (from < s.len && (s.ptr[from] == ',' || s.ptr[from] == '{'))
        from = past_space(s, from + 1);
    if (from >= s.len || s.ptr[from] != '"')
        return false;
    to = past_string(s, from);
    *key = slice_sub(s, from + 1, to - 1);
    from = past_space(s, to);
    if (from >= s.len || s.ptr[from] != ':')
        return false;
    from = past_space(s, from + 1);
    *at = past_value(s, from);
    *value = slice_trim(slice_sub(s, from, *at));
    return value->len > 0;
}

bool scan_element(struct slice s, size_t *at, struct slice *value)
{
    size_t from = past_space(s, *at);

    if (from < s.len && (s.ptr[from] == ',' || s.ptr[from] == '['))
        from = past_space(s, from + 1);
    if (from >= s.len || s.ptr[from] == ']')
        return false;
    *at = past_value(s, from);
    *value = slice_trim(slice_sub(s, from, *at));
    return *at > from;
}

struct slice scan_text_of(struct slice value, struct arena *a)
{
    struct slice inner = slice_sub(value, 1, value.len > 0 ? value.len - 1 : 0);
    json_t      *j;

    if (value.len < 2 || value.ptr[0] != '"' || value.ptr[value.len - 1] != '"')
        return SLICE_NONE;
    if (memchr(inner.ptr, '\\', inner.len) == NULL)
        return inner;
    j = json_loadb(value.ptr, value.len, JSON_DECODE_ANY, NULL);
    inner = json_is_string(j) ? arena_copy(a, (struct slice){ json_string_value(j), json_string_length(j) })
                              : SLICE_NONE;
    json_decref(j);
    return inner;
}

bool line_scan(struct slice line, struct line_scan *out, struct arena *a)
{
    struct slice key, value, part;
    size_t       at = past_space(line, 0), inner;

    *out = (struct line_scan){ 0 };
    if (at >= line.len || line.ptr[at] != '{')
        return false;
    while (scan_member(line, &at, &key, &value)) {
        if (slice_eq(key, SLICE("method")))
            out->method = scan_text_of(value, a);
        else if (slice_eq(key, SLICE("url")))
            out->url = scan_text_of(value, a);
        else if (slice_eq(key, SLICE("seq")))
            out->seq = value;
        else if (slice_eq(key, SLICE("time")))
            out->time = scan_text_of(value, a);
        else if (slice_eq(key, SLICE("request")))
            for (inner = 0; scan_member(value, &inner, &key, &part);)
                if (slice_eq(key, SLICE("body")))
                    out->body = scan_text_of(part, a);
    }
    return out->method.ptr != NULL && out->url.ptr != NULL && out->time.ptr != NULL;
}
