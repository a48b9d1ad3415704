/*
 * A snapshot in use: requests are answered from it, exchanges are added to it.
 *
 * Looking goes under a lock of its own, on the worker that asks.  What is added is gathered where it happens (the
 * upstream thread), and handed whole, by mail, to a thread of the tape's, which alone writes.  So a kill -9 loses the
 * exchanges in hand and no other.  A tape is of an upstream's configuration, or of one client (`weirctl run`), who
 * brings the descriptor; no path travels in a request.
 */
#ifndef WEIR_TAPE_TAPE_H
#define WEIR_TAPE_TAPE_H

#include "base/fault.h"
#include "base/mailbox.h"
#include "http/attempt.h"
#include "http/message.h"
#include "snapshot/snapshot.h"
#include "store/spool.h"
#include "tape/options.h"

struct tape;

struct tape_start {
    int                        folder_fd; /* of the folder or zip; borrowed */
    const char                *name;      /* for messages */
    bool                       reads, writes;
    const struct tape_options *options;
    const char *const *credential_fields, *const *credential_params; /* as of policy_options; NULL: the usual ones */
};

/* One reference.  NULL and *why: it is no snapshot, or cannot be written. */
struct tape *tape_open(const struct tape_start *, struct fault *why);
/* The folder or zip at options->path; a folder is made where it may be written and is missing. */
struct tape *tape_open_path(const struct tape_start *, struct fault *why);

struct tape_client {                        /* all is copied */
    int                        journal_fd;  /* a file of his, empty, to read and write */
    int                        snapshot_fd; /* all that is recorded already, in one file that cannot change; -1: none */
    int                        scratch_fd;  /* a folder of Weir's own, for long bodies; it stays open */
    struct slice               line;        /* line 1 of the snapshot; ptr NULL: none */
    const struct tape_options *options;
    const char *const *credential_fields, *const *credential_params;
};

/* A client's, who brings descriptors: nobody waits for his files but the tape's thread.  It is open, or not, when
 * `opened` is posted: tape_is_open().  What cannot be written ends the recording, and so does a file that takes too
 * long: then no more is kept.  NULL: *why. */
struct tape *tape_open_client(const struct tape_client *, struct mailbox *, struct mail *opened, struct fault *why);
bool         tape_is_open(struct tape *, struct fault *why);
void         tape_acquire(struct tape *);
/* The last one ends it; what is on its way is written, and sorted, after the return.  NULL is fine. */
void tape_release(struct tape *);
/* Until all tapes that were released are closed: at the daemon's end.  Those of clients get some seconds. */
void                       tape_await_all(void);
const struct tape_options *tape_options(const struct tape *); /* `redact` is not there any more */
const char                *tape_name(const struct tape *);

struct tape_counts {
    uint64_t played, missed; /* requests */
    uint64_t recorded;       /* exchanges */
    uint64_t secret, failed; /* that were not kept: a credential in a body; the disk */
    uint64_t closed;         /* 1: tape_finish() is done */
    char     trouble[320];   /* what was said of the first of those; "" */
};
void tape_counts(struct tape *, struct tape_counts *);
/* No more is added; what is on its way is written (some seconds long it is waited for) and sorted, and then `done` is
 * posted.  Once. */
void tape_finish(struct tape *, struct mailbox *, struct mail *done);

/* -- playing: any thread -- */

bool tape_plays(const struct tape *);
/* Does a request's body count in what is the same? */
bool tape_matches_body(const struct tape *);

struct tape_answer {
    struct snapshot_exchange exchange;
    struct snapshot_bytes    body; /* to be closed: snapshot_body_close() */
};
/* Counts.  What it says lives as long as the arena and the tape. */
enum snapshot_found tape_find(struct tape *, const struct snapshot_request *, struct tape_answer *,
                              struct snapshot_nearest *, struct arena *, struct fault *why);

/* -- recording: the thread that begins it -- */

struct taping;

bool tape_records(const struct tape *);
/* The request as the client meant it: what Weir adds of credentials stands in `secret` alone (ptr NULL: none).  NULL:
 * no more is kept. */
struct taping *taping_begin(struct tape *, const struct http_request *, struct slice url, struct slice secret,
                            int directory_fd);
void           taping_sent(struct taping *, const void *bytes, size_t count); /* of its body */
void           taping_interim(struct taping *, unsigned status, const struct http_fields *);
void           taping_head(struct taping *, unsigned status, const struct http_fields *);
/* The body, which is growing or whole; what of it is there at taping_end() is read after that. */
void taping_body(struct taping *, struct spool *);
bool taping_is_growing(const struct taping *);   /* its body has not ended */
void taping_came(struct taping *, size_t count); /* for its pace */
void taping_trailer(struct taping *, struct slice name, struct slice value);
/* It has ended, before whoever asked hears so: it is kept, and freed. */
void taping_end(struct taping *, enum snapshot_end, struct slice error);
void taping_drop(struct taping *); /* NULL is fine */
/* What such a failure is in a snapshot, and the way back. */
enum snapshot_end    taping_end_of(enum attempt_outcome, bool has_head);
enum attempt_outcome tape_outcome_of(enum snapshot_end);

#endif
