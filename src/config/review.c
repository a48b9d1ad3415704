/*
 * What no setting can tell alone: settings that contradict one another are
 * errors, those that were hardly meant so are warnings.
 *
 * Runs over all files together, before anything is made of them; a setting
 * that was wrong by itself is NULL here and passed over.
 */
#include "config/snapshot.h"

#include "config/checks.h"
#include "config/mode.h"
#include "http/url.h"
#include "policy/caller.h"
#include "route/rules.h"

#include <grp.h>
#include <libconfig.h>
#include <stdlib.h>

/* -- listeners -- */

enum { OWN_ADDRESSES = 5, SMALL_CACHE_BYTES = 8 * 1024 * 1024 };

static void review_address(struct reader *r, const struct settings *top, const config_setting_t *group,
                           const char *name, const char *address)
{
    if (address != NULL && !top->config.allow_remote && !check_is_loopback(address))
        reader_error(r, group, name,
                     "other machines can reach \"%s\"; listen at a loopback address such as "
                     "\"127.0.0.1:8080\", or say allow_remote = true in server",
                     address);
}

static bool is_wildcard(struct slice host)
{
    return slice_eq(host, SLICE("0.0.0.0")) || slice_eq(host, SLICE("[::]"));
}

/* Only one of them can be listened at. */
static bool same_address(const char *a, const char *b)
{
    struct slice host_a, host_b;
    unsigned     port_a, port_b;

    if (a == NULL || b == NULL || *a == '\0' || *b == '\0')
        return false;
    if (a[0] == 'u' || b[0] == 'u') /* unix:PATH */
        return strcmp(a, b) == 0;
    if (!http_authority_parse(slice_of(a), &host_a, &port_a) || !http_authority_parse(slice_of(b), &host_b, &port_b) ||
        port_a != port_b || port_a == 0)
        return false;
    return slice_eq(host_a, host_b) || (is_wildcard(host_a) && (host_a.ptr[0] == '[') <= (host_b.ptr[0] == '[')) ||
           (is_wildcard(host_b) && (host_b.ptr[0] == '[') <= (host_a.ptr[0] == '['));
}

/* Addresses that are settings of their own. */
static void review_own(struct reader *r, const struct settings *top)
{
    char                       admin[4096], query[4096];
    const char                *query_path = settings_query_path(top, r->arena);
    const struct set_listener *listeners = top->listeners.items;
    const struct {
        const char *group, *name, *address;
    } own[OWN_ADDRESSES] = {
        { "admin", "socket", admin },
        { "admin", "query", query },
        { "admin", "listen", top->config.admin_listen },
        { "proxy", "listen", top->config.proxy.listen },
        { "metrics", "listen", top->config.metrics_listen },
    };

    snprintf(admin, sizeof admin, "unix:%s", top->admin_path != NULL ? top->admin_path : "");
    snprintf(query, sizeof query, "%s%s", query_path != NULL ? "unix:" : "", query_path != NULL ? query_path : "");
    for (unsigned i = 0; i < OWN_ADDRESSES; i++) {
        for (unsigned k = 0; k < top->listeners.count; k++)
            if (same_address(own[i].address, listeners[k].to.address))
                reader_error(r, reader_member(top->from, own[i].group), own[i].name,
                             "is an address of listen too (\"%s\"); each needs one of its own",
                             listeners[k].to.address);
        for (unsigned k = 0; k < i; k++)
            if (same_address(own[i].address, own[k].address))
                reader_error(r, reader_member(top->from, own[i].group), own[i].name,
                             "is the address of %s.%s too (\"%s\"); each needs one of its own", own[k].group,
                             own[k].name, own[k].address);
    }
}

static void review_group(struct reader *r, const config_setting_t *from, const char *group)
{
    if (group != NULL && getgrnam(group) == NULL)
        reader_warning(r, from, "group", "there is no group \"%s\" on this machine", group);
}

