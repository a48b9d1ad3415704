/*
 * weirctl: finds the command's row and runs it.
 */
#include "ctl/ctl.h"

#include "ctl/options.h"

#include <getopt.h>
#include <string.h>

/* One file each; its row says the rest. As --help lists them. */
// clang-format off
#define COMMANDS(X) \
    X(status) X(limits) X(explain) X(ls) X(show) X(purge) X(flush) X(compact) X(reload) X(reopen) X(check) X(ca) \
    X(env) X(run) X(dashboard)
// clang-format on

#define DECLARE(name) extern const struct command command_##name;
COMMANDS(DECLARE)
#define POINT(name) &command_##name,
static const struct command *const commands[] = { COMMANDS(POINT) };
enum { COMMAND_COUNT = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fputs("Usage: weirctl [--socket PATH] [--json] COMMAND [ARGUMENT]\n\nAsks or tells a running weir.\n\n", out);
    for (int i = 0; i < COMMAND_COUNT; i++)
        fprintf(out, "  %-7s %-10s %s\n", commands[i]->name, commands[i]->arguments, commands[i]->help);
    fputs("\n      --socket PATH  the daemon's admin socket; without it the user's own, then /run/weir/admin.sock\n"
          "      --json         print the daemon's answer as JSON\n"
          "      --as NAME      env, run: the client's name, for fairness and in weir's log\n"
          "      --version      print the version, and exit\n"
          "  -h, --help         print this, and exit\n",
          out);
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMAND_COUNT; i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_VERSION, OPTION_AS };

/* Reads options up to the first word that is none or, where `anywhere`, all of them: the words move to the end.
 * `command` NULL: those before it. -1: go on; else the exit status. */
static int read_options(struct ctl *c, int argc, char **argv, const struct command *command, bool anywhere)
{
    enum { COMMON = 5 };
    struct option options[COMMON + OPTIONS_MOST + 1] = {
        { "socket", required_argument, NULL, OPTION_SOCKET },
        { "json", no_argument, NULL, OPTION_JSON },
        { "as", required_argument, NULL, OPTION_AS },
        { "version", no_argument, NULL, OPTION_VERSION },
        { "help", no_argument, NULL, 'h' },
    };
    char letters[4 + 2 * OPTIONS_MOST] = "+h";
    int  option;

    options_add(command, options, COMMON, letters);
    optind = 0; /* glibc: begin anew */
    while ((option = getopt_long(argc, argv, anywhere ? letters + 1 : letters, options, NULL)) != -1) {
        switch (option) {
        case OPTION_SOCKET:
            c->socket = optarg;
            break;
        case OPTION_JSON:
            c->json = true;
            break;
        case OPTION_AS:
            c->as = optarg;
            break;
        case OPTION_VERSION:
            printf("weirctl %s\n", PACKAGE_VERSION);
            return 0;
        case 'h':
            if (command != NULL)
                options_print_help(stdout, command);
            else
                print_help(stdout);
            return 0;
        default:
            if (options_take(c, command, option))
                break;
            if (command != NULL)
                options_print_help(stderr, command);
            else
                print_help(stderr);
            return 2;
        }
    }
    return -1;
}

int main(int argc, char **argv)
{
    struct ctl            c = { 0 };
    const struct command *command;
    int                   status = read_options(&c, argc, argv, NULL, false);

    if (status >= 0)
        return status;
    if (optind >= argc) {
        print_help(stderr);
        return 2;
    }
    argv += optind;
    argc -= optind;
    command = find_command(argv[0]);
    if (command == NULL) {
        fprintf(stderr, "weirctl: there is no command \"%s\"; see weirctl --help\n", argv[0]);
        return 2;
    }
    argv[0] = (char[]){ "weirctl" }; /* as getopt_long() begins what it has to say */
    status = read_options(&c, argc, argv, command, (command->traits & TAKES_COMMAND) == 0);
    if (status >= 0)
        return status;
    c.config = ctl_option(&c, "config", 0);
    c.arguments = argv + optind;
    c.argument_count = argc - optind;
    if (c.argument_count < command->least || c.argument_count > command->most ||
        (c.as != NULL && (command->traits & NAMES_CLIENT) == 0))
        return ctl_use_wrongly(command);
    return command->run(&c);
}
