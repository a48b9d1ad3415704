/*
 * What a turn costs where thousands of credentials wait at one upstream: how many are asked whether they may go, and
 * how many are looked at to find out who is first.  Counted, not timed: it is as many for ten as for ten thousand.
 * (Where entries of one credential come of several processes, each turn looks at those of which it was the first.)
 */
#include "budget/ledger.h"
#include "budget/queue.h"

#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define MS   NS_PER_MS
#define WALL (INT64_C(1700000017) * S)

enum { EACH = 2, ASKS_MOST = 4, LOOKS_MOST = 16, MANY = 8000 };

enum clients { ONE_CONNECTION, ONE_PROCESS, MANY_PROCESSES, MANY_USERS };

struct job {
    struct queue_entry entry;
    struct charge      charge;
    uint8_t            credential[LEDGER_CREDENTIAL_BYTES];
};

struct site {
    struct ledger *ledger;
    struct queue  *queue;
    struct job    *jobs;
    int64_t        now_ns;
    unsigned       count, sent;
    bool           has_places;
};

static struct budget_now now(const struct site *s)
{
    return (struct budget_now){ s->now_ns, WALL + s->now_ns };
}

static int64_t may_go(void *context, struct queue_entry *e, bool overtaken)
{
    struct site *s = context;
    struct job  *j = (struct job *)e;
    int64_t      wait_ns;

    if (!s->has_places) {
        e->held = QUEUE_HELD_BY_SHARED;
        return INT64_MAX;
    }
    wait_ns = ledger_ask_ns(s->ledger, &j->charge, now(s), overtaken, &e->held);
    if (wait_ns > 0)
        e->class = ledger_class(s->ledger, &j->charge);
    return wait_ns;
}

static void open_site(struct site *s, const struct limit_options *limits, unsigned count, unsigned credentials,
                      unsigned each, enum clients clients)
{
    *s = (struct site){ .ledger = ledger_new(limits, count),
                        .queue = queue_new(),
                        .count = credentials * each,
                        .now_ns = S,
                        .has_places = true };
    s->jobs = calloc(s->count, sizeof *s->jobs);
    for (unsigned i = 0; i < s->count; i++) {
        struct job *j = &s->jobs[i];
        unsigned    credential = i % credentials, party = i % (s->count / EACH);

        memcpy(j->credential, &credential, sizeof credential);
        j->credential[15] = 1;
        j->charge = (struct charge){ .method = HTTP_GET,
                                     .method_name = SLICE("GET"),
                                     .path = SLICE("/"),
                                     .credential = j->credential };
        j->entry.class = ledger_class(s->ledger, &j->charge);
        j->entry.arrived_ns = s->now_ns + i;
        j->entry.who = (struct queue_who){ { clients == MANY_USERS ? party % 100 : 1, 1,
                                             clients == MANY_PROCESSES ? party % 300 : 1,
                                             clients == ONE_CONNECTION ? 1 : i } };
        queue_put(s->queue, &j->entry);
    }
}

static void close_site(struct site *s)
{
    queue_free(s->queue);
    ledger_free(s->ledger);
    free(s->jobs);
}

/* Each that goes is answered at once: what came back is asked for, and a place is free. */
static void answer(struct site *s, struct job *j)
{
    struct receipt       receipt;
    struct http_response ok = { .status = 200 };
    struct queue_class class, place = { 0 };

    ledger_spend(s->ledger, &j->charge, now(s), &receipt);
    ledger_settle(s->ledger, &j->charge, &receipt, &ok, now(s));
    class = ledger_owned_class(s->ledger, j->credential);
    queue_reconsider(s->queue, &class);
    queue_reconsider(s->queue, &place);
    s->sent++;
}

static void send(struct site *s, unsigned count)
{
    int64_t wake_ns = 0;

    for (unsigned until = s->sent + count; s->sent < until && queue_length(s->queue) > 0;) {
        struct queue_entry *e = queue_take(s->queue, s->now_ns, may_go, s, &wake_ns);

        if (e != NULL)
            answer(s, (struct job *)e);
        else
            s->now_ns += wake_ns;
        assert_true(e != NULL || (wake_ns > 0 && wake_ns < INT64_MAX));
    }
}

