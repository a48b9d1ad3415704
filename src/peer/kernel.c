/*
 * A unix socket's peer is in SO_PEERCRED.  A TCP connection of this machine
 * has its other end in the same kernel, and sock_diag (netlink) says whose socket that
 * is and its inode, in one look into a hash table.
 *
 * sock_diag's traps: where no connection fits it answers with a listener on that
 * port, and a socket that its process has closed is said to be root's.  So the four
 * addresses are compared, and a socket without an inode is nobody's.  A connection that is
 * asked about late may be over and its port somebody else's: whoever begins one anew
 * stands in SYN_SENT, and does not get out of it while ours is there.  So the state
 * is looked at, and then whether the accepted socket still is what has our end.
 */
#include "peer/kernel.h"

#include "base/files.h"

#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- ids that are none -- */

enum { OVERFLOW_ID = 65534, MAP_BYTES = 4096 };

bool kernel_is_unmapped(uint32_t id, const char *map, const char *overflow)
{
    uint64_t    mapped = 0;
    const char *at = map;

    if (id != (overflow[0] != '\0' ? strtoul(overflow, NULL, 10) : OVERFLOW_ID))
        return false;
    while (*at != '\0') { /* "inside outside count" a line */
        char *end;

        strtoul(at, &end, 10);
        strtoul(end, &end, 10);
        mapped += strtoul(end, &end, 10);
        at = strchr(end, '\n');
        if (at == NULL)
            break;
        at++;
    }
    return mapped < UINT32_MAX; /* all there are but (uid_t)-1: then nothing is without a name */
}

struct id_space {
    char map[MAP_BYTES], overflow[16];
};
static struct id_space users, groups; /* constant after `once` */
static pthread_once_t  once = PTHREAD_ONCE_INIT;

static void read_spaces(void)
{
    file_read_line("/proc/self/uid_map", users.map, sizeof users.map);
    file_read_line("/proc/sys/kernel/overflowuid", users.overflow, sizeof users.overflow);
    file_read_line("/proc/self/gid_map", groups.map, sizeof groups.map);
    file_read_line("/proc/sys/kernel/overflowgid", groups.overflow, sizeof groups.overflow);
}

static bool is_nobodys(uint32_t id, const struct id_space *space)
{
    pthread_once(&once, read_spaces);
    return kernel_is_unmapped(id, space->map, space->overflow);
}

/* -- ends -- */

/* IPv4 in an IPv6 socket is IPv4. */
static void set_address(struct peer_end *e, const void *address, unsigned bytes)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (bytes == 16 && memcmp(address, mapped, sizeof mapped) == 0) {
        address = (const uint8_t *)address + sizeof mapped;
        bytes = 4;
    }
    memcpy(e->address, address, bytes);
    e->bytes = bytes;
}

static bool read_end(const struct sockaddr_storage *sa, struct peer_end *e)
{
    const struct sockaddr_in  *in = (const void *)sa;
    const struct sockaddr_in6 *in6 = (const void *)sa;

    if (sa->ss_family == AF_INET) {
        set_address(e, &in->sin_addr, 4);
        e->port = in->sin_port;
    } else if (sa->ss_family == AF_INET6) {
        set_address(e, &in6->sin6_addr, 16);
        e->port = in6->sin6_port;
    }
    return e->bytes > 0;
}

static bool same_end(const struct peer_end *a, const struct peer_end *b)
{
    return a->bytes == b->bytes && a->port == b->port && memcmp(a->address, b->address, a->bytes) == 0;
}

static bool is_local(const struct peer_end *client, const struct peer_end *own)
{
    if (client->bytes == 4 && client->address[0] == 127)
        return true;
    return client->bytes == own->bytes && memcmp(client->address, own->address, client->bytes) == 0;
}

bool kernel_read_ends(int fd, struct peer_ends *out)
{
    struct sockaddr_storage client = { 0 }, own = { 0 };
    socklen_t               client_bytes = sizeof client, own_bytes = sizeof own;
    struct stat             st;

    *out = (struct peer_ends){ 0 };
    if (getsockname(fd, (struct sockaddr *)&own, &own_bytes) != 0 ||
        getpeername(fd, (struct sockaddr *)&client, &client_bytes) != 0)
        return false;
    out->is_unix = own.ss_family == AF_UNIX;
    if (out->is_unix)
        return true;
    if (!read_end(&client, &out->client) || !read_end(&own, &out->own) || fstat(fd, &st) != 0)
        return false;
    out->own_inode = (unsigned)st.st_ino;
    out->is_local = is_local(&out->client, &out->own);
    return true;
}

