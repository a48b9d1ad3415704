/*
 * One change within the writer's transaction.
 *
 * Everything here may be undone by abort and tried again: what leaves the
 * database (unlinking of body files, the totals) waits for the commit.  A record is
 * copied out before it is rewritten, for a value dies with the next write.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"

#include <stdlib.h>

enum { DROPPED_AT_ONCE = 1000, KEYS_AT_ONCE = 256, PAGE_BYTES = 4096, ENTRY_BYTES = 160 };

/* -- the transaction -- */

enum db_result apply_begin(struct writer *w, struct apply *a)
{
    room_keep(w, 0);
    *a = (struct apply){ .writer = w, .store = w->store, .totals = w->totals, .shares = w->shares,
                         .id_limit = w->id_limit };
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
    return db_put(a->txn, a->store->meta, name, (struct slice){ bytes, count });
}

/* What the clock did; of a step that comes meanwhile the next commit tells. */
static enum db_result put_set_back(struct apply *a, uint64_t *below)
{
    struct set_back set_back;

    *below = atomic_load(&a->store->set_back_below);
    if (*below == a->writer->set_back_kept)
        return DB_OK;
    set_back = (struct set_back){ *below, atomic_load(&a->store->set_back_ns) };
    return put_meta(a, SLICE("set back"), &set_back, sizeof set_back);
}

/* Ids are handed out from a stretch that is marked as used before. */
static enum db_result put_id_limit(struct apply *a)
{
    const uint64_t next_id = atomic_load(&a->store->next_id);

    if (next_id + IDS_AT_ONCE / 2 < a->id_limit)
        return DB_OK;
    a->id_limit = next_id + IDS_AT_ONCE;
    return put_meta(a, SLICE("sequence"), &a->id_limit, sizeof a->id_limit);
}

enum db_result apply_commit(struct apply *a)
{
    struct writer *w = a->writer;
    uint64_t       set_back_below = 0;
    enum db_result r = put_id_limit(a);

    if (r == DB_OK)
        r = put_set_back(a, &set_back_below);
    if (r == DB_OK && memcmp(&a->totals, &w->totals, sizeof w->totals) != 0)
        r = put_meta(a, SLICE("totals"), &a->totals, sizeof a->totals);
    if (r == DB_OK && memcmp(&a->shares, &w->shares, sizeof w->shares) != 0)
        r = put_meta(a, SLICE("shares"), a->shares.items, a->shares.count * sizeof a->shares.items[0]);
    if (r != DB_OK) {
        apply_abort(a);
        return r;
    }
    r = db_commit(a->txn);
    a->txn = NULL;
    if (r == DB_OK) {
        atomic_fetch_add_explicit(&w->store->snapshot, 1, memory_order_release);
        atomic_fetch_add_explicit(&w->store->generation, 1, memory_order_release);
        w->totals = a->totals;
        w->shares = a->shares;
        w->id_limit = a->id_limit;
        w->set_back_kept = set_back_below;
        for (unsigned i = 0; i < w->doomed.count; i++)
            bodies_remove(w->store->bodies_fd, w->doomed.items[i]);
        writer_publish(w);
    }
    w->doomed.count = 0;
    return r;
}

/* -- removing -- */

uint64_t apply_cost(uint64_t value_bytes)
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
static uint64_t filled_by(uint64_t value_bytes, uint64_t body_file, int64_t body_bytes)
{
    return apply_cost(value_bytes) + (body_file != 0 ? in_blocks(body_bytes) : 0);
}

static struct slice number_slice(const uint64_t *number)
{
    return (struct slice){ (const char *)number, sizeof *number };
}

static void doom(struct numbers *n, uint64_t number)
{
    if (n->count == n->capacity) {
        n->capacity = n->capacity > 0 ? n->capacity * 2 : 64;
        n->items = mem_resize(n->items, n->capacity * sizeof *n->items);
    }
    n->items[n->count++] = number;
}

static enum db_result or_nothing(enum db_result r)
{
    return r == DB_NOT_FOUND ? DB_OK : r;
}

/* Not values of one key (DUPSORT): a tag with many records would get pages of its own, and keep them. */
struct tag_key { uint8_t bytes[STORE_HASH_BYTES + RECORD_KEY_BYTES]; };

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

/* What points to a record goes with it. A damaged one says nothing: its tag and file are found to lead nowhere later.
 */
