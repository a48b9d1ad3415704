/*
 * The way a request came is told by its target and its Host; names and hosts
 * are looked up in two sorted arrays, built once for each configuration.
 */
#include "route/route.h"

#include "route/rules.h"

#include <stdlib.h>

enum { PORT_HTTP = 80, PORT_HTTPS = 443 };

struct name_entry {
    struct slice                 name;
    const struct route_upstream *upstream;
};

struct route_host_entry {
    const struct route_host     *host;
    const struct route_upstream *upstream;
    unsigned                     place; /* in the configuration */
};

struct route_table {
    struct name_entry       *names; /* sorted by name */
    struct route_host_entry *hosts; /* sorted by host, then by port, then by place in the configuration */
    unsigned                 name_count, host_count;
};

/* ---- the table ---- */

static unsigned char lower(char c)
{
    return (unsigned char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c);
}

static int compare_nocase(struct slice a, struct slice b)
{
    size_t shorter = a.len < b.len ? a.len : b.len;

    for (size_t i = 0; i < shorter; i++)
        if (lower(a.ptr[i]) != lower(b.ptr[i]))
            return lower(a.ptr[i]) < lower(b.ptr[i]) ? -1 : 1;
    return (a.len > b.len) - (a.len < b.len);
}

static int order_names(const void *a, const void *b)
{
    const struct name_entry *x = a, *y = b;

    return slice_compare(x->name, y->name);
}

static int compare_place(const struct route_host_entry *e, struct slice host, unsigned port)
{
    int order = compare_nocase(e->host->host, host);

    return order != 0 ? order : (e->host->port > port) - (e->host->port < port);
}

static int order_hosts(const void *a, const void *b)
{
    const struct route_host_entry *x = a, *y = b;
    int                            order = compare_place(x, y->host->host, y->host->port);

    return order != 0 ? order : (x->place > y->place) - (x->place < y->place);
}

struct route_table *route_table_build(const struct route_upstream *upstreams, unsigned count)
{
    struct route_table *t = mem_alloc(sizeof *t);
    unsigned            hosts = 0;

    for (unsigned i = 0; i < count; i++)
        hosts += upstreams[i].host_count;
    t->names = mem_alloc(count * sizeof t->names[0]);
    t->hosts = mem_alloc(hosts * sizeof t->hosts[0]);
    for (unsigned i = 0; i < count; i++) {
        const struct route_upstream *u = &upstreams[i];

        t->names[t->name_count++] = (struct name_entry){ slice_of(u->name), u };
        for (unsigned k = 0; k < u->host_count; k++) {
            t->hosts[t->host_count] = (struct route_host_entry){ &u->hosts[k], u, t->host_count };
            t->host_count++;
        }
    }
    qsort(t->names, t->name_count, sizeof t->names[0], order_names);
    qsort(t->hosts, t->host_count, sizeof t->hosts[0], order_hosts);
    return t;
}

void route_table_free(struct route_table *t)
{
    if (t == NULL)
        return;
    free(t->names);
    free(t->hosts);
    free(t);
}

const struct route_upstream *route_find_name(const struct route_table *t, struct slice name)
{
    struct name_entry        wanted = { .name = name };
    const struct name_entry *found = bsearch(&wanted, t->names, t->name_count, sizeof t->names[0], order_names);

    return found != NULL ? found->upstream : NULL;
}

/*
 * `port` 0: none was written.  `default_port` is what the scheme makes of
 * that, 0 where the scheme is not known (a Host field): then either default
 * will do.
 */
static bool is_default(unsigned port, unsigned default_port)
{
    return default_port != 0 ? port == default_port : port == PORT_HTTP || port == PORT_HTTPS;
}

static unsigned default_port_of(const struct http_url *url)
{
    return slice_eq_nocase(url->scheme, SLICE("https")) ? PORT_HTTPS : PORT_HTTP;
}

static bool port_matches(unsigned listed, unsigned port, unsigned default_port)
{
    if (listed == port)
        return true;
    if (listed == 0)
        return is_default(port, default_port);
    return port == 0 && is_default(listed, default_port);
}

