/*
 * The worker's loop: wait on its epoll, let MHD run, deliver mail, watch
 * suspended connections, and end in good order.
 *
 * MHD has an epoll of its own whose descriptor stands in ours; MHD_run() is
 * called after every wake-up (an MHD thread of its own could hang, see
 * ARCHITECTURE.md).  A suspended connection leaves MHD's epoll, so every
 * socket stands in ours too, for EPOLLRDHUP only.
 */
#include "front/worker.h"

#include "base/clock.h"
#include "base/counters.h"
#include "base/log.h"
#include "base/wait.h"
#include "front/proxy/door.h"
#include "front/mhd/heads.h"
#include "front/net/places.h"
#include "front/mhd/refuse.h"
#include "front/mhd/shards.h"
#include "front/mhd/slots.h"
#include "front/proxy/tunnel.h"

#include <arpa/inet.h>
#include <errno.h>
#include <malloc.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <unistd.h>

enum { EVENTS = 256 };

static const int64_t sweep_ns = NS_PER_SEC;

#define LONGEST_WAIT_NS (60 * NS_PER_SEC)

struct handoff {                      /* an accepted socket on its way to its worker */
    struct mail    mail;
    struct worker *worker;
    struct arrival arrival;
};

struct reconfiguration {
    struct mail    mail;
    struct worker *worker;
    struct config *config;            /* a reference */
};

/* One for all workers; the last one tells. */
struct reopening {
    _Atomic unsigned left;
    struct mailbox  *reply_to;        /* NULL: nobody waits */
    struct mail     *done;
};

struct reopening_mail {
    struct mail       mail;
    struct worker    *worker;
    struct reopening *all;
};

void worker_name_peer(int fd, const struct sockaddr *sa, socklen_t len, char *out, size_t bytes)
{
    char        host[INET6_ADDRSTRLEN], port[8];
    struct peer who = { 0 };
    bool        is_unix = sa->sa_family == AF_UNIX;

    if (is_unix)
        kernel_read_credentials(fd, &who);
    if (who.has_uid)
        snprintf(out, bytes, "unix:uid=%u,pid=%d", (unsigned)who.uid, (int)who.pid);
    else if (!is_unix && getnameinfo(sa, len, host, sizeof host, port, sizeof port,
                                     NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, bytes, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
    else
        snprintf(out, bytes, "unknown");
}

static void unlink_connection(struct connection *c)
{
    if (c->next != NULL)
        c->next->previous = c->previous;
    if (c->previous != NULL)
        c->previous->next = c->next;
    else
        c->worker->open = c->next;
}

static void free_connection(struct connection *c)
{
    handshake_end(&c->handshake);
    pool_close(&c->pool);
    free(c->connected);
    free(c->proxy_user);
    peer_card_release(c->card);
    free(c);
}

static void on_peer_closed(struct watch *watch, uint32_t events)
{
    (void)events;
    call_on_peer_closed(CONTAINER_OF(watch, struct connection, watch));
}

/* For as long as it is open, and told once: MHD's own epoll has the rest. */
static void watch_peer(struct worker *w, struct connection *c)
{
    struct epoll_event event = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = &c->watch };

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        log_warning("watch_failed", "peer=%s reason=%s", c->peer, log_quote(strerror(errno)));
}

/* Closing the socket would not do: a process that is being started (engine/credential.c) holds a copy until it
 * executes, and as long as any copy is open, epoll goes on to tell of it (epoll(7)). */
static void unwatch_peer(struct worker *w, struct connection *c)
{
    epoll_ctl(w->epoll_fd, EPOLL_CTL_DEL, c->fd, NULL);
}

void worker_leave(struct worker *w, int fd)
{
    places_leave(w->shared->places, fd);
    atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

/* For front/mhd/intake.c, which knows no more than the descriptor. */
static void remember(struct worker *w, int fd, struct connection *c)
{
    size_t count = w->by_fd_count;

    if ((size_t)fd >= count) {
        w->by_fd_count = (size_t)fd * 2 + 64;
        w->by_fd = mem_resize(w->by_fd, w->by_fd_count * sizeof *w->by_fd);
        memset(w->by_fd + count, 0, (w->by_fd_count - count) * sizeof *w->by_fd);
    }
    w->by_fd[fd] = c;
}

/* Runs inside MHD_add_connection() for the start, inside MHD_run() or MHD_stop_daemon() for the end. */
void worker_on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
                          enum MHD_ConnectionNotificationCode what)
{
    struct worker     *w = context;
    struct connection *c;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        c = w->adding;
        c->mhd = mhd;
        c->next = w->open;
        if (w->open != NULL)
            w->open->previous = c;
        w->open = c;
        w->adding = NULL;
        c->shard->connections++;
        *socket_context = c;
        remember(w, c->fd, c);
        heads_forget(c->fd);
        watch_peer(w, c);
        if (c->is_tls)
            handshake_begin(&c->handshake,
                            MHD_get_connection_info(mhd, MHD_CONNECTION_INFO_GNUTLS_SESSION)->tls_session);
        return;
    }
    c = *socket_context;
    pool_leave();
    call_on_closed(c);
    remember(w, c->fd, NULL);
    w->current = NULL;
    if (c->refused || c->lingers)
        linger_begin(w, c->fd);
    unwatch_peer(w, c);
    unlink_connection(c);
    c->shard->connections--;
    worker_leave(w, c->fd);
    free_connection(c);
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? mem_copy(slice_of(text)) : NULL;
}

