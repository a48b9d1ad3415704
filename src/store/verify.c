/*
 * After a start, a thread reads the body files that earlier runs left, one after another, and
 * has the records of those dropped whose content is not what was written: a disk that lies, two files that were
 * swapped.  A hit never waits for it, and never reads a file twice because of it.
 *
 * It rests between pieces, and asks the disk last.  It is not of SCHED_IDLE: on a busy machine such a thread gets no
 * turn for tens of seconds, and the daemon's end, or who wants a lock that it holds, would wait for it.
 *
 * Files of this run are not read: their sums were made from what stands in them.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"

#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

/* ioprio_set(2), which glibc has no names for: the last of the class that is never starved. */
enum { IO_OF_THIS_THREAD = 1, IO_LAST = 2 << 13 | 7 };

struct verifier {
    struct store        *store;
    pthread_t            thread;
    _Atomic bool         stopping;
    struct store_reader *reader; /* until the thread ends */
    uint64_t             below;  /* numbers of earlier runs */
    uint64_t             last;   /* in the order of the table, which is that of the bytes */
    bool                 has_last;
};

static bool pause_ms(struct verifier *v, int64_t ms)
{
    const struct timespec t = { ms / 1000, (long)(ms % 1000 * NS_PER_MS) };

    nanosleep(&t, NULL);
    return !atomic_load_explicit(&v->stopping, memory_order_relaxed);
}

/* Between two pieces of a file: what others do goes first. */
static bool go_on(void *context)
{
    return pause_ms(context, 5);
}

struct one {
    uint64_t          number;
    int64_t           bytes;
    struct body_proof proof;
    struct record_key key;
};

/* The next one with a sum; false at the end. */
static bool find_next(struct verifier *v, struct one *out)
{
    struct home      *home = v->reader->home;
    struct db_txn    *txn;
    struct db_cursor *cursor = NULL;
    struct slice      key = { (const char *)&v->last, v->has_last ? sizeof v->last : 0 }, value, record_value;
    bool              found = false;

    if (store_is_broken(v->store) || db_begin(home->db, false, &txn) != DB_OK)
        return false;
    if (db_cursor_open(txn, home->files, &cursor) == DB_OK) {
        enum db_result r = db_cursor_move(cursor, v->has_last ? DB_AT_OR_AFTER : DB_FIRST, &key, &value);

        for (; !found && r == DB_OK; r = db_cursor_move(cursor, DB_NEXT, &key, &value)) {
            uint64_t      number = 0;
            struct record record;

            if (key.len != sizeof number || value.len != RECORD_KEY_BYTES)
                continue;
            memcpy(&number, key.ptr, sizeof number);
            if ((v->has_last && number == v->last) || number >= v->below ||
                db_get(txn, home->records, value, &record_value) != DB_OK ||
                !record_decode(value, record_value, &record) || record.view.proof.mark == 0)
                continue;
            *out = (struct one){ number, record.view.body_bytes, record.view.proof, { { 0 } } };
            memcpy(out->key.bytes, value.ptr, RECORD_KEY_BYTES);
            found = true;
        }
    }
    db_cursor_close(cursor);
    db_abort(txn);
    return found;
}

/* Asks the writer to look at that record, who reads the file once more before it drops it. */
static void report(struct verifier *v, const struct one *one)
{
    while (atomic_exchange(&v->reader->suspect_posted, true))
        if (!pause_ms(v, 10))
            return;
    v->reader->suspect_key = one->key;
    mailbox_post(v->store->mailbox, &v->reader->suspect);
}

static void *run(void *argument)
{
    struct verifier *v = argument;
    struct one       one;

    pthread_setname_np(pthread_self(), "verify");
    (void)syscall(SYS_ioprio_set, IO_OF_THIS_THREAD, 0, IO_LAST);
    while (pause_ms(v, 1) && v->reader->turn == v->store->turn && find_next(v, &one)) {
        if (bodies_verify(v->store->bodies_fd, one.number, one.bytes, one.proof.sum, go_on, v) == BODY_WRONG)
            report(v, &one);
        v->last = one.number;
        v->has_last = true;
    }
    store_reader_close(v->reader); /* one that stays would cost look-ups: anew.c */
    return NULL;
}

struct verifier *verifier_start(struct store *s)
{
    struct verifier *v = mem_alloc(sizeof *v);

    v->store = s;
    v->below = s->started_at;
    v->reader = store_reader_open(s);
    if (pthread_create(&v->thread, NULL, run, v) == 0)
        return v;
    store_reader_close(v->reader);
    free(v);
    log_warning("cache_not_verified", "reason=%s", log_quote("cannot start a thread"));
    return NULL;
}

void verifier_stop(struct verifier *v)
{
    if (v == NULL)
        return;
    atomic_store(&v->stopping, true);
    pthread_join(v->thread, NULL);
    free(v);
}
