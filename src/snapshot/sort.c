/*
 * What was kept becomes one sorted file.
 *
 * The lines of this writer, and of those that were killed, are first searched for credentials that were learned after
 * they had been written: in fields these are masked, and an exchange with one in its URL or a body is taken out.  Lines
 * of writers that are at work stay in their journals.  The new file takes the place of the old one at once, and only
 * then the journals go: after a kill between the two a line is in both, which gather.c sees.
 */
#include "snapshot/writer.h"

#include "base/files.h"
#include "http/inflate.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <unistd.h>

enum { SEARCH_BYTES = 1024 * 1024, CODED_BYTES = 64 * 1024 };

/* ---- searching what was written ---- */

/* A body in pieces, without its coding where it has one that is read here. */
struct body_pieces {
    int              fd;
    struct inflater *inflater;
    char             coded[CODED_BYTES];
};

static size_t next_piece(struct body_pieces *p, char *out, size_t room)
{
    ssize_t got;
    size_t  count = 0;
    bool    sound = true;

    if (p->inflater == NULL) {
        got = file_read(p->fd, out, room);
        return got > 0 ? (size_t)got : 0;
    }
    while ((count = inflater_take(p->inflater, out, room, &sound)) == 0 && sound) {
        got = file_read(p->fd, p->coded, sizeof p->coded);
        if (got <= 0)
            return 0;
        inflater_feed(p->inflater, p->coded, (size_t)got);
    }
    return count;
}

static bool pieces_hold_secret(const struct snapshot_writer *w, unsigned known, struct body_pieces *p)
{
    size_t used = 0, start, end, keep = secrets_known_longest(w->secrets), got;
    char  *text = mem_alloc_raw(keep + SEARCH_BYTES);
    bool   found = false;

    while (!found && (got = next_piece(p, text + used, keep + SEARCH_BYTES - used)) > 0) {
        used += got;
        found = secrets_known_find(w->secrets, known, (struct slice){ text, used }, 0, &start, &end);
        if (used > keep) { /* what begins in here may end in the next piece */
            memmove(text, text + used - keep, keep);
            used = keep;
        }
    }
    free(text);
    return found;
}

static bool body_holds_secret(struct snapshot_writer *w, unsigned known, const struct http_fields *f,
                              const struct snapshot_body *b)
{
    char               path[sizeof BODIES_NAME + HASH_HEX + 8];
    uint64_t           bytes;
    struct fault       why;
    struct body_pieces p;
    bool               found;

    if (b->name.ptr == NULL)
        return false;
    snprintf(path, sizeof path, BODIES_NAME "/" SLICE_FMT, SLICE_ARG(b->name));
    p.fd = snapshot_place_open_file(w->place, path, &bytes, &why);
    if (p.fd < 0)
        return false;
    p.inflater = inflater_open_any(f);
    found = pieces_hold_secret(w, known, &p);
    inflater_close(p.inflater);
    close(p.fd);
    return found;
}

static void mask_fields(const struct snapshot_writer *w, struct http_fields *f, struct arena *a)
{
    for (unsigned i = 0; i < f->count; i++)
        f->items[i].value = secrets_known_mask(w->secrets, f->items[i].value, a);
}

static void mask_all(const struct snapshot_writer *w, struct snapshot_exchange *x, struct arena *a)
{
    mask_fields(w, &x->request, a);
    mask_fields(w, &x->response, a);
    mask_fields(w, &x->trailers, a);
    for (unsigned i = 0; i < x->interim_count; i++)
        mask_fields(w, &x->interims[i].fields, a);
    x->error = secrets_known_mask(w->secrets, x->error, a);
}

struct sift { /* lines that stay, as one text */
    struct snapshot_writer *writer;
    char                   *text;
    size_t                  used, room, taken_out;
    struct arena            arena;
    struct slice           *gone; /* bodies of what was taken out */
    size_t                  gone_count, gone_room;
    struct fault           *why;
};

static void put(struct sift *s, struct slice line)
{
    MEM_ROOM(s->text, s->room, s->used + line.len + 1);
    memcpy(s->text + s->used, line.ptr, line.len);
    s->used += line.len;
    s->text[s->used++] = '\n';
}

