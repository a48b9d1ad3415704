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

struct timeout_options {
    int64_t connect_ns;               /* for the connection, TLS and the way through `via` included */
    int64_t read_ns, write_ns;        /* between two of them */
    int64_t total_ns;                 /* of one attempt */
};

struct via_options {                  /* a proxy on the way to the API */
    const char  *url;                 /* "http://", "https://" or "socks5h://", host and port; NULL: none */
    struct slice authority;           /* of that, for messages */
    bool         is_http;             /* else SOCKS */
    const char  *ca_file;             /* of an https:// one; NULL: the system's */
    const char  *user, *password;     /* of its value_file, once that was read; NULL: none */
};

struct upstream_options {
    const char                 *name;
    struct slice                scheme;              /* "http" or "https" */
    const struct limit_options *limits;
    unsigned                    limit_count;
    const char                 *budget;              /* NULL: its own */
    struct retry_options        retry;
    struct queue_options        queue;
    struct timeout_options      timeout;             /* where no rule says otherwise */
    struct via_options          via;
    unsigned                    max_in_flight;       /* 0: no bound */
    unsigned                    max_connections, max_idle_connections;
    bool                        drop_on_abort;       /* on_abort = "drop" */
    double                      max_share;           /* of the cache; 0: no bound */
    struct low_budget_options   low_budget;
    int64_t                     learned_most_ns;     /* what a Retry-After is believed at most */
    struct tls_options          tls;
    struct http_fields          set_headers;         /* user_agent included */
};

/* How a limit's compiled `pattern` is tested: pattern_matches() of route/, handed over by main. */
typedef bool (*upstream_match)(const void *pattern, struct slice path);

#endif
