/* The weir that belongs to this weirctl, run as a program. */
#ifndef WEIR_CTL_PROGRAM_H
#define WEIR_CTL_PROGRAM_H

/* Becomes it: the one beside this weirctl, else the one that is installed, else the one on the PATH.  arguments[0] is
 * "weir". Returns where none can be run, errno says why. */
void program_become(const char *const arguments[]);

#endif
