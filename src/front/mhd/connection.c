/*
 * A suspended connection leaves libmicrohttpd's epoll, so every socket stands in the worker's too, for EPOLLRDHUP
 * only.
 */
#include "front/mhd/connection.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "front/mhd/call.h"
#include "front/mhd/certificate.h"
#include "front/mhd/heads.h"
#include "front/mhd/refuse.h"
#include "front/mhd/shards.h"
#include "front/mhd/tricks.h"
#include "peer/card.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

void connection_free(struct connection *c)
{
    handshake_end(&c->handshake);
    pool_close(&c->pool);
    free(c->connected);
    free(c->proxy_user);
    peer_card_release(c->card);
    for (unsigned i = 0; i < c->handed_count; i++)
        close(c->handed[i]);
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

/* For front/mhd/intake.c, which knows no more than the descriptor. */
static void remember(struct worker *w, int fd, struct connection *c)
{
    size_t count = w->intake.count;

    if ((size_t)fd >= count) {
        w->intake.count = (size_t)fd * 2 + 64;
        w->intake.by_fd = mem_resize(w->intake.by_fd, w->intake.count * sizeof *w->intake.by_fd);
        memset(w->intake.by_fd + count, 0, (w->intake.count - count) * sizeof *w->intake.by_fd);
    }
    w->intake.by_fd[fd] = c;
}

void connection_begins_or_ends(void *context, struct MHD_Connection *mhd, void **socket_context,
                               enum MHD_ConnectionNotificationCode what)
{
    struct worker     *w = context;
    struct connection *c;

    if (what == MHD_CONNECTION_NOTIFY_STARTED) {
        c = w->adding;
        c->mhd = mhd;
        LIST_INSERT_HEAD(&w->open, c, entry);
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
    w->intake.current = NULL;
    if (c->refused || c->lingers)
        refuse_linger(w, c->fd);
    unwatch_peer(w, c);
    LIST_REMOVE(c, entry);
    c->shard->connections--;
    arrival_leave(w, c->fd);
    connection_free(c);
}

static char *copy_or_null(const char *text)
{
    return text != NULL ? mem_copy(slice_of(text)) : NULL;
}

struct connection *connection_open(struct worker *w, const struct arrival *a)
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
    c->handed_count = a->handed_count;
    memcpy(c->handed, a->handed, sizeof c->handed);
    c->handshake = (struct handshake){ .choose = certificate_choose,
                                       .owner = c,
                                       .under_way = &w->mhd.restless[SHARD_TLS],
                                       .heard = trick(TRICK_INTAKE) ? intake_heard_tls : NULL };
    c->intake.is_timed = true;
    c->idle_timeout_ns = w->mhd.idle_ns;
    c->deadline_ns = clock_real_ns() + w->config->timeout.head_ns;
    arrival_name_peer(a->fd, sa, a->address_bytes, c->peer, sizeof c->peer);
    return c;
}

/*
 * A head that takes too long, a connection idle for too long: MHD's own time-out starts anew with every byte.  And a
 * client that left in the middle of a head: MHD waits for an edge that the end of the connection, when it
 * came together with those bytes, has used up.
 */
void connection_sweep_all(struct worker *w, int64_t now)
{
    struct connection *c;

    LIST_FOREACH (c, &w->open, entry) {
        pool_sweep(&c->pool, now);
        if ((c->deadline_ns <= now && intake_is_late(c, now)) || (c->peer_closed && c->call == NULL)) {
            c->peer_closed = false;
            c->deadline_ns = INT64_MAX;
            connection_break(c);
        }
    }
}
