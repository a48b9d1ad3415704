/*
 * weirctl export: stored responses as a snapshot, or in the format of a browser's tools or of an archive.
 *
 * The daemon hands out what is stored, a line for each; the files are made here, with the rights of who asks.
 */
#include "ctl/rows.h"

#include "base/clock.h"
#include "base/files.h"
#include "snapshot/archive.h"

#include <sodium.h>

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct command command_export;

static const struct command_option options[] = {
    { "format", 'f', "snapshot|har|warc", "what weirctl run --replay takes (the default), or one file" },
    { "output", 'o', "FILE", "the folder, the zip (NAME.zip) or the file that is made" },
    { "upstream", 'u', "UPSTREAM", "only what came from that upstream" },
    { "config", 'c', "FILE", "of the weir with that configuration, running or not" },
    { NULL, 0, NULL, NULL },
};

struct export_to {
    const char             *path;
    struct snapshot_writer *snapshot;
    struct archive_writer  *archive;
    FILE                   *file;
    char                   *packed; /* a folder that becomes the zip at `path`; NULL: there is none */
    int                     folder;
    uint64_t                written, refused;
};

/* -- a line -- */

static struct slice text_of(const json_t *j)
{
    return json_is_string(j) ? (struct slice){ json_string_value(j), json_string_length(j) } : SLICE_NONE;
}

static struct http_fields fields_of(const json_t *list, struct arena *a)
{
    struct http_fields f = { 0 };
    size_t             i;
    json_t            *pair;

    json_array_foreach(list, i, pair)
    {
        struct slice name = text_of(json_array_get(pair, 0)), value = text_of(json_array_get(pair, 1));

        if (name.ptr != NULL && value.ptr != NULL && http_is_token(name) && http_is_field_value(value))
            http_fields_add(&f, a, name, value);
    }
    return f;
}

static bool item_of(const json_t *j, struct archive_item *i, struct arena *a)
{
    struct slice coded = text_of(json_object_get(j, "body"));
    char        *body = arena_alloc_raw(a, coded.len + 1);
    size_t       bytes;

    if (coded.ptr == NULL || sodium_base642bin((unsigned char *)body, coded.len + 1, coded.ptr, coded.len, NULL, &bytes,
                                               NULL, sodium_base64_VARIANT_ORIGINAL) != 0)
        return false;
    *i = (struct archive_item){ .came = { body, bytes } };
    i->x.method = text_of(json_object_get(j, "method"));
    i->x.url = text_of(json_object_get(j, "url"));
    i->x.time_ms = json_integer_value(json_object_get(j, "time"));
    i->x.took_ms = json_integer_value(json_object_get(j, "took"));
    i->x.status = (unsigned)json_integer_value(json_object_get(j, "status"));
    i->x.had_credential = json_is_true(json_object_get(j, "private"));
    i->x.request = fields_of(json_object_get(j, "request"), a);
    i->x.response = fields_of(json_object_get(j, "fields"), a);
    return i->x.method.ptr != NULL && i->x.url.ptr != NULL &&
           (int64_t)bytes == json_integer_value(json_object_get(j, "bytes"));
}

/* False: the disk. */
static bool keep(struct export_to *to, const struct archive_item *i)
{
    struct snapshot_recording *r;
    struct fault               why;

    if (to->archive != NULL) {
        if (archive_writer_add(to->archive, i))
            to->written++;
        else
            to->refused++;
        return !ferror(to->file);
    }
    r = snapshot_record(to->snapshot, i->x.method, i->x.url, &i->x.request, i->x.time_ms);
    if (i->x.had_credential)
        snapshot_record_secret(r, SLICE(""));
    snapshot_record_head(r, i->x.status, &i->x.response);
    snapshot_record_came(r, i->came.ptr, i->came.len, -1);
    switch (snapshot_record_end(r, SNAPSHOT_WHOLE, SLICE(""), i->x.took_ms, &why)) {
    case SNAPSHOT_KEPT:
        to->written++;
        return true;
    case SNAPSHOT_SECRET:
        to->refused++;
        fprintf(stderr, "weirctl: %s\n", why.text);
        return true;
    default:
        fprintf(stderr, "weirctl: %s\n", why.text);
        return false;
    }
}

/* -1: the answer is not whole; else how many bodies are lost. */
static int64_t keep_all(struct export_to *to, FILE *in)
{
    char   *line = NULL;
    size_t  room = 0;
    int64_t lost = -1;
    bool    good = true;

    while (good && lost < 0 && getline(&line, &room, in) > 0) {
        json_t             *j = json_loads(line, 0, NULL);
        struct arena        a = { 0 };
        struct archive_item i;

        if (json_object_get(j, "exported") != NULL)
            lost = json_integer_value(json_object_get(j, "lost"));
        else
            good = j != NULL && item_of(j, &i, &a) && keep(to, &i);
        json_decref(j);
        arena_free(&a);
    }
    free(line);
    return good ? lost : -1;
}

/* -- where it goes -- */

static bool cannot_be_made(const struct export_to *to)
{
    fprintf(stderr, "weirctl: %s cannot be made: %s\n", to->path, strerror(errno));
    return false;
}

