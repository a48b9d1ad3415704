/*
 * A host's addresses, looked up on a thread of its own: getaddrinfo() waits,
 * and a worker must not.  The worker watches resolve_fd() and may leave at any time.
 */
#ifndef WEIR_FRONT_NET_RESOLVE_H
#define WEIR_FRONT_NET_RESOLVE_H

#include <netdb.h>

struct resolution;

/* NULL: no thread or descriptor could be had; errno says why. */
struct resolution *resolve_start(const char *host, unsigned port);
/* Readable when the answer is there. */
int resolve_fd(const struct resolution *);
/* Then, once: the addresses, the caller's to free; NULL and getaddrinfo's error where there are none. */
struct addrinfo *resolve_take(struct resolution *, int *error);
/* Also before the answer is there: nobody waits for it.  NULL is fine. */
void resolve_release(struct resolution *);

#endif
