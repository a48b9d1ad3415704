/*
 * Body files: <cache>/bodies/<low byte of the number>/<number>, both in hex.
 *
 * A file is linked before its record is committed and removed after the
 * record is gone; what a crash leaves between the two is an orphan, which the
 * sweep after the next start removes.  A number is never used twice.
 */
#ifndef WEIR_STORE_BODIES_H
#define WEIR_STORE_BODIES_H

#include "base/fault.h"
#include "store/spool.h"
#include "store/store.h"

#include <dirent.h>
#include <stdbool.h>
#include <stdint.h>

/* -1 and *why where it cannot. Makes "bodies" under the directory. */
int bodies_open(int directory_fd, struct fault *why);
/* The same where nothing is to be made; -1: there is none. */
int bodies_open_existing(int directory_fd);

/* Of all files there are; 0: none.  Reads every directory. */
uint64_t bodies_highest(int bodies_fd);
/* 0, or an errno: EEXIST where the number is taken. The spool is whole. *proof: of what stands in the file now. */
int bodies_link(int bodies_fd, uint64_t number, const struct spool *, struct body_proof *proof);
/* -1 where it is gone or not `bytes` long, or where neither the mark nor, then, the sum is the file's (mark 0: nobody
 * knows). */
int bodies_read(int bodies_fd, uint64_t number, int64_t bytes, const struct body_proof *);
enum body_state { BODY_RIGHT, BODY_WRONG, BODY_UNKNOWN };
/* Reads all of it.  BODY_UNKNOWN: it cannot be opened, which look-ups notice, or `go_on` (NULL: no pauses), called
 * between its pieces, said no. */
enum body_state bodies_verify(int bodies_fd, uint64_t number, int64_t bytes, uint64_t sum, bool (*go_on)(void *context),
                              void *context);
void            bodies_remove(int bodies_fd, uint64_t number);

struct sweep { /* all zero: done */
    bool     running;
    int      bodies_fd;
    uint64_t below;     /* files with this number or a higher one are not looked at */
    unsigned directory; /* 0 to 255 */
    DIR     *open;      /* of `directory` */
    uint64_t removed;
};

void sweep_begin(struct sweep *, int bodies_fd, uint64_t below);
/* The numbers found by looking at a few entries more: candidates, to be removed where no record has them.
 * Ends the sweep (running = false) after the last directory. */
unsigned sweep_step(struct sweep *, uint64_t *numbers, unsigned at_most);
void     sweep_end(struct sweep *);

#endif