static enum db_result unhook(struct apply *a, const struct record_key *key, const struct record *r)
{
    const struct tag_key tag = tag_key(r->tag, key);
    const uint64_t       number = r->view.body_file;
    enum db_result       result = db_delete(a->txn, a->store->tags, tag_key_slice(&tag), SLICE_NONE);

    if (or_nothing(result) != DB_OK || number == 0)
        return or_nothing(result);
    result = db_delete(a->txn, a->store->files, number_slice(&number), SLICE_NONE);
    if (or_nothing(result) != DB_OK)
        return result;
    doom(&a->writer->doomed, number);
    a->totals.body_files -= a->totals.body_files > 0;
    a->totals.body_bytes -= in_blocks(r->view.body_bytes) < a->totals.body_bytes ? in_blocks(r->view.body_bytes)
                                                                                 : a->totals.body_bytes;
    a->freed_bytes += in_blocks(r->view.body_bytes);
    return DB_OK;
}

enum db_result apply_remove(struct apply *a, const struct record_key *key, uint64_t below_id)
{
    struct slice   value;
    struct record  record;
    enum db_result r = db_get(a->txn, a->store->records, record_key_slice(key), &value);

    if (r != DB_OK)
        return r;
    a->freed_bytes += apply_cost(value.len);
    if (record_decode(record_key_slice(key), value, &record)) {
        if (record.view.id >= below_id)
            return DB_NOT_FOUND;
        shares_take(&a->shares, record.view.upstream,
                    filled_by(value.len, record.view.body_file, record.view.body_bytes));
        r = unhook(a, key, &record);
        if (r != DB_OK)
            return r;
    }
    r = db_delete(a->txn, a->store->records, record_key_slice(key), SLICE_NONE);
    if (r == DB_OK)
        a->removed++;
    return r;
}

/* -- the variants under one hash -- */

struct variants {
    struct record_key keys[KEYS_AT_ONCE];
    unsigned          count;
    unsigned          oldest;         /* index */
    int64_t           oldest_ns;
};

static enum db_result find_variants(struct apply *a, const uint8_t hash[STORE_HASH_BYTES], struct variants *v)
{
    static const uint8_t lowest[STORE_HASH_BYTES];
    struct record_key    from = record_key(hash, lowest);
    struct slice         key = record_key_slice(&from), value;
    const int64_t        now_ns = clock_wall_ns();
    struct db_cursor    *cursor;
    enum db_result       r = db_cursor_open(a->txn, a->store->records, &cursor);

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
            at = INT64_MIN;                          /* the clock was set back since */
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
    enum db_result  r = apply_remove(a, key, UINT64_MAX);
    struct variants v;

    if (r != DB_NOT_FOUND)
        return r;
    r = find_variants(a, key->bytes, &v);
    if (r == DB_OK && v.count >= VARIANTS_AT_MOST)
        r = or_nothing(apply_remove(a, &v.keys[v.oldest], UINT64_MAX));
    return r;
}

static enum db_result hook(struct apply *a, const struct record_parts *p)
{
    const struct tag_key tag = tag_key(p->tag, &p->key);
    enum db_result       r = db_put(a->txn, a->store->tags, tag_key_slice(&tag), SLICE(""));

    if (r != DB_OK || p->body_file == 0)
        return r;
    a->totals.body_files++;
    a->totals.body_bytes += in_blocks(p->body_bytes);
    return db_put(a->txn, a->store->files, number_slice(&p->body_file), record_key_slice(&p->key));
}

static bool stands(struct apply *a, const struct record_key *key, uint64_t id)
{
    struct slice  value;
    struct record record;

    return db_get(a->txn, a->store->records, record_key_slice(key), &value) == DB_OK
        && record_decode(record_key_slice(key), value, &record) && record.view.id == id;
}

static enum db_result put(struct apply *a, struct work *work)
{
    struct store_change *c = work->change;
    struct record_parts  p = {
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
        .body_bytes = c->body != NULL ? spool_length(c->body) : 0,
        .body_file = work->body_file,
        .proof = work->proof,
    };
    size_t         size = record_size(&p);
    const uint64_t fills = filled_by(size, p.body_file, p.body_bytes);
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
    if (r != DB_OK || !fits || (r = hook(a, &p)) != DB_OK)
        return r;
    shares_add(&a->shares, p.upstream, fills);
    r = db_reserve(a->txn, a->store->records, record_key_slice(&p.key), size, &room);
    if (r != DB_OK)
        return r;
    body = record_begin(&p, room);
    if (p.body_file == 0 && p.body_bytes > 0 &&
        spool_peek(c->body, 0, body, (size_t)p.body_bytes) != p.body_bytes)
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
    enum db_result r = db_get(a->txn, a->store->records, record_key_slice(key), &value);

