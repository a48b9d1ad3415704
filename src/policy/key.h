/*
 * What makes two requests the same (RFC 9111 2, 4): whose they are, the
 * final upstream URL, and what the settings add.  Pure; any thread.
 *
 * The key's full text never holds a credential: the value of a
 * credential parameter is "*" (the partition covers it) or, under `shared`, its
 * keyed hash, and so is a credential header's among match_headers; the
 * partition is a keyed hash too.  It reads
 *
 *   <partition in hex, or "-"> SP <method> SP <scheme>://<authority><target>
 *   LF <name>: <value>      for each of match_headers; "LF <name>" where the request has none
 *   LF # <hash in hex>      of the body, under key_body
 *
 * with "GET" for HEAD too.  Ignored parameters and bust_param are left out
 * of the target wherever they stand; nothing else is reordered or decoded.
 */
#ifndef WEIR_POLICY_KEY_H
#define WEIR_POLICY_KEY_H

#include "base/arena.h"
#include "http/message.h"
#include "policy/options.h"

enum { KEY_HASH_BYTES = 16, KEY_SECRET_BYTES = 32, PARTITION_BYTES = 16 };

struct key_secret { uint8_t bytes[KEY_SECRET_BYTES]; };      /* from the state directory */

/* all zero: no credential, or shared */
struct partition { uint8_t bytes[PARTITION_BYTES]; };

struct cache_key {
    uint8_t      hash[KEY_HASH_BYTES];      /* of `full` (XXH3-128) */
    /* partition and URL without its query: for invalidation */
    uint8_t      path_tag[KEY_HASH_BYTES];
    struct slice full;                      /* compared on a hit; in the arena */
};

/* What the key is made from.  `target` is the upstream's: raw path and query, never decoded. */
struct key_input {
    struct slice               scheme, authority;   /* of the upstream's url, lower case */
    struct slice               target;
    const struct http_request *request;             /* for credential and match_headers */
    struct slice               body;                /* under key_body: whole; else ptr NULL */
    /* of an identity, or injected by Weir: the partition is this name; else ptr NULL */
    struct slice               credential_name;
    /* The header or parameter that the name stands for: other credentials of the request still
     * count beside it.  ptr NULL: the name stands for all. */
    struct slice               credential_field;
};

/* Keyed BLAKE2b over the credential headers and parameters that the request carries. */
struct partition policy_partition(const struct policy_options *o, const struct key_secret *secret,
                                  const struct key_input *in, struct arena *a);
/* Whose budget it is: the same whatever `shared` says, and, with an identity's name left out of
 * `in`, token by token. */
struct partition policy_account(const struct policy_options *o, const struct key_secret *secret,
                                const struct key_input *in, struct arena *a);
/* Calls `each` for every credential of the request, headers ('h') in the order of the setting, then
 * parameters ('p'); stops where it returns false.  The value of a parameter is raw. */
typedef bool (*policy_credential_each)(void *context, char kind, struct slice name,
                                       struct slice value);
void policy_each_credential(const struct policy_options *o, const struct key_input *in,
                            struct arena *a, policy_credential_each each, void *context);
/* True where the request carries any of the credential headers or parameters. */
bool policy_has_credential(const struct policy_options *o, const struct key_input *in,
                           struct arena *a);
struct cache_key policy_key(const struct policy_options *o, const struct key_secret *secret,
                            const struct key_input *in, const struct partition *p, struct arena *a);
/* The key's URL as it may be shown to a person ("https://host/path?q=1"): a slice of `full`. */
struct slice policy_key_url(struct slice full);
/* The target with the values of credential parameters replaced by "***", for logs. */
struct slice policy_redact_target(const struct policy_options *o, struct slice target,
                                  struct arena *a);

#endif
