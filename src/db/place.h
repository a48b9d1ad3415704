/*
 * An environment's directory: whose it is, the lock against a second
 * instance, what kind of files stand in it, and the marker of a start that has not
 * proved itself yet.  This room's own.
 *
 * Nothing is opened there that is no regular file: neither a FIFO, which would hang,
 * nor a link, which would lead elsewhere.
 */
#ifndef WEIR_DB_PLACE_H
#define WEIR_DB_PLACE_H

#include "db/db.h"

struct place {
    char *path;                  /* as configured */
    int   directory_fd, lock_fd; /* -1: none */
    bool  is_private;            /* DB_PRIVATE */
    bool  exists, is_read_only;  /* DB_EXISTING, DB_READ_ONLY */
    bool  is_marked;
};

/* Makes the directory, looks whose it is, takes the lock. */
enum db_open_result place_open(struct place *, const char *directory, unsigned flags, struct fault *why);
/* Looks at the database's files, and at their pages where the last start did not survive or they are few.
 * DB_DAMAGED: not to be opened. Else the marker is set. */
enum db_open_result place_check(struct place *, struct fault *why);
/* The marker goes: it has lived long enough, or ends as it should. */
void place_settle(struct place *);
/* The database was removed from there: the lock files go too, so that another may be begun in the same directory. */
void place_leave(struct place *);
void place_close(struct place *);

#endif
