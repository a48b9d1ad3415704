/*
 * Durations as the configuration and the Weir- request headers write them
 * (contract section 3).  Pure.
 */
#ifndef WEIR_HTTP_DURATION_H
#define WEIR_HTTP_DURATION_H

#include "base/slice.h"

/*
 * "500ms" "30s" "5m" "12h" "30d" "forever" (INT64_MAX): digits and one unit,
 * no sign, space or fraction.  What would not fit in nanoseconds is refused.
 * False, *ns untouched, for anything else.
 */
bool http_duration_parse(struct slice text, int64_t *ns);

#endif
