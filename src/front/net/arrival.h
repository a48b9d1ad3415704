/*
 * A socket that was accepted, from there until somebody serves it.
 *
 * A worker takes it in, and gives it to libmicrohttpd (front/mhd/daemon.h) or to the door of the proxy first.
 * Worker's thread.
 */
#ifndef WEIR_FRONT_NET_ARRIVAL_H
#define WEIR_FRONT_NET_ARRIVAL_H

#include "front/net/listener.h"

#include <sys/socket.h>

struct peer_card;
struct worker;

enum { ARRIVAL_HANDED = 2 };

struct arrival {
    int                     fd;
    enum listener_kind      kind;
    struct sockaddr_storage address;
    socklen_t               address_bytes;
    const char             *connected, *proxy_user; /* of the CONNECT that it comes after; else NULL */
    struct peer_card       *card;                   /* a reference, which goes over; NULL: nobody asked */
    bool                    is_tls;                 /* the client begins a handshake */
    int                     handed[ARRIVAL_HANDED]; /* descriptors that came with its first bytes (unix sockets) */
    unsigned                handed_count;
};

/* Its place is free, before it is closed. */
void arrival_leave(struct worker *, int fd);
/* It is not served any more, and was not given to libmicrohttpd: closes it. */
void arrival_drop(struct worker *, int fd);
/* "127.0.0.1:50814", "unix:uid=1000,pid=77" */
void arrival_name_peer(int fd, const struct sockaddr *, socklen_t, char *out, size_t bytes);

#endif
