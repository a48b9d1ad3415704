/*
 * What an accepted socket has inherited of its listener, opened here or by systemd.
 */
#include "front/net/listener.h"

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { NAME_BYTES = 16 };

struct options {
    int  nodelay;
    char control[NAME_BYTES];
};

static struct options options_of(int fd)
{
    struct options o = { 0 };
    socklen_t      bytes = sizeof o.nodelay, control_bytes = sizeof o.control;

    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &o.nodelay, &bytes), 0);
    assert_int_equal(getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, o.control, &control_bytes), 0);
    return o;
}

static struct options usual_options(void)
{
    int            fd = socket(AF_INET, SOCK_STREAM, 0);
    struct options o = options_of(fd);

    close(fd);
    return o;
}

/* By way of loopback, which leads to every listener here. */
static struct options options_of_an_accepted(const struct listener *l)
{
    struct sockaddr_storage sa;
    socklen_t               bytes = sizeof sa;
    struct options          o;
    int                     client, fd;

    assert_int_equal(getsockname(l->fd, (struct sockaddr *)&sa, &bytes), 0);
    client = socket(sa.ss_family, SOCK_STREAM, 0);
    assert_int_equal(connect(client, (struct sockaddr *)&sa, bytes), 0);
    fd = accept(l->fd, NULL, NULL);
    assert_true(fd >= 0);
    o = options_of(fd);
    close(fd);
    close(client);
    return o;
}

static void test_opened(void **state)
{
    static const struct {
        const char *name, *address;
        const char *control;
    } rows[] = {
        { "loopback", "127.0.0.1:0", "reno" },
        { "another_address_of_it", "127.1.2.3:0", "reno" },
        { "loopback_of_ipv6", "[::1]:0", "reno" },
        { "where_other_machines_come", "0.0.0.0:0", NULL },
        { "where_other_machines_come_by_ipv6", "[::]:0", NULL },
    };
    const struct options usual = usual_options();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const struct config_listener c = { .address = rows[i].address };
        struct listener              l;
        struct fault                 why;
        struct options               o;

        if (listener_open(&l, &c, LISTENER_DATA, true, &why) != 0) {
            if (rows[i].address[0] != '[')
                fail_msg("%s: %s", rows[i].name, why.text);
            continue; /* a machine without IPv6 */
        }
        o = options_of_an_accepted(&l);
        if (!o.nodelay || strcmp(o.control, rows[i].control != NULL ? rows[i].control : usual.control) != 0)
            fail_msg("%s: nodelay %d, %s", rows[i].name, o.nodelay, o.control);
        listener_close(&l);
    }
}

static int systemds_socket(const char *control)
{
    struct sockaddr_in sa = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int                fd = socket(AF_INET, SOCK_STREAM, 0);

    if (control != NULL && setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, control, (socklen_t)strlen(control)) != 0) {
        close(fd);
        return -1;
    }
    assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof sa), 0);
    assert_int_equal(listen(fd, 8), 0);
    return fd;
}

static void test_opened_by_systemd(void **state)
{
    static const struct {
        const char *name, *said, *control;
    } rows[] = {
        { "of_which_the_unit_says_nothing", NULL, "reno" },
        { "of_which_the_unit_says_reno", "reno", "reno" },
        { "of_which_the_unit_says_cubic", "cubic", "cubic" },
        { "of_which_the_unit_says_bbr", "bbr", "bbr" },
    };
    const struct options usual = usual_options();

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct listener l;
        struct fault    why;
        struct options  o;
        int             fd = systemds_socket(rows[i].said);

        if (fd < 0 || (rows[i].said != NULL && strcmp(rows[i].said, usual.control) == 0)) {
            close(fd); /* not to be had here, or the system's: said or not looks the same */
            continue;
        }
        assert_int_equal(listener_adopt(&l, fd, LISTENER_DATA, false, &why), 0);
        o = options_of_an_accepted(&l);
        if (!o.nodelay || strcmp(o.control, rows[i].control) != 0)
            fail_msg("%s: nodelay %d, %s", rows[i].name, o.nodelay, o.control);
        listener_close(&l);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_opened), cmocka_unit_test(test_opened_by_systemd) };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
