/*
 * Walks over all that is stored, each in batches: on a thread of its own, since pages may have to come from the disk.
 *
 * No read transaction outlives a batch: one that stayed would keep every page that changes meanwhile, and the file
 * would grow.  A walk remembers the last key it saw and goes on after it, so what stands in the database all the while
 * is met once, and what comes or goes meanwhile is met or not.  A batch ends after some thousand records or some
 * milliseconds; between two batches of one walk the others have their turn.
 *
 * The thread is begun by the first who asks, and lives as long as the store.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/wait.h"

#include <poll.h>
#include <stdlib.h>

enum { RECORDS_AT_ONCE = 2000, LOOKS_AT_CLOCK = 64 };
#define BATCH_NS (10 * NS_PER_MS)

struct walker {
    struct store   *store;
    struct mailbox *mailbox;
    pthread_t       thread;
    bool            is_running, stopping; /* store->moving; the thread's */
    struct mail     stop;
};

/* -- a batch -- */

static void step_after(struct store_walk *w, struct slice key)
{
    memcpy(w->after, key.ptr, sizeof w->after);
    w->has_after = true;
}

static enum db_result first_key(struct db_cursor *cursor, const struct store_walk *w, struct slice *key,
                                struct slice *value)
{
    enum db_result r;

    if (!w->has_after)
        return db_cursor_move(cursor, DB_FIRST, key, value);
    *key = (struct slice){ (const char *)w->after, sizeof w->after };
    r = db_cursor_move(cursor, DB_AT_OR_AFTER, key, value);
    if (r == DB_OK && key->len == sizeof w->after && memcmp(key->ptr, w->after, sizeof w->after) == 0)
        r = db_cursor_move(cursor, DB_NEXT, key, value);
    return r;
}

/* True: the walk wants more of it. */
static bool show(struct store *s, struct store_walk *w, struct slice key, struct slice value)
{
    struct record r;

    w->seen++;
    if (!record_decode(key, value, &r))
        return true; /* look-ups miss it, and have it dropped */
    store_heed_clock(s, &r.view);
    return w->visit(w->context, &r.view);
}

static enum db_result read_batch(struct store *s, struct store_walk *w, struct db_cursor *cursor, bool *wants_more)
{
    const int64_t  until_ns = clock_mono_ns() + BATCH_NS;
    struct slice   key = SLICE_NONE, value;
    enum db_result r = first_key(cursor, w, &key, &value);

    for (unsigned i = 1; r == DB_OK; i++) {
        if (key.len == RECORD_KEY_BYTES) {
            step_after(w, key);
            *wants_more = show(s, w, key, value);
        }
        if (!*wants_more || i >= RECORDS_AT_ONCE || (i % LOOKS_AT_CLOCK == 0 && clock_mono_ns() >= until_ns))
            break;
        r = db_cursor_move(cursor, DB_NEXT, &key, &value);
    }
    return r;
}

/* True: it goes on by itself. */
static bool take_batch(struct store *s, struct store_walk *w)
{
    struct home      *home = home_now(s);
    struct db_txn    *txn = NULL;
    struct db_cursor *cursor = NULL;
    bool              wants_more = true;
    enum db_result    r = store_is_broken(s) ? DB_BROKEN : db_begin(home->db, false, &txn);

    if (r == DB_OK)
        r = db_cursor_open(txn, home->records, &cursor);
    if (r == DB_OK)
        r = read_batch(s, w, cursor, &wants_more);
    db_cursor_close(cursor);
    db_abort(txn);
    home_release(home);
    w->ok = r == DB_OK || r == DB_NOT_FOUND;
    w->at_end = r == DB_NOT_FOUND;
    return r == DB_OK && wants_more && !atomic_load_explicit(&w->is_cancelled, memory_order_relaxed);
}

/* -- the thread -- */

static _Thread_local struct walker *self;

static void receive_walk(struct mail *m)
{
    struct store_walk *w = CONTAINER_OF(m, struct store_walk, mail);

    if (!self->stopping && take_batch(self->store, w))
        mailbox_post(self->mailbox, &w->mail);
    else
        mailbox_post(w->reply_to, &w->done);
}

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct walker, stop)->stopping = true;
}

static void *run(void *argument)
{
    struct walker *walker = argument;

    self = walker;
    pthread_setname_np(pthread_self(), "walk");
    while (!walker->stopping) {
        struct pollfd watch = { .fd = mailbox_fd(walker->mailbox), .events = POLLIN };

        wait_poll(&watch, 1, WAIT_FOR_EVER);
        mailbox_deliver(walker->mailbox);
    }
    return NULL;
}

struct walker *walker_new(struct store *s)
{
    struct walker *w = mem_alloc(sizeof *w);

    w->store = s;
    w->mailbox = mailbox_open();
    w->stop.receive = receive_stop;
    if (w->mailbox != NULL)
        return w;
    free(w);
    return NULL;
}

static bool is_running(struct walker *w)
{
    bool running;

    if (w == NULL)
        return false;
    pthread_mutex_lock(&w->store->moving);
    if (!w->is_running)
        w->is_running = pthread_create(&w->thread, NULL, run, w) == 0;
    running = w->is_running;
    pthread_mutex_unlock(&w->store->moving);
    return running;
}

void walker_stop(struct walker *w)
{
    if (w == NULL)
        return;
    if (w->is_running) {
        mailbox_post(w->mailbox, &w->stop);
        pthread_join(w->thread, NULL);
    }
    mailbox_close(w->mailbox);
    free(w);
}

void store_walk(struct store *s, struct store_walk *w)
{
    w->ok = w->at_end = false;
    w->mail.receive = receive_walk;
    if (s == NULL || !is_running(s->walker))
        mailbox_post(w->reply_to, &w->done);
    else
        mailbox_post(s->walker->mailbox, &w->mail);
}

uint64_t store_hits(struct store *s, const uint8_t hash[STORE_HASH_BYTES], const uint8_t variant[STORE_HASH_BYTES])
{
    return tally_hits(atomic_load_explicit(&s->tallies, memory_order_acquire), tally_name(hash, variant));
}
