/*
 * What an API says about its budget, read from a response's head: `RateLimit`
 * and `RateLimit-Policy` (IETF draft, the old and the new form), the RateLimit-*,
 * X-RateLimit-* and X-Rate-Limit-* families, Retry-After.  Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_LEARNED_H
#define WEIR_BUDGET_LEARNED_H

#include "budget/limit.h"
#include "http/message.h"

struct learned_hint {                 /* one statement */
    struct slice resource;            /* as the API names it; "" where it does not */
    int64_t      allowed;             /* -1: it does not say; so the others */
    int64_t      remaining;
    int64_t      window_ns;
    int64_t      reset_in_ns;         /* from now */
    enum told_by by;
};
enum { LEARNED_MAX = 4 };

/* The statements of this head; 0 to LEARNED_MAX. Those with the smallest remaining come first.  A 401 says
 * nothing: it speaks of whoever the API took the caller for.  Names are in the arena or borrowed. */
unsigned learned_read(const struct http_response *, int64_t now_wall_ns, struct arena *,
                      struct learned_hint out[LEARNED_MAX]);
/* Nothing before this time has passed: Retry-After of a 429, 503 or 403 (GitHub's secondary limits); -1: it does not
 * say. */
int64_t learned_block_ns(const struct http_response *, int64_t now_wall_ns);
/* A limit that the head does not tell of may be told in the body: GitHub's secondary ones (403 or 429, neither
 * Retry-After nor an exhausted budget in the head).  `body` is its beginning; -1: it does not say so. */
bool learned_body_may_tell(const struct http_response *);
int64_t learned_body_block_ns(struct slice body);
/* Nanoseconds from 1970 as the API's Date has it; -1: none. */
int64_t learned_date_ns(const struct http_response *, int64_t now_wall_ns);

#endif
