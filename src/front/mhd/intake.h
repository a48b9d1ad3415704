/*
 * A connection's bytes on their way to libmicrohttpd: where each request begins and ends, and whether it can be one.
 *
 * MHD refuses by itself with a page of HTML, with two heads or without a word, waits for the rest of what is no
 * request, and spins on a chunk line that outgrows its buffer.  So what it receives is looked at first
 * (front/mhd/recv.h): the request line, and the framing of a chunked body.  The head's end it tells us itself.  What
 * cannot be is answered here (front/mhd/refuse.h), and MHD is told that the connection broke.  What it still refuses
 * it says in its log, and that is answered instead of it.
 *
 * MHD reads in place: each request begins at the beginning of the connection's buffer, and what stands after it
 * follows at once.  Where that turns out otherwise (another version), the connection is left to MHD.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_INTAKE_H
#define WEIR_FRONT_MHD_INTAKE_H

#include "http/chunked.h"

#include "engine/guard.h"

#include <sys/types.h>

struct connection;
struct worker;

enum intake_stage {
    INTAKE_LINE,   /* a request line is on its way */
    INTAKE_HEAD,   /* it was one; fields follow */
    INTAKE_LENGTH, /* content of a known length */
    INTAKE_CHUNKS,
    INTAKE_WHOLE, /* the request is; its answer is on its way */
    INTAKE_PASS   /* not looked at any more */
};

struct intake {
    enum intake_stage stage;
    char             *base; /* MHD's buffer; NULL: nothing has come yet */
    const char       *line; /* the request line in it; NULL: not begun */
    size_t            held; /* bytes from `base` on; while WHOLE: those after the request */
    enum intake_stage next; /* of the next request, LINE or HEAD */
    int64_t           left; /* LENGTH */
    struct chunked    chunked;
    bool              is_timed; /* the connection's deadline is that of this request's head */
    struct refusal    doom;     /* of the next request; status 0: none */
};

/* This thread's connections are looked at from here on; NULL: no more. */
void intake_start(struct worker *);
/* struct handshake's heard. */
bool intake_heard_tls(void *connection, char *at, ssize_t count);
/* The head is whole, `bytes` of it from `head` on.  `body_bytes`: 0: none; -1: chunked; -2: in no way that is known.
 * False: what has come of the body cannot be one; that is answered. */
bool intake_head(struct connection *, const char *head, size_t bytes, int64_t body_bytes);
/* The answer was sent; MHD may go on to a next request. */
void intake_next(struct connection *);
/* An answer will close the connection, whatever follows. */
void intake_pass(struct connection *);
/* The connection's deadline has come. False: it has another one, for a request that has only begun. Else what
 * stands there in part is answered (408). */
bool intake_is_late(struct connection *, int64_t now_ns);
/* Outside of MHD: answers what stands after a request that has been answered, where it cannot be one. */
void intake_refuse_doomed(struct worker *);
/* What MHD logs: its own refusals are answered. */
void intake_log(struct worker *, const char *text);

#endif
