/*
 * The head of a CONNECT (RFC 9110 9.3.6), which libmicrohttpd cannot answer.  Pure.
 */
#ifndef WEIR_FRONT_PROXY_CONNECT_H
#define WEIR_FRONT_PROXY_CONNECT_H

#include "engine/guard.h"

struct connect_head {
    struct slice target; /* "host:port" as written */
    struct slice host;   /* an IPv6 address in its brackets */
    unsigned     port;   /* 1 to 65535 */
    struct slice user;   /* of Proxy-Authorization; ptr NULL: none */
};

/* `text`: the whole head, its empty line included.  Slices point into it or into the arena.  A refusal of status 0
 * where it is sound. */
struct refusal connect_head_parse(struct slice text, struct connect_head *out, struct arena *a);

#endif
