/*
 * A fetch itself: its memory, and what of it others go by.  Coming and leaving: enter.c.
 */
#include "upstream/internal.h"

#include "base/decimal.h"

#include <stdio.h>
#include <stdlib.h>

enum { TEXT_BYTES = 768 };

static void destroy(struct ref *ref)
{
    struct fetch *f = CONTAINER_OF(ref, struct fetch, ref);
    struct arena  arena = f->arena;

    answer_release(f->answer);
    upload_release(f->upload);
    ref_release(f->config);
    tape_release(f->manner.tape);
    free(f->said.error);
    free(f->outcome.attempts);
    free(f->outcome.bill);
    free(f->links->words);
    peer_card_release(f->client.card);
    race_release(f->manner.race);
    arena_free(&arena);
}

void fetch_acquire(struct fetch *f)
{
    ref_acquire(&f->ref);
}

void fetch_release(struct fetch *f)
{
    if (f != NULL)
        ref_release(&f->ref);
}

/* It stands in its own arena, whose first chunk has room for an ordinary request's text and no more: ten thousand
 * may wait. What only few of them come to hear of stands elsewhere. */
struct fetch *fetch_new(void)
{
    struct arena  arena = { 0 };
    struct fetch *f;

    arena_begin_small(&arena, sizeof *f + sizeof(struct fetch_links) + TEXT_BYTES);
    f = arena_alloc(&arena, sizeof *f);
    ref_init(&f->ref, destroy);
    f->links = arena_alloc(&arena, sizeof *f->links);
    f->links->fetch = f;
    f->arena = arena;
    return f;
}

void attempt_text(const struct attempt *a, char out[ATTEMPT_TEXT_BYTES])
{
    bool         by_status = a->status != 0 && (a->outcome == ATTEMPT_OK || a->outcome == ATTEMPT_STATUS);
    char         digits[DECIMAL_BYTES];
    struct slice text = by_status ? decimal(a->status, digits) : slice_of(attempt_outcome_token(a->outcome));

    text = slice_sub(text, 0, ATTEMPT_TEXT_BYTES - 1);
    memcpy(out, text.ptr, text.len);
    out[text.len] = '\0';
}

void fetch_interim_free(struct fetch_interim *i)
{
    fetch_release(i->fetch);
    arena_free(&i->arena);
    free(i);
}

void fetch_set_error(struct fetch *f, struct slice text)
{
    free(f->said.error);
    f->said.error = mem_copy(text);
}

void fetch_charge(struct charge *c, const struct fetch *f)
{
    static const struct partition none;

    *c = (struct charge){
        .method = f->request.method,
        .method_name = f->request.method_name,
        .path = f->path,
        .credential = memcmp(&f->caller.account, &none, sizeof none) != 0 ? f->caller.account.bytes : NULL,
        .keep_permille = f->client.keep_permille,
        .rule = f->cost.rule,
        .estimates = f->cost.estimates,
        .estimate_count = f->cost.estimate_count,
        .owns = f->policy->own_limits,
    };
}
