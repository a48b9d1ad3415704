/*
 * A writer: a journal of its own in the folder, locked as long as it lives.  Whoever sorts the folder takes over the
 * journals that nobody holds any more, so what was recorded before a kill is found by the next.
 */
#include "snapshot/writer.h"

#include "base/clock.h"
#include "base/files.h"

#include <sodium.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

/* A folder of somebody's is not to be filled with a snapshot by a slip of the pen. */
static int check_empty(const struct snapshot_writer *w, struct fault *why)
{
    int            fd = openat(w->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), result = 0;
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
static int read_or_begin(struct snapshot_writer *w, const struct snapshot_options *o, struct fault *why)
{
    struct snapshot_lines g;
    int                   result = -1;

    why->text[0] = '\0';
    if (gather_open(&g, o, why) != 0)
        return -1;
    if (gather_read_index(&g, w->place, why) != 0)
        goto out;
    if (!g.is_there) {
        if (check_empty(w, why) != 0)
            goto out;
        g.created_ms = clock_wall_ns() / NS_PER_MS;
        if (sort_write_index(w, &g, why) != 0)
            goto out;
    }
    w->redaction = g.redaction;
    g.redaction = (struct redaction){ 0 };
    result = 0;
out:
    gather_free(&g);
    return result;
}

static void take_id(struct snapshot_writer *w)
{
    unsigned char random[WRITER_ID_HEX / 2];

    randombytes_buf(random, sizeof random);
    sodium_bin2hex(w->id, sizeof w->id, random, sizeof random);
}

static int begin_journal(struct snapshot_writer *w, struct fault *why)
{
    snprintf(w->journal, sizeof w->journal, JOURNAL_START "%s.jsonl", w->id);
    w->journal_fd = openat(w->folder, w->journal, O_WRONLY | O_APPEND | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
                           0644);
    if (w->journal_fd < 0)
        return fault_set_errno(why, errno, "nothing can be written into the folder");
    flock(w->journal_fd, LOCK_EX | LOCK_NB);
    if (mkdirat(w->folder, BODIES_NAME, 0755) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, BODIES_NAME "/");
    w->bodies = openat(w->folder, BODIES_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return w->bodies >= 0 ? 0 : fault_set_errno(why, errno, BODIES_NAME "/");
}

static void writer_free(struct snapshot_writer *w)
{
    if (w->journal_fd >= 0)
        close(w->journal_fd);
    if (w->bodies >= 0)
        close(w->bodies);
    secrets_known_close(w->secrets);
    redaction_free(&w->redaction);
    arena_free(&w->arena);
    free(w->lines);
    snapshot_place_close(w->place);
    free(w);
}

struct snapshot_writer *snapshot_writer_open(int fd, const struct snapshot_options *o, struct fault *why)
{
    struct snapshot_writer *w = mem_alloc(sizeof *w);
    int                     result;

    w->journal_fd = w->bodies = -1;
    w->secrets = secrets_known_open();
    w->place = snapshot_place_open(fd, why);
    w->folder = w->place != NULL ? snapshot_place_folder(w->place) : -1;
    if (w->place == NULL || w->folder < 0) {
        if (w->place != NULL)
            fault_set(why, "a zip cannot be recorded into: name a folder");
        writer_free(w);
        return NULL;
    }
    take_id(w);
    flock(w->folder, LOCK_EX);
    result = read_or_begin(w, o, why);
    if (result == 0)
        result = begin_journal(w, why);
    if (result != 0 && w->journal_fd >= 0)
        unlinkat(w->folder, w->journal, 0);
    flock(w->folder, LOCK_UN);
    if (result == 0)
        return w;
    writer_free(w);
    return NULL;
}

enum snapshot_kept snapshot_writer_close(struct snapshot_writer *w, size_t *written, struct fault *why)
{
    size_t taken_out = 0;
    int    result;

    flock(w->folder, LOCK_EX);
    result = sort_folder(w, &taken_out, why);
    flock(w->folder, LOCK_UN);
    if (written != NULL)
        *written = w->written - (taken_out < w->written ? taken_out : w->written);
    writer_free(w);
    if (result != 0)
        return SNAPSHOT_FAILED;
    return taken_out > 0 ? SNAPSHOT_SECRET : SNAPSHOT_KEPT;
}
