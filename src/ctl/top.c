/*
 * weirctl top: what goes on, drawn anew at each interval; in a pipe, or with --once, one time.
 */
#include "ctl/paint.h"
#include "ctl/rows.h"
#include "ctl/screen.h"
#include "ctl/text.h"
#include "ctl/top_draw.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PIPE_COLUMNS = 120, EMPTY_MOST = 10 };

static const struct command_option options[] = {
    { "once", '1', NULL, "draw once, after one interval, and end; so does a pipe" },
    { "interval", 'i', "DURATION", "between two pictures: 500ms, 5s; without it 1s" },
    { "sort", 's', "rate|hits|saved|queue|wait|p95|errors|name", "how upstreams are sorted" },
    { NULL, 0, NULL, NULL },
};

struct top_screen {
    const struct ctl *ctl;
    struct ctl_answer answer;
    struct top_view   view;
    json_t           *latest;
    char             *text; /* of the line that comes */
    size_t            used, room;
    unsigned          empty; /* times that it was opened and nothing came */
};

static bool open_feed(struct top_screen *t, bool once)
{
    struct rows_path p;
    char            *path;
    bool             ok;

    rows_path_begin(&p, "/top");
    rows_path_add(&p, "interval", ctl_option(t->ctl, "interval", 0));
    rows_path_add(&p, "once", once ? "1" : NULL);
    path = rows_path_end(&p);
    ok = ctl_open(t->ctl, "GET", path, NULL, false, &t->answer);
    free(path);
    t->used = 0;
    t->empty++;
    return ok;
}

static void take_line(struct top_screen *t, const char *line)
{
    json_t *answer = json_loads(line, 0, NULL), *row;
    size_t  i;

    if (answer == NULL)
        return;
    t->empty = 0;
    json_array_foreach(json_object_get(answer, "upstreams"), i, row)
        t->view.saved += json_number_value(json_object_get(row, "saved"));
    if (t->view.is_held) {
        json_decref(answer);
        return;
    }
    json_decref(t->latest);
    t->latest = answer;
}

/* What has come, without waiting.  False: nothing more will. */
static bool read_feed(struct top_screen *t)
{
    for (;;) {
        size_t n;
        char  *end;

        if (t->room - t->used < 4096 && (t->text = realloc(t->text, t->room += 65536)) == NULL)
            abort();
        n = fread(t->text + t->used, 1, t->room - t->used - 1, t->answer.in);
        t->used += n;
        t->text[t->used] = '\0';
        while ((end = strchr(t->text, '\n')) != NULL) {
            *end = '\0';
            take_line(t, t->text);
            t->used -= (size_t)(end + 1 - t->text);
            memmove(t->text, end + 1, t->used + 1);
        }
        if (feof(t->answer.in) || (ferror(t->answer.in) && errno != EAGAIN && errno != EINTR))
            return false;
        if (ferror(t->answer.in)) {
            clearerr(t->answer.in);
            return true;
        }
    }
}

/* -- once -- */

static int show_once(struct top_screen *t)
{
    const bool is_stream = t->ctl->json && ctl_option(t->ctl, "once", 0) == NULL;
    char      *line = NULL;
    size_t     room = 0;
    bool       any = false;

    if (!open_feed(t, !is_stream))
        return 1;
    while (!ferror(stdout) && getline(&line, &room, t->answer.in) > 0) {
        any = true;
        if (t->ctl->json) {
            fputs(line, stdout);
            fflush(stdout);
            continue;
        }
        take_line(t, line);
        t->view.columns = text_terminal_columns() > 0 ? text_terminal_columns() : PIPE_COLUMNS;
        if (t->latest != NULL)
            top_draw(stdout, t->latest, &t->view);
    }
    free(line);
    ctl_close(&t->answer);
    if (!any)
        fprintf(stderr, "weirctl: the daemon broke off its answer\n");
    return any ? 0 : 1;
}

/* -- on a terminal -- */

static const char keys[] = "q quit  space hold  s sort  arrows choose  e explain  l log";

static void draw(struct top_screen *t)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return;
    t->view.columns = text_terminal_columns() > 0 ? text_terminal_columns() : 80;
    t->view.rows = screen_rows();
    if (t->latest != NULL)
        top_draw(out, t->latest, &t->view);
    else
        fputs("weir  waiting for the first figures\n", out);
    fclose(out);
    fputs("\033[H", stdout);
    for (char *line = text, *end; (end = strchr(line, '\n')) != NULL; line = end + 1)
        printf("%.*s\033[K\r\n", (int)(end - line), line);
    printf("\033[J\033[%uH%s", t->view.rows, paint_begin(PAINT_DIM));
    printf("%.*s", (int)t->view.columns - 1, t->view.note != NULL ? t->view.note : keys);
    if (t->view.note == NULL && t->view.columns > sizeof keys + 20)
        printf("   by %s", top_order_name(t->view.order));
    printf("%s\033[K", paint_end());
    fflush(stdout);
    free(text);
}

/* The upstream that is chosen, or the first one. */
static json_t *chosen(const struct top_screen *t)
{
    json_t *sorted = t->latest != NULL ? top_sort(t->latest, t->view.order) : json_array(), *row;

    row = json_incref(json_array_get(sorted, t->view.selected < 0 ? 0 : (size_t)t->view.selected));
    json_decref(sorted);
    return row;
}

