/*
 * Answering the handshake's question for a certificate.
 *
 * The session's database pointer, of which nothing else makes use here, leads from
 * the session to the struct handshake.
 */
#include "tls/handshake.h"

#include "base/socket.h"
#include "tls/present.h"

#include <stdlib.h>
#include <string.h>

static void is_done(struct handshake *h)
{
    if (h->is_under_way)
        --*h->under_way;
    h->is_under_way = false;
}

/*
 * In TLS 1.3 the client goes on after its Finished without a word from here (no session tickets are given).  One that
 * has not set TCP_NODELAY keeps its first request back until the Finished is acknowledged, which the kernel would put
 * off for 40 ms in the hope of an answer to send along.
 */
static void acknowledge(gnutls_session_t session)
{
    if (gnutls_protocol_get_version(session) >= GNUTLS_TLS1_3)
        socket_acknowledge(gnutls_transport_get_int(session));
}

/* The client's Finished is the last that is waited for. */
static int on_finished(gnutls_session_t session, unsigned type, unsigned when, unsigned incoming,
                       const gnutls_datum_t *message)
{
    (void)type;
    (void)when;
    (void)message;
    if (!incoming)
        return 0;
    is_done(gnutls_db_get_ptr(session));
    acknowledge(session);
    return 0;
}

void handshake_begin(struct handshake *h, void *session)
{
    gnutls_db_set_ptr(session, h);
    gnutls_handshake_set_hook_function(session, GNUTLS_HANDSHAKE_FINISHED, GNUTLS_HOOK_POST, on_finished);
    h->is_under_way = true;
    ++*h->under_way;
}

void handshake_end(struct handshake *h)
{
    is_done(h);
    leaf_release(h->leaf);
    h->leaf = NULL;
    free(h->head);
    h->head = NULL;
}

/* The name in `out`; false where the client sent none that could be a host's. */
static bool server_name(gnutls_session_t session, char *out, size_t bytes)
{
    size_t   length = bytes;
    unsigned type = GNUTLS_NAME_DNS;

    return gnutls_server_name_get(session, out, &length, &type, 0) == GNUTLS_E_SUCCESS && type == GNUTLS_NAME_DNS &&
           length > 0 && strlen(out) == length;
}

int handshake_retrieve(gnutls_session_t session, const gnutls_datum_t *authorities, int authority_count,
                       const gnutls_pk_algorithm_t *algorithms, int algorithm_count, gnutls_pcert_st **chain,
                       unsigned *chain_length, gnutls_privkey_t *key)
{
    struct handshake *h = gnutls_db_get_ptr(session);
    char              name[LEAF_NAME_BYTES];

    (void)authorities;
    (void)authority_count;
    (void)algorithms;
    (void)algorithm_count;
    if (h->leaf == NULL)
        h->leaf = h->choose(h->owner, server_name(session, name, sizeof name) ? name : NULL);
    if (h->leaf == NULL) {
        gnutls_alert_send(session, GNUTLS_AL_FATAL, GNUTLS_A_UNRECOGNIZED_NAME);
        return -1;
    }
    *chain = &h->leaf->certificate;
    *chain_length = 1;
    *key = h->leaf->key;
    return 0;
}

void handshake_hold_head(struct handshake *h)
{
    h->holds_head = true;
}

/* A record that went out in part would swallow the front of libmicrohttpd's next one. */
bool handshake_send(void *session, const char *bytes, size_t count)
{
    struct handshake *h = gnutls_db_get_ptr(session);

    h->holds_head = false; /* this is no head of libmicrohttpd's */
    return gnutls_record_send(session, bytes, count) == (ssize_t)count;
}
