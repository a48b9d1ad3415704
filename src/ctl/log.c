/*
 * weirctl log: finished requests, those that were and those to come.
 */
#include "ctl/paint.h"
#include "ctl/requests.h"
#include "ctl/rows.h"
#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

static const struct command_option options[] = {
    { "follow", 'f', NULL, "go on with those to come, until interrupted" },
    { "lines", 'n', "N", "the last N that fit; without it 20, with --follow 10, with --since all" },
    { "since", 's', "DURATION", "those that ended since then: 90s, 10m, 12h" },
    { "id", 'i', "ID", "the one of that number" },
    { "verbose", 'v', NULL, "the whole story of each: every attempt with its time" },
    { NULL, 0, NULL, NULL },
};

/* Does a term begin here: a name, and an operator? */
static bool is_term(const char *text)
{
    size_t name = strspn(text, "abcdefghijklmnopqrstuvwxyz_");

    return name > 0 && text[name] != '\0' && strchr("=~!<>", text[name]) != NULL;
}

/* Quotes were the shell's: client="the job" comes as one argument without them.  One that holds several terms is as it
 * is. */
static bool needs_quotes(const char *argument)
{
    if (strchr(argument, ' ') == NULL || strchr(argument, '"') != NULL)
        return false;
    for (const char *space = argument; (space = strchr(space, ' ')) != NULL; space++)
        if (!is_term(space + 1 + strspn(space + 1, " ")))
            return true;
    return false;
}

/* All arguments are one filter. To be freed. */
static char *filter_of(const struct ctl *c)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *out = open_memstream(&text, &bytes);

    for (int i = 0; out != NULL && i < c->argument_count; i++) {
        const char *argument = c->arguments[i];
        size_t      operator= strcspn(argument, "=~<>");

        operator+= strspn(argument + operator, "=~<>");
        fprintf(out, "%s%.*s", i > 0 ? " " : "", (int)operator, argument);
        fprintf(out, needs_quotes(argument) ? "\"%s\"" : "%s", argument + operator);
    }
    if (out == NULL || fclose(out) != 0)
        abort();
    return text;
}

static char *path_of(const struct ctl *c)
{
    const char *lines = ctl_option(c, "lines", 0), *since = ctl_option(c, "since", 0), *id = ctl_option(c, "id", 0);
    const bool  follows = ctl_option(c, "follow", 0) != NULL;
    char       *filter = filter_of(c), *path;

    struct rows_path p;

    if (lines == NULL && since == NULL && id == NULL)
        lines = follows ? "10" : "20";
    rows_path_begin(&p, "/log");
    rows_path_add(&p, "n", lines);
    rows_path_add(&p, "since", since);
    rows_path_add(&p, "id", id);
    rows_path_add(&p, "follow", follows ? "1" : NULL);
    rows_path_add(&p, "filter", filter[0] != '\0' ? filter : NULL);
    path = rows_path_end(&p);
    free(filter);
    return path;
}

/* Lines that are no requests. True: it was one. */
static bool print_note(const json_t *row)
{
    const json_t *dropped = json_object_get(row, "dropped");

    if (dropped != NULL)
        printf("%s... %lld not shown: more came than could be told%s\n", paint_begin(PAINT_YELLOW),
               (long long)json_integer_value(dropped), paint_end());
    return dropped != NULL || json_object_get(row, "kept") != NULL;
}

/* How many were requests. */
static unsigned long print_rows(const struct ctl *c, FILE *in, bool *are_kept)
{
    const bool    is_story = ctl_option(c, "verbose", 0) != NULL;
    char         *line = NULL;
    size_t        room = 0;
    unsigned long count = 0;

    while (!ferror(stdout) && getline(&line, &room, in) > 0) {
        json_t  *row = json_loads(line, 0, NULL);
        unsigned columns = text_terminal_columns();

        *are_kept = *are_kept && json_object_get(row, "kept") == NULL;
        if (c->json) {
            fputs(line, stdout);
        } else if (row != NULL && !print_note(row)) {
            if (is_story)
                requests_print_story(row);
            else if (count == 0 && columns > 0)
                requests_print_heading(columns);
            if (!is_story)
                requests_print_line(row, columns);
            count++;
        }
        json_decref(row);
        fflush(stdout);
    }
    free(line);
    return count;
}

static int run(const struct ctl *c)
{
    const bool        follows = ctl_option(c, "follow", 0) != NULL;
    bool              are_kept = true;
    char             *path = path_of(c);
    struct ctl_answer answer;
    unsigned long     count;

    if (!ctl_open(c, "GET", path, NULL, false, &answer)) {
        free(path);
        return 1;
    }
    free(path);
    count = print_rows(c, answer.in, &are_kept);
    ctl_close(&answer);
    if (follows) {
        fprintf(stderr, "weirctl: weir has stopped, or ended this\n");
        return 1;
    }
    if (count == 0 && !c->json)
        fprintf(stderr, "weirctl: %s\n",
                are_kept ? "no request that is kept fits"
                         : "no requests are kept, since log.access is off; weirctl log -f shows those to come");
    return 0;
}

const struct command command_log = {
    "log", "[FILTER...]", "finished requests: upstream=inat status>=500 cache=miss wait>1s client=ci url~taxa",
    0,     100,           run,
    0,     options
};
