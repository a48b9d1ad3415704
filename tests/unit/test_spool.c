/*
 * The spool: what is written is what every reader gets, wake-ups come once
 * and are never lost, and a pass goes round in memory or gives its disk space back.
 */
#include "store/spool.h"

#include "base/arena.h"
#include "tempdir.h"

#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

enum { MIB = 1024 * 1024, BLOCK = 64 * 1024 };

static char *directory;
static int   directory_fd;

static int setup(void **state)
{
    (void)state;
    directory = tempdir_make();
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    return directory_fd < 0 ? -1 : 0;
}

static int teardown(void **state)
{
    (void)state;
    close(directory_fd);
    tempdir_remove(directory);
    return 0;
}

/* The byte at a body offset: no two neighbouring blocks are alike. */
static unsigned char byte_at(int64_t offset)
{
    return (unsigned char)((uint64_t)offset * 2654435761u >> 13);
}

static void fill(unsigned char *out, int64_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++)
        out[i] = byte_at(offset + (int64_t)i);
}

static void write_until(struct spool *s, int64_t length, size_t step)
{
    unsigned char *bytes = malloc(step);

    while (spool_length(s) < length) {
        int64_t at = spool_length(s);
        size_t  n = (int64_t)step < length - at ? step : (size_t)(length - at);

        fill(bytes, at, n);
        assert_int_equal(spool_write(s, bytes, n, NULL), 0);
    }
    free(bytes);
}

static bool bytes_are_right(const unsigned char *bytes, int64_t offset, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (bytes[i] != byte_at(offset + (int64_t)i))
            return false;
    return true;
}

/* -- one thread -- */

struct listener {
    struct spool_reader reader;
    unsigned            woken;
    bool                idle_in_receive;
};

static void receive(struct mail *m)
{
    struct listener *l = CONTAINER_OF(CONTAINER_OF(m, struct spool_reader, wake), struct listener, reader);

    l->woken++;
    l->idle_in_receive = spool_reader_idle(&l->reader);
}

static void listener_open(struct listener *l, struct spool *s, struct mailbox *box, int64_t offset)
{
    l->reader.wake.receive = receive;
    spool_reader_open(&l->reader, s, box, offset);
}

/* Reads until there is no more; what stopped it. */
static enum spool_read read_all(struct listener *l, size_t step, const char *row)
{
    unsigned char  *bytes = malloc(step);
    enum spool_read r;
    size_t          got;

    for (;;) {
        int64_t at = l->reader.offset;

        r = spool_read(&l->reader, bytes, step, &got);
        if (r != SPOOL_READ_BYTES)
            break;
        if (!bytes_are_right(bytes, at, got))
            fail_msg("%s: wrong bytes at %lld", row, (long long)at);
    }
    free(bytes);
    return r;
}

