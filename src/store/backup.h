/*
 * Copies of the cache's and the state's directory, and the way back.
 *
 * A copy is made by another process, while the daemon runs or not: of the database at one moment, and after that of
 * the files beside it.  A body file that has gone meanwhile makes its record a miss; one that has come is an orphan.
 */
#ifndef WEIR_STORE_BACKUP_H
#define WEIR_STORE_BACKUP_H

#include "base/fault.h"
#include "store/state.h"

#include <stdint.h>

struct backup_size {
    uint64_t files, bytes;
};

/* Copies `directory` into one that is empty.  -1 and *why. */
int backup_take(const char *directory, int into_fd, struct backup_size *, struct fault *why);
/* May this version read what is in the copy? -1 and *why: it is none, or of a newer format. */
int backup_check_cache(const char *copy, struct fault *why);
int backup_check_state(const char *copy, const struct state_owner *const owners[], struct fault *why);

/* What is put back, and where: several directories go together or not at all. */
struct backup_target {
    int                from_fd; /* the copy */
    const char        *directory;
    struct backup_size size; /* out */
    char aside[64];          /* out: the folder in `directory` that what was there before is in; "" where nothing was */
    /* backup.c's own */
    int fd, lock_fd;
};
/* Nobody may run over them: they are locked meanwhile.  What is made is the owner's of the directory.
 * -1 and *why: all is as it was. */
int backup_put_back(struct backup_target *, unsigned count, struct fault *why);

#endif
