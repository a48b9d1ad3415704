/*
 * Who is at the other end of a client's connection, as far as the kernel
 * tells: plain values, and the numbers by which turns are shared.
 */
#ifndef WEIR_PEER_PEER_H
#define WEIR_PEER_PEER_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct peer {
    bool     has_uid; /* of a unix socket, or of TCP that begins on this machine */
    uid_t    uid;
    gid_t    gid;           /* of a unix socket; else -1 */
    pid_t    pid;           /* 0: not told */
    uint64_t started;       /* that process, in the kernel's ticks: tells it from an earlier one of its pid */
    uint64_t program;       /* a hash of its executable; 0: may not be read */
    uint8_t  address[16];   /* IPv4 also where it came mapped into IPv6 */
    unsigned address_bytes; /* 4, 16; 0: a unix socket */
    uint64_t connection;    /* no two have the same */
};

enum { PEER_LABEL_BYTES = 40 };
/* For people: "uid=1000 pid=77", "uid=1000", or "" where neither is known. */
void peer_label(const struct peer *, char out[PEER_LABEL_BYTES]);

/* For a fair order: of what is not known all are one.  The user is the uid, else the address (of IPv6 its network). */
uint64_t peer_user_id(const struct peer *);
uint64_t peer_program_id(const struct peer *); /* even: names that clients give themselves are odd */
uint64_t peer_process_id(const struct peer *);

#endif
