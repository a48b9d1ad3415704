/*
 * Reads a configuration's files into one text: every `@include "FILE"` line
 * is replaced by that file, looked for beside the file that includes it, and
 * each line of the result remembers where it came from.
 */
#include "config/source.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

enum { INCLUDE_DEPTH = 10, FILE_BYTES_MAX = 8 << 20 };

struct builder { /* malloc'd while it grows */
    char                *text;
    size_t               used, room;
    struct source_place *lines;
    unsigned             line_count, line_room;
    struct arena        *arena;
    struct problems     *problems;
    unsigned            *rank;
    unsigned             depth;

    const struct source_part *parts; /* of a text that is no file; NULL: a file is read */
};

static void add_line(struct builder *b, struct slice line, struct source_place place)
{
    MEM_ROOM(b->text, b->room, b->used + line.len + 2);
    memcpy(b->text + b->used, line.ptr, line.len);
    b->used += line.len;
    b->text[b->used++] = '\n'; /* libconfig wants one after a last comment */
    MEM_ROOM(b->lines, b->line_room, b->line_count + 1);
    b->lines[b->line_count++] = place;
}

/* All of a file, NUL-terminated, in the arena; ptr NULL and errno set where it cannot be read. */
static struct slice slurp(const char *file, struct arena *arena)
{
    struct slice got = SLICE_NONE;
    size_t       bytes;
    int          fd = open(file, O_RDONLY | O_CLOEXEC); /* a pipe will do */
    char        *text = fd >= 0 ? file_read_all_unless_interrupted(fd, FILE_BYTES_MAX, &bytes) : NULL;
    int          saved = errno;

    if (text != NULL)
        got = arena_copy(arena, (struct slice){ text, bytes });
    free(text);
    if (fd >= 0)
        close(fd);
    errno = saved;
    return got;
}

/* The FILE of a line that is nothing but `@include "FILE"` and perhaps a comment. */
static bool include_of(struct slice line, struct slice *file)
{
    struct slice rest = slice_trim(line);
    size_t       quote;

    if (!slice_starts_with(rest, SLICE("@include")))
        return false;
    rest = slice_trim(slice_sub(rest, 8, rest.len));
    if (rest.len < 2 || rest.ptr[0] != '"')
        return false;
    quote = slice_find(rest, '"', 1);
    if (quote == rest.len)
        return false;
    *file = slice_sub(rest, 1, quote);
    rest = slice_trim(slice_sub(rest, quote + 1, rest.len));
    return rest.len == 0 || rest.ptr[0] == '#' || slice_starts_with(rest, SLICE("//"));
}

static bool add_file(struct builder *b, const char *file, const struct source_place *included_at);
static bool add_text(struct builder *b, const char *name, struct slice text);

static bool add_include(struct builder *b, struct slice name, struct source_place at)
{
    const char *slash = strrchr(at.file, '/');
    const char *file;

    if (b->depth >= INCLUDE_DEPTH) {
        problem_error(b->problems, at, NULL,
                      "@include: files include one another more than %d deep; "
                      "does one include itself?",
                      INCLUDE_DEPTH);
        return false;
    }
    for (const struct source_part *p = b->parts; p != NULL && p->name != NULL; p++)
        if (slice_eq(name, slice_of(p->name)))
            return add_text(b, p->name, slice_of(p->text));
    if (name.len > 0 && name.ptr[0] == '/')
        file = arena_copy(b->arena, name).ptr;
    else
        file = arena_printf(b->arena, "%.*s" SLICE_FMT, slash != NULL ? (int)(slash - at.file + 1) : 0, at.file,
                            SLICE_ARG(name))
                   .ptr;
    return add_file(b, file, &at);
}

