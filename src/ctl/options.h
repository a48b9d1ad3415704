/* What is made of the commands' rows: help, usage, what getopt_long() is to know, completion. */
#ifndef WEIR_CTL_OPTIONS_H
#define WEIR_CTL_OPTIONS_H

#include "ctl/ctl.h"

#include <getopt.h>

enum { OPTION_OWN = 512 /* what getopt_long() returns for a command's first option, one more for the next */ };

/* Does a value follow as a word of its own? */
static inline bool option_wants(const struct command_option *row)
{
    return row->value != NULL && row->value[0] != '=';
}
/* The name of what it takes. */
static inline const char *option_takes(const struct command_option *row)
{
    return row->value + (row->value[0] == '=');
}

/* NULL: there is none of that name. */
const struct command *options_command(const struct ctl *, const char *name);
/* Those that all commands have, as a command's own; ends with a name of NULL. */
extern const struct command_option options_common[];

/* Of one command; of all where it is NULL. */
void options_print_help(FILE *, const struct ctl *, const struct command *);
/* For getopt_long(): the common ones, and the command's own (NULL: none); returns OPTION_OWN + the row, from the
 * common ones on. */
void options_list(const struct command *, struct option options[2 * OPTIONS_MOST + 1],
                  char letters[2 + 4 * OPTIONS_MOST]);
/* What getopt_long() has returned.  NULL: it is none. */
const struct command_option *options_row(const struct command *, int option);
/* How many arguments and options that a row does not take; 2 where it said why, else -1. */
int options_check(const struct ctl *, const struct command *);

/* What the name of a value says of it: FILE, UPSTREAM, "size|age".  Ends with a kind of nothing. */
enum value_kind { VALUE_ANY, VALUE_FILE, VALUE_UPSTREAM, VALUE_LIMIT, VALUE_PROGRAM, VALUE_WORDS };
enum value_kind options_value_kind(const char *name, size_t length);

#endif
