/*
 * A count, and a time until which the rest is held.
 */
#include "upstream/race.h"

#include "base/arena.h"
#include "base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>

#define HOLD_NS NS_PER_SEC

struct race {
    struct ref         ref;
    struct race_accept accept;
    _Atomic uint64_t   wanted;
    /* -- the upstream thread's -- */
    uint64_t heard;
    int64_t  held_until_ns;
};

static void destroy(struct ref *ref)
{
    free(CONTAINER_OF(ref, struct race, ref));
}

struct race *race_new(uint64_t wanted, const struct race_accept *accept)
{
    struct race *r = mem_alloc(sizeof *r);

    ref_init(&r->ref, destroy);
    r->accept = *accept;
    atomic_init(&r->wanted, wanted);
    return r;
}

void race_acquire(struct race *r)
{
    ref_acquire(&r->ref);
}

void race_release(struct race *r)
{
    if (r != NULL)
        ref_release(&r->ref);
}

void race_fewer(struct race *r)
{
    if (atomic_load(&r->wanted) > 0)
        atomic_fetch_sub(&r->wanted, 1);
}

static bool accepts(const struct race_accept *a, unsigned status)
{
    for (unsigned i = 0; i < a->count; i++)
        if (status >= a->statuses[i].first && status <= a->statuses[i].last)
            return true;
    return false;
}

void race_heard(struct race *r, unsigned status, int64_t now_ns)
{
    if (!accepts(&r->accept, status))
        return;
    r->heard++;
    if (r->heard >= atomic_load(&r->wanted))
        r->held_until_ns = now_ns + HOLD_NS;
}

int64_t race_holds_ns(const struct race *r, int64_t now_ns)
{
    return r->held_until_ns > now_ns ? r->held_until_ns - now_ns : 0;
}
