/*
 * Processes that connections were found in lately: the first to be asked about the
 * next one.  Bounded, for each user and in all, so that nobody who starts thousands of processes
 * puts out what is known of others.  Pure; whoever owns it owns it alone.
 */
#ifndef WEIR_PEER_KNOWN_H
#define WEIR_PEER_KNOWN_H

#include <stdint.h>
#include <sys/types.h>

enum { KNOWN_MOST = 256, KNOWN_OF_USER = 32 };

struct known_process {
    pid_t    pid;
    uid_t    uid;
    uint64_t started; /* another one with this pid is another process */
    int      fd;      /* its descriptor that was a connection last: the next one's is near */
    uint64_t turn;    /* when it was used last; 0: an empty place */
};

struct known {
    struct known_process places[KNOWN_MOST];
    uint64_t             turn;
}; /* all zero: empty */

/* The user's processes, last used first; how many.  The pointers are good until the next known_put(). */
unsigned known_of(struct known *, uid_t, struct known_process *out[], unsigned most);
/* It was found (again): with this descriptor, and after it started then. */
void known_put(struct known *, uid_t, pid_t, uint64_t started, int fd);
void known_drop(struct known_process *);

#endif
