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

unsigned methods_known(const char *const *names)
{
    unsigned bits = 0;

    for (; names != NULL && *names != NULL; names++) {
        enum http_method m = http_method_parse(slice_of(*names));

        if (m != HTTP_OTHER)
            bits |= 1u << m;
    }
    return bits;
}

const char *const *methods_other(struct arena *arena, const char *const *names)
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

static void note_auth(struct arena *arena, struct set_upstream *u)
{
    u->credential_headers = with(arena, u->credential_headers, u->auth_header);
    u->credential_params = with(arena, u->credential_params, u->auth_param);
}

static struct policy_options policy_of(const struct set_upstream *u, const struct set_policy *p,
                                       const char *label)
{
    struct policy_options o = {
        .label = label,
        .ttl = ttl_of(p->ttl),
        .shared = p->partition == 1,
        .set_cookie = (enum set_cookie_policy)(p->set_cookie + 1),
        .validate = (enum validate_kind)(p->validate + 1),
        .invalidate = (enum invalidate_kind)u->invalidate,
        .heuristic = p->heuristic,
        .stale_if_error_ns = p->stale_if_error_ns,
        .stale_while_revalidate_ns = p->stale_while_revalidate_ns,
        .max_object_bytes = p->max_object_bytes,
        .credential_headers = u->credential_headers,
        .credential_params = u->credential_params,
        .ignore_cookies = u->ignore_cookies,
        .ignore_params = p->ignore_params,
        .match_headers = p->match_headers,
        .bust_param = u->bust_name,
    };

    policy_cookie_firsts(o.ignore_cookies, o.cookie_firsts);
    return o;
}

static struct route_rule rule_of(struct snapshot *snap, const struct set_upstream *u,
                                 const struct set_rule *r)
{
    unsigned                  count = count_texts(r->status);
    struct policy_status_ttl *status = arena_alloc(&snap->arena, (count + 1) * sizeof status[0]);
    struct route_rule         rule = {
        .pattern = snapshot_pattern(snap, r->match),
        .methods = methods_known(r->methods),
        .other_methods = methods_other(&snap->arena, r->methods),
        .policy = policy_of(u, &r->policy, r->match),
        .invalidates = count_texts(r->invalidates) > 0 ? r->invalidates : NULL,
    };

    for (unsigned i = 0; i < count; i++)
        status[i] = status_ttl_of(r->status[i]);
    rule.policy.status = status;
    rule.policy.status_count = count;
    rule.policy.key_body = r->key_body;
    rule.policy.alone = !r->share;
    return rule;
}

static void resolve_rules(struct snapshot *snap, const struct set_upstream *u,
                          struct route_upstream *out)
{
    const struct set_rule *set = u->rules.items;
    struct route_rule *rules = arena_alloc(&snap->arena, (u->rules.count + 1) * sizeof rules[0]);

    for (unsigned i = 0; i < u->rules.count; i++)
        rules[i] = rule_of(snap, u, &set[i]);
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
    enum { FEWEST = 10, UNBOUNDED = 100, MOST = 10000 };    /* MOST: as the option table has it */

    if (u->max_connections == INT_NOT_SET)
        u->max_connections = u->max_in_flight == 0 ? UNBOUNDED
                           : u->max_in_flight < FEWEST ? FEWEST
                           : u->max_in_flight < MOST ? u->max_in_flight : MOST;
    if (u->max_idle_connections == INT_NOT_SET)
        u->max_idle_connections = u->max_in_flight == 0 || u->max_in_flight > u->max_connections
                                      ? u->max_connections : u->max_in_flight;
}

void upstream_derive_defaults(struct arena *arena, struct set_upstream *u)
{
    default_hosts(arena, u);
    default_connections(u);
}

static void resolve_place(struct snapshot *snap, const struct set_upstream *u,
                          struct route_upstream *out)
{
    struct http_url url = { .port = 0 };

    CHECK(http_url_parse(slice_of(u->url), &url));
    out->name = u->name;
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
static const char *limit_name(struct arena *arena, const struct set_limit *set,
                              const struct limit_options *before, unsigned count)
{
    const char *name = set->name != NULL ? set->name : set->rate;

    if (name_taken(before, count, name) && set->match != NULL)
        name = arena_printf(arena, "%s %s", name, set->match).ptr;
    for (unsigned n = 2; name_taken(before, count, name); n++)
        name = arena_printf(arena, "%s #%u", set->rate, n).ptr;
    return name;
}

static struct limit_options limit_of(struct snapshot *snap, const struct set_limit *set)
{
    struct limit_options limit = { 0 };
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
        costs[i] = cost_of(set->cost[i], &snap->arena);
    limit.costs = costs;
    limit.cost_count = count;
    limit.per_credential = set->per == 1;
    limit.match = set->match;
    limit.pattern = set->match != NULL ? snapshot_pattern(snap, set->match) : NULL;
    limit.methods = methods_known(set->methods);
    return limit;
}

static void resolve_limits(struct snapshot *snap, const struct set_upstream *u,
                           struct upstream_options *out)
{
    const struct set_limit *set = u->limits.items;
    struct limit_options *limits =
        arena_alloc(&snap->arena, (u->limits.count + 1) * sizeof limits[0]);

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

static struct retry_options retry_of(const struct set_upstream *u)
{
    unsigned count = 0;

