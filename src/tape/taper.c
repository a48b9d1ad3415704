/*
 * The thread that writes a tape's snapshot: begun with the tape, ended after its last reference, and never waited for
 * but at the daemon's end.
 */
#include "tape/internal.h"

#include "base/clock.h"
#include "base/log.h"
#include "base/ref.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

enum { PIECE_BYTES = 64 * 1024, FINISH_S = 5, CLIENT_S = 5 };

static pthread_mutex_t alive_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t  alive_less = PTHREAD_COND_INITIALIZER;
static unsigned        alive, alive_of_clients; /* threads; under the lock */

void taping_free(struct taping *t)
{
    struct arena arena = t->arena;

    spool_release(t->sent);
    spool_release(t->body);
    free(t->pieces);
    arena_free(&arena);
}

/* -- what came of one -- */

static void note(struct taper *k, enum snapshot_kept kept, const struct fault *why)
{
    struct tape *tape = k->tape;
    int64_t      now = clock_mono_ns();

    pthread_mutex_lock(&tape->lock);
    if (kept == SNAPSHOT_SECRET)
        tape->counts.secret++;
    else if (kept == SNAPSHOT_FAILED)
        tape->counts.failed++;
    else
        tape->counts.recorded++;
    if (kept != SNAPSHOT_KEPT && tape->counts.trouble[0] == '\0')
        snprintf(tape->counts.trouble, sizeof tape->counts.trouble, "%.310s", why->text);
    pthread_mutex_unlock(&tape->lock);
    if (kept == SNAPSHOT_KEPT || (k->said_ns != 0 && now - k->said_ns < 60 * NS_PER_SEC))
        return;
    k->said_ns = now;
    if (kept == SNAPSHOT_SECRET)
        log_warning("snapshot_not_kept", " snapshot=%s reason=%s", log_quote(tape->name), log_quote(why->text));
    else
        log_error("snapshot_failed", " snapshot=%s reason=%s", log_quote(tape->name), log_quote(why->text));
}

void taper_give_up(struct tape *tape, const struct fault *why)
{
    if (atomic_exchange(&tape->is_over, true))
        return;
    pthread_mutex_lock(&tape->lock);
    tape->counts.failed++;
    snprintf(tape->counts.trouble, sizeof tape->counts.trouble, "%.310s", why->text);
    pthread_mutex_unlock(&tape->lock);
    log_error("snapshot_failed", " snapshot=%s reason=%s", log_quote(tape->name), log_quote(why->text));
}

/* -- one exchange -- */

typedef void (*give_bytes)(struct snapshot_recording *, const void *bytes, size_t count, int64_t at_ms);

static void give_sent(struct snapshot_recording *r, const void *bytes, size_t count, int64_t at_ms)
{
    (void)at_ms;
    snapshot_record_sent(r, bytes, count);
}

/* False: it is not all there. */
static bool give_part(struct snapshot_recording *r, const struct spool *body, int64_t from, int64_t to, int64_t at_ms,
                      give_bytes give)
{
    char *buffer = mem_alloc_raw(PIECE_BYTES);
    bool  sound = true;

    while (from < to && sound) {
        ssize_t got = spool_peek(body, from, buffer, to - from < PIECE_BYTES ? (size_t)(to - from) : PIECE_BYTES);

        sound = got > 0;
        if (sound) {
            give(r, buffer, (size_t)got, at_ms);
            from += got;
        }
    }
    free(buffer);
    return sound;
}

static bool give_body(struct snapshot_recording *r, const struct taping *t)
{
    const int64_t length = t->body_bytes;
    int64_t       at = 0;

    for (unsigned i = 0; i < t->piece_count && at < length; i++) {
        int64_t to = at + (int64_t)t->pieces[i].bytes;

        if (to > length)
            to = length;
        if (!give_part(r, t->body, at, to, t->pieces[i].at_ms, snapshot_record_came))
            return false;
        at = to;
    }
    return give_part(r, t->body, at, length, -1, snapshot_record_came);
}

static bool give_all(struct snapshot_recording *r, const struct taping *t)
{
    if (t->secret.ptr != NULL)
        snapshot_record_secret(r, t->secret);
    if (t->sent != NULL && !give_part(r, t->sent, 0, spool_length(t->sent), -1, give_sent))
        return false;
    for (unsigned i = 0; i < t->interim_count; i++)
        snapshot_record_interim(r, t->interims[i].status, &t->interims[i].fields);
    if (t->status != 0)
        snapshot_record_head(r, t->status, &t->response);
    if (t->body != NULL && !give_body(r, t))
        return false;
    for (unsigned i = 0; i < t->trailers.count; i++)
        snapshot_record_trailer(r, t->trailers.items[i].name, t->trailers.items[i].value);
    return true;
}

static void keep(struct taper *k, struct taping *t)
{
    struct snapshot_recording *r;
    struct fault               why = { "" };
    enum snapshot_kept         kept = SNAPSHOT_FAILED;

    if (k->writer == NULL || atomic_load(&k->tape->is_over))
        return;
    r = snapshot_record(k->writer, t->method, t->url, &t->request, t->time_ms);
    if (give_all(r, t)) {
        kept = snapshot_record_end(r, t->end, t->error, t->took_ms, &why);
    } else {
        snapshot_record_drop(r);
        fault_set(&why, "a body was not there as a whole when its exchange was to be kept");
    }
    if (kept == SNAPSHOT_FAILED && k->tape->is_client)
        taper_give_up(k->tape, &why);
    else
        note(k, kept, &why);
}

