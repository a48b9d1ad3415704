/*
 * Where a snapshot is: a folder, a zip of it, or a journal that has all of it, by a descriptor.
 *
 * In a folder what is read is regular files alone, never what a link leads to: whoever passed the folder in may not
 * have the reader's rights.  A zip may hold the folder itself, as `zip -r` makes it, or what is in it.
 */
#include "snapshot/internal.h"

#include "base/files.h"
#include "snapshot/journal.h"

#include <zip.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { ZIPPED_MOST_BYTES = 1024 * 1024 * 1024, PIECE_BYTES = 64 * 1024 };

struct snapshot_place {
    int    folder;  /* -1: none */
    int    journal; /* -1: none */
    int    bodies;  /* its folder; -1: not opened yet, or not there */
    zip_t *zip;
    char  *prefix; /* of names in the zip */
};

static struct snapshot_place *place_new(void)
{
    struct snapshot_place *p = mem_alloc(sizeof *p);

    p->folder = p->journal = p->bodies = -1;
    return p;
}

/* The shortest name that ends in it: whatever else is packed beside it is deeper. */
static char *find_prefix(zip_t *zip)
{
    struct slice best = SLICE_NONE;

    for (zip_int64_t i = 0; i < zip_get_num_entries(zip, 0); i++) {
        struct slice name = slice_of(zip_get_name(zip, (zip_uint64_t)i, ZIP_FL_ENC_GUESS));

        if ((slice_eq(name, SLICE(INDEX_NAME)) || slice_ends_with(name, SLICE("/" INDEX_NAME))) &&
            (best.ptr == NULL || name.len < best.len))
            best = name;
    }
    return best.ptr != NULL ? mem_copy(slice_sub(best, 0, best.len - (sizeof INDEX_NAME - 1))) : NULL;
}

static struct snapshot_place *open_zip(int fd, struct fault *why)
{
    struct snapshot_place *p = place_new();
    int                    error, own = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    zip_error_t            text;

    p->zip = own >= 0 ? zip_fdopen(own, 0, &error) : NULL;
    if (p->zip == NULL) {
        zip_error_init_with_code(&text, own >= 0 ? error : ZIP_ER_OPEN);
        fault_set(why, "it is neither a folder nor a zip: %s", zip_error_strerror(&text));
        zip_error_fini(&text);
        if (own >= 0)
            close(own);
        snapshot_place_close(p);
        return NULL;
    }
    p->prefix = find_prefix(p->zip);
    if (p->prefix != NULL)
        return p;
    fault_set(why, "there is no " INDEX_NAME " in the zip: it is no snapshot");
    snapshot_place_close(p);
    return NULL;
}

static struct snapshot_place *open_journal(int fd, struct fault *why)
{
    struct snapshot_place *p = place_new();

    p->journal = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (p->journal >= 0)
        return p;
    fault_set_errno(why, errno, "the snapshot");
    snapshot_place_close(p);
    return NULL;
}

struct snapshot_place *snapshot_place_open(int fd, struct fault *why)
{
    struct snapshot_place *p;
    struct stat            st;
    int                    folder;

