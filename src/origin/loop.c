/*
 * libcurl's part in the thread's loop: its sockets and timers, and what it finishes.
 *
 * Nothing is begun from within a callback of curl's, which must not be entered twice.
 */
#include "origin/internal.h"

#include "base/socket.h"

#include <errno.h>
#include <sys/epoll.h>

enum { FEW_BYTES = 16 * 1024 };

int loop_socket(CURL *easy, curl_socket_t fd, int what, void *origin, void *socketp)
{
    struct origin       *o = origin;
    struct origins      *all = o->all;
    struct socket_watch *w = watch_of(all, fd);
    struct epoll_event   e = { .data.fd = fd };

    (void)easy, (void)socketp;
    if (what == CURL_POLL_REMOVE) {
        w->origin = NULL;
        if (w->connection_of == NULL) /* else it stays for the next request on it: see origins_serve() */
            watch_forget(all, fd);
        return 0;
    }
    w->origin = o;
    if ((what & CURL_POLL_IN) != 0)
        e.events |= EPOLLIN;
    if ((what & CURL_POLL_OUT) != 0)
        e.events |= EPOLLOUT;
    if (e.events == w->events)
        return 0;
    /* A descriptor that curl closed and got again is new to epoll; one that it only changes is not. */
    if (epoll_ctl(all->start.epoll_fd, EPOLL_CTL_MOD, fd, &e) != 0 && errno == ENOENT)
        epoll_ctl(all->start.epoll_fd, EPOLL_CTL_ADD, fd, &e);
    w->events = w->connection_of != NULL ? e.events : 0;
    return 0;
}

int loop_timer(CURLM *multi, long timeout_ms, void *origin)
{
    struct origin *o = origin;

    (void)multi;
    if (timeout_ms < 0)
        timers_clear(o->all->start.timers, &o->curl_timer);
    else
        timers_set(o->all->start.timers, &o->curl_timer, clock_mono_ns() + timeout_ms * NS_PER_MS);
    return 0;
}

void loop_act(struct origin *o, curl_socket_t fd, int what)
{
    const struct origins_start *start = &o->all->start;
    int                         running;

    start->acts(start->context, true);
    o->all->acted_ns = clock_mono_ns();
    o->all->came_bytes = 0;
    http2_acts_for(o);
    curl_multi_socket_action(o->multi, fd, what, &running);
    gather_end(o->all);
    if (o->known.streams != o->streams_told) {
        /* new connections are not overfilled before they have said it, too */
        o->streams_told = o->known.streams;
        curl_multi_setopt(o->multi, CURLMOPT_MAX_CONCURRENT_STREAMS, (long)o->known.streams);
    }
    transfer_reap(o);
    start->acts(start->context, false);
}

/* More is to come on it, and an API may keep it back until then.  Where much comes at once it flows. */
static void acknowledge_part(const struct origins *all, int fd)
{
    if (all->watches[fd].origin != NULL && (all->watches[fd].events & EPOLLIN) != 0 && all->came_bytes < FEW_BYTES)
        socket_acknowledge(fd);
}

void origins_serve(struct origins *all, const struct epoll_event *e)
{
    int            fd = e->data.fd, what = 0;
    struct origin *o = (unsigned)fd < all->watch_count ? all->watches[fd].origin : NULL;

    if (o == NULL) { /* idle: most likely closed by the peer */
        if ((unsigned)fd >= all->watch_count || all->watches[fd].connection_of == NULL)
            return; /* closed before in this round: the descriptor may be another thread's by now */
        if (watch_forget(all, fd)) {
            connection_stirs(all->watches[fd].connection_of, fd);
        } else { /* it is not there any more: see watch_opened() */
            connection_closed(all->watches[fd].connection_of, fd);
            watch_closed(all, fd);
        }
        return;
    }
    if ((e->events & EPOLLIN) != 0)
        what |= CURL_CSELECT_IN;
    if ((e->events & EPOLLOUT) != 0)
        what |= CURL_CSELECT_OUT;
    if ((e->events & (EPOLLERR | EPOLLHUP)) != 0)
        what |= CURL_CSELECT_ERR;
    loop_act(o, fd, what);
    if ((e->events & EPOLLIN) != 0)
        acknowledge_part(all, fd);
}

void origins_reap(struct origins *all)
{
    struct origin *o, *next;

    LIST_FOREACH_SAFE (o, &all->reaps, reap, next)
        transfer_reap(o);
}
