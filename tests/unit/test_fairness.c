/*
 * Fair over time that has gone by: crowds of newcomers beside steady
 * clients, the bound on anybody's wait that budget/queue.h states, and how many are remembered.
 */
#include "budget/queue_parts.h"

#include "base/arena.h"
#include "base/clock.h"
#include "property.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S  NS_PER_SEC
#define MS NS_PER_MS

static const struct queue_class plain = { .shared = 1, .cost = 1 };

static int64_t always(void *context, struct queue_entry *e, bool overtaken)
{
    (void)context, (void)e, (void)overtaken;
    return 0;
}

struct job {
    struct queue_entry entry;
    int                steady; /* which one; -1: a newcomer */
    int64_t            put_ns;
};

static void put(struct queue *q, struct job *j, int steady, struct queue_who who, const struct queue_class *class,
                int64_t now_ns)
{
    *j = (struct job){ .entry = { .class = *class, .who = who, .arrived_ns = now_ns },
                       .steady = steady,
                       .put_ns = now_ns };
    queue_put(q, &j->entry);
}

/* -- a thousand newcomers a second against three that are steady -- */

enum { STEADY = 3, TURNS_A_SECOND = 4, SECONDS = 60, NEWCOMERS = 1000 * SECONDS };

/* Ids: 0 means the same as everybody. */
static const struct crowd {
    const char      *name;
    enum queue_level steady_differ; /* on this level, and are alike above it */
    struct queue_who crowd;         /* UINT64_MAX: another one each */
    bool             credentials;   /* each newcomer spends with a credential of its own, too */
} crowds[] = {
    { "short processes of another program", QUEUE_PROGRAM, { { 0, 9, UINT64_MAX, UINT64_MAX } }, false },
    { "the same, each with another credential", QUEUE_PROGRAM, { { 0, 9, UINT64_MAX, UINT64_MAX } }, true },
    { "short processes of the same program", QUEUE_PROCESS, { { 0, 0, UINT64_MAX, UINT64_MAX } }, false },
    { "short connections, no process can be read", QUEUE_CONNECTION, { { 0, 0, 0, UINT64_MAX } }, false },
    { "another name each time", QUEUE_PROGRAM, { { 0, UINT64_MAX, 0, UINT64_MAX } }, false },
    { "another name each time, of another user", QUEUE_USER, { { 9, UINT64_MAX, 0, UINT64_MAX } }, false },
    { "the same with credentials", QUEUE_USER, { { 9, UINT64_MAX, UINT64_MAX, UINT64_MAX } }, true },
    { "another address each time", QUEUE_USER, { { UINT64_MAX, 0, 0, UINT64_MAX } }, false },
};

static struct queue_who steady_who(const struct crowd *c, int which)
{
    struct queue_who who = { { 0 } };

    who.id[c->steady_differ] = 100 + (uint64_t)which;
    if (c->steady_differ < QUEUE_CONNECTION)
        who.id[QUEUE_CONNECTION] = 200 + (uint64_t)which;
    return who;
}

static struct queue_who newcomer_who(const struct crowd *c, int which)
{
    struct queue_who who = c->crowd;

    for (int i = 0; i < QUEUE_LEVELS; i++)
        if (who.id[i] == UINT64_MAX)
            who.id[i] = 1000 + (uint64_t)which;
    return who;
}

