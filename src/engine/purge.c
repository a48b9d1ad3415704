/*
 * From what a person writes to a test of stored keys.
 */
#include "engine/purge.h"

#include "engine/guard.h"
#include "http/url.h"
#include "policy/key.h"
#include "route/pattern.h"

#include <stdlib.h>

struct purge {
    struct arena                 arena;
    struct slice                 url; /* literal; where there is no pattern */
    struct pattern              *pattern;
    const struct route_upstream *upstream; /* the pattern is one of its paths; NULL: of whole URLs */
    struct config               *config;   /* holds that */
};

static bool is_absolute(struct slice text)
{
    return slice_starts_with(text, SLICE("http://")) || slice_starts_with(text, SLICE("https://"));
}

static bool is_glob(struct slice url)
{
    return slice_starts_with(url, SLICE("~")) || slice_find(url, '*', 0) < url.len || slice_find(url, '{', 0) < url.len;
}

/* "http://127.0.0.1:8080/inat/v1" -> "/inat/v1" where that is one of Weir's own addresses; and a host of an upstream's,
 * by whatever name and scheme clients ask for it, becomes the one that is asked. */
static struct slice without_own_origin(const struct config *c, struct slice text, struct arena *a)
{
    size_t             host = slice_find(text, ':', 0) + 3;
    size_t             path = slice_find(text, '/', host);
    struct slice       authority = slice_sub(text, host, path), name;
    bool               is_secure = slice_starts_with(text, SLICE("https"));
    struct route_place to = { NULL, NULL };
    unsigned           port;

    if (!http_authority_parse(authority, &name, &port))
        return text;
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (slice_eq_nocase(authority, c->upstreams[i].route.authority))
            return text;
    to = route_find_place(c->routes, name, port, is_secure ? 443 : 80);
    if (to.upstream != NULL)
        return arena_printf(a, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(to.upstream->scheme),
                            SLICE_ARG(to.host->authority), SLICE_ARG(slice_sub(text, path, text.len)));
    return guard_is_own_host(c, authority) ? slice_sub(text, path, text.len) : text;
}

static struct slice upstream_url(const struct config *c, struct slice text, struct arena *a)
{
    struct slice rest = is_absolute(text) ? without_own_origin(c, text, a) : text, name;

    if (is_absolute(rest))
        return rest;
    if (rest.len > 0 && rest.ptr[0] == '/')
        rest = slice_sub(rest, 1, rest.len);
    name = slice_sub(rest, 0, slice_find(rest, '/', 0));
    for (unsigned i = 0; i < c->upstream_count; i++) {
        const struct route_upstream *u = &c->upstreams[i].route;

        if (slice_eq(name, slice_of(u->name)))
            return arena_printf(a, SLICE_FMT "://" SLICE_FMT SLICE_FMT SLICE_FMT, SLICE_ARG(u->scheme),
                                SLICE_ARG(u->authority), SLICE_ARG(u->base_path),
                                SLICE_ARG(slice_sub(rest, name.len, rest.len)));
    }
    return text;
}

struct purge *purge_make(const struct config *c, struct slice text, struct fault *why)
{
    struct purge *p = mem_alloc(sizeof *p);

    p->url = arena_copy(&p->arena, upstream_url(c, text, &p->arena));
    if (!is_absolute(p->url) && !slice_starts_with(p->url, SLICE("*")) && !slice_starts_with(p->url, SLICE("~"))) {
        fault_set(why, "\"" SLICE_FMT "\" is no URL: write https://host/path, /UPSTREAM/path, or a glob of these",
                  SLICE_ARG(slice_sub(text, 0, 200)));
        goto fail;
    }
    if (is_glob(p->url) && (p->pattern = pattern_compile(p->url, why)) == NULL)
        goto fail;
    if (p->pattern != NULL)
        pattern_hasten(p->pattern);
    return p;
fail:
    purge_free(p);
    return NULL;
}

struct purge *purge_make_below(struct config *c, const struct route_upstream *u, struct slice pattern)
{
    struct purge *p = mem_alloc(sizeof *p);
    struct fault  why;

    p->pattern = pattern_compile(pattern, &why);
    if (p->pattern == NULL) {
        purge_free(p);
        return NULL;
    }
    pattern_hasten(p->pattern);
    p->upstream = u;
    p->config = c;
    config_acquire(c);
    return p;
}

void purge_free(struct purge *p)
{
    if (p == NULL)
        return;
    pattern_free(p->pattern);
    config_release(p->config);
    arena_free(&p->arena);
    free(p);
}

static bool is_host_of(const struct route_upstream *u, const struct http_url *url)
{
    return slice_eq(url->scheme, u->scheme) && (route_leads_to(u->authority, url) || route_leading_to(u, url) != NULL);
}

bool purge_matches(struct slice full_key, void *purge)
{
    const struct purge *p = purge;
    struct slice        text = policy_key_url(full_key), rest;
    struct http_url     url;

    if (p->pattern == NULL)
        return slice_eq(text, p->url);
    if (p->upstream == NULL)
        return pattern_matches(p->pattern, text);
    return http_url_parse(text, &url) && is_host_of(p->upstream, &url) &&
           route_below_base(p->upstream, url.target, &rest) &&
           pattern_matches(p->pattern, rest.len > 0 ? rest : SLICE("/"));
}
