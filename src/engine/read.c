/*
 * The answer's body on its way to the client: as it comes, or through the filter that leads links back (relink.h).
 */
#include "engine/internal.h"

#include <unistd.h>

static enum spool_read read_answer(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    enum spool_read state;

    if (!x->stream.is_open) {
        spool_reader_open(&x->stream.reader, x->stream.answer->body, x->engine->mailbox, 0);
        x->stream.is_open = true;
    }
    state = spool_read(&x->stream.reader, buffer, count, got);
    return state == SPOOL_READ_WAIT && x->stream.cut ? SPOOL_READ_CUT : state;
}

static enum spool_read read_file(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    ssize_t n;

    if (x->relink.left == 0)
        return SPOOL_READ_END;
    if ((int64_t)count > x->relink.left)
        count = (size_t)x->relink.left;
    n = pread(x->relink.fd, buffer, count, x->relink.at);
    if (n <= 0)
        return SPOOL_READ_CUT;
    x->relink.at += n;
    x->relink.left -= n;
    *got = (size_t)n;
    return SPOOL_READ_BYTES;
}

/* One more piece for the filter; what the source says. */
static enum spool_read feed(struct exchange *x)
{
    char            piece[RELINK_PIECE_BYTES];
    size_t          n = 0;
    enum spool_read state = x->relink.fd >= 0 ? read_file(x, piece, sizeof piece, &n)
                                              : read_answer(x, piece, sizeof piece, &n);

    if (state == SPOOL_READ_BYTES && !relink_feed(x->relink.filter, piece, n))
        return SPOOL_READ_CUT;
    if (state == SPOOL_READ_WAIT && !relink_flush(x->relink.filter))
        return SPOOL_READ_CUT;
    if (state == SPOOL_READ_END && !x->relink.ended) {
        x->relink.ended = true;
        return relink_finish(x->relink.filter) ? SPOOL_READ_END : SPOOL_READ_CUT;
    }
    return state;
}

static enum spool_read read_relinked(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    enum spool_read state = SPOOL_READ_BYTES;

    for (;;) {
        bool sound;

        *got = relink_take(x->relink.filter, buffer, count, &sound);
        if (*got > 0)
            return SPOOL_READ_BYTES;
        if (!sound)
            return SPOOL_READ_CUT;
        if (state != SPOOL_READ_BYTES)
            return state;
        state = feed(x);
    }
}

enum spool_read exchange_read(struct exchange *x, void *buffer, size_t count, size_t *got)
{
    return x->relink.filter != NULL ? read_relinked(x, buffer, count, got) : read_answer(x, buffer, count, got);
}

bool exchange_has_body_bytes(const struct exchange *x)
{
    return x->relink.filter == NULL && x->stream.answer != NULL && !x->stream.is_open &&
           spool_length(x->stream.answer->body) > 0;
}

const struct http_fields *exchange_trailers(struct exchange *x)
{
    const struct answer *a = x->stream.answer;
    struct http_fields  *all;
    struct slice         cost;

    if (a == NULL)
        return NULL;
    if (a->bill == NULL || x->outcome.bill != NULL || x->outcome.collapsed)
        return a->trailers.count > 0 ? &a->trailers : NULL;
    cost = spent_cost(x, a->bill);
    all = arena_alloc(&x->arena, sizeof *all);
    *all = http_fields_copy(&a->trailers, &x->arena);
    http_fields_remove(all, HTTP_WEIR_COST);
    if (cost.ptr != NULL)
        http_fields_add_id(all, &x->arena, HTTP_WEIR_COST, cost);
    return all;
}

void read_close(struct exchange *x)
{
    relink_close(x->relink.filter);
    x->relink.filter = NULL;
    if (x->relink.fd >= 0)
        close(x->relink.fd);
    x->relink.fd = -1;
}
