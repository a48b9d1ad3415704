/*
 * Who is at the other end of a client's connection, as far as the kernel
 * tells: the uid and process of a unix socket, and of a TCP connection that
 * begins on this machine.  Asked for when somebody wants to know, once per
 * connection; any thread.
 */
#ifndef WEIR_FRONT_PEER_H
#define WEIR_FRONT_PEER_H

#include "engine/engine.h"

/* `fd` is the accepted socket.  What is not told is left out: see struct peer. */
void peer_look_up(int fd, struct peer *out);
/* The same without the process, which is the dear part. */
void peer_look_up_user(int fd, struct peer *out);

enum { PEER_LABEL_BYTES = 40 };
/* For the log: "uid=1000 pid=77", "uid=1000", or "" where neither is known. */
void peer_label(const struct peer *, char out[PEER_LABEL_BYTES]);

#endif
