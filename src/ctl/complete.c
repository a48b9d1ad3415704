/*
 * weirctl complete WORD...: what the last word of a line may become; for the shells' scripts in etc/completion.
 *
 * The words are those after "weirctl". Each line says one word and, after a tab, what it is; ":file" and ":program" ask
 * the shell for names of its own. All of it comes from the commands' rows; names of upstreams and limits come from the
 * daemon, and where none answers at once there are none.
 */
#include "ctl/options.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { WAIT_S = 2, WORDS_MOST = 64 };

struct word_line { /* as far as it was read */
    const struct command        *command;
    const struct command_option *wants; /* whose value comes next */
    const char                  *arguments[WORDS_MOST];
    unsigned                     count;
    bool                         no_options; /* after "--", or within another program's line */
    struct ctl                   ctl;
};

static void tell(const char *before, const char *word, size_t length, const char *help, const char *typed)
{
    if (strncmp(word, typed, strlen(typed) < length ? strlen(typed) : length) == 0 && strlen(typed) <= length)
        printf("%s%.*s%s%s\n", before, (int)length, word, help != NULL ? "\t" : "", help != NULL ? help : "");
}

/* -- names that the daemon knows -- */

static void tell_upstreams(const struct word_line *l, const char *before, const char *typed)
{
    json_t *answer = ctl_ask(&l->ctl, "GET", "/upstreams", NULL), *upstream;
    size_t  i;

    json_array_foreach(json_object_get(answer, "upstreams"), i, upstream)
    {
        const char *name = json_string_value(json_object_get(upstream, "name"));

        if (name != NULL)
            tell(before, name, strlen(name), NULL, typed);
    }
    json_decref(answer);
}

/* Of the upstream that was named before. */
static void tell_limits(const struct word_line *l, const char *typed)
{
    json_t *answer = ctl_ask(&l->ctl, "GET", "/limits", NULL), *limit;
    size_t  i;

    json_array_foreach(json_object_get(answer, "limits"), i, limit)
    {
        const char *upstream = json_string_value(json_object_get(limit, "upstream")),
                   *name = json_string_value(json_object_get(limit, "limit"));

        if (upstream != NULL && name != NULL && l->count > 0 && strcmp(upstream, l->arguments[l->count - 1]) == 0)
            tell("", name, strlen(name), NULL, typed);
    }
    json_decref(answer);
}

/* -- what a row says -- */

/* `name`: as a row calls the value. */
static void tell_value(const struct word_line *l, const char *before, const char *name, size_t length,
                       const char *typed)
{
    switch (options_value_kind(name, length)) {
    case VALUE_FILE:
        puts(":file");
        break;
    case VALUE_PROGRAM:
        puts(":program");
        break;
    case VALUE_UPSTREAM:
        tell_upstreams(l, before, typed);
        break;
    case VALUE_LIMIT:
        tell_limits(l, typed);
        break;
    case VALUE_WORDS:
        for (size_t at = 0, end; at < length; at = end + 1) {
            for (end = at; end < length && name[end] != '|'; end++)
                ;
            tell(before, name + at, end - at, NULL, typed);
        }
        break;
    case VALUE_ANY:
        break;
    }
}

/* The next word of a form, without its brackets: its length; 0: there is none more. */
static size_t next_word(const char **form, const char *end)
{
    const char *at = *form;
    size_t      length = 0;

    while (at < end && (*at == ' ' || *at == '[' || *at == ']'))
        at++;
    *form = at;
    while (at + length < end && strchr(" []", at[length]) == NULL)
        length++;
    return length;
}

/* Is it this argument that the word of a form means?  A literal word must be the same. */
static bool is_meant(const char *word, size_t length, const char *argument)
{
    return options_value_kind(word, length) != VALUE_WORDS ||
           (strlen(argument) == length && memcmp(word, argument, length) == 0);
}

static void tell_form(const struct word_line *l, const char *form, const char *end, const char *typed)
{
    size_t length;

    for (unsigned i = 0; i < l->count; i++) {
        length = next_word(&form, end);
        if (length == 0 || !is_meant(form, length, l->arguments[i]))
            return;
        form += length;
    }
    length = next_word(&form, end);
    if (length > 3 && memcmp(form + length - 3, "...", 3) == 0)
        length -= 3;
    if (length > 0)
        tell_value(l, "", form, length, typed);
}

static void tell_arguments(const struct word_line *l, const char *typed)
{
    const char *form = l->command->arguments, *end;

    do {
        end = strstr(form, " | ");
        tell_form(l, form, end != NULL ? end : form + strlen(form), typed);
        form = end != NULL ? end + 3 : NULL;
    } while (form != NULL);
}

