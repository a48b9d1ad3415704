/*
 * Strings and brackets are all that is looked at: whether it is JSON was checked before.
 */
#include "http/json_member.h"

#include <string.h>

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

/* Past the string that begins at `at`. */
static size_t past_string(struct slice text, size_t at)
{
    for (at++; at < text.len && text.ptr[at] != '"'; at++)
        at += text.ptr[at] == '\\';
    return at + 1;
}

/* Where the value that begins at `at` is over: at a comma, a bracket, or the end. */
static size_t past_value(struct slice text, size_t at)
{
    unsigned depth = 0;

    while (at < text.len) {
        char c = text.ptr[at];

        if (c == '"') {
            at = past_string(text, at);
            continue;
        }
        if (depth == 0 && (c == ',' || c == ']' || c == '}'))
            break;
        depth += c == '[' || c == '{';
        depth -= c == ']' || c == '}';
        at++;
    }
    return at < text.len ? at : text.len;
}

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c = (char)(c | 0x20);
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* What the escape at the front of `s` stands for, where it is ASCII; -1: something else.  *bytes: its length. */
static int escaped(struct slice s, size_t *bytes)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char       *found;
    int               code = 0;

    *bytes = 2;
    if (s.len < 2)
        return -1;
    if (s.ptr[1] != 'u') {
        found = strchr(from, s.ptr[1]);
        return found != NULL && *found != '\0' ? to[found - from] : -1;
    }
    *bytes = 6;
    for (size_t i = 2; i < 6; i++)
        code = s.len >= 6 && code >= 0 && hex(s.ptr[i]) >= 0 ? code * 16 + hex(s.ptr[i]) : -1;
    return code < 0x80 ? code : -1;
}

/* `written`: between its quotes. */
static bool is_name(struct slice written, struct slice name)
{
    size_t at = 0;

    for (size_t i = 0; i < name.len; i++) {
        size_t bytes = 1;
        int    c;

        if (at >= written.len)
            return false;
        c = written.ptr[at] == '\\' ? escaped(slice_sub(written, at, written.len), &bytes) : written.ptr[at];
        if (c != name.ptr[i])
            return false;
        at += bytes;
    }
    return at == written.len;
}

static struct slice without_blanks(struct slice s)
{
    while (s.len > 0 && is_blank(s.ptr[0]))
        s = slice_sub(s, 1, s.len);
    while (s.len > 0 && is_blank(s.ptr[s.len - 1]))
        s.len--;
    return s;
}

struct slice json_member(struct slice object, struct slice name)
{
    size_t       at = slice_find(object, '{', 0) + 1;
    struct slice found = SLICE_NONE;

    while (at < object.len) {
        size_t begin = slice_find(object, '"', at), end, value;

        if (begin >= object.len)
            break;
        end = past_string(object, begin);
        value = slice_find(object, ':', end) + 1;
        at = past_value(object, value);
        if (value <= at && is_name(slice_sub(object, begin + 1, end - 1), name))
            found = without_blanks(slice_sub(object, value, at));
        at++;
    }
    return found;
}
