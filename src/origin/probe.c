/*
 * What is wrong between here and an API, step by step: its name, a connection, TLS and its certificate.
 *
 * A connection is made and closed again; nothing is asked on it.  It may block for as long as `limit_ns`: who calls it
 * has a thread for that.  Where a certificate is refused, a second connection is made that takes any, only to read
 * out what is wrong with it.
 */
#include "origin/probe.h"

#include "base/arena.h"
#include "base/clock.h"

#include <curl/curl.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

/* -- what libcurl said -- */

static const struct {
    const char        *part; /* of its message (OpenSSL's) */
    enum probe_finding finding;
} refusals[] = {
    { "has expired", PROBE_EXPIRED },         { "not yet valid", PROBE_NOT_YET_VALID },
    { "subject name", PROBE_WRONG_NAME },     { "self-signed", PROBE_UNKNOWN_CA },
    { "self signed", PROBE_UNKNOWN_CA },      { "issuer certificate", PROBE_UNKNOWN_CA },
    { "wrong version number", PROBE_NO_TLS }, { "packet length too long", PROBE_NO_TLS },
    { "record layer failure", PROBE_NO_TLS }, { "unexpected eof", PROBE_NO_TLS },
    { "SSL_ERROR_SYSCALL", PROBE_NO_TLS },
};

static const struct {
    CURLcode           code;
    enum probe_finding finding;
} codes[] = {
    { CURLE_OK, PROBE_WELL },
    { CURLE_COULDNT_RESOLVE_HOST, PROBE_NO_HOST },
    { CURLE_COULDNT_RESOLVE_PROXY, PROBE_VIA },
    { CURLE_PROXY, PROBE_VIA },
    { CURLE_COULDNT_CONNECT, PROBE_NOT_CONNECTED },
    { CURLE_SSL_CACERT_BADFILE, PROBE_BAD_FILE },
    { CURLE_SSL_CERTPROBLEM, PROBE_BAD_FILE },
};

static double seconds_of(CURL *e, CURLINFO what)
{
    curl_off_t us = 0;

    curl_easy_getinfo(e, what, &us);
    return (double)us / 1e6;
}

/* It has an address as soon as TCP is there; its time is told only when TLS is. */
static bool is_connected(CURL *e)
{
    const char *address = NULL;

    curl_easy_getinfo(e, CURLINFO_PRIMARY_IP, &address);
    return address != NULL && address[0] != '\0';
}

static enum probe_finding finding_of(CURL *e, CURLcode code, const char *text)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0] && code != CURLE_OK; i++)
        if (strcasestr(text, refusals[i].part) != NULL)
            return refusals[i].finding;
    for (size_t i = 0; i < sizeof codes / sizeof codes[0]; i++)
        if (codes[i].code == code)
            return codes[i].finding;
    if (code != CURLE_OPERATION_TIMEDOUT)
        return PROBE_TLS_FAILED;
    if (seconds_of(e, CURLINFO_NAMELOOKUP_TIME_T) == 0)
        return PROBE_NAME_TIMEOUT;
    return is_connected(e) ? PROBE_TLS_TIMEOUT : PROBE_CONNECT_TIMEOUT;
}

/* -- the certificate -- */

static const char *item_of(const struct curl_slist *of, const char *name)
{
    const size_t length = strlen(name);

    for (; of != NULL; of = of->next)
        if (strncmp(of->data, name, length) == 0 && of->data[length] == ':')
            return of->data + length + 1;
    return NULL;
}

static void read_certificate(CURL *e, struct probe_result *r)
{
    struct curl_certinfo *chain = NULL;
    struct tm             tm = { 0 };
    const char           *text;

    if (curl_easy_getinfo(e, CURLINFO_CERTINFO, &chain) != CURLE_OK || chain == NULL || chain->num_of_certs < 1)
        return;
    r->chain_length = (unsigned)chain->num_of_certs;
    text = item_of(chain->certinfo[0], "Expire date");
    if (text != NULL && strptime(text, "%b %d %H:%M:%S %Y", &tm) != NULL)
        r->ends_s = (int64_t)timegm(&tm);
    text = item_of(chain->certinfo[0], "Subject");
    snprintf(r->subject, sizeof r->subject, "%s", text != NULL ? text : "");
    text = item_of(chain->certinfo[0], "Issuer");
    snprintf(r->issuer, sizeof r->issuer, "%s", text != NULL ? text : "");
}

/* -- a connection -- */

static void set_tls(CURL *e, const struct tls_options *tls, bool verify)
{
    curl_easy_setopt(e, CURLOPT_CERTINFO, 1L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYPEER, verify ? 1L : 0L);
    curl_easy_setopt(e, CURLOPT_SSL_VERIFYHOST, verify ? 2L : 0L);
    if (tls->ca_file != NULL)
        curl_easy_setopt(e, CURLOPT_CAINFO, tls->ca_file);
    if (tls->cert_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLCERT, tls->cert_file);
    if (tls->key_file != NULL)
        curl_easy_setopt(e, CURLOPT_SSLKEY, tls->key_file);
}

