/*
 * What the cache takes on the disk, and that it stays within max_bytes: all of it, as `du` counts.
 *
 * LMDB writes each page that a transaction changes to another place, and what it left is used again by
 * the next but one.  So beside what is in use the file needs room for what three transactions write, and a transaction
 * is bounded to a part of max_bytes (room_txn_bytes()).  Eviction keeps what is in use below that (reclaim.c).
 *
 * Values of several pages want pages in a row: a file that is in pieces grows although much of it is free.  Where
 * the blocks themselves come near max_bytes, free pages are given back to the file system before the next
 * transaction.  The writer's thread, unless said.
 */
#include "store/internal.h"

#include "base/clock.h"

#include <sys/stat.h>

enum {
    TXN_SHARE    = 24,                /* one part of max_bytes */
    TXN_MOST     = 16 * 1024 * 1024,
    AT_ONCE_LEAST = 8,
    PAGES_A_DROP = 3,                 /* that the removal of a record writes */
    FIXED_BYTES  = 32 * 1024,         /* directory, lock files */
    ROOM_STEPS   = 10000,
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

/* The directories of the bodies, and what else is small.  A file system that counts no links to directories (btrfs)
 * has no blocks for them either. */
static uint64_t places_bytes(const struct store *s)
{
    struct stat st;

    if (fstat(s->bodies_fd, &st) != 0)
        return FIXED_BYTES;
    return FIXED_BYTES + (uint64_t)st.st_nlink * BLOCK_BYTES;
}

/* What stands up to `transactions` of them, of max_bytes. */
static uint64_t without(const struct store *s, unsigned transactions)
{
    const uint64_t other = transactions * room_txn_bytes(s) + places_bytes(s);

    return s->max_bytes > other ? s->max_bytes - other : 0;
}

uint64_t room_limit(const struct store *s)
{
    return without(s, 3);
}

static uint64_t used_bytes(const struct store *s)
{
    return atomic_load_explicit(&s->bytes_now, memory_order_relaxed);
}

bool room_is_over(const struct store *s)
{
    return used_bytes(s) > without(s, 2);
}

/* -- giving back -- */

static bool is_near_max(const struct writer *w, uint64_t coming)
{
    const struct store *s = w->store;
    struct stat         st;
    uint64_t            blocks;

    if (fstat(s->file_fd, &st) != 0)
        return false;
    blocks = (uint64_t)st.st_blocks * 512;
    return blocks + w->totals.body_bytes + coming > without(s, 1);
}

/* What the last transaction freed is out of use behind one more. */
static enum db_result commit_once_more(struct writer *w)
{
    struct apply   a;
    enum db_result r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    r = db_put(a.txn, w->store->meta, SLICE("totals"), (struct slice){ (const char *)&a.totals, sizeof a.totals });
    if (r != DB_OK) {
        apply_abort(&a);
        return r;
    }
    return apply_commit(&a);
}

/* What earlier transactions freed, and where that is not enough, what the last one did. */
void room_keep(struct writer *w, uint64_t coming)
{
    uint64_t       bytes;
    enum db_result r;

    if (w->keeping_room || w->cannot_give_back || store_is_broken(w->store) || !is_near_max(w, coming))
        return;
    w->keeping_room = true;
    r = db_give_back(w->store->db, &bytes);
    if (r == DB_OK && is_near_max(w, coming) && commit_once_more(w) == DB_OK)
        r = db_give_back(w->store->db, &bytes);
    w->cannot_give_back = r != DB_OK;                /* this file system has no holes: eviction alone, then */
    w->keeping_room = false;
}

void room_compact(struct writer *w, struct store_change *c)
{
    enum db_result r;

    w->keeping_room = true;                          /* all of it counts as given back now */
    r = store_is_broken(w->store) ? DB_BROKEN : commit_once_more(w);
    w->keeping_room = false;
    if (r == DB_OK)
        r = db_give_back(w->store->db, &c->changed);
    if (r == DB_BROKEN)
        writer_broken(w);
    else if (r != DB_OK)
        writer_warn(w, WARN_COMMIT, db_reason(w->store->db));
    writer_answer(c, r == DB_OK);
}

/* -- before a group -- */

void room_make(struct writer *w, uint64_t records, uint64_t files)
{
    const uint64_t coming = records + files;
    const uint64_t most = without(w->store, 2);

    for (unsigned i = 0; i < ROOM_STEPS && used_bytes(w->store) + coming > most; i++)
        if (!reclaim_bytes(w, used_bytes(w->store) + coming - room_limit(w->store)))
            break;
    room_keep(w, files);
}
