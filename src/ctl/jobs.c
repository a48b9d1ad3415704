/*
 * weirctl jobs: the caller's own requests that are answered later: their states, results, waiting, cancelling.
 */
#include "ctl/exchange.h"
#include "ctl/paint.h"
#include "ctl/text.h"

#include "base/arena.h"
#include "base/clock.h"

#include <ctype.h>
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum {
    ID_LENGTH = 26,
    EXIT_FAILED = 3,
    EXIT_INTERRUPTED = 130,
    NARROW = 80,
    TARGET_AT = 59, /* the column where a listed job's target begins */
    AGAIN_MOST = 60 /* seconds that a daemon may take to be there again */
};

extern const struct command command_jobs;

static const struct command_option options[] = {
    { "state", 0, "queued|running|done|failed|cancelled", "list: those alone" },
    { "header", 'H', "'K: V'",
      "a field that the jobs' requests had as well: with a credential of a client's own, jobs are that credential's; "
      "@FILE: "
      "lines of FILE; may be said several times" },
    { NULL, 0, NULL, NULL },
};

static volatile sig_atomic_t is_interrupted;

static void on_interrupt(int signal)
{
    (void)signal;
    is_interrupted = 1;
}

struct asker {
    const struct ctl    *ctl;
    const char          *address;
    struct slice         fields; /* lines */
    struct arena         arena;
    struct exchange_with to;
};

/* -- asking -- */

static bool add_field(struct asker *a, const char *line)
{
    size_t bytes = strcspn(line, "\r\n");

    if (bytes == 0)
        return true;
    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)line[i] < 0x20 && line[i] != '\t')
            bytes = 0;
    if (bytes == 0 || memchr(line, ':', bytes) == NULL || line[0] == ':') {
        fputs("weirctl: --header is \"Name: value\", or @FILE with such lines\n", stderr); /* it may be a secret */
        return false;
    }
    a->fields = arena_printf(&a->arena, SLICE_FMT "%.*s\r\n", SLICE_ARG(a->fields), (int)bytes, line);
    return true;
}

static bool add_file(struct asker *a, const char *path)
{
    FILE  *in = fopen(path, "r");
    char  *line = NULL;
    size_t room = 0;
    bool   ok = in != NULL;

    if (in == NULL)
        fprintf(stderr, "weirctl: %s: %s\n", path, strerror(errno));
    while (ok && getline(&line, &room, in) >= 0)
        ok = add_field(a, line);
    free(line);
    if (in != NULL)
        fclose(in);
    return ok;
}

static bool begin(struct asker *a, const struct ctl *c)
{
    const char *said;

    *a = (struct asker){ .ctl = c, .fields = SLICE(""), .to = { .fd = -1 } };
    for (unsigned i = 0; (said = ctl_option(c, "header", i)) != NULL; i++)
        if (!(said[0] == '@' ? add_file(a, said + 1) : add_field(a, said)))
            return false;
    a->address = exchange_address(c, &a->arena);
    return a->address != NULL;
}

static void end(struct asker *a)
{
    exchange_end(&a->to);
    arena_free(&a->arena);
}

/* `more`: fields for this request, lines. False: a line on standard error has said why, but for `quiet`. */
static bool ask(struct asker *a, const char *method, const char *path, const char *more, bool quiet)
{
    struct slice fields = arena_printf(&a->arena, SLICE_FMT "%s", SLICE_ARG(a->fields), more);

    exchange_end(&a->to);
    return exchange_ask(a->address, method, path, fields.ptr, quiet, &a->to);
}

/* Of an answer that is JSON; NULL: a line on standard error has said why there is none. */
static json_t *read_json(struct asker *a)
{
    json_t *answer;
    char   *text;
    size_t  bytes;

    if (a->to.status >= 300) {
        exchange_print_problem(&a->to);
        return NULL;
    }
    text = exchange_read_all(&a->to, &bytes);
    answer = text != NULL ? json_loadb(text, bytes, 0, NULL) : NULL;
    free(text);
    if (answer == NULL)
        fputs("weirctl: the daemon's answer broke off\n", stderr);
    return answer;
}

