/*
 * Listeners and the balance between workers; everything here runs on the
 * main thread.
 */
#include "front/front.h"

#include "admin/tokens.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/own_address.h"
#include "front/mhd/heads.h"
#include "front/mhd/tricks.h"
#include "front/net/listener.h"
#include "front/net/places.h"
#include "front/worker.h"
#include "http/url.h"

#include <systemd/sd-daemon.h>

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

enum { ACCEPT_BATCH = 64 };

struct front {
    struct front_services services;
    struct front_shared   shared;
    struct config        *config;
    struct listener       listeners[LISTENERS_MAX];
    unsigned              listener_count;
    struct worker        *workers;
    unsigned              worker_count;
    int                   epoll_fd;
    int                   done_fd;  /* each worker adds one when its thread ends */
    int                   spare_fd; /* given up for a moment when descriptors run out */
};

static int add_listener(struct front *f, const struct config_listener *c, enum listener_kind kind, struct fault *why)
{
    if (f->listener_count == LISTENERS_MAX)
        return fault_set(why, "cannot listen on %s: at most %d listeners", c->address, (int)LISTENERS_MAX);
    if (listener_open(&f->listeners[f->listener_count], c, kind, f->config->allow_remote, why) != 0)
        return -1;
    f->listener_count++;
    return 0;
}

/* In the log, and of systemd's sockets (FileDescriptorName). */
static const char *const kind_names[LISTENER_KINDS] = {
    [LISTENER_DATA] = "data",       [LISTENER_ADMIN] = "admin", [LISTENER_QUERY] = "query",
    [LISTENER_METRICS] = "metrics", [LISTENER_PROXY] = "proxy",
};

static enum listener_kind kind_of_name(const char *name)
{
    for (int kind = 0; kind < LISTENER_KINDS; kind++)
        if (strcmp(name, kind_names[kind]) == 0)
            return (enum listener_kind)kind;
    return LISTENER_DATA;
}

/* Sockets that systemd opened: those named "admin", "query", "metrics" and "proxy" are that, all others carry data. */
static int adopt_systemd_sockets(struct front *f, struct fault *why)
{
    char **names = NULL;
    int    n = sd_listen_fds_with_names(1, &names), rc = 0;

    for (int i = 0; i < n && rc == 0; i++) {
        enum listener_kind kind = kind_of_name(names != NULL && names[i] != NULL ? names[i] : "");
        int                fd = SD_LISTEN_FDS_START + i;

        if (f->listener_count == LISTENERS_MAX)
            break;
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
        rc = listener_adopt(&f->listeners[f->listener_count++], fd, kind, f->config->allow_remote, why);
    }
    for (int i = 0; names != NULL && names[i] != NULL; i++)
        free(names[i]);
    free(names);
    return rc;
}

/* One that systemd has opened is not opened again. */
static bool is_open(const struct front *f, const char *address, enum listener_kind kind)
{
    for (unsigned i = 0; i < f->listener_count; i++)
        if (f->listeners[i].kind == kind && strcmp(f->listeners[i].address, address) == 0)
            return true;
    return false;
}

/* Whose the socket is that systemd has opened, its unit says; settings that say otherwise have no effect. */
static void compare_group(const struct config_listener *c)
{
    const struct group *g = c->group != NULL ? getgrnam(c->group) : NULL;
    struct stat         st;

    if (c->group != NULL && stat(c->address + strlen("unix:"), &st) == 0 && (g == NULL || st.st_gid != g->gr_gid))
        log_warning("socket_group", "address=%s group=%s reason=%s", c->address, log_quote(c->group),
                    "\"systemd opened it: SocketGroup= of its unit says whose it is\"");
}

static int open_one(struct front *f, const struct config_listener *c, enum listener_kind kind, struct fault *why)
{
    if (c->address == NULL)
        return 0;
    if (!is_open(f, c->address, kind))
        return add_listener(f, c, kind, why);
    compare_group(c);
    return 0;
}

/* The embedded default's proxy is an offer: a busy port is no reason not to start. */
static int open_proxy(struct front *f, struct fault *why)
{
    const struct config_listener tcp = { .address = f->config->proxy.listen };

    if (open_one(f, &tcp, LISTENER_PROXY, why) == 0)
        return 0;
    if (f->config->proxy.required)
        return -1;
    log_warning("no_proxy", "reason=%s", log_quote(why->text));
    return 0;
}

