/*
 * weirctl show: one stored response, with its variants; its head, or its body as it is stored.
 */
#include "ctl/rows.h"

#include "ctl/text.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { PIECE_BYTES = 64 * 1024 };

extern const struct command command_show;

static const struct command_option options[] = {
    { "head", 'I', NULL, "the stored head alone" },
    { "body", 'b', NULL, "the stored body alone, byte for byte, as the API sent it" },
    { "header", 'H', "'K: V'",
      "the one that a request with this field would get, by Vary and match_headers; may be said several times" },
    { "whose", 'w', "NAME", "of that partition, as weirctl ls -l shows it" },
    { "config", 'c', "FILE", "of the weir with that configuration, running or not" },
    { NULL, 0, NULL, NULL },
};

static char *path_of(const struct ctl *c, bool body)
{
    struct rows_path p;

    rows_path_begin(&p, "/entry");
    rows_path_add(&p, "url", c->arguments[0]);
    rows_path_add(&p, "whose", ctl_option(c, "whose", 0));
    for (unsigned i = 0; ctl_option(c, "header", i) != NULL; i++)
        rows_path_add(&p, "header", ctl_option(c, "header", i));
    rows_path_add(&p, "body", body ? "1" : NULL);
    return rows_path_end(&p);
}

/* -- what is said of it -- */

static const char *string(const json_t *o, const char *name)
{
    const char *text = json_string_value(json_object_get(o, name));

    return text != NULL ? text : "-";
}

static void print_line(const char *name, const char *text)
{
    printf("%-9s  ", name);
    text_print(stdout, text, strlen(text), 0);
    putchar('\n');
}

static void print_freshness(const json_t *e)
{
    const char *state = string(e, "state");
    double      left = json_number_value(json_object_get(e, "left_s"));

    printf("%-9s  %s, %s old, ", "received", string(e, "received"),
           ctl_duration(json_number_value(json_object_get(e, "age_s"))));
    if (strcmp(state, "unused") == 0)
        printf("of an upstream that the configuration does not have any more\n");
    else if (strcmp(state, "invalidated") == 0)
        printf("invalidated: kept to be asked for again\n");
    else if (!json_is_number(json_object_get(e, "left_s")))
        printf("fresh for ever\n");
    else if (strcmp(state, "fresh") == 0)
        printf("fresh for %s\n", ctl_duration(left));
    else
        printf("stale%s%s\n", left < 0 ? " since " : ", asked for each time", left < 0 ? ctl_duration(-left) : "");
}

/* "accept-language: de; accept" */
static void print_vary(const json_t *e)
{
    const char *name;
    json_t     *value;
    bool        has_any = false;

    json_object_foreach(json_object_get(e, "vary"), name, value)
    {
        const char *text = json_string_value(value);

        printf("%s", has_any ? "; " : "");
        text_print(stdout, name, strlen(name), 0);
        if (text != NULL) {
            printf(": ");
            text_print(stdout, text, strlen(text), 0);
        }
        has_any = true;
    }
    printf("%s", has_any ? "" : "nothing");
}

static void print_facts(const json_t *e)
{
    print_line("url", string(e, "url"));
    printf("%-9s  %s %lld\n", "answer", string(e, "method"),
           (long long)json_integer_value(json_object_get(e, "status")));
    print_freshness(e);
    printf("%-9s  %s in the %s, ", "body", ctl_size((double)json_integer_value(json_object_get(e, "size"))),
           strcmp(string(e, "kept_in"), "file") == 0 ? "bodies' files" : "database");
    text_print(stdout, string(e, "type"), strlen(string(e, "type")), 0);
    putchar('\n');
    print_line("upstream", string(e, "upstream"));
    print_line("rule", string(e, "rule"));
    print_line("whose", string(e, "whose"));
    printf("%-9s  ", "varies by");
    print_vary(e);
    putchar('\n');
    if (json_is_integer(json_object_get(e, "hits")))
        printf("%-9s  %lld since the start, or more\n", "hits",
               (long long)json_integer_value(json_object_get(e, "hits")));
}

