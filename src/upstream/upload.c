/*
 * The upload's buffer: a run of the stream from `start` to `end`, with the
 * reader somewhere in it.  As long as it begins at the body's first byte it can
 * be read again; once it would exceed UPLOAD_KEPT_BYTES what was read is given
 * up and the buffer becomes a window.
 *
 * Mail is posted under the lock, so that none is posted once upload_set_worker() or
 * upload_set_reader() has taken it back.
 */
#include "upstream/upload.h"

#include "base/arena.h"
#include "base/ref.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { FIRST_BYTES = 16 * 1024 };

struct upload {
    struct ref      ref;
    int64_t         length; /* never changes */
    pthread_mutex_t lock;   /* guards all below */
    char           *buffer;
    size_t          capacity;
    int64_t         start, read, end; /* offsets in the body: of buffer[0], the reader, the writer */
    bool            ended, whole;
    bool            discarded;
    bool            worker_waits, reader_waits;
    struct mailbox *worker_box, *reader_box;
    struct mail    *room, *ready;
};

static void destroy(struct ref *ref)
{
    struct upload *u = CONTAINER_OF(ref, struct upload, ref);

    pthread_mutex_destroy(&u->lock);
    free(u->buffer);
    free(u);
}

struct upload *upload_new(int64_t length)
{
    struct upload *u = mem_alloc(sizeof *u);

    ref_init(&u->ref, destroy);
    u->length = length;
    pthread_mutex_init(&u->lock, NULL);
    return u;
}

struct upload *upload_of(char *bytes, size_t count)
{
    struct upload *u = upload_new((int64_t)count);

    u->buffer = bytes;
    u->capacity = count;
    u->end = (int64_t)count;
    u->ended = u->whole = true;
    return u;
}

void upload_acquire(struct upload *u)
{
    ref_acquire(&u->ref);
}

void upload_release(struct upload *u)
{
    if (u != NULL)
        ref_release(&u->ref);
}

void upload_set_worker(struct upload *u, struct mailbox *box, struct mail *room)
{
    pthread_mutex_lock(&u->lock);
    u->worker_box = box;
    u->room = room;
    pthread_mutex_unlock(&u->lock);
}

void upload_set_reader(struct upload *u, struct mailbox *box, struct mail *ready)
{
    pthread_mutex_lock(&u->lock);
    u->reader_box = box;
    u->ready = ready;
    u->reader_waits = false;
    pthread_mutex_unlock(&u->lock);
}

static void wake_worker(struct upload *u) /* under the lock */
{
    if (u->worker_waits && u->worker_box != NULL)
        mailbox_post(u->worker_box, u->room);
    u->worker_waits = false;
}

static void wake_reader(struct upload *u) /* under the lock */
{
    if (u->reader_waits && u->reader_box != NULL)
        mailbox_post(u->reader_box, u->ready);
    u->reader_waits = false;
}

/* -- worker -- */

/* Room for `count` more bytes after `end`, or for as many as may be held; returns how many. */
static size_t make_room(struct upload *u, size_t count)
{
    size_t held = (size_t)(u->end - u->start);
    size_t unread = (size_t)(u->end - u->read);
    size_t needed;

    if (u->start > 0 || held + count > UPLOAD_KEPT_BYTES) {
        if (unread >= UPLOAD_WINDOW_BYTES)
            return 0;
        if (count > UPLOAD_WINDOW_BYTES - unread)
            count = UPLOAD_WINDOW_BYTES - unread;
        /* Only now is the beginning lost; moved when the buffer is full, so a byte moves at most about once. */
        if (held + count > (u->start > 0 ? u->capacity : UPLOAD_KEPT_BYTES)) {
            memmove(u->buffer, u->buffer + (u->read - u->start), unread);
            u->start = u->read;
            held = unread;
        }
    }
    needed = held + count;
    if (needed > u->capacity) {
        size_t capacity = u->capacity > 0 ? u->capacity : FIRST_BYTES;

        while (capacity < needed)
            capacity *= 2;
        u->buffer = mem_resize(u->buffer, capacity);
        u->capacity = capacity;
    }
    return count;
}

size_t upload_write(struct upload *u, const void *bytes, size_t count)
{
    size_t taken = count;

    pthread_mutex_lock(&u->lock);
    if (!u->discarded && !u->ended && count > 0) {
        taken = make_room(u, count);
        if (taken > 0) {
            memcpy(u->buffer + (u->end - u->start), bytes, taken);
            u->end += (int64_t)taken;
            wake_reader(u);
        }
        u->worker_waits = taken < count;
    }
    pthread_mutex_unlock(&u->lock);
    return taken;
}

void upload_finish(struct upload *u, bool whole)
{
    pthread_mutex_lock(&u->lock);
    if (!u->ended) {
        u->ended = true;
        u->whole = whole && (u->length < 0 || u->length == u->end);
        wake_reader(u);
    }
    pthread_mutex_unlock(&u->lock);
}

/* -- upstream thread -- */

enum upload_read upload_read(struct upload *u, void *buffer, size_t count, size_t *got)
{
    enum upload_read result;
    size_t           unread;

    pthread_mutex_lock(&u->lock);
    unread = (size_t)(u->end - u->read);
    if (unread > 0) {
        *got = count < unread ? count : unread;
        memcpy(buffer, u->buffer + (u->read - u->start), *got);
        u->read += (int64_t)*got;
        if (unread - *got <= UPLOAD_WINDOW_BYTES / 2)
            wake_worker(u);
        result = UPLOAD_BYTES;
    } else if (u->ended) {
        result = u->whole ? UPLOAD_END : UPLOAD_BROKEN;
    } else {
        u->reader_waits = true;
        result = UPLOAD_WAIT;
    }
    pthread_mutex_unlock(&u->lock);
    return result;
}

bool upload_rewind(struct upload *u)
{
    bool kept;

    pthread_mutex_lock(&u->lock);
    kept = u->start == 0 && !u->discarded;
    if (kept)
        u->read = 0;
    pthread_mutex_unlock(&u->lock);
    return kept;
}

bool upload_is_kept(struct upload *u)
{
    bool kept;

    pthread_mutex_lock(&u->lock);
    kept = u->start == 0 && !u->discarded;
    pthread_mutex_unlock(&u->lock);
    return kept;
}

int64_t upload_written(struct upload *u)
{
    int64_t bytes;

    pthread_mutex_lock(&u->lock);
    bytes = u->end;
    pthread_mutex_unlock(&u->lock);
    return bytes;
}

bool upload_has_beyond(struct upload *u, int64_t bytes)
{
    bool more;

    pthread_mutex_lock(&u->lock);
    more = u->ended || u->end > bytes;
    pthread_mutex_unlock(&u->lock);
    return more;
}

int64_t upload_length(const struct upload *u)
{
    return u->length;
}

void upload_discard(struct upload *u)
{
    pthread_mutex_lock(&u->lock);
    u->discarded = true;
    wake_worker(u);
    pthread_mutex_unlock(&u->lock);
}

/* -- any thread -- */

bool upload_whole(struct upload *u, const void **bytes, size_t *count)
{
    bool kept;

    pthread_mutex_lock(&u->lock);
    kept = u->ended && u->whole && u->start == 0;
    if (kept) { /* nothing moves it any more: it has ended */
        *bytes = u->buffer != NULL ? u->buffer : "";
        *count = (size_t)u->end;
    }
    pthread_mutex_unlock(&u->lock);
    return kept;
}