static void test_bodies(void **state)
{
    static const struct {
        const char     *name;
        int64_t         length;
        size_t          write_step, read_step;
        int64_t         from;
        bool            on_disk; /* a directory is given */
        bool            is_file;
        enum spool_end  end;
        enum spool_read last;
    } rows[] = {
        { "empty_is_at_its_end", 0, 1, 10, 0, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "one_byte", 1, 1, 10, 0, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "first_chunk_exactly", 4096, 4096, 100, 0, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "over_chunks_in_odd_steps", 100001, 777, 1009, 0, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "all_of_memory", SPOOL_MEMORY_BYTES, BLOCK, 5000, 0, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "one_more_makes_a_file", SPOOL_MEMORY_BYTES + 1, 1000, 5000, 0, true, true, SPOOL_WHOLE, SPOOL_READ_END },
        { "file_in_one_write", 3 * MIB, 3 * MIB, 100000, 0, true, true, SPOOL_WHOLE, SPOOL_READ_END },
        { "reader_from_the_middle", MIB, 30000, 999, 300000, true, true, SPOOL_WHOLE, SPOOL_READ_END },
        { "reader_at_the_end", 500, 500, 999, 500, true, false, SPOOL_WHOLE, SPOOL_READ_END },
        { "cut_short_after_its_bytes", 70000, 30000, 999, 0, true, false, SPOOL_CUT_SHORT, SPOOL_READ_CUT },
        { "growing_waits", 70000, 30000, 999, 0, true, false, SPOOL_GROWING, SPOOL_READ_WAIT },
        { "without_directory_memory_has_no_end", 2 * MIB, 30000, 9999, 0, false, false, SPOOL_WHOLE, SPOOL_READ_END },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct spool   *s = spool_new(rows[i].on_disk ? directory_fd : -1);
        struct mailbox *box = mailbox_open();
        struct listener l = { 0 };
        unsigned char   tail[16];

        write_until(s, rows[i].length, rows[i].write_step);
        if (rows[i].end != SPOOL_GROWING)
            spool_finish(s, rows[i].end);
        listener_open(&l, s, box, rows[i].from);
        if (read_all(&l, rows[i].read_step, rows[i].name) != rows[i].last)
            fail_msg("%s: ends in another way", rows[i].name);
        if (l.reader.offset != rows[i].length)
            fail_msg("%s: ends at %lld", rows[i].name, (long long)l.reader.offset);
        if ((spool_file(s) >= 0) != rows[i].is_file)
            fail_msg("%s: file or not", rows[i].name);
        if (spool_is_pass(s))
            fail_msg("%s: must be storable", rows[i].name);
        if (rows[i].length >= 10 && (spool_peek(s, rows[i].length - 10, tail, sizeof tail) != 10 ||
                                     !bytes_are_right(tail, rows[i].length - 10, 10)))
            fail_msg("%s: peek at the last ten", rows[i].name);
        if (spool_peek(s, rows[i].length, tail, sizeof tail) != 0)
            fail_msg("%s: peek behind the end", rows[i].name);
        spool_reader_close(&l.reader);
        spool_release(s);
        mailbox_close(box);
    }
}

static void test_file_holds_it_from_the_first_byte(void **state)
{
    struct spool  *s = spool_new(directory_fd);
    unsigned char *bytes = malloc(SPOOL_MEMORY_BYTES + 10);

    (void)state;
    write_until(s, SPOOL_MEMORY_BYTES + 10, 1000);
    assert_int_equal(pread(spool_file(s), bytes, SPOOL_MEMORY_BYTES + 10, 0), SPOOL_MEMORY_BYTES + 10);
    assert_true(bytes_are_right(bytes, 0, SPOOL_MEMORY_BYTES + 10));
    spool_finish(s, SPOOL_WHOLE);
    assert_int_equal(spool_write(s, "x", 1, NULL), -1); /* it has ended */
    spool_finish(s, SPOOL_CUT_SHORT);
    assert_int_equal(spool_ended(s), SPOOL_WHOLE); /* the first end counts */
    free(bytes);
    spool_release(s);
}

static void test_wakes_once(void **state)
{
    struct spool   *s = spool_new(directory_fd);
    struct mailbox *box = mailbox_open();
    struct listener l = { 0 };

    (void)state;
    listener_open(&l, s, box, 0);
    write_until(s, 10, 10);
    assert_int_equal(mailbox_deliver(box), 0); /* nobody waited */
    assert_int_equal(read_all(&l, 100, "wakes"), SPOOL_READ_WAIT);
    write_until(s, 30, 10); /* two writes, one mail */
    assert_false(spool_reader_idle(&l.reader));
    assert_int_equal(mailbox_deliver(box), 1);
    assert_int_equal(l.woken, 1);
    assert_true(l.idle_in_receive);
    assert_int_equal(read_all(&l, 100, "wakes"), SPOOL_READ_WAIT);
    spool_finish(s, SPOOL_WHOLE);
    assert_int_equal(mailbox_deliver(box), 1); /* the end wakes too */
    assert_int_equal(read_all(&l, 100, "wakes"), SPOOL_READ_END);
    spool_reader_close(&l.reader);
    assert_int_equal(mailbox_deliver(box), 0);
    spool_release(s);
    mailbox_close(box);
}

