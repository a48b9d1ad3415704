/* weirctl run with a mode of its own: the program's requests are held to it, by a token that is its proxy user. */
#ifndef WEIR_CTL_HELD_H
#define WEIR_CTL_HELD_H

#include "ctl/ctl.h"

/* The exit status where not all that the program did can be vouched for. */
enum { HELD_NOT = 3 };

/* `mode`: as the daemon calls it. The exit status. */
int held_run(const struct ctl *, const char *mode, char *const arguments[]);

/* -- the parts of that -- */

struct held {
    struct ctl_answer a;
    char             *token;
};
/* `order` is taken over.  False: a line on standard error has said why. */
bool held_begin(const struct ctl *, json_t *order, struct held *);
/* Runs the program, pointed at Weir; what waitpid(2) says, or -1. */
int held_child(const struct ctl *, const struct held *, char *const arguments[]);
/* What there was; NULL: it could not be ended in order, and a line on standard error has said why. */
json_t *held_end(const struct ctl *, struct held *);
/* Says what was not held to it: "held to offline", "recorded".  False: there was something. */
bool held_tell(const json_t *counts, const char *mode, const char *kept);

#endif
