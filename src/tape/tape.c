/*
 * A snapshot in use: opened, looked into, counted.
 */
#include "tape/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* -- opening -- */

/* Nothing is in that folder yet. */
static bool is_empty(int fd)
{
    int            copy = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *d = copy >= 0 ? fdopendir(copy) : NULL;
    struct dirent *e;
    bool           empty = d != NULL;

    if (d == NULL) {
        if (copy >= 0)
            close(copy);
        return false;
    }
    while (empty && (e = readdir(d)) != NULL)
        empty = strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0;
    closedir(d);
    return empty;
}

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

struct tape *tape_open(const struct tape_start *s, struct fault *why)
{
    struct snapshot_options options = options_of(s);
    struct tape            *t = mem_alloc(sizeof *t);
    struct snapshot_writer *writer;

    atomic_init(&t->references, 1);
    pthread_mutex_init(&t->lock, NULL);
    t->name = mem_copy(slice_of(s->name));
    t->options = *s->options;
    t->options.path = NULL;
    t->options.redact = NULL;
    t->reads = s->reads;
    t->matches_body = true;
    if (s->reads && !(s->writes && is_empty(s->folder_fd))) {
        t->snapshot = snapshot_open(s->folder_fd, &options, why);
        if (t->snapshot == NULL)
            goto fail;
        t->matches_body = snapshot_matches_body(t->snapshot);
    }
    if (!s->writes)
        return t;
    writer = snapshot_writer_open(s->folder_fd, &options, why);
    if (writer == NULL)
        goto fail;
    if (taper_start(t, writer, tape_release, free_tape, why) == 0)
        return t;
    snapshot_writer_close(writer, NULL, &(struct fault){ "" });
fail:
    free_tape(t);
    return NULL;
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
