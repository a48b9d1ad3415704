/*
 * weirctl: finds the command's row and runs it.
 */
#include "ctl/ctl.h"

#include "ctl/options.h"

#include <string.h>

/* One file each; its row says the rest. As --help lists them. */
// clang-format off
#define COMMANDS(X) \
    X(status) \
    X(limits) \
    X(upstreams) \
    X(explain) \
    X(log) \
    X(top) \
    X(ls) \
    X(show) \
    X(export) \
    X(import) \
    X(purge) \
    X(mode) \
    X(flush) \
    X(compact) \
    X(reload) \
    X(reopen) \
    X(check) \
    X(ca) \
    X(env) \
    X(run) \
    X(batch) \
    X(backup) \
    X(restore) \
    X(jobs) \
    X(dashboard) \
    X(complete)

#define DECLARE(name) extern const struct command command_##name;
COMMANDS(DECLARE)
#define POINT(name) &command_##name,
static const struct command *const commands[] = { COMMANDS(POINT) NULL };

/* -1: go on; else the exit status. */
static int take_option(struct ctl *c, const struct command *command, int option)
{
    const struct command_option *row = options_row(command, option);

    if (row == NULL) { /* getopt_long() has said what was wrong */
        if (command != NULL)
            return ctl_use_wrongly(command);
        fputs("weirctl --help lists commands and options\n", stderr);
        return 2;
    }
    if (strcmp(row->name, "help") == 0) {
        options_print_help(stdout, c, command);
        return 0;
    }
    if (strcmp(row->name, "version") == 0) {
        printf("weirctl %s\n", PACKAGE_VERSION);
        return 0;
    }
    if (c->said_count < OPTIONS_MOST)
        c->said[c->said_count++] = (struct said_option){ row->name,
                                                         row->value != NULL && optarg != NULL ? optarg : "" };
    return -1;
}

/* Reads options up to the first word that is none or, where `anywhere`, all of them: the words move to the end.
 * `command` NULL: those before it. -1: go on; else the exit status. */
static int read_options(struct ctl *c, int argc, char **argv, const struct command *command, bool anywhere)
{
    struct option options[2 * OPTIONS_MOST + 1];
    char          letters[2 + 4 * OPTIONS_MOST] = "+";
    int           option, status = -1;

    options_list(command, options, letters);
    optind = 0; /* glibc: begin anew */
    while (status < 0 && (option = getopt_long(argc, argv, anywhere ? letters + 1 : letters, options, NULL)) != -1)
        status = take_option(c, command, option);
    return status;
}

/* What was said last of it. */
static const char *last_said(const struct ctl *c, const char *name)
{
    const char *value = NULL;

    for (unsigned i = 0; ctl_option(c, name, i) != NULL; i++)
        value = ctl_option(c, name, i);
    return value;
}

int main(int argc, char **argv)
{
    struct ctl            c = { .commands = commands };
    const struct command *command;
    int                   status = read_options(&c, argc, argv, NULL, false);

    if (status >= 0)
        return status;
    if (optind >= argc) {
        options_print_help(stderr, &c, NULL);
        return 2;
    }
    argv += optind;
    argc -= optind;
    command = options_command(&c, argv[0]);
    if (command == NULL) {
        fprintf(stderr, "weirctl: there is no command \"%s\"; weirctl --help lists those there are\n", argv[0]);
        return 2;
    }
    argv[0] = (char[]){ "weirctl" }; /* as getopt_long() begins what it has to say */
    status = read_options(&c, argc, argv, command, (command->traits & TAKES_COMMAND) == 0);
    if (status >= 0)
        return status;
    c.socket = last_said(&c, "socket");
    c.config = ctl_option(&c, "config", 0);
    c.as = last_said(&c, "as");
    c.json = ctl_option(&c, "json", 0) != NULL;
    c.arguments = argv + optind;
    c.argument_count = argc - optind;
    status = options_check(&c, command);
    return status >= 0 ? status : command->run(&c);
}
