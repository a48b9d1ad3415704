/*
 * RFC 6901 3 and 4: ~1 is a slash, ~0 a tilde.
 */
#include "http/json_pointer.h"

#include <stdlib.h>
#include <string.h>

bool json_pointer_is_valid(struct slice text)
{
    if (text.len < 2 || text.len > JSON_POINTER_BYTES || text.ptr[0] != '/')
        return false;
    for (size_t i = 0; i < text.len; i++)
        if (text.ptr[i] == '~' && (i + 1 == text.len || (text.ptr[i + 1] != '0' && text.ptr[i + 1] != '1')))
            return false;
    return true;
}

bool json_pointer_next(struct slice *rest, struct slice *name)
{
    size_t end;

    if (rest->len == 0)
        return false;
    end = slice_find(*rest, '/', 1);
    *name = slice_sub(*rest, 1, end);
    *rest = slice_sub(*rest, end, rest->len);
    return true;
}

void json_pointer_plain(struct slice name, char *out)
{
    for (size_t i = 0; i < name.len; i++) {
        char c = name.ptr[i];

        if (c == '~' && i + 1 < name.len)
            c = name.ptr[++i] == '1' ? '/' : '~';
        *out++ = c;
    }
    *out = '\0';
}

bool json_pointer_index(struct slice name, unsigned long *out)
{
    char digits[20];

    if (name.len == 0 || name.len >= sizeof digits || (name.len > 1 && name.ptr[0] == '0'))
        return false;
    memcpy(digits, name.ptr, name.len);
    digits[name.len] = '\0';
    if (strspn(digits, "0123456789") != name.len)
        return false;
    *out = strtoul(digits, NULL, 10);
    return true;
}
