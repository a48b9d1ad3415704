/* The weir that belongs to this weirctl, run as a program. */
#ifndef WEIR_CTL_PROGRAM_H
#define WEIR_CTL_PROGRAM_H

#include <jansson.h>
#include <stdbool.h>

/* Becomes it: the one beside this weirctl, else the one that is installed, else the one on the PATH.  arguments[0] is
 * "weir". Returns where none can be run, errno says why. */
void program_become(const char *const arguments[]);

/* Runs it, gives it `question` (NULL: none) as its standard input, and reads what it prints: the caller's.  NULL: it
 * has said why on standard error, or cannot be run, which is said. *failed: its status was not 0. */
json_t *program_ask(const char *const arguments[], const json_t *question, bool *failed);

#endif
