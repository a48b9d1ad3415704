/*
 * What makes two requests the same (RFC 9111 2, 4): whose they are (policy/caller.h), the
 * final upstream URL, and what the settings add.  Pure; any thread.
 *
 * The key's full text never holds a credential: the value of a
 * credential parameter is "*" (the partition covers it) or, under `shared`, its
 * keyed hash, and so is a credential header's among match_headers; the
 * partition is a keyed hash too.  It reads
 *
 *   <partition in hex, or "-"> SP <method> SP <scheme>://<authority><target>
 *   LF <name>: <value>      for each of match_headers; "LF <name>" where the request has none
 *   LF # <hash in hex>      of the body, under key_body and of a QUERY (RFC 10008 2.7), without ignore_body
 *
 * with "GET" for HEAD too.  Ignored parameters, bust_param and the parameters of a signature are left
 * out of the target wherever they stand; under sort_params the others stand by their names, decoded, in ascending
 * order, those of one name as they came.  Nothing else is reordered or decoded.
 */
#ifndef WEIR_POLICY_KEY_H
#define WEIR_POLICY_KEY_H

#include "policy/caller.h"

enum { KEY_HASH_BYTES = 16 };

struct cache_key {
    uint8_t hash[KEY_HASH_BYTES]; /* of `full` (XXH3-128) */
    /* partition and URL without its query: for invalidation */
    uint8_t      path_tag[KEY_HASH_BYTES];
    struct slice full; /* compared on a hit; in the arena */
};

struct cache_key policy_key(const struct policy_options *o, const struct key_secret *secret, const struct key_input *in,
                            const struct partition *p, struct arena *a);
/* What cache_key.path_tag is for that partition and key's URL, whose query does not count. */
void policy_path_tag(const struct partition *p, struct slice url, uint8_t out[KEY_HASH_BYTES]);
/* The key's URL as it may be shown to a person ("https://host/path?q=1"): a slice of `full`. */
struct slice policy_key_url(struct slice full);
/* Its scheme and authority, as they stand there: another slice of it. */
struct slice policy_key_origin(struct slice full);
/* Does what match_headers put into it hold for a request with these fields?  Of credentials, which are hashes there, it
 * is not asked. */
bool policy_key_selects(const struct policy_options *o, struct slice full, const struct http_fields *request,
                        struct arena *a);
/* The target without the parameters that are credentials or sign: what who brings none would ask for. */
struct slice policy_bare_target(const struct policy_options *o, const struct key_input *in, struct arena *a);
/* The target with the values of credential parameters replaced by "***", for logs. */
struct slice policy_redact_target(const struct policy_options *o, struct slice target, struct arena *a);

#endif
