/*
 * A weir of one program's own, for weirctl run --replay: in a directory of its own that is removed at its end, with an
 * upstream for each host that is in the snapshot.
 */
#ifndef WEIR_CTL_OWN_WEIR_H
#define WEIR_CTL_OWN_WEIR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct own_weir {
    char  directory[256], config[300], socket[300], log[300], access[300]; /* absolute; directory "": there is none */
    pid_t process;                                                         /* 0: it does not run */
};

/* `snapshot`: a folder or a zip.  False: a line on standard error has said why. own_weir_end() follows either way. */
bool own_weir_start(struct own_weir *, const char *snapshot);
/* It is gone after that, and has written all that it writes; its directory is there still. */
void own_weir_stop(struct own_weir *);
void own_weir_end(struct own_weir *);

#endif
