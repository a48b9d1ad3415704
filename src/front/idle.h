/*
 * The memory of connections that idle.
 *
 * libmicrohttpd keeps a pool for each connection and zeroes all of it behind every
 * request, so an idle connection would hold all of POOL_BYTES for ever.  The pool is mapped, and
 * what a request begins with stands at its beginning: a second or two behind the last
 * request the kernel gets back all but its first page.  Worker's thread.
 */
#ifndef WEIR_FRONT_IDLE_H
#define WEIR_FRONT_IDLE_H

/* Sets the largest head, a response head's room and what a hit costs at once (MHD zeroes it per request).  Over
 * 32 KiB MHD maps it. */
enum { POOL_BYTES = 64 * 1024 };

struct connection;

/* MHD has read a request line; `target` stands in its pool. */
void idle_note_request(struct connection *, const char *target);
/* That request is over. */
void idle_note_end(struct connection *);
/* Once a second. */
void idle_sweep(struct connection *);

#endif
