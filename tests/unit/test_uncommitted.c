/*
 * What was submitted is seen by look-ups before it is committed, exactly as it
 * is afterwards.  WEIR_HOLD_COMMITS keeps the writer from committing for as long as a test wants.
 */
#include "store/store.h"

#include "base/arena.h"
#include "property.h"
#include "store_support.h"
#include "tempdir.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { KEY = 7, VARIANTS = 3, OPS = 16, TEXT_BYTES = 64 };

static char hold_file[512]; /* while it is there nothing is committed */

static void hold(void)
{
    close(open(hold_file, O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
}

static void let_go(void)
{
    unlink(hold_file);
}

static int setup_held(void **state)
{
    char *directory = tempdir_make();

    snprintf(hold_file, sizeof hold_file, "%s-held", directory);
    tempdir_remove(directory);
    setenv("WEIR_HOLD_COMMITS", hold_file, 1);
    return setup(state);
}

static int teardown_held(void **state)
{
    let_go();
    return teardown(state);
}

/* -- operations: a letter and a variant -- */

struct play {
    struct fixture     *f;
    struct arena        arena;
    struct mailbox     *box;
    struct store_change changes[OPS];
    unsigned            count, answered;
    uint64_t            newest[VARIANTS]; /* id of the version that was submitted last; 0: none */
};

static struct play *receiving;

static void receive(struct mail *m)
{
    (void)m;
    receiving->answered++;
}

static void play_begin(struct play *p, struct fixture *f)
{
    *p = (struct play){ .f = f, .box = mailbox_open() };
    receiving = p;
}

static void play_await(struct play *p)
{
    struct pollfd watch = { .fd = mailbox_fd(p->box), .events = POLLIN };

    while (p->answered < p->count) {
        assert_int_equal(poll(&watch, 1, 20000), 1);
        mailbox_deliver(p->box);
    }
}

static void play_end(struct play *p)
{
    let_go();
    play_await(p);
    for (unsigned i = 0; i < p->count; i++)
        spool_release(p->changes[i].body);
    mailbox_close(p->box);
    arena_free(&p->arena);
}

/*
 * P put, F freshen the version submitted last, f freshen one that was never there, C put what was made of the version
 * submitted last, c of one that was never there, I invalidate all.
 */
static void play_one(struct play *p, char kind, unsigned v)
{
    struct store_change *c = &p->changes[p->count];
    unsigned             n = p->count++;

    *c = make_put(&p->arena, KEY, v, NULL);
    c->fields.count = 0;
    http_fields_add(&c->fields, &p->arena, SLICE("X-Op"), arena_printf(&p->arena, "%u", n));
    c->requested_wall_ns = c->received_wall_ns = 1000 * (int64_t)(n + 1);
    c->reply_to = p->box;
    c->done.receive = receive;
    switch (kind) {
    case 'F':
    case 'f':
        c->kind = STORE_FRESHEN;
        c->id = kind == 'F' ? p->newest[v] : 1;
        break;
    case 'C':
    case 'c':
        c->id = kind == 'C' ? p->newest[v] : 1;
        /* fall through */
    case 'P':
        c->body = make_body(-1, n, 10 + n);
        break;
    default:
        c->kind = STORE_INVALIDATE;
    }
    store_submit(p->f->store, c);
    if (kind == 'P' || kind == 'C' || (kind == 'F' && c->id != 0))
        p->newest[v] = c->number;
}

static void play_all(struct play *p, const char *ops)
{
    for (; *ops != '\0'; ops++)
        if (*ops >= 'A')
            play_one(p, *ops, ops[1] >= '0' && ops[1] <= '9' ? (unsigned)(ops[1] - '0') : 0);
}

/* -- what a look-up says: for each variant the operations that its head and its body are of, ! where invalidated -- */

static bool accept_variant(const struct store_record *r, void *variant)
{
    uint8_t wanted[STORE_HASH_BYTES];

    make_hash(wanted, "variant", *(unsigned *)variant);
    return memcmp(r->variant, wanted, sizeof wanted) == 0;
}

static void describe(struct fixture *f, char out[TEXT_BYTES])
{
    struct arena a = { 0 };
    size_t       used = 0;
    uint8_t      hash[STORE_HASH_BYTES];

    make_hash(hash, "key", KEY);
    for (unsigned v = 0; v < VARIANTS; v++) {
        struct store_record r;
        struct http_fields  fields;
        struct slice        op;

        if (store_lookup(f->reader, hash, make_full_key(&a, KEY), accept_variant, &v, &r) != STORE_HIT) {
            used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%s-", v > 0 ? " " : "");
            continue;
        }
        fields = store_record_fields(&r, &a);
        op = fields.items[0].value;
        assert_int_equal(r.received_wall_ns, 1000 * (atoll(op.ptr) + 1));
        assert_int_equal(r.body.len, r.body_bytes);
        for (size_t i = 0; i < r.body.len; i++)
            assert_int_equal((unsigned char)r.body.ptr[i], body_byte((unsigned)r.body_bytes - 10, (int64_t)i));
        used += (size_t)snprintf(out + used, TEXT_BYTES - used, "%s%.*s/%d%s", v > 0 ? " " : "", SLICE_ARG(op),
                                 (int)r.body_bytes - 10, r.invalidated ? "!" : "");
        store_reader_end(f->reader);
    }
    arena_free(&a);
}

/* "2/0": the head of operation 2, the body of operation 0. */
static const struct case_row {
    const char *name, *committed, *announced, *seen;
} rows[] = {
    { "nothing", "", "", "- - -" },
    { "a_put_is_seen", "", "P0", "0/0 - -" },
    { "the_later_put_of_a_variant_counts", "", "P0 P0", "1/1 - -" },
    { "variants_stand_beside_each_other", "", "P0 P1", "0/0 1/1 -" },
    { "a_put_takes_the_place_of_what_is_stored", "P0 P1", "P0", "2/2 1/1 -" },
    { "a_304_freshens_what_is_stored", "P0", "F0", "1/0 - -" },
    { "a_304_freshens_what_is_not_stored_yet", "", "P0 F0", "1/0 - -" },
    { "a_304_freshens_a_freshened_one", "P0", "F0 F0", "2/0 - -" },
    { "a_304_about_another_version_changes_nothing", "P0", "f0", "0/0 - -" },
    { "a_304_about_a_version_that_was_replaced", "P0", "P0 f0", "1/1 - -" },
    { "a_put_behind_a_304", "P0", "F0 P0", "2/2 - -" },
    { "invalidated_is_what_is_stored", "P0 P1", "I", "0/0! 1/1! -" },
    { "invalidated_is_what_is_not_stored_yet", "", "P0 I", "0/0! - -" },
    { "what_comes_later_is_not_invalidated", "P0", "I P0", "2/2 - -" },
    { "a_304_makes_nothing_valid_behind_it", "P0", "F0 I F0", "1/0! - -" },
    { "completed_from_what_stands", "P0", "C0", "1/1 - -" },
    { "completed_from_what_is_not_stored_yet", "", "P0 C0", "1/1 - -" },
    { "completed_from_what_was_freshened", "P0", "F0 C0", "2/2 - -" },
    { "completed_from_what_is_gone", "", "c0", "- - -" },
    { "completed_from_what_was_replaced", "P0", "P0 c0", "1/1 - -" },
    { "a_304_about_what_could_not_be_completed", "P1", "c0 f0", "- 0/0 -" },
};

static void test_seen_as_it_will_be(void **state)
{
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const struct case_row *row = &rows[i];
        struct play            p;
        char                   before[TEXT_BYTES], after[TEXT_BYTES];
        struct store_change    flush = { .kind = STORE_FLUSH };

        assert_true(do_change(((struct fixture *)*state)->store, &flush));
        play_begin(&p, *state);
        play_all(&p, row->committed);
        store_hurry(p.f->store);
        play_await(&p);
        hold();
        play_all(&p, row->announced);
        describe(p.f, before);
        let_go();
        store_hurry(p.f->store);
        play_await(&p);
        describe(p.f, after);
        if (strcmp(before, row->seen) != 0 || strcmp(after, row->seen) != 0)
            fail_msg("%s: \"%s\" before the commit, \"%s\" after it, not \"%s\"", row->name, before, after, row->seen);
        play_end(&p);
    }
}

static void test_any_order_is_seen_as_it_will_be(void **state)
{
    static const char kinds[] = "PPPFFfCCcI";

    for (unsigned round = 0; round < 60; round++) {
        struct property     rng = { round + 1 };
        struct play         p;
        char                before[TEXT_BYTES], after[TEXT_BYTES];
        unsigned            committed = (unsigned)property_below(&rng, 5), all;
        struct store_change flush = { .kind = STORE_FLUSH };

        assert_true(do_change(((struct fixture *)*state)->store, &flush));
        play_begin(&p, *state);
        all = committed + (unsigned)property_below(&rng, OPS - 5);
        for (unsigned i = 0; i < all; i++) {
            if (i == committed) {
                store_hurry(p.f->store);
                play_await(&p);
                hold();
            }
            play_one(&p, kinds[property_below(&rng, sizeof kinds - 1)], (unsigned)property_below(&rng, VARIANTS));
        }
        describe(p.f, before);
        let_go();
        store_hurry(p.f->store);
        play_await(&p);
        describe(p.f, after);
        if (strcmp(before, after) != 0)
            fail_msg("round %u: \"%s\" before the commit, \"%s\" after it", round, before, after);
        play_end(&p);
    }
}

/* -- bodies -- */

static bool body_is_right(struct fixture *f, const struct store_record *r, unsigned seed)
{
    unsigned char *bytes = malloc((size_t)r->body_bytes + 1);
    bool           right = true;
    int            fd = -1;

    if (r->body_file == 0) {
        memcpy(bytes, r->body.ptr, (size_t)r->body_bytes);
    } else {
        fd = store_body_open(f->store, r);
        right = fd >= 0 && pread(fd, bytes, (size_t)r->body_bytes + 1, 0) == r->body_bytes;
    }
    for (int64_t i = 0; right && i < r->body_bytes; i++)
        right = bytes[i] == body_byte(seed, i);
    if (fd >= 0)
        close(fd);
    free(bytes);
    return right;
}

static void test_bodies(void **state)
{
    static const struct {
        const char *name;
        int64_t     bytes;
    } sizes[] = {
        { "empty", 0 },
        { "one_byte", 1 },
        { "inline_exactly", STORE_INLINE_BYTES },
        { "in_memory_but_a_file_later", STORE_INLINE_BYTES + 1 },
        { "all_of_a_spools_memory", SPOOL_MEMORY_BYTES },
        { "a_file", SPOOL_MEMORY_BYTES + 1 },
        { "a_megabyte", 1024 * 1024 },
    };
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_record r;

    for (unsigned i = 0; i < sizeof sizes / sizeof *sizes; i++) {
        struct spool       *body = make_body(store_directory(f->store), i, sizes[i].bytes);
        struct store_change c = make_put(&a, KEY, 0, body);
        struct play         p;

        play_begin(&p, f);
        hold();
        c.reply_to = p.box;
        c.done.receive = receive;
        p.count = 1;
        store_submit(f->store, &c);
        if (look_up(f->reader, KEY, &r) != STORE_HIT || !body_is_right(f, &r, i) || r.id != c.number)
            fail_msg("%s: not seen", sizes[i].name);
        /* It is committed while somebody still goes by what he has seen. */
        let_go();
        store_hurry(f->store);
        play_await(&p);
        assert_int_equal(c.new_id, c.number);
        if (!body_is_right(f, &r, i))
            fail_msg("%s: gone with the commit", sizes[i].name);
        store_reader_end(f->reader);
        if (look_up(f->reader, KEY, &r) != STORE_HIT || !body_is_right(f, &r, i) || r.id != c.number)
            fail_msg("%s: not stored", sizes[i].name);
        store_reader_end(f->reader);
        p.count = p.answered = 0;
        play_end(&p);
        spool_release(body);
    }
    arena_free(&a);
}

/* -- announced, not submitted -- */

static void test_seen_with_its_last_byte_and_no_earlier(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct spool       *body = spool_new(-1);
    struct store_change c = make_put(&a, KEY, 0, body);
    struct store_record r;
    struct fault        why;
    const uint64_t      generation = store_generation(f->store);

    c.body_bytes = 5;
    assert_int_equal(spool_write(body, "hell", 4, &why), 0);
    store_announce(f->store, &c);
    assert_true(store_generation(f->store) != generation);
    assert_int_equal(look_up(f->reader, KEY, &r), STORE_MISS);
    assert_int_equal(spool_write(body, "o", 1, &why), 0);
    assert_int_equal(look_up(f->reader, KEY, &r), STORE_HIT);
    assert_true(slice_eq(r.body, SLICE("hello")));
    store_reader_end(f->reader);
    store_withdraw(f->store, &c);
    store_withdraw(f->store, &c); /* harmless */
    assert_int_equal(look_up(f->reader, KEY, &r), STORE_MISS);
    assert_false(store_is_changing(f->store, c.hash));
    spool_release(body);
    arena_free(&a);
}

static void test_a_first_one_undoes_no_look_up(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct store_change c = make_put(&a, KEY, 0, NULL);
    const uint64_t      generation = store_generation(f->store);

    c.is_first = true;
    store_announce(f->store, &c);
    assert_int_equal(store_generation(f->store), generation);
    store_withdraw(f->store, &c);
    assert_true(store_generation(f->store) != generation); /* a reply may have been made of it meanwhile */
    arena_free(&a);
}

static void test_what_the_writer_refuses_is_seen_no_longer(void **state)
{
    struct fixture     *f = *state;
    struct arena        a = { 0 };
    struct spool       *body = make_body(-1, 1, 10);
    struct store_change c = make_put(&a, KEY, 0, body);
    struct store_record r;

    spool_set_pass(body); /* its beginning may be gone: no record */
    assert_false(do_change(f->store, &c));
    assert_int_equal(look_up(f->reader, KEY, &r), STORE_MISS);
    spool_release(body);
    arena_free(&a);
}

/* -- a purge after it -- */

static void test_a_drop_behind_it_drops_it(void **state)
{
    static const enum store_change_kind kinds[] = { STORE_DROP, STORE_DROP_TAG, STORE_FLUSH };
    struct fixture                     *f = *state;

    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        struct play         p;
        struct store_record r;
        struct store_change drop = { .kind = kinds[i] };

        play_begin(&p, f);
        hold();
        play_one(&p, 'P', 0);
        make_hash(drop.hash, "key", KEY);
        make_hash(drop.tag, "tag", KEY / 100);
        p.count = 2;
        drop.reply_to = p.box;
        drop.done.receive = receive;
        store_submit(f->store, &drop);
        let_go();
        play_await(&p);
        assert_true(drop.ok);
        assert_int_equal(drop.changed, 1);
        assert_int_equal(look_up(f->reader, KEY, &r), STORE_MISS);
        p.count = p.answered = 1;
        play_end(&p);
    }
}

