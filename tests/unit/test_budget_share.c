/*
 * What a class's share of a budget is worth beside others: ledger and queue together, in simulated time.
 */
#include "budget/ledger.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define WALL (INT64_C(1700006400) * S) /* midnight in UTC */

enum { WAITING = 20, CLIENTS = 2 };

struct asker {
    struct queue_entry entry;
    struct charge      charge;
};

struct simulation {
    struct ledger *ledger;
    struct queue  *queue;
    int64_t        now_ns;
    struct asker   askers[CLIENTS][WAITING];
    uint64_t       went[CLIENTS];
};

static struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, WALL + ns };
}

static void put(struct simulation *s, struct asker *a, bool is_batch, unsigned keep)
{
    *a = (struct asker){
        .charge = { .method = HTTP_GET, .method_name = SLICE("GET"), .path = SLICE("/"), .keep_permille = keep }
    };
    a->entry.priority = is_batch ? QUEUE_BATCH : QUEUE_INTERACTIVE;
    a->entry.who.id[QUEUE_USER] = is_batch ? 2 : 1;
    a->entry.arrived_ns = s->now_ns;
    a->entry.class = ledger_class(s->ledger, &a->charge);
    queue_put(s->queue, &a->entry);
}

static int64_t may_go(void *context, struct queue_entry *e, bool overtaken)
{
    struct simulation *s = context;
    struct asker      *a = (struct asker *)((char *)e - offsetof(struct asker, entry));

    return overtaken ? ledger_claim_ns(s->ledger, &a->charge, at(s->now_ns), NULL)
                     : ledger_wait_ns(s->ledger, &a->charge, at(s->now_ns), NULL);
}

/* So many wait at all times of each client (0: nobody); client 1 is batch and leaves `keep` to others. */
static void simulate(struct simulation *s, const char *rate, unsigned interactive, unsigned batch, unsigned keep,
                     int64_t for_ns)
{
    unsigned             most[CLIENTS] = { interactive, batch };
    struct limit_options limit = { .name = rate };
    const char          *bad = NULL;

    assert_true(limit_parse(slice_of(rate), &limit, &bad));
    memset(s, 0, sizeof *s);
    s->ledger = ledger_new(&limit, 1);
    s->queue = queue_new();
    for (unsigned c = 0; c < CLIENTS; c++)
        for (unsigned i = 0; i < most[c]; i++)
            put(s, &s->askers[c][i], c == 1, c == 1 ? keep : 0);
    while (s->now_ns < for_ns) {
        int64_t             wake_ns = INT64_MAX;
        struct queue_entry *e = queue_take(s->queue, s->now_ns, may_go, s, &wake_ns);
        struct asker       *a = (struct asker *)((char *)e - offsetof(struct asker, entry));
        struct receipt      r;
        unsigned            c;

        if (e == NULL) {
            s->now_ns += wake_ns < S ? wake_ns : S;
            continue;
        }
        c = e->priority == QUEUE_BATCH;
        ledger_spend(s->ledger, &a->charge, at(s->now_ns), &r);
        ledger_settle(s->ledger, &a->charge, &r, NULL, at(s->now_ns));
        s->went[c]++;
        put(s, a, c == 1, c == 1 ? keep : 0);
    }
    for (unsigned c = 0; c < CLIENTS; c++)
        for (unsigned i = 0; i < most[c]; i++)
            queue_remove(s->queue, &s->askers[c][i].entry);
    queue_free(s->queue);
    ledger_free(s->ledger);
    free((char *)(uintptr_t)limit.zone);
}

static const struct row {
    const char *rate;
    int64_t     for_ns;
    double      all;         /* what the limit allows in that time */
    double      batch_alone; /* of it, at a share of 80% */
} rows[] = {
    { "1/s burst 1", 1000 * S, 1000, 0.8 },
    { "1/s burst 5", 1000 * S, 1000, 0.8 },
    { "10/s burst 20", 100 * S, 1000, 0.8 },
    { "10/s burst 10", 100 * S, 1000, 0.8 },
    { "5/s burst 10", 200 * S, 1000, 0.8 },
    { "60/min", 1000 * S, 1000, 0.8 },
    { "5/h", 200 * 3600 * S, 1000, 0.8 },
    { "100/min window 00:00 UTC", 600 * S, 1000, 0.8 },
    { "100/min window learned", 600 * S, 1000, 0.8 },
    { "1/s", 1000 * S, 1000, 1.0 }, /* of one there is no part: it is its own */
};

