/*
 * The spool: one writer, any number of readers, no lock on the way of a byte.
 *
 * Up to SPOOL_MEMORY_BYTES stand in chunks that never move (each as large as
 * all before it), so a reader needs nothing but the published length.  The
 * chunks stay when the file is made: whoever is copying from one may go on.
 * A SPOOL_PASS goes round in them: byte N stands where byte N - SPOOL_MEMORY_BYTES did, once all readers have
 * passed that one, and readers who come later find `gone`.
 * Where the disk refuses, bytes from `spilled_from` on stand in a memfd, at
 * the same offsets.
 *
 * Wake-ups are a Dekker handshake in sequentially consistent order: the
 * writer publishes the length, then looks for armed readers; a reader arms,
 * then looks at the length once more.  `armed` goes IDLE -> ARMED (reader),
 * ARMED -> POSTED (writer, who then posts), POSTED -> IDLE (reader, when the mail
 * is received), ARMED -> IDLE (reader, who found bytes after all): no mail is
 * posted twice, none is lost.
 *
 * The lock guards the list of readers and the drained mail.  Mail is posted under it,
 * so that none is posted once spool_reader_close() has returned.
 */
#include "store/spool.h"

#include "base/arena.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { FIRST_CHUNK_BYTES = 4096, CHUNKS = 7, PUNCH_BYTES = 1024 * 1024, PAGE_BYTES = 4096 };
enum armed { IDLE, ARMED, POSTED };
enum drained { DRAINED_UNWANTED, DRAINED_WANTED };

_Static_assert(FIRST_CHUNK_BYTES << (CHUNKS - 1) == SPOOL_MEMORY_BYTES, "the chunks hold it exactly");

struct spool {
    struct ref ref;
    int        directory_fd; /* never changes */

    /* Written by the writer before `length` covers what they are about. */
    char           *chunks[CHUNKS];
    _Atomic int64_t memory_bytes;      /* bytes before it stand in chunks: fixed once there is a file */
    _Atomic int64_t gone;              /* ... but for those before this one; set under the lock */
    _Atomic int64_t spilled_from;      /* bytes from here on stand in spill_fd; INT64_MAX: none */
    _Atomic int     file_fd, spill_fd; /* -1: none; set once */

    _Atomic int64_t length;
    _Atomic int     end; /* enum spool_end */
    _Atomic bool    pass;
    _Atomic int64_t punched; /* bytes before this are gone from the files */

    pthread_mutex_t lock;
    LIST_HEAD(, spool_reader) readers; /* lock */
    int64_t         needed_from;       /* lock; the slowest reader there was */
    _Atomic int     drained;           /* enum drained; changed under the lock */
    struct mailbox *drained_box;       /* lock */
    struct mail    *drained_mail;      /* lock */
};

static void destroy(struct ref *ref)
{
    struct spool *s = CONTAINER_OF(ref, struct spool, ref);

    CHECK(LIST_EMPTY(&s->readers));
    for (int i = 0; i < CHUNKS; i++)
        free(s->chunks[i]);
    if (s->file_fd >= 0)
        close(s->file_fd);
    if (s->spill_fd >= 0)
        close(s->spill_fd);
    pthread_mutex_destroy(&s->lock);
    free(s);
}

struct spool *spool_new(int directory_fd)
{
    struct spool *s = mem_alloc(sizeof *s);

    ref_init(&s->ref, destroy);
    s->directory_fd = directory_fd;
    atomic_init(&s->spilled_from, INT64_MAX);
    atomic_init(&s->file_fd, -1);
    atomic_init(&s->spill_fd, -1);
    CHECK(pthread_mutex_init(&s->lock, NULL) == 0);
    return s;
}

void spool_acquire(struct spool *s)
{
    ref_acquire(&s->ref);
}

void spool_release(struct spool *s)
{
    if (s != NULL)
        ref_release(&s->ref);
}

/* -- where a byte stands -- */

struct run {
    unsigned chunk;
    size_t   offset, room;
};