static void test_close_with_a_wake_in_flight(void **state)
{
    struct spool   *s = spool_new(directory_fd);
    struct mailbox *box = mailbox_open();
    struct listener l = { 0 };

    (void)state;
    listener_open(&l, s, box, 0);
    assert_int_equal(read_all(&l, 100, "close"), SPOOL_READ_WAIT);
    write_until(s, 10, 10);
    spool_reader_close(&l.reader);
    assert_false(spool_reader_idle(&l.reader)); /* it stands in the mailbox */
    assert_int_equal(mailbox_deliver(box), 1);
    assert_int_equal(l.woken, 1);
    assert_true(spool_reader_idle(&l.reader));

    listener_open(&l, s, box, 0); /* the same memory again */
    assert_int_equal(read_all(&l, 100, "close"), SPOOL_READ_WAIT);
    spool_reader_close(&l.reader); /* armed, not posted */
    assert_true(spool_reader_idle(&l.reader));
    write_until(s, 20, 10);
    assert_int_equal(mailbox_deliver(box), 0);
    spool_release(s);
    mailbox_close(box);
}

/* -- passing through -- */

struct drained {
    struct mail mail;
    unsigned    count;
};

static void receive_drained(struct mail *m)
{
    CONTAINER_OF(m, struct drained, mail)->count++;
}

static void test_pass_gives_disk_back_and_holds_the_writer(void **state)
{
    struct spool   *s = spool_new(directory_fd);
    struct mailbox *box = mailbox_open();
    struct listener l = { 0 };
    struct drained  d = { .mail.receive = receive_drained };
    struct stat     st;

    (void)state;
    spool_set_pass(s);
    assert_false(spool_is_ahead(s));
    write_until(s, SPOOL_MEMORY_BYTES + 10, BLOCK);
    assert_true(spool_is_ahead(s)); /* a file, and nobody to read it */
    spool_set_drained_mail(s, box, &d.mail);
    assert_int_equal(mailbox_deliver(box), 0);
    listener_open(&l, s, box, 0);
    mailbox_deliver(box);
    assert_int_equal(d.count, 1); /* a reader near enough has come */
    assert_false(spool_is_ahead(s));

    for (int64_t length = 2 * MIB; length <= 12 * MIB; length += 2 * MIB) {
        write_until(s, length, BLOCK);
        assert_true(spool_is_ahead(s));
        spool_set_drained_mail(s, box, &d.mail);
        assert_int_equal(read_all(&l, BLOCK, "pass"), SPOOL_READ_WAIT);
        assert_false(spool_is_ahead(s));
        mailbox_deliver(box);
        assert_int_equal(d.count, 1 + length / (2 * MIB)); /* once each time it was set */
    }
    assert_int_equal(fstat(spool_file(s), &st), 0);
    assert_int_equal(st.st_size, 12 * MIB);
    assert_true(st.st_blocks * 512 < 5 * MIB);

    struct listener late = { 0 };

    listener_open(&late, s, box, MIB); /* what is gone is never shown as zeros */
    assert_int_equal(read_all(&late, BLOCK, "late"), SPOOL_READ_CUT);
    spool_reader_close(&late.reader);
    spool_finish(s, SPOOL_WHOLE);
    assert_int_equal(read_all(&l, BLOCK, "pass"), SPOOL_READ_END);
    spool_reader_close(&l.reader);
    mailbox_deliver(box);
    spool_release(s);
    mailbox_close(box);
}

/* As transfers do it: no more than SPOOL_WRITE_BYTES, and nothing while it is ahead. */
static void write_politely(struct spool *s, int64_t length)
{
    while (spool_length(s) < length && !spool_is_ahead(s)) {
        int64_t next = spool_length(s) + SPOOL_WRITE_BYTES;

        write_until(s, next < length ? next : length, SPOOL_WRITE_BYTES);
    }
}

