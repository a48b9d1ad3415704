/*
 * Which addresses are the internet's.  A tunnel leads to those alone, unless the settings say
 * otherwise: a proxy is a way around a firewall, and must not become one into this machine or the network
 * it stands in.  Pure.
 */
#ifndef WEIR_BASE_ADDRESS_H
#define WEIR_BASE_ADDRESS_H

#include "base/slice.h"

#include <sys/socket.h>

/* False for loopback, link-local, private, shared, multicast and unspecified addresses, in IPv4, in IPv6 and in the
 * forms of IPv6 that carry an IPv4 address (mapped, translated, 6to4); and for what is neither. */
bool address_is_public(const struct sockaddr *);
/* True where an entry of `list` (ends with NULL; may be NULL) is `host`, or the address or network of `sa`. */
bool address_is_listed(const struct sockaddr *sa, struct slice host, const char *const *list);

/* What a URL or Host calls this machine: 127.0.0.0/8, [::1], localhost and what ends in .localhost (RFC 6761 6.3). */
bool address_is_loopback_name(struct slice host);

#endif
