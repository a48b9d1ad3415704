/*
 * From a target at the API to the rule that it stands under.
 */
#include "engine/under.h"

const struct route_rule *under_rule(const struct route_upstream *u, const struct http_request *r, struct slice target,
                                    struct arena *a)
{
    struct slice path;

    if (!route_below_base(u, target, &path))
        path = target;
    if (path.len == 0 || path.ptr[0] != '/')
        path = arena_printf(a, "/" SLICE_FMT, SLICE_ARG(path));
    return route_rule_find(u, r, path, a);
}
