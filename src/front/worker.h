/*
 * A worker as the main thread sees it: it is started, fed with sockets, told what is new, and stopped.
 */
#ifndef WEIR_FRONT_WORKER_H
#define WEIR_FRONT_WORKER_H

#include "front/internal.h"
#include "front/net/listener.h"

#include <sys/socket.h>

/* Starts the thread; -1 and *why where it cannot. Takes a reference to `config`; the rest is lent. */
int worker_start(struct worker *, const struct front_services *, struct front_shared *, struct config *, unsigned index,
                 int done_fd, struct fault *why);
/* Any thread. */
void worker_adopt(struct worker *, int fd, enum listener_kind, const struct sockaddr *, socklen_t);
/* All of them, each on its own thread; the last one posts `done` (reply_to NULL: nobody waits). */
void workers_reopen_logs(struct worker *, unsigned count, struct mailbox *reply_to, struct mail *done);
void worker_configure(struct worker *, struct config *);
void worker_stop(struct worker *, int64_t grace_ns);
/* Once, after worker_stop(): breaks off what is still in flight. */
void worker_hurry(struct worker *);
/* After its thread has ended. */
void worker_free(struct worker *);

#endif
