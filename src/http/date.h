/*
 * HTTP dates (RFC 9110 5.6.7): the three forms a recipient must read, the one
 * a sender writes.  Reading ignores case (RFC 9111 4.2), and nothing else.  Pure.
 */
#ifndef WEIR_HTTP_DATE_H
#define WEIR_HTTP_DATE_H

#include "base/slice.h"

enum { HTTP_DATE_BYTES = 30 }; /* "Sun, 06 Nov 1994 08:49:37 GMT" and a NUL */

/* Seconds since 1970-01-01 UTC.  `now_s` places the two-digit years of RFC 850 (5.6.7).
 * False, *out untouched, for any other form. */
bool http_date_parse(struct slice text, int64_t now_s, int64_t *out);
/* The same of a day and a time in UTC, month 1 to 12; false where there is no such day or time. */
bool http_date_seconds(int64_t year, int month, int day, int hour, int minute, int second, int64_t *out);
/* IMF-fixdate; years 1970 to 9999 (clamped). */
void http_date_format(int64_t seconds, char out[HTTP_DATE_BYTES]);

#endif