/* The chunk of a body offset, and how far it goes on from there. */
static struct run chunk_at(int64_t offset)
{
    const size_t at = (size_t)(offset % SPOOL_MEMORY_BYTES);
    unsigned     chunk = 0;
    size_t       begin = 0, size = FIRST_CHUNK_BYTES;

    while (at >= begin + size) {
        begin += size;
        size = begin;
        chunk++;
    }
    return (struct run){ chunk, at - begin, begin + size - at };
}

static size_t least(size_t a, size_t b)
{
    return a < b ? a : b;
}

static size_t copy_from_memory(const struct spool *s, int64_t offset, char *out, size_t count)
{
    size_t done = 0;

    while (done < count) {
        struct run at = chunk_at(offset + (int64_t)done);
        size_t     n = least(at.room, count - done);

        memcpy(out + done, s->chunks[at.chunk] + at.offset, n);
        done += n;
    }
    return done;
}

static ssize_t read_file(int fd, int64_t offset, char *out, size_t count)
{
    ssize_t n;

    do
        n = pread(fd, out, count, offset);
    while (n < 0 && errno == EINTR);
    return n;
}

/* As spool_peek(); the caller has seen that `count` bytes are published. */
static ssize_t copy_published(const struct spool *s, int64_t offset, char *out, size_t count)
{
    int64_t memory = atomic_load_explicit(&s->memory_bytes, memory_order_acquire);
    int64_t spilled = atomic_load_explicit(&s->spilled_from, memory_order_acquire);
    ssize_t n;

    if (offset < memory) {
        if (offset < atomic_load_explicit(&s->gone, memory_order_acquire))
            return -1;
        return (ssize_t)copy_from_memory(s, offset, out, least(count, (size_t)(memory - offset)));
    }
    if (offset < spilled)
        n = read_file(s->file_fd, offset, out, (size_t)(spilled - offset) < count ? (size_t)(spilled - offset) : count);
    else
        n = read_file(s->spill_fd, offset, out, count);
    /* A hole reads as zeros: looked at after the read, since it may have been made meanwhile. */
    if (n <= 0 || offset < atomic_load_explicit(&s->punched, memory_order_acquire))
        return -1;
    return n;
}

ssize_t spool_peek(const struct spool *s, int64_t offset, void *buffer, size_t count)
{
    int64_t length = spool_length(s);
    size_t  done = 0;

    while (done < count && offset + (int64_t)done < length) {
        int64_t at = offset + (int64_t)done;
        ssize_t n = copy_published(s, at, (char *)buffer + done, least(count - done, (size_t)(length - at)));

        if (n < 0)
            return -1;
        done += (size_t)n;
    }
    return (ssize_t)done;
}

int64_t spool_length(const struct spool *s)
{
    return atomic_load(&s->length);
}

enum spool_end spool_ended(const struct spool *s)
{
    return (enum spool_end)atomic_load(&s->end);
}

bool spool_is_pass(const struct spool *s)
{
    return atomic_load_explicit(&s->pass, memory_order_acquire);
}

int spool_file(const struct spool *s)
{
    if (atomic_load_explicit(&s->spilled_from, memory_order_acquire) != INT64_MAX)
        return -1;
    return atomic_load_explicit(&s->file_fd, memory_order_acquire);
}

/* -- the writer -- */

/* Where there is no O_TMPFILE a name is made and removed; the store then copies it instead of linking it. */
static int open_unnamed(int directory_fd)
{
    static _Atomic unsigned counter;
    char                    name[64];
    int                     fd = openat(directory_fd, ".", O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);

    if (fd >= 0 || (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL))
        return fd;
    snprintf(name, sizeof name, "spool-%ld-%u", (long)getpid(), atomic_fetch_add(&counter, 1));
    fd = openat(directory_fd, name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (fd >= 0)
        unlinkat(directory_fd, name, 0);
    return fd;
}

/* Bytes written before the disk refused (errno says why): `count` where it did not. */
static size_t write_file(int fd, int64_t offset, const char *bytes, size_t count)
{
    size_t done = 0;

    while (done < count) {
        ssize_t n = pwrite(fd, bytes + done, count - done, offset + (int64_t)done);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            if (n == 0)
                errno = ENOSPC;
            return done;
        }
        done += (size_t)n;
    }
    return done;
}

