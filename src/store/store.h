/*
 * The cache on disk: records by key and variant in LMDB, large bodies as
 * files beside it.
 *
 * Look-ups are lock-free reads of mapped memory on the caller's thread, each
 * with its own store_reader.  Every change is a message to the one writer
 * thread (store_submit), which commits in groups, links body files, and
 * evicts.  A store that cannot be opened or that breaks later is no reason
 * to stop: look-ups miss, changes report failure, and the log says so.
 *
 * What was submitted is seen by look-ups at once, though it is committed later: nobody falls
 * between an answer and its record (uncommitted.c).
 */
#ifndef WEIR_STORE_STORE_H
#define WEIR_STORE_STORE_H

#include "base/arena.h"
#include "base/fault.h"
#include "base/list.h"
#include "http/fields.h"
#include "store/options.h"
#include "store/spool.h"

#include <stdatomic.h>

enum { STORE_HASH_BYTES = 16, STORE_INLINE_BYTES = 64 * 1024 /* a longer body is a file */ };

/* What an API or a rule has marked a response with, so that all that bear the mark can be dropped: policy/label.h makes
 * them.  The first half alone names it, whoever gave it. */
enum { STORE_LABEL_BYTES = 16, STORE_LABEL_NAME_BYTES = 8, STORE_LABELS_AT_MOST = 64 };

struct store;

/* A NULL store is a broken one in every function below: look-ups miss, changes are answered with ok = false. */

/* NULL: the directory cannot be used or another instance holds it (one clear line in *why).
 * A damaged or newer-format database is set aside ("data.mdb.damaged-<time>"), a new one begun, and *note
 * (may be NULL) says so. Starts the writer thread. */
struct store *store_open(const struct store_options *, struct fault *why, struct fault *note);
/* The cache of a daemon that does not run, for who looks at it or drops something: nothing is made, set aside, swept or
 * verified, and with `read_only` nothing written.  Its lock is held.  NULL: *why; *is_held: a daemon has it. */
struct store *store_open_offline(const struct store_options *, bool read_only, bool *is_held, struct fault *why);
/* Commits what was submitted, stops the writer. NULL is fine. All readers are closed before. */
void store_close(struct store *);
void store_settle(struct store *);          /* main thread, some minutes after the start: see db_settle() */
int  store_directory(const struct store *); /* for spools; borrowed */

/* May an answer's head say that it is being stored?  Not where the store is broken or gone, or where the last one
 * like it could not be stored. `body_bytes`: -1: not known. Any thread. */
bool store_promises(struct store *, int64_t body_bytes);
/* The directory took no more of a body: said until one is stored again. Any thread. */
void store_refuses_files(struct store *);

/* -- look-up: one reader per thread -- */
struct store_reader;
struct store_reader *store_reader_open(struct store *); /* never NULL; look-ups miss where the store is broken */
void                 store_reader_close(struct store_reader *);

struct body_proof { /* of a body */
    uint64_t sum;   /* XXH3-64 of its content */
    uint64_t mark;  /* of its file's inode and time; 0: an older version stored it, and neither is known */
};

struct store_record { /* a view: borrows database pages until store_reader_end() */
    struct slice      full_key;
    struct slice      selection;      /* policy/vary.h */
    struct slice      encoded_fields; /* see store_record_fields() */
    unsigned          status;
    int64_t           requested_wall_ns, received_wall_ns;
    int64_t           set_back_ns; /* by so much was the wall clock set back since, as far as anybody saw */
    int64_t           body_bytes;
    struct slice      body;      /* inline; ptr NULL where it is a file */
    uint64_t          body_file; /* number of the body file; 0: inline */
    struct body_proof proof;     /* of that file, or the sum of the inline body */
    bool              invalidated;
    bool              had_credential;
    bool              masked;   /* fields hold marks: policy/mask.h */
    struct slice      upstream; /* name of the upstream it came from */
    uint64_t          id;       /* of this version of the record: another after each change */
    uint8_t           hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES];
};

enum store_result { STORE_HIT, STORE_MISS, STORE_OTHER_VARIANT, STORE_BROKEN };
/* Of the variants under `hash` whose full key is the same, the newest that `accept` takes.
 * STORE_OTHER_VARIANT: there were some, none was taken.  On a hit *out is valid until store_reader_end(). */
