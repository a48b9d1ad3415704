/*
 * A snapshot: recorded exchanges in a folder that diffs, or in a zip of it; and, between two programs, in one file
 * that only grows (a journal: journal.h).
 *
 *     snapshot.jsonl        line 1 says how requests are matched and what is masked; then an exchange a line
 *     bodies/HASH.json      each body once, byte for byte, under its SHA-256
 *
 * Everything goes by descriptors: a folder may be one that a client has opened and passed in.  What is masked is masked
 * before anything is written, and the same is done with a request that is looked for, so masking never breaks a match.
 *
 * All here reads and writes files: nothing for a worker or the upstream thread, but for snapshot_find() and what reads
 * bodies, whose files are a folder's, in the kernel's cache.  A reader and a writer each are one thread's at a time.
 */
#ifndef WEIR_SNAPSHOT_SNAPSHOT_H
#define WEIR_SNAPSHOT_SNAPSHOT_H

#include "base/fault.h"
#include "http/fields.h"

#include <sys/types.h>

/* -- what is recorded -- */

enum snapshot_end {
    SNAPSHOT_WHOLE,
    SNAPSHOT_CUT,          /* the body, or the head, ended too early */
    SNAPSHOT_TIMED_OUT,    /* nothing came for too long */
    SNAPSHOT_REFUSED,      /* the connection was */
    SNAPSHOT_NO_CONNECTION /* there was none: a name that is not known, TLS, no way there */
};
const char *snapshot_end_name(enum snapshot_end); /* "whole", "cut", "timeout", "refused", "no-connection" */

struct snapshot_body {
    struct slice name; /* in bodies/; ptr NULL: there is none, or it is empty */
    uint64_t     bytes;
};

struct snapshot_piece { /* of a body's way: at so many milliseconds after the head so many bytes had come */
    int64_t  at_ms;
    uint64_t bytes;
};

struct snapshot_interim { /* a 1xx */
    unsigned           status;
    struct http_fields fields;
};

struct snapshot_exchange {                    /* what a line says */
    struct slice                 method, url; /* absolute, masked */
    uint64_t                     seq;         /* of those that are matched alike, from 1 */
    int64_t                      time_ms;     /* since 1970-01-01 UTC, when it was asked */
    int64_t                      took_ms;
    struct http_fields           request;
    bool                         had_credential; /* one was left out or masked */
    struct snapshot_body         request_body;
    unsigned                     status; /* 0: there was no final head */
    struct http_fields           response, trailers;
    struct snapshot_body         body;
    enum snapshot_end            end;
    struct slice                 error; /* in words, where it is not whole; may be empty */
    struct snapshot_interim     *interims;
    unsigned                     interim_count;
    const struct snapshot_piece *timing; /* where it was kept */
    unsigned                     timing_count;
};

enum snapshot_order {
    SNAPSHOT_LAST,    /* the newest of equal ones */
    SNAPSHOT_SEQUENCE /* the first, then the second, and the last from then on */
};

/* Lists end with NULL, and NULL is the usual one.  For a snapshot that is there already what it says itself holds, and
 * these only add to it. */
struct snapshot_options {
    const char *const  *credential_fields;
    const char *const  *credential_params;
    const char *const  *redact; /* "json:/access_token", "header:X-Session" */
    const char *const  *match;  /* of "method", "url", "body", "header:NAME" */
    enum snapshot_order order;
};

/* Is this one of `redact`?  False: *why says what would be right. */
bool snapshot_redact_is_valid(const char *redact, struct fault *why);

/* -- reading -- */

struct snapshot_reader;

/* Of an open folder or zip, which stays the caller's and is not needed any more afterwards.  NULL: *why. */
struct snapshot_reader *snapshot_open(int fd, const struct snapshot_options *, struct fault *why);
void                    snapshot_close(struct snapshot_reader *); /* NULL is fine */
size_t                  snapshot_count(const struct snapshot_reader *);
int64_t                 snapshot_created_ms(const struct snapshot_reader *);
/* In the order of the file, from 0; what it says lives as long as the arena and the snapshot.  False: *why, a line that
 * is damaged. */
bool snapshot_get(struct snapshot_reader *, size_t index, struct snapshot_exchange *, struct arena *,
                  struct fault *why);

struct snapshot_request {
    struct slice              method, url; /* absolute */
    const struct http_fields *fields;
    struct slice              body; /* whole; see snapshot_matches_body() */
};

struct snapshot_nearest {
    struct slice method, url; /* masked; ptr NULL: nothing is recorded */
    struct slice difference;  /* "the parameter page is 3 and was 2": a sentence's part */
};

enum snapshot_found { SNAPSHOT_FOUND, SNAPSHOT_MISSED, SNAPSHOT_BROKEN };

/* Does a request's body count?  Else it need not be waited for. */
bool snapshot_matches_body(const struct snapshot_reader *);
/* Under SNAPSHOT_SEQUENCE each call moves on.  MISSED fills *nearest (NULL is fine), BROKEN *why. */
enum snapshot_found snapshot_find(struct snapshot_reader *, const struct snapshot_request *, struct snapshot_exchange *,
                                  struct snapshot_nearest *, struct arena *, struct fault *why);