static void review_listeners(struct reader *r, const struct settings *top)
{
    const struct set_listener *all = top->listeners.items;

    for (unsigned i = 0; i < top->listeners.count; i++) {
        if (all[i].to.address == NULL || all[i].from == NULL) /* wrong by itself; the default */
            continue;
        review_address(r, top, all[i].from, config_setting_is_group(all[i].from) ? "address" : NULL, all[i].to.address);
        review_group(r, all[i].from, all[i].to.group);
        for (unsigned j = 0; j < i; j++)
            if (same_address(all[i].to.address, all[j].to.address))
                reader_error(r, all[i].from, NULL, "\"%s\" stands in the list twice", all[i].to.address);
    }
    if (top->from == NULL)
        return;
    if (top->listeners.count == 0 && config_setting_is_aggregate(reader_member(top->from, "listen")))
        reader_error(r, top->from, "listen", "nobody could reach Weir; name an address, such as \"127.0.0.1:8080\"");
    review_address(r, top, reader_member(top->from, "admin"), "listen", top->config.admin_listen);
    review_address(r, top, reader_member(top->from, "proxy"), "listen", top->config.proxy.listen);
    review_address(r, top, reader_member(top->from, "metrics"), "listen", top->config.metrics_listen);
    review_own(r, top);
    review_group(r, reader_member(top->from, "admin"), top->config.admin_socket.group);
}

/* -- directories -- */

/* An eighth of a cache stands free for what is being written (store/room.c). */
static int64_t largest_body(const struct settings *top)
{
    return (int64_t)(top->config.cache.max_bytes / 8 * 7);
}

static void review_cache(struct reader *r, const struct settings *top)
{
    const config_setting_t *cache = top->from != NULL ? config_setting_get_member(top->from, "cache") : NULL;

    if (cache == NULL)
        return;
    if (top->config.cache.max_bytes < SMALL_CACHE_BYTES && config_setting_get_member(cache, "max_size") != NULL)
        reader_warning(r, cache, "max_size",
                       "is so little that directories and what is being written take a large part of it; "
                       "at least \"8MiB\" would be right");
    if (top->max_object_bytes > largest_body(top) && config_setting_get_member(cache, "max_object_size") != NULL)
        reader_warning(r, cache, "max_object_size", "is more than the whole cache may hold (max_size)");
}

static void review_directories(struct reader *r, const struct settings *top)
{
    const char *cache = top->config.cache.path, *state = top->config.state.path;
    size_t      length = strlen(cache);

    while (length > 1 && cache[length - 1] == '/')
        length--;
    if (top->from == NULL || strncmp(cache, state, length) != 0)
        return;
    if (state[length + strspn(state + length, "/")] == '\0')
        reader_error(r, reader_member(top->from, "state"), "path",
                     "is the cache's directory too; a cache may be deleted, the state must not");
    else if (state[length] == '/')
        reader_warning(r, reader_member(top->from, "state"), "path",
                       "lies in the cache's directory; a cache may be deleted, the state must not");
}

/* -- rules -- */

static void review_hidden(struct reader *r, const struct set_rule *set, unsigned count)
{
    struct route_rule *rules = mem_alloc((count + 1) * sizeof rules[0]);
    unsigned          *by = mem_alloc((count + 1) * sizeof by[0]);
    struct arena       a = { 0 };

    for (unsigned i = 0; i < count; i++) {
        struct fault why;

        rules[i].pattern = set[i].match != NULL ? pattern_compile(slice_of(set[i].match), &why) : NULL;
        rules[i].methods = config_methods_known(set[i].methods);
        rules[i].other_methods = config_methods_other(&a, set[i].methods);
    }
    rules_hidden(rules, count, by);
    for (unsigned i = 0; i < count; i++) {
        if (by[i] < count)
            reader_warning(r, set[i].from, "match",
                           "the rule \"%s\" of line %u matches first, so this one never "
                           "counts; the narrower rule goes first",
                           set[by[i]].match, reader_place(set[by[i]].from).line);
    }
    for (unsigned i = 0; i < count; i++)
        pattern_free(rules[i].pattern);
    arena_free(&a);
    free(rules);
    free(by);
}

static bool is_stored(const char *ttl)
{
    return ttl != NULL && strcmp(ttl, "never") != 0 && strcmp(ttl, "origin") != 0;
}

