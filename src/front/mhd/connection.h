/*
 * One client's socket, for as long as libmicrohttpd has it.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_CONNECTION_H
#define WEIR_FRONT_MHD_CONNECTION_H

#include "front/internal.h"
#include "front/mhd/intake.h"
#include "front/mhd/pool.h"
#include "front/net/arrival.h"
#include "peer/peer.h"
#include "tls/handshake.h"

#include <microhttpd.h>
#include <sys/socket.h>

struct call;
struct shard;

struct connection { /* one client's socket; MHD's socket context */
    struct watch           watch;
    struct worker         *worker;
    struct MHD_Connection *mhd;
    struct shard          *shard;
    int                    fd;
    enum listener_kind     kind;
    bool                   is_unix;
    bool                   is_tls;
    unsigned               handed_count; /* descriptors that came with its first bytes */
    int                    handed[ARRIVAL_HANDED];
    char                  *connected;   /* "host:port" of the CONNECT that it came after; NULL: of none */
    char                  *proxy_user;  /* of that CONNECT; NULL: none */
    struct handshake       handshake;   /* is_tls */
    bool                   peer_closed; /* the client will send no more */
    struct pool            pool;        /* MHD's memory */
    struct intake          intake;
    bool                   is_doomed; /* intake.doom is what comes next */
    bool                   refused;   /* it was given an answer of ours, and goes */
    bool                   is_broken; /* by us; it goes */
    bool                   lingers;   /* what is still to come is read when it is closed */
    struct call           *call;      /* whose head is whole; NULL between requests */
    struct call           *begun;     /* the same, from its request line on */
    char                   peer[80];
    struct peer_card      *card; /* who that is, as far as anybody asked; NULL: nobody did */
    struct peer            who;  /* what it said last */
    bool                   is_labelled, is_labelled_whole;
    bool                   is_sought;               /* its process */
    char                   label[PEER_LABEL_BYTES]; /* the same as text; "": not known */
    int64_t                idle_timeout_ns;         /* that MHD was told */
    int64_t                deadline_ns;             /* real monotonic; INT64_MAX while a request is being answered */
    LIST_ENTRY(connection) entry;                   /* of the worker's */
};

/* Not known to libmicrohttpd yet. */
struct connection *connection_open(struct worker *, const struct arrival *);
/* Of one that libmicrohttpd did not take. */
void connection_free(struct connection *);
/* MHD_OPTION_NOTIFY_CONNECTION: inside MHD_add_connection() for the start, inside MHD_run() or MHD_stop_daemon() for
 * the end. */
void connection_begins_or_ends(void *worker, struct MHD_Connection *, void **socket_context,
                               enum MHD_ConnectionNotificationCode);
/* Once a second: those whose time is over. */
void connection_sweep_all(struct worker *, int64_t now_ns);

/* It closes as soon as MHD looks at it, if need be after a second. Outside of MHD.  With its buffer full, as of a chunk
 * line that does not end, MHD 0.9.75 reads nothing, takes an error for no end, and goes round and round; its own
 * time-out it sees. */
static inline void connection_break(struct connection *c)
{
    c->is_broken = true;
    MHD_set_connection_option(c->mhd, MHD_CONNECTION_OPTION_TIMEOUT, 1u);
    shutdown(c->fd, SHUT_RDWR);
}

#endif
