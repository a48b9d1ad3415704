/*
 * What all the files of a batch lean on: memory of items, and the few things that may become of a batch anywhere.
 */
#include "jobs/internal.h"

#include "base/clock.h"

#include <stdlib.h>

const struct batch_options *batch_bounds(const struct batch *b)
{
    return &service_config(b->outer)->batch;
}

struct item_asked batch_asked(const struct batch *b)
{
    return (struct item_asked){ service_config(b->outer), &b->wanted, &service_input(b->outer)->request };
}

void batch_refuse(struct batch *b, enum problem_kind kind, struct slice detail)
{
    if (b->refused || b->out.answered)
        return;
    b->refused = true;
    service_refuse(b->outer, kind, detail);
}

void batch_check_wanted(struct batch *b)
{
    const struct wanted *w = &b->wanted;

    if (w->upstream != NULL && config_find_upstream(service_config(b->outer), w->upstream) == NULL)
        batch_refuse(b, PROBLEM_BATCH_OPTION,
                     SLICE("upstream: no upstream has that name; weirctl upstreams lists them"));
    else if (w->fields.count > 0 && w->upstream == NULL)
        batch_refuse(b, PROBLEM_BATCH_OPTION,
                     SLICE("headers: they are for the items of the upstream that the option upstream names, and it is "
                           "not there"));
}

void batch_later(struct batch *b)
{
    if (b->again_posted)
        return;
    b->again_posted = true;
    mailbox_post(b->mailbox, &b->again);
}

/* -- items -- */

struct item *item_new(struct batch *b)
{
    struct item *i = TAILQ_FIRST(&b->unused);
    struct arena arena = { 0 };

    if (i != NULL) {
        TAILQ_REMOVE(&b->unused, i, entry);
        arena = i->arena;
    } else {
        i = mem_alloc(sizeof *i);
    }
    *i = (struct item){ .batch = b, .arena = arena };
    result_begin(&i->text);
    return i;
}

void item_free(struct item *i)
{
    result_end(&i->text);
    arena_reset(&i->arena);
    TAILQ_INSERT_HEAD(&i->batch->unused, i, entry);
}

void item_drop(struct item *i)
{
    struct batch *b = i->batch;

    if (i->state == ITEM_DONE) {
        TAILQ_REMOVE(&b->done, i, entry);
        b->done_count--;
    } else {
        TAILQ_REMOVE(&b->under_way, i, entry);
        b->under_way_count--;
    }
    twins_leave(i);
    if (i->exchange != NULL)
        exchange_close(i->exchange, clock_mono_ns(), false, 0);
    i->exchange = NULL;
    item_free(i);
}
