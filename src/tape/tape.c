/*
 * A snapshot in use: opened, looked into, counted.
 */
#include "tape/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- opening -- */

static struct snapshot_options options_of(const struct tape_start *s)
{
    return (struct snapshot_options){
        .credential_fields = s->credential_fields,
        .credential_params = s->credential_params,
        .redact = s->options->redact,
        .order = s->options->order == TAPE_SEQUENCE ? SNAPSHOT_SEQUENCE : SNAPSHOT_LAST,
    };
}

static void free_tape(struct tape *t)
{
    snapshot_close(t->snapshot);
    pthread_mutex_destroy(&t->lock);
    free(t->name);
    free(t);
}

static struct tape *new_tape(const struct tape_start *s)
{
    struct tape *t = mem_alloc(sizeof *t);

    atomic_init(&t->references, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->name = mem_copy(slice_of(s->name));
    t->options = *s->options;
    t->options.path = NULL;
    t->options.redact = NULL;
    t->reads = s->reads;
    t->matches_body = true;
    return t;
}

/* What was kept is found from then on. */
static void keeps(void *context, const struct snapshot_exchange *x, struct slice sent, struct slice came, int fd,
                  uint64_t came_at)
{
    struct tape *t = context;

    pthread_mutex_lock(&t->lock);
    snapshot_take(t->snapshot, x, sent, came, fd, came_at);
    pthread_mutex_unlock(&t->lock);
}

/* A writer is taken over in any case. */
static struct tape *begin(const struct tape_start *s, struct snapshot_writer *writer, int fd, struct fault *why)
{
    struct snapshot_options options = options_of(s);
    struct tape            *t = new_tape(s);

    if (s->reads) {
        t->snapshot = snapshot_open(fd, &options, why);
        if (t->snapshot == NULL)
            goto fail;
        t->matches_body = snapshot_matches_body(t->snapshot);
        if (writer != NULL)
            snapshot_writer_tell(writer, keeps, t);
    }
    if (writer == NULL || taper_start(t, writer, tape_release, free_tape, why) == 0)
        return t;
fail:
    if (writer != NULL)
        snapshot_writer_close(writer, NULL, &(struct fault){ "" });
    free_tape(t);
    return NULL;
}

/* The writer first: it makes a snapshot of an empty folder. */
struct tape *tape_open(const struct tape_start *s, struct fault *why)
{
    struct snapshot_options options = options_of(s);
    struct snapshot_writer *writer = NULL;

    if (s->writes) {
        writer = snapshot_writer_open(s->folder_fd, &options, why);
        if (writer == NULL)
            return NULL;
    }
    return begin(s, writer, s->folder_fd, why);
}

struct tape *tape_open_path(const struct tape_start *s, struct fault *why)
{
    const char       *path = s->options->path;
    struct tape_start start = *s;
    struct tape      *t;

    start.folder_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (start.folder_fd < 0 && errno == ENOENT && s->writes && mkdir(path, 0700) == 0)
        start.folder_fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (start.folder_fd < 0) {
        fault_set_errno(why, errno, "cannot open the snapshot %s", path);
        return NULL;
    }
    t = tape_open(&start, why);
    close(start.folder_fd);
    return t;
}

void tape_acquire(struct tape *t)
{
    atomic_fetch_add_explicit(&t->references, 1, memory_order_relaxed);
}

void tape_release(struct tape *t)
{
    if (t == NULL || atomic_fetch_sub_explicit(&t->references, 1, memory_order_acq_rel) != 1)
        return;
    if (t->taper != NULL)
        taper_end(t->taper);
    else
        free_tape(t);
}

const struct tape_options *tape_options(const struct tape *t)
{
    return &t->options;
}

const char *tape_name(const struct tape *t)
{
    return t->name;
}

void tape_counts(struct tape *t, struct tape_counts *out)
{
    pthread_mutex_lock(&t->lock);
    *out = t->counts;
    pthread_mutex_unlock(&t->lock);
}

void tape_finish(struct tape *t, struct mailbox *mailbox, struct mail *done)
{
    if (t->taper != NULL)
        taper_finish(t->taper, mailbox, done);
    else
        mailbox_post(mailbox, done);
}

/* -- playing -- */

bool tape_plays(const struct tape *t)
{
    return t->reads;
}

bool tape_matches_body(const struct tape *t)
{
    return t->matches_body;
}

bool tape_records(const struct tape *t)
{
    return t->taper != NULL;
}

enum snapshot_found tape_find(struct tape *t, const struct snapshot_request *r, struct tape_answer *out,
                              struct snapshot_nearest *nearest, struct arena *a, struct fault *why)
{
    enum snapshot_found found = SNAPSHOT_MISSED;

    *out = (struct tape_answer){ .body = { .fd = -1 } };
    *nearest = (struct snapshot_nearest){ .method = SLICE_NONE };
    pthread_mutex_lock(&t->lock);
    if (t->snapshot != NULL)
        found = snapshot_find(t->snapshot, r, &out->exchange, nearest, a, why);
    if (found == SNAPSHOT_FOUND && out->exchange.body.name.ptr != NULL &&
        snapshot_body_open(t->snapshot, &out->exchange.body, &out->body, why) != 0)
        found = SNAPSHOT_BROKEN;
    if (found == SNAPSHOT_FOUND)
        t->counts.played++;
    else
        t->counts.missed++;
    pthread_mutex_unlock(&t->lock);
    return found;
}
