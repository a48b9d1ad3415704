/*
 * Two lists under one lock: orders, and snapshots without a holder.
 *
 * To end a read that blocks (a file that is a pipe, a file system that is
 * away) its thread gets a signal whose handler does nothing, again and again: the call
 * then fails, and with it the order.  What does not end even so is left over.
 */
#include "config/keeper.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/snapshot.h"
#include "tape/tape.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { KICK_MS = 10, KICKS_MOST = 500 };

struct keeper {
    const char     *file; /* NULL: the embedded default */
    struct config  *started_with;
    struct mailbox *tell;
    pthread_t       thread;
    pthread_mutex_t lock;
    pthread_cond_t  work;
    /* -- under `lock` -- */
    STAILQ_HEAD(, reload_order) orders;
    struct reload_order *current; /* out of the list; NULL: none, or it was answered by keeper_stop() */
    SLIST_HEAD(, snapshot) dead;
    unsigned freed;
    bool     stopping;
    bool     left_behind; /* whoever stops it */
};

static const char about_to_stop[] = "Weir is about to stop\n";

static void answer(struct keeper *k, struct reload_order *o, struct config *fresh, char *text)
{
    o->fresh = fresh;
    o->text = text != NULL ? text : mem_copy(SLICE(""));
    mailbox_post(k->tell, &o->mail);
}

static void bury(void *keeper, struct snapshot *snap)
{
    struct keeper *k = keeper;

    pthread_mutex_lock(&k->lock);
    SLIST_INSERT_HEAD(&k->dead, snap, next_dead);
    pthread_cond_signal(&k->work);
    pthread_mutex_unlock(&k->lock);
}

/* It is freed here from now on, whoever lets go of it last. */
static void adopt(struct keeper *k, struct snapshot *snap)
{
    snap->bury = bury;
    snap->keeper = k;
}

/* -- on its own thread -- */

/* NULL: an error, which *text tells. */
static struct config *read_again(struct keeper *k, char **text)
{
    size_t         bytes;
    char           names[512];
    FILE          *problems = open_memstream(text, &bytes);
    struct config *fresh;

    if (problems == NULL)
        return NULL;
    fresh = config_load(k->file, problems);
    if (fresh != NULL)
        adopt(k, snapshot_of(fresh));
    if (fresh != NULL && !(config_read_secrets(fresh, problems) && config_open_tapes(fresh, problems))) {
        config_release(fresh);
        fresh = NULL;
    }
    if (fresh != NULL) {
        config_restart_needed(k->started_with, fresh, names, sizeof names);
        if (names[0] != '\0')
            fprintf(problems, "in effect only after a restart: %s\n", names);
    }
    fclose(problems);
    return fresh;
}

/* The lock is held, and is while it returns. */
static void carry_out(struct keeper *k)
{
    struct reload_order *o = STAILQ_FIRST(&k->orders);
    struct config       *fresh;
    char                *text = NULL;
    bool                 wanted;

    STAILQ_REMOVE_HEAD(&k->orders, next);
    k->current = o;
    pthread_mutex_unlock(&k->lock);
    fresh = read_again(k, &text);
    pthread_mutex_lock(&k->lock);
    wanted = k->current == o;
    k->current = NULL;
    if (k->stopping && fresh == NULL) { /* and not what the signal broke */
        free(text);
        text = mem_copy(slice_of(about_to_stop));
    }
    pthread_mutex_unlock(&k->lock);
    if (wanted) {
        answer(k, o, fresh, text);
    } else {
        config_release(fresh);
        free(text);
    }
    pthread_mutex_lock(&k->lock);
}

static void free_dead(struct keeper *k)
{
    struct snapshot *dead;

    while ((dead = SLIST_FIRST(&k->dead)) != NULL) {
        SLIST_REMOVE_HEAD(&k->dead, next_dead);
        pthread_mutex_unlock(&k->lock);
        snapshot_free(dead);
        log_debug("config_gone", " left=%d", !SLIST_EMPTY(&k->dead));
        pthread_mutex_lock(&k->lock);
        k->freed++;
    }
}

