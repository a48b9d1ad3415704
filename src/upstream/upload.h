/*
 * A request body on its way up: written by a worker as the client sends it,
 * read by the upstream thread as the API takes it, bounded both ways.
 *
 * The first UPLOAD_KEPT_BYTES stay, so that the request can be sent again (contract
 * section 5); of a longer body UPLOAD_WINDOW_BYTES are held at a time and it
 * can be sent once.  One lock inside; wake-ups are mail, posted once each time a side has said it waits.
 */
#ifndef WEIR_UPSTREAM_UPLOAD_H
#define WEIR_UPSTREAM_UPLOAD_H

#include "base/mailbox.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { UPLOAD_KEPT_BYTES = 1024 * 1024, UPLOAD_WINDOW_BYTES = 256 * 1024 };

struct upload;

/* `length` -1: unknown (chunked). Mailboxes outlive it. `room` is posted to the worker when a full upload has
 * space again; `ready` to the upstream thread when a drained one has bytes or its end. Both mails are the callers'. */
struct upload *upload_new(int64_t length);
/* One that has come as a whole; `bytes`, malloc'd, is taken over.  All of it is kept. */
struct upload *upload_of(char *bytes, size_t count);
void           upload_acquire(struct upload *);
void           upload_release(struct upload *); /* NULL is fine */
void           upload_set_worker(struct upload *, struct mailbox *, struct mail *room);
/* NULL mailbox: nobody reads any more */
void upload_set_reader(struct upload *, struct mailbox *, struct mail *ready);

/* -- worker -- */
/* Bytes taken; less than `count`: full, `room` will come (also when the reader is gone: then everything is taken and
 * dropped). */
size_t upload_write(struct upload *, const void *bytes, size_t count);
void   upload_finish(struct upload *, bool whole); /* false: the client broke off */

/* -- upstream thread -- */
enum upload_read { UPLOAD_BYTES, UPLOAD_WAIT, UPLOAD_END, UPLOAD_BROKEN };
enum upload_read upload_read(struct upload *, void *buffer, size_t count, size_t *got);
/* To the first byte again; false where that is gone. */
bool    upload_rewind(struct upload *);
bool    upload_is_kept(struct upload *);      /* could upload_rewind() still succeed? */
int64_t upload_length(const struct upload *); /* -1: unknown */
int64_t upload_written(struct upload *);      /* bytes that the client has sent */
/* Has it sent more than that, or its end? */
bool upload_has_beyond(struct upload *, int64_t bytes);
/* Nobody will read on: the rest is taken and dropped. */
void upload_discard(struct upload *);

/* -- any -- : the whole body where it has ended and is kept (for key_body, logs never). false otherwise. */
bool upload_whole(struct upload *, const void **bytes, size_t *count);

#endif
