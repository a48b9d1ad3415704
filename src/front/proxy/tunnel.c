/*
 * The way of a tunnel: RESOLVE -> CONNECT (address by address) -> CARRY.
 *
 * Each direction has one buffer: it is filled when empty, and drained before it is
 * filled again, so that a slow reader slows the sender down.  epoll tells levels here, and
 * is asked only for what there is room or need for.
 */
#include "front/proxy/tunnel.h"

#include "base/address.h"
#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/own_address.h"
#include "front/proxy/say.h"
#include "front/net/arrival.h"
#include "front/net/resolve.h"
#include "base/socket.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { PIPE_BYTES = 32 * 1024, ADDRESSES_MAX = 8, QUICK_MOST = 16 };

static const int64_t resolve_ns = 20 * NS_PER_SEC, connect_ns = 10 * NS_PER_SEC;

enum stage { RESOLVE, CONNECT, CARRY, ENDED };

struct side {
    struct watch watch;    /* `ready` differs, so that the side is known */
    int          fd;       /* -1: none */
    uint32_t     asked;    /* of epoll */
    unsigned     hurried;  /* how often what came from here was acknowledged at once */
    bool         ended;    /* its sender has said all */
    bool         told;     /* its receiver has been told that the other said all */
    size_t       from, to; /* of `bytes`: read from here, not yet written to the other side */
    int64_t      count;    /* bytes read from here, in all */
    char        *bytes;
};

struct tunnel {
    struct worker     *worker;
    enum stage         stage;
    struct side        client, server;
    struct watch       resolved;
    struct resolution *resolution;
    struct addrinfo   *found, *trying; /* trying: the next one */
    unsigned           tried;
    bool               prohibited;              /* an address was passed over */
    int64_t            deadline_ns, ends_at_ns; /* real monotonic: of silence or of the stage; of all */
    int64_t            started_wall_ns, started_mono_ns;
    unsigned           port;
    char               peer[80], target[300], host[256], client_name[136], upstream[64];
    struct peer        who;
    LIST_ENTRY(tunnel) entry; /* of the worker's, or of those that have ended */
};

/* -- life -- */

static void close_side(struct tunnel *t, struct side *s)
{
    if (s->fd < 0)
        return;
    epoll_ctl(t->worker->epoll_fd, EPOLL_CTL_DEL, s->fd, NULL);
    close(s->fd);
    s->fd = -1;
}

static void leave_resolution(struct tunnel *t)
{
    if (t->resolution == NULL)
        return;
    epoll_ctl(t->worker->epoll_fd, EPOLL_CTL_DEL, resolve_fd(t->resolution), NULL);
    resolve_release(t->resolution);
    t->resolution = NULL;
}

static void end_with(struct tunnel *t, unsigned status, const char *detail, const char *error, bool whole)
{
    struct worker *w = t->worker;

    say_logged(w, &(struct connect_line){ .peer = t->peer,
                                          .client = slice_of(t->client_name[0] != '\0' ? t->client_name : NULL),
                                          .who = t->who,
                                          .target = slice_of(t->target),
                                          .upstream = t->upstream,
                                          .cache = status == 200 ? "tunnel" : "error",
                                          .detail = detail,
                                          .error = error,
                                          .status = status,
                                          .started_wall_ns = t->started_wall_ns,
                                          .started_mono_ns = t->started_mono_ns,
                                          .sent_bytes = t->server.count,
                                          .received_bytes = t->client.count,
                                          .whole = whole });
    leave_resolution(t);
    arrival_leave(w, t->client.fd);
    close_side(t, &t->client);
    close_side(t, &t->server);
    atomic_fetch_sub_explicit(&w->shared->tunnels, 1, memory_order_relaxed);
    t->stage = ENDED;
    LIST_REMOVE(t, entry);
    LIST_INSERT_HEAD(&w->ended_tunnels, t, entry);
}

static void end(struct tunnel *t, unsigned status, const char *detail, bool whole)
{
    end_with(t, status, detail, NULL, whole);
}

