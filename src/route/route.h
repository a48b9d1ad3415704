/*
 * From a request to an upstream, its target there, and the first rule that
 * matches (contract section 2).  Pure, over an immutable table; any thread.
 */
#ifndef WEIR_ROUTE_ROUTE_H
#define WEIR_ROUTE_ROUTE_H

#include "base/arena.h"
#include "http/message.h"
#include "http/url.h"
#include "policy/options.h"
#include "route/pattern.h"

struct route_rule {
    struct pattern       *pattern;
    unsigned              methods;        /* bit (1u << enum http_method) */
    /* names that are HTTP_OTHER; ends with NULL; may be NULL */
    const char *const    *other_methods;
    struct policy_options policy;         /* resolved: the upstream's where the rule says nothing */
    const char *const    *invalidates;    /* patterns' texts; ends with NULL; may be NULL */
};

struct route_host {                       /* one entry of `hosts` */
    struct slice host;                    /* lower case */
    /* 0: none was written: matches absent or scheme-default */
    unsigned     port;
};

struct route_upstream {
    const char              *name;
    struct slice             scheme;      /* "http" or "https" */
    struct slice             authority;   /* lower case; default port left out */
    struct slice             base_path;   /* path of `url` without a trailing slash; may be "" */
    const struct route_host *hosts;
    unsigned                 host_count;
    const struct route_rule *rules;
    unsigned                 rule_count;
    struct policy_options    policy;      /* where no rule matches */
    unsigned                 index;       /* in the table and in the snapshot's upstreams */
};

struct route_table;
/* Borrows `upstreams` for its life. Indexes names and hosts. */
struct route_table *route_table_build(const struct route_upstream *upstreams, unsigned count);
void route_table_free(struct route_table *);

enum route_way {
    ROUTE_PREFIX,
    ROUTE_HOST,
    ROUTE_ABSOLUTE,
    ROUTE_CONNECT /* over TLS, out of a CONNECT that Weir opened */,
    ROUTE_OWN /* "/.weir/..." */,
    ROUTE_NONE
};

struct route {
    enum route_way               way;
    const struct route_upstream *upstream;   /* NULL for ROUTE_OWN and ROUTE_NONE */
    /* at the upstream: base path and the rest, byte for byte (in the arena where joined) */
    struct slice                 target;
    /* what rules match: target without the upstream's base path */
    struct slice                 path;
    /* "/inat" in base-URL mode, else "" : what links are rewritten to */
    struct slice                 prefix;
};

/* `host`: the Host field's value (ptr NULL: absent). `own_host`: the caller found Host to be one of
 * Weir's own names.  Host and absolute form win over the prefix. */
struct route route_find(const struct route_table *t, struct slice target, struct slice host,
                        bool own_host, struct arena *a);

/* The upstream that lists `host`; `port` 0: none was written, and `default_port` counts. NULL: none does. */
const struct route_upstream *route_find_host(const struct route_table *t, struct slice host, unsigned port,
                                             unsigned default_port);

/* The same for a CONNECT: it says a port, 443 or 80 where the host is listed without one. */
const struct route_upstream *route_find_connected(const struct route_table *t, struct slice host, unsigned port);

/* A request out of a CONNECT to `connected` ("host:port"): whatever its target and Host say, it finds its way only
 * where they lead to the very upstream that the client connected to; else ROUTE_NONE.  Without TLS (`is_tls`) it is
 * a request like any other that names a host: ROUTE_HOST. */
struct route route_find_inside(const struct route_table *t, struct slice connected, bool is_tls, struct slice target,
                               struct slice host, struct arena *a);

/* Where an absolute URL leads, as seen from one upstream: nowhere it knows, to the authority of its
 * `url`, or to one of its `hosts`. */
enum route_lead { LEAD_ELSEWHERE, LEAD_URL, LEAD_HOST };
enum route_lead route_lead(const struct route_upstream *u, const struct http_url *url);
/* `path` (with its query) behind the upstream's base path: true, and *rest is "" or begins with
 * '/' or '?'. */
bool route_below_base(const struct route_upstream *u, struct slice path, struct slice *rest);

/* First match wins; a rule whose methods differ is passed over.  NULL: none, the upstream's own
 * policy counts. */
const struct route_rule *route_rule_find(const struct route_upstream *u,
                                         const struct http_request *r, struct slice path);
static inline const struct policy_options *route_policy(const struct route_upstream *u,
                                                        const struct route_rule *rule)
{
    return rule != NULL ? &rule->policy : &u->policy;
}

#endif