void kernel_read_credentials(int fd, struct peer *out)
{
    struct ucred c;
    socklen_t    bytes = sizeof c;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &c, &bytes) != 0)
        return;
    out->has_uid = !is_nobodys(c.uid, &users);
    out->uid = out->has_uid ? c.uid : 0;
    out->gid = is_nobodys(c.gid, &groups) ? (gid_t)-1 : c.gid;
    out->pid = out->has_uid ? c.pid : 0;
}

/* -- sock_diag -- */

/* One socket for all, opened at the first question: the kernel answers within send(), so nobody holds it for long. */
static pthread_mutex_t netlink_lock = PTHREAD_MUTEX_INITIALIZER;
static int             netlink_fd = -1; /* under the lock */
static uint32_t        netlink_number;  /* under the lock: of the last question */

static bool send_question(const struct peer_end *src, const struct peer_end *dst)
{
    struct {
        struct nlmsghdr         head;
        struct inet_diag_req_v2 ask;
    } m = {
        .head = { .nlmsg_len = sizeof m,
                  .nlmsg_type = SOCK_DIAG_BY_FAMILY,
                  .nlmsg_flags = NLM_F_REQUEST,
                  .nlmsg_seq = ++netlink_number },
        .ask = { .sdiag_family = src->bytes == 4 ? AF_INET : AF_INET6,
                 .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = UINT32_MAX,
                 .id = { .idiag_sport = src->port,
                         .idiag_dport = dst->port,
                         .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
    };

    memcpy(m.ask.id.idiag_src, src->address, src->bytes);
    memcpy(m.ask.id.idiag_dst, dst->address, dst->bytes);
    return send(netlink_fd, &m, sizeof m, MSG_DONTWAIT) == (ssize_t)sizeof m;
}

/* False also where an earlier question's answer is all there is. */
static bool read_answer(struct inet_diag_msg *found)
{
    union {
        struct nlmsghdr head;
        char            bytes[4096];
    } m;
    ssize_t n;

    do
        n = recv(netlink_fd, &m, sizeof m, MSG_DONTWAIT);
    while (n >= (ssize_t)sizeof m.head && m.head.nlmsg_seq != netlink_number);
    if (n < (ssize_t)NLMSG_LENGTH(sizeof *found) || m.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        m.head.nlmsg_len < NLMSG_LENGTH(sizeof *found))
        return false;
    memcpy(found, NLMSG_DATA(&m.head), sizeof *found);
    return true;
}

/* The socket whose own end is `src`. */
static bool find_socket(const struct peer_end *src, const struct peer_end *dst, struct inet_diag_msg *found)
{
    struct peer_end from = { 0 }, to = { 0 };
    unsigned        bytes;
    bool            told;

    pthread_mutex_lock(&netlink_lock);
    if (netlink_fd < 0)
        netlink_fd = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    told = netlink_fd >= 0 && send_question(src, dst) && read_answer(found);
    pthread_mutex_unlock(&netlink_lock);
    if (!told)
        return false;
    bytes = found->idiag_family == AF_INET ? 4 : 16;
    set_address(&from, found->id.idiag_src, bytes);
    set_address(&to, found->id.idiag_dst, bytes);
    from.port = found->id.idiag_sport;
    to.port = found->id.idiag_dport;
    return same_end(&from, src) && same_end(&to, dst) && found->idiag_inode != 0;
}

/* It has been through a handshake. */
static bool is_connected(unsigned state)
{
    return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSE_WAIT ||
           state == TCP_LAST_ACK || state == TCP_CLOSING;
}

bool kernel_ask(const struct peer_ends *ends, struct peer_socket *out)
{
    struct inet_diag_msg found, ours;

    *out = (struct peer_socket){ 0 };
    if (!ends->is_local || !find_socket(&ends->client, &ends->own, &found) || !is_connected(found.idiag_state) ||
        !find_socket(&ends->own, &ends->client, &ours) || ours.idiag_inode != ends->own_inode)
        return false;
    out->inode = found.idiag_inode;
    out->has_uid = !is_nobodys(found.idiag_uid, &users);
    out->uid = out->has_uid ? found.idiag_uid : 0;
    return true;
}
