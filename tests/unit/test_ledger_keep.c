/*
 * What a ledger keeps over restarts: leases, rows, what the API said, and a
 * disk that fails.  (Random schedules: test_budget_model.c.)
 */
#include "budget/ledger.h"

#include "base/clock.h"
#include "budget/ledger_parts.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define MS   NS_PER_MS
#define WALL (INT64_C(1700000000) * S)

enum { ROWS = 64 };
static const uint8_t ann[LEDGER_CREDENTIAL_BYTES] = "ann's credentia", bob[LEDGER_CREDENTIAL_BYTES] = "bob's credentia";
static const uint8_t boots[2][LEDGER_BOOT_BYTES] = { "this boot......", "another boot..." };

struct row {
    uint8_t  key[LEDGER_KEY_BYTES];
    uint64_t ticket;
    char    *value;
    size_t   bytes;
};
struct disk {
    struct row rows[ROWS], under_way[ROWS];
    unsigned   count, under_way_count, puts;
};

static struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, WALL + ns };
}

static struct charge get(const char *path, const uint8_t *credential)
{
    return (struct charge){ .method = HTTP_GET,
                            .method_name = SLICE("GET"),
                            .path = slice_of(path),
                            .credential = credential };
}

static struct limit_options sliding(const char *name, uint64_t count, int64_t window_ns)
{
    return (struct limit_options){ .name = name, .kind = LIMIT_SLIDING, .count = count, .window_ns = window_ns };
}

static void put(void *context, const struct ledger_row *row)
{
    struct disk *d = context;
    struct row  *r = &d->under_way[d->under_way_count++];

    assert_true(d->under_way_count < ROWS);
    d->puts++;
    *r = (struct row){ .ticket = row->ticket, .bytes = row->value.len };
    memcpy(r->key, row->key, sizeof r->key);
    if (row->value.ptr != NULL) {
        r->value = malloc(row->value.len);
        memcpy(r->value, row->value.ptr, row->value.len);
    }
}

/* All that is under way becomes durable; `l` NULL: nobody is told. */
static void sync_disk(struct disk *d, struct ledger *l, int64_t ns)
{
    for (unsigned i = 0; i < d->under_way_count; i++) {
        struct row *r = &d->under_way[i];
        unsigned    to = 0;

        while (to < d->count && memcmp(d->rows[to].key, r->key, sizeof r->key) != 0)
            to++;
        if (to < d->count)
            free(d->rows[to].value);
        if (r->value != NULL) {
            d->rows[to] = *r;
            d->count += to == d->count;
        } else if (to < d->count) {
            d->rows[to] = d->rows[--d->count];
        }
        if (l != NULL)
            ledger_saved(l, r->key, r->ticket, true, at(ns));
    }
    d->under_way_count = 0;
}

static void save(struct disk *d, struct ledger *l, int64_t ns)
{
    if (ledger_save_due_ns(l, at(ns)) == 0)
        ledger_save(l, at(ns), put, d);
    sync_disk(d, l, ns);
}

static struct ledger *start(struct disk *d, const struct limit_options *limits, unsigned count, int boot,
                            struct budget_now now)
{
    struct ledger *l = ledger_new(limits, count);

    for (unsigned i = 0; i < d->count; i++)
        ledger_load(l, d->rows[i].key, (struct slice){ d->rows[i].value, d->rows[i].bytes });
    ledger_start(l, boots[boot], now);
    if (ledger_save_due_ns(l, now) == 0)
        ledger_save(l, now, put, d);
    sync_disk(d, l, now.mono_ns);
    return l;
}

static void wipe(struct disk *d)
{
    sync_disk(d, NULL, 0);
    while (d->count > 0)
        free(d->rows[--d->count].value);
    free(d);
}

static struct disk *blank(void)
{
    return calloc(1, sizeof(struct disk));
}

static bool spend(struct ledger *l, const struct charge *c, int64_t ns)
{
    struct receipt r;

    if (ledger_wait_ns(l, c, at(ns), NULL) > 0)
        return false;
    ledger_spend(l, c, at(ns), &r);
    ledger_settle(l, c, &r, NULL, at(ns));
    return true;
}

/* As many as go, with the disk as fast as it can be. */
static unsigned drain(struct disk *d, struct ledger *l, const struct charge *c, int64_t ns)
{
    unsigned n = 0;

    for (int idle = 0; idle < 3; idle++) {
        while (spend(l, c, ns)) {
            n++;
            idle = 0;
        }
        save(d, l, ns);
    }
    return n;
}

