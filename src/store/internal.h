/*
 * What the files of the store share: the store itself, the writer, and the
 * transaction in which it makes changes.  Nobody outside this room includes it.
 *
 * Tables: records (hash + variant -> record.h), tags (tag of the path + hash + variant -> nothing), labels (label +
 * hash + variant -> nothing), files (number of a body file -> hash + variant), meta ("format", "sequence", "totals").
 */
#ifndef WEIR_STORE_INTERNAL_H
#define WEIR_STORE_INTERNAL_H

#include "base/arena.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/ref.h"
#include "db/db.h"
#include "store/bodies.h"
#include "store/evict.h"
#include "store/grouping.h"
#include "store/hot.h"
#include "store/record.h"
#include "store/shares.h"
#include "store/state.h"
#include "store/store.h"
#include "store/tally.h"

#include <pthread.h>
#include <stdatomic.h>

/* What "format" says in the database of the cache, and of the state. */
enum { STORE_FORMAT = 1, STATE_FORMAT = 1 };

enum {
    VARIANTS_AT_MOST = 64, /* under one hash: the oldest goes */
    TOUCHES = 256,         /* of a reader's ring; half of it makes a merge */
    VERIFIED = 16384,
    SUSPECTS = 32,              /* damaged records that wait to be dropped */
    UNCOMMITTED_BUCKETS = 8192, /* a power of two; some times what a group holds */
    BLOCK_BYTES = 4096,         /* body files are counted in whole ones */
    IDS_AT_ONCE = 1 << 20,      /* marked as used before they are */
};

struct totals {
    uint64_t body_files, body_bytes;
}; /* stands in table meta as it is, as the next */
struct set_back {
    uint64_t below;
    int64_t  ns;
};

struct counts { /* what the database says of itself, changed in its transactions */
    struct totals totals;
    struct shares shares;
    uint64_t      id_limit; /* a restart begins there */
};

struct uncommitted { /* announced changes, by hash: uncommitted.c */
    pthread_mutex_t      lock;
    struct store_change *buckets[UNCOMMITTED_BUCKETS]; /* lock; in order of announcement */
    _Atomic unsigned     counts[UNCOMMITTED_BUCKETS];  /* changed under the lock, read by any thread */
};

/* What a look-up must heed beside the database: how many changes are announced, and this. */
#define STORE_BROKEN_MARK   (UINT64_C(1) << 63)
#define STORE_READER_BEHIND (UINT64_C(1) << 32) /* for each reader that reads a database that was replaced */

struct tables {
    db_table records, tags, labels, files, meta;
};

struct home { /* a database, until the last has gone over to the next: anew.c */
    struct ref ref;
    struct db *db;
    db_table   records, files, tags, labels;
};

enum { REFUSES_COMMITS = 1, REFUSES_FILES = 2 };

enum writer_warning { WARN_BODY, WARN_COMMIT, WARN_STATE, WARN_BROKEN, WARNINGS };

struct submitted { /* changes that are in no group yet */
    _Atomic unsigned changes;
    _Atomic uint64_t bytes;
    struct mail      hurry; /* to the writer, while hurry_posted */
    _Atomic bool     hurry_posted;
};

struct store {
    char                     *path;
    struct db                *db;     /* the home's; the writer's, and under `moving` anybody's */
    struct tables             tables; /* the writer's */
    int                       directory_fd, file_fd, bodies_fd; /* numbers that stay, whatever they lead to */
    unsigned                  most_readers;
    uint64_t                  max_bytes;
    unsigned                  flags;  /* DB_EXISTING, DB_READ_ONLY: no daemon has it, see store_open_offline() */
    pthread_mutex_t           moving; /* of what follows */
    struct home              *home;
    _Atomic unsigned          turn;         /* how many homes there were before; read by any thread */
    unsigned                  reader_count; /* that are open */
    uint64_t                  started_at;   /* ids and body files below it are of an earlier run */
    struct writer            *writer;
    struct verifier          *verifier;
    struct walker            *walker;
    struct hit_tally *_Atomic tallies; /* those of readers, closed ones included; added to under `moving` */
    struct mailbox           *mailbox; /* the writer's */
    STAILQ_HEAD(, state) states;       /* with changes: the writer's */
    struct {
        int64_t  at_ns;
        uint64_t unsaid;
    } said[WARNINGS]; /* log lines of each kind: the writer's */
    struct submitted   waiting;
    _Atomic bool       varies_by_search; /* set once there is one, and stays */
    _Atomic uint64_t   attention;        /* 0, mostly: see above */
    _Atomic unsigned   refusing;         /* REFUSES_...: what failed the last time */
    struct uncommitted uncommitted;
    _Atomic uint64_t   next_id; /* of records and body files alike */
    /* Records with an id below it are older by so much than their times say. Steps add up: for those between two of
     * them that is too much. */
    struct {
        _Atomic uint64_t below;
        _Atomic int64_t  ns;
    } set_back;
    _Atomic uint64_t generation; /* commits, counted after each one before it is answered */
    _Atomic uint64_t snapshot;   /* commits, counted before any of their changes leaves the table of
                                       * what is announced */
    _Atomic unsigned stride;     /* of so many touches one is left as a sample */
    struct {
        _Atomic uint64_t records, body_files, bytes;
    } now; /* written by the writer after each commit */
};

