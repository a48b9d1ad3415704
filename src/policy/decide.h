/*
 * The decision of a look-up: serve what is stored, ask the origin whether it
 * still holds, fetch anew, or refuse (RFC 9111 4, 4.2.4, 4.3, 5.2.1).  Pure.
 */
#ifndef WEIR_POLICY_DECIDE_H
#define WEIR_POLICY_DECIDE_H

#include "policy/freshness.h"

enum verdict {
    /* fresh (or stale as the client allows): no request goes out */
    VERDICT_SERVE,
    VERDICT_SERVE_AND_REFRESH, /* stale-while-revalidate: serve, one refresh after it */
    /* ask with the stored validators; a fetch where it has none */
    VERDICT_REVALIDATE,
    VERDICT_FETCH,      /* nothing usable is stored */
    VERDICT_BYPASS,     /* never looked up and never stored: method, rule */
    VERDICT_UNAVAILABLE /* only-if-cached, and nothing fresh enough: 504 */
};

/* Cache-Status fwd= values (RFC 9211 2.2). */
enum forward_reason {
    FWD_NONE,
    FWD_BYPASS,
    FWD_METHOD,
    FWD_URI_MISS,
    FWD_VARY_MISS,
    FWD_MISS,
    FWD_REQUEST,
    FWD_STALE,
    FWD_PARTIAL
};
const char *forward_reason_token(enum forward_reason r); /* "uri-miss" ... */

enum dry_wish { /* Weir-Dry-Run */
                DRY_NOT,
                DRY_ALL,
                DRY_WRITES, /* safe methods are sent */
                DRY_SHOW    /* nothing is; the answer is the request as it would leave */
};

/* What the request itself asks for, read once. */
struct request_wish {
    struct cache_control cc;
    bool                 pragma_no_cache;            /* counts only without Cache-Control (RFC 9111 5.4) */
    int64_t              ttl_override_ns;            /* Weir-TTL; POLICY_UNSET */
    bool                 refresh_soft, refresh_hard; /* Weir-Refresh */
    /* Weir-Max-Wait, Weir-Timeout; POLICY_UNSET */
    int64_t       max_wait_ns, timeout_ns;
    bool          batch; /* Weir-Priority: batch */
    bool          interactive;
    enum dry_wish dry;
    bool          async;  /* Weir-Async: 1 */
    struct slice  client; /* Weir-Client; ptr NULL */
};
struct bad_wish { /* borrowed of the request; `wanted` is static */
    struct slice name, value;
    const char  *wanted; /* what would be right, a part of a sentence */
};
/* False where a "Weir-" field is not known or does not parse, for a 400: who asks for what this Weir cannot do must not
 * get something else instead. */
bool policy_wish(const struct http_request *r, struct request_wish *out, struct bad_wish *bad);

enum refresh {
    REFRESH_NONE,
    REFRESH_STALE, /* VERDICT_SERVE_AND_REFRESH */
    REFRESH_EARLY  /* VERDICT_SERVE, late in its life: prefetch */
};

struct decision {
    enum verdict        verdict;
    enum forward_reason forward;
    enum refresh        refresh; /* after it is served */
    /* freshness left; negative: stale for so long; INT64_MAX: forever */
    int64_t ttl_ns;
    /* for the Age field (RFC 9111 4.2.3), whatever the ttl is measured against */
    int64_t age_ns;
    /* how long past freshness an error may be covered; 0: never */
    int64_t stale_if_error_ns;
    /* may only share an upstream answer that was not yet asked for */
    bool must_be_new;
    bool may_store; /* the request does not forbid storing */
    /* token of decide.def for Cache-Status detail=; "" for none */
    const char *detail;
};

/* `stored` NULL: nothing selected; `other_variant`: something was stored under the key, not for
 * this request. */
struct decision policy_decide(const struct policy_options *o, const struct http_request *request,
                              const struct request_wish *wish, const struct stored_response *stored, bool other_variant,
                              int64_t now_wall_ns);
/* In how long a hit like that would be late in the life of what is stored: 0 by now, INT64_MAX never. */
int64_t policy_early_in_ns(const struct policy_options *o, const struct http_request *request,
                           const struct request_wish *wish, const struct stored_response *stored, int64_t now_wall_ns);
/* After an upstream failure (or status 500, 502, 503, 504, or a refused budget): may the stale one
 * be served (RFC 5861 4, RFC 9111 4.2.4)? */
bool policy_stale_if_error(const struct policy_options *o, const struct request_wish *wish,
                           const struct stored_response *stored, int64_t now_wall_ns);
/* To spare the budget: may it be served though it is stale, up to so long past its lifetime (RFC 9111 4.2.4)? */
bool policy_stale_to_spare(const struct policy_options *o, const struct request_wish *wish,
                           const struct stored_response *stored, int64_t window_ns, int64_t now_wall_ns);

#endif
