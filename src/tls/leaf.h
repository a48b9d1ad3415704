/*
 * Leaf certificates: what Weir shows to a client that takes it for an API.
 *
 * A leaf names one host (or IP address), lives thirty days and is made anew ten days before
 * its end, after a rotation of the CA, and after a restart: its key is in memory only.
 * A cache belongs to one thread; a leaf may outlive it while a connection holds it.
 */
#ifndef WEIR_TLS_LEAF_H
#define WEIR_TLS_LEAF_H

#include "tls/authority.h"

enum { LEAF_CACHE_MAX = 256, LEAF_NAME_BYTES = 256, LEAF_LIFE_DAYS = 30, LEAF_RENEW_DAYS = 10 };

struct leaf;
struct leaf_cache;

/* `authority` is lent for its life.  Never NULL. */
struct leaf_cache *leaf_cache_open(struct authority *);
void               leaf_cache_close(struct leaf_cache *); /* NULL is fine */

/* A reference to the leaf for `name`: a host name, or an IP address ("192.0.2.1", "[2001:db8::1]").
 * NULL: *why. */
struct leaf *leaf_acquire(struct leaf_cache *, const char *name, int64_t now_s, struct fault *why);
void         leaf_release(struct leaf *); /* NULL is fine */

#endif
