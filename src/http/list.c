/*
 * The list cursor, parameters and quoted strings.
 */
#include "http/list.h"

struct http_list http_list_of_value(struct slice value)
{
    return (struct http_list){ .rest = value };
}

struct http_list http_list_of_field(const struct http_fields *fields, enum http_name id)
{
    return (struct http_list){ .fields = fields, .id = id };
}

/* Offset of the quote that closes the one at `open`; s.len where there is none. */
static size_t closing_quote(struct slice s, size_t open)
{
    for (size_t i = open + 1; i < s.len; i++) {
        if (s.ptr[i] == '"')
            return i;
        if (s.ptr[i] == '\\')
            i++;
    }
    return s.len;
}

/* Offset of the first `c` outside of quotes.  One unclosed quote turns quoting off for good:
 * looking for its end again and again would cost the square of the length. */
static size_t find_unquoted(struct slice s, char c, bool *unclosed)
{
    size_t first = slice_find(s, c, 0);
    size_t i = slice_find(slice_sub(s, 0, first), '"', 0);

    for (; i < s.len && s.ptr[i] != c; i++) {
        size_t close;

        if (s.ptr[i] != '"' || *unclosed)
            continue;
        close = closing_quote(s, i);
        if (close < s.len)
            i = close;
        else
            *unclosed = true;
    }
    return i;
}

/* Moves to the next line of the field; false where there is none. */
static bool next_line(struct http_list *l)
{
    int at;

    if (l->fields == NULL)
        return false;
    at = http_fields_find(l->fields, l->id, l->next_line);
    if (at < 0)
        return false;
    l->rest = l->fields->items[at].value;
    l->next_line = (unsigned)at + 1;
    l->unclosed = false; /* a quote does not reach over lines */
    return true;
}

bool http_list_next(struct http_list *l, struct slice *member)
{
    do {
        while (l->rest.len > 0) {
            size_t end = find_unquoted(l->rest, ',', &l->unclosed);

            *member = slice_trim(slice_sub(l->rest, 0, end));
            l->rest = slice_sub(l->rest, end + 1, l->rest.len);
            if (member->len > 0)
                return true;
        }
    } while (next_line(l));
    return false;
}

void http_split_parameter(struct slice member, struct slice *name, struct slice *value)
{
    bool   unclosed = false;
    size_t at = find_unquoted(member, '=', &unclosed);

    *name = slice_sub(member, 0, at);
    *value = at < member.len ? slice_sub(member, at + 1, member.len) : SLICE_NONE;
}

struct slice http_unquote(struct slice value, struct arena *a)
{
    struct slice inner;
    char        *out;
    size_t       used = 0;

    if (value.len < 2 || value.ptr[0] != '"' || closing_quote(value, 0) != value.len - 1)
        return value;
    inner = slice_sub(value, 1, value.len - 1);
    if (slice_find(inner, '\\', 0) == inner.len)
        return inner;
    out = arena_alloc_raw(a, inner.len);
    for (size_t i = 0; i < inner.len; i++) {
        if (inner.ptr[i] == '\\' && i + 1 < inner.len)
            i++;
        out[used++] = inner.ptr[i];
    }
    return (struct slice){ out, used };
}
