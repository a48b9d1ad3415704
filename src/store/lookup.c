/*
 * Look-ups: on the caller's thread, without lock, system call or allocation.
 *
 * A reader keeps its transaction's slot and renews it for each look-up, so that no
 * old snapshot holds pages back.  A damaged record is a miss; the writer is
 * told to drop it.  An inline body is checked when the reader first meets that
 * version of the record; which ones it has met stands in a small table.
 *
 * While changes of a key wait for their commit, a look-up of it goes by uncommitted.c as well.  What is found again and
 * again is copied to where it is found sooner: hot.c.
 */
#include "store/internal.h"

#include "base/arena.h"

#include <stdlib.h>

struct store_reader *store_reader_open(struct store *s)
{
    struct store_reader *r = mem_alloc(sizeof *r);

    r->store = s;
    if (s != NULL)
        home_enter(s, r);
    r->random = (uint32_t)(uintptr_t)r | 1;
    writer_init_reader(r);
    return r;
}

void store_reader_close(struct store_reader *r)
{
    if (r == NULL)
        return;
    store_reader_end(r);
    db_cursor_close(r->cursor);
    db_abort(r->txn);
    arena_free(&r->arena);
    hot_close(r->hot);
    if (r->store != NULL)
        home_leave(r->store, r);
    if (r->store != NULL)
        mailbox_post(r->store->mailbox, &r->gone); /* after whatever of it stands there */
    else
        free(r);
}

void store_reader_end(struct store_reader *r)
{
    if (r->borrowed)
        db_read_reset(r->txn);
    r->borrowed = false;
}

enum db_result store_reader_begin(struct store_reader *r)
{
    enum db_result result;

    store_reader_end(r);
    if (r->txn == NULL) {
        result = db_begin(r->home->db, false, &r->txn);
        if (result != DB_OK)
            return result;
        result = db_cursor_open(r->txn, r->home->records, &r->cursor);
        if (result != DB_OK) {
            db_abort(r->txn);
            r->txn = NULL;
            return result;
        }
        r->borrowed = true;
        return DB_OK;
    }
    result = db_read_renew(r->txn);
    if (result != DB_OK)
        return result;
    r->borrowed = true;
    return db_cursor_renew(r->cursor, r->txn);
}

static void report(struct store_reader *r, struct slice key)
{
    if (r->leaves_no_trace || key.len != RECORD_KEY_BYTES || atomic_exchange(&r->suspect_posted, true))
        return;
    memcpy(r->suspect_key.bytes, key.ptr, RECORD_KEY_BYTES);
    mailbox_post(r->store->mailbox, &r->suspect);
}

static bool body_is_right(struct store_reader *r, const struct record *record)
{
    const uint32_t id = (uint32_t)record->view.id;
    uint32_t      *verified = &r->verified[id % VERIFIED];

    if (record->view.body_file != 0 || *verified == id)
        return true;
    if (!record_body_is_right(record))
        return false;
    if (!r->leaves_no_trace)
        *verified = id;
    return true;
}

/* By the order in which they were stored: a clock that was set back would prefer what it received before for ever.
 * What was invalidated has a new id and tells nothing by it, but all that is valid came after. */
static bool is_newer(const struct store_record *a, const struct store_record *b)
{
    if (a->invalidated != b->invalidated)
        return b->invalidated;
    if (a->invalidated && a->received_wall_ns != b->received_wall_ns)
        return a->received_wall_ns > b->received_wall_ns;
    return a->id > b->id;
}

