/*
 * Stops asking an upstream that is dead, and probes it with one request at a
 * time (contract section 5).  Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_BREAKER_H
#define WEIR_BUDGET_BREAKER_H

#include <stdbool.h>
#include <stdint.h>

struct breaker {            /* all zero: closed */
    unsigned failures;      /* in a row */
    int64_t  open_until_ns; /* monotonic; 0: closed */
    int64_t  pause_ns;      /* doubles from 1 s to 30 s while probes fail */
    bool     probing;
};

enum { BREAKER_FAILURES = 10 }; /* in a row, before it opens */

/* True: the request may go (it may be the probe).  False: *retry_in_ns says when the next probe is due. */
bool breaker_allows(struct breaker *, int64_t now_ns, int64_t *retry_in_ns);
void breaker_report(struct breaker *, bool ok, int64_t now_ns);

/*
 * A 5xx with Retry-After: the API asks for a pause, and one answer may be wrong about all of it.  So
 * one request goes as a probe after a short pause already, and what it finds lifts the pause or lengthens the
 * next one.  Only as long as no probe has shown that it is ill, others wait for what the probe finds.
 */
struct hold {         /* all zero: none */
    int64_t until_ns; /* monotonic; the API's own word */
    int64_t heard_ns; /* an answer to what was sent before that shows nothing */
    int64_t heard_wall_ns;
    int64_t probe_ns;     /* when the next probe may go */
    int64_t pause_ns;     /* doubles from 1 s to 30 s while probes fail */
    bool    is_confirmed; /* a probe has failed */
};

/* The API said so in a 5xx to a request of `sent_ns`. */
void hold_hear(struct hold *, int64_t for_ns, int64_t sent_ns, int64_t now_ns, int64_t now_wall_ns);
/* 0: a request may go; it is the probe where something holds, and hold_send() says that it went. */
int64_t hold_wait_ns(const struct hold *, int64_t now_ns);
void    hold_send(struct hold *, int64_t now_ns);
/* What somebody who comes now should reckon with: the probe, or, where one has failed, all of it. */
int64_t hold_predict_ns(const struct hold *, int64_t now_ns);
/* Another answer than a 5xx with Retry-After. True: it shows that the API is well, and lifts the hold. */
bool hold_answered(struct hold *, bool well, int64_t sent_ns, int64_t now_ns);

#endif
