/*
 * One change within the writer's transaction.
 *
 * A record is copied out before it is rewritten, for a value dies with the next write.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

enum { DROPPED_AT_ONCE = 1000, KEYS_AT_ONCE = 256 };

/* -- the variants under one hash -- */

struct variants {
    struct record_key keys[KEYS_AT_ONCE];
    unsigned          count;
    unsigned          oldest; /* index */
    int64_t           oldest_ns;
};

static enum db_result find_variants(struct apply *a, const uint8_t hash[STORE_HASH_BYTES], struct variants *v)
{
    static const uint8_t lowest[STORE_HASH_BYTES];
    struct record_key    from = record_key(hash, lowest);
    struct slice         key = record_key_slice(&from), value;
    const int64_t        now_ns = clock_wall_ns();
    struct db_cursor    *cursor;
    enum db_result       r = db_cursor_open(a->txn, a->store->tables.records, &cursor);

    v->count = 0;
    v->oldest = 0;
    v->oldest_ns = INT64_MAX;
    if (r != DB_OK)
        return r;
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
    while (r == DB_OK && v->count < KEYS_AT_ONCE && key.len == RECORD_KEY_BYTES &&
           memcmp(key.ptr, hash, STORE_HASH_BYTES) == 0) {
        struct record record;
        int64_t       at = record_decode(key, value, &record) ? record.view.received_wall_ns : INT64_MIN;

        memcpy(v->keys[v->count].bytes, key.ptr, RECORD_KEY_BYTES);
        if (at > now_ns)
            at = INT64_MIN; /* the clock was set back since */
        if (at < v->oldest_ns) {
            v->oldest_ns = at;
            v->oldest = v->count;
        }
        v->count++;
        r = db_cursor_move(cursor, DB_NEXT, &key, &value);
    }
    db_cursor_close(cursor);
    return or_nothing(r);
}

/* -- storing -- */

/* Room for one more variant, and nothing under this key. */
static enum db_result make_place(struct apply *a, const struct record_key *key)
{
    enum db_result  r = entry_remove(a, key, UINT64_MAX);
    struct variants v;

    if (r != DB_NOT_FOUND)
        return r;
    r = find_variants(a, key->bytes, &v);
    if (r == DB_OK && v.count >= VARIANTS_AT_MOST)
        r = or_nothing(entry_remove(a, &v.keys[v.oldest], UINT64_MAX));
    return r;
}

static bool stands(struct apply *a, const struct record_key *key, uint64_t id)
{
    struct slice  value;
    struct record record;

    return db_get(a->txn, a->store->tables.records, record_key_slice(key), &value) == DB_OK &&
           record_decode(record_key_slice(key), value, &record) && record.view.id == id;
}

static enum db_result put(struct apply *a, struct work *work)
{
    struct store_change *c = work->change;

    struct record_parts p = {
        .key = record_key(c->hash, c->variant),
        .id = c->number,
        .requested_wall_ns = c->requested_wall_ns,
        .received_wall_ns = c->received_wall_ns,
        .status = c->status,
        .had_credential = c->had_credential,
        .masked = c->masked,
        .full_key = c->full_key,
        .selection = c->selection,
        .upstream = slice_of(c->upstream),
        .fields = &c->fields,
        .labels = c->labels,
        .body_bytes = c->body != NULL ? spool_length(c->body) : 0,
        .body_file = work->body_file,
        .proof = work->proof,
    };
    size_t         size = record_size(&p);
    const uint64_t fills = entry_fills(size, p.labels, p.body_file, p.body_bytes);
    bool           fits = true;
    enum db_result r;
    void          *room;
    char          *body;

    memcpy(p.tag, c->tag, sizeof p.tag);
    if (size == 0) {
        work->refused = true;
        return DB_OK;
    }
    if (c->id != 0 && !stands(a, &p.key, c->id))
        return DB_OK;
    if ((r = make_place(a, &p.key)) != DB_OK)
        return r;
    if (c->max_share > 0)
        r = reclaim_share(a, p.upstream, (uint64_t)(c->max_share * (double)a->store->max_bytes), fills, &fits);
    work->refused = !fits;
    if (r != DB_OK || !fits || (r = entry_add(a, &p)) != DB_OK)
        return r;
    shares_add(&a->counts.shares, p.upstream, fills);
    r = db_reserve(a->txn, a->store->tables.records, record_key_slice(&p.key), size, &room);
    if (r != DB_OK)
        return r;
    body = record_begin(&p, room);
    if (p.body_file == 0 && p.body_bytes > 0 && spool_peek(c->body, 0, body, (size_t)p.body_bytes) != p.body_bytes)
        return DB_REFUSED;
    record_seal(&p.key, room, size);
    c->changed = 1;
    c->new_id = p.id;
    return DB_OK;
}

/* -- changing what is stored -- */

/* The record, copied to where writing does not reach it. */
static enum db_result read_copy(struct apply *a, const struct record_key *key, struct record *out)
{
    struct writer *w = a->writer;
    struct slice   value;
    enum db_result r = db_get(a->txn, a->store->tables.records, record_key_slice(key), &value);

    if (r != DB_OK)
        return r;
    MEM_ROOM(w->scratch.bytes, w->scratch.room, value.len);
    memcpy(w->scratch.bytes, value.ptr, value.len);
    w->scratch.used = value.len;
    value.ptr = w->scratch.bytes;
    return record_decode(record_key_slice(key), value, out) ? DB_OK : DB_NOT_FOUND;
}

