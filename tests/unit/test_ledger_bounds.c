/*
 * What clients make up does not grow the ledger: a million credentials, each
 * new, against bounded accounts and rows; and nothing is ever over for it, whatever crashes.
 */
#include "budget/ledger_parts.h"

#include "base/arena.h"
#include "base/clock.h"
#include "property.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define MS   NS_PER_MS
#define WALL (INT64_C(1700000000) * S)

static const uint8_t boot[LEDGER_BOOT_BYTES] = "this boot......";

/* -- a disk: rows by key, those under way in their order -- */

enum { PLACES = 1 << 16, UNDER_WAY = 1 << 16 };

struct row {
    uint8_t  key[LEDGER_KEY_BYTES];
    uint64_t ticket;
    char    *value;
    size_t   bytes;
};
struct disk {
    struct row rows[PLACES], under_way[UNDER_WAY];
    unsigned   count, under_way_count;
    uint64_t   writes;
};

static struct row *place_of(struct disk *d, const uint8_t *key)
{
    size_t at = XXH3_64bits(key, LEDGER_KEY_BYTES) % PLACES;

    while (d->rows[at].value != NULL && memcmp(d->rows[at].key, key, LEDGER_KEY_BYTES) != 0)
        at = (at + 1) % PLACES;
    return &d->rows[at];
}

/* What stood after it may have come by its place. */
static void remove_row(struct disk *d, struct row *r)
{
    size_t at = (size_t)(r - d->rows);

    free(r->value);
    r->value = NULL;
    d->count--;
    for (at = (at + 1) % PLACES; d->rows[at].value != NULL; at = (at + 1) % PLACES) {
        struct row moved = d->rows[at];

        d->rows[at].value = NULL;
        *place_of(d, moved.key) = moved;
    }
}

static void put(void *context, const struct ledger_row *row)
{
    struct disk *d = context;
    struct row  *r = &d->under_way[d->under_way_count++];

    assert_true(d->under_way_count < UNDER_WAY);
    d->writes++;
    *r = (struct row){ .ticket = row->ticket, .bytes = row->value.len };
    memcpy(r->key, row->key, sizeof r->key);
    if (row->value.ptr == NULL)
        return;
    r->value = mem_alloc(row->value.len);
    memcpy(r->value, row->value.ptr, row->value.len);
}

/* The first `most` become durable. */
static void sync_disk(struct disk *d, struct ledger *l, struct budget_now now, unsigned most)
{
    unsigned n = d->under_way_count < most ? d->under_way_count : most;

    for (unsigned i = 0; i < n; i++) {
        struct row *r = &d->under_way[i], *at = place_of(d, r->key);

        if (r->value == NULL) {
            if (at->value != NULL)
                remove_row(d, at);
        } else {
            d->count += at->value == NULL;
            free(at->value);
            *at = *r;
        }
        if (l != NULL)
            ledger_saved(l, r->key, r->ticket, true, now);
    }
    d->under_way_count -= n;
    memmove(d->under_way, d->under_way + n, d->under_way_count * sizeof d->under_way[0]);
}

static void wipe(struct disk *d)
{
    for (unsigned i = 0; i < d->under_way_count; i++)
        free(d->under_way[i].value);
    for (unsigned i = 0; i < PLACES; i++)
        free(d->rows[i].value);
    free(d);
}

/* -- one that spends -- */

struct world {
    struct disk                *disk;
    struct ledger              *ledger;
    const struct limit_options *limits;
    unsigned                    limit_count, accounts_most, rows_most;
    int64_t                     ns;
};

static struct budget_now now(const struct world *w)
{
    return (struct budget_now){ w->ns, WALL + w->ns };
}

static void save(struct world *w, unsigned most)
{
    if (ledger_save_due_ns(w->ledger, now(w)) == 0)
        ledger_save(w->ledger, now(w), put, w->disk);
    sync_disk(w->disk, w->ledger, now(w), most);
}