void tunnel_free_ended(struct worker *w)
{
    struct tunnel *t;

    while ((t = LIST_FIRST(&w->ended_tunnels)) != NULL) {
        LIST_REMOVE(t, entry);
        if (t->found != NULL)
            freeaddrinfo(t->found);
        free(t->client.bytes);
        free(t->server.bytes);
        free(t);
    }
}

static void refuse(struct tunnel *t, enum problem_kind kind, const char *detail, const char *proxy_error)
{
    say_refusal(t->worker, t->client.fd, kind, detail, proxy_error);
    end_with(t, problem_status(kind), proxy_error, problem_types[kind].name, true);
}

void tunnel_sweep(struct worker *w, int64_t now)
{
    struct tunnel *t, *next;

    LIST_FOREACH_SAFE (t, &w->tunnels, entry, next) {
        if (t->deadline_ns > now && t->ends_at_ns > now)
            continue;
        if (t->stage == CARRY)
            end(t, 200, t->ends_at_ns < t->deadline_ns ? "life" : "idle", false);
        else
            refuse(t, PROBLEM_NO_CONNECTION_IN_TIME, "The host did not answer in time.",
                   t->stage == RESOLVE ? "dns_timeout" : "connection_timeout");
    }
    tunnel_free_ended(w);
}

void tunnel_close_all(struct worker *w)
{
    struct tunnel *t;

    while ((t = LIST_FIRST(&w->tunnels)) != NULL)
        end(t, t->stage == CARRY ? 200 : 499, "stopping", false);
    tunnel_free_ended(w);
}

/* -- carrying -- */

/* A side that nothing is asked of stands in no epoll: a broken connection would be told again and again. */
static void ask(struct tunnel *t, struct side *s, uint32_t events)
{
    struct epoll_event event = { .events = events, .data.ptr = &s->watch };
    int                op = s->asked == 0 ? EPOLL_CTL_ADD : events == 0 ? EPOLL_CTL_DEL : EPOLL_CTL_MOD;

    if (s->asked != events && epoll_ctl(t->worker->epoll_fd, op, s->fd, &event) == 0)
        s->asked = events;
}

static void ask_for_what_is_needed(struct tunnel *t, struct side *s, const struct side *other)
{
    uint32_t events = 0;

    if (!s->ended && s->from == s->to)
        events |= EPOLLIN;
    if (other->from < other->to)
        events |= EPOLLOUT;
    ask(t, s, events);
}

/* The kernel acknowledges the first segments of a connection at once, so that a handshake in pieces flows.  By then it
 * has forgotten that here, since there was the CONNECT to answer: it is made up for. */
static void hurry(struct side *s)
{
    if (s->hurried >= QUICK_MOST)
        return;
    s->hurried++;
    socket_acknowledge(s->fd);
}

/* Moves what there is from `s` to `other`; false: the tunnel is broken. */
static bool move(struct tunnel *t, struct side *s, struct side *other)
{
    if (!s->ended && s->from == s->to) {
        ssize_t n = recv(s->fd, s->bytes, PIPE_BYTES, MSG_DONTWAIT);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        s->from = 0;
        s->to = n > 0 ? (size_t)n : 0;
        s->count += n > 0 ? n : 0;
        s->ended = n == 0;
        if (n > 0 && n < PIPE_BYTES)
            hurry(s);
    }
    if (s->from < s->to) {
        ssize_t n = send(other->fd, s->bytes + s->from, s->to - s->from, MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0 && errno != EAGAIN && errno != EINTR)
            return false;
        s->from += n > 0 ? (size_t)n : 0;
        if (n > 0)
            t->deadline_ns = clock_real_ns() + t->worker->config->proxy.tunnel_idle_ns;
    }
    if (s->ended && s->from == s->to && !other->told) {
        shutdown(other->fd, SHUT_WR);
        other->told = true;
    }
    return true;
}