static inline bool store_is_broken(const struct store *s)
{
    return (atomic_load_explicit(&s->attention, memory_order_relaxed) & STORE_BROKEN_MARK) != 0;
}

/* It was stored before the clock was set back. */
static inline void store_heed_clock(const struct store *s, struct store_record *r)
{
    if (r->id < atomic_load_explicit(&s->set_back.below, memory_order_relaxed))
        r->set_back_ns = atomic_load_explicit(&s->set_back.ns, memory_order_relaxed);
}

struct store_reader {
    struct store     *store;
    struct home      *home; /* a reference */
    unsigned          turn; /* the store's when it went there */
    struct db_txn    *txn;  /* the reader's thread, as all that follows unless said */
    struct db_cursor *cursor;
    bool              borrowed;           /* the transaction is renewed */
    bool              leaves_no_trace;    /* store_peek() */
    struct hot       *hot;                /* NULL: nothing was found yet, or: */
    bool              has_no_hot;         /* there was no memory */
    uint32_t          verified[VERIFIED]; /* ids (lower half) of records whose body was found right */
    struct hit_tally *tally;
    uint32_t          random;
    _Atomic uint64_t  touches[TOUCHES]; /* names; the writer reads them */
    _Atomic uint32_t  touched;          /* how many were ever put there */
    uint32_t          merged;           /* writer */
    _Atomic bool      merge_posted, suspect_posted;
    struct mail       merge, suspect, gone; /* to the writer; the last one frees the reader */
    struct record_key suspect_key;          /* the writer's while suspect_posted */
    struct arena      arena;                /* of uncommitted changes: what the last look-up found there */
};

/* -- condition.c: any other file may say how the store is -- */

/* At most one line a minute of each kind.  The writer's thread, as the next two. */
void store_warn(struct store *, enum writer_warning kind, const char *reason);
/* A transaction ended so: says what there is to say, if any. */
void store_failed(struct store *, enum db_result);
void store_publish(struct store *, const struct totals *);
/* Numbers for records and body files: never used before, by any run. Any thread. */
uint64_t store_new_id(struct store *);

/* -- home.c -- */

struct home *home_new(struct db *, const struct tables *); /* takes the database over */
void         home_release(struct home *);                  /* NULL is fine */
void         home_enter(struct store *, struct store_reader *);
void         home_leave(struct store *, struct store_reader *);
/* The one that is in use; a reference. Any thread. */
struct home *home_now(struct store *);
/* To the one that is in use.  Nothing of the reader's is open. */
void home_move(struct store *, struct store_reader *);

/* -- lookup.c -- */

/* A read transaction, where what the reader had borrowed ends. */
enum db_result store_reader_begin(struct store_reader *);
/* A look-up in the database and in what is announced, without the copies that are made ready. */
enum store_result store_scan_plainly(struct store_reader *, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key,
                                     store_accept, void *context, struct store_record *out);

/* -- open.c -- */

struct store_opening { /* what the database says at the start */
    struct counts   counts;
    struct set_back set_back;
    uint64_t        next_id;
    bool            is_held; /* another process has it */
};
/* By path, max_bytes and most_readers: fills db, tables and bodies_fd.  A new database where the old one is of no use:
 * then *note says so. */
int store_open_database(struct store *, struct store_opening *, struct fault *why, struct fault *note);

/* -- uncommitted.c -- */

struct overlay; /* what is announced under one key, copied for one look-up */

