/*
 * LMDB beneath db.h.
 *
 * The size check: a commit may name pages as the database's last ones that it never
 * wrote (they were freed again within it), so a healthy file could look
 * truncated.  The file is therefore kept TAIL_BYTES longer than what is in
 * use; the tail is a hole and costs nothing.
 */
#include "db/db.h"

#include "base/arena.h"
#include "base/check.h"
#include "base/clock.h"
#include "base/files.h"
#include "db/pages.h"
#include "db/place.h"

#include <lmdb.h>

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TAIL_BYTES = 8 * 1024 * 1024, PATH_BYTES = 4096 };

struct db {
    MDB_env     *env;
    struct place place;
    uint64_t     file_bytes; /* at least; the writing thread's */
    _Atomic int  last_error; /* LMDB's code */
};

struct db_txn {
    MDB_txn   *txn; /* NULL after a failed renewal */
    struct db *db;
    bool       write;
};

struct db_cursor {
    MDB_cursor *cursor;
    struct db  *db;
};

/* Codes that say that a transaction went wrong, not the database. */
static enum db_result outcome(struct db *db, int code)
{
    static const struct {
        int            code;
        enum db_result result;
    } rows[] = {
        { MDB_SUCCESS, DB_OK },           { MDB_NOTFOUND, DB_NOT_FOUND }, { MDB_KEYEXIST, DB_EXISTS },
        { MDB_MAP_FULL, DB_FULL },        { MDB_TXN_FULL, DB_FULL },      { MDB_BAD_TXN, DB_REFUSED },
        { MDB_READERS_FULL, DB_REFUSED },
    };

    if (code != MDB_SUCCESS && code != MDB_NOTFOUND && code != MDB_KEYEXIST)
        atomic_store_explicit(&db->last_error, code, memory_order_relaxed);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++)
        if (rows[i].code == code)
            return rows[i].result;
    return code > 0 ? DB_REFUSED : DB_BROKEN; /* errno is positive, LMDB's own codes are negative */
}

const char *db_reason(const struct db *db)
{
    return mdb_strerror(atomic_load_explicit(&db->last_error, memory_order_relaxed));
}

int db_directory(const struct db *db)
{
    return db->place.directory_fd;
}

/* -- opening -- */

static uint64_t bytes_in_use(const struct db *db)
{
    MDB_envinfo info;
    MDB_stat    stat;

    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

static uint64_t file_bytes(const struct db *db)
{
    mdb_filehandle_t fd;
    struct stat      st;

    if (mdb_env_get_fd(db->env, &fd) != 0 || fstat(fd, &st) != 0)
        return 0;
    return (uint64_t)st.st_size;
}

/* Said in pages: bytes of a damaged page number could overflow. */
static bool size_is_right(const struct db *db)
{
    MDB_envinfo info;
    MDB_stat    stat;

    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &stat);
    return stat.ms_psize >= 256 && info.me_last_pgno < file_bytes(db) / stat.ms_psize;
}

/* A disk that refuses this will refuse more: left to the next commit to say. */
static void keep_tail(struct db *db)
{
    uint64_t         need = bytes_in_use(db);
    mdb_filehandle_t fd;

    if (need + TAIL_BYTES / 2 <= db->file_bytes)
        return;
    if (file_bytes(db) < need + TAIL_BYTES && mdb_env_get_fd(db->env, &fd) == 0 &&
        ftruncate(fd, (off_t)(need + TAIL_BYTES)) != 0)
        return;
    db->file_bytes = need + TAIL_BYTES;
}

