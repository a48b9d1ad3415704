/*
 * A body on its way: written by one thread, read by any number of others at
 * their own pace while it grows, and linked into the cache when it is whole.
 *
 * The first SPOOL_MEMORY_BYTES stand in memory; a longer body that may be stored goes, from its
 * first byte on, to an unnamed file (O_TMPFILE) in the cache directory, with
 * file offset = body offset.  The writer publishes the length with a release
 * store; readers never see a byte that is not there.  A reader that has
 * caught up arms a wake-up: spool_read() says WAIT and the writer then posts
 * the reader's mail exactly once when there is more, or the end.
 *
 * A spool that nobody will store (SPOOL_PASS) uses its memory again after the slowest reader, and tells the writer
 * when it is too far ahead (spool_is_ahead).  A writer that cannot wait goes on into a file, whose disk space is given
 * back after the slowest reader.
 *
 * A disk that refuses costs the cache a record, not the client its answer:
 * what follows goes to anonymous memory (memfd) and the spool becomes a
 * SPOOL_PASS of itself, so that little of it stands there at a time.
 */
#ifndef WEIR_STORE_SPOOL_H
#define WEIR_STORE_SPOOL_H

#include "base/fault.h"
#include "base/list.h"
#include "base/mailbox.h"
#include "base/ref.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum {
    SPOOL_MEMORY_BYTES = 256 * 1024,
    SPOOL_WRITE_BYTES = 64 * 1024,  /* written in such pieces, a SPOOL_PASS whose writer waits stays in memory */
    SPOOL_AHEAD_BYTES = 1024 * 1024 /* of a SPOOL_PASS that is in a file */
};

enum spool_end { SPOOL_GROWING, SPOOL_WHOLE, SPOOL_CUT_SHORT };

struct spool;

struct spool_reader {                 /* embedded in what reads; one thread (the worker) */
    struct spool            *spool;   /* holds a reference */
    int64_t                  offset;  /* next byte to read */
    struct mailbox          *mailbox; /* where `wake` is posted */
    struct mail              wake;    /* the owner sets .receive */
    LIST_ENTRY(spool_reader) entry;   /* of the spool's readers; under its lock */
    void (*receive)(struct mail *);   /* the owner's, kept while ours stands in `wake` */
    _Atomic int     armed;            /* whether `wake` is wanted or on its way: see spool.c */
    _Atomic int64_t seen;             /* offset as the writer may see it */
};

/* `directory_fd`: where an unnamed file is made when memory does not do; borrowed, must stay open.
 * -1: memory only (a memfd after the first SPOOL_MEMORY_BYTES), unbounded.  Never NULL. */
struct spool *spool_new(int directory_fd);
void          spool_acquire(struct spool *);
void          spool_release(struct spool *); /* NULL is fine; the last one frees it */

/* -- writer's thread -- */
/* -1: neither disk nor memory had room (why says it); the spool is then cut short for its readers.
 * Where only the disk refused it is 0, and spool_is_pass() from then on: look at spool_is_ahead() after every write. */
int spool_write(struct spool *, const void *bytes, size_t count, struct fault *why);
/* Ends it and wakes all readers. The first end counts. */
void spool_finish(struct spool *, enum spool_end end);
/* From now on nothing after the slowest reader needs to be kept. Not to be undone. */
void spool_set_pass(struct spool *);
/* True while a SPOOL_PASS has no room in memory for SPOOL_WRITE_BYTES that its slowest reader would leave there; in a
 * file, while it is over SPOOL_AHEAD_BYTES ahead of that one (or has unread bytes and no readers). */
bool spool_is_ahead(const struct spool *);
/* Posted (once each time it was set) when readers of a SPOOL_PASS have caught up again: within a quarter of its memory,
 * or half of SPOOL_AHEAD_BYTES; at once where they are already. Not to be set again before it was received.
 * NULL, NULL: not wanted any more (it may already stand in the mailbox). */
void spool_set_drained_mail(struct spool *, struct mailbox *, struct mail *);

/* -- any thread -- */
bool           spool_is_pass(const struct spool *); /* cannot be stored; later readers may find its beginning gone */
int64_t        spool_length(const struct spool *);  /* bytes published so far */
enum spool_end spool_ended(const struct spool *);   /* read it before spool_length() to know the final length */
/* The unnamed file with everything in it (of a SPOOL_PASS: with what memory did not take), or -1 while it stands in
 * memory (or the disk refused). Borrowed. */
int spool_file(const struct spool *);
/* Copies up to `count` bytes from `offset` without touching any reader; the number copied (0: none there), -1:
 * unreadable. */
ssize_t spool_peek(const struct spool *, int64_t offset, void *buffer, size_t count);

/* -- reader's thread -- */
/* Sets up at `offset` (0 unless the caller has had some); takes a reference. `wake.receive` must be set before;
 * it is called as the owner set it, at which time spool_reader_idle() is true again. The memory is zeroed or was
 * a reader before. */
void spool_reader_open(struct spool_reader *, struct spool *, struct mailbox *, int64_t offset);
/* No `wake` is posted after this returns, but one may already stand in the mailbox: the caller's
 * `receive` must cope (see spool_reader_idle()). */
void spool_reader_close(struct spool_reader *);
/* True where `wake` stands in no mailbox, so that the reader's memory may be freed. */
bool spool_reader_idle(const struct spool_reader *);

enum spool_read { SPOOL_READ_BYTES, SPOOL_READ_WAIT, SPOOL_READ_END, SPOOL_READ_CUT };
/* Copies and advances. *got is set for SPOOL_READ_BYTES. WAIT has armed the wake-up. */
enum spool_read spool_read(struct spool_reader *, void *buffer, size_t count, size_t *got);

#endif
