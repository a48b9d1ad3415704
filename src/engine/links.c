/*
 * One rule for single URLs and for fields; the JSON filter (relink.c) takes
 * the same rule as a list of beginnings.
 */
#include "engine/links.h"

#include "http/url.h"

static struct slice join3(struct arena *a, struct slice x, struct slice y, struct slice z)
{
    return arena_printf(a, SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(x), SLICE_ARG(y), SLICE_ARG(z));
}

struct links links_of(const struct route *route, struct slice target, struct slice host, struct arena *a)
{
    struct links    l = { .upstream = route->upstream,
                          .authority = route->authority,
                          .own = SLICE(""),
                          .prefix = SLICE_NONE };
    struct http_url url;

    if (route->way == ROUTE_ABSOLUTE && http_url_parse(target, &url))
        host = url.authority;
    if (host.len > 0)
        l.own = join3(a, SLICE("http://"), host, SLICE(""));
    if (route->way == ROUTE_PREFIX)
        l.prefix = route->prefix;
    return l;
}

bool links_are_in(enum http_name id)
{
    return id == HTTP_LOCATION || id == HTTP_CONTENT_LOCATION || id == HTTP_LINK;
}

/* In http:// mode: the name by which a client gets to where `url` leads, its own where that is the same host; ptr NULL:
 * there is none. */
static struct slice plain_base(const struct links *l, const struct http_url *url, struct arena *a)
{
    bool                     default_port = url->port == (slice_eq_nocase(url->scheme, SLICE("https")) ? 443 : 80);
    const struct route_host *h;

    if (route_leads_to(l->authority, url))
        return l->own;
    if (route_named_by(l->upstream, url) != NULL)
        return join3(a, SLICE("http://"), default_port ? url->host : url->authority, SLICE(""));
    h = route_leading_to(l->upstream, url);
    if (h == NULL)
        return SLICE_NONE;
    return h->port == 0 ? join3(a, SLICE("http://"), h->host, SLICE(""))
                        : arena_printf(a, "http://" SLICE_FMT ":%u", SLICE_ARG(h->host), h->port);
}

/* In base-URL mode: the prefix stands for the authority of `url`, and for what is an alias of that. */
static bool is_of_prefix(const struct links *l, const struct http_url *url)
{
    const struct route_host *h = route_named_by(l->upstream, url);

    return route_leads_to(l->authority, url) || (h != NULL && slice_eq(h->authority, l->authority));
}

static struct slice rewrite_absolute(const struct links *l, struct slice text, const struct http_url *url,
                                     struct arena *a)
{
    struct slice base, rest;

    if (l->prefix.ptr == NULL) {
        base = plain_base(l, url, a);
        return base.ptr == NULL ? text : join3(a, base, url->target, SLICE(""));
    }
    if (!is_of_prefix(l, url) || !route_below_base(l->upstream, url->target, &rest))
        return text;
    return join3(a, l->own, l->prefix, rest);
}

/* "/v1/taxa": what stands outside of the upstream's base path has no name below the prefix, and is made absolute. */
static struct slice rewrite_rooted(const struct links *l, struct slice text, struct arena *a)
{
    const struct route_upstream *u = l->upstream;
    struct slice                 rest;

    if (l->prefix.ptr == NULL)
        return text;
    if (route_below_base(u, text, &rest))
        return join3(a, l->prefix, rest, SLICE(""));
    return join3(a, join3(a, u->scheme, SLICE("://"), l->authority), text, SLICE(""));
}

struct slice links_rewrite(const struct links *l, struct slice url, struct arena *a)
{
    size_t          hash = slice_find(url, '#', 0);
    struct slice    fragment = slice_sub(url, hash, url.len), text = slice_sub(url, 0, hash), made;
    struct http_url parts;

    if (slice_starts_with(text, SLICE("//")))
        text = join3(a, l->upstream->scheme, SLICE(":"), text);
    if (slice_starts_with(text, SLICE("/")))
        made = rewrite_rooted(l, text, a);
    else if (http_url_parse(text, &parts))
        made = rewrite_absolute(l, text, &parts, a);
    else
        return url;
    if (made.ptr == text.ptr)
        return url;
    return fragment.len > 0 ? join3(a, made, fragment, SLICE("")) : made;
}

static size_t count_of(struct slice s, char c)
{
    size_t n = 0;

    for (size_t at = slice_find(s, c, 0); at < s.len; at = slice_find(s, c, at + 1))
        n++;
    return n;
}

/* RFC 8288 3: "<target>; parameters, <target>...", quoted strings passed over. */
static struct slice rewrite_link_field(const struct links *l, struct slice value, struct arena *a)
{
    struct slice *parts = arena_alloc_raw(a, (2 * count_of(value, '<') + 1) * sizeof *parts);
    size_t        done = 0, count = 0;
    bool          quoted = false;

    for (size_t i = 0; i < value.len; i++) {
        size_t end;

        if (quoted && value.ptr[i] == '\\')
            i++;
        else if (value.ptr[i] == '"')
            quoted = !quoted;
        if (quoted || i >= value.len || value.ptr[i] != '<')
            continue;
        end = slice_find(value, '>', i);
        parts[count++] = slice_sub(value, done, i + 1);
        parts[count++] = links_rewrite(l, slice_sub(value, i + 1, end), a);
        done = i = end;
    }
    if (count == 0)
        return value;
    parts[count++] = slice_sub(value, done, value.len);
    return arena_join(a, parts, count);
}

void links_rewrite_fields(const struct links *l, struct http_fields *f, struct arena *a)
{
    for (unsigned i = 0; i < f->count; i++) {
        struct http_field *field = &f->items[i];

        if (field->id == HTTP_LINK)
            field->value = rewrite_link_field(l, field->value, a);
        else if (links_are_in(field->id))
            field->value = links_rewrite(l, field->value, a);
    }
}

/* -- beginnings of JSON strings -- */

static unsigned add_pair(struct link_pair *pairs, unsigned count, struct slice from, struct slice to)
{
    if (count == LINK_PAIRS_MAX || from.len > LINK_FROM_BYTES || slice_eq(from, to))
        return count;
    for (unsigned i = 0; i < count; i++)
        if (slice_eq(pairs[i].from, from))
            return count;
    pairs[count] = (struct link_pair){ from, to };
    return count + 1;
}

static unsigned add_authority(const struct links *l, struct slice authority, struct link_pair *pairs, unsigned count,
                              struct arena *a)
{
    static const char *const schemes[] = { "https://", "http://" };

    for (size_t i = 0; i < sizeof schemes / sizeof *schemes; i++) {
        struct slice    from = join3(a, slice_of(schemes[i]), authority, l->upstream->base_path);
        struct http_url url;

        if (http_url_parse(from, &url))
            count = add_pair(pairs, count, from, rewrite_absolute(l, from, &url, a));
    }
    return count;
}

unsigned links_pairs(const struct links *l, struct link_pair pairs[LINK_PAIRS_MAX], struct arena *a)
{
    const struct route_upstream *u = l->upstream;
    unsigned                     count = 0;

    if (l->own.len == 0)
        return 0;
    count = add_authority(l, l->authority, pairs, count, a);
    for (unsigned i = 0; i < u->host_count; i++) {
        struct slice authority = u->hosts[i].host;

        if (u->hosts[i].port != 0)
            authority = arena_printf(a, SLICE_FMT ":%u", SLICE_ARG(authority), u->hosts[i].port);
        count = add_authority(l, authority, pairs, count, a);
        count = add_authority(l, u->hosts[i].authority, pairs, count, a);
    }
    return count;
}
