/*
 * Who goes next: order, fairness, shares, bands that wait apart, predictions,
 * and all of it against a list kept by hand.
 */
#include "budget/ledger.h"
#include "budget/queue.h"

#include "base/clock.h"
#include "property.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S  NS_PER_SEC
#define MS NS_PER_MS

static const struct queue_class one = { .shared = 1, .cost = 1 }, two = { .shared = 2, .cost = 1, .costs = 7 },
                                ours = { .owned = 1, .owner = 5, .cost = 1 };

struct job {
    struct queue_entry entry;
    char               name;
};

static struct queue_who user(uint64_t id)
{
    return (struct queue_who){ .id[QUEUE_USER] = id };
}

static void put(struct queue *q, struct job *j, char name, const struct queue_class *class,
                enum queue_priority priority, uint64_t client, int64_t arrived)
{
    *j = (struct job){ .entry = { .class = *class, .priority = priority, .who = user(client), .arrived_ns = arrived },
                       .name = name };
    queue_put(q, &j->entry);
}

static int64_t always(void *context, struct queue_entry *e, bool overtaken)
{
    (void)context;
    (void)e;
    (void)overtaken;
    return 0;
}

/* Takes up to `most` and writes their names. */
static const char *take(struct queue *q, unsigned most, queue_may_go may_go, void *context, int64_t now)
{
    static char         names[2048];
    struct queue_entry *e;
    unsigned            n = 0;

    while (n < most && (e = queue_take(q, now, may_go, context, NULL)) != NULL)
        names[n++] = ((struct job *)e)->name;
    names[n] = '\0';
    return names;
}

static void test_first_come_first_served(void **state)
{
    struct queue *q = queue_new();
    struct job    j[5];

    (void)state;
    for (int i = 0; i < 5; i++)
        put(q, &j[i], (char)('a' + i), &one, QUEUE_INTERACTIVE, 1, i);
    queue_remove(q, &j[2].entry);
    queue_remove(q, &j[2].entry);
    assert_false(queue_waits(&j[2].entry));
    assert_int_equal(queue_length(q), 4);
    assert_string_equal(take(q, 9, always, NULL, 9), "abde");
    assert_int_equal(queue_length(q), 0);
    queue_free(q);
}

static void test_clients_take_turns(void **state)
{
    struct queue *q = queue_new();
    struct job    j[9];

    (void)state;
    for (int i = 0; i < 6; i++)
        put(q, &j[i], (char)('a' + i), &one, QUEUE_INTERACTIVE, 1, i);
    put(q, &j[6], 'X', &one, QUEUE_INTERACTIVE, 2, 6);
    put(q, &j[7], 'Y', &one, QUEUE_INTERACTIVE, 2, 7);
    put(q, &j[8], '1', &one, QUEUE_INTERACTIVE, 3, 8);
    assert_string_equal(take(q, 99, always, NULL, 9), "aXb1Ycdef");
    queue_free(q);
}

static int64_t not_two(void *context, struct queue_entry *e, bool overtaken)
{
    (void)context;
    assert_false(overtaken && e->priority == QUEUE_IDLE); /* nothing is held for it */
    return e->class.costs == two.costs ? S : 0;
}

