/*
 * The JSON writer.
 */
#include "http/json.h"

#include <inttypes.h>
#include <stdio.h>

void json_raw(struct json_out *o, struct slice text)
{
    if (o->overflow || text.len > o->capacity - o->used) {
        o->overflow = true;
        return;
    }
    if (text.len > 0)
        memcpy(o->buffer + o->used, text.ptr, text.len);
    o->used += text.len;
}

/* RFC 3629 4, row by row: how the well-formed sequences begin.  The bytes after the second
 * are always 80 to bf. */
static const struct {
    unsigned char first_low, first_high, second_low, second_high, length;
} sequences[] = {
    { 0x00, 0x7f, 0x00, 0x00, 1 }, { 0xc2, 0xdf, 0x80, 0xbf, 2 }, { 0xe0, 0xe0, 0xa0, 0xbf, 3 },
    { 0xe1, 0xec, 0x80, 0xbf, 3 }, { 0xed, 0xed, 0x80, 0x9f, 3 }, /* no surrogates */
    { 0xee, 0xef, 0x80, 0xbf, 3 }, { 0xf0, 0xf0, 0x90, 0xbf, 4 }, { 0xf1, 0xf3, 0x80, 0xbf, 4 },
    { 0xf4, 0xf4, 0x80, 0x8f, 4 }, /* up to U+10FFFF */
};

/* Bytes of the well-formed sequence at the front; 0 where there is none. */
static size_t utf8_length(struct slice s)
{
    const unsigned char *p = (const unsigned char *)s.ptr;

    for (size_t i = 0; i < sizeof sequences / sizeof sequences[0]; i++) {
        if (p[0] < sequences[i].first_low || p[0] > sequences[i].first_high)
            continue;
        if (s.len < sequences[i].length)
            return 0;
        if (sequences[i].length > 1 && (p[1] < sequences[i].second_low || p[1] > sequences[i].second_high))
            return 0;
        for (size_t k = 2; k < sequences[i].length; k++)
            if ((p[k] & 0xc0) != 0x80)
                return 0;
        return sequences[i].length;
    }
    return 0;
}

static bool must_escape(unsigned char c)
{
    return c < 0x20 || c == '"' || c == '\\' || c == 0x7f;
}

static void put_escaped(struct json_out *o, unsigned char c)
{
    static const char shorts[0x80] = {
        ['"'] = '"', ['\\'] = '\\', ['\b'] = 'b', ['\f'] = 'f', ['\n'] = 'n', ['\r'] = 'r', ['\t'] = 't'
    };
    char text[8];

    if (shorts[c] != '\0')
        snprintf(text, sizeof text, "\\%c", shorts[c]);
    else
        snprintf(text, sizeof text, "\\u%04x", c);
    json_raw(o, slice_of(text));
}

void json_text(struct json_out *o, struct slice text)
{
    json_raw(o, SLICE("\""));
    while (text.len > 0 && !o->overflow) {
        size_t plain = 0, length = 0;

        while (plain < text.len && !must_escape((unsigned char)text.ptr[plain]) &&
               (length = utf8_length(slice_sub(text, plain, text.len))) > 0)
            plain += length;
        json_raw(o, slice_sub(text, 0, plain));
        text = slice_sub(text, plain, text.len);
        if (text.len == 0)
            break;
        if (must_escape((unsigned char)text.ptr[0]))
            put_escaped(o, (unsigned char)text.ptr[0]);
        else
            json_raw(o, SLICE("\xef\xbf\xbd"));
        text = slice_sub(text, 1, text.len);
    }
    json_raw(o, SLICE("\""));
}

void json_key(struct json_out *o, const char *name)
{
    char last = o->used > 0 ? o->buffer[o->used - 1] : '{';

    if (last != '{' && last != '[')
        json_raw(o, SLICE(","));
    json_text(o, slice_of(name));
    json_raw(o, SLICE(":"));
}

void json_int(struct json_out *o, int64_t n)
{
    char text[24];

    snprintf(text, sizeof text, "%" PRId64, n);
    json_raw(o, slice_of(text));
}
