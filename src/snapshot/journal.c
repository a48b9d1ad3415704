/*
 * See journal.h.  A record: "WJ", its format, its kind; how long the packed exchange is, how long its bodies are; then
 * these.  Numbers are little-endian; texts have their length before them.
 */
#include "snapshot/journal.h"

#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD_BYTES = 20, FORMAT = 1, KIND_AT = 3, NO_TEXT = -1, LATEST_MS_DAYS = 2932896 /* 9999-12-31 */ };

/* ---- packing ---- */

struct packer {
    char  *bytes;
    size_t used, room;
};

static void put_bytes(struct packer *p, const void *bytes, size_t count)
{
    MEM_ROOM(p->bytes, p->room, p->used + count);
    memcpy(p->bytes + p->used, bytes, count);
    p->used += count;
}

static void put_number(struct packer *p, uint64_t n)
{
    n = htole64(n);
    put_bytes(p, &n, sizeof n);
}

static void put_text(struct packer *p, struct slice s)
{
    uint32_t bytes = htole32(s.ptr != NULL ? (uint32_t)s.len : (uint32_t)NO_TEXT);

    put_bytes(p, &bytes, sizeof bytes);
    if (s.len > 0)
        put_bytes(p, s.ptr, s.len);
}

static void put_fields(struct packer *p, const struct http_fields *f)
{
    put_number(p, f->count);
    for (unsigned i = 0; i < f->count; i++) {
        put_text(p, f->items[i].name);
        put_text(p, f->items[i].value);
    }
}

/* `bodies_of`: of an earlier record, or 0. */
static void put_exchange(struct packer *p, const struct snapshot_exchange *x, uint64_t bodies_of, uint64_t sent,
                         uint64_t came)
{
    put_number(p, bodies_of);
    put_number(p, sent);
    put_number(p, came);
    put_text(p, x->request_body.name);
    put_text(p, x->body.name);
    put_text(p, x->method);
    put_text(p, x->url);
    put_number(p, (uint64_t)x->time_ms);
    put_number(p, (uint64_t)x->took_ms);
    put_fields(p, &x->request);
    put_number(p, x->had_credential);
    put_number(p, x->status);
    put_fields(p, &x->response);
    put_fields(p, &x->trailers);
    put_number(p, x->end);
    put_text(p, x->error);
    put_number(p, x->interim_count);
    for (unsigned i = 0; i < x->interim_count; i++) {
        put_number(p, x->interims[i].status);
        put_fields(p, &x->interims[i].fields);
    }
    put_number(p, x->timing_count);
    for (unsigned i = 0; i < x->timing_count; i++) {
        put_number(p, (uint64_t)x->timing[i].at_ms);
        put_number(p, x->timing[i].bytes);
    }
}

/* ---- unpacking ---- */

struct unpacker {
    const char   *at, *end;
    bool          bad;
    struct arena *arena;
};

static uint64_t take_number(struct unpacker *u)
{
    uint64_t n;

    if (u->bad || (size_t)(u->end - u->at) < sizeof n) {
        u->bad = true;
        return 0;
    }
    memcpy(&n, u->at, sizeof n);
    u->at += sizeof n;
    return le64toh(n);
}

static struct slice take_text(struct unpacker *u)
{
    struct slice text = SLICE_NONE;
    uint32_t     bytes;

    if (u->bad || (size_t)(u->end - u->at) < sizeof bytes) {
        u->bad = true;
        return text;
    }
    memcpy(&bytes, u->at, sizeof bytes);
    bytes = le32toh(bytes);
    u->at += sizeof bytes;
    if (bytes == (uint32_t)NO_TEXT)
        return text;
    if ((size_t)(u->end - u->at) < bytes) {
        u->bad = true;
        return text;
    }
    text = (struct slice){ u->at, bytes };
    u->at += bytes;
    return text;
}

