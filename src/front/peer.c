/*
 * A unix socket's peer is in SO_PEERCRED.  A TCP connection of this machine
 * has its other end in the same kernel, and sock_diag (netlink) says whose socket that
 * is and its inode; its process is the one of that user that has the inode open, where
 * /proc may be read and a short search finds it: those found lately, then the newest.
 *
 * sock_diag's traps: where no connection fits it answers with a listener on that
 * port, and a socket that its process has closed is said to be root's.  So the four
 * addresses are compared, and a socket without an inode is nobody's.
 *
 * A program is known by the path of its executable, which only its own user and root may
 * read: for a service in a sandbox all processes of a user are one.
 */
#include "front/peer.h"

#include "base/arena.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

enum {
    PROCESSES_MOST = 4096,
    LOOKS_MOST     = 600,             /* for one connection; each takes one to eight microseconds */
    OPEN_LOOKS     = 2,               /* what opening a process' folder counts */
    RECENT         = 8
};

/* Processes found lately, any order: a script that opens a connection for each request is found at once. */
static _Atomic int recent[RECENT];
static _Atomic unsigned recent_next;

static _Atomic uint64_t connections;             /* numbers given out */

struct end { uint8_t address[16]; unsigned bytes; uint16_t port; };    /* port in network order */

/* IPv4 in an IPv6 socket is IPv4. */
static void set_address(struct end *e, const void *address, unsigned bytes)
{
    static const uint8_t mapped[12] = { [10] = 0xff, [11] = 0xff };

    if (bytes == 16 && memcmp(address, mapped, sizeof mapped) == 0) {
        address = (const uint8_t *)address + sizeof mapped;
        bytes = 4;
    }
    memcpy(e->address, address, bytes);
    e->bytes = bytes;
}

static bool read_end(const struct sockaddr_storage *sa, struct end *e)
{
    const struct sockaddr_in  *in = (const void *)sa;
    const struct sockaddr_in6 *in6 = (const void *)sa;

    *e = (struct end){ 0 };
    if (sa->ss_family == AF_INET) {
        set_address(e, &in->sin_addr, 4);
        e->port = in->sin_port;
    } else if (sa->ss_family == AF_INET6) {
        set_address(e, &in6->sin6_addr, 16);
        e->port = in6->sin6_port;
    }
    return e->bytes > 0;
}

static bool same_end(const struct end *a, const struct end *b)
{
    return a->bytes == b->bytes && a->port == b->port && memcmp(a->address, b->address, a->bytes) == 0;
}

/* Does the connection begin on this machine? */
static bool is_local(const struct end *peer, const struct end *own)
{
    if (peer->bytes == 4 && peer->address[0] == 127)
        return true;
    return peer->bytes == own->bytes && memcmp(peer->address, own->address, peer->bytes) == 0;
}

/* -- sock_diag -- */

static bool send_question(int netlink, const struct end *peer, const struct end *own)
{
    struct { struct nlmsghdr head; struct inet_diag_req_v2 ask; } m = {
        .head = { .nlmsg_len = sizeof m, .nlmsg_type = SOCK_DIAG_BY_FAMILY, .nlmsg_flags = NLM_F_REQUEST },
        .ask = { .sdiag_family = peer->bytes == 4 ? AF_INET : AF_INET6, .sdiag_protocol = IPPROTO_TCP,
                 .idiag_states = UINT32_MAX,
                 .id = { .idiag_sport = peer->port, .idiag_dport = own->port,
                         .idiag_cookie = { INET_DIAG_NOCOOKIE, INET_DIAG_NOCOOKIE } } },
    };

    memcpy(m.ask.id.idiag_src, peer->address, peer->bytes);
    memcpy(m.ask.id.idiag_dst, own->address, own->bytes);
    return send(netlink, &m, sizeof m, 0) == (ssize_t)sizeof m;
}

/* The other end's socket: its src is the peer's address. */
static bool read_answer(int netlink, const struct end *peer, const struct end *own, struct inet_diag_msg *found)
{
    union { struct nlmsghdr head; char bytes[4096]; } m;
    ssize_t    n = recv(netlink, &m, sizeof m, MSG_DONTWAIT);
    unsigned   bytes;
    struct end from = { 0 }, to = { 0 };

    if (n < (ssize_t)NLMSG_LENGTH(sizeof *found) || m.head.nlmsg_type != SOCK_DIAG_BY_FAMILY ||
        m.head.nlmsg_len < NLMSG_LENGTH(sizeof *found))
        return false;
    memcpy(found, NLMSG_DATA(&m.head), sizeof *found);
    bytes = found->idiag_family == AF_INET ? 4 : 16;
    set_address(&from, found->id.idiag_src, bytes);
    set_address(&to, found->id.idiag_dst, bytes);
    from.port = found->id.idiag_sport;
    to.port = found->id.idiag_dport;
    return same_end(&from, peer) && same_end(&to, own) && found->idiag_inode != 0;
}

static bool ask_kernel(const struct end *peer, const struct end *own, struct inet_diag_msg *found)
{
    int  netlink = socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
    bool told;

    if (netlink < 0)
        return false;
    told = send_question(netlink, peer, own) && read_answer(netlink, peer, own, found);
    close(netlink);
    return told;
}

/* -- /proc -- */

struct process { pid_t pid; unsigned age; /* how many pids were given out since, or about that */ };

static int compare_ages(const void *a, const void *b)
{
    const struct process *x = a, *y = b;

    return (x->age > y->age) - (x->age < y->age);
}

