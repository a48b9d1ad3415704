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

/* The part of `text` before its colon, where that could be a name. */
static struct slice name_in(struct slice text)
{
    struct slice name = slice_sub(text, 0, slice_find(text, ':', 0));

    if (name.len == 0 || name.len == text.len || name.len > USER_BYTES)
        return SLICE_NONE;
    for (size_t i = 0; i < name.len; i++)
        if ((unsigned char)name.ptr[i] < 0x20 || name.ptr[i] == 0x7f)
            return SLICE_NONE;
    return name;
}

struct slice http_basic_user(struct slice value, struct arena *a)
{
    char         text[VALUE_BYTES];
    size_t       space = slice_find(value, ' ', 0);
    struct slice user = SLICE_NONE;
    ptrdiff_t    n;

    if (value.ptr == NULL || value.len > VALUE_BYTES
        || !slice_eq_nocase(slice_sub(value, 0, space), SLICE("Basic")))
        return SLICE_NONE;
    n = decode(slice_trim(slice_sub(value, space, value.len)), text);
    if (n > 0)
        user = name_in((struct slice){ text, (size_t)n });
    if (user.ptr != NULL)
        user = arena_copy(a, user);
    explicit_bzero(text, sizeof text);                     /* the password is nobody's business */
    return user;
}
