/*
 * The only room that knows LMDB: environments, transactions, named tables.
 *
 * Thin on purpose: it turns LMDB's codes into a few outcomes, checks a file's
 * size before it is read (a truncated one would kill by SIGBUS), and holds an exclusive lock per
 * environment (file "lock", which names the process) against a second instance.
 *
 * One write transaction at a time; a read transaction belongs to one thread
 * at a time and is not tied to it (MDB_NOTLS).  A value dies with its transaction, and
 * in a write transaction with the next write.
 */
#ifndef WEIR_DB_DB_H
#define WEIR_DB_DB_H

#include "base/fault.h"
#include "base/slice.h"

struct db;
struct db_txn;
struct db_cursor;
typedef unsigned db_table;

enum db_result {
    DB_OK,
    DB_NOT_FOUND,
    DB_EXISTS,
    DB_FULL,    /* the map or the transaction: delete something in a small transaction */
    DB_REFUSED, /* the disk: ENOSPC, EIO ...; the transaction is lost, the database is not */
    DB_BROKEN   /* the database itself: nothing helps but a new one */
};
enum db_open_result { DB_OPENED, DB_HELD /* by another process */, DB_UNUSABLE /* directory */, DB_DAMAGED };

enum {
    DB_NO_SYNC = 1, /* no fsync at commit: a power failure may damage it */
    DB_CREATE = 4,
    DB_EXISTING = 32,  /* nothing is made where there is none: DB_UNUSABLE */
    DB_READ_ONLY = 64, /* with DB_EXISTING: nothing is changed either; the lock is held all the same, so that nobody
                                       * else changes it */
    DB_PRIVATE = 16,   /* what must not be lost: the directory may not be its group's to write
                                       * either, and an empty file is a damaged one */
    DB_LAZY_SYNC = 8   /* data is synced before the meta page is written, the meta page with the next
                                       * commit: a power failure undoes the last commit and damages nothing */
};

/* `directory` is made (0700, parents too) where it is missing.  DB_UNUSABLE where it is another user's or others may
 * write there.  A start that does not get as far as db_settle() or db_close() is remembered there, and the next one
 * reads every page before LMDB, which would die of a damaged one, may have the file. */
enum db_open_result db_open(const char *directory, uint64_t map_bytes, unsigned tables, unsigned readers,
                            unsigned flags, struct db **out, struct fault *why);
void                db_close(struct db *);           /* NULL is fine; syncs */
int                 db_directory(const struct db *); /* borrowed */
int                 db_file(const struct db *);      /* data.mdb; borrowed, for fstat() */
/* It has proved itself: a crash from now on says nothing of the file. Any one thread. */
void db_settle(struct db *);
/* False where the directory's path leads to another file, or to none. Any thread. */
bool db_is_in_place(const struct db *);
/* Lets another environment be opened in the same place although this one is still open, since its file is gone. */
void db_leave(struct db *);
/* Every row of a table that can still be read in a damaged file ("data.mdb.damaged-..." of the directory), without
 * LMDB. The slices end with the call. */
void db_salvage(const char *directory, const char *file, const char *table,
                void (*each)(void *context, struct slice key, struct slice value), void *context);
/* Renames "data.mdb" of a closed environment to "data.mdb.damaged-<time>", `name` says to what. */
int db_set_aside(const char *directory, char *name, size_t size, struct fault *why);
/* What LMDB said when something last failed, for the log.  Any thread. */
const char *db_reason(const struct db *);

/* Begin of a write transaction: one thread only.  Read: `db_read_reset` and `db_read_renew` keep its slot. */
enum db_result db_begin(struct db *, bool write, struct db_txn **out);
enum db_result db_commit(struct db_txn *); /* frees it in any case */
void           db_abort(struct db_txn *);  /* NULL is fine */
void           db_read_reset(struct db_txn *);
enum db_result db_read_renew(struct db_txn *);

enum db_result db_table_open(struct db_txn *, const char *name, unsigned flags, db_table *out);
enum db_result db_table_count(struct db_txn *, db_table, uint64_t *entries);
enum db_result db_get(struct db_txn *, db_table, struct slice key, struct slice *value);
enum db_result db_put(struct db_txn *, db_table, struct slice key, struct slice value);
/* Room for `bytes` under the key, to be filled before the next call in this transaction. */
enum db_result db_reserve(struct db_txn *, db_table, struct slice key, size_t bytes, void **room);
enum db_result db_delete(struct db_txn *, db_table, struct slice key);
enum db_result db_clear(struct db_txn *, db_table);

/* A cursor of a write transaction is closed before that ends. */
enum db_result db_cursor_open(struct db_txn *, db_table, struct db_cursor **out);
enum db_result db_cursor_renew(struct db_cursor *, struct db_txn *); /* read cursors, after db_read_renew() */
void           db_cursor_close(struct db_cursor *);                  /* NULL is fine */
enum db_move { DB_FIRST, DB_NEXT, DB_AT_OR_AFTER /* in: *key */ };
enum db_result db_cursor_move(struct db_cursor *, enum db_move, struct slice *key, struct slice *value);
enum db_result db_cursor_delete(struct db_cursor *);

/* How many read transactions are open, of this process and others: each keeps the pages that it sees. Any thread. */
unsigned db_reading(struct db *);

struct db_space {
    uint64_t map_bytes, used_bytes /* pages in use */, free_bytes /* to be used again */;
};
enum db_result db_space(struct db *, struct db_space *out);
/* Free pages become holes in the file, and their blocks the file system's; *bytes: how many. They are free still, and
 * get blocks again when they are used.  The writing thread, outside of a transaction.  DB_REFUSED: the file system
 * cannot do that. */
enum db_result db_give_back(struct db *, uint64_t *bytes);

/* What the database in `directory` says at this moment, written to a file, without free pages.  A weir may run over it:
 * it goes on writing, but uses no page again until this ends.  -1 and *why. */
int db_copy(const char *directory, int to_fd, struct fault *why);

#endif
