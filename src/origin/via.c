/*
 * A proxy on the way to the API (setting via): how libcurl is told of it, and
 * which failures are its, so that nobody looks for them at the API.
 *
 * An https:// API is reached by CONNECT, an http:// one through an HTTP proxy by the absolute form
 * (RFC 9112 3.2.2), since many proxies allow CONNECT to port 443 alone.  Names are the proxy's to look up.
 * Its credentials go to it alone: libcurl puts them on CONNECT or, in the absolute form, on the request.
 */
#include "origin/internal.h"

#include "base/own_address.h"

#include <errno.h>

enum { PROXY_AUTHENTICATION = 407 };

static bool is_absolute_form(const struct origin_options *o)
{
    return o->via.url != NULL && o->via.is_http && slice_eq(o->scheme, SLICE("http"));
}

void via_set(struct transfer *t)
{
    const struct via_options *via = &t->ask.options->via;
    CURL                     *e = t->easy;

    /* Never the environment's, which may point at Weir. */
    curl_easy_setopt(e, CURLOPT_PROXY, via->url != NULL ? via->url : "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, via->url != NULL ? "" : "*");
    if (via->url == NULL)
        return;
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_PROXYAUTH, CURLAUTH_BASIC); /* others would ask twice */
    curl_easy_setopt(e, CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, via->user);
    curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, via->password);
    if (via->ca_file != NULL)
        curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, via->ca_file);
}

struct slice via_target(const struct transfer *t, struct slice target, struct arena *a)
{
    return is_absolute_form(t->ask.options) ? ARENA_JOIN(a, SLICE("http://"), t->ask.authority, target) : target;
}

bool via_refuses(const struct transfer *t)
{
    return t->head.out.status == PROXY_AUTHENTICATION && is_absolute_form(t->ask.options);
}

/* -- what went wrong -- */

enum { LASTING = 1 }; /* trying again cannot help */

struct via_row {
    long        code;
    unsigned    flags;
    const char *token, *text;
};

/* By CURLINFO_PROXY_ERROR: what a SOCKS proxy said (RFC 1928 6, RFC 1929 2). */
static const struct via_row socks_rows[] = {
    { CURLPX_NO_AUTH, LASTING, "proxy_configuration_error", "the proxy wants credentials: those of via.value_file" },
    { CURLPX_USER_REJECTED, LASTING, "proxy_configuration_error",
      "the proxy refused the credentials of via.value_file" },
    { CURLPX_REPLY_NOT_ALLOWED, LASTING, "destination_unavailable", "the proxy does not allow it" },
    { CURLPX_REPLY_NETWORK_UNREACHABLE, 0, "destination_ip_unroutable", "the proxy has no route to it" },
    { CURLPX_REPLY_HOST_UNREACHABLE, 0, "destination_ip_unroutable", "the proxy cannot reach it" },
    { CURLPX_REPLY_CONNECTION_REFUSED, 0, "connection_refused", "the proxy says that it refused the connection" },
    { CURLPX_REPLY_TTL_EXPIRED, 0, "connection_timeout", "the proxy says that it did not answer in time" },
    { CURLPX_REPLY_GENERAL_SERVER_FAILURE, 0, "destination_unavailable", "the proxy could not reach it" },
    { CURLPX_BAD_VERSION, LASTING, "proxy_configuration_error", "what answers there is no SOCKS5 proxy" },
    { CURLPX_CLOSED, 0, "connection_terminated", "the proxy closed the connection" },
};

/* By CURLcode, while there was no connection to the API. */
static const struct via_row code_rows[] = {
    { CURLE_COULDNT_RESOLVE_PROXY, 0, "dns_error", "the proxy's name cannot be resolved" },
    { CURLE_COULDNT_CONNECT, 0, "connection_refused", "the proxy refused the connection" },
    { CURLE_OPERATION_TIMEDOUT, 0, "connection_timeout", "no connection was made through the proxy in time" },
    { CURLE_PROXY, 0, "connection_terminated", "the proxy broke the handshake off" },
    { CURLE_GOT_NOTHING, 0, "connection_terminated", "the proxy closed the connection" },
    { CURLE_RECV_ERROR, 0, "connection_terminated", "the proxy closed the connection" },
    { CURLE_SEND_ERROR, 0, "connection_terminated", "the proxy closed the connection" },
    { CURLE_UNSUPPORTED_PROTOCOL, LASTING, "proxy_configuration_error", "libcurl cannot speak to such a proxy" },
    { CURLE_NOT_BUILT_IN, LASTING, "proxy_configuration_error", "libcurl cannot speak to such a proxy" },
};

