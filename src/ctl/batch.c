/*
 * weirctl batch: many requests in one, from lines of URLs or items; answers as lines, or each body in a file.
 */
#include "ctl/exchange.h"
#include "ctl/text.h"

#include "base/arena.h"
#include "base/clock.h"
#include "http/json_member.h"

#include <errno.h>
#include <signal.h>
#include <sodium.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { EXIT_SOME_FAILED = 3, EXIT_INTERRUPTED = 130, BAR_COLUMNS = 20 };

static const struct command_option options[] = {
    { "order", 0, "input|completed", "as they were asked (the default), or as they are done" },
    { "take", 0, "N", "only the first so many that are acceptable; the rest is dropped" },
    { "accept", 0, "STATUS", "what is acceptable, such as 2xx,404; 2xx without it" },
    { "concurrency", 0, "N", "so many at one time at most" },
    { "max-wait", 0, "DURATION", "how long one may wait for its budget; without it for ever" },
    { "resume", 0, "FILE", "go on where an earlier run stopped: skip what FILE holds, and add the rest to it" },
    { "output", 'o', "DIRECTORY", "each body to a file of its own there, named by its id" },
    { NULL, 0, NULL, NULL },
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    is_interrupted = 1;
}

struct batch_run {
    const struct ctl    *ctl;
    struct exchange_with to;
    FILE                *in, *out; /* lines */
    const char          *directory;
    json_t              *held; /* ids that need not be asked again; NULL: no --resume */
    unsigned long long   asked, skipped, done, failed, hits;
    bool                 ended, broken;
    unsigned             columns; /* of the terminal that shows a bar; 0: there is none */
    int64_t              drawn_ns;
    /* As the daemon has told it: */
    double  left_s; /* less than 0: not known */
    int64_t told_ns;
    json_t *waits; /* upstream, limit; NULL: for nothing */
};

/* -- what an earlier run has -- */

static json_t *load(const char *text, size_t bytes)
{
    return json_loadb(text, bytes, JSON_DECODE_ANY | JSON_DECODE_INT_AS_REAL | JSON_ALLOW_NUL, NULL);
}

/* Numbers and strings apart: 1 and "1" are two. */
static char *id_text(const json_t *id)
{
    char number[32];

    if (!json_is_real(id))
        return json_dumps(id, JSON_ENCODE_ANY | JSON_COMPACT);
    snprintf(number, sizeof number, "%.0f", json_real_value(id));
    return mem_copy(slice_of(number));
}

static void hold(struct batch_run *r, const char *line, size_t bytes)
{
    json_t *entry = load(line, bytes), *id = json_object_get(entry, "id");
    char   *text = id != NULL && json_object_get(entry, "error") == NULL ? id_text(id) : NULL;

    if (text != NULL)
        json_object_set_new(r->held, text, json_true());
    free(text);
    json_decref(entry);
}

/* A line that broke off is cut: what it says would be said again. */
static bool read_earlier(struct batch_run *r, const char *path)
{
    char   *line = NULL;
    size_t  capacity = 0;
    ssize_t n;
    off_t   whole = 0;

    r->out = fopen(path, "a+");
    if (r->out == NULL) {
        fprintf(stderr, "weirctl: %s: %s\n", path, strerror(errno));
        return false;
    }
    rewind(r->out);
    r->held = json_object();
    while ((n = getline(&line, &capacity, r->out)) > 0 && line[n - 1] == '\n') {
        hold(r, line, (size_t)n);
        whole += n;
    }
    free(line);
    if (n > 0 && ftruncate(fileno(r->out), whole) != 0) {
        fprintf(stderr, "weirctl: %s: its last line is not whole, and cannot be cut: %s\n", path, strerror(errno));
        return false;
    }
    fseek(r->out, 0, SEEK_END);
    return true;
}

/* -- what is asked -- */

/* The id that a line gives itself; NULL: none. */
static char *own_id(const char *line, size_t bytes)
{
    json_t *item = line[0] == '{' ? load(line, bytes) : NULL, *id = json_object_get(item, "id");
    char   *text = id != NULL ? id_text(id) : NULL;

    json_decref(item);
    return text;
}

