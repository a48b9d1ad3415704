/*
 * Which format, and a writer's life.
 */
#include "snapshot/archive_parts.h"

#include <stdlib.h>

struct archive_writer *archive_writer_open(enum archive_kind kind, FILE *out, int64_t created_ms)
{
    struct archive_writer *w = mem_alloc(sizeof *w);

    w->format = kind == ARCHIVE_HAR ? &archive_har : &archive_warc;
    w->out = out;
    w->created_ms = created_ms;
    w->format->begin(w);
    return w;
}

bool archive_writer_add(struct archive_writer *w, const struct archive_item *i)
{
    bool added = w->format->add(w, i);

    w->count += added;
    return added;
}

bool archive_writer_close(struct archive_writer *w)
{
    bool good;

    w->format->end(w);
    good = fflush(w->out) == 0 && !ferror(w->out);
    free(w);
    return good;
}
