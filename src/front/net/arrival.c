/*
 * How a socket is named in the log, and how its place becomes free.
 */
#include "front/net/arrival.h"

#include "front/internal.h"
#include "front/net/places.h"
#include "peer/kernel.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

void arrival_name_peer(int fd, const struct sockaddr *sa, socklen_t len, char *out, size_t bytes)
{
    char        host[INET6_ADDRSTRLEN], port[8];
    struct peer who = { 0 };
    bool        is_unix = sa->sa_family == AF_UNIX;

    if (is_unix)
        kernel_read_credentials(fd, &who);
    if (who.has_uid)
        snprintf(out, bytes, "unix:uid=%u,pid=%d", (unsigned)who.uid, (int)who.pid);
    else if (!is_unix &&
             getnameinfo(sa, len, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV) == 0)
        snprintf(out, bytes, strchr(host, ':') != NULL ? "[%s]:%s" : "%s:%s", host, port);
    else
        snprintf(out, bytes, "unknown");
}

void arrival_leave(struct worker *w, int fd)
{
    places_leave(w->shared->places, fd);
    atomic_fetch_sub_explicit(&w->connections, 1, memory_order_relaxed);
}

void arrival_drop(struct worker *w, int fd)
{
    arrival_leave(w, fd);
    close(fd);
}
