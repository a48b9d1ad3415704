/*
 * Credentials on their way back: the one that Weir adds, which nobody is to
 * see, and those of the request, which are for who sent them.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_AUTH_H
#define WEIR_UPSTREAM_AUTH_H

#include "policy/mask.h"
#include "upstream/fetch.h"

/* The target with the parameter after it, in the arena; the fetch's own where none is added. */
struct slice auth_target(const struct fetch *, struct arena *);
/* An API that says the credential again in a field does not say it to a client, nor to the cache. */
void auth_scrub(const struct fetch *, struct http_fields *, struct arena *);
/* What it says again of the request's own credentials is for who sent it alone: false where there is nothing of the
 * kind in `fields`; else their values are made anew in the arena. */
bool auth_mask(const struct fetch *, enum mask, struct http_fields *, struct arena *);

#endif
