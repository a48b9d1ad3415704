/*
 * See place.h.
 *
 * The marker ("starting") is made before LMDB sees the file and goes some minutes later: LMDB
 * asserts or faults on a damaged page, perhaps at once and perhaps at the first write, and nothing can be caught
 * in the process.  So a start that finds the marker reads every page first, and a damaged file
 * stops it once, not for ever.
 */
#include "db/place.h"

#include "base/arena.h"
#include "base/files.h"
#include "db/pages.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

enum { PATH_BYTES = 4096 };
/* So little is checked at every start: some hundredths of a second. */
#define CHECKED_BYTES (UINT64_C(64) * 1024 * 1024)
static const char marker[] = "starting";

static int make_directory(const char *path, struct fault *why)
{
    char partial[PATH_BYTES];

    if (snprintf(partial, sizeof partial, "%s", path) >= (int)sizeof partial)
        return fault_set_errno(why, ENAMETOOLONG, "%.200s...", path);
    for (char *p = partial + 1; *p != '\0'; p++) {
        if (*p != '/')
            continue;
        *p = '\0';
        if (mkdir(partial, 0755) != 0 && errno != EEXIST && errno != EROFS && errno != EACCES)
            return fault_set_errno(why, errno, "cannot make the directory %s", partial);
        *p = '/';
    }
    if (mkdir(path, 0700) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, "cannot make the directory %s", path);
    return 0;
}

/* Who may write there may put words into our mouth. */
static int look_at_owner(int fd, const char *path, unsigned flags, struct fault *why)
{
    const mode_t forbidden = (flags & DB_PRIVATE) != 0 ? S_IWGRP | S_IWOTH : S_IWOTH;
    struct stat  st;

    if (fstat(fd, &st) != 0)
        return fault_set_errno(why, errno, "cannot look at the directory %s", path);
    if (st.st_uid != geteuid() && (flags & DB_EXISTING) != 0)
        return fault_set(why, "the directory %s belongs to user %ld: ask as that user, or as root", path,
                         (long)st.st_uid);
    if (st.st_uid != geteuid())
        return fault_set(why,
                         "the directory %s belongs to user %ld, but weir runs as user %ld: give it to that user "
                         "(chown), or name another directory",
                         path, (long)st.st_uid, (long)geteuid());
    if ((st.st_mode & forbidden) != 0)
        return fault_set(why, "the directory %s may be written by others (mode %04o): take that away (chmod go-w)",
                         path, (unsigned)st.st_mode & 07777);
    return 0;
}

/* What stands there and is no file goes: nobody can hold it as a lock. */
static int open_lock(int directory_fd)
{
    int fd = file_open(directory_fd, "lock", O_RDWR | O_CREAT, 0600);

    if (fd < 0 && file_is_something_else(errno) && unlinkat(directory_fd, "lock", 0) == 0)
        fd = file_open(directory_fd, "lock", O_RDWR | O_CREAT, 0600);
    return fd;
}

/* Takes the lock and writes down who holds it, but where nothing is to be changed. */
static enum db_open_result take_lock(struct place *p, struct fault *why)
{
    char    text[32] = "";
    ssize_t n;

    p->lock_fd = p->is_read_only ? file_open(p->directory_fd, "lock", O_RDONLY, 0) : open_lock(p->directory_fd);
    if (p->lock_fd < 0 && p->is_read_only && errno == ENOENT)
        return DB_OPENED; /* no weir has ever had it here: a copy */
    if (p->lock_fd < 0) {
        fault_set_errno(why, errno, "cannot write in the directory %s", p->path);
        return DB_UNUSABLE;
    }
    if (flock(p->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK) {
            fault_set_errno(why, errno, "cannot lock the directory %s", p->path);
            return DB_UNUSABLE;
        }
        n = pread(p->lock_fd, text, sizeof text - 1, 0);
        text[n > 0 ? (size_t)n : 0] = '\0';
        fault_set(why, "%s is in use by another weir (pid %ld)", p->path, strtol(text, NULL, 10));
        return DB_HELD;
    }
    if (p->is_read_only)
        return DB_OPENED;
    n = snprintf(text, sizeof text, "%ld\n", (long)getpid());
    if (ftruncate(p->lock_fd, 0) != 0 || pwrite(p->lock_fd, text, (size_t)n, 0) != n) {
        fault_set_errno(why, errno, "cannot write in the directory %s", p->path);
        return DB_UNUSABLE;
    }
    return DB_OPENED;
}

