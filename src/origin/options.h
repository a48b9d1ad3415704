/*
 * How an API is reached.  Plain values, filled by config/, immutable while the configuration that holds them lives.
 */
#ifndef WEIR_ORIGIN_OPTIONS_H
#define WEIR_ORIGIN_OPTIONS_H

#include "base/slice.h"

struct tls_options {
    bool        verify;
    const char *ca_file, *cert_file, *key_file; /* NULL: the system's; none; none */
};

struct timeout_options {
    int64_t connect_ns;        /* for the connection, TLS and the way through `via` included */
    int64_t read_ns, write_ns; /* between two of them */
    int64_t total_ns;          /* of one attempt */
};

struct via_options {              /* a proxy on the way to the API */
    const char  *url;             /* "http://", "https://" or "socks5h://", host and port; NULL: none */
    struct slice authority;       /* of that, for messages */
    bool         is_http;         /* else SOCKS */
    const char  *ca_file;         /* of an https:// one; NULL: the system's */
    const char  *user, *password; /* of its value_file, once that was read; NULL: none */
};

struct origin_options {
    struct slice       scheme; /* "http" or "https" */
    struct via_options via;
    struct tls_options tls;
    unsigned           max_connections, max_idle_connections;
};

#endif