static void test_nobody_starves(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct simulation s;
        double            batch, all;

        simulate(&s, rows[i].rate, WAITING, WAITING, 200, rows[i].for_ns);
        batch = (double)s.went[1];
        all = batch + (double)s.went[0];
        /* One turn in ten is batch's, whatever it leaves to others. */
        if (batch < all / QUEUE_BATCH_EVERY * 0.9 || batch > all * 0.2 || all < 0.97 * rows[i].all)
            fail_msg("%s: batch %.0f of %.0f", rows[i].rate, batch, all);
    }
}

static void test_a_share_is_usable_and_no_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct simulation s;
        double            share = rows[i].batch_alone * rows[i].all;

        simulate(&s, rows[i].rate, 0, WAITING, 200, rows[i].for_ns);
        if ((double)s.went[1] < 0.97 * share - 1 || (double)s.went[1] > 1.03 * share + 20)
            fail_msg("%s: batch alone %llu, its share is %.0f", rows[i].rate, (unsigned long long)s.went[1], share);
    }
}

/* Now and then somebody asks: there is room at once, as long as the others have not had their part. */
static void test_the_rest_is_there_for_others(void **state)
{
    static const char *const rates[] = { "60/min", "5/h", "10/s burst 20", "100/min window 00:00 UTC" };

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct limit_options limit = { .name = rates[i] };
        struct charge        batch = { .method = HTTP_GET,
                                       .method_name = SLICE("GET"),
                                       .path = SLICE("/"),
                                       .keep_permille = 200 };
        struct charge        other = batch;
        const char          *bad = NULL;
        struct ledger       *l;
        struct receipt       r;

        assert_true(limit_parse(slice_of(rates[i]), &limit, &bad));
        l = ledger_new(&limit, 1);
        other.keep_permille = 0;
        while (ledger_wait_ns(l, &batch, at(0), NULL) == 0) {
            ledger_spend(l, &batch, at(0), &r);
            ledger_settle(l, &batch, &r, NULL, at(0));
        }
        assert_int_equal(ledger_wait_ns(l, &other, at(0), NULL), 0);
        assert_true(ledger_predict_ns(l, &batch, &(struct queue_ahead){ 0 }, at(0), NULL) > 0);
        ledger_free(l);
        free((char *)(uintptr_t)limit.zone);
    }
}

enum { OTHERS_MOST = 60, OWN_MOST = 30 };

/* Until that one goes; when. */
static int64_t run_until(struct simulation *s, const struct asker *last)
{
    while (queue_waits(&last->entry)) {
        int64_t             wake_ns = INT64_MAX;
        struct queue_entry *e = queue_take(s->queue, s->now_ns, may_go, s, &wake_ns);
        struct asker       *a = (struct asker *)((char *)e - offsetof(struct asker, entry));
        struct receipt      r;

        if (e == NULL) {
            s->now_ns += wake_ns < S ? wake_ns : S;
            continue;
        }
        ledger_spend(s->ledger, &a->charge, at(s->now_ns), &r);
        ledger_settle(s->ledger, &a->charge, &r, NULL, at(s->now_ns));
    }
    return s->now_ns;
}

