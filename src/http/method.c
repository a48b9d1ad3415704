/*
 * The table of methods.
 */
#include "http/method.h"

enum { SAFE = 1, IDEMPOTENT = 2 };

static const struct {
    struct slice name;
    unsigned     properties;
} methods[] = {
#define ROW(name, properties) [HTTP_##name] = { { #name, sizeof(#name) - 1 }, properties }
    ROW(GET, SAFE | IDEMPOTENT),
    ROW(HEAD, SAFE | IDEMPOTENT),
    ROW(POST, 0),
    ROW(PUT, IDEMPOTENT),
    ROW(DELETE, IDEMPOTENT),
    ROW(OPTIONS, SAFE | IDEMPOTENT),
    ROW(TRACE, SAFE | IDEMPOTENT),
    ROW(CONNECT, 0),
    ROW(PATCH, 0),                 /* RFC 5789 2 */
    ROW(PURGE, IDEMPOTENT),        /* Weir's own, never sent upstream */
    ROW(QUERY, SAFE | IDEMPOTENT), /* RFC 10008 2 */
#undef ROW
    [HTTP_OTHER] = { { "", 0 }, 0 },
};

enum http_method http_method_parse(struct slice name)
{
    for (int m = 0; m < HTTP_OTHER; m++)
        if (slice_eq(methods[m].name, name))
            return (enum http_method)m;
    return HTTP_OTHER;
}

const char *http_method_name(enum http_method m)
{
    return methods[m].name.ptr;
}

bool http_method_is_safe(enum http_method m)
{
    return (methods[m].properties & SAFE) != 0;
}

bool http_method_is_idempotent(enum http_method m)
{
    return (methods[m].properties & IDEMPOTENT) != 0;
}