/* -- what is said of one -- */

static const char *string(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "";
}

/* "2026-11-27T23:10:04Z"; 0: none. */
static time_t time_of(const json_t *job, const char *name)
{
    struct tm parts = { 0 };

    return strptime(string(job, name), "%Y-%m-%dT%H:%M:%SZ", &parts) != NULL ? timegm(&parts) : 0;
}

/* "in 2m", "5s ago": when it will have been asked, or when it ended. */
static void print_when(const json_t *job, char *out, size_t room)
{
    const time_t ended = time_of(job, "ended"), eta = time_of(job, "eta"), now = clock_wall_ns() / NS_PER_SEC;

    if (ended != 0)
        snprintf(out, room, "%s ago", ctl_duration(now > ended ? (double)(now - ended) : 0));
    else if (eta != 0)
        snprintf(out, room, "in %s", ctl_duration(eta > now ? (double)(eta - now) : 0));
    else
        snprintf(out, room, "-");
}

static bool has_failed(const json_t *job)
{
    return strcmp(string(job, "state"), "failed") == 0 || strcmp(string(job, "state"), "cancelled") == 0;
}

static enum paint paint_of(const json_t *job)
{
    return has_failed(job) ? PAINT_RED : strcmp(string(job, "state"), "done") == 0 ? PAINT_GREEN : PAINT_YELLOW;
}

static void print_status(const json_t *job, char *out, size_t room)
{
    const json_t *status = json_object_get(job, "status");

    if (json_is_integer(status))
        snprintf(out, room, "%lld", (long long)json_integer_value(status));
    else
        snprintf(out, room, "-");
}

static void print_row(const json_t *job, unsigned columns)
{
    char         when[32], status[24];
    struct arena a = { 0 };
    struct slice what = arena_printf(&a, "%s %s", string(job, "method"), string(job, "target"));

    print_when(job, when, sizeof when);
    print_status(job, status, sizeof status);
    printf("%-26.26s %s%-9.9s%s %-6s %-14s ", string(job, "id"), paint_begin(paint_of(job)), string(job, "state"),
           paint_end(), status, when);
    text_print_fitted(stdout, what.ptr,
                      columns > TARGET_AT ? columns - TARGET_AT
                      : columns > 0       ? NARROW - TARGET_AT
                                          : 0,
                      0);
    putchar('\n');
    arena_free(&a);
}

/* -- the list -- */

static json_t *next_page(struct asker *a, json_int_t since)
{
    const char *state = ctl_option(a->ctl, "state", 0);
    char        path[128];

    snprintf(path, sizeof path, "/.weir/jobs?since=%lld%s%s", (long long)since, state != NULL ? "&state=" : "",
             state != NULL ? state : "");
    return ask(a, "GET", path, "", false) ? read_json(a) : NULL;
}

/* All of them, page by page; NULL: said why. */
static json_t *list_all(struct asker *a)
{
    json_t    *all = json_array(), *page;
    json_int_t since = 0;
    bool       has_more;

    do {
        page = next_page(a, since);
        if (page == NULL) {
            json_decref(all);
            return NULL;
        }
        json_array_extend(all, json_object_get(page, "jobs"));
        has_more = json_is_true(json_object_get(page, "more"));
        since = json_integer_value(json_object_get(page, "seq"));
        json_decref(page);
    } while (has_more);
    return all;
}

static bool is_state(const char *state)
{
    static const char *const states[] = { "queued", "running", "done", "failed", "cancelled" };

    for (size_t i = 0; i < sizeof states / sizeof *states; i++)
        if (strcmp(state, states[i]) == 0)
            return true;
    return false;
}

