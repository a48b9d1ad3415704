/*
 * How a tape begins: from a folder of Weir's own, or from descriptors that a client has brought.
 *
 * A client's files may hang (a disk far away, a file system of his own), so they are opened by the tape's thread, as
 * they are written by it.  What he has recorded already comes in memory that is sealed: that may be read anywhere.
 */
#include "tape/internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static struct snapshot_options options_of(const struct tape_start *s)
{
    return (struct snapshot_options){
        .credential_fields = s->credential_fields,
        .credential_params = s->credential_params,
        .redact = s->options->redact,
        .order = s->options->order == TAPE_SEQUENCE ? SNAPSHOT_SEQUENCE : SNAPSHOT_LAST,
    };
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
    snapshot_take(t->snapshot, x, sent, came, t->is_client ? -1 : fd, came_at);
    pthread_mutex_unlock(&t->lock);
}

/* A writer is taken over in any case. */
static struct tape *begin(const struct tape_start *s, struct snapshot_writer *writer, int fd, struct fault *why)
{
    static const struct taper_calls calls = { .let_go = tape_release, .free_all = tape_free };
    struct snapshot_options         options = options_of(s);
    struct tape                    *t = new_tape(s);

    t->is_open = true;
    if (s->reads) {
        t->snapshot = snapshot_open(fd, &options, why);
        if (t->snapshot == NULL)
            goto fail;
        t->matches_body = snapshot_matches_body(t->snapshot);
        if (writer != NULL)
            snapshot_writer_tell(writer, keeps, t);
    }
    if (writer == NULL || taper_start(t, writer, &calls, why) == 0)
        return t;
fail:
    if (writer != NULL)
        snapshot_writer_close(writer, NULL, &(struct fault){ "" });
    tape_free(t);
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

/* -- of a client -- */

struct tape_opening {
    struct arena        arena;
    struct tape_client  of;
    struct tape_options options;
    struct mailbox     *tell;
    struct mail        *opened;
};

static const char *const *copy_list(const char *const *list, struct arena *a)
{
    const char **copy;
    size_t       count = 0;

    while (list != NULL && list[count] != NULL)
        count++;
    copy = arena_alloc(a, (count + 1) * sizeof *copy);
    for (size_t i = 0; i < count; i++)
        copy[i] = arena_copy(a, slice_of(list[i])).ptr;
    return copy;
}

static void free_opening(struct tape_opening *o)
{
    struct arena arena = o->arena;

    if (o->of.journal_fd >= 0)
        close(o->of.journal_fd);
    if (o->of.snapshot_fd >= 0)
        close(o->of.snapshot_fd);
    arena_free(&arena);
}

static struct tape_opening *copy_opening(const struct tape_client *c)
{
    struct arena         arena = { 0 };
    struct tape_opening *o = arena_alloc(&arena, sizeof *o);

    o->arena = arena;
    o->of = *c;
    o->options = *c->options;
    o->options.redact = copy_list(c->options->redact, &o->arena);
    o->of.options = &o->options;
    o->of.credential_fields = copy_list(c->credential_fields, &o->arena);
    o->of.credential_params = copy_list(c->credential_params, &o->arena);
    o->of.line = c->line.ptr != NULL ? arena_copy(&o->arena, c->line) : SLICE_NONE;
    o->of.journal_fd = fcntl(c->journal_fd, F_DUPFD_CLOEXEC, 3);
    o->of.snapshot_fd = c->snapshot_fd >= 0 ? fcntl(c->snapshot_fd, F_DUPFD_CLOEXEC, 3) : -1;
    return o;
}

static bool open_files(struct tape *t, const struct tape_client *c, struct fault *why)
{
    const struct tape_start       start = { .options = c->options,
                                            .credential_fields = c->credential_fields,
                                            .credential_params = c->credential_params };
    const struct snapshot_options options = options_of(&start);
    struct snapshot_reader       *s = NULL;

    if (t->reads) {
        s = snapshot_open(c->snapshot_fd, &options, why);
        if (s == NULL)
            return false;
    }
    t->taper->writer = snapshot_writer_open_journal(c->journal_fd, c->scratch_fd, c->line, &options, why);
    if (t->taper->writer != NULL && s != NULL)
        snapshot_writer_tell(t->taper->writer, keeps, t);
    pthread_mutex_lock(&t->lock);
    t->snapshot = s;
    t->matches_body = s == NULL || snapshot_matches_body(s);
    t->is_open = t->taper->writer != NULL;
    pthread_mutex_unlock(&t->lock);
    return t->taper->writer != NULL;
}

/* On the tape's thread. */
static void begin_client(struct tape *t)
{
    struct tape_opening *o = t->opening;
    struct fault         why = { "" };

    t->opening = NULL;
    if (!open_files(t, &o->of, &why)) {
        pthread_mutex_lock(&t->lock);
        snprintf(t->counts.trouble, sizeof t->counts.trouble, "%.310s", why.text);
        pthread_mutex_unlock(&t->lock);
    }
    mailbox_post(o->tell, o->opened);
    free_opening(o);
}

struct tape *tape_open_client(const struct tape_client *c, struct mailbox *tell, struct mail *opened, struct fault *why)
{
    static const struct taper_calls calls = { .begin = begin_client, .let_go = tape_release, .free_all = tape_free };
    struct tape                    *t = new_tape(&(struct tape_start){ .name = "weirctl run",
                                                                       .reads = c->snapshot_fd >= 0,
                                                                       .writes = true,
                                                                       .options = c->options });

    t->is_client = true;
    t->opening = copy_opening(c);
    t->opening->tell = tell;
    t->opening->opened = opened;
    if (taper_start(t, NULL, &calls, why) == 0)
        return t;
    free_opening(t->opening);
    tape_free(t);
    return NULL;
}

bool tape_is_open(struct tape *t, struct fault *why)
{
    bool is_open;

    pthread_mutex_lock(&t->lock);
    is_open = t->is_open;
    if (!is_open)
        snprintf(why->text, sizeof why->text, "%s", t->counts.trouble);
    pthread_mutex_unlock(&t->lock);
    return is_open;
}
