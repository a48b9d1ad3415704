/*
 * Who the kernel says is at the other end: this test is both ends, or its children are
 * the other one.
 */
#include "base/counters.h"
#include "peer/finder.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

struct pair {
    int listener, client, accepted;
};

static struct peer_finder *finder;
static struct mailbox     *mailbox;
static unsigned            told;

static void receive(struct mail *m)
{
    (void)m;
    told++;
}

static void await(unsigned count)
{
    struct pollfd fd = { .fd = mailbox_fd(mailbox), .events = POLLIN };

    while (told < count) {
        assert_true(poll(&fd, 1, 20000) >= 0);
        mailbox_deliver(mailbox);
    }
}

static void find(struct peer_card *c)
{
    struct peer_wait wait = { .mail.receive = receive, .mailbox = mailbox };

    told = 0;
    if (!peer_find(finder, c, &wait))
        await(1);
}

static void look_up(int fd, struct peer *out)
{
    struct peer_card *c = peer_card_open(fd);

    peer_card_ask_user(c);
    find(c);
    peer_card_read(c, out);
    peer_card_release(c);
}

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
    look_up(fds[0], &who);
    assert_is_us(&who);
    assert_int_equal(who.pid, getpid());
    assert_int_equal(who.gid, getegid());
    assert_int_equal(who.address_bytes, 0);
    close(fds[0]);
    close(fds[1]);
}

static void test_tcp(void **state)
{
    static const struct {
        const char *name;
        int         listen, client;
        bool        mapped;
        unsigned    address_bytes;
    } cases[] = {
        { "IPv4", AF_INET, AF_INET, false, 4 },
        { "IPv6", AF_INET6, AF_INET6, false, 16 },
        { "IPv4 client of an IPv6 listener", AF_INET6, AF_INET, true, 4 },
        { "mapped on both sides", AF_INET6, AF_INET6, true, 4 },
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct pair p;
        struct peer who;

        if (!open_pair(cases[i].listen, cases[i].client, cases[i].mapped, &p)) {
            print_message("%s: not on this machine\n", cases[i].name);
            continue;
        }
        look_up(p.accepted, &who);
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
    look_up(p.accepted, &who);
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
        skip(); /* asks for CAP_NET_ADMIN */
    }
    assert_int_equal(getsockname(p.client, (struct sockaddr *)&sa, &bytes), 0);
    close(p.client);
    p.client = -1;
    other = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(other, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(other, (struct sockaddr *)&sa, bytes) != 0) { /* another program was quicker */
        close(other);
        close_pair(&p);
        goto again;
    }
    assert_int_equal(listen(other, 1), 0);
    look_up(p.accepted, &who);
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
    if (child == 0) { /* it has the client's socket alone from now on */
        char byte;

        close(go[1]);
        _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
    }
    close(p.client);
    p.client = -1;
    for (int i = 0; i < 20; i++) { /* where hundreds of others start at this moment, again */
        look_up(p.accepted, &who);
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
    look_up(fd, &who);
    assert_false(who.has_uid);
    close(fd);
    look_up(-1, &who);
    assert_false(who.has_uid);
}

/* -- a client that is hard to find -- */

enum { DESCRIPTORS = 1500, CONNECTIONS = 300, PROCESSES = 60 };

/* A child with `count` connections to `port` after `before` other descriptors, which it keeps until `go` ends. */
static pid_t start_client(uint16_t port, const int go[2], int before, int count)
{
    struct sockaddr_storage sa;
    socklen_t               bytes = loopback(AF_INET, false, port, &sa);
    pid_t                   child = fork();
    char                    byte;

    if (child != 0)
        return child;
    close(go[1]);
    for (int i = 0; i < before; i++)
        if (open("/dev/null", O_RDONLY | O_CLOEXEC) < 0)
            _exit(2);
    for (int i = 0; i < count; i++) {
        int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0 || connect(fd, (struct sockaddr *)&sa, bytes) != 0)
            _exit(3);
    }
    _exit(read(go[0], &byte, 1) == 0 ? 0 : 1);
}

static int listen_anywhere(uint16_t *port)
{
    struct sockaddr_storage sa;
    socklen_t               bytes = loopback(AF_INET, false, 0, &sa);
    int                     fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(bind(fd, (struct sockaddr *)&sa, bytes), 0);
    assert_int_equal(listen(fd, CONNECTIONS), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&sa, &bytes), 0);
    *port = ((struct sockaddr_in *)&sa)->sin_port;
    return fd;
}

