/*
 * What epoll is told of libcurl's descriptors, and whose connections they are.
 */
#include "origin/internal.h"

#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

struct socket_watch *watch_of(struct origins *all, curl_socket_t fd)
{
    unsigned before = all->watch_count;

    MEM_ROOM(all->watches, all->watch_count, (unsigned)fd + 1);
    if (all->watch_count > before)
        memset(all->watches + before, 0, (all->watch_count - before) * sizeof *all->watches);
    return &all->watches[fd];
}

/* libcurl 7.88 closes a socket by itself, and tells nobody, where a transfer is given up before it has connected: the
 * descriptor is then another's. */
void watch_opened(struct origin *o, curl_socket_t fd)
{
    struct socket_watch *w = watch_of(o->all, fd);

    if (w->connection_of != NULL)
        connection_closed(w->connection_of, fd);
    *w = (struct socket_watch){ .connection_of = o };
}

void watch_closed(struct origins *all, curl_socket_t fd)
{
    *watch_of(all, fd) = (struct socket_watch){ 0 };
}

/* By the system call: the thread sanitizer takes the library's for a use of a descriptor that may be another thread's
 * by now, which the kernel does not mind. */
bool watch_forget(struct origins *all, curl_socket_t fd)
{
    struct epoll_event e = { .data.fd = fd };

    all->watches[fd].events = 0;
    return syscall(SYS_epoll_ctl, all->start.epoll_fd, EPOLL_CTL_DEL, fd, &e) == 0;
}

void watch_forget_all(struct origin *o)
{
    struct origins *all = o->all;

    for (unsigned fd = 0; fd < all->watch_count; fd++)
        if (all->watches[fd].origin == o || all->watches[fd].connection_of == o)
            all->watches[fd] = (struct socket_watch){ 0 };
}
