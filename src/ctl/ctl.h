/*
 * weirctl's parts: one file per command, with its row.
 */
#ifndef WEIR_CTL_CTL_H
#define WEIR_CTL_CTL_H

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>

struct ctl {
    const char *socket; /* of the admin or query socket; NULL: looked for */
    bool        json;
    const char *as;        /* run, env: the client's name; NULL: none */
    char      **arguments; /* after the command */
    int         argument_count;
};

enum {
    NAMES_CLIENT = 1, /* takes --as */
    TAKES_COMMAND = 2 /* what follows is another program's, options and all */
};

struct command {
    const char *name, *arguments, *help;
    int         least, most;        /* how many arguments */
    int (*run)(const struct ctl *); /* the exit status: 0 done, 1 refused or failed, 2 wrong use */
    unsigned traits;
};

/*
 * Asks the daemon: method, path and body (NULL: none) to the admin socket; what only reads to the query
 * socket where the admin socket is not there or not for this user.
 * The parsed answer is the caller's (json_decref). NULL: a line on standard error has said
 * why; an answer of status 400 and more counts as that too.
 */
json_t *ctl_ask(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */);
/* With --json: prints it as it is and returns true. */
bool ctl_print_json(const struct ctl *, const json_t *answer);
/* How much a purge or a flush dropped. Takes the answer over; the exit status. */
int ctl_print_dropped(const struct ctl *, json_t *answer);
/* "12.3 MiB", "1h 5m": for people; in a buffer of this thread's, four take turns. */
const char *ctl_size(double bytes);
const char *ctl_duration(double seconds);

#endif
