/*
 * Bodies of a snapshot that is read.  They are files; small ones stay in memory once they were read, up to a bound: an
 * answer then costs no system call.
 */
#include "snapshot/internal.h"

#include "base/files.h"
#include "snapshot/journal.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { KEPT_BODY_BYTES = 64 * 1024, KEPT_BYTES = 64 * 1024 * 1024 };

struct kept_body {
    struct table_node node;
    char              name[HASH_HEX + 8];
    size_t            bytes;
    char              text[];
};

void bodies_free(struct snapshot_reader *s)
{
    struct table_walk  walk = { 0 };
    struct table_node *n;

    while ((n = table_next(&s->kept, &walk)) != NULL)
        free(CONTAINER_OF(n, struct kept_body, node));
    table_free(&s->kept);
}

static uint64_t name_hash(struct slice name)
{
    uint64_t hash = 0;

    for (size_t i = 0; i < 16 && i < name.len; i++)
        hash = hash << 4 | (uint64_t)(name.ptr[i] <= '9' ? name.ptr[i] - '0' : name.ptr[i] - 'a' + 10);
    return hash;
}

static struct kept_body *find_kept(struct snapshot_reader *s, struct slice name)
{
    TABLE_EACH(n, &s->kept, name_hash(name))
    {
        struct kept_body *k = CONTAINER_OF(n, struct kept_body, node);

        if (slice_eq(slice_of(k->name), name))
            return k;
    }
    return NULL;
}

static bool is_what_it_was(struct slice name, const void *bytes, size_t count)
{
    unsigned char hash[crypto_hash_sha256_BYTES];
    char          hex[HASH_HEX + 1];

    crypto_hash_sha256(hash, bytes, count);
    sodium_bin2hex(hex, sizeof hex, hash, sizeof hash);
    return slice_eq(slice_of(hex), slice_sub(name, 0, HASH_HEX));
}

static int changed(struct slice name, struct fault *why)
{
    return fault_set(why, BODIES_NAME "/" SLICE_FMT " is not what was recorded: its bytes have another SHA-256",
                     SLICE_ARG(name));
}

static void hold(struct snapshot_reader *s, struct kept_body *k, struct slice name, size_t bytes)
{
    memcpy(k->name, name.ptr, name.len);
    k->bytes = bytes;
    s->kept_bytes += bytes;
    table_add(&s->kept, &k->node, name_hash(name));
}

static bool is_small(const struct snapshot_reader *s, uint64_t bytes)
{
    return bytes <= KEPT_BODY_BYTES && s->kept_bytes + bytes <= KEPT_BYTES;
}

bool bodies_keep(struct snapshot_reader *s, struct slice name, struct slice bytes)
{
    struct kept_body *k;

    if (find_kept(s, name) != NULL)
        return true;
    if (!is_small(s, bytes.len))
        return false;
    k = mem_alloc(sizeof *k + bytes.len + 1);
    memcpy(k->text, bytes.ptr, bytes.len);
    hold(s, k, name, bytes.len);
    return true;
}

/* Of the file that *out says: into memory, and the file is not needed any more. */
static int keep(struct snapshot_reader *s, struct slice name, struct snapshot_bytes *out, struct fault *why)
{
    struct kept_body *k = mem_alloc(sizeof *k + out->bytes + 1);
    size_t            used = 0;
    ssize_t           got = 0;

    while (used < out->bytes && (got = snapshot_body_read(out, used, k->text + used, (size_t)out->bytes - used)) > 0)
        used += (size_t)got;
    if (used != out->bytes || !is_what_it_was(name, k->text, used)) {
        free(k);
        return got < 0 ? fault_set_errno(why, errno, BODIES_NAME "/" SLICE_FMT, SLICE_ARG(name)) : changed(name, why);
    }
    hold(s, k, name, used);
    out->kept = (struct slice){ k->text, used };
    return 0;
}

static int open_file(struct snapshot_reader *s, struct slice name, struct snapshot_bytes *out, struct fault *why)
{
    char                path[sizeof BODIES_NAME + HASH_HEX + 8];
    struct journal_body where;
    int                 fd;

    if (gather_find_body(&s->all, name, &fd, &where)) {
        out->fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
        out->from = where.at;
        out->bytes = where.bytes;
        return out->fd >= 0 ? 0 : fault_set_errno(why, errno, BODIES_NAME "/" SLICE_FMT, SLICE_ARG(name));
    }
    snprintf(path, sizeof path, BODIES_NAME "/" SLICE_FMT, SLICE_ARG(name));
    out->fd = snapshot_place_open_file(s->place, path, &out->bytes, why);
    return out->fd >= 0 ? 0 : -1;
}

int snapshot_body_open(struct snapshot_reader *s, const struct snapshot_body *b, struct snapshot_bytes *out,
                       struct fault *why)
{
    struct kept_body *k;
    int               result;

    *out = (struct snapshot_bytes){ .kept = SLICE(""), .fd = -1 };
    if (b->name.ptr == NULL)
        return 0;
    k = find_kept(s, b->name);
    if (k != NULL) {
        out->kept = (struct slice){ k->text, k->bytes };
        out->bytes = k->bytes;
        return 0;
    }
    out->kept = SLICE_NONE;
    if (open_file(s, b->name, out, why) != 0)
        return -1;
    if (!is_small(s, out->bytes))
        return 0;
    result = keep(s, b->name, out, why);
    snapshot_body_close(out);
    return result;
}

ssize_t snapshot_body_read(const struct snapshot_bytes *b, uint64_t at, void *out, size_t most)
{
    ssize_t got;

    if (b->kept.ptr != NULL) {
        struct slice rest = slice_sub(b->kept, at < b->kept.len ? (size_t)at : b->kept.len, b->kept.len);

        most = most < rest.len ? most : rest.len;
        memcpy(out, rest.ptr, most);
        return (ssize_t)most;
    }
    if (at >= b->bytes)
        return 0;
    most = most < b->bytes - at ? most : (size_t)(b->bytes - at);
    do
        got = pread(b->fd, out, most, (off_t)(b->from + at));
    while (got < 0 && errno == EINTR);
    return got;
}

void snapshot_body_close(struct snapshot_bytes *b)
{
    if (b->fd >= 0)
        close(b->fd);
    b->fd = -1;
}

bool snapshot_body_all(struct snapshot_reader *s, const struct snapshot_body *b, size_t most, struct arena *a,
                       struct slice *out, struct fault *why)
{
    struct snapshot_bytes bytes;
    char                 *text;
    uint64_t              at = 0;
    ssize_t               got = 1;

    if (snapshot_body_open(s, b, &bytes, why) != 0)
        return false;
    if (bytes.bytes > most) {
        fault_set(why, BODIES_NAME "/" SLICE_FMT " has %llu bytes, and %zu are read at most", SLICE_ARG(b->name),
                  (unsigned long long)bytes.bytes, most);
        snapshot_body_close(&bytes);
        return false;
    }
    text = arena_alloc_raw(a, (size_t)bytes.bytes + 1);
    while (at < bytes.bytes && (got = snapshot_body_read(&bytes, at, text + at, (size_t)(bytes.bytes - at))) > 0)
        at += (uint64_t)got;
    snapshot_body_close(&bytes);
    text[at] = '\0';
    *out = (struct slice){ text, (size_t)at };
    if (at == bytes.bytes && (b->name.ptr == NULL || is_what_it_was(b->name, text, (size_t)at)))
        return true;
    changed(b->name, why);
    return false;
}
