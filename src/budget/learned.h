/*
 * What an API says about its budget, read from a response's head: `RateLimit`
 * and `RateLimit-Policy` (IETF draft, all its forms), the families of single fields that
 * http/limit_name.c knows, Retry-After.  Pure; upstream thread.
 */
#ifndef WEIR_BUDGET_LEARNED_H
#define WEIR_BUDGET_LEARNED_H

#include "budget/limit.h"
#include "http/limit_name.h"
#include "http/message.h"

struct learned_hint {      /* one statement */
    struct slice resource; /* as the API names it; "" where it does not */
    struct slice unit;     /* what is counted, where it is not requests */
    int64_t      allowed;  /* -1: it does not say; so the others */
    int64_t      remaining;
    int64_t      window_ns;
    int64_t      reset_in_ns; /* from now */
    bool         assumed;     /* no word of a reset: the end of the window at the latest */
    bool         odd;         /* its reset cannot be meant: see http/when.h */
    enum told_by by;
};
enum { LEARNED_MAX = 12 };

/* The statements of this head; 0 to LEARNED_MAX.  Those of requests come first, and of them those with the
 * smallest remaining.  A 401 says nothing: it speaks of whoever the API took the caller for; nor does an answer that is
 * not new.  Names are in the arena or borrowed.  `owns`: limit_field_read(). */
unsigned learned_read(const struct http_response *, const struct limit_owns *owns, int64_t now_wall_ns, struct arena *,
                      struct learned_hint out[LEARNED_MAX]);

/* It was in a cache on the way (Age, Cache-Status, X-Cache and their kin): what it says of the budget is past. */
bool learned_is_old(const struct http_response *);

struct learned_wait {
    int64_t wait_ns; /* nothing before this time has passed; -1: it does not say */
    bool    odd;     /* nobody can mean it */
};
/* Retry-After and its kin, whatever the status; all lines, the longest.  Never of an answer that is not new. */
struct learned_wait learned_wait(const struct http_response *, int64_t now_wall_ns);
/* A status that speaks of the budget (429, 403 as GitHub's secondary limits, 418 as Binance's bans, 420, 430), and
 * one that speaks of the API's health (5xx). */
bool learned_is_refusal(unsigned status);
bool learned_is_illness(unsigned status);

/* A limit that the head does not tell of may be told in the body: GitHub's secondary ones (403 or 429, neither
 * Retry-After nor an exhausted budget in the head).  `body` is its beginning; -1: it does not say so. */
bool    learned_body_may_tell(const struct http_response *, const struct limit_owns *);
int64_t learned_body_block_ns(struct slice body);
/* Nanoseconds from 1970 as the API's Date has it; -1: none, or that of an answer that is not new. */
int64_t learned_date_ns(const struct http_response *, int64_t now_wall_ns);

#endif