/* What is idle goes when nobody else waits, whatever holds those back, and is ahead of nobody. */
static void test_idle_goes_after_everybody_else(void **state)
{
    struct queue      *q = queue_new();
    struct job         idle[4], other, batch;
    struct queue_ahead ahead;
    struct queue_who   who = user(9);
    int64_t            wake;

    (void)state;
    put(q, &idle[0], 'i', &one, QUEUE_IDLE, 1, 0);
    put(q, &idle[1], 'j', &one, QUEUE_IDLE, 2, 1);
    put(q, &idle[2], 'k', &two, QUEUE_IDLE, 1, 1);
    assert_int_equal(queue_length(q), 0);
    assert_int_equal(queue_ahead(q, &one, QUEUE_INTERACTIVE, &who).all, 0);
    assert_int_equal(queue_ahead(q, &one, QUEUE_BATCH, &who).all, 0);
    assert_int_equal(queue_ahead(q, &one, QUEUE_IDLE, &who).all, 2);
    put(q, &other, 'x', &two, QUEUE_INTERACTIVE, 3, 2);
    put(q, &batch, 'b', &one, QUEUE_BATCH, 3, 3);
    ahead = queue_ahead(q, &one, QUEUE_IDLE, &who);
    assert_int_equal(ahead.all, 3);
    assert_string_equal(take(q, 9, not_two, NULL, 4), "b");
    assert_null(queue_take(q, 5, not_two, NULL, &wake)); /* x waits, and what it waits for is not theirs to take */
    queue_remove(q, &other.entry);
    assert_string_equal(take(q, 9, not_two, NULL, 6), "ij");
    assert_null(queue_take(q, 7, not_two, NULL, &wake));
    assert_int_equal(wake, S - 1);
    assert_string_equal(take(q, 9, always, NULL, 6 + S), "k");
    /* Where there is no room it makes way first. */
    put(q, &idle[3], 'l', &one, QUEUE_IDLE, 4, 8);
    put(q, &batch, 'b', &one, QUEUE_BATCH, 3, 9);
    assert_ptr_equal(queue_crowding(q, QUEUE_BATCH, &who), &idle[3].entry);
    assert_ptr_equal(queue_crowding(q, QUEUE_INTERACTIVE, &who), &idle[3].entry);
    assert_null(queue_crowding(q, QUEUE_IDLE, &who));
    queue_free(q);
}

/* A client with one request at a time gets every second place, not every one. */
static void test_one_at_a_time_against_many(void **state)
{
    static const struct queue_class *const classes[] = { &one, &ours }; /* in the same band, in its own */
    struct queue_class                     shared = { .shared = 1, .owned = 1, .owner = 9, .cost = 1 };

    (void)state;
    for (int same = 0; same < 2; same++) {
        struct queue *q = queue_new();
        struct job    many[20], single;
        char          order[21] = { 0 };

        for (int i = 0; i < 20; i++)
            put(q, &many[i], 'm', classes[0], QUEUE_INTERACTIVE, 1, i);
        put(q, &single, 's', same ? classes[0] : &shared, QUEUE_INTERACTIVE, 2, 20);
        for (int i = 0; i < 20; i++) {
            struct queue_entry *e = queue_take(q, 0, always, NULL, NULL);

            order[i] = ((struct job *)e)->name;
            if (e == &single.entry)
                put(q, &single, 's', same ? classes[0] : &shared, QUEUE_INTERACTIVE, 2, 30 + i);
        }
        for (int i = 2; i < 20; i++)
            if (order[i] == order[i - 1])
                fail_msg("%s: %s", same ? "same band" : "own band", order);
        queue_free(q);
    }
}

static void test_interactive_first_but_batch_does_not_starve(void **state)
{
    struct queue *q = queue_new();
    struct job    j[60];
    const char   *order;
    int           batch = 0;

    (void)state;
    for (int i = 0; i < 20; i++)
        put(q, &j[i], 'b', &one, QUEUE_BATCH, 1, i);
    for (int i = 20; i < 60; i++)
        put(q, &j[i], 'i', &one, QUEUE_INTERACTIVE, 2, i);
    order = take(q, 40, always, NULL, 99);
    for (int i = 0; i < 40; i++)
        batch += order[i] == 'b';
    assert_int_equal(batch, 4);
    assert_int_equal(order[0], 'i');
    assert_int_equal(order[9], 'b');
    assert_int_equal(queue_length_of(q, QUEUE_BATCH), 16);
    queue_free(q);
}

struct gate {
    uint32_t closed;
    int64_t  wait_ns;
    unsigned asked, overtaken;
};

static int64_t gated(void *context, struct queue_entry *e, bool overtaken)
{
    struct gate *g = context;

    g->asked++;
    g->overtaken += overtaken;
    return (e->class.shared & g->closed) != 0 ? g->wait_ns : 0;
}

