/*
 * The upload between a worker and the upstream thread: what is taken, what is
 * kept, who is woken.  Both sides run here in turns.
 */
#include "upstream/upload.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

struct side {
    struct mailbox *box;
    struct mail     mail;
    unsigned        woken;
};

static struct side worker, reader;

static void receive_room(struct mail *m)
{
    (void)m;
    worker.woken++;
}

static void receive_ready(struct mail *m)
{
    (void)m;
    reader.woken++;
}

static int open_sides(void **state)
{
    (void)state;
    worker = (struct side){ .box = mailbox_open(), .mail.receive = receive_room };
    reader = (struct side){ .box = mailbox_open(), .mail.receive = receive_ready };
    return worker.box != NULL && reader.box != NULL ? 0 : -1;
}

static int close_sides(void **state)
{
    (void)state;
    mailbox_close(worker.box);
    mailbox_close(reader.box);
    return 0;
}

static struct upload *open_upload(int64_t length)
{
    struct upload *u = upload_new(length);

    upload_set_worker(u, worker.box, &worker.mail);
    upload_set_reader(u, reader.box, &reader.mail);
    return u;
}

static unsigned woken(struct side *s)
{
    unsigned before = s->woken;

    mailbox_deliver(s->box);
    return s->woken - before;
}

/* Byte `i` of every body here. */
static char pattern(size_t i)
{
    return (char)(i * 7 + i / 251);
}

static size_t offer(struct upload *u, size_t from, size_t count)
{
    char  *bytes = malloc(count);
    size_t taken;

    for (size_t i = 0; i < count; i++)
        bytes[i] = pattern(from + i);
    taken = upload_write(u, bytes, count);
    free(bytes);
    return taken;
}

/* Reads until it would wait or ends; checks every byte. */
static enum upload_read drain(struct upload *u, size_t *at, size_t most)
{
    char             buffer[10000];
    size_t           got = 0;
    enum upload_read r = UPLOAD_BYTES;

    while (most > 0 &&
           (r = upload_read(u, buffer, most < sizeof buffer ? most : sizeof buffer, &got)) == UPLOAD_BYTES) {
        for (size_t i = 0; i < got; i++)
            if (buffer[i] != pattern(*at + i))
                fail_msg("byte %zu differs", *at + i);
        *at += got;
        most -= got;
    }
    return r;
}

enum { KIB = 1024, MIB = 1024 * 1024 };

static const struct {
    const char *name;
    size_t      bytes;
    bool        kept;
} sizes[] = {
    { "an_empty_body_is_kept", 0, true },
    { "one_byte_is_kept", 1, true },
    { "a_body_of_the_kept_size_is_kept", MIB, true },
    { "a_byte_more_is_not_kept", MIB + 1, false },
    { "a_long_body_passes_through_the_window", 5 * MIB + 12345, false },
};

static void bodies_pass_whole(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof sizes / sizeof *sizes; k++) {
        struct upload *u = open_upload((int64_t)sizes[k].bytes);
        size_t         written = 0, read = 0, turns = 0;
        const void    *bytes;
        size_t         count;

        while (written < sizes[k].bytes && turns++ < 10000) {
            size_t left = sizes[k].bytes - written;

            written += offer(u, written, left < 50000 ? left : 50000);
            drain(u, &read, 30000);
        }
        upload_finish(u, true);
        if (drain(u, &read, SIZE_MAX) != UPLOAD_END || read != sizes[k].bytes)
            fail_msg("%s: read %zu bytes", sizes[k].name, read);
        if (upload_whole(u, &bytes, &count) != sizes[k].kept || upload_rewind(u) != sizes[k].kept)
            fail_msg("%s: kept is not %d", sizes[k].name, sizes[k].kept);
        read = 0;
        if (sizes[k].kept && (drain(u, &read, SIZE_MAX) != UPLOAD_END || read != sizes[k].bytes))
            fail_msg("%s: the second reading gave %zu bytes", sizes[k].name, read);
        upload_release(u);
    }
}

static void an_unread_body_is_bounded(void **state)
{
    struct upload *u = open_upload(-1);
    size_t         written = 0, taken, read = 0;

    (void)state;
    do {
        taken = offer(u, written, 64 * KIB);
        written += taken;
    } while (taken == 64 * KIB);
    assert_true(written <= MIB);
    assert_int_equal(woken(&worker), 0);
    drain(u, &read, 700 * KIB);
    assert_int_equal(woken(&worker), 0); /* more than half of the window is unread still */
    drain(u, &read, SIZE_MAX);
    assert_int_equal(woken(&worker), 1);
    written += offer(u, written, 64 * KIB);
    assert_false(upload_is_kept(u)); /* only now its beginning is gone */
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_WAIT);
    assert_int_equal(read, written);
    upload_release(u);
}

static void a_drained_reader_is_woken_once(void **state)
{
    struct upload *u = open_upload(-1);
    size_t         read = 0;

    (void)state;
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_WAIT);
    assert_int_equal(woken(&reader), 0);
    offer(u, 0, 10);
    offer(u, 10, 10);
    assert_int_equal(woken(&reader), 1);
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_WAIT);
    upload_finish(u, true);
    assert_int_equal(woken(&reader), 1);
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_END);
    upload_release(u);
}

static void a_body_the_client_broke_off_is_broken(void **state)
{
    struct upload *u = open_upload(-1);
    size_t         read = 0;
    const void    *bytes;
    size_t         count;

    (void)state;
    offer(u, 0, 100);
    upload_finish(u, false);
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_BROKEN);
    assert_int_equal(read, 100);
    assert_false(upload_whole(u, &bytes, &count));
    upload_release(u);
}

static void fewer_bytes_than_announced_are_broken(void **state)
{
    struct upload *u = open_upload(200);
    size_t         read = 0;

    (void)state;
    offer(u, 0, 199);
    upload_finish(u, true);
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_BROKEN);
    upload_release(u);
}

static void what_nobody_reads_is_taken_and_dropped(void **state)
{
    struct upload *u = open_upload(-1);
    size_t         written = 0, taken;

    (void)state;
    do {
        taken = offer(u, written, 128 * KIB);
        written += taken;
    } while (taken == 128 * KIB);
    upload_discard(u);
    assert_int_equal(woken(&worker), 1);
    assert_int_equal(offer(u, written, 3 * MIB), 3 * MIB);
    assert_false(upload_is_kept(u));
    assert_false(upload_rewind(u));
    upload_release(u);
}

static void mail_that_was_taken_back_is_not_posted(void **state)
{
    struct upload *u = open_upload(-1);
    size_t         read = 0;

    (void)state;
    assert_int_equal(drain(u, &read, SIZE_MAX), UPLOAD_WAIT);
    upload_set_reader(u, NULL, NULL);
    offer(u, 0, 10);
    assert_int_equal(woken(&reader), 0);
    upload_release(u);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bodies_pass_whole, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(an_unread_body_is_bounded, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(a_drained_reader_is_woken_once, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(a_body_the_client_broke_off_is_broken, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(fewer_bytes_than_announced_are_broken, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(what_nobody_reads_is_taken_and_dropped, open_sides, close_sides),
        cmocka_unit_test_setup_teardown(mail_that_was_taken_back_is_not_posted, open_sides, close_sides),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
