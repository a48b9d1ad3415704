/*
 * What leaves are signed with.  tls/ only.
 */
#ifndef WEIR_TLS_ISSUER_H
#define WEIR_TLS_ISSUER_H

#include "base/ref.h"
#include "tls/authority.h"

#include <gnutls/abstract.h>
#include <gnutls/x509.h>

struct issuer { /* constant once made, but for `ref` */
    struct ref             ref;
    gnutls_x509_crt_t      certificate;
    gnutls_x509_privkey_t  key;
    gnutls_x509_privkey_t  leaf_key; /* of every leaf; in memory only */
    struct authority_facts facts;
};

/* Sets version, a random serial number, the times and the key; -1 or a GnuTLS error below it. */
int issuer_begin_certificate(gnutls_x509_crt_t, gnutls_x509_privkey_t, int64_t from_s, int64_t to_s);
/* A fresh P-256 key. */
int issuer_make_key(gnutls_x509_privkey_t *);

#endif
