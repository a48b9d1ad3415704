/*
 * Knocks: connections whose first head is on its way, or whose CONNECT is granted and who have not said yet
 * whether they will speak TLS; and those of a unix socket that may bring descriptors with their first bytes
 * (SCM_RIGHTS), which libmicrohttpd's recv() would let fall.
 *
 * The bytes are looked at before they are taken (MSG_PEEK), so that nothing after the
 * head of a CONNECT is lost to what follows it.
 */
#include "front/proxy/door.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "front/proxy/connect.h"
#include "peer/card.h"
#include "front/mhd/refuse.h"
#include "base/socket.h"
#include "config/mode.h"
#include "engine/runs.h"
#include "front/mhd/certificate.h"
#include "front/mhd/daemon.h"
#include "front/proxy/say.h"
#include "front/proxy/tunnel.h"
#include "http/url.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

enum { FIRST_BYTES = 2048, PEEK_BYTES = 4096, CONNECT_BYTES = sizeof "CONNECT " - 1, PORT_HTTP = 80, PORT_HTTPS = 443 };

/* RFC 8446 5.1: the content type of a handshake record; no method begins with it. */
enum { TLS_HANDSHAKE = 0x16 };

struct knock {
    struct watch      watch;
    struct worker    *worker;
    struct arrival    arrival;
    char             *head; /* taken so far */
    size_t            used, room;
    char             *connected, *proxy_user; /* of a CONNECT that was granted; NULL before */
    int64_t           started_wall_ns, started_mono_ns, deadline_ns;
    char              peer[80];
    struct peer       who;   /* for the log; all zero: not asked */
    LIST_ENTRY(knock) entry; /* of the worker's */
};

/* -- life -- */

static void unwatch(struct knock *k)
{
    epoll_ctl(k->worker->epoll_fd, EPOLL_CTL_DEL, k->arrival.fd, NULL);
}

static void forget(struct knock *k)
{
    LIST_REMOVE(k, entry);
    free(k->head);
    free(k->connected);
    free(k->proxy_user);
    peer_card_release(k->arrival.card);
    free(k);
}

/* The socket is somebody else's from here on. */
static void let_go(struct knock *k)
{
    unwatch(k);
    forget(k);
}

static void turn_away(struct knock *k)
{
    struct worker *w = k->worker;
    int            fd = k->arrival.fd;

    for (unsigned i = 0; i < k->arrival.handed_count; i++)
        close(k->arrival.handed[i]);
    let_go(k);
    arrival_drop(w, fd);
}

void door_sweep(struct worker *w, int64_t now)
{
    struct knock *k, *next;

    LIST_FOREACH_SAFE (k, &w->knocks, entry, next) {
        if (k->deadline_ns > now)
            continue;
        if (k->used > 0 && k->connected == NULL)
            say_refusal(w, k->arrival.fd, PROBLEM_REQUEST_TIMEOUT, "The rest of the CONNECT did not come in time.",
                        "http_request_error");
        turn_away(k);
    }
}

void door_close_all(struct worker *w)
{
    while (!LIST_EMPTY(&w->knocks))
        turn_away(LIST_FIRST(&w->knocks));
}

/* -- what is said -- */

/* The connection inside a CONNECT has it, too. */
static void ask_who(struct knock *k, struct peer *who)
{
    if (k->arrival.card == NULL)
        k->arrival.card = peer_card_open(k->arrival.fd);
    peer_card_ask_user(k->arrival.card);
    peer_card_read(k->arrival.card, who);
}

/* For the log. */
static void note_who(struct knock *k)
{
    if (recorder_is_on(k->worker->recorder))
        ask_who(k, &k->who);
}

static void refuse(struct knock *k, const struct connect_head *h, const struct refusal *no, const char *proxy_error)
{
    note_who(k); /* before the client has its answer, and goes */
    engine_count_refused(k->worker->engine, SLICE("CONNECT"), problem_status(no->kind));
    say_refusal(k->worker, k->arrival.fd, no->kind, no->detail, proxy_error);
    say_logged(k->worker, &(struct connect_line){ .peer = k->peer,
                                                  .client = runs_name(h->user),
                                                  .who = k->who,
                                                  .target = h->target,
                                                  .cache = "error",
                                                  .error = problem_types[no->kind].name,
                                                  .status = problem_status(no->kind),
                                                  .started_wall_ns = k->started_wall_ns,
                                                  .started_mono_ns = k->started_mono_ns,
                                                  .whole = true });
    turn_away(k);
}

