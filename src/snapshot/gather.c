/*
 * The lines of a snapshot: those of snapshot.jsonl, which are sorted, and of what writers have kept since.
 *
 * Of each line only what it is looked up by is read (scan.h).  What is sorted is time, so that two programs that record
 * at once, and one after another, make one sequence.
 */
#include "snapshot/internal.h"

#include "base/files.h"
#include "snapshot/journal.h"
#include "snapshot/scan.h"

#include <sodium.h>

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NEWEST_FORMAT = 1, PIECE_BYTES = 64 * 1024 };

struct journaled_body {
    struct table_node   node;
    struct slice        name;
    int                 fd;
    struct journal_body where;
};

int gather_open(struct snapshot_lines *g, const struct snapshot_options *o, struct fault *why)
{
    *g = (struct snapshot_lines){ 0 };
    if (redaction_open(&g->redaction, o, why) == 0)
        return 0;
    gather_free(g);
    return -1;
}

void gather_free(struct snapshot_lines *g)
{
    for (size_t i = 0; i < g->text_count; i++)
        free(g->texts[i]);
    for (size_t i = 0; i < g->journal_count; i++)
        close(g->journals[i]);
    free(g->journals);
    table_free(&g->bodies);
    free(g->texts);
    free(g->lines);
    redaction_free(&g->redaction);
    arena_free(&g->arena);
    *g = (struct snapshot_lines){ 0 };
}

bool gather_is_journal(const char *name)
{
    struct slice s = slice_of(name);

    return slice_starts_with(s, SLICE(JOURNAL_START)) && slice_ends_with(s, SLICE(JOURNAL_END_OF_NAME));
}

/* ---- reading ---- */

static int read_first(struct snapshot_lines *g, struct slice line, struct fault *why)
{
    json_t    *j = json_loadb(line.ptr, line.len, 0, NULL), *format = json_object_get(j, "weir");
    json_int_t number = json_integer_value(format);
    int        result = -1;

    if (number < 1)
        fault_set(why, INDEX_NAME ": line 1 is not {\"weir\": 1, ...}: it is no snapshot");
    else if (number > NEWEST_FORMAT)
        fault_set(why, INDEX_NAME ": it is of format %" JSON_INTEGER_FORMAT ", and this Weir reads up to %d", number,
                  NEWEST_FORMAT);
    else
        result = redaction_read(&g->redaction, j, why);
    g->created_ms = json_integer_value(json_object_get(j, "created"));
    g->is_there = result == 0;
    json_decref(j);
    return result;
}

static bool scan_line(struct snapshot_lines *g, struct slice text, struct gathered_line *out)
{
    struct line_scan found;
    int64_t          seq = 0;

    if (!line_scan(text, &found, &g->arena) || (found.body.ptr != NULL && !line_body_name_is_valid(found.body)))
        return false;
    slice_to_int64(found.seq, &seq);
    *out = (struct gathered_line){ .text = text,
                                   .method = found.method,
                                   .url = found.url,
                                   .body = found.body,
                                   .time = found.time,
                                   .seq = (uint64_t)seq,
                                   .order = g->text_count + g->count };
    return true;
}

static void add_line(struct snapshot_lines *g, const struct gathered_line *l)
{
    MEM_ROOM(g->lines, g->capacity, g->count + 1);
    g->lines[g->count++] = *l;
}

static void own_text(struct snapshot_lines *g, char *text)
{
    MEM_ROOM(g->texts, g->text_capacity, g->text_count + 1);
    g->texts[g->text_count++] = text;
}

static int add_index(struct snapshot_lines *g, char *text, size_t bytes, struct fault *why)
{
    struct slice all = { text, bytes };
    size_t       number = 0, at = 0;

    own_text(g, text);
    while (at < all.len) {
        size_t               end = slice_find(all, '\n', at);
        struct slice         line = slice_trim(slice_sub(all, at, end));
        struct gathered_line l;

        at = end + 1;
        number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0)
            continue;
        if (number == 1) {
            if (read_first(g, line, why) != 0)
                return -1;
        } else if (scan_line(g, line, &l)) {
            add_line(g, &l);
        } else {
            return fault_set(why, INDEX_NAME ": line %zu is no exchange", number);
        }
    }
    return !g->is_there ? fault_set(why, INDEX_NAME " is empty: it is no snapshot") : 0;
}

