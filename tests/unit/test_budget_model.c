/*
 * The ledger against a simple reference, through random schedules of
 * reserving, giving back, answers, crashes, reboots, clean stops, reloads and
 * moves of the wall clock.  The reference knows the true time of everything
 * that was sent, and counts.  Rows become durable late, in order, and a crash
 * keeps any number of those under way.
 *
 * WEIR_MODEL_SEED and WEIR_MODEL_STEPS give another run; a failure prints its seed and step.
 */
#include "budget/ledger.h"

#include "base/clock.h"
#include "property.h"

#include <stdio.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#define S    NS_PER_SEC
#define MS   NS_PER_MS
#define HOUR (3600 * S)
#define WALL (INT64_C(1700000017) * S)

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
enum { STEPS = 100000 };
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
enum { STEPS = 100000 };
#else
enum { STEPS = 1000000 };
#endif
#else
enum { STEPS = 1000000 };
#endif

enum {
    CREDENTIALS = 4 /* the first is none */,
    LIMITS_MOST = 5,
    EVENTS = 4096,
    OPEN_MOST = 16,
    WRITES_MOST = 1024,
    ROWS_MOST = 64
};

struct event {
    int64_t  at_ns;
    uint64_t cost;
}; /* in true time; cost 0: given back */
struct history {
    struct event ring[EVENTS];
    uint64_t     count;
};

struct write {
    uint8_t  key[LEDGER_KEY_BYTES];
    uint64_t ticket;
    char    *value;
    size_t   bytes;
};

struct open_request {
    struct charge  charge;
    struct receipt receipt;
    int64_t        at_ns;
    uint64_t       event[LIMITS_MOST]; /* place in the history; UINT64_MAX: none */
};

struct model {
    struct property             random;
    struct limit_options        limits[2][LIMITS_MOST]; /* of the ledger in use, and of the next */
    unsigned                    which, limit_count;
    const struct limit_options *shape; /* what they vary from */
    struct ledger              *ledger;
    struct history             *history; /* [limit][credential], shared ones at credential 0 */
    struct write                under_way[WRITES_MOST], disk[ROWS_MOST];
    unsigned                    write_first, write_count, row_count;
    struct open_request         open[OPEN_MOST];
    unsigned                    open_count;
    int64_t                     true_ns, boot_began_ns, drift_ns;
    uint8_t                     boot[LEDGER_BOOT_BYTES];
    bool                        spent_in_this_run;
    uint64_t                    sent, crashes, reloads, steps_of_clock;
    unsigned                    step;
    uint64_t                    seed;
};

static uint64_t below(struct model *m, uint64_t bound)
{
    return property_below(&m->random, bound);
}

static struct budget_now now(const struct model *m)
{
    return (struct budget_now){ m->true_ns - m->boot_began_ns, WALL + m->true_ns + m->drift_ns };
}

#define BROKEN(m, ...) \
    do { \
        print_error("seed %llu step %u: ", (unsigned long long)(m)->seed, (m)->step); \
        fail_msg(__VA_ARGS__); \
    } while (0)

/* -- the reference -- */

static struct history *history_of(struct model *m, unsigned limit, unsigned credential)
{
    return &m->history[limit * CREDENTIALS + (m->shape[limit].per_credential ? credential : 0)];
}

static uint64_t in_window(const struct history *h, int64_t from_ns)
{
    uint64_t sum = 0;

    for (uint64_t i = h->count; i-- > 0 && i + EVENTS > h->count;) {
        const struct event *e = &h->ring[i % EVENTS];

        if (e->at_ns < from_ns)
            break;
        sum += e->cost;
    }
    return sum;
}

/* A leaky bucket filled by the last events: at least what was in it. */
static double level(const struct history *h, const struct limit_options *o)
{
    uint64_t from = h->count > 300 ? h->count - 300 : 0;
    double   full = 0, rate = (double)o->count / (double)o->window_ns;
    int64_t  last_ns = 0;

    for (uint64_t i = from; i < h->count; i++) {
        const struct event *e = &h->ring[i % EVENTS];

        full -= (double)(e->at_ns - last_ns) * rate;
        full = (full > 0 ? full : 0) + (double)e->cost;
        last_ns = e->at_ns;
    }
    return full;
}