/* -- CONNECT -- */

/* The certificate is made before anything is granted, so that the client hears why where it cannot be. */
static bool has_leaf(struct worker *w, struct slice host)
{
    char         name[LEAF_NAME_BYTES];
    struct leaf *l;

    if (host.len >= sizeof name)
        return false;
    snprintf(name, sizeof name, SLICE_FMT, SLICE_ARG(host));
    l = certificate_for(w, name);
    leaf_release(l);
    return l != NULL;
}

/* The first byte inside tells TLS from plain HTTP, whatever the port. */
static void look_inside(struct knock *k)
{
    struct worker *w = k->worker;
    struct arrival next = k->arrival;
    char           first;
    ssize_t        n = recv(next.fd, &first, 1, MSG_PEEK | MSG_DONTWAIT);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n <= 0) {
        turn_away(k);
        return;
    }
    next.is_tls = first == TLS_HANDSHAKE;
    next.connected = k->connected;
    next.proxy_user = k->proxy_user;
    k->arrival.card = NULL;
    unwatch(k);
    daemon_serve(w, &next);
    forget(k);
}

/* What comes to port 80 is hardly ever TLS: it needs no certificate to begin with. */
static void open_upstream(struct knock *k, const struct connect_head *h)
{
    struct worker *w = k->worker;

    if (h->port != PORT_HTTP && !has_leaf(w, h->host)) {
        refuse(k, h,
               &(struct refusal){ PROBLEM_NO_CERTIFICATE,
                                  "Weir cannot make a certificate for this host; its log says why." },
               "proxy_internal_error");
        return;
    }
    if (!say_granted(k->arrival.fd)) {
        turn_away(k);
        return;
    }
    counter_add(COUNTER_INTERCEPTED, 1);
    k->connected = mem_copy(h->target);
    k->proxy_user = h->user.ptr != NULL ? mem_copy(h->user) : NULL;
    k->deadline_ns = clock_real_ns() + w->config->timeout.head_ns;
    look_inside(k);
}

/* A host of an upstream's leads where its requests go: an alias to whom it stands for, and what speaks TLS to the port
 * of an https:// url. */
static void lead(struct tunnel_start *start, struct route_place to)
{
    struct slice host;
    unsigned     port;

    if (to.upstream == NULL || !http_authority_parse(to.host->authority, &host, &port))
        return;
    start->upstream = to.upstream->name;
    start->host = host;
    if (slice_eq(to.upstream->scheme, SLICE("https")) && (start->port == PORT_HTTPS || to.host->port != 0))
        start->port = port != 0 ? port : PORT_HTTPS;
}

static void open_tunnel(struct knock *k, const struct connect_head *h, struct route_place to)
{
    struct worker      *w = k->worker;
    struct tunnel_start start = {
        .fd = k->arrival.fd,
        .peer = k->peer,
        .target = h->target,
        .host = h->host,
        .port = h->port,
        .client = h->user,
        .started_wall_ns = k->started_wall_ns,
        .started_mono_ns = k->started_mono_ns,
    };

    note_who(k);
    start.who = k->who;
    lead(&start, to);
    if (atomic_fetch_add_explicit(&w->shared->tunnels, 1, memory_order_relaxed) >= w->config->proxy.max_tunnels) {
        atomic_fetch_sub_explicit(&w->shared->tunnels, 1, memory_order_relaxed);
        refuse(k, h, &(struct refusal){ PROBLEM_TOO_MANY_TUNNELS, "proxy.max_tunnels of them are open; try later." },
               "proxy_internal_response");
        return;
    }
    unwatch(k);
    tunnel_open(w, &start);
    forget(k);
}

/* A tunnel is carried unread, so this is the last place to ask. */
static bool admits(struct knock *k, const struct connect_head *h, const struct config_upstream *up)
{
    struct arena a = { 0 };
    struct peer  who;

    if (!up->has_access)
        return true;
    ask_who(k, &who);
    if (engine_admits(k->worker->engine, up, &who))
        return true;
    refuse(k, h, &(struct refusal){ PROBLEM_NOT_ALLOWED, engine_not_admitted(&who, &a).ptr }, "http_request_denied");
    arena_free(&a);
    return false;
}