static void check(const struct limit_options *limits, unsigned count, unsigned each, const char *what)
{
    static const unsigned credentials[] = { 1, 10, 300, MANY };

    for (unsigned i = 0; i < 4; i++)
        for (enum clients clients = ONE_CONNECTION; clients <= MANY_USERS; clients++) {
            unsigned            most = each > 0 ? each : MANY / credentials[i];
            struct site         s;
            struct queue_effort effort;

            open_site(&s, limits, count, credentials[i], most, clients);
            effort = queue_effort(s.queue);
            send(&s, s.count);
            effort.asks = queue_effort(s.queue).asks - effort.asks;
            effort.looks = queue_effort(s.queue).looks - effort.looks;
            if (s.sent != s.count || effort.asks > (uint64_t)ASKS_MOST * s.sent ||
                effort.looks > (uint64_t)LOOKS_MOST * s.sent)
                fail_msg("%s, %u credentials, clients %d: %llu asked and %llu looked at for %u sent of %u", what,
                         credentials[i], (int)clients, (unsigned long long)effort.asks,
                         (unsigned long long)effort.looks, s.sent, s.count);
            close_site(&s);
        }
}

static const struct limit_options
    shared = { .name = "all", .kind = LIMIT_BUCKET, .count = 1000, .window_ns = S, .burst = 1 },
    own = { .name = "own", .kind = LIMIT_BUCKET, .count = 6, .window_ns = 60 * S, .burst = 1, .per_credential = true };

static void test_a_shared_limit_is_asked_once(void **state)
{
    (void)state;
    check(&shared, 1, 0, "shared");
}

static void test_own_limits_are_asked_when_they_are_due(void **state)
{
    (void)state;
    check(&own, 1, EACH, "own");
}

static void test_both(void **state)
{
    struct limit_options limits[] = { shared, own };

    (void)state;
    check(limits, 2, EACH, "both");
}

/* No place: nobody is asked but one, and again one where something came back. */
static void test_no_place(void **state)
{
    struct site         s;
    struct queue_effort before, after;
    struct queue_class  place = { 0 };

    (void)state;
    open_site(&s, &own, 1, MANY, 1, ONE_PROCESS);
    s.has_places = false;
    before = queue_effort(s.queue);
    for (int i = 0; i < 10; i++) {
        assert_null(queue_take(s.queue, s.now_ns, may_go, &s, NULL));
        queue_reconsider(s.queue, &place);
    }
    after = queue_effort(s.queue);
    assert_int_equal(after.asks - before.asks, 10);
    assert_true(after.looks - before.looks <= 10 * LOOKS_MOST);
    s.has_places = true;
    send(&s, s.count);
    assert_int_equal(s.sent, s.count);
    close_site(&s);
}

/* Where one credential's bucket is given something back, its own bands are asked, and no others. */
static void test_what_comes_back_to_one(void **state)
{
    struct site         s;
    struct queue_effort before;
    struct queue_class class;
    struct job *j;

    (void)state;
    open_site(&s, &own, 1, MANY, 2, ONE_PROCESS);
    send(&s, MANY);
    assert_null(queue_take(s.queue, s.now_ns, may_go, &s, NULL));
    j = &s.jobs[MANY + 77];
    assert_true(queue_waits(&j->entry));
    before = queue_effort(s.queue);
    class = ledger_owned_class(s.ledger, j->credential);
    queue_reconsider(s.queue, &class);
    assert_null(queue_take(s.queue, s.now_ns, may_go, &s, NULL));
    assert_int_equal(queue_effort(s.queue).asks - before.asks, 1);
    close_site(&s);
}

/* The order is that of one band, whatever the number of credentials, and whoever has how many of them. */
static void test_turns_are_the_same(void **state)
{
    (void)state;
    for (enum clients clients = ONE_CONNECTION; clients <= MANY_USERS; clients++) {
        struct site one, many;

        open_site(&one, NULL, 0, 1, 3000, clients);
        open_site(&many, &own, 1, 1500, 2, clients);
        for (unsigned i = 0; i < 1500; i++) {
            struct queue_entry *a = queue_take(one.queue, one.now_ns, may_go, &one, NULL);
            struct queue_entry *b = queue_take(many.queue, one.now_ns, may_go, &many, NULL);

            assert_non_null(a);
            assert_non_null(b);
            if ((struct job *)a - one.jobs != (struct job *)b - many.jobs)
                fail_msg("clients %d: turn %u", (int)clients, i);
        }
        close_site(&one);
        close_site(&many);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_shared_limit_is_asked_once),
        cmocka_unit_test(test_own_limits_are_asked_when_they_are_due),
        cmocka_unit_test(test_both),
        cmocka_unit_test(test_no_place),
        cmocka_unit_test(test_what_comes_back_to_one),
        cmocka_unit_test(test_turns_are_the_same),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
