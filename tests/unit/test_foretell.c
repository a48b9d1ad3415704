/*
 * What one is told to wait, and what it then waits: the queue and the ledger together, with a line of others before it
 * that spend from some of the limits that it spends from.
 */
#include "budget/ledger.h"
#include "budget/queue.h"

#include "base/clock.h"
#include "base/ref.h"

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

enum { MANY = 1, OWN = 0, CROWDS = 2, LIMITS = 3, MOST = 400 };

struct crowd {
    unsigned            count;
    bool                many; /* each of a credential of its own; else the newcomer's */
    const char         *path;
    enum queue_priority priority;
};

struct row {
    const char *fact;
    struct {
        const char *rate, *match;
        bool        per_credential;
    } limits[LIMITS];
    struct crowd        crowds[CROWDS];
    const char         *path; /* the newcomer's */
    enum queue_priority priority;
};

static const struct row rows[] = {
    { "who has a limit of his own waits for the limit of all, not for others' own ones",
      { { "50/s burst 1", NULL, false }, { "100/h", NULL, true } },
      { { 300, MANY, "/x", QUEUE_INTERACTIVE } },
      "/x",
      QUEUE_INTERACTIVE },
    { "his own line counts at his own limit",
      { { "50/s burst 1", NULL, false }, { "2/s burst 1", NULL, true } },
      { { 20, OWN, "/x", QUEUE_INTERACTIVE } },
      "/x",
      QUEUE_INTERACTIVE },
    { "a limit of a path hears of those that ask for that path",
      { { "50/s burst 1", NULL, false }, { "10/min burst 1", "/search", false } },
      { { 300, MANY, "/x", QUEUE_INTERACTIVE } },
      "/search",
      QUEUE_INTERACTIVE },
    { "and of all of them",
      { { "50/s burst 1", NULL, false }, { "60/min burst 1", "/search", false } },
      { { 100, MANY, "/x", QUEUE_INTERACTIVE }, { 20, MANY, "/search", QUEUE_INTERACTIVE } },
      "/search",
      QUEUE_INTERACTIVE },
    { "own limits of a path hear of the own line of that path",
      { { "50/s burst 1", NULL, false }, { "10/min burst 1", "/search", true } },
      { { 100, OWN, "/x", QUEUE_INTERACTIVE } },
      "/search",
      QUEUE_INTERACTIVE },
    { "a long line of batch requests holds up nobody's own limit",
      { { "50/s burst 1", NULL, false }, { "20/h", NULL, true } },
      { { 300, MANY, "/x", QUEUE_BATCH } },
      "/x",
      QUEUE_INTERACTIVE },
    { "nor does a line of interactive ones that of a batch request",
      { { "50/s burst 1", NULL, false }, { "20/h", NULL, true } },
      { { 100, MANY, "/x", QUEUE_INTERACTIVE } },
      "/x",
      QUEUE_BATCH },
};

struct job {
    struct queue_entry entry;
    struct charge      charge;
    uint8_t            credential[LEDGER_CREDENTIAL_BYTES];
};

struct simulation {
    struct ledger    *ledger;
    struct queue     *queue;
    struct budget_now now;
    struct job        jobs[MOST];
    unsigned          count;
};

static bool prefix_matches(const void *pattern, struct slice path)
{
    return slice_starts_with(path, slice_of(pattern));
}

static int64_t may_go(void *context, struct queue_entry *e, bool overtaken)
{
    struct simulation *s = context;
    struct job        *j = CONTAINER_OF(e, struct job, entry);

    return ledger_ask_ns(s->ledger, &j->charge, s->now, overtaken, &e->held);
}

static struct job *come(struct simulation *s, unsigned credential, const char *path, enum queue_priority priority)
{
    struct job *j = &s->jobs[s->count++];

    memcpy(j->credential, &credential, sizeof credential);
    j->credential[LEDGER_CREDENTIAL_BYTES - 1] = 1;
    j->charge = (struct charge){ .method = HTTP_GET,
                                 .method_name = SLICE("GET"),
                                 .path = slice_of(path),
                                 .credential = j->credential };
    j->entry = (struct queue_entry){ .class = ledger_class(s->ledger, &j->charge),
                                     .priority = priority,
                                     .who.id[QUEUE_USER] = s->count,
                                     .arrived_ns = s->count };
    return j;
}

static void set_limits(struct simulation *s, const struct row *row, struct limit_options *limits)
{
    unsigned    count = 0;
    const char *bad;

    for (; count < LIMITS && row->limits[count].rate != NULL; count++) {
        limits[count] = (struct limit_options){ .name = row->limits[count].rate,
                                                .match = row->limits[count].match,
                                                .per_credential = row->limits[count].per_credential };
        if (!limit_parse(slice_of(row->limits[count].rate), &limits[count], &bad))
            fail_msg("%s: %s", row->limits[count].rate, bad);
    }
    s->ledger = ledger_new(limits, count);
    ledger_set_match(s->ledger, prefix_matches);
    s->queue = queue_new();
    s->now = (struct budget_now){ .mono_ns = S, .wall_ns = 1700000000 * S };
}

static int64_t waits(struct simulation *s, const struct job *newcomer)
{
    int64_t from = s->now.mono_ns, wake = 0;

    for (;;) {
        struct queue_entry *e = queue_take(s->queue, s->now.mono_ns, may_go, s, &wake);
        struct receipt      r;

        if (e == &newcomer->entry)
            return s->now.mono_ns - from;
        if (e != NULL) {
            ledger_spend(s->ledger, &CONTAINER_OF(e, struct job, entry)->charge, s->now, &r);
            continue;
        }
        s->now.mono_ns += wake;
        s->now.wall_ns += wake;
    }
}

static void test_foretold_and_waited(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct row    *row = &rows[i];
        struct simulation   *s = calloc(1, sizeof *s);
        struct limit_options limits[LIMITS];
        struct queue_ahead   ahead;
        struct job          *newcomer;
        int64_t              told_ns, waited_ns, off_ns;

        set_limits(s, row, limits);
        for (unsigned c = 0; c < CROWDS; c++)
            for (unsigned k = 0; k < row->crowds[c].count; k++)
                queue_put(s->queue,
                          &come(s, row->crowds[c].many ? s->count + 2 : 1, row->crowds[c].path, row->crowds[c].priority)
                               ->entry);
        newcomer = come(s, 1, row->path, row->priority);
        ahead = queue_ahead(s->queue, &newcomer->entry.class, row->priority, &newcomer->entry.who);
        told_ns = ledger_predict_ns(s->ledger, &newcomer->charge, &ahead, s->now, NULL);
        queue_put(s->queue, &newcomer->entry);
        waited_ns = waits(s, newcomer);
        off_ns = told_ns > waited_ns ? told_ns - waited_ns : waited_ns - told_ns;
        if (off_ns > 50 * MS && off_ns > waited_ns / 10)
            fail_msg("%s: told %lld ms, waited %lld ms", row->fact, (long long)(told_ns / MS),
                     (long long)(waited_ns / MS));
        queue_free(s->queue);
        ledger_free(s->ledger);
        free(s);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_foretold_and_waited) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
