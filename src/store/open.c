/*
 * The cache's database, opened: its tables, and what it says of itself.
 *
 * One that is damaged, that was marked so by the last run, or that another version of the
 * format wrote is set aside and a new one begun; its body files become
 * orphans, which the sweep removes.
 */
#include "store/internal.h"

#include "base/clock.h"

#include <fcntl.h>
#include <unistd.h>

enum { TABLES = 5, OWN_READERS = 8, SEQUENCE_SHIFT = 24 };
#define SMALLEST_MARGIN (UINT64_C(256) * 1024 * 1024)

/* The map is larger than what may be used: only addresses are spent, and a full map can hardly be emptied. */
static uint64_t map_bytes(uint64_t max_bytes)
{
    return max_bytes + (max_bytes / 4 > SMALLEST_MARGIN ? max_bytes / 4 : SMALLEST_MARGIN);
}

/* False: it is not there, or not of that size. */
static bool get_meta(struct store *s, struct db_txn *txn, struct slice name, void *out, size_t bytes)
{
    struct slice value;

    if (db_get(txn, s->tables.meta, name, &value) != DB_OK || value.len != bytes)
        return false;
    memcpy(out, value.ptr, bytes);
    return true;
}

static void get_shares(struct store *s, struct db_txn *txn, struct shares *out)
{
    struct slice value;

    out->count = 0;
    if (db_get(txn, s->tables.meta, SLICE("shares"), &value) != DB_OK || value.len > sizeof out->items)
        return;
    memcpy(out->items, value.ptr, value.len);
    out->count = (unsigned)(value.len / sizeof out->items[0]);
}

/* `create`: the flag, or 0: DB_NOT_FOUND where one is missing. */
static enum db_result open_tables(struct store *s, struct db_txn *txn, unsigned create)
{
    const struct {
        const char *name;
        db_table   *table;
    } rows[TABLES] = {
        { "meta", &s->tables.meta },   { "records", &s->tables.records }, { "tags", &s->tables.tags },
        { "files", &s->tables.files }, { "labels", &s->tables.labels },
    };
    enum db_result r = DB_OK;

    for (int i = 0; r == DB_OK && i < TABLES; i++) {
        struct db_cursor *cursor = NULL;
        struct slice      key = SLICE_NONE, value;

        r = db_table_open(txn, rows[i].name, create, rows[i].table);
        if (r != DB_OK)
            return r;
        r = db_cursor_open(txn, *rows[i].table, &cursor);
        if (r == DB_OK)
            r = db_cursor_move(cursor, DB_FIRST, &key, &value); /* the way down to a leaf is there */
        db_cursor_close(cursor);
        if (r == DB_NOT_FOUND)
            r = DB_OK;
    }
    return r;
}

/* Ids and file numbers go on where they stopped, or from the clock where that is further; those of a new database
 * after the body files that an old one left. */
static void begin_sequence(struct store *s, struct db_txn *txn, struct store_opening *o)
{
    uint64_t clock = (uint64_t)(clock_wall_ns() / NS_PER_SEC) << SEQUENCE_SHIFT;

    if (!get_meta(s, txn, SLICE("sequence"), &o->counts.id_limit, sizeof o->counts.id_limit))
        o->counts.id_limit = 0;
    o->next_id = o->counts.id_limit > 0 ? o->counts.id_limit : bodies_highest(s->bodies_fd) + 1;
    if (o->next_id < clock)
        o->next_id = clock;
}

/* The first label of all tells whether there is one of that kind. */
static void see_search_labels(struct store *s, struct db_txn *txn)
{
    struct slice      key = SLICE_NONE, value;
    struct db_cursor *cursor;

    if (db_cursor_open(txn, s->tables.labels, &cursor) != DB_OK)
        return;
    if (db_cursor_move(cursor, DB_FIRST, &key, &value) == DB_OK && key.len > STORE_LABEL_BYTES &&
        record_label_is_of_search(key.ptr))
        atomic_store(&s->varies_by_search, true);
    db_cursor_close(cursor);
}

/* Reads only: a start does not wait for the disk.  DB_NOT_FOUND: it is new; DB_EXISTS: of another format. */
static enum db_result read_meta(struct store *s, struct store_opening *o)
{
    uint32_t       format = 0;
    struct db_txn *txn;
    enum db_result r = db_begin(s->db, false, &txn);

    if (r != DB_OK)
        return r;
    r = open_tables(s, txn, 0);
    if (r == DB_OK && !get_meta(s, txn, SLICE("format"), &format, sizeof format))
        r = DB_NOT_FOUND;
    else if (r == DB_OK && format != STORE_FORMAT)
        r = DB_EXISTS;
    if (r != DB_OK) {
        db_abort(txn);
        return r;
    }
    o->counts.totals = (struct totals){ 0 };
    get_meta(s, txn, SLICE("totals"), &o->counts.totals, sizeof o->counts.totals);
    get_shares(s, txn, &o->counts.shares);
    get_meta(s, txn, SLICE("set back"), &o->set_back, sizeof o->set_back);
    begin_sequence(s, txn, o);
    see_search_labels(s, txn);
    return db_commit(txn); /* an abort would close the tables again */
}