static void run_crowd(const struct crowd *c)
{
    struct queue *q = queue_new();
    struct job   *newcomers = mem_alloc(NEWCOMERS * sizeof *newcomers), steady[STEADY];
    unsigned      turns[STEADY] = { 0 }, all = 0;
    int64_t       longest_ns = 0;

    for (int i = 0; i < STEADY; i++)
        put(q, &steady[i], i, steady_who(c, i), &plain, 0);
    for (int i = 0; i < NEWCOMERS; i++) {
        struct queue_class class = plain;
        int64_t now_ns = i * MS;

        if (c->credentials) {
            class.owned = 2;
            class.owner = (uint64_t)i + 1;
        }
        put(q, &newcomers[i], -1, newcomer_who(c, i), &class, now_ns);
        if (i >= 2000) /* nobody waits for more than two seconds */
            queue_remove(q, &newcomers[i - 2000].entry);
        if (i % (1000 / TURNS_A_SECOND) == 0) {
            struct job *j = (struct job *)queue_take(q, now_ns, always, NULL, NULL);

            all++;
            if (j->steady < 0)
                continue;
            turns[j->steady]++;
            longest_ns = now_ns - j->put_ns > longest_ns ? now_ns - j->put_ns : longest_ns;
            put(q, j, j->steady, steady_who(c, j->steady), &plain, now_ns);
        }
    }
    for (int i = 0; i < STEADY; i++)
        if (turns[i] < all / (STEADY + 1) - 2)
            fail_msg("%s: %u of %u turns for one of %d steady ones", c->name, turns[i], all, STEADY);
    /* Three others and one newcomer, the first time one more. */
    if (longest_ns > (STEADY + 2) * S / TURNS_A_SECOND)
        fail_msg("%s: one waited for %.2f s", c->name, (double)longest_ns / S);
    queue_free(q);
    free(newcomers);
}

static void test_a_crowd_of_newcomers_takes_one_share(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof crowds / sizeof crowds[0]; i++)
        run_crowd(&crowds[i]);
}

/* A loop that asks again as soon as it is answered, each time as another process: as many turns as anybody. */
static void test_a_loop_of_processes_is_one_of_four(void **state)
{
    struct queue *q = queue_new();
    struct job    steady[STEADY], loop;
    unsigned      turns[STEADY + 1] = { 0 };

    (void)state;
    for (int i = 0; i < STEADY; i++)
        put(q, &steady[i], i, steady_who(&crowds[0], i), &plain, 0);
    put(q, &loop, STEADY, newcomer_who(&crowds[0], 0), &plain, 0);
    for (int i = 0; i < 124; i++) {
        struct job *j = (struct job *)queue_take(q, i * 500 * MS, always, NULL, NULL);

        turns[j->steady]++;
        put(q, j, j->steady, j->steady < STEADY ? steady_who(&crowds[0], j->steady) : newcomer_who(&crowds[0], i + 1),
            &plain, i * 500 * MS);
    }
    for (int i = 0; i <= STEADY; i++)
        assert_in_range(turns[i], 31 - 2, 31 + 2);
    queue_free(q);
}

/* Who comes and goes is not first each time he comes. */
static void test_what_was_used_outlives_the_connection(void **state)
{
    struct queue    *q = queue_new();
    struct queue_who often = { { 1, 1, 1, 1 } }, waits = { { 2, 2, 2, 2 } };
    struct job       comes, stays[40];
    unsigned         turns = 0;

    (void)state;
    for (int i = 0; i < 40; i++)
        put(q, &stays[i], 0, waits, &plain, 0);
    for (int i = 0; i < 40; i++) {
        struct queue_who who = often;

        who.id[QUEUE_CONNECTION] = 100 + (uint64_t)i;
        who.id[QUEUE_PROCESS] = 100 + (uint64_t)i;
        put(q, &comes, 1, who, &plain, i);
        turns += ((struct job *)queue_take(q, i, always, NULL, NULL))->steady == 1;
        queue_remove(q, &comes.entry); /* gives up, and comes as another */
    }
    assert_in_range(turns, 19, 21);
    queue_free(q);
}

