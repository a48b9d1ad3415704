/*
 * Heads that were announced go out without their length, once; everything else as it is.
 */
#include "front/bare.h"

#include "base/slice.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <sys/socket.h>
#include <unistd.h>

#define HEAD  "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\nContent-Length: 0\r\n\r\n"
#define BARE  "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n"
#define PLAIN "HTTP/1.1 304 Not Modified\r\nETag: \"v\"\r\n\r\n"
#define BODY  "\r\nContent-Length: 0\r\n"

static void test_heads(void **state)
{
    static const struct { const char *name; bool announced; const char *sent, *got; } rows[] = {
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
            bare_announce(fds[0]);
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
    bare_announce(fds[0]);
    bare_forget(fds[0]);
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
    bare_announce(fds[0]);
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
    bare_announce(fds[0]);
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, MSG_DONTWAIT), -1);
    while (recv(fds[1], fill, sizeof fill, MSG_DONTWAIT) > 0)
        ;
    assert_int_equal(send(fds[0], HEAD, sizeof HEAD - 1, MSG_DONTWAIT), sizeof HEAD - 1);
    assert_int_equal(recv(fds[1], got, sizeof got, MSG_DONTWAIT), sizeof BARE - 1);
    assert_memory_equal(got, BARE, sizeof BARE - 1);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_heads),
        cmocka_unit_test(test_once), cmocka_unit_test(test_forgotten),
        cmocka_unit_test(test_what_did_not_go_is_still_announced),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
