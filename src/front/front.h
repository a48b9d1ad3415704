/*
 * The client side: listeners, workers, and the glue to libmicrohttpd.
 *
 * The main thread accepts and hands each socket to the worker with the
 * fewest connections; a worker has an epoll, an MHD daemon without a
 * listening socket or thread of its own, and an engine.  Its parts: net/ (listeners, peers), mhd/ (all that
 * libmicrohttpd is, and the only <microhttpd.h>), proxy/ (CONNECT, tunnels).
 */
#ifndef WEIR_FRONT_FRONT_H
#define WEIR_FRONT_FRONT_H

#include "admin/admin.h"
#include "engine/engine.h"
#include "tls/authority.h"

struct front;

struct front_services { /* lent, outlive the front */
    struct engine_services engine;
    struct admin_services  admin;
    struct authority      *authority; /* signs for the HTTPS proxy */
};

/* The version of libmicrohttpd, and whether more is known of it than its interface says (front/mhd/tricks.h). */
const char *front_library(void);
bool        front_uses_tricks(void);

/* Opens every listener (systemd's sockets where there are any), starts the workers.  NULL: *why names the address. */
struct front *front_open(const struct front_services *, struct config *config, struct fault *why);
/* Descriptor that is readable when front_accept() has something to do: for main's own poll. */
int front_fd(const struct front *);
/* Main thread: accepts what waits and hands it on. */
void front_accept(struct front *);
/* Main thread: every worker uses `config` from its next request on. Listeners do not change. */
void front_configure(struct front *, struct config *config);
/* Main thread: every worker opens the access log's file anew (it was renamed); then `done` is posted. reply_to NULL:
 * nobody waits. */
void front_reopen_logs(struct front *, struct mailbox *reply_to, struct mail *done);
/* Main thread: accepts no more, lets what is in flight end (at most `grace_ns`,
 * or until `hurry_fd` (-1: none) is readable), stops the workers, frees.
 * Returns how many exchanges were broken off.  NULL is fine. */
unsigned front_close(struct front *, int64_t grace_ns, int hurry_fd);

#endif
