/*
 * Strict: what is not exactly as RFC 2046 has it is no multipart body, and its bytes are all that is known of it.
 */
#include "http/multipart.h"

#include <string.h>

static bool is_boundary(struct slice s)
{
    static const char others[] = "'()+_,-./:=? ";

    if (s.len == 0 || s.len > MULTIPART_BOUNDARY_MOST || s.ptr[s.len - 1] == ' ')
        return false;
    for (size_t i = 0; i < s.len; i++) {
        char c = s.ptr[i], letter = (char)(c | 0x20);

        if (!(letter >= 'a' && letter <= 'z') && !(c >= '0' && c <= '9') &&
            memchr(others, c, sizeof others - 1) == NULL)
            return false;
    }
    return true;
}

/* To the next semicolon that is in no quoted text. */
static size_t parameter_end(struct slice type, size_t at)
{
    bool quoted = false;

    for (; at < type.len && (quoted || type.ptr[at] != ';'); at++)
        quoted = quoted != (type.ptr[at] == '"');
    return at;
}

struct slice http_multipart_boundary(struct slice type)
{
    if (!slice_eq_nocase(slice_sub(type, 0, 10), SLICE("multipart/")))
        return SLICE_NONE;
    for (size_t at = parameter_end(type, 0); at < type.len;) {
        size_t       end = parameter_end(type, at + 1);
        struct slice parameter = slice_trim(slice_sub(type, at + 1, end)), value;

        at = end;
        if (!slice_eq_nocase(slice_sub(parameter, 0, 9), SLICE("boundary=")))
            continue;
        value = slice_sub(parameter, 9, parameter.len);
        if (value.len >= 2 && value.ptr[0] == '"' && value.ptr[value.len - 1] == '"')
            value = slice_sub(value, 1, value.len - 1);
        return is_boundary(value) ? value : SLICE_NONE;
    }
    return SLICE_NONE;
}

/* What may stand after a delimiter, RFC 2046's transport padding. */
static struct slice without_padding(struct slice s)
{
    size_t at = 0;

    while (at < s.len && (s.ptr[at] == ' ' || s.ptr[at] == '\t'))
        at++;
    return slice_sub(s, at, s.len);
}

/* After a delimiter: another part, or the end. */
static bool begin_part(struct http_multipart *m)
{
    if (slice_starts_with(m->rest, SLICE("--"))) {
        struct slice after = without_padding(slice_sub(m->rest, 2, m->rest.len));

        m->is_whole = after.len == 0 || slice_eq(after, SLICE("\r\n"));
        m->rest = SLICE_NONE;
        return m->is_whole;
    }
    m->rest = without_padding(m->rest);
    if (!slice_starts_with(m->rest, SLICE("\r\n"))) {
        m->rest = SLICE_NONE;
        return false;
    }
    m->rest = slice_sub(m->rest, 2, m->rest.len);
    return true;
}

bool http_multipart_open(struct http_multipart *m, struct slice content_type, struct slice body)
{
    struct slice boundary = http_multipart_boundary(content_type), first;

    *m = (struct http_multipart){ .rest = body };
    if (boundary.ptr == NULL)
        return false;
    memcpy(m->delimiter, "\r\n--", 4);
    memcpy(m->delimiter + 4, boundary.ptr, boundary.len);
    m->delimiter_bytes = 4 + boundary.len;
    first = (struct slice){ m->delimiter + 2, m->delimiter_bytes - 2 };
    if (!slice_starts_with(body, first))
        return false;
    m->rest = slice_sub(body, first.len, body.len);
    return begin_part(m);
}

bool http_multipart_next(struct http_multipart *m, struct slice *head, struct slice *content)
{
    struct slice part;
    const char  *delimiter, *blank;

    if (m->rest.ptr == NULL)
        return false;
    delimiter = memmem(m->rest.ptr, m->rest.len, m->delimiter, m->delimiter_bytes);
    if (delimiter == NULL) {
        m->rest = SLICE_NONE;
        return false;
    }
    part = slice_sub(m->rest, 0, (size_t)(delimiter - m->rest.ptr));
    m->rest = slice_sub(m->rest, part.len + m->delimiter_bytes, m->rest.len);
    if (!begin_part(m))
        return false;
    *head = SLICE("");
    *content = SLICE("");
    if (slice_starts_with(part, SLICE("\r\n"))) {
        *content = slice_sub(part, 2, part.len);
        return true;
    }
    blank = memmem(part.ptr, part.len, "\r\n\r\n", 4);
    *head = slice_sub(part, 0, blank != NULL ? (size_t)(blank - part.ptr) : part.len);
    if (blank != NULL)
        *content = slice_sub(part, head->len + 4, part.len);
    return true;
}