static void test_an_exhausted_band_holds_up_nobody(void **state)
{
    struct queue *q = queue_new();
    struct job    j[6];
    struct gate   g = { 1, 5 * S, 0, 0 };
    int64_t       wake = 0;

    (void)state;
    for (int i = 0; i < 3; i++)
        put(q, &j[i], (char)('a' + i), &one, QUEUE_INTERACTIVE, 1, i);
    for (int i = 3; i < 6; i++)
        put(q, &j[i], (char)('a' + i), &two, QUEUE_INTERACTIVE, 1, i);
    assert_string_equal(take(q, 9, gated, &g, 0), "def");
    g.asked = 0;
    assert_null(queue_take(q, S, gated, &g, &wake)); /* not asked before its time */
    assert_int_equal(g.asked, 0);
    assert_int_equal(wake, 4 * S);
    queue_reconsider(q, &two);
    assert_null(queue_take(q, S, gated, &g, &wake));
    assert_int_equal(g.asked, 0);
    queue_reconsider(q, &one);
    g.closed = 0;
    assert_string_equal(take(q, 1, gated, &g, S), "a");
    assert_int_equal(g.overtaken, 1); /* three of the others went since */
    assert_string_equal(take(q, 9, gated, &g, S), "bc");
    assert_null(queue_take(q, S, gated, &g, &wake));
    assert_int_equal(wake, INT64_MAX);
    queue_free(q);
}

/* The first of a band turns out to belong elsewhere: the rest of the band goes on. */
static int64_t moved(void *context, struct queue_entry *e, bool overtaken)
{
    (void)context;
    (void)overtaken;
    if (((struct job *)e)->name != 'a')
        return 0;
    e->class = two;
    return S;
}

