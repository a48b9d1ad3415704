/*
 * A limit out of its text, and what the tests of limits do with one.
 */
#ifndef WEIR_TEST_LIMIT_RIG_H
#define WEIR_TEST_LIMIT_RIG_H

#include "budget/limit.h"

#include "base/clock.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S   NS_PER_SEC
#define MS  NS_PER_MS
#define DAY (86400 * S)

static inline struct limit *make(const char *text)
{
    struct limit_options o = { .name = text };
    const char          *bad;
    struct limit        *l;

    if (!limit_parse(slice_of(text), &o, &bad))
        fail_msg("%s: %s", text, bad);
    l = limit_new(&o);
    free((char *)(uintptr_t)o.zone);
    return l;
}

static inline struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, INT64_C(1700000000) * S + ns };
}

static inline void learn(struct limit *l, int64_t remaining, int64_t allowed, int64_t reset_in_ns,
                         struct budget_now now)
{
    limit_learn(l, &(struct limit_word){ remaining, allowed, reset_in_ns, 0, TOLD_BY_X_RATELIMIT }, now);
}

/* How many of cost 1 go at this moment. */
static inline unsigned drain(struct limit *l, struct budget_now now)
{
    unsigned n = 0;

    while (n < 100000 && limit_wait_ns(l, 1, now) == 0) {
        limit_spend(l, 1, now);
        n++;
    }
    return n;
}

#endif
