/*
 * The thread that keeps tasks: it writes their rows, which the store's writer syncs, and their bodies into files, and
 * drops what has expired.
 *
 * Of each task one row is on its way at a time.  A body's file is on the disk before the row that speaks of it, and
 * goes after the row that does not any more; what a crash leaves over in between is swept at the next start.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "base/files.h"
#include "base/log.h"
#include "base/wait.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { COPY_BYTES = 64 * 1024 };
#define SWEEP_NS (20 * NS_PER_SEC)

/* -- bodies -- */

static bool link_file(int fd, int directory, const char *name)
{
    char path[64];

    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, path, directory, name, AT_SYMLINK_FOLLOW) == 0;
}

static bool copy_file(const struct spool *from, int directory, const char *name)
{
    char    piece[COPY_BYTES];
    int64_t at = 0;
    ssize_t n = 0;
    int     fd = file_open(directory, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    bool    ok = fd >= 0;

    while (ok && at < spool_length(from) && (n = spool_peek(from, at, piece, sizeof piece)) > 0) {
        ok = write(fd, piece, (size_t)n) == n;
        at += n;
    }
    ok = ok && n >= 0 && at == spool_length(from) && fdatasync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static bool write_file(const struct task *t, const struct spool *body, bool is_result)
{
    const int directory = t->jobs->directory, fd = spool_file(body);
    char      name[TASK_FILE_BYTES];

    task_file_name(t, is_result, name);
    unlinkat(directory, name, 0);
    if (fd >= 0 && fdatasync(fd) == 0 && link_file(fd, directory, name))
        return true;
    return copy_file(body, directory, name);
}

static void drop_file(const struct task *t, bool is_result)
{
    char name[TASK_FILE_BYTES];

    task_file_name(t, is_result, name);
    unlinkat(t->jobs->directory, name, 0);
}

/* One that only this thread changes meanwhile.  What cannot be stored without a credential in it stays where it is. */
static bool write_body(struct task *t, struct task_body *b, bool is_result)
{
    char *text;

    if (b->spool == NULL || b->is_in_file || (!is_result && t->is_batch && t->own_credential))
        return true;
    if (b->bytes > TASK_INLINE_BYTES) {
        b->is_in_file = write_file(t, b->spool, is_result);
        return b->is_in_file;
    }
    text = arena_alloc_raw(is_result ? &t->answer->arena : &t->arena, TASK_INLINE_BYTES);
    if (spool_peek(b->spool, 0, text, (size_t)b->bytes) != b->bytes)
        return false;
    b->text = (struct slice){ text, (size_t)b->bytes };
    return true;
}

/* -- rows -- */

static void receive_saving(struct mail *m);
static void receive_written(struct mail *m);

static void submit(struct task *t, bool ok)
{
    struct jobs *jobs = t->jobs;

    t->row.change = (struct state_change){ .state = jobs->state,
                                           .owner = jobs->rows,
                                           .name = { t->id, TASK_ID_LENGTH },
                                           .value = t->row.text,
                                           .reply_to = jobs->mailbox,
                                           .done.receive = receive_written };
    jobs->writing++;
    if (ok)
        state_submit(jobs->store, &t->row.change);
    else
        mailbox_post(jobs->mailbox, &t->row.change.done);
}

/* Later than any before it, over restarts too, whatever rows are gone by then.  Rows are written in this order. */
static uint64_t next_seq(struct jobs *jobs)
{
    const uint64_t now = (uint64_t)(clock_wall_ns() / NS_PER_US);

    jobs->last_seq = now > jobs->last_seq ? now : jobs->last_seq + 1;
    return jobs->last_seq;
}

static void receive_saving(struct mail *m)
{
    struct task *t = CONTAINER_OF(m, struct task, row.saving);
    bool         ok, has_answer;

    jobs_lock(t->jobs);
    t->row.state = t->has_coming ? t->coming : t->state;
    has_answer = t->answer != NULL && t->row.state < TASK_EXPIRED;
    jobs_unlock(t->jobs);
    ok = TASK_HAS_ENDED(t->row.state) || write_body(t, &t->body, false);
    if (ok && has_answer)
        ok = write_body(t, &t->answer->body, true);
    jobs_lock(t->jobs);
    if (t->has_coming || t->seq == 0)
        t->seq = next_seq(t->jobs);
    t->row.text = t->row.state == TASK_GONE ? SLICE_NONE : row_of_task(t, t->row.state);
    jobs_unlock(t->jobs);
    submit(t, ok);
}

/* What is not needed any more after the row that was written.  Under the lock. */
static void tidy(struct task *t)
{
    if (!TASK_HAS_ENDED(t->row.state)) {
        if (t->body.is_in_file || t->body.text.ptr != NULL) {
            spool_release(t->body.spool);
            t->body.spool = NULL;
        }
        return;
    }
    spool_release(t->body.spool);
    t->body.spool = NULL;
    if (t->body.is_in_file)
        drop_file(t, false);
    t->body.is_in_file = false;
    if (t->answer == NULL)
        return;
    if (t->answer->body.is_in_file || t->answer->body.text.ptr != NULL) {
        spool_release(t->answer->body.spool);
        t->answer->body.spool = NULL;
    }
    if (t->row.state >= TASK_EXPIRED && t->answer->body.is_in_file) {
        drop_file(t, true);
        t->answer->body.is_in_file = false;
    }
}

static void receive_written(struct mail *m)
{
    struct task *t = CONTAINER_OF(m, struct task, row.change.done);
    struct jobs *jobs = t->jobs;

    jobs->writing--;
    free((char *)(uintptr_t)t->row.text.ptr);
    t->row.text = SLICE_NONE;
    jobs_lock(jobs);
    if (!t->row.change.ok && !t->row.is_there && t->row.state != TASK_GONE) {
        t->row.refused = true;
        task_tell(t);
    } else {
        t->row.is_there = true;
        tidy(t);
        if (t->has_coming && t->coming == t->row.state)
            task_settle(t);
        else
            task_tell(t);
    }
    t->row.is_saving = false;
    if (t->row.again && t->state != TASK_GONE) {
        t->row.again = false;
        task_save(t);
    }
    jobs_unlock(jobs);
    if (!t->row.change.ok)
        log_error("job_not_written", "job=%s state=%s", t->id, task_state_name(t->row.state));
    task_release(t);
}

/* -- what is over -- */

static void sweep(struct jobs *jobs)
{
    const int64_t now = clock_wall_ns(), keep_ns = atomic_load(&jobs->keep_ns);
    struct task  *t, *next;

    jobs_lock(jobs);
    TAILQ_FOREACH_SAFE (t, &jobs->all, entry, next) {
        if (!TASK_HAS_ENDED(t->state) || t->has_coming)
            continue;
        if (t->state == TASK_EXPIRED && now >= time_add(t->ended_wall_ns, time_times(keep_ns, 2)))
            task_become(t, TASK_GONE, NULL);
        else if (t->state < TASK_EXPIRED && task_state_at(t, now) == TASK_EXPIRED)
            task_become(t, TASK_EXPIRED, NULL);
    }
    jobs_unlock(jobs);
}

static bool is_wanted(struct jobs *jobs, struct slice name)
{
    const bool   is_request = slice_ends_with(name, SLICE(".request"));
    struct task *t;
    bool         wanted;

    if (!is_request && !slice_ends_with(name, SLICE(".result")))
        return true;
    jobs_lock(jobs);
    t = task_find(jobs, slice_sub(name, 0, slice_find(name, '.', 0)));
    wanted = t != NULL &&
             (!t->is_loaded || (is_request ? t->body.is_in_file : t->answer != NULL && t->answer->body.is_in_file));
    jobs_unlock(jobs);
    return wanted;
}

/* Files that a crash has left. */
static void sweep_files(struct jobs *jobs)
{
    int            fd = openat(jobs->directory, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    if (dir == NULL) {
        if (fd >= 0)
            close(fd);
        return;
    }
    while ((entry = readdir(dir)) != NULL)
        if (!is_wanted(jobs, slice_of(entry->d_name)))
            unlinkat(jobs->directory, entry->d_name, 0);
    closedir(dir);
}

/* -- the thread -- */

static void receive_stop(struct mail *m)
{
    CONTAINER_OF(m, struct jobs, stop)->stopping = true;
}

static void *run(void *context)
{
    struct jobs *jobs = context;
    int64_t      swept_ns = clock_real_ns();

    sweep_files(jobs);
    while (!jobs->stopping || jobs->writing > 0) {
        struct pollfd fd = { .fd = mailbox_fd(jobs->mailbox), .events = POLLIN };

        wait_poll(&fd, 1, SWEEP_NS);
        mailbox_deliver(jobs->mailbox);
        if (clock_real_ns() - swept_ns < SWEEP_NS)
            continue;
        swept_ns = clock_real_ns();
        sweep(jobs);
    }
    return NULL;
}

void keeping_begin(struct jobs *jobs)
{
    jobs->save = receive_saving;
    jobs->stop.receive = receive_stop;
}

bool keeping_start(struct jobs *jobs, struct fault *why)
{
    if (pthread_create(&jobs->thread, NULL, run, jobs) != 0) {
        fault_set(why, "cannot start the thread that keeps jobs");
        return false;
    }
    pthread_setname_np(jobs->thread, "jobs");
    return true;
}

void keeping_stop(struct jobs *jobs)
{
    mailbox_post(jobs->mailbox, &jobs->stop);
    pthread_join(jobs->thread, NULL);
}
