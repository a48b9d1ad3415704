/*
 * weirctl: finds the command's row and runs it.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <string.h>

static const struct command {
    const char *name, *arguments, *help;
    int         least, most;          /* how many arguments */
    int       (*run)(const struct ctl *);
} commands[] = {
    { "status", "",         "what the daemon is, has stored and has done",            0, 0, ctl_status },
    { "limits", "",         "every limit: allowed, left, when it is whole again",     0, 0, ctl_limits },
    { "purge",  "URL|GLOB", "drop a URL, or all that a glob matches, from the cache", 1, 1, ctl_purge },
    { "flush",  "",         "drop everything from the cache",                         0, 0, ctl_flush },
    { "reload", "",         "read the configuration again",                           0, 0, ctl_reload },
    { "check",  "FILE",     "say what is wrong with a configuration file",            1, 1, ctl_check },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fputs("Usage: weirctl [--socket PATH] [--json] COMMAND [ARGUMENT]\n\nAsks or tells a running weir.\n\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-6s %-10s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fputs("\n      --socket PATH  the daemon's admin socket; without it the user's own, then /run/weir/admin.sock\n"
          "      --json         print the daemon's answer as JSON\n"
          "      --version      print the version, and exit\n"
          "  -h, --help         print this, and exit\n", out);
}

static const struct command *find_command(const char *name)
{
    for (int i = 0; i < COMMANDS; i++)
        if (strcmp(commands[i].name, name) == 0)
            return &commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_VERSION };
    static const struct option options[] = {
        { "socket",  required_argument, NULL, OPTION_SOCKET },
        { "json",    no_argument,       NULL, OPTION_JSON },
        { "version", no_argument,       NULL, OPTION_VERSION },
        { "help",    no_argument,       NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    struct ctl            c = { 0 };
    const struct command *command;
    int                   option;

    while ((option = getopt_long(argc, argv, "h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_SOCKET:  c.socket = optarg; break;
        case OPTION_JSON:    c.json = true; break;
        case OPTION_VERSION: printf("weirctl %s\n", PACKAGE_VERSION); return 0;
        case 'h':            print_help(stdout); return 0;
        default:             print_help(stderr); return 2;
        }
    }
    if (optind >= argc) {
        print_help(stderr);
        return 2;
    }
    command = find_command(argv[optind]);
    if (command == NULL) {
        fprintf(stderr, "weirctl: there is no command \"%s\"; see weirctl --help\n", argv[optind]);
        return 2;
    }
    c.arguments = argv + optind + 1;
    c.argument_count = argc - optind - 1;
    if (c.argument_count < command->least || c.argument_count > command->most) {
        fprintf(stderr, "weirctl: usage: weirctl %s %s\n", command->name, command->arguments);
        return 2;
    }
    return command->run(&c);
}
