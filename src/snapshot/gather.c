/*
 * The lines of a snapshot: those of snapshot.jsonl, which are sorted, and of what writers have kept since.
 *
 * Of each line only what it is looked up by is read (scan.h).  What is sorted is time, so that two programs that record
 * at once, and one after another, make one sequence.
 */
#include "snapshot/internal.h"

#include "snapshot/scan.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { NEWEST_FORMAT = 1 };

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
    free(g->texts);
    free(g->lines);
    redaction_free(&g->redaction);
    arena_free(&g->arena);
    *g = (struct snapshot_lines){ 0 };
}

bool gather_is_journal(const char *name)
{
    struct slice s = slice_of(name);

    return slice_starts_with(s, SLICE(JOURNAL_START)) && slice_ends_with(s, SLICE(".jsonl"));
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

static int add_line(struct snapshot_lines *g, struct slice text, bool of_journal)
{
    struct line_scan found;
    int64_t          seq = 0;

    if (!line_scan(text, &found, &g->arena) || (found.body.ptr != NULL && !line_body_name_is_valid(found.body)))
        return -1;
    MEM_ROOM(g->lines, g->capacity, g->count + 1);
    slice_to_int64(found.seq, &seq);
    g->lines[g->count] = (struct gathered_line){ .text = text,
                                                 .method = found.method,
                                                 .url = found.url,
                                                 .body = found.body,
                                                 .time = found.time,
                                                 .seq = (uint64_t)seq,
                                                 .order = g->count,
                                                 .of_journal = of_journal };
    g->count++;
    return 0;
}

static int add_text(struct snapshot_lines *g, char *text, size_t bytes, bool is_index, const char *name,
                    struct fault *why)
{
    struct slice all = { text, bytes };
    size_t       number = 0, at = 0;

    MEM_ROOM(g->texts, g->text_capacity, g->text_count + 1);
    g->texts[g->text_count++] = text;
    while (at < all.len) {
        size_t       end = slice_find(all, '\n', at);
        struct slice line = slice_trim(slice_sub(all, at, end));
        bool         cut = end == all.len && !is_index;

        at = end + 1;
        number++;
        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        if (line.len == 0 || cut)
            continue;
        if (is_index && number == 1) {
            if (read_first(g, line, why) != 0)
                return -1;
        } else if (add_line(g, line, !is_index) != 0) {
            return fault_set(why, "%s: line %zu is no exchange", name, number);
        }
    }
    return is_index && !g->is_there ? fault_set(why, "%s is empty: it is no snapshot", name) : 0;
}

int gather_read_index(struct snapshot_lines *g, struct snapshot_place *p, struct fault *why)
{
    size_t bytes;
    char  *text = snapshot_place_read(p, INDEX_NAME, INDEX_MOST_BYTES, &bytes, why);

    if (text == NULL)
        return why->text[0] != '\0' ? -1 : 0;
    return add_text(g, text, bytes, true, INDEX_NAME, why);
}

int gather_read_journal(struct snapshot_lines *g, struct snapshot_place *p, const char *name, struct fault *why)
{
    size_t bytes;
    char  *text = snapshot_place_read(p, name, INDEX_MOST_BYTES, &bytes, why);

    if (text == NULL)
        return why->text[0] != '\0' ? -1 : 0;
    return add_text(g, text, bytes, false, name, why);
}

int gather_add_journal(struct snapshot_lines *g, char *text, size_t bytes, const char *name, struct fault *why)
{
    return add_text(g, text, bytes, false, name, why);
}

int gather_read_journals(struct snapshot_lines *g, struct snapshot_place *p, struct fault *why)
{
    int  fd = snapshot_place_folder(p) >= 0 ? openat(snapshot_place_folder(p), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC)
                                            : -1;
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    struct dirent *entry;
    int            result = 0;

    while (folder != NULL && result == 0 && (entry = readdir(folder)) != NULL)
        if (gather_is_journal(entry->d_name))
            result = gather_read_journal(g, p, entry->d_name, why);
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
