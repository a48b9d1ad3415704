/*
 * Entity tags (RFC 9110 8.8.3): told apart, compared, and found in lists.
 * Pure; for validate.c and range.c.
 */
#ifndef WEIR_POLICY_ETAG_H
#define WEIR_POLICY_ETAG_H

#include "base/slice.h"

struct etag {
    struct slice opaque; /* with its quotes; ptr NULL: there is none */
    bool         weak;
};

/* One entity tag and nothing else; opaque.ptr NULL where it is malformed or `value` has ptr NULL.
 */
struct etag etag_parse(struct slice value);
/* 8.8.3.2; false where either is none */
bool etag_equal_weakly(struct etag a, struct etag b);
bool etag_equal_strongly(struct etag a, struct etag b);
/* Is `wanted` (weakly) among the comma-separated tags of `list`?  What is malformed matches
 * nothing; tags may hold commas and, unlike quoted strings, know no escape. */
bool etag_list_has(struct slice list, struct etag wanted);

#endif
