/*
 * weirctl flush: all that is stored is dropped.
 */
#include "ctl/ctl.h"

static int run(const struct ctl *c)
{
    return ctl_print_dropped(c, ctl_ask(c, "POST", "/flush", NULL));
}

const struct command command_flush = { "flush", "", "drop everything from the cache", 0, 0, run, 0, NULL };
