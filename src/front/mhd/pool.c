/*
 * A pool is found by its reset: what MHD zeroes right after the end of a request is the pool's rest up to its end,
 * more than half of it, and the request that has ended stands inside.
 *
 * The pool lives for as long as MHD calls back for its connection.  Between requests that is certain only after a
 * reset, which MHD does where it goes on to a next request and not where it closes; and only before the
 * connection's time-out, since a connection that MHD has closed for that stays known for a while, without a pool.
 * That is when pages go back, and all that MHD has then of a next request is the beginning of a line at
 * the pool's: after the first line it also keeps fields at the pool's end.  A line that is longer than a page
 * shows in the last bytes of that page, which were cleared; one with so many NUL bytes that it does not is no
 * request line.
 */
#include "front/mhd/pool.h"

#include "base/clock.h"
#include "front/mhd/tricks.h"

#include "base/arena.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { MARK_BYTES = 64, PAGE_BYTES = 4096, LEAST_BYTES = 1024, BLOCK_BYTES = 32, BLOCKS = POOL_BYTES / BLOCK_BYTES };

/* Which blocks are not all zero, and those one after the other. */
struct parked {
    size_t   count;
    uint64_t is_there[BLOCKS / 64];
    char     blocks[][BLOCK_BYTES];
};

static const int64_t rest_ns = NS_PER_SEC, margin_ns = 2 * NS_PER_SEC; /* MHD's time-outs are whole seconds */

static _Thread_local struct {
    struct pool *pool;      /* that MHD works on; NULL: none */
    bool         has_ended; /* its request: what is zeroed next is its rest */
} now;

void pool_enter(struct pool *p, const char *target)
{
    now.pool = trick(TRICK_MEMSET) ? p : NULL;
    now.has_ended = false;
    p->target = target;
    p->is_resting = false;
}

void pool_end(struct pool *p, bool well, size_t received_bytes, int64_t now_ns, int64_t idle_ns)
{
    now.pool = well && trick(TRICK_MEMSET) ? p : NULL;
    now.has_ended = true;
    p->is_resting = false;
    p->received_bytes = received_bytes < POOL_BYTES ? received_bytes : POOL_BYTES;
    p->ended_ns = now_ns;
    p->closed_ns = now_ns + idle_ns;
}

void pool_leave(void)
{
    now.pool = NULL;
}

static bool is_clear(const char *at, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (at[i] != '\0')
            return false;
    return true;
}

void pool_sweep(struct pool *p, int64_t now_ns)
{
    if (!p->is_resting || now_ns - p->ended_ns < rest_ns)
        return;
    p->is_resting = false;
    if (p->closed_ns - now_ns > margin_ns && is_clear(p->memory + PAGE_BYTES - MARK_BYTES, MARK_BYTES))
        madvise(p->memory + PAGE_BYTES, POOL_BYTES - PAGE_BYTES, MADV_DONTNEED);
}

/* -- parking -- */

/* Over 32 KiB MHD maps its pool, and reads a connection's first bytes to where it begins. */
void pool_read(struct pool *p, const char *at)
{
    if (p->is_looked_for)
        return;
    p->is_looked_for = true;
    if (p->memory == NULL && (uintptr_t)at % PAGE_BYTES == 0 && trick(TRICK_PARK))
        p->memory = (char *)(uintptr_t)at;
}

static bool is_zero(const char *block)
{
    uint64_t words[BLOCK_BYTES / sizeof(uint64_t)], any = 0;

    memcpy(words, block, sizeof words);
    for (size_t i = 0; i < BLOCK_BYTES / sizeof(uint64_t); i++)
        any |= words[i];
    return any == 0;
}