static void review_rule(struct reader *r, const struct set_rule *rule)
{
    bool reads = policy_list_has(rule->methods, SLICE("GET")) || policy_list_has(rule->methods, SLICE("HEAD"));
    bool posts = policy_list_has(rule->methods, SLICE("POST"));
    bool queries = !reads && policy_list_has(rule->methods, SLICE("QUERY")); /* and was meant to */

    if (rule->methods != NULL && rule->methods[0] == NULL)
        reader_error(r, rule->from, "methods",
                     "no method is named, so the rule never counts; leave the setting out "
                     "for GET, HEAD and QUERY");
    if (rule->policy.to.key_body && !posts && !queries)
        reader_warning(r, rule->from, "key_body",
                       "only GET and HEAD come here, which have no body; methods = "
                       "( \"POST\" ) was perhaps meant");
    if (!rule->policy.to.key_body && !queries && reader_member(rule->from, "ignore_body") != rule->from)
        reader_warning(r, rule->from, "ignore_body", "no body is part of the key here: key_body = true goes with it");
    if (!rule->policy.to.key_body && !reads && posts && is_stored(rule->policy.ttl) &&
        reader_member(rule->from, "ttl") != rule->from)
        reader_warning(r, rule->from, "ttl",
                       "a POST is stored only where its body is part of the key: "
                       "key_body = true");
    if (reader_member(rule->from, "mock") != rule->from && reader_member(rule->from, "methods") == rule->from)
        reader_warning(r, rule->from, "mock",
                       "no write comes here: without methods a rule is of GET, HEAD and QUERY alone; say those that "
                       "are meant, such as methods = ( \"POST\" )");
    if (rule->policy.to.set_cookie == SET_COOKIE_STORE && rule->policy.to.shared)
        reader_warning(r, rule->from, "set_cookie", "a cookie that is stored and shared is handed to everyone");
}

/* -- one upstream -- */

/* What is stated and wrong is NULL too, and has been told of. */
static void missing(struct reader *r, const config_setting_t *group, const char *name, const char *wanted)
{
    if (config_setting_get_member(group, name) == NULL)
        reader_error(r, group, name, "is missing; %s", wanted);
}

static void review_pairs(struct reader *r, const struct set_upstream *u)
{
    const config_setting_t *auth = reader_member(u->from, "auth");
    bool                    has_auth = auth != u->from;
    bool has_way = has_auth && (reader_member(auth, "header") != auth || reader_member(auth, "param") != auth);
    bool has_source = has_auth && (reader_member(auth, "value_file") != auth || reader_member(auth, "command") != auth);

    if (u->to.auth_header != NULL && u->to.auth_param != NULL)
        reader_error(r, auth, "param", "header and param exclude one another; keep one");
    if (u->to.auth_value_file != NULL && u->to.auth_command != NULL)
        reader_error(r, auth, "command", "value_file and command exclude one another; keep one");
    if (has_way && !has_source)
        missing(r, auth, "value_file", "value_file or command says where the credential is");
    if (has_source && !has_way)
        missing(r, auth, "header", "header or param says how the credential is sent");
    if ((u->policy.to.bust_param != NULL) != (u->to.bust_every_ns >= 0))
        missing(r, reader_member(u->from, "bust_param"), u->policy.to.bust_param != NULL ? "every" : "name",
                "bust_param is { name = \"v\"; every = \"122s\"; }");
    if ((u->low_budget_below != NULL) != (u->to.fetch.low_budget.stale_ns >= 0))
        missing(r, reader_member(u->from, "low_budget"), u->low_budget_below != NULL ? "stale" : "below",
                "low_budget is { below = \"10%\"; stale = \"1h\"; }");
    if (u->to.fetch.origin.tls.key_file != NULL && u->to.fetch.origin.tls.cert_file == NULL)
        missing(r, reader_member(u->from, "tls"), "cert_file", "a key goes with its certificate");
}

