/*
 * weirctl check FILE: runs the daemon's own check, so that there is one.
 */
#include "ctl/ctl.h"

#include <errno.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

/* The weir that stands beside this weirctl, else the one on the PATH (which also finds it in sbin). */
static void beside(char *out, size_t bytes)
{
    ssize_t n = readlink("/proc/self/exe", out, bytes - 1);
    char   *slash;

    out[n > 0 ? n : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash != NULL && (size_t)(slash - out) + sizeof "/weir" <= bytes)
        strcpy(slash, "/weir");
}

static int run(const struct ctl *c)
{
    char path[PATH_MAX];

    beside(path, sizeof path);
    execl(path, "weir", "--check", "-c", c->arguments[0], (char *)NULL);
    execl(WEIR_SBINDIR "/weir", "weir", "--check", "-c", c->arguments[0], (char *)NULL);
    execlp("weir", "weir", "--check", "-c", c->arguments[0], (char *)NULL);
    fprintf(stderr, "weirctl: cannot run weir --check: %s\n", strerror(errno));
    return 1;
}

const struct command command_check = { "check", "FILE", "say what is wrong with a configuration file", 1, 1, run, 0 };