static void may_open(rlim_t count)
{
    struct rlimit limit;

    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    if (limit.rlim_cur < count) {
        limit.rlim_cur = limit.rlim_max < count ? limit.rlim_max : count;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* All at once, after more descriptors than anybody would look at for one of them, among many processes. */
static void test_a_crowd_costs_a_few_walks(void **state)
{
    static struct peer_card *cards[CONNECTIONS];
    static struct peer_wait  waits[CONNECTIONS];
    const uint64_t           passes = counter_sum(COUNTER_PEER_PASSES), lookups = counter_sum(COUNTER_PEER_LOOKUPS);
    uint16_t                 port;
    int                      listener = listen_anywhere(&port), go[2], fds[CONNECTIONS];
    pid_t                    client, others[PROCESSES];
    unsigned                 asked = 0;

    (void)state;
    may_open(DESCRIPTORS + CONNECTIONS + 100);
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    client = start_client(port, go, DESCRIPTORS, CONNECTIONS);
    for (int i = 0; i < PROCESSES; i++)
        others[i] = start_client(port, go, 10, 0);
    for (int i = 0; i < CONNECTIONS; i++) {
        fds[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        assert_true(fds[i] >= 0);
    }
    told = 0;
    for (int i = 0; i < CONNECTIONS; i++) {
        cards[i] = peer_card_open(fds[i]);
        waits[i] = (struct peer_wait){ .mail.receive = receive, .mailbox = mailbox };
        asked += !peer_find(finder, cards[i], &waits[i]);
    }
    assert_int_equal(asked, CONNECTIONS);
    await(asked);
    for (int i = 0; i < CONNECTIONS; i++) {
        struct peer who;

        for (int again = 0; again < 20 && !peer_card_is_told(cards[i]); again++)
            find(cards[i]); /* the machine was so slow that patience ended */
        peer_card_read(cards[i], &who);
        assert_int_equal(who.pid, client);
        assert_true(who.started != 0 && who.program != 0);
        peer_card_release(cards[i]);
        close(fds[i]);
    }
    assert_true(counter_sum(COUNTER_PEER_LOOKUPS) - lookups >= CONNECTIONS);
    assert_in_range(counter_sum(COUNTER_PEER_PASSES) - passes, 1, 20);
    close(go[1]);
    close(go[0]);
    close(listener);
    assert_int_equal(waitpid(client, NULL, 0), client);
    for (int i = 0; i < PROCESSES; i++)
        waitpid(others[i], NULL, 0);
}

/* The second connection of a process is found in it without a walk. */
static void test_a_known_process_is_asked_first(void **state)
{
    uint16_t    port;
    int         listener = listen_anywhere(&port), go[2], fds[2];
    pid_t       client;
    struct peer who;
    uint64_t    passes, cached;

    (void)state;
    assert_int_equal(pipe2(go, O_CLOEXEC), 0);
    client = start_client(port, go, 0, 2);
    for (int i = 0; i < 2; i++)
        fds[i] = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    for (int i = 0; i < 20; i++) {
        look_up(fds[0], &who);
        if (who.pid != 0)
            break;
    }
    assert_int_equal(who.pid, client);
    passes = counter_sum(COUNTER_PEER_PASSES);
    cached = counter_sum(COUNTER_PEER_CACHED);
    look_up(fds[1], &who);
    assert_int_equal(who.pid, client);
    assert_int_equal(counter_sum(COUNTER_PEER_PASSES), passes);
    assert_int_equal(counter_sum(COUNTER_PEER_CACHED), cached + 1);
    close(go[1]);
    close(go[0]);
    close(fds[0]);
    close(fds[1]);
    close(listener);
    waitpid(client, NULL, 0);
}

static void test_who_leaves_is_not_told(void **state)
{
    struct pair       p;
    struct peer_card *c;
    struct peer_wait  wait = { .mail.receive = receive, .mailbox = mailbox };
    bool              left;

    (void)state;
    assert_true(open_pair(AF_INET, AF_INET, false, &p));
    c = peer_card_open(p.accepted);
    told = 0;
    assert_false(peer_find(finder, c, &wait));
    left = peer_find_leave(finder, &wait);
    if (!left)
        await(1); /* it was quicker: the mail had been posted then */
    find(c);
    assert_true(peer_card_is_told(c));
    peer_card_release(c);
    close_pair(&p);
}

/* -- users without a name -- */

/* Exit status of a child in a user namespace of its own, where nobody has a name: who its unix peer is. */
static int look_from_a_namespace(void)
{
    int         fds[2];
    struct peer who = { .gid = (gid_t)-1 };

    if (unshare(CLONE_NEWUSER) != 0)
        return 77;
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) != 0)
        return 1;
    kernel_read_credentials(fds[0], &who);
    return who.has_uid || who.pid != 0 || who.gid != (gid_t)-1 ? 2 : 0;
}

static void test_a_namespace_without_users(void **state)
{
    int   status;
    pid_t child = fork();

    (void)state;
    if (child == 0)
        _exit(look_from_a_namespace());
    assert_int_equal(waitpid(child, &status, 0), child);
    if (WEXITSTATUS(status) == 77)
        skip(); /* not allowed here */
    assert_int_equal(WEXITSTATUS(status), 0);
}

static int set_up(void **state)
{
    (void)state;
    finder = peer_finder_open();
    mailbox = mailbox_open();
    return mailbox != NULL ? 0 : -1;
}

static int tear_down(void **state)
{
    (void)state;
    peer_finder_close(finder);
    mailbox_close(mailbox);
    return 0;
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_namespace_without_users), /* first: what a process knows of its own it keeps */
        cmocka_unit_test(test_unix),
        cmocka_unit_test(test_tcp),
        cmocka_unit_test(test_a_closed_client_is_nobody),
        cmocka_unit_test(test_a_listener_on_the_clients_port_is_not_the_client),
        cmocka_unit_test(test_another_process),
        cmocka_unit_test(test_what_is_no_connection),
        cmocka_unit_test(test_a_crowd_costs_a_few_walks),
        cmocka_unit_test(test_a_known_process_is_asked_first),
        cmocka_unit_test(test_who_leaves_is_not_told),
    };

    return cmocka_run_group_tests(tests, set_up, tear_down);
}
