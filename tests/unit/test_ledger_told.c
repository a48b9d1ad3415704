/*
 * What an API says of limits, and to which of them it speaks.
 */
#include "ledger_rig.h"

#include <stdio.h>

/* -- what the API says -- */

static void test_an_exhausted_search_freezes_nothing_else(void **state)
{
    struct ledger *l = make_github();
    struct charge  search = get("/search/code", ann);

    (void)state;
    answer(l, &search, 0, 200, GITHUB("search", "30", "0", "40"));
    assert_int_equal(wait_of(l, "/search/issues", ann, 0), 40 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/repos/a/b", ann, 0), 0);
    assert_int_equal(wait_of(l, "/search/code", bob, 0), 0);
    ledger_free(l);
}

static void test_an_exhausted_core_leaves_search(void **state)
{
    struct ledger *l = make_github();
    struct charge  repos = get("/repos/a/b", ann), search = get("/search/code", ann);

    (void)state;
    answer(l, &search, 0, 200, GITHUB("search", "30", "29", "60"));
    answer(l, &repos, 0, 200, GITHUB("core", "5000", "0", "1700001800"));
    assert_int_equal(wait_of(l, "/users/x", ann, 0), 1800 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/repos/a/b", bob, 0), 0);
    ledger_free(l);
}

static void test_resource_that_no_limit_covers(void **state)
{
    struct ledger *l = make_github();
    struct charge  graph = get("/graphql", ann), scim = get("/scim/v2/x", ann);

    (void)state;
    answer(l, &graph, 0, 200, GITHUB("graphql", "777", "0", "100"));
    answer(l, &scim, 0, 200, GITHUB("scim", "15", "0", "200"));
    assert_int_equal(wait_of(l, "/graphql", ann, 0), 100 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/graphql?x=1", ann, 0), 100 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/scim/v2/y", ann, 0), 200 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/repos/a/b", ann, 0), 0);
    assert_int_equal(wait_of(l, "/graphql", bob, 0), 0);
    ledger_free(l);
}

/* A name that only the match speaks for: the learned limit is told by it, whatever its number. */
static void test_a_learned_limit_is_told_by_the_only_name(void **state)
{
    static const struct limit_options hour[] = {
        { .name = "10/h window learned", .kind = LIMIT_LEARNED, .count = 10, .window_ns = 3600 * S },
    };
    struct ledger *l = make(hour, 1);
    struct charge  c = get("/x/1", ann);
    int64_t        now = 0;

    (void)state;
    answer(l, &c, now, 200, GITHUB("core", "3", "2", "60"));
    assert_int_equal(drain(l, &c, now), 2);
    assert_int_equal(wait_of(l, "/y", ann, now), 60 * S + LIMIT_GUARD_NS); /* never asked before: its number, too */
    now = 61 * S;
    answer(l, &c, now, 200, GITHUB("core", "3", "2", "60"));
    assert_int_equal(drain(l, &c, now), 2);
    now = 122 * S;
    answer(l, &c, now, 200, GITHUB("core", "500", "499", "60"));
    assert_int_equal(drain(l, &c, now), 9); /* capped by ours */
    assert_true(wait_of(l, "/x/1", ann, now) <= 60 * S + LIMIT_GUARD_NS);
    ledger_free(l);
}

/* Once a second name comes, it is neither's: what one has exhausted freezes nothing else. */
static void test_a_learned_limit_of_several_names_is_none_of_them(void **state)
{
    static const struct limit_options hour[] = {
        { .name = "100/h window learned", .kind = LIMIT_LEARNED, .count = 100, .window_ns = 3600 * S },
    };
    struct ledger *l = make(hour, 1);
    struct charge  a = get("/a/1", ann), b = get("/b/1", ann);

    (void)state;
    answer(l, &a, 0, 200, GITHUB("alpha", "7", "0", "60"));
    answer(l, &b, 0, 200, GITHUB("beta", "9", "5", "60"));
    assert_int_equal(wait_of(l, "/a/1", ann, 0), 60 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/c", ann, 0), 0);
    assert_int_equal(drain(l, &b, 0), 5);
    ledger_free(l);
}

/* Of several policies the learned limit is the one of its window, whatever the numbers are. */
static void test_a_learned_limit_is_told_by_the_policy_of_its_window(void **state)
{
    static const struct limit_options hour[] = {
        { .name = "10/h window learned", .kind = LIMIT_LEARNED, .count = 10, .window_ns = 3600 * S },
    };
    struct ledger *l = make(hour, 1);
    struct charge  c = get("/x", ann);

    (void)state;
    answer(l, &c, 0, 200,
           "RateLimit: \"burst\";r=9;t=1, \"hourly\";r=3;t=100\n"
           "RateLimit-Policy: \"burst\";q=10;w=1, \"hourly\";q=4;w=3600\n");
    assert_int_equal(drain(l, &c, 0), 3);
    assert_int_equal(wait_of(l, "/never/asked", ann, 0), 100 * S + LIMIT_GUARD_NS);
    answer(l, &c, 101 * S, 200,
           "RateLimit: \"burst\";r=9;t=1, \"hourly\";r=3;t=3600\n"
           "RateLimit-Policy: \"burst\";q=10;w=1, \"hourly\";q=4;w=3600\n");
    assert_int_equal(drain(l, &c, 101 * S), 3);
    ledger_free(l);
}

/* What cannot be meant is cut: for Retry-After to what is believed, for a reset to the window where that is known. */
static void test_what_cannot_be_meant_is_cut(void **state)
{
    static const struct limit_options minute[] = {
        { .name = "60/min", .kind = LIMIT_SLIDING, .count = 60, .window_ns = 60 * S },
    };
    static const struct limit_options learned[] = {
        { .name = "60/min window learned", .kind = LIMIT_LEARNED, .count = 60, .window_ns = 60 * S },
    };
    static const struct {
        const char                 *name;
        const struct limit_options *limits;
        unsigned                    status;
        const char                 *head;
        int64_t                     wait_ns;
        unsigned                    cut;
    } cases[] = {
        { "retry_after_within", minute, 429, "Retry-After: 3000\n", 3000 * S, 0 },
        { "retry_after_beyond", minute, 429, "Retry-After: 7200\n", 3600 * S, 1 },
        { "twenty_digits", minute, 429, "Retry-After: 99999999999999999999\n", 3600 * S, 1 },
        { "epoch", minute, 429, "Retry-After: 1700000042\n", 42 * S, 0 },
        { "epoch_of_next_year", minute, 429, "Retry-After: 1731536000\n", 3600 * S, 1 },
        { "negative", minute, 429, "Retry-After: -30\n", 0, 1 },
        { "a_teapot_that_bans", minute, 418, "Retry-After: 300\n", 300 * S, 0 },
        { "beside_what_counts_something_else", minute, 429,
          "x-ms-ratelimit-remaining-subscription-reads: 11999\nRetry-After: 17\n", 17 * S, 0 },
        { "beside_a_number_that_says_no_time", minute, 429, "X-RateLimit-Remaining: 9\nRetry-After: 17\n", 17 * S, 0 },
        { "beside_tokens_that_are_used_up", minute, 429,
          "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 6m0s\nRetry-After: 17\n", 17 * S, 0 },
        { "reset_of_the_same_limit", minute, 200,
          "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 7000\n", 60 * S + LIMIT_GUARD_NS, 1 },
        { "reset_a_second_late", minute, 200,
          "X-RateLimit-Limit: 60\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 61\n", 61 * S + LIMIT_GUARD_NS, 0 },
        { "reset_of_another_limit", minute, 200,
          "X-RateLimit-Limit: 5000\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 2400\n", 2400 * S + LIMIT_GUARD_NS,
          0 },
        { "reset_of_another_limit_beyond", minute, 200,
          "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999\n", 3600 * S + LIMIT_GUARD_NS, 1 },
        { "reset_of_a_learned_limit", learned, 200, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 7000\n",
          60 * S + LIMIT_GUARD_NS, 1 },
        { "reset_beyond_the_policys_window", minute, 200,
          "RateLimit: \"p\";r=0;t=900\nRateLimit-Policy: \"p\";q=5;w=100\n", 100 * S + LIMIT_GUARD_NS, 1 },
        { "reset_without_a_limit", NULL, 200, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 80000\n",
          80000 * S + LIMIT_GUARD_NS, 0 },
        { "reset_without_a_limit_beyond", NULL, 200,
          "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 99999999999999999999\n", 3600 * S + LIMIT_GUARD_NS, 1 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct ledger    *l = make(cases[i].limits, cases[i].limits != NULL ? 1 : 0);
        struct charge     c = get("/x", ann);
        struct ledger_cut cut = { 0 };
        int64_t           wait_ns;

        ledger_set_told_most(l, 3600 * S);
        answer(l, &c, 0, cases[i].status, cases[i].head);
        wait_ns = wait_of(l, "/x", ann, 0);
        ledger_take_cut(l, &cut);
        if (wait_ns != cases[i].wait_ns || cut.count != cases[i].cut)
            fail_msg("%s: %lld, %u cut", cases[i].name, (long long)wait_ns, cut.count);
        ledger_free(l);
    }
}

/* Whose doing a wait is. */
static void test_cause(void **state)
{
    static const struct queue_ahead   nobody;
    static const struct limit_options minute[] = {
        { .name = "2/min", .kind = LIMIT_SLIDING, .count = 2, .window_ns = 60 * S },
    };
    struct ledger *l = make(minute, 1);
    struct charge  c = get("/x", ann);

    (void)state;
    assert_int_equal(drain(l, &c, 0), 2);
    assert_int_equal(ledger_cause(l, &c, &nobody, at(0)).by, TOLD_BY_NOBODY);
    answer(l, &c, 0, 200, "X-RateLimit-Remaining: 0\nX-RateLimit-Reset: 90\n");
    assert_int_equal(ledger_cause(l, &c, &nobody, at(0)).by, TOLD_BY_X_RATELIMIT);
    answer(l, &c, S, 429, "Retry-After: 600\n");
    assert_int_equal(ledger_cause(l, &c, &nobody, at(2 * S)).by, TOLD_BY_RETRY_AFTER);
    answer(l, &c, 3 * S, 200, "X-RateLimit-Remaining: 9\nX-RateLimit-Reset: 90\n"); /* said later, holds nothing */
    assert_int_equal(ledger_cause(l, &c, &nobody, at(4 * S)).by, TOLD_BY_RETRY_AFTER);
    assert_int_equal(ledger_cause(l, &c, &nobody, at(4 * S)).heard_wall_ns, at(S).wall_ns);
    ledger_free(l);
}

static void test_forget(void **state)
{
    static const struct limit_options two[] = {
        { .name = "4/min", .kind = LIMIT_SLIDING, .count = 4, .window_ns = 60 * S },
        { .name = "uploads", .kind = LIMIT_LEARNED, .count = 50, .window_ns = 3600 * S },
    };
    struct ledger *l = make(two, 2);
    struct charge  c = get("/x", ann);

    (void)state;
    answer(l, &c, 0, 429, "Retry-After: 3000\n");
    answer(l, &c, 0, 200, GITHUB("uploads", "40", "0", "3000"));
    assert_true(wait_of(l, "/x", ann, S) > 2900 * S);
    assert_int_equal(ledger_forget(l, "nothing of that name", at(S)), -1);
    assert_true(wait_of(l, "/x", ann, S) > 2900 * S);
    assert_int_equal(ledger_forget(l, NULL, at(S)), 1);
    assert_int_equal(wait_of(l, "/x", ann, S), 0);
    assert_int_equal(drain(l, &c, S), 2); /* what is configured holds as before */
    assert_int_equal(ledger_forget(l, NULL, at(S)), 0);
    assert_true(wait_of(l, "/x", ann, S) > 50 * S); /* what was spent stays spent */
    answer(l, &c, 2 * S, 200, GITHUB("uploads", "40", "0", "3000"));
    assert_int_equal(ledger_forget(l, "UPLOADS", at(2 * S)), 1);
    ledger_free(l);
}

/* A limit of tokens is told by tokens, one of requests never. */
static void test_units(void **state)
{
    static const struct limit_options two[] = {
        { .name = "60/min", .kind = LIMIT_SLIDING, .count = 60, .window_ns = 60 * S },
        { .name = "tokens", .kind = LIMIT_SLIDING, .count = 1000, .window_ns = 60 * S, .match = "/x" },
    };
    struct ledger *plain = make(two, 1), *named = make(two, 2);
    struct charge  c = get("/x", ann);
    const char    *head = "x-ratelimit-limit-requests: 60\nx-ratelimit-remaining-requests: 59\n"
                          "x-ratelimit-reset-requests: 1s\nx-ratelimit-limit-tokens: 9000\n"
                          "x-ratelimit-remaining-tokens: 0\nx-ratelimit-reset-tokens: 30s\n";

    (void)state;
    answer(plain, &c, 0, 200, head);
    assert_int_equal(wait_of(plain, "/x", ann, 0), 0);
    answer(named, &c, 0, 200, head);
    assert_int_equal(wait_of(named, "/x", ann, 0), 30 * S + LIMIT_GUARD_NS);
    ledger_free(plain);
    ledger_free(named);
}

/* A window whose end is only assumed is over when the API says that it is. */
static void test_assumed_ends(void **state)
{
    struct ledger *l = make(NULL, 0);
    struct charge  c = get("/x", ann);

    (void)state;
    ledger_set_told_most(l, 3600 * S);
    answer(l, &c, 0, 200, "X-HubSpot-RateLimit-Daily: 100\nX-HubSpot-RateLimit-Daily-Remaining: 0\n");
    assert_true(wait_of(l, "/x", ann, 0) > 0 && wait_of(l, "/x", ann, 0) <= 3600 * S + LIMIT_GUARD_NS);
    answer(l, &c, S, 200, "X-HubSpot-RateLimit-Daily: 100\nX-HubSpot-RateLimit-Daily-Remaining: 99\n");
    assert_int_equal(wait_of(l, "/x", ann, S), 0);
    ledger_free(l);
}

/* What was in a cache on the way says nothing, not even when the API's clock reads what. */
static void test_old_answers_say_nothing(void **state)
{
    struct ledger *l = make_github();
    struct charge  c = get("/repos/a", ann);

    (void)state;
    answer(l, &c, 0, 200, "Age: 3000\n" GITHUB("core", "5000", "0", "60"));
    answer(l, &c, 0, 200, "X-Cache: HIT\nX-RateLimit-Remaining: 0\nX-RateLimit-Reset: 60\n");
    answer(l, &c, 0, 429, "Age: 3\nRetry-After: 60\n");
    assert_int_equal(wait_of(l, "/repos/a", ann, 0), 0);
    ledger_free(l);
}

/* Without any limit configured the paths' first segments say what belongs to which resource. */
static void test_resources_without_limits(void **state)
{
    struct ledger *l = make(NULL, 0);
    struct charge  code = get("/search/code", NULL), issues = get("/search/issues", NULL),
                  repo = get("/repos/a/b", NULL);

    (void)state;
    answer(l, &repo, 0, 200, GITHUB("core", "60", "5", "3600"));
    answer(l, &issues, 0, 200, GITHUB("search", "10", "3", "60"));
    answer(l, &code, 0, 200, GITHUB("code_search", "10", "0", "60"));
    assert_int_equal(wait_of(l, "/search/code", NULL, 0), 60 * S + LIMIT_GUARD_NS);
    assert_int_equal(wait_of(l, "/search/issues", NULL, 0), 0);
    assert_int_equal(wait_of(l, "/search/other", NULL, 0), 0);
    assert_int_equal(drain(l, &repo, 0), 5);
    assert_true(wait_of(l, "/repos/c", NULL, 0) > 3000 * S);
    ledger_free(l);
}

static void test_401_and_403_freeze_nothing(void **state)
{
    struct ledger *l = make_github();
    struct charge  c = get("/repos/a", ann);

    (void)state;
    answer(l, &c, 0, 401, GITHUB("core", "60", "0", "3000"));
    answer(l, &c, 0, 403, GITHUB("core", "5000", "4000", "3000"));
    answer(l, &c, 0, 403, "");
    assert_int_equal(wait_of(l, "/repos/a", ann, 0), 0);
    ledger_free(l);
}

static void test_secondary_limit(void **state)
{
    struct ledger *l = make_github();
    struct charge  c = get("/search/code", ann), repo = get("/repos/a", ann);

    (void)state;
    answer(l, &c, 0, 403, "Retry-After: 60\n" GITHUB("search", "30", "20", "50"));
    assert_int_equal(wait_of(l, "/search/code", ann, 0), 60 * S);
    assert_int_equal(wait_of(l, "/repos/a", ann, 0), 0);
    ledger_block(l, &repo, 90 * S, at(0));
    assert_int_equal(wait_of(l, "/repos/a", ann, 0), 90 * S);
    ledger_free(l);
}

static void test_unnamed_belongs_to_the_limit_that_matched(void **state)
{
    struct limit_options limits[] = { parse("100/min"), matching(parse("10/min"), "/search") };
    struct ledger       *l = make(limits, 2);
    struct charge        search = get("/search", ann), other = get("/x", ann);

    (void)state;
    answer(l, &search, 0, 429, "Retry-After: 30\n");
    assert_int_equal(wait_of(l, "/search", ann, 0), 30 * S);
    assert_int_equal(wait_of(l, "/x", ann, 0), 0);
    assert_int_equal(wait_of(l, "/search", bob, 0), 0); /* another credential */
    answer(l, &other, 0, 200, "X-RateLimit-Limit: 100\nX-RateLimit-Remaining: 1\nX-RateLimit-Reset: 20\n");
    assert_int_equal(drain(l, &other, 0), 1);
    assert_int_equal(wait_of(l, "/x", bob, 0), 0);
    ledger_free(l);
}

/* What is under way may not be counted in what the API says remains. */
static void test_remaining_less_what_is_under_way(void **state)
{
    struct limit_options limits[] = { parse("100/min") };
    struct ledger       *l = make(limits, 1);
    struct charge        c = get("/", ann);
    struct receipt       r[4];

    (void)state;
    for (int i = 0; i < 4; i++)
        assert_true(spend(l, &c, 0, &r[i]));
    answer(l, &c, 0, 200, "X-RateLimit-Remaining: 10\nX-RateLimit-Reset: 20\n");
    ledger_return(l, &r[0]); /* this one was never sent */
    assert_int_equal(drain(l, &c, 0), 7);
    for (int i = 1; i < 4; i++)
        ledger_settle(l, &c, &r[i], NULL, at(0));
    ledger_free(l);
}

static void test_free_answers_do_not_wear_a_cap_down(void **state)
{
    static const struct limit_cost costs[] = { { 304, 304, NULL, 0 } };
    struct limit_options           limits[] = { owned("5000/h window learned") };
    struct charge                  c = get("/", ann);
    struct ledger                 *l;

    (void)state;
    limits[0].costs = costs;
    limits[0].cost_count = 1;
    l = make(limits, 1);
    for (int i = 0; i < 100; i++)
        answer(l, &c, i * MS, 304,
               "X-RateLimit-Limit: 5000\nX-RateLimit-Remaining: 10\nX-RateLimit-Reset: 1700003600\n");
    assert_int_equal(drain(l, &c, S), 10);
    ledger_free(l);
}

static void test_policies_of_the_draft(void **state)
{
    struct limit_options limits[] = { parse("100/min"), parse("1000/day") };
    struct ledger       *l = make(limits, 2);
    struct charge        c = get("/", ann);

    (void)state;
    answer(l, &c, 0, 200,
           "RateLimit: \"burst\";r=50;t=30, \"daily\";r=2;t=4000\n"
           "RateLimit-Policy: \"burst\";q=100;w=60, \"daily\";q=1000;w=86400\n");
    assert_int_equal(drain(l, &c, 0), 2);
    assert_int_equal(wait_of(l, "/", ann, 0), 4000 * S + LIMIT_GUARD_NS);
    ledger_free(l);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_an_exhausted_search_freezes_nothing_else),
        cmocka_unit_test(test_an_exhausted_core_leaves_search),
        cmocka_unit_test(test_resource_that_no_limit_covers),
        cmocka_unit_test(test_a_learned_limit_is_told_by_the_only_name),
        cmocka_unit_test(test_a_learned_limit_of_several_names_is_none_of_them),
        cmocka_unit_test(test_a_learned_limit_is_told_by_the_policy_of_its_window),
        cmocka_unit_test(test_what_cannot_be_meant_is_cut),
        cmocka_unit_test(test_cause),
        cmocka_unit_test(test_forget),
        cmocka_unit_test(test_units),
        cmocka_unit_test(test_assumed_ends),
        cmocka_unit_test(test_old_answers_say_nothing),
        cmocka_unit_test(test_resources_without_limits),
        cmocka_unit_test(test_401_and_403_freeze_nothing),
        cmocka_unit_test(test_secondary_limit),
        cmocka_unit_test(test_unnamed_belongs_to_the_limit_that_matched),
        cmocka_unit_test(test_remaining_less_what_is_under_way),
        cmocka_unit_test(test_free_answers_do_not_wear_a_cap_down),
        cmocka_unit_test(test_policies_of_the_draft),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
