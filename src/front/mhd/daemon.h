/*
 * Libmicrohttpd started, fed and ended: the one place that says how a worker's daemons are set up (front/mhd/shards.h
 * runs them).  Worker's thread, but for the start and, where that failed, the end.
 */
#ifndef WEIR_FRONT_MHD_DAEMON_H
#define WEIR_FRONT_MHD_DAEMON_H

#include "front/internal.h"
#include "front/net/arrival.h"

/* The first ones; -1 and *why where it cannot. */
int daemon_start(struct worker *, struct fault *why);
/* Gives it to libmicrohttpd, which closes it in the end. */
void daemon_serve(struct worker *, const struct arrival *);
/* Closes all connections. */
void daemon_stop_all(struct worker *);

#endif
