/*
 * See backup.h.
 *
 * To put back, everything is copied first into a folder of the directory itself; then what was there is moved
 * aside and the copy into its place, by renames, which a full disk cannot stop halfway.
 */
#include "store/backup.h"

#include "base/arena.h"
#include "base/clock.h"
#include "base/files.h"
#include "db/db.h"
#include "store/internal.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DEPTH_MOST = 4, PIECE_BYTES = 1 << 20 };
static const char coming[] = "restoring";

struct backup_tree {
    int                from, to;
    bool               is_database_apart; /* data.mdb is copied in another way */
    uid_t              uid;               /* whose the copies are to be; (uid_t)-1: who makes them */
    gid_t              gid;
    struct backup_size size;
    struct fault      *why;
};

/* -- files -- */

static int copy_bytes(int from, int to, uint64_t *bytes)
{
    static char buffer[65536];
    ssize_t     n = 0;

    while ((n = copy_file_range(from, NULL, to, NULL, PIECE_BYTES, 0)) > 0)
        *bytes += (uint64_t)n;
    if (n == 0)
        return 0;
    if (errno != EXDEV && errno != EINVAL && errno != EOPNOTSUPP && errno != ENOSYS)
        return -1;
    while ((n = read(from, buffer, sizeof buffer)) > 0) {
        if (write(to, buffer, (size_t)n) != n)
            return -1;
        *bytes += (uint64_t)n;
    }
    return n < 0 ? -1 : 0;
}

static int give(const struct backup_tree *t, int fd)
{
    return t->uid == (uid_t)-1 ? 0 : fchown(fd, t->uid, t->gid);
}

static int copy_file(struct backup_tree *t, int from_dir, int to_dir, const char *name)
{
    int from = file_open(from_dir, name, O_RDONLY, 0), to, rc;

    if (from < 0 && errno == ENOENT)
        return 0; /* it has gone: a record less */
    if (from < 0)
        return fault_set_errno(t->why, errno, "cannot read %s", name);
    to = file_open(to_dir, name, O_WRONLY | O_CREAT | O_EXCL, 0600);
    rc = to < 0 || copy_bytes(from, to, &t->size.bytes) != 0 || give(t, to) != 0 || fsync(to) != 0
             ? fault_set_errno(t->why, errno, "cannot copy %s", name)
             : 0;
    t->size.files++;
    close(from);
    if (to >= 0)
        close(to);
    return rc;
}

/* Of this process, of one start, or what was set aside and is kept for a person to look at. */
static bool is_left_out(const struct backup_tree *t, const char *name)
{
    static const char *const names[] = { ".", "..", "lock", "lock.mdb", "starting", "run", "restoring" };

    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return (t->is_database_apart && strcmp(name, "data.mdb") == 0) || strstr(name, ".damaged-") != NULL ||
           strncmp(name, "before-restore-", strlen("before-restore-")) == 0;
}