/* What goes through a tunnel nobody sees: under a mode that holds something back there is none. */
static bool is_held(struct knock *k, const struct connect_head *h, const struct config_upstream *up)
{
    enum upstream_mode mode = config_mode_now(up, clock_wall_ns());
    struct arena       a = { 0 };

    if (config_mode_lets_all(mode))
        return false;
    refuse(k, h,
           &(struct refusal){
               PROBLEM_TUNNEL_HELD,
               arena_printf(&a, "The mode of upstream %s is %s, and it is tunnelled unread (intercept = false).",
                            up->route.name, config_mode_name(mode))
                   .ptr },
           "http_request_denied");
    arena_free(&a);
    return true;
}

static int64_t uid_of(struct knock *k)
{
    struct peer who;

    ask_who(k, &who);
    return who.has_uid ? (int64_t)who.uid : -1;
}

/* A program that weirctl run holds to a mode: what Weir cannot see into it cannot hold back.  False: it is refused. */
static bool holds_to_run(struct knock *k, struct connect_head *h, bool is_seen)
{
    struct runs    *runs = k->worker->services->engine.runs;
    struct slice    token = h->user;
    struct own_run *run;

    if (!runs_is_token(token)) {
        if (!is_seen && runs_any(runs))
            runs_note_astray(runs, uid_of(k));
        return true;
    }
    h->user = SLICE_NONE; /* no log has it */
    run = runs_find(runs, token, uid_of(k));
    if (run == NULL) {
        refuse(k, h,
               &(struct refusal){ PROBLEM_RUN_OVER, "The proxy user is the token of a weirctl run that is over, or of "
                                                    "another user's: nothing was sent." },
               "http_request_denied");
        return false;
    }
    if (is_seen) {
        h->user = token;
    } else {
        run_note_refused(run);
        refuse(k, h,
               &(struct refusal){
                   PROBLEM_RUN_UNSEEN,
                   "This program is held to a mode by weirctl run, and what goes to this host Weir would "
                   "carry through unread: it is no upstream's, or of one with intercept = false." },
               "http_request_denied");
    }
    run_release(run);
    return is_seen;
}

static void answer_connect(struct knock *k, struct connect_head *h)
{
    const struct config         *c = k->worker->config;
    struct route_place           to = route_find_connected(c->routes, h->host, h->port);
    const struct route_upstream *u = to.upstream;
    const bool                   is_seen = u != NULL && c->upstreams[u->index].intercept;

    if (!holds_to_run(k, h, is_seen))
        return;
    if (u != NULL && !admits(k, h, &c->upstreams[u->index]))
        return;
    if (is_seen)
        open_upstream(k, h);
    else if (u != NULL && is_held(k, h, &c->upstreams[u->index]))
        return;
    else if (u != NULL || c->proxy.tunnel)
        open_tunnel(k, h, to);
    else
        refuse(k, h,
               &(struct refusal){ PROBLEM_NOT_AN_UPSTREAM, "No upstream has this host and port. With proxy.tunnel = "
                                                           "\"allow\" it would be carried through unread." },
               "http_request_denied");
}

static void read_connect(struct knock *k)
{
    struct connect_head h;
    struct arena        a = { 0 };
    struct refusal      no = connect_head_parse((struct slice){ k->head, k->used }, &h, &a);

    if (no.kind != PROBLEM_NONE)
        refuse(k, &h, &no, "http_request_error");
    else
        answer_connect(k, &h);
    arena_free(&a);
}

/* -- the first bytes -- */

/* Takes from the socket what was looked at, but nothing after the head's end. True: the head is whole. */
static bool take(struct knock *k, size_t seen)
{
    size_t  from = k->used > 3 ? k->used - 3 : 0;
    char   *end = memmem(k->head + from, k->used + seen - from, "\r\n\r\n", 4);
    size_t  wanted = end != NULL ? (size_t)(end + 4 - k->head) - k->used : seen;
    ssize_t n = recv(k->arrival.fd, k->head + k->used, wanted, MSG_DONTWAIT);

    k->used += n > 0 ? (size_t)n : 0;
    return end != NULL;
}

