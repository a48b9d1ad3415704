/*
 * From what a person writes to a test of stored keys.
 */
#include "engine/purge.h"

#include "engine/guard.h"
#include "engine/under.h"
#include "http/url.h"
#include "policy/key.h"
#include "route/pattern.h"

#include <stdlib.h>

struct purge {
    struct arena                 arena;
    struct slice                 typed; /* literal; where there is no pattern */
    struct slice                 url;   /* the same as keys say it, with credentials masked */
    struct pattern              *pattern;
    const struct route_upstream *upstream; /* the pattern is one of its paths; NULL: of whole URLs */
    struct config               *config;   /* holds that */
};

static bool is_absolute(struct slice text)
{
    return slice_starts_with(text, SLICE("http://")) || slice_starts_with(text, SLICE("https://"));
}

static const struct slice mask = { "***", 3 }; /* in place of a credential, as URLs are shown */

/* The value of a parameter, all of it. */
static bool is_mask(struct slice url, size_t at)
{
    return at > 0 && url.ptr[at - 1] == '=' && slice_starts_with(slice_sub(url, at, url.len), mask) &&
           (at + mask.len == url.len || url.ptr[at + mask.len] == '&');
}

static bool is_glob(struct slice url)
{
    for (size_t at = slice_find(url, '*', 0); at < url.len; at = slice_find(url, '*', at)) {
        if (!is_mask(url, at))
            return true;
        at += mask.len;
    }
    return slice_starts_with(url, SLICE("~")) || slice_find(url, '{', 0) < url.len;
}

/* Does a key's URL say what this one does, whatever stands for its credentials? */
static bool is_same_but_masks(struct slice key, struct slice url)
{
    size_t i = 0;

    for (size_t at = 0; at < url.len; at++) {
        if (is_mask(url, at)) {
            i = slice_find(key, '&', i);
            at += mask.len - 1;
        } else if (i >= key.len || key.ptr[i++] != url.ptr[at]) {
            return false;
        }
    }
    return i == key.len;
}

static bool is_host_of(const struct route_upstream *u, const struct http_url *url)
{
    return slice_eq(url->scheme, u->scheme) && (route_leads_to(u->authority, url) || route_leading_to(u, url) != NULL);
}

/* What a request for that URL is stored under: without the parameters that are no part of the key. */
static struct slice url_of_key(const struct config *c, struct slice url, struct arena *a)
{
    const struct key_secret secret = { { 0 } };
    struct http_url         parts;

    if (!http_url_parse(url, &parts))
        return url;
    for (unsigned i = 0; i < c->upstream_count; i++) {
        const struct route_upstream *u = &c->upstreams[i].route;
        const struct http_request    get = { .method = HTTP_GET, .method_name = SLICE("GET") };
        const struct policy_options *o;
        struct key_input             in = { .scheme = u->scheme, .authority = parts.authority, .request = &get };
        struct slice                 said;

        if (!is_host_of(u, &parts))
            continue;
        in.target = parts.target.len > 0 ? parts.target : SLICE("/");
        o = route_policy(u, under_rule(u, &get, in.target, a));
        said = policy_key_url(policy_key(o, &secret, &in, &(struct partition){ { 0 } }, a).full);
        return http_url_parse(said, &parts)
                   ? arena_printf(a, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(parts.scheme),
                                  SLICE_ARG(parts.authority), SLICE_ARG(policy_redact_target(o, parts.target, a)))
                   : url;
    }
    return url;
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

    p->typed = arena_copy(&p->arena, upstream_url(c, text, &p->arena));
    if (!is_absolute(p->typed) && !slice_starts_with(p->typed, SLICE("*")) &&
        !slice_starts_with(p->typed, SLICE("~"))) {
        fault_set(why, "\"" SLICE_FMT "\" is no URL: write https://host/path, /UPSTREAM/path, or a glob of these",
                  SLICE_ARG(slice_sub(text, 0, 200)));
        goto fail;
    }
    if (is_glob(p->typed) && (p->pattern = pattern_compile(p->typed, why)) == NULL)
        goto fail;
    if (p->pattern != NULL)
        pattern_hasten(p->pattern);
    else
        p->url = arena_copy(&p->arena, url_of_key(c, p->typed, &p->arena));
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

bool purge_is_of(const struct route_upstream *u, struct slice full_key)
{
    struct http_url url;

    return http_url_parse(policy_key_url(full_key), &url) && is_host_of(u, &url);
}

bool purge_matches(struct slice full_key, void *purge)
{
    const struct purge *p = purge;
    struct slice        text = policy_key_url(full_key), rest;
    struct http_url     url;

    if (p->pattern == NULL)
        return slice_eq(text, p->typed) || is_same_but_masks(text, p->url);
    if (p->upstream == NULL)
        return pattern_matches(p->pattern, text);
    return http_url_parse(text, &url) && is_host_of(p->upstream, &url) &&
           route_below_base(p->upstream, url.target, &rest) &&
           pattern_matches(p->pattern, rest.len > 0 ? rest : SLICE("/"));
}