static int open_configured(struct front *f, struct fault *why)
{
    const struct config_listener tcp = { .address = f->config->admin_listen };
    const struct config_listener metrics = { .address = f->config->metrics_listen };

    for (unsigned i = 0; i < f->config->listener_count; i++)
        if (open_one(f, &f->config->listeners[i], LISTENER_DATA, why) != 0)
            return -1;
    if (open_one(f, &f->config->admin_socket, LISTENER_ADMIN, why) != 0 ||
        open_one(f, &tcp, LISTENER_ADMIN, why) != 0 ||
        open_one(f, &f->config->query_socket, LISTENER_QUERY, why) != 0 ||
        open_one(f, &metrics, LISTENER_METRICS, why) != 0)
        return -1;
    return open_proxy(f, why);
}

/* A wildcard is reached by loopback. */
static void publish(const struct listener *l)
{
    struct slice host;
    unsigned     port;
    char         url[sizeof l->address + sizeof "http://"];

    if (l->kind != LISTENER_DATA || l->is_unix || *own_address_published() != '\0' ||
        !http_authority_parse(slice_of(l->address), &host, &port))
        return;
    if (slice_eq(host, SLICE("0.0.0.0")) || slice_eq(host, SLICE("[::]")))
        snprintf(url, sizeof url, "http://127.0.0.1:%u", port);
    else
        snprintf(url, sizeof url, "http://%s", l->address);
    own_address_publish(url);
}

static int open_listeners(struct front *f, struct fault *why)
{
    if (adopt_systemd_sockets(f, why) != 0 || open_configured(f, why) != 0)
        return -1;
    for (unsigned i = 0; i < f->listener_count; i++) {
        const struct listener *l = &f->listeners[i];
        struct epoll_event     event = { .events = EPOLLIN, .data.u32 = i };

        if (epoll_ctl(f->epoll_fd, EPOLL_CTL_ADD, l->fd, &event) != 0)
            return fault_set_errno(why, errno, "cannot watch %s", l->address);
        if (l->kind == LISTENER_DATA && f->services.admin.data == NULL)
            f->services.admin.data = l->address;
        publish(l);
        if (l->kind == LISTENER_PROXY) {
            f->shared.has_proxy = true;
            f->services.admin.proxy = l->address;
        }
        if (l->kind == LISTENER_ADMIN && !l->is_unix && f->services.admin.page == NULL)
            f->services.admin.page = l->address;
        log_info("listening", "address=%s kind=%s", l->address, kind_names[l->kind]);
    }
    return 0;
}

static void free_front(struct front *f)
{
    for (unsigned i = 0; i < f->listener_count; i++)
        listener_close(&f->listeners[i]);
    free(f->workers);
    places_close(f->shared.places);
    tokens_close(f->services.admin.tokens);
    if (f->epoll_fd >= 0)
        close(f->epoll_fd);
    if (f->done_fd >= 0)
        close(f->done_fd);
    if (f->spare_fd >= 0)
        close(f->spare_fd);
    config_release(f->config);
    free(f);
}

const char *front_library(void)
{
    return tricks_library();
}

bool front_uses_tricks(void)
{
    return tricks_are_for(tricks_library());
}

/* With a library that nobody has measured Weir works in the plain way; somebody should know. */
static void start_tricks(void)
{
    const char *version = tricks_library();

    if (!tricks_start(version))
        log_info("mhd_tricks_off", "libmicrohttpd=%s reason=%s", version,
                 log_quote(strcmp(version, TRICKS_MEASURED_WITH) == 0 ? "built with --disable-mhd-tricks"
                                                                      : "measured with " TRICKS_MEASURED_WITH
                                                                        " alone"));
}

static struct admin_connections count_connections(const struct front *f)
{
    struct admin_connections open = { .tunnels = atomic_load_explicit(&f->shared.tunnels, memory_order_relaxed) };

    for (unsigned i = 0; i < f->worker_count; i++)
        open.clients += atomic_load_explicit(&f->workers[i].connections, memory_order_relaxed);
    return open;
}

struct front *front_open(const struct front_services *services, struct config *config, struct fault *why)
{
    struct front *f = mem_alloc(sizeof *f);

    f->services = *services;
    f->services.admin.connections = count_connections;
    f->services.admin.front = f;
    start_tricks();
    heads_init();
    config_acquire(config);
    f->config = config;
    f->shared.places = places_open();
    f->services.admin.tokens = tokens_open();
    f->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    f->done_fd = eventfd(0, EFD_CLOEXEC | EFD_SEMAPHORE);
    f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    if (f->epoll_fd < 0 || f->done_fd < 0) {
        fault_set_errno(why, errno, "cannot start the client side");
        goto fail;
    }
    if (open_listeners(f, why) != 0)
        goto fail;
    f->workers = mem_alloc(config->workers * sizeof *f->workers);
    for (; f->worker_count < config->workers; f->worker_count++)
        if (worker_start(&f->workers[f->worker_count], &f->services, &f->shared, config, f->worker_count, f->done_fd,
                         why) != 0)
            goto fail;
    return f;
fail:
    front_close(f, 0, -1);
    return NULL;
}