static void start(struct world *w)
{
    w->ledger = ledger_new(w->limits, w->limit_count);
    for (unsigned i = 0; i < PLACES; i++)
        if (w->disk->rows[i].value != NULL)
            ledger_load(w->ledger, w->disk->rows[i].key,
                        (struct slice){ w->disk->rows[i].value, w->disk->rows[i].bytes });
    ledger_start(w->ledger, boot, now(w));
    for (int i = 0; i < 3; i++)
        save(w, UINT_MAX);
}

static void begin(struct world *w, const struct limit_options *limits, unsigned count)
{
    *w = (struct world){ .disk = mem_alloc(sizeof *w->disk), .limits = limits, .limit_count = count, .ns = S };
    start(w);
}

static void end(struct world *w)
{
    ledger_free(w->ledger);
    wipe(w->disk);
}

static bool spend(struct world *w, uint64_t who, const struct http_response *answer)
{
    uint8_t        credential[LEDGER_CREDENTIAL_BYTES] = { 0 };
    struct charge  c = { .method = HTTP_GET,
                         .method_name = SLICE("GET"),
                         .path = SLICE("/x/y"),
                         .credential = credential };
    struct receipt r;

    who = (who + 1) * UINT64_C(0x9e3779b97f4a7c15);
    memcpy(credential, &who, sizeof who);
    if (ledger_wait_ns(w->ledger, &c, now(w), NULL) > 0)
        return false;
    ledger_spend(w->ledger, &c, now(w), &r);
    ledger_settle(w->ledger, &c, &r, answer, now(w));
    if (w->ledger->accounts.count > w->accounts_most)
        w->accounts_most = (unsigned)w->ledger->accounts.count;
    if (w->disk->count > w->rows_most)
        w->rows_most = w->disk->count;
    return true;
}

enum { MILLION = 1000000, BOUND = LEDGER_ACCOUNTS_MOST + LEDGER_OTHERS };

static const struct limit_options
    of_all = { .name = "all", .kind = LIMIT_SLIDING, .count = MILLION, .window_ns = 60 * S },
    each = { .name = "each", .kind = LIMIT_SLIDING, .count = 3, .window_ns = 60 * S, .per_credential = true },
    each_by_day = {
        .name = "day", .kind = LIMIT_FIXED, .count = 5, .window_ns = 86400 * S, .zone = "UTC", .per_credential = true
    };

/* -- a million, each new -- */

static void test_a_million_credentials_leave_little(void **state)
{
    const struct {
        const char          *name;
        struct limit_options limits[3];
        unsigned             count, asked, accounts, least_spent;
    } cases[] = {
        { "no limit of a credential: as soon as nothing of it is under way", { of_all }, 1, MILLION, 1024, MILLION },
        { "a limit each", { of_all, each }, 2, MILLION, BOUND, 120000 },
        { "and one by the day", { of_all, each, each_by_day }, 3, MILLION / 5, BOUND, LEDGER_ACCOUNTS_MOST },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct world w;
        uint64_t     spent = 0;

        begin(&w, cases[i].limits, cases[i].count);
        for (uint64_t who = 0; who < cases[i].asked; who++) {
            w.ns += MS;
            spent += spend(&w, who, NULL);
            if (who % 16 == 0)
                save(&w, UINT_MAX);
        }
        print_message("%s: %u accounts, %u rows, %llu writes, %llu spent\n", cases[i].name, w.accounts_most,
                      w.rows_most, (unsigned long long)w.disk->writes, (unsigned long long)spent);
        if (w.accounts_most > cases[i].accounts || w.rows_most > cases[i].count * BOUND + 2 ||
            spent < cases[i].least_spent)
            fail_msg("%s", cases[i].name);
        end(&w);
    }
}

