/*
 * How a TLS connection ended.  A body that only the connection's end
 * delimits is whole when the API said close_notify first (RFC 9112 9.8);
 * without it a cut cable, or somebody who cuts, looks the same as the end.
 *
 * libcurl 7.88 with OpenSSL does not tell the two apart: its BIO does not
 * report the end of the stream as such, so the library's own check
 * (SSL_OP_IGNORE_UNEXPECTED_EOF) never strikes.  So OpenSSL is asked to report the alerts
 * it reads.  The one function that is needed is taken from the libssl that
 * libcurl has loaded; with another TLS library there is none, and none is missed.
 */
#include "origin/internal.h"

#include <dlfcn.h>

enum { READ_ALERT = 0x4004 /* SSL_CB_READ_ALERT */, CLOSE_NOTIFY = 0 };

typedef void info_callback(const void *tls, int where, int value);
typedef void set_info_callback(void *context, info_callback *callback);

static _Thread_local struct origins *current; /* OpenSSL's callback has no argument of ours */

static void on_info(const void *tls, int where, int value)
{
    struct origin   *o;
    struct transfer *t;

    if (where != READ_ALERT || (value & 0xff) != CLOSE_NOTIFY || current == NULL)
        return;
    LIST_FOREACH (o, &current->origins, entry) {
        connection_notify(o, tls);
        LIST_FOREACH (t, &o->transfers, entry)
            if (t->wire.tls == tls)
                t->wire.tls_closed = true;
    }
}

static CURLcode on_context(CURL *easy, void *context, void *origins)
{
    set_info_callback *set;
    struct origins    *all = origins;

    (void)easy;
    *(void **)&set = dlsym(RTLD_DEFAULT, "SSL_CTX_set_info_callback");
    if (set == NULL)
        return CURLE_OK;
    set(context, on_info);
    current = all;
    all->tls_tells = true;
    return CURLE_OK;
}

void tls_end_watch(struct transfer *t)
{
    /* CURLE_NOT_BUILT_IN and the like: another library, which reports such an end by itself. */
    curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_FUNCTION, on_context);
    curl_easy_setopt(t->easy, CURLOPT_SSL_CTX_DATA, t->all);
}

void tls_end_know(struct transfer *t)
{
    struct curl_tlssessioninfo *info = NULL;

    if (t->all->tls_tells && curl_easy_getinfo(t->easy, CURLINFO_TLS_SSL_PTR, &info) == CURLE_OK && info != NULL)
        t->wire.tls = info->internals;
}

bool tls_end_is_cut(const struct transfer *t)
{
    return t->wire.tls != NULL && !t->wire.tls_closed && t->head.out.content_length < 0 && !t->head.out.chunked &&
           !t->head.out.http2;
}
