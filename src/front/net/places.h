/*
 * Whose the places are that max_connections leaves: no client may have more than
 * its part, so that one that opens connections without end keeps nobody else
 * out.  A client is a user where the kernel tells (a unix socket, TCP of this
 * machine), else an address.
 */
#ifndef WEIR_FRONT_NET_PLACES_H
#define WEIR_FRONT_NET_PLACES_H

#include <stdbool.h>

struct places;

/* Never NULL. */
struct places *places_open(void);
void           places_close(struct places *); /* NULL is fine */
/* Main thread, for a socket just accepted: false where its client has `most` places already. Asks the kernel. */
bool places_take(struct places *, int fd, unsigned most);
/* Any thread, before the socket is closed; also for one that took no place. */
void places_leave(struct places *, int fd);

#endif