static void test_a_class_that_changes(void **state)
{
    struct queue *q = queue_new();
    struct job    j[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        put(q, &j[i], (char)('a' + i), &one, QUEUE_INTERACTIVE, 1, i);
    assert_string_equal(take(q, 9, moved, NULL, 0), "bc");
    assert_int_equal(queue_length(q), 1);
    assert_string_equal(take(q, 9, always, NULL, S), "a");
    queue_free(q);
}

static void test_again_has_its_turn(void **state)
{
    struct queue *q = queue_new();
    struct job    j[4], again = { .name = 'r' };

    (void)state;
    for (int i = 0; i < 4; i++)
        put(q, &j[i], (char)('a' + i), &one, QUEUE_INTERACTIVE, (uint64_t)(i % 2), 10 + i);
    assert_string_equal(take(q, 1, always, NULL, 0), "a");
    again.entry = (struct queue_entry){ .class = one, .who = user(0), .arrived_ns = 1 };
    queue_put_again(q, &again.entry);
    assert_string_equal(take(q, 9, always, NULL, 0), "rbcd");
    queue_free(q);
}

/* -- predictions -- */

static void test_ahead_is_exact_within_a_band(void **state)
{
    struct property p = { 21 };

    (void)state;
    for (int round = 0; round < 200; round++) {
        struct queue       *q = queue_new();
        struct job          j[101];
        struct queue_entry *e;
        uint64_t            ahead, went = 0;
        unsigned            n = (unsigned)property_below(&p, 100);

        for (unsigned i = 0; i < n; i++)
            put(q, &j[i], 'x', &one, QUEUE_INTERACTIVE, property_below(&p, 5), i);
        for (unsigned i = 0; i < n / 3; i++)
            queue_take(q, 0, always, NULL, NULL);
        for (unsigned i = 0; i < 5; i++)
            if (n > 0)
                queue_remove(q, &j[property_below(&p, n)].entry);
        ahead = queue_ahead(q, &one, QUEUE_INTERACTIVE, &(struct queue_who){ .id[QUEUE_USER] = 3 }).all;
        put(q, &j[100], 'n', &one, QUEUE_INTERACTIVE, 3, 1000);
        assert_int_equal(queue_ahead_of(q, &j[100].entry).all, ahead);
        while ((e = queue_take(q, 0, always, NULL, NULL)) != &j[100].entry)
            went++;
        if (went != ahead)
            fail_msg("round %d: predicted %llu, had %llu", round, (unsigned long long)ahead, (unsigned long long)went);
        queue_free(q);
    }
}

static void test_ahead_across_bands(void **state)
{
    static const struct queue_class other = { .shared = 1, .owned = 2, .owner = 3, .cost = 1 };
    struct queue                   *q = queue_new();
    struct job                      j[60];
    struct queue_entry             *e;
    uint64_t                        ahead, went = 0;

    (void)state;
    for (int i = 0; i < 20; i++)
        put(q, &j[i], 'o', &one, QUEUE_INTERACTIVE, 1, i);
    for (int i = 20; i < 40; i++)
        put(q, &j[i], 'p', &other, QUEUE_INTERACTIVE, 2, i);
    for (int i = 40; i < 50; i++)
        put(q, &j[i], 'b', &one, QUEUE_BATCH, 3, i);
    for (int i = 50; i < 59; i++)
        put(q, &j[i], 'x', &two, QUEUE_INTERACTIVE, 3, i); /* of other limits: counts for nothing */
    ahead = queue_ahead(q, &one, QUEUE_INTERACTIVE, &(struct queue_who){ .id[QUEUE_USER] = 1 }).all;
    put(q, &j[59], 'n', &one, QUEUE_INTERACTIVE, 1, 59);
    while ((e = queue_take(q, 0, always, NULL, NULL)) != &j[59].entry)
        went += ((struct job *)e)->name != 'x';
    if (llabs((long long)(went - ahead)) > 3)
        fail_msg("predicted %llu, had %llu", (unsigned long long)ahead, (unsigned long long)went);
    queue_free(q);
}

/* -- with a ledger -- */

struct site {
    struct ledger    *ledger;
    struct charge     get, post;
    struct budget_now now;
};

static int64_t ask_ledger(void *context, struct queue_entry *e, bool overtaken)
{
    struct site         *s = context;
    const struct charge *c = ((struct job *)e)->name == 'P' ? &s->post : &s->get;

    return overtaken ? ledger_claim_ns(s->ledger, c, s->now, NULL) : ledger_wait_ns(s->ledger, c, s->now, NULL);
}

/* A dear request is not overtaken for ever by cheap ones that take every unit as it comes. */
static void test_a_dear_request_gets_its_turn(void **state)
{
    static const struct limit_cost costs[] = { { 0, 0, "GET", 1 }, { 0, 0, "*", 5 } };
    struct limit_options           limit = { .name = "x",
                                             .kind = LIMIT_BUCKET,
                                             .count = 10,
                                             .window_ns = S,
                                             .burst = 10,
                                             .costs = costs,
                                             .cost_count = 2 };

    struct site        site = { .ledger = ledger_new(&limit, 1),
                                .get = { .method = HTTP_GET, .method_name = SLICE("GET"), .path = SLICE("/") },
                                .post = { .method = HTTP_POST, .method_name = SLICE("POST"), .path = SLICE("/") } };
    struct queue      *q = queue_new();
    struct job         gets[400], posts[5];
    int                gone_posts = 0, gone_gets = 0;
    struct queue_class class_get = ledger_class(site.ledger, &site.get),
                       class_post = ledger_class(site.ledger, &site.post);

    (void)state;
    for (int i = 0; i < 400; i++)
        put(q, &gets[i], 'G', &class_get, QUEUE_INTERACTIVE, 1, i);
    for (int i = 0; i < 5; i++)
        put(q, &posts[i], 'P', &class_post, QUEUE_INTERACTIVE, 2, 400 + i);
    while (site.now.mono_ns < 20 * S) {
        struct queue_entry *e;
        struct receipt      r;
        int64_t             wake = 0;

        while ((e = queue_take(q, site.now.mono_ns, ask_ledger, &site, &wake)) != NULL) {
            bool post = ((struct job *)e)->name == 'P';

            ledger_spend(site.ledger, post ? &site.post : &site.get, site.now, &r);
            ledger_settle(site.ledger, post ? &site.post : &site.get, &r, NULL, site.now);
            gone_posts += post;
            gone_gets += !post;
        }
        assert_true(wake > 0);
        site.now.mono_ns += wake;
        site.now.wall_ns += wake;
    }
    assert_int_equal(gone_posts, 5);
    assert_in_range(gone_gets + 5 * gone_posts, 200, 212); /* nothing wasted while they saved up */
    ledger_free(site.ledger);
    queue_free(q);
}

/* -- against a reference -- */

static void test_random_use(void **state)
{
    enum { JOBS = 300, STEPS = 30000 };
    static struct job jobs[JOBS];
    struct queue     *q = queue_new();
    struct property   p = { 77 };
    struct gate       g = { 0, 10, 0, 0 };
    unsigned          waiting = 0;
    int64_t           now = 0;

    (void)state;
    memset(jobs, 0, sizeof jobs);
    for (int step = 0; step < STEPS; step++) {
        struct job *j = &jobs[property_below(&p, JOBS)];
        size_t      what = property_below(&p, 10);

        now += (int64_t)property_below(&p, 5);
        if (what < 5) {
            if (!queue_waits(&j->entry)) {
                struct queue_class c = { .shared = 1u << property_below(&p, 3),
                                         .cost = 1,
                                         .costs = property_below(&p, 2) };

                put(q, j, 'x', &c, property_below(&p, 2) ? QUEUE_BATCH : QUEUE_INTERACTIVE, property_below(&p, 6), now);
                waiting++;
            }
        } else if (what < 6) {
            waiting -= queue_waits(&j->entry);
            queue_remove(q, &j->entry);
        } else if (what < 9) {
            int64_t             wake = -1;
            struct queue_entry *e = queue_take(q, now, gated, &g, &wake);

            if (e != NULL) {
                assert_int_equal(e->class.shared & g.closed, 0);
                waiting--;
            } else {
                assert_true(waiting == 0 ? wake == INT64_MAX : wake > 0 && wake <= 10);
            }
        } else {
            g.closed = (uint32_t)property_below(&p, 8);
            queue_reconsider(q, NULL);
        }
        assert_int_equal(queue_length(q), waiting);
    }
    g.closed = 0;
    queue_reconsider(q, NULL);
    while (queue_take(q, now, gated, &g, NULL) != NULL)
        waiting--;
    assert_int_equal(waiting, 0);
    queue_free(q);
}

static int64_t cpu_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return t.tv_sec * S + t.tv_nsec;
}