static int list(struct asker *a)
{
    unsigned columns = text_terminal_columns();
    json_t  *all = list_all(a), *job;
    size_t   i;

    if (all == NULL)
        return 1;
    if (a->ctl->json) {
        all = json_pack("{s:o}", "jobs", all);
        ctl_print_json(a->ctl, all);
    } else if (json_array_size(all) == 0) {
        puts("no jobs of yours");
    } else {
        printf("%s%-26s %-9s %-6s %-14s %s%s\n", paint_begin(PAINT_BOLD), "ID", "STATE", "STATUS", "WHEN", "REQUEST",
               paint_end());
        json_array_foreach(all, i, job) print_row(job, columns);
    }
    json_decref(all);
    return 0;
}

/* -- one -- */

/* The ID alone, or the Location that the daemon gave. NULL: it is none. */
static const char *id_of(const char *said, char id[ID_LENGTH + 1])
{
    const char *path = strstr(said, "/.weir/jobs/");

    if (path != NULL)
        said = path + sizeof "/.weir/jobs/" - 1;
    for (unsigned i = 0; i < ID_LENGTH; i++) {
        if (!isalnum((unsigned char)said[i]))
            return NULL;
        id[i] = said[i];
    }
    id[ID_LENGTH] = '\0';
    return said[ID_LENGTH] == '\0' || (path != NULL && said[ID_LENGTH] == '/') ? id : NULL;
}

static void show_wait(const json_t *job)
{
    char when[32];

    if (text_columns(2) == 0)
        return;
    print_when(job, when, sizeof when);
    fprintf(stderr, "\r%s", string(job, "state"));
    if (json_is_integer(json_object_get(job, "ahead")))
        fprintf(stderr, ", %lld ahead", (long long)json_integer_value(json_object_get(job, "ahead")));
    if (strcmp(when, "-") != 0)
        fprintf(stderr, ", asked %s", when);
    fputs("\033[K", stderr);
}

static void hide_wait(void)
{
    if (text_columns(2) > 0)
        fputs("\r\033[K", stderr);
}

/* Its state, once it is another one or after a while. Where the daemon is not there it may be starting anew: a job
 * outlives that. */
static json_t *watch(struct asker *a, const char *path, bool is_first)
{
    for (unsigned tries = 0;; tries++) {
        bool last = is_first || tries == AGAIN_MOST;

        if (ask(a, "GET", path, is_first ? "" : "Prefer: wait=30\r\n", !last))
            return a->to.status == 503 && !last ? (sleep(1), json_null()) : read_json(a);
        if (last || is_interrupted)
            return NULL;
        sleep(1);
    }
}

static int wait_for(struct asker *a, const char *id)
{
    char    path[64];
    json_t *job = NULL;
    int     status;

    snprintf(path, sizeof path, "/.weir/jobs/%s", id);
    do {
        bool is_first = job == NULL;

        json_decref(job);
        job = watch(a, path, is_first);
        if (json_is_object(job))
            show_wait(job);
    } while (!is_interrupted && job != NULL && time_of(job, "ended") == 0);
    hide_wait();
    if (is_interrupted || job == NULL) {
        json_decref(job);
        return is_interrupted ? EXIT_INTERRUPTED : 1;
    }
    if (!ctl_print_json(a->ctl, job)) {
        char text[24];

        print_status(job, text, sizeof text);
        printf("%s %s\n", string(job, "state"), text);
    }
    status = has_failed(job) ? EXIT_FAILED : 0;
    json_decref(job);
    return status;
}

/* A 202 may be an API's own, and so may a problem: the state says whose they are.  0 where there is a result, else the
 * exit status. */
static int check_ended(struct asker *a, const char *id, bool *failed)
{
    char    path[64];
    json_t *job;
    int     status = 1;

    snprintf(path, sizeof path, "/.weir/jobs/%s", id);
    job = ask(a, "GET", path, "", false) ? read_json(a) : NULL;
    *failed = strcmp(string(job, "state"), "failed") == 0;
    if (job != NULL && time_of(job, "ended") == 0) {
        fprintf(stderr, "weirctl: the job is %s still: weirctl jobs wait %s waits for its end\n", string(job, "state"),
                id);
    } else if (strcmp(string(job, "state"), "cancelled") == 0) {
        fputs("weirctl: the job was cancelled before it had a result\n", stderr);
        status = EXIT_FAILED;
    } else if (job != NULL) {
        status = 0;
    }
    json_decref(job);
    return status;
}