/* Pages that were never touched are read as the kernel's page of zeros, and take nothing. */
static unsigned find_blocks(const char *memory, uint64_t is_there[BLOCKS / 64], size_t *count)
{
    unsigned pages = 0;

    *count = 0;
    for (size_t page = 0; page < POOL_BYTES / PAGE_BYTES; page++) {
        size_t before = *count;

        for (size_t i = page * (PAGE_BYTES / BLOCK_BYTES); i < (page + 1) * (PAGE_BYTES / BLOCK_BYTES); i++)
            if (!is_zero(memory + i * BLOCK_BYTES)) {
                is_there[i / 64] |= UINT64_C(1) << i % 64;
                ++*count;
            }
        pages += *count > before;
    }
    return pages;
}

bool pool_park(struct pool *p)
{
    struct parked look = { 0 }, *parked;
    unsigned      pages;
    size_t        to = 0;

    if (p->memory == NULL || p->parked != NULL)
        return false;
    pages = find_blocks(p->memory, look.is_there, &look.count);
    if (sizeof look + look.count * BLOCK_BYTES > (size_t)pages * PAGE_BYTES / 2)
        return false;
    parked = mem_alloc_raw(sizeof *parked + look.count * BLOCK_BYTES);
    *parked = look;
    for (size_t i = 0; i < BLOCKS; i++)
        if ((look.is_there[i / 64] >> i % 64 & 1) != 0)
            memcpy(parked->blocks[to++], p->memory + i * BLOCK_BYTES, BLOCK_BYTES);
    if (madvise(p->memory, POOL_BYTES, MADV_DONTNEED) != 0) {
        free(parked);
        return false;
    }
    p->parked = parked;
    return true;
}

/* It may hold a credential. */
static void drop_parked(struct pool *p)
{
    explicit_bzero(p->parked, sizeof *p->parked + p->parked->count * BLOCK_BYTES);
    free(p->parked);
    p->parked = NULL;
}

void pool_unpark(struct pool *p)
{
    size_t from = 0;

    if (p->parked == NULL)
        return;
    for (size_t i = 0; i < BLOCKS; i++)
        if ((p->parked->is_there[i / 64] >> i % 64 & 1) != 0)
            memcpy(p->memory + i * BLOCK_BYTES, p->parked->blocks[from++], BLOCK_BYTES);
    drop_parked(p);
}

void pool_close(struct pool *p)
{
    if (p->parked != NULL)
        drop_parked(p);
}

#if defined WEIR_OWN_MEMSET && defined WEIR_MHD_TRICKS
void                                  *__memset_chk(void *at, int byte, size_t count, size_t room);

/* Where it saw that the room is enough, the compiler would make it memset() again. */
static void *libc_memset(void *at, int byte, size_t count)
{
    size_t room = SIZE_MAX;

    __asm__("" : "+r"(room));
    return __memset_chk(at, byte, count, room);
}

static bool is_reset(struct pool *p, char *at, size_t count)
{
    char *memory = at + count - POOL_BYTES;

    if (p->memory == NULL && count > POOL_BYTES / 2 && count <= POOL_BYTES && (uintptr_t)memory % PAGE_BYTES == 0 &&
        p->target >= memory && p->target < at + count)
        p->memory = memory;
    return p->memory != NULL && p->memory == memory;
}

static void clear(char *from, char *to)
{
    if (from < to)
        libc_memset(from, 0, (size_t)(to - from));
}

/* What stands before `at` has come of a next request. */
static void begin_rest(struct pool *p, char *at)
{
    char *page_end = p->memory + PAGE_BYTES, *mark = page_end - MARK_BYTES;

    clear(at, p->memory + p->received_bytes);
    clear(at > mark ? at : mark, page_end);
    p->is_resting = true;
}

static bool needs_no_zeroing(char *at, size_t count)
{
    struct pool *p = now.pool;

    if (p == NULL)
        return false;
    if (!now.has_ended)
        return p->memory != NULL && at >= p->memory && at + count <= p->memory + POOL_BYTES;
    pool_leave();
    if (!is_reset(p, at, count))
        return false;
    begin_rest(p, at);
    return true;
}

void *memset(void *at, int byte, size_t count)
{
    if (count >= LEAST_BYTES && byte == 0 && needs_no_zeroing(at, count))
        return at;
    return libc_memset(at, byte, count);
}
#endif