static int64_t unread_bytes(struct spool *s);

/* Up to where memory takes bytes, of which `end` is the last wanted.  What all readers have passed makes room. */
static int64_t memory_end(struct spool *s, int64_t end)
{
    int64_t most = SPOOL_MEMORY_BYTES;

    if (end <= most || !spool_is_pass(s))
        return most;
    pthread_mutex_lock(&s->lock);
    unread_bytes(s);
    most += s->needed_from;
    if (end < most)
        most = end;
    if (most - SPOOL_MEMORY_BYTES > s->gone)
        atomic_store_explicit(&s->gone, most - SPOOL_MEMORY_BYTES, memory_order_release);
    pthread_mutex_unlock(&s->lock);
    return most;
}

static size_t write_memory(struct spool *s, int64_t offset, const char *bytes, size_t count)
{
    const int64_t end = memory_end(s, offset + (int64_t)count);
    size_t        done = 0;

    while (done < count && offset + (int64_t)done < end) {
        struct run at = chunk_at(offset + (int64_t)done);
        size_t     n = least(at.room, least(count - done, (size_t)(end - offset) - done));

        if (s->chunks[at.chunk] == NULL)
            s->chunks[at.chunk] = mem_alloc_raw(at.room); /* a chunk is begun at its first byte */
        memcpy(s->chunks[at.chunk] + at.offset, bytes + done, n);
        done += n;
    }
    atomic_store_explicit(&s->memory_bytes, offset + (int64_t)done, memory_order_release);
    return done;
}

/* Makes the file and puts there what stands in memory, where it may be stored. */
static int begin_file(struct spool *s, int64_t length)
{
    int fd = open_unnamed(s->directory_fd);

    if (fd < 0)
        return -1;
    for (int64_t at = 0; at < length && !spool_is_pass(s);) {
        struct run run = chunk_at(at);
        size_t     n = least(run.room, (size_t)(length - at));

        if (write_file(fd, at, s->chunks[run.chunk], n) != n) {
            int err = errno;

            close(fd);
            errno = err;
            return -1;
        }
        at += (int64_t)n;
    }
    atomic_store_explicit(&s->file_fd, fd, memory_order_release);
    return 0;
}

/* From `offset` on in anonymous memory, which is to be kept small: hence SPOOL_PASS, where it is for want of disk. */
static int begin_spill(struct spool *s, int64_t offset)
{
    int fd = memfd_create("weir-spool", MFD_CLOEXEC);

    if (fd < 0)
        return -1;
    atomic_store_explicit(&s->spill_fd, fd, memory_order_release);
    atomic_store_explicit(&s->spilled_from, offset, memory_order_release);
    if (s->directory_fd >= 0)
        atomic_store_explicit(&s->pass, true, memory_order_release);
    return 0;
}

/* Puts the bytes after what is published; -1 where nothing took them. */
static int put_bytes(struct spool *s, int64_t at, const char *bytes, size_t count)
{
    size_t done = 0;

    if (s->file_fd < 0 && s->spill_fd < 0) {
        done = write_memory(s, at, bytes, count);
        if (done == count)
            return 0;
        if (s->directory_fd < 0 || begin_file(s, at + (int64_t)done) != 0) {
            if (begin_spill(s, at + (int64_t)done) != 0)
                return -1;
        }
    }
    if (s->spill_fd < 0) {
        done += write_file(s->file_fd, at + (int64_t)done, bytes + done, count - done);
        if (done == count)
            return 0;
        if (begin_spill(s, at + (int64_t)done) != 0)
            return -1;
    }
    done += write_file(s->spill_fd, at + (int64_t)done, bytes + done, count - done);
    return done == count ? 0 : -1;
}

static bool is_in_memory(const struct spool *s)
{
    return atomic_load_explicit(&s->file_fd, memory_order_acquire) < 0 &&
           atomic_load_explicit(&s->spill_fd, memory_order_acquire) < 0;
}

