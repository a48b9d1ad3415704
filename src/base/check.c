/*
 * The end of the road for a CHECK() that did not hold.
 */
#include "base/check.h"

#include "base/log.h"

#include <stdlib.h>

void check_failed(const char *expression, const char *file, int line)
{
    log_error("check_failed", "place=%s:%d expression=%s", file, line, log_quote(expression));
    abort();
}