int front_fd(const struct front *f)
{
    return f->epoll_fd;
}

static struct worker *idlest(struct front *f, unsigned *total)
{
    struct worker *best = &f->workers[0];
    unsigned       least = UINT32_MAX;

    *total = 0;
    for (unsigned i = 0; i < f->worker_count; i++) {
        unsigned n = atomic_load_explicit(&f->workers[i].connections, memory_order_relaxed);

        *total += n;
        if (n < least) {
            least = n;
            best = &f->workers[i];
        }
    }
    return best;
}

/* Out of descriptors: the connection is taken with the spare one and closed, or it would be reported for ever. */
static void shed_one(struct front *f, int listener_fd)
{
    int fd;

    close(f->spare_fd);
    fd = accept4(listener_fd, NULL, NULL, SOCK_CLOEXEC);
    if (fd >= 0)
        close(fd);
    f->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    log_error("descriptors_exhausted", "advice=%s", log_quote("raise LimitNOFILE"));
}

static void refuse_connection(int fd)
{
    static const char answer[] = "HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\nRetry-After: 1\r\n"
                                 "Connection: close\r\n\r\n";

    if (send(fd, answer, sizeof answer - 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
        log_debug("refusal_unsent", "reason=%s", log_quote(strerror(errno)));
    close(fd);
}

/* While most places are free nobody is asked who he is: the kernel's answer takes as long as a hit. */
static bool has_a_place(struct front *f, const struct listener *l, int fd, unsigned total)
{
    const struct config *c = f->config;

    if (l->kind == LISTENER_ADMIN && l->is_unix) /* or nobody could look what is going on */
        return true;
    if (total >= c->max_connections)
        return false;
    return c->max_connections_per_client >= c->max_connections || total < c->max_connections / 4 ||
           places_take(f->shared.places, fd, c->max_connections_per_client);
}

static void accept_from(struct front *f, struct listener *l)
{
    for (int i = 0; i < ACCEPT_BATCH; i++) {
        struct sockaddr_storage sa = { .ss_family = AF_UNSPEC };
        socklen_t               len = sizeof sa;
        unsigned                total;
        struct worker          *w;
        int                     fd = accept4(l->fd, (struct sockaddr *)&sa, &len, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE)
                shed_one(f, l->fd);
            return;
        }
        w = idlest(f, &total);
        if (!has_a_place(f, l, fd, total))
            refuse_connection(fd);
        else
            worker_adopt(w, fd, l->kind, (struct sockaddr *)&sa, len);
    }
}

void front_accept(struct front *f)
{
    struct epoll_event events[LISTENERS_MAX];
    int                n = epoll_wait(f->epoll_fd, events, LISTENERS_MAX, 0);

    for (int i = 0; i < n; i++)
        accept_from(f, &f->listeners[events[i].data.u32]);
}

void front_configure(struct front *f, struct config *config)
{
    config_acquire(config);
    config_release(f->config);
    f->config = config;
    for (unsigned i = 0; i < f->worker_count; i++)
        worker_configure(&f->workers[i], config);
}

void front_reopen_logs(struct front *f, struct mailbox *reply_to, struct mail *done)
{
    workers_reopen_logs(f->workers, f->worker_count, reply_to, done);
}

/* Waits until every worker has ended; a readable `hurry_fd` takes the grace away. */
static void await_workers(struct front *f, int hurry_fd)
{
    for (unsigned ended = 0; ended < f->worker_count;) {
        struct pollfd fds[2] = { { .fd = f->done_fd, .events = POLLIN }, { .fd = hurry_fd, .events = POLLIN } };
        uint64_t      one;

        poll(fds, 2, -1);
        if ((fds[0].revents & POLLIN) != 0 && read(f->done_fd, &one, sizeof one) == sizeof one)
            ended++;
        if ((fds[1].revents & POLLIN) != 0) {
            hurry_fd = -1;
            for (unsigned i = 0; i < f->worker_count; i++)
                worker_hurry(&f->workers[i]);
        }
    }
}

unsigned front_close(struct front *f, int64_t grace_ns, int hurry_fd)
{
    unsigned broken_off = 0;

    if (f == NULL)
        return 0;
    for (unsigned i = 0; i < f->listener_count; i++)
        listener_close(&f->listeners[i]);
    for (unsigned i = 0; i < f->worker_count; i++)
        worker_stop(&f->workers[i], grace_ns);
    await_workers(f, hurry_fd);
    for (unsigned i = 0; i < f->worker_count; i++) {
        pthread_join(f->workers[i].thread, NULL);
        broken_off += f->workers[i].stop.broken_off;
        worker_free(&f->workers[i]);
    }
    free_front(f);
    return broken_off;
}