static void check(struct model *m, unsigned limit, const struct history *h)
{
    const struct limit_options *o = &m->limits[m->which][limit];
    int64_t                     wall_ns = WALL + m->true_ns;
    double                      slack;

    switch (o->kind) {
    case LIMIT_SLIDING:
        if (in_window(h, m->true_ns - o->window_ns) > o->count)
            BROKEN(m, "%s: %llu in a window of %llu", o->name,
                   (unsigned long long)in_window(h, m->true_ns - o->window_ns), (unsigned long long)o->count);
        return;
    case LIMIT_BUCKET:
        slack = (double)LIMIT_SLACK_NS * (double)o->count / (double)o->window_ns + 1e-6;
        if (level(h, o) > (double)o->burst + slack)
            BROKEN(m, "%s: %f of %llu", o->name, level(h, o), (unsigned long long)o->burst);
        return;
    case LIMIT_FIXED:
        if (in_window(h, m->true_ns - wall_ns % o->window_ns) > o->count)
            BROKEN(m, "%s: %llu in a window of %llu", o->name,
                   (unsigned long long)in_window(h, m->true_ns - wall_ns % o->window_ns), (unsigned long long)o->count);
        return;
    case LIMIT_LEARNED: /* two windows may touch, one of them of twice the count */
        if (in_window(h, m->true_ns - o->window_ns) > 2 * 2 * m->shape[limit].count)
            BROKEN(m, "%s", o->name);
        return;
    }
}

/* -- disk -- */

static void put(void *context, const struct ledger_row *row)
{
    struct model *m = context;
    struct write *w;

    if (m->write_count == WRITES_MOST)
        fail_msg("more rows under way than there can be buckets");
    w = &m->under_way[(m->write_first + m->write_count++) % WRITES_MOST];
    *w = (struct write){ .ticket = row->ticket, .bytes = row->value.len };
    memcpy(w->key, row->key, sizeof w->key);
    if (row->value.ptr == NULL)
        return;
    w->value = malloc(row->value.len);
    memcpy(w->value, row->value.ptr, row->value.len);
}

static void reach_disk(struct model *m, struct write w)
{
    unsigned at = 0;

    while (at < m->row_count && memcmp(m->disk[at].key, w.key, sizeof w.key) != 0)
        at++;
    if (at < m->row_count)
        free(m->disk[at].value);
    if (w.value == NULL) {
        if (at < m->row_count)
            m->disk[at] = m->disk[--m->row_count];
        return;
    }
    assert_true(at < ROWS_MOST);
    m->disk[at] = w;
    if (at == m->row_count)
        m->row_count++;
}

static struct write next_write(struct model *m)
{
    struct write w = m->under_way[m->write_first];

    m->write_first = (m->write_first + 1) % WRITES_MOST;
    m->write_count--;
    return w;
}

static void write_some(struct model *m, unsigned most)
{
    for (; most > 0 && m->write_count > 0; most--) {
        struct write w = next_write(m);

        reach_disk(m, w);
        ledger_saved(m->ledger, w.key, w.ticket, true, now(m));
    }
}

static void save(struct model *m)
{
    if (ledger_save_due_ns(m->ledger, now(m)) == 0)
        ledger_save(m->ledger, now(m), put, m);
}

/* -- life -- */

enum vary { AS_SHAPE, AT_RELOAD, AT_RESTART };

/* Counts and bursts differ from the shape by a half or twice; a bucket's rate stays.  Limits of a second keep no
 * rows: what they may have spent before a crash is all that they allow, and what they allowed before that is not known.
 */
static void vary(struct model *m, struct limit_options *to, enum vary how)
{
    for (unsigned i = 0; i < m->limit_count; i++) {
        uint64_t                   twice = how == AS_SHAPE ? 2 : 1 + below(m, 4);
        const struct limit_options old = to[i];

        to[i] = m->shape[i];
        if (to[i].kind == LIMIT_BUCKET && to[i].window_ns > S)
            to[i].burst = to[i].burst * twice / 2;
        else if (to[i].kind == LIMIT_BUCKET)
            continue;
        else
            to[i].count = to[i].count * twice / 2;
        if (to[i].window_ns <= S && how == AT_RESTART)
            to[i] = old;
    }
}

static void start(struct model *m)
{
    m->ledger = ledger_new(m->limits[m->which], m->limit_count);
    for (unsigned i = 0; i < m->row_count; i++)
        ledger_load(m->ledger, m->disk[i].key, (struct slice){ m->disk[i].value, m->disk[i].bytes });
    ledger_start(m->ledger, m->boot, now(m));
    m->spent_in_this_run = false;
}

static void end_run(struct model *m)
{
    unsigned keep = (unsigned)below(m, m->write_count + 1);

    while (m->write_count > 0) {
        struct write w = next_write(m);

        if (keep > 0)
            reach_disk(m, w);
        else
            free(w.value);
        keep -= keep > 0;
    }
    ledger_free(m->ledger);
    m->ledger = NULL;
    m->open_count = 0;
}

static void reboot(struct model *m)
{
    int64_t took_ns = (int64_t)below(m, 60 * (uint64_t)S);

    m->boot_began_ns = m->true_ns + (int64_t)below(m, (uint64_t)took_ns + 1);
    m->true_ns += took_ns;
    m->boot[0]++;
    m->boot[1] = (uint8_t)below(m, 256);
}