static void test_pass_stays_in_memory_where_its_writer_waits(void **state)
{
    struct spool   *s = spool_new(directory_fd);
    struct mailbox *box = mailbox_open();
    struct listener fast = { 0 }, slow = { 0 }, late = { 0 };
    struct drained  d = { .mail.receive = receive_drained };

    (void)state;
    spool_set_pass(s);
    write_politely(s, MIB); /* nobody has come yet */
    assert_int_equal(spool_length(s), SPOOL_MEMORY_BYTES);
    listener_open(&fast, s, box, 0);
    listener_open(&slow, s, box, 0);
    for (int64_t length = spool_length(s); length < 12 * MIB; length = spool_length(s)) {
        assert_int_equal(read_all(&fast, 10000, "fast"), SPOOL_READ_WAIT);
        assert_true(spool_is_ahead(s)); /* of the slow one */
        spool_set_drained_mail(s, box, &d.mail);
        mailbox_deliver(box);
        assert_int_equal(read_all(&slow, 777, "slow"), SPOOL_READ_WAIT);
        mailbox_deliver(box);
        assert_false(spool_is_ahead(s));
        write_politely(s, 12 * MIB);
        assert_true(spool_length(s) > length && spool_length(s) <= slow.reader.offset + SPOOL_MEMORY_BYTES);
        assert_int_equal(spool_file(s), -1);
    }
    assert_true(d.count > 12 * MIB / SPOOL_MEMORY_BYTES / 2);
    listener_open(&late, s, box, 0); /* its bytes are others by now */
    assert_int_equal(read_all(&late, BLOCK, "late"), SPOOL_READ_CUT);
    assert_int_equal(late.reader.offset, 0);
    assert_int_equal(read_all(&fast, BLOCK, "fast"), SPOOL_READ_WAIT);
    assert_int_equal(read_all(&slow, BLOCK, "slow"), SPOOL_READ_WAIT);
    assert_false(spool_is_ahead(s)); /* the late one is waited for by nobody */
    spool_reader_close(&late.reader);
    spool_finish(s, SPOOL_WHOLE);
    assert_int_equal(read_all(&fast, BLOCK, "fast"), SPOOL_READ_END);
    assert_int_equal(read_all(&slow, BLOCK, "slow"), SPOOL_READ_END);
    spool_reader_close(&fast.reader);
    spool_reader_close(&slow.reader);
    mailbox_deliver(box);
    spool_release(s);
    mailbox_close(box);
}

/* Nobody may lose a byte where memory ends, wherever that is. */
static void test_pass_goes_into_a_file_where_its_writer_does_not_wait(void **state)
{
    static const struct {
        const char *name;
        int64_t     read, length;
        bool        is_file;
    } rows[] = {
        { "all_in_memory", 0, SPOOL_MEMORY_BYTES, false },
        { "one_byte_too_many", 0, SPOOL_MEMORY_BYTES + 1, true },
        { "one_byte_read", 1, SPOOL_MEMORY_BYTES + 1, false },
        { "one_byte_read_two_too_many", 1, SPOOL_MEMORY_BYTES + 2, true },
        { "in_the_second_round", SPOOL_MEMORY_BYTES, 2 * SPOOL_MEMORY_BYTES, false },
        { "in_mid_chunk_of_the_second_round", SPOOL_MEMORY_BYTES - 5000, 2 * SPOOL_MEMORY_BYTES, true },
        { "far_out", 100000, 3 * MIB, true },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct spool   *s = spool_new(directory_fd);
        struct mailbox *box = mailbox_open();
        struct listener l = { 0 };
        unsigned char  *bytes = malloc(SPOOL_MEMORY_BYTES);
        size_t          got = 0;

        spool_set_pass(s);
        listener_open(&l, s, box, 0);
        write_until(s, SPOOL_MEMORY_BYTES, 30011);
        if (rows[i].read > 0)
            assert_int_equal(spool_read(&l.reader, bytes, (size_t)rows[i].read, &got), SPOOL_READ_BYTES);
        assert_int_equal(got, rows[i].read);
        write_until(s, rows[i].length, SPOOL_MEMORY_BYTES);
        if ((spool_file(s) >= 0) != rows[i].is_file)
            fail_msg("%s: file or not", rows[i].name);
        assert_int_equal(read_all(&l, 9973, rows[i].name), SPOOL_READ_WAIT);
        write_until(s, rows[i].length + 5, 5);
        spool_finish(s, SPOOL_WHOLE);
        if (read_all(&l, 9973, rows[i].name) != SPOOL_READ_END || l.reader.offset != rows[i].length + 5)
            fail_msg("%s: ends at %lld", rows[i].name, (long long)l.reader.offset);
        spool_reader_close(&l.reader);
        mailbox_deliver(box);
        free(bytes);
        spool_release(s);
        mailbox_close(box);
    }
}

