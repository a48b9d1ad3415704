/*
 * What the kernel says of a connection at once: its two ends, whose socket the
 * other one is (sock_diag for TCP of this machine, SO_PEERCRED for unix
 * sockets), and which of the uids that it names are no uids.  Any thread.
 */
#ifndef WEIR_PEER_KERNEL_H
#define WEIR_PEER_KERNEL_H

#include "peer/peer.h"

struct peer_end {
    uint8_t  address[16];
    unsigned bytes;
    uint16_t port;
}; /* port in network order */

struct peer_ends {
    struct peer_end client, own;
    unsigned        own_inode; /* of the accepted socket: as long as the kernel knows it, these are its ends */
    bool            is_unix;
    bool            is_local; /* the connection begins on this machine */
};

/* `fd` is the accepted socket.  False: it has no ends. */
bool kernel_read_ends(int fd, struct peer_ends *);

/* Of a unix socket: uid, gid and pid of who connected.  What is not told is left as it is. */
void kernel_read_credentials(int fd, struct peer *);

struct peer_socket {
    uid_t    uid;
    bool     has_uid;
    unsigned inode;
};
/* Of TCP on this machine.  False: it is nobody's, or these ends are another connection's by now. */
bool kernel_ask(const struct peer_ends *, struct peer_socket *out);

/* Pure: may this id stand for all those that have none in a user namespace (user_namespaces(7))?  `map` is the text of
 * uid_map or gid_map, `overflow` that of overflowuid or overflowgid; "" where they cannot be read. */
bool kernel_is_unmapped(uint32_t id, const char *map, const char *overflow);

#endif
