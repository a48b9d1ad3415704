/*
 * Options and arguments: --help, usage, what is wrong with a line, and what getopt_long() is to know, all from the
 * commands' rows.
 */
#include "ctl/options.h"

#include <string.h>

const struct command_option options_common[] = {
    { "socket", 0, "FILE", "the daemon's admin socket; without it the user's own, then /run/weir/admin.sock" },
    { "json", 0, NULL, "print the daemon's answer as JSON" },
    { "as", 0, "NAME",
      "env, run: the client's name, for fairness and in weir's log; import: shared or auth:UPSTREAM, "
      "whose what is private becomes" },
    { "version", 0, NULL, "print the version, and exit" },
    { "help", 'h', NULL, "print this, and exit; after a command: what that one takes" },
    { NULL, 0, NULL, NULL },
};
enum { COMMON_COUNT = sizeof options_common / sizeof options_common[0] - 1 };

/* What completes a value stands here alone: by the name that --help calls it. */
static const struct {
    const char     *name;
    enum value_kind kind;
} value_kinds[] = {
    { "FILE", VALUE_FILE },   { "DIR", VALUE_FILE },        { "UPSTREAM", VALUE_UPSTREAM },
    { "LIMIT", VALUE_LIMIT }, { "COMMAND", VALUE_PROGRAM },
};

enum value_kind options_value_kind(const char *name, size_t length)
{
    for (size_t i = 0; i < sizeof value_kinds / sizeof value_kinds[0]; i++)
        if (strlen(value_kinds[i].name) == length && memcmp(value_kinds[i].name, name, length) == 0)
            return value_kinds[i].kind;
    return length > 0 && name[0] >= 'a' && name[0] <= 'z' ? VALUE_WORDS : VALUE_ANY;
}

const struct command *options_command(const struct ctl *of, const char *name)
{
    for (const struct command *const *c = of->commands; *c != NULL; c++)
        if (strcmp((*c)->name, name) == 0)
            return *c;
    return NULL;
}

/* -- help -- */

/* One line for each way to use it: those that `arguments` separates by " | ". */
static void print_usage(FILE *out, const char *begin, const struct command *command)
{
    const char *options = command->options != NULL ? " [OPTION...]" : "";
    const char *form = command->arguments, *end;

    do {
        end = strstr(form, " | ");
        fprintf(out, "%sweirctl %s%s%s%.*s\n", begin, command->name, options, *form != '\0' && end != form ? " " : "",
                (int)(end != NULL ? (size_t)(end - form) : strlen(form)), form);
        begin = "       ";
        form = end != NULL ? end + 3 : NULL;
    } while (form != NULL);
}

static void print_row(FILE *out, const char *form, const char *help)
{
    enum { FORM_COLUMNS = 26 };

    if (strlen(form) > FORM_COLUMNS)
        fprintf(out, "  %s\n  %*s %s\n", form, FORM_COLUMNS, "", help);
    else
        fprintf(out, "  %-*s %s\n", FORM_COLUMNS, form, help);
}

static void print_options(FILE *out, const struct command_option *rows)
{
    for (const struct command_option *o = rows; o != NULL && o->name != NULL; o++) {
        char form[80];

        snprintf(form, sizeof form, "%c%c%c --%s%s%s%s", o->letter != 0 ? '-' : ' ', o->letter != 0 ? o->letter : ' ',
                 o->letter != 0 ? ',' : ' ', o->name,
                 o->value == NULL  ? ""
                 : option_wants(o) ? " "
                                   : "[",
                 o->value != NULL ? o->value : "", o->value != NULL && !option_wants(o) ? "]" : "");
        print_row(out, form, o->help);
    }
}

