/*
 * Who the caller is: the partition whose answers he may have, and the
 * account that a budget "per credential" is kept on.  Both are who he is, not the bytes
 * of this one request:
 *
 *  - a cookie of a load balancer, a CDN or a statistics service says nothing of it (ignore_cookies);
 *  - a signed request is whom it names, together with who asks on this machine (policy/signature.h);
 *  - the account is the explicit credential alone, where there is one; the partition is every
 *    credential and every cookie: where a key is the application's and a cookie the user's, two users are two.
 *
 * Pure; any thread.
 */
#ifndef WEIR_POLICY_CALLER_H
#define WEIR_POLICY_CALLER_H

#include "base/arena.h"
#include "http/message.h"
#include "policy/options.h"
#include "policy/signature.h"

enum { KEY_SECRET_BYTES = 32, PARTITION_BYTES = 16 };

struct key_secret {
    uint8_t bytes[KEY_SECRET_BYTES];
}; /* from the state directory */

/* all zero: no credential, or shared */
struct partition {
    uint8_t bytes[PARTITION_BYTES];
};

/* What a key is made from.  `target` is the upstream's: raw path and query, never decoded. */
struct key_input {
    struct slice               scheme, authority; /* of the upstream's url, lower case */
    struct slice               target;
    const struct http_request *request; /* for credential and match_headers */
    struct slice               body;    /* under key_body: whole; else ptr NULL */
    /* of an identity, or injected by Weir: the partition is this name; else ptr NULL */
    struct slice credential_name;
    /* The header or parameter that the name stands for: other credentials of the request still
     * count beside it.  ptr NULL: the name stands for all. */
    struct slice     credential_field;
    struct slice     credential_value; /* of that field; ptr NULL: all that it says */
    struct signature signature;
    struct slice     signer; /* of a signed request: who asks, "uid 1000" */
};

struct caller {
    struct partition partition; /* keyed BLAKE2b; all zero under `shared` */
    bool             has_credential;
    bool             is_explicit;     /* it is more than a cookie */
    bool             account_differs; /* from the partition: see policy_account() */
};
struct caller policy_caller(const struct policy_options *o, const struct key_secret *secret, const struct key_input *in,
                            struct arena *a);
struct partition policy_partition(const struct policy_options *o, const struct key_secret *secret,
                                  const struct key_input *in, struct arena *a);
/* Whose budget it is: the same whatever `shared` says, and, with an identity's name left out of
 * `in`, token by token. */
struct partition policy_account(const struct policy_options *o, const struct key_secret *secret,
                                const struct key_input *in, struct arena *a);

/* Calls `each` for every credential of the request, headers ('h') in the order of the setting, then
 * parameters ('p'); stops where it returns false.  The value of a parameter is raw; a Cookie
 * field is without what ignore_cookies names, and none where nothing is left of it. */
typedef bool (*policy_credential_each)(void *context, char kind, struct slice name, struct slice value);
void policy_each_credential(const struct policy_options *o, const struct key_input *in, struct arena *a,
                            policy_credential_each each, void *context);

/* For policy_options.cookie_firsts, which spares most names the look at the list. */
void policy_cookie_firsts(const char *const *patterns, uint64_t firsts[4]);
bool policy_cookie_is_ignored(const struct policy_options *o, struct slice name);
/* A Cookie field without the cookies that are ignored: itself where that is none of them; may be empty. */
struct slice policy_cookies_that_count(const struct policy_options *o, struct slice cookies, struct arena *a);

/* What a hash that stands in the open is made of: length and bytes in turn. */
bool policy_list_has(const char *const *list, struct slice name);
bool policy_list_has_nocase(const char *const *list, struct slice name);

#endif