/* How many of something that takes at least `least` bytes each. */
static unsigned take_count(struct unpacker *u, size_t least)
{
    uint64_t n = take_number(u);

    u->bad = u->bad || n > (size_t)(u->end - u->at) / least;
    return u->bad ? 0 : (unsigned)n;
}

static void take_fields(struct unpacker *u, struct http_fields *f)
{
    unsigned count = take_count(u, 2 * sizeof(uint32_t));

    for (unsigned i = 0; i < count && !u->bad; i++) {
        struct slice name = take_text(u), value = take_text(u);

        if (name.ptr == NULL || value.ptr == NULL)
            u->bad = true;
        else
            http_fields_add(f, u->arena, name, value);
    }
}

static void take_interims(struct unpacker *u, struct snapshot_exchange *x)
{
    unsigned count = take_count(u, 2 * sizeof(uint64_t));

    x->interims = arena_alloc(u->arena, (count + 1) * sizeof *x->interims);
    x->interim_count = count;
    for (unsigned i = 0; i < count; i++) {
        x->interims[i].status = (unsigned)take_number(u);
        take_fields(u, &x->interims[i].fields);
    }
}

static void take_timing(struct unpacker *u, struct snapshot_exchange *x)
{
    unsigned               count = take_count(u, 2 * sizeof(uint64_t));
    struct snapshot_piece *pieces = arena_alloc(u->arena, (count + 1) * sizeof *pieces);

    for (unsigned i = 0; i < count; i++) {
        pieces[i].at_ms = (int64_t)take_number(u);
        pieces[i].bytes = take_number(u);
    }
    x->timing = pieces;
    x->timing_count = count;
}

/* False: it is damaged. */
static bool take_exchange(struct unpacker *u, struct snapshot_exchange *x, uint64_t *bodies_of)
{
    uint64_t end;

    *x = (struct snapshot_exchange){ 0 };
    *bodies_of = take_number(u);
    x->request_body.bytes = take_number(u);
    x->body.bytes = take_number(u);
    x->request_body.name = take_text(u);
    x->body.name = take_text(u);
    x->method = take_text(u);
    x->url = take_text(u);
    x->time_ms = (int64_t)take_number(u);
    x->took_ms = (int64_t)take_number(u);
    take_fields(u, &x->request);
    x->had_credential = take_number(u) != 0;
    x->status = (unsigned)take_number(u);
    take_fields(u, &x->response);
    take_fields(u, &x->trailers);
    end = take_number(u);
    x->end = end <= SNAPSHOT_NO_CONNECTION ? (enum snapshot_end)end : SNAPSHOT_CUT;
    x->error = take_text(u);
    take_interims(u, x);
    take_timing(u, x);
    return !u->bad && x->method.ptr != NULL && x->url.ptr != NULL && x->time_ms >= 0 &&
           x->time_ms / 86400000 <= LATEST_MS_DAYS &&
           (x->request_body.name.ptr == NULL || line_body_name_is_valid(x->request_body.name)) &&
           (x->body.name.ptr == NULL || line_body_name_is_valid(x->body.name));
}

/* ---- reading ---- */

static bool read_at(int fd, uint64_t at, void *out, size_t count)
{
    for (size_t used = 0; used < count;) {
        ssize_t n = pread(fd, (char *)out + used, count - used, (off_t)(at + used));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        used += (size_t)n;
    }
    return true;
}

struct journal_head {
    enum journal_kind kind;
    uint32_t          packed;
    uint64_t          bodies;
};

/* `bytes`: how long the file is. */
static enum journal_got read_head(int fd, uint64_t at, uint64_t bytes, struct journal_head *h)
{
    unsigned char raw[HEAD_BYTES];
    uint64_t      rest;