static void review_secrets(struct reader *r, const struct set_upstream *u)
{
    for (const char *const *p = u->policy.to.ignore_params; p != NULL && *p != NULL; p++)
        if (policy_list_has_nocase(u->policy.to.credential_params, slice_of(*p)))
            reader_warning(r, u->from, "ignore_params",
                           "\"%s\" carries a credential (credential_params); it makes "
                           "the partition already, take it out here",
                           *p);
    for (const char *const *h = u->policy.to.match_headers; h != NULL && *h != NULL; h++)
        if (policy_list_has_nocase(u->policy.to.credential_headers, slice_of(*h)))
            reader_warning(r, u->from, "match_headers",
                           "\"%s\" carries a credential (credential_headers); it makes "
                           "the partition already, take it out here",
                           *h);
    for (const char *const *f = u->set_headers; f != NULL && *f != NULL; f++) {
        struct slice name = { *f, strcspn(*f, ":") };

        if (policy_list_has_nocase(u->policy.to.credential_headers, name))
            reader_warning(r, u->from, "set_headers",
                           SLICE_FMT " is a credential in readable form; auth with a "
                                     "value_file keeps it out of the configuration",
                           SLICE_ARG(name));
        if (u->user_agent != NULL && slice_eq_nocase(name, SLICE("User-Agent")))
            reader_error(r, u->from, "user_agent", "set_headers sets User-Agent too; keep one");
    }
}

/* A status that says the same however often it is asked. */
static bool is_lasting(unsigned status)
{
    static const unsigned passing[] = { 408, 409, 420, 421, 423, 425, 429, 430 };

    if (status >= 500)
        return status == 501 || status == 505;
    for (size_t i = 0; i < sizeof passing / sizeof passing[0]; i++)
        if (status == passing[i])
            return false;
    return true;
}

static void review_timeout(struct reader *r, const config_setting_t *group, const struct timeout_options *t)
{
    if (t->read_ns > t->total_ns)
        reader_warning(r, reader_member(group, "timeout"), "read",
                       "is longer than total, which ends the attempt first");
}

/* Of the upstream or the rule that states it. */
static void review_prefetch(struct reader *r, const config_setting_t *from, const struct set_policy *p)
{
    const config_setting_t *group = reader_member(from, "prefetch");

    if (group == from)
        return;
    if (config_setting_is_group(group) && reader_member(group, "last") == group && p->to.prefetch.last == 0.0)
        reader_error(r, group, "last", "is missing; wanted is a share in quotes, such as prefetch = \"10%%\"");
    else if (p->to.prefetch.last > 0.5)
        reader_warning(r, group, "last",
                       "what is asked about in the first half of its life is asked for more than twice as often as it "
                       "need be; \"10%%\" is usual");
    if (p->to.prefetch.last > 0.0 && p->to.prefetch.share == 0.0)
        reader_warning(r, group, "share",
                       "nothing may be spent on it, so it never happens; prefetch = \"0%%\" says so");
    if (p->to.prefetch.last > 0.0 &&
        (strcmp(p->ttl, "never") == 0 || strcmp(p->ttl, "forever") == 0 || strcmp(p->ttl, "revalidate") == 0))
        reader_warning(r, group, NULL, "under ttl = \"%s\" nothing is ever late in its life", p->ttl);
}

static void review_retry(struct reader *r, const struct set_upstream *u)
{
    const config_setting_t      *retry = reader_member(u->from, "retry");
    const struct retry_options  *again = &u->to.fetch.retry;
    const struct origin_options *origin = &u->to.fetch.origin;

    for (const unsigned *s = again->statuses; s != NULL && *s != 0; s++)
        if (is_lasting(*s))
            reader_warning(r, retry, "on", "%u will hardly change by asking again; each attempt costs budget", *s);
    if (again->backoff_ns > again->max_backoff_ns)
        reader_warning(r, retry, "backoff", "is longer than max_backoff, which then is the wait");
    review_timeout(r, u->from, &u->to.fetch.timeout);
    if (origin->max_idle_connections > origin->max_connections)
        reader_warning(r, u->from, "max_idle_connections", "is more than max_connections (%u)",
                       origin->max_connections);
}

