/*
 * weirctl check FILE: runs the daemon's own check, so that there is one.
 */
#include "ctl/ctl.h"

#include "ctl/program.h"

#include <errno.h>
#include <string.h>

static int run(const struct ctl *c)
{
    program_become((const char *[]){ "weir", "--check", "-c", c->arguments[0], NULL });
    fprintf(stderr, "weirctl: cannot run weir --check: %s\n", strerror(errno));
    return 1;
}

const struct command command_check = { "check", "FILE", "say what is wrong with a configuration file", 1, 1, run,
                                       0,       NULL };