/* With its number as id, so that it is the same one in every run. */
static bool send_numbered(struct batch_run *r, const char *line, size_t bytes, const char *number)
{
    struct arena a = { 0 };
    struct slice text;
    json_t      *url;
    char        *quoted;
    bool         ok;

    if (line[0] == '{') {
        text = arena_printf(&a, "{\"id\":%s,%.*s\n", number, (int)bytes - 1, line + 1);
    } else {
        url = line[0] == '"' ? load(line, bytes) : json_stringn(line, bytes);
        quoted = json_dumps(url, JSON_ENCODE_ANY);
        text = arena_printf(&a, "{\"id\":%s,\"url\":%s}\n", number, quoted != NULL ? quoted : "\"\"");
        free(quoted);
        json_decref(url);
    }
    ok = exchange_send(&r->to, text.ptr, text.len);
    arena_free(&a);
    return ok;
}

static bool send_line(struct batch_run *r, char *line, size_t bytes, unsigned long long index)
{
    char  number[32];
    char *id = own_id(line, bytes);
    bool  ok = true, has_id = id != NULL;

    snprintf(number, sizeof number, "%llu", index);
    if (r->held != NULL && json_object_get(r->held, has_id ? id : number) != NULL) {
        r->skipped++;
    } else {
        r->asked++;
        line[bytes] = '\n';
        ok = r->held != NULL && !has_id ? send_numbered(r, line, bytes, number)
                                        : exchange_send(&r->to, line, bytes + 1);
    }
    free(id);
    return ok;
}

static void send_all(struct batch_run *r)
{
    char              *line = NULL;
    size_t             capacity = 0;
    ssize_t            n;
    unsigned long long index = 0;
    bool               ok = true;

    while (ok && !is_interrupted && (n = getline(&line, &capacity, r->in)) >= 0) {
        char *from = line;

        while (n > 0 && strchr(" \t\r\n", line[n - 1]) != NULL)
            n--;
        while (n > 0 && (*from == ' ' || *from == '\t')) {
            from++;
            n--;
        }
        if (n > 0)
            ok = send_line(r, from, (size_t)n, index++);
    }
    free(line);
}

/* -- what comes -- */

static void tell_limit(const struct batch_run *r, FILE *out)
{
    const char *upstream = json_string_value(json_object_get(r->waits, "upstream"));
    const char *limit = json_string_value(json_object_get(r->waits, "limit"));

    if (upstream == NULL || limit == NULL)
        return;
    fprintf(out, ", waiting for %s ", strcmp(limit, "queue") == 0 ? "a place at" : "the limit of");
    text_print(out, upstream, strlen(upstream), 0);
    if (strcmp(limit, "queue") == 0)
        return;
    fputs(": ", out);
    text_print(out, limit, strlen(limit), 0); /* an API may have named it */
}

/* How far it is, in words; to be freed. */
static char *tell(const struct batch_run *r, bool last, bool with_limit)
{
    double left_s = r->left_s - (double)(clock_mono_ns() - r->told_ns) / NS_PER_SEC;
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *out = open_memstream(&text, &bytes);

    fprintf(out, "%llu of %llu, %llu hits, %llu failed", r->done, r->asked, r->hits, r->failed);
    if (!last && r->left_s >= 0)
        fprintf(out, ", %s left", ctl_duration(left_s > 0 ? left_s : 0));
    if (!last && with_limit)
        tell_limit(r, out);
    fclose(out);
    return text;
}

/* The words, and the bar before them where there is room for both. */
static void draw(struct batch_run *r, bool last)
{
    int64_t now_ns = clock_mono_ns();
    int     full = r->asked > 0 ? (int)(r->done * BAR_COLUMNS / r->asked) : BAR_COLUMNS;
    char   *text;

    if (r->columns == 0 || (!last && now_ns - r->drawn_ns < NS_PER_SEC / 10))
        return;
    r->drawn_ns = now_ns;
    text = tell(r, last, true);
    if (strlen(text) >= r->columns) {
        free(text);
        text = tell(r, last, false);
    }
    fputc('\r', stderr);
    if (strlen(text) + BAR_COLUMNS + 3 < r->columns)
        fprintf(stderr, "[%.*s%*s] ", full, "####################", BAR_COLUMNS - full, "");
    text_print_fitted(stderr, text, r->columns - 1, 0);
    fputs(last ? "\033[K\n" : "\033[K", stderr);
    free(text);
}

