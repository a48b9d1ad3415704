/*
 * A table of commands under one lock, and a thread for each run.
 *
 * The command gets an empty signal mask, a process group of its own, nothing on
 * standard input and Weir's standard error; its standard output is the value.
 * It is killed when it takes too long or when the daemon ends.
 */
#include "engine/credential.h"

#include "base/clock.h"
#include "base/log.h"
#include "config/secret.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum { RUN_SECONDS = 30, LOOK_MS = 20 };

struct entry {
    struct credentials *owner;
    LIST_ENTRY(entry)   entry; /* constant once it is listed */
    char               *upstream, *command;

    /* -- under the owner's lock -- */
    char        *value;  /* NULL: none, or not any more */
    uint64_t     number; /* of the last run */
    bool         running, failed;
    int64_t      ended_ns;
    struct fault why;
    pid_t        child; /* 0: none that may be killed */
    pthread_t    thread;
    bool         has_thread; /* to be joined */
    LIST_HEAD(, credential_wait) waiting;
};

struct credentials {
    pthread_mutex_t lock;
    LIST_HEAD(, entry) entries; /* under `lock` */
    bool closing;               /* under `lock` */
};

/* -- a run, on a thread of its own -- */

extern char **environ;

static int spawn(const char *command, int out, pid_t *child)
{
    char *const argv[] = { (char *)(uintptr_t) "sh", (char *)(uintptr_t) "-c", (char *)(uintptr_t)command, NULL };
    posix_spawn_file_actions_t files;
    posix_spawnattr_t          how;
    sigset_t                   none, defaults;
    int                        err;

    sigemptyset(&none);
    sigemptyset(&defaults);
    sigaddset(&defaults, SIGPIPE);
    posix_spawn_file_actions_init(&files);
    posix_spawn_file_actions_addopen(&files, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    posix_spawn_file_actions_adddup2(&files, out, STDOUT_FILENO);
    posix_spawnattr_init(&how);
    posix_spawnattr_setflags(&how, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETPGROUP);
    posix_spawnattr_setsigmask(&how, &none);
    posix_spawnattr_setsigdefault(&how, &defaults);
    err = posix_spawn(child, "/bin/sh", &files, &how, argv, environ);
    posix_spawnattr_destroy(&how);
    posix_spawn_file_actions_destroy(&files);
    return err;
}

static bool is_closing(struct credentials *c)
{
    bool closing;

    pthread_mutex_lock(&c->lock);
    closing = c->closing;
    pthread_mutex_unlock(&c->lock);
    return closing;
}

/* To the end of its output, or too much of it, or too late. */
static size_t read_output(struct entry *e, int in, char *text, size_t room, int64_t until_ns)
{
    size_t used = 0;

    while (used < room && clock_real_ns() < until_ns && !is_closing(e->owner)) {
        struct pollfd fd = { .fd = in, .events = POLLIN };
        ssize_t       n;

        if (poll(&fd, 1, 10 * LOOK_MS) == 0)
            continue;
        n = read(in, text + used, room - used);
        if (n <= 0)
            break;
        used += (size_t)n;
    }
    return used;
}

/* Its exit status; -1 where it had to be killed, by us or by close.  The lock makes sure that nobody kills whoever
 * gets its number next. */
static int await_child(struct entry *e, pid_t child, int64_t until_ns)
{
    int status = 0;

    for (;;) {
        bool ended;

        pthread_mutex_lock(&e->owner->lock);
        ended = waitpid(child, &status, WNOHANG) != 0;
        if (ended)
            e->child = 0;
        pthread_mutex_unlock(&e->owner->lock);
        if (ended)
            return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
        if (clock_real_ns() >= until_ns || is_closing(e->owner))
            kill(-child, SIGKILL);
        poll(NULL, 0, LOOK_MS);
    }
}

/* What it printed, in `text`; ptr NULL: *why. */
static struct slice run_command(struct entry *e, char *text, size_t room, struct fault *why)
{
    int64_t      until_ns = clock_real_ns() + RUN_SECONDS * NS_PER_SEC;
    struct slice value;
    pid_t        child = 0;
    int          ends[2], status, err;
    size_t       used;

    if (pipe2(ends, O_CLOEXEC) != 0) {
        fault_set_errno(why, errno, "cannot be started");
        return SLICE_NONE;
    }
    pthread_mutex_lock(&e->owner->lock);
    err = e->owner->closing ? ECANCELED : spawn(e->command, ends[1], &child);
    e->child = child;
    pthread_mutex_unlock(&e->owner->lock);
    close(ends[1]);
    used = err == 0 ? read_output(e, ends[0], text, room, until_ns) : 0;
    close(ends[0]);
    status = err == 0 ? await_child(e, child, until_ns) : 0;
    if (err != 0)
        fault_set_errno(why, err, "cannot be started");
    else if (status < 0)
        fault_set(why, "took longer than %d s, or was killed", (int)RUN_SECONDS);
    else if (status > 0)
        fault_set(why, "ended with status %d", status);
    if (err != 0 || status != 0)
        return SLICE_NONE;
    value = secret_value((struct slice){ text, used }, why);
    return value;
}

static void *run(void *context)
{
    struct entry           *e = context;
    struct credentials     *c = e->owner;
    char                    text[SECRET_BYTES + 16];
    struct fault            why = { "" };
    struct slice            value;
    struct credential_wait *w, *next;

    pthread_setname_np(pthread_self(), "command");
    value = run_command(e, text, sizeof text, &why);
    if (value.ptr == NULL)
        log_error("credential_command_failed", "upstream=%s reason=%s", e->upstream, log_quote(why.text));
    pthread_mutex_lock(&c->lock);
    e->running = false;
    e->failed = value.ptr == NULL;
    e->ended_ns = clock_mono_ns();
    e->why = why;
    if (value.ptr != NULL)
        e->value = mem_copy(value);
    LIST_FOREACH_SAFE (w, &e->waiting, entry, next) {
        LIST_TAKE(w, entry);
        mailbox_post(w->mailbox, &w->mail);
    }
    pthread_mutex_unlock(&c->lock);
    explicit_bzero(text, sizeof text);
    return NULL;
}

/* -- the table, under the lock -- */

static void drop_value(struct entry *e)
{
    if (e->value != NULL)
        explicit_bzero(e->value, strlen(e->value));
    free(e->value);
    e->value = NULL;
}

static struct entry *find(struct credentials *c, const char *upstream, const char *command)
{
    struct entry *e;

    LIST_FOREACH (e, &c->entries, entry)
        if (strcmp(e->upstream, upstream) == 0 && strcmp(e->command, command) == 0)
            return e;
    e = mem_alloc(sizeof *e);
    e->owner = c;
    e->upstream = mem_copy(slice_of(upstream));
    e->command = mem_copy(slice_of(command));
    LIST_INSERT_HEAD(&c->entries, e, entry);
    return e;
}

static void start(struct entry *e)
{
    if (e->has_thread) /* it has posted its last and only has to return */
        pthread_join(e->thread, NULL);
    e->running = true;
    e->failed = false;
    e->number++;
    e->has_thread = pthread_create(&e->thread, NULL, run, e) == 0;
    if (e->has_thread)
        return;
    e->running = false;
    e->failed = true;
    e->ended_ns = clock_mono_ns();
    fault_set(&e->why, "cannot be started: no thread could be made");
}

static enum credential_state ask(struct entry *e, uint64_t refused, struct credential_wait *wait, struct arena *a,
                                 struct credential *out)
{
    int64_t rest = e->ended_ns + CREDENTIAL_REST_NS - clock_mono_ns();
    bool    ran = e->number > 0 && rest > 0;

    if (e->value != NULL && refused == e->number && !ran)
        drop_value(e);
    if (e->value != NULL) {
        out->value = arena_copy(a, slice_of(e->value));
        out->number = e->number;
        return CREDENTIAL_READY;
    }
    if (!e->running && !(e->failed && ran))
        start(e);
    if (!e->running) {
        out->why = e->why;
        out->retry_ns = rest > 0 ? rest : CREDENTIAL_REST_NS;
        return CREDENTIAL_FAILED;
    }
    if (wait != NULL)
        LIST_INSERT_HEAD(&e->waiting, wait, entry);
    return CREDENTIAL_RUNNING;
}

enum credential_state credentials_get(struct credentials *c, const char *upstream, const char *command,
                                      uint64_t refused, struct credential_wait *wait, struct arena *a,
                                      struct credential *out)
{
    enum credential_state state;

    pthread_mutex_lock(&c->lock);
    state = ask(find(c, upstream, command), refused, wait, a, out);
    pthread_mutex_unlock(&c->lock);
    return state;
}

void credentials_leave(struct credentials *c, struct credential_wait *wait)
{
    pthread_mutex_lock(&c->lock);
    LIST_TAKE(wait, entry);
    pthread_mutex_unlock(&c->lock);
}

/* -- life -- */

struct credentials *credentials_open(void)
{
    struct credentials *c = mem_alloc(sizeof *c);

    pthread_mutex_init(&c->lock, NULL);
    return c;
}

void credentials_forget(struct credentials *c)
{
    struct entry *e;

    pthread_mutex_lock(&c->lock);
    LIST_FOREACH (e, &c->entries, entry) {
        drop_value(e);
        e->failed = false;
    }
    pthread_mutex_unlock(&c->lock);
}

void credentials_close(struct credentials *c)
{
    struct entry *e, *next;

    if (c == NULL)
        return;
    pthread_mutex_lock(&c->lock);
    c->closing = true;
    LIST_FOREACH (e, &c->entries, entry)
        if (e->child > 0)
            kill(-e->child, SIGKILL);
    pthread_mutex_unlock(&c->lock);
    LIST_FOREACH_SAFE (e, &c->entries, entry, next) {
        if (e->has_thread)
            pthread_join(e->thread, NULL);
        drop_value(e);
        free(e->upstream);
        free(e->command);
        free(e);
    }
    pthread_mutex_destroy(&c->lock);
    free(c);
}
