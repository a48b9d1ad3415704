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

#include "front/internal.h"
#include "front/net/arrival.h"

void door_open(struct worker *, const struct arrival *);
/* Closes those that were too slow. `now`: worker_socket_clock_ns(). */
void door_sweep(struct worker *, int64_t now);
void door_close_all(struct worker *);

#endif
