/*
 * The forecast of a wait for places, and for places and budget, held against what then happens: an API with so many
 * places is simulated on a clock of its own, and each request's wait is compared with what it was told when it came.
 */
#include "budget/turns.h"

#include "budget/ledger.h"

#include "base/clock.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>

#define MS NS_PER_MS

/* -- the pace -- */

static struct pace pace_of(const int64_t *took_ms, unsigned count)
{
    struct pace p = { 0 };

    for (unsigned i = 0; i < count; i++)
        pace_note(&p, took_ms[i] * MS, (int64_t)i * MS);
    return p;
}

static int64_t mean_ms(const struct pace *p)
{
    int64_t sum = 0;

    for (unsigned i = 0; i < 64; i++)
        sum += pace_at(p, i / 64.0);
    return sum / 64 / MS;
}

static void test_pace(void **state)
{
    struct row {
        const char *name;
        unsigned    of_first;
        int64_t     first;
        unsigned    of_second;
        int64_t     second;
        bool        known;
        int64_t     low, high;
    };
    static const struct row rows[] = {
        { "nothing_is_known", 0, 0, 0, 0, false, 0, 0 },
        { "three_are_not_enough", 3, 500, 0, 0, false, 0, 0 },
        { "four_are", 4, 500, 0, 0, true, 500, 500 },
        { "one_outlier_among_few", 4, 100, 1, 30000, true, 100, 100 },
        { "half_of_few_are_slow", 4, 100, 4, 900, true, 500, 500 }, /* as the middle one: the fifth of eight */
        { "two_outliers_among_many", 60, 100, 2, 30000, true, 100, 100 },
        { "a_tenth_is_slow", 57, 100, 7, 2000, true, 280, 340 },
        { "seven_slower_are_no_turn", 40, 100, 7, 1000, true, 190, 250 },
        { "eight_slower_in_a_row_are_another_pace", 40, 100, 8, 1000, true, 1000, 1000 },
        { "eight_faster_in_a_row_are_another_pace", 40, 1000, 8, 100, true, 100, 100 },
        { "only_the_last_are_kept", 64, 100, 64, 101, true, 101, 101 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        int64_t           took[128];
        struct pace       p;

        for (unsigned k = 0; k < r->of_first + r->of_second; k++)
            took[k] = k < r->of_first ? r->first : r->second;
        p = pace_of(took, r->of_first + r->of_second);
        if (pace_is_known(&p, 200 * MS) != r->known)
            fail_msg("%s: known is %d", r->name, !r->known);
        if (r->known && (mean_ms(&p) < r->low || mean_ms(&p) > r->high))
            fail_msg("%s: %lld ms", r->name, (long long)mean_ms(&p));
    }
}

static void test_pace_is_forgotten(void **state)
{
    struct pace p = { 0 };

    (void)state;
    for (int i = 0; i < 10; i++)
        pace_note(&p, 5000 * MS, 0);
    assert_true(pace_is_known(&p, 599 * NS_PER_SEC));
    assert_false(pace_is_known(&p, 601 * NS_PER_SEC));
    pace_note(&p, 10 * MS, 601 * NS_PER_SEC); /* and what is old does not count beside it */
    assert_int_equal(p.count, 1);
    assert_false(pace_is_known(&p, 601 * NS_PER_SEC));
}

static void test_what_is_left_of_one_under_way(void **state)
{
    static const int64_t took[] = { 100, 100, 100, 100, 100, 100, 100, 100, 100, 200,
                                    200, 200, 200, 200, 200, 200, 200, 200, 200, 200 };
    struct pace          p = pace_of(took, sizeof took / sizeof *took);

    (void)state;
    assert_int_equal(pace_left_ns(&p, 0, 0.0), 100 * MS);
    assert_int_equal(pace_left_ns(&p, 0, 0.9), 200 * MS);
    assert_int_equal(pace_left_ns(&p, 150 * MS, 0.0), 50 * MS); /* it is one of the long ones, then */
    assert_int_equal(pace_left_ns(&p, 250 * MS, 0.5), 0);       /* overdue */
    assert_int_equal(pace_left_ns(&p, 900 * MS, 0.5), -1);      /* who knows */
}

/* -- the turn, where everything takes 100 ms -- */

static void test_turns(void **state)
{
    struct row {
        const char *name;
        unsigned    count, busy;
        int64_t     age;
        uint64_t    ahead;
        int64_t     wait, slack;
    };
    static const struct row rows[] = {
        { "a_free_place", 10, 9, 40, 0, 0, 0 },
        { "the_last_free_place_is_anothers", 10, 9, 40, 1, 60, 0 },
        { "the_first_after_those", 10, 10, 40, 0, 60, 0 },
        { "the_tenth_after_those", 10, 10, 40, 9, 60, 0 },
        { "the_next_round", 10, 10, 40, 10, 160, 0 },
        { "one_place", 1, 1, 40, 3, 360, 0 },
        { "nobody_is_there_but_those_who_wait", 10, 0, 0, 25, 200, 0 },
        { "many_rounds", 10, 10, 40, 999, 60 + 9900, 0 },
        { "the_last_of_a_round", 10, 10, 40, 1009, 60 + 10000, 0 },
        { "a_thousand_places", 1000, 1000, 40, 2500, 260, 0 },
        { "a_thousand_places_and_long", 1000, 1000, 40, 250000, 60 + 25000, 100 },
        { "there_were_more_places_before", 5, 10, 40, 0, 60, 0 },
        { "no_place_at_all", 0, 0, 0, 5, 0, 0 },
        { "all_places_are_lost", 3, 3, 10000, 5, 0, 0 }, /* then nothing is foretold */
    };
    static const int64_t took[] = { 100, 100, 100, 100, 100, 100, 100, 100, 100, 100 };
    struct pace          pace = pace_of(took, 10);

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row *r = &rows[i];
        unsigned          step = r->busy / TURNS_PLACES + 1;
        struct turns      p;
        int64_t           wait;

        turns_begin(&p, r->count, r->busy);
        for (unsigned k = 0; k < r->busy; k += step)
            turns_busy(&p, &pace, r->age * MS, 0, step);
        turns_of_kind(&p, &pace, 0, 1, 1);
        wait = turns_wait_ns(&p, r->ahead);
        if (llabs(wait - r->wait * MS) > r->slack * MS)
            fail_msg("%s: %lld us", r->name, (long long)(wait / 1000));
    }
}

