/*
 * Limits out of their texts, requests that are charged to them, and answers: for the tests of ledgers.
 */
#ifndef WEIR_TEST_LEDGER_RIG_H
#define WEIR_TEST_LEDGER_RIG_H

#include "budget/ledger.h"

#include "base/clock.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define MS   NS_PER_MS
#define WALL (INT64_C(1700000000) * S)
enum { UNLIMITED = 1000 };

static const uint8_t ann[LEDGER_CREDENTIAL_BYTES] __attribute__((unused)) = "ann's credentia";
static const uint8_t bob[LEDGER_CREDENTIAL_BYTES] __attribute__((unused)) = "bob's credentia";

static inline struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, WALL + ns };
}

/* In these tests a pattern is a prefix. */
static inline bool prefix_matches(const void *pattern, struct slice path)
{
    return slice_starts_with(path, slice_of(pattern));
}

static inline struct limit_options parse(const char *text)
{
    struct limit_options o = { .name = text };
    const char          *bad;

    if (!limit_parse(slice_of(text), &o, &bad))
        fail_msg("%s: %s", text, bad);
    if (o.zone != NULL) {
        assert_string_equal(o.zone, "UTC");
        free((char *)(uintptr_t)o.zone);
        o.zone = "UTC";
    }
    return o;
}

static inline struct limit_options owned(const char *text)
{
    struct limit_options o = parse(text);

    o.per_credential = true;
    return o;
}

static inline struct limit_options matching(struct limit_options o, const char *prefix)
{
    o.match = prefix;
    o.pattern = (void *)(uintptr_t)prefix;
    return o;
}

static inline struct charge get(const char *path, const uint8_t *credential)
{
    return (struct charge){ .method = HTTP_GET,
                            .method_name = SLICE("GET"),
                            .path = slice_of(path),
                            .credential = credential };
}

static inline struct ledger *make(const struct limit_options *limits, unsigned count)
{
    struct ledger *l = ledger_new(limits, count);

    ledger_set_match(l, prefix_matches);
    return l;
}

/* True where it went. */
static inline bool spend(struct ledger *l, const struct charge *c, int64_t ns, struct receipt *r)
{
    if (ledger_wait_ns(l, c, at(ns), NULL) > 0)
        return false;
    ledger_spend(l, c, at(ns), r);
    return true;
}

static inline unsigned drain(struct ledger *l, const struct charge *c, int64_t ns)
{
    struct receipt r;
    unsigned       n = 0;

    while (n < UNLIMITED && spend(l, c, ns, &r)) {
        ledger_settle(l, c, &r, NULL, at(ns));
        n++;
    }
    return n;
}

/* An answer with "Name: value\n" lines to a request that is charged for it. */
static inline void answer(struct ledger *l, const struct charge *c, int64_t ns, unsigned status, const char *head)
{
    struct http_response response = { .status = status };
    struct arena         a = { 0 };
    struct slice         rest = slice_of(head);
    struct receipt       r;

    while (rest.len > 0) {
        size_t end = slice_find(rest, '\n', 0), colon = slice_find(rest, ':', 0);

        http_fields_add(&response.fields, &a, slice_sub(rest, 0, colon), slice_trim(slice_sub(rest, colon + 1, end)));
        rest = slice_sub(rest, end + 1, rest.len);
    }
    ledger_spend(l, c, at(ns), &r);
    ledger_settle(l, c, &r, &response, at(ns));
    assert_int_equal(r.count, 0);
    arena_free(&a);
}

static inline int64_t wait_of(struct ledger *l, const char *path, const uint8_t *credential, int64_t ns)
{
    struct charge c = get(path, credential);

    return ledger_wait_ns(l, &c, at(ns), NULL);
}

#define GITHUB(resource, limit, left, reset) \
    "X-RateLimit-Resource: " resource "\nX-RateLimit-Limit: " limit "\nX-RateLimit-Remaining: " left \
    "\nX-RateLimit-Reset: " reset "\n"

static inline struct ledger *make_github(void)
{
    static struct limit_options github[3];

    github[0] = owned("5000/h window learned");
    github[1] = owned("900/min");
    github[2] = matching(owned("30/min"), "/search/");
    return make(github, 3);
}

#endif
