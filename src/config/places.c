/*
 * Where an upstream's requests would go, seen over all settings: never to
 * Weir itself, and not where nobody meant them to.  Called by review.c.
 */
#include "config/snapshot.h"

#include "base/address.h"
#include "config/checks.h"
#include "http/url.h"

#include <arpa/inet.h>
#include <libconfig.h>
#include <stdio.h>
#include <strings.h>

enum { AUTHORITY_BYTES = 300 };

/* What a listener's address would be compared with. */
static void as_listener(char out[AUTHORITY_BYTES], struct slice host, unsigned port)
{
    if (slice_eq_nocase(host, SLICE("localhost")))
        host = SLICE("127.0.0.1");
    snprintf(out, AUTHORITY_BYTES, SLICE_FMT ":%u", SLICE_ARG(host), port);
}

/* What of Weir's own listens there; NULL: nothing that the settings tell of. */
static const char *own_listener(const struct settings *top, struct slice host, unsigned port)
{
    const struct set_listener *listeners = top->listeners.items;
    char                       authority[AUTHORITY_BYTES];

    as_listener(authority, host, port);
    for (unsigned i = 0; i < top->listeners.count; i++)
        if (listeners[i].to.address != NULL && strcasecmp(listeners[i].to.address, authority) == 0)
            return "address";
    if (top->config.proxy.listen != NULL && strcasecmp(top->config.proxy.listen, authority) == 0)
        return "proxy";
    if (top->config.admin_listen != NULL && strcasecmp(top->config.admin_listen, authority) == 0)
        return "admin address";
    if (top->config.metrics_listen != NULL && strcasecmp(top->config.metrics_listen, authority) == 0)
        return "address for metrics";
    return NULL;
}

static void review_host(struct reader *r, const struct settings *top, const struct set_upstream *u,
                        const struct http_url *url, const char *text)
{
    struct host_entry e;
    const char       *own;

    if (!host_entry_parse(text, &e))
        return;
    own = own_listener(top, e.to, e.to_port != 0 ? e.to_port : url->port);
    if (own != NULL && !e.is_alias)
        reader_error(r, u->from, "hosts",
                     "\"%s\" is Weir's own %s; to have it stand for the API, write \"%s = " SLICE_FMT "\"", text, own,
                     text, SLICE_ARG(url->authority));
    else if (own != NULL)
        reader_error(r, u->from, "hosts", "\"%s\" leads to Weir's own %s; name the API itself", text, own);
    else if (!e.is_alias && address_is_loopback_name(e.to) && !address_is_loopback_name(url->host))
        reader_warning(r, u->from, "hosts",
                       "\"%s\" is this machine, and is asked there; to have it stand for the API, write \"%s "
                       "= " SLICE_FMT "\"",
                       text, text, SLICE_ARG(url->authority));
    else if (!e.is_alias && address_is_loopback_name(url->host) && !address_is_loopback_name(e.to))
        reader_warning(r, u->from, "hosts",
                       "\"%s\" is asked at its own address, not at that of url; to have it stand for the API, write "
                       "\"%s = " SLICE_FMT "\"",
                       text, text, SLICE_ARG(url->authority));
}

/* -- http:// -- */

/* A name of a network of one's own, by the registries and by custom (RFC 6761, 6762, 8375). */
static bool is_private_name(struct slice host)
{
    static const char *const endings[] = { ".localhost", ".local", ".internal", ".intranet", ".lan",    ".home.arpa",
                                           ".home",      ".corp",  ".private",  ".test",     ".invalid" };

    if (host.len > 1 && host.ptr[host.len - 1] == '.')
        host.len--;
    if (memchr(host.ptr, '.', host.len) == NULL)
        return true;
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t length = strlen(endings[i]);

        if (host.len > length && slice_eq_nocase(slice_sub(host, host.len - length, host.len), slice_of(endings[i])))
            return true;
    }
    return false;
}

static bool is_public(struct slice host)
{
    bool                bracket = host.len > 2 && host.ptr[0] == '[';
    char                text[INET6_ADDRSTRLEN];
    struct sockaddr_in  v4 = { .sin_family = AF_INET };
    struct sockaddr_in6 v6 = { .sin6_family = AF_INET6 };

    if (bracket)
        host = slice_sub(host, 1, host.len - 1);
    if (host.len >= sizeof text)
        return !is_private_name(host);
    memcpy(text, host.ptr, host.len);
    text[host.len] = '\0';
    if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
        return address_is_public((const struct sockaddr *)&v4);
    if (bracket && inet_pton(AF_INET6, text, &v6.sin6_addr) == 1)
        return address_is_public((const struct sockaddr *)&v6);
    return !is_private_name(host);
}

