/*
 * Limits in any unit: terms, what they come to, what is reserved and settled, what is learned of estimates, and what a
 * window still holds of a long answer.
 */
#include "budget/ledger.h"

#include "base/arena.h"
#include "base/clock.h"
#include "budget/factor.h"
#include "budget/term.h"

#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define WALL (INT64_C(1700000000) * S)

static struct budget_now at(int64_t ns)
{
    return (struct budget_now){ ns, WALL + ns };
}

/* -- terms -- */

static void test_terms_read(void **state)
{
    static const struct {
        const char    *text; /* NULL name: refused */
        enum term_kind kind;
        double         factor;
        const char    *name;
    } rows[] = {
        { "0.25 body", TERM_BODY, 0.25, "" },
        { "body", TERM_BODY, 1, "" },
        { "json:/max_tokens", TERM_JSON, 1, "/max_tokens" },
        { "-1 json:/usage/prompt_tokens_details/cached_tokens", TERM_JSON, -1,
          "/usage/prompt_tokens_details/cached_tokens" },
        { "0.0000025  json:/a~1b", TERM_JSON, 0.0000025, "/a~1b" },
        { "header:X-Cost", TERM_HEADER, 1, "X-Cost" },
        { "2 header:X-Cost", TERM_HEADER, 2, "X-Cost" },
        { "100", TERM_NUMBER, 100, "" },
        { " +1.5 ", TERM_NUMBER, 1.5, "" },
        { "", TERM_NUMBER, 0, NULL },
        { "bodies", TERM_NUMBER, 0, NULL },
        { "2 3", TERM_NUMBER, 0, NULL },
        { "2 body 3", TERM_NUMBER, 0, NULL },
        { "1e3 body", TERM_NUMBER, 0, NULL },
        { "1..2 body", TERM_NUMBER, 0, NULL },
        { "json:", TERM_NUMBER, 0, NULL },
        { "json:max_tokens", TERM_NUMBER, 0, NULL },
        { "json:/a~2", TERM_NUMBER, 0, NULL },
        { "header:", TERM_NUMBER, 0, NULL },
        { "header:X Cost", TERM_NUMBER, 0, NULL },
        { "Body", TERM_NUMBER, 0, NULL },
        { "-", TERM_NUMBER, 0, NULL },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_term t = { 0 };
        const char       *bad;
        bool              good = term_parse(slice_of(rows[i].text), &t, &bad);

        if (good != (rows[i].name != NULL) || (!good && bad == NULL))
            fail_msg("\"%s\": %s", rows[i].text, good ? "taken" : "refused");
        if (good && (t.kind != rows[i].kind || t.factor < rows[i].factor || t.factor > rows[i].factor ||
                     strcmp(t.name != NULL ? t.name : "", rows[i].name) != 0))
            fail_msg("\"%s\": %d %g %s", rows[i].text, (int)t.kind, t.factor, t.name);
        free((char *)(uintptr_t)t.name);
    }
}

static bool json_here(void *context, const char *pointer, double *out)
{
    (void)context;
    *out = strcmp(pointer, "/ten") == 0 ? 10 : strcmp(pointer, "/tenth") == 0 ? 0.1 : -5;
    return strcmp(pointer, "/none") != 0;
}