/* Of a new database; or it is of a version that knew fewer tables, which it gets, and nothing else changes. */
static enum db_result write_meta(struct store *s)
{
    const uint32_t own = STORE_FORMAT;
    uint32_t       format = STORE_FORMAT;
    struct db_txn *txn;
    enum db_result r = db_begin(s->db, true, &txn);

    if (r != DB_OK)
        return r;
    r = open_tables(s, txn, DB_CREATE);
    if (r == DB_OK && get_meta(s, txn, SLICE("format"), &format, sizeof format) && format != STORE_FORMAT)
        r = DB_EXISTS;
    if (r == DB_OK)
        r = db_put(txn, s->tables.meta, SLICE("format"), (struct slice){ (const char *)&own, sizeof own });
    if (r != DB_OK) {
        db_abort(txn);
        return r;
    }
    return db_commit(txn);
}

/* What is no daemon's: nothing is set aside, made or mended. */
static enum db_open_result look_at_existing(struct store *s, struct store_opening *o, struct fault *why)
{
    enum db_result r;

    s->bodies_fd = bodies_open_existing(db_directory(s->db));
    if (faccessat(db_directory(s->db), "damaged", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        fault_set(why, "the cache in %s was found damaged by the last run: the next start of weir begins a new one",
                  s->path);
        return DB_DAMAGED;
    }
    r = read_meta(s, o);
    if (r == DB_OK)
        return DB_OPENED;
    if (r == DB_EXISTS)
        fault_set(why, "the cache in %s is of another format: another version of weir wrote it", s->path);
    else if (r == DB_NOT_FOUND)
        fault_set(why, "the database in %s is no cache of weir's", s->path);
    else
        fault_set(why, "the cache in %s cannot be read: %s", s->path, db_reason(s->db));
    return DB_DAMAGED;
}

static enum db_open_result open_database(struct store *s, struct store_opening *o, struct fault *why)
{
    enum db_open_result opened = db_open(s->path, map_bytes(s->max_bytes), TABLES, s->most_readers + OWN_READERS,
                                         DB_LAZY_SYNC | s->flags, &s->db, why);
    enum db_result      r;

    if (opened != DB_OPENED)
        return opened;
    if (s->flags != 0) {
        opened = look_at_existing(s, o, why);
        if (opened != DB_OPENED) {
            db_close(s->db);
            s->db = NULL;
        }
        return opened;
    }
    if (s->bodies_fd < 0 && (s->bodies_fd = bodies_open(db_directory(s->db), why)) < 0) {
        db_close(s->db);
        s->db = NULL;
        return DB_UNUSABLE;
    }
    if (faccessat(db_directory(s->db), "damaged", F_OK, AT_SYMLINK_NOFOLLOW) == 0) {
        fault_set(why, "the cache in %s was found damaged by the last run", s->path);
        unlinkat(db_directory(s->db), "damaged", 0);
        opened = DB_DAMAGED;
    } else {
        r = read_meta(s, o);
        if (r == DB_NOT_FOUND && (r = write_meta(s)) == DB_OK)
            r = read_meta(s, o);
        if (r == DB_OK)
            return DB_OPENED;
        opened = r == DB_BROKEN || r == DB_EXISTS ? DB_DAMAGED : DB_UNUSABLE;
        if (r == DB_EXISTS)
            fault_set(why, "the cache in %s is of another format", s->path);
        else
            fault_set(why, "the cache in %s %s: %s", s->path, r == DB_BROKEN ? "is damaged" : "cannot be used",
                      db_reason(s->db));
    }
    db_close(s->db);
    s->db = NULL;
    return opened;
}

/* Opens it, with a new database where the old one is of no use. */
int store_open_database(struct store *s, struct store_opening *o, struct fault *why, struct fault *note)
{
    char         name[64];
    struct fault damage;

    switch (open_database(s, o, &damage)) {
    case DB_OPENED:
        return 0;
    case DB_DAMAGED:
        if (s->flags == 0)
            break;
        return fault_set(why, "%s", damage.text);
    case DB_HELD:
        o->is_held = true;
        return fault_set(why, "%s", damage.text);
    default:
        return fault_set(why, "%s", damage.text);
    }
    if (db_set_aside(s->path, name, sizeof name, why) != 0)
        return -1;
    fault_set(note, "%s: kept as %s, a new one is begun", damage.text, name);
    return open_database(s, o, why) == DB_OPENED ? 0 : -1;
}
