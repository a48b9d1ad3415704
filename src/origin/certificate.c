/*
 * When the certificate ends that an API has shown.
 *
 * libcurl tells that only where it is told to take every certificate to pieces, at each connection.  So the
 * functions are taken from the libssl that it has loaded, as in tls_end.c; with another TLS library nothing is known.
 * Upstream thread, once for a connection.
 */
#include "origin/internal.h"

#include <dlfcn.h>
#include <time.h>

struct certificate_calls {
    void *(*get)(const void *tls);
    void (*give_back)(void *certificate);
    const void *(*ends)(const void *certificate);
    int (*to_tm)(const void *time, struct tm *);
};

static const struct certificate_calls *certificate_calls(void)
{
    static struct certificate_calls calls;
    static bool                     looked;

    if (!looked) {
        *(void **)&calls.get = dlsym(RTLD_DEFAULT, "SSL_get1_peer_certificate");
        *(void **)&calls.give_back = dlsym(RTLD_DEFAULT, "X509_free");
        *(void **)&calls.ends = dlsym(RTLD_DEFAULT, "X509_get0_notAfter");
        *(void **)&calls.to_tm = dlsym(RTLD_DEFAULT, "ASN1_TIME_to_tm");
        looked = true;
    }
    return calls.get != NULL && calls.give_back != NULL && calls.ends != NULL && calls.to_tm != NULL ? &calls : NULL;
}

int64_t certificate_end_s(const void *tls)
{
    const struct certificate_calls *calls = tls != NULL ? certificate_calls() : NULL;
    void                           *certificate = calls != NULL ? calls->get(tls) : NULL;
    struct tm                       tm = { 0 };
    int64_t                         ends_s = 0;

    if (certificate == NULL)
        return 0;
    if (calls->to_tm(calls->ends(certificate), &tm) == 1)
        ends_s = (int64_t)timegm(&tm);
    calls->give_back(certificate);
    return ends_s;
}
