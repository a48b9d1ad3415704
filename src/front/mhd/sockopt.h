/*
 * libmicrohttpd sets and resets TCP_CORK and TCP_NODELAY around what it sends: a call and more for each answer over TLS
 * and each file, and a socket that stays corked, on which what is written past MHD (a 103) waits for 200 ms.  All it
 * sends is whole, so that with TCP_NODELAY, which accepted sockets have, there is nothing to steer.  It calls the C
 * library's setsockopt() through the dynamic linker, where the program's own comes first: that says of the sockets of
 * which `is_kept` is true that they have no such options, as unix sockets have none, and MHD does not ask again.
 */
#ifndef WEIR_FRONT_MHD_SOCKOPT_H
#define WEIR_FRONT_MHD_SOCKOPT_H

#include <stdbool.h>

/* This thread's; NULL: no more. */
void sockopt_keep(bool (*is_kept)(int fd));

#endif
