/* weirctl run --replay: a program that a recorded snapshot answers, and nobody else: no daemon, no network. */
#ifndef WEIR_CTL_REPLAYED_H
#define WEIR_CTL_REPLAYED_H

#include "ctl/ctl.h"

/* The exit status: the program's, or 3 where it asked for what is not recorded. */
int replayed_run(const struct ctl *, const char *snapshot, char *const arguments[]);

#endif
