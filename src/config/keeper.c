/*
 * Two lists under one lock: orders, and snapshots without a holder.
 *
 * To end a read that blocks (a file that is a pipe, a file system that is
 * away) its thread gets a signal whose handler does nothing, again and again: the call
 * then fails, and with it the order.  What does not end even so is left behind.
 */
#include "config/keeper.h"

#include "base/check.h"
#include "base/clock.h"
#include "base/log.h"
#include "config/snapshot.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

enum { KICK_MS = 10, KICKS_MOST = 500 };

struct keeper {
    const char          *file;        /* NULL: the embedded default */
    struct config       *started_with;
    struct mailbox      *tell;
    pthread_t            thread;
    pthread_mutex_t      lock;
    pthread_cond_t       work;
    /* -- under `lock` -- */
    struct reload_order *orders, **last_order;
    struct reload_order *current;     /* out of the list; NULL: none, or it was answered by keeper_stop() */
    struct snapshot     *dead;
    unsigned             freed;
    bool                 stopping;
    bool                 left_behind; /* whoever stops it */
};

static const char about_to_stop[] = "Weir is about to stop\n";

static void answer(struct keeper *k, struct reload_order *o, struct config *fresh, char *text)
{
    o->fresh = fresh;
    o->text = text != NULL ? text : mem_copy(SLICE(""));
    mailbox_post(k->tell, &o->mail);
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
    fresh = k->file != NULL ? config_load(k->file, problems) : config_load_default(problems);
    if (fresh != NULL)
        snapshot_of(fresh)->keeper = k;
    if (fresh != NULL && !config_read_secrets(fresh, problems)) {
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
    struct reload_order *o = k->orders;
    struct config       *fresh;
    char                *text = NULL;
    bool                 wanted;

    k->orders = o->next;
    if (k->orders == NULL)
        k->last_order = &k->orders;
    k->current = o;
    pthread_mutex_unlock(&k->lock);
    fresh = read_again(k, &text);
    pthread_mutex_lock(&k->lock);
    wanted = k->current == o;
    k->current = NULL;
    if (k->stopping && fresh == NULL) {                      /* and not what the signal broke */
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
    struct snapshot *dead = k->dead;

    k->dead = NULL;
    pthread_mutex_unlock(&k->lock);
    while (dead != NULL) {
        struct snapshot *next = dead->next_dead;

        snapshot_free(dead);
        pthread_mutex_lock(&k->lock);
        k->freed++;
        pthread_mutex_unlock(&k->lock);
        dead = next;
    }
    pthread_mutex_lock(&k->lock);
}

static void *run(void *context)
{
    struct keeper *k = context;

    pthread_mutex_lock(&k->lock);
    while (!k->stopping) {
        if (k->orders != NULL)
            carry_out(k);
        else if (k->dead != NULL)
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
    struct sigaction interrupts = { .sa_handler = do_nothing };      /* no SA_RESTART */
    int              err;

    k->file = file;
    k->tell = tell;
    k->last_order = &k->orders;
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
    snapshot_of(started_with)->keeper = k;
    return k;
}

void keeper_reload(struct keeper *k, struct reload_order *o)
{
    bool taken;

    o->next = NULL;
    pthread_mutex_lock(&k->lock);
    taken = !k->stopping;
    if (taken) {
        *k->last_order = o;
        k->last_order = &o->next;
        pthread_cond_signal(&k->work);
    }
    pthread_mutex_unlock(&k->lock);
    if (!taken)
        answer(k, o, NULL, mem_copy(slice_of(about_to_stop)));
}

void keeper_bury(struct keeper *k, struct snapshot *snap)
{
    pthread_mutex_lock(&k->lock);
    snap->next_dead = k->dead;
    k->dead = snap;
    pthread_cond_signal(&k->work);
    pthread_mutex_unlock(&k->lock);
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
    struct reload_order *o, *next;

    if (k == NULL)
        return;
    pthread_mutex_lock(&k->lock);
    CHECK(!k->stopping);
    k->stopping = true;
    o = k->orders;
    k->orders = NULL;
    k->last_order = &k->orders;
    pthread_cond_signal(&k->work);
    pthread_mutex_unlock(&k->lock);
    for (; o != NULL; o = next) {
        next = o->next;
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
    if (k == NULL || k->left_behind)  /* its thread may still look at all of it */
        return;
    config_release(k->started_with);
    pthread_mutex_lock(&k->lock);
    free_dead(k);
    pthread_mutex_unlock(&k->lock);
    pthread_mutex_destroy(&k->lock);
    pthread_cond_destroy(&k->work);
    free(k);
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
