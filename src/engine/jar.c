/*
 * Names: "__Host-sid" becomes "weir-__Host-sid".  A name that begins with
 * "weir-" by itself gets another one in front, so that none is taken for one of ours.
 */
#include "engine/jar.h"

#include "http/cookie.h"
#include "http/url.h"

enum { ATTRIBUTE_BYTES = 1024 }; /* RFC 6265bis 5.6: a longer value is passed over */

static const struct slice mark = { "weir-", 5 };

static bool begins_with(struct slice s, struct slice with)
{
    return slice_eq_nocase(slice_sub(s, 0, with.len), with);
}

/* Names that ask for Secure (RFC 6265bis 4.1.3, in any case as 5.7 has it), and ours. */
static bool is_renamed(struct slice name)
{
    static const struct slice beginnings[] = { { "__Host-", 7 }, { "__Secure-", 9 }, { "__Http-", 7 } };

    for (size_t i = 0; i < sizeof beginnings / sizeof *beginnings; i++)
        if (begins_with(name, beginnings[i]))
            return true;
    return slice_starts_with(name, mark);
}

/* ---- paths ---- */

/* RFC 6265bis 5.1.4. */
static struct slice default_path(struct slice target)
{
    struct slice path, query;
    size_t       end;

    http_target_split(target, &path, &query);
    for (end = path.len; end > 0 && path.ptr[end - 1] != '/';)
        end--;
    return end > 1 ? slice_sub(path, 0, end - 1) : SLICE("/");
}

/* Does a cookie with this path go along with all requests below `base`? */
static bool is_above(struct slice path, struct slice base)
{
    return slice_starts_with(base, path) && (path.ptr[path.len - 1] == '/' || base.ptr[path.len] == '/');
}

/* "/" stands for the prefix itself: what ends with '/' would not match it. */
static struct slice below_prefix(const struct route *route, struct slice path, struct arena *a)
{
    struct slice base = route->upstream->base_path, rest = slice_sub(path, base.len, path.len);

    if (slice_eq(path, SLICE("/")) || slice_eq(path, base) || (path.len < base.len && is_above(path, base)))
        return route->prefix;
    if (!slice_starts_with(path, base) || rest.ptr[0] != '/')
        return SLICE_NONE;
    return ARENA_JOIN(a, route->prefix, rest);
}

/* ---- attributes ---- */

static bool falls(struct slice name, struct slice value)
{
    static const struct slice names[] = { { "Path", 4 }, { "Domain", 6 }, { "Secure", 6 }, { "Partitioned", 11 } };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (slice_eq_nocase(name, names[i]))
            return true;
    return slice_eq_nocase(name, SLICE("SameSite")) && slice_eq_nocase(value, SLICE("None"));
}

/* Parts, with "; " between them. The room is for a text that was cut at its semicolons: at most twice as long. */
static char *put_part(char *at, const char *begin, struct slice part)
{
    if (at > begin) {
        *at++ = ';';
        *at++ = ' ';
    }
    return part.len > 0 ? (char *)memcpy(at, part.ptr, part.len) + part.len : at;
}

struct slice jar_outward(const struct route *route, struct slice set_cookie, struct arena *a)
{
    struct slice path = default_path(route->target), rest = set_cookie, part;
    char        *text, *at;

    if (!http_cookie_next(&rest, &part))
        return set_cookie;
    text = at = arena_alloc_raw(a, mark.len + 2 * set_cookie.len + 2);
    if (slice_find(part, '=', 0) < part.len && is_renamed(http_cookie_name(part)))
        at = put_part(at, at, mark);
    at = put_part(at, at, part);
    while (http_cookie_next(&rest, &part)) {
        struct slice name = http_attribute_name(part), value = http_attribute_value(part);

        if (slice_eq_nocase(name, SLICE("Path")) && value.len <= ATTRIBUTE_BYTES) /* the last one counts */
            path = value.len > 0 && value.ptr[0] == '/' ? value : default_path(route->target);
        if (!falls(name, value))
            at = put_part(at, text, part);
    }
    path = below_prefix(route, path, a);
    if (path.ptr == NULL)
        return SLICE_NONE;
    return ARENA_JOIN(a, ((struct slice){ text, (size_t)(at - text) }), SLICE("; Path="), path);
}

struct slice jar_inward(struct slice cookie, struct arena *a)
{
    struct slice rest = cookie, pair;
    bool         any = false;
    char        *text, *at;

    if (cookie.len == 0 || memmem(cookie.ptr, cookie.len, mark.ptr, mark.len) == NULL)
        return cookie;
    text = at = arena_alloc_raw(a, 2 * cookie.len + 2);
    while (http_cookie_next(&rest, &pair)) {
        struct slice after = slice_sub(pair, mark.len, pair.len);
        bool         ours = slice_starts_with(pair, mark) && is_renamed(http_cookie_name(after));

        any = any || ours;
        at = put_part(at, text, ours ? after : pair);
    }
    return any ? (struct slice){ text, (size_t)(at - text) } : cookie;
}