/* LMDB reads but the two meta pages until the size is known to be right. */
static enum db_open_result open_env(struct db *db, const char *directory, uint64_t map_bytes, unsigned tables,
                                    unsigned readers, unsigned flags, struct fault *why)
{
    unsigned lmdb_flags = MDB_NOTLS;
    long     ram_pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    int      code, dead;

    if (flags & DB_NO_SYNC)
        lmdb_flags |= MDB_NOSYNC | MDB_NOMETASYNC;
    if (flags & DB_LAZY_SYNC)
        lmdb_flags |= MDB_NOMETASYNC;
    if (flags & DB_READ_ONLY)
        lmdb_flags |= MDB_RDONLY | MDB_NOLOCK; /* nobody writes: the directory's lock is ours */
    if (ram_pages > 0 && map_bytes / (uint64_t)page > (uint64_t)ram_pages)
        lmdb_flags |= MDB_NORDAHEAD;
    map_bytes = (map_bytes + (uint64_t)page - 1) / (uint64_t)page * (uint64_t)page;
    code = mdb_env_create(&db->env);
    if (code == 0)
        code = mdb_env_set_mapsize(db->env, map_bytes);
    if (code == 0)
        code = mdb_env_set_maxdbs(db->env, tables);
    if (code == 0)
        code = mdb_env_set_maxreaders(db->env, readers);
    if (code == 0)
        code = mdb_env_open(db->env, directory, lmdb_flags, 0600);
    if (code > 0) {
        fault_set_errno(why, code, "cannot open the database in %s", directory);
        return DB_UNUSABLE;
    }
    if (code != 0) {
        fault_set(why, "the database in %s is damaged: %s", directory, mdb_strerror(code));
        return DB_DAMAGED;
    }
    if (!size_is_right(db)) {
        fault_set(why, "the database in %s is damaged: the file is shorter (%llu bytes) than its own list of pages",
                  directory, (unsigned long long)file_bytes(db));
        return DB_DAMAGED;
    }
    mdb_reader_check(db->env, &dead);
    keep_tail(db);
    return DB_OPENED;
}

enum db_open_result db_open(const char *directory, uint64_t map_bytes, unsigned tables, unsigned readers,
                            unsigned flags, struct db **out, struct fault *why)
{
    struct db          *db = mem_alloc(sizeof *db);
    enum db_open_result result;

    result = place_open(&db->place, directory, flags, why);
    if (result == DB_OPENED)
        result = place_check(&db->place, why);
    if (result == DB_OPENED)
        result = open_env(db, directory, map_bytes, tables, readers, flags, why);
    if (result != DB_OPENED)
        goto fail;
    *out = db;
    return DB_OPENED;
fail:
    db_close(db);
    return result;
}

void db_close(struct db *db)
{
    if (db == NULL)
        return;
    if (db->env != NULL) {
        mdb_env_sync(db->env, 1);
        mdb_env_close(db->env);
    }
    place_settle(&db->place);
    place_close(&db->place);
    free(db);
}

void db_settle(struct db *db)
{
    place_settle(&db->place);
}

int db_file(const struct db *db)
{
    mdb_filehandle_t fd;

    return mdb_env_get_fd(db->env, &fd) == 0 ? fd : -1;
}

bool db_is_in_place(const struct db *db)
{
    char             path[PATH_BYTES];
    mdb_filehandle_t fd;
    struct stat      ours, there;

    if (mdb_env_get_fd(db->env, &fd) != 0 || fstat(fd, &ours) != 0 ||
        snprintf(path, sizeof path, "%s/data.mdb", db->place.path) >= (int)sizeof path)
        return true;
    if (lstat(path, &there) != 0)
        return errno != ENOENT && errno != ENOTDIR;
    return there.st_dev == ours.st_dev && there.st_ino == ours.st_ino;
}

void db_leave(struct db *db)
{
    place_leave(&db->place);
}

void db_salvage(const char *directory, const char *file, const char *table,
                void (*each)(void *context, struct slice key, struct slice value), void *context)
{
    int directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC), fd = -1;

    if (directory_fd >= 0)
        fd = file_open(directory_fd, file, O_RDONLY, 0);
    if (fd >= 0) {
        pages_salvage(fd, table, each, context);
        close(fd);
    }
    if (directory_fd >= 0)
        close(directory_fd);
}

