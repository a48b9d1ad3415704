/*
 * How a program, or a shell, is pointed at Weir.
 *
 * A list of variables, nothing else: the proxy's address where programs look for one, and
 * Weir's CA, beside the roots that are trusted anyway, where they look for those.
 */
#include "ctl/pointing.h"

#include <ctype.h>
#include <stdlib.h>
#include <string.h>

/* What is on this machine is asked without a proxy. */
static const char local_hosts[] = "localhost,127.0.0.1,::1";

static void set(struct pointing *p, const char *name, struct slice value)
{
    p->variables[p->count++] = (struct variable){ name, value.ptr };
}

static void set_path(struct pointing *p, const char *name, const char *path)
{
    set(p, name, slice_of(path));
}

/* `own` in front of what the variable had, unless that is there already. */
static void set_before(struct pointing *p, const char *name, const char *own, char separator)
{
    const char *had = getenv(name);

    if (had == NULL || had[0] == '\0')
        set(p, name, slice_of(own));
    else if (strncmp(had, own, strlen(own)) == 0)
        set(p, name, slice_of(had));
    else
        set(p, name, arena_printf(&p->arena, "%s%c%s", own, separator, had));
}

/* -- the proxy -- */

/* An address that stands for all of the machine's is not one to connect to. */
static void read_proxy(struct pointing *p, const char *address)
{
    struct slice all = slice_of(address);
    size_t       colon = all.len;

    while (colon > 0 && all.ptr[colon - 1] != ':')
        colon--;
    p->port = arena_copy(&p->arena, slice_sub(all, colon, all.len));
    p->host = arena_copy(&p->arena, slice_sub(all, 0, colon > 0 ? colon - 1 : 0));
    if (slice_eq(p->host, SLICE("0.0.0.0")))
        p->host = SLICE("127.0.0.1");
    else if (slice_eq(p->host, SLICE("[::]")))
        p->host = SLICE("[::1]");
}

/* A name in the URL of the proxy; some clients send it only where there is a password. */
static struct slice user_info(struct pointing *p, const char *name)
{
    struct slice out = SLICE("");

    if (name == NULL)
        return out;
    for (; *name != '\0'; name++)
        out = isalnum((unsigned char)*name) || strchr("-._~", *name) != NULL
                  ? arena_printf(&p->arena, "%s%c", out.ptr, *name)
                  : arena_printf(&p->arena, "%s%%%02X", out.ptr, (unsigned char)*name);
    return arena_printf(&p->arena, "%s:x@", out.ptr);
}

static bool has_entry(struct slice list, struct slice entry)
{
    for (size_t at = 0; at < list.len;) {
        size_t end = slice_find(list, ',', at);

        if (slice_eq_nocase(slice_trim(slice_sub(list, at, end)), entry))
            return true;
        at = end + 1;
    }
    return false;
}

/* The entries of `more` that the list lacks, at its end. */
static struct slice with_entries(struct pointing *p, struct slice list, struct slice more)
{
    for (size_t at = 0; at < more.len;) {
        size_t       end = slice_find(more, ',', at);
        struct slice entry = slice_trim(slice_sub(more, at, end));

        if (entry.len > 0 && !has_entry(list, entry))
            list = ARENA_JOIN(&p->arena, list, SLICE(","), entry);
        at = end + 1;
    }
    return list;
}

/* Programs read the one or the other, and some whichever they find first: both say the same. */
static void exempt_from_proxy(struct pointing *p)
{
    struct slice list = slice_of(local_hosts);

    list = with_entries(p, list, slice_of(getenv("no_proxy")));
    list = with_entries(p, list, slice_of(getenv("NO_PROXY")));
    if (has_entry(list, SLICE("*")))
        fprintf(stderr, "weirctl: NO_PROXY has \"*\", so that nothing goes through weir; take it out\n");
    set(p, "no_proxy", list);
    set(p, "NO_PROXY", list);
}

