/*
 * Memory that lives exactly as long as one request (or one parse).
 *
 * A bump allocator over chunks: nothing is freed alone, arena_reset() keeps
 * the first chunk for the next life, arena_free() gives everything back.
 * Owned by one thread at a time.  Running out of memory aborts the process
 * with a line in the log: a daemon that cannot have 4 KiB has nothing to say.
 */
#ifndef WEIR_BASE_ARENA_H
#define WEIR_BASE_ARENA_H

#include "base/slice.h"

struct arena_chunk;

struct arena { /* all zero is a valid, empty arena */
    struct arena_chunk *first;
    struct arena_chunk *current;
    size_t              used; /* bytes of `current` handed out */
};

/* `bytes` of zeroed memory, aligned for any type.  Never NULL. */
void *arena_alloc(struct arena *a, size_t bytes);
/* An empty one for about so many bytes, of which there will be many: no room is taken ahead. */
void arena_begin_small(struct arena *a, size_t bytes);
/* The same, not zeroed. */
void *arena_alloc_raw(struct arena *a, size_t bytes);
/* A copy, NUL-terminated after its length. */
struct slice arena_copy(struct arena *a, struct slice s);
/* One after the other, NUL-terminated: what needs no printf() costs a tenth so. */
struct slice arena_join(struct arena *a, const struct slice *parts, size_t count);
#define ARENA_JOIN(a, ...) \
    arena_join((a), (const struct slice[]){ __VA_ARGS__ }, \
               sizeof((const struct slice[]){ __VA_ARGS__ }) / sizeof(struct slice))
struct slice arena_printf(struct arena *a, const char *format, ...) __attribute__((format(printf, 2, 3), nonnull(2)));
/* Room for one element more after `count` in an array of the arena that doubles. */
#define ARENA_ROOM(a, array, capacity, count) \
    do { \
        if ((count) == (capacity)) { \
            (capacity) = (capacity) > 0 ? (capacity)*2 : 16; \
            (array) = arena_widen((a), (array), (count) * sizeof *(array), (capacity) * sizeof *(array)); \
        } \
    } while (0)
void *arena_widen(struct arena *a, const void *old, size_t used, size_t bytes);
/* Forgets everything handed out; keeps the first chunk. */
void arena_reset(struct arena *a);
/* The same for an arena whose next life may want the usual first chunk: a small one is given back. */
void arena_recycle(struct arena *a);
void arena_free(struct arena *a);

/* malloc and friends that abort when there is no memory; free() what they return. */
void *mem_alloc(size_t bytes);               /* zeroed */
void *mem_alloc_raw(size_t bytes);           /* not zeroed */
void *mem_calloc(size_t count, size_t size); /* as calloc(), also where there is no memory: NULL */
void *mem_resize(void *old, size_t bytes);
/* Room for so many elements in an array that doubles: `capacity` is how many there is room for. */
#define MEM_ROOM(array, capacity, wanted) \
    do { \
        if ((capacity) < (wanted)) { \
            (capacity) = (__typeof__(capacity))mem_doubled((capacity), (wanted)); \
            (array) = mem_resize((array), (capacity) * sizeof *(array)); \
        } \
    } while (0)
static inline size_t mem_doubled(size_t capacity, size_t wanted)
{
    for (capacity = capacity > 0 ? capacity : 8; capacity < wanted;)
        capacity *= 2;
    return capacity;
}
char *mem_copy(struct slice s); /* NUL-terminated */

#endif