static void answer(struct ledger *l, const struct charge *c, int64_t ns, unsigned status, const char *name,
                   const char *value, const char *more, const char *more_value)
{
    struct http_response response = { .status = status };
    struct arena         a = { 0 };
    struct receipt       r = { .count = 0 };

    http_fields_add(&response.fields, &a, slice_of(name), slice_of(value));
    http_fields_add(&response.fields, &a, slice_of(more), slice_of(more_value));
    http_fields_add(&response.fields, &a, SLICE("X-RateLimit-Remaining"), SLICE("0"));
    ledger_settle(l, c, &r, &response, at(ns));
    arena_free(&a);
}

static void test_nothing_goes_before_the_start_is_durable(void **state)
{
    struct limit_options limits[] = { sliding("a", 100, 60 * S) };
    struct disk         *d = blank();
    struct ledger       *l = ledger_new(limits, 1);
    struct charge        c = get("/", NULL);

    (void)state;
    ledger_start(l, boots[0], at(0));
    assert_false(spend(l, &c, 0));
    assert_true(ledger_wait_ns(l, &c, at(0), NULL) <= 10 * MS);
    save(d, l, 0);
    assert_true(spend(l, &c, 0));
    ledger_free(l);
    wipe(d);
}

/* What stood in rows that are lost counts as spent, for as long as the limit remembers, over further restarts too. */
static void test_lost_rows_count_as_spent(void **state)
{
    struct limit_options limits[] = { sliding("hour", 100, 3600 * S), sliding("owned", 10, 7200 * S) };
    struct charge        all = get("/", NULL), anns = get("/", ann), bobs = get("/", bob);
    struct disk         *d = blank();
    struct ledger       *l;
    unsigned             lost = 0;

    (void)state;
    limits[1].per_credential = true;
    l = start(d, limits, 2, 0, at(0));
    save(d, l, 0);
    assert_true(spend(l, &anns, 0));
    ledger_stop(l, at(S), put, d);
    sync_disk(d, NULL, 0);
    ledger_free(l);
    for (unsigned i = 0; i < d->count; i++) /* all but the state's own row are noise */
        if (memcmp(d->rows[i].key, lease_state_key, LEDGER_KEY_BYTES) != 0) {
            memset(d->rows[i].value, 0x55, d->rows[i].bytes);
            lost++;
        }
    assert_int_equal(lost, 2);

    l = start(d, limits, 2, 0, at(10 * S));
    assert_int_equal(ledger_lost_ago_ns(l, at(20 * S)), 10 * S);
    assert_int_equal(drain(d, l, &all, 11 * S), 0);
    assert_int_equal(drain(d, l, &bobs, 11 * S), 0);
    ledger_free(l); /* kill -9 */
    l = start(d, limits, 2, 0, at(30 * S));
    assert_int_equal(drain(d, l, &all, 31 * S), 0);
    assert_true(ledger_wait_ns(l, &all, at(31 * S), NULL) <= 7200 * S);
    assert_int_equal(drain(d, l, &bobs, 3700 * S), 0); /* nothing is known of his own two hours */
    assert_int_equal(drain(d, l, &bobs, 7300 * S), 10);
    assert_int_equal(ledger_lost_ago_ns(l, at(7300 * S)), -1);
    ledger_free(l);
    wipe(d);
}

/* The caller knows of it, and of what is left the rows tell. */
static void test_what_was_salvaged_is_exact(void **state)
{
    struct limit_options limits[] = { sliding("kept", 100, 3600 * S), sliding("gone", 100, 1800 * S) };
    struct charge        c = get("/", NULL);
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(0));

    (void)state;
    save(d, l, 0);
    for (int i = 0; i < 30; i++) {
        assert_true(spend(l, &c, 0));
        save(d, l, 0);
    }
    ledger_stop(l, at(S), put, d);
    sync_disk(d, NULL, 0);
    ledger_free(l);
    l = ledger_new(limits, 2);
    for (unsigned i = 0; i < d->count; i++)
        ledger_load(l, d->rows[i].key, (struct slice){ d->rows[i].value, d->rows[i].bytes });
    ledger_rows_lost(l);
    ledger_start(l, boots[0], at(2 * S));
    assert_int_equal(drain(d, l, &c, 2 * S), 0); /* of the one without a row nothing is known */
    assert_int_equal(drain(d, l, &c, 1900 * S), 70);
    ledger_free(l);
    wipe(d);
}

