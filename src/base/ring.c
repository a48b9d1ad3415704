/*
 * Positions count words and only grow; a record is a word with its number and length, then its own words.
 *
 * Order: the writer moves `tail` past what it will overwrite before it overwrites it, and `head` past what it has
 * written after.  Each word is stored with release and loaded with acquire, which are plain moves on x86: a reader that
 * has got a new word of an old record's place finds `tail` moved, too, when it looks after the copy.
 */
#include "base/ring.h"

#include "base/arena.h"
#include "base/check.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { LENGTH_BITS = 16 }; /* of a record's first word; the rest is its number */

struct ring {
    _Atomic uint64_t  tail, head; /* the writer's; read by any */
    uint64_t          mask;
    uint64_t          next; /* the writer's: number of the next record */
    _Atomic uint64_t *words;
};

static uint64_t load(const _Atomic uint64_t *w)
{
    return atomic_load_explicit(w, memory_order_acquire);
}

static void store(_Atomic uint64_t *w, uint64_t value)
{
    atomic_store_explicit(w, value, memory_order_release);
}

static uint64_t length_of(uint64_t first)
{
    return first & ((1U << LENGTH_BITS) - 1);
}

struct ring *ring_open(size_t bytes)
{
    struct ring *r = mem_alloc(sizeof *r);

    CHECK((bytes & (bytes - 1)) == 0 && bytes >= 4 * RING_RECORD_MOST);
    r->mask = bytes / sizeof(uint64_t) - 1;
    r->words = mem_alloc(bytes);
    return r;
}

void ring_close(struct ring *r)
{
    if (r == NULL)
        return;
    free(r->words);
    free(r);
}

/* How many of so many words stand one after the other from `at` on. */
static uint64_t run_of(const struct ring *r, uint64_t at, uint64_t words)
{
    const uint64_t to_end = r->mask + 1 - (at & r->mask);

    return words < to_end ? words : to_end;
}

/* Whatever the record's type is, its bytes go: memcpy() of a word is a move. */
static void copy_in(_Atomic uint64_t *to, const char *from, uint64_t words)
{
#pragma GCC unroll 4
    for (uint64_t i = 0; i < words; i++) {
        uint64_t word;

        memcpy(&word, from + i * sizeof word, sizeof word);
        store(&to[i], word);
    }
}

static void copy_out(char *to, const _Atomic uint64_t *from, uint64_t words)
{
#pragma GCC unroll 4
    for (uint64_t i = 0; i < words; i++) {
        const uint64_t word = load(&from[i]);

        memcpy(to + i * sizeof word, &word, sizeof word);
    }
}

static void make_room(struct ring *r, uint64_t head, uint64_t words)
{
    uint64_t tail = atomic_load_explicit(&r->tail, memory_order_relaxed);

    if (head + words - tail <= r->mask + 1)
        return;
    while (head + words - tail > r->mask + 1)
        tail += 1 + length_of(load(&r->words[tail & r->mask]));
    store(&r->tail, tail);
}

void ring_put(struct ring *r, const void *record, size_t bytes)
{
    const char    *from = record;
    const uint64_t words = bytes / sizeof(uint64_t);
    uint64_t       at = atomic_load_explicit(&r->head, memory_order_relaxed);

    CHECK(bytes % sizeof(uint64_t) == 0 && bytes <= RING_RECORD_MOST);
    make_room(r, at, 1 + words);
    store(&r->words[at++ & r->mask], r->next++ << LENGTH_BITS | words);
    for (uint64_t left = words; left > 0;) {
        const uint64_t run = run_of(r, at, left);

        copy_in(&r->words[at & r->mask], from, run);
        from += run * sizeof(uint64_t);
        at += run;
        left -= run;
    }
    store(&r->head, at);
}

struct ring_cursor ring_oldest(const struct ring *r)
{
    uint64_t tail = load(&r->tail);

    return (struct ring_cursor){ tail, tail == 0 ? 0 : UINT64_MAX };
}

struct ring_cursor ring_newest(const struct ring *r)
{
    uint64_t head = load(&r->head);

    return (struct ring_cursor){ head, head == 0 ? 0 : UINT64_MAX };
}

/* True: nothing at or after `at` has been overwritten yet, so that what was copied of it is what was put there. */
static bool still_stands(const struct ring *r, uint64_t at)
{
    return load(&r->tail) <= at;
}

size_t ring_read(const struct ring *r, struct ring_cursor *c, void *out, uint64_t *missed)
{
    for (;;) {
        const uint64_t head = load(&r->head), tail = load(&r->tail);
        uint64_t       first, words, number;
        char          *to = out;

        if (c->at == head)
            return 0;
        if (c->at < tail)
            c->at = tail;
        first = load(&r->words[c->at & r->mask]);
        if (!still_stands(r, c->at))
            continue;
        words = length_of(first);
        number = first >> LENGTH_BITS;
        if (c->next != UINT64_MAX)
            *missed += number - c->next;
        c->next = number;
        for (uint64_t left = words, at = c->at + 1; left > 0;) {
            const uint64_t run = run_of(r, at, left);

            copy_out(to, &r->words[at & r->mask], run);
            to += run * sizeof(uint64_t);
            at += run;
            left -= run;
        }
        if (!still_stands(r, c->at))
            continue;
        c->at += 1 + words;
        c->next++;
        return words * sizeof(uint64_t);
    }
}