static int open_folder(int at, const char *name)
{
    return openat(at, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static int copy_folder(struct backup_tree *t, int from, int to, unsigned depth);

static int copy_below(struct backup_tree *t, int from_dir, int to_dir, const char *name, unsigned depth)
{
    int from = open_folder(from_dir, name), to = -1, rc = 0;

    if (from < 0 && errno == ENOENT)
        return 0;
    if (from < 0 || mkdirat(to_dir, name, 0700) != 0 || (to = open_folder(to_dir, name)) < 0 || give(t, to) != 0)
        rc = fault_set_errno(t->why, errno, "cannot copy the folder %s", name);
    if (rc == 0)
        rc = copy_folder(t, from, to, depth + 1);
    if (from >= 0)
        close(from);
    if (to >= 0)
        close(to);
    return rc;
}

/* Regular files and folders; a link would lead elsewhere, and a socket is nothing to keep. */
static int copy_folder(struct backup_tree *t, int from, int to, unsigned depth)
{
    DIR           *dir = fdopendir(dup(from));
    struct dirent *e;
    struct stat    st;
    int            rc = 0;

    if (dir == NULL)
        return fault_set_errno(t->why, errno, "cannot read a folder");
    rewinddir(dir);
    while (rc == 0 && (e = readdir(dir)) != NULL) {
        if ((depth == 0 && is_left_out(t, e->d_name)) || strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (depth == 1 && strcmp(e->d_name, "marks") == 0)
            continue; /* of jobs that were sent by then: what was sent since, no copy knows (jobs/jobs.c) */
        if (fstatat(from, e->d_name, &st, AT_SYMLINK_NOFOLLOW) != 0)
            continue;
        if (S_ISREG(st.st_mode))
            rc = copy_file(t, from, to, e->d_name);
        else if (S_ISDIR(st.st_mode) && depth < DEPTH_MOST)
            rc = copy_below(t, from, to, e->d_name, depth);
    }
    closedir(dir);
    return rc;
}

/* -- taking -- */

static int copy_database(const char *directory, int into_fd, struct backup_size *size, struct fault *why)
{
    struct stat st;
    int         fd = file_open(into_fd, "data.mdb", O_WRONLY | O_CREAT | O_EXCL, 0600), rc;

    if (fd < 0)
        return fault_set_errno(why, errno, "cannot write the copy of %s", directory);
    rc = db_copy(directory, fd, why);
    if (rc == 0 && fsync(fd) != 0)
        rc = fault_set_errno(why, errno, "cannot write the copy of %s", directory);
    if (fstat(fd, &st) == 0)
        size->bytes += (uint64_t)st.st_size;
    size->files++;
    close(fd);
    return rc;
}

int backup_take(const char *directory, int into_fd, struct backup_size *size, struct fault *why)
{
    struct backup_tree t = { .to = into_fd, .is_database_apart = true, .uid = (uid_t)-1, .why = why };
    int                rc;

    *size = (struct backup_size){ 0 };
    t.from = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (t.from < 0)
        return fault_set_errno(why, errno, "cannot read %s", directory);
    rc = copy_database(directory, into_fd, size, why);
    if (rc == 0)
        rc = copy_folder(&t, t.from, into_fd, 0);
    size->files += t.size.files;
    size->bytes += t.size.bytes;
    close(t.from);
    return rc == 0 && fsync(into_fd) != 0 ? fault_set_errno(why, errno, "cannot write the copy of %s", directory) : rc;
}

/* -- what a copy is -- */

struct backup_format {
    char     name[80];
    uint32_t format;
};

/* Each row "format..." of the table of what the database says of itself must be one that is known, and no newer. */
static int check_rows(struct db_txn *txn, const char *copy, const struct backup_format *known, unsigned count,
                      struct fault *why)
{
    struct db_cursor *cursor;
    struct slice      key = SLICE("format"), value;
    db_table          meta;
    enum db_result    r = db_table_open(txn, "meta", 0, &meta);
    int               rc = 0;

    if (r == DB_OK)
        r = db_cursor_open(txn, meta, &cursor);
    if (r != DB_OK)
        return fault_set(why, "%s is no copy of weir's", copy);
    for (r = db_cursor_move(cursor, DB_AT_OR_AFTER, &key, &value);
         rc == 0 && r == DB_OK && slice_starts_with(key, SLICE("format"));
         r = db_cursor_move(cursor, DB_NEXT, &key, &value)) {
        uint32_t format = 0;
        unsigned i = 0;

        if (value.len == sizeof format)
            memcpy(&format, value.ptr, sizeof format);
        while (i < count && !slice_eq(key, slice_of(known[i].name)))
            i++;
        if (i == count || format == 0 || format > known[i].format)
            rc = fault_set(why,
                           "%s is of a newer weir (\"" SLICE_FMT "\" is %u, this version knows %u): use that version",
                           copy, SLICE_ARG(key), (unsigned)format, i < count ? (unsigned)known[i].format : 0);
    }
    db_cursor_close(cursor);
    return rc;
}

static int check(const char *copy, const struct backup_format *known, unsigned count, struct fault *why)
{
    struct db     *db;
    struct db_txn *txn;
    int            rc;

    if (db_open(copy, 0, 16, 4, DB_EXISTING | DB_READ_ONLY, &db, why) != DB_OPENED)
        return -1;
    if (db_begin(db, false, &txn) != DB_OK) {
        rc = fault_set(why, "the database in %s cannot be read: %s", copy, db_reason(db));
    } else {
        rc = check_rows(txn, copy, known, count, why);
        db_abort(txn);
    }
    db_close(db);
    return rc;
}

int backup_check_cache(const char *copy, struct fault *why)
{
    const struct backup_format known = { "format", STORE_FORMAT };

    return check(copy, &known, 1, why);
}

int backup_check_state(const char *copy, const struct state_owner *const owners[], struct fault *why)
{
    struct backup_format known[16] = { { "format", STATE_FORMAT } };
    unsigned             count = 1;

    for (unsigned i = 0; owners[i] != NULL && count < 16; i++, count++) {
        snprintf(known[count].name, sizeof known[count].name, "format %s", owners[i]->table);
        known[count].format = owners[i]->format;
    }
    return check(copy, known, count, why);
}

/* -- putting back -- */

static int lock_directory(struct backup_target *b, struct fault *why)
{
    char    text[32] = "";
    ssize_t n;

    if (mkdir(b->directory, 0700) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, "cannot make the directory %s", b->directory);
    b->fd = open(b->directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (b->fd < 0)
        return fault_set_errno(why, errno, "cannot open the directory %s", b->directory);
    b->lock_fd = file_open(b->fd, "lock", O_RDWR | O_CREAT, 0600);
    if (b->lock_fd < 0)
        return fault_set_errno(why, errno, "cannot write in the directory %s", b->directory);
    if (flock(b->lock_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    n = pread(b->lock_fd, text, sizeof text - 1, 0);
    text[n > 0 ? (size_t)n : 0] = '\0';
    return fault_set(why, "%s is in use by weir (pid %.*s): stop it first, and its sockets", b->directory,
                     (int)strcspn(text, "\n"), text);
}

/* A copy that was broken off, by this call or by an earlier one. */
static void remove_folder(int at, const char *name, unsigned depth)
{
    int            fd = open_folder(at, name);
    DIR           *dir = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0)
            continue;
        if (unlinkat(dirfd(dir), e->d_name, 0) != 0 && depth <= DEPTH_MOST)
            remove_folder(dirfd(dir), e->d_name, depth + 1);
    }
    if (dir != NULL)
        closedir(dir);
    unlinkat(at, name, AT_REMOVEDIR);
}

static int copy_in(struct backup_target *b, struct fault *why)
{
    struct backup_tree t = { .from = b->from_fd, .uid = (uid_t)-1, .why = why };
    struct stat        st;
    int                rc;

    if (geteuid() == 0 && fstat(b->fd, &st) == 0) {
        t.uid = st.st_uid;
        t.gid = st.st_gid;
    }
    remove_folder(b->fd, coming, 0);
    if (mkdirat(b->fd, coming, 0700) != 0 || (t.to = open_folder(b->fd, coming)) < 0)
        return fault_set_errno(why, errno, "cannot make a folder in %s", b->directory);
    rc = give(&t, b->lock_fd) != 0 ? fault_set_errno(why, errno, "cannot give %s to its owner", b->directory)
                                   : copy_folder(&t, t.from, t.to, 0);
    b->size = t.size;
    close(t.to);
    return rc;
}

/* Every entry of one folder into another but the lock. -1 and errno. */
static int move_all(int from, int to, const char *except)
{
    DIR           *dir = fdopendir(dup(from));
    struct dirent *e;
    int            rc = 0;

    if (dir == NULL)
        return -1;
    rewinddir(dir);
    while (rc == 0 && (e = readdir(dir)) != NULL) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, "lock") == 0 ||
            strcmp(e->d_name, coming) == 0 || strcmp(e->d_name, except) == 0 ||
            strncmp(e->d_name, "before-restore-", strlen("before-restore-")) == 0)
            continue;
        rc = renameat(from, e->d_name, to, e->d_name);
    }
    closedir(dir);
    return rc;
}

static bool has_database(const struct backup_target *b)
{
    return faccessat(b->fd, "data.mdb", F_OK, AT_SYMLINK_NOFOLLOW) == 0;
}

/* Renames alone. */
static int exchange(struct backup_target *b, struct fault *why)
{
    int  in = open_folder(b->fd, coming), aside = -1, rc = 0;
    bool had = has_database(b);

    if (had) {
        snprintf(b->aside, sizeof b->aside, "before-restore-%lld", (long long)(clock_wall_ns() / NS_PER_SEC));
        if (mkdirat(b->fd, b->aside, 0700) != 0 || (aside = open_folder(b->fd, b->aside)) < 0)
            rc = fault_set_errno(why, errno, "cannot make a folder in %s", b->directory);
    }
    unlinkat(b->fd, "lock.mdb", 0); /* of readers that are no more */
    if (rc == 0 && had && move_all(b->fd, aside, "run") != 0)
        rc = fault_set_errno(why, errno, "cannot move what is in %s aside", b->directory);
    if (rc == 0 && (in < 0 || move_all(in, b->fd, "") != 0))
        rc = fault_set_errno(why, errno, "cannot move the copy into %s", b->directory);
    if (in >= 0)
        close(in);
    if (aside >= 0)
        close(aside);
    remove_folder(b->fd, coming, 0);
    return rc == 0 && fsync(b->fd) != 0 ? fault_set_errno(why, errno, "cannot write in %s", b->directory) : rc;
}

int backup_put_back(struct backup_target *targets, unsigned count, struct fault *why)
{
    int rc = 0;

    for (unsigned i = 0; i < count; i++) {
        targets[i].fd = targets[i].lock_fd = -1;
        targets[i].aside[0] = '\0';
    }
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = lock_directory(&targets[i], why);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = copy_in(&targets[i], why);
    for (unsigned i = 0; rc != 0 && i < count; i++)
        if (targets[i].fd >= 0)
            remove_folder(targets[i].fd, coming, 0);
    for (unsigned i = 0; rc == 0 && i < count; i++)
        rc = exchange(&targets[i], why);
    for (unsigned i = 0; i < count; i++) {
        if (targets[i].fd >= 0)
            close(targets[i].fd);
        if (targets[i].lock_fd >= 0)
            close(targets[i].lock_fd);
    }
    return rc;
}
