/*
 * The window moves over the body; strings and brackets are all that is looked at.
 */
#include "jobs/scan.h"

#include <string.h>

enum { AT_END = -1 };

void scan_begin(struct json_scan *s, struct spool *body, int64_t at)
{
    s->body = body;
    s->at = at;
    s->window_at = at;
    s->window_bytes = 0;
}

static void fill(struct json_scan *s)
{
    ssize_t n = spool_peek(s->body, s->at, s->window, sizeof s->window);

    s->window_at = s->at;
    s->window_bytes = n > 0 ? (size_t)n : 0;
}

static int byte_at(struct json_scan *s)
{
    if (s->at < s->window_at || s->at >= s->window_at + (int64_t)s->window_bytes) {
        fill(s);
        if (s->window_bytes == 0)
            return AT_END;
    }
    return (unsigned char)s->window[s->at - s->window_at];
}

char scan_peek(struct json_scan *s)
{
    int c;

    while ((c = byte_at(s)) == ' ' || c == '\t' || c == '\n' || c == '\r')
        s->at++;
    return c == AT_END ? '\0' : (char)c;
}

bool scan_to_line_end(struct json_scan *s)
{
    int c;

    while ((c = byte_at(s)) != '\n' && c != AT_END)
        s->at++;
    return c == '\n';
}

static void skip_string(struct json_scan *s)
{
    int c;

    s->at++;
    while ((c = byte_at(s)) != '"' && c != AT_END)
        s->at += c == '\\' ? 2 : 1;
    s->at++;
}

static bool ends_scalar(int c)
{
    return c == AT_END || c == ',' || c == ']' || c == '}' || c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

struct span scan_value(struct json_scan *s)
{
    struct span e = { 0, 0 };
    unsigned    depth = 0;
    int         c;

    scan_peek(s);
    e.from = s->at;
    do {
        c = byte_at(s);
        if (c == AT_END)
            break;
        if (c == '"') {
            skip_string(s);
            continue;
        }
        depth += c == '[' || c == '{';
        depth -= (c == ']' || c == '}') && depth > 0;
        s->at++;
        if (depth == 0 && c != ']' && c != '}')
            while (!ends_scalar(byte_at(s)))
                s->at++;
    } while (depth > 0);
    e.to = s->at;
    return e;
}

void scan_enter(struct json_scan *s)
{
    scan_peek(s);
    s->at++;
}

bool scan_next(struct json_scan *s, struct span *key, struct span *value)
{
    char c = scan_peek(s);

    if (c == ',') {
        s->at++;
        c = scan_peek(s);
    }
    if (c == ']' || c == '}' || c == '\0') {
        s->at++;
        return false;
    }
    if (key != NULL) {
        *key = scan_value(s);
        scan_peek(s); /* ':' */
        s->at++;
    }
    *value = scan_value(s);
    return true;
}

struct slice scan_text(const struct json_scan *s, struct span e, struct arena *a)
{
    size_t  bytes = (size_t)(e.to - e.from), used = 0;
    char   *text = arena_alloc_raw(a, bytes + 1);
    ssize_t n = 1;

    while (used < bytes && n > 0) {
        n = spool_peek(s->body, e.from + (int64_t)used, text + used, bytes - used);
        used += n > 0 ? (size_t)n : 0;
    }
    text[used] = '\0';
    return used == bytes ? (struct slice){ text, bytes } : SLICE_NONE;
}
