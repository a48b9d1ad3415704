/*
 * weirctl upstreams check: each upstream is tried, and one line says what is wrong with it and what to do.
 */
#include "ctl/rows.h"

#include "ctl/text.h"

#include <stdlib.h>
#include <string.h>

extern const struct command command_upstreams;

static void print_ms(const json_t *row, const char *name, const char *shown)
{
    const json_t *ms = json_object_get(row, name);

    if (json_is_integer(ms))
        printf(", %s %lld ms", shown, (long long)json_integer_value(ms));
}

static void print_number(const json_t *row, const char *name, const char *before, const char *after)
{
    const json_t *n = json_object_get(row, name);

    if (json_is_integer(n))
        printf("%s%lld%s", before, (long long)json_integer_value(n), after);
}

static void print_text(const json_t *row, const char *name)
{
    const char *text = json_string_value(json_object_get(row, name));

    if (text != NULL)
        text_print(stdout, text, strlen(text), 0);
}

static void print_row(const json_t *row)
{
    const bool  ok = json_is_true(json_object_get(row, "ok"));
    const char *credential = json_string_value(json_object_get(row, "credential")),
               *mode = json_string_value(json_object_get(row, "mode"));

    print_text(row, "upstream");
    printf("  %s  ", mode != NULL ? mode : ok ? "ok" : "FAILS");
    print_text(row, "url");
    if (mode != NULL) {
        printf("  nothing is asked of it in this mode");
    } else if (!ok) {
        printf("  ");
        print_text(row, "detail");
    } else {
        print_number(row, "status", "  ", "");
        print_ms(row, "dns_ms", "DNS");
        print_ms(row, "tcp_ms", "TCP");
        print_ms(row, "tls_ms", "TLS");
        print_number(row, "certificate_days", ", certificate ", " days");
        if (credential != NULL && strcmp(credential, "none") != 0)
            printf(", credential %s", credential);
        print_number(row, "clock_ahead_s", ", clock ", " s ahead");
    }
    putchar('\n');
    fflush(stdout);
}

/* -1: it was broken off; else how many failed. */
static long long print_all(const struct ctl *c, FILE *in)
{
    char     *line = NULL;
    size_t    room = 0;
    bool      has_any = false;
    long long failed = -1;

    while (failed < 0 && getline(&line, &room, in) > 0) {
        json_t *row = json_loads(line, 0, NULL);

        if (json_is_integer(json_object_get(row, "checked"))) {
            failed = (long long)json_integer_value(json_object_get(row, "failed"));
        } else if (row != NULL && c->json) {
            printf("%s%.*s", has_any ? ",\n" : "\n", (int)strcspn(line, "\n"), line);
            fflush(stdout);
            has_any = true;
        } else if (row != NULL) {
            print_row(row);
        }
        json_decref(row);
    }
    free(line);
    return failed;
}

static int run(const struct ctl *c)
{
    struct rows_path  p;
    struct ctl_answer answer;
    char             *path;
    bool              ok;
    long long         failed;

    if (strcmp(c->arguments[0], "check") != 0) {
        fprintf(stderr, "weirctl: upstreams does not know \"%s\"\n", c->arguments[0]);
        return ctl_use_wrongly(&command_upstreams);
    }
    rows_path_begin(&p, "/upstreams/check");
    rows_path_add(&p, "name", c->argument_count > 1 ? c->arguments[1] : NULL);
    path = rows_path_end(&p);
    ok = ctl_open(c, "POST", path, NULL, false, &answer);
    free(path);
    if (!ok)
        return 1;
    if (c->json)
        fputs("{\"upstreams\": [", stdout);
    failed = print_all(c, answer.in);
    ctl_close(&answer);
    if (c->json)
        printf("\n], \"failed\": %lld}\n", failed < 0 ? 0 : failed);
    if (failed < 0)
        fprintf(stderr, "weirctl: the answer was broken off: not all were checked\n");
    return failed == 0 ? 0 : 1;
}

const struct command command_upstreams = {
    "upstreams", "check [UPSTREAM]", "try each: name, connection, TLS, a HEAD, credential, clock", 1, 2, run, 0, NULL
};
