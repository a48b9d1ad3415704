/*
 * Variants of one URL (RFC 9111 4.1).  A stored response carries the names
 * its Vary listed and the normalised values that the request which fetched
 * it had for them: its selection.  Pure; any thread.
 *
 * The text of a selection: "name: value\n" per name, names in lower case and
 * sorted, "name\n" where the request had no such field.  Empty: no Vary.
 */
#ifndef WEIR_POLICY_VARY_H
#define WEIR_POLICY_VARY_H

#include "base/arena.h"
#include "http/message.h"
#include "policy/options.h"

enum { VARIANT_HASH_BYTES = 16 };

/* False where Vary holds "*" in any position: the response matches no other request.
 * Under `shared` credential fields in Vary are passed over. A credential's value never stands in
 * the selection: its keyed place is the partition. */
bool policy_selection(const struct policy_options *o, const struct http_fields *response,
                      const struct http_fields *request, struct arena *a, struct slice *selection);
/* Does this request select the stored response?  Also false where the stored
 * Content-Encoding is not acceptable to the client (contract section 4). */
bool policy_selects(const struct policy_options *o, struct slice selection, const struct http_fields *request,
                    struct slice stored_content_encoding, struct arena *a);
/* The names of a selection with the values that this request has for them. */
struct slice policy_selection_again(const struct policy_options *o, struct slice selection,
                                    const struct http_fields *request, struct arena *a);
void         policy_variant_hash(struct slice selection, uint8_t out[VARIANT_HASH_BYTES]);

#endif
