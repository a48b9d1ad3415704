/*
 * Answers: reference counted, since everyone who waits for one holds it.
 */
#include "upstream/internal.h"

#include <stdlib.h>

static void destroy(struct ref *ref)
{
    struct answer *a = CONTAINER_OF(ref, struct answer, ref);

    spool_release(a->body);
    arena_free(&a->arena);
    arena_free(&a->trailer_arena);
    free(a->bill);
    free(a);
}

struct answer *answer_new(void)
{
    struct answer *a = mem_alloc(sizeof *a);

    ref_init(&a->ref, destroy);
    a->content_length = -1;
    return a;
}

void answer_acquire(struct answer *a)
{
    ref_acquire(&a->ref);
}

void answer_release(struct answer *a)
{
    if (a != NULL)
        ref_release(&a->ref);
}
