/*
 * Answers that Weir writes to a client's socket itself, past libmicrohttpd, and closes after.
 *
 * A socket that is closed while bytes of the client's are on their way is reset, and the answer with it (RFC 9112
 * 9.6): so it is first half closed and read to its end, for a while.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_REFUSE_H
#define WEIR_FRONT_MHD_REFUSE_H

#include "front/mhd/connection.h"

#include "engine/guard.h"

/* The text of a problem (RFC 9457); its length.  `room`: at least REFUSE_BYTES. */
enum { REFUSE_BYTES = 3072 };
size_t refuse_text(char *out, size_t room, const struct refusal *, const char *proxy_error, bool is_head);

/* The one answer to what has come on the connection, unless an answer is under way already.  Nothing else will be
 * sent on it, whatever MHD does; it goes when the client has seen it. */
void refuse_connection(struct connection *, const struct refusal *);

/* Reads what is still to come on a socket of which `fd` is a descriptor, and stays the caller's: only its end is
 * put off.  For a socket that nothing will be sent on any more. */
void refuse_linger(struct worker *, int fd);
void refuse_sweep(struct worker *, int64_t now);
void refuse_close_all(struct worker *);

#endif
