/*
 * What is known of curl's connections, so that nothing is sent on a dead one.
 *
 * libcurl 7.88 takes anything that waits on an idle connection for a sign of life (mended in 8.0): a load
 * balancer's 408, a second answer that nobody asked for, a TLS close_notify.  Those bytes would become the
 * next request's answer.  So it is looked at three times: while it idles, by the loop (connection_stirs());
 * before a request is sent, from CURLOPT_PREREQFUNCTION (connection_look()); and when the first bytes of an answer
 * come, which cannot be one while the API's machine has nothing of the request (connection_is_early()).
 * RFC 9112 9.3 and 9.5: what a client finds closed or spoiled it does not use.
 *
 * A dead one is disconnected on the spot (kill_connection()): curl finds that out by itself and drops it.
 */
#include "origin/internal.h"

#include "http/list.h"

#include <arpa/inet.h>
#include <dlfcn.h>
#include <linux/tcp.h> /* the C library's own knows less of tcp_info */
#include <netinet/in.h>
#include <poll.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/socket.h>

struct origin_connection {
    struct origin_connection *next;
    curl_socket_t             fd;
    bool                      named; /* the addresses are known */
    uint16_t                  local_port, peer_port;
    char                      peer_ip[INET6_ADDRSTRLEN];
    bool                      used; /* has carried a request */
    bool                      http2;
    bool                      closed;             /* close_notify has been read */
    bool                      killed;             /* disconnected here; curl has not found out yet */
    const void               *tls;                /* see tls_end.c */
    unsigned                  users;              /* transfers that are under way on it */
    int64_t                   certificate_ends_s; /* since 1970; 0: not known */
    int64_t                   keep_ns;            /* by the API's Keep-Alive field; 0: it said nothing */
    int64_t                   good_until_ns;      /* 0: for ever */
};

/* -- which is which -- */

void connection_opened(struct origin *o, curl_socket_t fd)
{
    struct origin_connection *c = mem_alloc(sizeof *c);

    c->fd = fd;
    c->next = o->sockets;
    o->sockets = c;
    o->known.connections++;
}

void connection_closed(struct origin *o, curl_socket_t fd)
{
    struct origin_connection **at = &o->sockets, *c;
    struct transfer           *t;

    o->known.connections--;
    while (*at != NULL && (*at)->fd != fd)
        at = &(*at)->next;
    c = *at;
    if (c == NULL)
        return;
    *at = c->next;
    o->dead -= c->killed;
    LIST_FOREACH (t, &o->transfers, entry)
        if (t->wire.connection == c)
            t->wire.connection = NULL;
    free(c);
}

void connection_forget_all(struct origin *o)
{
    while (o->sockets != NULL)
        connection_closed(o, o->sockets->fd);
}

static void name_connection(struct origin_connection *c)
{
    union {
        struct sockaddr_storage any;
        struct sockaddr_in      four;
        struct sockaddr_in6     six;
    } here, peer;
    socklen_t here_bytes = sizeof here, peer_bytes = sizeof peer;

    memset(&here, 0, sizeof here);
    memset(&peer, 0, sizeof peer);
    if (getsockname(c->fd, (struct sockaddr *)&here, &here_bytes) != 0 ||
        getpeername(c->fd, (struct sockaddr *)&peer, &peer_bytes) != 0)
        return; /* it does not connect, or not yet */
    c->named = true;
    if (peer.any.ss_family == AF_INET) {
        inet_ntop(AF_INET, &peer.four.sin_addr, c->peer_ip, sizeof c->peer_ip);
        c->local_port = ntohs(here.four.sin_port);
        c->peer_port = ntohs(peer.four.sin_port);
    } else if (peer.any.ss_family == AF_INET6) {
        inet_ntop(AF_INET6, &peer.six.sin6_addr, c->peer_ip, sizeof c->peer_ip);
        c->local_port = ntohs(here.six.sin6_port);
        c->peer_port = ntohs(peer.six.sin6_port);
    }
}

/* curl does not say which socket a transfer has got; it does say the ends of it (behind some proxies: not the far). */
static struct origin_connection *find(struct origin *o, const char *peer_ip, int local_port, int peer_port)
{
    struct origin_connection *near = NULL;
    unsigned                  count = 0;

    for (struct origin_connection *c = o->sockets; c != NULL; c = c->next) {
        if (!c->named)
            name_connection(c);
        if (!c->named || c->local_port != local_port)
            continue;
        if (c->peer_port == peer_port && strcmp(c->peer_ip, peer_ip) == 0)
            return c;
        near = c;
        count++;
    }
    return count == 1 ? near : NULL;
}