/* What the last of those with a share is told, and when it goes: others before it do not use its part up. */
static void test_a_wait_is_told_by_its_own_part(void **state)
{
    static const struct {
        const char *name;
        unsigned    others, own;
        bool        are_batch; /* all of one priority */
    } cases[] = {
        { "alone", 0, 20, false },
        { "many_others_first", 60, 1, false },
        { "others_and_own", 40, 10, false },
        { "of_the_same_priority", 20, 20, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct limit_options limit = { .name = "60/min burst 1" };
        struct asker         others[OTHERS_MOST], own[OWN_MOST], *last = &own[cases[i].own - 1];
        struct simulation    s = { 0 };
        const char          *bad = NULL;
        struct queue_ahead   ahead;
        int64_t              told_ns, went_ns;

        assert_true(limit_parse(slice_of(limit.name), &limit, &bad));
        s.ledger = ledger_new(&limit, 1);
        s.queue = queue_new();
        for (unsigned n = 0; n < cases[i].others; n++)
            put(&s, &others[n], cases[i].are_batch, 0);
        for (unsigned n = 0; n < cases[i].own; n++)
            put(&s, &own[n], true, 200);
        ahead = queue_ahead_of(s.queue, &last->entry);
        told_ns = ledger_predict_ns(s.ledger, &last->charge, &ahead, at(0), NULL);
        went_ns = run_until(&s, last);
        if (told_ns > went_ns + S || told_ns < went_ns - went_ns / 6)
            fail_msg("%s: told %.1f s, went after %.1f s", cases[i].name, (double)told_ns / S, (double)went_ns / S);
        for (unsigned n = 0; n < cases[i].others; n++)
            queue_remove(s.queue, &others[n].entry);
        queue_free(s.queue);
        ledger_free(s.ledger);
    }
}

/* Of another cost and of the same part: it is used up by both. */
static void test_a_part_is_of_all_its_classes(void **state)
{
    struct limit_cost    cost = { .method = "POST", .cost = 2 };
    struct limit_options limit = { .name = "60/min burst 1", .costs = &cost, .cost_count = 1 };
    const char          *bad = NULL;
    struct asker         askers[3][4], newcomer = { .charge = { .method = HTTP_GET, .keep_permille = 200 } };
    struct simulation    s = { 0 };
    struct queue_ahead   ahead;

    (void)state;
    assert_true(limit_parse(slice_of(limit.name), &limit, &bad));
    s.ledger = ledger_new(&limit, 1);
    s.queue = queue_new();
    for (unsigned n = 0; n < 4; n++) {
        put(&s, &askers[0][n], true, 0);
        put(&s, &askers[1][n], true, 200);
        put(&s, &askers[2][n], true, 200);
        queue_remove(s.queue, &askers[2][n].entry);
        askers[2][n].charge.method = HTTP_POST;
        askers[2][n].charge.method_name = SLICE("POST");
        askers[2][n].entry.class = ledger_class(s.ledger, &askers[2][n].charge);
        queue_put(s.queue, &askers[2][n].entry);
    }
    newcomer.charge.method_name = SLICE("GET");
    newcomer.charge.path = SLICE("/");
    newcomer.entry.class = ledger_class(s.ledger, &newcomer.charge);
    newcomer.entry.who.id[QUEUE_USER] = 2;
    ahead = queue_ahead(s.queue, &newcomer.entry.class, QUEUE_BATCH, &newcomer.entry.who);
    assert_int_equal(ahead.alike, 4);
    assert_int_equal(ahead.shared[0], 4 + 2 * 4);
    assert_int_equal(ahead.part[0], 2 * 4);
    for (unsigned n = 0; n < 12; n++)
        queue_remove(s.queue, &askers[n / 4][n % 4].entry);
    queue_free(s.queue);
    ledger_free(s.ledger);
}

/* Batch has had its part and waits, its turn being due: what is left is for others, and they are told so. */
static void test_whose_part_is_used_up_goes_before_nobody(void **state)
{
    struct limit_options limit = { .name = "60/min" };
    const char          *bad = NULL;
    struct asker         batch[60], waiting, newcomer = { .charge = { .method = HTTP_GET } };
    struct simulation    s = { 0 };

    (void)state;
    assert_true(limit_parse(slice_of(limit.name), &limit, &bad));
    s.ledger = ledger_new(&limit, 1);
    s.queue = queue_new();
    for (unsigned n = 0; n < 48; n++) {
        put(&s, &batch[n], true, 200);
        run_until(&s, &batch[n]);
    }
    put(&s, &waiting, true, 200);
    for (unsigned n = 48; n < 60; n++) {
        struct queue_ahead ahead;

        newcomer.charge.method_name = SLICE("GET");
        newcomer.charge.path = SLICE("/");
        newcomer.entry.class = ledger_class(s.ledger, &newcomer.charge);
        newcomer.entry.who.id[QUEUE_USER] = 1;
        ahead = queue_ahead(s.queue, &newcomer.entry.class, QUEUE_INTERACTIVE, &newcomer.entry.who);
        if (ledger_predict_ns(s.ledger, &newcomer.charge, &ahead, at(s.now_ns), NULL) != 0)
            fail_msg("request %u of the minute is told to wait", n + 1);
        put(&s, &batch[n], false, 0);
        run_until(&s, &batch[n]);
        assert_int_equal(s.now_ns, 0);
    }
    assert_true(queue_waits(&waiting.entry));
    queue_remove(s.queue, &waiting.entry);
    queue_free(s.queue);
    ledger_free(s.ledger);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nobody_starves),
        cmocka_unit_test(test_a_share_is_usable_and_no_more),
        cmocka_unit_test(test_a_wait_is_told_by_its_own_part),
        cmocka_unit_test(test_a_part_is_of_all_its_classes),
        cmocka_unit_test(test_whose_part_is_used_up_goes_before_nobody),
        cmocka_unit_test(test_the_rest_is_there_for_others),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
