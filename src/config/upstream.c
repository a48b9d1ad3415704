/*
 * From one upstream's settings to what the rooms use: its place in the route
 * table, its policies (a rule's unset settings are the upstream's by now),
 * its limits and how it is reached.
 *
 * Called for settings that are without error, so nothing here can fail.
 */
#include "config/snapshot.h"

#include "base/check.h"
#include "config/checks.h"
#include "http/method.h"
#include "http/url.h"
#include "policy/caller.h"
#include "route/rules.h"

#include <stdlib.h>
#include <strings.h>

static unsigned count_texts(const char *const *texts)
{
    unsigned n = 0;

    while (texts != NULL && texts[n] != NULL)
        n++;
    return n;
}

/* NULL for a list of none. */
static const char *const *some(const char *const *texts)
{
    return count_texts(texts) > 0 ? texts : NULL;
}

static struct slice lower(struct arena *arena, struct slice s)
{
    struct slice copy = arena_copy(arena, s);
    char        *p = (char *)copy.ptr;

    for (size_t i = 0; i < copy.len; i++)
        if (p[i] >= 'A' && p[i] <= 'Z')
            p[i] = (char)(p[i] | 0x20);
    return copy;
}

struct pattern *snapshot_pattern(struct snapshot *snap, const char *text)
{
    struct owned_pattern *own = arena_alloc(&snap->arena, sizeof *own);
    struct fault          why;

    own->pattern = pattern_compile(slice_of(text), &why);
    CHECK(own->pattern != NULL);
    pattern_hasten(own->pattern);
    SLIST_INSERT_HEAD(&snap->patterns, own, next);
    return own->pattern;
}

/* -- methods -- */

unsigned config_methods_known(const char *const *names)
{
    unsigned bits = 0;

    for (; names != NULL && *names != NULL; names++) {
        enum http_method m = http_method_parse(slice_of(*names));

        if (m != HTTP_OTHER)
            bits |= 1u << m;
    }
    return bits;
}

const char *const *config_methods_other(struct arena *arena, const char *const *names)
{
    const char **others = arena_alloc(arena, (count_texts(names) + 1) * sizeof others[0]);
    unsigned     n = 0;

    for (; names != NULL && *names != NULL; names++)
        if (http_method_parse(slice_of(*names)) == HTTP_OTHER)
            others[n++] = *names;
    return n > 0 ? others : NULL;
}

/* -- policies -- */

/* What auth sets is a credential where a client brings it, too. */
static const char *const *with(struct arena *arena, const char *const *names, const char *more)
{
    const char **all;
    unsigned     n = count_texts(names);

    for (unsigned i = 0; more != NULL && i < n; i++)
        if (strcasecmp(names[i], more) == 0)
            more = NULL;
    if (more == NULL)
        return names;
    all = arena_alloc(arena, (n + 2) * sizeof all[0]);
    for (unsigned i = 0; i < n; i++)
        all[i] = names[i];
    all[n] = more;
    return all;
}

/* What the texts beside it say.  The credentials of `own`, which are its upstream's. */
static struct policy_options policy_of(struct snapshot *snap, const struct set_policy *p, const char *label,
                                       const struct policy_options *own)
{
    struct policy_options o = p->to;

    o.label = label;
    o.ttl = snapshot_ttl(snap, p->ttl);
    o.credential_headers = own->credential_headers;
    o.credential_params = own->credential_params;
    o.own_limits = own->own_limits;
    policy_cookie_firsts(o.ignore_cookies, o.cookie_firsts);
    return o;
}

static const struct limit_owns *owns_of(struct arena *arena, const struct set_upstream *u)
{
    struct limit_owns *owns = arena_alloc(arena, sizeof *owns);

    owns->items = GROUPS_TAKE(arena, &u->learn, struct set_learn);
    owns->count = u->learn.count;
    return owns->count > 0 ? owns : NULL;
}

static struct policy_options own_policy(struct snapshot *snap, const struct set_upstream *u)
{
    struct policy_options own = u->policy.to;

