/*
 * Walks over the store, a batch at a time: what they meet, and that nothing is held between two batches; and the tally
 * of hits that is told with it.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "store_support.h"

#include <poll.h>
#include <stdlib.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { RECORDS = 5000, ANSWER_MS = 20000 };

struct walking {
    struct store_walk walk;
    struct store     *store;
    unsigned          stop_after; /* records of a part; 0: never */
    unsigned          in_part;
    unsigned          met[RECORDS];
    unsigned          reading; /* transactions that were open meanwhile */
    unsigned          cancel_after;
    bool              is_done;
};

static unsigned number_of(const struct store_record *r)
{
    const char *last = memrchr(r->full_key.ptr, '=', r->full_key.len);

    return (unsigned)strtoul(last + 1, NULL, 10); /* the selection follows: no digit */
}

static bool visit(void *context, const struct store_record *r)
{
    struct walking *w = context;
    unsigned        n = number_of(r);

    assert_true(n < RECORDS);
    w->met[n]++;
    w->reading = db_reading(w->store->db);
    if (w->cancel_after != 0 && w->walk.seen >= w->cancel_after)
        atomic_store(&w->walk.is_cancelled, true);
    return w->stop_after == 0 || ++w->in_part < w->stop_after;
}

static void receive(struct mail *m)
{
    CONTAINER_OF(CONTAINER_OF(m, struct store_walk, done), struct walking, walk)->is_done = true;
}

static void begin_walk(struct walking *w, struct store *s, unsigned stop_after)
{
    *w = (struct walking){ .store = s, .stop_after = stop_after };
    w->walk.visit = visit;
    w->walk.context = w;
    w->walk.reply_to = mailbox_open();
    w->walk.done.receive = receive;
}

static void walk_on(struct walking *w)
{
    struct pollfd watch = { .fd = mailbox_fd(w->walk.reply_to), .events = POLLIN };

    w->in_part = 0;
    w->is_done = false;
    store_walk(w->store, &w->walk);
    while (!w->is_done) {
        CHECK(poll(&watch, 1, ANSWER_MS) == 1);
        mailbox_deliver(w->walk.reply_to);
    }
}

static void end_walk(struct walking *w)
{
    mailbox_close(w->walk.reply_to);
}

static void test_each_record_is_met_once(void **state)
{
    static const struct {
        const char *name;
        unsigned    stop_after, parts;
    } rows[] = {
        { "in_one_go", 0, 1 },
        { "in_parts_that_do_not_fit_evenly", 999, 6 },
        { "in_parts_that_fit_evenly", 1000, 6 }, /* the last one finds the end */
    };
    struct fixture *f = *state;
    struct walking *w = mem_alloc(sizeof *w);

    assert_true(put_records(f->store, 0, RECORDS, 10));
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned parts = 0;

        begin_walk(w, f->store, rows[i].stop_after);
        for (; !w->walk.at_end; parts++) {
            walk_on(w);
            if (!w->walk.ok || parts > 10)
                fail_msg("%s: part %u", rows[i].name, parts);
        }
        if (parts != rows[i].parts || w->walk.seen != RECORDS)
            fail_msg("%s: %u parts, %u records", rows[i].name, parts, (unsigned)w->walk.seen);
        for (unsigned n = 0; n < RECORDS; n++)
            if (w->met[n] != 1)
                fail_msg("%s: record %u was met %u times", rows[i].name, n, w->met[n]);
        end_walk(w);
    }
    free(w);
}

/* A reader that sleeps between two parts keeps no page: what changes meanwhile makes the file no longer. */
static void test_nothing_is_held_between_two_parts(void **state)
{
    struct fixture *f = *state;
    struct walking *w = mem_alloc(sizeof *w);
    struct db_space before, after;

    assert_true(put_records(f->store, 0, 1000, 2000));
    for (unsigned i = 0; i < 5; i++)
        assert_true(put_records(f->store, 0, 1000, 2000)); /* as many free pages as that takes */
    store_reader_end(f->reader);
    begin_walk(w, f->store, 10);
    walk_on(w);
    assert_true(w->walk.ok && !w->walk.at_end && w->walk.seen == 10);
    assert_true(w->reading >= 1); /* during it */
    assert_int_equal(db_reading(f->store->db), 0);
    assert_int_equal(db_space(f->store->db, &before), DB_OK);
    for (unsigned i = 0; i < 20; i++)
        assert_true(put_records(f->store, 0, 1000, 2000));
    assert_int_equal(db_space(f->store->db, &after), DB_OK);
    assert_true(after.used_bytes + after.free_bytes < 2 * (before.used_bytes + before.free_bytes));
    while (!w->walk.at_end)
        walk_on(w);
    for (unsigned n = 0; n < 1000; n++)
        assert_int_equal(w->met[n], 1);
    end_walk(w);
    free(w);
}

