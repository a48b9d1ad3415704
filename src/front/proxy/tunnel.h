/*
 * A CONNECT that is carried through unread: name, address, connection, and
 * then bytes both ways until one side has had enough.
 *
 * Bounded in number (proxy.max_tunnels, counted by the door), in silence and in
 * life; never to an address of this machine or its network, unless proxy.tunnel_private lists it
 * or the host is an upstream's own; never to Weir itself.  The address that was checked is the
 * one that is connected to.  Worker's thread.
 */
#ifndef WEIR_FRONT_PROXY_TUNNEL_H
#define WEIR_FRONT_PROXY_TUNNEL_H

#include "front/internal.h"
#include "peer/peer.h"

struct tunnel_start { /* copied */
    int          fd;  /* the client's, taken over; stands in no epoll */
    const char  *peer;
    struct slice target; /* "host:port" as the client said it */
    struct slice host;   /* IPv6 in its brackets */
    unsigned     port;
    struct slice client;   /* its name; ptr NULL */
    struct peer  who;      /* for the log, as far as it was asked */
    const char  *upstream; /* whose host it is (then any address will do); NULL: of none */
    int64_t      started_wall_ns, started_mono_ns;
};

/* One of worker's `shared->tunnels` is counted for it already. */
void tunnel_open(struct worker *, const struct tunnel_start *);
void tunnel_sweep(struct worker *, int64_t now);
void tunnel_close_all(struct worker *);
/* Memory of those that have ended: after a round of events, some of which may speak of them. */
void tunnel_free_ended(struct worker *);

#endif