static void print_head(const json_t *e)
{
    json_t *field;
    size_t  i;

    printf("HTTP/1.1 %lld\n", (long long)json_integer_value(json_object_get(e, "status")));
    json_array_foreach(json_object_get(e, "fields"), i, field)
    {
        const char *name = json_string_value(json_array_get(field, 0)),
                   *value = json_string_value(json_array_get(field, 1));

        if (name == NULL || value == NULL)
            continue;
        text_print(stdout, name, strlen(name), 0);
        printf(": ");
        text_print(stdout, value, strlen(value), 0);
        putchar('\n');
    }
}

static void print_others(const json_t *entries)
{
    json_t *e;
    size_t  i;

    if (json_array_size(entries) < 2)
        return;
    printf("\nvariants, the newest first; -H and --whose choose:\n");
    json_array_foreach(entries, i, e)
    {
        printf("  %-10s  %9s old  %9s  varies by ", string(e, "whose"),
               ctl_duration(json_number_value(json_object_get(e, "age_s"))),
               ctl_size((double)json_integer_value(json_object_get(e, "size"))));
        print_vary(e);
        putchar('\n');
    }
}

/* -- its body -- */

/* To where no terminal would obey it. */
static int copy(struct ctl_answer *a)
{
    static char piece[PIECE_BYTES];
    int64_t     got = 0;
    size_t      n;

    while ((n = fread(piece, 1, sizeof piece, a->in)) > 0 && fwrite(piece, 1, n, stdout) == n)
        got += (int64_t)n;
    if (fflush(stdout) != 0) {
        perror("weirctl");
        return 1;
    }
    if (a->length < 0 || got == a->length)
        return 0;
    fprintf(stderr, "weirctl: the body was broken off after %" PRId64 " of %" PRId64 " bytes\n", got, a->length);
    return 1;
}

static int print_on_terminal(struct ctl_answer *a)
{
    char  *text = NULL;
    size_t bytes = 0;
    FILE  *all = open_memstream(&text, &bytes);
    int    c, status = 0;

    while (all != NULL && (c = getc(a->in)) != EOF)
        putc(c, all);
    if (all == NULL || fclose(all) != 0)
        return 1;
    if (text_is_plain(text, bytes)) {
        text_print(stdout, text, bytes, TEXT_LINES);
        if (bytes > 0 && text[bytes - 1] != '\n')
            putchar('\n');
    } else {
        fprintf(stderr, "weirctl: the body is no text for a terminal; weirctl show --body URL > FILE has it as it is, "
                        "and weirctl show --head URL says what it is\n");
        status = 1;
    }
    free(text);
    return status;
}

static int show_body(const struct ctl *c)
{
    char             *path = path_of(c, true);
    struct ctl_answer a;
    int               status = 1;

    if (ctl_open(c, "GET", path, NULL, true, &a)) {
        status = isatty(STDOUT_FILENO) ? print_on_terminal(&a) : copy(&a);
        ctl_close(&a);
    }
    free(path);
    return status;
}

static int run(const struct ctl *c)
{
    const bool    head = ctl_option(c, "head", 0) != NULL, body = ctl_option(c, "body", 0) != NULL;
    char         *path;
    json_t       *answer;
    const json_t *entries, *first;

    if (body && (head || c->json))
        return ctl_use_wrongly(&command_show);
    if (body)
        return show_body(c);
    path = path_of(c, false);
    answer = ctl_ask_stored(c, "GET", path, NULL, true);
    free(path);
    if (answer == NULL)
        return 1;
    entries = json_object_get(answer, "entries");
    first = json_array_get(entries, 0);
    if (ctl_print_json(c, answer)) {
        ; /* as it is */
    } else if (head) {
        print_head(first);
    } else {
        print_facts(first);
        putchar('\n');
        print_head(first);
        print_others(entries);
    }
    json_decref(answer);
    return 0;
}

const struct command command_show = { "show", "URL",  "one stored response, its variants, its body", 1, 1, run,
                                      0,      options };
