/*
 * A record and all that points to it: its tag, the number of its body file, and what is counted of it.
 */
#include "store/internal.h"

#include "base/arena.h"

enum { KEYS_AT_ONCE = 256, PAGE_BYTES = 4096, ENTRY_BYTES = 160 };

uint64_t entry_cost(uint64_t value_bytes)
{
    if (value_bytes <= PAGE_BYTES / 2 - ENTRY_BYTES)
        return value_bytes + ENTRY_BYTES;
    return (value_bytes + PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES + ENTRY_BYTES;
}

static uint64_t in_blocks(int64_t bytes)
{
    return ((uint64_t)bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* What a record of that many bytes fills, its body file included. */
uint64_t entry_fills(uint64_t value_bytes, uint64_t body_file, int64_t body_bytes)
{
    return entry_cost(value_bytes) + (body_file != 0 ? in_blocks(body_bytes) : 0);
}

static struct slice number_slice(const uint64_t *number)
{
    return (struct slice){ (const char *)number, sizeof *number };
}

/* Not values of one key (DUPSORT): a tag with many records would get pages of its own, and keep them. */
struct tag_key {
    uint8_t bytes[STORE_HASH_BYTES + RECORD_KEY_BYTES];
};

static struct tag_key tag_key(const uint8_t tag[STORE_HASH_BYTES], const struct record_key *key)
{
    struct tag_key t;

    memcpy(t.bytes, tag, STORE_HASH_BYTES);
    memcpy(t.bytes + STORE_HASH_BYTES, key->bytes, RECORD_KEY_BYTES);
    return t;
}

static struct slice tag_key_slice(const struct tag_key *t)
{
    return (struct slice){ (const char *)t->bytes, sizeof t->bytes };
}

/* -- in and out -- */

enum db_result entry_add(struct apply *a, const struct record_parts *p)
{
    const struct tag_key tag = tag_key(p->tag, &p->key);
    enum db_result       r = db_put(a->txn, a->store->tables.tags, tag_key_slice(&tag), SLICE(""));

    if (r != DB_OK || p->body_file == 0)
        return r;
    a->counts.totals.body_files++;
    a->counts.totals.body_bytes += in_blocks(p->body_bytes);
    return db_put(a->txn, a->store->tables.files, number_slice(&p->body_file), record_key_slice(&p->key));
}

static void doom(struct numbers *n, uint64_t number)
{
    MEM_ROOM(n->items, n->capacity, n->count + 1);
    n->items[n->count++] = number;
}

/* What points to a record goes with it. A damaged one says nothing: its tag and file are found to lead nowhere later.
 */
static enum db_result unhook(struct apply *a, const struct record_key *key, const struct record *r)
{
    const struct tag_key tag = tag_key(r->tag, key);
    const uint64_t       number = r->view.body_file;
    enum db_result       result = db_delete(a->txn, a->store->tables.tags, tag_key_slice(&tag));

    if (or_nothing(result) != DB_OK || number == 0)
        return or_nothing(result);
    result = db_delete(a->txn, a->store->tables.files, number_slice(&number));
    if (or_nothing(result) != DB_OK)
        return result;
    doom(&a->writer->doomed, number);
    a->counts.totals.body_files -= a->counts.totals.body_files > 0;
    a->counts.totals.body_bytes -= in_blocks(r->view.body_bytes) < a->counts.totals.body_bytes
                                       ? in_blocks(r->view.body_bytes)
                                       : a->counts.totals.body_bytes;
    a->freed_bytes += in_blocks(r->view.body_bytes);
    return DB_OK;
}

enum db_result entry_remove(struct apply *a, const struct record_key *key, uint64_t below_id)
{
    struct slice   value;
    struct record  record;
    enum db_result r = db_get(a->txn, a->store->tables.records, record_key_slice(key), &value);

    if (r != DB_OK)
        return r;
    a->freed_bytes += entry_cost(value.len);
    if (record_decode(record_key_slice(key), value, &record)) {
        if (record.view.id >= below_id)
            return DB_NOT_FOUND;
        shares_take(&a->counts.shares, record.view.upstream,
                    entry_fills(value.len, record.view.body_file, record.view.body_bytes));
        r = unhook(a, key, &record);
        if (r != DB_OK)
            return r;
    }
    r = db_delete(a->txn, a->store->tables.records, record_key_slice(key));
    if (r == DB_OK)
        a->removed++;
    return r;
}

/* -- tags -- */

struct tagged {
    struct record_key keys[KEYS_AT_ONCE];
    unsigned          count;
};

/* The next keys with that tag, from *from on. */
static enum db_result find_tagged(struct apply *a, const struct tag_key *from, unsigned at_most, struct tagged *v)
{
    struct slice      key = tag_key_slice(from), value;
    struct db_cursor *cursor;
    enum db_result    r = db_cursor_open(a->txn, a->store->tables.tags, &cursor);

    v->count = 0;
    if (r != DB_OK)
        return r;
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    while (r == DB_OK && v->count < at_most && key.len == sizeof from->bytes &&
           memcmp(key.ptr, from->bytes, STORE_HASH_BYTES) == 0) {
        memcpy(v->keys[v->count++].bytes, key.ptr + STORE_HASH_BYTES, RECORD_KEY_BYTES);
        r = db_cursor_move(cursor, DB_NEXT, &key, &value);
    }
    db_cursor_close(cursor);
    return or_nothing(r);
}

/* The record and the entry that leads to it, which a damaged record could not name; newer ones stay. */
static enum db_result drop_tagged(struct apply *a, const struct tag_key *entry, const struct record_key *key,
                                  uint64_t below_id, uint64_t *dropped)
{
    enum db_result r = entry_remove(a, key, below_id);
    struct slice   value;

    if (r == DB_OK)
        (*dropped)++;
    else if (r == DB_NOT_FOUND && db_get(a->txn, a->store->tables.records, record_key_slice(key), &value) == DB_OK)
        return DB_OK;
    else if (r != DB_NOT_FOUND)
        return r;
    return or_nothing(db_delete(a->txn, a->store->tables.tags, tag_key_slice(entry)));
}

enum db_result entry_drop_tag(struct apply *a, const uint8_t tag[STORE_HASH_BYTES], uint64_t below_id, unsigned at_most,
                              struct record_key *from, uint64_t *dropped, bool *more)
{
    const unsigned at_once = at_most < KEYS_AT_ONCE ? at_most : KEYS_AT_ONCE;
    struct tag_key at = tag_key(tag, from);
    struct tagged  v;
    unsigned       done = 0;
    enum db_result r;

    do {
        r = find_tagged(a, &at, at_once, &v);
        for (unsigned i = 0; r == DB_OK && i < v.count; i++) {
            at = tag_key(tag, &v.keys[i]);
            r = drop_tagged(a, &at, &v.keys[i], below_id, dropped);
            *from = v.keys[i];
        }
        done += v.count;
    } while (r == DB_OK && v.count == at_once && done < at_most);
    *more = r == DB_OK && v.count == at_once;
    return r;
}
