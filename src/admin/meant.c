/*
 * One parameter after the other becomes a part of the wish.
 */
#include "admin/meant.h"

#include "base/clock.h"
#include "engine/purge.h"
#include "http/duration.h"

#include <stdlib.h>

struct meant *meant_new(const struct admin_call *call)
{
    struct meant *m = mem_alloc(sizeof *m);
    bool         *may_see;

    m->config = call->config;
    m->reader = (struct entry_reader){ .config = m->config, .now_wall_ns = clock_wall_ns() };
    m->wish.older_ns = -1;
    m->is_anything = true;
    if (call->rights.may_change)
        return m;
    m->wish.shared = true;
    m->wish.may_see = may_see = arena_alloc(&m->arena, m->config->upstream_count * sizeof *may_see + 1);
    for (unsigned i = 0; i < m->config->upstream_count; i++)
        may_see[i] = call->rights.may_use == NULL || call->rights.may_use(call->owner, &m->config->upstreams[i]);
    return m;
}

void meant_free(struct meant *m)
{
    if (m == NULL)
        return;
    purge_free(m->wish.urls);
    arena_free(&m->arena);
    arena_free(&m->scratch);
    free(m);
}

static bool take_url(struct meant *m, struct slice value, struct fault *why)
{
    if (m->wish.urls != NULL || value.len == 0)
        return fault_set(why, "Say one URL or glob."), false;
    m->wish.urls = purge_make(m->config, value, why);
    m->is_url_wrong = m->wish.urls == NULL;
    return m->wish.urls != NULL;
}

static bool take_upstream(struct meant *m, struct slice value, struct fault *why)
{
    for (unsigned i = 0; i < m->config->upstream_count; i++)
        if (slice_eq(value, slice_of(m->config->upstreams[i].route.name)) &&
            (m->wish.may_see == NULL || m->wish.may_see[i])) {
            m->wish.upstream = slice_of(m->config->upstreams[i].route.name);
            return true;
        }
    return fault_set(why, "The configuration has no upstream \"" SLICE_FMT "\"; weirctl status lists those it has.",
                     SLICE_ARG(slice_sub(value, 0, 100))),
           false;
}

static bool take_not_fresh(struct meant *m, struct slice value, struct fault *why)
{
    if (!slice_eq(value, SLICE("1")))
        return fault_set(why, "Write stale=1 or expired=1, or leave it out."), false;
    m->wish.not_fresh = true;
    return true;
}

static bool take_older(struct meant *m, struct slice value, struct fault *why)
{
    if (!http_duration_parse(value, &m->wish.older_ns) || m->wish.older_ns == INT64_MAX)
        return fault_set(why, "\"" SLICE_FMT "\" is no time: write 90s, 30m, 12h or 7d.",
                         SLICE_ARG(slice_sub(value, 0, 100))),
               false;
    return true;
}

static bool take_whose(struct meant *m, struct slice value, struct fault *why)
{
    if (value.len == 0)
        return fault_set(why, "Say whose, as weirctl ls -l shows it."), false;
    m->wish.whose = arena_copy(&m->arena, value);
    return true;
}

static bool take_tag(struct meant *m, struct slice value, struct fault *why)
{
    return entry_wish_tag(&m->wish, value, why);
}

static const struct {
    const char *name;
    bool (*take)(struct meant *, struct slice value, struct fault *why);
} rows[] = {
    { "url", take_url },           { "upstream", take_upstream }, { "stale", take_not_fresh },
    { "expired", take_not_fresh }, { "older_than", take_older },  { "whose", take_whose },
    { "tag", take_tag },
};

bool meant_knows(struct slice name)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_eq(name, slice_of(rows[i].name)))
            return true;
    return false;
}

enum meant_read meant_take(struct meant *m, struct slice name, struct slice value, struct fault *why)
{
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (slice_eq(name, slice_of(rows[i].name))) {
            m->is_anything = false;
            return rows[i].take(m, value, why) ? MEANT_TAKEN : MEANT_WRONG;
        }
    return MEANT_OTHER;
}
