/*
 * Members are "name", "name=value" or either with parameters after a semicolon, which nobody has defined any of.
 */
#include "http/prefer.h"

#include "base/clock.h"
#include "http/list.h"

enum { WAIT_MOST_S = 86400 };

static void split(struct slice member, struct arena *a, struct slice *name, struct slice *value)
{
    struct slice preference = slice_trim(slice_sub(member, 0, slice_find(member, ';', 0)));

    http_split_parameter(preference, name, value);
    *name = slice_trim(*name);
    if (value->ptr != NULL)
        *value = http_unquote(slice_trim(*value), a);
}

struct prefer prefer_read(const struct http_fields *f)
{
    struct prefer    p = { .wait_ns = -1 };
    struct http_list l;
    struct slice     member, name, value;
    struct arena     a = { 0 };
    int64_t          seconds;

    if (http_fields_find(f, HTTP_PREFER, 0) < 0)
        return p;
    l = http_list_of_field(f, HTTP_PREFER);
    while (http_list_next(&l, &member)) {
        split(member, &a, &name, &value);
        if (slice_eq_nocase(name, SLICE("respond-async")))
            p.respond_async = true;
        else if (p.wait_ns < 0 && slice_eq_nocase(name, SLICE("wait")) && value.ptr != NULL &&
                 slice_to_int64(value, &seconds))
            p.wait_ns = (seconds < WAIT_MOST_S ? seconds : WAIT_MOST_S) * NS_PER_SEC;
    }
    arena_free(&a);
    return p;
}

static bool is_weirs(struct slice member, struct arena *a)
{
    struct slice name, value;

    split(member, a, &name, &value);
    return slice_eq_nocase(name, SLICE("respond-async")) || slice_eq_nocase(name, SLICE("wait"));
}

void prefer_remove(struct http_fields *f, struct arena *a)
{
    struct http_list l = http_list_of_field(f, HTTP_PREFER);
    struct slice     member, left = SLICE_NONE;

    while (http_list_next(&l, &member))
        if (!is_weirs(member, a))
            left = left.ptr == NULL ? arena_copy(a, member) : ARENA_JOIN(a, left, SLICE(", "), member);
    http_fields_remove(f, HTTP_PREFER);
    if (left.ptr != NULL)
        http_fields_add_id(f, a, HTTP_PREFER, left);
}