static void *run(void *context)
{
    struct keeper *k = context;

    pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        if (!STAILQ_EMPTY(&k->orders))
            carry_out(k);
        else if (!SLIST_EMPTY(&k->dead))
            free_dead(k);
        else
            pthread_cond_wait(&k->work, &k->lock);
    }
    pthread_mutex_unlock(&k->lock);
    return NULL;
}

/* -- of others -- */

static void do_nothing(int number)
{
    (void)number;
}

struct keeper *keeper_start(const char *file, struct config *started_with, struct mailbox *tell, struct fault *why)
{
    struct keeper   *k = mem_alloc(sizeof *k);
    struct sigaction interrupts = { .sa_handler = do_nothing }; /* no SA_RESTART */
    int              err;

    k->file = file;
    k->tell = tell;
    STAILQ_INIT(&k->orders);
    CHECK(pthread_mutex_init(&k->lock, NULL) == 0 && pthread_cond_init(&k->work, NULL) == 0);
    sigaction(SIGRTMIN, &interrupts, NULL);
    err = pthread_create(&k->thread, NULL, run, k);
    if (err != 0) {
        fault_set_errno(why, err, "cannot start the thread that reads configurations");
        free(k);
        return NULL;
    }
    pthread_setname_np(k->thread, "config");
    config_acquire(started_with);
    k->started_with = started_with;
    adopt(k, snapshot_of(started_with));
    return k;
}

void keeper_reload(struct keeper *k, struct reload_order *o)
{
    bool taken;

    pthread_mutex_lock(&k->lock);
    taken = !k->stopping;
    if (taken) {
        STAILQ_INSERT_TAIL(&k->orders, o, next);
        pthread_cond_signal(&k->work);
    }
    pthread_mutex_unlock(&k->lock);
    if (!taken)
        answer(k, o, NULL, mem_copy(slice_of(about_to_stop)));
}

/* False: its thread goes on, whatever it hangs at. */
static bool end_thread(struct keeper *k)
{
    for (unsigned kicks = 0; kicks < KICKS_MOST; kicks++) {
        struct timespec until;

        clock_gettime(CLOCK_REALTIME, &until);
        until.tv_nsec += KICK_MS * NS_PER_MS;
        until.tv_sec += until.tv_nsec / NS_PER_SEC;
        until.tv_nsec %= NS_PER_SEC;
        if (pthread_timedjoin_np(k->thread, NULL, &until) == 0)
            return true;
        pthread_kill(k->thread, SIGRTMIN);
    }
    return false;
}

void keeper_stop(struct keeper *k)
{
    STAILQ_HEAD(, reload_order) refused = STAILQ_HEAD_INITIALIZER(refused);
    struct reload_order *o;

    if (k == NULL)
        return;
    pthread_mutex_lock(&k->lock);
    CHECK(!k->stopping);
    k->stopping = true;
    STAILQ_CONCAT(&refused, &k->orders);
    pthread_cond_signal(&k->work);
    pthread_mutex_unlock(&k->lock);
    while ((o = STAILQ_FIRST(&refused)) != NULL) {
        STAILQ_REMOVE_HEAD(&refused, next);
        answer(k, o, NULL, mem_copy(slice_of(about_to_stop)));
    }
    if (end_thread(k))
        return;
    pthread_mutex_lock(&k->lock);
    k->left_behind = true;
    o = k->current;
    k->current = NULL;
    pthread_mutex_unlock(&k->lock);
    log_warning("reload_left_behind", "reason=\"a file could not be read to its end\"");
    if (o != NULL)
        answer(k, o, NULL, mem_copy(slice_of(about_to_stop)));
}

void keeper_close(struct keeper *k)
{
    if (k == NULL || k->left_behind) /* its thread may still look at all of it */
        return;
    config_release(k->started_with);
    pthread_mutex_lock(&k->lock);
    free_dead(k);
    pthread_mutex_unlock(&k->lock);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->work);
    free(k);
    tape_await_all(); /* what was recorded for them is written and sorted */
}

unsigned keeper_freed(struct keeper *k)
{
    unsigned freed;

    pthread_mutex_lock(&k->lock);
    freed = k->freed;
    pthread_mutex_unlock(&k->lock);
    return freed;
}

bool keeper_left_behind(const struct keeper *k)
{
    return k->left_behind;
}