int gather_read_index(struct snapshot_lines *g, struct snapshot_place *p, struct fault *why)
{
    size_t bytes;
    char  *text = snapshot_place_read(p, INDEX_NAME, INDEX_MOST_BYTES, &bytes, why);

    if (text == NULL)
        return why->text[0] != '\0' ? -1 : 0;
    return add_index(g, text, bytes, why);
}

/* ---- journals ---- */

static uint64_t body_key(struct slice name)
{
    uint64_t key = 0;

    memcpy(&key, name.ptr, name.len < sizeof key ? name.len : sizeof key);
    return key;
}

static struct journaled_body *find_body(const struct snapshot_lines *g, struct slice name)
{
    TABLE_EACH(n, &g->bodies, body_key(name))
    {
        struct journaled_body *b = CONTAINER_OF(n, struct journaled_body, node);

        if (slice_eq(b->name, name))
            return b;
    }
    return NULL;
}

bool gather_find_body(const struct snapshot_lines *g, struct slice name, int *fd, struct journal_body *out)
{
    const struct journaled_body *b = find_body(g, name);

    if (b == NULL)
        return false;
    *fd = b->fd;
    *out = b->where;
    return true;
}

void gather_add_body(struct snapshot_lines *g, struct slice name, int fd, const struct journal_body *where)
{
    struct journaled_body *b;

    if (find_body(g, name) != NULL)
        return;
    b = arena_alloc(&g->arena, sizeof *b);
    b->name = arena_copy(&g->arena, name);
    b->fd = fd;
    b->where = *where;
    table_add(&g->bodies, &b->node, body_key(b->name));
}

static bool hash_body(int fd, const struct journal_body *b, char hex[HASH_HEX + 1])
{
    unsigned char            hash[crypto_hash_sha256_BYTES];
    crypto_hash_sha256_state state;
    char                    *piece = mem_alloc_raw(PIECE_BYTES);
    bool                     sound = true;

    crypto_hash_sha256_init(&state);
    for (uint64_t at = 0; at < b->bytes && sound; at += PIECE_BYTES) {
        size_t count = b->bytes - at < PIECE_BYTES ? (size_t)(b->bytes - at) : PIECE_BYTES;

        sound = journal_read_body(fd, b, at, piece, count);
        crypto_hash_sha256_update(&state, (unsigned char *)piece, count);
    }
    free(piece);
    crypto_hash_sha256_final(&state, hash);
    sodium_bin2hex(hex, HASH_HEX + 1, hash, sizeof hash);
    return sound;
}

/* It gets its name, where it has none yet, and is found under it. */
static bool note_body(struct snapshot_lines *g, int fd, const struct journal_body *where, const struct http_fields *f,
                      struct snapshot_body *body)
{
    char hex[HASH_HEX + 1];

    if (where->bytes == 0) {
        body->name = SLICE_NONE;
        return true;
    }
    if (body->name.ptr == NULL) {
        if (!hash_body(fd, where, hex))
            return false;
        body->name = line_body_name(hex, http_fields_get(f, HTTP_CONTENT_TYPE), &g->arena);
    }
    gather_add_body(g, body->name, fd, where);
    return true;
}

bool gather_line_of(struct snapshot_lines *g, const struct snapshot_exchange *x, struct gathered_line *out)
{
    json_t *json = line_make(x);
    size_t  bytes = 0;
    char   *text = json != NULL ? line_text(json, &bytes) : NULL;

    json_decref(json);
    if (text == NULL)
        return false;
    own_text(g, text);
    if (!scan_line(g, (struct slice){ text, bytes - 1 }, out))
        return false;
    out->came = x->body.name.ptr != NULL ? arena_copy(&g->arena, x->body.name) : SLICE_NONE;
    out->of_journal = true;
    return true;
}

static bool line_of(struct snapshot_lines *g, int fd, struct journal_record *r, struct gathered_line *out)
{
    return note_body(g, fd, &r->sent, &r->x.request, &r->x.request_body) &&
           note_body(g, fd, &r->came, &r->x.response, &r->x.body) && gather_line_of(g, &r->x, out);
}

static int read_terms(struct snapshot_lines *g, struct slice line, bool whole, struct fault *why)
{
    struct redaction own = { .match = NULL };
    json_t          *json;
    int              result;

    if (whole)
        return read_first(g, line, why);
    json = json_loadb(line.ptr, line.len, 0, NULL);
    result = redaction_read(&own, json, why);
    json_decref(json);
    if (result == 0)
        redaction_add(&g->redaction, &own);
    redaction_free(&own);
    return result;
}