static void test_places_that_never_become_free(void **state)
{
    static const int64_t took[] = { 100, 100, 100, 100, 100 };
    struct pace          pace = pace_of(took, 5);
    struct turns         p;

    (void)state;
    turns_begin(&p, 4, 4);
    turns_busy(&p, NULL, 0, 0, 1);          /* a stream of events */
    turns_busy(&p, &pace, 9000 * MS, 0, 1); /* hangs */
    turns_busy(&p, &pace, 50 * MS, 0, 1);
    turns_busy(&p, &pace, 50 * MS, 0, 1);
    turns_of_kind(&p, &pace, 0, 1, 1);
    assert_int_equal(turns_wait_ns(&p, 0), 50 * MS);
    assert_int_equal(turns_wait_ns(&p, 7), 350 * MS);
}

static void test_kinds_wait_in_proportion(void **state)
{
    static const int64_t fast_ms[] = { 100, 100, 100, 100 }, slow_ms[] = { 900, 900, 900, 900 };
    struct pace          fast = pace_of(fast_ms, 4), slow = pace_of(slow_ms, 4);
    struct turns         p;

    (void)state;
    turns_begin(&p, 1, 0);
    turns_of_kind(&p, &fast, 0, 30, 40);
    turns_of_kind(&p, &fast, 30, 30, 40); /* of this one none waits */
    turns_of_kind(&p, &slow, 30, 40, 40);
    assert_int_equal(p.times_count, TURNS_TIMES);
    assert_in_range(turns_wait_ns(&p, 40) / MS, 39 * 300, 41 * 300);
}

static void test_after_a_pause(void **state)
{
    static const int64_t took[] = { 100, 100, 100, 100 };
    struct pace          pace = pace_of(took, 4);
    struct turns         p;

    (void)state;
    turns_begin(&p, 1, 1);
    turns_busy(&p, &pace, 0, 2000 * MS, 1); /* long through by then */
    turns_of_kind(&p, &pace, 0, 1, 1);
    assert_int_equal(turns_wait_ns(&p, 0), 0);
    assert_int_equal(turns_wait_ns(&p, 3), 300 * MS);
}