/* In the reader's arena; NULL: nothing. Taken before the database is looked at: what is gone from here stands there. */
struct overlay *overlay_take(struct store_reader *, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key);
/* A record as it will be; false where another takes its place. */
bool overlay_apply(const struct overlay *, struct store_record *);
/* The records that are not in the database yet; `i` from 0 on, false after the last. */
bool overlay_next(const struct overlay *, unsigned *i, struct store_record *out);
/* PUTs of a path (its tag) that are announced, `most` of them, in the reader's arena. */
unsigned uncommitted_of_path(struct store_reader *, const uint8_t tag[STORE_HASH_BYTES], unsigned most,
                             struct store_record **out);
/* The body of an announced record, -1 where it is none. */
int uncommitted_body(struct store *, const struct store_record *);
/* Tells the submitter.  It is not announced any more: it stands in the database by now, or will not. */
void store_answer(struct store *, struct store_change *, bool ok);

/* -- writer.c -- */

struct work { /* one change in a group */
    struct store_change *change;
    uint64_t             body_file; /* of a PUT, already linked */
    struct body_proof    proof;
    bool                 refused; /* the body's file could not be made: not a matter of the transaction */
    bool                 more;    /* a DROP_TAG or DROP_LABEL that is not done with yet */
};

struct label_key {
    uint8_t bytes[STORE_LABEL_BYTES + RECORD_KEY_BYTES];
};

struct job {                         /* a change that takes several transactions */
    struct store_change *change;     /* NULL: none. Its number: what is as new as that stays */
    struct record_key    next_key;   /* where it goes on */
    struct label_key     next_label; /* the same of a DROP_LABEL */
    unsigned             failures;
};

struct numbers {
    uint64_t *items;
    unsigned  count, capacity;
};
STAILQ_HEAD(store_changes, store_change);

struct writer {
    struct store *store;
    pthread_t     thread;
    bool          stopping;
    struct mail   stop;

    struct store_changes changes; /* received, not yet dealt with; in order */
    bool                 urgent;
    struct grouping      grouping;
    const char          *hold_file; /* WEIR_HOLD_COMMITS, of tests: while it is there no change is made; NULL: none */
    bool                 trim_due;

    struct store_changes jobs; /* after `job` */
    struct job           job;

    struct {
        bool    is_gone;
        int64_t tried_ns, said_ns;
    } anew;
    uint64_t          set_back_kept; /* set_back.below as it is in the database */
    struct counts     counts;        /* as committed */
    struct evict     *evict;
    int64_t           merged_at_ns;
    bool              nothing_to_evict;
    bool              keeping_room, cannot_give_back; /* apply.c */
    struct sweep      sweep;
    struct numbers    doomed; /* body files without a record once this transaction is committed */
    struct record_key suspects[SUSPECTS];
    unsigned          suspect_count;
    struct {
        char  *bytes;
        size_t room, used;
    } scratch; /* a record that is being rewritten */
};

/* Bodies that make a group due. */
uint64_t       store_group_bytes(const struct store *);
struct writer *writer_start(struct store *, const struct counts *, struct fault *why);
void           writer_stop(struct writer *); /* commits what waits; NULL is fine */
/* Sets what its mails do on the writer's thread. */
void writer_init_reader(struct store_reader *);

/* -- anew.c -- */

/* Is it still in its place?  Else begins a new one, or tries to. */
void anew_look(struct writer *);

/* -- verify.c -- */

struct verifier;
struct verifier *verifier_start(struct store *);   /* NULL: it does not run */
void             verifier_stop(struct verifier *); /* NULL is fine */

/* -- walk.c -- */

struct walker;
struct walker *walker_new(struct store *);   /* NULL: nobody can walk */
void           walker_stop(struct walker *); /* NULL is fine */

/* -- apply.c: the writer's transaction -- */

struct apply {
    struct writer *writer;
    struct store  *store;
    struct db_txn *txn;
    struct counts  counts; /* as they will be */
    uint64_t       freed_bytes;
    unsigned       removed, evicted;
    unsigned       labels; /* entries of that table written or removed: mostly a page each */
};

enum db_result apply_begin(struct writer *, struct apply *);
/* Stores the counts and commits; body files without a record are removed then. Ends `apply` in any case. */
enum db_result apply_commit(struct apply *);
void           apply_abort(struct apply *);
/* Before a write transaction: free pages go back to the file system where the disk space is near max_bytes. */
void apply_keep_room(struct writer *, uint64_t coming);
/* All free pages do; *bytes: how many. */
enum db_result apply_give_back(struct writer *, uint64_t *bytes);

