/* weirctl run with a mode of its own: the program's requests are held to it, by a token that is its proxy user. */
#ifndef WEIR_CTL_HELD_H
#define WEIR_CTL_HELD_H

#include "ctl/ctl.h"

/* `mode`: as the daemon calls it. The exit status. */
int held_run(const struct ctl *, const char *mode, char *const arguments[]);

#endif
