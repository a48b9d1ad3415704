/*
 * All that leans on libmicrohttpd's insides, and whether it may.
 *
 * MHD 0.9.75 does what its interface promises, and dearly in places; and it refuses requests in its own words.  What
 * Weir does about that knows more of it than the interface says, so it is done for the one version that it was
 * measured with, and any other is used in the plain way (said in the log at the start).  `configure
 * --disable-mhd-tricks` builds without all of them; then no function of the C library has another one in its place.
 *
 *   MEMSET   memory of a connection that it need not zero: pool.c, a memset() of the program's own
 *   PARK     pages of a pool that nobody needs, given back meanwhile: pool.c, which knows where a pool begins
 *   SLOTS    where pools stand: slots.c, a mmap() and a munmap() of the program's own
 *   INTAKE   what it receives, seen first, and refused in Weir's words: recv.c, intake.c; its log: intake_log()
 *   HEADS    heads without a length, and heads that go with their body: heads.c, a send() of the program's own
 *   RECORDS  records of TLS in a row: tls/record.c, a gnutls_record_send() of the program's own
 *   SENDFILE files in larger pieces: sendfile.c
 *   SOCKOPT  no TCP_CORK and TCP_NODELAY around each answer: sockopt.c
 *   RAWHEAD  whether a head stood on the wire as it says: rawhead.c, from what it leaves of it in its buffer
 *   KEPT     a response that is queued again with other digits in it: kept.c (which finds it by RAWHEAD)
 *
 * What is lost without them: time; memory of those who wait; the connection after a head that says no length; the
 * exact words of some refusals, and whether there are any; and with RAWHEAD a check that later versions do themselves.
 * What each is worth stands in ARCHITECTURE.md; INTAKE and RAWHEAD are there for what they refuse.
 * tests/unit/test_tricks.c holds each against the real library; scenarios that need one say so (the mark mhd_trick).
 */
#ifndef WEIR_FRONT_MHD_TRICKS_H
#define WEIR_FRONT_MHD_TRICKS_H

#include <stdbool.h>

#define TRICKS_MEASURED_WITH "0.9.75"

enum trick {
    TRICK_MEMSET = 1,
    TRICK_PARK = 2,
    TRICK_INTAKE = 4,
    TRICK_HEADS = 8,
    TRICK_RECORDS = 16,
    TRICK_SENDFILE = 32,
    TRICK_SOCKOPT = 64,
    TRICK_RAWHEAD = 128,
    TRICK_KEPT = 256,
    TRICK_SLOTS = 512
};

/* Before the workers start, with what tricks_library() says: all, or with another version none.  False: none. */
bool tricks_start(const char *version);
/* Of the library that the program runs with. */
const char *tricks_library(void);
/* Are there any in this build, for this version? */
bool tricks_are_for(const char *version);

extern unsigned tricks_on; /* written by tricks_start() alone */

static inline bool trick(enum trick t)
{
#ifdef WEIR_MHD_TRICKS
    return (tricks_on & t) != 0;
#else
    (void)t;
    return false;
#endif
}

#endif