static void carry(struct tunnel *t)
{
    if (!move(t, &t->client, &t->server) || !move(t, &t->server, &t->client)) {
        end(t, 200, NULL, false);
        return;
    }
    if (t->client.told && t->server.told) {
        end(t, 200, NULL, true);
        return;
    }
    ask_for_what_is_needed(t, &t->client, &t->server);
    ask_for_what_is_needed(t, &t->server, &t->client);
}

static void start_carrying(struct tunnel *t)
{
    int64_t now = clock_real_ns();

    if (!say_granted(t->client.fd)) {
        end(t, 499, NULL, false);
        return;
    }
    counter_add(COUNTER_TUNNELS, 1);
    t->stage = CARRY;
    t->deadline_ns = now + t->worker->config->proxy.tunnel_idle_ns;
    t->ends_at_ns = now + t->worker->config->proxy.tunnel_life_ns;
    t->client.bytes = mem_alloc(PIPE_BYTES);
    t->server.bytes = mem_alloc(PIPE_BYTES);
    carry(t);
}

/* -- connecting -- */

static bool leads_back(const struct tunnel *t)
{
    struct sockaddr_storage here, there;
    socklen_t               here_bytes = sizeof here, there_bytes = sizeof there;
    char                    from[INET6_ADDRSTRLEN], to[INET6_ADDRSTRLEN];

    return getsockname(t->server.fd, (struct sockaddr *)&here, &here_bytes) == 0 &&
           getpeername(t->server.fd, (struct sockaddr *)&there, &there_bytes) == 0 &&
           getnameinfo((struct sockaddr *)&here, here_bytes, from, sizeof from, NULL, 0, NI_NUMERICHOST) == 0 &&
           getnameinfo((struct sockaddr *)&there, there_bytes, to, sizeof to, NULL, 0, NI_NUMERICHOST) == 0 &&
           own_address_is(from, to, t->port);
}

/* An address that may be connected to, or NULL. */
static const struct addrinfo *next_address(struct tunnel *t)
{
    while (t->trying != NULL && t->tried < ADDRESSES_MAX) {
        const struct addrinfo *ai = t->trying;

        t->trying = ai->ai_next;
        if (t->upstream[0] != '\0' || address_is_public(ai->ai_addr) ||
            address_is_listed(ai->ai_addr, slice_of(t->host), t->worker->config->proxy.tunnel_private)) {
            t->tried++;
            return ai;
        }
        t->prohibited = true;
    }
    return NULL;
}

