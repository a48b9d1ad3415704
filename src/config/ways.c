/*
 * The ways to an API as settings state them: an entry of `hosts`, and the
 * proxy of `via`.  Checks and conversions of checks.h.
 */
#include "config/checks.h"

#include "http/url.h"

/* `fault_set` returns -1; a check returns false. */
#define WRONG(...) (fault_set(__VA_ARGS__), false)

static void without_root(struct slice *host)
{
    if (host->len > 1 && host->ptr[host->len - 1] == '.')
        host->len--;
}

bool host_entry_parse(const char *text, struct host_entry *out)
{
    struct slice all = slice_of(text), from = slice_sub(all, 0, slice_find(all, '=', 0)), to;

    *out = (struct host_entry){ .is_alias = from.len < all.len };
    to = out->is_alias ? slice_trim(slice_sub(all, from.len + 1, all.len)) : from;
    if (out->is_alias)
        from = slice_trim(from);
    if (!http_authority_parse(from, &out->name, &out->port) || !http_authority_parse(to, &out->to, &out->to_port))
        return false;
    without_root(&out->name);
    without_root(&out->to);
    return true;
}

bool check_host_entry(const char *text, struct fault *why)
{
    struct host_entry e;

    if (strchr(text, '=') == NULL)
        return check_host(text, why);
    if (strchr(text, '/') == NULL && strchr(text, '*') == NULL && host_entry_parse(text, &e))
        return true;
    return WRONG(why,
                 "\"%s\" is no alias; what clients ask for and whom it stands for are wanted, each a host or "
                 "host:port, such as \"api.localhost = api.example.org\"",
                 text);
}

/* -- via -- */

static const char *const via_schemes[] = { "http://", "https://", "socks5://", "socks5h://", NULL };

bool check_via(const char *text, struct fault *why)
{
    struct slice host, rest = SLICE_NONE;
    unsigned     port = 0;

    for (const char *const *scheme = via_schemes; *scheme != NULL && rest.ptr == NULL; scheme++)
        if (slice_starts_with(slice_of(text), slice_of(*scheme)))
            rest = slice_of(text + strlen(*scheme));
    if (rest.ptr == NULL)
        return WRONG(why, "is no URL of a proxy; it begins with http://, https:// or socks5://, such as "
                          "\"http://proxy.example.org:3128\"");
    if (slice_find(rest, '@', 0) < rest.len) /* not repeated: it may hold a password */
        return WRONG(why, "the URL names a user; \"user:password\" belongs in the file that value_file names: "
                          "via = { url = \"http://proxy.example.org:3128\"; value_file = ...; }");
    if (slice_ends_with(rest, SLICE("/")))
        rest.len--;
    if (!http_authority_parse(rest, &host, &port))
        return WRONG(why,
                     "\"%s\" is no URL of a proxy; scheme, host and port alone are wanted, such as "
                     "\"http://proxy.example.org:3128\"",
                     text);
    if (port == 0)
        return WRONG(why,
                     "\"%s\" names no port, and proxies have no usual one; such as "
                     "\"http://proxy.example.org:3128\"",
                     text);
    return true;
}

struct via_options ways_via(const char *text, struct arena *arena)
{
    struct via_options via = { .is_http = slice_starts_with(slice_of(text), SLICE("http")) };
    struct slice       all = slice_of(text);
    size_t             colon = slice_find(all, ':', 0);

    via.authority = slice_sub(all, colon + 3, all.len);
    if (slice_ends_with(via.authority, SLICE("/")))
        via.authority.len--;
    /* "socks5h": the name of the API's host is the proxy's to look up. */
    via.url = via.is_http ? arena_printf(arena, SLICE_FMT "://" SLICE_FMT, SLICE_ARG(slice_sub(all, 0, colon)),
                                         SLICE_ARG(via.authority))
                                .ptr
                          : arena_printf(arena, "socks5h://" SLICE_FMT, SLICE_ARG(via.authority)).ptr;
    return via;
}
