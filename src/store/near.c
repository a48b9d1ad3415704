/*
 * What is stored near a key, for whoever asks why something is not found: a look-up that leaves no trace, and what
 * stands under the same path of the same partition, which one index has together.
 *
 * Nothing here counts as use: no copy is made ready, no sample is left for eviction, no damaged record is reported.
 * The reader's own thread; the work is bounded by what the caller wants to see and by COUNTED_MOST.
 */
#include "store/internal.h"

enum { COUNTED_MOST = 10000, TAG_KEY_BYTES = STORE_HASH_BYTES + RECORD_KEY_BYTES };

struct near {
    struct store_reader *reader;
    unsigned             most;
    store_near_each      each;
    void                *context;
    struct store_near    found;
    /* announced, and not in the database yet or not as it will be */
    const struct store_record *coming;
    unsigned                   coming_count;
};

static bool is_coming(const struct near *n, const uint8_t *key)
{
    for (unsigned i = 0; i < n->coming_count; i++)
        if (memcmp(n->coming[i].hash, key, STORE_HASH_BYTES) == 0 &&
            memcmp(n->coming[i].variant, key + STORE_HASH_BYTES, STORE_HASH_BYTES) == 0)
            return true;
    return false;
}

static void show(struct near *n, struct store_record *r)
{
    n->found.count++;
    if (n->found.shown == n->most)
        return;
    n->found.shown++;
    store_heed_clock(n->reader->store, r);
    n->each(r, n->context);
}

static void show_committed(struct near *n, const uint8_t *key)
{
    struct slice  name = { (const char *)key, RECORD_KEY_BYTES }, value;
    struct record r;

    if (n->found.shown == n->most)
        n->found.count++;
    else if (db_get(n->reader->txn, n->reader->home->records, name, &value) == DB_OK && record_decode(name, value, &r))
        show(n, &r.view);
}

static void scan(struct near *n, const uint8_t tag[STORE_HASH_BYTES])
{
    uint8_t           from[TAG_KEY_BYTES] = { 0 };
    struct slice      key = { (const char *)from, sizeof from }, value;
    struct db_cursor *cursor;
    enum db_result    r = db_cursor_open(n->reader->txn, n->reader->home->tags, &cursor);

    if (r != DB_OK)
        return;
    memcpy(from, tag, STORE_HASH_BYTES);
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    for (; r == DB_OK && key.len == TAG_KEY_BYTES && memcmp(key.ptr, tag, STORE_HASH_BYTES) == 0;
         r = db_cursor_move(cursor, DB_NEXT, &key, &value)) {
        const uint8_t *record = (const uint8_t *)key.ptr + STORE_HASH_BYTES;

        if (n->found.count >= COUNTED_MOST) {
            n->found.is_all = false;
            break;
        }
        if (!is_coming(n, record))
            show_committed(n, record);
    }
    db_cursor_close(cursor);
}

struct store_near store_of_path(struct store_reader *r, const uint8_t tag[STORE_HASH_BYTES], unsigned most,
                                store_near_each each, void *context)
{
    struct near n = { .reader = r, .most = most, .each = each, .context = context, .found = { .is_all = true } };
    struct store_record *coming = NULL;

    store_reader_end(r);
    if (r->store == NULL || store_is_broken(r->store))
        return n.found;
    n.coming_count = uncommitted_of_path(r, tag, most, &coming);
    n.coming = coming;
    if (store_reader_begin(r) != DB_OK)
        return n.found;
    for (unsigned i = 0; i < n.coming_count; i++)
        show(&n, &coming[i]);
    scan(&n, tag);
    store_reader_end(r);
    return n.found;
}

void store_coming_of_path(struct store_reader *r, const uint8_t tag[STORE_HASH_BYTES], unsigned most,
                          store_near_each each, void *context)
{
    struct store_record *coming = NULL;
    unsigned             count;

    store_reader_end(r);
    if (r->store == NULL || store_is_broken(r->store) || atomic_load(&r->store->attention) == 0)
        return;
    count = uncommitted_of_path(r, tag, most, &coming);
    for (unsigned i = 0; i < count; i++)
        each(&coming[i], context);
}

/* Those it leads to, read one after the other. */
static void scan_label(struct near *n, const uint8_t label[STORE_LABEL_BYTES])
{
    struct label_key  from = { { 0 } };
    struct slice      key = { (const char *)from.bytes, sizeof from.bytes }, value;
    struct db_cursor *cursor;
    enum db_result    r = db_cursor_open(n->reader->txn, n->reader->home->labels, &cursor);

    if (r != DB_OK)
        return;
    memcpy(from.bytes, label, STORE_LABEL_BYTES);
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    for (; r == DB_OK && n->found.shown < n->most && key.len == sizeof from.bytes &&
           memcmp(key.ptr, label, STORE_LABEL_BYTES) == 0;
         r = db_cursor_move(cursor, DB_NEXT, &key, &value))
        show_committed(n, (const uint8_t *)key.ptr + STORE_LABEL_BYTES);
    db_cursor_close(cursor);
}

void store_of_label(struct store_reader *r, const uint8_t label[STORE_LABEL_BYTES], unsigned most, store_near_each each,
                    void *context)
{
    struct near n = { .reader = r, .most = most, .each = each, .context = context };

    store_reader_end(r);
    if (r->store == NULL || store_is_broken(r->store) || store_reader_begin(r) != DB_OK)
        return;
    scan_label(&n, label);
    store_reader_end(r);
}

bool store_varies_by_search(const struct store *s)
{
    return s != NULL && atomic_load_explicit(&s->varies_by_search, memory_order_relaxed);
}

enum store_result store_peek(struct store_reader *r, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key,
                             store_accept accept, void *context, struct store_record *out)
{
    enum store_result result;

    if (r->store == NULL || store_is_broken(r->store))
        return STORE_BROKEN;
    r->leaves_no_trace = true;
    result = store_scan_plainly(r, hash, full_key, accept, context, out);
    r->leaves_no_trace = false;
    if (result != STORE_HIT)
        store_reader_end(r);
    return result;
}
