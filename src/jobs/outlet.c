/*
 * What goes out.  One spool is the answer's body: it keeps little in memory, and says when its reader is too far back;
 * then nothing more is asked for a while.
 *
 * In order of input, one whose turn has not come stands in its own file if it is large; a small one is written into
 * the spool `early`, and from there to the answer, so that neither holds memory or a place.
 */
#include "jobs/internal.h"

#include "base/clock.h"
#include "http/json.h"

#include <stdio.h>
#include <stdlib.h>

enum {
    BEFORE_ANSWER_BYTES = 64 * 1024 * 1024, /* while the batch itself still comes, and nobody can read */
    EARLY_MOST = 64 * 1024,                 /* body of one that is copied to the others */
    EARLY_ALL_BYTES = 256 * 1024 * 1024,
    PIECES = 64,
    COPY_BYTES = 16 * 1024
};

struct early_one {
    struct table_node node;
    uint64_t          index;
    int64_t           at, bytes;
};

void outlet_begin(struct batch *b)
{
    b->out.to = service_spool(b->outer);
}

bool outlet_has_room(struct batch *b)
{
    struct outlet *o = &b->out;

    if (!o->answered)
        return spool_length(o->to) < BEFORE_ANSWER_BYTES;
    if (!spool_is_ahead(o->to))
        return true;
    if (!o->waits) {
        o->waits = true;
        spool_set_drained_mail(o->to, b->mailbox, &o->drained);
    }
    return false;
}

/* -- frames -- */

/* What went out cannot be taken back: its reader sees that it is cut. */
static bool break_off(struct batch *b)
{
    spool_finish(b->out.to, SPOOL_CUT_SHORT);
    b->out.ended = true;
    return false;
}

static bool put(struct batch *b, struct slice s)
{
    struct fault why;

    if (spool_write(b->out.to, s.ptr, s.len, &why) == 0)
        return true;
    return break_off(b);
}

static struct slice before(const struct batch *b)
{
    const struct outlet *o = &b->out;

    if (o->form == FORM_EVENTS)
        return SLICE("data: ");
    if (o->form == FORM_LINES)
        return SLICE("");
    if (o->begun)
        return SLICE(",\n");
    return b->in.shape == SHAPE_KEYS ? SLICE("{") : SLICE("[");
}

static struct slice after(const struct batch *b)
{
    switch (b->out.form) {
    case FORM_EVENTS:
        return SLICE("\n\n");
    case FORM_LINES:
        return SLICE("\n");
    case FORM_JSON:
    case FORM_UNKNOWN:
        break;
    }
    return SLICE("");
}

static bool frame(struct batch *b)
{
    if (!b->out.framed && !put(b, before(b)))
        return false;
    b->out.framed = b->out.begun = true;
    return true;
}

static bool has_keys(const struct batch *b)
{
    return b->out.form == FORM_JSON && b->in.shape == SHAPE_KEYS;
}

/* -- early ones -- */

static struct early_one *find_early(struct batch *b, uint64_t index)
{
    TABLE_EACH(n, &b->out.early_ones, index)
    if (CONTAINER_OF(n, struct early_one, node)->index == index)
        return CONTAINER_OF(n, struct early_one, node);
    return NULL;
}

static void drop_early(struct batch *b, struct early_one *e)
{
    table_remove(&b->out.early_ones, &e->node);
    free(e);
}

static bool write_key(struct batch *b, struct spool *to, const struct item *i)
{
    struct fault why;

    return !has_keys(b) || (spool_write(to, i->key.ptr, i->key.len, &why) == 0 && spool_write(to, ":", 1, &why) == 0);
}

static bool is_wanted(const struct batch *b, const struct item *i)
{
    return b->wanted.take == 0 || (i->has_answer && !i->is_extra && wanted_accepts(&b->wanted, i->status));
}

/* It is done, and not its turn: a small one gives its place and its memory back. */
void outlet_done(struct item *i)
{
    struct batch     *b = i->batch;
    struct outlet    *o = &b->out;
    struct early_one *e;

    if (b->wanted.by_completion || i->index == o->next)
        return;
    if (i->text.length > EARLY_MOST) {
        i->is_aside = true;
        b->aside_count++;
        return;
    }
    if (o->early == NULL)
        o->early = service_spool(b->outer);
    if (spool_length(o->early) > EARLY_ALL_BYTES)
        return;
    e = mem_alloc(sizeof *e);
    e->index = i->index;
    e->at = spool_length(o->early);
    if (is_wanted(b, i) && (!write_key(b, o->early, i) ||
                            result_write(&i->text, o->early, o->form != FORM_JSON, UINT32_MAX) != RESULT_DONE)) {
        free(e);
        break_off(b);
        return;
    }
    e->bytes = spool_length(o->early) - e->at;
    table_add(&o->early_ones, &e->node, i->index);
    item_drop(i);
}

/* -- writing -- */

/* True: the one whose turn it is, is written; else there is no room, or it failed. */
static bool copy_early(struct batch *b)
{
    struct outlet *o = &b->out;
    char           piece[COPY_BYTES];

    while (o->early_left > 0) {
        size_t  wanted = o->early_left < COPY_BYTES ? (size_t)o->early_left : COPY_BYTES;
        ssize_t n;

        if (!outlet_has_room(b))
            return false;
        n = spool_peek(o->early, o->early_at, piece, wanted);
        if (n <= 0)
            return break_off(b);
        if (!frame(b) || !put(b, (struct slice){ piece, (size_t)n }))
            return false;
        o->early_at += n;
        o->early_left -= n;
    }
    return true;
}

static bool finish_one(struct batch *b)
{
    if (b->out.framed && !put(b, after(b)))
        return false;
    b->out.framed = false;
    b->out.next++;
    return true;
}

