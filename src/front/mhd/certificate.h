/*
 * Which certificate is shown inside a CONNECT.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_CERTIFICATE_H
#define WEIR_FRONT_MHD_CERTIFICATE_H

#include "tls/leaf.h"

struct worker;

/* A reference; NULL where none can be made, which is logged. */
struct leaf *certificate_for(struct worker *, const char *name);
/* struct handshake's choose; `connection` is a struct connection after a CONNECT. The leaf is for a host of
 * the very upstream that the client connected to; NULL for any other name. */
struct leaf *certificate_choose(void *connection, const char *name);

#endif