    if (at + HEAD_BYTES > bytes || !read_at(fd, at, raw, sizeof raw))
        return JOURNAL_END;
    if (memcmp(raw, "\0\0\0", 3) == 0) /* room that was given to it and never written, as after a power failure */
        return JOURNAL_END;
    if (memcmp(raw, "WJ", 2) != 0 || raw[2] != FORMAT || raw[KIND_AT] < JOURNAL_TERMS || raw[KIND_AT] > JOURNAL_DROPPED)
        return JOURNAL_DAMAGED;
    h->kind = (enum journal_kind)raw[KIND_AT];
    memcpy(&h->packed, raw + 4, sizeof h->packed);
    memcpy(&h->bodies, raw + 8, sizeof h->bodies);
    h->packed = le32toh(h->packed);
    h->bodies = le64toh(h->bodies);
    rest = bytes - at - HEAD_BYTES;
    if (h->packed > LINE_MOST_BYTES)
        return JOURNAL_DAMAGED;
    return h->packed > rest || h->bodies > rest - h->packed ? JOURNAL_END : JOURNAL_GOT;
}

/* Where its bodies are, which may be another one's. */
static bool place_bodies(int fd, uint64_t bytes, const struct journal_head *h, struct journal_record *r)
{
    struct journal_head other = *h;
    uint64_t            from = r->at;

    if (r->kind == JOURNAL_MASKED) {
        from = r->bodies_of;
        if (from >= r->at || read_head(fd, from, bytes, &other) != JOURNAL_GOT)
            return false;
    }
    if (r->x.request_body.bytes > other.bodies || r->x.body.bytes != other.bodies - r->x.request_body.bytes)
        return false;
    from += HEAD_BYTES + other.packed;
    r->sent = (struct journal_body){ from, r->x.request_body.bytes };
    r->came = (struct journal_body){ from + r->sent.bytes, r->x.body.bytes };
    return true;
}

enum journal_got journal_read(int fd, uint64_t at, struct journal_record *r, struct arena *a)
{
    struct journal_head h;
    struct stat         st;
    enum journal_got    got;
    struct unpacker     u = { .arena = a };
    char               *packed;

    *r = (struct journal_record){ .at = at };
    if (fstat(fd, &st) != 0)
        return JOURNAL_DAMAGED;
    got = read_head(fd, at, (uint64_t)st.st_size, &h);
    if (got != JOURNAL_GOT)
        return got;
    r->kind = h.kind;
    r->next = at + HEAD_BYTES + h.packed + h.bodies;
    if (h.kind == JOURNAL_DROPPED)
        return JOURNAL_GOT;
    packed = arena_alloc_raw(a, (size_t)h.packed + 1);
    if (!read_at(fd, at + HEAD_BYTES, packed, h.packed))
        return JOURNAL_END;
    packed[h.packed] = '\0';
    if (h.kind == JOURNAL_TERMS) {
        r->terms = (struct slice){ packed, h.packed };
        return JOURNAL_GOT;
    }
    u.at = packed;
    u.end = packed + h.packed;
    if (!take_exchange(&u, &r->x, &r->bodies_of) || !place_bodies(fd, (uint64_t)st.st_size, &h, r))
        return JOURNAL_DAMAGED;
    return JOURNAL_GOT;
}

bool journal_read_body(int fd, const struct journal_body *b, uint64_t at, void *out, size_t count)
{
    return at <= b->bytes && count <= b->bytes - at && read_at(fd, b->at + at, out, count);
}

bool journal_is(int fd)
{
    unsigned char raw[3];

    return read_at(fd, 0, raw, sizeof raw) && memcmp(raw, "WJ", 2) == 0 && raw[2] == FORMAT;
}

/* ---- writing ---- */

