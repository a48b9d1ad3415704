/*
 * A writer: a journal of its own, locked as long as anybody has it open.  It stands in the folder, or is a client's,
 * who folds it into a folder that this process may not write into.
 */
#include "snapshot/writer.h"

#include "base/clock.h"

#include <sodium.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { ID_HEX = 16 };

/* A folder of somebody's is not to be filled with a snapshot by a slip of the pen. */
static int check_empty(int in, struct fault *why)
{
    int            fd = openat(in, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
    DIR           *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.' && strcmp(entry->d_name, BODIES_NAME) != 0 && !gather_is_journal(entry->d_name))
            result = fault_set(why, "the folder holds other files (%s) and no snapshot: name a new or an empty one",
                               entry->d_name);
    if (folder != NULL)
        closedir(folder);
    return result;
}

/* What the snapshot says of itself; a new one says what the options say. */
static int read_or_begin(struct snapshot_place *p, struct snapshot_lines *g, const struct snapshot_options *o,
                         struct fault *why)
{
    const int folder = snapshot_place_folder(p);

    why->text[0] = '\0';
    if (gather_open(g, o, why) != 0 || gather_read_index(g, p, why) != 0)
        return -1;
    if (g->is_there)
        return 0;
    if (check_empty(folder, why) != 0)
        return -1;
    g->created_ms = clock_wall_ns() / NS_PER_MS;
    return fold_write_index(folder, g, why);
}

static int make_journal(int folder, char name[JOURNAL_NAME_BYTES], struct fault *why)
{
    unsigned char random[ID_HEX / 2];
    char          hex[ID_HEX + 1];
    int           fd;

    randombytes_buf(random, sizeof random);
    sodium_bin2hex(hex, sizeof hex, random, sizeof random);
    snprintf(name, JOURNAL_NAME_BYTES, JOURNAL_START "%s" JOURNAL_END_OF_NAME, hex);
    fd = openat(folder, name, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        fault_set_errno(why, errno, "nothing can be written into the folder");
    else
        flock(fd, LOCK_EX | LOCK_NB);
    return fd;
}

static struct snapshot_place *open_folder(int fd, struct fault *why)
{
    struct snapshot_place *p = snapshot_place_open(fd, why);

    if (p == NULL || snapshot_place_folder(p) >= 0)
        return p;
    fault_set(why, "a zip cannot be recorded into: name a folder");
    snapshot_place_close(p);
    return NULL;
}

/* The folder's place, its journal, and in `g` what it says of itself.  NULL: *why. */
static struct snapshot_place *begin(int fd, const struct snapshot_options *o, struct snapshot_lines *g, int *journal,
                                    char name[JOURNAL_NAME_BYTES], struct fault *why)
{
    struct snapshot_place *p = open_folder(fd, why);

    *g = (struct snapshot_lines){ 0 };
    if (p == NULL)
        return NULL;
    flock(snapshot_place_folder(p), LOCK_EX);
    *journal = read_or_begin(p, g, o, why) == 0 ? make_journal(snapshot_place_folder(p), name, why) : -1;
    flock(snapshot_place_folder(p), LOCK_UN);
    if (*journal >= 0)
        return p;
    snapshot_place_close(p);
    return NULL;
}

int snapshot_journal(int folder_fd, char **line, struct fault *why)
{
    struct snapshot_lines  g;
    char                   name[JOURNAL_NAME_BYTES];
    int                    journal = -1;
    struct snapshot_place *p = begin(folder_fd, NULL, &g, &journal, name, why);

    if (p != NULL)
        *line = fold_first_line(&g);
    gather_free(&g);
    snapshot_place_close(p);
    return journal;
}

/* -- writers -- */

static struct snapshot_writer *writer_new(int journal_fd)
{
    struct snapshot_writer *w = mem_alloc(sizeof *w);

    w->scratch = -1;
    w->journal.fd = journal_fd;
    w->secrets = secrets_known_open();
    return w;
}

static void writer_free(struct snapshot_writer *w)
{
    if (w->journal.fd >= 0)
        close(w->journal.fd);
    if (w->place == NULL && w->scratch >= 0)
        close(w->scratch);
    secrets_known_close(w->secrets);
    redaction_free(&w->redaction);
    free(w->marks);
    snapshot_place_close(w->place);
    free(w);
}

static int say_terms(struct snapshot_writer *w, struct fault *why)
{
    struct snapshot_lines g = { .redaction = w->redaction };
    char                 *line = fold_first_line(&g);
    int                   result = journal_add_terms(&w->journal, slice_of(line), why);

    free(line);
    return result;
}

struct snapshot_writer *snapshot_writer_open(int fd, const struct snapshot_options *o, struct fault *why)
{
    struct snapshot_lines   g;
    char                    name[JOURNAL_NAME_BYTES];
    int                     journal = -1;
    struct snapshot_place  *p = begin(fd, o, &g, &journal, name, why);
    struct snapshot_writer *w;

    if (p == NULL) {
        gather_free(&g);
        return NULL;
    }
    w = writer_new(journal);
    w->place = p;
    w->scratch = snapshot_place_folder(p);
    w->redaction = g.redaction;
    g.redaction = (struct redaction){ 0 };
    gather_free(&g);
    memcpy(w->name, name, sizeof name);
    if (say_terms(w, why) == 0)
        return w;
    unlinkat(w->scratch, name, 0);
    writer_free(w);
    return NULL;
}

struct snapshot_writer *snapshot_writer_open_journal(int journal_fd, int scratch_fd, struct slice line,
                                                     const struct snapshot_options *o, struct fault *why)
{
    struct snapshot_writer *w;
    json_t                 *json = line.ptr != NULL ? json_loadb(line.ptr, line.len, 0, NULL) : NULL;
    int                     own = fcntl(journal_fd, F_DUPFD_CLOEXEC, 3), result = -1;

    if (own < 0) {
        json_decref(json);
        fault_set_errno(why, errno, "the recording's file");
        return NULL;
    }
    w = writer_new(own);
    w->scratch = fcntl(scratch_fd, F_DUPFD_CLOEXEC, 3); /* whose it is may go first */
    if (redaction_open(&w->redaction, o, why) == 0 && (json == NULL || redaction_read(&w->redaction, json, why) == 0))
        result = say_terms(w, why);
    json_decref(json);
    if (result == 0)
        return w;
    writer_free(w);
    return NULL;
}

void snapshot_writer_tell(struct snapshot_writer *w, snapshot_keeps tell, void *context)
{
    w->tell = tell;
    w->context = context;
}

/* Its own is nobody's from here on, and is taken over with those of the killed. */
static int fold_own(struct snapshot_writer *w, size_t *taken_out, struct fault *why)
{
    size_t added;
    int    result;

    flock(w->scratch, LOCK_EX);
    close(w->journal.fd);
    w->journal.fd = -1;
    result = fold_place(w->place, w->secrets, w->name, &added, taken_out, why);
    flock(w->scratch, LOCK_UN);
    return result;
}

enum snapshot_kept snapshot_writer_close(struct snapshot_writer *w, size_t *written, struct fault *why)
{
    size_t own = 0, others = 0;
    int    result = sift_marked(&w->journal, w->secrets, w->marks, w->mark_count, &own, why);

    if (w->place != NULL && result == 0) {
        others = own;
        result = fold_own(w, &others, why);
    }
    if (written != NULL)
        *written = w->mark_count - own;
    writer_free(w);
    if (result != 0)
        return SNAPSHOT_FAILED;
    return own > 0 || others > 0 ? SNAPSHOT_SECRET : SNAPSHOT_KEPT;
}
