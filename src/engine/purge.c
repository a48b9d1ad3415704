/*
 * From what a person writes to a test of stored keys.
 */
#include "engine/purge.h"

#include "engine/guard.h"
#include "policy/key.h"
#include "route/pattern.h"

#include <stdlib.h>

struct purge {
    struct arena    arena;
    struct slice    url;              /* literal; where there is no pattern */
    struct pattern *pattern;
};

static bool is_absolute(struct slice text)
{
    return slice_starts_with(text, SLICE("http://")) || slice_starts_with(text, SLICE("https://"));
}

static bool is_glob(struct slice url)
{
    return slice_starts_with(url, SLICE("~")) || slice_find(url, '*', 0) < url.len
        || slice_find(url, '{', 0) < url.len;
}

static bool is_upstream_authority(const struct config *c, struct slice authority)
{
    for (unsigned i = 0; i < c->upstream_count; i++)
        if (slice_eq_nocase(authority, c->upstreams[i].route.authority))
            return true;
    return false;
}

/* "http://127.0.0.1:8080/inat/v1" -> "/inat/v1" where that is one of Weir's own addresses. */
static struct slice without_own_origin(const struct config *c, struct slice text)
{
    size_t       host = slice_find(text, ':', 0) + 3;
    size_t       path = slice_find(text, '/', host);
    struct slice authority = slice_sub(text, host, path);

    if (is_upstream_authority(c, authority) || !guard_is_own_host(c, authority))
        return text;
    return slice_sub(text, path, text.len);
}

static struct slice upstream_url(const struct config *c, struct slice text, struct arena *a)
{
    struct slice rest = is_absolute(text) ? without_own_origin(c, text) : text, name;

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
    return p;
fail:
    purge_free(p);
    return NULL;
}

void purge_free(struct purge *p)
{
    if (p == NULL)
        return;
    pattern_free(p->pattern);
    arena_free(&p->arena);
    free(p);
}

bool purge_matches(struct slice full_key, void *purge)
{
    const struct purge *p = purge;
    struct slice        url = policy_key_url(full_key);

    return p->pattern != NULL ? pattern_matches(p->pattern, url) : slice_eq(url, p->url);
}