/* -- an API, simulated -- */

enum service { FIXED, JITTERED_10, JITTERED_40, LONG_TAIL, BIMODAL, BY_RULE, SPIKES };
enum { SIM_REQUESTS = 3000, SIM_PLACES = 100, SIM_WARM = 200 };

struct row {
    const char          *name;
    unsigned             places;
    enum service         service;
    int64_t              mean_ms;
    struct limit_options limit; /* count 0: none */
    int64_t              max_wait_ms;
    double               right; /* so many within 10 % or 50 ms, at the least */
};

struct request {
    int64_t  came_ns, told_ns, began_ns, ends_ns;
    unsigned kind;
};

struct sim {
    const struct row *row;
    uint64_t          random;
    int64_t           now_ns;
    struct ledger    *ledger;
    struct charge     charge;
    struct pace       all, paces[2];
    struct request    requests[SIM_REQUESTS];
    unsigned          came, began;
    unsigned          busy[SIM_PLACES], busy_count; /* numbers of requests */
};

static double uniform(struct sim *s)
{
    s->random = s->random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
    return (double)(s->random >> 11) / (double)(UINT64_C(1) << 53);
}

static int64_t service_ns(struct sim *s, unsigned kind)
{
    double mean = (double)s->row->mean_ms * MS, u = uniform(s);

    switch (s->row->service) {
    case FIXED:
        return (int64_t)mean;
    case JITTERED_10:
        return (int64_t)(mean * (0.9 + 0.2 * u));
    case JITTERED_40:
        return (int64_t)(mean * (0.6 + 0.8 * u));
    case LONG_TAIL: /* mostly a half, a tenth of them 5.5 times as much */
        return (int64_t)(u < 0.9 ? mean / 2 * (0.9 + 0.2 * u / 0.9) : mean * 5.5);
    case BIMODAL:
        return (int64_t)(u < 0.5 ? mean * 0.5 : mean * 1.5);
    case BY_RULE:
        return (int64_t)(kind == 0 ? mean * 0.25 : mean * 4);
    case SPIKES:
        return (int64_t)(u < 0.003 ? mean * 30 : mean);
    }
    return 0;
}

static struct budget_now at(const struct sim *s)
{
    return (struct budget_now){ .mono_ns = s->now_ns, .wall_ns = s->now_ns + 1000000 * NS_PER_SEC };
}

static int64_t budget_ns(void *context, uint64_t ahead)
{
    struct sim *s = context;

    return ledger_predict_ns(s->ledger, &s->charge, &(struct queue_ahead){ .alike = ahead }, at(s), NULL);
}

static const struct pace *pace_of_kind(const struct sim *s, unsigned kind)
{
    return s->paces[kind].count >= 8 ? &s->paces[kind] : &s->all;
}

/* What upstream/forecast.c does, for one line in order of arrival. */
static int64_t forecast_ns(struct sim *s)
{
    uint64_t     ahead = s->came - s->began;
    int64_t      spent_ns = budget_ns(s, ahead), wait_ns;
    unsigned     of_kind[2] = { 0 }, step = s->busy_count / TURNS_PLACES + 1;
    struct turns p;

    if (!pace_is_known(&s->all, s->now_ns) || s->busy_count + ahead < s->row->places)
        return spent_ns;
    turns_begin(&p, s->row->places, s->busy_count);
    for (unsigned i = 0; i < s->busy_count; i += step) {
        const struct request *r = &s->requests[s->busy[i]];

        turns_busy(&p, pace_of_kind(s, r->kind), s->now_ns - r->began_ns, 0, step);
    }
    for (unsigned i = s->began; i < s->came; i++)
        of_kind[s->requests[i].kind]++;
    turns_of_kind(&p, pace_of_kind(s, 0), 0, of_kind[0], (unsigned)ahead);
    if (of_kind[1] > 0)
        turns_of_kind(&p, pace_of_kind(s, 1), of_kind[0], (unsigned)ahead, (unsigned)ahead);
    wait_ns = turns_wait_ns(&p, ahead);
    if (spent_ns > wait_ns)
        wait_ns = spent_ns;
    return spent_ns > 0 ? turns_wait_spent_ns(&p, wait_ns, ahead, ahead, budget_ns, s) : wait_ns;
}