static int append(struct journal *j, struct iovec *parts, int count, struct fault *why)
{
    size_t wanted = 0, written = 0;

    if (j->broken)
        return fault_set(why, "the recording cannot be written any more");
    for (int i = 0; i < count; i++)
        wanted += parts[i].iov_len;
    while (written < wanted) {
        ssize_t n = pwritev(j->fd, parts, count, (off_t)(j->bytes + written));

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            fault_set_errno(why, n < 0 ? errno : ENOSPC, "the recording cannot be written");
            j->broken = ftruncate(j->fd, (off_t)j->bytes) != 0;
            return -1;
        }
        written += (size_t)n;
        for (int i = 0; i < count && n > 0; i++) {
            size_t took = (size_t)n < parts[i].iov_len ? (size_t)n : parts[i].iov_len;

            parts[i].iov_base = (char *)parts[i].iov_base + took;
            parts[i].iov_len -= took;
            n -= (ssize_t)took;
        }
    }
    j->bytes += wanted;
    return 0;
}

static void begin(struct packer *p, enum journal_kind kind)
{
    const char head[HEAD_BYTES] = { 'W', 'J', FORMAT, (char)kind };

    *p = (struct packer){ 0 };
    MEM_ROOM(p->bytes, p->room, 2048);
    put_bytes(p, head, sizeof head);
}

/* Frees the packed. */
static int end(struct journal *j, struct packer *p, struct slice sent, struct slice came, struct fault *why)
{
    uint32_t     packed = htole32((uint32_t)(p->used - HEAD_BYTES));
    uint64_t     bodies = htole64(sent.len + came.len);
    struct iovec parts[3] = { { p->bytes, p->used },
                              { (void *)(uintptr_t)sent.ptr, sent.len },
                              { (void *)(uintptr_t)came.ptr, came.len } };
    int          result = -1;

    memcpy(p->bytes + 4, &packed, sizeof packed);
    memcpy(p->bytes + 8, &bodies, sizeof bodies);
    if (p->used > LINE_MOST_BYTES)
        fault_set(why, "it does not fit into a line");
    else
        result = append(j, parts, 3, why);
    free(p->bytes);
    return result;
}

int journal_add_terms(struct journal *j, struct slice line, struct fault *why)
{
    struct packer p;

    begin(&p, JOURNAL_TERMS);
    put_bytes(&p, line.ptr, line.len);
    return end(j, &p, SLICE_NONE, SLICE_NONE, why);
}

int journal_add(struct journal *j, const struct snapshot_exchange *x, struct slice sent, struct slice came,
                struct fault *why)
{
    struct packer p;

    begin(&p, JOURNAL_EXCHANGE);
    put_exchange(&p, x, 0, sent.len, came.len);
    return end(j, &p, sent, came, why);
}

static bool overwrite(int fd, uint64_t from, uint64_t to)
{
    static const char zeros[4096];

    while (from < to) {
        ssize_t n = pwrite(fd, zeros, to - from < sizeof zeros ? (size_t)(to - from) : sizeof zeros, (off_t)from);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        from += (uint64_t)n;
    }
    return true;
}

/* Its kind first: what is half overwritten is read by nobody. */
static int wipe(struct journal *j, uint64_t at, uint64_t to, struct fault *why)
{
    const char kind = JOURNAL_DROPPED;

    if (pwrite(j->fd, &kind, 1, (off_t)at + KIND_AT) != 1 || !overwrite(j->fd, at + HEAD_BYTES, to))
        return fault_set_errno(why, errno, "the recording cannot be written");
    return 0;
}

int journal_drop(struct journal *j, const struct journal_record *r, struct fault *why)
{
    return wipe(j, r->at, r->next, why);
}

int journal_mask(struct journal *j, const struct journal_record *r, const struct snapshot_exchange *x,
                 struct fault *why)
{
    const bool    again = r->kind == JOURNAL_MASKED;
    struct packer p;

    begin(&p, JOURNAL_MASKED);
    put_exchange(&p, x, again ? r->bodies_of : r->at, r->sent.bytes, r->came.bytes);
    if (end(j, &p, SLICE_NONE, SLICE_NONE, why) != 0)
        return -1;
    return wipe(j, r->at, again ? r->next : r->sent.at, why);
}