/* A name is below the user: with a thousand of them he has the turns of one. */
static void test_names_do_not_multiply_a_user(void **state)
{
    enum { NAMES = 300 };
    struct queue *q = queue_new();
    struct job    names[NAMES], one;
    unsigned      turns = 0;

    (void)state;
    for (uint64_t i = 0; i < NAMES; i++)
        put(q, &names[i], -1, (struct queue_who){ { 1, 10 + i, 0, 10 + i } },
            &(struct queue_class){ .shared = 1, .owned = 2, .owner = i + 1, .cost = 1 }, 0);
    put(q, &one, 0, (struct queue_who){ { 2, 0, 0, 1 } }, &plain, 0);
    for (int i = 0; i < 400; i++) {
        struct job *j = (struct job *)queue_take(q, i, always, NULL, NULL);

        turns += j == &one;
        put(q, j, j->steady, j->entry.who, &j->entry.class, i);
    }
    assert_in_range(turns, 199, 201);
    queue_free(q);
}

/* A hundred that begin at once and go on are all known soon: no newcomer waits for ever for those who are. */
static void test_many_that_begin_at_once(void **state)
{
    enum { MANY = 100 };
    struct queue *q = queue_new();
    struct job    jobs[MANY];
    unsigned      turns[MANY] = { 0 }, least = UINT32_MAX, most = 0;

    (void)state;
    for (int i = 0; i < MANY; i++)
        put(q, &jobs[i], i, (struct queue_who){ { 1, 1, 1, 100 + (uint64_t)i } }, &plain, i);
    for (int i = 0; i < 20 * MANY; i++) {
        struct job *j = (struct job *)queue_take(q, i, always, NULL, NULL);

        turns[j->steady]++;
        put(q, j, j->steady, j->entry.who, &plain, 100 + i);
    }
    for (int i = 0; i < MANY; i++) {
        least = turns[i] < least ? turns[i] : least;
        most = turns[i] > most ? turns[i] : most;
    }
    if (least < 10)
        fail_msg("%u to %u turns, where 20 would be even", least, most);
    queue_free(q);
}

/* -- room -- */

struct part {
    struct queue_who    who;
    enum queue_priority priority;
    unsigned            count;
};