int db_set_aside(const char *directory, char *name, size_t size, struct fault *why)
{
    char      old[PATH_BYTES], aside[PATH_BYTES], stamp[32];
    time_t    now = (time_t)(clock_wall_ns() / NS_PER_SEC);
    struct tm t;

    gmtime_r(&now, &t);
    strftime(stamp, sizeof stamp, "%Y%m%dT%H%M%SZ", &t);
    snprintf(name, size, "data.mdb.damaged-%s", stamp);
    if (snprintf(old, sizeof old, "%s/data.mdb", directory) >= (int)sizeof old)
        return fault_set_errno(why, ENAMETOOLONG, "%.200s...", directory);
    for (int i = 2; i < 100; i++) { /* two within a second */
        if (snprintf(aside, sizeof aside, "%s/%s", directory, name) >= (int)sizeof aside)
            return fault_set_errno(why, ENAMETOOLONG, "%.200s...", directory);
        if (access(aside, F_OK) != 0)
            break;
        snprintf(name, size, "data.mdb.damaged-%s-%d", stamp, i);
    }
    if (rename(old, aside) != 0)
        return fault_set_errno(why, errno, "cannot rename %s to %s", old, name);
    return 0;
}

/* -- transactions -- */

enum db_result db_begin(struct db *db, bool write, struct db_txn **out)
{
    MDB_txn *txn;
    int      code = mdb_txn_begin(db->env, NULL, write ? 0 : MDB_RDONLY, &txn);

    *out = NULL;
    if (code != 0)
        return outcome(db, code);
    *out = mem_alloc(sizeof **out);
    **out = (struct db_txn){ .txn = txn, .db = db, .write = write };
    return DB_OK;
}

enum db_result db_commit(struct db_txn *t)
{
    enum db_result result = outcome(t->db, mdb_txn_commit(t->txn));

    if (t->write && result == DB_OK)
        keep_tail(t->db);
    free(t);
    return result;
}

void db_abort(struct db_txn *t)
{
    if (t != NULL && t->txn != NULL)
        mdb_txn_abort(t->txn);
    free(t);
}

void db_read_reset(struct db_txn *t)
{
    mdb_txn_reset(t->txn);
}

enum db_result db_read_renew(struct db_txn *t)
{
    return outcome(t->db, mdb_txn_renew(t->txn));
}

/* A line for each slot: process, thread, and what it reads, "-" for nothing; one or two more say what they are. */
static int count_reading(const char *line, void *context)
{
    unsigned *count = context;
    long long process;
    char      thread[32], reads[32];

    if (sscanf(line, "%lld %31s %31s", &process, thread, reads) == 3 && strcmp(reads, "-") != 0)
        ++*count;
    return 0;
}

unsigned db_reading(struct db *db)
{
    unsigned count = 0;

    mdb_reader_list(db->env, count_reading, &count);
    return count;
}

/* -- tables -- */

static MDB_val val(struct slice s)
{
    return (MDB_val){ .mv_size = s.len, .mv_data = (void *)s.ptr };
}

static struct slice slice(MDB_val v)
{
    return (struct slice){ v.mv_data, v.mv_size };
}

enum db_result db_table_open(struct db_txn *t, const char *name, unsigned flags, db_table *out)
{
    return outcome(t->db, mdb_dbi_open(t->txn, name, flags & DB_CREATE ? MDB_CREATE : 0, out));
}

enum db_result db_table_count(struct db_txn *t, db_table table, uint64_t *entries)
{
    MDB_stat       stat = { 0 };
    enum db_result result = outcome(t->db, mdb_stat(t->txn, table, &stat));

    *entries = stat.ms_entries;
    return result;
}

enum db_result db_get(struct db_txn *t, db_table table, struct slice key, struct slice *value)
{
    MDB_val k = val(key), v;
    int     code = mdb_get(t->txn, table, &k, &v);

