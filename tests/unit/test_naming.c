/*
 * Who asks becomes known while it is asked whether that matters.
 */
#include "rig.h"

#include "base/clock.h"
#include "peer/finder.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static struct peer_finder *finder;
static struct peer_card   *card;
static struct mailbox     *box;
static bool                is_answered;

static void answer(struct talk *t, const void *context)
{
    (void)context;
    talk_say(t, "HTTP/1.1 200 OK\r\nCache-Control: no-store\r\nContent-Length: 5\r\n\r\nhello");
}

static void receive(struct mail *m)
{
    (void)m;
    is_answered = true;
}

/* The upstream thread asks for a charge that it has found no name for; when it looks again there is one. */
static bool match_and_tell(const void *pattern, struct slice path)
{
    struct peer_wait wait = { .mail.receive = receive, .mailbox = box };
    struct pollfd    fd = { .fd = mailbox_fd(box), .events = POLLIN };

    (void)pattern;
    if (!slice_eq(path, SLICE("/second")) || peer_card_is_told(card))
        return true;
    is_answered = peer_find(finder, card, &wait);
    while (!is_answered) {
        poll(&fd, 1, -1);
        mailbox_deliver(box);
    }
    assert_true(peer_card_is_told(card));
    return true;
}

static void test_one_that_is_named_meanwhile_stands_in_line(void **state)
{
    struct rig    r;
    struct fetch *first, *second;
    int           ends[2];

    (void)state;
    rig_open(&r, answer, NULL);
    rig_limit(&r, 0, "one at a time", 1, 200 * NS_PER_MS);
    r.limits[0].match = "/**";
    r.limits[0].pattern = &r; /* match_and_tell() does without */
    r.match = match_and_tell;
    finder = peer_finder_open();
    box = mailbox_open();
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    card = peer_card_open(ends[0]);
    rig_start(&r);
    first = rig_fetch(&r, "GET", "/first", "");
    rig_expect(&r, first, FETCH_HEAD, 200);
    second = rig_fetch(&r, "GET", "/second", "");
    second->client.finder = finder;
    second->client.card = card;
    ref_acquire(&card->ref);
    rig_expect(&r, second, FETCH_HEAD, 200);
    assert_true(peer_card_is_told(card));
    rig_leave(&r, first);
    rig_leave(&r, second);
    rig_close(&r);
    peer_card_release(card);
    peer_finder_close(finder);
    mailbox_close(box);
    close(ends[0]);
    close(ends[1]);
}

/* A start's first request waits until it is on the disk that this run began: that is no wait in line. */
static void test_nobody_is_asked_for_while_only_a_row_is_under_way(void **state)
{
    enum { STARTS = 16 };

    (void)state;
    for (int i = 0; i < STARTS; i++) {
        struct rig    r;
        struct fetch *f;
        int           ends[2];

        rig_open(&r, answer, NULL);
        rig_keep(&r);
        rig_limit(&r, 0, "plenty", 1000, NS_PER_SEC);
        finder = peer_finder_open();
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        card = peer_card_open(ends[0]);
        f = rig_fetch(&r, "GET", "/first", "");
        f->client.finder = finder;
        f->client.card = card;
        ref_acquire(&card->ref);
        rig_start(&r);
        rig_expect(&r, f, FETCH_HEAD, 200);
        assert_false(peer_card_is_told(card));
        rig_leave(&r, f);
        rig_close(&r);
        peer_card_release(card);
        peer_finder_close(finder);
        close(ends[0]);
        close(ends[1]);
    }
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_that_is_named_meanwhile_stands_in_line),
        cmocka_unit_test(test_nobody_is_asked_for_while_only_a_row_is_under_way),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