static void print_commands(FILE *out, const struct ctl *of)
{
    for (const struct command *const *c = of->commands; *c != NULL; c++) {
        const char *arguments = (*c)->arguments;
        char        form[256];

        if (((*c)->traits & IS_HIDDEN) != 0)
            continue;
        snprintf(form, sizeof form, "%s%s%s", (*c)->name, *arguments != '\0' && *arguments != ' ' ? " " : "",
                 arguments);
        print_row(out, form, (*c)->help);
    }
}

void options_print_help(FILE *out, const struct ctl *c, const struct command *command)
{
    if (command == NULL) {
        fputs("Usage: weirctl [--socket FILE] [--json] COMMAND [ARGUMENT...]\n"
              "       weirctl COMMAND --help\n\nAsks or tells a running weir.\n\n",
              out);
        print_commands(out, c);
    } else {
        print_usage(out, "Usage: ", command);
        fprintf(out, "\n%s\n", command->help);
        if (command->options != NULL)
            fputc('\n', out);
        print_options(out, command->options);
    }
    fputc('\n', out);
    print_options(out, options_common);
}

int ctl_use_wrongly(const struct command *command)
{
    print_usage(stderr, "usage: ", command);
    fprintf(stderr, "weirctl %s --help says more\n", command->name);
    return 2;
}

/* -- reading them -- */

static unsigned add_rows(const struct command_option *rows, struct option *options, unsigned count, char *letters)
{
    for (unsigned i = 0; rows != NULL && rows[i].name != NULL && count < 2 * OPTIONS_MOST; i++, count++) {
        options[count] = (struct option){ rows[i].name,
                                          option_wants(&rows[i])  ? required_argument
                                          : rows[i].value != NULL ? optional_argument
                                                                  : no_argument,
                                          NULL, rows[i].letter != 0 ? rows[i].letter : OPTION_OWN + (int)count };
        if (rows[i].letter == 0)
            continue;
        letters += strlen(letters);
        letters[0] = rows[i].letter;
        letters[1] = option_wants(&rows[i]) ? ':' : '\0';
        letters[2] = '\0';
    }
    return count;
}

void options_list(const struct command *command, struct option options[2 * OPTIONS_MOST + 1],
                  char letters[2 + 4 * OPTIONS_MOST])
{
    unsigned count = add_rows(options_common, options, 0, letters);

    count = add_rows(command != NULL ? command->options : NULL, options, count, letters);
    options[count] = (struct option){ NULL, 0, NULL, 0 };
}

static const struct command_option *row_of(const struct command_option *rows, int first, int option)
{
    for (int i = 0; rows != NULL && rows[i].name != NULL; i++)
        if (rows[i].letter != 0 ? option == rows[i].letter : option == first + i)
            return &rows[i];
    return NULL;
}

const struct command_option *options_row(const struct command *command, int option)
{
    const struct command_option *common = row_of(options_common, OPTION_OWN, option);

    if (common != NULL || command == NULL)
        return common;
    return row_of(command->options, OPTION_OWN + COMMON_COUNT, option);
}

int options_check(const struct ctl *c, const struct command *command)
{
    if (c->as != NULL && (command->traits & (NAMES_CLIENT | NAMES_OWNER)) == 0)
        fprintf(stderr, "weirctl: %s takes no --as: it is for env, run and import\n", command->name);
    else if (c->argument_count < command->least)
        fprintf(stderr, "weirctl: %s lacks an argument\n", command->name);
    else if (c->argument_count > command->most && command->most == 0)
        fprintf(stderr, "weirctl: %s takes no argument: \"%s\"\n", command->name, c->arguments[0]);
    else if (c->argument_count > command->most)
        fprintf(stderr, "weirctl: one argument too many for %s: \"%s\"\n", command->name, c->arguments[command->most]);
    else
        return -1;
    return ctl_use_wrongly(command);
}

const char *ctl_option(const struct ctl *c, const char *name, unsigned nth)
{
    for (unsigned i = 0; i < c->said_count; i++)
        if (strcmp(c->said[i].name, name) == 0 && nth-- == 0)
            return c->said[i].value;
    return NULL;
}
