/*
 * What was kept becomes one sorted file, and bodies of their own.
 *
 * Journals whose writers are gone are taken over, so what was recorded before a kill is found by the next; those of
 * writers at work are locked, and stay.  The bodies come first, then the new file takes the place of the old one at
 * once, and only then the journals go: after a kill between the two an exchange is in both, which gather.c sees.
 */
#include "snapshot/writer.h"

#include "base/clock.h"
#include "base/files.h"

#include <sodium.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024, ID_HEX = 16 };

/* ---- the folder ---- */

typedef void (*of_entry)(void *context, const char *name);

static void each_entry(int folder, of_entry tell, void *context)
{
    int            fd = openat(folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *d = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    while (d != NULL && (entry = readdir(d)) != NULL)
        tell(context, entry->d_name);
    if (d != NULL)
        closedir(d);
    else if (fd >= 0)
        close(fd);
}

struct adopted {
    char name[JOURNAL_NAME_BYTES];
    int  fd; /* locked */
};

struct folding {
    int                   folder, bodies;
    struct snapshot_lines lines;
    struct adopted       *adopted;
    size_t                count, room;
};

/* Those whose writers are gone. */
static void adopt(void *context, const char *name)
{
    struct folding *f = context;
    size_t          length = strlen(name);
    int             fd;

    if (!gather_is_journal(name) || length >= sizeof f->adopted->name)
        return;
    fd = file_open(f->folder, name, O_RDWR, 0);
    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
        if (fd >= 0)
            close(fd);
        return;
    }
    MEM_ROOM(f->adopted, f->room, f->count + 1);
    memcpy(f->adopted[f->count].name, name, length + 1);
    f->adopted[f->count++].fd = fd;
}

/* What a killed one was about to give a name; the lock says that nobody else is about to. */
static void drop_temporary(void *context, const char *name)
{
    const int *folder = context;

    if (name[0] == '.' && slice_ends_with(slice_of(name), SLICE(".new")))
        unlinkat(*folder, name, 0);
}

/* ---- the index ---- */

char *fold_first_line(const struct snapshot_lines *g)
{
    json_t *rest = redaction_line(&g->redaction),
           *first = json_pack("{s:i, s:I, s:O, s:O}", "weir", 1, "created", (json_int_t)g->created_ms, "match",
                              json_object_get(rest, "match"), "redacted", json_object_get(rest, "redacted"));
    char *text = json_dumps(first, 0);

    json_decref(first);
    json_decref(rest);
    return text;
}

static void write_text(FILE *f, const struct gathered_line *l)
{
    const char *seq = memmem(l->text.ptr, l->text.len, "\"seq\":", 6);
    size_t      from = seq != NULL ? (size_t)(seq - l->text.ptr) + 6 : l->text.len, to = from;

    while (to < l->text.len && (l->text.ptr[to] == ' ' || (l->text.ptr[to] >= '0' && l->text.ptr[to] <= '9')))
        to++;
    fwrite(l->text.ptr, 1, from, f);
    if (seq != NULL)
        fprintf(f, "%" PRIu64, l->seq);
    fwrite(l->text.ptr + to, 1, l->text.len - to, f);
    fputc('\n', f);
}

