/*
 * weirctl import: recorded exchanges into the cache, out of a snapshot (folder or zip), a HAR or a WARC.
 *
 * The file is read here, with the rights of who asks; each exchange is one question to the daemon, which says what
 * became of it.
 */
#include "ctl/ctl.h"

#include "base/files.h"
#include "ctl/text.h"
#include "http/inflate.h"
#include "http/json_of.h"
#include "http/url.h"
#include "snapshot/archive.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

extern const struct command command_import;

enum {
    FILE_MOST_BYTES = 1024 * 1024 * 1024,
    BODY_MOST_BYTES = 1024 * 1024 * 1024,
    PIECE_BYTES = 64 * 1024,
    TOLD_MOST = 5
};

struct import_from {
    const struct ctl *ctl;
    const char       *as;
    uint64_t          stored, private, not_storable, too_large, no_answer, no_upstream;
    unsigned          told;
    bool              failed; /* the daemon is gone */
};

/* ---- one exchange ---- */

/* "{name}", also percent-encoded, or "***": a credential stood there. */
static bool is_masked(struct slice value)
{
    if (slice_eq(value, SLICE("***")))
        return true;
    if (value.len > 2 && value.ptr[0] == '{')
        return value.ptr[value.len - 1] == '}';
    return value.len > 6 && slice_eq_nocase(slice_sub(value, 0, 3), SLICE("%7B")) &&
           slice_eq_nocase(slice_sub(value, value.len - 3, value.len), SLICE("%7D"));
}

/* The URL without the parameters that were masked: no key holds them. */
static struct slice bare_url(struct slice url, bool *had_credential, struct arena *a)
{
    size_t       mark = slice_find(url, '?', 0);
    struct slice made = slice_sub(url, 0, mark), rest = slice_sub(url, mark + 1, url.len), parameter;
    bool         any = false, masked = false;

    while (mark < url.len && http_query_next(&rest, &parameter)) {
        if (is_masked(slice_sub(parameter, slice_find(parameter, '=', 0) + 1, parameter.len))) {
            masked = true;
            continue;
        }
        made = ARENA_JOIN(a, made, any ? SLICE("&") : SLICE("?"), parameter);
        any = true;
    }
    *had_credential = *had_credential || masked;
    return masked ? made : url;
}

static void tell_one(struct import_from *from, const struct archive_item *i, const char *why)
{
    if (from->told++ >= TOLD_MOST)
        return;
    fputs("weirctl: ", stderr);
    text_print(stderr, i->x.method.ptr, i->x.method.len, 0);
    fputc(' ', stderr);
    text_print(stderr, i->x.url.ptr, i->x.url.len, 0);
    fputs(": ", stderr);
    text_print(stderr, why, strlen(why), 0);
    fputc('\n', stderr);
}

static void count(struct import_from *from, const struct archive_item *i, const json_t *answer)
{
    const char *why = json_string_value(json_object_get(answer, "why")),
               *detail = json_string_value(json_object_get(answer, "detail"));
    bool misplaced;

    why = why != NULL ? why : "";
    misplaced = strcmp(why, "no-upstream") == 0 || strcmp(why, "wrong-owner") == 0;
    if (json_is_true(json_object_get(answer, "stored")))
        from->stored++;
    else if (strcmp(why, "private") == 0)
        from->private ++;
    else if (misplaced)
        from->no_upstream++;
    else
        from->not_storable++;
    if (misplaced)
        tell_one(from, i, detail != NULL ? detail : why);
}

static bool import_one(void *context, const struct archive_item *i)
{
    struct import_from *from = context;
    struct arena        a = { 0 };
    bool                had_credential = i->x.had_credential;
    struct slice        url = bare_url(i->x.url, &had_credential, &a);
    json_t             *question, *answer;

    if (i->x.status == 0 || i->x.end != SNAPSHOT_WHOLE) {
        from->no_answer++;
    } else if (i->came.len > BODY_MOST_BYTES) {
        from->too_large++;
    } else {
        question = json_pack("{s:o, s:o, s:I, s:I, s:i, s:o, s:o, s:b}", "method", json_of_text(i->x.method), "url",
                             json_of_text(url), "time", (json_int_t)i->x.time_ms, "took", (json_int_t)i->x.took_ms,
                             "status", (int)i->x.status, "request", json_of_fields(&i->x.request, json_of_text),
                             "fields", json_of_fields(&i->x.response, json_of_text), "private", had_credential);
        if (from->as != NULL)
            json_object_set_new(question, "as", json_string(from->as));
        answer = ctl_ask_with(from->ctl, "POST", "/import?body=after", question,
                              i->came.ptr != NULL ? i->came : SLICE(""));
        from->failed = answer == NULL;
        if (answer != NULL)
            count(from, i, answer);
        json_decref(answer);
    }
    arena_free(&a);
    return !from->failed;
}

/* ---- where they come from ---- */