static void tell_options(const struct command_option *rows, const char *typed)
{
    for (; rows != NULL && rows->name != NULL; rows++) {
        char text[80];

        snprintf(text, sizeof text, "--%s", rows->name);
        tell("", text, strlen(text), rows->help, typed);
    }
}

static void tell_commands(const struct word_line *l, const char *typed)
{
    for (const struct command *const *c = l->ctl.commands; *c != NULL; c++)
        if (((*c)->traits & IS_HIDDEN) == 0)
            tell("", (*c)->name, strlen((*c)->name), (*c)->help, typed);
}

/* -- reading the line -- */

static const struct command_option *find_row(const struct command_option *rows, const char *word, size_t length)
{
    for (; rows != NULL && rows->name != NULL; rows++)
        if ((word[1] == '-' && strlen(rows->name) == length - 2 && memcmp(rows->name, word + 2, length - 2) == 0) ||
            (word[1] != '-' && rows->letter != 0 && rows->letter == word[length - 1]))
            return rows;
    return NULL;
}

static const struct command_option *find_option(const struct word_line *l, const char *word, size_t length)
{
    const struct command_option *row = find_row(options_common, word, length);

    return row == NULL && l->command != NULL ? find_row(l->command->options, word, length) : row;
}

static void take_value(struct word_line *l, const struct command_option *row, const char *value)
{
    if (strcmp(row->name, "socket") == 0)
        l->ctl.socket = value;
}

static void take_word(struct word_line *l, const char *word)
{
    const char *equals = strchr(word, '=');

    if (l->wants != NULL) {
        take_value(l, l->wants, word);
        l->wants = NULL;
    } else if (!l->no_options && strcmp(word, "--") == 0) {
        l->no_options = true;
    } else if (!l->no_options && word[0] == '-' && word[1] != '\0') {
        const struct command_option *row = find_option(l, word,
                                                       equals != NULL && word[1] == '-' ? (size_t)(equals - word)
                                                                                        : strlen(word));

        if (row != NULL && option_wants(row) && (equals == NULL || word[1] != '-'))
            l->wants = row;
        else if (row != NULL && equals != NULL)
            take_value(l, row, equals + 1);
    } else if (l->command == NULL) {
        l->command = options_command(&l->ctl, word);
    } else if (l->count < WORDS_MOST) {
        l->arguments[l->count++] = word;
        l->no_options = l->no_options || (l->command->traits & TAKES_COMMAND) != 0;
    }
}

/* --sort=si: the word is whole, and so is what it may become. */
static bool tell_joined(const struct word_line *l, const char *typed)
{
    const char                  *equals = strchr(typed, '=');
    const struct command_option *row;
    char                         before[80];

    if (equals == NULL || strncmp(typed, "--", 2) != 0)
        return false;
    row = find_option(l, typed, (size_t)(equals - typed));
    snprintf(before, sizeof before, "%.*s", (int)(equals + 1 - typed), typed);
    if (row != NULL && row->value != NULL)
        tell_value(l, before, option_takes(row), strlen(option_takes(row)), equals + 1);
    return true;
}

static void tell_last(const struct word_line *l, const char *typed)
{
    if (l->wants != NULL) {
        tell_value(l, "", l->wants->value, strlen(l->wants->value), typed);
    } else if (!l->no_options && typed[0] == '-') {
        if (tell_joined(l, typed))
            return;
        tell_options(l->command != NULL ? l->command->options : NULL, typed);
        tell_options(options_common, typed);
    } else if (l->command == NULL) {
        tell_commands(l, typed);
    } else if ((l->command->traits & TAKES_COMMAND) != 0 && l->count > 0) {
        puts(":file"); /* another program's own: what it takes is not known here */
    } else {
        tell_arguments(l, typed);
    }
}

/* bash has "=" as a word of its own, within --name=value. */
static bool is_join(const struct ctl *c, int i)
{
    return strcmp(c->arguments[i], "=") == 0 && i > 0 && strncmp(c->arguments[i - 1], "--", 2) == 0;
}

static int run(const struct ctl *c)
{
    struct word_line l = { .ctl = { .commands = c->commands, .socket = c->socket } };
    int              last = c->argument_count - 1;

    if (freopen("/dev/null", "w", stderr) == NULL)
        return 1;
    alarm(WAIT_S); /* a line that waits for a daemon is worse than one without its names */
    for (int i = 0; i < last; i++)
        if (!is_join(c, i))
            take_word(&l, c->arguments[i]);
    if (last >= 0)
        tell_last(&l, is_join(c, last) ? "" : c->arguments[last]);
    return 0;
}

const struct command command_complete = {
    "complete", "[WORD...]", "what the last word of a line may become", 0, 1000, run, TAKES_COMMAND | IS_HIDDEN, NULL
};
