/*
 * What weir does once, on a configuration, instead of serving: for a person, or for weirctl.
 */
#ifndef WEIR_ADMIN_ONCE_H
#define WEIR_ADMIN_ONCE_H

#include "config/config.h"
#include "store/state.h"

enum once {
    ONCE_NOT,     /* it serves */
    ONCE_CHECK,   /* says what is wrong with the configuration */
    ONCE_DUMP,    /* prints every setting in effect */
    ONCE_OFFLINE, /* answers one call about the cache: alone.h */
    ONCE_EXPLAIN, /* says what the configuration makes of a request: judge.h */
    ONCE_BACKUP,
    ONCE_RESTORE
};

struct once_order {
    enum once                        what;
    const char                      *config_file; /* NULL: the embedded default */
    const char                      *folder;      /* of a backup */
    const struct state_owner *const *owners;      /* whose rows this version knows; ends with NULL */
};

/* The exit status; what went wrong was said on standard error. */
int once_run(const struct once_order *);

#endif
