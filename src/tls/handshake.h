/*
 * The server's side of a TLS handshake: which leaf goes to which client.
 *
 * libmicrohttpd owns the session and runs the handshake; it asks
 * handshake_retrieve() (MHD_OPTION_HTTPS_CERT_CALLBACK) for a certificate.  The worker
 * that accepted the socket has said before, with handshake_begin(), who decides.
 * Worker's thread.
 */
#ifndef WEIR_TLS_HANDSHAKE_H
#define WEIR_TLS_HANDSHAKE_H

#include "tls/leaf.h"

#include <gnutls/abstract.h>
#include <gnutls/gnutls.h>

/* TLS 1.2 and 1.3 with what GnuTLS thinks of as sound. */
#define HANDSHAKE_PRIORITIES "NORMAL:-VERS-ALL:+VERS-TLS1.3:+VERS-TLS1.2"

struct handshake {
    /* The leaf for a client that asks for `name` (SNI; NULL: for none), a reference. NULL: the client is refused. */
    struct leaf *(*choose)(void *owner, const char *name);
    /* `count` bytes have come, in the clear (0: the end; negative: an error).  False: the session is given up.  May be
     * NULL. */
    bool (*heard)(void *owner, char *at, ssize_t count);
    void        *owner;
    unsigned    *under_way; /* the owner's count of handshakes that are not done */
    bool         is_under_way;
    struct leaf *leaf;       /* shown; held until handshake_end() */
    bool         holds_head; /* what is sent next is kept back for what comes after it */
    char        *head;       /* kept back; or NULL */
    size_t       head_bytes; /* of it not sent yet */
};

/* `session` is a gnutls_session_t; `h` outlives it. */
void handshake_begin(struct handshake *h, void *session);
/* The session is gone. */
void handshake_end(struct handshake *h);
/* A gnutls_certificate_retrieve_function2. */
int handshake_retrieve(gnutls_session_t, const gnutls_datum_t *authorities, int authority_count,
                       const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **chain,
                       unsigned *chain_length, gnutls_privkey_t *key);

/* The next record of libmicrohttpd's is a head that a body follows at once: both go out in one record. */
void handshake_hold_head(struct handshake *);
/* Sends `bytes` as one record between libmicrohttpd's own; false: not, or not whole, and the session cannot go on. */
bool handshake_send(void *session, const char *bytes, size_t count);

#endif
