/*
 * Splitting at semicolons, which no part of a cookie can hold.
 */
#include "http/cookie.h"

bool http_cookie_next(struct slice *rest, struct slice *part)
{
    while (rest->len > 0) {
        size_t end = slice_find(*rest, ';', 0);

        *part = slice_trim(slice_sub(*rest, 0, end));
        *rest = slice_sub(*rest, end + 1, rest->len);
        if (part->len > 0)
            return true;
    }
    return false;
}

static bool has_equals(struct slice part, size_t *at)
{
    *at = slice_find(part, '=', 0);
    return *at < part.len;
}

struct slice http_cookie_name(struct slice pair)
{
    size_t at;

    return has_equals(pair, &at) ? slice_trim(slice_sub(pair, 0, at)) : SLICE("");
}

struct slice http_cookie_value(struct slice pair)
{
    size_t at;

    return has_equals(pair, &at) ? slice_trim(slice_sub(pair, at + 1, pair.len)) : pair;
}

struct slice http_attribute_name(struct slice part)
{
    size_t at;

    return has_equals(part, &at) ? slice_trim(slice_sub(part, 0, at)) : part;
}

struct slice http_attribute_value(struct slice part)
{
    size_t at;

    return has_equals(part, &at) ? slice_trim(slice_sub(part, at + 1, part.len)) : SLICE("");
}
