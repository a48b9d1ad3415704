/*
 * Looks at an origin beside the upstream thread, for weirctl upstreams check.
 */
#ifndef WEIR_UPSTREAM_PROBE_H
#define WEIR_UPSTREAM_PROBE_H

#include "base/mailbox.h"
#include "origin/probe.h"

#include <stdbool.h>

struct upstream_probe {                   /* the asker's; the thread's from the start until `done` is received */
    const struct origin_options *options; /* these and `authority` live until then */
    struct slice                 authority;
    int64_t                      limit_ns;
    struct mailbox              *reply_to;
    struct mail                  done; /* .receive set by the asker */
    struct probe_result          result;
};

/* False: no thread could be made. */
bool upstream_probe_start(struct upstream_probe *);

#endif
