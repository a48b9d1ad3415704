/*
 * What is said to the kernel about a connected socket, a client's or one to an API.
 *
 * Everything that clients' can inherit they do, from the listener (front/net/listener.c).
 */
#ifndef WEIR_BASE_SOCKET_H
#define WEIR_BASE_SOCKET_H

/* More has to come from the peer before anything can be answered.  One that has not set TCP_NODELAY keeps the rest of
 * what it has to say back until the beginning is acknowledged, which the kernel would put off for 40 ms in the hope of
 * an answer to send along (RFC 9293 3.7.4, 3.8.6.3).  On a unix socket nothing happens. */
void socket_acknowledge(int fd);

#endif
