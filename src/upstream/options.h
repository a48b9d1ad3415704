/*
 * How one real API is reached and spared.  Plain values, filled by config/,
 * immutable while the configuration that holds them lives.
 */
#ifndef WEIR_UPSTREAM_OPTIONS_H
#define WEIR_UPSTREAM_OPTIONS_H

#include "budget/options.h"
#include "http/fields.h"

struct tls_options {
    bool        verify;
    const char *ca_file, *cert_file, *key_file;      /* NULL: the system's; none; none */
};

struct upstream_options {
    const char                 *name;
    struct slice                scheme;              /* "http" or "https" */
    const struct limit_options *limits;
    unsigned                    limit_count;
    const char                 *budget;              /* NULL: its own */
    struct retry_options        retry;
    struct queue_options        queue;
    int64_t                     connect_timeout_ns, read_timeout_ns, write_timeout_ns, total_timeout_ns;
    unsigned                    max_in_flight;       /* 0: no bound */
    unsigned                    max_connections, max_idle_connections;
    bool                        drop_on_abort;       /* on_abort = "drop" */
    double                      max_share;           /* of the cache; 0: no bound */
    struct low_budget_options   low_budget;
    struct tls_options          tls;
    struct http_fields          set_headers;         /* user_agent included */
};

/* How a limit's compiled `pattern` is tested: pattern_matches() of route/, handed over by main. */
typedef bool (*upstream_match)(const void *pattern, struct slice path);

#endif