    *value = code == 0 ? slice(v) : SLICE_NONE;
    return outcome(t->db, code);
}

enum db_result db_put(struct db_txn *t, db_table table, struct slice key, struct slice value)
{
    MDB_val k = val(key), v = val(value);

    return outcome(t->db, mdb_put(t->txn, table, &k, &v, 0));
}

enum db_result db_reserve(struct db_txn *t, db_table table, struct slice key, size_t bytes, void **room)
{
    MDB_val k = val(key), v = { .mv_size = bytes };
    int     code = mdb_put(t->txn, table, &k, &v, MDB_RESERVE);

    *room = code == 0 ? v.mv_data : NULL;
    return outcome(t->db, code);
}

enum db_result db_delete(struct db_txn *t, db_table table, struct slice key)
{
    MDB_val k = val(key);

    return outcome(t->db, mdb_del(t->txn, table, &k, NULL));
}

enum db_result db_clear(struct db_txn *t, db_table table)
{
    return outcome(t->db, mdb_drop(t->txn, table, 0));
}

/* -- cursors -- */

enum db_result db_cursor_open(struct db_txn *t, db_table table, struct db_cursor **out)
{
    MDB_cursor *cursor;
    int         code = mdb_cursor_open(t->txn, table, &cursor);

    *out = NULL;
    if (code != 0)
        return outcome(t->db, code);
    *out = mem_alloc(sizeof **out);
    **out = (struct db_cursor){ .cursor = cursor, .db = t->db };
    return DB_OK;
}

enum db_result db_cursor_renew(struct db_cursor *c, struct db_txn *t)
{
    return outcome(c->db, mdb_cursor_renew(t->txn, c->cursor));
}

void db_cursor_close(struct db_cursor *c)
{
    if (c == NULL)
        return;
    mdb_cursor_close(c->cursor);
    free(c);
}

enum db_result db_cursor_move(struct db_cursor *c, enum db_move move, struct slice *key, struct slice *value)
{
    static const MDB_cursor_op ops[] = {
        [DB_FIRST] = MDB_FIRST,
        [DB_NEXT] = MDB_NEXT,
        [DB_AT_OR_AFTER] = MDB_SET_RANGE,
    };
    MDB_val k = val(*key), v;
    int     code = mdb_cursor_get(c->cursor, &k, &v, ops[move]);

    if (code == 0) {
        *key = slice(k);
        *value = slice(v);
    }
    return outcome(c->db, code);
}

enum db_result db_cursor_delete(struct db_cursor *c)
{
    return outcome(c->db, mdb_cursor_del(c->cursor, 0));
}

/* -- space -- */

/* One transaction's freed pages; false: no more of them. */
typedef bool visit_freed(size_t freed_by, const size_t *numbers, size_t count, void *context);

/* LMDB's own table 0 holds, by transaction and in that order, the pages that were freed: a count and their numbers. */
static int walk_free_pages(MDB_txn *txn, visit_freed *visit, void *context)
{
    MDB_cursor *cursor;
    MDB_val     k, v;
    int         code = mdb_cursor_open(txn, 0, &cursor);

    if (code != 0)
        return code;
    while ((code = mdb_cursor_get(cursor, &k, &v, MDB_NEXT)) == 0) {
        size_t freed_by, count;

        memcpy(&freed_by, k.mv_data, sizeof freed_by);
        memcpy(&count, v.mv_data, sizeof count);
        if (!visit(freed_by, (const size_t *)v.mv_data + 1, count, context))
            break;
    }
    mdb_cursor_close(cursor);
    return code == MDB_NOTFOUND ? 0 : code;
}

static bool count_freed(size_t freed_by, const size_t *numbers, size_t count, void *context)
{
    (void)freed_by, (void)numbers;
    *(uint64_t *)context += count;
    return true;
}

