/*
 * Upstreams are few: they are looked for one after another.
 */
#include "store/shares.h"

#include <xxhash.h>

uint64_t shares_name(struct slice upstream)
{
    return XXH3_64bits(upstream.ptr, upstream.len);
}

struct share *shares_of(struct shares *s, struct slice upstream)
{
    const uint64_t name = shares_name(upstream);

    for (unsigned i = 0; i < s->count; i++)
        if (s->items[i].upstream == name)
            return &s->items[i];
    if (s->count == SHARES_MOST)
        return NULL;
    s->items[s->count] = (struct share){ .upstream = name };
    return &s->items[s->count++];
}

void shares_add(struct shares *s, struct slice upstream, uint64_t bytes)
{
    struct share *share = shares_of(s, upstream);

    if (share != NULL)
        share->bytes += bytes;
}

void shares_take(struct shares *s, struct slice upstream, uint64_t bytes)
{
    struct share *share = shares_of(s, upstream);

    if (share != NULL)
        share->bytes -= bytes < share->bytes ? bytes : share->bytes;
}