/* Writes it anew with another id; fresh NULL: with its own fields, and marked invalidated. */
static enum db_result rewrite(struct apply *a, const struct record_key *key, const struct record *old,
                              const struct store_change *fresh, uint64_t *id)
{
    const struct store_record *v = &old->view;
    const struct slice         labels = store_record_labels(v);

    struct record_parts p = {
        .key = *key,
        .id = fresh != NULL ? fresh->number : store_new_id(a->store),
        .requested_wall_ns = fresh != NULL ? fresh->requested_wall_ns : v->requested_wall_ns,
        .received_wall_ns = fresh != NULL ? fresh->received_wall_ns : v->received_wall_ns,
        .status = v->status,
        .invalidated = fresh == NULL,
        .had_credential = v->had_credential,
        .masked = fresh != NULL ? fresh->masked : v->masked,
        .full_key = v->full_key,
        .selection = v->selection,
        .upstream = v->upstream,
        .fields = fresh != NULL ? &fresh->fields : NULL,
        .encoded_fields = v->encoded_fields,
        .labels = fresh != NULL ? fresh->labels : labels,
        .body_bytes = v->body_bytes,
        .body_file = v->body_file,
        .proof = v->proof,
    };
    size_t         size;
    void          *room;
    char          *body;
    enum db_result r;

    memcpy(p.tag, old->tag, sizeof p.tag);
    size = record_size(&p);
    if (size == 0 || !record_body_is_right(old)) /* never give a damaged body a checksum that fits */
        return DB_NOT_FOUND;
    if (fresh != NULL && (r = entry_relabel(a, key, labels, p.labels)) != DB_OK)
        return r;
    shares_take(&a->counts.shares, v->upstream, entry_cost(a->writer->scratch.used, labels));
    shares_add(&a->counts.shares, v->upstream, entry_cost(size, p.labels));
    r = db_reserve(a->txn, a->store->tables.records, record_key_slice(key), size, &room);
    if (r != DB_OK)
        return r;
    body = record_begin(&p, room);
    if (v->body.len > 0)
        memcpy(body, v->body.ptr, v->body.len);
    record_seal(key, room, size);
    *id = p.id;
    return DB_OK;
}

static enum db_result freshen(struct apply *a, struct work *work)
{
    struct store_change *c = work->change;
    struct record_key    key = record_key(c->hash, c->variant);
    struct record        old;
    enum db_result       r = read_copy(a, &key, &old);

    if (r != DB_OK || old.view.id != c->id)
        return or_nothing(r);
    r = rewrite(a, &key, &old, c, &c->new_id);
    if (r == DB_OK)
        c->changed = 1;
    return or_nothing(r);
}

static enum db_result invalidate(struct apply *a, struct work *work)
{
    struct store_change *c = work->change;
    struct variants      v;
    enum db_result       r = find_variants(a, c->hash, &v);

    for (unsigned i = 0; r == DB_OK && i < v.count; i++) {
        struct record old;

        r = read_copy(a, &v.keys[i], &old);
        if (r == DB_OK && !old.view.invalidated) {
            r = rewrite(a, &v.keys[i], &old, NULL, &c->new_id);
            c->changed += r == DB_OK;
        }
        r = or_nothing(r);
    }
    return r;
}

static enum db_result drop(struct apply *a, struct work *work)
{
    struct variants v;
    enum db_result  r;

    do {
        r = find_variants(a, work->change->hash, &v);
        for (unsigned i = 0; r == DB_OK && i < v.count; i++) {
            r = or_nothing(entry_remove(a, &v.keys[i], UINT64_MAX));
            work->change->changed += r == DB_OK;
        }
    } while (r == DB_OK && v.count == KEYS_AT_ONCE);
    return r;
}

static enum db_result drop_tag(struct apply *a, struct work *work)
{
    struct record_key from = { { 0 } };

    return entry_drop_tag(a, work->change->tag, UINT64_MAX, room_at_once(a->store, DROPPED_AT_ONCE), &from,
                          &work->change->changed, &work->more);
}

static enum db_result drop_label(struct apply *a, struct work *work)
{
    struct label_key from = { { 0 } };

    return entry_drop_label(a, work->change, UINT64_MAX, room_at_once(a->store, DROPPED_AT_ONCE), &from,
                            &work->change->changed, &work->more);
}

/* -- dispatch -- */

enum db_result change_apply(struct apply *a, struct work *work)
{
    static enum db_result (*const rows[])(struct apply *, struct work *) = {
        [STORE_PUT] = put,   [STORE_FRESHEN] = freshen,   [STORE_INVALIDATE] = invalidate,
        [STORE_DROP] = drop, [STORE_DROP_TAG] = drop_tag, [STORE_DROP_LABEL] = drop_label,
    };
    const unsigned kind = (unsigned)work->change->kind;

    CHECK(kind < sizeof rows / sizeof rows[0] && rows[kind] != NULL);
    work->change->changed = 0; /* it may be tried for the second time */
    work->change->new_id = 0;
    work->more = false;
    return rows[kind](a, work);
}

enum db_result change_flush(struct apply *a)
{
    const db_table tables[] = { a->store->tables.records, a->store->tables.tags, a->store->tables.labels,
                                a->store->tables.files };
    enum db_result r = DB_OK;

    for (size_t i = 0; r == DB_OK && i < sizeof tables / sizeof tables[0]; i++)
        r = db_clear(a->txn, tables[i]);
    a->counts.totals = (struct totals){ 0 };
    a->counts.shares.count = 0;
    return r;
}
