/*
 * Which answers speak of now: not those that were in a cache on the way.
 */
#include "budget/learned.h"

/* Fields by which caches on the way say where an answer came from; a word that begins with one of these. */
static bool tells_a_hit(const struct http_field *f)
{
    static const struct slice names[] = {
        SLICE("X-Cache"),        SLICE("CF-Cache-Status"),      SLICE("X-Cache-Status"),
        SLICE("X-Proxy-Cache"),  SLICE("X-Nginx-Cache-Status"), SLICE("X-Varnish-Cache"),
        SLICE("X-Drupal-Cache"), SLICE("X-Vercel-Cache"),       SLICE("Cache-Status"),
    };
    static const struct slice hits[] = { SLICE("hit"), SLICE("tcp_hit"), SLICE("tcp_mem_hit"), SLICE("stale"),
                                         SLICE("updating") };
    bool                      known = false;
    size_t                    end;

    if (f->id != HTTP_NAME_OTHER && f->id != HTTP_CACHE_STATUS)
        return false; /* most of all fields, at no cost */
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        known = known || (f->name.len == names[i].len && slice_eq_nocase(f->name, names[i]));
    for (size_t at = 0; known && at < f->value.len; at = end + 1) {
        for (end = at;
             end < f->value.len && f->value.ptr[end] != ' ' && f->value.ptr[end] != ',' && f->value.ptr[end] != ';';)
            end++;
        for (size_t i = 0; i < sizeof hits / sizeof hits[0]; i++)
            if (slice_eq_nocase(slice_sub(f->value, at, end), hits[i]))
                return true;
    }
    return false;
}

bool learned_is_old(const struct http_response *r)
{
    int64_t age_s;

    if (slice_to_int64(slice_trim(http_fields_get(&r->fields, HTTP_AGE)), &age_s) && age_s > 0)
        return true;
    for (unsigned i = 0; i < r->fields.count; i++)
        if (tells_a_hit(&r->fields.items[i]))
            return true;
    return false;
}