void worker_serve(struct worker *w, const struct arrival *a)
{
    struct connection     *c = mem_alloc(sizeof *c);
    const struct sockaddr *sa = (const struct sockaddr *)&a->address;

    c->watch.ready = on_peer_closed;
    c->worker = w;
    c->fd = a->fd;
    c->kind = a->kind;
    c->is_unix = sa->sa_family == AF_UNIX;
    c->is_tls = a->is_tls;
    c->connected = copy_or_null(a->connected);
    c->proxy_user = copy_or_null(a->proxy_user);
    c->card = a->card;
    c->handshake = (struct handshake){ .choose = door_choose_leaf, .heard = intake_heard_tls, .owner = c,
                                       .under_way = &w->handshakes };
    c->intake.is_timed = true;
    c->idle_timeout_ns = w->mhd_idle_ns;
    c->deadline_ns = clock_real_ns() + w->config->head_timeout_ns;
    worker_name_peer(a->fd, sa, a->address_bytes, c->peer, sizeof c->peer);
    w->adding = c;
    c->shard = shard_with_room(w, c->is_tls);
    shard_touch(c->shard);
    if (MHD_add_connection(c->shard->daemon, a->fd, sa, a->address_bytes) != MHD_YES) {
        log_warning("connection_refused", "peer=%s reason=%s", c->peer, log_quote(strerror(errno)));
        if (w->adding != NULL) {
            free_connection(c);
            worker_leave(w, a->fd);
        }
    }
    w->adding = NULL;
}

void worker_drop(struct worker *w, int fd)
{
    worker_leave(w, fd);
    close(fd);
}

static void receive_handoff(struct mail *m)
{
    struct handoff *h = CONTAINER_OF(m, struct handoff, mail);

    if (!listener_is_admin(h->arrival.kind))
        counter_add(COUNTER_CONNECTIONS, 1);
    if (h->arrival.kind == LISTENER_PROXY)
        door_open(h->worker, &h->arrival);
    else
        worker_serve(h->worker, &h->arrival);
    free(h);
}

void worker_adopt(struct worker *w, int fd, enum listener_kind kind, const struct sockaddr *sa, socklen_t len)
{
    struct handoff *h = mem_alloc(sizeof *h);

    h->mail.receive = receive_handoff;
    h->worker = w;
    h->arrival.fd = fd;
    h->arrival.kind = kind;
    memcpy(&h->arrival.address, sa, len);
    h->arrival.address_bytes = len;
    atomic_fetch_add_explicit(&w->connections, 1, memory_order_relaxed);
    mailbox_post(w->mailbox, &h->mail);
}