typedef bool (*store_accept)(const struct store_record *, void *context);
enum store_result store_lookup(struct store_reader *, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key,
                               store_accept accept, void *context, struct store_record *out);
/* The same, and nothing is left of it: no use that eviction, hit counts or the next look-up would go by. */
enum store_result store_peek(struct store_reader *, const uint8_t hash[STORE_HASH_BYTES], struct slice full_key,
                             store_accept accept, void *context, struct store_record *out);
/* What is stored under one path of one partition, whatever the query, method and variant: `tag` as store_change has it.
 * Up to `most` are shown, the newest announced ones first; what the reader had borrowed ends, and what is shown is
 * valid during the call. */
typedef void (*store_near_each)(const struct store_record *, void *context);
struct store_near {
    unsigned shown, count; /* of so many */
    bool     is_all;       /* false: there are more, which nobody counted */
};
struct store_near store_of_path(struct store_reader *, const uint8_t tag[STORE_HASH_BYTES], unsigned most,
                                store_near_each, void *context);
/* The same of those that are announced and not committed, and of what is committed and bears a label. */
void store_coming_of_path(struct store_reader *, const uint8_t tag[STORE_HASH_BYTES], unsigned most, store_near_each,
                          void *context);
void store_of_label(struct store_reader *, const uint8_t label[STORE_LABEL_BYTES], unsigned most, store_near_each,
                    void *context);
/* May anything bear a label that begins with STORE_LABEL_NAME_BYTES - 1 zeros? Costs a load. Any thread. */
bool store_varies_by_search(const struct store *);
/* Ends the borrow. Harmless where nothing was borrowed. */
void store_reader_end(struct store_reader *);
/* The head's fields as slices of the record; the array is in the arena. A NUL byte follows each name and value. */
struct http_fields store_record_fields(const struct store_record *, struct arena *);
/* Its labels, one after the other; empty for most. */
struct slice store_record_labels(const struct store_record *);
/* Is that one among them? `bytes`: of it that count: STORE_LABEL_BYTES, or STORE_LABEL_NAME_BYTES. */
bool store_has_label(struct slice labels, const uint8_t *label, size_t bytes);
/* The body file, opened for reading (caller closes), -1 where it is gone or another one's: then it is a miss.  A file
 * that was copied or written to since it was stored is read once, to see whether it is what it was. */
int store_body_open(struct store *, const struct store_record *);
/* Is an inline body what was stored?  Look-ups have seen to it; of a walk's records nobody has. */
bool store_inline_is_right(const struct store_record *);
/* Leaves a sample for the eviction's recency; costs a few instructions. */
void store_touch(struct store_reader *, const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES]);
/* Another number after each commit, and when a look-up may find something else before one: what was looked up since is
 * still what is stored. Any thread. */
uint64_t store_generation(const struct store *);
/* What was kept of a look-up is looked up again: something else that it depended on has changed.  Any thread. */
void store_look_again(struct store *);
/* The wall clock was set back by so much: what is stored is older by that than its times say.  Kept over restarts. Any
 * thread. */
void store_clock_set_back(struct store *, int64_t ns);
/* May a change that is not committed yet be about that hash? Costs next to nothing. Any thread. */
bool store_is_changing(const struct store *, const uint8_t hash[STORE_HASH_BYTES]);

/* -- all that is stored, a part at a time -- */
struct store_walk { /* the asker's, from store_walk() until `done` is received; zeroed before the first time */
    /* On the store's own thread "walk", within a read transaction: false ends the batch, and the next store_walk() goes
     * on after that record.  While it is true the walk goes on to the end, however many batches that takes. */
    bool (*visit)(void *context, const struct store_record *);
    void           *context;
    struct mailbox *reply_to;
    struct mail     done;         /* .receive set by the asker */
    _Atomic bool    is_cancelled; /* set by anybody: `done` comes soon */
    /* answer */
    bool     ok;     /* false: nothing can be read */
    bool     at_end; /* all was seen */
    uint64_t seen;   /* records so far */
    /* the store's own */
    struct mail mail;
    bool        has_after;
    uint8_t     after[2 * STORE_HASH_BYTES];
};
/* What is committed; STORE_SETTLE before it makes that all that was submitted.  Between two calls nothing is held of
 * the database. Any thread; every walk is done before the store is closed. */