/* A body's bytes: small ones stay in memory as long as the snapshot, others come out of a file. */
struct snapshot_bytes {
    struct slice kept; /* ptr NULL: of `fd` */
    int          fd;
    uint64_t     from, bytes; /* of it */
};
/* 0, or -1 and *why: it is missing, or is not what it was. */
int     snapshot_body_open(struct snapshot_reader *, const struct snapshot_body *, struct snapshot_bytes *,
                           struct fault *why);
ssize_t snapshot_body_read(const struct snapshot_bytes *, uint64_t at, void *out, size_t most); /* -1 and errno */
void    snapshot_body_close(struct snapshot_bytes *);
/* All of it, in the arena; false: *why, also where it has more than `most`. */
bool snapshot_body_all(struct snapshot_reader *, const struct snapshot_body *, size_t most, struct arena *,
                       struct slice *out, struct fault *why);

/* What is recorded meanwhile is found at once.  Its bodies are masked; a long one stands in the file `fd` from
 * `came_at` on, or with -1 is not found. */
void snapshot_take(struct snapshot_reader *, const struct snapshot_exchange *, struct slice sent, struct slice came,
                   int fd, uint64_t came_at);

/* -- writing -- */

struct snapshot_writer;

/* Into an open folder, empty or with a snapshot in it; others may write into it at the same time.  The descriptor stays
 * the caller's.  NULL: *why, also where something else than a snapshot is in it. */
struct snapshot_writer *snapshot_writer_open(int folder_fd, const struct snapshot_options *, struct fault *why);

/* The same into one file of a client's, open to read and write and empty, that whoever passed it in folds into the
 * folder: snapshot_fold().  `line`: line 1 of the snapshot that it becomes a part of; ptr NULL: of none.  Long bodies
 * on their way are files without a name in `scratch_fd`, a folder.  Both descriptors stay the caller's. */
struct snapshot_writer *snapshot_writer_open_journal(int journal_fd, int scratch_fd, struct slice line,
                                                     const struct snapshot_options *, struct fault *why);
/* What is kept from now on is told, on the writer's thread: masked, and where the answer's body stands. */
typedef void (*snapshot_keeps)(void *context, const struct snapshot_exchange *, struct slice sent, struct slice came,
                               int fd, uint64_t came_at);
void snapshot_writer_tell(struct snapshot_writer *, snapshot_keeps, void *context);

struct snapshot_recording; /* an exchange in hand: nothing of it is seen before its end */

/* Of the request as it leaves, with its credentials: they are left out, and are known from now on. */
struct snapshot_recording *snapshot_record(struct snapshot_writer *, struct slice method, struct slice url,
                                           const struct http_fields *fields, int64_t time_ms);
/* A credential that stands in none of the usual places: its value is in nothing that is written. */
void snapshot_record_secret(struct snapshot_recording *, struct slice value);
void snapshot_record_sent(struct snapshot_recording *, const void *bytes, size_t count); /* of its body */
void snapshot_record_interim(struct snapshot_recording *, unsigned status, const struct http_fields *fields);
void snapshot_record_head(struct snapshot_recording *, unsigned status, const struct http_fields *fields);
/* `at_ms` after the head, or below 0: its pace is not kept. */
void snapshot_record_came(struct snapshot_recording *, const void *bytes, size_t count, int64_t at_ms);
void snapshot_record_trailer(struct snapshot_recording *, struct slice name, struct slice value);

enum snapshot_kept {
    SNAPSHOT_KEPT,
    SNAPSHOT_SECRET, /* a credential stands in a body: nothing is kept, *why says of which exchange */
    SNAPSHOT_FAILED  /* the disk, or a file that cannot be written: *why */
};
/* Ends it and frees it.  KEPT: it is in a file, and survives a kill -9. */
enum snapshot_kept snapshot_record_end(struct snapshot_recording *, enum snapshot_end, struct slice error,
                                       int64_t took_ms, struct fault *why);
void               snapshot_record_drop(struct snapshot_recording *); /* nothing is kept; NULL is fine */

/* After a search for credentials that were learned later: an exchange that holds one is taken out, and then it is
 * SNAPSHOT_SECRET.  What was written into a folder is folded.  Frees it in any case; `written`, which may be NULL, gets
 * how many exchanges of this writer are left. */
enum snapshot_kept snapshot_writer_close(struct snapshot_writer *, size_t *written, struct fault *why);

/* A zip of the snapshot in that folder, which nobody writes into meanwhile; `path` must not be there.  -1: *why. */
int snapshot_pack(const char *folder, const char *path, struct fault *why);

/* -- journals of a folder -- */

/* Makes one for another process, which writes it: open, and locked as long as anybody has it open.  A folder that is
 * empty becomes a snapshot.  `line` gets line 1, malloc'd.  -1: *why. */
int snapshot_journal(int folder_fd, char **line, struct fault *why);
/* snapshot.jsonl from what it holds and the journals whose writers are gone; `added`, which may be NULL, gets how many
 * exchanges these had. */
int snapshot_fold(int folder_fd, size_t *added, struct fault *why);
/* All of a snapshot as one journal, for a process that may not read the folder. */
int snapshot_copy(struct snapshot_reader *, int out_fd, struct fault *why);

#endif
