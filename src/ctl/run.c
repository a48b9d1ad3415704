/*
 * weirctl run: a program that is pointed at Weir.
 */
#include "ctl/pointing.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { OWN_FAILURE = 125, NOT_EXECUTABLE = 126, NOT_FOUND = 127 };

/* Returns only where it could not run the command. */
static int run(const struct ctl *c)
{
    struct pointing p = { 0 };

    if (!pointing_prepare(c, &p))
        return OWN_FAILURE;
    for (unsigned i = 0; i < p.count; i++)
        setenv(p.variables[i].name, p.variables[i].value, 1);
    arena_free(&p.arena);
    execvp(c->arguments[0], c->arguments);
    fprintf(stderr, "weirctl: cannot run %s: %s\n", c->arguments[0], strerror(errno));
    return errno == ENOENT ? NOT_FOUND : NOT_EXECUTABLE;
}

const struct command command_run = { "run",
                                     "COMMAND [ARGUMENT...]",
                                     "run a command that is pointed at weir",
                                     1,
                                     INT_MAX,
                                     run,
                                     NAMES_CLIENT | TAKES_COMMAND,
                                     NULL };
