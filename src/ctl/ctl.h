/*
 * weirctl's parts: one file per command, with its row.
 */
#ifndef WEIR_CTL_CTL_H
#define WEIR_CTL_CTL_H

#include "base/slice.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

enum { OPTIONS_MOST = 64 };

struct said_option {
    const char *name, *value; /* "" where it takes none */
};

struct command;

struct ctl {
    const struct command *const *commands; /* all of weirctl's, as --help lists them; ends with NULL */
    const char                  *socket;   /* of the admin or query socket; NULL: looked for */
    const char                  *config;   /* of a daemon that may not be running; NULL: the one that weir would read */
    bool                         json;
    const char                  *as;        /* run, env: the client's name; import: the owner's; NULL: none */
    char                       **arguments; /* after the command */
    int                          argument_count;
    const int                   *handed; /* descriptors that go with a question to the daemon's socket; NULL: none */
    unsigned                     handed_count;
    /* of the command's own options, in their order */
    struct said_option said[OPTIONS_MOST];
    unsigned           said_count;
};

struct command_option { /* of one command, beside those that all have */
    const char *name;
    char        letter; /* 0: none */
    const char *value;  /* what it takes, as --help calls it: FILE, UPSTREAM, "size|age" (options.c completes it by that
                         * name); "=writes": only with "=" before it, and it may be left out; NULL: nothing */
    const char *help;
};

enum {
    NAMES_CLIENT = 1,  /* takes --as */
    TAKES_COMMAND = 2, /* what follows is another program's, options and all */
    IS_HIDDEN = 4,     /* not in --help */
    NAMES_OWNER = 8    /* takes --as for whose something becomes */
};

struct command {
    const char *name;
    const char *arguments; /* as --help shows them; " | " between several ways: "[NAME] | forget [UPSTREAM [LIMIT]]".
                            * Small letters are literal, what completes a capital word stands in options.c */
    const char *help;
    int         least, most;        /* how many arguments */
    int (*run)(const struct ctl *); /* the exit status: 0 done, 1 refused or failed, 2 wrong use */
    unsigned                     traits;
    const struct command_option *options; /* ends with a name of NULL; NULL: none */
};

/* The value of that option, the nth where it was said several times; NULL: it was not. */
const char *ctl_option(const struct ctl *, const char *name, unsigned nth);
/* To a unix socket; -1 and errno. */
int ctl_connect(const char *path);
/* A line on standard error that says how it is used; 2. */
int ctl_use_wrongly(const struct command *);

/*
 * Asks the daemon: method, path and body (NULL: none) to the admin socket; what only reads to the query
 * socket where the admin socket is not there or not for this user.
 * The parsed answer is the caller's (json_decref). NULL: a line on standard error has said
 * why; an answer of status 400 and more counts as that too.
 */
json_t *ctl_ask(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */);
/* The same with bytes after the question, which is a line then. */
json_t *ctl_ask_with(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */,
                     struct slice after);
/* The same of the cache: where `may_lack` and no daemon runs, weir --offline answers in its place. */
json_t *ctl_ask_stored(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */,
                       bool may_lack);
/* An answer that is read as it comes. */
struct ctl_answer {
    FILE    *in; /* its content */
    unsigned status;
    int64_t  length; /* -1: not known */
    /* ask.c's own */
    char  socket[108];
    pid_t child; /* weir --offline; 0: none */
};
/* False: a line on standard error has said why.  Else ctl_close() follows. */
bool ctl_open(const struct ctl *, const char *method, const char *path, json_t *body /* taken over */, bool may_lack,
              struct ctl_answer *);
void ctl_close(struct ctl_answer *);
/* With --json: prints it as it is and returns true. */
bool ctl_print_json(const struct ctl *, const json_t *answer);
/* How much a purge or a flush dropped. Takes the answer over; the exit status. */
int ctl_print_dropped(const struct ctl *, json_t *answer);
/* "12.3 MiB", "1h 5m": for people; in a buffer of this thread's, four take turns. */
const char *ctl_size(double bytes);
/* A whole number of an answer; 0: there is none. */
long long   ctl_number(const json_t *, const char *name);
const char *ctl_duration(double seconds);

#endif
