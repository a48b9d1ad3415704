/*
 * Fifty streams at a time under a limit in any unit, in simulated time: what an API that keeps the books sees in its
 * own window, and how much of the budget is made use of, with estimates that are off.
 */
#include "budget/ledger.h"

#include "base/arena.h"
#include "base/clock.h"

#include <math.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S NS_PER_SEC

enum { STREAMS = 50, BUDGET = 30000, WARM_MINUTES = 3, MINUTES = 20, BOOKED_MOST = 20000, STEP_MS = 50 };

struct row {
    const char *name;
    double      least, most; /* of charge by estimate */
    unsigned    from, to;    /* what is estimated */
    int64_t     shortest_ms, longest_ms;
    double      used; /* of the budget, at least */
};

struct stream {
    bool           is_open, wants;
    uint32_t       estimate, cost;
    int64_t        began_ns, ends_ns;
    struct receipt receipt;
};

struct books { /* of the API: it counts at the end of each stream */
    int64_t  at_ns[BOOKED_MOST];
    uint32_t cost[BOOKED_MOST];
    unsigned count;
    uint64_t total, most; /* most: in any minute; both since the estimates were learned */
};

struct simulation {
    const struct row    *row;
    struct limit_options limit;
    struct ledger       *ledger;
    struct estimate      estimate;
    struct charge        charge;
    struct stream        streams[STREAMS];
    struct books         books;
    uint64_t             random;
};

static double chance(struct simulation *s)
{
    s->random ^= s->random << 13;
    s->random ^= s->random >> 7;
    s->random ^= s->random << 17;
    return (double)(s->random >> 11) / (double)(UINT64_C(1) << 53);
}

static struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, ns };
}

static void book(struct books *b, int64_t now_ns, uint32_t cost)
{
    uint64_t minute = 0;

    assert_true(b->count < BOOKED_MOST);
    b->at_ns[b->count] = now_ns;
    b->cost[b->count++] = cost;
    if (now_ns < WARM_MINUTES * 60 * S)
        return;
    b->total += cost;
    for (unsigned i = b->count; i-- > 0 && b->at_ns[i] > now_ns - 60 * S;)
        minute += b->cost[i];
    if (minute > b->most)
        b->most = minute;
}

static void begin(struct simulation *s, struct stream *one, int64_t now_ns)
{
    const struct row    *row = s->row;
    struct http_response head = { .status = 200 };

    ledger_spend(s->ledger, &s->charge, at(now_ns), &one->receipt);
    ledger_settle(s->ledger, &s->charge, &one->receipt, &head, at(now_ns));
    one->is_open = true;
    one->ends_ns = now_ns +
                   (row->shortest_ms + (int64_t)(chance(s) * (double)(row->longest_ms - row->shortest_ms))) * NS_PER_MS;
}

static void end(struct simulation *s, struct stream *one, int64_t now_ns)
{
    struct estimate charge = { .limit = s->estimate.limit, .amount = one->cost };

    book(&s->books, now_ns, one->cost);
    s->estimate.amount = one->estimate;
    ledger_meter(s->ledger, &s->charge, &one->receipt, &charge, 1, at(now_ns));
    one->is_open = one->wants = false;
}

static void wish(struct simulation *s, struct stream *one)
{
    const struct row *row = s->row;

    one->wants = true;
    one->estimate = row->from + (uint32_t)(chance(s) * (row->to - row->from));
    one->cost = (uint32_t)(one->estimate * row->least * pow(row->most / row->least, chance(s)));
}

static void step(struct simulation *s, int64_t now_ns)
{
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *one = &s->streams[i];

        if (one->is_open && one->ends_ns <= now_ns)
            end(s, one, now_ns);
        if (one->is_open && ledger_hold_due_ns(s->ledger, &one->receipt, at(now_ns)) == 0)
            ledger_hold(s->ledger, &one->receipt, at(now_ns));
        if (!one->wants)
            wish(s, one);
    }
    for (unsigned i = 0; i < STREAMS; i++) {
        struct stream *one = &s->streams[(i + (uint64_t)(now_ns / S)) % STREAMS];

        if (one->is_open)
            continue;
        s->estimate.amount = one->estimate;
        if (ledger_wait_ns(s->ledger, &s->charge, at(now_ns), NULL) == 0)
            begin(s, one, now_ns);
    }
}

static struct simulation *run(const struct row *row)
{
    static const struct limit_term term = { TERM_JSON, 1.0, "/total" };
    struct simulation             *s = mem_alloc(sizeof *s);
    const char                    *bad;

    s->row = row;
    s->random = 88172645463325252ULL;
    assert_true(limit_parse(SLICE("30000/min"), &s->limit, &bad));
    s->limit.name = "tokens";
    s->limit.charges = &term;
    s->limit.charge_count = 1;
    s->limit.margin = 0.02;
    assert_true(limit_scale(&s->limit));
    s->ledger = ledger_new(&s->limit, 1);
    s->estimate.limit = ledger_limit_name("tokens");
    s->charge = (struct charge){ .method = HTTP_POST,
                                 .method_name = SLICE("POST"),
                                 .path = SLICE("/v1/chat"),
                                 .rule = 1,
                                 .estimates = &s->estimate,
                                 .estimate_count = 1 };
    for (int64_t now_ns = 0; now_ns < MINUTES * 60 * S; now_ns += STEP_MS * NS_PER_MS)
        step(s, now_ns);
    ledger_free(s->ledger);
    return s;
}

/* With a margin of 2 %: nine in ten estimates hold, and for the tenth there is that. */
static void test_fifty_streams_hold_the_budget(void **state)
{
    static const struct row rows[] = {
        { "estimates_too_large_by_up_to_three", 1.0 / 3, 1.0, 100, 1000, 100, 1000, 0.97 },
        { "estimates_too_small_by_up_to_three", 1.0, 3.0, 30, 300, 100, 1000, 0.97 },
        { "estimates_off_either_way", 1.0 / 3, 3.0, 30, 300, 100, 1000, 0.97 },
        /* What is reserved while a stream runs, and what it cost for a minute after its end, cannot be used twice. */
        { "streams_that_take_long", 1.0 / 3, 3.0, 30, 300, 1000, 10000, 0.8 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct simulation *s = run(&rows[i]);
        const double       used = (double)s->books.total / (BUDGET * (MINUTES - WARM_MINUTES));

        if (s->books.most > BUDGET || used < rows[i].used)
            fail_msg("%s: %llu in a minute, %.4f used", rows[i].name, (unsigned long long)s->books.most, used);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fifty_streams_hold_the_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