static bool begins_like_connect(const char *text, size_t count)
{
    return memcmp(text, "CONNECT ", count < CONNECT_BYTES ? count : CONNECT_BYTES) == 0;
}

/* Any other request is libmicrohttpd's. */
static void pass_on(struct knock *k)
{
    struct worker *w = k->worker;
    struct arrival whole = k->arrival;

    k->arrival.card = NULL;
    let_go(k);
    daemon_serve(w, &whole);
}

/* More than are wanted are closed by the kernel: there is no room for them. */
static void keep_handed(struct arrival *a, struct msghdr *m)
{
    for (struct cmsghdr *c = CMSG_FIRSTHDR(m); c != NULL; c = CMSG_NXTHDR(m, c)) {
        if (c->cmsg_level != SOL_SOCKET || c->cmsg_type != SCM_RIGHTS || a->handed_count > 0)
            continue;
        a->handed_count = (unsigned)((c->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(a->handed, CMSG_DATA(c), a->handed_count * sizeof(int));
    }
}

/* The bytes stay where they are. */
static void look_at_hands(struct knock *k)
{
    union {
        struct cmsghdr aligned;
        char           bytes[CMSG_SPACE(ARRIVAL_HANDED * sizeof(int))];
    } control;
    char          first;
    struct iovec  part = { &first, 1 };
    struct msghdr m = { .msg_iov = &part,
                        .msg_iovlen = 1,
                        .msg_control = &control,
                        .msg_controllen = CMSG_LEN(ARRIVAL_HANDED * sizeof(int)) };
    ssize_t       n = recvmsg(k->arrival.fd, &m, MSG_PEEK | MSG_DONTWAIT | MSG_CMSG_CLOEXEC);

    if (n < 0 && (errno == EAGAIN || errno == EINTR))
        return;
    if (n > 0)
        keep_handed(&k->arrival, &m);
    if (n <= 0)
        turn_away(k);
    else
        pass_on(k);
}

static void look(struct watch *watch, uint32_t events)
{
    struct knock *k = CONTAINER_OF(watch, struct knock, watch);

    if (k->arrival.kind != LISTENER_PROXY) {
        look_at_hands(k);
        return;
    }
    while (k->connected == NULL) {
        ssize_t n;

        if (k->room - k->used < PEEK_BYTES)
            k->head = mem_resize(k->head, k->room += k->room < PEEK_BYTES ? FIRST_BYTES + PEEK_BYTES : k->room);
        n = recv(k->arrival.fd, k->head + k->used, PEEK_BYTES, MSG_PEEK | MSG_DONTWAIT);
        if (n < 0 && (errno == EAGAIN || errno == EINTR))
            return;
        if (n <= 0) {
            turn_away(k);
            return;
        }
        if (k->used == 0 && !begins_like_connect(k->head, (size_t)n)) {
            pass_on(k);
            return;
        }
        if (k->used == 0 && (size_t)n < CONNECT_BYTES) {
            if ((events & (EPOLLRDHUP | EPOLLHUP)) != 0)
                turn_away(k); /* nothing more will come */
            return;           /* else the edge of the next bytes wakes us */
        }
        if (take(k, (size_t)n) || k->used > GUARD_HEAD_BYTES) {
            read_connect(k);
            return;
        }
        socket_acknowledge(k->arrival.fd);
    }
    look_inside(k);
}

void door_open(struct worker *w, const struct arrival *a)
{
    struct knock      *k = mem_alloc(sizeof *k);
    struct epoll_event event = { .events = EPOLLIN | EPOLLRDHUP | EPOLLET, .data.ptr = &k->watch };

    k->watch.ready = look;
    k->worker = w;
    k->arrival = *a;
    k->started_wall_ns = clock_wall_ns();
    k->started_mono_ns = clock_mono_ns();
    k->deadline_ns = clock_real_ns() + w->config->timeout.head_ns;
    arrival_name_peer(a->fd, (const struct sockaddr *)&a->address, a->address_bytes, k->peer, sizeof k->peer);
    LIST_INSERT_HEAD(&w->knocks, k, entry);
    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, a->fd, &event) != 0) {
        log_warning("watch_failed", "peer=%s reason=%s", k->peer, log_quote(strerror(errno)));
        turn_away(k);
    }
}