/* The first byte that is not UTF-8 (RFC 3629 4); the line's length where there is none. */
static size_t first_strange(struct slice line)
{
    size_t i = 0;

    while (i < line.len) {
        unsigned char c = (unsigned char)line.ptr[i], low = 0x80, high = 0xbf;
        size_t        more = c < 0x80                 ? 0
                             : c >= 0xc2 && c <= 0xdf ? 1
                             : (c & 0xf0) == 0xe0     ? 2
                             : c >= 0xf0 && c <= 0xf4 ? 3
                                                      : SIZE_MAX;

        if (more == SIZE_MAX || more > line.len - i - 1)
            return i;
        low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : low;
        high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : high;
        for (size_t k = 1; k <= more; k++, low = 0x80, high = 0xbf)
            if ((unsigned char)line.ptr[i + k] < low || (unsigned char)line.ptr[i + k] > high)
                return i;
        i += more + 1;
    }
    return i;
}

static bool is_plain_text(struct builder *b, struct slice line, struct source_place place)
{
    size_t at = first_strange(line);

    if (memchr(line.ptr, '\0', line.len) != NULL) {
        problem_error(b->problems, place, NULL, "a NUL byte; a configuration is plain text");
        return false;
    }
    if (at == line.len)
        return true;
    problem_error(b->problems, place, NULL, "byte %zu of this line (0x%02x) is not UTF-8; save the file as UTF-8",
                  at + 1, (unsigned char)line.ptr[at]);
    return false;
}

static bool add_text(struct builder *b, const char *name, struct slice text)
{
    struct source_place place = { name, 0, 0 };
    size_t              at = 0, past = 0; /* past the comment or text that was last met */
    bool                good = true;

    if (slice_starts_with(text, SLICE("\xef\xbb\xbf"))) /* a byte order mark */
        text = slice_sub(text, 3, text.len);
    while (at < text.len) {
        size_t       end = slice_find(text, '\n', at);
        struct slice line = slice_sub(text, at, end), file;

        if (line.len > 0 && line.ptr[line.len - 1] == '\r')
            line.len--;
        place.line++;
        place.rank = (*b->rank)++;
        if (!is_plain_text(b, line, place))
            return false;
        if (past <= at && include_of(line, &file)) {
            good = add_include(b, file, place) && good;
        } else {
            add_line(b, line, place);
            for (size_t i = past > at ? past : at; i<end; i = past> i ? past : i + 1)
                past = source_past(text, i);
        }
        at = end + 1;
    }
    return good;
}

static bool add_file(struct builder *b, const char *file, const struct source_place *included_at)
{
    struct slice text = slurp(file, b->arena);
    bool         good;

    if (text.ptr == NULL) {
        int                 why = errno;
        struct source_place whole = { file, 0, *b->rank };

        if (included_at != NULL)
            problem_error(b->problems, *included_at, NULL,
                          "@include: %s cannot be read: %s; a relative "
                          "name is looked for beside the file that includes it",
                          file, strerror(why));
        else
            problem_error(b->problems, whole, NULL, "cannot be read: %s", strerror(why));
        return false;
    }
    b->depth++;
    good = add_text(b, file, text);
    b->depth--;
    return good;
}

static void finish(struct builder *b, struct source *out, const char *name)
{
    if (b->line_count == 0)
        add_line(b, SLICE(""), (struct source_place){ name, 1, (*b->rank)++ });
    out->text = arena_alloc(b->arena, b->used + 1);
    memcpy(out->text, b->text, b->used);
    out->bytes = b->used;
    out->lines = arena_alloc(b->arena, b->line_count * sizeof out->lines[0]);
    memcpy(out->lines, b->lines, b->line_count * sizeof out->lines[0]);
    out->line_count = b->line_count;
    free(b->text);
    free(b->lines);
}

bool source_read(struct source *out, const char *file, struct arena *arena, struct problems *problems, unsigned *rank)
{
    struct builder b = { .arena = arena, .problems = problems, .rank = rank };
    const char    *name = arena_copy(arena, slice_of(file)).ptr;
    bool           good = add_file(&b, name, NULL);

    finish(&b, out, name);
    return good;
}

bool source_of_text(struct source *out, const char *name, struct slice text, const struct source_part *parts,
                    struct arena *arena, struct problems *problems, unsigned *rank)
{
    struct builder b = { .arena = arena, .problems = problems, .rank = rank, .parts = parts };
    bool           good = add_text(&b, name, text);

    finish(&b, out, name);
    return good;
}
