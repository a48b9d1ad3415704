/*
 * A leaf as a handshake shows it.  tls/ only.
 */
#ifndef WEIR_TLS_PRESENT_H
#define WEIR_TLS_PRESENT_H

#include "tls/issuer.h"
#include "tls/leaf.h"

struct leaf { /* constant once made, but for `ref` and `used` */
    struct ref       ref;
    char             name[LEAF_NAME_BYTES];
    struct issuer   *issuer; /* a reference */
    gnutls_pcert_st  certificate;
    bool             has_certificate;
    gnutls_privkey_t key;
    int64_t          renew_at_s, ends_s;
    uint64_t         used; /* the cache's: when, counted in look-ups */
};

#endif