static void test_a_walk_that_is_cancelled_ends_soon(void **state)
{
    struct fixture *f = *state;
    struct walking *w = mem_alloc(sizeof *w);

    assert_true(put_records(f->store, 0, RECORDS, 10));
    begin_walk(w, f->store, 0);
    w->cancel_after = 1;
    walk_on(w);
    assert_true(w->walk.ok && !w->walk.at_end && w->walk.seen < RECORDS);
    end_walk(w);
    free(w);
}

static void test_a_store_that_is_not_there(void **state)
{
    struct walking *w = mem_alloc(sizeof *w);

    (void)state;
    begin_walk(w, NULL, 0);
    walk_on(w);
    assert_false(w->walk.ok);
    end_walk(w);
    free(w);
}

static void ignore(struct mail *m)
{
    (void)m;
}

/* What was submitted before is committed when STORE_SETTLE is answered, though nobody hurried the writer. */
static void test_settled(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_change put = make_put(&a, 7, 0, NULL), settle = { .kind = STORE_SETTLE };
    struct walking     *w = mem_alloc(sizeof *w), *other = mem_alloc(sizeof *other);

    begin_walk(other, f->store, 0); /* its mailbox */
    put.reply_to = other->walk.reply_to;
    put.done.receive = ignore;
    store_submit(f->store, &put);
    assert_true(do_change(f->store, &settle));
    begin_walk(w, f->store, 0);
    walk_on(w);
    assert_int_equal(w->met[7], 1);
    mailbox_deliver(other->walk.reply_to);
    end_walk(w);
    end_walk(other);
    free(w);
    free(other);
    arena_free(&a);
}

/* -- the tally -- */

static uint64_t hits_of(struct store *s, unsigned n)
{
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, n, 0, NULL);
    struct store_record r = { .status = 200 };

    memcpy(r.hash, c.hash, sizeof r.hash);
    memcpy(r.variant, c.variant, sizeof r.variant);
    arena_free(&a);
    return store_hits(s, r.hash, r.variant);
}

static void hit(struct store_reader *r, unsigned n, unsigned times)
{
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, n, 0, NULL);

    for (unsigned i = 0; i < times; i++)
        store_touch(r, c.hash, c.variant);
    arena_free(&a);
}

static void test_hits_of_all_readers_count(void **state)
{
    struct fixture      *f = *state;
    struct store_reader *other = store_reader_open(f->store);

    assert_int_equal(hits_of(f->store, 1), 0);
    hit(f->reader, 1, 3);
    hit(other, 1, 4);
    hit(f->reader, 2, 1);
    assert_int_equal(hits_of(f->store, 1), 7);
    assert_int_equal(hits_of(f->store, 2), 1);
    store_reader_close(other);
    assert_int_equal(hits_of(f->store, 1), 7);
    other = store_reader_open(f->store); /* goes on in the table of the one that was closed */
    hit(other, 1, 2);
    assert_int_equal(hits_of(f->store, 1), 9);
    store_reader_close(other);
}

static void test_a_full_set_keeps_what_is_hit_most(void **state)
{
    struct hit_tally *t = tally_new();

    (void)state;
    for (unsigned way = 0; way < TALLY_WAYS; way++)
        for (unsigned i = 0; i <= 10 * way; i++)
            tally_hit(t, 5 + (uint64_t)way * TALLY_SETS);
    tally_hit(t, 5 + (uint64_t)TALLY_WAYS * TALLY_SETS);
    assert_int_equal(tally_hits(t, 5), 0); /* it had one hit, the others more */
    assert_int_equal(tally_hits(t, 5 + TALLY_SETS), 11);
    assert_int_equal(tally_hits(t, 5 + (uint64_t)TALLY_WAYS * TALLY_SETS), 1);
    assert_int_equal(tally_hits(t, 6), 0);
    free(t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_each_record_is_met_once, setup, teardown),
        cmocka_unit_test_setup_teardown(test_nothing_is_held_between_two_parts, setup, teardown),
        cmocka_unit_test_setup_teardown(test_a_walk_that_is_cancelled_ends_soon, setup, teardown),
        cmocka_unit_test(test_a_store_that_is_not_there),
        cmocka_unit_test_setup_teardown(test_settled, setup, teardown),
        cmocka_unit_test_setup_teardown(test_hits_of_all_readers_count, setup, teardown),
        cmocka_unit_test(test_a_full_set_keeps_what_is_hit_most),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
