/*
 * Weir's own local CA: one key and its certificate, in the state directory.
 *
 * Made at first use, never at start: who does not use the HTTPS proxy has no CA.
 * Key and certificate stand in one file (ca.pem, 0600), so that they change
 * together.  What is in effect is an immutable issuer, reference counted, which workers
 * hold while they sign; a rotation puts another in its place.  Any thread.
 *
 * The certificate has no name constraints: a reload may add an upstream, and every
 * client would have to trust a new CA then.  It may sign leaves only (path length 0),
 * and Weir makes leaves for the hosts of its upstreams alone.
 */
#ifndef WEIR_TLS_AUTHORITY_H
#define WEIR_TLS_AUTHORITY_H

#include "base/fault.h"

#include <stdbool.h>
#include <stdint.h>

struct authority;

/* `directory` (a descriptor) and `path` (for messages) are borrowed for its life.  Touches nothing yet.  Never NULL. */
struct authority *authority_open(int directory, const char *path);
/* No issuer is in use any more.  NULL is fine. */
void authority_close(struct authority *);

/* Makes a new key and certificate in the place of the old ones, which are gone then. -1: *why, the old ones stay. */
int authority_rotate(struct authority *, int64_t now_s, struct fault *why);

struct authority_facts {
    char    certificate[2048]; /* PEM */
    char    fingerprint[96];   /* SHA-256, "AB:CD:..." as other tools print it */
    char    subject[160];      /* its common name */
    int64_t made_s, expires_s; /* since 1970 */
};

/* Makes the CA where there is none. -1: *why. */
int authority_describe(struct authority *, int64_t now_s, struct authority_facts *, struct fault *why);

/* -- for leaf.c -- */

struct issuer;

/* The one in effect, made where there is none; release it. NULL: *why. */
struct issuer *authority_issuer(struct authority *, int64_t now_s, struct fault *why);
/* True while no rotation has replaced it. */
bool authority_is_current(const struct authority *, const struct issuer *);
void issuer_release(struct issuer *); /* NULL is fine */

#endif
