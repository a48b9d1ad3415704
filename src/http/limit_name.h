/*
 * Names of fields in which an API speaks of its limits, taken to pieces: one table of
 * families (how a name begins) and one of words (what each part of the rest means).  Pure.
 *
 * X-RateLimit-Remaining-Tokens-Minute: family X-RateLimit, remaining, of the unit "Tokens", in a minute.
 */
#ifndef WEIR_HTTP_LIMIT_NAME_H
#define WEIR_HTTP_LIMIT_NAME_H

#include "http/fields.h"

enum limit_part {
    LIMIT_PART_OTHER,      /* of a family, but nothing that Weir reads */
    LIMIT_PART_STRUCTURED, /* RateLimit itself */
    LIMIT_PART_POLICY,     /* RateLimit-Policy */
    LIMIT_PART_LIMIT,
    LIMIT_PART_REMAINING,
    LIMIT_PART_USED,
    LIMIT_PART_RATIO, /* "32/40": used of all */
    LIMIT_PART_RESET,
    LIMIT_PART_RESET_AFTER,
    LIMIT_PART_WINDOW, /* how long a window is */
    LIMIT_PART_RESOURCE,
    LIMIT_PART_BUCKET,
    LIMIT_PART_SCOPE,
    LIMIT_PART_GLOBAL,
    LIMIT_PART_WAIT, /* Retry-After and its kin */
    LIMIT_PARTS
};

enum limit_family {
    LIMIT_FAMILY_RETRY_AFTER,
    LIMIT_FAMILY_RATELIMIT,
    LIMIT_FAMILY_X_RATELIMIT,
    LIMIT_FAMILY_X_RATE_LIMIT,
    LIMIT_FAMILY_READ,
    LIMIT_FAMILY_ANTHROPIC,
    LIMIT_FAMILY_HUBSPOT,
    LIMIT_FAMILY_AZURE,
    LIMIT_FAMILY_SHOPIFY,
    LIMIT_FAMILY_X,
    LIMIT_FAMILY_OWN, /* of a name that the configuration states: its unit is the limit that it is of */
    LIMIT_FAMILIES
};

struct limit_name {
    enum limit_family family;
    enum limit_part   part;
    struct slice      unit;     /* what is counted where it is not requests: "Tokens", "input-tokens"; borrowed */
    int64_t           window_s; /* of which length the window is; 0: the name does not say */
    bool              in_ms;    /* its numbers are milliseconds */
};

/* Fields of no family: `learn` of an upstream. */
struct limit_own {
    const char *limit;     /* NULL: requests */
    const char *remaining; /* the field that has it */
    const char *reset;     /* NULL: none has */
};
struct limit_owns {
    const struct limit_own *items;
    unsigned                count;
};

/* False for what is no such name. */
bool limit_name_read(struct slice name, struct limit_name *out);
bool limit_own_read(const struct limit_owns *, struct slice name, struct limit_name *out);

/* The own names go before the families.  `owns` is NULL for none. */
static inline bool limit_field_read(const struct limit_owns *owns, struct slice name, struct limit_name *out)
{
    return (owns != NULL && limit_own_read(owns, name, out)) ||
           (http_may_tell_a_limit(name) && limit_name_read(name, out));
}
/* "X-RateLimit-Remaining", "RateLimit-Policy" and their like, in any spelling; not Retry-After. */
bool limit_name_is_of_field(const struct limit_owns *owns, const struct http_field *field);

#endif
