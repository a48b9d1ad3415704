/*
 * Cache-Control of requests and responses as a set of flags and numbers
 * (RFC 9111 5.2, RFC 5861, RFC 8246), read from all its lines.  Pure.
 *
 * delta-seconds follow RFC 9111 1.2.2: too large means 2147483648; junk
 * makes the response directive stale (0), the request directive absent.
 * Of repeated max-age and the like the first counts (RFC 9111 4.2.1).
 */
#ifndef WEIR_HTTP_CACHE_CONTROL_H
#define WEIR_HTTP_CACHE_CONTROL_H

#include "http/fields.h"

enum {
    CC_NO_STORE = 1 << 0,
    CC_NO_CACHE = 1 << 1, /* without a field list */
    CC_PRIVATE = 1 << 2,  /* without a field list */
    CC_PUBLIC = 1 << 3,
    CC_MUST_REVALIDATE = 1 << 4, /* in a request: counts as no-cache */
    CC_PROXY_REVALIDATE = 1 << 5,
    CC_MUST_UNDERSTAND = 1 << 6,
    CC_IMMUTABLE = 1 << 7,
    CC_NO_TRANSFORM = 1 << 8,
    CC_ONLY_IF_CACHED = 1 << 9,
    CC_MAX_STALE_ANY = 1 << 10,   /* max-stale without a value */
    CC_NO_CACHE_FIELDS = 1 << 11, /* no-cache="..." : fields in no_cache_fields */
    CC_PRIVATE_FIELDS = 1 << 12,  /* private="..."  : fields in private_fields */
    CC_PRESENT = 1 << 13,         /* there was a Cache-Control (or targeted) field at all */
    CC_TARGETED = 1 << 14,        /* read from a targeted field: Expires is to be ignored
                                         * as Cache-Control was (RFC 9213 2.2) */
};

enum { CC_ABSENT = -1 };

struct cache_control {
    unsigned     flags;
    int64_t      max_age_s; /* CC_ABSENT or 0 to 2147483648, as the others */
    int64_t      s_maxage_s;
    int64_t      max_stale_s;
    int64_t      min_fresh_s;
    int64_t      stale_while_revalidate_s;
    int64_t      stale_if_error_s;
    struct slice no_cache_fields; /* inside of the quotes, or the bare token */
    struct slice private_fields;
};

/* Without any Cache-Control, `Pragma: no-cache` counts as no-cache (RFC 9111 5.4). */
struct cache_control cache_control_of_request(const struct http_fields *fields);
/* Targeted fields first (RFC 9213: Weir-Cache-Control, CDN-Cache-Control), as structured
 * fields; an invalid or empty one is passed over and Cache-Control is read. */
struct cache_control cache_control_of_response(const struct http_fields *fields);

/* True where the comma-separated `list` of field names holds `name`, any case. */
bool field_list_has(struct slice list, struct slice name);

#endif
