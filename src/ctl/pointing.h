/*
 * The variables that point a program at Weir, for weirctl run and weirctl env.
 */
#ifndef WEIR_CTL_POINTING_H
#define WEIR_CTL_POINTING_H

#include "ctl/ctl.h"
#include "ctl/trust.h"

#include "base/arena.h"

enum { VARIABLES_MAX = 64 };

struct variable {
    const char *name, *value;
};

struct pointing {
    struct trust    trust;
    struct arena    arena;
    struct slice    host, port; /* of the proxy, an IPv6 address in its brackets */
    struct variable variables[VARIABLES_MAX];
    unsigned        count;
};

/* Asks the daemon and writes the files.  False: a line on standard error has said why. */
bool pointing_prepare(const struct ctl *, struct pointing *);
/* In this process, for the program that it becomes or starts. */
void pointing_set(const struct pointing *);

#endif
