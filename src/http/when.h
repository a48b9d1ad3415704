/*
 * When, as APIs say it: the one reader of Retry-After and of every reset field.
 *
 * RFC 9110 10.2.3 knows whole seconds and an HTTP date.  APIs send besides: fractions and exponents,
 * seconds, milli-, micro- and nanoseconds since 1970 (told apart by size), dates in UTC and with odd
 * spacing, ISO 8601, durations as Go prints them or as words, quotation marks, lists.  A moment is measured against
 * the API's own clock, which the caller brings.  Pure.
 */
#ifndef WEIR_HTTP_WHEN_H
#define WEIR_HTTP_WHEN_H

#include "base/slice.h"

struct http_when {
    bool    told;  /* it says when */
    bool    odd;   /* nobody can mean it: a negative time, or one beyond all measure */
    int64_t in_ns; /* from now, where told; 0: that moment has passed; INT64_MAX: beyond measure */
};

/* One value.  `unit_ns` is that of a bare number (NS_PER_SEC, NS_PER_MS), `api_ns` what the API's clock says now.
 * Empty, -1, NaN and what cannot be read say nothing, and that is no oddity. */
struct http_when http_when_read(struct slice value, int64_t unit_ns, int64_t api_ns);
/* The lines of a field joined, or a list: the longest of its members. */
struct http_when http_when_read_list(struct slice text, int64_t unit_ns, int64_t api_ns);
/* A date in any form: those of RFC 9110 5.6.7 with any spacing and case, in GMT or UTC or with an offset, and
 * ISO 8601 with or without seconds, fraction and offset (without one: UTC).  False, *out_ns untouched, for anything
 * else.  `now_s` places years of two digits. */
bool http_when_date(struct slice text, int64_t now_s, int64_t *out_ns);

#endif