/* A mode that is known and cannot be had: what else it would be is not what was meant. */
static void review_mode(struct reader *r, const struct set_upstream *u)
{
    const char *missing = config_mode_missing(u->to.mode);

    if (missing != NULL)
        reader_error(r, u->from, "mode", "\"%s\": %s", config_mode_name(u->to.mode), missing);
    else if ((u->to.mode == MODE_RECORD || u->to.mode == MODE_REPLAY) && u->to.snapshot.path == NULL)
        reader_error(r, u->from, "mode", "\"%s\" wants a snapshot: snapshot = { path = \"paper.weir\"; }",
                     config_mode_name(u->to.mode));
}

static void review_upstream(struct reader *r, const struct settings *top, const struct set_upstream *u)
{
    const struct set_rule *rules = u->rules.items;

    review_limits(r, u);
    review_files(r, u);
    review_pairs(r, u);
    review_secrets(r, u);
    review_retry(r, u);
    review_mode(r, u);
    review_prefetch(r, u->from, &u->policy);
    review_places(r, top, u);
    review_hidden(r, rules, u->rules.count);
    review_mock(r, u->from, &u->mock);
    for (unsigned i = 0; i < u->rules.count; i++) {
        review_rule(r, &rules[i]);
        review_prefetch(r, rules[i].from, &rules[i].policy);
        review_mock(r, rules[i].from, &rules[i].mock);
        if (config_setting_is_group(rules[i].from) && config_setting_get_member(rules[i].from, "timeout") != NULL)
            review_timeout(r, rules[i].from, &rules[i].timeout);
    }
    if (u->policy.to.set_cookie == SET_COOKIE_STORE && u->policy.to.shared)
        reader_warning(r, u->from, "set_cookie", "a cookie that is stored and shared is handed to everyone");
    if (u->policy.to.max_object_bytes > largest_body(top) &&
        config_setting_get_member(u->from, "max_object_size") != NULL)
        reader_warning(r, u->from, "max_object_size", "is more than the whole cache may hold (max_size in cache)");
    if (!u->to.fetch.origin.tls.verify)
        reader_warning(r, reader_member(u->from, "tls"), "verify",
                       "anyone on the way can read and change what is sent; "
                       "ca_file trusts a certificate of your own");
    if (u->access != NULL && u->access[0] == NULL)
        reader_warning(r, u->from, "access", "nobody may use this upstream; leave the setting out for all");
    for (const char *const *who = u->access; who != NULL && *who != NULL; who++) {
        struct config_access to = access_of(*who);

        if (to.kind != ACCESS_NETWORK && to.id == UINT32_MAX)
            reader_warning(r, u->from, "access", "\"%s\": there is no such %s", *who,
                           to.kind == ACCESS_USER ? "user" : "group");
    }
    if (u->low_budget_below != NULL && u->limits.count == 0 && u->to.fetch.budget == NULL)
        reader_warning(r, reader_member(u->from, "low_budget"), "below",
                       "the upstream has no limits that could run short");
}

/* -- all of it -- */

static void review_clients(struct reader *r, const struct settings *top)
{
    const struct set_client *all = top->clients.items;
    uint32_t                 uid;

    for (unsigned i = 0; i < top->clients.count; i++)
        if (all[i].to.match != NULL && checks_user(all[i].to.match, &uid) && uid == UINT32_MAX)
            reader_warning(r, all[i].from, "match", "\"%s\": there is no such user on this machine", all[i].to.match);
}

void settings_review(struct reader *r, const struct settings *top)
{
    const struct set_upstream *all = top->upstreams.items;

    review_listeners(r, top);
    review_cache(r, top);
    review_directories(r, top);
    review_clients(r, top);
    for (unsigned i = 0; i < top->upstreams.count; i++) {
        if (!config_setting_is_group(all[i].from))
            continue;
        review_upstream(r, top, &all[i]);
    }
    review_twins(r, all, top->upstreams.count);
    if (top->upstreams.count == 0 && top->from != NULL)
        reader_warning(r, top->from, "upstreams", "no API is named, so every request is refused");
}