/* -- entry.c: a record and what points to it -- */

static inline enum db_result or_nothing(enum db_result r)
{
    return r == DB_NOT_FOUND ? DB_OK : r;
}
/* Bytes that a value of that size takes in the database, roughly. */
uint64_t entry_cost(uint64_t value_bytes, struct slice labels);
/* The same with its body file. */
uint64_t entry_fills(uint64_t value_bytes, struct slice labels, uint64_t body_file, int64_t body_bytes);
/* The next key in the database's order. */
void entry_step_after(uint8_t *key, size_t bytes);
/* All but the record itself. */
enum db_result entry_add(struct apply *, const struct record_parts *);
/* Removes the record and all that points to it; DB_NOT_FOUND where there is none below that id. */
enum db_result entry_remove(struct apply *, const struct record_key *, uint64_t below_id);
/* Those with that tag, from *from on, which moves; *more: there are more than it has looked at. */
enum db_result entry_drop_tag(struct apply *, const uint8_t tag[STORE_HASH_BYTES], uint64_t below_id, unsigned at_most,
                              struct record_key *from, uint64_t *dropped, bool *more);
/* What a record that stays has in place of those. */
enum db_result entry_relabel(struct apply *, const struct record_key *, struct slice old, struct slice labels);
/* Those of a DROP_LABEL, from *from on, which moves; as above. */
enum db_result entry_drop_label(struct apply *, const struct store_change *, uint64_t below_id, unsigned at_most,
                                struct label_key *from, uint64_t *dropped, bool *more);

/* -- change.c: one change within the transaction -- */

/* PUT, FRESHEN, INVALIDATE, DROP, DROP_TAG and DROP_LABEL (up to a bound: work->more). Sets changed and new_id. */
enum db_result change_apply(struct apply *, struct work *);
enum db_result change_flush(struct apply *);

/* -- reclaim.c: eviction -- */

/* Bytes that must go so that `incoming` find room. */
uint64_t reclaim_need(const struct writer *, uint64_t incoming);
/* Evicts until about `bytes` are free, at most `records`; DB_NOT_FOUND where there was nothing. */
enum db_result reclaim_some(struct apply *, uint64_t bytes, unsigned records);
/* Evicts what is the upstream's until it has room for `bytes` more within `most`; false where it cannot have. */
enum db_result reclaim_share(struct apply *, struct slice upstream, uint64_t most, uint64_t bytes, bool *fits);
/* A transaction of its own, as small as need be. False where it freed nothing. */
bool reclaim_bytes(struct writer *, uint64_t bytes);
bool reclaim_step(struct writer *); /* as much as should go now */
/* Before a group and its body files: evicts what would not have room beside them. */
void reclaim_before(struct writer *, uint64_t records, uint64_t files);
void reclaim_merge(struct writer *, struct store_reader *);

/* -- room.c: what it takes on the disk -- */

enum { ROOM_CHANGE_BYTES = 20 * 1024 /* of pages that a small change writes, and the eviction for it */ };

/* What one transaction should write at most. Any thread, as the next two. */
uint64_t room_txn_bytes(const struct store *);
/* So many small changes make a group. */
unsigned room_changes(const struct store *);
/* So many records are removed in one transaction, `most` at most. */
unsigned room_at_once(const struct store *, unsigned most);
/* As how many records those count that have so many labels in all. */
unsigned room_weight(unsigned records, unsigned labels);
/* What records and bodies may fill; a little more than that is lent while small records are traded. */
uint64_t room_limit(const struct store *);
bool     room_is_over(const struct store *);
uint64_t room_used(const struct store *);
/* max_bytes without what stands beside up to so many transactions. */
uint64_t room_beside(const struct store *, unsigned transactions);

/* -- jobs.c: what takes several transactions, or stands in no group -- */

void job_add(struct writer *, struct store_change *);
bool job_step(struct writer *); /* false: there is none */
void job_flush(struct writer *, struct store_change *);
void job_compact(struct writer *, struct store_change *);
void job_drop_suspects(struct writer *);
bool job_sweep(struct writer *); /* false: it is done */

/* -- state.c -- */

/* Commits what waits, in one transaction for each state; answers. */
void state_write(struct store *);

#endif
