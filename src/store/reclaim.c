/*
 * Eviction: who goes, how much goes, and what the workers' samples tell.
 *
 * Victims come from small runs of records at random keys: keys are hashes, so
 * neighbours are a random sample.  The worst two of sixteen go (evict.h).
 *
 * How much: small records share pages, and a page is free only when nearly all on
 * it are gone.  To evict until pages come free would throw half the cache
 * away at once; so at the limit (room.c), records are traded one for one (by bytes) for those
 * that come, a little more the further it is passed.  Only where there would be no
 * room on the disk does eviction go on until there is.
 */
#include "store/internal.h"

#include "base/clock.h"
#include "base/counters.h"

#include <sodium.h>

enum {
    SAMPLE = 16,
    VICTIMS = 2,    /* of a sample */
    SEARCHED = 512, /* records, for a sample of one upstream's */
    SHARE_TRIES = 64,
    STEP_RECORDS = 4096,
    STEP_SHARE = 64, /* one part of max_bytes */
    BUSY_STRIDE = 8,
    ROOM_STEPS = 10000,
};

struct reclaim_candidate {
    struct record_key key;
    double            worth;
};

uint64_t reclaim_need(const struct writer *w, uint64_t incoming)
{
    const struct store *s = w->store;
    const uint64_t      limit = room_limit(s);
    const uint64_t      now = atomic_load_explicit(&s->now.bytes, memory_order_relaxed);
    uint64_t            over, trade;

    if (now + incoming <= limit)
        return 0;
    over = now + incoming - limit;
    if (room_is_over(s))
        return over;
    trade = incoming;
    if (now > limit)
        trade += (uint64_t)((double)incoming * 3 * (double)(now - limit) / (double)(room_txn_bytes(s) + 1));
    return over < trade ? over : trade;
}

static double worth_of(const struct writer *w, struct slice key, struct slice value, uint32_t now)
{
    struct record r;
    uint64_t      bytes;

    if (!record_decode(key, value, &r))
        return -1; /* damaged: nothing is worth less */
    bytes = value.len + (r.view.body_file != 0 ? (uint64_t)r.view.body_bytes : 0);
    return evict_worth(w->evict, evict_name(r.view.hash, r.view.variant), evict_ticks(r.view.received_wall_ns), bytes,
                       r.view.invalidated, now);
}

static bool is_of(struct slice key, struct slice value, uint64_t upstream)
{
    struct record r;

    return record_decode(key, value, &r) && shares_name(r.view.upstream) == upstream;
}

/* A run of records at a random place, round the end where need be; of one upstream, where that is not 0: then there
 * may be none in it. */
static enum db_result take_sample(struct apply *a, uint64_t upstream, struct reclaim_candidate *sample, unsigned *count)
{
    struct writer    *w = a->writer;
    const uint32_t    now = evict_ticks(clock_wall_ns());
    struct record_key place = { { 0 } };
    struct slice      key = record_key_slice(&place), value;
    struct db_cursor *cursor;
    enum db_move      move = DB_AT_OR_AFTER;
    bool              round = false;
    unsigned          left = upstream != 0 ? SEARCHED : SAMPLE;
    enum db_result    r = db_cursor_open(a->txn, a->store->tables.records, &cursor);

    *count = 0;
    if (r != DB_OK)
        return r;
    randombytes_buf(place.bytes, sizeof place.bytes);
    for (; *count < SAMPLE && left > 0; left--) {
        r = db_cursor_move(cursor, move, &key, &value);
        move = DB_NEXT;
        if (r == DB_NOT_FOUND && !round) {
            round = true;
            move = DB_FIRST;
            left++;
            continue;
        }
        if (r != DB_OK || key.len != RECORD_KEY_BYTES)
            break;
        if (round && *count > 0 && memcmp(key.ptr, sample[0].key.bytes, RECORD_KEY_BYTES) == 0)
            break; /* fewer than a sample in all */
        if (upstream != 0 && !is_of(key, value, upstream))
            continue;
        memcpy(sample[*count].key.bytes, key.ptr, RECORD_KEY_BYTES);
        sample[(*count)++].worth = worth_of(w, key, value, now);
    }
    db_cursor_close(cursor);
    if (r == DB_NOT_FOUND || r == DB_OK)
        r = *count > 0 ? DB_OK : DB_NOT_FOUND;
    return r;
}

/* Moves the least worthy to the front. */
static void worst_first(struct reclaim_candidate *sample, unsigned count, unsigned wanted)
{
    for (unsigned i = 0; i < wanted; i++)
        for (unsigned k = i + 1; k < count; k++)
            if (sample[k].worth < sample[i].worth) {
                struct reclaim_candidate c = sample[i];

                sample[i] = sample[k];
                sample[k] = c;
            }
}