static void receive_configuration(struct mail *m)
{
    struct reconfiguration *r = CONTAINER_OF(m, struct reconfiguration, mail);
    struct worker          *w = r->worker;

    config_release(w->config);
    w->config = r->config;
    engine_configure(w->engine, w->config);
    access_log_configure(w->access, w->config);
    free(r);
}

static void receive_reopening(struct mail *m)
{
    struct reopening_mail *r = CONTAINER_OF(m, struct reopening_mail, mail);
    struct reopening      *all = r->all;

    access_log_reopen(r->worker->access);
    free(r);
    if (atomic_fetch_sub(&all->left, 1) > 1)
        return;
    if (all->reply_to != NULL)
        mailbox_post(all->reply_to, all->done);
    free(all);
}

void workers_reopen_logs(struct worker *workers, unsigned count, struct mailbox *reply_to, struct mail *done)
{
    struct reopening *all = mem_alloc(sizeof *all);

    *all = (struct reopening){ .left = count, .reply_to = reply_to, .done = done };
    for (unsigned i = 0; i < count; i++) {
        struct reopening_mail *r = mem_alloc(sizeof *r);

        *r = (struct reopening_mail){ { .receive = receive_reopening }, &workers[i], all };
        mailbox_post(workers[i].mailbox, &r->mail);
    }
}

void worker_configure(struct worker *w, struct config *config)
{
    struct reconfiguration *r = mem_alloc(sizeof *r);

    r->mail.receive = receive_configuration;
    r->worker = w;
    r->config = config;
    config_acquire(config);
    mailbox_post(w->mailbox, &r->mail);
}

static void receive_stop(struct mail *m)
{
    struct worker *w = CONTAINER_OF(m, struct worker, stop);

    w->stopping = true;
    w->stop_at_ns = clock_real_ns() + w->grace_ns;
}

static void receive_hurry(struct mail *m)
{
    CONTAINER_OF(m, struct worker, hurry)->stop_at_ns = 0;
}

void worker_stop(struct worker *w, int64_t grace_ns)
{
    w->grace_ns = grace_ns;
    mailbox_post(w->mailbox, &w->stop);
}

void worker_hurry(struct worker *w)
{
    mailbox_post(w->mailbox, &w->hurry);
}

/*
 * A head that takes too long, a connection idle for too long: MHD's own time-out starts anew with every byte.  And a
 * client that left in the middle of a head: MHD waits for an edge that the end of the connection, when it
 * came together with those bytes, has used up.
 */
static void sweep(struct worker *w, int64_t now)
{
    if (now < w->sweep_at_ns)
        return;
    w->sweep_at_ns = now + sweep_ns;
    w->sweeps++;
    shards_touch_all(w);
    for (struct connection *c = w->open; c != NULL; c = c->next) {
        pool_sweep(&c->pool, now);
        if ((c->deadline_ns <= now && intake_is_late(c, now)) || (c->peer_closed && c->call == NULL)) {
            c->peer_closed = false;
            c->deadline_ns = INT64_MAX;
            shutdown(c->fd, SHUT_RDWR);
        }
    }
    door_sweep(w, now);
    linger_sweep(w, now);
    tunnel_sweep(w, now);
    if (w->keeps) {
        w->keeps = kept_sweep(w->kept, w->engine, clock_wall_ns());
        if (!w->keeps)
            malloc_trim(0);                         /* there may have been thousands */
    }
}

static int64_t wait_ns(struct worker *w, int64_t now)
{
    int64_t ns = INT64_MAX, due;

    if (w->open != NULL || w->knocks != NULL || w->tunnels != NULL || w->keeps || w->lingering != NULL)
        ns = w->sweep_at_ns - now;
    if (w->parks)
        ns = NS_PER_MS;
    if (w->stopping)
        ns = 10 * NS_PER_MS;
    shards_limit_wait(w, &ns);
    due = access_log_due_ns(w->access);
    if (due != INT64_MAX) {
        int64_t left = due - clock_mono_ns();

        if (left < ns)
            ns = left;
    }
    if (ns == INT64_MAX)
        return WAIT_FOR_EVER;
    if (ns < 0)
        return 0;
    return ns < LONGEST_WAIT_NS ? ns : LONGEST_WAIT_NS;
}

