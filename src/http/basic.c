/*
 * Base64 (RFC 4648 4) as far as it goes here, and the part before the colon.
 */
#include "http/basic.h"

enum { USER_BYTES = 128, VALUE_BYTES = 4096 };

static int digit(char c)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char       *at = c != '\0' ? strchr(alphabet, c) : NULL;

    return at != NULL ? (int)(at - alphabet) : -1;
}

/* Bytes written to `out`; -1 where it is no base64 (padding may be missing). */
static ptrdiff_t decode(struct slice text, char *out)
{
    uint32_t  bits = 0;
    unsigned  have = 0;
    ptrdiff_t n = 0;

    for (unsigned i = 0; i < 2 && text.len > 0 && text.ptr[text.len - 1] == '='; i++)
        text.len--;
    for (size_t i = 0; i < text.len; i++) {
        int d = digit(text.ptr[i]);

        if (d < 0)
            return -1;
        bits = bits << 6 | (uint32_t)d;
        have += 6;
        if (have >= 8)
            out[n++] = (char)(bits >> (have -= 8));
    }
    return text.len % 4 != 1 ? n : -1;
}

struct slice http_basic_user(struct slice value, struct arena *a)
{
    size_t    space = slice_find(value, ' ', 0);
    char     *text;
    ptrdiff_t n;
    size_t    colon;

    if (value.ptr == NULL || value.len > VALUE_BYTES
        || !slice_eq_nocase(slice_sub(value, 0, space), SLICE("Basic")))
        return SLICE_NONE;
    value = slice_trim(slice_sub(value, space, value.len));
    text = arena_alloc_raw(a, value.len + 1);
    n = decode(value, text);
    if (n <= 0)
        return SLICE_NONE;
    colon = slice_find((struct slice){ text, (size_t)n }, ':', 0);
    if (colon == 0 || colon == (size_t)n || colon > USER_BYTES)
        return SLICE_NONE;
    for (size_t i = 0; i < colon; i++)
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f)
            return SLICE_NONE;
    return (struct slice){ text, colon };
}
