/*
 * Base64 (RFC 4648 4), and the part before the colon.
 */
#include "http/basic.h"

#include <sodium.h>

enum { USER_BYTES = 128, VALUE_BYTES = 4096 };

/* Bytes written to `out`; 0 where it is no base64. Padding may be missing. */
static size_t decode(struct slice text, char *out, size_t room)
{
    static const int variants[] = { sodium_base64_VARIANT_ORIGINAL, sodium_base64_VARIANT_ORIGINAL_NO_PADDING };
    size_t           bytes = 0;

    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++)
        if (sodium_base642bin((unsigned char *)out, room, text.ptr, text.len, NULL, &bytes, NULL, variants[i]) == 0)
            return bytes;
    return 0;
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
    struct slice user;

    if (value.ptr == NULL || value.len > VALUE_BYTES || !slice_eq_nocase(slice_sub(value, 0, space), SLICE("Basic")))
        return SLICE_NONE;
    value = slice_trim(slice_sub(value, space, value.len));
    user = name_in((struct slice){ text, decode(value, text, sizeof text) });
    if (user.ptr != NULL)
        user = arena_copy(a, user);
    sodium_memzero(text, sizeof text); /* the password is nobody's business */
    return user;
}
