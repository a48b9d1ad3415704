/*
 * Tags and groups of responses, as the store keeps them: labels, by which all that bear one are dropped.
 *
 * A label is 16 bytes: a hash of the name, which is the same whoever gives it, and a hash of what it counts for, which
 * is the origin together with the kind.  So an admin finds a tag by its first half whoever set it, and an API's own
 * words reach what is its own.  Pure; any thread.
 */
#ifndef WEIR_POLICY_LABEL_H
#define WEIR_POLICY_LABEL_H

#include "http/fields.h"
#include "policy/options.h"

/* RFC 9875 2: at least 32 groups of 32 characters are to be taken. Of all kinds together. */
enum { LABEL_BYTES = 16, LABEL_NAME_BYTES = 8, LABELS_AT_MOST = 64, LABEL_NAME_LONGEST = 256 };

struct labels {
    unsigned count;
    uint8_t  items[LABELS_AT_MOST][LABEL_BYTES];
};

/* Of a response: Cache-Groups (RFC 9875), the rule's `tags`, Cache-Tag and Surrogate-Key, in this order; what is longer
 * than LABEL_NAME_LONGEST, or one too many, is left out.  `origin`: scheme and authority as in keys. */
void policy_labels(const struct policy_options *, struct slice origin, const struct http_fields *, struct arena *,
                   struct labels *out);
/* The groups that the answer to an unsafe request invalidates (RFC 9875 3): of its own origin. */
void policy_invalidated_groups(struct slice origin, const struct http_fields *, struct arena *, struct labels *out);
/* What all labels of that name begin with. */
void policy_label_name(struct slice name, uint8_t out[LABEL_NAME_BYTES]);
/* Those bytes as the store takes them; borrowed. */
struct slice policy_labels_slice(const struct labels *);

#endif
