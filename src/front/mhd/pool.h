/*
 * libmicrohttpd's memory of a connection.
 *
 * MHD keeps one pool for each connection: heads are read into it, and the head of a response is written there.  It
 * zeroes all of it after every request and parts of it in between, which nothing depends on ("technically not
 * needed" says MHD 0.9.75; a pool of up to 32 KiB is never zeroed at first): with some hundred connections
 * that alone is half of what a hit costs, and an idle connection holds all of POOL_BYTES.
 * MHD calls the C library's memset() through the dynamic linker, where the program's own comes
 * first: it leaves out what lies in the pool that MHD works on, but for what the client has sent, which may hold a
 * credential and is cleared.  Some seconds after its last request all but
 * the first page of a pool goes back to the kernel.  Linked in another way, with another MHD, or in a sanitizer's
 * build, MHD zeroes its pools, and all works as it did.
 *
 * A call that waits for long needs nothing of its pool before it goes on: what stands there is kept beside it, packed,
 * and all pages go back.  So ten thousand that wait hold some hundred bytes each instead of two pages.
 *
 * Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_POOL_H
#define WEIR_FRONT_MHD_POOL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Sets the largest head and a response head's room.  Over 32 KiB MHD maps it. */
enum { POOL_BYTES = 64 * 1024 };

struct pool { /* of a connection; all zero: not known yet */
    char          *memory;
    bool           is_looked_for;       /* MHD has read into it: where it begins is known by now, or never from that */
    struct parked *parked;              /* what stood in it; NULL: it stands there */
    const char    *target;              /* of the request, inside */
    size_t         received_bytes;      /* of the request that has ended, from the beginning on */
    bool           is_resting;          /* ready for a next request, of which there is no whole line yet */
    int64_t        ended_ns, closed_ns; /* the last request; when MHD closes for want of a next one */
};

/* MHD calls back for the connection and goes on with it. `target`: from the request line, which it has read. */
void pool_enter(struct pool *, const char *target);
/* MHD has told that the request has ended. `well`: another one may follow, and without one MHD closes the connection
 * after `idle_ns`. `received_bytes`: what may stand in the pool of it, from its beginning on; SIZE_MAX: who knows.
 * `now_ns`: monotonic. */
void pool_end(struct pool *, bool well, size_t received_bytes, int64_t now_ns, int64_t idle_ns);
/* MHD is done with this connection, or with all of them for now. */
void pool_leave(void);
/* MHD has read something of the client's to `at`, or tried to: the first time that is where its pool begins. */
void pool_read(struct pool *, const char *at);
/* The connection is suspended, and nobody looks into its pool before pool_unpark().  False: nothing to be gained. */
bool pool_park(struct pool *);
void pool_unpark(struct pool *);
/* The connection is closed. */
void pool_close(struct pool *);
/* Every second or so, outside of MHD. */
void pool_sweep(struct pool *, int64_t now_ns);

#endif
