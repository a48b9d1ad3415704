/*
 * What is wrong with a configuration: collected while it is read, printed in
 * the order of the files.  One thread, while a configuration is loaded.
 */
#ifndef WEIR_CONFIG_PROBLEMS_H
#define WEIR_CONFIG_PROBLEMS_H

#include "base/arena.h"

#include <stdarg.h>
#include <stdio.h>

struct source_place {
    const char *file;
    unsigned    line; /* 0: the file as a whole */
    unsigned    rank; /* order over all files */
};

struct config_problem;

struct problems { /* all zero but `arena`: none */
    struct arena          *arena;
    struct config_problem *all;
    unsigned               errors, warnings, room;
};

/* `setting` may be NULL. */
void problem_add(struct problems *, bool warning, struct source_place, const char *setting, const char *format,
                 va_list args);
void problem_error(struct problems *, struct source_place, const char *setting, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* "FILE:LINE: [warning: ]setting: text", one line each. */
void problems_print(struct problems *, FILE *out);

/* The word of `words` (ends with NULL) that `text` is most likely a slip of; NULL: none is near. */
const char *problem_near(const char *text, const char *const *words);

#endif
