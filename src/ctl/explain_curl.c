/*
 * The request to the API as a command for curl: quoted for a POSIX shell, with a variable in place of each credential.
 */
#include "ctl/explain_wish.h"

#include <string.h>

/* '...': nothing in it means anything to the shell; a quote is put between two such. */
static void print_quoted(const char *text)
{
    putchar('\'');
    for (; *text != '\0'; text++) {
        if (*text == '\'')
            fputs("'\\''", stdout);
        else
            putchar(*text);
    }
    putchar('\'');
}

/* Texts, and {"secret": NAME}, as one word. */
static void print_parts(const json_t *parts)
{
    const json_t *part;
    size_t        i;

    json_array_foreach(parts, i, part)
    {
        if (json_is_string(part))
            print_quoted(json_string_value(part));
        else
            printf("\"$%s\"", json_string_value(json_object_get(part, "secret")));
    }
}

/* In quotes, up to the first variable of the value. */
static void print_header(const json_t *h)
{
    const json_t *parts = json_object_get(h, "value");
    const char   *first = json_string_value(json_array_get(parts, 0));
    bool          is_empty = first != NULL && *first == '\0' && json_array_size(parts) == 1;
    json_t       *word = json_array();

    /* "Name;" is curl's way to send a field without a value. */
    json_array_append_new(word, json_sprintf("%s%s%s", json_string_value(json_object_get(h, "name")),
                                             is_empty ? ";" : ": ", first != NULL ? first : ""));
    for (size_t i = first != NULL; i < json_array_size(parts); i++)
        json_array_append(word, json_array_get(parts, i));
    fputs(" \\\n  -H ", stdout);
    print_parts(word);
    json_decref(word);
}

/* A control character, which the terminal might heed, stands in no field and no target: it was refused before. */
int explain_wish_curl(const struct explain_wish *e, const json_t *answer)
{
    const json_t *sends = json_object_get(answer, "sends"), *h;
    const char   *method = json_string_value(json_object_get(sends, "method"));
    size_t        i;

    if (!json_is_object(sends) || method == NULL) {
        fprintf(stderr, "weirctl: nothing would be sent: %s\n",
                json_string_value(json_object_get(json_object_get(answer, "would"), "text")));
        return 1;
    }
    fputs("curl --path-as-is -g", stdout); /* the target goes byte for byte */
    if (strcmp(method, "HEAD") == 0)
        fputs(" -I", stdout);
    else if (strcmp(method, "GET") != 0 || e->body != NULL) {
        fputs(" -X ", stdout);
        print_quoted(method);
    }
    putchar(' ');
    print_parts(json_object_get(sends, "url"));
    json_array_foreach(json_object_get(sends, "headers"), i, h) print_header(h);
    if (e->body != NULL) {
        fputs(" \\\n  --data-raw ", stdout);
        print_quoted(e->body);
    }
    putchar('\n');
    return 0;
}