void store_clock_set_back(struct store *s, int64_t ns)
{
    if (s == NULL || ns <= 0)
        return;
    atomic_fetch_add(&s->set_back.ns, ns);
    atomic_store(&s->set_back.below, store_new_id(s));
    /* What is kept ready counts by the clock. */
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

struct sought {
    struct slice         full_key;
    store_accept         accept;
    void                *context;
    struct store_record *out;
};

/* One record more that might do. */
static inline enum store_result offer(const struct sought *q, enum store_result result, const struct store_record *r)
{
    if (result == STORE_MISS)
        result = STORE_OTHER_VARIANT;
    if (result == STORE_HIT && !is_newer(r, q->out))
        return result;
    if (q->accept != NULL && !q->accept(r, q->context))
        return result;
    *q->out = *r;
    return STORE_HIT;
}

struct passed {
    struct slice key, value;
    unsigned     count;
}; /* the last of what stands under a hash, right or not */

/* `o` NULL: by the database alone. */
static inline __attribute__((always_inline)) enum store_result scan(struct store_reader *r,
                                                                    const uint8_t        hash[STORE_HASH_BYTES],
                                                                    const struct sought *q, const struct overlay *o,
                                                                    struct passed *seen)
{
    uint8_t           from[RECORD_KEY_BYTES] = { 0 };
    struct slice      key = { (const char *)from, sizeof from }, value;
    enum store_result result = STORE_MISS;
    enum db_result    found;

    memcpy(from, hash, STORE_HASH_BYTES);
    found = db_cursor_move(r->cursor, DB_AT_OR_AFTER, &key, &value);
    for (; found == DB_OK && key.len >= STORE_HASH_BYTES && memcmp(key.ptr, hash, STORE_HASH_BYTES) == 0;
         found = db_cursor_move(r->cursor, DB_NEXT, &key, &value)) {
        struct record record;

        seen->key = key;
        seen->value = value;
        seen->count++;
        if (!record_decode(key, value, &record) || !body_is_right(r, &record)) {
            report(r, key);
            seen->count++; /* no copy of that */
            continue;
        }
        if (!slice_eq(record.view.full_key, q->full_key))
            continue; /* another key with the same hash */
        if (o != NULL && !overlay_apply(o, &record.view))
            continue;
        store_heed_clock(r->store, &record.view);
        result = offer(q, result, &record.view);
    }
    if (found == DB_BROKEN)
        result = STORE_BROKEN;
    return result;
}

/* To the database that is in use, where another has been begun since. */
static void go_over(struct store_reader *r)
{
    if (r->turn == r->store->turn) /* read without the lock: else it is seen the next time */
        return;
    store_reader_end(r);
    db_cursor_close(r->cursor);
    db_abort(r->txn);
    r->cursor = NULL;
    r->txn = NULL;
    home_move(r->store, r);
}

/* Changes are announced, of this key or others; or another database was begun. */
__attribute__((noinline)) enum store_result store_scan_plainly(struct store_reader *r,
                                                               const uint8_t        hash[STORE_HASH_BYTES],
                                                               struct slice full_key, store_accept accept,
                                                               void *context, struct store_record *out)
{
    const struct sought q = { full_key, accept, context, out };
    struct overlay     *o;
    struct store_record record;
    struct passed       seen = { .count = 0 };
    enum store_result   result;

    go_over(r);
    o = overlay_take(r, hash, full_key);
    if (store_reader_begin(r) != DB_OK)
        return STORE_BROKEN;
    result = scan(r, hash, &q, o, &seen);
    for (unsigned i = 0; o != NULL && result != STORE_BROKEN && overlay_next(o, &i, &record);) {
        store_heed_clock(r->store, &record);
        result = offer(&q, result, &record);
    }
    return result;
}

/* Nothing is announced of that key, and this reader reads the database that is in use. */
static inline bool is_settled(const struct store *s, const uint8_t hash[STORE_HASH_BYTES])
{
    const uint64_t attention = atomic_load_explicit(&s->attention, memory_order_acquire);

    return attention == 0 || (attention < STORE_READER_BEHIND && !store_is_changing(s, hash));
}

static void offer_copy(struct store_reader *r, uint64_t snapshot, const struct passed *seen)
{
    if (r->hot == NULL) {
        if (r->has_no_hot)
            return;
        r->hot = hot_open();
        r->has_no_hot = r->hot == NULL;
    }
    if (r->hot != NULL && !hot_is_large(r->hot) &&
        atomic_load_explicit(&r->store->now.bytes, memory_order_relaxed) >= HOT_DATABASE_BYTES)
        hot_enlarge(r->hot);
    if (r->hot != NULL)
        hot_offer(r->hot, snapshot, seen->key, seen->value);
}

/* By the copies, and by the database where they do not know. */
static enum store_result scan_settled(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES],
                                      const struct sought *q)
{
    /* After what is announced was looked at, and before the database is: never newer than what is found. */
    const uint64_t    snapshot = atomic_load_explicit(&r->store->snapshot, memory_order_acquire);
    struct passed     seen = { .count = 0 };
    struct record     record;
    enum store_result result;

    if (r->hot != NULL && hot_find(r->hot, hash, snapshot, &seen.key, &seen.value)) {
        store_reader_end(r);
        record_read(seen.key, seen.value, &record);
        if (!slice_eq(record.view.full_key, q->full_key))
            return STORE_MISS; /* another key with the same hash, and it is alone there */
        store_heed_clock(r->store, &record.view);
        return offer(q, STORE_MISS, &record.view);
    }
    if (store_reader_begin(r) != DB_OK)
        return STORE_BROKEN;
    result = scan(r, hash, q, NULL, &seen);
    if (result == STORE_HIT && seen.count == 1)
        offer_copy(r, snapshot, &seen);
    return result;
}

enum store_result store_lookup(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key,
                               store_accept accept, void *context, struct store_record *out)
{
    const struct sought q = { full_key, accept, context, out };
    enum store_result   result;

    if (r->store == NULL)
        return STORE_BROKEN;
    if (is_settled(r->store, hash))
        result = scan_settled(r, hash, &q);
    else
        result = store_is_broken(r->store) ? STORE_BROKEN : store_scan_plainly(r, hash, full_key, accept, context, out);
    if (result != STORE_HIT)
        store_reader_end(r);
    return result;
}

uint64_t store_generation(const struct store *s)
{
    return s != NULL ? atomic_load_explicit(&s->generation, memory_order_acquire) : 0;
}

void store_look_again(struct store *s)
{
    atomic_fetch_add_explicit(&s->generation, 1, memory_order_release);
}

int store_body_open(struct store *s, const struct store_record *record)
{
    int fd;

    if (s == NULL || record->body_file == 0)
        return -1;
    fd = bodies_read(s->bodies_fd, record->body_file, record->body_bytes, &record->proof);
    if (fd < 0)
        fd = uncommitted_body(s, record); /* it has no name yet; where it has got one since: */
    return fd >= 0 ? fd : bodies_read(s->bodies_fd, record->body_file, record->body_bytes, &record->proof);
}

void store_touch(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES])
{
    uint32_t at, stride;

    if (r->store == NULL)
        return;
    tally_hit(r->tally, tally_name(hash, variant));
    stride = atomic_load_explicit(&r->store->stride, memory_order_relaxed);
    r->random ^= r->random << 13; /* of every hit: a call of the library would be dearer than the touch */
    r->random ^= r->random >> 17;
    r->random ^= r->random << 5;
    if (r->random % stride != 0)
        return;
    at = atomic_load_explicit(&r->touched, memory_order_relaxed);
    atomic_store_explicit(&r->touches[at % TOUCHES], evict_name(hash, variant), memory_order_relaxed);
    atomic_store_explicit(&r->touched, at + 1, memory_order_release);
    if ((at + 1) % (TOUCHES / 2) == 0 && !atomic_exchange(&r->merge_posted, true))
        mailbox_post(r->store->mailbox, &r->merge);
}
