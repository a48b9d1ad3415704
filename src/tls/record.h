/*
 * What libmicrohttpd sends and receives through GnuTLS passes here: gnutls_record_send() and gnutls_record_recv() are
 * found in the program before they are found in the library.  What comes is told to whoever the session's struct
 * handshake names (tls/handshake.h).  Any thread.
 */
#ifndef WEIR_TLS_RECORD_H
#define WEIR_TLS_RECORD_H

#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/* The library's own: bytes taken, or a negative GnuTLS error. */
typedef ssize_t (*record_send)(void *session, const void *bytes, size_t count);
/* In its place, for the session over `fd`. */
typedef ssize_t (*record_filter)(int fd, const void *bytes, size_t count, record_send sends, void *session);

/* Before there are other threads. */
void record_set_filter(record_filter);
/* As many records as the socket takes with one call, or one (front/mhd/tricks.h). */
void record_use_runs(bool);

/* Nothing more will be sent: a close_notify (RFC 8446 6.1), as far as it goes out at once. */
void record_end(void *session);

#endif