static int hold_journal(struct snapshot_lines *g, int fd)
{
    fd = fcntl(fd, F_DUPFD_CLOEXEC, 3);
    if (fd < 0)
        return -1;
    MEM_ROOM(g->journals, g->journal_capacity, g->journal_count + 1);
    g->journals[g->journal_count++] = fd;
    return fd;
}

int gather_read_journal(struct snapshot_lines *g, int fd, const char *name, bool whole, struct fault *why)
{
    struct arena          a = { 0 };
    struct journal_record r = { .next = 0 };
    struct gathered_line  l;
    enum journal_got      got;
    int                   result = 0;

    fd = hold_journal(g, fd);
    if (fd < 0)
        return fault_set_errno(why, errno, "%s", name);
    while (result == 0 && (got = journal_read(fd, r.next, &r, &a)) == JOURNAL_GOT) {
        if (r.kind == JOURNAL_TERMS)
            result = read_terms(g, r.terms, whole, why);
        else if (r.kind != JOURNAL_DROPPED && line_of(g, fd, &r, &l))
            add_line(g, &l);
        else if (r.kind != JOURNAL_DROPPED)
            got = JOURNAL_DAMAGED;
        if (got == JOURNAL_DAMAGED)
            break;
        arena_reset(&a);
    }
    arena_free(&a);
    if (result == 0 && got == JOURNAL_DAMAGED)
        return fault_set(why, "%s is damaged at byte %" PRIu64, name, r.at);
    return result;
}

int gather_read_journals(struct snapshot_lines *g, struct snapshot_place *p, struct fault *why)
{
    int  fd = snapshot_place_folder(p) >= 0 ? openat(snapshot_place_folder(p), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                            : -1;
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int            result = 0;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL) {
        if (!gather_is_journal(entry->d_name))
            continue;
        fd = file_open(dirfd(folder), entry->d_name, O_RDONLY, 0);
        result = fd >= 0 ? gather_read_journal(g, fd, entry->d_name, false, why)
                         : fault_set_errno(why, errno, "%s", entry->d_name);
        if (fd >= 0)
            close(fd);
    }
    if (folder != NULL)
        closedir(folder);
    return result;
}

/* ---- sorting ---- */

static int compare(struct slice a, struct slice b)
{
    size_t least = a.len < b.len ? a.len : b.len;
    int    order = least > 0 ? memcmp(a.ptr, b.ptr, least) : 0;

    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

static int compare_alike(const struct gathered_line *a, const struct gathered_line *b)
{
    int order = compare(a->url, b->url);

    if (order == 0)
        order = compare(a->method, b->method);
    return order != 0 ? order : compare(a->body, b->body);
}

static int compare_lines(const void *one, const void *other)
{
    const struct gathered_line *a = one, *b = other;
    int                         order = compare_alike(a, b);

    if (order == 0)
        order = compare(a->time, b->time);
    if (order == 0)
        order = (a->seq > b->seq) - (a->seq < b->seq);
    return order != 0 ? order : (a->order > b->order) - (a->order < b->order);
}

/* What comes after `seq`, which sorting has given. */
static struct slice without_seq(const struct gathered_line *l)
{
    const char *at = memmem(l->text.ptr, l->text.len, ",\"time\":", 8);

    return at != NULL ? slice_sub(l->text, (size_t)(at - l->text.ptr), l->text.len) : l->text;
}

/* A kill between the sorted file and the end of its journal leaves a line in both. */
static bool is_twice(const struct gathered_line *a, const struct gathered_line *b)
{
    return a->of_journal != b->of_journal && compare_alike(a, b) == 0 && slice_eq(a->time, b->time) &&
           slice_eq(without_seq(a), without_seq(b));
}

void gather_sort(struct snapshot_lines *g)
{
    size_t kept = 0;

    if (g->count == 0)
        return;
    qsort(g->lines, g->count, sizeof *g->lines, compare_lines);
    for (size_t i = 0; i < g->count; i++) {
        struct gathered_line *l = &g->lines[i], *before = kept > 0 ? &g->lines[kept - 1] : NULL;

        if (before != NULL && is_twice(before, l))
            continue;
        l->seq = before != NULL && compare_alike(before, l) == 0 ? before->seq + 1 : 1;
        g->lines[kept++] = *l;
    }
    g->count = kept;
}
