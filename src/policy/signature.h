/*
 * Signed requests: what says who asks is another value each time.
 *
 * OAuth 1 (RFC 5849), AWS Signature 4 and its kin, Digest (RFC 7616), Hawk and HTTP Message
 * Signatures (RFC 9421) put a time, a nonce and a signature into every request.  The identity
 * that such a request names stays the same, but it is no secret: anybody can write it down.  So
 * it counts together with who asks on this machine (struct key_input, `signer`).
 *
 * Tables of schemes and of query parameters; pure, nothing is verified.
 */
#ifndef WEIR_POLICY_SIGNATURE_H
#define WEIR_POLICY_SIGNATURE_H

#include "base/arena.h"
#include "http/message.h"
#include "policy/options.h"

struct signed_query; /* a family of query parameters that sign a request */

struct signature {
    bool                       is_signed;
    bool                       by_authorization; /* that field is another one each time */
    const struct signed_query *query, *form;     /* stand in the target, in the body; NULL: none */
    struct slice               identity;         /* "oauth 3:key 5:token"; ptr NULL: it names nobody */
};

/* `body`: a whole form, where the request has one (RFC 5849 3.5.2); else ptr NULL. */
void policy_signature(const struct policy_options *o, const struct http_request *r, struct slice target,
                      struct slice body, struct arena *a, struct signature *out);
/* Is this decoded parameter part of the signature, so that it is none of the key?  `q` may be NULL. */
bool policy_signature_has(const struct signed_query *q, struct slice name);
/* Signature and Signature-Input: of a request that is signed so they are covered by whose it is. */
bool policy_signature_field(enum http_name id);
bool policy_is_signed_by_fields(const struct http_fields *request, struct arena *a);
/* A parameter whose value signs, or stands for a session that signs: for no log. */
bool policy_signature_secret(struct slice name);

#endif