static const struct via_row *find_row(const struct via_row *rows, size_t count, long code)
{
    for (size_t i = 0; i < count; i++)
        if (rows[i].code == code)
            return &rows[i];
    return NULL;
}

#define FIND(rows, code) find_row(rows, sizeof(rows) / sizeof *(rows), code)

static void say(struct via_cause *c, const char *token, bool lasting, const char *text)
{
    c->token = token;
    c->lasting = lasting;
    snprintf(c->text, sizeof c->text, "%s", text);
}

static void say_connect(struct via_cause *c, const struct transfer *t, long status)
{
    bool known = t->ask.options->via.user != NULL;
    char text[64];

    if (status == PROXY_AUTHENTICATION) {
        say(c, "proxy_configuration_error", true,
            known ? "the proxy refused the credentials of via.value_file (407)"
                  : "the proxy wants credentials (407): via.value_file says where they are");
        return;
    }
    snprintf(text, sizeof text, "the proxy answered CONNECT with %ld", status);
    say(c, status == 504 ? "connection_timeout" : "destination_unavailable", status >= 400 && status < 500, text);
}

/* The connection that there was leads to Weir. */
static bool leads_back(const struct transfer *t)
{
    char *here = NULL, *there = NULL;
    long  port = 0;

    return curl_easy_getinfo(t->easy, CURLINFO_LOCAL_IP, &here) == CURLE_OK &&
           curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_IP, &there) == CURLE_OK &&
           curl_easy_getinfo(t->easy, CURLINFO_PRIMARY_PORT, &port) == CURLE_OK && there != NULL && there[0] != '\0' &&
           own_address_is(here, there, (unsigned)port);
}

/* Before the API itself was spoken to: the proxy's TLS, where there is one, comes first. */
static bool is_tls_of_proxy(const struct transfer *t, CURLcode code, long connect_status)
{
    return connect_status == 0 && slice_starts_with(slice_of(t->ask.options->via.url), SLICE("https:")) &&
           (code == CURLE_SSL_CONNECT_ERROR || code == CURLE_PEER_FAILED_VERIFICATION ||
            code == CURLE_SSL_ISSUER_ERROR || code == CURLE_SSL_CACERT_BADFILE);
}

static bool by_code(struct via_cause *c, const struct transfer *t, CURLcode code)
{
    const struct via_row *row = NULL;
    long                  connect_status = 0, socks = 0, err = 0;
    char                  text[100];

    curl_easy_getinfo(t->easy, CURLINFO_HTTP_CONNECTCODE, &connect_status);
    curl_easy_getinfo(t->easy, CURLINFO_PROXY_ERROR, &socks);
    curl_easy_getinfo(t->easy, CURLINFO_OS_ERRNO, &err);
    if (connect_status != 0 && connect_status / 100 != 2) {
        say_connect(c, t, connect_status);
        return true;
    }
    if (is_tls_of_proxy(t, code, connect_status)) {
        snprintf(text, sizeof text, "no TLS with the proxy (%.70s)", t->error);
        say(c, "tls_protocol_error", code != CURLE_SSL_CONNECT_ERROR, text);
        return true;
    }
    if (connect_status == 0)
        row = code == CURLE_PROXY ? FIND(socks_rows, socks) : NULL;
    if (row == NULL && connect_status == 0)
        row = FIND(code_rows, (long)code);
    if (row == NULL)
        return false;
    if (code == CURLE_COULDNT_CONNECT && (err == ENETUNREACH || err == EHOSTUNREACH))
        say(c, "destination_ip_unroutable", false, "there is no route to the proxy");
    else if (code == CURLE_COULDNT_CONNECT && err == ETIMEDOUT)
        say(c, "connection_timeout", false, "the proxy did not accept a connection in time");
    else
        say(c, row->token, (row->flags & LASTING) != 0, row->text);
    return true;
}

bool via_failure(struct via_cause *c, const struct transfer *t, CURLcode code)
{
    if (t->ask.options->via.url == NULL)
        return false;
    if (t->stop == STOP_LOOP || (t->stop == STOP_NONE && t->prereqs == 0 && leads_back(t))) {
        say(c, "proxy_loop_detected", true, "the proxy is Weir itself");
        return true;
    }
    if (t->stop == STOP_VIA_REFUSED) {
        say_connect(c, t, PROXY_AUTHENTICATION);
        return true;
    }
    if (t->stop == STOP_CONNECT_TIMEOUT)
        code = CURLE_OPERATION_TIMEDOUT;
    else if (t->stop != STOP_NONE)
        return false;
    return t->prereqs == 0 && by_code(c, t, code);
}