static void take_progress(struct batch_run *r, const json_t *p)
{
    const json_t *eta = json_object_get(p, "eta");

    json_decref(r->waits);
    r->waits = json_incref(json_object_get(p, "waits"));
    r->left_s = json_is_number(eta) ? json_number_value(eta) : -1;
    r->told_ns = clock_mono_ns();
}

/* Of what the id says only what cannot lead out of the directory. */
static FILE *open_file(const struct batch_run *r, const json_t *id)
{
    char *text = json_is_string(id) ? mem_copy(slice_of(json_string_value(id))) : id_text(id), path[4096];

    for (char *p = text; *p != '\0'; p++)
        if (*p == '/' || (unsigned char)*p < 0x20 || *p == 0x7f || (p == text && *p == '.'))
            *p = '_';
    snprintf(path, sizeof path, "%s/%.200s", r->directory, *text != '\0' ? text : "_");
    free(text);
    return fopen(path, "w");
}

static bool write_body(const struct batch_run *r, const json_t *entry, const char *line, size_t bytes)
{
    const json_t *text = json_object_get(entry, "body_text"), *coded = json_object_get(entry, "body_base64");
    FILE         *f = open_file(r, json_object_get(entry, "id"));
    struct slice  raw;
    bool          ok = f != NULL;

    if (text != NULL) {
        ok = ok && fwrite(json_string_value(text), 1, json_string_length(text), f) == json_string_length(text);
    } else if (coded != NULL) {
        size_t         room = json_string_length(coded), n = 0;
        unsigned char *out = mem_alloc_raw(room + 1);

        ok = ok && sodium_base642bin(out, room, json_string_value(coded), room, NULL, &n, NULL,
                                     sodium_base64_VARIANT_ORIGINAL) == 0;
        ok = ok && fwrite(out, 1, n, f) == n;
        free(out);
    } else {
        raw = json_member((struct slice){ line, bytes }, SLICE("body"));
        ok = ok && (raw.len == 0 || fwrite(raw.ptr, 1, raw.len, f) == raw.len);
    }
    if (f != NULL && fclose(f) != 0)
        ok = false;
    if (!ok)
        fprintf(stderr, "weirctl: %s: a body could not be written: %s\n", r->directory, strerror(errno));
    return ok;
}

static void tell_failure(const struct batch_run *r, const json_t *entry)
{
    json_t     *id = json_object_get(entry, "id");
    char       *name = id_text(id);
    const char *detail = json_string_value(json_object_get(json_object_get(entry, "error"), "detail"));

    if (r->columns > 0)
        fputs("\r\033[K", stderr);
    fprintf(stderr, "weirctl: item ");
    text_print(stderr, name, strlen(name), 0);
    fprintf(stderr, ": %.0f ", json_number_value(json_object_get(entry, "status")));
    text_print(stderr, detail != NULL ? detail : "", detail != NULL ? strlen(detail) : 0, 0);
    fputc('\n', stderr);
    free(name);
}

static bool is_hit(const json_t *entry)
{
    const char *status = json_string_value(json_object_get(json_object_get(entry, "headers"), "cache-status"));

    return status != NULL && strstr(status, "weir; hit") != NULL;
}

static void take_entry(struct batch_run *r, const json_t *entry, const char *line, size_t bytes)
{
    bool has_failed = json_object_get(entry, "error") != NULL;

    r->done++;
    r->hits += is_hit(entry);
    r->failed += has_failed;
    if (r->directory != NULL && has_failed)
        tell_failure(r, entry);
    else if (r->directory != NULL)
        r->broken = !write_body(r, entry, line, bytes) || r->broken;
    else if (fwrite(line, 1, bytes, r->out) != bytes || fputc('\n', r->out) == EOF)
        r->broken = true;
}

