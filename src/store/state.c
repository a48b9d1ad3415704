/*
 * The state directory: the hashing key, and a database with a table for each owner of rows.
 *
 * A row is on disk when its submitter hears of it: this environment
 * is synced at every commit.  Rows that wait share a commit, whoever owns them.
 */
#include "store/state.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "db/db.h"
#include "store/internal.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { OWNERS_MOST = 8, READERS = 4, KEY_BYTES = 32, NAME_BYTES = 400 };
#define MAP_BYTES (UINT64_C(256) * 1024 * 1024)

struct owned {
    const struct state_owner *owner;
    db_table                  table;
};

struct state {
    struct db                               *db;
    db_table                                 meta;
    struct owned                             tables[OWNERS_MOST];
    unsigned                                 count; /* of `tables`, constant as they are */
    uint8_t                                  key[KEY_BYTES];
    bool                                     rows_lost; /* constant once it is open */
    STAILQ_HEAD(state_changes, state_change) changes;   /* writer's thread, as the next */
    STAILQ_ENTRY(state)                      due;       /* of the store's `states`, while there are changes */
};

/* -- the key -- */

static int write_key(int directory, const uint8_t key[KEY_BYTES])
{
    int fd, ok;

    unlinkat(directory, "key.new", 0);
    fd = file_open(directory, "key.new", O_WRONLY | O_CREAT | O_EXCL, 0600);
    if (fd < 0)
        return -1;
    ok = write(fd, key, KEY_BYTES) == KEY_BYTES && fsync(fd) == 0;
    if (close(fd) != 0 || !ok || renameat(directory, "key.new", directory, "key") != 0)
        return -1;
    return fsync(directory);
}

static int make_key(struct state *s, const char *path, struct fault *why)
{
    randombytes_buf(s->key, sizeof s->key);
    if (write_key(db_directory(s->db), s->key) != 0)
        return fault_set_errno(why, errno, "cannot write %s/key", path);
    return 0;
}

/* A key of another length is kept beside the new one: what was stored under it cannot be found any more. */
static int set_key_aside(struct state *s, const char *path, struct fault *why, struct fault *note)
{
    char name[64];

    snprintf(name, sizeof name, "key.damaged-%lld", (long long)(clock_wall_ns() / NS_PER_SEC));
    if (renameat(db_directory(s->db), "key", db_directory(s->db), name) != 0)
        return fault_set_errno(why, errno, "cannot rename the damaged %s/key", path);
    fault_set(note, "the hashing key %s/key is damaged: kept as %s, a new one is made", path, name);
    return make_key(s, path, why);
}

/* A copy may have come with a wider mode. */
static void narrow_mode(int fd, const char *path)
{
    struct stat st;

    if (fstat(fd, &st) != 0 || (st.st_mode & 077) == 0)
        return;
    log_warning("state_key_was_open", "file=%s/key mode=%o", path, (unsigned)(st.st_mode & 0777));
    if (fchmod(fd, 0600) != 0)
        log_error("state_key_is_open", "reason=%s", log_quote(strerror(errno)));
}

static int read_key(struct state *s, const char *path, struct fault *why, struct fault *note)
{
    uint8_t bytes[KEY_BYTES + 1];
    ssize_t n;
    int     fd = file_open(db_directory(s->db), "key", O_RDONLY, 0);

    if (fd < 0 && errno == ENOENT)
        return make_key(s, path, why);
    if (fd < 0 && file_is_something_else(errno))
        return set_key_aside(s, path, why, note);
    if (fd < 0)
        return fault_set_errno(why, errno, "cannot read %s/key", path);
    narrow_mode(fd, path);
    n = file_read(fd, bytes, sizeof bytes);
    close(fd);
    if (n < 0)
        return fault_set_errno(why, errno, "cannot read %s/key", path);
    if (n != KEY_BYTES)
        return set_key_aside(s, path, why, note);
    memcpy(s->key, bytes, KEY_BYTES);
    return 0;
}

/* -- the tables -- */

static const struct owned *find_owned(const struct state *s, const struct state_owner *owner)
{
    for (unsigned i = 0; i < s->count; i++)
        if (s->tables[i].owner == owner)
            return &s->tables[i];
    return NULL;
}

static db_table table_of(const struct state *s, const struct state_owner *owner)
{
    const struct owned *o = find_owned(s, owner);

    CHECK(o != NULL);
    return o->table;
}

struct format_name {
    char text[64];
};

static struct format_name format_name(const struct state_owner *owner)
{
    struct format_name name;

    snprintf(name.text, sizeof name.text, "format %s", owner->table);
    return name;
}

/* DB_EXISTS: it is another. *is_new: there was none. */
static enum db_result check_format(struct state *s, struct db_txn *txn, const char *name, uint32_t format, bool *is_new)
{
    struct slice   value;
    enum db_result r = db_get(txn, s->meta, slice_of(name), &value);

    *is_new = r == DB_NOT_FOUND;
    if (*is_new)
        return db_put(txn, s->meta, slice_of(name), (struct slice){ (const char *)&format, sizeof format });
    if (r == DB_OK && (value.len != sizeof format || memcmp(value.ptr, &format, sizeof format) != 0))
        return DB_EXISTS;
    return r;
}

