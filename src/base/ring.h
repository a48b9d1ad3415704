/*
 * The last of many records, for others to look at: one thread writes, any number of others read, and nobody waits.
 *
 * The writer takes the oldest away to make room and does not know who reads.  A reader has a cursor of its own, copies
 * what stands there, and finds out after that whether it was overwritten meanwhile: then it goes on with the oldest
 * that there is, and is told how many it missed.
 */
#ifndef WEIR_BASE_RING_H
#define WEIR_BASE_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RING_RECORD_MOST = 16 * 1024 };

struct ring;

/* `bytes`: a power of two, at least 4 * RING_RECORD_MOST; taken of the system as it is written to.  Never NULL. */
struct ring *ring_open(size_t bytes);
void         ring_close(struct ring *); /* NULL is fine */
/* The writer alone.  `bytes` is a multiple of 8 and at most RING_RECORD_MOST; `record` is aligned for uint64_t. */
void ring_put(struct ring *, const void *record, size_t bytes);

struct ring_cursor {
    uint64_t at;   /* where the next record begins */
    uint64_t next; /* its number; UINT64_MAX: not known */
};

/* Any thread. */
struct ring_cursor ring_oldest(const struct ring *);
struct ring_cursor ring_newest(const struct ring *); /* of what is put from now on */
/* The next record to `out` (of RING_RECORD_MOST bytes, aligned for uint64_t), and how long it is; 0: none is there.
 * What was overwritten before it was read is added to *missed. */
size_t ring_read(const struct ring *, struct ring_cursor *, void *out, uint64_t *missed);

#endif
