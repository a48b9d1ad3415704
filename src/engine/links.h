/*
 * Links of an upstream's answers, led back through Weir (contract section 2):
 * in base-URL mode to "http://<Host>/<name>...", in http:// mode to
 * "http://" where the upstream says "https://".  Pure; any thread.
 */
#ifndef WEIR_ENGINE_LINKS_H
#define WEIR_ENGINE_LINKS_H

#include "route/route.h"

struct links {
    const struct route_upstream *upstream;
    struct slice                 authority; /* where the request went */
    struct slice                 own;       /* "http://127.0.0.1:8080": what the client asked; "": it did not say */
    struct slice                 prefix;    /* "/inat"; ptr NULL in http:// mode */
};

/* For a request that came by `route`, over plain HTTP; `target` and `host` as the client sent them. */
struct links links_of(const struct route *route, struct slice target, struct slice host, struct arena *a);

/* A URL or a root-relative reference; as it is where it does not lead to the upstream. */
struct slice links_rewrite(const struct links *l, struct slice url, struct arena *a);
/* True where the field carries links that may have to be rewritten. */
bool links_are_in(enum http_name id);
/* Location, Content-Location, and the targets in Link (RFC 8288 3). The list is the caller's; its texts are not
 * touched. */
void links_rewrite_fields(const struct links *l, struct http_fields *f, struct arena *a);

/* What a JSON string of the upstream's may begin with, and what is put in its place. */
struct link_pair {
    struct slice from, to;
};
enum { LINK_PAIRS_MAX = 32, LINK_FROM_BYTES = 512 };
/* Fills `pairs`; how many there are. A `from` is never longer than LINK_FROM_BYTES, no two of them are equal. */
unsigned links_pairs(const struct links *l, struct link_pair pairs[LINK_PAIRS_MAX], struct arena *a);

#endif