/* A row is copied out, for it dies with the next write. */
static enum db_result move_row(struct db_txn *txn, db_table to, struct db_cursor *from, struct slice key,
                               struct slice value)
{
    char          *name = mem_copy(key), *bytes = mem_copy(value);
    enum db_result r = db_put(txn, to, (struct slice){ name, key.len }, (struct slice){ bytes, value.len });

    free(name);
    free(bytes);
    return r == DB_OK ? db_cursor_delete(from) : r;
}

/* What stood in another's table, as an older version kept it. */
static enum db_result move_rows(struct state *s, struct db_txn *txn, const struct owned *o)
{
    struct slice      key = SLICE_NONE, value;
    struct db_cursor *cursor = NULL;
    enum db_result    r;

    if (o->owner->stood_with == NULL)
        return DB_OK;
    r = db_cursor_open(txn, table_of(s, o->owner->stood_with), &cursor);
    for (enum db_move move = DB_FIRST; r == DB_OK; move = DB_NEXT) {
        r = db_cursor_move(cursor, move, &key, &value);
        if (r == DB_OK && o->owner->is_own(key))
            r = move_row(txn, o->table, cursor, key, value);
    }
    db_cursor_close(cursor);
    return or_nothing(r);
}

static enum db_result open_owned(struct state *s, struct db_txn *txn, struct owned *o)
{
    const struct format_name name = format_name(o->owner);
    bool                     is_new;
    enum db_result           r = db_table_open(txn, o->owner->table, DB_CREATE, &o->table);

    if (r == DB_OK)
        r = check_format(s, txn, name.text, o->owner->format, &is_new);
    return r == DB_OK && is_new ? move_rows(s, txn, o) : r;
}

/* DB_EXISTS: another format. */
static enum db_result open_tables(struct state *s)
{
    struct db_txn *txn;
    bool           is_new;
    enum db_result r = db_begin(s->db, true, &txn);

    if (r != DB_OK)
        return r;
    r = db_table_open(txn, "meta", DB_CREATE, &s->meta);
    if (r == DB_OK)
        r = check_format(s, txn, "format", STATE_FORMAT, &is_new);
    for (unsigned i = 0; r == DB_OK && i < s->count; i++)
        r = open_owned(s, txn, &s->tables[i]);
    if (r != DB_OK) {
        db_abort(txn);
        return r;
    }
    return db_commit(txn);
}

/* -- opening -- */

static enum db_open_result open_database(struct state *s, const char *path, struct fault *why)
{
    enum db_open_result opened = db_open(path, MAP_BYTES, 1 + OWNERS_MOST, READERS, DB_PRIVATE, &s->db, why);
    enum db_result      r;

    if (opened != DB_OPENED)
        return opened;
    r = open_tables(s);
    if (r == DB_OK)
        return DB_OPENED;
    if (r == DB_EXISTS)
        fault_set(why, "the ledger in %s is of another format", path);
    else
        fault_set(why, "the ledger in %s %s: %s", path, r == DB_BROKEN ? "is damaged" : "cannot be used",
                  db_reason(s->db));
    db_close(s->db);
    s->db = NULL;
    return r == DB_BROKEN || r == DB_EXISTS ? DB_DAMAGED : DB_UNUSABLE;
}

struct salvage {
    struct state       *state;
    struct db_txn      *txn;
    const struct owned *to;
    unsigned            rows;
    enum db_result      result;
};

/* Those of another format stay in the old file alone. */
static void see_format(void *context, struct slice key, struct slice value)
{
    struct salvage    *v = context;
    struct format_name name;

    if (v->to == NULL)
        return;
    name = format_name(v->to->owner);
    if (slice_eq(key, slice_of(name.text)) &&
        (value.len != sizeof v->to->owner->format || memcmp(value.ptr, &v->to->owner->format, value.len) != 0))
        v->to = NULL;
}

static void save_row(void *context, struct slice key, struct slice value)
{
    struct salvage *v = context;

    if (v->result != DB_OK || key.len == 0 || key.len > NAME_BYTES)
        return;
    v->result = db_put(v->txn, v->to->table, key, value);
    v->rows++;
}

/* What can be read of the old one goes into the new one; how many rows that were. */
static unsigned salvage(struct state *s, const char *path, const char *old)
{
    struct salvage v = { .state = s };

    if (db_begin(s->db, true, &v.txn) != DB_OK)
        return 0;
    v.result = DB_OK;
    for (unsigned i = 0; i < s->count && v.result == DB_OK; i++) {
        v.to = &s->tables[i];
        db_salvage(path, old, "meta", see_format, &v);
        if (v.to != NULL)
            db_salvage(path, old, v.to->owner->table, save_row, &v);
        if (v.result == DB_OK)
            v.result = move_rows(s, v.txn, &s->tables[i]);
    }
    if (v.result != DB_OK) {
        db_abort(v.txn);
        return 0;
    }
    return db_commit(v.txn) == DB_OK ? v.rows : 0;
}

