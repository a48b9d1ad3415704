/*
 * What libmicrohttpd sends through GnuTLS passes here: gnutls_record_send() is found in the
 * program before it is found in the library.  Any thread.
 */
#ifndef WEIR_TLS_RECORD_H
#define WEIR_TLS_RECORD_H

#include <stddef.h>
#include <sys/types.h>

/* The library's own: bytes taken, or a negative GnuTLS error. */
typedef ssize_t (*record_send)(void *session, const void *bytes, size_t count);
/* In its place, for the session over `fd`. */
typedef ssize_t (*record_filter)(int fd, const void *bytes, size_t count, record_send sends, void *session);

/* Before there are other threads. */
void record_set_filter(record_filter);

#endif
