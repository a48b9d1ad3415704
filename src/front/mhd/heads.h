/*
 * Heads that are sent otherwise than libmicrohttpd would.
 *
 * Some without a Content-Length, where none is to follow: of a 304, of a HEAD of unknown length.  MHD 0.9.75 writes
 * one into every head of known length, and for one of unknown length closes the connection.  In a 304 it may only be
 * the length that the 200 would have (RFC 9110 8.6), and there are clients that then wait for such a body.  Others
 * together with the beginning of their body, which MHD has but sends in a call of its own.
 *
 * It sends a head alone by the C library's send(), or GnuTLS's gnutls_record_send(), through the dynamic linker, where
 * the program's own come first: send() below and the one in tls/record.c, which know what was announced.  Linked in
 * another way, MHD would find the libraries', the line says 0, and heads go alone.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_HEADS_H
#define WEIR_FRONT_MHD_HEADS_H

enum head_kind {
    HEAD_AS_IT_IS,
    HEAD_BARE,    /* without its length */
    HEAD_FOLLOWED /* a body comes at once: the kernel keeps the head back for it */
};

/* After tricks_start(), before the workers start. */
void heads_init(void);
/* Of the next head on this connection of the thread's, that of the response queued next. FOLLOWED is for a plain
 * connection; a TLS one has handshake_hold_head(). */
void heads_announce(int fd, enum head_kind);
/* What was announced for this descriptor and never sent is not of what will be. */
void heads_forget(int fd);

#endif