static void receive_taping(struct mail *m)
{
    struct taping *t = CONTAINER_OF(m, struct taping, mail);
    struct tape   *tape = t->tape;

    if (!t->is_dropped)
        keep(tape->taper, t);
    taping_free(t);
    atomic_store_explicit(&tape->ended, ++tape->taper->handled, memory_order_relaxed);
    tape->taper->calls->let_go(tape);
}

void taper_post(struct taper *k, struct taping *t)
{
    t->mail.receive = receive_taping;
    mailbox_post(k->mailbox, &t->mail);
}

/* -- the end -- */

static void close_writer(struct taper *k)
{
    struct fault       why = { "" };
    enum snapshot_kept kept;
    size_t             written = 0;

    if (k->writer == NULL)
        return;
    kept = snapshot_writer_close(k->writer, &written, &why);
    k->writer = NULL;
    if (kept != SNAPSHOT_KEPT)
        note(k, kept, &why);
    pthread_mutex_lock(&k->tape->lock);
    k->tape->counts.recorded = written;
    k->tape->counts.closed = 1;
    pthread_mutex_unlock(&k->tape->lock);
    log_info("snapshot_written", " snapshot=%s exchanges=%zu", log_quote(k->tape->name), written);
}

static void receive_finish(struct mail *m)
{
    struct taper *k = CONTAINER_OF(m, struct taper, finish);

    k->finish_ns = clock_real_ns() + FINISH_S * NS_PER_SEC;
}

/* Answers whose end the client has not waited for may still be on their way. */
static void finish(struct taper *k)
{
    if (k->finish_ns == 0 || (k->handled < atomic_load(&k->tape->begun) && clock_real_ns() < k->finish_ns))
        return;
    k->finish_ns = 0;
    close_writer(k);
    mailbox_post(k->tell, k->done);
}

void taper_finish(struct taper *k, struct mailbox *tell, struct mail *done)
{
    k->tell = tell;
    k->done = done;
    k->finish.receive = receive_finish;
    mailbox_post(k->mailbox, &k->finish);
}

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct taper, stop)->stopping = true;
}

void taper_end(struct taper *k)
{
    k->stop.receive = receive_stop;
    mailbox_post(k->mailbox, &k->stop);
}

/* -- the thread -- */

static void *run(void *context)
{
    struct taper *k = context;
    struct pollfd p = { .fd = mailbox_fd(k->mailbox), .events = POLLIN };
    bool          is_client;

    pthread_setname_np(pthread_self(), "snapshot");
    if (k->calls->begin != NULL)
        k->calls->begin(k->tape);
    while (!k->stopping) {
        poll(&p, 1, k->finish_ns > 0 ? 100 : -1);
        mailbox_deliver(k->mailbox);
        finish(k);
    }
    close_writer(k);
    mailbox_close(k->mailbox);
    is_client = k->tape->is_client;
    k->calls->free_all(k->tape);
    free(k);
    pthread_mutex_lock(&alive_lock);
    alive--;
    alive_of_clients -= is_client;
    pthread_cond_broadcast(&alive_less);
    pthread_mutex_unlock(&alive_lock);
    return NULL;
}

int taper_start(struct tape *tape, struct snapshot_writer *writer, const struct taper_calls *calls, struct fault *why)
{
    struct taper *k = mem_alloc(sizeof *k);
    pthread_t     thread;
    sigset_t      all, old;
    int           err;

    k->tape = tape;
    k->calls = calls;
    k->writer = writer;
    k->mailbox = mailbox_open();
    if (k->mailbox == NULL) {
        free(k);
        return fault_set_errno(why, errno, "cannot open descriptors for a snapshot");
    }
    tape->taper = k;
    pthread_mutex_lock(&alive_lock);
    alive++;
    alive_of_clients += tape->is_client;
    pthread_mutex_unlock(&alive_lock);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old); /* signals are main's */
    err = pthread_create(&thread, NULL, run, k);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (err == 0) {
        pthread_detach(thread);
        return 0;
    }
    pthread_mutex_lock(&alive_lock);
    alive--;
    alive_of_clients -= tape->is_client;
    pthread_mutex_unlock(&alive_lock);
    tape->taper = NULL;
    mailbox_close(k->mailbox);
    free(k);
    return fault_set_errno(why, err, "cannot start a thread for a snapshot");
}

/* What a client's disk takes longer for than that is lost. */
void tape_await_all(void)
{
    struct timespec until;

    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += CLIENT_S;
    pthread_mutex_lock(&alive_lock);
    while (alive > alive_of_clients)
        pthread_cond_wait(&alive_less, &alive_lock);
    while (alive > 0 && pthread_cond_timedwait(&alive_less, &alive_lock, &until) == 0)
        ;
    pthread_mutex_unlock(&alive_lock);
}
