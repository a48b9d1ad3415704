/*
 * Opening of listening sockets, with one clear line for what goes wrong:
 * a busy port, a name that is no address, a socket another process holds.
 */
#include "front/net/listener.h"

#include "base/own_address.h"

#include <arpa/inet.h>
#include <errno.h>
#include <grp.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { BACKLOG = 4096, CONTROL_BYTES = 16 };

static bool is_loopback(const struct sockaddr *sa)
{
    if (sa->sa_family == AF_INET)
        return (ntohl(((const struct sockaddr_in *)(const void *)sa)->sin_addr.s_addr) >> 24) == 127;
    return sa->sa_family == AF_INET6 &&
           IN6_IS_ADDR_LOOPBACK(&((const struct sockaddr_in6 *)(const void *)sa)->sin6_addr);
}

/* What a socket has of which nobody has said anything: the system's. */
static bool has_usual_congestion_control(int fd, int family)
{
    char      own[CONTROL_BYTES] = "", usual[CONTROL_BYTES] = "";
    socklen_t own_bytes = sizeof own, usual_bytes = sizeof usual;
    int       other = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool      known = other >= 0 && getsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, own, &own_bytes) == 0 &&
                 getsockopt(other, IPPROTO_TCP, TCP_CONGESTION, usual, &usual_bytes) == 0;

    if (other >= 0)
        close(other);
    return known && strncmp(own, usual, sizeof own) == 0;
}

/*
 * What each accepted socket inherits, so that none is forgotten and none costs a call.
 *
 * No piece waits until the one before it is acknowledged, which a peer may put off for 40 ms (RFC 9293 3.7.4, 3.8.6.3).
 * On loopback nothing can be congested, but some congestion controls (BBR) pace by timers there too; reno does not, and
 * anybody may choose it.  What the socket's unit says (TCPCongestion=) stands.
 */
static void set_inherited_options(int fd, const struct sockaddr *sa)
{
    static const char plain[] = "reno";
    const int         one = 1;

    if (sa->sa_family != AF_INET && sa->sa_family != AF_INET6)
        return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if (is_loopback(sa) && has_usual_congestion_control(fd, sa->sa_family))
        setsockopt(fd, IPPROTO_TCP, TCP_CONGESTION, plain, sizeof plain - 1);
}

