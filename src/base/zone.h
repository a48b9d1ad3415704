/*
 * Time zones by IANA name, read from the system's zoneinfo files (RFC 8536),
 * since libc knows only one zone a process.  Immutable once open, so that any
 * thread may ask; references are counted without a lock: one thread.
 */
#ifndef WEIR_BASE_ZONE_H
#define WEIR_BASE_ZONE_H

#include "base/slice.h"

#include <stdint.h>

struct zone;

/* NULL: no such zone, or its file is damaged.  "UTC" needs no file. */
struct zone *zone_open(const char *name);
const char  *zone_name(const struct zone *);
struct zone *zone_share(struct zone *); /* NULL is fine */
void         zone_close(struct zone *); /* NULL is fine */

/* "04:00", as minutes of the day; false for anything else. */
bool zone_time_of_day(struct slice text, unsigned *minute);

/* Seconds to add to UTC at this instant; *until (may be NULL): the next instant at which this may
 * change, INT64_MAX: never. */
int64_t zone_offset_s(const struct zone *, int64_t utc_s, int64_t *until);
/* The first instant at which clocks in the zone show `local_s` (seconds since 1970-01-01 as if local time
 * were UTC) or, where they leap over it, something later. */
int64_t zone_to_utc_s(const struct zone *, int64_t local_s);

#endif