void store_walk(struct store *, struct store_walk *);
/* Hits of a record since the start, as far as they are remembered: tally.h.  Any thread. */
uint64_t store_hits(struct store *, const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES]);

/* -- changes: any thread -- */
enum store_change_kind {
    STORE_PUT,           /* a whole response: replaces that variant */
    STORE_FRESHEN,       /* new fields and times for the record `id` (hash, variant), which is valid again;
                                       * changed 0 where it is another by now */
    STORE_INVALIDATE,    /* all variants under `hash`: kept for validation only */
    STORE_DROP,          /* all variants under `hash` */
    STORE_DROP_TAG,      /* every record with `tag` (path_tag) */
    STORE_DROP_LABEL,    /* every record with `label`, as many bytes of it as count; of `upstream` alone, where that is
                                       * not NULL */
    STORE_DROP_MATCHING, /* every record whose full key `matches` (purge by glob), or which itself does: scanned in
                                       * batches, between which other changes are made; what is stored meanwhile
                                       * stays */
    STORE_FLUSH,         /* everything */
    STORE_SETTLE,        /* nothing: answered when all that was submitted before is committed, but for what is
                                       * dropped in steps */
    STORE_COMPACT        /* free pages go back to the file system: `changed` is how many bytes that were */
};

struct store_change {            /* the submitter's memory until `done` is received */
    struct mail            mail; /* the writer's */
    enum store_change_kind kind;
    uint8_t                hash[STORE_HASH_BYTES], variant[STORE_HASH_BYTES], tag[STORE_HASH_BYTES];
    uint64_t               id; /* FRESHEN: see there. PUT: of the record under hash and variant that it was made
                                       * of: stored only where that still stands; 0: of none */
    struct slice           full_key, selection;
    const char            *upstream;  /* name: counted for max_share and shown by status */
    double                 max_share; /* PUT: the part of the cache that it may fill; 0: no bound */
    unsigned               status;
    struct http_fields     fields;                   /* as stored */
    struct slice           labels;                   /* PUT, FRESHEN: STORE_LABELS_AT_MOST of them at most */
    uint8_t                label[STORE_LABEL_BYTES]; /* DROP_LABEL */
    size_t                 label_bytes;
    int64_t                requested_wall_ns, received_wall_ns;
    bool                   had_credential, masked;
    struct spool          *body;       /* whole, not passed; the submitter's reference, until `done`; NULL: no body */
    int64_t                body_bytes; /* of store_announce(): how long the body will be */
    bool                   is_first;   /* PUT: nothing is known to be stored under `hash`: no look-up is undone */
    bool (*matches)(struct slice full_key, void *context);              /* on the writer's thread, and on the upstream
                                       * thread before; NULL there: nothing that is on its way */
    bool (*matches_record)(const struct store_record *, void *context); /* on the writer's thread, in place of
                                       * `matches` */
    void *context;
    /* answer */
    struct mailbox *reply_to; /* where `done` is posted after the commit; never NULL */
    struct mail     done;     /* .receive set by the submitter */
    bool            ok;       /* committed: readers see it from now on */
    uint64_t        changed;  /* records stored or dropped */
    uint64_t        new_id;
    /* the store's own: in the order of announcement, the id of what a PUT or FRESHEN stores */
    uint64_t                   number;
    bool                       announced, submitted;
    struct store_change       *next_announced;
    STAILQ_ENTRY(store_change) queued; /* the writer's */
};
/* The writer groups changes for up to some seconds (grouping.h); INVALIDATE, FLUSH and the DROPs are committed at once.
 * Changes of one thread are made in the order they were submitted. */
void store_submit(struct store *, struct store_change *);
/* A PUT, FRESHEN or INVALIDATE that will be submitted: look-ups see it from now on, a PUT as soon as `body_bytes` of
 * its body are there.  store_submit() does it where it was not done; a DROP does not undo it before it is committed. */
void store_announce(struct store *, struct store_change *);
/* It is not submitted after all.  Harmless where it was not announced, or where it is the writer's by now. */
void store_withdraw(struct store *, struct store_change *);
/* Somebody waits for a change that was submitted, or asks what is stored: what waits is committed now. Any thread. */
void store_hurry(struct store *);

struct store_status {
    uint64_t records, body_files, bytes, max_bytes;
    bool     broken;
};
struct store_status store_status(struct store *); /* any thread */

#endif