static bool sends_credentials(const struct set_upstream *u)
{
    if (u->to.auth_value_file != NULL || u->to.auth_command != NULL || u->identities.count > 0)
        return true;
    for (const char *const *f = u->set_headers; f != NULL && *f != NULL; f++)
        for (const char *const *c = u->policy.to.credential_headers; c != NULL && *c != NULL; c++)
            if (strncasecmp(*f, *c, strlen(*c)) == 0 && (*f)[strlen(*c)] == ':')
                return true;
    return false;
}

static void review_plain(struct reader *r, const struct set_upstream *u, const struct http_url *url)
{
    if (!slice_eq_nocase(url->scheme, SLICE("http")) || !is_public(url->host))
        return;
    reader_warning(r, u->from, "url",
                   "anyone on the way can read and change what goes to " SLICE_FMT "; https:// is wanted",
                   SLICE_ARG(url->host));
    if (sends_credentials(u))
        reader_warning(r, u->from, "url",
                       "the credentials that Weir adds go to " SLICE_FMT
                       " in readable form; never send them over http://",
                       SLICE_ARG(url->host));
}

/* -- via -- */

static void review_via(struct reader *r, const struct settings *top, const struct set_upstream *u)
{
    const config_setting_t *via = config_setting_get_member(u->from, "via");
    struct via_options      to;
    struct slice            host;
    const char             *own;
    struct arena            a = { 0 };
    unsigned                port;

    if (via == NULL)
        return;
    if (u->via_url == NULL) {
        if (u->to.via_value_file != NULL || u->to.fetch.origin.via.ca_file != NULL)
            reader_error(r, via, "url", "is missing; such as \"http://proxy.example.org:3128\"");
        return;
    }
    to = ways_via(u->via_url, &a);
    own = http_authority_parse(to.authority, &host, &port) ? own_listener(top, host, port) : NULL;
    if (own != NULL)
        reader_error(r, u->from, "via", "is Weir's own %s; name the proxy on the way to the API", own);
    if (!u->to.intercept)
        reader_error(r, u->from, "intercept", "a tunnel does not go by `via`; take one of the two out");
    if (u->to.fetch.origin.via.ca_file != NULL && !slice_starts_with(slice_of(to.url), SLICE("https:")))
        reader_warning(r, via, "ca_file", "is for https:// proxies; tls.ca_file is for the API");
    arena_free(&a);
}

/* -- patterns -- */

/* What follows the url's path is compared: a pattern that begins with that path was hardly meant. */
static void review_pattern(struct reader *r, const config_setting_t *from, struct slice base, const char *match)
{
    struct slice pattern = slice_of(match != NULL ? match : "");

    if (base.len == 0 || !slice_starts_with(pattern, base) || (pattern.len > base.len && pattern.ptr[base.len] != '/'))
        return;
    reader_warning(r, from, "match",
                   "is compared with what follows the url's path \"" SLICE_FMT "\"; did you mean \"%s\"?",
                   SLICE_ARG(base), pattern.len > base.len ? match + base.len : "/");
}

static void review_patterns(struct reader *r, const struct set_upstream *u, const struct http_url *url)
{
    const struct set_rule  *rules = u->rules.items;
    const struct set_limit *limits = u->limits.items;
    struct slice            base = slice_sub(url->target, 0, slice_find(url->target, '?', 0));

    while (base.len > 0 && base.ptr[base.len - 1] == '/')
        base.len--;
    for (unsigned i = 0; i < u->limits.count; i++)
        review_pattern(r, limits[i].from, base, limits[i].to.match);
    for (unsigned i = 0; i < u->rules.count; i++)
        review_pattern(r, rules[i].from, base, rules[i].match);
}

void review_places(struct reader *r, const struct settings *top, const struct set_upstream *u)
{
    struct http_url url;
    const char     *own;

    if (u->url == NULL || !http_url_parse(slice_of(u->url), &url))
        return;
    /* A request to Weir's own address would come back to it for ever. */
    own = own_listener(top, url.host, url.port);
    if (own != NULL)
        reader_error(r, u->from, "url", "is Weir's own %s; name the API itself", own);
    review_plain(r, u, &url);
    review_patterns(r, u, &url);
    if (own == NULL)
        review_host_list(r, u);
    for (const char *const *h = u->hosts; own == NULL && h != NULL && *h != NULL; h++)
        review_host(r, top, u, &url, *h);
    review_via(r, top, u);
}
