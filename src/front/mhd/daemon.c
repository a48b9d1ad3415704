/*
 * A daemon has neither a thread nor a listening socket of its own: it is told of each connection, and runs when the
 * worker says so.
 */
#include "front/mhd/daemon.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "front/mhd/call.h"
#include "front/mhd/shards.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { CONNECTION_LIMIT = 65536 };

static void mhd_log(void *context, const char *format, va_list args)
{
    char text[256];

    vsnprintf(text, sizeof text, format, args);
    text[strcspn(text, "\n")] = '\0';
    intake_log(context, text);
    log_debug("mhd", "message=%s", log_quote(text));
}

/* Targets stay as they came: nothing is decoded (contract section 2). */
static size_t keep_escaped(void *context, struct MHD_Connection *mhd, char *text)
{
    (void)context;
    (void)mhd;
    return strlen(text);
}

static struct MHD_Daemon *start_daemon(struct worker *w, bool is_tls)
{
    struct MHD_OptionItem tls[] = {
        { MHD_OPTION_HTTPS_PRIORITIES, 0, (void *)(uintptr_t)HANDSHAKE_PRIORITIES },
        { MHD_OPTION_HTTPS_CERT_CALLBACK, 0, (void *)(uintptr_t)handshake_retrieve },
        { MHD_OPTION_END, 0, NULL },
    };

    return MHD_start_daemon(MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG |
                                (is_tls ? MHD_USE_TLS : 0u),
                            0, NULL, NULL, call_on_request, w, MHD_OPTION_ARRAY, is_tls ? tls : tls + 2,
                            MHD_OPTION_EXTERNAL_LOGGER, mhd_log, w, MHD_OPTION_URI_LOG_CALLBACK, call_on_target, w,
                            MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL, MHD_OPTION_NOTIFY_COMPLETED,
                            call_on_completed, w, MHD_OPTION_NOTIFY_CONNECTION, connection_begins_or_ends, w,
                            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES, MHD_OPTION_CONNECTION_LIMIT,
                            (unsigned)CONNECTION_LIMIT, MHD_OPTION_CONNECTION_TIMEOUT,
                            (unsigned)(w->mhd.idle_ns / NS_PER_SEC), MHD_OPTION_STRICT_FOR_CLIENT,
                            0, /* or it refuses by itself what engine/guard.c has words for */
                            MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1, /* or sendfile is off in an external loop */
                            MHD_OPTION_END);
}

static void on_event(struct watch *watch, uint32_t events)
{
    (void)events;
    shard_touch(CONTAINER_OF(watch, struct shard, watch));
}

static bool watch_daemon(struct shard *s)
{
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    struct epoll_event          event = { .events = EPOLLIN, .data.ptr = &s->watch };

    return info != NULL && epoll_ctl(s->worker->epoll_fd, EPOLL_CTL_ADD, info->epoll_fd, &event) == 0;
}

static struct shard *start_shard(struct worker *w, bool is_tls)
{
    struct shard *s = mem_alloc(sizeof *s);
    int           kind = is_tls ? SHARD_TLS : SHARD_PLAIN;

    s->worker = w;
    s->is_tls = is_tls;
    s->is_first = STAILQ_EMPTY(&w->mhd.shards[kind]);
    s->watch.ready = s->is_first ? NULL : on_event;
    s->daemon = start_daemon(w, is_tls);
    if (s->daemon == NULL || !watch_daemon(s)) {
        if (s->daemon != NULL)
            MHD_stop_daemon(s->daemon);
        free(s);
        return NULL;
    }
    STAILQ_INSERT_TAIL(&w->mhd.shards[kind], s, entry);
    return s;
}

int daemon_start(struct worker *w, struct fault *why)
{
    w->mhd.idle_ns = w->config->timeout.idle_ns;
    if (start_shard(w, false) == NULL)
        return fault_set_errno(why, errno, "cannot start libmicrohttpd");
    if (w->shared->has_proxy && start_shard(w, true) == NULL)
        return fault_set_errno(why, errno, "cannot start libmicrohttpd with TLS");
    return 0;
}

/* The earlier ones first, so that few connections are in few. */
static struct shard *shard_with_room(struct worker *w, bool is_tls)
{
    int           kind = is_tls ? SHARD_TLS : SHARD_PLAIN;
    struct shard *s;

    STAILQ_FOREACH (s, &w->mhd.shards[kind], entry)
        if (s->connections < SHARD_CONNECTIONS)
            return s;
    s = start_shard(w, is_tls);
    return s != NULL ? s : STAILQ_FIRST(&w->mhd.shards[kind]);
}

void daemon_stop_all(struct worker *w)
{
    struct shard *s;

    for (int kind = SHARD_TLS; kind >= SHARD_PLAIN; kind--)
        while ((s = STAILQ_FIRST(&w->mhd.shards[kind])) != NULL) {
            STAILQ_REMOVE_HEAD(&w->mhd.shards[kind], entry);
            MHD_stop_daemon(s->daemon);
            free(s);
        }
    SLIST_INIT(&w->mhd.due);
}

void daemon_serve(struct worker *w, const struct arrival *a)
{
    const struct sockaddr *sa = (const struct sockaddr *)&a->address;
    struct connection     *c = connection_open(w, a);

    w->adding = c;
    c->shard = shard_with_room(w, c->is_tls);
    shard_touch(c->shard);
    if (MHD_add_connection(c->shard->daemon, a->fd, sa, a->address_bytes) != MHD_YES) {
        log_warning("connection_refused", "peer=%s reason=%s", c->peer, log_quote(strerror(errno)));
        if (w->adding != NULL) {
            connection_free(c);
            arrival_leave(w, a->fd);
        }
    }
    w->adding = NULL;
}