/* A file of another name at first, so that what is read is whole. */
static int open_new(int folder, char name[JOURNAL_NAME_BYTES])
{
    unsigned char random[ID_HEX / 2];
    char          hex[ID_HEX + 1];

    randombytes_buf(random, sizeof random);
    snprintf(name, JOURNAL_NAME_BYTES, ".%s.new", sodium_bin2hex(hex, sizeof hex, random, sizeof random));
    return openat(folder, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
}

int fold_write_index(int folder, const struct snapshot_lines *g, struct fault *why)
{
    char  temporary[JOURNAL_NAME_BYTES], *text;
    int   fd = open_new(folder, temporary);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool  good;

    if (f == NULL)
        return fault_set_errno(why, errno, INDEX_NAME " cannot be written");
    text = fold_first_line(g);
    fprintf(f, "%s\n", text);
    free(text);
    for (size_t i = 0; i < g->count; i++)
        write_text(f, &g->lines[i]);
    good = fflush(f) == 0 && fsync(fd) == 0;
    good = fclose(f) == 0 && good;
    if (good && renameat(folder, temporary, folder, INDEX_NAME) == 0)
        return 0;
    fault_set_errno(why, errno, INDEX_NAME " cannot be written");
    unlinkat(folder, temporary, 0);
    return -1;
}

/* ---- bodies ---- */

static bool copy_body(int from, const struct journal_body *b, int to)
{
    char *piece = mem_alloc_raw(PIECE_BYTES);
    bool  good = true;

    for (uint64_t at = 0; at < b->bytes && good;) {
        size_t count = b->bytes - at < PIECE_BYTES ? (size_t)(b->bytes - at) : PIECE_BYTES;

        good = journal_read_body(from, b, at, piece, count) && write(to, piece, count) == (ssize_t)count;
        at += count;
    }
    free(piece);
    return good;
}

static int keep_body(const struct folding *f, struct slice name, struct fault *why)
{
    char                temporary[JOURNAL_NAME_BYTES], final[HASH_HEX + 8];
    struct journal_body where;
    struct stat         st;
    int                 fd, from;
    bool                good;

    if (name.ptr == NULL || !gather_find_body(&f->lines, name, &from, &where))
        return 0;
    snprintf(final, sizeof final, SLICE_FMT, SLICE_ARG(name));
    if (fstatat(f->bodies, final, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISREG(st.st_mode) &&
        (uint64_t)st.st_size == where.bytes)
        return 0;
    fd = open_new(f->bodies, temporary);
    if (fd < 0)
        return fault_set_errno(why, errno, BODIES_NAME "/%s", final);
    errno = ENOSPC;
    good = copy_body(from, &where, fd);
    if (close(fd) == 0 && good && renameat(f->bodies, temporary, f->bodies, final) == 0)
        return 0;
    fault_set_errno(why, errno, BODIES_NAME "/%s", final);
    unlinkat(f->bodies, temporary, 0);
    return -1;
}

static int keep_bodies(struct folding *f, size_t *added, struct fault *why)
{
    for (size_t i = 0; i < f->lines.count; i++) {
        const struct gathered_line *l = &f->lines.lines[i];

        if (!l->of_journal)
            continue;
        ++*added;
        if (keep_body(f, l->body, why) != 0 || keep_body(f, l->came, why) != 0)
            return -1;
    }
    return 0;
}

/* ---- all of it ---- */

static int open_bodies(struct folding *f, struct fault *why)
{
    if (mkdirat(f->folder, BODIES_NAME, 0755) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, BODIES_NAME "/");
    f->bodies = openat(f->folder, BODIES_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return f->bodies >= 0 ? 0 : fault_set_errno(why, errno, BODIES_NAME "/");
}

static int sift_adopted(struct folding *f, const struct secrets_known *secrets, const char *sifted, size_t *taken_out,
                        struct fault *why)
{
    int result = 0;

    for (size_t i = 0; i < f->count && result == 0 && secrets != NULL; i++) {
        struct journal j = { .fd = f->adopted[i].fd };
        struct stat    st;

        if (strcmp(f->adopted[i].name, sifted) == 0 || fstat(j.fd, &st) != 0)
            continue;
        j.bytes = (uint64_t)st.st_size;
        result = sift_journal(&j, secrets, taken_out, why);
    }
    return result;
}

static int write_sorted(struct folding *f, struct snapshot_place *p, size_t *added, struct fault *why)
{
    struct fault inner = { .text = "" };
    int          result = gather_read_index(&f->lines, p, &inner);

    if (result == 0 && !f->lines.is_there)
        f->lines.created_ms = clock_wall_ns() / NS_PER_MS;
    for (size_t i = 0; i < f->count && result == 0; i++)
        result = gather_read_journal(&f->lines, f->adopted[i].fd, f->adopted[i].name, false, &inner);
    if (result == 0)
        result = keep_bodies(f, added, &inner);
    if (result == 0) {
        gather_sort(&f->lines);
        result = fold_write_index(f->folder, &f->lines, &inner);
    }
    if (result != 0)
        *why = inner;
    return result;
}

int fold_place(struct snapshot_place *p, const struct secrets_known *secrets, const char *sifted, size_t *added,
               size_t *taken_out, struct fault *why)
{
    struct folding f = { .folder = snapshot_place_folder(p), .bodies = -1 };
    int            result;

    *added = 0;
    if (gather_open(&f.lines, NULL, why) != 0)
        return -1;
    each_entry(f.folder, adopt, &f);
    result = open_bodies(&f, why);
    if (result == 0 && f.count == 0 && faccessat(f.folder, INDEX_NAME, F_OK, AT_SYMLINK_NOFOLLOW) == 0)
        goto out; /* there is nothing to be added */
    if (result == 0) {
        each_entry(f.folder, drop_temporary, &f.folder);
        each_entry(f.bodies, drop_temporary, &f.bodies);
        result = sift_adopted(&f, secrets, sifted, taken_out, why);
    }
    if (result == 0)
        result = write_sorted(&f, p, added, why);
out:
    for (size_t i = 0; i < f.count; i++) {
        if (result == 0)
            unlinkat(f.folder, f.adopted[i].name, 0);
        close(f.adopted[i].fd);
    }
    if (f.bodies >= 0)
        close(f.bodies);
    free(f.adopted);
    gather_free(&f.lines);
    return result;
}

int snapshot_fold(int folder_fd, size_t *added, struct fault *why)
{
    struct snapshot_place *p = snapshot_place_open(folder_fd, why);
    size_t                 count = 0, taken_out = 0;
    int                    result = -1;

    if (p == NULL)
        return -1;
    if (snapshot_place_folder(p) >= 0) {
        flock(snapshot_place_folder(p), LOCK_EX);
        result = fold_place(p, NULL, NULL, &count, &taken_out, why);
    } else {
        fault_set(why, "a zip cannot be recorded into: name a folder");
    }
    snapshot_place_close(p);
    if (added != NULL)
        *added = count;
    return result;
}