/* As in via.c: never the environment's. */
static void set_via(CURL *e, const struct origin_options *o)
{
    curl_easy_setopt(e, CURLOPT_PROXY, o->via.url != NULL ? o->via.url : "");
    curl_easy_setopt(e, CURLOPT_NOPROXY, o->via.url != NULL ? "" : "*");
    if (o->via.url == NULL)
        return;
    curl_easy_setopt(e, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
    curl_easy_setopt(e, CURLOPT_PROXYAUTH, CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_SOCKS5_AUTH, CURLAUTH_BASIC);
    curl_easy_setopt(e, CURLOPT_PROXYUSERNAME, o->via.user);
    curl_easy_setopt(e, CURLOPT_PROXYPASSWORD, o->via.password);
    if (o->via.ca_file != NULL)
        curl_easy_setopt(e, CURLOPT_PROXY_CAINFO, o->via.ca_file);
}

/* What its answer to CONNECT is nobody wants to see. */
static size_t ignore(char *bytes, size_t size, size_t count, void *context)
{
    (void)bytes;
    (void)context;
    return size * count;
}

static CURL *prepare(const struct origin_options *o, const char *url, int64_t limit_ns, bool verify, char *text)
{
    CURL *e = curl_easy_init();

    if (e == NULL)
        return NULL;
    curl_easy_setopt(e, CURLOPT_ERRORBUFFER, text);
    curl_easy_setopt(e, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(e, CURLOPT_QUICK_EXIT, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECT_ONLY, 1L);
    curl_easy_setopt(e, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(e, CURLOPT_DISALLOW_USERNAME_IN_URL, 1L);
    curl_easy_setopt(e, CURLOPT_CONNECTTIMEOUT_MS, (long)(limit_ns / NS_PER_MS + 1));
    curl_easy_setopt(e, CURLOPT_TIMEOUT_MS, (long)(limit_ns / NS_PER_MS + 1));
    curl_easy_setopt(e, CURLOPT_WRITEFUNCTION, ignore);
    curl_easy_setopt(e, CURLOPT_HEADERFUNCTION, ignore);
    curl_easy_setopt(e, CURLOPT_URL, url);
    set_via(e, o);
    set_tls(e, &o->tls, verify);
    return e;
}

static void tell_times(CURL *e, struct probe_result *r)
{
    const char *address = NULL;

    curl_easy_getinfo(e, CURLINFO_PRIMARY_IP, &address);
    snprintf(r->address, sizeof r->address, "%s", address != NULL ? address : "");
    r->name_s = seconds_of(e, CURLINFO_NAMELOOKUP_TIME_T);
    r->connect_s = seconds_of(e, CURLINFO_CONNECT_TIME_T);
    r->tls_s = seconds_of(e, CURLINFO_APPCONNECT_TIME_T);
}

static bool is_of_certificate(enum probe_finding f)
{
    return f == PROBE_EXPIRED || f == PROBE_NOT_YET_VALID || f == PROBE_WRONG_NAME || f == PROBE_UNKNOWN_CA;
}

static void look_again(const struct origin_options *o, const char *url, int64_t limit_ns, struct probe_result *r)
{
    char  text[CURL_ERROR_SIZE] = "";
    CURL *e = prepare(o, url, limit_ns, false, text);

    if (e != NULL && curl_easy_perform(e) == CURLE_OK)
        read_certificate(e, r);
    curl_easy_cleanup(e);
}

void origin_probe(const struct origin_options *o, struct slice authority, int64_t limit_ns, struct probe_result *r)
{
    struct arena a = { 0 };
    const char  *url = ARENA_JOIN(&a, o->scheme, SLICE("://"), authority, SLICE("/")).ptr;
    char         text[CURL_ERROR_SIZE] = "";
    CURL        *e = prepare(o, url, limit_ns, o->tls.verify, text);
    CURLcode     code = e != NULL ? curl_easy_perform(e) : CURLE_OUT_OF_MEMORY;

    *r = (struct probe_result){ .finding = PROBE_TLS_FAILED };
    if (text[0] == '\0' && code != CURLE_OK)
        snprintf(text, sizeof text, "%s", curl_easy_strerror(code));
    snprintf(r->text, sizeof r->text, "%s", text);
    if (e != NULL) {
        r->finding = finding_of(e, code, text);
        tell_times(e, r);
        read_certificate(e, r);
    }
    if (is_of_certificate(r->finding))
        look_again(o, url, limit_ns, r);
    curl_easy_cleanup(e);
    arena_free(&a);
}