enum db_result reclaim_some(struct apply *a, uint64_t bytes, unsigned records)
{
    const uint64_t enough = a->freed_bytes + bytes;

    while (a->freed_bytes < enough && records > 0) {
        struct reclaim_candidate sample[SAMPLE];
        unsigned                 count, wanted;
        enum db_result           r = take_sample(a, 0, sample, &count);

        if (r != DB_OK)
            return r;
        wanted = count < SAMPLE || records < VICTIMS ? 1 : VICTIMS;
        worst_first(sample, count, wanted);
        for (unsigned i = 0; i < wanted && a->freed_bytes < enough && records > 0; i++) {
            const unsigned labels = a->labels;
            unsigned       weight;

            r = entry_remove(a, &sample[i].key, UINT64_MAX);
            if (r != DB_OK)
                return r;
            a->evicted++;
            weight = room_weight(1, a->labels - labels);
            records -= weight < records ? weight : records;
        }
    }
    return DB_OK;
}

enum db_result reclaim_share(struct apply *a, struct slice upstream, uint64_t most, uint64_t bytes, bool *fits)
{
    const struct share *share = shares_of(&a->counts.shares, upstream);

    *fits = bytes <= most;
    if (!*fits || share == NULL)
        return DB_OK;
    for (unsigned tries = SHARE_TRIES; tries > 0 && share->bytes + bytes > most; tries--) {
        struct reclaim_candidate sample[SAMPLE];
        unsigned                 count;
        enum db_result           r = take_sample(a, share->upstream, sample, &count);

        if (r == DB_NOT_FOUND) /* none at that place */
            continue;
        if (r != DB_OK)
            return r;
        worst_first(sample, count, 1);
        r = entry_remove(a, &sample[0].key, UINT64_MAX);
        if (r != DB_OK)
            return r;
        a->evicted++;
    }
    *fits = share->bytes + bytes <= most;
    return DB_OK;
}

/* Everything but "the transaction was too much for the full map" ends it. */
static enum db_result try_step(struct writer *w, uint64_t bytes, unsigned records, unsigned *evicted)
{
    struct apply   a;
    enum db_result r = apply_begin(w, &a);

    *evicted = 0;
    if (r != DB_OK)
        return r;
    r = reclaim_some(&a, bytes, records);
    if (r != DB_OK && (r != DB_NOT_FOUND || a.evicted == 0)) {
        apply_abort(&a);
        return r;
    }
    r = apply_commit(&a);
    if (r == DB_OK)
        *evicted = a.evicted;
    return r;
}

bool reclaim_bytes(struct writer *w, uint64_t bytes)
{
    const uint64_t some = w->store->max_bytes / STEP_SHARE;
    unsigned       evicted = 0;
    enum db_result r = DB_FULL;

    for (unsigned records = room_at_once(w->store, STEP_RECORDS); r == DB_FULL && records > 0; records /= 8)
        r = try_step(w, bytes > some ? bytes : some, records, &evicted);
    w->nothing_to_evict = evicted == 0;
    counter_add(COUNTER_EVICTED, evicted);
    store_failed(w->store, r);
    return evicted > 0;
}

bool reclaim_step(struct writer *w)
{
    return reclaim_bytes(w, reclaim_need(w, 0));
}

void reclaim_before(struct writer *w, uint64_t records, uint64_t files)
{
    const uint64_t coming = records + files;
    const uint64_t most = room_beside(w->store, 2);

    for (unsigned i = 0; i < ROOM_STEPS && room_used(w->store) + coming > most; i++)
        if (!reclaim_bytes(w, room_used(w->store) + coming - room_limit(w->store)))
            break;
    apply_keep_room(w, files);
}

void reclaim_merge(struct writer *w, struct store_reader *reader)
{
    const uint32_t now = evict_ticks(clock_wall_ns());
    const int64_t  now_ns = clock_mono_ns(), passed_ns = now_ns - w->merged_at_ns;
    unsigned       stride = atomic_load_explicit(&w->store->stride, memory_order_relaxed);
    uint32_t       end = atomic_load_explicit(&reader->touched, memory_order_acquire);

    if (end - reader->merged > TOUCHES) /* the reader was quicker: those are overwritten */
        reader->merged = end - TOUCHES;
    for (; reader->merged != end; reader->merged++)
        evict_use(w->evict, atomic_load_explicit(&reader->touches[reader->merged % TOUCHES], memory_order_relaxed),
                  now);

    /* Every touch is a sample while there are few of them. */
    w->merged_at_ns = now_ns;
    if (stride == 1 && passed_ns < 10 * NS_PER_MS)
        atomic_store_explicit(&w->store->stride, BUSY_STRIDE, memory_order_relaxed);
    else if (stride != 1 && passed_ns > 160 * NS_PER_MS)
        atomic_store_explicit(&w->store->stride, 1, memory_order_relaxed);
}
