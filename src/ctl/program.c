/*
 * See program.h.
 */
#include "ctl/program.h"

#include <limits.h>
#include <stdint.h>
#include <string.h>
#include <unistd.h>

static void beside(char *out, size_t bytes)
{
    ssize_t n = readlink("/proc/self/exe", out, bytes - 1);
    char   *slash;

    out[n > 0 ? n : 0] = '\0';
    slash = strrchr(out, '/');
    if (slash != NULL && (size_t)(slash - out) + sizeof "/weir" <= bytes)
        strcpy(slash, "/weir");
}

void program_become(const char *const arguments[])
{
    char *const *const own = (char *const *)(uintptr_t)arguments; /* execv() changes none of them */
    char               path[PATH_MAX];

    beside(path, sizeof path);
    execv(path, own);
    execv(WEIR_SBINDIR "/weir", own);
    execvp("weir", own);
}