enum db_open_result place_open(struct place *p, const char *directory, unsigned flags, struct fault *why)
{
    *p = (struct place){ .path = mem_copy(slice_of(directory)),
                         .directory_fd = -1,
                         .lock_fd = -1,
                         .is_private = (flags & DB_PRIVATE) != 0,
                         .exists = (flags & DB_EXISTING) != 0,
                         .is_read_only = (flags & DB_READ_ONLY) != 0 };
    if (!p->exists && make_directory(directory, why) != 0)
        return DB_UNUSABLE;
    p->directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (p->directory_fd < 0) {
        fault_set_errno(why, errno, "cannot open the directory %s", directory);
        return DB_UNUSABLE;
    }
    if (look_at_owner(p->directory_fd, directory, flags, why) != 0)
        return DB_UNUSABLE;
    if (p->exists && faccessat(p->directory_fd, "data.mdb", F_OK, AT_SYMLINK_NOFOLLOW) != 0 && errno == ENOENT) {
        fault_set(why, "there is no database in %s", p->path);
        return DB_UNUSABLE;
    }
    return take_lock(p, why);
}

/* LMDB's own lock file says nothing that outlives its process. */
static void clear_readers(int directory_fd)
{
    int fd = file_open(directory_fd, "lock.mdb", O_RDWR, 0);

    if (fd >= 0)
        close(fd);
    else if (errno != ENOENT)
        unlinkat(directory_fd, "lock.mdb", 0);
}

static void mark(struct place *p)
{
    int fd = openat(p->directory_fd, marker, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);

    if (fd >= 0)
        close(fd);
    p->is_marked = fd >= 0 || errno == EEXIST;
}

enum db_open_result place_check(struct place *p, struct fault *why)
{
    const bool          survived = faccessat(p->directory_fd, marker, F_OK, AT_SYMLINK_NOFOLLOW) != 0;
    enum db_open_result result = DB_OPENED;
    struct fault        damage;
    struct stat         st;
    int                 fd = file_open(p->directory_fd, "data.mdb", p->is_read_only ? O_RDONLY : O_RDWR, 0);

    if (fd < 0 && file_is_something_else(errno)) {
        fault_set(why, "the database in %s is damaged: data.mdb is no regular file", p->path);
        return DB_DAMAGED;
    }
    if (fd < 0 && (errno != ENOENT || p->exists)) {
        fault_set_errno(why, errno, "cannot open the database in %s", p->path);
        return DB_UNUSABLE;
    }
    if (fd >= 0 && p->is_private && fstat(fd, &st) == 0 && st.st_size == 0) {
        fault_set(why, "the database in %s is damaged: it is empty", p->path);
        result = DB_DAMAGED;
    } else if (fd >= 0 && (!survived || pages_bytes_in_use(fd) <= CHECKED_BYTES) && !pages_are_sound(fd, &damage)) {
        fault_set(why, "the database in %s is damaged: %s", p->path, damage.text);
        result = DB_DAMAGED;
    }
    if (fd >= 0)
        close(fd);
    if (result != DB_OPENED)
        return result;
    if (p->is_read_only)
        return DB_OPENED;
    clear_readers(p->directory_fd);
    mark(p);
    return DB_OPENED;
}

void place_settle(struct place *p)
{
    if (p->is_marked)
        unlinkat(p->directory_fd, marker, 0);
    p->is_marked = false;
}

static bool is_same_file(int fd, const char *path)
{
    struct stat ours, there;

    return fstat(fd, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev &&
           ours.st_ino == there.st_ino;
}

void place_leave(struct place *p)
{
    char path[PATH_BYTES], readers[PATH_BYTES];

    if (snprintf(path, sizeof path, "%s/lock", p->path) >= (int)sizeof path || !is_same_file(p->lock_fd, path))
        return;
    snprintf(readers, sizeof readers, "%s/lock.mdb", p->path);
    p->is_marked = false; /* the next one's marker may have that name */
    unlink(readers);      /* LMDB in this process may not open it twice */
    unlink(path);
}

void place_close(struct place *p)
{
    if (p->lock_fd >= 0)
        close(p->lock_fd);
    if (p->directory_fd >= 0)
        close(p->directory_fd);
    free(p->path);
}
