/*
 * What an answer says that it cost (limits in any unit), read as its body passes: decoded where it has a coding,
 * JSON or a stream of events.  Holds nothing of the body.  Upstream thread.
 */
#ifndef WEIR_UPSTREAM_METERING_H
#define WEIR_UPSTREAM_METERING_H

#include "budget/ledger.h"
#include "upstream/options.h"

struct metering;

/* Both are borrowed. */
struct metering *metering_open(const struct upstream_options *, const struct http_response *head);
void             metering_close(struct metering *); /* NULL is fine */
void             metering_feed(struct metering *, const char *bytes, size_t count);
/* The body was whole: the charges that were found; how many. */
unsigned metering_end(struct metering *, struct estimate out[LEDGER_MAX_LIMITS]);

#endif