static void point_at_proxy(struct pointing *p, const char *name)
{
    static const char *const names[] = { "http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY" };
    /* These would lead past Weir where they are set. */
    static const char *const others[] = { "all_proxy",
                                          "ALL_PROXY",
                                          "npm_config_proxy",
                                          "npm_config_https_proxy",
                                          "NPM_CONFIG_PROXY",
                                          "NPM_CONFIG_HTTPS_PROXY",
                                          "PIP_PROXY",
                                          "CARGO_HTTP_PROXY",
                                          "CGI_HTTP_PROXY",
                                          "GLOBAL_AGENT_HTTP_PROXY",
                                          "GLOBAL_AGENT_HTTPS_PROXY" };
    struct slice url = arena_printf(&p->arena, "http://%s%s:%s", user_info(p, name).ptr, p->host.ptr, p->port.ptr);

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        set(p, names[i], url);
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (getenv(others[i]) != NULL)
            set(p, others[i], url);
    exempt_from_proxy(p);
    set(p, "NODE_USE_ENV_PROXY", SLICE("1"));
    set(p, "PERL_LWP_ENV_PROXY", SLICE("1"));
    /* Left to itself git says who it is only to a proxy that asks: it would pass by the mode that it is held to. */
    set(p, "GIT_HTTP_PROXY_AUTHMETHOD", SLICE("basic"));
}

/* -- the CA -- */

static void point_java(struct pointing *p)
{
    const char  *had = getenv("JAVA_TOOL_OPTIONS");
    const char  *quote = strchr(p->trust.keystore, ' ') != NULL ? "\"" : "";
    struct slice host = p->host.ptr[0] == '[' ? slice_sub(p->host, 1, p->host.len - 1) : p->host;
    struct slice own = arena_printf(&p->arena,
                                    "-Dhttp.proxyHost=" SLICE_FMT " -Dhttp.proxyPort=%s -Dhttps.proxyHost=" SLICE_FMT
                                    " -Dhttps.proxyPort=%s -Dhttp.nonProxyHosts=localhost|127.*|[::1] "
                                    "-Djavax.net.ssl.trustStoreType=JKS %s-Djavax.net.ssl.trustStore=%s%s",
                                    SLICE_ARG(host), p->port.ptr, SLICE_ARG(host), p->port.ptr, quote,
                                    p->trust.keystore, quote);

    if (had == NULL || had[0] == '\0')
        set(p, "JAVA_TOOL_OPTIONS", own);
    else if (strstr(had, own.ptr) != NULL)
        set(p, "JAVA_TOOL_OPTIONS", slice_of(had));
    else
        set(p, "JAVA_TOOL_OPTIONS", arena_printf(&p->arena, "%s %s", had, own.ptr));
}

/* Directories of settings, in order; an empty one stands for those that PHP reads anyway. */
static void point_php(struct pointing *p)
{
    const char *had = getenv("PHP_INI_SCAN_DIR");

    if (had != NULL && strstr(had, p->trust.php) != NULL)
        set_path(p, "PHP_INI_SCAN_DIR", had);
    else
        set(p, "PHP_INI_SCAN_DIR", arena_printf(&p->arena, "%s:%s", had != NULL ? had : "", p->trust.php));
}

static void point_at_ca(struct pointing *p)
{
    for (size_t i = 0; trust_variables[i].name != NULL; i++)
        if (trust_variables[i].always || getenv(trust_variables[i].name) != NULL)
            set_path(p, trust_variables[i].name, p->trust.bundle);
    set_path(p, "NODE_EXTRA_CA_CERTS", p->trust.ca);
    set_path(p, "WGETRC", p->trust.wgetrc);
    set_before(p, "PYTHONPATH", p->trust.python, ':');
    point_php(p);
    point_java(p);
}

bool pointing_prepare(const struct ctl *c, struct pointing *p)
{
    json_t     *answer = ctl_ask(c, "GET", "/ca", NULL);
    const char *proxy = json_string_value(json_object_get(answer, "proxy"));
    const char *certificate = json_string_value(json_object_get(answer, "certificate"));
    const char *fingerprint = json_string_value(json_object_get(answer, "sha256"));
    bool        ok = false;

    if (answer != NULL && (certificate == NULL || fingerprint == NULL || strlen(fingerprint) < 12))
        fprintf(stderr, "weirctl: the daemon's answer has no certificate in it\n");
    else if (answer != NULL && proxy == NULL)
        fprintf(stderr, "weirctl: weir's forward proxy is off: say proxy = { listen = \"127.0.0.1:3128\"; }; in its "
                        "configuration, and start it again\n");
    else if (answer != NULL)
        ok = trust_write(&p->trust, certificate, fingerprint);
    if (ok) {
        read_proxy(p, proxy);
        point_at_proxy(p, c->as);
        point_at_ca(p);
    }
    json_decref(answer);
    return ok;
}

void pointing_set(const struct pointing *p)
{
    for (unsigned i = 0; i < p->count; i++)
        setenv(p->variables[i].name, p->variables[i].value, 1);
}
