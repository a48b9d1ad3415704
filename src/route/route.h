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
    struct pattern *pattern;
    unsigned        methods; /* bit (1u << enum http_method) */
    /* names that are HTTP_OTHER; ends with NULL; may be NULL */
    const char *const    *other_methods;
    struct policy_options policy;      /* resolved: the upstream's where the rule says nothing */
    const char *const    *invalidates; /* patterns' texts; ends with NULL; may be NULL */
};

struct rule_index;

struct route_host {    /* one entry of `hosts` */
    struct slice host; /* lower case: the name that clients ask for */
    /* 0: none was written: matches absent or scheme-default */
    unsigned port;
    /* where its requests go and what Host says there: its own name, or another's that it is an alias of; lower case,
     * default port left out */
    struct slice authority;
};

struct route_upstream {
    const char              *name;
    struct slice             scheme;    /* "http" or "https" */
    struct slice             authority; /* of `url`, which base-URL mode leads to; as above */
    struct slice             base_path; /* path of `url` without a trailing slash; may be "" */
    const struct route_host *hosts;
    unsigned                 host_count;
    const struct route_rule *rules;
    unsigned                 rule_count;
    const struct rule_index *index_of_rules; /* of rules.h; NULL: they are tried one after the other */
    struct policy_options    policy;         /* where no rule matches */
    unsigned                 index;          /* in the table and in the snapshot's upstreams */
};

struct route_table;
/* Borrows `upstreams` for its life. Indexes names and hosts. */
struct route_table *route_table_build(const struct route_upstream *upstreams, unsigned count);
void                route_table_free(struct route_table *);

/* Of that name; NULL: there is none. */
const struct route_upstream *route_find_name(const struct route_table *t, struct slice name);

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
    const struct route_upstream *upstream;  /* NULL for ROUTE_OWN and ROUTE_NONE */
    struct slice                 authority; /* there: of the host that was asked for (the configuration's text) */
    const struct route_host     *host;      /* that was asked for by its name; NULL: by none */
    /* at the upstream: base path and the rest, byte for byte (in the arena where joined) */
    struct slice target;
    /* what rules match: target without the upstream's base path */
    struct slice path;
    /* "/inat" in base-URL mode, else "" : what links are rewritten to */
    struct slice prefix;
};

/* `host`: the Host field's value (ptr NULL: absent). `own_host`: the caller found Host to be one of
 * Weir's own names.  Host and absolute form win over the prefix. */
struct route route_find(const struct route_table *t, struct slice target, struct slice host, bool own_host,
                        struct arena *a);

struct route_place { /* both NULL: nobody lists it */
    const struct route_upstream *upstream;
    const struct route_host     *host; /* the upstream's entry */
};
/* Who lists `host`; `port` 0: none was written, and `default_port` counts. */
struct route_place route_find_place(const struct route_table *t, struct slice host, unsigned port,
                                    unsigned default_port);
/* The same for a CONNECT: it says a port, 443 or 80 where the host is listed without one. */
struct route_place route_find_connected(const struct route_table *t, struct slice host, unsigned port);

/* A request out of a CONNECT to `connected` ("host:port"): whatever its target and Host say, it finds its way only
 * where they lead to the very upstream that the client connected to; else ROUTE_NONE.  Without TLS (`is_tls`) it is
 * a request like any other that names a host: ROUTE_HOST. */
struct route route_find_inside(const struct route_table *t, struct slice connected, bool is_tls, struct slice target,
                               struct slice host, struct arena *a);

/* Does an absolute URL lead to `authority`?  An absent port is that of the URL's own scheme, on both sides. */
bool route_leads_to(struct slice authority, const struct http_url *url);
/* The entry of an upstream's `hosts` by whose name the URL goes; NULL: by none. */
const struct route_host *route_named_by(const struct route_upstream *u, const struct http_url *url);
/* The first entry that goes where the URL leads; NULL: none does. */
const struct route_host *route_leading_to(const struct route_upstream *u, const struct http_url *url);
/* `path` (with its query) after the upstream's base path: true, and *rest is "" or begins with
 * '/' or '?'. */
bool route_below_base(const struct route_upstream *u, struct slice path, struct slice *rest);

/* First match wins; a rule whose methods differ is passed over.  NULL: none, the upstream's own
 * policy counts.  The arena is for scratch memory. */
const struct route_rule                   *route_rule_find(const struct route_upstream *u, const struct http_request *r,
                                                           struct slice path, struct arena *a);
static inline const struct policy_options *route_policy(const struct route_upstream *u, const struct route_rule *rule)
{
    return rule != NULL ? &rule->policy : &u->policy;
}

#endif
