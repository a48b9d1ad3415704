/*
 * weir --backup and --restore: the cache and the state in one folder, and back. What they did is printed as JSON.
 */
#ifndef WEIR_ADMIN_BACKUP_H
#define WEIR_ADMIN_BACKUP_H

#include "config/config.h"
#include "store/state.h"

#include <stdio.h>

/* While a daemon runs or not; `folder` is made, or empty.  The exit status; an error was said on standard error. */
int backup_save(const struct config *, const char *folder, FILE *out);
/* While none runs.  What was there stays, in a folder beside it.  The owners end with NULL: whose rows this version
 * knows. */
int backup_restore(const struct config *, const struct state_owner *const owners[], const char *folder, FILE *out);

#endif