static void take_out(struct sift *s, const struct snapshot_exchange *x)
{
    const struct snapshot_body *bodies[2] = { &x->request_body, &x->body };

    if (s->taken_out++ == 0)
        fault_set(s->why,
                  SLICE_FMT " " SLICE_FMT
                            ": a credential that was used later stands in it, and nothing of the exchange "
                            "was kept; mask it with redact, as in \"json:/access_token\"",
                  SLICE_ARG(x->method), SLICE_ARG(x->url));
    for (int i = 0; i < 2; i++)
        if (bodies[i]->name.ptr != NULL) {
            ARENA_ROOM(&s->arena, s->gone, s->gone_room, s->gone_count);
            s->gone[s->gone_count++] = arena_copy(&s->arena, bodies[i]->name);
        }
}

/* A line that cannot be read stays as it is: gathering says which. */
static void sift_line(struct sift *s, struct slice line, unsigned known)
{
    struct snapshot_writer  *w = s->writer;
    struct snapshot_exchange x;
    struct arena             a = { 0 };
    struct fault             why;
    size_t                   start, end, bytes = 0;

    if (known >= secrets_known_count(w->secrets) || line_read(line, &x, &a, &why) != 0) {
        put(s, line);
        arena_free(&a);
        return;
    }
    if (secrets_known_find(w->secrets, known, x.url, 0, &start, &end) ||
        body_holds_secret(w, known, &x.request, &x.request_body) || body_holds_secret(w, known, &x.response, &x.body)) {
        take_out(s, &x);
    } else if (secrets_known_find(w->secrets, known, line, 0, &start, &end)) {
        json_t *json;
        char   *text;

        mask_all(w, &x, &a);
        json = line_make(&x);
        text = json != NULL ? line_text(json, &bytes) : NULL;
        if (text != NULL)
            put(s, (struct slice){ text, bytes - 1 });
        json_decref(json);
        free(text);
    } else {
        put(s, line);
    }
    arena_free(&a);
}

/* ---- journals ---- */

struct adopted {
    char name[64];
    int  fd; /* locked */
};

/* Those whose writers are gone. */
static size_t adopt(struct snapshot_writer *w, struct adopted **out)
{
    int            fd = openat(w->folder, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    size_t         count = 0, room = 0;

    *out = NULL;
    while (folder != NULL && (entry = readdir(folder)) != NULL) {
        size_t length = strlen(entry->d_name);

        if (!gather_is_journal(entry->d_name) || strcmp(entry->d_name, w->journal) == 0 || length >= sizeof(*out)->name)
            continue;
        fd = file_open(w->folder, entry->d_name, O_RDONLY, 0);
        if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0) {
            if (fd >= 0)
                close(fd);
            continue;
        }
        MEM_ROOM(*out, room, count + 1);
        memcpy((*out)[count].name, entry->d_name, length + 1);
        (*out)[count++].fd = fd;
    }
    if (folder != NULL)
        closedir(folder);
    return count;
}