static void test_drained_is_told_when_the_slowest_leaves(void **state)
{
    struct spool   *s = spool_new(directory_fd);
    struct mailbox *box = mailbox_open();
    struct listener fast = { 0 }, slow = { 0 };
    struct drained  d = { .mail.receive = receive_drained };

    (void)state;
    spool_set_pass(s);
    listener_open(&fast, s, box, 0);
    listener_open(&slow, s, box, 0);
    write_until(s, 2 * MIB, BLOCK);
    assert_int_equal(read_all(&fast, BLOCK, "fast"), SPOOL_READ_WAIT);
    spool_set_drained_mail(s, box, &d.mail);
    assert_true(spool_is_ahead(s));
    mailbox_deliver(box);
    assert_int_equal(d.count, 0);
    spool_reader_close(&slow.reader);
    mailbox_deliver(box);
    assert_int_equal(d.count, 1);
    spool_set_drained_mail(s, box, &d.mail); /* already drained: at once */
    mailbox_deliver(box);
    assert_int_equal(d.count, 2);
    spool_reader_close(&fast.reader);
    spool_release(s);
    mailbox_close(box);
}

/* A cache directory that takes no files (deleted, or its disk is full): the client still gets its answer. */
static void test_refused_by_the_disk_goes_on_in_memory(void **state)
{
    int             fd = open("/proc", O_RDONLY | O_DIRECTORY | O_CLOEXEC); /* takes no files */
    struct spool   *s = spool_new(fd);
    struct mailbox *box = mailbox_open();
    struct listener l = { 0 };

    (void)state;
    listener_open(&l, s, box, 0);
    for (int64_t length = MIB / 2; length <= 6 * MIB; length += MIB / 2) {
        write_until(s, length, BLOCK);
        assert_int_equal(read_all(&l, 10000, "refused"), SPOOL_READ_WAIT);
    }
    assert_true(spool_is_pass(s));
    assert_int_equal(spool_file(s), -1);
    spool_finish(s, SPOOL_WHOLE);
    assert_int_equal(read_all(&l, BLOCK, "refused"), SPOOL_READ_END);
    spool_reader_close(&l.reader);
    mailbox_deliver(box);
    spool_release(s);
    mailbox_close(box);
    close(fd);
}

/* -- a writer and four readers at paces of their own -- */

enum { READERS = 4, THREADED_BYTES = 5 * MIB };

struct pace {
    struct listener    l;
    struct spool      *spool;
    pthread_barrier_t *all_there; /* NULL: it comes when it comes */
    size_t             step;
    bool               right;
    int64_t            total;
    enum spool_read    last;
    unsigned           waits;
};

static void *read_in_thread(void *argument)
{
    struct pace    *p = argument;
    struct mailbox *box = mailbox_open();
    unsigned char  *bytes = malloc(p->step);
    size_t          got;

    p->right = true;
    listener_open(&p->l, p->spool, box, 0);
    if (p->all_there != NULL)
        pthread_barrier_wait(p->all_there);
    while ((p->last = spool_read(&p->l.reader, bytes, p->step, &got)) <= SPOOL_READ_WAIT) {
        if (p->last == SPOOL_READ_BYTES) {
            p->right = p->right && bytes_are_right(bytes, p->total, got);
            p->total += (int64_t)got;
            continue;
        }
        struct pollfd watch = { .fd = mailbox_fd(box), .events = POLLIN };
        unsigned      before = p->l.woken;

        p->waits++;
        while (p->l.woken == before) {
            if (poll(&watch, 1, 20000) == 0) { /* a lost wake-up: fail, do not hang */
                p->right = false;
                break;
            }
            mailbox_deliver(box);
        }
        if (!p->right)
            break;
    }
    spool_reader_close(&p->l.reader);
    if (!spool_reader_idle(&p->l.reader))
        mailbox_deliver(box);
    mailbox_close(box);
    free(bytes);
    return NULL;
}

