/*
 * What the configuration says about caching, for one upstream or one rule of
 * it: plain values, filled by config/ (a rule's unset settings are its
 * upstream's).  Immutable while a configuration lives; any thread.
 */
#ifndef WEIR_POLICY_OPTIONS_H
#define WEIR_POLICY_OPTIONS_H

#include "base/slice.h"
#include "base/zone.h"
#include "http/limit_name.h"

enum ttl_kind {
    TTL_ORIGIN,      /* RFC 9111 alone */
    TTL_ORIGIN_ELSE, /* RFC 9111, or `ns` where the origin says nothing */
    TTL_ORIGIN_ELSE_UNTIL,
    TTL_FIXED, /* `ns`, whatever the origin says */
    TTL_UNTIL, /* clocks in `zone` next show `minute` */
    TTL_FOREVER,
    TTL_NEVER,     /* not stored */
    TTL_REVALIDATE /* stored, asked each time */
};

struct policy_ttl { /* two words: it is returned for every hit */
    enum ttl_kind kind;
    unsigned      minute; /* of the day: ..._UNTIL */
    union {
        int64_t            ns;
        const struct zone *zone; /* of the configuration */
    };
};

struct policy_status_ttl {         /* one entry of `status`: "404 1m", "5xx never" */
    unsigned          first, last; /* inclusive */
    struct policy_ttl ttl;
};

/* A hit late in an answer's life has it asked about again (`prefetch`). */
struct policy_prefetch {
    double   last;  /* that part of its life is late; not above 0: none is */
    unsigned hits;  /* it must have been one so often */
    double   share; /* of every limit, that may be spent on it */
};

enum set_cookie_policy {
    SET_COOKIE_DEFAULT, /* strip under a duration, refuse otherwise */
    SET_COOKIE_REFUSE,
    SET_COOKIE_STRIP,
    SET_COOKIE_STORE
};
enum validate_kind { VALIDATE_NONE, VALIDATE_JSON };
enum invalidate_kind { INVALIDATE_PATH, INVALIDATE_URI, INVALIDATE_OFF };

enum { POLICY_UNSET = -1 };

struct policy_options {
    /* rule's pattern; "" for the upstream itself */
    const char                     *label;
    struct policy_ttl               ttl;
    const struct policy_status_ttl *status;
    unsigned                        status_count;
    bool                            shared; /* partition = "shared" */
    bool                            key_body;
    bool                            sort_params; /* in the key */
    bool                            alone;       /* share = false: nobody joins another's request */
    enum set_cookie_policy          set_cookie;
    enum validate_kind              validate;
    enum invalidate_kind            invalidate;
    struct policy_prefetch          prefetch;
    double                          heuristic;                 /* 0.0 to 1.0, RFC 9111 4.2.2 */
    int64_t                         stale_if_error_ns;         /* POLICY_UNSET: the origin's */
    int64_t                         stale_while_revalidate_ns; /* POLICY_UNSET: the origin's */
    int64_t                         max_object_bytes;          /* largest body kept */
    const char *const              *credential_headers;        /* lists end with NULL */
    const char *const              *credential_params;
    const char *const              *ignore_cookies; /* "*" stands for any characters */
    /* bit set of what these begin with: policy_cookie_firsts(); all zero: not known */
    uint64_t                 cookie_firsts[4];
    const char *const       *ignore_params;
    const char *const       *match_headers;
    const char *const       *ignore_body; /* JSON pointers: no part of what key_body adds */
    const char              *complete;    /* of an event stream: the line that says that it is whole; NULL: none */
    const char *const       *tags;        /* of what is stored under the rule: policy/label.h */
    const char              *bust_param;  /* NULL: none */
    const struct limit_owns *own_limits;  /* fields of which nothing is stored, beside the families; NULL: none */
};

#endif
