/*
 * Reads along where a chunked body stands (RFC 9112 7.1), and whether it is one.
 *
 * Bytes go by as they came; nothing of them is kept but where they lead: the end of the body, its trailers included, or
 * the first byte that cannot be.  A line ends with CRLF and nothing else.  Lines are bounded, since whoever reads them
 * for good must hold them.  Pure.
 */
#ifndef WEIR_HTTP_CHUNKED_H
#define WEIR_HTTP_CHUNKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    CHUNKED_LINE_BYTES = 4096, /* of a chunk's size and extensions */
    CHUNKED_TRAILERS_BYTES = 16 * 1024
};

enum chunked_verdict {
    CHUNKED_MORE,
    CHUNKED_END,
    CHUNKED_BAD_SIZE, /* no hexadecimal number, or followed by what is no extension */
    CHUNKED_BAD_LINE, /* CR or LF alone, or another control character */
    CHUNKED_BAD_DATA, /* a chunk is longer than it said */
    CHUNKED_BAD_TRAILER,
    CHUNKED_HUGE, /* a chunk of 2^63 bytes or more */
    CHUNKED_LONG_LINE,
    CHUNKED_LONG_TRAILERS
};

struct chunked { /* all zero: at the beginning of a body */
    int      at;
    uint64_t left;               /* of the size as far as it is read; of the chunk */
    size_t   line;               /* bytes of this line, or of the trailers */
    bool     is_empty, has_name; /* the trailer line */
};

/* *taken: how many of the bytes belong to the body; after CHUNKED_END, others follow. */
enum chunked_verdict chunked_feed(struct chunked *, const char *bytes, size_t count, size_t *taken);

#endif
