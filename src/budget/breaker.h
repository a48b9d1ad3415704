/*
 * Stops asking an upstream that is dead, and probes it with one request at a
 * time (contract section 5).  Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_BREAKER_H
#define WEIR_BUDGET_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker {                      /* all zero: closed */
    unsigned failures;                /* in a row */
    int64_t  open_until_ns;           /* monotonic; 0: closed */
    int64_t  pause_ns;                /* doubles from 1 s to 30 s while probes fail */
    bool     probing;
};

enum { BREAKER_FAILURES = 10 };       /* in a row, before it opens */

/* True: the request may go (it may be the probe).  False: *retry_in_ns says when the next probe is due. */
bool breaker_allows(struct breaker *, int64_t now_ns, int64_t *retry_in_ns);
void breaker_report(struct breaker *, bool ok, int64_t now_ns);

#endif
