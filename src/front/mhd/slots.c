/*
 * A slot is known by its address; which are free stands in a word for each 64 of them.
 */
#include "front/mhd/slots.h"

#include "front/mhd/pool.h"
#include "front/mhd/tricks.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifdef SLOTS_ARE_OWN

enum { WORD_SLOTS = 64, WORDS = SLOTS / WORD_SLOTS, PAGE_BYTES = 4096 };

static _Thread_local struct {
    char    *memory;       /* NULL: not open */
    uint64_t clean[WORDS]; /* free, without pages */
    uint64_t warm[WORDS];  /* free, with pages that are all zero */
    unsigned warm_count;
} here;

static void *map(size_t bytes, int flags)
{
    return (void *)syscall(SYS_mmap, NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, (off_t)0);
}

void slots_open(void)
{
    void *memory = MAP_FAILED;

    if (trick(TRICK_SLOTS))
        memory = map((size_t)SLOTS * POOL_BYTES, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE);
    if (memory == MAP_FAILED)
        return;
    madvise(memory, (size_t)SLOTS * POOL_BYTES, MADV_NOHUGEPAGE);
    memset(&here, 0, sizeof here);
    memset(here.clean, 0xff, sizeof here.clean);
    here.memory = memory;
}

void slots_close(void)
{
    char *memory = here.memory;

    here.memory = NULL;
    if (memory != NULL)
        munmap(memory, (size_t)SLOTS * POOL_BYTES);
}

/* The first that is free, or -1. */
static int take(uint64_t words[WORDS])
{
    for (int i = 0; i < WORDS; i++)
        if (words[i] != 0) {
            int bit = __builtin_ctzll(words[i]);

            words[i] &= words[i] - 1;
            return i * WORD_SLOTS + bit;
        }
    return -1;
}

static void *take_slot(void)
{
    int slot = take(here.warm);

    if (slot >= 0)
        here.warm_count--;
    else
        slot = take(here.clean);
    return slot >= 0 ? here.memory + (size_t)slot * POOL_BYTES : NULL;
}

static bool is_zero(const char *page)
{
    return page[0] == '\0' && memcmp(page, page + 1, PAGE_BYTES - 1) == 0;
}

/* What was never touched is read as the kernel's page of zeros, and goes on to take nothing. */
static void clear(char *slot)
{
    for (char *page = slot; page < slot + POOL_BYTES; page += PAGE_BYTES)
        if (!is_zero(page))
            explicit_bzero(page, PAGE_BYTES);
}

static bool is_slot(const char *at, size_t bytes)
{
    return here.memory != NULL && bytes == POOL_BYTES && at >= here.memory &&
           at < here.memory + (size_t)SLOTS * POOL_BYTES && (size_t)(at - here.memory) % POOL_BYTES == 0;
}

static void give_back(char *at)
{
    size_t   slot = (size_t)(at - here.memory) / POOL_BYTES;
    uint64_t bit = UINT64_C(1) << slot % WORD_SLOTS;

    if (here.warm_count < SLOTS_WARM) {
        clear(at);
        here.warm[slot / WORD_SLOTS] |= bit;
        here.warm_count++;
    } else if (madvise(at, POOL_BYTES, MADV_DONTNEED) == 0) {
        here.clean[slot / WORD_SLOTS] |= bit;
    } /* else nobody gets it any more */
}

void *mmap(void *at, size_t bytes, int protection, int flags, int fd, off_t offset)
{
    void *slot;

    if (bytes == POOL_BYTES && here.memory != NULL && at == NULL && fd == -1 &&
        protection == (PROT_READ | PROT_WRITE) && flags == (MAP_PRIVATE | MAP_ANONYMOUS) &&
        (slot = take_slot()) != NULL)
        return slot;
    return (void *)syscall(SYS_mmap, at, bytes, protection, flags, fd, offset);
}

int munmap(void *at, size_t bytes)
{
    if (!is_slot(at, bytes))
        return (int)syscall(SYS_munmap, at, bytes);
    give_back(at);
    return 0;
}

#else

void slots_open(void)
{
}

void slots_close(void)
{
}

#endif
