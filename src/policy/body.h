/*
 * What a request body means for the key of `key_body` (contract section 3).
 * Pure; any thread; allocates while it reads JSON.
 */
#ifndef WEIR_POLICY_BODY_H
#define WEIR_POLICY_BODY_H

#include "base/slice.h"

/*
 * The body in its one spelling, malloc'd, free() it: members sorted, no white space, without what the pointers
 * `ignored` (RFC 6901; NULL: none) lead to.  NULL where it is not JSON or where that spelling would not tell apart what
 * may be different to the origin (a repeated member, a number longer than a double holds): then the bytes themselves
 * are the key.
 */
char *policy_body_canonical(struct slice body, const char *const *ignored, size_t *length);

/*
 * True for a GraphQL request that may write: its document holds a mutation
 * or subscription, or it names a stored document whose text Weir cannot see.
 * Such a request is never answered from the cache, whatever the rule says.
 */
bool policy_body_is_mutation(struct slice body);

#endif
