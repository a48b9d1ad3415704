/*
 * weirctl purge: a URL, or all that a glob matches, is dropped.
 */
#include "ctl/ctl.h"

static int run(const struct ctl *c)
{
    return ctl_print_dropped(c, ctl_ask(c, "POST", "/purge", json_pack("{s:s}", "url", c->arguments[0])));
}

const struct command command_purge = { "purge", "URL|GLOB", "drop a URL, or all that a glob matches, from the cache",
                                       1,       1,          run,
                                       0 };
