/*
 * Body files and the sweep.
 *
 * A spool's unnamed file is given a name by linkat() through /proc; where that
 * does not work (no O_TMPFILE, no /proc, another file system) and for bodies
 * that stand in memory, the bytes are written to the file of that name.  It
 * is no body before its record is committed, so half a file is an orphan too.
 */
#include "store/bodies.h"

#include <xxhash.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { DIRECTORIES = 256, NAME_BYTES = 32, COPY_BYTES = 64 * 1024, PIECE_BYTES = 256 * 1024 };

int bodies_open(int directory_fd, struct fault *why)
{
    struct stat st;
    int         fd;

    if (fstatat(directory_fd, "bodies", &st, AT_SYMLINK_NOFOLLOW) == 0 && !S_ISDIR(st.st_mode))
        unlinkat(directory_fd, "bodies", 0); /* a link is not followed */
    if (mkdirat(directory_fd, "bodies", 0700) != 0 && errno != EEXIST)
        return fault_set_errno(why, errno, "cannot make the directory \"bodies\" in the cache");
    fd = openat(directory_fd, "bodies", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return fault_set_errno(why, errno, "cannot open the directory \"bodies\" in the cache");
    return fd;
}

int bodies_open_existing(int directory_fd)
{
    return openat(directory_fd, "bodies", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static void make_name(uint64_t number, char name[NAME_BYTES])
{
    snprintf(name, NAME_BYTES, "%02x/%016" PRIx64, (unsigned)(number % DIRECTORIES), number);
}

static int make_directory_of(int bodies_fd, uint64_t number)
{
    char name[NAME_BYTES];

    snprintf(name, sizeof name, "%02x", (unsigned)(number % DIRECTORIES));
    return mkdirat(bodies_fd, name, 0700) == 0 || errno == EEXIST ? 0 : errno;
}

static int write_whole(int fd, const char *bytes, size_t count)
{
    while (count > 0) {
        ssize_t n = write(fd, bytes, count);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 ? errno : ENOSPC;
        bytes += n;
        count -= (size_t)n;
    }
    return 0;
}

static int copy_spool(int fd, const struct spool *s)
{
    char   *buffer = malloc(COPY_BYTES);
    int64_t at = 0, length = spool_length(s);
    int     err = buffer != NULL ? 0 : ENOMEM;

    while (err == 0 && at < length) {
        ssize_t n = spool_peek(s, at, buffer, COPY_BYTES);

        err = n > 0 ? write_whole(fd, buffer, (size_t)n) : EIO;
        at += n;
    }
    free(buffer);
    return err;
}

static int write_file(int bodies_fd, const char *name, const struct spool *s)
{
    int fd = openat(bodies_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    int err;

    if (fd < 0)
        return errno;
    err = copy_spool(fd, s);
    if (close(fd) != 0 && err == 0)
        err = errno;
    if (err != 0)
        unlinkat(bodies_fd, name, 0);
    return err;
}

static int link_file(int bodies_fd, const char *name, int fd)
{
    char from[NAME_BYTES];

    if (fd < 0)
        return EBADF;
    snprintf(from, sizeof from, "/proc/self/fd/%d", fd);
    return linkat(AT_FDCWD, from, bodies_fd, name, AT_SYMLINK_FOLLOW) == 0 ? 0 : errno;
}

static int make_file(int bodies_fd, const char *name, const struct spool *s)
{
    int err = link_file(bodies_fd, name, spool_file(s));

    return err == 0 || err == EEXIST || err == ENOSPC || err == EDQUOT ? err : write_file(bodies_fd, name, s);
}

/* -- what proves a file -- */

/* Another file of that name, and one that was written to, has another mark; so has a copy. */
static uint64_t mark_of(const struct stat *st)
{
    const uint64_t time_ns = (uint64_t)st->st_mtim.tv_sec * 1000000000u + (uint64_t)st->st_mtim.tv_nsec;

    return (((uint64_t)st->st_ino * 0x9E3779B97F4A7C15u) ^ time_ns) | 1;
}

/* False where it cannot be read to `bytes` and its end, or `go_on` says no. */
static bool sum_of(int fd, int64_t bytes, uint64_t *sum, bool (*go_on)(void *context), void *context)
{
    XXH3_state_t *state = XXH3_createState();
    char         *buffer = malloc(PIECE_BYTES);
    int64_t       at = 0;
    bool          whole = state != NULL && buffer != NULL;

    if (whole)
        XXH3_64bits_reset(state);
    while (whole && at < bytes) {
        ssize_t n = pread(fd, buffer, PIECE_BYTES, (off_t)at);

        if (n < 0 && errno == EINTR)
            continue;
        whole = n > 0 && (go_on == NULL || go_on(context));
        if (whole) {
            XXH3_64bits_update(state, buffer, (size_t)n);
            at += n;
        }
    }
    if (whole)
        *sum = XXH3_64bits_digest(state);
    XXH3_freeState(state);
    free(buffer);
    return whole && at == bytes;
}

static int open_body(int bodies_fd, uint64_t number, int64_t bytes, struct stat *st)
{
    char name[NAME_BYTES];
    int  fd;

    make_name(number, name);
    fd = openat(bodies_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    if (fd >= 0 && (fstat(fd, st) != 0 || !S_ISREG(st->st_mode) || st->st_size != bytes)) {
        close(fd);
        fd = -1;
    }
    return fd;
}

static int prove(int bodies_fd, uint64_t number, const struct spool *s, struct body_proof *proof)
{
    struct stat st;
    int         fd = open_body(bodies_fd, number, spool_length(s), &st);
    bool        whole = fd >= 0 && sum_of(fd, spool_length(s), &proof->sum, NULL, NULL);

    if (fd >= 0)
        close(fd);
    if (whole) {
        proof->mark = mark_of(&st);
        return 0;
    }
    bodies_remove(bodies_fd, number);
    return EIO;
}

int bodies_link(int bodies_fd, uint64_t number, const struct spool *s, struct body_proof *proof)
{
    char name[NAME_BYTES];
    int  err;

    if (spool_is_pass(s) || spool_ended(s) != SPOOL_WHOLE)
        return ENODATA;
    make_name(number, name);
    err = make_file(bodies_fd, name, s);
    if (err == ENOENT && (err = make_directory_of(bodies_fd, number)) == 0)
        err = make_file(bodies_fd, name, s);
    return err == 0 ? prove(bodies_fd, number, s, proof) : err;
}

/* Files that are not as they were left, and were found right: each is read once. */
static bool is_known(uint64_t number, const struct stat *st, bool learn)
{
    static _Atomic uint64_t known[256];
    const uint64_t          name = number * 0xC2B2AE3D27D4EB4Fu ^ mark_of(st);
    _Atomic uint64_t       *place = &known[name >> 56];

    if (learn)
        atomic_store_explicit(place, name, memory_order_relaxed);
    return atomic_load_explicit(place, memory_order_relaxed) == name;
}

int bodies_read(int bodies_fd, uint64_t number, int64_t bytes, const struct body_proof *proof)
{
    struct stat st;
    uint64_t    sum;
    int         fd = open_body(bodies_fd, number, bytes, &st);

    if (fd < 0 || proof->mark == 0 || proof->mark == mark_of(&st) || is_known(number, &st, false))
        return fd;
    if (sum_of(fd, bytes, &sum, NULL, NULL) && sum == proof->sum) {
        is_known(number, &st, true);
        return fd;
    }
    close(fd);
    return -1;
}

enum body_state bodies_verify(int bodies_fd, uint64_t number, int64_t bytes, uint64_t sum, bool (*go_on)(void *context),
                              void *context)
{
    struct stat st;
    uint64_t    found;
    int         fd = open_body(bodies_fd, number, bytes, &st);
    bool        whole;

    if (fd < 0)
        return BODY_UNKNOWN;
    whole = sum_of(fd, bytes, &found, go_on, context);
    close(fd);
    return !whole ? BODY_UNKNOWN : found == sum ? BODY_RIGHT : BODY_WRONG;
}

void bodies_remove(int bodies_fd, uint64_t number)
{
    char name[NAME_BYTES];

    make_name(number, name);
    unlinkat(bodies_fd, name, 0);
}

/* -- the sweep -- */

void sweep_begin(struct sweep *w, int bodies_fd, uint64_t below)
{
    sweep_end(w);
    *w = (struct sweep){ .running = true, .bodies_fd = bodies_fd, .below = below };
}

void sweep_end(struct sweep *w)
{
    if (w->open != NULL)
        closedir(w->open);
    w->open = NULL;
    w->running = false;
}

static DIR *open_directory(int bodies_fd, unsigned directory)
{
    char name[NAME_BYTES];
    DIR *open;
    int  fd;

    snprintf(name, sizeof name, "%02x", directory);
    fd = openat(bodies_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    open = fd >= 0 ? fdopendir(fd) : NULL;
    if (open == NULL && fd >= 0)
        close(fd);
    return open;
}

/* 0: not one of ours. */
static uint64_t number_of(const char *name, unsigned directory)
{
    char    *end;
    uint64_t number = strtoull(name, &end, 16);

    return *end == '\0' && strlen(name) == 16 && number % DIRECTORIES == directory ? number : 0;
}

unsigned sweep_step(struct sweep *w, uint64_t *numbers, unsigned at_most)
{
    unsigned found = 0;

    for (unsigned looked_at = 0; looked_at < at_most && w->running; looked_at++) {
        const struct dirent *entry;

        if (w->open == NULL && (w->open = open_directory(w->bodies_fd, w->directory)) == NULL) {
            w->running = ++w->directory < DIRECTORIES;
            continue;
        }
        entry = readdir(w->open);
        if (entry != NULL) {
            uint64_t number = number_of(entry->d_name, w->directory);

            if (number != 0 && number < w->below)
                numbers[found++] = number;
            continue;
        }
        closedir(w->open);
        w->open = NULL;
        w->running = ++w->directory < DIRECTORIES;
    }
    return found;
}

uint64_t bodies_highest(int bodies_fd)
{
    uint64_t highest = 0;

    for (unsigned directory = 0; directory < DIRECTORIES; directory++) {
        DIR                 *open = open_directory(bodies_fd, directory);
        const struct dirent *entry;

        while (open != NULL && (entry = readdir(open)) != NULL) {
            uint64_t number = number_of(entry->d_name, directory);

            if (number > highest)
                highest = number;
        }
        if (open != NULL)
            closedir(open);
    }
    return highest;
}
