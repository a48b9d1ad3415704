/*
 * Whether a head stood on the wire as libmicrohttpd says it did.
 *
 * MHD 0.9.75 reads leniently: bare LF ends a line, a folded line is glued on
 * (to the wrong place), a NUL cuts a target or a value, a field without a name is
 * dropped.  Two parsers would see such a request differently, so it is
 * refused (RFC 9112 2.2, 5.1, 5.2).  MHD parses in place: it ends each part
 * with NUL where the delimiter was.  So a head that was plain leaves its parts side by
 * side in the buffer, with exactly the two bytes of CRLF between them, and any
 * other leaves a gap.  Later versions parse otherwise and more strictly: there
 * nothing is checked.  Worker's thread.
 */
#ifndef WEIR_FRONT_MHD_RAWHEAD_H
#define WEIR_FRONT_MHD_RAWHEAD_H

#include "base/slice.h"

#include <stdbool.h>

struct rawhead {     /* a cursor over MHD's buffer */
    const char *end; /* of the part seen last */
    bool        plain;
};

/* `target` as MHD handed it over first, with the length it then had. */
void rawhead_begin(struct rawhead *, const char *target, size_t target_bytes, const char *version);
/* For each field, in order. */
void rawhead_field(struct rawhead *, const char *name, size_t name_bytes, const char *value, size_t value_bytes);
/* True where the head was plain, or cannot be checked with this version of MHD. `head` is where the method stands,
 * `head_bytes` how long MHD says that the head was. */
bool rawhead_is_plain(const struct rawhead *, const char *head, size_t head_bytes);
/* The head of a plain one after its target, as it stands in the buffer; ptr NULL where that is not known. */
struct slice rawhead_rest(const struct rawhead *, const char *head, size_t head_bytes, const char *version);

#endif
