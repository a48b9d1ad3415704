/*
 * The writer's transaction, and the room on the disk before it.
 *
 * Everything in it may be undone by abort and tried again: what leaves the
 * database (unlinking of body files, the totals) waits for the commit.
 *
 * Values of several pages want pages in a row: a file that is in pieces grows although much of it is free.  Where
 * the blocks themselves come near max_bytes, free pages are given back to the file system before the next
 * transaction.
 */
#include "store/internal.h"

#include <sys/stat.h>

/* -- giving back -- */

static bool is_near_max(const struct writer *w, uint64_t coming)
{
    const struct store *s = w->store;
    struct stat         st;
    uint64_t            blocks;

    if (fstat(s->file_fd, &st) != 0)
        return false;
    blocks = (uint64_t)st.st_blocks * 512;
    return blocks + w->counts.totals.body_bytes + coming > room_beside(s, 1);
}

/* What the last transaction freed is out of use after one more. */
static enum db_result commit_once_more(struct writer *w)
{
    struct apply   a;
    enum db_result r = apply_begin(w, &a);

    if (r != DB_OK)
        return r;
    r = db_put(a.txn, w->store->tables.meta, SLICE("totals"),
               (struct slice){ (const char *)&a.counts.totals, sizeof a.counts.totals });
    if (r != DB_OK) {
        apply_abort(&a);
        return r;
    }
    return apply_commit(&a);
}

/* What earlier transactions freed, and where that is not enough, what the last one did. */
void apply_keep_room(struct writer *w, uint64_t coming)
{
    uint64_t       bytes;
    enum db_result r;

    if (w->keeping_room || w->cannot_give_back || store_is_broken(w->store) || !is_near_max(w, coming))
        return;
    w->keeping_room = true;
    r = db_give_back(w->store->db, &bytes);
    if (r == DB_OK && is_near_max(w, coming) && commit_once_more(w) == DB_OK)
        r = db_give_back(w->store->db, &bytes);
    w->cannot_give_back = r != DB_OK; /* this file system has no holes: eviction alone, then */
    w->keeping_room = false;
}

enum db_result apply_give_back(struct writer *w, uint64_t *bytes)
{
    enum db_result r;

    w->keeping_room = true; /* all of it counts as given back now */
    r = store_is_broken(w->store) ? DB_BROKEN : commit_once_more(w);
    w->keeping_room = false;
    return r == DB_OK ? db_give_back(w->store->db, bytes) : r;
}

/* -- the transaction -- */

enum db_result apply_begin(struct writer *w, struct apply *a)
{
    apply_keep_room(w, 0);
    *a = (struct apply){ .writer = w, .store = w->store, .counts = w->counts };
    w->doomed.count = 0;
    return db_begin(w->store->db, true, &a->txn);
}

void apply_abort(struct apply *a)
{
    db_abort(a->txn);
    a->txn = NULL;
    a->writer->doomed.count = 0;
}

static enum db_result put_meta(struct apply *a, struct slice name, const void *bytes, size_t count)
{
    return db_put(a->txn, a->store->tables.meta, name, (struct slice){ bytes, count });
}

/* What the clock did; of a step that comes meanwhile the next commit tells. */
static enum db_result put_set_back(struct apply *a, uint64_t *below)
{
    struct set_back set_back;

    *below = atomic_load(&a->store->set_back.below);
    if (*below == a->writer->set_back_kept)
        return DB_OK;
    set_back = (struct set_back){ *below, atomic_load(&a->store->set_back.ns) };
    return put_meta(a, SLICE("set back"), &set_back, sizeof set_back);
}

/* Ids are handed out from a stretch that is marked as used before. */
static enum db_result put_id_limit(struct apply *a)
{
    const uint64_t next_id = atomic_load(&a->store->next_id);

    if (next_id + IDS_AT_ONCE / 2 < a->counts.id_limit)
        return DB_OK;
    a->counts.id_limit = next_id + IDS_AT_ONCE;
    return put_meta(a, SLICE("sequence"), &a->counts.id_limit, sizeof a->counts.id_limit);
}

enum db_result apply_commit(struct apply *a)
{
    const struct shares *shares = &a->counts.shares;
    struct writer       *w = a->writer;
    uint64_t             set_back_below = 0;
    enum db_result       r = put_id_limit(a);

    if (r == DB_OK)
        r = put_set_back(a, &set_back_below);
    if (r == DB_OK && memcmp(&a->counts.totals, &w->counts.totals, sizeof a->counts.totals) != 0)
        r = put_meta(a, SLICE("totals"), &a->counts.totals, sizeof a->counts.totals);
    if (r == DB_OK && memcmp(shares, &w->counts.shares, sizeof *shares) != 0)
        r = put_meta(a, SLICE("shares"), shares->items, shares->count * sizeof shares->items[0]);
    if (r != DB_OK) {
        apply_abort(a);
        return r;
    }
    r = db_commit(a->txn);
    a->txn = NULL;
    if (r == DB_OK) {
        atomic_fetch_add_explicit(&w->store->snapshot, 1, memory_order_release);
        atomic_fetch_add_explicit(&w->store->generation, 1, memory_order_release);
        w->counts = a->counts;
        w->set_back_kept = set_back_below;
        for (unsigned i = 0; i < w->doomed.count; i++)
            bodies_remove(w->store->bodies_fd, w->doomed.items[i]);
        store_publish(w->store, &w->counts.totals);
    }
    w->doomed.count = 0;
    return r;
}
