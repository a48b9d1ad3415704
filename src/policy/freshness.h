/*
 * How old a response is and for how long it is fresh (RFC 9111 4.2).  Pure.
 */
#ifndef WEIR_POLICY_FRESHNESS_H
#define WEIR_POLICY_FRESHNESS_H

#include "http/cache_control.h"
#include "http/message.h"
#include "policy/options.h"

/* A stored response as the policy sees it; all borrowed. */
struct stored_response {
    /* with the Age it came with, if any: the times below are the clock's */
    struct http_response head;
    int64_t              requested_wall_ns; /* when its request was sent (4.2.3 request_time) */
    int64_t              received_wall_ns;  /* when its head came (4.2.3 response_time) */
    int64_t              set_back_ns;       /* the clock was set back by so much since then: it is older by that */
    int64_t              body_bytes;
    bool                 invalidated;    /* kept only for validation */
    bool                 had_credential; /* its request carried a credential (3.5) */
};

/*
 * 4.2.3, in nanoseconds, never negative.  corrected_age_value is the initial
 * age; the more conservative max(apparent_age, ...) is taken where Via shows
 * an HTTP/1.0 hop, which may not have said its Age: an origin whose clock is
 * merely slow does not make every answer stale.
 */
int64_t policy_age_ns(const struct stored_response *r, int64_t now_wall_ns);
/* How long it has been kept here: what a rule's ttl is measured against. */
int64_t policy_kept_ns(const struct stored_response *r, int64_t now_wall_ns);

/* With a credential under partition = "credential" Weir is a private cache, else a shared one. */
static inline bool policy_acts_shared(const struct policy_options *o, bool has_credential)
{
    return o->shared || !has_credential;
}

/*
 * The ttl that counts for a status (contract section 3): the first entry of
 * `status` that has it, else the rule's own, of which a duration covers 200
 * (and 206, a part of it), 203, 300, 301 and 308: others are TTL_ORIGIN then.
 * `ttl_override_ns` (Weir-TTL) takes the place of either, but of "never".
 */
struct policy_ttl  policy_ttl_for(const struct policy_options *o, unsigned status, int64_t ttl_override_ns);
static inline bool policy_ttl_is_duration(struct policy_ttl t)
{
    return t.kind >= TTL_FIXED && t.kind <= TTL_FOREVER;
}
/* How long it is for what is received at that time: of a kind that is for a time. */
int64_t policy_ttl_ns(struct policy_ttl t, int64_t received_wall_ns);

/* RFC 9110 15.1: may it be stored without any explicit freshness? */
bool policy_status_is_heuristic(unsigned status);

enum lifetime_source {
    LIFETIME_RULE,
    LIFETIME_S_MAXAGE,
    LIFETIME_MAX_AGE,
    LIFETIME_EXPIRES,
    LIFETIME_HEURISTIC,
    LIFETIME_ELSE,
    LIFETIME_NONE
};
struct lifetime {
    int64_t ns; /* INT64_MAX: forever; 0: never fresh */
    /* of RULE and ELSE it is measured against policy_kept_ns(), else policy_age_ns() */
    enum lifetime_source source;
    /* the origin forbids stale use: 4.2.4 (must-revalidate, no-cache, s-maxage when shared...) */
    bool explicit_stale;
    bool always_validate; /* no-cache, ttl = "revalidate" */
};
/* 4.2.1 and 4.2.2 under the rule's ttl; `cc` is the response's cache_control_of_response();
 * `ttl_override_ns` (Weir-TTL) POLICY_UNSET where there is none. */
struct lifetime policy_lifetime(const struct policy_options *o, const struct stored_response *r,
                                const struct cache_control *cc, int64_t ttl_override_ns);
/* Freshness left; negative: stale for so long; INT64_MAX: forever.  What was received later than now is stale: the
 * clock was set back, and its true age is not known. */
int64_t policy_ttl_left_ns(const struct stored_response *r, const struct lifetime *l, int64_t now_wall_ns);

#endif