static struct origin_connection *find_socket(struct origin *o, curl_socket_t fd)
{
    struct origin_connection *c = o->sockets;

    while (c != NULL && c->fd != fd)
        c = c->next;
    return c;
}

/* -- dead or alive -- */

/* Something of the last record that curl did not want may stand in the TLS library, where no poll sees it. */
static bool tls_holds_bytes(const struct origin_connection *c)
{
    static int (*has_pending)(const void *);
    static bool looked;

    if (c->tls == NULL)
        return false;
    if (!looked) {
        *(void **)&has_pending = dlsym(RTLD_DEFAULT, "SSL_has_pending");
        looked = true;
    }
    return has_pending != NULL && has_pending(c->tls) != 0;
}

static short events_of(const struct origin_connection *c)
{
    struct pollfd p = { .fd = c->fd, .events = POLLIN | POLLRDHUP };

    return poll(&p, 1, 0) > 0 ? p.revents : 0;
}

/* Of one that has carried a request.  Over HTTP/2 frames may come at any time: libcurl has read those of an idle
 * connection before it gives it to a request, and heeds a GOAWAY; the end of the stream alone escapes it. */
static bool is_dead(const struct origin_connection *c, int64_t now_ns)
{
    short events = events_of(c);

    if (c->closed || c->killed || (events & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL)) != 0)
        return true;
    if (c->http2)
        return false;
    return (events & POLLIN) != 0 || tls_holds_bytes(c) || (c->good_until_ns != 0 && now_ns >= c->good_until_ns);
}

/* One that is new has nothing to say before it is asked, either, as far as that can be seen: TLS, of the API's or of a
 * proxy's, sends tickets. */
static bool spoke_first(const struct origin_connection *c, bool may_be_tls)
{
    short events = events_of(c);

    return (events & (POLLERR | POLLHUP | POLLRDHUP | POLLNVAL)) != 0 || (!may_be_tls && (events & POLLIN) != 0);
}

/* Whatever waits on it is thrown away, and curl finds it dead. */
static void kill_connection(struct origin *o, struct origin_connection *c)
{
    struct sockaddr none = { .sa_family = AF_UNSPEC };

    o->dead += !c->killed;
    c->killed = true;
    connect(c->fd, &none, sizeof none);
}

/* Those that died together with one that was found dead. */
static void sweep(struct origin *o, int64_t now_ns)
{
    for (struct origin_connection *c = o->sockets; c != NULL; c = c->next)
        if (c->used && c->users == 0 && !c->killed && is_dead(c, now_ns))
            kill_connection(o, c);
}

void connection_stirs(struct origin *o, curl_socket_t fd)
{
    struct origin_connection *c = find_socket(o, fd);

    if (c != NULL && c->used && c->users == 0 && !c->killed && is_dead(c, clock_mono_ns()))
        kill_connection(o, c);
}

/* -- a request goes out on it -- */

static int64_t acknowledged_bytes(const struct origin_connection *c)
{
    struct tcp_info info = { 0 };
    socklen_t       bytes = sizeof info;

    if (getsockopt(c->fd, IPPROTO_TCP, TCP_INFO, &info, &bytes) != 0 ||
        bytes < offsetof(struct tcp_info, tcpi_bytes_acked) + sizeof info.tcpi_bytes_acked)
        return 0;
    return (int64_t)info.tcpi_bytes_acked;
}

bool connection_look(struct transfer *t, const char *peer_ip, int local_port, int peer_port)
{
    struct origin_connection *c = find(t->origin, peer_ip, local_port, peer_port);
    bool may_be_tls = t->ask.options->via.url != NULL || slice_eq(t->ask.options->scheme, SLICE("https"));

    if (c == NULL || t->wire.connection != NULL)
        return true;
    if (c->used ? is_dead(c, t->all->acted_ns) : spoke_first(c, may_be_tls)) {
        t->stop = c->used ? STOP_DEAD_CONNECTION : STOP_SPOKE_FIRST;
        if (c->users == 0)
            kill_connection(t->origin, c);
        sweep(t->origin, t->all->acted_ns);
        return false;
    }
    if (c->used ? !c->http2 : !may_be_tls) /* of a new TLS connection the end of the handshake is on its way */
        t->wire.acknowledged = acknowledged_bytes(c);
    c->users++;
    t->wire.connection = c;
    return true;
}

void connection_carries(struct transfer *t)
{
    if (t->wire.connection == NULL)
        return;
    t->origin->name_doubtful = t->origin->name_doubtful && t->wire.connection->used;
    t->wire.connection->used = true;
}

