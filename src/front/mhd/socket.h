/*
 * What is said to the kernel about sockets that clients have connected to.
 *
 * Everything that can be inherited is, from the listener (front/net/listener.c).
 */
#ifndef WEIR_FRONT_MHD_SOCKET_H
#define WEIR_FRONT_MHD_SOCKET_H

#include <stdbool.h>

/*
 * libmicrohttpd sets and resets TCP_CORK and TCP_NODELAY around what it sends: a call and more for each answer over TLS
 * and each file, and a socket that stays corked, on which what is written past MHD (a 103) waits for 200 ms.  All it
 * sends is whole, so that with TCP_NODELAY, which accepted sockets have, there is nothing to steer.  It calls the C
 * library's setsockopt() through the dynamic linker, where the program's own comes first: that says of the sockets of
 * which `is_kept` is true that they have no such options, as unix sockets have none, and MHD does not ask again.
 * This thread's; NULL: no more.
 */
void socket_keep_options(bool (*is_kept)(int fd));

/* More has to come from the peer before anything can be answered.  One that has not set TCP_NODELAY keeps the rest of
 * what it has to say back until the beginning is acknowledged, which the kernel would put off for 40 ms in the hope of
 * an answer to send along (RFC 9293 3.7.4, 3.8.6.3).  On a unix socket nothing happens. */
void socket_acknowledge(int fd);

#endif
