/*
 * The ring of copies, and the table that leads there: two places for a hash.  Positions in the ring
 * only grow, so that a copy that was written over is known by its own.
 */
#include "store/hot.h"

#include "base/arena.h"

#include <stdlib.h>
#include <sys/mman.h>

enum {
    WAYS = 2,
    PLACES = 16384,
    SEEN = 16384,
    LOTTERY = 8,   /* once the ring is full, one in so many gets in */
    ID_BYTES = 24, /* of a value: its sums and its id: another version differs there */
    HUGE_PAGE = 2 * 1024 * 1024,
};

struct hot_place {
    uint64_t name; /* from the hash */
    uint64_t snapshot;
    uint64_t at; /* in the ring; 0: empty */
    uint64_t value_bytes;
};

struct memory { /* in one piece, so that it fills huge pages */
    struct hot_place places[PLACES];
    uint32_t         seen[SEEN]; /* of what came once */
    char             ring[HOT_BYTES];
};

struct hot {
    struct memory *memory;
    uint64_t       end; /* where the next copy goes */
    unsigned       drawn;
    bool           is_large;
};

static uint64_t name_of(const void *hash)
{
    uint64_t name;

    memcpy(&name, hash, sizeof name);
    return name;
}

/* At the start of a huge page: what stands before and after it is given back. */
static void *map_aligned(size_t bytes)
{
    char  *all = mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                      0);
    size_t before;

    if (all == MAP_FAILED)
        return NULL;
    before = (HUGE_PAGE - (uintptr_t)all % HUGE_PAGE) % HUGE_PAGE;
    if (before > 0)
        munmap(all, before);
    munmap(all + before + bytes, HUGE_PAGE - before);
    madvise(all + before, bytes, MADV_NOHUGEPAGE); /* a few copies shall take a few pages */
    return all + before;
}

static size_t mapped_bytes(void)
{
    return (sizeof(struct memory) + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

struct hot *hot_open(void)
{
    struct memory *memory = map_aligned(mapped_bytes());
    struct hot    *h;

    if (memory == NULL)
        return NULL;
    h = mem_alloc(sizeof *h);
    h->memory = memory;
    h->end = HOT_BYTES; /* no copy stands at 0 */
    return h;
}

void hot_close(struct hot *h)
{
    if (h == NULL)
        return;
    munmap(h->memory, mapped_bytes());
    free(h);
}

void hot_enlarge(struct hot *h)
{
    madvise(h->memory, mapped_bytes(), MADV_HUGEPAGE);
    h->is_large = true;
}

bool hot_is_large(const struct hot *h)
{
    return h->is_large;
}

static struct hot_place *places_of(const struct hot *h, uint64_t name)
{
    return &h->memory->places[name % (PLACES / WAYS) * WAYS];
}

static char *copy_at(const struct hot *h, uint64_t at)
{
    return h->memory->ring + at % HOT_BYTES;
}

static bool is_whole(const struct hot *h, const struct hot_place *p)
{
    return p->at != 0 && h->end - p->at <= HOT_BYTES;
}

static bool is_of(const struct hot *h, const struct hot_place *p, const void *hash)
{
    return p->name == name_of(hash) && is_whole(h, p) && memcmp(copy_at(h, p->at), hash, STORE_HASH_BYTES) == 0;
}

bool hot_find(const struct hot *h, const uint8_t hash[STORE_HASH_BYTES], uint64_t snapshot, struct slice *key,
              struct slice *value)
{
    const struct hot_place *p = places_of(h, name_of(hash));

    for (unsigned i = 0; i < WAYS; i++, p++) {
        if (p->snapshot != snapshot || !is_of(h, p, hash))
            continue;
        *key = (struct slice){ copy_at(h, p->at), RECORD_KEY_BYTES };
        *value = (struct slice){ key->ptr + RECORD_KEY_BYTES, p->value_bytes };
        return true;
    }
    return false;
}

/* The same version of the same record: no byte of it is another. */
static bool is_copy_of(const struct hot *h, const struct hot_place *p, struct slice key, struct slice value)
{
    const char *copy = copy_at(h, p->at);

    return p->value_bytes == value.len && memcmp(copy, key.ptr, RECORD_KEY_BYTES) == 0 &&
           memcmp(copy + RECORD_KEY_BYTES, value.ptr, value.len < ID_BYTES ? value.len : ID_BYTES) == 0;
}

static bool came_before(struct hot *h, uint64_t name)
{
    uint32_t      *seen = &h->memory->seen[name % SEEN];
    const uint32_t tag = (uint32_t)(name >> 32) | 1;
    const bool     came = *seen == tag;

    *seen = tag;
    return came;
}

/* Where more is hot than the ring holds, all copies would be written over before they are of use. */
static bool may_enter(struct hot *h)
{
    return h->end < 2 * (uint64_t)HOT_BYTES || ++h->drawn % LOTTERY == 0;
}

static uint64_t write_copy(struct hot *h, struct slice key, struct slice value)
{
    const uint64_t bytes = (key.len + value.len + 15) / 16 * 16;
    uint64_t       at = h->end;

    if (at % HOT_BYTES + bytes > HOT_BYTES) /* in one piece */
        at += HOT_BYTES - at % HOT_BYTES;
    memcpy(copy_at(h, at), key.ptr, key.len);
    memcpy(copy_at(h, at) + key.len, value.ptr, value.len);
    h->end = at + bytes;
    return at;
}

void hot_offer(struct hot *h, uint64_t snapshot, struct slice key, struct slice value)
{
    const uint64_t    name = name_of(key.ptr);
    struct hot_place *p = places_of(h, name), *to = NULL;

    if (key.len != RECORD_KEY_BYTES || value.len > HOT_VALUE_BYTES)
        return;
    for (unsigned i = 0; i < WAYS; i++) {
        if (is_of(h, &p[i], key.ptr)) {
            to = &p[i];
            break;
        }
        if (to == NULL || p[i].at < to->at)
            to = &p[i]; /* the older one */
    }
    if (is_of(h, to, key.ptr) && is_copy_of(h, to, key, value)) {
        to->snapshot = snapshot;
        return;
    }
    if (!came_before(h, name) || !may_enter(h))
        return;
    *to = (struct hot_place){ .name = name, .snapshot = snapshot, .value_bytes = value.len };
    to->at = write_copy(h, key, value);
}