enum db_result db_space(struct db *db, struct db_space *out)
{
    MDB_envinfo info;
    MDB_stat    stat;
    MDB_txn    *txn;
    uint64_t    free_pages = 0;
    int         code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn);

    *out = (struct db_space){ 0 };
    if (code != 0)
        return outcome(db, code);
    mdb_env_info(db->env, &info);
    mdb_env_stat(db->env, &stat);
    code = walk_free_pages(txn, count_freed, &free_pages);
    mdb_txn_abort(txn);
    out->map_bytes = info.me_mapsize;
    out->free_bytes = free_pages * stat.ms_psize;
    out->used_bytes = ((uint64_t)info.me_last_pgno + 1 - free_pages) * stat.ms_psize;
    return outcome(db, code);
}

/* -- giving back -- */

struct pages {
    size_t  freed_up_to; /* the last transaction whose pages are wanted */
    size_t *numbers;
    size_t  count, capacity;
};

/* A row of LMDB's list of readers: process, thread, and the transaction it reads, or "-". */
static int note_reader(const char *line, void *context)
{
    size_t     *oldest = context, transaction;
    const char *at = strrchr(line, ' ');

    if (at != NULL && sscanf(at, "%zu", &transaction) == 1 && transaction < *oldest)
        *oldest = transaction;
    return 0;
}

static bool collect_freed(size_t freed_by, const size_t *numbers, size_t count, void *context)
{
    struct pages *p = context;

    if (freed_by > p->freed_up_to)
        return false;
    MEM_ROOM(p->numbers, p->capacity, p->count + count);
    memcpy(p->numbers + p->count, numbers, count * sizeof *p->numbers);
    p->count += count;
    return true;
}

static int compare_pages(const void *a, const void *b)
{
    const size_t left = *(const size_t *)a, right = *(const size_t *)b;

    return left < right ? -1 : left > right;
}

static int punch(mdb_filehandle_t fd, struct pages *pages, size_t page_bytes)
{
    size_t run;

    qsort(pages->numbers, pages->count, sizeof *pages->numbers, compare_pages);
    for (size_t i = 0; i < pages->count; i += run) {
        for (run = 1; i + run < pages->count && pages->numbers[i + run] == pages->numbers[i] + run; run++)
            ;
        if (fallocate(fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)(pages->numbers[i] * page_bytes),
                      (off_t)(run * page_bytes)) != 0)
            return errno;
    }
    return 0;
}

static uint64_t blocks_of(mdb_filehandle_t fd)
{
    struct stat st;

    return fstat(fd, &st) == 0 ? (uint64_t)st.st_blocks : 0;
}

/*
 * Which pages: a transaction's freed pages are those that it, and all after it, do not use.  Nobody may use them any
 * more: no reader is older than it, and neither of the two meta pages that a crash could leave, the last commit's and
 * that before it, once they are synced.
 */
enum db_result db_give_back(struct db *db, uint64_t *bytes)
{
    struct pages     pages = { 0 };
    MDB_stat         stat;
    MDB_txn         *txn;
    mdb_filehandle_t fd;
    uint64_t         before;
    int              code = mdb_env_sync(db->env, 1);

    *bytes = 0;
    if (code != 0 || (code = mdb_env_get_fd(db->env, &fd)) != 0 ||
        (code = mdb_txn_begin(db->env, NULL, MDB_RDONLY, &txn)) != 0)
        return outcome(db, code);
    before = blocks_of(fd);
    mdb_env_stat(db->env, &stat);
    pages.freed_up_to = mdb_txn_id(txn) - 1;
    mdb_reader_list(db->env, note_reader, &pages.freed_up_to);
    code = walk_free_pages(txn, collect_freed, &pages);
    mdb_txn_abort(txn);
    if (code == 0 && pages.count > 0)
        code = punch(fd, &pages, stat.ms_psize);
    free(pages.numbers);
    if (blocks_of(fd) < before)
        *bytes = (before - blocks_of(fd)) * 512;
    return outcome(db, code);
}
