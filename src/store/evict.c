/*
 * The sketch: a count-min sketch of 4-bit counters, 16 to a word, each name
 * having one in each of four words; the table: one last use for each slot, told apart
 * by the name's upper half.  A name that lost its slot falls back on when it was
 * stored.
 */
#include "store/evict.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>

enum {
    ROWS = 4,
    LARGEST_COUNT = 15,
    FEWEST_WORDS = 1 << 10,
    MOST_WORDS = 1 << 19, /* 4 MiB; 28 bits tell one */
    SAMPLES_A_WORD = 10,  /* then the counts are halved */
    SLOTS_A_WORD = 2,     /* of the table of last uses */
    TICK_SHIFT = 26,
};

struct last_use {
    uint32_t who, when;
};

struct evict {
    uint64_t        *words;
    struct last_use *uses;
    uint64_t         mask;    /* words are a power of two */
    uint64_t         samples; /* since the last halving */
};

struct evict *evict_new(uint64_t records)
{
    struct evict *e = mem_alloc(sizeof *e);
    uint64_t      words = FEWEST_WORDS;

    while (words < records && words < MOST_WORDS)
        words *= 2;
    e->words = mem_alloc(words * sizeof *e->words);
    e->uses = mem_alloc(words * SLOTS_A_WORD * sizeof *e->uses);
    e->mask = words - 1;
    return e;
}

void evict_free(struct evict *e)
{
    if (e == NULL)
        return;
    free(e->words);
    free(e->uses);
    free(e);
}

/* They are hashes themselves; an odd factor tells (a, b) from (b, a). */
uint64_t evict_name(const void *hash, const void *variant)
{
    uint64_t a, b;

    memcpy(&a, hash, sizeof a);
    memcpy(&b, variant, sizeof b);
    return a + b * 0x9E3779B97F4A7C15u;
}

uint32_t evict_ticks(int64_t wall_ns)
{
    return (uint32_t)((uint64_t)wall_ns >> TICK_SHIFT);
}

/* The word of a row, and how far its counter is shifted.  A name is a hash: of its halves as many are made as there are
 * rows. */
static uint64_t *counter_of(const struct evict *e, uint64_t name, unsigned row, unsigned *shift)
{
    const uint32_t at = (uint32_t)name + row * (uint32_t)(name >> 32 | 1);

    *shift = at >> 28 << 2;
    return &e->words[at & e->mask];
}

static unsigned uses_of(const struct evict *e, uint64_t name)
{
    unsigned least = LARGEST_COUNT;

    for (unsigned row = 0; row < ROWS; row++) {
        unsigned        shift;
        const uint64_t *word = counter_of(e, name, row, &shift);
        unsigned        count = (unsigned)(*word >> shift) & LARGEST_COUNT;

        if (count < least)
            least = count;
    }
    return least;
}

static void halve(struct evict *e)
{
    for (uint64_t i = 0; i <= e->mask; i++)
        e->words[i] = e->words[i] >> 1 & 0x7777777777777777u;
    e->samples = 0;
}

void evict_stored(struct evict *e, uint64_t name)
{
    unsigned least = uses_of(e, name);

    if (least < LARGEST_COUNT) {
        for (unsigned row = 0; row < ROWS; row++) {
            unsigned  shift;
            uint64_t *word = counter_of(e, name, row, &shift);

            if ((*word >> shift & 15) == least) /* the others count somebody else too */
                *word += UINT64_C(1) << shift;
        }
    }
    if (++e->samples >= (e->mask + 1) * SAMPLES_A_WORD)
        halve(e);
}

static struct last_use *last_use_of(const struct evict *e, uint64_t name)
{
    return &e->uses[name % ((e->mask + 1) * SLOTS_A_WORD)];
}

void evict_use(struct evict *e, uint64_t name, uint32_t now)
{
    *last_use_of(e, name) = (struct last_use){ (uint32_t)(name >> 32), now };
    evict_stored(e, name);
}

/* As log2, in whole steps from a page up: 1 for 4 KiB, 9 for 1 MiB. */
static unsigned size_steps(uint64_t bytes)
{
    unsigned steps = 1;

    for (bytes >>= 13; bytes > 0; bytes >>= 1)
        steps++;
    return steps;
}

double evict_worth(const struct evict *e, uint64_t name, uint32_t stored, uint64_t bytes, bool invalidated,
                   uint32_t now)
{
    const struct last_use *use = last_use_of(e, name);
    uint32_t               last = stored;
    uint32_t               age;
    double                 uses = 0.1 + uses_of(e, name), worth;

    if (use->who == (uint32_t)(name >> 32) && now - use->when < now - stored)
        last = use->when;
    age = now - last;
    if (age > UINT32_MAX / 2) /* stored by a clock that was ahead */
        age = 0;
    worth = uses * uses / (1.0 + age) / size_steps(bytes);
    return invalidated ? worth / 16 : worth;
}
