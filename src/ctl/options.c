/*
 * A command's own options: its --help, its usage, and what getopt_long() is to know, all from the table in its row.
 */
#include "ctl/options.h"

#include <string.h>

void options_print_help(FILE *out, const struct command *command)
{
    fprintf(out, "Usage: weirctl %s%s%s%s\n\n%s\n", command->name, command->options != NULL ? " [OPTION...]" : "",
            command->arguments[0] != '\0' ? " " : "", command->arguments, command->help);
    for (const struct command_option *o = command->options; o != NULL && o->name != NULL; o++) {
        char form[64];

        snprintf(form, sizeof form, "%c%c%s --%s%s%s", o->letter != 0 ? '-' : ' ', o->letter != 0 ? o->letter : ' ',
                 o->letter != 0 ? "," : " ", o->name, o->value != NULL ? " " : "", o->value != NULL ? o->value : "");
        fprintf(out, "%s  %-22s %s\n", o == command->options ? "\n" : "", form, o->help);
    }
}

void options_add(const struct command *command, struct option *options, unsigned count, char *letters)
{
    const struct command_option *own = command != NULL ? command->options : NULL;

    for (unsigned i = 0; own != NULL && own[i].name != NULL && count < OPTIONS_MOST; i++) {
        options[count++] = (struct option){ own[i].name, own[i].value != NULL, NULL, OPTION_OWN + (int)i };
        if (own[i].letter == 0)
            continue;
        letters += strlen(letters);
        letters[0] = own[i].letter;
        letters[1] = own[i].value != NULL ? ':' : '\0';
        letters[2] = '\0';
    }
}

bool options_take(struct ctl *c, const struct command *command, int option)
{
    const struct command_option *own = command != NULL ? command->options : NULL;

    for (int i = 0; own != NULL && own[i].name != NULL; i++) {
        if (option != OPTION_OWN + i && (own[i].letter == 0 || option != own[i].letter))
            continue;
        if (c->said_count < OPTIONS_MOST)
            c->said[c->said_count++] = (struct said_option){ own[i].name, own[i].value != NULL ? optarg : "" };
        return true;
    }
    return false;
}

const char *ctl_option(const struct ctl *c, const char *name, unsigned nth)
{
    for (unsigned i = 0; i < c->said_count; i++)
        if (strcmp(c->said[i].name, name) == 0 && nth-- == 0)
            return c->said[i].value;
    return NULL;
}

int ctl_use_wrongly(const struct command *command)
{
    fprintf(stderr, "weirctl: usage: weirctl %s%s%s%s\n", command->name, command->options != NULL ? " [OPTION...]" : "",
            command->arguments[0] != '\0' ? " " : "", command->arguments);
    return 2;
}
