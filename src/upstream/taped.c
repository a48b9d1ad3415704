/*
 * What a turn tells a tape (mode "record"): the request before Weir adds a credential, and everything that comes of
 * it before Weir changes it.  Bodies are as the API sent them, without their chunks and in their coding: nothing
 * decodes them on the way, so what is replayed is what came, byte for byte, and its Content-Encoding holds.
 *
 * Kept is what whoever asked has got.  An attempt that is tried again is not: replayed without a retry, the program
 * would see a failure that it never saw.
 */
#include "upstream/taped.h"

#include "upstream/internal.h"

#include "tape/tape.h"

void taped_begin(struct turn *t)
{
    const struct fetch *f = t->fetch;
    struct http_request request = f->request;
    struct slice        url;

    if (f->manner.tape == NULL || turn_is_played(t))
        return;
    url = arena_printf(&t->up->scratch, SLICE_FMT "://" SLICE_FMT SLICE_FMT, SLICE_ARG(f->upstream->origin.scheme),
                       SLICE_ARG(f->manner.taped_as), SLICE_ARG(f->request.target));
    t->taping = taping_begin(f->manner.tape, &request, url, f->auth.value, store_directory(t->up->store));
}

void taped_sent(struct turn *t, const void *bytes, size_t count)
{
    if (t->taping != NULL)
        taping_sent(t->taping, bytes, count);
}

void taped_interim(struct turn *t, unsigned status, const struct http_fields *fields)
{
    if (t->taping != NULL)
        taping_interim(t->taping, status, fields);
}

void taped_head(struct turn *t, const struct transfer_head *head)
{
    if (t->taping != NULL)
        taping_head(t->taping, head->status, &head->fields);
}

void taped_body(struct turn *t)
{
    if (t->taping != NULL && t->answer != NULL && t->answer->body != NULL)
        taping_body(t->taping, t->answer->body);
}

void taped_came(struct turn *t, size_t count)
{
    if (t->taping != NULL)
        taping_came(t->taping, count);
}

void taped_trailer(struct turn *t, struct slice name, struct slice value)
{
    if (t->taping != NULL)
        taping_trailer(t->taping, name, value);
}

/* -- its end -- */

void taped_whole(struct turn *t)
{
    if (t->taping != NULL)
        taping_end(t->taping, SNAPSHOT_WHOLE, SLICE_NONE);
    t->taping = NULL;
}

/* Not what the API did, but what was done here. */
static bool is_ours(enum stop stop)
{
    return stop == STOP_ABANDONED || stop == STOP_OVER_BUDGET || stop == STOP_DISK || stop == STOP_UPLOAD_BROKEN ||
           stop == STOP_UPLOAD_STALLED || stop == STOP_ENOUGH;
}

void taped_failed(struct turn *t, const struct failure *failure)
{
    if (t->taping == NULL || is_ours(t->stop))
        return;
    taping_end(t->taping, taping_end_of(failure->outcome, t->answer != NULL), slice_of(failure->text));
    t->taping = NULL;
}

void taped_put_by(struct flight *f, struct turn *t)
{
    taping_drop(f->spare_taping);
    f->spare_taping = t->taping;
    t->taping = NULL;
}

void taped_spare(struct flight *f)
{
    if (f->spare_taping != NULL && !taping_is_growing(f->spare_taping))
        taping_end(f->spare_taping, SNAPSHOT_WHOLE, SLICE_NONE);
    else
        taping_drop(f->spare_taping);
    f->spare_taping = NULL;
}

void taped_drop(struct turn *t)
{
    taping_drop(t->taping);
    t->taping = NULL;
}
