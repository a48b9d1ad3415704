/*
 * What the cache takes on the disk, and that it stays within max_bytes: all of it, as `du` counts.
 *
 * LMDB writes each page that a transaction changes to another place, and what it left is used again by
 * the next but one.  So beside what is in use the file needs room for what three transactions write, and a transaction
 * is bounded to a part of max_bytes (room_txn_bytes()).  Eviction keeps what is in use below that (reclaim.c), and
 * apply.c gives free pages back to the file system.
 */
#include "store/internal.h"

#include <sys/stat.h>

enum {
    TXN_SHARE = 24, /* one part of max_bytes */
    TXN_MOST = 16 * 1024 * 1024,
    AT_ONCE_LEAST = 8,
    PAGES_A_DROP = 3,        /* that the removal of a record writes */
    FIXED_BYTES = 32 * 1024, /* directory, lock files */
};

uint64_t room_txn_bytes(const struct store *s)
{
    return s->max_bytes / TXN_SHARE < TXN_MOST ? s->max_bytes / TXN_SHARE : TXN_MOST;
}

unsigned room_changes(const struct store *s)
{
    const uint64_t count = room_txn_bytes(s) / ROOM_CHANGE_BYTES;

    return count < 1 ? 1 : count < GROUPING_CHANGES ? (unsigned)count : GROUPING_CHANGES;
}

unsigned room_at_once(const struct store *s, unsigned most)
{
    const uint64_t count = room_txn_bytes(s) / (PAGES_A_DROP * BLOCK_BYTES);

    return count >= most ? most : count > AT_ONCE_LEAST ? (unsigned)count : AT_ONCE_LEAST;
}

unsigned room_weight(unsigned records, unsigned labels)
{
    return records + labels / PAGES_A_DROP;
}

/* The directories of the bodies, and what else is small.  A file system that counts no links to directories (btrfs)
 * has no blocks for them either. */
static uint64_t places_bytes(const struct store *s)
{
    struct stat st;

    if (fstat(s->bodies_fd, &st) != 0)
        return FIXED_BYTES;
    return FIXED_BYTES + (uint64_t)st.st_nlink * BLOCK_BYTES;
}

uint64_t room_beside(const struct store *s, unsigned transactions)
{
    const uint64_t other = transactions * room_txn_bytes(s) + places_bytes(s);

    return s->max_bytes > other ? s->max_bytes - other : 0;
}

uint64_t room_limit(const struct store *s)
{
    return room_beside(s, 3);
}

uint64_t room_used(const struct store *s)
{
    return atomic_load_explicit(&s->now.bytes, memory_order_relaxed);
}

bool room_is_over(const struct store *s)
{
    return room_used(s) > room_beside(s, 2);
}
