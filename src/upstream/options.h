/*
 * How one real API is asked and spared.  Plain values, filled by config/,
 * immutable while the configuration that holds them lives.
 */
#ifndef WEIR_UPSTREAM_OPTIONS_H
#define WEIR_UPSTREAM_OPTIONS_H

#include "budget/options.h"
#include "http/fields.h"
#include "origin/options.h"

struct upstream_options {
    const char                 *name;
    struct origin_options       origin; /* how it is reached */
    const struct limit_options *limits;
    unsigned                    limit_count;
    const char                 *budget; /* NULL: its own */
    struct retry_options        retry;
    struct queue_options        queue;
    struct timeout_options      timeout;       /* where no rule says otherwise */
    unsigned                    max_in_flight; /* 0: no bound */
    bool                        drop_on_abort; /* on_abort = "drop" */
    double                      max_share;     /* of the cache; 0: no bound */
    struct low_budget_options   low_budget;
    int64_t                     denied_hold_ns;  /* of a credential after a 401; 0: none */
    int64_t                     learned_most_ns; /* what a Retry-After is believed at most */
    struct http_fields          set_headers;     /* user_agent included */
};

/* How a limit's compiled `pattern` is tested: pattern_matches() of route/, handed over by main. */
typedef bool (*upstream_match)(const void *pattern, struct slice path);

#endif
