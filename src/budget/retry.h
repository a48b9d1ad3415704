/*
 * Whether a failed attempt is tried again, and when (contract section 5).
 * Pure: chance and time are arguments.  Upstream thread.
 */
#ifndef WEIR_BUDGET_RETRY_H
#define WEIR_BUDGET_RETRY_H

#include "budget/options.h"
#include "http/attempt.h"
#include "http/message.h"

struct retry_question {
    enum attempt_outcome outcome;
    unsigned             status;        /* of ATTEMPT_STATUS */
    unsigned             attempts_made; /* this one included */
    enum http_method     method;
    bool                 idempotency_key; /* the request carries one */
    bool                 body_kept;       /* the request has no body, or all of it can be sent again */
    bool                 client_saw_byte;
    int64_t              told_ns;      /* by Retry-After: from now; -1: it says nothing */
    int64_t              wait_left_ns; /* of queue.max_wait, or of the client's */
    int64_t              bears_ns;     /* of who waits for as long as the API says 429: a batch; 0: nobody does */
    double               chance;       /* 0.0 to 1.0: the jitter */
    bool                 share_left;   /* retry.share is not used up */
};
struct retry_answer {
    bool    again;
    int64_t after_ns; /* from now */
};
/* RFC 9110 9.2.2 (idempotent methods), 10.2.3 (Retry-After); exponential with full jitter above half. */
struct retry_answer retry_decide(const struct retry_options *o, const struct retry_question *q);
bool                retry_status_listed(const struct retry_options *o, unsigned status);

#endif
