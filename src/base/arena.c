/*
 * The bump allocator: a list of chunks, the first of them small and kept.
 *
 * The first chunk has always the same size, so that one request with a large
 * need does not leave a large chunk with a connection that idles.
 */
#include "base/arena.h"

#include "base/log.h"

#include <stdalign.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

struct arena_chunk {
    struct arena_chunk *next;
    size_t              size; /* of bytes[] */
    alignas(max_align_t) char bytes[];
};

enum {
    FIRST_CHUNK_BYTES = 4096 - (int)sizeof(struct arena_chunk),
    SMALL_CHUNK_BYTES = 1024 - (int)sizeof(struct arena_chunk), /* the second one after a small first */
    LARGEST_CHUNK_BYTES = 64 * 1024,
    ALIGNMENT = alignof(max_align_t),
    SMALL_BYTES = 1024,
};

static _Noreturn void out_of_memory(size_t bytes)
{
    log_error("out_of_memory", "bytes=%zu", bytes);
    abort();
}

static void *must_have(void *memory, size_t bytes)
{
    if (memory == NULL)
        out_of_memory(bytes);
    return memory;
}

static struct arena_chunk *chunk_new(size_t size)
{
    struct arena_chunk *c;

    if (size > SIZE_MAX - sizeof *c)
        out_of_memory(size);
    c = must_have(malloc(sizeof *c + size), size);
    c->next = NULL;
    c->size = size;
    return c;
}

static void free_behind(struct arena_chunk *c)
{
    while (c->next != NULL) {
        struct arena_chunk *gone = c->next;

        c->next = gone->next;
        free(gone);
    }
}

/* Makes a chunk with room for `bytes` the current one. */
static void grow(struct arena *a, size_t bytes)
{
    size_t size;

    if (a->first == NULL) {
        a->first = a->current = chunk_new(FIRST_CHUNK_BYTES);
        a->used = 0;
        if (bytes <= a->first->size)
            return;
    }
    size = a->current->size * 2;
    if (a->current == a->first && a->current->size < FIRST_CHUNK_BYTES)
        size = SMALL_CHUNK_BYTES;
    if (size > LARGEST_CHUNK_BYTES)
        size = LARGEST_CHUNK_BYTES;
    if (size < bytes)
        size = bytes;
    a->current->next = chunk_new(size);
    a->current = a->current->next;
    a->used = 0;
}

void arena_begin_small(struct arena *a, size_t bytes)
{
    a->first = a->current = chunk_new(bytes);
    a->used = 0;
}

void *arena_alloc_raw(struct arena *a, size_t bytes)
{
    char *p;

    if (bytes > SIZE_MAX - ALIGNMENT)
        out_of_memory(bytes);
    bytes = (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    if (a->current == NULL || a->current->size - a->used < bytes)
        grow(a, bytes);
    p = a->current->bytes + a->used;
    a->used += bytes;
    return p;
}

void *arena_alloc(struct arena *a, size_t bytes)
{
    void *p = arena_alloc_raw(a, bytes);

    return memset(p, 0, bytes);
}

void *arena_widen(struct arena *a, const void *old, size_t used, size_t bytes)
{
    void *wider = arena_alloc_raw(a, bytes);

    if (used > 0)
        memcpy(wider, old, used);
    return wider;
}

struct slice arena_copy(struct arena *a, struct slice s)
{
    char *p = arena_alloc_raw(a, s.len + 1);

    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return (struct slice){ p, s.len };
}

struct slice arena_join(struct arena *a, const struct slice *parts, size_t count)
{
    size_t length = 0;
    char  *p, *end;

    for (size_t i = 0; i < count; i++)
        length += parts[i].len;
    p = end = arena_alloc_raw(a, length + 1);
    for (size_t i = 0; i < count; i++)
        if (parts[i].len > 0)
            end = (char *)memcpy(end, parts[i].ptr, parts[i].len) + parts[i].len;
    *end = '\0';
    return (struct slice){ p, length };
}

struct slice arena_printf(struct arena *a, const char *format, ...)
{
    va_list args, again;
    int     length;
    char   *p;

    va_start(args, format);
    va_copy(again, args);
    length = vsnprintf(NULL, 0, format, args);
    va_end(args);
    if (length < 0) /* over INT_MAX bytes */
        out_of_memory(SIZE_MAX);
    p = arena_alloc_raw(a, (size_t)length + 1);
    vsnprintf(p, (size_t)length + 1, format, again);
    va_end(again);
    return (struct slice){ p, (size_t)length };
}

void arena_reset(struct arena *a)
{
    if (a->first != NULL)
        free_behind(a->first);
    a->current = a->first;
    a->used = 0;
}

void arena_recycle(struct arena *a)
{
    if (a->first != NULL && a->first->size < FIRST_CHUNK_BYTES)
        arena_free(a);
    else
        arena_reset(a);
}

void arena_free(struct arena *a)
{
    arena_reset(a);
    free(a->first);
    *a = (struct arena){ 0 };
}

void *mem_alloc_raw(size_t bytes)
{
    /* malloc(0) may return NULL without being short of memory. */
    return must_have(malloc(bytes > 0 ? bytes : 1), bytes);
}

/* glibc's calloc() passes by the thread's own cache, which holds the small sizes; pages fresh from the kernel need no
 * zeroing, which only calloc() knows. */
void *mem_calloc(size_t count, size_t size)
{
    size_t bytes = count * size;
    void  *p;

    if (bytes > SMALL_BYTES || (size != 0 && bytes / size != count))
        return calloc(count, size);
    p = malloc(bytes > 0 ? bytes : 1);
    __asm__("" : "+r"(p)); /* else the compiler makes a calloc() of this one and the memset() */
    return p != NULL ? memset(p, 0, bytes) : NULL;
}

void *mem_alloc(size_t bytes)
{
    return must_have(mem_calloc(1, bytes), bytes);
}

void *mem_resize(void *old, size_t bytes)
{
    return must_have(realloc(old, bytes > 0 ? bytes : 1), bytes);
}

char *mem_copy(struct slice s)
{
    char *p = must_have(malloc(s.len + 1), s.len);

    if (s.len > 0)
        memcpy(p, s.ptr, s.len);
    p[s.len] = '\0';
    return p;
}