/* How much of a SPOOL_PASS the slowest reader has yet to take; INT64_MAX: some is in a file, and nobody takes it.  Who
 * has come too late for what is gone takes nothing. */
static int64_t unread_bytes(struct spool *s) /* under the lock */
{
    const struct spool_reader *r;
    int64_t                    length = spool_length(s), slowest = INT64_MAX;

    LIST_FOREACH (r, &s->readers, entry) {
        int64_t seen = atomic_load_explicit(&r->seen, memory_order_acquire);

        if (seen < slowest && seen >= s->gone)
            slowest = seen;
    }
    if (slowest == INT64_MAX && is_in_memory(s))
        return length - s->needed_from;
    if (slowest == INT64_MAX)
        return length > s->needed_from ? INT64_MAX : 0;
    s->needed_from = slowest;
    return length > slowest ? length - slowest : 0;
}

static void post_drained(struct spool *s) /* under the lock */
{
    const int64_t near = is_in_memory(s) ? SPOOL_MEMORY_BYTES / 4 : SPOOL_AHEAD_BYTES / 2;

    if (atomic_load(&s->drained) == DRAINED_WANTED && unread_bytes(s) <= near) {
        atomic_store(&s->drained, DRAINED_UNWANTED);
        mailbox_post(s->drained_box, s->drained_mail);
    }
}

/* Gives back what no reader needs any more.  A file system that cannot do it keeps the bytes. */
static void punch(struct spool *s)
{
    int64_t from = s->punched, to, spilled = s->spilled_from;

    if (is_in_memory(s))
        return;
    pthread_mutex_lock(&s->lock);
    unread_bytes(s);
    to = s->needed_from / PAGE_BYTES * PAGE_BYTES;
    pthread_mutex_unlock(&s->lock);
    if (to - from < PUNCH_BYTES)
        return;
    atomic_store_explicit(&s->punched, to, memory_order_release);
    if (s->file_fd >= 0 && from < spilled)
        (void)fallocate(s->file_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from);
    if (s->spill_fd >= 0 && to > spilled)
        (void)fallocate(s->spill_fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, from, to - from);
}

static void wake_readers(struct spool *s)
{
    struct spool_reader *r;

    pthread_mutex_lock(&s->lock);
    LIST_FOREACH (r, &s->readers, entry) {
        int armed = ARMED;

        if (atomic_compare_exchange_strong(&r->armed, &armed, POSTED))
            mailbox_post(r->mailbox, &r->wake);
    }
    pthread_mutex_unlock(&s->lock);
}

int spool_write(struct spool *s, const void *bytes, size_t count, struct fault *why)
{
    int64_t at = atomic_load_explicit(&s->length, memory_order_relaxed);

    if (s->end != SPOOL_GROWING)
        return fault_set(why, "the body has already ended");
    if (count == 0)
        return 0;
    if (put_bytes(s, at, bytes, count) != 0) {
        fault_set_errno(why, errno, "cannot keep a body of more than %lld bytes", (long long)at);
        spool_finish(s, SPOOL_CUT_SHORT);
        return -1;
    }
    atomic_store(&s->length, at + (int64_t)count);
    wake_readers(s);
    if (spool_is_pass(s))
        punch(s);
    return 0;
}

void spool_finish(struct spool *s, enum spool_end end)
{
    CHECK(end != SPOOL_GROWING);
    if (s->end != SPOOL_GROWING)
        return;
    atomic_store(&s->end, (int)end);
    wake_readers(s);
}

void spool_set_pass(struct spool *s)
{
    atomic_store_explicit(&s->pass, true, memory_order_release);
}

bool spool_is_ahead(const struct spool *s)
{
    struct spool *mutable = (struct spool *)s; /* for the lock and what it has learned */
    int64_t unread;

    if (!spool_is_pass(s))
        return false;
    pthread_mutex_lock(&mutable->lock);
    unread = unread_bytes(mutable);
    pthread_mutex_unlock(&mutable->lock);
    return unread > (is_in_memory(s) ? SPOOL_MEMORY_BYTES - SPOOL_WRITE_BYTES : SPOOL_AHEAD_BYTES);
}