/* kill -9, power loss, or an orderly end; then another run. */
static void restart(struct model *m)
{
    m->crashes++;
    if (below(m, 3) == 0) {
        while (m->open_count > 0)
            ledger_settle(m->ledger, &m->open[m->open_count - 1].charge, &m->open[m->open_count - 1].receipt, NULL,
                          now(m)),
                m->open_count--;
        ledger_stop(m->ledger, now(m), put, m);
        if (below(m, 2) == 0)
            while (m->write_count > 0)
                reach_disk(m, next_write(m));
    }
    end_run(m);
    m->true_ns += (int64_t)below(m, below(m, 4) == 0 ? 20 * (uint64_t)S : 50 * (uint64_t)MS);
    /* Where the wall clock is wrong over a reboot, nobody could know what it means for a fixed window. */
    if (m->drift_ns == 0 && below(m, 4) == 0)
        reboot(m);
    if (below(m, 4) == 0)
        vary(m, m->limits[m->which], AT_RESTART);
    start(m);
}

static void reload(struct model *m)
{
    struct ledger *old = m->ledger;

    m->reloads++;
    vary(m, m->limits[1 - m->which], below(m, 2) == 0 ? AS_SHAPE : AT_RELOAD);
    m->which = 1 - m->which;
    m->ledger = ledger_new(m->limits[m->which], m->limit_count);
    ledger_adopt(m->ledger, old, now(m));
    ledger_free(old);
}

/* By up to an hour; a clock that was wrong before anything was kept in this run cannot be told from a right one. */
static void step_clock(struct model *m)
{
    if (!m->spent_in_this_run)
        return;
    m->steps_of_clock++;
    if (m->drift_ns != 0) {
        m->drift_ns = 0;
        return;
    }
    m->drift_ns = 3 * S + (int64_t)below(m, (uint64_t)(HOUR - 3 * S));
    if (below(m, 2) == 0)
        m->drift_ns = -m->drift_ns;
}

/* -- requests -- */

static unsigned credential_of(const struct charge *c)
{
    return c->credential != NULL ? c->credential[0] : 0;
}

static bool is_counted(const struct limit_options *o, const struct charge *c)
{
    return o->methods == 0 || (o->methods & (1u << c->method)) != 0;
}

static uint64_t cost_of(const struct limit_options *o, const struct charge *c)
{
    return o->cost_count > 0 && c->method == HTTP_POST ? 3 : 1;
}

static struct charge any_charge(struct model *m)
{
    static const uint8_t credentials[CREDENTIALS][LEDGER_CREDENTIAL_BYTES] = { { 0 }, { 1 }, { 2 }, { 3 } };
    unsigned             who = (unsigned)below(m, CREDENTIALS);
    bool                 post = below(m, 5) == 0;

    return (struct charge){ .method = post ? HTTP_POST : HTTP_GET,
                            .method_name = post ? SLICE("POST") : SLICE("GET"),
                            .path = SLICE("/"),
                            .credential = who > 0 ? credentials[who] : NULL };
}

static void request(struct model *m)
{
    struct charge        c = any_charge(m);
    struct open_request *r = &m->open[m->open_count];

    if (m->open_count == OPEN_MOST || ledger_wait_ns(m->ledger, &c, now(m), NULL) > 0)
        return;
    r->charge = c;
    r->at_ns = m->true_ns;
    ledger_spend(m->ledger, &c, now(m), &r->receipt);
    m->open_count++;
    m->sent++;
    m->spent_in_this_run = true;
    for (unsigned i = 0; i < m->limit_count; i++) {
        struct history *h = history_of(m, i, credential_of(&c));

        r->event[i] = UINT64_MAX;
        if (!is_counted(&m->shape[i], &c))
            continue;
        r->event[i] = h->count;
        h->ring[h->count++ % EVENTS] = (struct event){ m->true_ns, cost_of(&m->shape[i], &c) };
        check(m, i, h);
    }
}

static void forget_event(struct model *m, const struct open_request *r, unsigned limit)
{
    struct history *h = history_of(m, limit, credential_of(&r->charge));

    if (r->event[limit] != UINT64_MAX && r->event[limit] + EVENTS > h->count)
        h->ring[r->event[limit] % EVENTS].cost = 0;
}

/* It was never sent, it is answered by something or a 304, or by nothing. */
static void finish(struct model *m)
{
    struct http_response ok = { .status = 200 }, not_modified = { .status = 304 };
    struct open_request *r;
    unsigned             at;

    if (m->open_count == 0)
        return;
    at = (unsigned)below(m, m->open_count);
    r = &m->open[at];
    switch (below(m, 6)) {
    case 0:
        ledger_return(m->ledger, &r->receipt);
        for (unsigned i = 0; i < m->limit_count; i++)
            forget_event(m, r, i);
        break;
    case 1:
        ledger_settle(m->ledger, &r->charge, &r->receipt, &not_modified, now(m));
        for (unsigned i = 0; i < m->limit_count; i++)
            if (m->shape[i].cost_count > 0)
                forget_event(m, r, i);
        break;
    case 2:
        ledger_settle(m->ledger, &r->charge, &r->receipt, NULL, now(m));
        break;
    default:
        ledger_settle(m->ledger, &r->charge, &r->receipt, &ok, now(m));
        break;
    }
    *r = m->open[--m->open_count];
}