static int open_or_begin(struct state *s, const char *path, struct fault *why, struct fault *note)
{
    char                name[64];
    unsigned            rows;
    struct fault        damage;
    enum db_open_result opened = open_database(s, path, &damage);

    if (opened == DB_OPENED)
        return 0;
    if (opened != DB_DAMAGED)
        return fault_set(why, "%s", damage.text);
    if (db_set_aside(path, name, sizeof name, why) != 0)
        return -1;
    if (open_database(s, path, why) != DB_OPENED)
        return -1;
    rows = salvage(s, path, name);
    fault_set(note, "%s: kept as %s, a new one is begun with the %u rows that could be read", damage.text, name, rows);
    s->rows_lost = true;
    return 0;
}

struct state *state_open(const struct state_options *options, const struct state_owner *const owners[],
                         struct fault *why, struct fault *note)
{
    struct state *s = mem_alloc(sizeof *s);

    STAILQ_INIT(&s->changes);
    for (; owners[s->count] != NULL; s->count++) {
        CHECK(s->count < OWNERS_MOST);
        s->tables[s->count].owner = owners[s->count];
    }
    if (note != NULL)
        note->text[0] = '\0';
    if (open_or_begin(s, options->path, why, note) != 0)
        goto fail;
    if (read_key(s, options->path, why, note) != 0)
        goto fail;
    return s;
fail:
    state_close(s);
    return NULL;
}

void state_close(struct state *s)
{
    if (s == NULL)
        return;
    db_close(s->db);
    explicit_bzero(s->key, sizeof s->key);
    free(s);
}

void state_settle(struct state *s)
{
    db_settle(s->db);
}

bool state_rows_lost(const struct state *s)
{
    return s->rows_lost;
}

int state_directory(const struct state *s)
{
    return db_directory(s->db);
}

const uint8_t *state_key(const struct state *s)
{
    return s->key;
}

/* -- the rows -- */

void state_load(struct state *s, const struct state_owner *owner, void *context)
{
    struct slice      name = SLICE_NONE, value;
    struct db_cursor *cursor = NULL;
    struct db_txn    *txn;

    if (db_begin(s->db, false, &txn) != DB_OK)
        return;
    if (db_cursor_open(txn, table_of(s, owner), &cursor) == DB_OK)
        for (enum db_move move = DB_FIRST; db_cursor_move(cursor, move, &name, &value) == DB_OK; move = DB_NEXT)
            owner->load(context, name, value);
    db_cursor_close(cursor);
    db_abort(txn);
}

static enum db_result apply(struct state *s, struct db_txn *txn, const struct state_change *c)
{
    const db_table table = table_of(s, c->owner);

    if (c->value.ptr != NULL)
        return db_put(txn, table, c->name, c->value);
    return or_nothing(db_delete(txn, table, c->name));
}

/* Commits what waits in one transaction; answers. */
static void write_all(struct state *s, struct store *store)
{
    struct state_changes taken = STAILQ_HEAD_INITIALIZER(taken);
    struct state_change *c, *next;
    struct db_txn       *txn;
    enum db_result       r = db_begin(s->db, true, &txn);
    const bool           begun = r == DB_OK;

    STAILQ_CONCAT(&taken, &s->changes);
    STAILQ_FOREACH (c, &taken, queued)
        if (r == DB_OK)
            r = apply(s, txn, c);
    if (r == DB_OK)
        r = db_commit(txn);
    else if (begun)
        db_abort(txn);
    if (r != DB_OK && store != NULL)
        store_warn(store, WARN_STATE, r == DB_FULL ? "the ledger is full" : db_reason(s->db));
    else if (r != DB_OK)
        log_error("state_commit_failed", "reason=%s", log_quote(db_reason(s->db)));
    STAILQ_FOREACH_SAFE(c, &taken, queued, next)
    {
        c->ok = r == DB_OK;
        mailbox_post(c->reply_to, &c->done);
    }
}

void state_write(struct store *store)
{
    struct state *s;

    while ((s = STAILQ_FIRST(&store->states)) != NULL) {
        STAILQ_REMOVE_HEAD(&store->states, due);
        write_all(s, store);
    }
}

static void receive_change(struct mail *m)
{
    struct state_change *c = CONTAINER_OF(m, struct state_change, mail);

    if (STAILQ_EMPTY(&c->state->changes))
        STAILQ_INSERT_TAIL(&c->store->states, c->state, due);
    STAILQ_INSERT_TAIL(&c->state->changes, c, queued);
}

void state_submit(struct store *store, struct state_change *c)
{
    CHECK(c->reply_to != NULL);
    CHECK(c->name.len > 0 && c->name.len <= NAME_BYTES);
    c->mail.receive = receive_change;
    c->store = store;
    if (store != NULL) {
        mailbox_post(store->mailbox, &c->mail);
        return;
    }
    /* no cache, no writer thread: the caller waits for the disk */
    STAILQ_INSERT_TAIL(&c->state->changes, c, queued);
    write_all(c->state, NULL);
}
