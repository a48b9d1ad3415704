/*
 * Names are told apart by their hash; there are few, and looking through them is quick.
 */
#include "admin/most.h"

#define XXH_INLINE_ALL
#include <xxhash.h>

#include <stdlib.h>

static struct most_entry *place_of(struct most *m, uint64_t hash)
{
    struct most_entry *rarest = &m->entries[0];

    for (unsigned i = 0; i < m->count; i++) {
        if (m->entries[i].hash == hash)
            return &m->entries[i];
        if (m->entries[i].count < rarest->count)
            rarest = &m->entries[i];
    }
    return m->count < MOST_KEPT ? &m->entries[m->count++] : rarest;
}

void most_count(struct most *m, struct slice name, bool is_hit)
{
    const uint64_t     hash = XXH3_64bits(name.ptr, name.len);
    struct most_entry *e = place_of(m, hash);

    if (e->hash != hash || e->count == 0) {
        const size_t bytes = name.len < MOST_NAME_BYTES ? name.len : MOST_NAME_BYTES - 1;

        if (bytes > 0)
            memcpy(e->name, name.ptr, bytes);
        e->name[bytes] = '\0';
        e->hash = hash;
        e->hits = 0;
    }
    e->count++;
    e->hits += is_hit;
}

static int compare(const void *a, const void *b)
{
    const struct most_entry *x = *(const struct most_entry *const *)a, *y = *(const struct most_entry *const *)b;

    return (x->count < y->count) - (x->count > y->count);
}

unsigned most_take(struct most *m, struct most_entry *out[MOST_TOLD])
{
    struct most_entry *all[MOST_KEPT];
    const unsigned     count = m->count < MOST_TOLD ? m->count : MOST_TOLD;

    for (unsigned i = 0; i < m->count; i++)
        all[i] = &m->entries[i];
    if (m->count > 0)
        qsort(all, m->count, sizeof all[0], compare);
    memcpy(out, all, count * sizeof all[0]);
    return count;
}

void most_clear(struct most *m)
{
    memset(m, 0, sizeof *m);
}