/* What a killed writer was about to give a name. */
static void drop_temporaries(const struct snapshot_writer *w, const char *journal)
{
    int            fd = openat(w->bodies, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR           *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;

    while (folder != NULL && (entry = readdir(folder)) != NULL)
        if (entry->d_name[0] == '.' && slice_ends_with(slice_of(entry->d_name), SLICE(".new")) &&
            strncmp(entry->d_name + 1, journal + sizeof JOURNAL_START - 1, WRITER_ID_HEX) == 0)
            unlinkat(w->bodies, entry->d_name, 0);
    if (folder != NULL)
        closedir(folder);
}

static void sift_journal(struct sift *s, const struct adopted *j)
{
    size_t       bytes, at = 0;
    char        *text = file_read_all(j->fd, INDEX_MOST_BYTES, &bytes);
    struct slice all = { text, text != NULL ? bytes : 0 };

    for (size_t end; at < all.len && (end = slice_find(all, '\n', at)) < all.len; at = end + 1)
        sift_line(s, slice_sub(all, at, end), 0);
    free(text);
}

/* ---- writing ---- */

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

int sort_write_index(struct snapshot_writer *w, const struct snapshot_lines *g, struct fault *why)
{
    json_t *rest = redaction_line(&g->redaction),
           *first = json_pack("{s:i, s:I, s:O, s:O}", "weir", 1, "created", (json_int_t)g->created_ms, "match",
                              json_object_get(rest, "match"), "redacted", json_object_get(rest, "redacted"));
    char *text = json_dumps(first, 0), temporary[64];
    int   fd;
    FILE *f;
    bool  good;

    json_decref(first);
    json_decref(rest);
    snprintf(temporary, sizeof temporary, ".%s.new", w->id);
    fd = openat(w->folder, temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    f = fd >= 0 ? fdopen(fd, "w") : NULL;
    if (f == NULL) {
        free(text);
        return fault_set_errno(why, errno, INDEX_NAME " cannot be written");
    }
    fprintf(f, "%s\n", text);
    free(text);
    for (size_t i = 0; i < g->count; i++)
        write_text(f, &g->lines[i]);
    good = fflush(f) == 0 && fsync(fd) == 0;
    good = fclose(f) == 0 && good;
    if (good && renameat(w->folder, temporary, w->folder, INDEX_NAME) == 0)
        return 0;
    fault_set_errno(why, errno, INDEX_NAME " cannot be written");
    unlinkat(w->folder, temporary, 0);
    return -1;
}

/* ---- all of it ---- */

static bool is_named(const struct snapshot_lines *g, struct slice body)
{
    for (size_t i = 0; i < g->count; i++)
        if (memmem(g->lines[i].text.ptr, g->lines[i].text.len, body.ptr, body.len) != NULL)
            return true;
    return false;
}

/* Bodies that no line names any more, those of writers at work included. */
static void drop_bodies(struct snapshot_writer *w, const struct sift *s, const struct snapshot_lines *g)
{
    struct snapshot_lines others;
    struct fault          why = { .text = "" };
    char                  name[HASH_HEX + 8];

    if (s->gone_count == 0 || gather_open(&others, NULL, &why) != 0)
        return;
    if (gather_read_journals(&others, w->place, &why) == 0)
        for (size_t i = 0; i < s->gone_count; i++) {
            snprintf(name, sizeof name, SLICE_FMT, SLICE_ARG(s->gone[i]));
            if (!is_named(g, s->gone[i]) && !is_named(&others, s->gone[i]))
                unlinkat(w->bodies, name, 0);
        }
    gather_free(&others);
}

static int write_sorted(struct snapshot_writer *w, struct snapshot_lines *g, struct sift *s, struct fault *why)
{
    struct fault inner = { .text = "" };

    if (gather_read_index(g, w->place, &inner) != 0 ||
        (s->text != NULL && gather_add_journal(g, s->text, s->used, w->journal, &inner) != 0)) {
        *why = inner;
        return -1;
    }
    s->text = NULL;
    redaction_add(&g->redaction, &w->redaction);
    gather_sort(g);
    return sort_write_index(w, g, why);
}

int sort_folder(struct snapshot_writer *w, size_t *taken_out, struct fault *why)
{
    struct sift           s = { .writer = w, .why = why };
    struct snapshot_lines g;
    struct adopted       *journals;
    size_t                count;
    int                   result;

    if (gather_open(&g, NULL, why) != 0)
        return -1;
    count = adopt(w, &journals);
    for (size_t i = 0; i < w->line_count; i++)
        sift_line(&s, w->lines[i].text, w->lines[i].known);
    for (size_t i = 0; i < count; i++)
        sift_journal(&s, &journals[i]);
    result = write_sorted(w, &g, &s, why);
    for (size_t i = 0; i < count; i++) {
        if (result == 0) {
            unlinkat(w->folder, journals[i].name, 0);
            drop_temporaries(w, journals[i].name);
        }
        close(journals[i].fd);
    }
    if (result == 0) {
        unlinkat(w->folder, w->journal, 0);
        drop_bodies(w, &s, &g);
    }
    *taken_out = s.taken_out;
    free(journals);
    free(s.text);
    arena_free(&s.arena);
    gather_free(&g);
    return result;
}
