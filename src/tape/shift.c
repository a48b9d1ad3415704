/*
 * See shift.h.
 */
#include "tape/shift.h"

#include "http/cookie.h"

static bool is_moved(const struct http_field *f)
{
    return f->id == HTTP_DATE || f->id == HTTP_EXPIRES || f->id == HTTP_LAST_MODIFIED || f->id == HTTP_RETRY_AFTER;
}

/* Itself where it is no date: "Expires: 0" and a Retry-After in seconds say the same at any time. */
static struct slice moved(struct slice text, int64_t by_s, struct arena *a)
{
    char    out[HTTP_DATE_BYTES];
    int64_t at;

    if (!http_date_parse(text, 0, &at))
        return text;
    http_date_format(at + by_s, out);
    return arena_copy(a, slice_of(out));
}

/* "Wed, 09-Jun-2021 10:18:14 GMT", as cookies have it, is read with spaces (RFC 6265 5.1.1). */
static struct slice with_spaces(struct slice text, struct arena *a)
{
    char *copy = arena_alloc_raw(a, text.len + 1);

    for (size_t i = 0; i < text.len; i++)
        copy[i] = text.ptr[i] == '-' ? ' ' : text.ptr[i];
    return (struct slice){ copy, text.len };
}

static struct slice moved_cookie(struct slice cookie, int64_t by_s, struct arena *a)
{
    struct slice rest = cookie, part, out = SLICE_NONE;

    while (http_cookie_next(&rest, &part)) {
        if (out.ptr != NULL && slice_eq_nocase(http_attribute_name(part), SLICE("Expires")))
            part = arena_printf(a, "Expires=" SLICE_FMT,
                                SLICE_ARG(moved(with_spaces(http_attribute_value(part), a), by_s, a)));
        out = out.ptr == NULL ? part : arena_printf(a, SLICE_FMT "; " SLICE_FMT, SLICE_ARG(out), SLICE_ARG(part));
    }
    return out.ptr != NULL ? out : cookie;
}

void shift_times(struct http_fields *f, int64_t by_s, struct arena *a)
{
    for (unsigned i = 0; i < f->count; i++) {
        if (is_moved(&f->items[i]))
            f->items[i].value = moved(f->items[i].value, by_s, a);
        else if (f->items[i].id == HTTP_SET_COOKIE)
            f->items[i].value = moved_cookie(f->items[i].value, by_s, a);
    }
}
