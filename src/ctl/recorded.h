/* weirctl run --record, and --replay=auto: what a program asks through the daemon is kept in a folder of the user's. */
#ifndef WEIR_CTL_RECORDED_H
#define WEIR_CTL_RECORDED_H

#include "ctl/ctl.h"

/* `plays`: what is recorded already is answered from there.  The exit status: the program's; 3 where not all of it was
 * recorded, 4 where a credential stood in a body. */
int recorded_run(const struct ctl *, const char *folder, bool plays, char *const arguments[]);

#endif
