/*
 * The door of the forward proxy: what does a fresh connection want?
 *
 * libmicrohttpd cannot answer a CONNECT, so its head is read here: a look at the first
 * bytes tells it from any other request, which goes to libmicrohttpd as it is.  A CONNECT
 * to an upstream's host is answered, and what comes next goes to libmicrohttpd: TLS to its other daemon,
 * plain HTTP (after a CONNECT to port 80) to the same as ever.  One that leads
 * elsewhere becomes a tunnel or is refused.  Worker's thread.
 */
#ifndef WEIR_FRONT_PROXY_DOOR_H
#define WEIR_FRONT_PROXY_DOOR_H

#include "front/worker.h"

void door_open(struct worker *, const struct arrival *);
/* Closes those that were too slow. `now`: worker_socket_clock_ns(). */
void door_sweep(struct worker *, int64_t now);
void door_close_all(struct worker *);

/* struct handshake's choose; `connection` is a struct connection behind a CONNECT. The leaf is for a host of
 * the very upstream that the client connected to; NULL for any other name. */
struct leaf *door_choose_leaf(void *connection, const char *name);

struct connect_line {                 /* of the access log */
    const char  *peer;
    struct slice client, target;      /* client: ptr NULL: not named */
    const char  *upstream, *cache, *detail;
    unsigned     status;
    int64_t      started_wall_ns, started_mono_ns, sent_bytes, received_bytes;
    bool         whole;
};
void door_log(struct worker *, const struct connect_line *);
/* Writes a problem (RFC 9457) as the answer to a CONNECT; the socket stays the caller's, to be closed. Clients show
 * no more of it than the status line, so the title is the reason there. */
void door_say(struct worker *, int fd, enum problem_kind, const char *detail, const char *proxy_error);
/* The same for what was granted. False where the client is gone. */
bool door_grant(int fd);

#endif