/* What an API says to each of them is as bounded: a resource's name for each, and a reset an hour away. */
static void test_what_an_api_says_to_each_leaves_little(void **state)
{
    struct world w;

    (void)state;
    begin(&w, &of_all, 1);
    for (uint64_t who = 0; who < 100000; who++) {
        struct arena         a = { 0 };
        struct http_response answer = { .status = 200 };

        http_fields_add(&answer.fields, &a, SLICE("X-RateLimit-Limit"), SLICE("50"));
        http_fields_add(&answer.fields, &a, SLICE("X-RateLimit-Remaining"), SLICE("49"));
        http_fields_add(&answer.fields, &a, SLICE("X-RateLimit-Reset"), SLICE("3600"));
        http_fields_add(&answer.fields, &a, SLICE("X-RateLimit-Resource"),
                        arena_printf(&a, "r%llu", (unsigned long long)who));
        w.ns += MS;
        spend(&w, who, &answer);
        if (who % 16 == 0)
            save(&w, UINT_MAX);
        arena_free(&a);
    }
    print_message("%u accounts, %u rows\n", w.accounts_most, w.rows_most);
    assert_true(w.accounts_most <= BOUND);
    assert_true(w.rows_most <= 17 * BOUND); /* NAMED_MOST of each, were they told so many */
    assert_true(w.rows_most >= LEDGER_ACCOUNTS_MOST);
    end(&w);
}

/* A disk that takes nothing: what is to be deleted is bounded, too. */
static void test_a_slow_disk_bounds_what_waits_to_be_deleted(void **state)
{
    struct world w;
    size_t       most = 0;

    (void)state;
    begin(&w, &each, 1);
    for (uint64_t who = 0; who < 60000; who++) {
        w.ns += who < 8000 ? MS : 10 * MS;
        spend(&w, who, NULL);
        save(&w, who < 8000 ? UINT_MAX : 0);
        most = w.ledger->keep.gone.count > most ? w.ledger->keep.gone.count : most;
    }
    print_message("%zu to be deleted\n", most);
    assert_in_range(most, 4000, 4096 + 8);
    assert_true(w.accounts_most <= BOUND);
    end(&w);
}

/* -- the end is quick, and what has nothing to say goes -- */

static void test_an_end_writes_only_what_is_new(void **state)
{
    struct world w;
    uint64_t     before;

    (void)state;
    begin(&w, &each_by_day, 1);
    for (uint64_t who = 0; who < 5000; who++)
        assert_true(spend(&w, who, NULL));
    for (int i = 0; i < 10; i++, w.ns += S)
        save(&w, UINT_MAX);
    assert_int_equal(w.disk->count, 5000 + 1);
    for (uint64_t who = 0; who < 10; who++)
        assert_true(spend(&w, who, NULL));
    before = w.disk->writes;
    ledger_stop(w.ledger, now(&w), put, w.disk);
    sync_disk(w.disk, w.ledger, now(&w), UINT_MAX);
    assert_int_equal(w.disk->writes - before, 10 + 1); /* and that the end was clean */
    ledger_free(w.ledger);
    start(&w);
    for (uint64_t who = 0; who < 5000; who++) {
        unsigned left = 0;

        while (spend(&w, who, NULL) || (save(&w, UINT_MAX), spend(&w, who, NULL)))
            left++;
        assert_int_equal(left, who < 10 ? 3 : 4);
    }
    end(&w);
}

static void test_rows_with_nothing_left_to_say_go(void **state)
{
    struct world w;

    (void)state;
    begin(&w, &each, 1);
    for (uint64_t who = 0; who < 5000; who++)
        spend(&w, who, NULL);
    for (int i = 0; i < 10; i++, w.ns += S)
        save(&w, UINT_MAX);
    assert_int_equal(w.disk->count, 5000 + 1);
    w.ns += 100 * S;
    ledger_free(w.ledger); /* kill -9: what they lent counts as spent once more */
    start(&w);
    assert_int_equal(w.disk->count, 5000 + 1);
    for (int i = 0; i < 40; i++) { /* nothing is asked, and they are looked through all the same */
        w.ns += i % 20 == 0 ? 700 * S : 0;
        save(&w, UINT_MAX);
    }
    assert_int_equal(w.disk->count, 1);
    assert_int_equal(w.ledger->accounts.count, 0);
    for (uint64_t who = 0; who < 5000; who++)
        spend(&w, who, NULL);
    for (int i = 0; i < 10; i++, w.ns += S)
        save(&w, UINT_MAX);
    w.ns += 100 * S;
    ledger_stop(w.ledger, now(&w), put, w.disk); /* or at an orderly end */
    sync_disk(w.disk, w.ledger, now(&w), UINT_MAX);
    assert_int_equal(w.disk->count, 1);
    end(&w);
}

