/* A program that is run and waited for in weirctl's place: signals that come are handed on, its end is weirctl's. */
#ifndef WEIR_CTL_CHILD_H
#define WEIR_CTL_CHILD_H

enum { CHILD_OWN_FAILURE = 125, CHILD_NOT_EXECUTABLE = 126, CHILD_NOT_FOUND = 127 };

/* execvp(3); returns only where it could not, with the exit status, after a line on standard error. */
int child_become(char *const arguments[]);
/* Runs it, and waits for its end: what waitpid(2) says of it, or -1 and a line on standard error. */
int child_run(char *const arguments[]);
/* Its exit status; who was ended by a signal ends weirctl in the same way. */
int child_status(int waited);

#endif
