/*
 * XDG base directories: a variable counts where it is set and absolute, else
 * its default under HOME.
 */
#include "base/paths.h"

#include <stdio.h>
#include <stdlib.h>

static int join(char *out, size_t bytes, const char *variable, const char *under_home, const char *name)
{
    const char *base = getenv(variable), *home = getenv("HOME");
    int         n;

    if (base != NULL && base[0] == '/')
        n = snprintf(out, bytes, "%s/%s", base, name);
    else if (home != NULL && home[0] == '/')
        n = snprintf(out, bytes, "%s/%s/%s", home, under_home, name);
    else
        return -1;
    return n > 0 && (size_t)n < bytes ? 0 : -1;
}

int paths_user_config(char *out, size_t bytes)
{
    return join(out, bytes, "XDG_CONFIG_HOME", ".config", "weir/weir.conf");
}

int paths_user_cache(char *out, size_t bytes)
{
    return join(out, bytes, "XDG_CACHE_HOME", ".cache", "weir");
}

int paths_user_state(char *out, size_t bytes)
{
    return join(out, bytes, "XDG_STATE_HOME", ".local/state", "weir");
}

int paths_user_runtime(char *out, size_t bytes)
{
    const char *runtime = getenv("XDG_RUNTIME_DIR");

    if (runtime != NULL && runtime[0] == '/')
        return join(out, bytes, "XDG_RUNTIME_DIR", "", "weir");
    return join(out, bytes, "XDG_STATE_HOME", ".local/state", "weir/run");
}