/* Another weirctl has the terminal until it ends. */
static void run_other(struct top_screen *t, const char *const words[])
{
    const char *own[12] = { "weirctl" };
    int         count = 1, status;
    pid_t       child;

    screen_give_back();
    if (t->ctl->socket != NULL) {
        own[count++] = "--socket";
        own[count++] = t->ctl->socket;
    }
    while (*words != NULL)
        own[count++] = *words++;
    signal(SIGINT, SIG_IGN); /* it is for the other one */
    child = fork();
    if (child == 0) {
        signal(SIGINT, SIG_DFL);
        execv("/proc/self/exe", (char *const *)(uintptr_t)own);
        _exit(127);
    }
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    signal(SIGINT, SIG_DFL);
}

static void wait_for_return(void)
{
    int c;

    fputs("\n-- Return goes back --", stdout);
    fflush(stdout);
    while ((c = getchar()) != '\n' && c != EOF)
        ;
    clearerr(stdin);
}

static void show_log(struct top_screen *t)
{
    json_t *row = chosen(t);
    char    filter[128] = "";

    if (row != NULL)
        snprintf(filter, sizeof filter, "upstream=%s", json_string_value(json_object_get(row, "name")));
    run_other(t, (const char *const[]){ "log", "-f", filter[0] != '\0' ? filter : NULL, NULL });
    screen_take();
    json_decref(row);
}

static void explain(struct top_screen *t)
{
    json_t       *row = chosen(t);
    const json_t *last = json_object_get(row, "last_id");
    char          id[32];

    t->view.note = last == NULL ? "nothing was asked of that upstream since you look" : NULL;
    if (last != NULL) {
        snprintf(id, sizeof id, "%lld", (long long)json_integer_value(last));
        run_other(t, (const char *const[]){ "explain", "--id", id, NULL });
        wait_for_return();
        screen_take();
    }
    json_decref(row);
}

static void choose(struct top_screen *t, int by)
{
    const long count = (long)json_array_size(json_object_get(t->latest, "upstreams"));

    t->view.selected += by;
    if (t->view.selected < -1)
        t->view.selected = -1;
    if (t->view.selected >= count)
        t->view.selected = count - 1;
}

/* False: enough. */
static bool take_key(struct top_screen *t, int key)
{
    t->view.note = NULL;
    switch (key) {
    case 'q':
    case 'Q':
    case 4: /* ^D */
        return false;
    case ' ':
        t->view.is_held = !t->view.is_held;
        break;
    case 's':
        t->view.order = top_order_name(t->view.order + 1) != NULL ? t->view.order + 1 : 0;
        break;
    case 'e':
        explain(t);
        break;
    case 'l':
        show_log(t);
        break;
    case 'k':
    case SCREEN_UP:
        choose(t, -1);
        break;
    case 'j':
    case SCREEN_DOWN:
        choose(t, 1);
        break;
    }
    return true;
}

/* The answer ended: there is another configuration, which reaches one thread after the other, or weir stops. */
static bool open_again(struct top_screen *t)
{
    bool ok;

    ctl_close(&t->answer);
    screen_give_back(); /* there may be something to say */
    if (t->empty > 0)
        usleep(100 * 1000);
    ok = t->empty < EMPTY_MOST && open_feed(t, false);
    if (t->empty >= EMPTY_MOST)
        fprintf(stderr, "weirctl: weir has stopped, or ends this again and again\n");
    if (ok)
        screen_take();
    return ok;
}

static void set_unblocked(const struct top_screen *t)
{
    int fd = fileno(t->answer.in);

    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
}

static int show(struct top_screen *t)
{
    int status = 0, key = 0, number = 0;

    if (!open_feed(t, false))
        return 1;
    screen_take();
    set_unblocked(t);
    for (bool goes_on = true; goes_on;) {
        draw(t);
        switch (screen_wait(fileno(t->answer.in), &key, &number)) {
        case SCREEN_KEY:
            goes_on = take_key(t, key);
            break;
        case SCREEN_FEED:
            if (read_feed(t))
                break;
            if (!open_again(t))
                return 1;
            set_unblocked(t);
            break;
        case SCREEN_RESIZED:
            break;
        case SCREEN_END:
            screen_give_back();
            screen_die(number);
        }
    }
    screen_give_back();
    ctl_close(&t->answer);
    return status;
}

static bool read_order(struct top_screen *t)
{
    const char *sort = ctl_option(t->ctl, "sort", 0);

    for (unsigned i = 0; top_order_name(i) != NULL; i++)
        if (sort == NULL || strcmp(sort, top_order_name(i)) == 0) {
            t->view.order = i;
            return true;
        }
    fprintf(stderr, "weirctl: upstreams are sorted by rate, hits, saved, queue, wait, p95, errors or name\n");
    return false;
}

static int run(const struct ctl *c)
{
    struct top_screen t = { .ctl = c, .view.selected = -1 };
    int               status;

    if (!read_order(&t))
        return 2;
    if (c->json || ctl_option(c, "once", 0) != NULL || text_terminal_columns() == 0 || !isatty(STDIN_FILENO))
        status = show_once(&t);
    else
        status = show(&t);
    json_decref(t.latest);
    free(t.text);
    return status;
}

const struct command command_top = { "top", "",     "what goes on now: rates, waits, budgets, who asks most", 0, 0, run,
                                     0,     options };