/* CPU time for predicting, putting and taking each of `count`. */
static int64_t all_ns(int count)
{
    struct job     *jobs = calloc((size_t)count, sizeof *jobs);
    struct queue   *q = queue_new();
    struct property p = { 5 };
    int64_t         from = cpu_ns();

    for (int i = 0; i < count; i++) {
        struct queue_class c = { .owned = 1, .owner = property_below(&p, 100), .cost = 1 };
        uint64_t           client = property_below(&p, 1000);
        struct queue_who   who = user(client);

        assert_true(queue_ahead(q, &c, QUEUE_INTERACTIVE, &who).all <= (uint64_t)i);
        put(q, &jobs[i], 'x', &c, QUEUE_INTERACTIVE, client, i);
    }
    while (queue_take(q, count, always, NULL, NULL) != NULL)
        ;
    from = cpu_ns() - from;
    queue_free(q);
    free(jobs);
    return from / count;
}

/* Against a short queue, the quickest of several: no load of the machine changes that by an order. */
static void test_a_long_queue_costs_little_more(void **state)
{
    enum { MANY = 40000, FEW = 400, ROUNDS = 3, FEW_A_ROUND = 30 };
    int64_t many_ns = INT64_MAX, few_ns = INT64_MAX, ns;

    (void)state;
    for (int i = 0; i < ROUNDS; i++) {
        for (int k = 0; k < FEW_A_ROUND; k++)
            few_ns = (ns = all_ns(FEW)) < few_ns ? ns : few_ns;
        many_ns = (ns = all_ns(MANY)) < many_ns ? ns : many_ns;
    }
    print_message("%lld ns each of %d, %lld of %d\n", (long long)many_ns, MANY, (long long)few_ns, FEW);
    assert_true(many_ns < 30 * (few_ns + 100));
}

