/*
 * weirctl's parts: one file per command, one row each in ctl.c's table.
 */
#ifndef WEIR_CTL_CTL_H
#define WEIR_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct ctl {
    const char *socket;               /* of the admin or query socket; NULL: looked for */
    bool        json;
    const char *as;                   /* run, env: the client's name; NULL: none */
    char      **arguments;            /* behind the command */
    int         argument_count;
};

/* Each returns the exit status: 0 done, 1 refused or failed, 2 wrong use. */
int ctl_status(const struct ctl *);
int ctl_limits(const struct ctl *);
int ctl_purge(const struct ctl *);
int ctl_flush(const struct ctl *);
int ctl_compact(const struct ctl *);
int ctl_reload(const struct ctl *);
int ctl_reopen(const struct ctl *);
int ctl_check(const struct ctl *);
int ctl_ca(const struct ctl *);
int ctl_env(const struct ctl *);
/* Returns only where it could not run the command: 125 to 127. */
int ctl_run(const struct ctl *);

/*
 * Asks the daemon: method, path and body (NULL: none) to the admin socket; what only reads to the query
 * socket where the admin socket is not there or not for this user.
 * The parsed answer is the caller's (json_decref). NULL: a line on standard error has said
 * why; an answer of status 400 and more counts as that too.
 */
json_t *ctl_ask(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */);
/* With --json: prints it as it is and returns true. */
bool ctl_print_json(const struct ctl *, const json_t *answer);
/* "12.3 MiB", "1h 5m": for people; in a buffer of this thread's, four take turns. */
const char *ctl_size(double bytes);
const char *ctl_duration(double seconds);

#endif