static void test_terms_sum(void **state)
{
    static const struct {
        const char *terms[3];
        unsigned    scale;
        bool        found;
        uint32_t    amount;
    } rows[] = {
        { { "json:/ten" }, 0, true, 10 },
        { { "json:/ten", "0.25 body" }, 0, true, 35 },
        { { "json:/ten", "-1 json:/none" }, 0, true, 10 },
        { { "json:/none", "json:/ten" }, 0, true, 10 },
        { { "json:/none" }, 0, false, 0 },
        { { "json:/none", "-1 json:/ten" }, 0, false, 0 }, /* what only takes away says nothing */
        { { "-1 json:/ten", "7" }, 0, true, 0 },           /* never less than nothing */
        { { "json:/tenth" }, 0, true, 1 },                 /* a part of a unit is a unit */
        { { "30 json:/tenth" }, 0, true, 3 },
        { { "json:/tenth" }, 6, true, 100000 },
        { { "0.00001 json:/ten" }, 6, true, 100 },
        { { "5000000000" }, 0, true, TERM_AMOUNT_MOST },
        { { "header:X-Cost" }, 0, true, 42 },
        { { "header:X-None" }, 0, false, 0 },
        { { "header:X-Text" }, 0, false, 0 },
        { { "json:/minus" }, 0, true, 0 },
    };
    struct arena       arena = { 0 };
    struct http_fields fields = { 0 };
    struct term_facts  facts = { .body_bytes = 100, .fields = &fields, .json = json_here };

    (void)state;
    http_fields_add(&fields, &arena, SLICE("x-cost"), SLICE(" 42 "));
    http_fields_add(&fields, &arena, SLICE("X-Text"), SLICE("much"));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_term terms[3];
        const char       *bad;
        unsigned          count = 0;
        uint32_t          amount = 0;
        bool              found;

        for (; count < 3 && rows[i].terms[count] != NULL; count++)
            assert_true(term_parse(slice_of(rows[i].terms[count]), &terms[count], &bad));
        found = terms_amount(terms, count, rows[i].scale, &facts, &amount);
        if (found != rows[i].found || (found && amount != rows[i].amount))
            fail_msg("row %zu: %d %u", i, found, amount);
        while (count > 0)
            free((char *)(uintptr_t)terms[--count].name);
    }
    arena_free(&arena);
}

/* -- scale and margin -- */