    while (u->retry_on != NULL && u->retry_on[count] != 0)
        count++;
    return (struct retry_options){
        .attempts = u->attempts, .backoff_ns = u->backoff_ns, .max_backoff_ns = u->max_backoff_ns,
        .statuses = u->retry_on, .status_count = count, .share = u->retry_share,
    };
}

static struct timeout_options timeout_of(const struct set_timeout *set)
{
    return (struct timeout_options){ set->connect_ns, set->read_ns, set->write_ns, set->total_ns };
}

/* "10%" or "100": the text has passed check_low_budget(). */
static struct low_budget_options low_budget_of(const struct set_upstream *u)
{
    struct low_budget_options low = { 0 };
    unsigned long             number;
    char                     *end;

    if (u->low_budget_below == NULL)
        return low;
    number = strtoul(u->low_budget_below, &end, 10);
    if (*end == '%')
        low.share = (double)number / 100.0;
    else
        low.count = number;
    low.stale_ns = u->low_budget_stale_ns;
    return low;
}

static void resolve_fetch(struct snapshot *snap, const struct set_upstream *u,
                          const struct route_upstream *route, struct upstream_options *out)
{
    *out = (struct upstream_options){
        .name = u->name,
        .origin = {
            .scheme = route->scheme,
            .via = u->via_url != NULL ? via_of(u->via_url, &snap->arena) : (struct via_options){ .url = NULL },
            .max_connections = u->max_connections,
            .max_idle_connections = u->max_idle_connections,
            .tls = { .verify = u->tls_verify, .ca_file = u->ca_file, .cert_file = u->cert_file,
                     .key_file = u->key_file },
        },
        .budget = u->budget,
        .retry = retry_of(u),
        .queue = { .max_wait_ns = u->queue_wait_ns, .max_length = u->queue_length },
        .timeout = timeout_of(&u->timeout),
        .max_in_flight = u->max_in_flight,
        .drop_on_abort = u->on_abort == 1,
        .max_share = u->max_share > 0.0 ? u->max_share : 0.0,
        .low_budget = low_budget_of(u),
        .learned_most_ns = u->learned_max_wait_ns,
        .set_headers = fields_of(&snap->arena, u),
    };
    out->origin.via.ca_file = u->via_ca_file;
    resolve_limits(snap, u, out);
}

static void resolve_rule_timeouts(struct arena *arena, const struct set_upstream *u, struct config_upstream *out)
{
    const struct set_rule  *set = u->rules.items;
    struct timeout_options *made = arena_alloc(arena, (u->rules.count + 1) * sizeof made[0]);

    for (unsigned i = 0; i < u->rules.count; i++)
        made[i] = timeout_of(&set[i].timeout);
    out->rule_timeouts = made;
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

static void resolve_identities(struct arena *arena, const struct set_upstream *u,
                               struct config_upstream *out)
{
    const struct set_identity *set = u->identities.items;
    struct config_identity *made = arena_alloc(arena, (u->identities.count + 1) * sizeof made[0]);

    for (unsigned i = 0; i < u->identities.count; i++)
        made[i] = (struct config_identity){ .name = set[i].name, .value_files = set[i].value_files };
    out->identities = made;
    out->identity_count = u->identities.count;
}

void upstream_resolve(struct snapshot *snap, const struct set_upstream *set,
                      struct config_upstream *out)
{
    struct set_upstream  noted = *set;
    struct set_upstream *u = &noted;

    note_auth(&snap->arena, u);
    *out = (struct config_upstream){
        .mode = (enum upstream_mode)u->mode,
        .intercept = u->intercept, .rewrite_links = u->rewrite_links,
        .allow_origins = count_texts(u->allow_origins) > 0 ? u->allow_origins : NULL,
        .has_access = u->access != NULL,
        .auth_header = u->auth_header, .auth_param = u->auth_param,
        .auth_value_file = u->auth_value_file, .auth_command = u->auth_command,
        .auth_methods = methods_known(u->auth_methods),
        .via_value_file = u->via_value_file,
        .bust_every_ns = u->bust_name != NULL ? u->bust_every_ns : 0,
    };
    resolve_place(snap, u, &out->route);
    out->route.policy = policy_of(u, &u->policy, "");
    resolve_rules(snap, u, &out->route);
    resolve_fetch(snap, u, &out->route, &out->fetch);
    resolve_rule_timeouts(&snap->arena, u, out);
    resolve_access(&snap->arena, u, out);
    resolve_identities(&snap->arena, u, out);
}