    if (fstat(fd, &st) != 0) {
        fault_set_errno(why, errno, "the snapshot");
        return NULL;
    }
    if (S_ISREG(st.st_mode) && journal_is(fd))
        return open_journal(fd, why);
    if (S_ISREG(st.st_mode))
        return open_zip(fd, why);
    if (!S_ISDIR(st.st_mode)) {
        fault_set(why, "it is neither a folder nor a zip");
        return NULL;
    }
    /* An open file of its own: a lock on it is nobody else's. */
    folder = openat(fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (folder < 0) {
        fault_set_errno(why, errno, "the snapshot's folder cannot be read");
        return NULL;
    }
    p = place_new();
    p->folder = folder;
    return p;
}

void snapshot_place_close(struct snapshot_place *p)
{
    if (p == NULL)
        return;
    if (p->bodies >= 0)
        close(p->bodies);
    if (p->folder >= 0)
        close(p->folder);
    if (p->journal >= 0)
        close(p->journal);
    if (p->zip != NULL)
        zip_discard(p->zip);
    free(p->prefix);
    free(p);
}

int snapshot_place_folder(const struct snapshot_place *p)
{
    return p->folder;
}

int snapshot_place_journal(const struct snapshot_place *p)
{
    return p->journal;
}

/* ---- of a zip ---- */

/* errno, ENOENT where there is none. */
static zip_file_t *open_zipped(struct snapshot_place *p, const char *name, uint64_t *bytes)
{
    char        whole[4096];
    zip_stat_t  st;
    zip_int64_t index;
    zip_file_t *f;

    if (snprintf(whole, sizeof whole, "%s%s", p->prefix, name) >= (int)sizeof whole) {
        errno = ENAMETOOLONG;
        return NULL;
    }
    index = zip_name_locate(p->zip, whole, ZIP_FL_ENC_GUESS);
    if (index < 0 || zip_stat_index(p->zip, (zip_uint64_t)index, 0, &st) != 0 || (st.valid & ZIP_STAT_SIZE) == 0) {
        errno = ENOENT;
        return NULL;
    }
    *bytes = st.size;
    f = st.size <= ZIPPED_MOST_BYTES ? zip_fopen_index(p->zip, (zip_uint64_t)index, 0) : NULL;
    if (f == NULL)
        errno = st.size > ZIPPED_MOST_BYTES ? EFBIG : EIO;
    return f;
}

static char *read_zipped(struct snapshot_place *p, const char *name, size_t most, size_t *bytes)
{
    uint64_t    size = 0;
    zip_file_t *f = open_zipped(p, name, &size);
    char       *text;
    size_t      used = 0;
    zip_int64_t got = 0;

    if (f == NULL)
        return NULL;
    if (size > most) {
        zip_fclose(f);
        errno = EFBIG;
        return NULL;
    }
    text = mem_alloc_raw((size_t)size + 1);
    while (used < size && (got = zip_fread(f, text + used, size - used)) > 0)
        used += (size_t)got;
    zip_fclose(f);
    text[used] = '\0';
    *bytes = used;
    if (used == size)
        return text;
    free(text);
    errno = EIO;
    return NULL;
}

static bool copy_out(zip_file_t *f, int fd)
{
    char        piece[PIECE_BYTES];
    zip_int64_t got;

    while ((got = zip_fread(f, piece, sizeof piece)) > 0)
        if (write(fd, piece, (size_t)got) != got)
            return false;
    errno = EIO;
    return got == 0 && lseek(fd, 0, SEEK_SET) == 0;
}

/* What is packed cannot be read from anywhere within: it is unpacked into memory that is a file. */
static int unpack(struct snapshot_place *p, const char *name, uint64_t *bytes, struct fault *why)
{
    zip_file_t *f = open_zipped(p, name, bytes);
    int         fd = f != NULL ? memfd_create("body", MFD_CLOEXEC) : -1;

    if (fd >= 0 && !copy_out(f, fd)) {
        fault_set_errno(why, errno, "%s", name);
        close(fd);
        fd = -1;
    } else if (fd < 0) {
        fault_set_errno(why, errno, "%s", name);
    }
    if (f != NULL)
        zip_fclose(f);
    return fd;
}

/* ---- of a folder ---- */

/* The folder that a file stands in, and its name there. */
static int folder_of(struct snapshot_place *p, const char **name)
{
    static const char bodies[] = BODIES_NAME "/";

    if (strncmp(*name, bodies, sizeof bodies - 1) != 0)
        return p->folder;
    *name += sizeof bodies - 1;
    if (p->bodies < 0)
        p->bodies = openat(p->folder, BODIES_NAME, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    return p->bodies;
}

/* ---- of both ---- */

int snapshot_place_open_file(struct snapshot_place *p, const char *name, uint64_t *bytes, struct fault *why)
{
    const char *whole = name;
    struct stat st;
    int         folder, fd;

    if (p->zip != NULL)
        return unpack(p, name, bytes, why);
    folder = folder_of(p, &name);
    fd = folder >= 0 ? file_open(folder, name, O_RDONLY, 0) : -1;
    if (fd < 0 || fstat(fd, &st) != 0) {
        fault_set_errno(why, errno, "%s", whole);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    *bytes = (uint64_t)st.st_size;
    return fd;
}

char *snapshot_place_read(struct snapshot_place *p, const char *name, size_t most, size_t *bytes, struct fault *why)
{
    const char *inside = name;
    char       *text;
    int         folder, fd;

    if (p->zip != NULL) {
        text = read_zipped(p, name, most, bytes);
    } else {
        folder = folder_of(p, &inside);
        fd = folder >= 0 ? file_open(folder, inside, O_RDONLY, 0) : -1;
        text = fd >= 0 ? file_read_all(fd, most, bytes) : NULL;
        folder = errno;
        if (fd >= 0)
            close(fd);
        errno = folder;
    }
    if (text == NULL && errno != ENOENT)
        fault_set_errno(why, errno, "%s", name);
    return text;
}