static bool write_early(struct batch *b, struct early_one *e)
{
    struct outlet *o = &b->out;

    o->early_at = e->at;
    o->early_left = e->bytes;
    drop_early(b, e);
    if (!copy_early(b) || !finish_one(b))
        return false;
    if (o->early_ones.count == 0) { /* its disk space is given back */
        spool_release(o->early);
        o->early = NULL;
    }
    return true;
}

static bool write_item(struct batch *b)
{
    struct outlet *o = &b->out;
    struct item   *i = o->writing;

    if (is_wanted(b, i)) {
        if (!o->framed && (!frame(b) || !write_key(b, o->to, i)))
            return false;
        switch (result_write(&i->text, o->to, o->form != FORM_JSON, PIECES)) {
        case RESULT_DONE:
            break;
        case RESULT_AHEAD:
            if (outlet_has_room(b))
                batch_later(b);
            return false;
        case RESULT_BROKEN:
            return break_off(b);
        }
    }
    o->writing = NULL;
    b->aside_count -= i->is_aside;
    item_drop(i);
    return finish_one(b);
}

/* Where some were dropped (take), nobody's turn may be left: it is that of the first that is there. */
static void skip_dropped(struct batch *b)
{
    struct table_walk  walk = { 0 };
    struct table_node *n;
    struct item       *i;
    uint64_t           first = UINT64_MAX;

    if (!b->in.all_read || b->under_way_count > 0)
        return;
    TAILQ_FOREACH (i, &b->done, entry)
        first = i->index < first ? i->index : first;
    while ((n = table_next(&b->out.early_ones, &walk)) != NULL)
        first = CONTAINER_OF(n, struct early_one, node)->index < first ? CONTAINER_OF(n, struct early_one, node)->index
                                                                       : first;
    if (first != UINT64_MAX && first > b->out.next)
        b->out.next = first;
}

static struct item *find_done(struct batch *b)
{
    struct item *i;

    if (b->wanted.by_completion)
        return TAILQ_FIRST(&b->done);
    if (b->wanted.take > 0)
        skip_dropped(b);
    TAILQ_FOREACH (i, &b->done, entry)
        if (i->index == b->out.next)
            return i;
    return NULL;
}

void outlet_write(struct batch *b)
{
    struct outlet *o = &b->out;

    while (!o->ended && outlet_has_room(b)) {
        struct early_one *e;

        if (o->early_left > 0) {
            if (!copy_early(b) || !finish_one(b))
                return;
            continue;
        }
        if (o->writing == NULL)
            o->writing = find_done(b);
        if (o->writing != NULL) {
            if (!write_item(b))
                return;
            continue;
        }
        e = b->wanted.by_completion ? NULL : find_early(b, o->next);
        if (e == NULL || !write_early(b, e))
            return;
    }
}

/* -- how far -- */

bool outlet_tells_progress(struct batch *b)
{
    const struct outlet *o = &b->out;

    return o->form != FORM_JSON && !o->ended && o->writing == NULL && o->early_left == 0 && outlet_has_room(b);
}

void outlet_tell_progress(struct batch *b)
{
    char            text[512];
    struct json_out o = { .buffer = text, .capacity = sizeof text };

    if (!outlet_tells_progress(b))
        return;
    if (b->out.form == FORM_EVENTS)
        json_raw(&o, SLICE("event: progress\ndata: "));
    json_raw(&o, SLICE("{\"progress\":{"));
    json_key(&o, "done");
    json_int(&o, (int64_t)b->counts.done);
    json_key(&o, "failed");
    json_int(&o, (int64_t)b->counts.failed);
    if (b->in.count > 0) {
        json_key(&o, "of");
        json_int(&o, (int64_t)b->in.count);
    }
    json_key(&o, "hits");
    json_int(&o, (int64_t)b->counts.hits);
    prospect_write(b, &o);
    json_raw(&o, SLICE("}}"));
    if (!o.overflow && put(b, (struct slice){ text, o.used }))
        put(b, after(b));
}

/* -- the last words -- */

static void put_done(struct batch *b)
{
    char text[256];

    snprintf(text, sizeof text,
             "%s{\"done\":true,\"ok\":%llu,\"failed\":%llu,\"hits\":%llu,\"upstream\":%llu,\"elapsed\":%.3f}",
             b->out.form == FORM_EVENTS ? "event: done\ndata: " : "", (unsigned long long)b->counts.ok,
             (unsigned long long)b->counts.failed, (unsigned long long)b->counts.hits,
             (unsigned long long)b->counts.upstream, (double)(clock_mono_ns() - b->started_ns) / (double)NS_PER_SEC);
    if (put(b, slice_of(text)))
        put(b, after(b));
}

void outlet_end(struct batch *b)
{
    struct outlet *o = &b->out;

    if (o->ended)
        return;
    if (o->form != FORM_JSON)
        put_done(b);
    else if (o->begun || put(b, before(b)))
        put(b, b->in.shape == SHAPE_KEYS ? SLICE("}\n") : SLICE("]\n"));
    if (!o->ended)
        spool_finish(o->to, SPOOL_WHOLE);
    o->ended = true;
}

void outlet_close(struct batch *b)
{
    struct outlet     *o = &b->out;
    struct table_walk  walk = { 0 };
    struct table_node *n;

    while ((n = table_next(&o->early_ones, &walk)) != NULL)
        drop_early(b, CONTAINER_OF(n, struct early_one, node));
    table_free(&o->early_ones);
    spool_release(o->early);
    if (o->to != NULL)
        spool_set_drained_mail(o->to, NULL, NULL);
    spool_release(o->to);
}
