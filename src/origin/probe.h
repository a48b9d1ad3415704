/*
 * What is wrong between here and an API, for people who look for it.
 */
#ifndef WEIR_ORIGIN_PROBE_H
#define WEIR_ORIGIN_PROBE_H

#include "origin/options.h"

#include <stdint.h>

enum probe_finding {
    PROBE_WELL,
    PROBE_NO_HOST,
    PROBE_NAME_TIMEOUT,
    PROBE_NOT_CONNECTED, /* refused, or no way there */
    PROBE_CONNECT_TIMEOUT,
    PROBE_TLS_TIMEOUT, /* it listens and says nothing */
    PROBE_NO_TLS,      /* what it says is none */
    PROBE_EXPIRED,
    PROBE_NOT_YET_VALID,
    PROBE_WRONG_NAME,
    PROBE_UNKNOWN_CA,
    PROBE_BAD_FILE, /* of tls.ca_file, cert_file or key_file */
    PROBE_VIA,      /* the proxy's doing */
    PROBE_TLS_FAILED
};

struct probe_result {
    enum probe_finding finding;
    char               text[256];                /* libcurl's own, where it is not well */
    char               address[48];              /* that was connected to; "": none */
    double             name_s, connect_s, tls_s; /* from the beginning; 0: that was not reached */
    int64_t            ends_s;                   /* since 1970, of the certificate; 0: not known */
    unsigned           chain_length;             /* certificates that were shown */
    char               subject[160], issuer[160];
};

/* Blocks, `limit_ns` at most, and once more where a certificate is refused.  Any thread. */
void origin_probe(const struct origin_options *, struct slice authority, int64_t limit_ns, struct probe_result *);

#endif
