/*
 * Lines of JSON become lines for a person, one after the other: a million of them take no memory.
 */
#include "ctl/rows.h"

#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

void rows_path_begin(struct rows_path *p, const char *path)
{
    *p = (struct rows_path){ .text = NULL };
    p->out = open_memstream(&p->text, &p->bytes);
    if (p->out == NULL)
        abort();
    fputs(path, p->out);
}

/* Whatever stands in a value, it is one parameter. */
void rows_path_add(struct rows_path *p, const char *name, const char *value)
{
    if (value == NULL)
        return;
    fprintf(p->out, "%c%s=", p->has_any ? '&' : '?', name);
    for (; *value != '\0'; value++)
        fprintf(p->out, "%%%02X", (unsigned)(unsigned char)*value);
    p->has_any = true;
}

char *rows_path_end(struct rows_path *p)
{
    fclose(p->out);
    return p->text;
}

/* -- one row -- */

static const char *string(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    return text != NULL ? text : "-";
}

static void print_left(const json_t *row, char *out, size_t bytes)
{
    const char   *state = string(row, "state");
    const json_t *left = json_object_get(row, "left_s");

    if (strcmp(state, "invalidated") == 0 || strcmp(state, "unused") == 0)
        snprintf(out, bytes, "%.7s", strcmp(state, "unused") == 0 ? state : "invalid");
    else if (!json_is_number(left))
        snprintf(out, bytes, "forever");
    else
        snprintf(out, bytes, "%s%s", json_number_value(left) < 0 ? "-" : "",
                 ctl_duration(json_number_value(left) < 0 ? -json_number_value(left) : json_number_value(left)));
}

static void print_hits(const json_t *row, char *out, size_t bytes)
{
    const json_t *hits = json_object_get(row, "hits");

    if (json_is_integer(hits))
        snprintf(out, bytes, "%lld", (long long)json_integer_value(hits));
    else
        snprintf(out, bytes, "-");
}

enum { FIGURES_COLUMNS = 38 };

/* In columns; the URL comes last, and is cut where a terminal is too narrow for it. */
static void print_figures(const json_t *row)
{
    char left[40], hits[24];

    print_left(row, left, sizeof left);
    print_hits(row, hits, sizeof hits);
    printf("%3lld %9s %7s %8s %5s  ", (long long)json_integer_value(json_object_get(row, "status")),
           ctl_size((double)json_integer_value(json_object_get(row, "size"))),
           ctl_duration(json_number_value(json_object_get(row, "age_s"))), left, hits);
}

static void print_short(const json_t *row, unsigned columns)
{
    print_figures(row);
    text_print_fitted(stdout, string(row, "url"), columns > FIGURES_COLUMNS + 10 ? columns - FIGURES_COLUMNS : 0, 0);
    putchar('\n');
}

/* On a terminal two lines: no URL is cut. */
static void print_long(const json_t *row, unsigned columns)
{
    static const char *const names[] = { "upstream", "rule", "whose", "type", "method" };

    if (columns > 0) {
        text_print_fitted(stdout, string(row, "url"), 0, 0);
        printf("\n    ");
    }
    print_figures(row);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        text_print_fitted(stdout, string(row, names[i]), 0, 0);
        fputs("  ", stdout);
    }
    if (columns == 0)
        text_print_fitted(stdout, string(row, "url"), 0, 0);
    putchar('\n');
}

/* -- all of them -- */

static void print_heading(const struct rows_list *list, unsigned columns)
{
    if (columns == 0)
        return;
    if (list->is_long)
        printf("URL\n    %3s %9s %7s %8s %5s  %s\n", "ST", "SIZE", "AGE", "LEFT", "HITS",
               "UPSTREAM  RULE  WHOSE  TYPE  METHOD");
    else
        printf("%3s %9s %7s %8s %5s  %s\n", "ST", "SIZE", "AGE", "LEFT", "HITS", "URL");
}

static void print_row(const struct ctl *c, struct rows_list *list, const char *line, const json_t *row,
                      unsigned columns)
{
    if (c->json) {
        fputs(list->listed > 0 ? ",\n" : "\n", stdout);
        fwrite(line, 1, strcspn(line, "\n"), stdout);
    } else {
        if (list->listed == 0)
            print_heading(list, columns);
        if (list->is_long)
            print_long(row, columns);
        else
            print_short(row, columns);
    }
    list->listed++;
}

/* True: the last line came, so nothing is missing. */
static bool print_all(const struct ctl *c, FILE *in, struct rows_list *list)
{
    const unsigned columns = c->json ? 0 : text_terminal_columns();
    char          *line = NULL;
    size_t         room = 0;
    bool           has_ended = false;

    while (!has_ended && !ferror(stdout) && getline(&line, &room, in) > 0) {
        json_t *row = json_loads(line, 0, NULL);

        has_ended = json_object_get(row, "listed") != NULL;
        if (has_ended)
            list->has_more = json_is_true(json_object_get(row, "more"));
        else if (row != NULL)
            print_row(c, list, line, row, columns);
        json_decref(row);
        if (columns > 0)
            fflush(stdout);
    }
    free(line);
    return has_ended;
}

bool rows_print(const struct ctl *c, const char *path, const char *count, struct rows_list *list)
{
    struct ctl_answer answer;
    bool              has_ended;

    if (!ctl_open(c, "GET", path, NULL, true, &answer))
        return false;
    if (c->json)
        fputs("{\"entries\": [", stdout);
    has_ended = print_all(c, answer.in, list);
    ctl_close(&answer);
    if (c->json)
        printf("%s], \"%s\": %llu, \"more\": %s}\n", list->listed > 0 ? "\n" : "", count,
               (unsigned long long)list->listed, list->has_more ? "true" : "false");
    fflush(stdout);
    if (!has_ended)
        fprintf(stderr, "weirctl: the answer was broken off: there is more than this\n");
    return has_ended;
}
