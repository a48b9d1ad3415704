/*
 * Who the kernel says is at the other end: this test is both ends.
 */
#include "front/peer.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct pair { int listener, client, accepted; };

static socklen_t loopback(int family, bool mapped, uint16_t port, struct sockaddr_storage *sa)
{
    struct sockaddr_in  *in = (void *)sa;
    struct sockaddr_in6 *in6 = (void *)sa;

    *sa = (struct sockaddr_storage){ .ss_family = (sa_family_t)family };
    if (family == AF_INET) {
        in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        in->sin_port = port;
        return sizeof *in;
    }
    in6->sin6_port = port;
    if (mapped)
        inet_pton(AF_INET6, "::ffff:127.0.0.1", &in6->sin6_addr);
    else
        in6->sin6_addr = in6addr_loopback;
    return sizeof *in6;
}

/* False where this machine has no such family. */
static bool open_pair(int listen_family, int client_family, bool mapped, struct pair *p)
{
    struct sockaddr_storage sa, bound;
    socklen_t               bytes = loopback(listen_family, mapped, 0, &sa), bound_bytes = sizeof bound;
    uint16_t                port;
    int                     off = 0;

    p->listener = socket(listen_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listen_family == AF_INET6)
        setsockopt(p->listener, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof off);
    if (p->listener < 0 || bind(p->listener, (struct sockaddr *)&sa, bytes) != 0)
        return false;
    assert_int_equal(listen(p->listener, 1), 0);
    assert_int_equal(getsockname(p->listener, (struct sockaddr *)&bound, &bound_bytes), 0);
    port = listen_family == AF_INET ? ((struct sockaddr_in *)&bound)->sin_port
                                    : ((struct sockaddr_in6 *)&bound)->sin6_port;
    bytes = loopback(client_family, mapped, port, &sa);
    p->client = socket(client_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(p->client, (struct sockaddr *)&sa, bytes), 0);
    p->accepted = accept4(p->listener, NULL, NULL, SOCK_CLOEXEC);
    assert_true(p->accepted >= 0);
    return true;
}

static void close_pair(struct pair *p)
{
    close(p->accepted);
    if (p->client >= 0)
        close(p->client);
    close(p->listener);
}

static void assert_is_us(const struct peer *who)
{
    assert_true(who->has_uid);
    assert_int_equal(who->uid, geteuid());
}

static void test_unix(void **state)
{
    int         fds[2];
    struct peer who;

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    peer_look_up(fds[0], &who);
    assert_is_us(&who);
    assert_int_equal(who.pid, getpid());
    assert_int_equal(who.gid, getegid());
    assert_int_equal(who.address_bytes, 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_tcp(void **state)
{
    static const struct { const char *name; int listen, client; bool mapped; unsigned address_bytes; } cases[] = {
        { "IPv4",                            AF_INET,  AF_INET,  false, 4 },
        { "IPv6",                            AF_INET6, AF_INET6, false, 16 },
        { "IPv4 client of an IPv6 listener", AF_INET6, AF_INET,  true,  4 },
        { "mapped on both sides",            AF_INET6, AF_INET6, true,  4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        struct peer who;

        if (!open_pair(cases[i].listen, cases[i].client, cases[i].mapped, &p)) {
            print_message("%s: not on this machine\n", cases[i].name);
            continue;
        }
        peer_look_up(p.accepted, &who);
        if (!who.has_uid)
            fail_msg("%s: not told", cases[i].name);
        assert_is_us(&who);
        assert_int_equal(who.pid, 0); /* whoever asks is never looked at: Weir does not call itself */
        assert_int_equal(who.address_bytes, cases[i].address_bytes);
        close_pair(&p);
    }
}

/* The kernel has a socket without an owner then, and says root: nobody is told. */
static void test_a_closed_client_is_nobody(void **state)
{
    struct pair p;
    struct peer who;

    (void)state;
    assert_true(open_pair(AF_INET, AF_INET, false, &p));
    close(p.client);
    p.client = -1;
    peer_look_up(p.accepted, &who);
    assert_false(who.has_uid);
    assert_int_equal(who.address_bytes, 4);
    close_pair(&p);
}

/* The client is gone without a word (as one of another machine is to this kernel), and a listener has its port. */
static void test_a_listener_on_the_clients_port_is_not_the_client(void **state)
{
    struct pair             p;
    struct peer             who;
    struct sockaddr_storage sa;
    socklen_t               bytes = sizeof sa;
    int                     other, on = 1;

    (void)state;
again:
    assert_true(open_pair(AF_INET, AF_INET, false, &p));
    if (setsockopt(p.client, IPPROTO_TCP, TCP_REPAIR, &on, sizeof on) != 0) {
        close_pair(&p);
        skip();                       /* asks for CAP_NET_ADMIN */
    }
    assert_int_equal(getsockname(p.client, (struct sockaddr *)&sa, &bytes), 0);
    close(p.client);
    p.client = -1;
    other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(other, (struct sockaddr *)&sa, bytes) != 0) {    /* another program was quicker */
        close(other);
        close_pair(&p);
        goto again;
    }
    assert_int_equal(listen(other, 1), 0);
    peer_look_up(p.accepted, &who);
    assert_int_equal(who.address_bytes, 4);
    assert_false(who.has_uid);
    close(other);
    close_pair(&p);
}

static void test_another_process(void **state)
{
    struct pair p;
    struct peer who;
    int         go[2];
    pid_t       child;

    (void)state;
    assert_true(open_pair(AF_INET, AF_INET, false, &p));
    assert_int_equal(pipe(go), 0);
    child = fork();
    if (child == 0) {                 /* it has the client's socket alone from now on */
        char byte;

        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(p.client);
    p.client = -1;
    for (int i = 0; i < 20; i++) {    /* where hundreds of others start at this moment, again */
        peer_look_up(p.accepted, &who);
        if (who.pid != 0)
            break;
    }
    assert_true(who.has_uid);
    assert_int_equal(who.pid, child);
    close(go[0]);
    close(go[1]);
    assert_int_equal(waitpid(child, NULL, 0), child);
    close_pair(&p);
}

static void test_what_is_no_connection(void **state)
{
    int         fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    struct peer who;

    (void)state;
    peer_look_up(fd, &who);
    assert_false(who.has_uid);
    close(fd);
    peer_look_up(-1, &who);
    assert_false(who.has_uid);
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_a_closed_client_is_nobody),
        cmocka_unit_test(test_a_listener_on_the_clients_port_is_not_the_client),
        cmocka_unit_test(test_another_process),
        cmocka_unit_test(test_what_is_no_connection),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