static void on_mail(struct watch *watch, uint32_t events)
{
    (void)events;
    mailbox_deliver(CONTAINER_OF(watch, struct worker, mail_watch)->mailbox);
}

static void one_round(struct worker *w)
{
    struct epoll_event events[EVENTS];
    int64_t            now = clock_real_ns();
    int                n = wait_epoll(w->epoll_fd, events, EVENTS, wait_ns(w, now));

    for (int i = 0; i < n; i++) {
        struct watch *watch = events[i].data.ptr;

        if (watch->ready != NULL)
            watch->ready(watch, events[i].events);
    }
    tunnel_free_ended(w);                           /* no event of this round speaks of them any more */
    shards_run(w);
    pool_leave();
    w->current = NULL;
    intake_refuse_doomed(w);
    if (access_log_due_ns(w->access) <= clock_mono_ns())
        access_log_flush(w->access);
    sweep(w, clock_real_ns());
    w->parks = w->longest != NULL && call_park_some(w);
}

static bool is_finished(struct worker *w)
{
    if (!w->stopping)
        return false;
    door_close_all(w);                              /* a tunnel has no end that could be waited for */
    tunnel_close_all(w);
    if (!call_any(w))
        return true;
    if (clock_real_ns() >= w->stop_at_ns)
        call_break_all(w);
    return false;
}

static void *worker_main(void *context)
{
    struct worker *w = context;
    uint64_t       one = 1;

    slots_open();
    intake_start(w);
    while (!is_finished(w))
        one_round(w);
    shards_stop(w);
    slots_close();
    linger_close_all(w);
    intake_start(NULL);
    /* Mail that was on its way to exchanges and calls has to come before their memory goes. */
    while (!engine_is_idle(w->engine) || !admin_is_idle(w->admin)) {
        struct epoll_event event;

        epoll_wait(w->epoll_fd, &event, 1, 10);
        mailbox_deliver(w->mailbox);
    }
    access_log_flush(w->access);
    if (write(w->done_fd, &one, sizeof one) < 0)
        log_error("worker_end_unsignalled", "reason=%s", log_quote(strerror(errno)));
    return NULL;
}

int worker_start(struct worker *w, const struct front_services *services, struct front_shared *shared,
                 struct config *config, unsigned index, int done_fd, struct fault *why)
{
    char name[16];                    /* the kernel's bound */

    *w = (struct worker){ .services = services, .shared = shared, .epoll_fd = -1, .done_fd = done_fd };
    w->stop.receive = receive_stop;
    w->hurry.receive = receive_hurry;
    w->mail_watch.ready = on_mail;
    config_acquire(config);
    w->config = config;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->mailbox = mailbox_open();
    if (w->epoll_fd < 0 || w->mailbox == NULL
        || mailbox_watch(w->mailbox, w->epoll_fd, (epoll_data_t){ .ptr = &w->mail_watch }) != 0) {
        fault_set_errno(why, errno, "cannot start a worker");
        goto fail;
    }
    if (shards_start(w, why) != 0)
        goto fail;
    w->leaves = shared->has_proxy ? leaf_cache_open(services->authority) : NULL;
    w->kept = kept_open();
    w->access = access_log_open(config);
    w->engine = engine_open(&services->engine, w->mailbox, config, w->access, index, config->workers);
    w->admin = admin_open(&services->admin, w->mailbox);
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        fault_set(why, "cannot start a worker thread");
        goto fail;
    }
    snprintf(name, sizeof name, "worker %u", index % 1000);
    pthread_setname_np(w->thread, name);
    return 0;
fail:
    shards_stop(w);
    worker_free(w);
    return -1;
}

void worker_free(struct worker *w)
{
    call_free_unused(w);
    leaf_cache_close(w->leaves);
    kept_close(w->kept);
    admin_close(w->admin);
    engine_close(w->engine);
    access_log_close(w->access);
    mailbox_close(w->mailbox);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    free(w->by_fd);
    config_release(w->config);
}