static bool copy_content(struct asker *a)
{
    char  *piece = mem_alloc_raw(EXCHANGE_PIECE_BYTES);
    size_t bytes;
    bool   ok = true;

    while (ok && (bytes = exchange_read_some(&a->to, piece, EXCHANGE_PIECE_BYTES)) > 0)
        ok = fwrite(piece, 1, bytes, stdout) == bytes;
    free(piece);
    return fflush(stdout) == 0 && ok;
}

/* Byte for byte; what an API says with 4xx is its answer, too. */
static int result(struct asker *a, const char *id)
{
    char path[64];
    bool failed;
    int  status = check_ended(a, id, &failed);

    if (status != 0)
        return status;
    snprintf(path, sizeof path, "/.weir/jobs/%s/result", id);
    if (!ask(a, "GET", path, "", false))
        return 1;
    if (failed) {
        exchange_print_problem(&a->to);
        return EXIT_FAILED;
    }
    if (!copy_content(a) || !a->to.has_ended) {
        fprintf(stderr, "weirctl: the result %s\n", a->to.has_ended ? "could not be written" : "broke off");
        return 1;
    }
    return a->to.status >= 200 && a->to.status <= 299 ? 0 : EXIT_FAILED;
}

static int cancel(struct asker *a, const char *id)
{
    char    path[64];
    json_t *said;

    snprintf(path, sizeof path, "/.weir/jobs/%s", id);
    if (!ask(a, "DELETE", path, "", false))
        return 1;
    if (a->to.status != 204) {
        exchange_print_problem(&a->to);
        return 1;
    }
    said = json_pack("{s:s}", "cancelled", id);
    if (!ctl_print_json(a->ctl, said))
        printf("cancelled %s\n", id);
    json_decref(said);
    return 0;
}

/* -- the command -- */

static int (*find_verb(const char *word))(struct asker *, const char *)
{
    static const struct {
        const char *word;
        int (*run)(struct asker *, const char *);
    } verbs[] = { { "wait", wait_for }, { "result", result }, { "cancel", cancel } };

    for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++)
        if (strcmp(word, verbs[i].word) == 0)
            return verbs[i].run;
    return NULL;
}

static int run(const struct ctl *c)
{
    const struct sigaction interrupt = { .sa_handler = on_interrupt };
    const char            *state = ctl_option(c, "state", 0);
    int (*verb)(struct asker *, const char *) = c->argument_count > 0 ? find_verb(c->arguments[0]) : NULL;
    char         id[ID_LENGTH + 1];
    struct asker a;
    int          status = 1;

    if (c->argument_count > 0 && (verb == NULL || c->argument_count != 2)) {
        fprintf(stderr,
                "weirctl: jobs takes wait, result or cancel, each with the ID of a job; or nothing, and lists them\n");
        return ctl_use_wrongly(&command_jobs);
    }
    if (state != NULL && (verb != NULL || !is_state(state))) {
        fprintf(stderr, "weirctl: --state is for the list, and is queued, running, done, failed or cancelled\n");
        return ctl_use_wrongly(&command_jobs);
    }
    if (verb != NULL && id_of(c->arguments[1], id) == NULL) {
        fprintf(stderr, "weirctl: that is no ID of a job: it has %d letters and digits, as weirctl jobs lists them\n",
                ID_LENGTH);
        return ctl_use_wrongly(&command_jobs);
    }
    sigaction(SIGINT, &interrupt, NULL);
    if (begin(&a, c))
        status = verb != NULL ? verb(&a, id) : list(&a);
    end(&a);
    return status;
}

const struct command command_jobs = { "jobs",
                                      " | wait ID | result ID | cancel ID",
                                      "requests that are answered later: your own, a result, waiting, cancelling",
                                      0,
                                      2,
                                      run,
                                      0,
                                      options };