    own.credential_headers = with(&snap->arena, own.credential_headers, u->to.auth_header);
    own.credential_params = with(&snap->arena, own.credential_params, u->to.auth_param);
    own.own_limits = owns_of(&snap->arena, u);
    return policy_of(snap, &u->policy, "", &own);
}

static struct route_rule rule_of(struct snapshot *snap, const struct set_rule *r, const struct policy_options *own)
{
    unsigned                  count = count_texts(r->status);
    struct policy_status_ttl *status = arena_alloc(&snap->arena, (count + 1) * sizeof status[0]);

    struct route_rule rule = {
        .pattern = snapshot_pattern(snap, r->match),
        .methods = config_methods_known(r->methods),
        .other_methods = config_methods_other(&snap->arena, r->methods),
        .policy = policy_of(snap, &r->policy, r->match, own),
        .invalidates = some(r->invalidates),
    };

    for (unsigned i = 0; i < count; i++)
        status[i] = snapshot_status_ttl(snap, r->status[i]);
    rule.policy.status = status;
    rule.policy.status_count = count;
    rule.policy.alone = !r->share;
    return rule;
}

static void resolve_rules(struct snapshot *snap, const struct set_upstream *u, struct route_upstream *out)
{
    const struct set_rule *set = u->rules.items;
    struct route_rule     *rules = arena_alloc(&snap->arena, (u->rules.count + 1) * sizeof rules[0]);

    for (unsigned i = 0; i < u->rules.count; i++)
        rules[i] = rule_of(snap, &set[i], &out->policy);
    out->rules = rules;
    out->rule_count = u->rules.count;
    out->index_of_rules = rule_index_build(rules, out->rule_count);
}

/* -- where it is -- */

/* In lower case, a default port left out; port 0 is that of `url`. */
static struct slice authority_at(struct arena *arena, const struct http_url *url, struct slice name, unsigned port)
{
    struct slice host = lower(arena, name);
    unsigned     usual = slice_eq_nocase(url->scheme, SLICE("https")) ? 443 : 80;

    if (port == 0)
        port = url->port;
    return port == usual ? host : arena_printf(arena, SLICE_FMT ":%u", SLICE_ARG(host), port);
}

static struct slice authority_of(struct arena *arena, const struct http_url *url)
{
    return authority_at(arena, url, url->host, url->port);
}

/* Equal ones are one text: by that upstream/ knows whether a handle is set to it. */
static struct slice one_text(struct slice authority, struct slice own, const struct route_host *before, unsigned count)
{
    if (slice_eq(authority, own))
        return own;
    for (unsigned i = 0; i < count; i++)
        if (slice_eq(authority, before[i].authority))
            return before[i].authority;
    return authority;
}

/* Each goes to its own name, an alias to the one that it stands for; scheme, and the port where none is written, are
 * those of `url`. */
static void resolve_hosts(struct arena *arena, const struct set_upstream *u, const struct http_url *url,
                          struct route_upstream *out)
{
    unsigned           count = count_texts(u->hosts);
    struct route_host *hosts = arena_alloc(arena, (count + 1) * sizeof hosts[0]);

    for (unsigned i = 0; i < count; i++) {
        struct host_entry e;

        CHECK(host_entry_parse(u->hosts[i], &e));
        hosts[i].host = lower(arena, e.name);
        hosts[i].port = e.port;
        hosts[i].authority = one_text(authority_at(arena, url, e.to, e.to_port), out->authority, hosts, i);
    }
    out->hosts = hosts;
    out->host_count = count;
}

static void default_hosts(struct arena *arena, struct set_upstream *u)
{
    struct http_url url;
    const char    **hosts;

    if (u->hosts != NULL || u->url == NULL || !http_url_parse(slice_of(u->url), &url))
        return;
    hosts = arena_alloc(arena, 2 * sizeof hosts[0]);
    hosts[0] = authority_of(arena, &url).ptr;
    u->hosts = hosts;
}

/* A lower bound of connections than of requests would hold these back unsaid over HTTP/1.1, and a lower one of idle
 * connections would make each wave of requests pay for handshakes. */