/* The number in a file's last word; 0 where it cannot be read. */
static unsigned read_number(const char *path)
{
    char        text[128];
    int         fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t     n = fd >= 0 ? read(fd, text, sizeof text - 1) : -1;
    const char *last;

    if (fd >= 0)
        close(fd);
    text[n > 0 ? n : 0] = '\0';
    last = strrchr(text, ' ');
    return (unsigned)strtoul(last != NULL ? last + 1 : text, NULL, 10);
}

/* All there are, the newest first: pids go up and then begin anew. */
static size_t list_processes(struct process *list, size_t most)
{
    unsigned             last = read_number("/proc/loadavg"), turn = read_number("/proc/sys/kernel/pid_max");
    DIR                 *proc = opendir("/proc");
    const struct dirent *entry;
    size_t               count = 0;

    while (proc != NULL && count < most && (entry = readdir(proc)) != NULL) {
        unsigned pid = (unsigned)strtoul(entry->d_name, NULL, 10);

        if (pid > 0 && (pid_t)pid != getpid())
            list[count++] = (struct process){ (pid_t)pid, pid <= last ? last - pid : last + turn - pid };
    }
    if (proc != NULL)
        closedir(proc);
    qsort(list, count, sizeof *list, compare_ages);
    return count;
}

static bool has_socket(pid_t pid, uid_t uid, const char *wanted, unsigned *looks_left)
{
    char                 path[48], link[48];
    struct stat          st;
    DIR                 *fds;
    const struct dirent *entry;
    bool                 found = false;

    snprintf(path, sizeof path, "/proc/%d/fd", (int)pid);
    if (stat(path, &st) != 0 || st.st_uid != uid || (fds = opendir(path)) == NULL)
        return false;
    *looks_left -= *looks_left < OPEN_LOOKS ? *looks_left : OPEN_LOOKS;
    while (!found && *looks_left > 0 && (entry = readdir(fds)) != NULL) {
        ssize_t n;

        if (entry->d_name[0] == '.')
            continue;
        --*looks_left;
        n = readlinkat(dirfd(fds), entry->d_name, link, sizeof link - 1);
        link[n > 0 ? n : 0] = '\0';
        found = strcmp(link, wanted) == 0;
    }
    closedir(fds);
    return found;
}

static pid_t search(uid_t uid, const char *wanted)
{
    unsigned        looks_left = LOOKS_MOST;
    struct process *list;
    pid_t           found = 0;
    size_t          count;

    for (unsigned i = 0; i < RECENT; i++) {
        pid_t pid = recent[i];

        if (pid > 0 && has_socket(pid, uid, wanted, &looks_left))
            return pid;
    }
    list = mem_alloc(PROCESSES_MOST * sizeof *list);
    count = list_processes(list, PROCESSES_MOST);
    for (size_t i = 0; i < count && found == 0 && looks_left > 0; i++)
        if (has_socket(list[i].pid, uid, wanted, &looks_left))
            found = list[i].pid;
    free(list);
    if (found != 0)
        recent[recent_next++ % RECENT] = found;
    return found;
}

/* 0: not found. */
static pid_t process_of(uid_t uid, unsigned inode)
{
    char wanted[48];

    snprintf(wanted, sizeof wanted, "socket:[%u]", inode);
    return search(uid, wanted);
}

/* 0: it may not be read, or is gone. */
static uint64_t program_of(pid_t pid)
{
    char     path[48], executable[1024];
    ssize_t  n;
    uint64_t hash;

    snprintf(path, sizeof path, "/proc/%d/exe", (int)pid);
    n = readlink(path, executable, sizeof executable);
    if (n <= 0)
        return 0;
    hash = XXH3_64bits(executable, (size_t)n);
    return hash != 0 ? hash : 1;
}

/* -- both kinds -- */

static void look_up_unix(int fd, struct peer *out)
{
    struct ucred peer;
    socklen_t    bytes = sizeof peer;

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) != 0)
        return;
    out->has_uid = true;
    out->uid = peer.uid;
    out->gid = peer.gid;
    out->pid = peer.pid;
}

/* The socket's inode; 0: there is no process to look for. */
static unsigned look_up(int fd, struct peer *out)
{
    struct sockaddr_storage peer = { 0 }, own = { 0 };
    socklen_t               peer_bytes = sizeof peer, own_bytes = sizeof own;
    struct end              from, to;
    struct inet_diag_msg    found;

    *out = (struct peer){ .gid = (gid_t)-1, .connection = atomic_fetch_add(&connections, 1) + 1 };
    if (getpeername(fd, (struct sockaddr *)&peer, &peer_bytes) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &own_bytes) != 0)
        return 0;
    if (own.ss_family == AF_UNIX) {
        look_up_unix(fd, out);
        return 0;
    }
    if (!read_end(&peer, &from) || !read_end(&own, &to))
        return 0;
    memcpy(out->address, from.address, sizeof out->address);
    out->address_bytes = from.bytes;
    if (!is_local(&from, &to) || !ask_kernel(&from, &to, &found))
        return 0;
    out->has_uid = true;
    out->uid = found.idiag_uid;
    return found.idiag_inode;
}

void peer_look_up_user(int fd, struct peer *out)
{
    look_up(fd, out);
}

void peer_look_up(int fd, struct peer *out)
{
    unsigned inode = look_up(fd, out);

    if (inode != 0)
        out->pid = process_of(out->uid, inode);
    if (out->pid > 0)
        out->program = program_of(out->pid);
}

void peer_label(const struct peer *p, char out[PEER_LABEL_BYTES])
{
    out[0] = '\0';
    if (p->has_uid && p->pid > 0)
        snprintf(out, PEER_LABEL_BYTES, "uid=%u pid=%d", (unsigned)p->uid, (int)p->pid);
    else if (p->has_uid)
        snprintf(out, PEER_LABEL_BYTES, "uid=%u", (unsigned)p->uid);
}