/* -- places: whoever takes them, whatever he spends -- */

struct passing {
    uint64_t most;
};

static uint64_t may_pass(void *context, const struct queue_entry *e, uint64_t entries)
{
    const struct passing *p = context;

    return e->class.shared == 2 && entries > p->most ? p->most : entries; /* `two` is short of its own budget */
}

static void test_places_are_shared_over_classes(void **state)
{
    static const struct queue_class here_one = { .shared = 1, .cost = 1, .place = 9 },
                                    here_two = { .shared = 2, .cost = 5, .costs = 7, .place = 9 },
                                    there = { .shared = 1, .cost = 1, .costs = 8, .place = 3 };
    static const struct row {
        const char *name;
        unsigned    of_one, of_two, of_there, of_batch;
        uint64_t    passing, ahead, client;
    } rows[] = {
        { "nobody", 0, 0, 0, 0, 100, 0, 9 },
        { "of_the_same_class", 5, 0, 0, 0, 100, 5, 1 },
        { "of_another_class_at_the_same_place_each_counts_once", 5, 4, 0, 0, 100, 9, 1 },
        { "of_another_class_what_its_limits_let_pass", 5, 4, 0, 0, 2, 7, 1 },
        { "of_another_class_none_that_its_limits_hold_back", 5, 4, 0, 0, 0, 5, 1 },
        { "at_another_place_nobody_though_the_budget_is_one", 0, 0, 6, 0, 100, 0, 1 },
        { "the_only_class_is_at_another_place", 0, 0, 1, 0, 100, 0, 1 },
        { "of_batch_one_in_ten", 18, 0, 0, 30, 100, 20, 1 },
        { "another_user_has_one_of_the_next_turns", 20, 0, 0, 0, 100, 1, 7 },
        { "also_where_the_first_waits_in_two_classes", 20, 20, 0, 0, 100, 3, 7 }, /* an estimate */
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        struct queue     *q = queue_new();
        struct job        j[64];
        struct passing    passing = { r->passing };
        struct queue_who  who = user(r->client);
        unsigned          n = 0;
        uint64_t          ahead;

        for (unsigned k = 0; k < r->of_one + r->of_two; k++, n++)
            put(q, &j[n], 'x', k < r->of_one ? &here_one : &here_two, QUEUE_INTERACTIVE, 1, n);
        for (unsigned k = 0; k < r->of_there; k++, n++)
            put(q, &j[n], 'x', &there, QUEUE_INTERACTIVE, 1, n);
        for (unsigned k = 0; k < r->of_batch; k++, n++)
            put(q, &j[n], 'x', &here_one, QUEUE_BATCH, 1, n);
        ahead = queue_ahead_in_place(q, NULL, &here_one, QUEUE_INTERACTIVE, &who, may_pass, &passing);
        if (ahead != r->ahead)
            fail_msg("%s: %llu before it", r->name, (unsigned long long)ahead);
        if (n > 0 && queue_is_mixed(q, &here_one, QUEUE_INTERACTIVE) != (n > r->of_one))
            fail_msg("%s: mixed or not", r->name);
        queue_free(q);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_first_come_first_served),
        cmocka_unit_test(test_clients_take_turns),
        cmocka_unit_test(test_idle_goes_after_everybody_else),
        cmocka_unit_test(test_one_at_a_time_against_many),
        cmocka_unit_test(test_interactive_first_but_batch_does_not_starve),
        cmocka_unit_test(test_an_exhausted_band_holds_up_nobody),
        cmocka_unit_test(test_a_class_that_changes),
        cmocka_unit_test(test_again_has_its_turn),
        cmocka_unit_test(test_ahead_is_exact_within_a_band),
        cmocka_unit_test(test_ahead_across_bands),
        cmocka_unit_test(test_places_are_shared_over_classes),
        cmocka_unit_test(test_a_dear_request_gets_its_turn),
        cmocka_unit_test(test_random_use),
        cmocka_unit_test(test_a_long_queue_costs_little_more),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
