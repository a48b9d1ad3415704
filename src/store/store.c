/*
 * The cache as others hold it: opened and closed, with its threads.
 */
#include "store/internal.h"

#include "base/arena.h"
#include "base/check.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#define SMALLEST_BYTES (UINT64_C(256) * 1024)

/* Descriptors of our own, whose numbers stay when what they lead to is replaced. */
static int keep_descriptors(struct store *s, struct fault *why)
{
    s->directory_fd = fcntl(db_directory(s->db), F_DUPFD_CLOEXEC, 0);
    s->file_fd = fcntl(db_file(s->db), F_DUPFD_CLOEXEC, 0);
    return s->directory_fd >= 0 && s->file_fd >= 0
               ? 0
               : fault_set_errno(why, errno, "cannot open the cache in %s", s->path);
}

static struct store *new_store(const struct store_options *options, unsigned flags)
{
    struct store *s = mem_alloc(sizeof *s);

    s->path = mem_copy(slice_of(options->path));
    s->max_bytes = options->max_bytes > SMALLEST_BYTES ? options->max_bytes : SMALLEST_BYTES;
    s->most_readers = options->readers;
    s->flags = flags;
    s->bodies_fd = s->directory_fd = s->file_fd = -1;
    atomic_init(&s->stride, 1);
    CHECK(pthread_mutex_init(&s->uncommitted.lock, NULL) == 0 && pthread_mutex_init(&s->moving, NULL) == 0);
    STAILQ_INIT(&s->states);
    return s;
}

/* The database is open. */
static int begin(struct store *s, const struct store_opening *o, struct fault *why)
{
    s->home = home_new(s->db, &s->tables);
    if (keep_descriptors(s, why) != 0)
        return -1;
    s->started_at = o->next_id;
    atomic_init(&s->next_id, o->next_id);
    atomic_init(&s->set_back.ns, o->set_back.ns);
    atomic_init(&s->set_back.below, o->set_back.below);
    s->walker = walker_new(s);
    if ((s->flags & DB_READ_ONLY) != 0)
        return 0;
    s->mailbox = mailbox_open();
    if (s->mailbox == NULL)
        return fault_set_errno(why, errno, "cannot start the cache's writer thread");
    s->writer = writer_start(s, &o->counts, why);
    return s->writer != NULL ? 0 : -1;
}

struct store *store_open(const struct store_options *options, struct fault *why, struct fault *note)
{
    struct store        *s = new_store(options, 0);
    struct store_opening o = { .next_id = 0 };
    struct fault         unused;

    if (note == NULL)
        note = &unused;
    note->text[0] = '\0';
    if (store_open_database(s, &o, why, note) != 0 || begin(s, &o, why) != 0) {
        store_close(s);
        return NULL;
    }
    s->verifier = verifier_start(s);
    return s;
}

struct store *store_open_offline(const struct store_options *options, bool read_only, bool *is_held, struct fault *why)
{
    struct store        *s = new_store(options, DB_EXISTING | (read_only ? DB_READ_ONLY : 0));
    struct store_opening o = { .next_id = 0 };
    struct fault         unused;
    bool                 opened = store_open_database(s, &o, why, &unused) == 0 && begin(s, &o, why) == 0;

    *is_held = o.is_held;
    if (opened)
        return s;
    store_close(s);
    return NULL;
}

static void free_tallies(struct store *s)
{
    struct hit_tally *next;

    for (struct hit_tally *t = atomic_load(&s->tallies); t != NULL; t = next) {
        next = t->next;
        free(t);
    }
}

static void close_descriptor(int fd)
{
    if (fd >= 0)
        close(fd);
}

void store_close(struct store *s)
{
    if (s == NULL)
        return;
    walker_stop(s->walker);
    verifier_stop(s->verifier);
    writer_stop(s->writer);
    mailbox_close(s->mailbox);
    close_descriptor(s->bodies_fd);
    close_descriptor(s->directory_fd);
    close_descriptor(s->file_fd);
    home_release(s->home);
    free_tallies(s);
    pthread_mutex_destroy(&s->uncommitted.lock);
    pthread_mutex_destroy(&s->moving);
    free(s->path);
    free(s);
}

void store_settle(struct store *s)
{
    pthread_mutex_lock(&s->moving);
    db_settle(s->db);
    pthread_mutex_unlock(&s->moving);
}

int store_directory(const struct store *s)
{
    return s != NULL ? s->directory_fd : -1;
}
