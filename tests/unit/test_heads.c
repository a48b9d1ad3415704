/*
 * Heads that were announced go out without their length, once; everything else as it is.
 */
#include "front/mhd/heads.h"

#include "front/mhd/tricks.h"

#include "base/slice.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEAD  "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nContent-Length: 0\r\n\r\n"
#define BARE  "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n"
#define PLAIN "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n"
#define BODY  "\r\nContent-Length: 0\r\n"

static void test_heads(void **state)
{
    static const struct {
        const char *name;
        bool        announced;
        const char *sent, *got;
    } rows[] = {
        { "announced", true, HEAD, BARE },
        { "not_announced", false, HEAD, HEAD },
        { "without_a_length", true, PLAIN, PLAIN },
        { "no_head", true, BODY, BODY },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char         got[256] = "";
        struct slice sent = slice_of(rows[i].sent);
        int          fds[2];

        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
        if (rows[i].announced)
            heads_announce(fds[0], HEAD_BARE);
        if (send(fds[0], sent.ptr, sent.len, 0) != (ssize_t)sent.len)
            fail_msg("%s: what was sent is not all that was there", rows[i].name);
        assert_true(recv(fds[1], got, sizeof got - 1, 0) > 0);
        if (strcmp(got, rows[i].got) != 0)
            fail_msg("%s: %s", rows[i].name, got);
        close(fds[0]);
        close(fds[1]);
    }
}

/* A client that left before its head was sent. */
static void test_forgotten(void **state)
{
    char got[256] = "";
    int  fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    heads_announce(fds[0], HEAD_BARE);
    heads_forget(fds[0]);
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, 0), sizeof HEAD - 1);
    assert_true(recv(fds[1], got, sizeof got - 1, 0) > 0);
    assert_string_equal(got, HEAD);
    close(fds[0]);
    close(fds[1]);
}

static void test_once(void **state)
{
    char got[256] = "";
    int  fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    heads_announce(fds[0], HEAD_BARE);
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, 0), sizeof HEAD - 1);
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, 0), sizeof HEAD - 1);
    assert_true(recv(fds[1], got, sizeof got - 1, 0) > 0);
    assert_string_equal(got, BARE HEAD);
    close(fds[0]);
    close(fds[1]);
}

static void test_what_did_not_go_is_still_announced(void **state)
{
    static char fill[4096];
    char        got[256];
    int         fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    while (send(fds[0], fill, sizeof fill, MSG_DONTWAIT) > 0)
        ;
    heads_announce(fds[0], HEAD_BARE);
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, MSG_DONTWAIT), -1);
    while (recv(fds[1], fill, sizeof fill, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, MSG_DONTWAIT), sizeof HEAD - 1);
    assert_int_equal(recv(fds[1], got, sizeof got, MSG_DONTWAIT), sizeof BARE - 1);
    assert_memory_equal(got, BARE, sizeof BARE - 1);
    close(fds[0]);
    close(fds[1]);
}

/* A connection over loopback on which nothing is kept back by itself. */
static void connect_pair(int fds[2])
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          bytes = sizeof sa;
    int                listener = socket(AF_INET, SOCK_STREAM, 0), one = 1;

    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &bytes), 0);
    fds[1] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fds[1], (struct sockaddr *)&sa, sizeof sa), 0);
    fds[0] = accept(listener, NULL, NULL);
    setsockopt(fds[0], IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    close(listener);
}

static unsigned segments(int fd)
{
    struct tcp_info i = { 0 };
    socklen_t       bytes = sizeof i;

    getsockopt(fd, IPPROTO_TCP, TCP_INFO, &i, &bytes);
    return i.tcpi_segs_out;
}

/* The kernel keeps a head back for 200 ms, which a busy machine may let pass. */
static void test_followed(void **state)
{
    static const struct {
        const char    *name;
        enum head_kind kind;
        const char    *first;
        unsigned       segments;
    } rows[] = {
        { "a_head_goes_with_its_body", HEAD_FOLLOWED, PLAIN, 1 },
        { "what_is_not_announced_goes_alone", HEAD_AS_IT_IS, PLAIN, 2 },
        { "what_is_no_head_goes_alone", HEAD_FOLLOWED, BODY, 2 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned counted = 0;

        for (unsigned tries = 0; tries < 20 && counted != rows[i].segments; tries++) {
            struct slice first = slice_of(rows[i].first);
            unsigned     before;
            int          fds[2];

            connect_pair(fds);
            heads_announce(fds[0], rows[i].kind);
            before = segments(fds[0]);
            assert_int_equal(send(fds[0], first.ptr, first.len, 0), first.len);
            assert_int_equal(send(fds[0], "body", 4, 0), 4);
            counted = segments(fds[0]) - before;
            close(fds[0]);
            close(fds[1]);
        }
        if (counted != rows[i].segments)
            fail_msg("%s: %u segments", rows[i].name, counted);
    }
}

/* Nor is what comes after it kept back. */
static void test_followed_once(void **state)
{
    int fds[2];

    (void)state;
    connect_pair(fds);
    heads_announce(fds[0], HEAD_FOLLOWED);
    assert_int_equal(send(fds[0], PLAIN, sizeof PLAIN - 1, 0), sizeof PLAIN - 1);
    assert_int_equal(send(fds[0], "body", 4, 0), 4);
    for (unsigned i = 0; i < 3; i++) {
        unsigned before = segments(fds[0]);

        assert_int_equal(send(fds[0], PLAIN, sizeof PLAIN - 1, 0), sizeof PLAIN - 1);
        assert_int_equal(segments(fds[0]) - before, 1);
    }
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),         cmocka_unit_test(test_followed),
        cmocka_unit_test(test_followed_once), cmocka_unit_test(test_once),
        cmocka_unit_test(test_forgotten),     cmocka_unit_test(test_what_did_not_go_is_still_announced),
    };

    if (!tricks_start(TRICKS_MEASURED_WITH))
        return 77; /* built without: nothing to test */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