static void test_scale(void **state)
{
    static const struct {
        const char *rate;
        unsigned    scale;
        double      margin;
        bool        good;
        uint64_t    count, burst;
    } rows[] = {
        { "30000/min", 0, 0, true, 30000, 0 },    { "20/day", 6, 0, true, 20000000, 0 },
        { "30000/min", 0, 0.02, true, 29400, 0 }, { "10/min", 0, 0.02, true, 9, 0 },
        { "1/min", 0, 0.02, false, 0, 0 },        { "10/s burst 20", 0, 0.1, true, 9, 18 },
        { "2000/day", 6, 0, false, 0, 0 },        { "1000/day", 6, 0, true, 1000000000, 0 },
        { "10/s burst 2000", 6, 0, false, 0, 0 }, { "60/min", 0, 0.5, true, 30, 0 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct limit_options o = { 0 };
        const char          *bad;

        assert_true(limit_parse(slice_of(rows[i].rate), &o, &bad));
        o.scale = rows[i].scale;
        o.margin = rows[i].margin;
        if (limit_scale(&o) != rows[i].good || (rows[i].good && (o.count != rows[i].count || o.burst != rows[i].burst)))
            fail_msg("row %zu: %llu %llu", i, (unsigned long long)o.count, (unsigned long long)o.burst);
    }
}

/* -- factors -- */

static void test_factors(void **state)
{
    struct factors *f = factors_new(), *copy;

    (void)state;
    assert_int_equal(factors_apply(f, 1, 100, 1000, false), 100);
    assert_int_equal(factors_apply(f, 1, 0, 1000, false), 1);
    factors_note(f, 1, 100, 50);
    assert_int_equal(factors_apply(f, 1, 100, 1000, false), 100); /* one answer makes no estimate smaller, */
    factors_note(f, 1, 100, 300);
    assert_int_equal(factors_apply(f, 1, 100, 1000, false), 300); /* but larger */
    assert_int_equal(factors_apply(f, 2, 100, 1000, false), 100); /* each rule for itself */
    assert_int_equal(factors_apply(f, 1, 500, 1000, false),
                     1000); /* what fits by itself is not made to wait for ever */
    assert_int_equal(factors_apply(f, 1, 2000, 1000, false), 2000);
    for (unsigned i = 1; i <= 100; i++)
        factors_note(f, 1, 100, i);
    assert_int_equal(factors_apply(f, 1, 100, 1000, false), 90);
    assert_int_equal(factors_apply(f, 1, 100, 1000, true), 100); /* the API itself holds as much as that */
    copy = factors_copy(f);
    for (unsigned i = 0; i < 200; i++)
        factors_note(f, 10 + i, 1, 2); /* more rules than there is room for */
    assert_int_equal(factors_apply(f, 209, 100, 1000, false), 200);
    assert_int_equal(factors_apply(f, 1, 100, 1000, false), 100);
    assert_int_equal(factors_apply(copy, 1, 100, 1000, false), 90);
    factors_free(f);
    factors_free(copy);
}

/* -- reserving and settling -- */

static struct limit_term one_term = { TERM_JSON, 1.0, "/total" };

static struct limit_options metered(const char *rate)
{
    struct limit_options o = { .name = "tokens" };
    const char          *bad;

    if (!limit_parse(slice_of(rate), &o, &bad))
        fail_msg("%s: %s", rate, bad);
    o.charges = &one_term;
    o.charge_count = 1;
    return o;
}

struct rig {
    struct limit_options limits[2];
    struct ledger       *ledger;
    struct estimate      estimate;
    struct charge        charge;
};

static struct rig *rig_of(const char *rate)
{
    struct rig *r = mem_alloc(sizeof *r);
    const char *bad;

    r->limits[0] = metered(rate);
    assert_true(limit_parse(SLICE("1000/min"), &r->limits[1], &bad));
    r->limits[1].name = "requests";
    r->ledger = ledger_new(r->limits, 2);
    r->estimate.limit = ledger_limit_name("tokens");
    r->charge = (struct charge){ .method = HTTP_POST,
                                 .method_name = SLICE("POST"),
                                 .path = SLICE("/v1/chat"),
                                 .rule = 1,
                                 .estimates = &r->estimate,
                                 .estimate_count = 1 };
    return r;
}

static void rig_free(struct rig *r)
{
    ledger_free(r->ledger);
    free(r);
}

static int64_t wait_of(struct rig *r, uint32_t amount, int64_t ns)
{
    r->estimate.amount = amount;
    return ledger_wait_ns(r->ledger, &r->charge, at(ns), NULL);
}

static struct receipt send_one(struct rig *r, uint32_t amount, int64_t ns)
{
    struct receipt receipt;

    assert_int_equal(wait_of(r, amount, ns), 0);
    ledger_spend(r->ledger, &r->charge, at(ns), &receipt);
    return receipt;
}

static void hear(struct rig *r, struct receipt *receipt, unsigned status, int64_t ns)
{
    struct http_response head = { .status = status };

    ledger_settle(r->ledger, &r->charge, receipt, &head, at(ns));
}

static struct ledger_bill settle(struct rig *r, struct receipt *receipt, int64_t amount, int64_t ns)
{
    struct estimate charge = { .limit = ledger_limit_name("tokens"), .amount = (uint32_t)amount };

    return ledger_meter(r->ledger, &r->charge, receipt, &charge, amount >= 0, at(ns));
}

static struct ledger_metered told(const struct rig *r)
{
    struct ledger_metered m = { 0 };

    assert_true(ledger_metered(r->ledger, "tokens", &m));
    return m;
}

static void test_what_is_reserved_is_settled_at_the_end(void **state)
{
    struct rig        *r = rig_of("1000/min");
    struct receipt     receipt = send_one(r, 600, 0);
    struct ledger_bill bill;

    (void)state;
    assert_int_equal(told(r).reserved, 600);
    assert_true(wait_of(r, 401, 0) > 0);
    assert_int_equal(wait_of(r, 400, 0), 0);
    hear(r, &receipt, 200, S);
    assert_int_equal(receipt.count, 1); /* the requests' limit is settled by the head */
    assert_true(wait_of(r, 401, S) > 0);
    bill = settle(r, &receipt, 100, 2 * S);
    assert_int_equal(bill.settled, 1);
    assert_int_equal(bill.unsettled, 0);
    assert_int_equal(receipt.count, 0);
    assert_int_equal(told(r).reserved, 0);
    assert_int_equal(told(r).settled, 100);
    assert_int_equal(wait_of(r, 900, 2 * S), 0);
    assert_true(wait_of(r, 901, 2 * S) > 0);
    rig_free(r);
}

/* Of an attempt that came to nothing and one that was settled; the limit that counts requests is on no bill. */
static void test_a_bill_has_all_attempts(void **state)
{
    struct limit_cost  cost = { .status_first = 503, .status_last = 503, .cost = 7 };
    struct rig        *r = rig_of("100000/min");
    struct ledger_bill all = { .count = 0 }, bill;
    struct receipt     receipt = send_one(r, 600, 0);

    (void)state;
    bill = ledger_settle(r->ledger, &r->charge, &receipt, NULL, at(S));
    ledger_bill_add(&all, &bill);
    assert_int_equal(all.count, 1);
    assert_true(all.line[0].limit == ledger_limit_name("tokens") && all.line[0].is_unsettled);
    assert_int_equal(all.line[0].units, 600);
    receipt = send_one(r, 50, S);
    bill = ledger_settle(r->ledger, &r->charge, &receipt, &(struct http_response){ .status = 200 }, at(S));
    assert_int_equal(bill.count, 0); /* nothing is known yet */
    bill = settle(r, &receipt, 40, S);
    assert_true(bill.count == 1 && bill.line[0].units == 40 && !bill.line[0].is_unsettled);
    ledger_bill_add(&all, &bill);
    assert_true(all.count == 1 && all.line[0].units == 640 && all.line[0].is_unsettled);
    r->limits[0].costs = &cost;
    r->limits[0].cost_count = 1;
    receipt = send_one(r, 50, S);
    bill = ledger_settle(r->ledger, &r->charge, &receipt, &(struct http_response){ .status = 503 }, at(S));
    assert_true(bill.count == 1 && bill.line[0].units == 7 && !bill.line[0].is_unsettled);
    rig_free(r);
    for (unsigned i = 0; i < BILL_LINES + 2; i++)
        ledger_bill_note(&all, i + 1, i, false);
    assert_int_equal(all.count, BILL_LINES); /* of more limits than it has lines for, those that came first */
}

static void test_not_found_is_not_zero(void **state)
{
    struct rig        *r = rig_of("1000/min");
    struct receipt     receipt = send_one(r, 600, 0);
    struct ledger_bill bill;

    (void)state;
    hear(r, &receipt, 200, S);
    bill = settle(r, &receipt, -1, 2 * S);
    assert_int_equal(bill.unsettled, 1);
    assert_int_equal(told(r).unsettled, 600);
    assert_true(wait_of(r, 401, 2 * S) > 0);
    assert_int_equal(wait_of(r, 1000, 63 * S), 0);
    /* No answer at all. */
    receipt = send_one(r, 700, 100 * S);
    ledger_settle(r->ledger, &r->charge, &receipt, NULL, at(101 * S));
    assert_int_equal(receipt.count, 0);
    assert_int_equal(told(r).unsettled_count, 2);
    assert_int_equal(told(r).reserved, 0);
    assert_true(wait_of(r, 301, 101 * S) > 0);
    /* Nothing was sent: all of it is back. */
    receipt = send_one(r, 300, 101 * S);
    ledger_return(r->ledger, &receipt);
    assert_int_equal(wait_of(r, 300, 101 * S), 0);
    rig_free(r);
}

static void test_below_nothing_the_next_one_waits(void **state)
{
    static const char *const rates[] = { "1000/min", "1000/min burst 1000", "1000/day window 00:00 UTC",
                                         "1000/min window learned" };

    (void)state;
    for (size_t i = 0; i < sizeof rates / sizeof rates[0]; i++) {
        struct rig    *r = rig_of(rates[i]);
        struct receipt receipt = send_one(r, 600, 0);

        hear(r, &receipt, 200, S);
        settle(r, &receipt, 2500, 2 * S);
        if (wait_of(r, 1, 3 * S) <= 20 * S)
            fail_msg("%s: %lld", rates[i], (long long)wait_of(r, 1, 3 * S));
        free((char *)(uintptr_t)r->limits[0].zone);
        rig_free(r);
    }
}

static void test_what_never_fits_never_begins(void **state)
{
    struct rig *r = rig_of("1000/min");

    (void)state;
    assert_true(wait_of(r, 1001, 0) == INT64_MAX);
    assert_int_equal(wait_of(r, 1000, 0), 0);
    rig_free(r);
}

static void test_a_status_settles(void **state)
{
    struct limit_cost costs[] = { { .status_first = 429, .status_last = 429, .cost = 0 },
                                  { .method = "GET", .cost = 3 } };
    struct rig       *r = rig_of("1000/min");
    struct receipt    receipt;

    (void)state;
    r->limits[0].costs = costs;
    r->limits[0].cost_count = 2;
    receipt = send_one(r, 600, 0);
    hear(r, &receipt, 429, S);
    assert_int_equal(receipt.count, 0);
    assert_int_equal(wait_of(r, 1000, S), 0);
    /* A cost by method takes the place of the estimate. */
    r->charge.method_name = SLICE("GET");
    receipt = send_one(r, 600, S);
    hear(r, &receipt, 200, S);
    assert_int_equal(receipt.count, 0);
    r->charge.method_name = SLICE("POST");
    assert_int_equal(wait_of(r, 997, S), 0);
    assert_true(wait_of(r, 998, S) > 0);
    rig_free(r);
}

/* Of requests that say nothing of what they may cost: what they did cost is for such, and not for those that do. */
static void test_an_estimate_that_was_not_read_teaches_nothing_of_others(void **state)
{
    struct rig    *r = rig_of("100000/min");
    struct receipt receipt;

    (void)state;
    r->estimate.is_unread = true;
    for (unsigned i = 0; i < 20; i++) {
        receipt = send_one(r, 0, i * S);
        assert_int_equal(receipt.line[0].cost, i == 0 ? 1 : 700);
        hear(r, &receipt, 200, i * S);
        settle(r, &receipt, 700, i * S);
    }
    r->estimate.is_unread = false;
    receipt = send_one(r, 100, 20 * S);
    assert_int_equal(receipt.line[0].cost, 100);
    hear(r, &receipt, 200, 20 * S);
    settle(r, &receipt, 200, 20 * S);
    receipt = send_one(r, 100, 21 * S);
    assert_int_equal(receipt.line[0].cost, 200);
    r->estimate.is_unread = true;
    receipt = send_one(r, 0, 22 * S);
    assert_int_equal(receipt.line[0].cost, 700);
    rig_free(r);
}

/* Without a charge what was estimated stays spent, and that is no failure to say. */
static void test_an_estimate_alone_is_the_charge(void **state)
{
    struct rig        *r = rig_of("1000/min");
    struct ledger_bill bill;
    struct receipt     receipt;

    (void)state;
    r->limits[0].estimates = r->limits[0].charges;
    r->limits[0].estimate_count = 1;
    r->limits[0].charge_count = 0;
    receipt = send_one(r, 600, 0);
    hear(r, &receipt, 200, S);
    bill = settle(r, &receipt, -1, 2 * S);
    assert_true(bill.settled == 1 && bill.unsettled == 0 && bill.line[0].units == 600 && !bill.line[0].is_unsettled);
    assert_true(told(r).settled == 600 && told(r).unsettled == 0);
    assert_int_equal(wait_of(r, 400, 2 * S), 0);
    assert_true(wait_of(r, 401, 2 * S) > 0);
    rig_free(r);
}

/* A stream that takes longer than the window is not forgotten by it; and what it cost counts from its end on. */
static void test_a_long_answer_stays_in_the_window(void **state)
{
    struct rig    *r = rig_of("1000/min");
    struct receipt receipt = send_one(r, 600, 0);
    int64_t        now = 0;

    (void)state;
    hear(r, &receipt, 200, 0);
    for (unsigned i = 0; i < 40; i++) {
        int64_t due = ledger_hold_due_ns(r->ledger, &receipt, at(now));

        assert_true(due > 0 && due < 60 * S);
        now += due;
        assert_true(wait_of(r, 401, now) > 0);
        assert_int_equal(wait_of(r, 400, now), 0);
        ledger_hold(r->ledger, &receipt, at(now));
    }
    settle(r, &receipt, 500, now);
    assert_true(wait_of(r, 501, now + 59 * S) > 0);
    assert_int_equal(wait_of(r, 1000, now + 61 * S), 0);
    rig_free(r);
}

static void test_a_reload_keeps_what_is_open(void **state)
{
    struct rig    *r = rig_of("1000/min");
    struct receipt receipt = send_one(r, 600, 0);
    struct ledger *old = r->ledger;

    (void)state;
    hear(r, &receipt, 200, S);
    r->ledger = ledger_new(r->limits, 2);
    ledger_adopt(r->ledger, old, at(2 * S));
    ledger_free(old);
    assert_int_equal(told(r).reserved, 600);
    settle(r, &receipt, 1200, 3 * S);
    assert_int_equal(told(r).reserved, 0);
    assert_true(wait_of(r, 1, 4 * S) > 0);
    assert_int_equal(wait_of(r, 500, 64 * S), 0);
    ledger_spend(r->ledger, &r->charge, at(64 * S), &receipt);
    assert_int_equal(receipt.line[0].cost, 1000); /* twice as much as was thought: learned before the reload */
    rig_free(r);
}

/* -- after a crash -- */

struct row {
    uint8_t  key[LEDGER_KEY_BYTES];
    uint64_t ticket;
    char     value[16384];
    size_t   bytes;
};
struct disk {
    struct row row[8];
    unsigned   count;
};

static void put(void *context, const struct ledger_row *r)
{
    struct disk *d = context;
    unsigned     i = 0;

    while (i < d->count && memcmp(d->row[i].key, r->key, sizeof r->key) != 0)
        i++;
    assert_true(i < 8 && r->value.len <= sizeof d->row[i].value);
    d->count = i == d->count ? i + 1 : d->count;
    memcpy(d->row[i].key, r->key, sizeof r->key);
    d->row[i].ticket = r->ticket;
    d->row[i].bytes = r->value.ptr != NULL ? r->value.len : 0;
    if (r->value.ptr != NULL)
        memcpy(d->row[i].value, r->value.ptr, r->value.len);
}

static void save(struct rig *r, struct disk *d, int64_t ns)
{
    struct disk now = { .count = 0 };

    ledger_save(r->ledger, at(ns), put, d);
    now = *d;
    for (unsigned i = 0; i < now.count; i++)
        ledger_saved(r->ledger, now.row[i].key, now.row[i].ticket, true, at(ns));
}

static void test_after_a_crash_what_is_open_is_spent(void **state)
{
    static const uint8_t boot[LEDGER_BOOT_BYTES] = "boot";
    struct rig          *r = rig_of("1000/day window 00:00 UTC");
    struct disk         *d = mem_alloc(sizeof *d);
    struct receipt       receipt;

    (void)state;
    ledger_start(r->ledger, boot, at(0));
    for (unsigned i = 0; wait_of(r, 600, 0) > 0 && i < 20; i++)
        save(r, d, 0);
    receipt = send_one(r, 600, 0);
    hear(r, &receipt, 200, S);
    save(r, d, S);
    ledger_free(r->ledger); /* as kill -9 leaves it */
    r->ledger = ledger_new(r->limits, 2);
    for (unsigned i = 0; i < d->count; i++)
        if (d->row[i].bytes > 0)
            ledger_load(r->ledger, d->row[i].key, (struct slice){ d->row[i].value, d->row[i].bytes });
    ledger_start(r->ledger, boot, at(2 * S));
    for (unsigned i = 0; i < 20; i++)
        save(r, d, 2 * S);
    assert_true(wait_of(r, 401, 2 * S) > LEDGER_COMMIT_WAIT_NS);
    free((char *)(uintptr_t)r->limits[0].zone);
    rig_free(r);
    free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_terms_read),
        cmocka_unit_test(test_terms_sum),
        cmocka_unit_test(test_scale),
        cmocka_unit_test(test_factors),
        cmocka_unit_test(test_what_is_reserved_is_settled_at_the_end),
        cmocka_unit_test(test_a_bill_has_all_attempts),
        cmocka_unit_test(test_not_found_is_not_zero),
        cmocka_unit_test(test_below_nothing_the_next_one_waits),
        cmocka_unit_test(test_what_never_fits_never_begins),
        cmocka_unit_test(test_a_status_settles),
        cmocka_unit_test(test_an_estimate_that_was_not_read_teaches_nothing_of_others),
        cmocka_unit_test(test_an_estimate_alone_is_the_charge),
        cmocka_unit_test(test_a_long_answer_stays_in_the_window),
        cmocka_unit_test(test_a_reload_keeps_what_is_open),
        cmocka_unit_test(test_after_a_crash_what_is_open_is_spent),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
