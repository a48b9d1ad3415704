/*
 * All jobs of a daemon: opened with the rows of earlier runs, and closed.
 */
#include "jobs/task.h"

#include "base/clock.h"
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define MARKS_BYTES (TASK_SLOTS * sizeof(uint64_t))

static int open_directory(int state_directory)
{
    if (mkdirat(state_directory, "jobs", 0700) != 0 && errno != EEXIST)
        return -1;
    return openat(state_directory, "jobs", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

/* All of its blocks are taken now: a full disk would kill at a write to a mapped page. */
static bool map_marks(struct jobs *jobs)
{
    int         fd = openat(jobs->directory, "marks", O_RDWR | O_CREAT | O_NOFOLLOW | O_CLOEXEC, 0600);
    void       *map = MAP_FAILED;
    struct stat st;

    if (fd < 0)
        return false;
    jobs->marks_lost = fstat(fd, &st) != 0 || st.st_size != (off_t)MARKS_BYTES;
    errno = posix_fallocate(fd, 0, (off_t)MARKS_BYTES);
    if (errno == 0)
        map = mmap(NULL, MARKS_BYTES, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (map == MAP_FAILED)
        return false;
    jobs->marks = map;
    return true;
}

/* -- what earlier runs have left -- */

static void load_row(void *context, struct slice name, struct slice value)
{
    struct jobs *jobs = context;
    struct task *t = row_read(jobs, name, value);

    if (t == NULL) {
        log_error("job_damaged", "row_bytes=%zu", value.len);
        return;
    }
    t->card = peer_card_remembered(&t->asked.peer);
    peer_card_read(t->card, &t->asked.peer);
    task_add(t, NULL);
    if (TASK_HAS_ENDED(t->state))
        t->slot = TASK_SLOTS;
    if (t->slot < TASK_SLOTS) {
        t->was_sent = t->was_sent || jobs->marks_lost || atomic_load(&jobs->marks[t->slot]) == t->number;
        jobs->slots[t->slot] = true;
    }
    task_take_bytes(t, t->body.bytes + (t->answer != NULL ? t->answer->body.bytes : 0), INT64_MAX);
    if (t->number > jobs->last_number)
        jobs->last_number = t->number;
    if (t->seq > jobs->last_seq)
        jobs->last_seq = t->seq;
    if (!TASK_HAS_ENDED(t->state) && t->was_sent && !t->may_repeat)
        task_become(t, TASK_FAILED,
                    task_answer_problem(PROBLEM_MAY_HAVE_BEEN_DONE,
                                        "Weir ended while the request was at the API: it may have been done."));
    else if (!TASK_HAS_ENDED(t->state) && t->own_credential)
        task_become(t, TASK_FAILED,
                    task_answer_problem(PROBLEM_CREDENTIAL_GONE,
                                        "The credential that the client brought is gone: it is never stored."));
    task_release(t);
}

const struct state_owner jobs_rows = { .table = "jobs", .format = 1, .load = load_row };

struct jobs *jobs_open(struct state *state, struct store *store, const struct jobs_options *o, struct fault *why)
{
    struct jobs *jobs = mem_alloc(sizeof *jobs);

    pthread_mutex_init(&jobs->lock, NULL);
    TAILQ_INIT(&jobs->all);
    jobs->state = state;
    jobs->rows = &jobs_rows;
    jobs->store = store;
    atomic_init(&jobs->keep_ns, o->keep_ns);
    jobs->directory = open_directory(state_directory(state));
    jobs->mailbox = mailbox_open();
    keeping_begin(jobs);
    if (jobs->directory < 0 || jobs->mailbox == NULL || !map_marks(jobs)) {
        fault_set_errno(why, errno, "cannot open the jobs of the state directory");
        goto fail;
    }
    jobs_lock(jobs);
    state_load(state, &jobs_rows, jobs);
    if (jobs->count > 0)
        log_info("jobs_loaded", "count=%u", jobs->count);
    jobs_unlock(jobs);
    if (!keeping_start(jobs, why))
        goto fail;
    jobs->is_running = true;
    return jobs;
fail:
    jobs_close(jobs);
    return NULL;
}

void jobs_close(struct jobs *jobs)
{
    struct task *t;

    if (jobs == NULL)
        return;
    if (jobs->is_running)
        keeping_stop(jobs);
    while ((t = TAILQ_FIRST(&jobs->all)) != NULL)
        task_drop(t);
    table_free(&jobs->ids);
    table_free(&jobs->keys);
    table_free(&jobs->users);
    if (jobs->marks != NULL)
        munmap((void *)(uintptr_t)jobs->marks, MARKS_BYTES);
    if (jobs->directory >= 0)
        close(jobs->directory);
    mailbox_close(jobs->mailbox);
    pthread_mutex_destroy(&jobs->lock);
    free(jobs);
}
