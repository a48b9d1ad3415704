/* Under which rule a stored URL stands, whoever asked for it first. Pure; any thread. */
#ifndef WEIR_ENGINE_UNDER_H
#define WEIR_ENGINE_UNDER_H

#include "http/message.h"
#include "route/route.h"

/* Of that upstream, by the target that its API sees.  NULL: none, the upstream's own policy counts.  The arena is for
 * scratch memory. */
const struct route_rule *under_rule(const struct route_upstream *, const struct http_request *, struct slice target,
                                    struct arena *);

#endif
