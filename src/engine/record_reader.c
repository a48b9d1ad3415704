/*
 * Of each worker's ring one record is read ahead; the one that ended first goes.
 */
#include "engine/record_reader.h"

#include "base/arena.h"
#include "engine/recorder.h"

#include <stdlib.h>

struct worker_ring { /* one worker */
    const struct ring           *ring;
    struct ring_cursor           before, cursor; /* of the record that was read ahead; after it */
    const struct request_record *ahead;          /* in `bytes`; NULL: none */
    void                        *bytes;
};

struct record_reader {
    unsigned           count;
    unsigned           last; /* whose record was given last */
    struct worker_ring sources[];
};

struct record_reader *record_reader_open(const struct records *all, enum record_from from)
{
    const unsigned        count = records_count(all);
    struct record_reader *r = mem_alloc(sizeof *r + count * sizeof r->sources[0]);

    r->count = count;
    for (unsigned i = 0; i < count; i++) {
        struct worker_ring *s = &r->sources[i];

        s->ring = records_ring(all, i);
        s->cursor = from == RECORD_OLDEST ? ring_oldest(s->ring) : ring_newest(s->ring);
        s->bytes = mem_alloc_raw(RING_RECORD_MOST);
    }
    return r;
}

void record_reader_close(struct record_reader *r)
{
    if (r == NULL)
        return;
    for (unsigned i = 0; i < r->count; i++)
        free(r->sources[i].bytes);
    free(r);
}

static void read_ahead(struct worker_ring *s, uint64_t *missed)
{
    s->before = s->cursor;
    if (ring_read(s->ring, &s->cursor, s->bytes, missed) > 0)
        s->ahead = record_unpack(s->bytes);
}

const struct request_record *record_reader_next(struct record_reader *r, uint64_t *missed)
{
    const struct request_record *first = NULL;

    for (unsigned i = 0; i < r->count; i++) {
        struct worker_ring *s = &r->sources[i];

        if (s->ahead == NULL)
            read_ahead(s, missed);
        if (s->ahead == NULL || (first != NULL && record_ended_ns(first) <= record_ended_ns(s->ahead)))
            continue;
        first = s->ahead;
        r->last = i;
    }
    if (first != NULL)
        r->sources[r->last].ahead = NULL;
    return first;
}

struct record_place record_reader_place(const struct record_reader *r)
{
    return (struct record_place){ r->last, r->sources[r->last].before };
}

void record_reader_return(struct record_reader *r, const struct record_place *places, unsigned count)
{
    for (unsigned i = 0; i < r->count; i++)
        if (r->sources[i].ahead != NULL) {
            r->sources[i].cursor = r->sources[i].before;
            r->sources[i].ahead = NULL;
        }
    for (unsigned i = 0; i < count; i++) {
        struct ring_cursor *c = &r->sources[places[i].worker].cursor;

        if (places[i].cursor.at < c->at)
            *c = places[i].cursor;
    }
}