static bool begin_archive(struct export_to *to, enum archive_kind kind)
{
    to->file = fopen(to->path, "wxe");
    if (to->file == NULL)
        return cannot_be_made(to);
    to->archive = archive_writer_open(kind, to->file, clock_wall_ns() / NS_PER_MS);
    return true;
}

/* What becomes a zip is a folder beside it first, of nobody else's. */
static bool make_folder(struct export_to *to)
{
    if (!slice_ends_with(slice_of(to->path), SLICE(".zip"))) {
        if (mkdir(to->path, 0777) != 0 && errno != EEXIST)
            return cannot_be_made(to);
        return true;
    }
    errno = EEXIST;
    if (access(to->path, F_OK) == 0 || asprintf(&to->packed, "%s.XXXXXX", to->path) < 0)
        return cannot_be_made(to);
    if (mkdtemp(to->packed) != NULL)
        return true;
    free(to->packed);
    to->packed = NULL;
    return cannot_be_made(to);
}

static bool begin(struct export_to *to, const char *format)
{
    struct fault why;

    if (strcmp(format, "snapshot") != 0)
        return begin_archive(to, strcmp(format, "har") == 0 ? ARCHIVE_HAR : ARCHIVE_WARC);
    if (!make_folder(to))
        return false;
    to->folder = open(to->packed != NULL ? to->packed : to->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (to->folder < 0) {
        fprintf(stderr, "weirctl: %s: %s\n", to->path, strerror(errno));
        return false;
    }
    to->snapshot = snapshot_writer_open(to->folder, NULL, &why);
    if (to->snapshot == NULL)
        fprintf(stderr, "weirctl: %s: %s\n", to->path, why.text);
    return to->snapshot != NULL;
}

/* `good`: all of it has come. */
static bool end_snapshot(struct export_to *to, bool good)
{
    struct fault why;

    if (to->snapshot != NULL && (snapshot_writer_close(to->snapshot, NULL, &why) == SNAPSHOT_FAILED ||
                                 (good && to->packed != NULL && snapshot_pack(to->packed, to->path, &why) != 0))) {
        fprintf(stderr, "weirctl: %s: %s\n", to->path, why.text);
        good = false;
    }
    if (to->folder >= 0)
        close(to->folder);
    if (to->packed != NULL)
        file_remove_tree(to->packed);
    free(to->packed);
    return good;
}

static bool end(struct export_to *to, bool good)
{
    bool written = to->archive == NULL || archive_writer_close(to->archive);

    if (to->file != NULL && (fclose(to->file) != 0 || !written)) {
        fprintf(stderr, "weirctl: %s cannot be written: %s\n", to->path, strerror(errno));
        good = false;
    }
    return end_snapshot(to, good);
}

static void tell(const struct ctl *c, const struct export_to *to, int64_t lost)
{
    json_t *answer = json_pack("{s:I, s:I, s:I, s:s}", "exported", (json_int_t)to->written, "left_out",
                               (json_int_t)to->refused, "lost", (json_int_t)lost, "path", to->path);

    if (!ctl_print_json(c, answer))
        printf("exported %" PRIu64 " responses to %s%s\n", to->written, to->path,
               to->refused > 0 ? ", and left out what holds a credential" : "");
    if (lost > 0)
        fprintf(stderr, "weirctl: %" PRId64 " stored bodies are gone or damaged, and were passed over\n", lost);
    json_decref(answer);
}

static int run(const struct ctl *c)
{
    const char       *format = ctl_option(c, "format", 0);
    struct export_to  to = { .path = ctl_option(c, "output", 0), .folder = -1 };
    struct rows_path  p;
    struct ctl_answer a;
    char             *path;
    int64_t           lost = -1;
    bool              good;

    format = format != NULL ? format : "snapshot";
    if (to.path == NULL ||
        (strcmp(format, "snapshot") != 0 && strcmp(format, "har") != 0 && strcmp(format, "warc") != 0)) {
        fprintf(stderr, to.path == NULL ? "weirctl: -o PATH says what is made\n"
                                        : "weirctl: --format is snapshot, har or warc\n");
        return ctl_use_wrongly(&command_export);
    }
    rows_path_begin(&p, "/export");
    rows_path_add(&p, "url", c->argument_count > 0 ? c->arguments[0] : NULL);
    rows_path_add(&p, "upstream", ctl_option(c, "upstream", 0));
    path = rows_path_end(&p);
    good = ctl_open(c, "GET", path, NULL, true, &a);
    free(path);
    if (!good)
        return 1;
    good = begin(&to, format);
    if (good && (lost = keep_all(&to, a.in)) < 0)
        fprintf(stderr, "weirctl: the export was broken off: %s is not whole\n", to.path);
    ctl_close(&a);
    good = end(&to, good && lost >= 0);
    if (good)
        tell(c, &to, lost);
    return good ? 0 : 1;
}

const struct command command_export = { "export", "[GLOB]", "what is stored as a snapshot, HAR or WARC", 0, 1, run,
                                        0,        options };