static int import_snapshot(struct import_from *from, int fd, struct fault *why)
{
    struct snapshot_reader *s = snapshot_open(fd, NULL, why);
    int                     result = s != NULL ? 0 : -1;

    for (size_t n = 0; s != NULL && n < snapshot_count(s) && result == 0 && !from->failed; n++) {
        struct arena        a = { 0 };
        struct archive_item i = { .came = SLICE(""), .sent = SLICE("") };

        if (!snapshot_get(s, n, &i.x, &a, why))
            result = -1;
        else if (i.x.body.bytes > BODY_MOST_BYTES)
            from->too_large++;
        else if (!snapshot_body_all(s, &i.x.body, BODY_MOST_BYTES, &a, &i.came, why))
            result = -1;
        else
            import_one(from, &i);
        arena_free(&a);
    }
    snapshot_close(s);
    return result;
}

/* All of a file that is packed, as archives' mostly are. */
static char *unpacked(const char *text, size_t *bytes)
{
    struct inflater *in = inflater_open_coding(SLICE("gzip"));
    char            *plain = NULL;
    size_t           used = 0, room = 0, got;
    bool             sound = true;

    inflater_feed(in, text, *bytes);
    do {
        MEM_ROOM(plain, room, used + PIECE_BYTES);
        got = inflater_take(in, plain + used, PIECE_BYTES, &sound);
        used += got;
    } while (got > 0 && used < FILE_MOST_BYTES);
    inflater_close(in);
    *bytes = used;
    return plain;
}

static int import_text(struct import_from *from, struct slice text, struct fault *why)
{
    static const struct slice order_mark = { "\xef\xbb\xbf", 3 };

    if (slice_starts_with(text, SLICE("WARC/")))
        return archive_read_warc(text, import_one, from, why);
    if (slice_starts_with(text, order_mark))
        text = slice_sub(text, order_mark.len, text.len);
    text = slice_trim(text);
    if (slice_starts_with(text, SLICE("{")) || slice_starts_with(text, SLICE("\n")) ||
        slice_starts_with(text, SLICE("\r")))
        return archive_read_har(text, import_one, from, why);
    return fault_set(why, "it is none of these: a snapshot's folder or zip, a HAR, a WARC");
}

static int import_file(struct import_from *from, int fd, struct fault *why)
{
    size_t bytes;
    char  *text = file_read_all(fd, FILE_MOST_BYTES, &bytes), *plain;
    int    result;

    if (text == NULL)
        return fault_set_errno(why, errno, "it cannot be read");
    if (bytes > 2 && memcmp(text, "\x1f\x8b", 2) == 0) {
        plain = unpacked(text, &bytes);
        free(text);
        text = plain;
    }
    result = import_text(from, (struct slice){ text, bytes }, why);
    free(text);
    return result;
}

static int import_path(struct import_from *from, const char *path, struct fault *why)
{
    int         fd = open(path, O_RDONLY | O_CLOEXEC), result;
    struct stat st;
    char        start[3] = "";

    if (fd < 0 || fstat(fd, &st) != 0) {
        fault_set_errno(why, errno, "it cannot be opened");
        if (fd >= 0)
            close(fd);
        return -1;
    }
    if (S_ISDIR(st.st_mode) || (pread(fd, start, 2, 0) == 2 && strcmp(start, "PK") == 0))
        result = import_snapshot(from, fd, why);
    else
        result = import_file(from, fd, why);
    close(fd);
    return result;
}

/* ---- what became of them ---- */

static void tell_left(uint64_t n, const char *why)
{
    if (n > 0)
        printf("left out %" PRIu64 ": %s\n", n, why);
}

static void tell(const struct ctl *c, const struct import_from *from)
{
    json_t *answer = json_pack("{s:I, s:I, s:I, s:I, s:I, s:I}", "imported", (json_int_t)from->stored, "private",
                               (json_int_t)from->private, "not_storable", (json_int_t)from->not_storable, "too_large",
                               (json_int_t)from->too_large, "no_answer", (json_int_t)from->no_answer, "no_upstream",
                               (json_int_t)from->no_upstream);

    if (!ctl_print_json(c, answer)) {
        printf("imported %" PRIu64 " responses\n", from->stored);
        tell_left(from->private, "asked with a credential, or private (--as says whose they become)");
        tell_left(from->not_storable, "no cache may keep them, or there is no room");
        tell_left(from->too_large, "their bodies have more than 1 GiB");
        tell_left(from->no_answer, "without a whole answer");
    }
    json_decref(answer);
}

static int run(const struct ctl *c)
{
    struct import_from from = { .ctl = c, .as = c->as };
    struct fault       why = { "" };
    int                result;

    if (from.as != NULL && strcmp(from.as, "shared") != 0 && strncmp(from.as, "auth:", 5) != 0) {
        fputs("weirctl: --as is shared, or auth:UPSTREAM\n", stderr);
        return ctl_use_wrongly(&command_import);
    }
    result = import_path(&from, c->arguments[0], &why);
    if (from.failed)
        return 1; /* it has been said why */
    if (result != 0)
        fprintf(stderr, "weirctl: %s: %s\n", c->arguments[0], why.text);
    if (from.told > TOLD_MOST)
        fprintf(stderr, "weirctl: and %u more like these\n", from.told - TOLD_MOST);
    if (result == 0 || from.stored > 0)
        tell(c, &from);
    return result == 0 && from.no_upstream == 0 ? 0 : 1;
}

const struct command command_import = { "import",    "FILE", "a snapshot, HAR or WARC into the cache", 1, 1, run,
                                        NAMES_OWNER, NULL };
