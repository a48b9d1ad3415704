/*
 * Heads without a Content-Length, where none is to follow: of a 304, of a HEAD of unknown length.
 *
 * libmicrohttpd 0.9.75 writes one into every head of known length, and for one of unknown length
 * closes the connection.  In a 304 it may only be the length that the 200 would have (RFC 9110 8.6),
 * and there are clients that then wait for such a body.  MHD sends a head alone by the C library's send(),
 * or GnuTLS's gnutls_record_send(), through the dynamic linker, where the program's own come first: send() below
 * and the one in tls/record.c, which leave the line out of a head that was announced.  Linked in another
 * way, MHD would find the libraries', and the line says 0.  Worker's thread.
 */
#ifndef WEIR_FRONT_BARE_H
#define WEIR_FRONT_BARE_H

/* Before the workers start. */
void bare_init(void);
/* The next head on this connection of the thread's is sent without its length; it is the response queued next. */
void bare_announce(int fd);
/* Another connection has this descriptor: what was announced and never sent was not of it. */
void bare_forget(int fd);

#endif