/* Eager: requests come as fast as they may; else they trickle. */
static void step(struct model *m)
{
    uint64_t what = below(m, 10000);
    bool     eager = (m->step >> 12) % 3 != 0;

    m->true_ns += (int64_t)below(m, (uint64_t)(eager ? 10 * MS : 300 * MS));
    if (what < 6000)
        request(m);
    else if (what < 8500)
        finish(m);
    else if (what < 9200)
        save(m);
    else if (what < 9950)
        write_some(m, 1 + (unsigned)below(m, 20));
    else if (what < 9970)
        restart(m);
    else if (what < 9985)
        reload(m);
    else
        step_clock(m);
}

static uint64_t from_environment(const char *name, uint64_t otherwise)
{
    const char *text = getenv(name);

    return text != NULL ? strtoull(text, NULL, 10) : otherwise;
}

static void run(const struct limit_options *shape, unsigned count)
{
    struct model *m = calloc(1, sizeof *m);
    unsigned      steps = (unsigned)from_environment("WEIR_MODEL_STEPS", STEPS);

    m->seed = from_environment("WEIR_MODEL_SEED", 20261120);
    m->random.state = m->seed != 0 ? m->seed : 1;
    m->shape = shape;
    m->limit_count = count;
    m->history = calloc((size_t)LIMITS_MOST * CREDENTIALS, sizeof *m->history);
    m->boot_began_ns = -100 * S;
    vary(m, m->limits[0], AS_SHAPE);
    start(m);
    for (m->step = 0; m->step < steps; m->step++)
        step(m);
    print_message("%u steps: %llu sent, %llu restarts, %llu reloads, %llu steps of the clock\n", steps,
                  (unsigned long long)m->sent, (unsigned long long)m->crashes, (unsigned long long)m->reloads,
                  (unsigned long long)m->steps_of_clock);
    assert_true(m->sent > steps / 100); /* a ledger that refuses everything proves nothing */
    end_run(m);
    while (m->row_count > 0)
        free(m->disk[--m->row_count].value);
    free(m->history);
    free(m);
}

static const struct limit_cost costs[] = { { 304, 304, NULL, 0 }, { 0, 0, "POST", 3 } };

static void test_windows_and_buckets(void **state)
{
    static const struct limit_options shape[] = {
        { .name = "24/s", .kind = LIMIT_SLIDING, .count = 24, .window_ns = S },
        { .name = "400/min",
          .kind = LIMIT_SLIDING,
          .count = 400,
          .window_ns = 60 * S,
          .costs = costs,
          .cost_count = 2 },
        { .name = "100/min each", .kind = LIMIT_SLIDING, .count = 100, .window_ns = 60 * S, .per_credential = true },
        { .name = "120/min burst 12 each",
          .kind = LIMIT_BUCKET,
          .count = 120,
          .window_ns = 60 * S,
          .burst = 12,
          .per_credential = true,
          .costs = costs,
          .cost_count = 2 },
        { .name = "8/s burst 4",
          .kind = LIMIT_BUCKET,
          .count = 8,
          .window_ns = S,
          .burst = 4,
          .methods = 1u << HTTP_GET },
    };

    (void)state;
    run(shape, 5);
}

static void test_fixed_and_learned_windows(void **state)
{
    static const struct limit_options shape[] = {
        { .name = "60/min fixed", .kind = LIMIT_FIXED, .count = 60, .window_ns = 60 * S, .zone = "UTC" },
        { .name = "40/min learned", .kind = LIMIT_LEARNED, .count = 40, .window_ns = 60 * S, .per_credential = true },
        { .name = "600/10min", .kind = LIMIT_SLIDING, .count = 600, .window_ns = 600 * S },
    };

    (void)state;
    run(shape, 3);
}

/* More a window than there are slots: requests are counted in groups. */
static void test_groups(void **state)
{
    static const struct limit_options shape[] = {
        { .name = "1200/min", .kind = LIMIT_SLIDING, .count = 1200, .window_ns = 60 * S },
        { .name = "600/min each", .kind = LIMIT_SLIDING, .count = 600, .window_ns = 60 * S, .per_credential = true },
    };

    (void)state;
    run(shape, 2);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_windows_and_buckets),
        cmocka_unit_test(test_fixed_and_learned_windows),
        cmocka_unit_test(test_groups),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