static void default_connections(struct set_upstream *u)
{
    enum { FEWEST = 10, UNBOUNDED = 100, MOST = 10000 }; /* MOST: as the option table has it */
    struct origin_options *o = &u->to.fetch.origin;
    unsigned               most = u->to.fetch.max_in_flight;

    if (o->max_connections == INT_NOT_SET)
        o->max_connections = most == 0 ? UNBOUNDED : most < FEWEST ? FEWEST : most < MOST ? most : MOST;
    if (o->max_idle_connections == INT_NOT_SET)
        o->max_idle_connections = most == 0 || most > o->max_connections ? o->max_connections : most;
}

void upstream_derive_defaults(struct arena *arena, struct set_upstream *u)
{
    default_hosts(arena, u);
    default_connections(u);
}

static void resolve_place(struct snapshot *snap, const struct set_upstream *u, struct route_upstream *out)
{
    struct http_url url = { .port = 0 };

    CHECK(http_url_parse(slice_of(u->url), &url));
    out->scheme = lower(&snap->arena, url.scheme);
    out->authority = authority_of(&snap->arena, &url);
    out->base_path = arena_copy(&snap->arena, url.target);
    while (out->base_path.len > 0 && out->base_path.ptr[out->base_path.len - 1] == '/')
        out->base_path.len--;
    resolve_hosts(&snap->arena, u, &url, out);
}

/* -- limits -- */

static bool name_taken(const struct limit_options *limits, unsigned count, const char *name)
{
    for (unsigned i = 0; i < count; i++)
        if (strcmp(limits[i].name, name) == 0)
            return true;
    return false;
}

/* Names tell limits apart in the ledger: two of one rate differ by what they match. */
static const char *limit_name(struct arena *arena, const struct set_limit *set, const struct limit_options *before,
                              unsigned count)
{
    const char *name = set->to.name != NULL ? set->to.name : set->rate;

    if (name_taken(before, count, name) && set->to.match != NULL)
        name = arena_printf(arena, "%s %s", name, set->to.match).ptr;
    for (unsigned n = 2; name_taken(before, count, name); n++)
        name = arena_printf(arena, "%s #%u", set->rate, n).ptr;
    return name;
}

static const struct limit_term *terms_of(struct snapshot *snap, const char *const *texts, unsigned *out)
{
    unsigned           count = count_texts(texts);
    struct limit_term *terms = arena_alloc(&snap->arena, (count + 1) * sizeof terms[0]);

    for (unsigned i = 0; i < count; i++)
        terms[i] = checks_term(texts[i], &snap->arena);
    *out = count;
    return terms;
}

static struct limit_options limit_of(struct snapshot *snap, const struct set_limit *set)
{
    struct limit_options limit = set->to;
    unsigned             count = count_texts(set->cost);
    struct limit_cost   *costs = arena_alloc(&snap->arena, (count + 1) * sizeof costs[0]);
    const char          *bad;

    CHECK(limit_parse(slice_of(set->rate), &limit, &bad));
    if (limit.zone != NULL) {
        const char *zone = arena_copy(&snap->arena, slice_of(limit.zone)).ptr;

        free((char *)limit.zone);
        limit.zone = zone;
    }
    for (unsigned i = 0; i < count; i++)
        costs[i] = checks_cost(set->cost[i], &snap->arena);
    CHECK(limit_scale(&limit));
    limit.estimates = terms_of(snap, set->estimate, &limit.estimate_count);
    limit.charges = terms_of(snap, set->charge, &limit.charge_count);
    limit.costs = costs;
    limit.cost_count = count;
    limit.pattern = limit.match != NULL ? snapshot_pattern(snap, limit.match) : NULL;
    limit.methods = config_methods_known(set->methods);
    return limit;
}

static void resolve_limits(struct snapshot *snap, const struct set_upstream *u, struct upstream_options *out)
{
    const struct set_limit *set = u->limits.items;
    struct limit_options   *limits = arena_alloc(&snap->arena, (u->limits.count + 1) * sizeof limits[0]);

    for (unsigned i = 0; i < u->limits.count; i++) {
        limits[i] = limit_of(snap, &set[i]);
        limits[i].name = limit_name(&snap->arena, &set[i], limits, i);
    }
    out->limits = limits;
    out->limit_count = u->limits.count;
}