static void name_socket(struct listener *l)
{
    struct sockaddr_storage sa;
    socklen_t               len = sizeof sa;
    char                    host[INET6_ADDRSTRLEN] = "", port[8] = "";

    if (getsockname(l->fd, (struct sockaddr *)&sa, &len) != 0)
        return;
    l->is_unix = sa.ss_family == AF_UNIX;
    if (l->is_unix)
        snprintf(l->address, sizeof l->address, "unix:%s", ((struct sockaddr_un *)(void *)&sa)->sun_path);
    else if (getnameinfo((struct sockaddr *)&sa, len, host, sizeof host, port, sizeof port,
                         NI_NUMERICHOST | NI_NUMERICSERV) == 0) {
        snprintf(l->address, sizeof l->address, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
        own_address_add(host, (unsigned)atoi(port));
    }
}

/* A socket file that refuses connections is left over from a process that died. */
static bool unix_socket_is_live(const struct sockaddr_un *sa)
{
    int  fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    bool live = fd >= 0 && connect(fd, (const struct sockaddr *)sa, sizeof *sa) == 0;

    if (fd >= 0)
        close(fd);
    return live;
}

/* The folder of a socket is made private to the user where it is missing; a failure shows at bind(). */
static void make_parent(const char *path)
{
    char  parent[sizeof((struct sockaddr_un *)0)->sun_path];
    char *slash;

    snprintf(parent, sizeof parent, "%s", path);
    slash = strrchr(parent, '/');
    if (slash == NULL || slash == parent)
        return;
    *slash = '\0';
    mkdir(parent, 0700);
}

static int open_unix(struct listener *l, const struct config_listener *c, const char *path, struct fault *why)
{
    struct sockaddr_un sa = { .sun_family = AF_UNIX };
    struct stat        st;
    mode_t             old;
    int                bound;

    if (strlen(path) >= sizeof sa.sun_path)
        return fault_set(why, "cannot listen on %s: the path may have %zu bytes at most", c->address,
                         sizeof sa.sun_path - 1);
    strcpy(sa.sun_path, path);
    make_parent(path);
    if (lstat(path, &st) == 0) {
        if (!S_ISSOCK(st.st_mode))
            return fault_set(why, "cannot listen on %s: something else stands there; move it away", c->address);
        if (unix_socket_is_live(&sa))
            return fault_set(why, "cannot listen on %s: another process listens there", c->address);
        unlink(path);
    }
    l->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    old = umask(0777 & ~c->mode);
    bound = bind(l->fd, (struct sockaddr *)&sa, sizeof sa);
    umask(old);
    if (bound != 0)
        return fault_set_errno(why, errno, "cannot listen on %s", c->address);
    snprintf(l->path, sizeof l->path, "%s", path);
    if (c->group != NULL) {
        struct group *g = getgrnam(c->group);

        if (g == NULL)
            return fault_set(why, "cannot listen on %s: there is no group \"%s\"", c->address, c->group);
        if (chown(path, (uid_t)-1, g->gr_gid) != 0)
            return fault_set(why,
                             "cannot give %s to group %s: %s; under systemd SocketGroup= of its socket unit does "
                             "that (weir-admin.socket)",
                             c->address, c->group, strerror(errno));
    }
    return 0;
}

/* HOST:PORT or [IPv6]:PORT; port 0 binds any free one. */
static bool split_address(struct slice text, struct slice *host, int64_t *port)
{
    size_t colon = text.len;

    while (colon > 0 && text.ptr[colon - 1] != ':')
        colon--;
    if (colon < 2 || !slice_to_int64(slice_sub(text, colon, text.len), port) || *port > 65535)
        return false;
    *host = slice_sub(text, 0, colon - 1);
    if (host->ptr[0] == '[' && host->ptr[host->len - 1] == ']')
        *host = slice_sub(*host, 1, host->len - 1);
    return host->len > 0;
}

static int open_tcp(struct listener *l, const struct config_listener *c, bool allow_remote, struct fault *why)
{
    char             name[256];
    struct slice     host;
    int64_t          port;
    struct addrinfo  hints = { .ai_socktype = SOCK_STREAM, .ai_flags = AI_PASSIVE | AI_NUMERICSERV };
    struct addrinfo *ai = NULL;
    char             service[8];
    int              one = 1, err, rc = -1;

    if (!split_address(slice_of(c->address), &host, &port) || host.len >= sizeof name)
        return fault_set(why, "cannot listen on \"%s\": write HOST:PORT, [IPv6]:PORT or unix:PATH", c->address);
    snprintf(name, sizeof name, SLICE_FMT, SLICE_ARG(host));
    snprintf(service, sizeof service, "%d", (int)port);
    err = getaddrinfo(name, service, &hints, &ai);
    if (err != 0)
        return fault_set(why, "cannot listen on %s: %s", c->address, gai_strerror(err));
    if (!allow_remote && !is_loopback(ai->ai_addr)) {
        fault_set(why, "cannot listen on %s: other machines could reach it; set allow_remote = true if that is meant",
                  c->address);
        goto done;
    }
    l->fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (l->fd < 0) {
        fault_set_errno(why, errno, "cannot listen on %s", c->address);
        goto done;
    }
    setsockopt(l->fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    if (ai->ai_family == AF_INET6)
        setsockopt(l->fd, IPPROTO_IPV6, IPV6_V6ONLY, &one, sizeof one);
    set_inherited_options(l->fd, ai->ai_addr);
    if (bind(l->fd, ai->ai_addr, ai->ai_addrlen) != 0) {
        if (errno == EADDRINUSE)
            fault_set(why, "cannot listen on %s: the port is in use by another process", c->address);
        else
            fault_set_errno(why, errno, "cannot listen on %s", c->address);
        goto done;
    }
    rc = 0;
done:
    freeaddrinfo(ai);
    return rc;
}

int listener_open(struct listener *l, const struct config_listener *c, enum listener_kind kind, bool allow_remote,
                  struct fault *why)
{
    bool is_unix = strncmp(c->address, "unix:", 5) == 0;
    int  rc;

    *l = (struct listener){ .fd = -1, .kind = kind, .is_unix = is_unix };
    rc = is_unix ? open_unix(l, c, c->address + 5, why) : open_tcp(l, c, allow_remote, why);
    if (rc == 0 && listen(l->fd, BACKLOG) != 0) {
        if (errno == EADDRINUSE)
            rc = fault_set(why, "cannot listen on %s: the port is in use by another process", c->address);
        else
            rc = fault_set_errno(why, errno, "cannot listen on %s", c->address);
    }
    if (rc != 0) {
        listener_close(l);
        return -1;
    }
    name_socket(l);
    return 0;
}

int listener_adopt(struct listener *l, int fd, enum listener_kind kind, bool allow_remote, struct fault *why)
{
    struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
    socklen_t               len = sizeof sa;

    *l = (struct listener){ .fd = fd, .kind = kind };
    name_socket(l);
    if (getsockname(fd, (struct sockaddr *)&sa, &len) != 0)
        return fault_set_errno(why, errno, "cannot listen at descriptor %d, which systemd should have opened", fd);
    set_inherited_options(fd, (struct sockaddr *)&sa);
    if (allow_remote || l->is_unix || is_loopback((struct sockaddr *)&sa))
        return 0;
    return fault_set(why,
                     "cannot listen on %s, which systemd opened: other machines could reach it; set "
                     "allow_remote = true if that is meant",
                     l->address);
}

void listener_close(struct listener *l)
{
    if (l->fd >= 0)
        close(l->fd);
    if (l->path[0] != '\0')
        unlink(l->path);
    l->fd = -1;
    l->path[0] = '\0';
}
