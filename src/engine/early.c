/*
 * Hits that have an answer asked about again before it is stale (setting prefetch): which of them do.
 *
 * Late in an answer's life every hit would.  One of them is enough: what was asked for of late stands in a small table
 * of the worker's, by name, and rests for a part of what is left of its life, so that a hot answer that may not be
 * renewed (a short budget, an API that fails) costs a few mails to the upstream thread, and not one a hit.  There the
 * wishes of all workers meet, and rest in the same way (upstream/early.c).
 */
#include "engine/internal.h"

#include "base/clock.h"

static struct early_slot *slot_of(const struct exchange *x, uint64_t *name)
{
    memcpy(name, x->stored.hash, sizeof *name);
    *name ^= x->stored.id;
    return &x->engine->early[*name % EARLY_SLOTS];
}

/* What is stored under another URL is not this one's to ask about; and in other modes nothing is asked. */
static bool may_ask(const struct exchange *x)
{
    return !x->stored.is_similar && (x->mode.holds == MODE_LIVE || x->mode.holds == MODE_READ_ONLY);
}

bool early_is_due(struct exchange *x)
{
    const int64_t      now = clock_mono_ns();
    uint64_t           name;
    struct early_slot *slot = slot_of(x, &name);

    if (!may_ask(x) || (slot->name == name && now < slot->until_ns))
        return false;
    *slot = (struct early_slot){ name, now + fetch_early_rest_ns(x->decision.ttl_ns) };
    return true;
}

int64_t early_rests_ns(const struct exchange *x)
{
    uint64_t                 name;
    const struct early_slot *slot = slot_of(x, &name);
    const int64_t            now = clock_mono_ns();

    if (!may_ask(x))
        return INT64_MAX;
    if (x->decision.refresh == REFRESH_EARLY)
        return slot->name == name && slot->until_ns > now ? slot->until_ns - now : 0;
    return policy_early_in_ns(x->policy, &x->in.request, &x->wish, &x->stored.response, x->seen.wall_ns);
}