/* -- never over -- */

enum { WHO_MOST = 40000, REMEMBERED = 8 };
static int64_t  times[WHO_MOST][REMEMBERED];
static unsigned spent_by[WHO_MOST];

/* More credentials than there are accounts, coming back at random; restarts of all kinds, reloads, and a slow disk. */
static void test_nobody_is_over_for_the_want_of_an_account(void **state)
{
    static const struct limit_options limits[] = {
        { .name = "each", .kind = LIMIT_SLIDING, .count = 3, .window_ns = 60 * S, .per_credential = true },
        { .name = "paced", .kind = LIMIT_BUCKET, .count = 60, .window_ns = 60 * S, .burst = 5, .per_credential = true },
    };
    struct property p = { 20261128 };
    struct world    w;
    uint64_t        spent = 0, shared = 0, restarts = 0;

    (void)state;
    memset(times, 0, sizeof times);
    memset(spent_by, 0, sizeof spent_by);
    begin(&w, limits, 2);
    for (int step = 0; step < 240000; step++) {
        /* Now and then few, so that accounts become free again. */
        uint64_t who = property_below(&p, step / 30000 % 3 == 2 ? 500 : WHO_MOST);

        w.ns += (int64_t)property_below(&p, 2 * MS);
        if (spend(&w, who, NULL)) {
            unsigned n = 0;

            times[who][spent_by[who]++ % REMEMBERED] = w.ns;
            for (unsigned i = 0; i < REMEMBERED; i++)
                n += times[who][i] != 0 && times[who][i] > w.ns - 60 * S;
            if (n > 3)
                fail_msg("step %d: %u of 3 by one credential", step, n);
            spent++;
        }
        shared += w.ledger->accounts.count > LEDGER_ACCOUNTS_MOST;
        if (step % 8 == 0)
            save(&w, (unsigned)property_below(&p, 200));
        if (property_below(&p, 20000) == 0) {
            restarts++;
            if (property_below(&p, 3) == 0)
                ledger_stop(w.ledger, now(&w), put, w.disk);
            sync_disk(w.disk, NULL, now(&w), (unsigned)property_below(&p, w.disk->under_way_count + 1));
            for (unsigned i = 0; i < w.disk->under_way_count; i++)
                free(w.disk->under_way[i].value);
            w.disk->under_way_count = 0;
            ledger_free(w.ledger);
            start(&w);
        } else if (property_below(&p, 20000) == 0) {
            struct ledger *old = w.ledger;

            w.ledger = ledger_new(limits, 2);
            ledger_adopt(w.ledger, old, now(&w));
            ledger_free(old);
        }
    }
    print_message("%llu spent, %llu of the steps with shared accounts, %llu restarts, %u rows\n",
                  (unsigned long long)spent, (unsigned long long)shared, (unsigned long long)restarts, w.rows_most);
    assert_true(shared > 100000 && spent > 15000 && restarts > 5);
    assert_true(w.accounts_most <= BOUND && w.rows_most <= 2 * BOUND + 1);
    end(&w);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_million_credentials_leave_little),
        cmocka_unit_test(test_what_an_api_says_to_each_leaves_little),
        cmocka_unit_test(test_a_slow_disk_bounds_what_waits_to_be_deleted),
        cmocka_unit_test(test_an_end_writes_only_what_is_new),
        cmocka_unit_test(test_rows_with_nothing_left_to_say_go),
        cmocka_unit_test(test_nobody_is_over_for_the_want_of_an_account),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
