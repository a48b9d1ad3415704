/*
 * Processes as /proc tells of them: where they stand, what they have open.
 * Everything of one process is read through one descriptor of its folder, which never
 * becomes another process' folder, whoever gets the pid.  Any thread.
 */
#ifndef WEIR_PEER_PROCESS_H
#define WEIR_PEER_PROCESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Pure: the time of start (field 22) in the text of /proc/PID/stat; 0: there is none.  A process' name may hold
 * anything. */
uint64_t process_parse_start(const char *stat);
/* Pure: the inode of "socket:[4711]"; 0: no socket. */
unsigned process_parse_link(const char *link);

struct process {
    pid_t    pid;
    int      folder;  /* /proc/PID; -1: not open */
    uint64_t started; /* 0: not read, like the next one */
    uint64_t program; /* a hash of the path of its executable; 0: may not be read */
};

/* False: there is none, or it is not that user's. */
bool process_open(struct process *, pid_t, uid_t);
/* Fills `started` and `program`.  False: it has ended. */
bool process_read(struct process *);
void process_close(struct process *);
/* The inode of the socket that this descriptor of it is; 0: none. */
unsigned process_socket(const struct process *, int fd);
/* A folder of its descriptors for readdir(), NULL: it may not be read. */
void *process_descriptors(const struct process *);

/* Pids of all of that user but the caller's own, the newest first; the caller frees them. */
pid_t *process_list(uid_t, size_t *count);

#endif