    if (r != DB_OK)
        return r;
    if (w->scratch_bytes < value.len) {
        w->scratch = mem_resize(w->scratch, value.len);
        w->scratch_bytes = value.len;
    }
    memcpy(w->scratch, value.ptr, value.len);
    w->scratch_used = value.len;
    value.ptr = w->scratch;
    return record_decode(record_key_slice(key), value, out) ? DB_OK : DB_NOT_FOUND;
}

/* Writes it anew with another id; fresh NULL: with its own fields, and marked invalidated. */
static enum db_result rewrite(struct apply *a, const struct record_key *key, const struct record *old,
                              const struct store_change *fresh, uint64_t *id)
{
    const struct store_record *v = &old->view;
    struct record_parts        p = {
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
    if (size == 0 || !record_body_is_right(old))     /* never give a damaged body a checksum that fits */
        return DB_NOT_FOUND;
    shares_take(&a->shares, v->upstream, apply_cost(a->writer->scratch_used));
    shares_add(&a->shares, v->upstream, apply_cost(size));
    r = db_reserve(a->txn, a->store->records, record_key_slice(key), size, &room);
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
            r = or_nothing(apply_remove(a, &v.keys[i], UINT64_MAX));
            work->change->changed += r == DB_OK;
        }
    } while (r == DB_OK && v.count == KEYS_AT_ONCE);
    return r;
}

/* -- tags -- */

/* The next keys with that tag, from *from on. */
static enum db_result find_tagged(struct apply *a, const struct tag_key *from, unsigned at_most, struct variants *v)
{
    struct slice      key = tag_key_slice(from), value;
    struct db_cursor *cursor;
    enum db_result    r = db_cursor_open(a->txn, a->store->tags, &cursor);

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
    enum db_result r = apply_remove(a, key, below_id);
    struct slice   value;

    if (r == DB_OK)
        (*dropped)++;
    else if (r == DB_NOT_FOUND && db_get(a->txn, a->store->records, record_key_slice(key), &value) == DB_OK)
        return DB_OK;
    else if (r != DB_NOT_FOUND)
        return r;
    return or_nothing(db_delete(a->txn, a->store->tags, tag_key_slice(entry), SLICE_NONE));
}

enum db_result apply_drop_tag(struct apply *a, const uint8_t tag[STORE_HASH_BYTES], uint64_t below_id, unsigned at_most,
                              struct record_key *from, uint64_t *dropped, bool *more)
{
    const unsigned  at_once = at_most < KEYS_AT_ONCE ? at_most : KEYS_AT_ONCE;
    struct tag_key  at = tag_key(tag, from);
    struct variants v;
    unsigned        done = 0;
    enum db_result  r;

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

static enum db_result drop_tag(struct apply *a, struct work *work)
{
    struct record_key from = { { 0 } };

    return apply_drop_tag(a, work->change->tag, UINT64_MAX, room_at_once(a->store, DROPPED_AT_ONCE), &from,
                          &work->change->changed, &work->more);
}

/* -- dispatch -- */

enum db_result apply_change(struct apply *a, struct work *work)
{
    static enum db_result (*const rows[])(struct apply *, struct work *) = {
        [STORE_PUT] = put,   [STORE_FRESHEN] = freshen,   [STORE_INVALIDATE] = invalidate,
        [STORE_DROP] = drop, [STORE_DROP_TAG] = drop_tag,
    };
    const unsigned kind = (unsigned)work->change->kind;

    CHECK(kind < sizeof rows / sizeof rows[0] && rows[kind] != NULL);
    work->change->changed = 0;                       /* it may be tried for the second time */
    work->change->new_id = 0;
    work->more = false;
    return rows[kind](a, work);
}

enum db_result apply_flush(struct apply *a)
{
    const db_table tables[] = { a->store->records, a->store->tags, a->store->files };
    enum db_result r = DB_OK;

    for (size_t i = 0; r == DB_OK && i < sizeof tables / sizeof tables[0]; i++)
        r = db_clear(a->txn, tables[i]);
    a->totals = (struct totals){ 0 };
    a->shares.count = 0;
    return r;
}
