/*
 * What a client hears of its CONNECT, and the log with it.  Worker's thread.
 */
#ifndef WEIR_FRONT_PROXY_SAY_H
#define WEIR_FRONT_PROXY_SAY_H

#include "front/internal.h"
#include "http/problem.h"
#include "peer/peer.h"

struct connect_line { /* of the access log */
    const char  *peer;
    struct slice client, target; /* client: ptr NULL: it has not named itself */
    struct peer  who;            /* as far as it was asked */
    const char  *upstream, *cache, *detail, *error;
    unsigned     status;
    int64_t      started_wall_ns, started_mono_ns, sent_bytes, received_bytes;
    bool         whole;
};
void say_logged(struct worker *, const struct connect_line *);
/* Writes a problem (RFC 9457) as the answer to a CONNECT; the socket stays the caller's, to be closed. Clients show
 * no more of it than the status line, so the title is the reason there. */
void say_refusal(struct worker *, int fd, enum problem_kind, const char *detail, const char *proxy_error);
/* The same for what was granted. False where the client is gone. */
bool say_granted(int fd);

#endif