static void end_those_that_end(struct sim *s)
{
    for (unsigned i = s->busy_count; i-- > 0;) {
        const struct request *r = &s->requests[s->busy[i]];

        if (r->ends_ns > s->now_ns)
            continue;
        pace_note(&s->all, r->ends_ns - r->began_ns, s->now_ns);
        pace_note(&s->paces[r->kind], r->ends_ns - r->began_ns, s->now_ns);
        s->busy[i] = s->busy[--s->busy_count];
    }
}

/* When something can go next; INT64_MAX: not before something ends. */
static int64_t begin_those_that_may(struct sim *s)
{
    while (s->began < s->came && s->busy_count < s->row->places) {
        struct request *r = &s->requests[s->began];
        struct receipt  receipt;
        int64_t         wait_ns = ledger_wait_ns(s->ledger, &s->charge, at(s), NULL);

        if (wait_ns > 0)
            return s->now_ns + wait_ns;
        ledger_spend(s->ledger, &s->charge, at(s), &receipt);
        r->began_ns = s->now_ns;
        r->ends_ns = s->now_ns + service_ns(s, r->kind);
        s->busy[s->busy_count++] = s->began++;
    }
    return INT64_MAX;
}

static int64_t earlier(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* How many go a second at most. */
static double capacity(const struct row *r)
{
    double places = (double)r->places / ((double)r->mean_ms / 1000), budget;

    if (r->limit.count == 0)
        return places;
    budget = (double)r->limit.count / ((double)r->limit.window_ns / NS_PER_SEC);
    return places < budget ? places : budget;
}

/* Four times in the run the line grows to some seconds, and is worked off. */
static int64_t next_arrival(struct sim *s)
{
    double rate = capacity(s->row) * (s->came % 750 < 450 ? 1.4 : 0.6);

    return s->now_ns + (int64_t)((0.5 + uniform(s)) / rate * NS_PER_SEC);
}

static void simulate(struct sim *s)
{
    int64_t arrival_ns = 0, begin_ns = INT64_MAX;

    while (s->began < SIM_REQUESTS) {
        int64_t next_ns = earlier(s->came < SIM_REQUESTS ? arrival_ns : INT64_MAX, begin_ns);

        for (unsigned i = 0; i < s->busy_count; i++)
            next_ns = earlier(next_ns, s->requests[s->busy[i]].ends_ns);
        s->now_ns = next_ns;
        end_those_that_end(s);
        begin_ns = begin_those_that_may(s);
        if (s->came < SIM_REQUESTS && arrival_ns <= s->now_ns) {
            unsigned kind = s->row->service == BY_RULE && uniform(s) < 0.2;

            s->requests[s->came].kind = kind;
            s->requests[s->came].came_ns = s->now_ns;
            s->requests[s->came].told_ns = forecast_ns(s);
            s->came++;
            arrival_ns = next_arrival(s);
            begin_ns = begin_those_that_may(s);
        }
    }
}

#define NO_LIMIT \
    { \
        .count = 0 \
    }
#define SLIDING(n, ns) \
    { \
        .kind = LIMIT_SLIDING, .name = "l", .count = (n), .window_ns = (ns) \
    }
#define BUCKET(n, b) \
    { \
        .kind = LIMIT_BUCKET, .name = "l", .count = (n), .window_ns = NS_PER_SEC, .burst = (b) \
    }

/* Where something takes half or twice the time by chance, few of them take anything: then nobody can know it better. */
static const struct row rows[] = {
    { "fixed_1", 1, FIXED, 500, NO_LIMIT, 5000, 0.99 },
    { "fixed_10", 10, FIXED, 500, NO_LIMIT, 2000, 0.99 },
    { "fixed_100", 100, FIXED, 500, NO_LIMIT, 400, 0.99 },
    { "fast_10", 10, FIXED, 10, NO_LIMIT, 200, 0.99 },
    { "jittered_1", 1, JITTERED_10, 500, NO_LIMIT, 5000, 0.98 },
    { "jittered_10", 10, JITTERED_10, 500, NO_LIMIT, 2000, 0.98 },
    { "jittered_100", 100, JITTERED_10, 500, NO_LIMIT, 400, 0.98 },
    { "much_jittered_10", 10, JITTERED_40, 500, NO_LIMIT, 2000, 0.95 },
    { "much_jittered_100", 100, JITTERED_40, 500, NO_LIMIT, 400, 0.95 },
    { "bimodal_10", 10, BIMODAL, 500, NO_LIMIT, 2000, 0.80 },
    { "bimodal_100", 100, BIMODAL, 500, NO_LIMIT, 400, 0.85 },
    { "long_tail_100", 100, LONG_TAIL, 500, NO_LIMIT, 400, 0.93 },
    { "two_rules_100", 100, BY_RULE, 500, NO_LIMIT, 400, 0.95 },
    { "three_in_a_thousand_hang", 10, SPIKES, 100, NO_LIMIT, 2000, 0.85 },
    { "budget_is_the_bottleneck", 10, FIXED, 100, BUCKET(50, 1), 2000, 0.99 },
    { "budget_is_the_bottleneck_and_jitter", 10, JITTERED_40, 100, BUCKET(50, 10), 2000, 0.95 },
    { "a_window_is_the_bottleneck", 10, FIXED, 100, SLIDING(50, NS_PER_SEC), 2000, 0.95 },
    { "places_are_the_bottleneck_under_a_budget", 10, FIXED, 500, BUCKET(40, 1), 3000, 0.95 },
    { "both_are", 10, JITTERED_10, 500, BUCKET(20, 5), 3000, 0.95 },
    { "a_window_opens_to_more_than_there_are_places", 5, FIXED, 500, SLIDING(50, 6 * NS_PER_SEC), 9000, 0.95 },
};

static void test_what_is_foretold_comes_true(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        struct sim *s = calloc(1, sizeof *s);
        unsigned    right = 0, counted = 0, waited = 0, wrongly = 0, refused = 0, long_ones = 0;
        int64_t     most_ns = rows[i].max_wait_ms * MS;

        assert_non_null(s);
        s->row = &rows[i];
        s->random = 42 + i;
        s->charge = (struct charge){ .method = HTTP_GET, .method_name = SLICE("GET"), .path = SLICE("/") };
        s->ledger = ledger_new(&rows[i].limit, rows[i].limit.count > 0 ? 1 : 0);
        simulate(s);
        for (unsigned k = SIM_WARM; k < SIM_REQUESTS; k++) {
            const struct request *r = &s->requests[k];
            int64_t               took_ns = r->began_ns - r->came_ns, off_ns = llabs(took_ns - r->told_ns);

            waited += took_ns > 0;
            counted++;
            right += off_ns <= 50 * MS || off_ns <= took_ns / 10;
            refused += r->told_ns > most_ns;
            wrongly += r->told_ns > most_ns && took_ns < most_ns - most_ns / 10;
            long_ones += took_ns > most_ns;
        }
        if (getenv("TURNS_SHOW") != NULL)
            print_message("%-46s %.3f right; %u waited, %u over max_wait, %u would be refused, %u of them wrongly\n",
                          rows[i].name, (double)right / counted, waited, long_ones, refused, wrongly);
        if (right < rows[i].right * counted)
            fail_msg("%s: only %u of %u", rows[i].name, right, counted);
        if (wrongly * 100 > counted)
            fail_msg("%s: %u of %u would be refused falsely", rows[i].name, wrongly, counted);
        if (long_ones > counted / 50 && refused < long_ones * 8 / 10)
            fail_msg("%s: of %u that wait too long %u hear so", rows[i].name, long_ones, refused);
        if (waited < counted / 4)
            fail_msg("%s: only %u waited", rows[i].name, waited);
        ledger_free(s->ledger);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pace),
        cmocka_unit_test(test_pace_is_forgotten),
        cmocka_unit_test(test_what_is_left_of_one_under_way),
        cmocka_unit_test(test_turns),
        cmocka_unit_test(test_places_that_never_become_free),
        cmocka_unit_test(test_kinds_wait_in_proportion),
        cmocka_unit_test(test_after_a_pause),
        cmocka_unit_test(test_what_is_foretold_comes_true),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
