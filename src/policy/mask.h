/*
 * Credentials that an API says again in the fields of its answer: in the
 * link of the next page, in a Location, in a field for debugging.
 *
 * What is stored, and what goes to others than the one who asked, has a mark in the place of each: which of the
 * request's credentials it was, and how it was written (plain, percent-encoded, base64).  Whoever brings a credential
 * of that name finds his own there; for all others it reads "***".  A mark begins and ends
 * with NUL, which no field that comes from outside can hold, so an API cannot make one.
 *
 * Pure; any thread.
 */
#ifndef WEIR_POLICY_MASK_H
#define WEIR_POLICY_MASK_H

#include "policy/caller.h"

struct secrets;

/* Those of a request; in the arena, and borrows of it. */
struct secrets *policy_secrets(const struct policy_options *o, const struct key_input *in, struct arena *a);
/* One alone: the value of a header ('h', the secret is what stands after a scheme) or a parameter ('p', plain). */
struct secrets *policy_secret(char kind, struct slice name, struct slice value, struct arena *a);

enum mask { MASK_MARK, MASK_STARS };
/* Values that hold a secret are made anew in the arena, in their place in the list.  False: there were none. */
bool policy_mask(struct secrets *, enum mask, struct http_fields *f, struct arena *a);
/* The way back. */
void policy_unmask(const struct secrets *, struct http_fields *f, struct arena *a);

#endif