static void test_whose_place_is_taken_in_a_full_queue(void **state)
{
    enum { U = UINT16_MAX }; /* another one each */
    static const struct {
        const char         *name;
        struct part         parts[3]; /* in order of arrival; all are known, but for U */
        struct queue_who    who;
        enum queue_priority priority;
        int                 gives_way; /* the last of that part; -1: nobody */
    } cases[] = {
        { "a crowd of newcomers makes room for who is known",
          { { { { 1, 1, U, U } }, 0, 9 }, { { { 1, 1, 2, 2 } }, 0, 1 } },
          { { 1, 1, 3, 3 } },
          0,
          0 },
        { "newcomers make no room for a newcomer",
          { { { { 1, 1, U, U } }, 0, 9 }, { { { 1, 1, 2, 2 } }, 0, 1 } },
          { { 1, 1, 77, 77 } },
          0,
          -1 },
        { "a user's many for another user",
          { { { { 1, 1, 1, 1 } }, 0, 6 }, { { { 2, 1, 1, 1 } }, 0, 4 } },
          { { 2, 1, 1, 1 } },
          0,
          0 },
        { "not for one more of the same size",
          { { { { 1, 1, 1, 1 } }, 0, 5 }, { { { 2, 1, 1, 1 } }, 0, 4 } },
          { { 2, 1, 1, 1 } },
          0,
          -1 },
        { "not for his own",
          { { { { 1, 1, 1, 1 } }, 0, 6 }, { { { 2, 1, 1, 1 } }, 0, 2 } },
          { { 1, 1, 1, 1 } },
          0,
          -1 },
        { "but a program's for another of his",
          { { { { 1, 1, 1, 1 } }, 0, 6 }, { { { 2, 1, 1, 1 } }, 0, 2 } },
          { { 1, 2, 1, 1 } },
          0,
          0 },
        { "a new user's for a known one",
          { { { { U, 1, 1, 1 } }, 0, 5 }, { { { 2, 1, 1, 1 } }, 0, 2 } },
          { { 2, 1, 1, 1 } },
          0,
          0 },
        { "batch for interactive",
          { { { { 1, 1, 1, 1 } }, QUEUE_BATCH, 1 }, { { { 2, 1, 1, 1 } }, 0, 6 } },
          { { 2, 1, 1, 1 } },
          0,
          0 },
        { "interactive not for batch", { { { { 1, 1, 1, 1 } }, 0, 6 } }, { { 2, 1, 1, 1 } }, QUEUE_BATCH, -1 },
        { "the largest part of several",
          { { { { 1, 1, 1, 1 } }, 0, 3 }, { { { 2, 1, 1, 1 } }, 0, 4 }, { { { 3, 1, 1, 1 } }, 0, 2 } },
          { { 4, 1, 1, 1 } },
          0,
          1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct queue       *q = queue_new();
        struct job          jobs[32];
        struct queue_entry *gives_way;
        unsigned            n = 0, last[3] = { 0 };

        for (int k = 0; k <= 3; k++) { /* they become known */
            struct queue_who who = k < 3 ? cases[i].parts[k].who : cases[i].who;

            put(q, &jobs[0], 0, who, &plain, 0);
            if (memchr(&who, 0xff, sizeof who) != NULL || (k == 3 && who.id[QUEUE_CONNECTION] == 77))
                queue_remove(q, &jobs[0].entry);
            else
                queue_take(q, 0, always, NULL, NULL);
        }
        for (int k = 0; k < 3; k++)
            for (unsigned c = 0; c < cases[i].parts[k].count; c++, n++) {
                struct queue_who who = cases[i].parts[k].who;

                for (int level = 0; level < QUEUE_LEVELS; level++)
                    who.id[level] = who.id[level] == U ? 1000 + n : who.id[level];
                jobs[n] = (struct job){
                    .entry = { .class = plain, .who = who, .arrived_ns = 1 + n, .priority = cases[i].parts[k].priority }
                };
                queue_put(q, &jobs[n].entry);
                last[k] = n;
            }
        gives_way = queue_crowding(q, cases[i].priority, &cases[i].who);
        if (gives_way != (cases[i].gives_way < 0 ? NULL : &jobs[last[cases[i].gives_way]].entry))
            fail_msg("%s: %d", cases[i].name, gives_way != NULL ? (int)((struct job *)gives_way - jobs) : -1);
        queue_free(q);
    }
}

/* -- the bound -- */

enum { USERS = 3, BELOW = 2, REGULARS = USERS * BELOW * BELOW * BELOW, JOBS = 400, STEPS = 200000 };
static const int of_level[QUEUE_LEVELS] = { USERS, USERS *BELOW, USERS *BELOW *BELOW, REGULARS };

/* For each party: how often each sibling went while it waited, since its own last turn; the last: newcomers. */
struct watched {
    unsigned waiting, since[USERS + 1];
};

struct world {
    struct property p;
    struct queue   *q;
    struct job      jobs[JOBS];
    int             newcomer_at[JOBS];         /* level on which it is new; QUEUE_LEVELS: it is known */
    int             party[JOBS][QUEUE_LEVELS]; /* number on each level, while it is known */
    uint64_t        others[JOBS], most[JOBS];  /* that went while it waited; that may */
    struct watched  watched[QUEUE_LEVELS][REGULARS];
    uint64_t        newest, went, went_known;
};

static unsigned siblings(int level)
{
    return level == 0 ? USERS : BELOW;
}

static void place(struct world *w, int job, bool newcomer)
{
    static const struct queue_class classes[] = { { .shared = 1, .cost = 1 },
                                                  { .shared = 1, .cost = 1, .costs = 3 },
                                                  { .shared = 1, .owned = 2, .owner = 7, .cost = 1 } };
    struct queue_who                who;
    int                             number = (int)property_below(&w->p, REGULARS);
    int                             level = newcomer ? (int)property_below(&w->p, QUEUE_LEVELS) : QUEUE_LEVELS;
    uint64_t                        before = 0;

    for (int i = QUEUE_LEVELS - 1, n = number; i >= 0; n /= BELOW, i--)
        w->party[job][i] = n;
    for (int i = 0; i < QUEUE_LEVELS; i++)
        who.id[i] = i < level ? 1 + (uint64_t)w->party[job][i] : 1000 + ++w->newest;
    w->newcomer_at[job] = level;
    for (int i = 0; i < JOBS; i++)
        before += queue_waits(&w->jobs[i].entry) && memcmp(&w->jobs[i].entry.who, &who, sizeof who) == 0;
    w->others[job] = 0;
    w->most[job] = before + 1;
    for (int i = 0; i < QUEUE_LEVELS; i++)
        w->most[job] *= siblings(i) + 1; /* itself, the known others, and one newcomer */
    w->most[job]--;
    put(w->q, &w->jobs[job], job, who, &classes[property_below(&w->p, 3)], (int64_t)w->newest);
    for (int i = 0; i < level; i++) {
        struct watched *x = &w->watched[i][w->party[job][i]];

        if (x->waiting++ == 0)
            memset(x->since, 0, sizeof x->since);
    }
}

static void leave(struct world *w, int job)
{
    for (int i = 0; i < w->newcomer_at[job]; i++)
        w->watched[i][w->party[job][i]].waiting--;
}

static void count_turn(struct world *w, int job)
{
    for (int i = 0; i <= w->newcomer_at[job] && i < QUEUE_LEVELS; i++) {
        bool is_new = i == w->newcomer_at[job];
        int  parent = w->party[job][i] / (int)siblings(i), own = w->party[job][i] % (int)siblings(i);

        for (unsigned k = 0; k < siblings(i); k++) {
            struct watched *x = &w->watched[i][parent * (int)siblings(i) + (int)k];

            if (x->waiting == 0 || (!is_new && (int)k == own))
                continue;
            if (++x->since[is_new ? USERS : own] > 1)
                fail_msg("turn %llu, level %d: a %s went twice before one that waits", (unsigned long long)w->went, i,
                         is_new ? "newcomer" : "sibling");
        }
        if (!is_new)
            memset(w->watched[i][w->party[job][i]].since, 0, sizeof w->watched[i][0].since);
    }
}

static void turn(struct world *w)
{
    struct job *j = (struct job *)queue_take(w->q, (int64_t)w->newest, always, NULL, NULL);
    int         job;

    if (j == NULL)
        return;
    job = j->steady;
    w->went++;
    count_turn(w, job);
    leave(w, job);
    if (w->newcomer_at[job] == QUEUE_LEVELS) {
        w->went_known++;
        if (w->others[job] > w->most[job])
            fail_msg("turn %llu: %llu went before it, %llu may", (unsigned long long)w->went,
                     (unsigned long long)w->others[job], (unsigned long long)w->most[job]);
    }
    for (int i = 0; i < JOBS; i++)
        w->others[i] += queue_waits(&w->jobs[i].entry);
}

/* All that will be known have had a turn, each alone. */
static void introduce(struct world *w)
{
    for (int n = 0; n < REGULARS; n++) {
        struct queue_who who;

        for (int i = QUEUE_LEVELS - 1, k = n; i >= 0; k /= BELOW, i--)
            who.id[i] = 1 + (uint64_t)k;
        for (int twice = 0; twice < 2; twice++) {
            put(w->q, &w->jobs[0], 0, who, &plain, 0);
            assert_ptr_equal(queue_take(w->q, 0, always, NULL, NULL), &w->jobs[0].entry);
        }
    }
}

static void test_nobody_waits_longer_than_the_bound(void **state)
{
    struct world *w = mem_alloc(sizeof *w);

    (void)state;
    assert_int_equal(of_level[QUEUE_CONNECTION], REGULARS);
    w->p.state = 4711;
    w->q = queue_new();
    introduce(w);
    for (int step = 0; step < STEPS; step++) {
        int    job = (int)property_below(&w->p, JOBS);
        size_t what = property_below(&w->p, 100), crowd = 20 + (size_t)(step / 20000) % 3 * 30;

        if (what < 60) {
            if (!queue_waits(&w->jobs[job].entry))
                place(w, job, property_below(&w->p, 100) < crowd);
        } else if (what < 70) {
            if (queue_waits(&w->jobs[job].entry)) {
                queue_remove(w->q, &w->jobs[job].entry);
                leave(w, job);
            }
        } else {
            turn(w);
        }
    }
    print_message("%llu went, %llu of them known\n", (unsigned long long)w->went, (unsigned long long)w->went_known);
    assert_true(w->went_known > w->went / 5 && w->went_known < w->went * 9 / 10);
    queue_free(w->q);
    free(w);
}

/* -- memory -- */

/* A million, new on every level in turn: what is remembered of them is bounded, and the regulars stay. */
static void test_a_million_newcomers_leave_little(void **state)
{
    struct queue    *q = queue_new();
    struct property  p = { 3 };
    struct job       job, steady;
    struct queue_who regular = { { 1, 1, 1, 1 } };
    size_t           most = 0;

    (void)state;
    for (uint64_t i = 0; i < 1000000; i++) {
        struct queue_who who = regular;
        int64_t          now_ns = (int64_t)i * MS;

        for (size_t level = property_below(&p, QUEUE_LEVELS); level < QUEUE_LEVELS; level++)
            who.id[level] = 1000 + i;
        put(q, &job, 0, who, &plain, now_ns);
        assert_non_null(queue_take(q, now_ns, always, NULL, NULL));
        if (i % 100 == 0) {
            put(q, &steady, 1, regular, &plain, now_ns);
            assert_non_null(queue_take(q, now_ns, always, NULL, NULL));
            if (i > 1000)
                for (int level = 0; level < QUEUE_LEVELS; level++) {
                    struct party *party = q->roots[0];

                    for (int k = 0; k <= level; k++)
                        party = party_find(&q->parties, party, regular.id[k]);
                    assert_non_null(party);
                    assert_true(party->regular);
                }
        }
        most = q->parties.table.count > most ? q->parties.table.count : most;
    }
    print_message("at most %zu parties\n", most);
    assert_true(most <= 128 + 64 + 3 * 128 + 512);
    assert_int_equal(q->stands.table.count, 0);
    queue_free(q);
}

/* Hours later nobody is known any more. */
static void test_those_that_are_gone_are_forgotten(void **state)
{
    struct queue *q = queue_new();
    struct job    job;
    size_t        before;

    (void)state;
    for (uint64_t i = 0; i < 100; i++)
        for (int twice = 0; twice < 2; twice++) {
            put(q, &job, 0, (struct queue_who){ { i, i, i, i } }, &plain, 0);
            queue_take(q, 0, always, NULL, NULL);
        }
    before = q->parties.table.count;
    for (int i = 0; i < 200; i++) {
        put(q, &job, 0, (struct queue_who){ { 7, 7, 7, 7 } }, &plain, 3600 * S);
        queue_take(q, 3600 * S, always, NULL, NULL);
    }
    assert_true(before >= 400);
    assert_int_equal(q->parties.table.count, 4);
    queue_free(q);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_crowd_of_newcomers_takes_one_share),
        cmocka_unit_test(test_a_loop_of_processes_is_one_of_four),
        cmocka_unit_test(test_what_was_used_outlives_the_connection),
        cmocka_unit_test(test_names_do_not_multiply_a_user),
        cmocka_unit_test(test_many_that_begin_at_once),
        cmocka_unit_test(test_whose_place_is_taken_in_a_full_queue),
        cmocka_unit_test(test_nobody_waits_longer_than_the_bound),
        cmocka_unit_test(test_a_million_newcomers_leave_little),
        cmocka_unit_test(test_those_that_are_gone_are_forgotten),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