static void take_line(struct batch_run *r, const char *line, size_t bytes)
{
    json_t *entry = load(line, bytes), *progress = json_object_get(entry, "progress");

    if (progress != NULL) {
        take_progress(r, progress);
    } else if (json_object_get(entry, "done") != NULL) {
        r->ended = true;
        r->failed = (unsigned long long)json_number_value(json_object_get(entry, "failed"));
        r->hits = (unsigned long long)json_number_value(json_object_get(entry, "hits"));
    } else if (json_object_get(entry, "id") != NULL) {
        take_entry(r, entry, line, bytes);
    }
    json_decref(entry);
    draw(r, false);
}

static int receive(struct batch_run *r)
{
    size_t      bytes;
    const char *line;

    if (!is_interrupted && exchange_read_head(&r->to) && r->to.status != 200) {
        exchange_print_problem(&r->to);
        return 1;
    }
    while (!is_interrupted && !r->broken && (line = exchange_read_line(&r->to, &bytes)) != NULL)
        take_line(r, line, bytes);
    draw(r, true);
    if (r->out != NULL && fflush(r->out) != 0)
        r->broken = true;
    if (is_interrupted)
        return EXIT_INTERRUPTED;
    if (r->broken) {
        fputs("weirctl: the answers could not be written\n", stderr);
        return 1;
    }
    if (!r->ended) {
        fprintf(stderr, "weirctl: the answer broke off after %llu of %llu; --resume goes on with the rest\n", r->done,
                r->asked);
        return 1;
    }
    return r->failed > 0 ? EXIT_SOME_FAILED : 0;
}

/* -- the command -- */

static void add_option(struct arena *a, struct slice *target, const struct ctl *c, const char *option, const char *name)
{
    const char *value = ctl_option(c, option, 0);
    char        coded[3 * 256 + 1], *p = coded;

    if (value == NULL)
        return;
    for (size_t i = 0; value[i] != '\0' && i < 256; i++)
        p += sprintf(p, "%%%02X", (unsigned char)value[i]);
    *p = '\0';
    *target = arena_printf(a, SLICE_FMT "&%s=%s", SLICE_ARG(*target), name, coded);
}

static bool open_files(struct batch_run *r)
{
    const struct ctl *c = r->ctl;
    const char       *path = c->argument_count > 0 ? c->arguments[0] : "-", *resume = ctl_option(c, "resume", 0);

    r->in = strcmp(path, "-") == 0 ? stdin : fopen(path, "r");
    if (r->in == NULL) {
        fprintf(stderr, "weirctl: %s: %s\n", path, strerror(errno));
        return false;
    }
    r->directory = ctl_option(c, "output", 0);
    if (r->directory != NULL && mkdir(r->directory, 0777) != 0 && errno != EEXIST) {
        fprintf(stderr, "weirctl: %s: %s\n", r->directory, strerror(errno));
        return false;
    }
    if (resume != NULL)
        return read_earlier(r, resume);
    r->out = stdout;
    return true;
}

static int run(const struct ctl *c)
{
    const struct sigaction interrupt = { .sa_handler = on_interrupt };
    struct batch_run       r = { .ctl = c, .to = { .fd = -1 }, .columns = text_columns(2), .left_s = -1 };
    struct arena           a = { 0 };
    struct slice           target = SLICE("/.weir/batch?progress=1s");
    int                    status = 1;

    add_option(&a, &target, c, "order", "order");
    add_option(&a, &target, c, "take", "take");
    add_option(&a, &target, c, "accept", "accept");
    add_option(&a, &target, c, "concurrency", "concurrency");
    add_option(&a, &target, c, "max-wait", "max_wait");
    sigaction(SIGINT, &interrupt, NULL);
    if (open_files(&r) && exchange_open_post(c, arena_copy(&a, target).ptr, "application/x-ndjson", &r.to)) {
        send_all(&r);
        if (r.asked > 0 || is_interrupted)
            status = receive(&r);
        else
            status = 0; /* nothing is left to ask */
    }
    exchange_end(&r.to);
    json_decref(r.held);
    json_decref(r.waits);
    arena_free(&a);
    return status;
}

const struct command command_batch = { "batch", "[FILE]", "ask many things at once: lines of URLs or items", 0, 1, run,
                                       0,       options };
