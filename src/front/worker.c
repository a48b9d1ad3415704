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

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

/* Sets the largest head, a response head's room and what a hit costs at once (MHD zeroes it per request). */
enum { POOL_BYTES = 64 * 1024, EVENTS = 256, CONNECTION_LIMIT = 65536 };

static const int64_t sweep_ns = NS_PER_SEC;

struct handoff {                      /* an accepted socket on its way to its worker */
    struct mail             mail;
    struct worker          *worker;
    int                     fd;
    enum listener_kind      kind;
    struct sockaddr_storage address;
    socklen_t               address_bytes;
};

struct reconfiguration {
    struct mail    mail;
    struct worker *worker;
    struct config *config;            /* a reference */
};

int64_t worker_socket_clock_ns(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * NS_PER_SEC + t.tv_nsec;
}

static void name_peer(struct connection *c, const struct sockaddr *sa, socklen_t len)
{
    char         host[INET6_ADDRSTRLEN], port[8];
    struct ucred peer;
    socklen_t    peer_bytes = sizeof peer;

    c->is_unix = sa->sa_family == AF_UNIX;
    if (c->is_unix && getsockopt(c->fd, SOL_SOCKET, SO_PEERCRED, &peer, &peer_bytes) == 0)
        snprintf(c->peer, sizeof c->peer, "unix:uid=%u,pid=%d", (unsigned)peer.uid, (int)peer.pid);
    else if (!c->is_unix && getnameinfo(sa, len, host, sizeof host, port, sizeof port,
                                        NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(c->peer, sizeof c->peer, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
    else
        snprintf(c->peer, sizeof c->peer, "unknown");
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

/* For as long as it is open, and told once: MHD's own epoll has the rest. */
static void watch_peer(struct worker *w, struct connection *c)
{
    struct epoll_event event = { .events = EPOLLRDHUP | EPOLLET, .data.ptr = c };

    if (epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, c->fd, &event) != 0)
        log_warning("watch_failed", "peer=%s reason=%s", c->peer, log_quote(strerror(errno)));
}

/* Runs inside MHD_add_connection() for the start, inside MHD_run() or MHD_stop_daemon() for the end. */
static void on_connection(void *context, struct MHD_Connection *mhd, void **socket_context,
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
        *socket_context = c;
        watch_peer(w, c);
        return;
    }
    c = *socket_context;
    unlink_connection(c);
    atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
    free(c);
}

static void receive_handoff(struct mail *m)
{
    struct handoff    *h = CONTAINER_OF(m, struct handoff, mail);
    struct worker     *w = h->worker;
    struct connection *c = mem_alloc(sizeof *c);

    c->worker = w;
    c->fd = h->fd;
    c->kind = h->kind;
    c->deadline_ns = worker_socket_clock_ns() + w->config->head_timeout_ns;
    name_peer(c, (struct sockaddr *)&h->address, h->address_bytes);
    w->adding = c;
    if (h->kind == LISTENER_DATA)
        counter_add(COUNTER_CONNECTIONS, 1);
    if (MHD_add_connection(w->daemon, h->fd, (struct sockaddr *)&h->address, h->address_bytes) != MHD_YES) {
        log_warning("connection_refused", "peer=%s reason=%s", c->peer, log_quote(strerror(errno)));
        if (w->adding != NULL) {
            free(c);
            atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
        }
    }
    w->adding = NULL;
    free(h);
}

void worker_adopt(struct worker *w, int fd, enum listener_kind kind, const struct sockaddr *sa, socklen_t len)
{
    struct handoff *h = mem_alloc(sizeof *h);

    h->mail.receive = receive_handoff;
    h->worker = w;
    h->fd = fd;
    h->kind = kind;
    memcpy(&h->address, sa, len);
    h->address_bytes = len;
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
    w->stop_at_ns = worker_socket_clock_ns() + w->grace_ns;
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
    for (struct connection *c = w->open; c != NULL; c = c->next)
        if (c->deadline_ns <= now || (c->peer_closed && c->call == NULL)) {
            c->peer_closed = false;
            c->deadline_ns = INT64_MAX;
            shutdown(c->fd, SHUT_RDWR);
        }
}

static int wait_ms(struct worker *w, int64_t now)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    int64_t                ms = -1, due;

    if (w->open != NULL)
        ms = (w->sweep_at_ns - now) / NS_PER_MS + 1;
    if (w->stopping)
        ms = 10;
    if (MHD_get_timeout(w->daemon, &mhd_ms) == MHD_YES && (ms < 0 || (int64_t)mhd_ms < ms))
        ms = (int64_t)mhd_ms;
    due = access_log_due_ns(w->access);
    if (due != INT64_MAX) {
        int64_t left = (due - clock_mono_ns()) / NS_PER_MS + 1;

        if (ms < 0 || left < ms)
            ms = left;
    }
    if (ms < -1)
        ms = 0;
    return ms > 60000 ? 60000 : (int)ms;
}

static void one_round(struct worker *w)
{
    struct epoll_event events[EVENTS];
    int64_t            now = worker_socket_clock_ns();
    int                n = epoll_wait(w->epoll_fd, events, EVENTS, wait_ms(w, now));

    for (int i = 0; i < n; i++) {
        if (events[i].data.ptr == w->mailbox)
            mailbox_deliver(w->mailbox);
        else if (events[i].data.ptr != w->daemon)
            call_on_peer_closed(events[i].data.ptr);
    }
    MHD_run(w->daemon);
    if (access_log_due_ns(w->access) <= clock_mono_ns())
        access_log_flush(w->access);
    sweep(w, worker_socket_clock_ns());
}

static bool is_finished(struct worker *w)
{
    if (!w->stopping)
        return false;
    if (!call_any(w))
        return true;
    if (worker_socket_clock_ns() >= w->stop_at_ns)
        call_break_all(w);
    return false;
}

static void *worker_main(void *context)
{
    struct worker *w = context;
    uint64_t       one = 1;

    while (!is_finished(w))
        one_round(w);
    MHD_stop_daemon(w->daemon);
    w->daemon = NULL;
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

static void mhd_log(void *context, const char *format, va_list args)
{
    char text[256];

    (void)context;
    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    log_debug("mhd", "message=%s", log_quote(text));
}

/* Targets stay as they came: nothing is decoded (contract section 2). */
static size_t keep_escaped(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context;
    (void)mhd;
    return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct worker *w)
{
    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG, 0, NULL, NULL,
        call_on_request, w,
        MHD_OPTION_EXTERNAL_LOGGER, mhd_log, NULL,
        MHD_OPTION_URI_LOG_CALLBACK, call_on_target, w,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, call_on_completed, w,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, w,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTION_LIMIT,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(w->config->idle_timeout_ns / NS_PER_SEC),
        MHD_OPTION_STRICT_FOR_CLIENT, 1,
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,       /* or sendfile is off in an external loop */
        MHD_OPTION_END);
}

static int watch(struct worker *w, int fd, void *what)
{
    struct epoll_event event = { .events = EPOLLIN, .data.ptr = what };

    return epoll_ctl(w->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int worker_start(struct worker *w, const struct front_services *services, struct config *config, unsigned index,
                 int done_fd, struct fault *why)
{
    const union MHD_DaemonInfo *info;

    *w = (struct worker){ .services = services, .epoll_fd = -1, .done_fd = done_fd };
    w->stop.receive = receive_stop;
    w->hurry.receive = receive_hurry;
    config_acquire(config);
    w->config = config;
    w->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    w->mailbox = mailbox_open();
    if (w->epoll_fd < 0 || w->mailbox == NULL) {
        fault_set_errno(why, errno, "cannot start a worker");
        goto fail;
    }
    w->mhd_idle_ns = config->idle_timeout_ns;
    w->daemon = start_daemon(w);
    info = w->daemon != NULL ? MHD_get_daemon_info(w->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (info == NULL || watch(w, info->epoll_fd, w->daemon) != 0
        || watch(w, mailbox_fd(w->mailbox), w->mailbox) != 0) {
        fault_set_errno(why, errno, "cannot start libmicrohttpd");
        goto fail;
    }
    w->access = access_log_open(config);
    w->engine = engine_open(&services->engine, w->mailbox, config, w->access, index, config->workers);
    w->admin = admin_open(&services->admin, w->mailbox);
    if (pthread_create(&w->thread, NULL, worker_main, w) != 0) {
        fault_set(why, "cannot start a worker thread");
        goto fail;
    }
    pthread_setname_np(w->thread, "worker");
    return 0;
fail:
    if (w->daemon != NULL)
        MHD_stop_daemon(w->daemon);
    worker_free(w);
    return -1;
}

void worker_free(struct worker *w)
{
    call_free_unused(w);
    admin_close(w->admin);
    engine_close(w->engine);
    access_log_close(w->access);
    mailbox_close(w->mailbox);
    if (w->epoll_fd >= 0)
        close(w->epoll_fd);
    config_release(w->config);
}