/* -- how it is reached -- */

static struct http_fields fields_of(struct arena *arena, const struct set_upstream *u)
{
    struct http_fields fields = { 0 };

    for (const char *const *f = u->set_headers; f != NULL && *f != NULL; f++) {
        struct slice all = slice_of(*f), name = slice_sub(all, 0, slice_find(all, ':', 0));

        http_fields_add(&fields, arena, name, slice_trim(slice_sub(all, name.len + 1, all.len)));
    }
    if (u->user_agent != NULL)
        http_fields_add(&fields, arena, SLICE("User-Agent"), slice_of(u->user_agent));
    return fields;
}

/* "10%" or "100": the text has passed check_low_budget(). */
static void resolve_low_budget(const char *below, struct low_budget_options *out)
{
    char         *end;
    unsigned long number = below != NULL ? strtoul(below, &end, 10) : 0;

    if (below == NULL)
        return;
    if (*end == '%')
        out->share = (double)number / 100.0;
    else
        out->count = number;
}

static void resolve_fetch(struct snapshot *snap, const struct set_upstream *u, struct config_upstream *up)
{
    struct upstream_options *out = &up->fetch;
    struct via_options      *via = &out->origin.via;
    const char              *ca_file = via->ca_file;

    out->name = up->route.name;
    out->origin.scheme = up->route.scheme;
    if (u->via_url != NULL) {
        *via = ways_via(u->via_url, &snap->arena);
        via->ca_file = ca_file;
    }
    while (out->retry.statuses[out->retry.status_count] != 0)
        out->retry.status_count++;
    if (!(out->max_share > 0.0)) /* one that is not set is no number */
        out->max_share = 0.0;
    resolve_low_budget(u->low_budget_below, &out->low_budget);
    out->set_headers = fields_of(&snap->arena, u);
    resolve_limits(snap, u, out);
}

static void resolve_rule_timeouts(struct arena *arena, const struct set_upstream *u, struct config_upstream *out)
{
    const struct set_rule  *set = u->rules.items;
    struct timeout_options *made = arena_alloc(arena, (u->rules.count + 1) * sizeof made[0]);

    for (unsigned i = 0; i < u->rules.count; i++)
        made[i] = set[i].timeout;
    out->rule_timeouts = made;
}

static void resolve_mocks(struct snapshot *snap, const struct set_upstream *u, struct config_upstream *out)
{
    const struct set_rule      *set = u->rules.items;
    const struct mock_options **made = arena_alloc(&snap->arena, (u->rules.count + 1) * sizeof made[0]);

    for (unsigned i = 0; i < u->rules.count; i++)
        made[i] = mock_resolve(snap, &set[i].mock);
    out->rule_mocks = made;
    out->mock = mock_resolve(snap, &u->mock);
}

static void resolve_access(struct arena *arena, const struct set_upstream *u, struct config_upstream *out)
{
    unsigned              count = count_texts(u->access);
    struct config_access *made = arena_alloc(arena, (count + 1) * sizeof made[0]);

    for (unsigned i = 0; i < count; i++)
        made[i] = access_of(u->access[i]);
    out->access = made;
    out->access_count = count;
}

void upstream_resolve(struct snapshot *snap, const struct set_upstream *u, struct config_upstream *out)
{
    *out = u->to;
    out->allow_origins = some(out->allow_origins);
    out->has_access = u->access != NULL;
    out->auth_methods = config_methods_known(u->auth_methods);
    resolve_place(snap, u, &out->route);
    out->route.policy = own_policy(snap, u);
    resolve_rules(snap, u, &out->route);
    resolve_fetch(snap, u, out);
    resolve_rule_timeouts(&snap->arena, u, out);
    resolve_mocks(snap, u, out);
    resolve_access(&snap->arena, u, out);
    out->identities = GROUPS_TAKE(&snap->arena, &u->identities, struct set_identity);
    out->identity_count = u->identities.count;
    written_resolve(snap, u, out);
}
