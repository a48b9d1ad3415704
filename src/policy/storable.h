/*
 * May a response be stored, and may others share it while it comes in
 * (RFC 9111 3)?  Pure; asked by the upstream thread as soon as the head is there.
 */
#ifndef WEIR_POLICY_STORABLE_H
#define WEIR_POLICY_STORABLE_H

#include "http/cache_control.h"
#include "http/message.h"
#include "policy/options.h"

enum storable {
    STORABLE_YES,
#define STORABLE(id, token) STORABLE_##id,
#include "policy/storable.def"
#undef STORABLE
    STORABLE_COUNT
};
/* The detail= token of Cache-Status; "" for STORABLE_YES. */
const char *storable_token(enum storable s);

struct storable_input {
    const struct http_request  *request;
    const struct http_response *response;
    bool                        has_credential; /* the request carries one, or Weir adds one */
    int64_t                     content_length; /* -1: unknown */
    int64_t                     now_wall_ns;
    /* the caller can keep a 206 (3.3): the answer to a single range */
    bool may_store_part;
};
enum storable policy_storable(const struct policy_options *o, const struct storable_input *in);
/*
 * May it also answer the requests that wait for the same (RFC 9111 4, "collapse requests")?
 * What is stored but not fresh, or only with the origin's consent each time,
 * answers the one that asked for it alone; under ttl = "revalidate" whoever
 * asked before it came has asked.
 */
bool policy_shareable(const struct policy_options *o, const struct storable_input *in);
/*
 * The head as it is kept: without hop-by-hop fields (3.1), Set-Cookie unless set_cookie = "store",
 * rate-limit fields, and those that a qualified no-cache or private names, unless
 * a duration takes the place of what the origin says.  Age stays, as the record's own:
 * policy_age_ns() reads it; a reply replaces it.
 */
struct http_fields policy_stored_fields(const struct policy_options *o, const struct http_response *r, struct arena *a);

#endif