/*
 * RFC 9112 9.2: an answer is to a request.  A segment that answers also acknowledges what it answers; so as long
 * as nothing of the request is acknowledged, whatever comes was on its way before, and is nobody's.  (A kernel that
 * does not count says 0 all the time.)
 */
bool connection_is_early(const struct transfer *t)
{
    return t->wire.connection != NULL && t->wire.acknowledged > 0 && !t->wire.connection->http2 &&
           acknowledged_bytes(t->wire.connection) <= t->wire.acknowledged;
}

/* -- what an answer says of it -- */

/* "timeout=5, max=100": so long the API keeps it. From a second before that (or half of it) on nothing is sent. */
static void heed_keep_alive(struct origin_connection *c, const struct http_fields *fields)
{
    struct http_list list = http_list_of_field(fields, HTTP_KEEP_ALIVE);
    struct slice     member, name, value;
    int64_t          seconds;

    while (http_list_next(&list, &member)) {
        http_split_parameter(member, &name, &value);
        if (!slice_eq_nocase(name, SLICE("timeout")) || !slice_to_int64(value, &seconds))
            continue;
        if (seconds > KEEP_ALIVE_MAX_SECONDS)
            seconds = KEEP_ALIVE_MAX_SECONDS;
        c->keep_ns = seconds * NS_PER_SEC - (seconds >= 2 ? NS_PER_SEC : seconds * NS_PER_SEC / 2);
        if (c->keep_ns == 0)
            c->keep_ns = 1; /* "timeout=0": not at all */
    }
}

void connection_speaks_http2(struct transfer *t)
{
    if (t->wire.connection != NULL)
        t->wire.connection->http2 = true;
}

/* Of several (the API has several hosts, or is about to change it) the one that ends first. */
static void note_certificate(struct origin *o, struct origin_connection *of)
{
    int64_t first_s = of->certificate_ends_s;

    for (const struct origin_connection *c = o->sockets; c != NULL; c = c->next)
        if (c->certificate_ends_s != 0 && (first_s == 0 || c->certificate_ends_s < first_s))
            first_s = c->certificate_ends_s;
    if (first_s != 0)
        o->known.certificate_ends_s = first_s;
}

void connection_heard(struct transfer *t)
{
    struct origin_connection *c = t->wire.connection;

    if (c == NULL)
        return;
    c->http2 = t->head.out.http2;
    if (c->tls != t->wire.tls) { /* it is new */
        c->certificate_ends_s = certificate_end_s(t->wire.tls);
        note_certificate(t->origin, c);
    }
    c->tls = t->wire.tls;
    if (!c->http2)
        heed_keep_alive(c, &t->head.out.fields);
}

void connection_left(struct transfer *t)
{
    struct origin_connection *c = t->wire.connection;

    if (c == NULL)
        return;
    c->users--;
    if (c->keep_ns > 0)
        c->good_until_ns = clock_mono_ns() + c->keep_ns;
    t->wire.connection = NULL;
}

void connection_notify(struct origin *o, const void *tls)
{
    for (struct origin_connection *c = o->sockets; c != NULL; c = c->next)
        if (c->tls == tls)
            c->closed = true;
}

/* -- whether it stays -- */

/* curl looks at that bound when a connection comes back, and where several come back before their transfers are reaped
 * it sees the bound as it was: so each one that would be too many is closed by its own end. */
void connection_plan(struct transfer *t)
{
    struct origin *o = t->origin;
    unsigned       in_use = o->in_flight - o->closing; /* where a closing one is still open it counts as idle */
    unsigned       alive = o->known.connections - o->dead;
    unsigned       idle = alive > in_use ? alive - in_use : 0;

    if (t->head.out.http2) {
        /* At an error libcurl would end the request as if that had been all of it: see end_early_one(). */
        if (t->stream.is && t->ask.has_body && !t->sending.all)
            curl_easy_setopt(t->easy, CURLOPT_KEEP_SENDING_ON_ERROR, 1L);
        return;
    }
    t->wire.hands_back = !t->head.doubtful && idle + o->handed_back < o->options->max_idle_connections + *o->waiting;
    t->wire.closes = !t->wire.hands_back;
    o->handed_back += t->wire.hands_back;
    o->closing += t->wire.closes;
    if (t->wire.closes)
        curl_easy_setopt(t->easy, CURLOPT_FORBID_REUSE, 1L);
    else if (t->head.out.chunked || t->head.out.content_length <= 0 || transfer_has_no_body(t))
        curl_easy_setopt(t->easy, CURLOPT_VERBOSE, 1L); /* for on_word() in callbacks.c */
}
