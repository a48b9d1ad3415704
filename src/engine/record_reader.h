/*
 * Reads the records of all workers, in the order in which the requests ended, without any of them knowing it.
 * On one thread.
 */
#ifndef WEIR_ENGINE_RECORD_READER_H
#define WEIR_ENGINE_RECORD_READER_H

#include "base/ring.h"
#include "engine/record.h"

struct records;
struct record_reader;

enum record_from { RECORD_OLDEST, RECORD_NEWEST };

/* Never NULL. */
struct record_reader *record_reader_open(const struct records *, enum record_from);
void                  record_reader_close(struct record_reader *); /* NULL is fine */
/* The next one, until the next call; NULL: there is none yet.  What was overwritten before it was read is added to
 * *missed. */
const struct request_record *record_reader_next(struct record_reader *, uint64_t *missed);

/* Where the record that was read last stands: to come back to it. */
struct record_place {
    unsigned           worker;
    struct ring_cursor cursor;
};
struct record_place record_reader_place(const struct record_reader *);
/* So that of each worker the first of these places comes next; of a worker without any, what comes next anyway. */
void record_reader_return(struct record_reader *, const struct record_place *, unsigned count);

/* When the request ended, in ns since 1970. */
static inline int64_t record_ended_ns(const struct request_record *r)
{
    return r->started_wall_ns + r->took_ns;
}

#endif