/* -- nobody falls between the two -- */

struct looking {
    struct store_reader *reader;
    _Atomic int64_t      last;
    _Atomic bool         looks, stop;
    bool                 failed;
};

static void *look_all_the_time(void *context)
{
    struct looking *l = context;

    while (!atomic_load(&l->stop)) {
        int64_t             least = atomic_load(&l->last);
        struct store_record r;

        if (look_up(l->reader, KEY, &r) != STORE_HIT || r.received_wall_ns < least)
            l->failed = true;
        store_reader_end(l->reader);
        atomic_store(&l->looks, true);
    }
    return NULL;
}

static void test_nobody_falls_between_announcement_and_commit(void **state)
{
    struct fixture *f = *state;
    struct looking  l = { .reader = store_reader_open(f->store) };
    pthread_t       thread;

    assert_true(put_record(f->store, KEY, 0, 10));
    assert_int_equal(pthread_create(&thread, NULL, look_all_the_time, &l), 0);
    while (!atomic_load(&l.looks))
        usleep(100);
    for (unsigned round = 0; round < 150; round++) {
        struct play p;

        play_begin(&p, f);
        for (unsigned i = 0; i < OPS; i++) {
            struct store_change *c = &p.changes[i];

            *c = make_put(&p.arena, KEY, i % VARIANTS, make_body(-1, i, 100));
            c->received_wall_ns = (int64_t)(round * OPS + i + 1) * 1000000;
            c->reply_to = p.box;
            c->done.receive = receive;
            p.count++;
            store_submit(f->store, c);
            atomic_store(&l.last, c->received_wall_ns);
        }
        store_hurry(f->store);
        play_end(&p);
    }
    atomic_store(&l.stop, true);
    pthread_join(thread, NULL);
    store_reader_close(l.reader);
    assert_false(l.failed);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_seen_as_it_will_be, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_any_order_is_seen_as_it_will_be, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_bodies, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_seen_with_its_last_byte_and_no_earlier, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_a_first_one_undoes_no_look_up, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_what_the_writer_refuses_is_seen_no_longer, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_a_drop_behind_it_drops_it, setup_held, teardown_held),
        cmocka_unit_test_setup_teardown(test_nobody_falls_between_announcement_and_commit, setup_held, teardown_held),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
