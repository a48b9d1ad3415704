/*
 * Listening sockets: TCP and unix, from the configuration or from systemd.
 */
#ifndef WEIR_FRONT_NET_LISTENER_H
#define WEIR_FRONT_NET_LISTENER_H

#include "config/config.h"

enum { LISTENERS_MAX = 64 };

enum listener_kind {
    LISTENER_DATA,
    LISTENER_ADMIN,
    LISTENER_QUERY,   /* as admin, and changes nothing */
    LISTENER_METRICS, /* /metrics and nothing else */
    LISTENER_PROXY,   /* as data, and answers CONNECT */
    LISTENER_KINDS
};

/* Are its requests Weir's own, and no API's? */
static inline bool listener_is_admin(enum listener_kind kind)
{
    return kind == LISTENER_ADMIN || kind == LISTENER_QUERY || kind == LISTENER_METRICS;
}

struct listener {
    int                fd;
    enum listener_kind kind;
    bool               is_unix;
    char               path[108];    /* of a unix socket this process made: unlinked at close; else "" */
    char               address[160]; /* as bound, for the log: "127.0.0.1:41873" */
};

/* Opens one (close-on-exec, non-blocking), and notes its address as Weir's own. -1: *why names the address and what
 * is wrong with it. A unix socket that nobody listens on is replaced; one in use is not. */
int listener_open(struct listener *, const struct config_listener *, enum listener_kind, bool allow_remote,
                  struct fault *why);
/* Takes a descriptor that systemd passed over. -1: it is one that other machines reach, without `allow_remote`. */
int  listener_adopt(struct listener *, int fd, enum listener_kind, bool allow_remote, struct fault *why);
void listener_close(struct listener *);

#endif
