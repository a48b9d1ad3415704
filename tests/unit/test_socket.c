/*
 * Options that libmicrohttpd is told it cannot have, and an acknowledgement that is asked for.
 */
#include "front/mhd/sockopt.h"
#include "front/mhd/tricks.h"
#include "base/socket.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <unistd.h>

static int kept = -1;

static bool is_kept(int fd)
{
    return fd == kept;
}

static void test_options(void **state)
{
    static const struct {
        const char *name;
        bool        is_kept;
        int         level, option;
        bool        is_set;
    } rows[] = {
        { "cork_of_one_that_is_kept", true, IPPROTO_TCP, TCP_CORK, false },
        { "nodelay_of_one_that_is_kept", true, IPPROTO_TCP, TCP_NODELAY, false },
        { "another_option_of_it", true, IPPROTO_TCP, TCP_QUICKACK, true },
        { "of_the_same_number_at_another_level", true, SOL_SOCKET, SO_DEBUG, true },
        { "cork_of_any_other", false, IPPROTO_TCP, TCP_CORK, true },
        { "nodelay_of_any_other", false, IPPROTO_TCP, TCP_NODELAY, true },
    };
    int off = 0;

    (void)state;
    if (!tricks_start(TRICKS_MEASURED_WITH))
        skip(); /* built without */
    assert_int_equal(TCP_NODELAY, SO_DEBUG);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        int fd = socket(AF_INET, SOCK_STREAM, 0);
        int set;

        kept = rows[i].is_kept ? fd : -1;
        sockopt_keep(is_kept);
        errno = 0;
        set = setsockopt(fd, rows[i].level, rows[i].option, &off, sizeof off);
        if ((set == 0) != rows[i].is_set || (set != 0 && errno != ENOPROTOOPT))
            fail_msg("%s: %d, errno %d", rows[i].name, set, errno);
        sockopt_keep(NULL);
        assert_int_equal(setsockopt(fd, IPPROTO_TCP, TCP_CORK, &off, sizeof off), 0);
        close(fd);
    }
}

/* Put off again and again, one of some is asked for before its time has come. */
static void test_an_acknowledgement(void **state)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t          bytes = sizeof sa;
    int                listener = socket(AF_INET, SOCK_STREAM, 0), client = socket(AF_INET, SOCK_STREAM, 0), fd;
    int                off = 0;
    bool               came = false;
    char               byte;

    (void)state;
    assert_int_equal(bind(listener, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(listener, 1), 0);
    assert_int_equal(getsockname(listener, (struct sockaddr *)&sa, &bytes), 0);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, sizeof sa), 0);
    fd = accept(listener, NULL, NULL);
    for (unsigned i = 0; i < 50 && !came; i++) {
        struct tcp_info before, after;
        socklen_t       n = sizeof before;

        setsockopt(fd, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof off);
        assert_int_equal(send(client, "x", 1, 0), 1);
        assert_int_equal(recv(fd, &byte, 1, 0), 1);
        getsockopt(client, IPPROTO_TCP, TCP_INFO, &before, &n);
        socket_acknowledge(fd);
        getsockopt(client, IPPROTO_TCP, TCP_INFO, &after, &n);
        came = before.tcpi_unacked == 1 && after.tcpi_unacked == 0;
    }
    assert_true(came);
    close(fd);
    close(client);
    close(listener);
}

static void test_a_unix_socket(void **state)
{
    int fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
    socket_acknowledge(fds[0]);
    assert_int_equal(send(fds[0], "x", 1, 0), 1);
    close(fds[0]);
    close(fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_an_acknowledgement),
        cmocka_unit_test(test_a_unix_socket),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
