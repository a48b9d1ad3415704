/*
 * weirctl: finds the command's row and runs it.
 */
#include "ctl/ctl.h"

#include <getopt.h>
#include <limits.h>
#include <string.h>

enum {
    NAMES_CLIENT = 1,                 /* takes --as */
    TAKES_COMMAND = 2                 /* what follows is another program's, options and all */
};

static const struct command {
    const char *name, *arguments, *help;
    int         least, most;          /* how many arguments */
    int       (*run)(const struct ctl *);
    unsigned    traits;
} commands[] = {
    { "status", "",         "what the daemon is, has stored and has done",            0, 0, ctl_status, 0 },
    { "limits", "[NAME | forget [UPSTREAM [LIMIT]]]",
      "every limit: allowed, left, when it is whole again; drop what was learned", 0, 3, ctl_limits, 0 },
    { "purge",  "URL|GLOB", "drop a URL, or all that a glob matches, from the cache", 1, 1, ctl_purge, 0 },
    { "flush",  "",         "drop everything from the cache",                         0, 0, ctl_flush, 0 },
    { "compact", "",        "give disk space that the cache no longer needs back",   0, 0, ctl_compact, 0 },
    { "reload", "",         "read the configuration again",                           0, 0, ctl_reload, 0 },
    { "reopen", "",         "open the access log's file anew, after it was renamed",  0, 0, ctl_reopen, 0 },
    { "check",  "FILE",     "say what is wrong with a configuration file",            1, 1, ctl_check, 0 },
    { "ca",     "[rotate]", "the certificate of weir's own CA; make a new one",       0, 1, ctl_ca, 0 },
    { "env",    "",         "export lines that point a shell at weir",               0, 0, ctl_env, NAMES_CLIENT },
    { "run",    "COMMAND",  "run a command that is pointed at weir",                  1, INT_MAX, ctl_run,
      NAMES_CLIENT | TAKES_COMMAND },
};
enum { COMMANDS = sizeof commands / sizeof *commands };

static void print_help(FILE *out)
{
    fputs("Usage: weirctl [--socket PATH] [--json] COMMAND [ARGUMENT]\n\nAsks or tells a running weir.\n\n", out);
    for (int i = 0; i < COMMANDS; i++)
        fprintf(out, "  %-7s %-10s %s\n", commands[i].name, commands[i].arguments, commands[i].help);
    fputs("\n      --socket PATH  the daemon's admin socket; without it the user's own, then /run/weir/admin.sock\n"
          "      --json         print the daemon's answer as JSON\n"
          "      --as NAME      env, run: the client's name, for fairness and in weir's log\n"
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

enum { OPTION_SOCKET = 256, OPTION_JSON, OPTION_VERSION, OPTION_AS };

/* Reads options up to the first word that is none or, where `anywhere`, all of them: the words move behind.
 * -1: go on; else the exit status. */
static int read_options(struct ctl *c, int argc, char **argv, bool anywhere)
{
    static const struct option options[] = {
        { "socket",  required_argument, NULL, OPTION_SOCKET },
        { "json",    no_argument,       NULL, OPTION_JSON },
        { "as",      required_argument, NULL, OPTION_AS },
        { "version", no_argument,       NULL, OPTION_VERSION },
        { "help",    no_argument,       NULL, 'h' },
        { NULL, 0, NULL, 0 },
    };
    int option;

    optind = 0;                                      /* glibc: begin anew */
    while ((option = getopt_long(argc, argv, anywhere ? "h" : "+h", options, NULL)) != -1) {
        switch (option) {
        case OPTION_SOCKET:  c->socket = optarg; break;
        case OPTION_JSON:    c->json = true; break;
        case OPTION_AS:      c->as = optarg; break;
        case OPTION_VERSION: printf("weirctl %s\n", PACKAGE_VERSION); return 0;
        case 'h':            print_help(stdout); return 0;
        default:             print_help(stderr); return 2;
        }
    }
    return -1;
}

static int use_wrongly(const struct command *command)
{
    fprintf(stderr, "weirctl: usage: weirctl %s %s\n", command->name, command->arguments);
    return 2;
}

int main(int argc, char **argv)
{
    struct ctl            c = { 0 };
    const struct command *command;
    int                   status = read_options(&c, argc, argv, false);

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
    status = read_options(&c, argc, argv, (command->traits & TAKES_COMMAND) == 0);
    if (status >= 0)
        return status;
    c.arguments = argv + optind;
    c.argument_count = argc - optind;
    if (c.argument_count < command->least || c.argument_count > command->most
        || (c.as != NULL && (command->traits & NAMES_CLIENT) == 0))
        return use_wrongly(command);
    return command->run(&c);
}