static void test_a_clean_stop_is_exact(void **state)
{
    struct limit_options limits[] = { sliding("day", 100, 86400 * S), sliding("second", 50, S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 2, 0, at(0));
    struct charge        c = get("/", NULL);

    (void)state;
    for (int i = 0; i < 30; i++) {
        save(d, l, i * MS);
        assert_true(spend(l, &c, i * MS));
    }
    ledger_stop(l, at(30 * MS), put, d);
    sync_disk(d, NULL, 0);
    ledger_free(l);
    l = start(d, limits, 2, 0, at(40 * MS));
    assert_int_equal(drain(d, l, &c, 40 * MS), 20); /* of the second's; nothing is lost */
    assert_int_equal(drain(d, l, &c, 3 * S), 50);
    assert_int_equal(drain(d, l, &c, 6 * S), 0);
    ledger_free(l);
    wipe(d);
}

/* A crash loses no more than a lease, and where it was quiet before, very little. */
static void test_a_crash_loses_little_and_doubles_nothing(void **state)
{
    static const struct {
        const char *name;
        uint64_t    count;
        unsigned    spent;
        int64_t     quiet_ns;
        unsigned    lost_most;
    } rows[] = {
        { "five_a_day", 5, 2, S, 1 },
        { "hundred_a_day", 100, 50, S, 1 },
        { "hundred_a_day_in_a_rush", 100, 50, 0, 6 },
        { "ten_thousand_a_day", 10000, 5000, S, 64 },
        { "ten_thousand_a_day_in_a_rush", 10000, 5000, 0, 625 },
        { "all_of_it", 100, 100, 0, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_options limits[] = { sliding("day", rows[i].count, 86400 * S) };
        struct disk         *d = blank();
        struct ledger       *l = start(d, limits, 1, 0, at(0));
        struct charge        c = get("/", NULL);
        unsigned             spent = 0, left;

        while (spent < rows[i].spent) {
            if (spend(l, &c, 0))
                spent++;
            else
                save(d, l, 0);
        }
        save(d, l, 0);
        if (rows[i].quiet_ns > 0)
            save(d, l, rows[i].quiet_ns);
        ledger_free(l); /* kill -9 */
        l = start(d, limits, 1, 0, at(2 * S));
        left = drain(d, l, &c, 2 * S);
        if (spent + left > rows[i].count || spent + left + rows[i].lost_most < rows[i].count)
            fail_msg("%s: %u before, %u behind", rows[i].name, spent, left);
        ledger_free(l);
        wipe(d);
    }
}

static void test_a_second_is_forgotten_after_a_second(void **state)
{
    struct limit_options limits[] = { sliding("second", 10, S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(0));
    struct charge        c = get("/", NULL);
    unsigned             puts;

    (void)state;
    assert_int_equal(drain(d, l, &c, 0), 10);
    puts = d->puts;
    assert_int_equal(drain(d, l, &c, 2 * S), 10);
    assert_int_equal(d->puts, puts); /* costs no rows */
    ledger_free(l);
    l = start(d, limits, 1, 0, at(2 * S + 10 * MS));
    assert_int_equal(drain(d, l, &c, 2 * S + 20 * MS), 0);
    assert_int_equal(drain(d, l, &c, 3 * S + 20 * MS), 10);
    ledger_free(l);
    wipe(d);
}

/* At a steady pace leases come before they are needed. */
static void test_nobody_waits_for_the_disk(void **state)
{
    struct limit_options limits[] = { sliding("minute", 6000, 60 * S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(0));
    struct charge        c = get("/", NULL);
    unsigned             refused = 0;

    (void)state;
    for (int i = 0; i < 3000; i++) { /* a hundred a second; the disk takes 30 ms */
        int64_t ns = i * 10 * MS;

        refused += !spend(l, &c, ns);
        if (i % 3 == 0)
            sync_disk(d, l, ns);
        if (ledger_save_due_ns(l, at(ns)) == 0)
            ledger_save(l, at(ns), put, d);
    }
    assert_int_equal(refused, 0);
    assert_true(d->puts < 300);
    ledger_free(l);
    wipe(d);
}

/* What lasts for some tenths of a second is lent, not a part of the quota. */
static void test_a_crash_at_a_steady_pace_loses_little(void **state)
{
    static const struct {
        const char *name;
        uint64_t    count;
        int64_t     every_ns;
        unsigned    lost_most;
    } rows[] = {
        { "twenty_a_second", 100000, 50 * MS, 64 },
        { "two_hundred_a_second", 100000, 5 * MS, 256 },
        { "two_thousand_a_second", 100000, MS / 2, 1024 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_options limits[] = { sliding("day", rows[i].count, 86400 * S) };
        struct disk         *d = blank();
        struct ledger       *l = start(d, limits, 1, 0, at(0));
        struct charge        c = get("/", NULL);
        unsigned             refused = 0, spent = 0, left;
        int64_t              ns = 0, written_ns = 0;

        for (; ns < 20 * S; ns += rows[i].every_ns) { /* the disk takes 20 ms */
            if (spend(l, &c, ns))
                spent++;
            else
                refused++;
            if (ns - written_ns >= 20 * MS) {
                save(d, l, ns);
                written_ns = ns;
            }
        }
        assert_true(refused * 50 < spent);
        ledger_free(l); /* kill -9 */
        l = start(d, limits, 1, 0, at(ns));
        left = drain(d, l, &c, ns);
        if (spent + left > rows[i].count || spent + left + rows[i].lost_most < rows[i].count)
            fail_msg("%s: %u before, %u behind", rows[i].name, spent, left);
        ledger_free(l);
        wipe(d);
    }
}

static void test_over_a_reboot(void **state)
{
    struct limit_options limits[] = { sliding("day", 50, 86400 * S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(100000 * S));
    struct charge        c = get("/", NULL);
    struct budget_now    later = { 60 * S, WALL + 130000 * S };

    (void)state;
    assert_int_equal(drain(d, l, &c, 100000 * S), 50);
    ledger_free(l);
    l = start(d, limits, 1, 1, later);
    assert_true(ledger_wait_ns(l, &c, later, NULL) > (86400 - 30000) * S);
    assert_true(ledger_wait_ns(l, &c, later, NULL) <= (86400 - 30000 + 3600) * S + LIMIT_GUARD_NS);
    ledger_free(l);
    later.wall_ns = WALL + 10 * S; /* the clock lost a day: not blocked for two */
    l = start(d, limits, 1, 1, later);
    assert_true(ledger_wait_ns(l, &c, later, NULL) <= 86400 * S + LIMIT_GUARD_NS);
    ledger_free(l);
    wipe(d);
}

/* Moved by an hour between two runs of one boot, the wall clock says nothing. */
static void test_a_step_between_two_runs(void **state)
{
    static const int64_t steps[] = { 3600 * S, -3600 * S };
    struct limit_options limits[] = {
        sliding("half an hour", 20, 1800 * S),
        { .name = "fixed", .kind = LIMIT_FIXED, .count = 1000, .window_ns = 3600 * S, .zone = "UTC" }
    };
    struct charge c = get("/", NULL);

    (void)state;
    for (int i = 0; i < 2; i++) {
        struct disk      *d = blank();
        struct ledger    *l = start(d, limits, 2, 0, at(0));
        struct budget_now moved = at(10 * S);

        assert_int_equal(drain(d, l, &c, 0), 20);
        ledger_free(l);
        moved.wall_ns += steps[i];
        l = start(d, limits, 2, 0, moved);
        assert_in_range(ledger_wait_ns(l, &c, moved, NULL), 1780 * S, 1791 * S);
        ledger_free(l);
        wipe(d);
    }
}

static void test_what_the_api_said_holds_over_restarts(void **state)
{
    struct limit_options limits[] = { sliding("minute", 100, 60 * S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(0));
    struct charge        graph = get("/graphql", ann), other = get("/users/x", ann), plain = get("/", NULL);

    (void)state;
    answer(l, &graph, 0, 200, "X-RateLimit-Resource", "graphql", "X-RateLimit-Reset", "500");
    answer(l, &plain, 0, 429, "Retry-After", "300", "X-RateLimit-Reset", "200");
    save(d, l, 0); /* a word that stops is kept at once, before any crash */
    ledger_free(l);
    l = start(d, limits, 1, 0, at(2 * S));
    assert_int_equal(ledger_wait_ns(l, &graph, at(2 * S), NULL), 498 * S + LIMIT_GUARD_NS);
    assert_int_equal(ledger_wait_ns(l, &plain, at(2 * S), NULL), 298 * S);
    assert_int_equal(ledger_wait_ns(l, &other, at(2 * S), NULL), 0);
    ledger_free(l);
    wipe(d);
}

static void test_a_disk_that_fails_stops_nobody(void **state)
{
    struct limit_options limits[] = { sliding("day", 100, 86400 * S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 1, 0, at(0));
    struct charge        c = get("/", NULL);
    unsigned             n = 0;

    (void)state;
    while (spend(l, &c, 0))
        n++;
    assert_true(n < 100);
    ledger_save(l, at(0), put, d);
    for (unsigned i = 0; i < d->under_way_count; i++) {
        ledger_saved(l, d->under_way[i].key, d->under_way[i].ticket, false, at(0));
        free(d->under_way[i].value);
    }
    d->under_way_count = 0;
    while (spend(l, &c, 0))
        n++;
    assert_int_equal(n, 100);
    assert_in_range(ledger_save_due_ns(l, at(0)), 1, 10 * S);
    save(d, l, 10 * S); /* it can be written again */
    ledger_free(l);
    l = start(d, limits, 1, 0, at(11 * S));
    assert_int_equal(drain(d, l, &c, 11 * S), 0);
    ledger_free(l);
    wipe(d);
}

static void test_what_damaged_rows_said_counts_as_spent(void **state)
{
    struct limit_options limits[] = { sliding("day", 100, 86400 * S) };
    struct charge        c = get("/", NULL);

    (void)state;
    for (unsigned byte = 0; byte < 400; byte += 7) {
        struct disk   *d = blank();
        struct ledger *l = start(d, limits, 1, 0, at(0));

        assert_int_equal(drain(d, l, &c, 0), 100);
        for (unsigned i = 0; i < d->count; i++)
            d->rows[i].value[byte % d->rows[i].bytes] ^= 0x40;
        ledger_free(l);
        l = start(d, limits, 1, 0, at(S));
        assert_int_equal(drain(d, l, &c, S), 0);
        assert_true(drain(d, l, &c, 2 * 86400 * S) > 90);
        ledger_free(l);
        wipe(d);
    }
}

static void test_rows_of_what_is_no_more_are_deleted(void **state)
{
    struct limit_options limits[] = { sliding("day", 100, 86400 * S), sliding("hour", 100, 3600 * S) };
    struct disk         *d = blank();
    struct ledger       *l = start(d, limits, 2, 0, at(0)), *less;
    struct charge        c = get("/", NULL);
    unsigned             before;

    (void)state;
    assert_int_equal(drain(d, l, &c, 0), 100);
    before = d->count;
    less = ledger_new(limits, 1);
    ledger_adopt(less, l, at(S));
    ledger_free(l);
    save(d, less, S);
    assert_int_equal(d->count, before - 1);
    ledger_free(less);
    l = start(d, limits, 1, 0, at(2 * S)); /* the day's was kept all the time */
    assert_int_equal(drain(d, l, &c, 2 * S), 0);
    ledger_free(l);
    wipe(d);
}

/* A row under way, put out by the ledger before a reload, counts for the one after it. */
static void test_rows_under_way_over_a_reload(void **state)
{
    struct limit_options limits[] = { sliding("day", 100, 86400 * S) };
    struct disk         *d = blank();
    struct ledger       *old = start(d, limits, 1, 0, at(0)), *l;
    struct charge        c = get("/", NULL);

    (void)state;
    while (spend(old, &c, 0))
        ;
    ledger_save(old, at(0), put, d);
    l = ledger_new(limits, 1);
    ledger_adopt(l, old, at(0));
    ledger_free(old);
    assert_false(spend(l, &c, 0));
    sync_disk(d, l, 0);
    assert_true(spend(l, &c, 0));
    ledger_free(l);
    wipe(d);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_goes_before_the_start_is_durable),
        cmocka_unit_test(test_a_clean_stop_is_exact),
        cmocka_unit_test(test_lost_rows_count_as_spent),
        cmocka_unit_test(test_what_was_salvaged_is_exact),
        cmocka_unit_test(test_a_crash_loses_little_and_doubles_nothing),
        cmocka_unit_test(test_a_second_is_forgotten_after_a_second),
        cmocka_unit_test(test_nobody_waits_for_the_disk),
        cmocka_unit_test(test_a_crash_at_a_steady_pace_loses_little),
        cmocka_unit_test(test_over_a_reboot),
        cmocka_unit_test(test_a_step_between_two_runs),
        cmocka_unit_test(test_what_the_api_said_holds_over_restarts),
        cmocka_unit_test(test_a_disk_that_fails_stops_nobody),
        cmocka_unit_test(test_what_damaged_rows_said_counts_as_spent),
        cmocka_unit_test(test_rows_of_what_is_no_more_are_deleted),
        cmocka_unit_test(test_rows_under_way_over_a_reload),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