/* One who comes to a SPOOL_PASS between the writer's look at spool_is_ahead() and its write may make it want a file. */
enum coming { TO_ALL, TO_PASS_BEFORE_ITS_FIRST_BYTE, TO_PASS_AT_ANY_TIME };

static void run_threads(enum coming coming)
{
    static const size_t steps[READERS] = { 512, 4096, 65536, MIB };
    struct spool       *s = spool_new(directory_fd);
    struct pace         paces[READERS];
    pthread_t           threads[READERS];
    struct mailbox     *box = mailbox_open();
    struct drained      d = { .mail.receive = receive_drained };
    size_t              step = 1;
    pthread_barrier_t   all_there;
    const bool          pass = coming != TO_ALL, late = coming == TO_PASS_AT_ANY_TIME;

    pthread_barrier_init(&all_there, NULL, READERS + 1);
    if (pass)
        spool_set_pass(s);
    memset(paces, 0, sizeof paces);
    for (int i = 0; i < READERS; i++) {
        paces[i].all_there = coming == TO_PASS_BEFORE_ITS_FIRST_BYTE ? &all_there : NULL;
        paces[i].spool = s;
        paces[i].step = steps[i];
        assert_int_equal(pthread_create(&threads[i], NULL, read_in_thread, &paces[i]), 0);
    }
    if (coming == TO_PASS_BEFORE_ITS_FIRST_BYTE)
        pthread_barrier_wait(&all_there);
    while (spool_length(s) < THREADED_BYTES) {
        int64_t length = spool_length(s) + (int64_t)step;

        write_until(s, length < THREADED_BYTES ? length : THREADED_BYTES, step);
        step = step * 3 % 50021 + 1;
        if (pass && spool_is_ahead(s)) {
            struct pollfd watch = { .fd = mailbox_fd(box), .events = POLLIN };
            unsigned      before = d.count;

            spool_set_drained_mail(s, box, &d.mail);
            while (d.count == before) {
                assert_int_equal(poll(&watch, 1, 20000), 1);
                mailbox_deliver(box);
            }
        }
    }
    assert_true(coming != TO_PASS_BEFORE_ITS_FIRST_BYTE || spool_file(s) == -1);
    spool_finish(s, SPOOL_WHOLE);
    for (int i = 0; i < READERS; i++) {
        pthread_join(threads[i], NULL);
        assert_true(paces[i].right);
        if (late && paces[i].last == SPOOL_READ_CUT)
            continue; /* it came when the beginning was gone */
        assert_int_equal(paces[i].last, SPOOL_READ_END);
        assert_int_equal(paces[i].total, THREADED_BYTES);
    }
    pthread_barrier_destroy(&all_there);
    spool_release(s);
    mailbox_close(box);
}

static void test_threads_get_every_byte(void **state)
{
    (void)state;
    run_threads(TO_ALL);
}

static void test_threads_of_a_pass_get_every_byte(void **state)
{
    (void)state;
    run_threads(TO_PASS_BEFORE_ITS_FIRST_BYTE);
    run_threads(TO_PASS_AT_ANY_TIME);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bodies),
        cmocka_unit_test(test_file_holds_it_from_the_first_byte),
        cmocka_unit_test(test_wakes_once),
        cmocka_unit_test(test_close_with_a_wake_in_flight),
        cmocka_unit_test(test_pass_gives_disk_back_and_holds_the_writer),
        cmocka_unit_test(test_pass_stays_in_memory_where_its_writer_waits),
        cmocka_unit_test(test_pass_goes_into_a_file_where_its_writer_does_not_wait),
        cmocka_unit_test(test_drained_is_told_when_the_slowest_leaves),
        cmocka_unit_test(test_refused_by_the_disk_goes_on_in_memory),
        cmocka_unit_test(test_threads_get_every_byte),
        cmocka_unit_test(test_threads_of_a_pass_get_every_byte),
    };

    return cmocka_run_group_tests(tests, setup, teardown);
}
