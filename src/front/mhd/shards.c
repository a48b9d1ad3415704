/*
 * See shards.h.
 */
#include "front/mhd/shards.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

enum { CONNECTION_LIMIT = 65536, PLAIN = 0, TLS = 1 };

#define LONGEST_WAIT_NS (60 * NS_PER_SEC)

/* -- life -- */

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

    return MHD_start_daemon(
        MHD_USE_EPOLL | MHD_USE_NO_LISTEN_SOCKET | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG
            | (is_tls ? MHD_USE_TLS : 0u), 0, NULL, NULL,
        call_on_request, w,
        MHD_OPTION_ARRAY, is_tls ? tls : tls + 2,
        MHD_OPTION_EXTERNAL_LOGGER, mhd_log, w,
        MHD_OPTION_URI_LOG_CALLBACK, call_on_target, w,
        MHD_OPTION_UNESCAPE_CALLBACK, keep_escaped, NULL,
        MHD_OPTION_NOTIFY_COMPLETED, call_on_completed, w,
        MHD_OPTION_NOTIFY_CONNECTION, worker_on_connection, w,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)POOL_BYTES,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)CONNECTION_LIMIT,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)(w->mhd_idle_ns / NS_PER_SEC),
        MHD_OPTION_STRICT_FOR_CLIENT, 0,            /* or it refuses by itself what engine/guard.c has words for */
        MHD_OPTION_SIGPIPE_HANDLED_BY_APP, 1,       /* or sendfile is off in an external loop */
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

static struct shard *start(struct worker *w, bool is_tls)
{
    struct shard  *s = mem_alloc(sizeof *s);
    struct shard **last = &w->shards[is_tls ? TLS : PLAIN];

    s->worker = w;
    s->is_tls = is_tls;
    s->is_first = *last == NULL;
    s->watch.ready = s->is_first ? NULL : on_event;
    s->daemon = start_daemon(w, is_tls);
    if (s->daemon == NULL || !watch_daemon(s)) {
        if (s->daemon != NULL)
            MHD_stop_daemon(s->daemon);
        free(s);
        return NULL;
    }
    while (*last != NULL)
        last = &(*last)->next;
    *last = s;
    return s;
}

int shards_start(struct worker *w, struct fault *why)
{
    w->mhd_idle_ns = w->config->idle_timeout_ns;
    if (start(w, false) == NULL)
        return fault_set_errno(why, errno, "cannot start libmicrohttpd");
    if (w->shared->has_proxy && start(w, true) == NULL)
        return fault_set_errno(why, errno, "cannot start libmicrohttpd with TLS");
    return 0;
}

/* The earlier ones first, so that few connections are in few. */
struct shard *shard_with_room(struct worker *w, bool is_tls)
{
    struct shard *first = w->shards[is_tls ? TLS : PLAIN], *s = first;

    while (s != NULL && s->connections >= SHARD_CONNECTIONS)
        s = s->next;
    if (s == NULL)
        s = start(w, is_tls);
    return s != NULL ? s : first;
}

void shards_stop(struct worker *w)
{
    for (int kind = TLS; kind >= PLAIN; kind--)
        while (w->shards[kind] != NULL) {
            struct shard *s = w->shards[kind];

            w->shards[kind] = s->next;
            MHD_stop_daemon(s->daemon);
            free(s);
        }
    w->due_shards = NULL;
}

/* -- running -- */

void shard_touch(struct shard *s)
{
    if (s->is_first || s->is_due)
        return;
    s->is_due = true;
    s->next_due = s->worker->due_shards;
    s->worker->due_shards = s;
}

void shards_touch_all(struct worker *w)
{
    for (int kind = PLAIN; kind <= TLS; kind++)
        for (struct shard *s = w->shards[kind]; s != NULL; s = s->next)
            shard_touch(s);
}

/* In milliseconds as MHD says it.  A handshake that waits for its client looks to MHD as if there were something to
 * read: it would never wait. */
static int64_t least_wait_ns(const struct shard *s)
{
    MHD_UNSIGNED_LONG_LONG mhd_ms;
    int64_t                least = s->is_tls && s->worker->handshakes > 0 ? NS_PER_MS : 0, ns;

    if (MHD_get_timeout(s->daemon, &mhd_ms) != MHD_YES)
        return INT64_MAX;
    if (mhd_ms > LONGEST_WAIT_NS / NS_PER_MS)
        mhd_ms = LONGEST_WAIT_NS / NS_PER_MS;
    ns = (int64_t)mhd_ms * NS_PER_MS;
    return ns > least ? ns : least;
}

void shards_limit_wait(struct worker *w, int64_t *ns)
{
    for (int kind = PLAIN; kind <= TLS; kind++) {
        int64_t wait = w->shards[kind] != NULL ? least_wait_ns(w->shards[kind]) : INT64_MAX;

        if (wait < *ns)
            *ns = wait;
    }
    for (const struct shard *s = w->due_shards; s != NULL; s = s->next_due) {
        int64_t wait = s->is_tls && w->handshakes > 0 ? NS_PER_MS : 0;

        if (wait < *ns)
            *ns = wait;
    }
}

/* It goes on in the next round where MHD would not wait for an event. */
static void run_due(struct shard *s)
{
    s->is_due = false;
    MHD_run(s->daemon);
    if (least_wait_ns(s) <= NS_PER_MS)
        shard_touch(s);
}

void shards_run(struct worker *w)
{
    struct shard *due = w->due_shards, *next;

    w->due_shards = NULL;
    MHD_run(w->shards[PLAIN]->daemon);
    if (w->shards[TLS] != NULL)
        MHD_run(w->shards[TLS]->daemon);
    for (; due != NULL; due = next) {
        next = due->next_due;
        run_due(due);
    }
}