static int begin_connecting(struct tunnel *t, const struct addrinfo *ai)
{
    struct epoll_event event = { .events = EPOLLOUT, .data.ptr = &t->server.watch };
    int                one = 1;

    t->server.fd = socket(ai->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (t->server.fd < 0)
        return -1;
    setsockopt(t->server.fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    if ((connect(t->server.fd, ai->ai_addr, ai->ai_addrlen) != 0 && errno != EINPROGRESS) ||
        epoll_ctl(t->worker->epoll_fd, EPOLL_CTL_ADD, t->server.fd, &event) != 0) {
        close(t->server.fd);
        t->server.fd = -1;
        return -1;
    }
    t->server.asked = EPOLLOUT;
    return 0;
}

static void try_next_address(struct tunnel *t)
{
    const struct addrinfo *ai;

    t->stage = CONNECT;
    t->deadline_ns = clock_real_ns() + connect_ns;
    while ((ai = next_address(t)) != NULL)
        if (begin_connecting(t, ai) == 0)
            return; /* on_server() goes on */
    if (t->prohibited && t->tried == 0)
        refuse(t, PROBLEM_PRIVATE_ADDRESS,
               "A tunnel leads to loopback, link-local and private addresses only where proxy.tunnel_private lists "
               "the host, address or network.",
               "destination_ip_prohibited");
    else
        refuse(t, PROBLEM_NO_CONNECTION, "The host could not be connected to.", "connection_refused");
}

static void on_server(struct watch *watch, uint32_t events)
{
    struct tunnel *t = CONTAINER_OF(watch, struct tunnel, server.watch);
    int            error = 0;
    socklen_t      bytes = sizeof error;

    (void)events;
    if (t->stage == CARRY)
        carry(t);
    if (t->stage != CONNECT)
        return;
    if (getsockopt(t->server.fd, SOL_SOCKET, SO_ERROR, &error, &bytes) != 0 || error != 0) {
        close_side(t, &t->server);
        try_next_address(t);
    } else if (leads_back(t)) {
        refuse(t, PROBLEM_WEIR_ITSELF, "This tunnel would lead back to Weir.", "proxy_loop_detected");
    } else {
        start_carrying(t);
    }
}

/* While nothing is granted yet, a client that moves is one that leaves (or sends what may wait). */
static void on_client(struct watch *watch, uint32_t events)
{
    struct tunnel *t = CONTAINER_OF(watch, struct tunnel, client.watch);

    if (t->stage == CARRY)
        carry(t);
    else if (t->stage != ENDED && (events & (EPOLLHUP | EPOLLERR | EPOLLRDHUP)) != 0)
        end(t, 499, NULL, false);
}

static void on_resolved(struct watch *watch, uint32_t events)
{
    struct tunnel *t = CONTAINER_OF(watch, struct tunnel, resolved);
    int            error = 0;

    (void)events;
    if (t->stage != RESOLVE)
        return;
    t->found = resolve_take(t->resolution, &error);
    leave_resolution(t);
    if (t->found == NULL) {
        log_debug("name_unknown", "host=%s reason=%s", log_quote(t->host), log_quote(gai_strerror(error)));
        refuse(t, PROBLEM_NO_HOST, "The host's name could not be resolved.", "dns_error");
        return;
    }
    t->trying = t->found;
    try_next_address(t);
}

/* -- opening -- */

static int start_resolving(struct tunnel *t)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = &t->resolved };

    t->resolution = resolve_start(t->host, t->port);
    return t->resolution != NULL ? epoll_ctl(t->worker->epoll_fd, EPOLL_CTL_ADD, resolve_fd(t->resolution), &event)
                                 : -1;
}

static struct slice without_brackets(struct slice host)
{
    return host.len > 2 && host.ptr[0] == '[' ? slice_sub(host, 1, host.len - 1) : host;
}

void tunnel_open(struct worker *w, const struct tunnel_start *start)
{
    struct tunnel     *t = mem_alloc(sizeof *t);
    struct epoll_event event = { .events = EPOLLRDHUP, .data.ptr = &t->client.watch };

    t->worker = w;
    t->stage = RESOLVE;
    t->resolved.ready = on_resolved;
    t->client = (struct side){ .watch = { on_client }, .fd = start->fd, .asked = EPOLLRDHUP };
    t->server = (struct side){ .watch = { on_server }, .fd = -1 };
    t->port = start->port;
    t->started_wall_ns = start->started_wall_ns;
    t->started_mono_ns = start->started_mono_ns;
    t->deadline_ns = clock_real_ns() + resolve_ns;
    t->ends_at_ns = INT64_MAX;
    snprintf(t->peer, sizeof t->peer, "%s", start->peer);
    snprintf(t->target, sizeof t->target, SLICE_FMT, SLICE_ARG(start->target));
    snprintf(t->host, sizeof t->host, SLICE_FMT, SLICE_ARG(without_brackets(start->host)));
    t->who = start->who;
    snprintf(t->client_name, sizeof t->client_name, SLICE_FMT, SLICE_ARG(start->client));
    snprintf(t->upstream, sizeof t->upstream, "%s", start->upstream != NULL ? start->upstream : "");
    LIST_INSERT_HEAD(&w->tunnels, t, entry);
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, t->client.fd, &event) != 0 || start_resolving(t) != 0)
        refuse(t, PROBLEM_NO_RESOURCES, "Weir cannot look the host up now; its log says why.", "proxy_internal_error");
}