void spool_set_drained_mail(struct spool *s, struct mailbox *mailbox, struct mail *mail)
{
    pthread_mutex_lock(&s->lock);
    s->drained_box = mailbox;
    s->drained_mail = mail;
    atomic_store(&s->drained, mail != NULL ? DRAINED_WANTED : DRAINED_UNWANTED);
    post_drained(s);
    pthread_mutex_unlock(&s->lock);
}

/* -- readers -- */

static void receive_wake(struct mail *mail)
{
    struct spool_reader *r = CONTAINER_OF(mail, struct spool_reader, wake);

    atomic_store(&r->armed, IDLE);
    r->receive(mail); /* may free the reader */
}

void spool_reader_open(struct spool_reader *r, struct spool *s, struct mailbox *mailbox, int64_t offset)
{
    CHECK(spool_reader_idle(r));
    CHECK(r->wake.receive != NULL);
    spool_acquire(s);
    r->spool = s;
    r->offset = offset;
    r->mailbox = mailbox;
    if (r->wake.receive != receive_wake) {
        r->receive = r->wake.receive;
        r->wake.receive = receive_wake;
    }
    atomic_store(&r->seen, offset);
    pthread_mutex_lock(&s->lock);
    LIST_INSERT_HEAD(&s->readers, r, entry);
    post_drained(s);
    pthread_mutex_unlock(&s->lock);
}

void spool_reader_close(struct spool_reader *r)
{
    struct spool *s = r->spool;
    int           armed = ARMED;

    if (s == NULL)
        return;
    pthread_mutex_lock(&s->lock);
    unread_bytes(s); /* the last one to go leaves its place standing */
    LIST_REMOVE(r, entry);
    post_drained(s);
    pthread_mutex_unlock(&s->lock);
    atomic_compare_exchange_strong(&r->armed, &armed, IDLE);
    r->spool = NULL;
    spool_release(s);
}

bool spool_reader_idle(const struct spool_reader *r)
{
    return atomic_load(&r->armed) != POSTED;
}

static void advance(struct spool_reader *r, size_t n)
{
    struct spool *s = r->spool;

    r->offset += (int64_t)n;
    atomic_store(&r->seen, r->offset);
    if (atomic_load(&s->drained) == DRAINED_WANTED) {
        pthread_mutex_lock(&s->lock);
        post_drained(s);
        pthread_mutex_unlock(&s->lock);
    }
}

/* What there is to do at once; SPOOL_READ_WAIT: nothing. */
static enum spool_read try_read(struct spool_reader *r, void *buffer, size_t count, size_t *got)
{
    enum spool_end end = spool_ended(r->spool); /* before the length: see spool.h */
    int64_t        length = spool_length(r->spool);
    ssize_t        n;

    if (r->offset < length) {
        n = copy_published(r->spool, r->offset, buffer, least(count, (size_t)(length - r->offset)));
        if (n < 0)
            return SPOOL_READ_CUT;
        advance(r, (size_t)n);
        *got = (size_t)n;
        return SPOOL_READ_BYTES;
    }
    if (end == SPOOL_GROWING)
        return SPOOL_READ_WAIT;
    return end == SPOOL_WHOLE && r->offset == length ? SPOOL_READ_END : SPOOL_READ_CUT;
}

enum spool_read spool_read(struct spool_reader *r, void *buffer, size_t count, size_t *got)
{
    enum spool_read result = try_read(r, buffer, count, got);
    int             armed = IDLE;

    CHECK(count > 0);
    if (result != SPOOL_READ_WAIT || !atomic_compare_exchange_strong(&r->armed, &armed, ARMED))
        return result; /* already armed or posted: `wake` will come */
    if (spool_length(r->spool) == r->offset && spool_ended(r->spool) == SPOOL_GROWING)
        return SPOOL_READ_WAIT;
    armed = ARMED; /* where the writer was quicker, `wake` is one for nothing */
    atomic_compare_exchange_strong(&r->armed, &armed, IDLE);
    return try_read(r, buffer, count, got);
}
