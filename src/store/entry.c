/*
 * A record and all that points to it: its tag, its labels, the number of its body file, and what is counted of it.
 */
#include "store/internal.h"

#include "base/arena.h"

enum { KEYS_AT_ONCE = 256, PAGE_BYTES = 4096, ENTRY_BYTES = 160, LABEL_ENTRY_BYTES = 80, LABELLED_AT_ONCE = 64 };

uint64_t entry_cost(uint64_t value_bytes, struct slice labels)
{
    const uint64_t beside = ENTRY_BYTES + labels.len / STORE_LABEL_BYTES * LABEL_ENTRY_BYTES;

    if (value_bytes <= PAGE_BYTES / 2 - ENTRY_BYTES)
        return value_bytes + beside;
    return (value_bytes + PAGE_BYTES) / PAGE_BYTES * PAGE_BYTES + beside;
}

static uint64_t in_blocks(int64_t bytes)
{
    return ((uint64_t)bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
}

/* What a record of that many bytes fills, its body file included. */
uint64_t entry_fills(uint64_t value_bytes, struct slice labels, uint64_t body_file, int64_t body_bytes)
{
    return entry_cost(value_bytes, labels) + (body_file != 0 ? in_blocks(body_bytes) : 0);
}

static struct slice number_slice(const uint64_t *number)
{
    return (struct slice){ (const char *)number, sizeof *number };
}

/* The next key in the database's order. */
void entry_step_after(uint8_t *key, size_t bytes)
{
    while (bytes > 0 && ++key[bytes - 1] == 0)
        bytes--;
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

static struct label_key label_key(const uint8_t label[STORE_LABEL_BYTES], const struct record_key *key)
{
    struct label_key l;

    memcpy(l.bytes, label, STORE_LABEL_BYTES);
    memcpy(l.bytes + STORE_LABEL_BYTES, key->bytes, RECORD_KEY_BYTES);
    return l;
}

static struct slice label_key_slice(const struct label_key *l)
{
    return (struct slice){ (const char *)l->bytes, sizeof l->bytes };
}

static struct slice label_at(struct slice labels, size_t at)
{
    return slice_sub(labels, at, at + STORE_LABEL_BYTES);
}

/* Those of `labels` that are not among `others` begin or cease to lead to the record. */
static enum db_result set_labels(struct apply *a, const struct record_key *key, struct slice labels,
                                 struct slice others, bool stand)
{
    enum db_result r = DB_OK;

    for (size_t at = 0; r == DB_OK && at < labels.len; at += STORE_LABEL_BYTES) {
        const uint8_t         *label = (const uint8_t *)label_at(labels, at).ptr;
        const struct label_key entry = label_key(label, key);

        if (store_has_label(others, label, STORE_LABEL_BYTES))
            continue;
        r = stand ? db_put(a->txn, a->store->tables.labels, label_key_slice(&entry), SLICE(""))
                  : or_nothing(db_delete(a->txn, a->store->tables.labels, label_key_slice(&entry)));
        a->labels++;
    }
    return r;
}

/* -- in and out -- */

enum db_result entry_add(struct apply *a, const struct record_parts *p)
{
    const struct tag_key tag = tag_key(p->tag, &p->key);
    enum db_result       r = db_put(a->txn, a->store->tables.tags, tag_key_slice(&tag), SLICE(""));

    if (r == DB_OK)
        r = set_labels(a, &p->key, p->labels, SLICE(""), true);
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

/* What points to a record goes with it. A damaged one says nothing: its tag, labels and file are found to lead nowhere
 * later.  `labels`: a copy, since what is read dies with a write. */
static enum db_result unhook(struct apply *a, const struct record_key *key, const struct record *r, struct slice labels)
{
    const struct tag_key tag = tag_key(r->tag, key);
    const uint64_t       number = r->view.body_file;
    enum db_result       result = or_nothing(db_delete(a->txn, a->store->tables.tags, tag_key_slice(&tag)));

    if (result == DB_OK)
        result = set_labels(a, key, labels, SLICE(""), false);
    if (result != DB_OK || number == 0)
        return result;
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
    char           room[STORE_LABELS_AT_MOST * STORE_LABEL_BYTES];
    struct slice   value, labels = SLICE("");
    struct record  record;
    enum db_result r = db_get(a->txn, a->store->tables.records, record_key_slice(key), &value);

    if (r != DB_OK)
        return r;
    if (record_decode(record_key_slice(key), value, &record)) {
        if (record.view.id >= below_id)
            return DB_NOT_FOUND;
        labels = store_record_labels(&record.view);
        memcpy(room, labels.ptr, labels.len);
        labels.ptr = room;
        shares_take(&a->counts.shares, record.view.upstream,
                    entry_fills(value.len, labels, record.view.body_file, record.view.body_bytes));
        r = unhook(a, key, &record, labels);
        if (r != DB_OK)
            return r;
    }
    a->freed_bytes += entry_cost(value.len, labels);
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
    } while (r == DB_OK && v.count == at_once && room_weight(done, a->labels) < at_most);
    *more = r == DB_OK && v.count == at_once;
    return r;
}

/* -- labels -- */

enum db_result entry_relabel(struct apply *a, const struct record_key *key, struct slice old, struct slice labels)
{
    enum db_result r = set_labels(a, key, old, labels, false);

    return r == DB_OK ? set_labels(a, key, labels, old, true) : r;
}

/* The record where it is meant, and an entry that leads to none which bears the label: a damaged one could not name it.
 */
static enum db_result drop_labelled(struct apply *a, const struct store_change *c, const struct label_key *entry,
                                    uint64_t below_id, uint64_t *dropped)
{
    struct record_key key;
    struct slice      value;
    struct record     record;
    enum db_result    r;

    memcpy(key.bytes, entry->bytes + STORE_LABEL_BYTES, RECORD_KEY_BYTES);
    r = db_get(a->txn, a->store->tables.records, record_key_slice(&key), &value);
    if (or_nothing(r) != DB_OK)
        return r;
    if (r == DB_OK && record_decode(record_key_slice(&key), value, &record)) {
        if (record.view.id >= below_id ||
            (c->upstream != NULL && !slice_eq(record.view.upstream, slice_of(c->upstream))))
            return DB_OK;
        if (store_has_label(store_record_labels(&record.view), entry->bytes, STORE_LABEL_BYTES)) {
            (*dropped)++;
            return entry_remove(a, &key, below_id);
        }
    }
    a->labels++;
    return or_nothing(db_delete(a->txn, a->store->tables.labels, label_key_slice(entry)));
}

/* The next entries under it, from *from on. */
static enum db_result find_labelled(struct apply *a, const struct store_change *c, const struct label_key *from,
                                    unsigned at_most, struct label_key *found, unsigned *count)
{
    struct slice      key = label_key_slice(from), value;
    struct db_cursor *cursor;
    enum db_result    r = db_cursor_open(a->txn, a->store->tables.labels, &cursor);

    *count = 0;
    if (r != DB_OK)
        return r;
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    while (r == DB_OK && *count < at_most && key.len == sizeof from->bytes &&
           memcmp(key.ptr, c->label, c->label_bytes) == 0) {
        memcpy(found[(*count)++].bytes, key.ptr, sizeof from->bytes);
        r = db_cursor_move(cursor, DB_NEXT, &key, &value);
    }
    db_cursor_close(cursor);
    return or_nothing(r);
}

enum db_result entry_drop_label(struct apply *a, const struct store_change *c, uint64_t below_id, unsigned at_most,
                                struct label_key *from, uint64_t *dropped, bool *more)
{
    struct label_key found[LABELLED_AT_ONCE];
    unsigned         count, done = 0;
    bool             is_full = false;
    enum db_result   r;

    if (memcmp(from->bytes, c->label, c->label_bytes) != 0)
        memcpy(from->bytes, c->label, c->label_bytes);
    do {
        r = find_labelled(a, c, from, LABELLED_AT_ONCE, found, &count);
        for (unsigned i = 0; r == DB_OK && i < count && !is_full; i++) {
            r = drop_labelled(a, c, &found[i], below_id, dropped);
            *from = found[i];
            entry_step_after(from->bytes, sizeof from->bytes);
            is_full = room_weight(++done, a->labels) >= at_most;
        }
    } while (r == DB_OK && count == LABELLED_AT_ONCE && !is_full);
    *more = r == DB_OK && is_full;
    return r;
}
