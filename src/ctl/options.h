/* What is made of a command's table of options. */
#ifndef WEIR_CTL_OPTIONS_H
#define WEIR_CTL_OPTIONS_H

#include "ctl/ctl.h"

#include <getopt.h>

enum { OPTION_OWN = 512 /* what getopt_long() returns for a command's first option, one more for the next */ };

void options_print_help(FILE *, const struct command *);
/* Adds the command's own after the first `count`, and their letters; both have room. */
void options_add(const struct command *, struct option *options, unsigned count, char *letters);
/* What getopt_long() has returned: a letter, or a number from OPTION_OWN on. False: it is none of the command's. */
bool options_take(struct ctl *, const struct command *, int option);

#endif