/* The first that lists the host with that port (0: without one); NULL: none. */
static const struct route_host_entry *find_listed(const struct route_table *t, struct slice host, unsigned port)
{
    unsigned low = 0, high = t->host_count;

    while (low < high) {
        unsigned middle = low + (high - low) / 2;

        if (compare_place(&t->hosts[middle], host, port) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < t->host_count && compare_place(&t->hosts[low], host, port) == 0 ? &t->hosts[low] : NULL;
}

struct route_place route_find_place(const struct route_table *t, struct slice host, unsigned port,
                                    unsigned default_port)
{
    /* all that port_matches() takes */
    const unsigned                 listed[] = { port, 0, PORT_HTTP, PORT_HTTPS };
    const struct route_host_entry *first = NULL;

    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--; /* the DNS root, left out by all but a few */
    for (size_t i = 0; i < sizeof listed / sizeof listed[0]; i++) {
        const struct route_host_entry *e = NULL;

        if (port_matches(listed[i], port, default_port))
            e = find_listed(t, host, listed[i]);
        if (e != NULL && (first == NULL || e->place < first->place))
            first = e;
    }
    return first != NULL ? (struct route_place){ first->upstream, first->host } : (struct route_place){ NULL, NULL };
}

/* ---- the way of a request ---- */

/* `rest` after `base`, byte for byte; "/" is put where there would be no path at all. */
static struct slice join(struct slice base, struct slice rest, struct arena *a)
{
    bool   needs_slash = base.len == 0 && (rest.len == 0 || rest.ptr[0] == '?');
    size_t length = base.len + (needs_slash ? 1 : 0) + rest.len;
    char  *p, *end;

    if (base.len == 0 && !needs_slash)
        return rest;
    p = end = arena_alloc_raw(a, length + 1);
    if (base.len > 0)
        end = (char *)memcpy(end, base.ptr, base.len) + base.len;
    if (needs_slash)
        *end++ = '/';
    if (rest.len > 0)
        end = (char *)memcpy(end, rest.ptr, rest.len) + rest.len;
    *end = '\0';
    return (struct slice){ p, length };
}

bool route_below_base(const struct route_upstream *u, struct slice path, struct slice *rest)
{
    *rest = slice_sub(path, u->base_path.len, path.len);
    return slice_starts_with(path, u->base_path) && (rest->len == 0 || rest->ptr[0] == '/' || rest->ptr[0] == '?');
}

/* What rules see: the target after the upstream's base path, as it is where it does not stand
 * below that. */
static struct slice below_base(struct slice target, const struct route_upstream *u, struct arena *a)
{
    struct slice rest;

    if (u->base_path.len == 0 || !route_below_base(u, target, &rest))
        return target;
    return join(SLICE(""), rest, a);
}

static struct route to_host(enum route_way way, struct route_place to, struct slice target, struct arena *a)
{
    return (struct route){ .way = way,
                           .upstream = to.upstream,
                           .authority = to.host->authority,
                           .host = to.host,
                           .target = target,
                           .prefix = SLICE(""),
                           .path = below_base(target, to.upstream, a) };
}

static bool is_own(struct slice target)
{
    return slice_starts_with(target, SLICE("/.weir")) &&
           (target.len == 6 || target.ptr[6] == '/' || target.ptr[6] == '?');
}

/* "/name" and what follows it up to a slash, a query or the end. */
static struct route by_prefix(const struct route_table *t, struct slice target, struct arena *a)
{
    size_t                       end = 1;
    const struct route_upstream *u;
    struct slice                 rest;

    if (is_own(target))
        return (struct route){ .way = ROUTE_OWN, .target = target, .path = target, .prefix = SLICE("") };
    if (target.len == 0 || target.ptr[0] != '/')
        return (struct route){ .way = ROUTE_NONE };
    while (end < target.len && target.ptr[end] != '/' && target.ptr[end] != '?')
        end++;
    u = route_find_name(t, slice_sub(target, 1, end));
    if (u == NULL)
        return (struct route){ .way = ROUTE_NONE };
    rest = slice_sub(target, end, target.len);
    return (struct route){ .way = ROUTE_PREFIX,
                           .upstream = u,
                           .authority = u->authority,
                           .target = join(u->base_path, rest, a),
                           .path = join(SLICE(""), rest, a),
                           .prefix = slice_sub(target, 0, end) };
}

static struct route by_absolute(const struct route_table *t, const struct http_url *url, struct slice host,
                                bool own_host, struct arena *a)
{
    struct route_place to = route_find_place(t, url->host, url->port, default_port_of(url));
    struct slice       target = join(SLICE(""), url->target, a);

    if (to.upstream != NULL)
        return to_host(ROUTE_ABSOLUTE, to, target, a);
    /* RFC 9112 3.2.2: a server takes the absolute form for itself, too. */
    if (own_host && slice_eq_nocase(url->authority, host))
        return by_prefix(t, target, a);
    return (struct route){ .way = ROUTE_NONE };
}

struct route route_find(const struct route_table *t, struct slice target, struct slice host, bool own_host,
                        struct arena *a)
{
    struct route_place to = { NULL, NULL };
    struct http_url    url;
    struct slice       name;
    unsigned           port;

    if (target.len > 0 && target.ptr[0] != '/' && http_url_parse(target, &url))
        return by_absolute(t, &url, host, own_host, a);
    if (own_host && is_own(target)) /* reserved, whatever `hosts` lists */
        return by_prefix(t, target, a);
    if (host.ptr != NULL && http_authority_parse(host, &name, &port))
        to = route_find_place(t, name, port, 0);
    if (to.upstream != NULL)
        return to_host(ROUTE_HOST, to, target, a);
    /* HTTP/1.0 may leave Host out; a foreign name in it is some page's way in (contract section 7).
     */
    return own_host || host.ptr == NULL ? by_prefix(t, target, a) : (struct route){ .way = ROUTE_NONE };
}

struct route_place route_find_connected(const struct route_table *t, struct slice host, unsigned port)
{
    return route_find_place(t, host, port, port == PORT_HTTP ? PORT_HTTP : PORT_HTTPS);
}

struct inside { /* what a CONNECT led to */
    struct route_place place;
    unsigned           default_port;
};

/* RFC 9112 3.2.2: an absolute target counts, whatever Host says. HTTP/1.0 may leave both out. */
static struct route_place named_inside(const struct route_table *t, struct slice *target, struct slice host,
                                       const struct inside *in)
{
    static const struct route_place nowhere = { NULL, NULL };
    struct http_url                 url;
    struct slice                    name;
    unsigned                        port;

    if (target->len > 0 && target->ptr[0] != '/' && http_url_parse(*target, &url)) {
        unsigned default_port = default_port_of(&url);

        *target = url.target;
        if (default_port == PORT_HTTP && in->default_port == PORT_HTTPS && (url.port == 0 || url.port == PORT_HTTP))
            return nowhere; /* that is another port than the client connected to */
        return route_find_place(t, url.host, url.port, default_port);
    }
    if (host.ptr == NULL)
        return in->place;
    return http_authority_parse(host, &name, &port) ? route_find_place(t, name, port, in->default_port) : nowhere;
}

struct route route_find_inside(const struct route_table *t, struct slice connected, bool is_tls, struct slice target,
                               struct slice host, struct arena *a)
{
    struct inside      in = { { NULL, NULL }, PORT_HTTPS };
    struct route_place to;
    struct slice       name;
    unsigned           port;

    if (http_authority_parse(connected, &name, &port)) {
        in.place = route_find_connected(t, name, port);
        in.default_port = port == PORT_HTTP ? PORT_HTTP : PORT_HTTPS;
    }
    to = named_inside(t, &target, host, &in);
    if (in.place.upstream == NULL || to.upstream != in.place.upstream)
        return (struct route){ .way = ROUTE_NONE };
    return to_host(is_tls ? ROUTE_CONNECT : ROUTE_HOST, to, join(SLICE(""), target, a), a);
}

/* ---- where a URL leads ---- */

bool route_leads_to(struct slice authority, const struct http_url *url)
{
    struct slice host;
    unsigned     port;

    return http_authority_parse(authority, &host, &port) && slice_eq_nocase(host, url->host) &&
           port_matches(port, url->port, default_port_of(url));
}

const struct route_host *route_named_by(const struct route_upstream *u, const struct http_url *url)
{
    for (unsigned i = 0; i < u->host_count; i++)
        if (slice_eq_nocase(u->hosts[i].host, url->host) &&
            port_matches(u->hosts[i].port, url->port, default_port_of(url)))
            return &u->hosts[i];
    return NULL;
}

const struct route_host *route_leading_to(const struct route_upstream *u, const struct http_url *url)
{
    for (unsigned i = 0; i < u->host_count; i++)
        if (route_leads_to(u->hosts[i].authority, url))
            return &u->hosts[i];
    return NULL;
}

/* ---- rules ---- */

const struct route_rule *route_rule_find(const struct route_upstream *u, const struct http_request *r,
                                         struct slice path, struct arena *a)
{
    return u->index_of_rules != NULL ? rule_index_find(u->index_of_rules, r, path, a)
                                     : rules_find_plainly(u->rules, u->rule_count, r, path);
}
