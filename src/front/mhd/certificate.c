/*
 * The name that a client asks for leads to a leaf only where it is a host of the upstream that it connected to.
 */
#include "front/mhd/certificate.h"

#include "base/clock.h"
#include "base/log.h"
#include "front/mhd/connection.h"
#include "http/url.h"

#include <stdio.h>

struct leaf *certificate_for(struct worker *w, const char *name)
{
    struct fault why;
    struct leaf *l = leaf_acquire(w->leaves, name, clock_wall_ns() / NS_PER_SEC, &why);

    if (l == NULL)
        log_error("no_certificate", "name=%s reason=%s", log_quote(name), log_quote(why.text));
    return l;
}

struct leaf *certificate_choose(void *context, const char *name)
{
    struct connection           *c = context;
    struct worker               *w = c->worker;
    const struct route_upstream *u = NULL;
    char                         host[LEAF_NAME_BYTES];
    struct slice                 connected;
    unsigned                     port;

    if (http_authority_parse(slice_of(c->connected), &connected, &port))
        u = route_find_connected(w->config->routes, connected, port).upstream;
    if (u == NULL || (name != NULL && route_find_connected(w->config->routes, slice_of(name), port).upstream != u))
        return NULL;
    if (name != NULL)
        return certificate_for(w, name);
    snprintf(host, sizeof host, SLICE_FMT, SLICE_ARG(connected));
    return certificate_for(w, host);
}
