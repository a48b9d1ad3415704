/*
 * URLs as bytes: split, never decoded (contract section 2).  Pure.
 */
#ifndef WEIR_HTTP_URL_H
#define WEIR_HTTP_URL_H

#include "base/arena.h"
#include "base/slice.h"

struct http_url {
    struct slice scheme;    /* "http" or "https", as written */
    struct slice authority; /* host and port as written, userinfo refused */
    struct slice host;      /* IPv6 with its brackets */
    unsigned     port;      /* the scheme's default where none is written */
    bool         port_given;
    struct slice target; /* path and query; "" where there is none; fragment refused */
};

/* An absolute http or https URL (RFC 9110 4.2); false for anything else. */
bool http_url_parse(struct slice text, struct http_url *out);
/* "host", "host:port", "[::1]:port"; port 0 where none is given.  False where it is malformed. */
bool http_authority_parse(struct slice text, struct slice *host, unsigned *port);
/* A target that may be sent: begins with '/' (or is "*"), only visible ASCII and bytes over 0x7f,
 * no '#' (RFC 9112 3.2 has no fragments). */
bool http_target_is_valid(struct slice target);
/* Path and query (without '?'; query.ptr NULL where there is no '?'). */
void http_target_split(struct slice target, struct slice *path, struct slice *query);

/* Walks the parameters of a query: "a=1", "", "b"; nothing decoded.  False at the end. */
bool http_query_next(struct slice *rest, struct slice *parameter);
/* With every %XX undone, for comparing only; what is no such stays. */
struct slice http_percent_decode(struct slice text, struct arena *a);
/* Name of a parameter, percent-decoded into the arena for comparing only. */
struct slice http_parameter_name(struct slice parameter, struct arena *a);

#endif
